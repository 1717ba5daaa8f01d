"""Upstream's bad answers as a client sees them: with nothing stored a clear error, with a copy that copy."""

from __future__ import annotations

import re

import pytest

from tests.faults.door import Door, Fault, checksummed, noise
from tests.upstreams import Upstream

LATER = {"Retry-After": "7"}
SMALL = 3000  # bytes; withheld whole until verified, so that every failure can be an error in JSON


def refuse(upstream: Upstream, _: str) -> None:
    """Connections are refused until the test has it started again."""
    upstream.stop()


# name -> the fault, and (status, code) of the error where nothing is stored
FAULTS: dict[str, tuple[Fault, int, str]] = {
    "refuses": (refuse, 502, "upstream_unreachable"),
    "resets": (lambda up, path: up.disconnect(path), 502, "upstream_unreachable"),
    "hangs before headers": (lambda up, path: up.hang(path), 504, "upstream_timeout"),
    "stalls before the body": (lambda up, path: up.stall(0, path), 504, "upstream_timeout"),
    "closes short": (lambda up, path: up.cut(2000, path), 502, "upstream_unreachable"),
    "closes at once": (lambda up, path: up.cut(0, path), 502, "upstream_unreachable"),
    "closes a chunk short": (lambda up, path: up.chunked(path, cut=2000), 502, "upstream_unreachable"),
    "500": (lambda up, path: up.status(500, path), 502, "upstream_error"),
    "503 with Retry-After": (lambda up, path: up.status(503, path, headers=LATER), 502, "upstream_error"),
    "429 with Retry-After": (lambda up, path: up.status(429, path, headers=LATER), 502, "upstream_error"),
    "a redirect loop": (lambda up, path: up.redirect(path, path), 502, "upstream_unreachable"),
    "a redirect to a private address": (
        lambda up, path: up.redirect("http://10.0.0.1/secret", path),
        502,
        "upstream_redirect_refused",
    ),
    "a redirect to a metadata service": (
        lambda up, path: up.redirect("http://169.254.169.254/latest", path),
        502,
        "upstream_redirect_refused",
    ),
    "a redirect to a file": (
        lambda up, path: up.redirect("file:///etc/passwd", path),
        502,
        "upstream_redirect_refused",
    ),
    "gzip cut short": (lambda up, path: up.gzip(path, keep=1500), 502, "upstream_invalid"),
    "a coding nobody knows": (lambda up, path: up.headers(path, Content_Encoding="br"), 502, "upstream_invalid"),
    "a login page": (lambda up, path: up.html(path), 502, "upstream_invalid"),
    "a login page by another name": (
        lambda up, path: up.status(200, path, headers={"Content-Type": "text/plain"}, body=b"\n<!DOCTYPE html><p>"),
        502,
        "upstream_invalid",
    ),
    "206 unasked": (lambda up, path: up.partial(path), 502, "upstream_invalid"),
    "304 unasked": (lambda up, path: up.status(304, path, body=b""), 502, "upstream_error"),
    "204": (lambda up, path: up.status(204, path, body=b""), 502, "upstream_error"),
    "wrong bytes": (lambda up, path: up.corrupt(path), 502, "upstream_invalid"),
    "an older body": (lambda up, path: up.status(200, path, body=b"short"), 502, "upstream_invalid"),
    "401": (lambda up, path: up.status(401, path), 502, "upstream_denied"),
    "403": (lambda up, path: up.status(403, path), 502, "upstream_denied"),
    "404": (lambda up, path: up.status(404, path), 404, "not_found"),
    "410": (lambda up, path: up.status(410, path), 404, "not_found"),
}
GONE = {"401", "403", "404", "410"}
RETRIED_LATER = {"503 with Retry-After", "429 with Retry-After"}
each_fault = pytest.mark.parametrize("name", FAULTS)


@each_fault
def test_with_nothing_stored_it_is_a_clear_error(door: Door, name: str) -> None:
    fault, status, code = FAULTS[name]
    body = noise(SMALL, f"cold {name}")
    file = checksummed(body)
    path = "/repository/rpm" + file
    door.upstream.put(file, body)
    fault(door.upstream, file)
    try:
        bad = door.get(path)
    finally:
        if fault is refuse:
            door.upstream.start()
    assert (bad.status, bad.error) == (status, code)
    assert bad.headers.get("retry-after") == ("7" if name in RETRIED_LATER else None)
    if re.fullmatch(r"\d{3}", name.split()[0]) and name != "206 unasked":
        assert bad.headers["x-upstream-status"] == name.split()[0]
    door.stored()
    if status == 404:
        door.forget()  # it is remembered for a moment
    door.recovers(path, body)


@each_fault
def test_with_a_copy_stored_it_is_that_copy(door: Door, name: str) -> None:
    fault, _, _ = FAULTS[name]
    body = noise(SMALL, f"stale {name}")
    file = checksummed(body)
    path = "/repository/rpm" + file
    door.upstream.put(file, body)
    door.warmed(path)
    door.upstream.put(file, body, ETag='"another"')  # so that upstream sends it again
    fault(door.upstream, file)
    try:
        stale = door.get(path)
        again = door.get(path)
        asked = door.upstream.count(file)
        resting = door.get(path)
    finally:
        if fault is refuse:
            door.upstream.start()
    if name == "304 unasked":
        assert stale.cache == "REVALIDATED"
        return
    for read in (stale, again, resting):
        assert (read.status, read.cache, read.whole, read.body == body) == (200, "STALE", True, True)
        assert read.headers["warning"].startswith("110 ")
        assert read.headers["etag"] and read.headers["x-artifact-source"] == "cache"
        assert read.headers.get("x-upstream-status") == (name if name in GONE else None)
    assert door.upstream.count(file) == asked, "a failing upstream is left alone for a while"
    door.stored()
    door.expire()
    door.recovers(path, body, "EXPIRED")


@pytest.mark.parametrize("name", ["hangs before headers", "503 with Retry-After", "a login page", "a redirect loop"])
def test_head_tells_the_same(door: Door, name: str) -> None:
    fault, status, _ = FAULTS[name]
    body = noise(SMALL, f"head {name}")
    file = checksummed(body)
    path = "/repository/rpm" + file
    door.upstream.put(file, body)
    fault(door.upstream, file)
    bad = door.get(path, method="HEAD")
    assert (bad.status, bad.whole, bad.headers.get("content-type")) == (status, True, "application/json")
    door.upstream.clear()
    door.warmed(path)
    fault(door.upstream, file)
    stale = door.get(path, method="HEAD")
    assert (stale.status, stale.cache, stale.headers["content-length"]) == (200, "STALE", str(SMALL))
    door.stored()
