"""Who sends the present request, and whether they may: the one place that asks before anything is told or changed."""

from __future__ import annotations

import hmac
import urllib.parse
from collections.abc import Iterable, Mapping
from dataclasses import replace

from flask import g, request
from werkzeug.datastructures import Authorization

from app.accounts.people import LONGEST_NAME
from app.accounts.rights import ANYBODY, ROOT, Principal
from app.errors import Forbidden, NotFound, StoreDown, Unauthorized
from app.resource import Repository
from app.stores.accounts import lowered
from app.web import client
from app.web.node import ask, named, node

NEEDED = "this needs a token, as Bearer or as the password of Basic"
WRONG = "this is no token of this server's, or one that has ended"
NOBODYS = "anonymous"  # what strangers are given to pull public images with


def principal() -> Principal:
    """Who sends the present request; ANYBODY where nobody says so, or with credentials that this server does not
    know. Raises StoreDown where that cannot be told."""
    if "principal" not in g:
        g.principal = found = _principal()
        g.ask = replace(ask(), user=found.name)
    known: Principal = g.principal
    return known


def visible(name: str) -> Repository | None:
    """The repository of that name, if they may know of it. Of a public one nobody asks who they are. While nobody can
    say whether it exists, strangers hear what they hear of a private one. Raises StoreDown."""
    try:
        return _visible(name)
    except StoreDown:
        if principal().known or not _guarded():
            raise
        return None


def _visible(name: str) -> Repository | None:
    found = named(name)
    if found is None or (found.access and not principal().may_read(found)):
        return None
    if not any(part.access for part in found.parts):
        return found
    seen = found.read_by(lambda part: not part.access or principal().may_read(part))
    return seen if seen.parts else None  # of a virtual that has nothing for them they know as much as of its members


def readable(name: str) -> Repository:
    """As visible(), or hidden()."""
    found = visible(name)
    if found is None:
        raise hidden()
    return found


def listable(name: str) -> Repository:
    """As readable(), or Forbidden where they may not read every member: what was made of all of them tells which
    packages each has, if only by its path."""
    found = readable(name)
    if found.unread:
        raise Forbidden(f"not every member of {name} may be read with this token", code="not_every_member")
    return found


def hidden(reason: str = "no such repository") -> NotFound | Unauthorized:
    """What is said of a repository that is not there, or that they may not know of: the same of both.

    A stranger gets a 401, for many a client sends its credentials only then; where nothing here is private, and in
    the API's own form, it is the 404 of who is known.
    """
    if ask().route != "api" and not principal().known and _guarded():
        return unknown()
    return NotFound(reason, code="unknown_repository")


def unknown() -> Unauthorized:
    """What is said to who is nobody here: whether they sent no token or a wrong one."""
    wrong = presented() not in ("", NOBODYS) and not _forged()
    return Unauthorized(WRONG if wrong else NEEDED)


class Seen:
    """The repositories that the present client may know of."""

    @staticmethod
    def get(name: str) -> Repository | None:
        """As visible(), but StoreDown to strangers too: what is not here may be asked for elsewhere."""
        return _visible(name)

    @property
    def remotes(self) -> Mapping[str, Repository]:
        return {each.name: each for each in shown(node().repositories.remotes.values())}


class Everything:
    """All repositories, by what was read of them last: for what is asked after Seen."""

    @staticmethod
    def get(name: str) -> Repository | None:
        return node().repositories.known(name)

    @property
    def remotes(self) -> Mapping[str, Repository]:
        return node().repositories.remotes


def _guarded() -> bool:
    """Whether anything here is private."""
    known = node().repositories
    return any(each.access for all_of in (known.remotes, known.listed, known.virtuals) for each in all_of.values())


def shown(found: Iterable[Repository]) -> list[Repository]:
    """Those that they may know of, for pages that everybody reads: without the private ones where it cannot be told
    who asks."""
    try:
        return [each for each in found if not each.access or principal().may_read(each)]
    except StoreDown:
        return [each for each in found if not each.access]


def require_known() -> Principal:
    """Unauthorized for who is nobody here."""
    found = principal()
    if not found.known:
        raise unknown()
    return found


def require_write(repository: Repository) -> None:
    """Unauthorized without a token, Forbidden with one that may not publish there; what they may not even read is
    refused by readable() before."""
    if not require_known().may_write(repository):
        raise Forbidden(f"this token may not change {repository.name}", code="not_a_writer")


