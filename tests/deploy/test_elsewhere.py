"""Who sends a stored body: a table of requests, and what the responses say."""

from __future__ import annotations

import io
from collections.abc import Generator, Mapping
from dataclasses import replace
from typing import Any

import pytest

from app.config import from_environment
from app.resource import Ask, Entry, Kind, Repository, Resource
from app.shelf import Served
from app.stores.blobs import Distant
from app.web.elsewhere import LINK, elsewhere
from app.web.reply import Answer, answer

DIGEST = "ab" * 32
SIZE = 1 << 20
ENTRY = Entry(DIGEST, SIZE, "application/x-rpm", etag='"v1"', last_modified="Fri, 02 Jan 2026 03:04:05 GMT")
NGINX = {"x-sendfile-type": "X-Accel-Redirect"}
SETTINGS = from_environment({"ACCEL_REDIRECT": "/_blobs", "S3_REDIRECT": "true"})


class Far(Distant):
    """A body in S3, as far as its link."""

    def span(self, start: int, length: int) -> Generator[bytes, None, None]:
        raise AssertionError("nobody reads it here")

    def link(self, seconds: int, content_type: str) -> str:
        return f"https://s3.example/{seconds}?type={content_type}"


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
    ("asked", "of", "near", "far"),
    [
        (ask(**NGINX), resource(), 200, 307),
        (ask(route="api", **NGINX), resource(), 200, None),  # whose answer is a 200 (API.md)
        (ask(route="api", range="bytes=1-", **NGINX), resource(), None, None),
        (ask(route="v2", **NGINX), resource(), 200, 307),
        (ask(), resource(), None, 307),  # past nginx
        (ask(x_sendfile_type="X-Sendfile"), resource(), None, 307),
        (ask(range="bytes=1-", **NGINX), resource(), None, 307),
        (ask(range="bytes=1-9,20-29", **NGINX), resource(), None, None),  # S3 knows one range only
        (ask(range="bytes=1-", if_range='"v1"', **NGINX), resource(), None, None),
        (ask(if_none_match='"v0"', **NGINX), resource(), None, None),
        (ask(if_none_match='"v1"', **NGINX), resource(), None, None),
        (ask(if_modified_since="Thu, 01 Jan 2026 03:04:05 GMT", **NGINX), resource(), None, None),
        (ask(if_match='"v1"', **NGINX), resource(), None, None),
        (ask(if_unmodified_since="Fri, 02 Jan 2026 03:04:05 GMT", **NGINX), resource(), None, None),
        (ask("HEAD", **NGINX), resource(), None, None),
        (ask(route="fill", **NGINX), resource(), None, None),  # another node wants the bytes
        (ask(**NGINX), resource(whole=True), 200, None),  # a manifest
        (ask(**NGINX), resource(rendered=True), None, None),
        (ask(**NGINX), resource(verify=True), None, None),
    ],
)
def test_who_sends_it(asked: Ask, of: Resource, near: int | None, far: int | None) -> None:
    assert getattr(decided(asked, of, far=False), "status", None) == near
    assert getattr(decided(asked, of, far=True), "status", None) == far


@pytest.mark.parametrize("far", [False, True])
def test_only_where_it_is_configured(far: bool) -> None:
    other = {"S3_REDIRECT": "true"} if not far else {"ACCEL_REDIRECT": "/_blobs"}
    assert decided(ask(**NGINX), resource(), far=far, settings=other) is None
    assert decided(ask(**NGINX), resource(), far=far, settings={}) is None


def test_what_nginx_is_told() -> None:
    found = decided(ask(route="api", **NGINX), resource(), far=False)
    assert found is not None
    headers = dict(found.headers)
    assert headers["X-Accel-Redirect"] == f"/_blobs/sha256/ab/{DIGEST}"
    assert (headers["ETag"], headers["X-Cache"], headers["Content-Length"]) == ('"v1"', "HIT", str(SIZE))
    assert headers["Content-Disposition"] == 'attachment; filename="x.rpm"'
    assert (found.parts, found.cache, len(headers)) == ((), "HIT", len(found.headers))


@pytest.mark.parametrize("wanted", [{}, {"range": "bytes=70000-"}])
def test_what_a_client_of_s3_is_told(wanted: dict[str, str]) -> None:
    found = decided(ask(**wanted), resource(), far=True)
    assert found is not None
    headers = dict(found.headers)
    assert headers["Location"] == f"https://s3.example/{LINK}?type=application/x-rpm"
    assert (headers["ETag"], headers["X-Cache"], headers["Content-Length"]) == ('"v1"', "HIT", "0")
    assert not {"Content-Type", "Content-Range"} & headers.keys()
    assert (found.parts, found.cache, len(headers)) == ((), "HIT", len(found.headers))
