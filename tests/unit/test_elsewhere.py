"""Who sends a stored body: a table of requests, and what the responses say."""

from __future__ import annotations

import io
from collections.abc import Generator, Mapping
from dataclasses import replace
from typing import Any
from urllib.parse import quote

import pytest

from app.config import from_environment
from app.resource import Ask, Entry, Kind, Repository, Resource
from app.shelf import Served
from app.stores.blobs import Distant
from app.web.elsewhere import LINK, PRIVATE, elsewhere
from app.web.reply import Answer, answer

DIGEST = "ab" * 32
SIZE = 1 << 20
ENTRY = Entry(DIGEST, SIZE, "application/x-rpm", etag='"v1"', last_modified="Fri, 02 Jan 2026 03:04:05 GMT")
NGINX = {"x-sendfile-type": "X-Accel-Redirect"}
SETTINGS = from_environment({"ACCEL_REDIRECT": "/_blobs", "S3_REDIRECT": "true"})
IN_FRONT = {"ACCEL_REDIRECT": "/_s3"}


class Far(Distant):
    """A body in S3, as far as its link."""

    def span(self, start: int, length: int) -> Generator[bytes, None, None]:
        raise AssertionError("nobody reads it here")

    def link(self, seconds: int, content_type: str) -> str:
        return f"https://s3.example/bucket/{seconds}?type={quote(content_type, safe='')}"


def ask(method: str = "GET", route: str = "repository", **headers: str) -> Ask:
    given = {name.replace("_", "-"): value for name, value in headers.items()}
    return Ask(method, "r", "x.rpm", headers=given, route=route)


def resource(*, verify: bool = False, **more: Any) -> Resource:
    return Resource(Repository("r", Kind.REMOTE, verify_on_read=verify), "x.rpm", "x.rpm", **more)


def decided(asked: Ask, of: Resource, *, far: bool, settings: Mapping[str, str] | None = None) -> Answer | None:
    file: Any = Far(SIZE) if far else io.BytesIO(b"")
    served = Served(ENTRY, "HIT", file)
    chosen = SETTINGS if settings is None else from_environment(settings)
    return elsewhere(chosen, asked, of, answer(asked, replace(of, rendered=False), served), served)


@pytest.mark.parametrize(
    ("asked", "of", "near", "linked", "far"),
    [
        (ask(**NGINX), resource(), 200, 307, 200),
        (ask(route="api", **NGINX), resource(), 200, 200, 200),  # whose answer is no redirect (API.md)
        (ask(route="api", range="bytes=1-", **NGINX), resource(), 206, 206, 206),
        (ask(route="v2", **NGINX), resource(), 200, 307, 200),
        (ask(), resource(), None, 307, None),  # past nginx
        (ask(x_sendfile_type="X-Sendfile"), resource(), None, 307, None),
        (ask(range="bytes=1-", **NGINX), resource(), 206, 307, 206),
        (ask(range="bytes=0-0", **NGINX), resource(), 206, 307, 206),
        (ask(range="bytes=-70000", **NGINX), resource(), 206, 307, 206),
        (ask(range="bytes=0-99999999999999999", **NGINX), resource(), 206, 307, 206),
        (ask(range="bytes=0-9999999999999999999", **NGINX), resource(), None, 307, None),  # nginx: 416
        (ask(range="bytes= 1-", **NGINX), resource(), None, 307, None),  # who knows how it is read
        (ask(range="bytes=1-9,20-29", **NGINX), resource(), None, None, None),  # S3 knows one range only
        (ask(range="bytes=1-9,", **NGINX), resource(), None, 307, None),  # the whole body
        (ask(range="lines=1-9", **NGINX), resource(), None, 307, None),  # the whole body
        (ask(range="bytes=1-", if_range='"v1"', **NGINX), resource(), None, 206, 206),
        (ask(range="bytes=1-", if_range='"v0"', **NGINX), resource(), None, None, None),  # the whole body
        (ask(if_range='"v0"', **NGINX), resource(), None, 200, 200),
        (ask(if_none_match='"v0"', **NGINX), resource(), None, None, None),
        (ask(if_none_match='"v1"', **NGINX), resource(), None, None, None),
        (ask(if_modified_since="Thu, 01 Jan 2026 03:04:05 GMT", **NGINX), resource(), None, None, None),
        (ask(if_match='"v1"', **NGINX), resource(), None, None, None),
        (ask(if_unmodified_since="Fri, 02 Jan 2026 03:04:05 GMT", **NGINX), resource(), None, None, None),
        (ask("HEAD", **NGINX), resource(), None, None, None),
        (ask(route="fill", **NGINX), resource(), None, None, None),  # another node wants the bytes
        (ask(**NGINX), resource(whole=True), 200, 200, 200),  # a manifest: its clients follow no links
        (ask(**NGINX), resource(rendered=True), None, None, None),
        (ask(**NGINX), resource(verify=True), None, None, None),
    ],
)
def test_who_sends_it(asked: Ask, of: Resource, near: int | None, linked: int | None, far: int | None) -> None:
    """A file; in S3 with both settings; in S3 with nginx alone."""
    assert getattr(decided(asked, of, far=False), "status", None) == near
    assert getattr(decided(asked, of, far=True), "status", None) == linked
    assert getattr(decided(asked, of, far=True, settings=IN_FRONT), "status", None) == far


