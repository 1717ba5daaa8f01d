"""What is odd about NuGet's V3 protocol: a service index names every other address, on whatever host.

    index.json                                   the service index, with addresses of this server
    registration/<id>/...                        a package's versions, their dependencies: index, pages, leaves
    registration-gz/<id>/..., registration-gz-semver2/<id>/...      the same, which upstream sends compressed
    flatcontainer/<id>/index.json                a package's versions
    flatcontainer/<id>/<version>/<file>          .nupkg and .nuspec never change
    query, autocomplete                          searches
    catalog/...                                  what registrations call an entry's own document

The first segment is a service; where upstream has that, its own service index says, and nobody else. All of it may be
below a directory in which upstream has its service index (v3/index.json, v3/query). Documents with addresses in them
are made of upstream's: each string that begins with the address of a service begins with this server's then, and an
@id that is nowhere here is one within its document. Services that are not in this list (publishing, symbols) are left
out of the index, and so is the catalog: nobody is to read all of it through here.

Source: learn.microsoft.com/nuget/api (overview, service-index, registration-base-url-resource,
package-base-address-resource, search-query-service-resource, search-autocomplete-service-resource).
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, BinaryIO, NamedTuple

from app import paths
from app.errors import NotFound
from app.formats.base import PathRules, Rule, rule
from app.formats.json_strings import checked, here, rewritten, small, text
from app.formats.queries import canonical
from app.formats.virtual import made
from app.resource import Ask, Desk, Found, Kind, Located, Made, Reading, Repository, Resource

INDEX = "index.json"
_CATALOG = "catalog"
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
    "Catalog/": _CATALOG,
}
SERVICES = frozenset(_KINDS.values())
_SEARCHES = frozenset(("query", "autocomplete"))
_TEXTS = frozenset(("q", "id", "prerelease", "semVerLevel", "packageType"))
_NUMBERS = frozenset(("skip", "take"))
_MOST = 1 << 20  # bytes of a service index; the largest have some twenty KiB


class _Place(NamedTuple):
    """What a path is: the directory of its service index, "" or with a slash behind; its service, "" for that index
    itself; and what it is there."""

    directory: str
    service: str
    rest: str


@dataclass(frozen=True, slots=True)
class _Service:
    """One entry of a service index: our name of it, upstream's address, which has no query, and its @type."""

    name: str
    url: str
    kind: str
    entry: Mapping[str, Any]


class _NuGet(PathRules):
    __slots__ = ()
    edition = 2

    def resolve(self, repository: Repository, ask: Ask) -> Resource:
        """See Format. Raises BadRequest for a query that says nothing, NotFound for an index of upstream's that is no
        service's here: as it is, it would lead clients past this server."""
        if "?" in ask.path:  # the key of a search would be that path's, too
            raise NotFound("NuGet's registries have no such path", code="file_not_found")
        place = _placed(ask.path) if repository.kind is Kind.REMOTE else None
        if place is None:
            if repository.kind is Kind.REMOTE and ask.path.endswith(f"/{INDEX}"):
                raise NotFound("no service is called so here: begin with the service index")
            return super().resolve(repository, ask)
        found = super().resolve(repository, replace(ask, path=_lower(place) if place.rest else ask.path))
        index = _original(super().resolve(repository, Ask("GET", ask.repository, f"{place.directory}{INDEX}")))
        if not place.service:
            return self._made(found, (index,))
        query = canonical(ask.query, _TEXTS, _NUMBERS) if place.service in _SEARCHES else ""
        key = f"{found.path}?{query}" if query else found.path
        found = replace(found, key=key, query=query, named_in=index, whole=found.index)
        if place.service in ("query", _CATALOG) or place.service.startswith("registration"):
            return self._made(found, (_original(found), index))
        return found

    def _rule(self, path: str) -> tuple[re.Match[str], Rule]:
        place = _placed(path)
        return super()._rule(path[len(place.directory) :] if place is not None else path)

    def _made(self, found: Resource, sources: tuple[Resource, ...]) -> Resource:
        document = made(self, found.repository, found.key, found.path, sources, found.rule)
        return replace(document, addressed=True)

    def read(self, resource: Resource, body: BinaryIO) -> Reading:
        """See Format; what these name is vouched for by nothing but the connection."""
        place = _placed(resource.path)
        if place is not None and not place.service:
            _services(body)
        else:
            checked(body)
        return Reading()

    def locate(self, resource: Resource, index: BinaryIO) -> Located | None:
        """See Format."""
        place = _placed(resource.path)
        base = _bases(_services(index)).get(place.service) if place is not None else None
        if place is None or base is None:
            return None
        url = f"{base.rstrip('/')}/{paths.quote(place.rest)}" if place.rest else base
        return Located(f"{url}?{resource.query}" if resource.query else url)

    def make(self, resource: Resource, found: Sequence[Found], desk: Desk) -> Made:
        """See Format."""
        for each in found:
            if each.file is None:
                raise each.error or NotFound("upstream has no such document")
        services, place = _services(_file(found[-1])), _placed(resource.path)
        assert place is not None
        if not place.service:
            desk.write(_index(services, place.directory))
        else:
            rewritten(_file(found[0]), desk.write, _Ours.of(services, place, resource.path))
        return Made("application/json")


