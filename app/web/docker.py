"""The registry API of images, /v2/: which repository a request means, and what needs no upstream.

    /v2/                                  200 {}
    /v2/_catalog?n=&last=                 the images stored here, of every repository
    /v2/<repository>/<name>/...           that repository's, if it is one of images; else the first that says which:
    /v2/<name>/...?ns=registry            the remote that `serves` it: a closed look-up, never an address
    /v2/<name>/...  Host: registry        the remote that has it among its `hosts`
    /v2/<name>/...                        the `default` remote
    /v2/<repository of packages>/...      400 where none of those answers
    /repository/<repository>/v2/...       the same API under one repository's own address

So `alpine/git` is Docker Hub's image even where a repository `alpine` has packages. Inside a repository every path is
`v2/<name>/...`, as it is upstream.
"""

from __future__ import annotations

import json
import re
from bisect import bisect_right
from collections.abc import Callable, Iterable, Mapping, Sequence
from urllib.parse import parse_qs, quote

from flask import Blueprint, Response, current_app, request
from flask.blueprints import BlueprintSetupState

from app import paths
from app.errors import BadRequest, MethodNotAllowed, NotFound
from app.formats.docker import CATALOG, DOCKER
from app.repositories import Repositories
from app.resource import Ask, Repository
from app.web import client, oci
from app.web.auth import require_admin
from app.web.node import about, ask, node
from app.web.serve import serve

PREFIX = "/v2"
OWN_PREFIX = "/repository"
WRITING = ["PUT", "POST", "PATCH", "DELETE"]
PAGE, MOST = 100, 1000  # names of a catalog's page, where nobody says how many and at the most
RECENT = 10.0  # seconds for which a worker answers from what it read: anybody may ask, and each reading is a table's
HELD = 10_000  # names of one repository kept for so long; of a larger one every page is read by itself
NUMBER = re.compile(r"[0-9]{1,18}")
SHOWN = 100  # characters of what a client wrote in a message
RECENTLY = "artifactapi.catalog"  # the application's key of its Recent

blueprint = Blueprint("docker", __name__)

Names = Callable[[str, str, int], Sequence[str]]


@blueprint.route(PREFIX, methods=["GET", "HEAD"], provide_automatic_options=False)
@blueprint.route(f"{PREFIX}/<rest:rest>", methods=["GET", "HEAD"], provide_automatic_options=False)
def get(rest: str = "") -> Response:
    path = _path()
    if not path:
        return _json({})
    if path.removesuffix("/") == "_catalog":
        return _catalog(about("", path, route="v2"), None)
    found, below = _picked(path)
    return answer(about(found.name, below, route="v2"), found)


@blueprint.route(PREFIX, methods=WRITING, provide_automatic_options=False)
@blueprint.route(f"{PREFIX}/<rest:rest>", methods=WRITING, provide_automatic_options=False)
def change(rest: str = "") -> Response:
    path = _path()
    require_admin()
    if path.removesuffix("/") not in ("", "_catalog"):
        found, below = _picked(path)
        about(found.name, below, route="v2")
    raise MethodNotAllowed("images are pulled from upstream, not pushed here", oci.READING)


@blueprint.route(f"{OWN_PREFIX}/<name>/v2/<rest:rest>", methods=["POST", "PATCH"], provide_automatic_options=False)
def push(name: str, rest: str) -> Response:
    """PUT and DELETE come by the form that every repository has."""
    if is_api(*client.split(request.environ, OWN_PREFIX)):
        about(name, "", route="v2")
        require_admin()
    raise MethodNotAllowed("this method is not served here", oci.READING)


def is_api(name: str, raw: str) -> bool:
    """Whether a path, as it was on the wire, is one of this API below the address of that repository."""
    found = node().repositories.get(name)
    return found is not None and is_docker(found) and raw.partition("/")[0] == "v2"


def addressed() -> bool:
    """Whether the present request came to this API below a repository's own address."""
    raw = client.raw_path(request.environ)
    return raw.startswith(f"{OWN_PREFIX}/") and is_api(*client.split(request.environ, OWN_PREFIX))


def is_docker(source: Repository) -> bool:
    return source.package == DOCKER.name


def answer(ask: Ask, source: Repository) -> Response:
    """A GET or HEAD of `v2/...` in a repository of images."""
    first, _, rest = ask.path.partition("/")
    if first != "v2":
        raise NotFound("a repository of images has nothing outside v2/")
    if not rest:
        return _json({})
    if rest.removesuffix("/") == "_catalog":
        return _catalog(ask, source)
    return serve(ask, source)


