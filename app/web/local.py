"""Local repositories over HTTP: /api/v1/local/<name>/<path>, and the changes and pages that every form shares."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from dataclasses import replace
from email.utils import formatdate

from flask import Blueprint, Response, jsonify, request
from werkzeug.http import parse_etags

from app import paths
from app.errors import (
    BadRequest,
    Conflict,
    MethodNotAllowed,
    NotFound,
    PreconditionFailed,
    StoreDown,
    UnsupportedMedia,
)
from app.formats import FORMATS
from app.hosting import host
from app.hosting.base import Accepted, Build, Host, Page, Post
from app.hosting.change_turn import turn
from app.hosting.index import Indexer, Inside
from app.hosting.listing import listing
from app.hosting.publish import Outcome, carry_out, refuse_published
from app.hosting.upload import Upload
from app.resource import Ask, Kind, Repository
from app.web import client, heartbeat
from app.web.auth import principal, readable, require_known, require_write
from app.web.node import about, node
from app.web.receiving import Received, received
from app.web.reply import guessed
from app.web.serve import address, serve
from app.web.settled import Settled
from app.web.target import Target

PREFIX = "/api/v1/local"
CHANGING = ("PUT", "POST", "PATCH", "DELETE")
EMPTY = 946684800.0  # unix seconds, of an index of nothing: clients ask by date for a newer one
BROWSED = ("text/html", "application/xhtml+xml")  # in every browser's Accept; Java's own client names the first, too
blueprint = Blueprint("local", __name__, url_prefix=PREFIX)


@blueprint.route("/<rest:rest>", methods=["GET", "HEAD", *CHANGING], provide_automatic_options=False)
def file(rest: str) -> Response:
    if request.method not in ("GET", "HEAD"):
        about("", "", route="api")
        require_known()
    found = _asked()
    if request.method in ("GET", "HEAD"):
        return get(found.ask, found.repository)
    return change(found.ask, found.repository)


def target() -> Target:
    """What the present request is about, once it is to read."""
    found = _asked()
    return replace(found, ask=placed(found.ask, found.repository))


def placed(ask: Ask, source: Repository) -> Ask:
    """With the path at which a local repository keeps what is sent to that one; as it is for any other."""
    if source.kind is not Kind.LOCAL:
        return ask
    return replace(ask, path=host(source.package).stored(ask.path, request.args.to_dict()))


def _asked() -> Target:
    ask = about(*client.within(request.environ, PREFIX), route="api")
    found = readable(ask.repository)
    if found.kind is not Kind.LOCAL:
        raise NotFound("no such local repository", code="unknown_repository")
    return Target(ask, found)


def get(ask: Ask, source: Repository) -> Response:
    """A page that the host computes, the file of that path, or what is in that directory."""
    known = host(source.package)
    ask = replace(placed(ask, source), address=address(source))
    ask = replace(ask, user=principal().name) if known.personal(ask.path) else ask
    page = known.page(ask, inside(source), ask.address)
    if page is None:
        try:
            return serve(ask, source)
        except NotFound as error:
            if error.code != "file_not_found" or (page := _instead(ask, source)) is None:
                raise
    length = ("Content-Length", str(len(page.body)))
    lines = (("Content-Type", page.content_type), length, ("X-Cache", "HIT"), *page.headers)
    return Settled(b"" if ask.method == "HEAD" else page.body, page.status, lines)


def _instead(ask: Ask, source: Repository) -> Page | None:
    """What is told where no such file is: an empty index, a directory, to people where one is; NotFound."""
    if (page := _blank(ask, source)) is not None:
        return page
    if not ask.path or ask.path.endswith("/"):
        return listing(ask, inside(source), ask.address)
    plain = ask.route != "v2" and FORMATS[source.package].resolve(source, ask).key == ask.path
    if plain and inside(source).children(f"{ask.path}/", limit=1):
        return _slashed(ask)
    raise NotFound("no such file", code="file_not_found")


def _slashed(ask: Ask) -> Page:
    """The way to the directory that was asked for without its slash. For people alone: a program that follows would
    save a page as the file, or hear that there is one. Not kept: a file of that name may be published."""
    name = paths.quote(ask.path.rpartition("/")[2])
    if not all(each in ask.headers.get("accept", "") for each in BROWSED):
        raise NotFound(f"no such file; there is a directory {name}/", code="file_not_found")
    to = f"./{name}/"  # a name with a colon in it is no scheme
    headers = (("Location", f"{to}?{ask.query}" if ask.query else to), ("Cache-Control", "no-store"))
    return Page(b"", "text/html; charset=utf-8", 302, headers)


def _blank(ask: Ask, source: Repository) -> Page | None:
    """An index of a repository in which nothing is published yet."""
    spools, known = node().settings.layout.spool, FORMATS[source.package]
    resource = known.resolve(source, ask)
    with ExitStack() as kept:
        build = Build(
            source,
            scope="",
            items=(),
            contents=inside(source),
            scratch=lambda: kept.enter_context(Upload(spools, source.name)).path,
            now=EMPTY,
        )
        found = host(source.package).blank(resource.key, build)
        if found is None:
            return None
        body = found.body if isinstance(found.body, bytes) else found.body.read_bytes()
    dated = ("Last-Modified", formatdate(EMPTY, usegmt=True))
    return Page(body, found.content_type, headers=(dated, *known.headers(ask, resource, "", "")))


def change(ask: Ask, source: Repository) -> Response:
    """What the host makes of a PUT, POST, PATCH or DELETE; it is visible, in every index too, when this returns."""
    require_write(source)
    with _conditional(ask, source) as conditional:
        return _changed(ask, conditional)


def _changed(ask: Ask, source: Repository) -> Response:
    known = host(source.package)
    if ask.method not in known.methods:
        raise MethodNotAllowed("this repository does not take that method", ("GET", "HEAD", *known.methods))
    path = known.stored(ask.path, request.args.to_dict())
    if ask.method == "PUT":
        _require_whole()
        if known.fixed(path):
            refuse_published(node().shelf, source, path)
    _require_seen(ask, source, path)
    spools = node().settings.layout.spool
    with ExitStack() as kept:
        got = received(spools, source, kept)
        source = replace(got.into, overwrite=got.into.overwrite and source.overwrite)
        post = _post(ask, source, got)
        post = replace(post, scratch=lambda: kept.enter_context(Upload(spools, source.name)))
        with heartbeat.beating(), _turn(known, post), _seen(ask, source, path):
            accepted = _typed(known.accept(post, inside(source)))
            if accepted.new:
                _require_whole()
            outcome = carry_out(node().shelf, spools, source, accepted)
        with heartbeat.beating():
            indexed = Indexer(node().shelf, spools).settle(source, outcome.scopes)
    return _answer(source, accepted, outcome, indexed)


@contextmanager
def _conditional(ask: Ask, source: Repository) -> Iterator[Repository]:
    """With `If-None-Match: *` (RFC 9110, 13.1.2) nothing is replaced, whatever the repository says."""
    if ask.headers.get("if-none-match", "").strip() != "*":
        yield source
        return
    try:
        yield replace(source, overwrite=False)
    except Conflict as error:
        if error.code != "already_published":
            raise
        raise PreconditionFailed(error.message) from None


def _require_whole() -> None:
    """Of a part of a file (RFC 9110, 14.5) nothing is stored, and what is packed for its way is not unpacked here."""
    if "Content-Range" in request.headers:
        raise BadRequest("an upload is sent whole, without Content-Range", code="partial_upload")
    if request.headers.get("Content-Encoding", "").strip().lower() not in ("", "identity"):
        raise UnsupportedMedia("an upload is sent as it is to be stored, without Content-Encoding")


def _require_seen(ask: Ask, source: Repository, path: str) -> None:
    """PreconditionFailed where `If-Match` (RFC 9110, 13.1.1) tells of another file than what is there."""
    wanted, entry = ask.headers.get("if-match"), None
    if wanted is None or ask.method not in ("PUT", "DELETE"):
        return
    if (entry := inside(source).find(path)) is None and ask.method == "DELETE":
        return  # without the condition it is a 404, and so it is with it (13.2.1)
    if entry is None or not parse_etags(wanted).contains_raw(entry.etag or ""):
        raise PreconditionFailed("what is published there is not what If-Match says")


@contextmanager
def _seen(ask: Ask, source: Repository, path: str) -> Iterator[None]:
    """Of all who say what they have seen, one at a time changes it, on all nodes."""
    if "if-match" not in ask.headers:
        yield
        return
    with turn(node().memory, source, f"file {path}", required=True):
        _require_seen(ask, source, path)
        yield


def inside(source: Repository) -> Inside:
    return Inside(node().shelf, source.name)


def _post(ask: Ask, source: Repository, got: Received) -> Post:
    headers = {name.lower(): value for name, value in request.headers.items()}
    return Post(
        source,
        ask.method,
        ask.path,
        query=request.args.to_dict(),
        headers=headers,
        fields=got.fields,
        files=got.files,
        address=address(source),
        user=principal().name,
        now=node().shelf.clock(),
    )


def _typed(accepted: Accepted) -> Accepted:
    new = [replace(each, content_type=each.content_type or guessed(each.path)) for each in accepted.new]
    return replace(accepted, new=new)


def _turn(known: Host, post: Post) -> AbstractContextManager[None]:
    """Changes that depend on what is there, one after the other, on all nodes. Raises Unavailable, StoreDown."""
    scope = known.turn(post)
    return nullcontext() if scope is None else turn(node().memory, post.repository, scope, required=True)


def _answer(source: Repository, accepted: Accepted, outcome: Outcome, indexed: bool) -> Response:
    if accepted.status == 204:
        response = Response(status=204)
    else:
        response = jsonify(dict(_described(source, outcome) if accepted.answer is None else accepted.answer))
        response.status_code = accepted.status
        if response.status_code == 201 and outcome.entries:
            response.headers["Location"] = paths.join(address(source), next(iter(outcome.entries)))
    response.headers.extend(accepted.headers)
    if not indexed:
        response.headers["Warning"] = '199 artifactapi "published; its index follows"'
    return response


def _described(source: Repository, outcome: Outcome) -> Mapping[str, object]:
    path, entry = next(iter(outcome.entries.items()), ("", None))
    if entry is None:
        raise StoreDown("nothing was published")
    return {"repository": source.name, "path": path, "size": entry.size, "sha256": entry.digest}
