"""Local repositories over HTTP: /api/v1/local/<name>/<path>, and the changes and pages that every form shares."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import replace

from flask import Blueprint, Response, jsonify, request

from app.errors import Conflict, MethodNotAllowed, NotFound, PreconditionFailed, StoreDown, Unavailable
from app.hosting import host
from app.hosting.base import Accepted, Host, Post
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
from app.web.serve import serve
from app.web.settled import Settled
from app.web.target import Target

PREFIX = "/api/v1/local"
CHANGING = ("PUT", "POST", "PATCH", "DELETE")
TURN = 60.0  # seconds that a change waits for another of the same scope
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
            directory = not ask.path or ask.path.endswith("/")
            page = listing(ask, inside(source), ask.address) if directory else None
            if error.code != "file_not_found" or page is None:
                raise
    length = ("Content-Length", str(len(page.body)))
    lines = (("Content-Type", page.content_type), length, ("X-Cache", "HIT"), *page.headers)
    return Settled(b"" if ask.method == "HEAD" else page.body, page.status, lines)


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
        post = _post(ask, source, received(spools, source.name, kept))
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


def address(source: Repository) -> str:
    """The repository's URL as its clients reach it."""
    return f"{client.origin(request.environ, node().settings)}/repository/{source.name}"


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


@contextmanager
def _turn(known: Host, post: Post) -> Iterator[None]:
    """Changes that depend on what is there, one after the other, on all nodes. Raises Unavailable, StoreDown."""
    scope = known.turn(post)
    if scope is None:
        yield
        return
    name, deadline = f"change of {post.repository.name} {scope}", time.monotonic() + TURN
    while (held := node().memory.lock(name)) is None:
        if time.monotonic() > deadline:
            raise Unavailable("another change of this is still under way", retry_after=1)
        time.sleep(0.02)
    try:
        yield
    finally:
        held.release()


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
