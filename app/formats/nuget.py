"""What is odd about NuGet's V3 protocol: a service index names every other address, on whatever host.

    index.json                                   the service index, with addresses of this server
    registration/<id>/...                        a package's versions, their dependencies: index, pages, leaves
    registration-gz/<id>/..., registration-gz-semver2/<id>/...      the same, which upstream sends compressed
    flatcontainer/<id>/index.json                a package's versions
    flatcontainer/<id>/<version>/<file>          .nupkg and .nuspec never change
    query, autocomplete                          searches

The first segment is a service; where upstream has that, its own service index says, and nobody else. Documents with
addresses in them are made of upstream's: each string that begins with the address of a service begins with this
server's then. Services that are not in this list (publishing, the catalog, symbols) are left out of the index.

Source: learn.microsoft.com/nuget/api (overview, service-index, registration-base-url-resource,
package-base-address-resource, search-query-service-resource, search-autocomplete-service-resource).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, BinaryIO

from app import paths
from app.errors import NotFound
from app.formats.base import PathRules, rule
from app.formats.json_strings import checked, here, rewritten, small, text
from app.formats.queries import canonical
from app.formats.virtual import made
from app.resource import Ask, Desk, Found, Kind, Located, Made, Reading, Repository, Resource

INDEX = "index.json"
_KINDS = {  # @type, without its version where that makes no difference -> ours
    "RegistrationsBaseUrl": "registration",
    "RegistrationsBaseUrl/3.0.0-beta": "registration",
    "RegistrationsBaseUrl/3.0.0-rc": "registration",
    "RegistrationsBaseUrl/3.4.0": "registration-gz",
    "RegistrationsBaseUrl/3.6.0": "registration-gz-semver2",
    "RegistrationsBaseUrl/Versioned": "registration-gz-semver2",
    "PackageBaseAddress/": "flatcontainer",
    "SearchQueryService": "query",
    "SearchQueryService/": "query",
    "SearchAutocompleteService": "autocomplete",
    "SearchAutocompleteService/": "autocomplete",
}
SERVICES = frozenset(_KINDS.values())
_SEARCHES = frozenset(("query", "autocomplete"))
_TEXTS = frozenset(("q", "id", "prerelease", "semVerLevel", "packageType"))
_NUMBERS = frozenset(("skip", "take"))
_MOST = 1 << 20  # bytes of a service index; the largest have some twenty KiB


@dataclass(frozen=True, slots=True)
class _Service:
    """One entry of a service index: our name of it, upstream's address, which has no query, and its @type."""

    name: str
    url: str
    kind: str
    entry: Mapping[str, Any]


class _NuGet(PathRules):
    __slots__ = ()

    def resolve(self, repository: Repository, ask: Ask) -> Resource:
        """See Format. Raises BadRequest for a query that says nothing, NotFound for a service index that is not at
        the root: as it is, it would lead clients past this server."""
        if "?" in ask.path:  # the key of a search would be that path's, too
            raise NotFound("NuGet's registries have no such path", code="file_not_found")
        service, _, rest = ask.path.partition("/")
        if repository.kind is not Kind.REMOTE or (ask.path != INDEX and not _of_service(service, rest)):
            if repository.kind is Kind.REMOTE and ask.path.endswith(f"/{INDEX}"):
                raise NotFound(f"the service index is {INDEX}: base_url is where upstream has it")
            return super().resolve(repository, ask)
        found = super().resolve(repository, replace(ask, path=_lower(service, rest) if rest else ask.path))
        index = _original(super().resolve(repository, Ask("GET", ask.repository, INDEX)))
        if ask.path == INDEX:
            return self._made(found, (index,))
        query = canonical(ask.query, _TEXTS, _NUMBERS) if service in _SEARCHES else ""
        key = f"{found.path}?{query}" if query else found.path
        found = replace(found, key=key, query=query, named_in=index, whole=found.index)
        if service == "query" or service.startswith("registration"):
            return self._made(found, (_original(found), index))
        return found

    def _made(self, found: Resource, sources: tuple[Resource, ...]) -> Resource:
        document = made(self, found.repository, found.key, found.path, sources, found.rule)
        return replace(document, addressed=True)

    def read(self, resource: Resource, body: BinaryIO) -> Reading:
        """See Format; what these name is vouched for by nothing but the connection."""
        if resource.path == INDEX:
            _services(body)
        else:
            checked(body)
        return Reading()

    def locate(self, resource: Resource, index: BinaryIO) -> Located | None:
        """See Format."""
        name, _, rest = resource.path.partition("/")
        base = _bases(_services(index)).get(name)
        if base is None:
            return None
        url = f"{base.rstrip('/')}/{paths.quote(rest)}" if rest else base
        return Located(f"{url}?{resource.query}" if resource.query else url)

    def make(self, resource: Resource, found: Sequence[Found], desk: Desk) -> Made:
        """See Format."""
        for each in found:
            if each.file is None:
                raise each.error or NotFound("upstream has no such document")
        services = _services(_file(found[-1]))
        if resource.path == INDEX:
            desk.write(_index(services))
        else:
            own = resource.path.partition("/")[0]
            rewritten(_file(found[0]), desk.write, partial(_ours, _directories(services), own))
        return Made("application/json")