def pick(known: Repositories, path: str, namespace: str | None, hosts: Iterable[str]) -> tuple[Repository, str]:
    """(repository, path in it) of `<name>/...` behind /v2/; NotFound where nothing says which.

    One of another package comes back only where its name is the first segment and nothing else answers.
    `namespace` is the query's `ns`, None without one; `hosts` what the client called this server, in lower case as
    the configuration is, the likeliest first.
    """
    first, _, rest = path.partition("/")
    if (named := known.get(first)) is not None and is_docker(named):
        return named, f"v2/{rest}"
    remotes = known.remotes.values()
    if namespace is not None:
        found = next((each for each in remotes if namespace.lower() in each.serves), None)
        reason = f"no repository here serves the registry {namespace[:SHOWN]}"
    else:
        by_host = (each for host in hosts for each in remotes if host in each.hosts)
        found = next(by_host, None) or next((each for each in remotes if each.default), None)
        reason = f"no repository is named {first[:SHOWN]}, and none is the default"
    if found is not None:
        return found, f"v2/{path}"
    if named is not None:
        return named, f"v2/{rest}"
    raise NotFound(reason, code="unknown_repository")


def page(repositories: Iterable[str], last: str, size: int, names: Names) -> list[str]:
    """At most `size` names `<repository>/<name>` after `last`, in the order of their bytes.

    `names(repository, after, limit)` reads one repository's. One after the other, because a repository `a-b` comes
    before `a` here: "-" is less than "/".
    """
    found: list[str] = []
    for prefix in sorted(f"{each}/" for each in repositories):
        within = last.startswith(prefix)
        if len(found) < size and (within or last < prefix):
            after = last.removeprefix(prefix) if within else ""
            found += [f"{prefix}{name}" for name in names(prefix[:-1], after, size - len(found))]
    return found


class Recent:
    """The names that were read a moment ago, of each repository; `clock` is in seconds."""

    def __init__(self, read: Names, clock: Callable[[], float]) -> None:
        self._read, self._clock = read, clock
        self._held: dict[str, tuple[float, Sequence[str]]] = {}

    def names(self, repository: str, after: str, limit: int) -> Sequence[str]:
        """As `read`, which is asked for all names at once, so that no choice of a page asks it again."""
        held = self._all(repository)
        if len(held) == HELD:
            return self._read(repository, after, limit)
        start = bisect_right(held, after)
        return held[start : start + limit]

    def _all(self, repository: str) -> Sequence[str]:
        now, (until, held) = self._clock(), self._held.get(repository, (float("-inf"), ()))
        if not until - RECENT <= now < until:
            held = self._read(repository, "", HELD)
            self._held[repository] = now + RECENT, held
        return held


def _path() -> str:
    """What follows /v2/, checked; errors read as this API's from here on."""
    about("", "", route="v2")
    if client.raw_path(request.environ) in (PREFIX, f"{PREFIX}/"):
        return ""
    first, rest = client.within(request.environ, PREFIX)
    return paths.check(f"{first}/{rest}" if rest or not first else first)


def _picked(path: str) -> tuple[Repository, str]:
    hosts = client.hosts(request.environ, node().settings.trusted_proxies)
    found, below = pick(node().repositories, path, _said(ask(), "ns"), hosts)
    if not is_docker(found):
        raise BadRequest(f"{found.name} is a repository of {found.package}, not of images", code="not_docker")
    return found, below


def _said(ask: Ask, name: str) -> str | None:
    """The first value of a query's parameter, "" where it has none; None without the parameter."""
    return parse_qs(ask.query, keep_blank_values=True).get(name, [None])[0]


def _catalog(ask: Ask, source: Repository | None) -> Response:
    """One page of what is stored: of `source`, or of every repository under its name."""
    size, last = _size(_said(ask, "n")), paths.check(_said(ask, "last") or "")
    if source is not None:
        found = list(_names(source.name, last, size + 1))
    else:
        images = (each.name for each in node().repositories.remotes.values() if is_docker(each))
        found = page(images, last, size + 1, _names)
    response = _json({"repositories": found[:size]})
    if size and len(found) > size:
        more = f"n={size}&last={quote(found[size - 1], safe='')}"
        response.headers["Link"] = f'<{ask.url_path}?{more}>; rel="next"'
    return response


def _size(said: str | None) -> int:
    if said is None:
        return PAGE
    if not NUMBER.fullmatch(said):
        raise BadRequest("n is the number of results that are wanted", code="pagination_number_invalid")
    return min(int(said), MOST)


def _names(name: str, after: str, limit: int) -> Sequence[str]:
    recent: Recent = current_app.extensions[RECENTLY]
    return recent.names(name, after, limit)


def _read(name: str, after: str, limit: int) -> Sequence[str]:
    index = node().shelf.catalog.index
    return [found for _, found in index.names([name], CATALOG, (name, after), limit)]


@blueprint.record
def _install(state: BlueprintSetupState) -> None:
    state.app.extensions[RECENTLY] = Recent(_read, lambda: node().shelf.clock())


def _json(told: Mapping[str, object]) -> Response:
    return Response(json.dumps(told), headers=[oci.VERSION], content_type="application/json")
