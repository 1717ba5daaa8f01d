"""The registry API of images, /v2/: which repository a request means, and what needs no upstream.

    /v2/                                  200 {}, with a challenge where there is a reason to log in (token.py); a 401
                                          to strangers who may read no image, and to ASKED_BY_401
    /v2/_catalog?n=&last=                 the images stored here, of every repository
    /v2/<repository>/<name>/...           that repository's, if it is one of images (a local one gives way to a remote
                                          that serves ?ns=); else the first that says which:
    /v2/<name>/...?ns=registry            the remote that `serves` it: a closed look-up, never an address
    /v2/<name>/...  Host: registry        the remote that has it among its `hosts`
    /v2/<name>/...                        the `default` remote
    /v2/<repository of packages>/...      400 where none of those answers
    /repository/<repository>/v2/...       the same API under one repository's own address

So `alpine/git` is Docker Hub's image even where a repository `alpine` has packages. Inside a repository every path is
`v2/<name>/...`, as it is upstream.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import chain

from flask import Blueprint, Response, g, request

from app import paths
from app.assembly import Assembly
from app.errors import BadRequest, MethodNotAllowed, NotFound, StoreDown
from app.formats.docker import DOCKER, Endpoint, parse
from app.formats.virtual import among
from app.repositories import Repositories
from app.resource import Ask, Kind, Repository
from app.web import client, edge, images, local, oci, push, token
from app.web.auth import (
    NOBODYS,
    Everything,
    Seen,
    hidden,
    presented,
    principal,
    require_known,
    shown,
    unknown,
    visible,
)
from app.web.node import about, ask, node
from app.web.reply import PRIVATE
from app.web.serve import serve
from app.web.target import BY_NAME, Target

PREFIX = "/v2"
OWN_PREFIX = "/repository"
WRITING = ["PUT", "POST", "PATCH", "DELETE"]
SHOWN = 100  # characters of what a client wrote in a message
# Of a User-Agent: clients that take a challenge from a 401 of /v2/ alone, and after a 200 never send credentials.
# They are Docker's daemon and command line; go-containerregistry (crane, ko, cosign), whose question may have
# just its user's name (kaniko) or Go's own, as that of a registry that proxies; Helm and oras, when they log in;
# Renovate, which takes a 200 for a registry without a login.
# What is made of containers/image reads the challenge of a 200; containerd and others answer the 401 of what they
# are after.
ASKED_BY_401 = frozenset(
    {"docker", "Docker-Client", "go-containerregistry", "kaniko", "Go-http-client", "Helm", "oras", "RenovateBot"}
)

blueprint = Blueprint("docker", __name__)


@blueprint.route(PREFIX, methods=["GET", "HEAD"], provide_automatic_options=False)
@blueprint.route(f"{PREFIX}/<rest:rest>", methods=["GET", "HEAD"], provide_automatic_options=False)
def get(rest: str = "") -> Response:
    path = _path()
    if not path:
        return _root()
    if is_own(path):
        named = [each.name for each in shown(every_image())]
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
    require_known()
    if is_own(path):
        raise MethodNotAllowed("this is only read", oci.READING)
    found = _picked(path)
    if found.because != BY_NAME and found.repository.kind is not Kind.LOCAL:
        raise MethodNotAllowed(_unpushable(path.partition("/")[0], found.repository), oci.READING)
    return changed(found.ask, found.repository)


def _unpushable(first: str, source: Repository) -> str:
    """Why a push is refused that begins with no repository's name."""
    named = visible(first)
    why = f"no repository of images is named {first[:SHOWN]}" if named is None else f"{first} has {named.package}"
    return f"{why}, and {source.name}, which answers for other names, takes no push"


def changed(ask: Ask, source: Repository) -> Response:
    """A PUT, POST, PATCH or DELETE of `v2/...` in a repository of images."""
    if source.kind is not Kind.LOCAL:
        raise MethodNotAllowed("images are pulled from upstream, not pushed here", oci.READING)
    return push.change(ask, source)


def is_api(name: str, raw: str) -> bool:
    """Whether a path, as it was on the wire, is one of this API below the address of that repository."""
    found = visible(name)
    return found is not None and is_docker(found) and raw.partition("/")[0] == "v2"


def addressed() -> bool:
    """Whether the present request came to this API below a repository's own address."""
    try:
        return is_api(*client.split(request.environ, OWN_PREFIX))
    except (BadRequest, StoreDown):  # another prefix, a name that is none; or nobody can say who asks
        return False