@pytest.mark.parametrize("far", [False, True])
def test_only_where_it_is_configured(far: bool) -> None:
    assert decided(ask(**NGINX), resource(), far=False, settings={"S3_REDIRECT": "true"}) is None
    assert decided(ask(**NGINX), resource(), far=far, settings={}) is None


def test_what_nginx_is_told() -> None:
    found = decided(ask(route="api", **NGINX), resource(), far=False)
    assert found is not None
    headers = dict(found.headers)
    assert headers["X-Accel-Redirect"] == f"/_blobs/sha256/ab/{DIGEST}"
    assert (headers["ETag"], headers["X-Cache"], headers["Content-Length"]) == ('"v1"', "HIT", str(SIZE))
    assert headers["Content-Disposition"] == 'attachment; filename="x.rpm"'
    assert (found.parts, found.cache, len(headers)) == ((), "HIT", len(found.headers))


@pytest.mark.parametrize(("wanted", "length"), [({}, SIZE), ({"range": "bytes=70000-"}, SIZE - 70000)])
def test_what_nginx_is_told_of_s3(wanted: dict[str, str], length: int) -> None:
    """A request target: S3's own, below the location."""
    found = decided(ask(**wanted, **NGINX), resource(), far=True, settings=IN_FRONT)
    assert found is not None
    headers = dict(found.headers)
    assert headers["X-Accel-Redirect"] == f"/_s3/bucket/{LINK}?type=application%2Fx-rpm"
    assert (headers["ETag"], headers["X-Cache"], headers["Content-Length"]) == ('"v1"', "HIT", str(length))
    assert (found.parts, found.cache, len(headers)) == ((), "HIT", len(found.headers))


@pytest.mark.parametrize("wanted", [{}, {"range": "bytes=70000-"}])
def test_what_a_client_of_s3_is_told(wanted: dict[str, str]) -> None:
    found = decided(ask(**wanted), resource(), far=True)
    assert found is not None
    headers = dict(found.headers)
    assert headers["Location"] == f"https://s3.example/bucket/{LINK}?type=application%2Fx-rpm"
    assert (headers["ETag"], headers["X-Cache"], headers["Content-Length"]) == ('"v1"', "HIT", "0")
    assert not {"Content-Type", "Content-Range", "X-Accel-Redirect"} & headers.keys()
    assert (found.parts, found.cache, len(headers)) == ((), "HIT", len(found.headers))


def test_a_link_to_what_is_private_does_not_outlast_the_moment() -> None:
    private = Resource(Repository("r", Kind.REMOTE, access="ours"), "x.rpm", "x.rpm")
    told = decided(ask(), private, far=True)
    assert told is not None
    assert told.status == 307
    assert dict(told.headers)["Location"] == f"https://s3.example/bucket/{PRIVATE}?type=application%2Fx-rpm"
    assert dict(told.headers)["Cache-Control"] == "private"