def _of_service(service: str, rest: str) -> bool:
    return service in SERVICES and (service in _SEARCHES) is not bool(rest)


def _lower(service: str, rest: str) -> str:
    """Ids, and in flatcontainer all, are in lower case; clients need not know (package-base-address-resource)."""
    package, slash, more = rest.partition("/")
    return f"{service}/{package.lower()}{slash}{more.lower() if service == 'flatcontainer' else more}"


def _original(resource: Resource) -> Resource:
    """Upstream's, under a key that no path is (app/paths.py)."""
    key = f"{resource.path}?{resource.query}" if resource.query else resource.path
    return replace(resource, key=f"{key}\x1fupstream", index=True, whole=True)


def _file(found: Found) -> BinaryIO:
    if found.file is None:
        raise NotFound("upstream has no such document")
    return found.file


# -- the service index -----------------------------------------------------------------------------------------


def _services(body: BinaryIO) -> list[_Service]:
    """The services that are served here, of each @type the first; raises ValueError where it is no service index."""
    resources = small(body, _MOST).get("resources")
    if not isinstance(resources, list):
        raise ValueError("is no service index: it has no resources")
    found: dict[str, _Service] = {}
    for entry in resources:
        if not isinstance(entry, dict) or not isinstance(url := entry.get("@id"), str):
            raise ValueError("is no service index: a resource has no @id")
        kinds = entry.get("@type")
        for kind in kinds if isinstance(kinds, list) else [kinds]:
            if isinstance(kind, str) and (name := _name(kind)) and url.startswith(("http://", "https://")):
                found.setdefault(kind, _Service(name, url.partition("?")[0], kind, entry))
    return list(found.values())


def _name(kind: str) -> str:
    """What a service of this @type is called here, "" for not at all."""
    return _KINDS.get(kind) or _KINDS.get(kind.partition("/")[0] + "/" * ("/" in kind), "")


def _bases(services: Sequence[_Service]) -> dict[str, str]:
    """Where upstream has each service."""
    found: dict[str, str] = {}
    for each in services:
        found.setdefault(each.name, each.url)
    return found


def _directories(services: Sequence[_Service]) -> dict[str, str]:
    return {name: url for name, url in _bases(services).items() if name not in _SEARCHES}


def _index(services: Sequence[_Service]) -> bytes:
    """The service index of this server."""
    entries = []
    for each in services:
        address = f"/{each.name}" if each.name in _SEARCHES else f"/{each.name}/"
        members = [b'"@id":' + here(address), b'"@type":' + text(each.kind)]
        for name in ("comment", "clientVersion"):
            if isinstance(value := each.entry.get(name), str):
                members.append(text(name) + b":" + text(value))
        entries.append(b"{" + b",".join(members) + b"}")
    return b'{"version":"3.0.0","resources":[' + b",".join(entries) + b"]}"


# -- addresses in documents ------------------------------------------------------------------------------------


def _ours(bases: Mapping[str, str], own: str, name: str, value: str) -> bytes | None:
    """A string that is an address below a service, as one of this server; by the longest that fits, and of equal ones
    the service that the document belongs to. One scheme is as good as the other."""
    if not value.startswith(("http://", "https://")):
        return None
    address = value.partition("://")[2]
    roots = ((service, base.partition("://")[2].rstrip("/") + "/") for service, base in bases.items())
    fitting = [(len(root), service == own, service) for service, root in roots if address.startswith(root)]
    if not fitting:
        return None
    length, _, best = max(fitting)
    return here(f"/{best}/{address[length:]}")


NUGET = _NuGet(
    "nuget",
    (
        rule(r"index\.json", "the service index", own=True),
        rule(r"registration[^/]*/.+", "a package's versions", own=True),
        rule(r"query|autocomplete", "a search", own=True, remember_missing=False, index=True),
        rule(r"flatcontainer/[^/]+/index\.json", "a package's versions", own=True, index=True),
        rule(r"flatcontainer/[^/]+/[^/]+/[^/]+\.(?:nupkg|nuspec)", "a package's file", immutable=True),
        rule(r"flatcontainer/.+", "a file beside a package"),
    ),
)