def _placed(path: str) -> _Place | None:
    """None for what is no service's. Of an index of upstream's own that only looks like a service index nobody knows
    here what it is."""
    segments = path.split("/")
    for number, service in enumerate(segments):
        if service in SERVICES:
            rest = "/".join(segments[number + 1 :])
            if (service in _SEARCHES) is not bool(rest):
                return _Place("".join(f"{each}/" for each in segments[:number]), service, rest)
    if segments[-1] != INDEX or any(each in SERVICES or each.startswith("registration") for each in segments):
        return None
    return _Place(path.removesuffix(INDEX), "", "")


def _lower(place: _Place) -> str:
    """Ids, and in flatcontainer all, are in lower case; clients need not know (package-base-address-resource)."""
    package, slash, more = place.rest.partition("/")
    if place.service == "flatcontainer":
        more = more.lower()
    if place.service != _CATALOG:
        package = package.lower()
    return f"{place.directory}{place.service}/{package}{slash}{more}"


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
    """Where upstream has each service; the catalog is the directory of the document that it is named by."""
    found: dict[str, str] = {}
    for each in services:
        file = each.name == _CATALOG and each.url.endswith(".json")
        found.setdefault(each.name, each.url.rpartition("/")[0] if file else each.url)
    return found


def _index(services: Sequence[_Service], directory: str) -> bytes:
    """The service index of this server."""
    entries = []
    for each in services:
        if each.name == _CATALOG:
            continue
        address = f"/{directory}{each.name}" if each.name in _SEARCHES else f"/{directory}{each.name}/"
        members = [b'"@id":' + here(address), b'"@type":' + text(each.kind)]
        for name in ("comment", "clientVersion"):
            if isinstance(value := each.entry.get(name), str):
                members.append(text(name) + b":" + text(value))
        entries.append(b"{" + b",".join(members) + b"}")
    return b'{"version":"3.0.0","resources":[' + b",".join(entries) + b"]}"


# -- addresses in documents ------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Ours:
    """Upstream's addresses in one document, as this server's. One scheme is as good as the other."""

    roots: Sequence[tuple[str, str]]  # each service and its directory upstream, without a scheme
    hosts: frozenset[str]
    place: _Place
    path: str

    @classmethod
    def of(cls, services: Sequence[_Service], place: _Place, path: str) -> _Ours:
        bases = {name: base.partition("://")[2].rstrip("/") + "/" for name, base in _bases(services).items()}
        roots = [(name, root) for name, root in bases.items() if name not in _SEARCHES]
        return cls(roots, frozenset(root.partition("/")[0] for root in bases.values()), place, path)

    def __call__(self, name: str, value: str) -> bytes | None:
        """A string that is an address below a service: by the longest that fits, and of equal ones the service that
        the document belongs to. What else is called by an address there is called so within the document."""
        if not value.startswith(("http://", "https://")):
            return None
        address, own = value.partition("://")[2], self.place.service
        fitting = [(len(root), each == own, each) for each, root in self.roots if address.startswith(root)]
        if fitting:
            length, _, best = max(fitting)
            return here(f"/{self.place.directory}{best}/{address[length:]}")
        host, _, rest = address.partition("/")
        return here(f"/{self.path}#{paths.quote(rest)}") if name == "@id" and host in self.hosts else None


NUGET = _NuGet(
    "nuget",
    (
        rule(r"registration[^/]*/.+", "a package's versions", own=True),
        rule(r"catalog/.+", "an entry's own document", own=True),
        rule(r"(?:query|autocomplete)", "a search", own=True, remember_missing=False, index=True),
        rule(r"flatcontainer/[^/]+/index\.json", "a package's versions", own=True, index=True),
        rule(r"flatcontainer/[^/]+/[^/]+/[^/]+\.(?:nupkg|nuspec)", "a package's file", immutable=True),
        rule(r"flatcontainer/.+", "a file beside a package"),
        rule(r"index\.json", "the service index", own=True),
    ),
)
