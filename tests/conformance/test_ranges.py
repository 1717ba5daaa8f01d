"""Ranges of blobs: distribution-spec, Pulling Blobs, which refers to RFC 9110, section 14 (all end-2)."""

from __future__ import annotations

from email.parser import BytesParser

import pytest

from tests.conformance.asking import Api
from tests.containers.images import Image


@pytest.fixture
def path(lasting: tuple[str, Image]) -> str:
    name, image = lasting
    return f"{name}/blobs/{image.blobs[-1].digest}"


@pytest.fixture
def body(lasting: tuple[str, Image]) -> bytes:
    return bytes(lasting[1].blobs[-1].data)


@pytest.mark.parametrize(
    ("asked", "first", "last"),
    [
        ("0-0", 0, 0),
        ("5-99", 5, 99),
        ("100-", 100, None),
        ("-7", -7, None),
        ("8000-999999", 8000, None),
        ("-99999", 0, None),
    ],
)
def test_a_range_of_a_blob_is_answered(
    api: Api, path: str, body: bytes, asked: str, first: int, last: int | None
) -> None:
    """Pulling Blobs (end-2), SHOULD: Range is honoured (RFC 9110, 14.1.2 and 14.4), with the digest of the whole."""
    expected = body[first:] if last is None else body[first : last + 1]
    start = len(body) + first if first < 0 else first
    for reply in api.stored(path, Range=f"bytes={asked}"):
        assert (reply.status, reply.body) == (206, expected), reply
        where = f"bytes {start}-{start + len(expected) - 1}/{len(body)}"
        assert (reply.headers["Content-Range"], reply.headers["Content-Length"]) == (where, str(len(expected)))
        assert reply.digest == path.rpartition("/")[2], reply


def test_a_range_of_a_blob_that_is_not_here_yet_is_right_or_the_whole(api: Api, name: str, pushed: Image) -> None:
    """Pulling Blobs (end-2), SHOULD: Range may be passed over (RFC 9110, 14.2), but never answered wrongly."""
    body = bytes(pushed.blobs[-1].data)
    reply = api.ask(f"{name}/blobs/{pushed.blobs[-1].digest}", Range="bytes=100-199")
    assert (reply.status, reply.body) in ((200, body), (206, body[100:200]))


def test_that_ranges_are_understood_is_said(api: Api, path: str) -> None:
    """Pulling Blobs (end-2), MAY: Accept-Ranges names the unit (RFC 9110, 14.3)."""
    for method in ("GET", "HEAD"):
        for reply in api.stored(path, method):
            assert reply.headers["Accept-Ranges"] == "bytes", reply


@pytest.mark.parametrize("asked", ["9999999-", "9999999-99999999"])
def test_a_range_outside_the_blob_cannot_be_met(api: Api, path: str, body: bytes, asked: str) -> None:
    """Pulling Blobs (end-2), SHOULD: 416 that says how long the blob is (RFC 9110, 14.4 and 15.5.17)."""
    for reply in api.stored(path, Range=f"bytes={asked}"):
        assert (reply.status, reply.headers["Content-Range"]) == (416, f"bytes */{len(body)}"), reply


def test_a_range_of_nothing_is_never_answered_as_one(api: Api, path: str, body: bytes) -> None:
    """Pulling Blobs (end-2), SHOULD: a suffix of no bytes cannot be met or is passed over (RFC 9110, 14.1.2)."""
    for reply in api.stored(path, Range="bytes=-0"):
        assert reply.status == 416 or (reply.status, reply.body) == (200, body), reply


@pytest.mark.parametrize("asked", ["lines=1-2", "bytes", "bytes=", "bytes=b-a", "bytes=9-3", "bytes=--1"])
def test_a_range_that_makes_no_sense_is_passed_over(api: Api, path: str, body: bytes, asked: str) -> None:
    """Pulling Blobs (end-2), MUST: an unknown unit is ignored, and so may be what is malformed (RFC 9110, 14.2)."""
    api.store(path)
    reply = api.ask(path, state="warm", Range=asked)
    assert (reply.status, reply.body) == (200, body), reply


def test_several_ranges_come_in_parts_or_whole(api: Api, path: str, body: bytes) -> None:
    """Pulling Blobs (end-2), SHOULD: several ranges are parts of their own, or the whole (RFC 9110, 14.6)."""
    for reply in api.stored(path, Range="bytes=0-9,100-109"):
        if reply.status == 200:
            assert reply.body == body
            continue
        assert (reply.status, reply.type.partition(";")[0]) == (206, "multipart/byteranges"), reply
        parts = BytesParser().parsebytes(b"Content-Type: %b\r\n\r\n" % reply.type.encode() + reply.body)
        found = [
            (part["Content-Range"], part.get_payload(decode=True)) for part in parts.walk() if part["Content-Range"]
        ]
        assert found == [(f"bytes {at}-{at + 9}/{len(body)}", body[at : at + 10]) for at in (0, 100)]


def test_a_range_holds_only_for_the_blob_that_was_begun(api: Api, path: str, body: bytes) -> None:
    """Pulling Blobs (end-2), MUST: If-Range that does not hold gets the whole (RFC 9110, 13.1.5)."""
    for reply in api.stored(path, Range="bytes=100-", If_Range='"another"'):
        assert (reply.status, reply.body) == (200, body), reply
    tag = api.ask(path).headers["ETag"]
    for reply in api.stored(path, Range="bytes=100-", If_Range=tag):
        assert (reply.status, reply.body, reply.headers["ETag"]) == (206, body[100:], tag), reply


def test_a_pull_that_broke_is_resumed(api: Api, path: str, body: bytes) -> None:
    """Use Cases, Resumable Pull (end-2), SHOULD: what is missing of a blob is had by Range."""
    had = api.ask(path).body[:1234]
    for reply in api.stored(path, Range=f"bytes={len(had)}-"):
        assert had + reply.body == body, reply


def test_a_range_means_nothing_to_head(api: Api, path: str, body: bytes) -> None:
    """Checking if content exists (end-2), MUST: Range is only defined for GET (RFC 9110, 14.2)."""
    for reply in api.stored(path, "HEAD", Range="bytes=0-9"):
        assert (reply.status, reply.headers["Content-Length"]) == (200, str(len(body))), reply