def is_docker(source: Repository) -> bool:
    return source.package == DOCKER.name


def every_image() -> list[Repository]:
    """Every repository of images, whoever may know of it."""
    known = node().repositories
    return [
        each
        for all_of in (known.remotes, known.listed, known.virtuals)
        for each in all_of.values()
        if is_docker(each)
    ]


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
    if is_own(rest):
        names = [part.name for part in source.parts] or [source.name]
        return images.catalog(ask, names, prefixed=False) if rest else images.told({})
    if source.kind is Kind.LOCAL:
        return push.read(ask, source)
    return _listed(ask, source) or serve(ask, source)


def _listed(ask: Ask, source: Repository) -> Response | None:
    """A list of an image that a local member of this virtual has, or owns: that one computes it."""
    if source.kind is not Kind.VIRTUAL or parse(ask.path).kind not in (Endpoint.TAGS, Endpoint.REFERRERS):
        return None
    asked = Assembly(node().shelf).asked(among(DOCKER, source, ask))
    hosted = [each.repository for each in asked if each.repository.kind is Kind.LOCAL]
    if not hosted:
        return None
    response = _first(ask, hosted)
    if source.private:
        response.headers.setdefault(*PRIVATE)
    return response


def _first(ask: Ask, hosted: Sequence[Repository]) -> Response:
    for part in hosted[:-1]:
        with suppress(NotFound):
            return local.get(ask, part)
    return local.get(ask, hosted[-1])


@dataclass(frozen=True, slots=True)
class Pick:
    """A repository, the path in it, and how the request named it, in words."""

    repository: Repository
    path: str
    because: str = BY_NAME


def pick(known: Repositories | Everything | Seen, path: str, namespace: str | None, hosts: Iterable[str]) -> Pick:
    """The repository of `<name>/...` behind /v2/; NotFound where nothing says which.

    One of another package comes back only where its name is the first segment and nothing else answers. A registry's
    image is never a local repository's: whoever made that may not be whom its clients mean.
    `namespace` is the query's `ns`, None without one; `hosts` what the client called this server, in lower case as
    the configuration is, the likeliest first.
    """
    first, _, rest = path.partition("/")
    if (named := known.get(first)) is not None and is_docker(named) and not _gives_way(named, known, namespace):
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


def _gives_way(named: Repository, known: Repositories | Everything | Seen, namespace: str | None) -> bool:
    if namespace is None or named.kind is not Kind.LOCAL:
        return False
    return any(namespace.lower() in each.serves for each in known.remotes.values())


def _root() -> Response:
    """Clients of images learn here whether to send credentials: where some images are private or can be pushed. (A
    stranger is then given a token that opens nothing, and goes on.)"""
    every = every_image()
    if not any(each.access or each.kind is Kind.LOCAL for each in every) or principal().known:
        return images.told({})
    read = any(not each.access for each in every if each.kind is not Kind.VIRTUAL)  # one of those has no image itself
    if not read or presented() not in ("", NOBODYS) or _asked_by_401(request.headers.get("User-Agent", "")):
        raise unknown()
    response = images.told({})
    response.headers["WWW-Authenticate"] = token.challenge(ask())
    response.headers["Vary"] = "Authorization, User-Agent"
    return response


def _asked_by_401(agent: str) -> bool:
    """Whether one of its products (RFC 9110, 10.1.5) is such a client; kaniko has commas between them."""
    return any(each.partition("/")[0] in ASKED_BY_401 for each in agent.replace(",", " ").split())


def _path() -> str:
    """What follows /v2/, checked; errors read as this API's from here on."""
    about("", "", route="v2")
    if client.raw_path(request.environ) in (PREFIX, f"{PREFIX}/"):
        return ""
    first, rest = client.within(request.environ, PREFIX)
    return paths.check(f"{first}/{rest}" if rest or not first else first)


def _picked(path: str) -> Target:
    hosts = client.hosts(request.environ, node().settings.trusted_proxies)
    said = path, images.said(ask(), "ns"), hosts
    try:
        found = pick(Seen(), *said)
    except NotFound as error:
        raise hidden(error.message) from None
    source = found.repository
    if pick(Everything(), *said).repository != source:  # others get something else under this very URL
        g.ask = edge.unkept(ask())
    if not is_docker(source):
        raise BadRequest(f"{source.name} is a repository of {source.package}, not of images", code="not_docker")
    return Target(about(source.name, found.path, route="v2"), source, found.because)
