"""Local repositories over HTTP: /api/v1/local/<name>/<path>, and the changes and pages that every form shares."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from dataclasses import replace
from email.utils import formatdate

from flask import Blueprint, Response, jsonify, request

from app.errors import Conflict, MethodNotAllowed, NotFound, PreconditionFailed, StoreDown
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
blueprint = Blueprint("local", __name__, url_prefix=PREFIX)


@blueprint.route("/<rest:rest>", methods=["GET", "HEAD", *CHANGING], provide_automatic_options=False)
def file(rest: str) -> Response:
    if request.method not in ("GET", "HEAD"):
        about("", "", route="api")
        require_known()
    found = target()
    if request.method in ("GET", "HEAD"):
        return get(found.ask, found.repository)
    return change(found.ask, found.repository)


def target() -> Target:
    """What the present request is about."""
    ask = about(*client.within(request.environ, PREFIX), route="api")
    found = readable(ask.repository)
    if found.kind is not Kind.LOCAL:
        raise NotFound("no such local repository", code="unknown_repository")
    return Target(ask, found)


def get(ask: Ask, source: Repository) -> Response:
    """A page that the host computes, the file of that path, or what is in that directory."""
    known = host(source.package)
    ask = replace(ask, address=address(source), user=principal().name if known.personal(ask.path) else ask.user)
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
    """What is told where no such file is: an empty index, a directory. NotFound that names what may be meant."""
    if (page := _blank(ask, source)) is not None:
        return page
    if not ask.path or ask.path.endswith("/"):
        return listing(ask, inside(source), ask.address)
    raise NotFound("no such file (a directory's address ends with a slash)", code="file_not_found")


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
        if found is None or build.contents.scopes(limit=1):
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
    if ask.method == "PUT" and known.fixed(ask.path):
        refuse_published(node().shelf, source, ask.path)
    spools = node().settings.layout.spool
    with ExitStack() as kept:
        got = received(spools, source, kept)
        source = replace(got.into, overwrite=got.into.overwrite and source.overwrite)
        post = _post(ask, source, got)
        post = replace(post, scratch=lambda: kept.enter_context(Upload(spools, source.name)))
        with heartbeat.beating(), _turn(known, post):
            accepted = _typed(known.accept(post, inside(source)))
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
    response.headers.extend(accepted.headers)
    if not indexed:
        response.headers["Warning"] = '199 artifactapi "published; its index follows"'
    return response


def _described(source: Repository, outcome: Outcome) -> Mapping[str, object]:
    path, entry = next(iter(outcome.entries.items()), ("", None))
    if entry is None:
        raise StoreDown("nothing was published")
    return {"repository": source.name, "path": path, "size": entry.size, "sha256": entry.digest}