def require_still(repository: Repository) -> Repository:
    """That repository as it is said to be now, once a body has come, which may have taken hours: asked anew who sends
    it, whether they may publish there, and whether it is the same repository. Raises as readable() and
    require_write() do, and hidden()."""
    g.pop("principal", None)
    g.pop("repositories", None)
    found = readable(repository.name)
    if (found.project, found.package, found.created) != (repository.project, repository.package, repository.created):
        raise hidden()
    require_write(found)
    return found


def require_admin() -> None:
    """Unauthorized without a token, Forbidden with one that is no administrator's; never says which part is wrong."""
    if not require_known().administers:
        raise Forbidden("this needs an administrator's token", code="not_an_administrator")


def require_metrics() -> bool:
    """/metrics is anonymous unless METRICS_TOKEN is set; an administrator's token opens it too. Whether they may see
    every repository's."""
    token = node().settings.metrics_token
    if token is not None and _is(token):
        return True
    if token is not None:
        require_admin()
    try:
        return principal().administers
    except StoreDown:
        return False


def require_edge() -> None:
    """What a cache in front asks with: EDGE_TOKEN, which opens nothing else, or an administrator's token."""
    token = node().settings.edge_token
    if token is None or not _is(token):
        require_admin()


def whose(secret: str) -> Principal:
    """Whose token that is; ANYBODY for an unknown one. Raises StoreDown."""
    token = node().settings.admin_token
    if token and hmac.compare_digest(secret.encode("utf-8", "surrogatepass"), token.encode()):
        return ROOT
    return node().accounts.principal_of(secret) or ANYBODY


def presented() -> str:
    """The token that was sent with the present request, "" for none; the user's name beside it means nothing."""
    credentials = shown_credentials()
    if credentials is None:
        return ""
    if credentials.type == "bearer":
        return credentials.token or ""
    return credentials.password or "" if credentials.type == "basic" else ""


def shown_credentials() -> Authorization | None:
    """What the present request carries; None for nothing, and for what cannot be read."""
    try:
        return request.authorization
    except ValueError:  # Werkzeug's, of a Basic that is not ASCII
        return None


def _principal() -> Principal:
    settings, secret = node().settings, presented()
    if _forged():
        return ANYBODY
    if settings.auth == "open":
        return ROOT
    if secret and (found := whose(secret)).known:
        return found
    name = _named() if settings.auth == "header" else ""
    return (node().accounts.principal_named(name) or ANYBODY) if name else ANYBODY


def _named() -> str:
    """Whom a trusted proxy names (AUTH=header)."""
    if not client.from_proxy(request.environ, node().settings.trusted_proxies):
        return ""
    try:
        name = request.headers.get(node().settings.auth_header, "").encode("latin-1").decode().strip()
    except UnicodeError:
        return ""
    plain = len(name) <= LONGEST_NAME and name.isprintable() and "," not in name  # several lines come as one
    return name if plain and lowered(name) != ROOT.name else ""  # in the trail that one is another


def _forged() -> bool:
    """Whether another site's page may have made a browser send this."""
    return _lent() and _changes() and _foreign()


def _lent() -> bool:
    """Whether a browser sends these credentials by itself, whatever page makes it ask: what another site's page has
    it send changes nothing here."""
    credentials = shown_credentials()
    return credentials is None or credentials.type != "bearer"


def _changes() -> bool:
    return request.method not in ("GET", "HEAD", "OPTIONS")


def _foreign() -> bool:
    """By what browsers say (Fetch Metadata, Sec-Fetch-Site; the older ones Origin). With PUBLIC_URL a page is this
    server's only under that address: another name may be anybody's who has it lead here (DNS rebinding)."""
    site, origin = request.headers.get("Sec-Fetch-Site"), request.headers.get("Origin")
    if site not in (None, "same-origin", "none"):
        return True
    if origin is None or (site is not None and not node().settings.public_url):
        return False
    ours = urllib.parse.urlsplit(client.origin(request.environ, node().settings))
    return origin.lower() != f"{ours.scheme}://{ours.netloc}".lower()


def _is(token: str) -> bool:
    return hmac.compare_digest(presented().encode("utf-8", "surrogatepass"), token.encode())
