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

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import chain

from flask import Blueprint, Response, request

from app import paths
from app.errors import BadRequest, MethodNotAllowed, NotFound
from app.formats.docker import DOCKER
from app.repositories import Repositories
from app.resource import Ask, Repository
from app.web import client, images, oci
from app.web.auth import require_admin
from app.web.node import about, ask, node
from app.web.serve import serve
from app.web.target import BY_NAME, Target

PREFIX = "/v2"
OWN_PREFIX = "/repository"
WRITING = ["PUT", "POST", "PATCH", "DELETE"]
SHOWN = 100  # characters of what a client wrote in a message

blueprint = Blueprint("docker", __name__)


@blueprint.route(PREFIX, methods=["GET", "HEAD"], provide_automatic_options=False)
@blueprint.route(f"{PREFIX}/<rest:rest>", methods=["GET", "HEAD"], provide_automatic_options=False)
def get(rest: str = "") -> Response:
    path = _path()
    if not path:
        return images.told({})
    if is_own(path):
        known = node().repositories.remotes.values()
        named = [each.name for each in known if is_docker(each)]
        return images.catalog(about("", path, route="v2"), named, prefixed=True)
    found = _picked(path)
    return answer(found.ask, found.repository)


def target() -> Target | None:
    """What the present request is about; None for a page of this server's own."""
    path = _path()
    return None if is_own(path) else _picked(path)


@blueprint.route(PREFIX, methods=WRITING, provide_automatic_options=False)
@blueprint.route(f"{PREFIX}/<rest:rest>", methods=WRITING, provide_automatic_options=False)
def change(rest: str = "") -> Response:
    path = _path()
    require_admin()
    if not is_own(path):
        _picked(path)
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
    try:
        return is_api(*client.split(request.environ, OWN_PREFIX))
    except BadRequest:  # another prefix, or a name that is none
        return False


def is_docker(source: Repository) -> bool:
    return source.package == DOCKER.name


def is_own(rest: str) -> bool:
    """Whether this server answers what follows v2/ by itself: the API's root, the catalog."""
    return rest.removesuffix("/") in ("", "_catalog")


def below(ask: Ask) -> str:
    """What follows v2/ in a repository of images; NotFound outside of it."""
    first, _, rest = ask.path.partition("/")
    if first != "v2":
        raise NotFound("a repository of images has nothing outside v2/")
    return rest


def answer(ask: Ask, source: Repository) -> Response:
    """A GET or HEAD of `v2/...` in a repository of images."""
    rest = below(ask)
    if not is_own(rest):
        return serve(ask, source)
    return images.catalog(ask, [source.name], prefixed=False) if rest else images.told({})


@dataclass(frozen=True, slots=True)
class Pick:
    """A repository, the path in it, and how the request named it, in words."""

    repository: Repository
    path: str
    because: str = BY_NAME


def pick(known: Repositories, path: str, namespace: str | None, hosts: Iterable[str]) -> Pick:
    """The repository of `<name>/...` behind /v2/; NotFound where nothing says which.

    One of another package comes back only where its name is the first segment and nothing else answers.
    `namespace` is the query's `ns`, None without one; `hosts` what the client called this server, in lower case as
    the configuration is, the likeliest first.
    """
    first, _, rest = path.partition("/")
    if (named := known.get(first)) is not None and is_docker(named):
        return Pick(named, f"v2/{rest}")
    remotes = known.remotes.values()
    found: Iterator[Pick]
    if namespace is not None:
        found = (
            Pick(each, f"v2/{path}", f"it serves {namespace}") for each in remotes if namespace.lower() in each.serves
        )
        reason = f"no repository here serves the registry {namespace[:SHOWN]}"
    else:
        by_host = ((each, host) for host in hosts for each in remotes if host in each.hosts)
        hosted = (Pick(each, f"v2/{path}", f"{host} is among its hosts") for each, host in by_host)
        found = chain(hosted, (Pick(each, f"v2/{path}", "it is the default") for each in remotes if each.default))
        reason = f"no repository is named {first[:SHOWN]}, and none is the default"
    if (picked := next(found, None)) is not None:
        return picked
    if named is not None:
        return Pick(named, f"v2/{rest}")
    raise NotFound(reason, code="unknown_repository")


def _path() -> str:
    """What follows /v2/, checked; errors read as this API's from here on."""
    about("", "", route="v2")
    if client.raw_path(request.environ) in (PREFIX, f"{PREFIX}/"):
        return ""
    first, rest = client.within(request.environ, PREFIX)
    return paths.check(f"{first}/{rest}" if rest or not first else first)


def _picked(path: str) -> Target:
    hosts = client.hosts(request.environ, node().settings.trusted_proxies)
    found = pick(node().repositories, path, images.said(ask(), "ns"), hosts)
    source = found.repository
    if not is_docker(source):
        raise BadRequest(f"{source.name} is a repository of {source.package}, not of images", code="not_docker")
    return Target(about(source.name, found.path, route="v2"), source, found.because)
