"""Reading from S3: exactly the bytes that are asked for, resumed where a stream breaks."""

from __future__ import annotations

import contextlib
import re
import time
from collections.abc import Generator, Iterator
from dataclasses import dataclass
from typing import Any

from app.errors import StoreDown
from app.stores.blobs import Distant
from app.stores.s3_client import BROKEN, S3, Refusal
from app.stores.s3_recent import Recent

HEAD = 64 << 10  # bytes that come with the opening: most bodies are smaller
FIRST, CHUNK = 64 << 10, 256 << 10  # bytes passed on at first and then at a time
RESUMES = 2  # times that a span goes on after its stream broke, counted afresh with every CHUNK that came
WHOLE = re.compile(r"bytes (\d+)-(\d+)/(\d+)")  # Content-Range (RFC 9110, 14.4)


@dataclass(frozen=True, slots=True)
class Found:
    """An object: bytes in all, ETag as S3 writes it, unix time of its last change; these two unknown if empty."""

    size: int
    etag: str = ""
    modified: float = 0.0


class Broken(StoreDown):
    """The answer had begun well: worth another request."""


@dataclass(frozen=True, slots=True)
class Source:
    """Where one object is, and who remembers that it is there."""

    s3: S3
    key: str
    recent: Recent


class S3Body(Distant):
    """A stored object; its first HEAD bytes are here already, or none: then nobody has asked for it yet.

    Its key names its bytes, so an object of the same size is the same one. Its ETag is not the same any more once
    a copy has made it young, which is why no request insists on it.
    """

    def __init__(self, source: Source, size: int, head: bytes = b"") -> None:
        super().__init__(size)
        self._source = source
        self._head = head

    def span(self, start: int, length: int) -> Generator[bytes, None, None]:
        end = min(start + length, self.size)
        stretch = _Stretch(start, end, self.size, read=bool(self._head))
        return _resumed(self._source, stretch, self._head[start:end])

    def link(self, seconds: int, content_type: str) -> str:
        return self._source.s3.link(seconds, Key=self._source.key, ResponseContentType=content_type)


@dataclass(frozen=True, slots=True)
class _Stretch:
    """From `start` to before `end` of an object of `size` bytes; `read`: some of it was read before."""

    start: int
    end: int
    size: int
    read: bool


def _resumed(source: Source, stretch: _Stretch, known: bytes) -> Generator[bytes, None, None]:
    """Those bytes, of which the first are known; no reference to the body, so that one that is dropped is closed."""
    if known:
        yield known
    start = stretch.start + len(known)
    rest = RESUMES
    while start < stretch.end:
        asked = start
        try:
            with _ranged(source.s3, source.key, start, stretch.end, stretch.size) as (_, chunks):
                for chunk in chunks:
                    start += len(chunk)
                    yield chunk
        except StoreDown as down:
            source.recent.lost(source.key)
            rest = (RESUMES if start - asked >= CHUNK else rest) - 1
            if rest < 0 or not (stretch.read or start > stretch.start or isinstance(down, Broken)):
                raise  # it was opened unasked: whoever opened it can still do without
            time.sleep(down.retry_after)  # S3 is left alone for so long


def opened(s3: S3, key: str, recent: Recent | None = None) -> S3Body | None:
    """The object, with one request; None if there is none."""
    source = Source(s3, key, recent or Recent())
    try:
        return _opened(source)
    except Broken:
        return _opened(source)


def _opened(source: Source) -> S3Body | None:
    with _ranged(source.s3, source.key, 0, HEAD) as (found, chunks):
        return S3Body(source, found.size, b"".join(chunks)) if found else None


def look(s3: S3, key: str) -> Found | None:
    """What is there. By a GET of one byte: a HEAD's 404 does not say whether the key or the bucket is missing."""
    with _ranged(s3, key, 0, 1) as (found, chunks):
        b"".join(chunks)
        return found


Ranged = tuple[Found | None, Iterator[bytes]]


@contextlib.contextmanager
def _ranged(s3: S3, key: str, start: int, end: int, size: int | None = None) -> Iterator[Ranged]:
    """Bytes from `start` to before `end` or the object's end, of an object that must have `size` bytes.

    What is not read is dropped with its connection.
    """
    try:
        response = s3.ask("get_object", "NoSuchKey", "InvalidRange", Key=key, Range=f"bytes={start}-{end - 1}")
    except Refusal as refusal:
        if size is not None:
            raise StoreDown("the stored bytes are no longer there") from None
        yield (None if refusal.code == "NoSuchKey" else Found(0)), iter(())  # no range of an empty object fits
        return
    body = response["Body"]
    try:
        found, length = _read_head(response, start, end)
        if size not in (None, found.size):
            raise StoreDown("the stored bytes have changed their number")
        yield found, _chunks(body, length)
    finally:
        body.close()


def _read_head(response: Any, start: int, end: int) -> tuple[Found, int]:
    """The object and how many bytes come; StoreDown if they are not the ones asked for."""
    told = WHOLE.fullmatch(response.get("ContentRange", ""))
    if told:
        first, last, size = (int(each) for each in told.groups())
    else:  # a server that knows no ranges sends everything
        first, size = 0, response["ContentLength"]
        last = min(size, end) - 1
    if first != start or last != min(size, end) - 1:
        raise StoreDown("S3 sent other bytes than it was asked for")
    return Found(size, response.get("ETag", ""), response["LastModified"].timestamp()), last + 1 - first


def _chunks(body: Any, left: int) -> Iterator[bytes]:
    most = FIRST
    while left:
        try:
            chunk: bytes = body.read(min(most, left))
        except BROKEN as error:
            raise Broken(f"a body from S3 broke off ({type(error).__name__})") from error
        if not chunk:
            raise Broken("a body from S3 ended early")
        left, most = left - len(chunk), CHUNK
        yield chunk
