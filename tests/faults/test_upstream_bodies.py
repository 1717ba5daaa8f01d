"""Bodies of upstream: whole or an error, never short; compressed though nobody asked."""

from __future__ import annotations

import bz2
import gzip
import socket
import time
import zlib
from collections.abc import Callable

import pytest

from app.errors import UpstreamLied, UpstreamUnreachable
from app.upstream.pools import QUIET
from tests.faults.visits import Visitor, rest, saying, speaking, visitor
from tests.upstreams import Upstream

__all__ = ["visitor"]

BODY = b"".join(b"line %d of a package index\n" % n for n in range(20_000))
OK = b"HTTP/1.1 200 OK\r\n"


@pytest.fixture
def there(upstream: Upstream) -> Upstream:
    upstream.put("/f", BODY)
    return upstream


# framing --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("after", [0, 1, 100_000, len(BODY) - 1])
def test_a_short_body_is_an_error_at_its_end(visitor: Visitor, there: Upstream, after: int) -> None:
    for fault in (there.cut, lambda after: there.chunked(cut=after)):
        fault(after)
        with visitor.upstreams.open(visitor.resource(there.url)) as download:
            received = bytearray()
            with pytest.raises(UpstreamUnreachable, match="broke within the body"):
                while True:
                    received += download.read(65536)
            assert bytes(received) == BODY[: len(received)] and len(received) <= after
            with pytest.raises(UpstreamUnreachable):
                download.read(65536)
        there.clear()


def test_chunked_is_whole_with_its_last_chunk(visitor: Visitor, there: Upstream) -> None:
    there.chunked()
    got = visitor.get(there.url)
    assert (got.body, got.length) == (BODY, None)
    rest()
    assert visitor.get(there.url).body == BODY and there.connections == 1


def test_chunked_cut_before_the_last_chunk(visitor: Visitor, there: Upstream) -> None:
    there.chunked(cut=len(BODY))
    with pytest.raises(UpstreamUnreachable):
        visitor.get(there.url)


@pytest.mark.parametrize(
    "chunks",
    [
        b"5\r\nhello\r\n0",  # a size `0fff` cut after its first digit would read as the end
        b"5\r\nhello\r\n",
        b"5\r\nhello0\r\n\r\n",
        b"5\r\nhello\r\n-1\r\n\r\n",
        b"5\r\nhello\r\n0x5\r\nhello\r\n0\r\n\r\n",
        b"5\r\nhello\r\n0\r\n",
    ],
)
def test_chunks_are_taken_strictly(visitor: Visitor, chunks: bytes) -> None:
    raw = OK + b"Transfer-Encoding: chunked\r\n\r\n" + chunks
    with saying(raw) as base, pytest.raises(UpstreamUnreachable):
        visitor.get(base)


def test_extensions_and_trailers_are_passed_over(visitor: Visitor) -> None:
    chunked = b'5;x="y"\r\nhello\r\n0\r\nDigest: z\r\n\r\n'
    with saying(OK + b"Transfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\n" + chunked) as base:
        assert visitor.get(base).body == b"hello"


def test_equal_lengths_are_one(visitor: Visitor) -> None:
    with saying(OK + b"Content-Length: 5, 5\r\n\r\nhello") as base:
        assert (visitor.get(base).length, visitor.get(base).body) == (5, b"hello")


def test_a_body_without_length_ends_with_its_connection(visitor: Visitor, there: Upstream) -> None:
    there.http10()
    got = visitor.get(there.url)
    assert (got.body, got.length) == (BODY, None)


@pytest.mark.parametrize("surplus", [b"x", b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil", b"x" * 200_000])
def test_more_than_content_length_never_reaches_anyone(visitor: Visitor, there: Upstream, surplus: bytes) -> None:
    there.overrun(surplus, times=1)
    for _ in range(3):
        assert visitor.get(there.url).body == BODY
        rest()
    assert there.connections == 2


def test_surplus_that_comes_late_is_nobodys_answer(visitor: Visitor) -> None:
    def talk(connection: socket.socket, _: list[bytes]) -> None:
        connection.sendall(OK + b"Content-Length: 4\r\n\r\ngood")
        time.sleep(QUIET / 2)
        connection.sendall(OK + b"Content-Length: 4\r\n\r\nevil")
        connection.recv(1)

    with speaking(talk, []) as base:
        for pause in (0, QUIET / 4, 2 * QUIET):
            time.sleep(pause)
            assert visitor.get(base).body == b"good"


def test_a_small_body_with_surplus_in_the_same_packet(visitor: Visitor, there: Upstream) -> None:
    there.put("/f", b"four")
    there.overrun(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil", times=1)
    assert [visitor.get(there.url).body for _ in range(2)] == [b"four", b"four"]
    assert there.connections == 2


def test_leaving_a_body_ends_its_connection(visitor: Visitor, there: Upstream) -> None:
    with visitor.upstreams.open(visitor.resource(there.url)) as download:
        download.read(10)
    assert visitor.get(there.url).body == BODY and there.connections == 2


def test_an_empty_file(visitor: Visitor, there: Upstream) -> None:
    there.put("/f", b"")
    assert visitor.get(there.url).body == b""
    rest()
    assert visitor.get(there.url).length == 0
    assert there.connections == 1


# codings --------------------------------------------------------------------------------------------------


def test_gzip_unasked_is_undone(visitor: Visitor, there: Upstream) -> None:
    there.gzip()
    got = visitor.get(there.url)
    assert (got.body, got.length) == (BODY, None)
    assert "Content-Encoding" not in got.headers and "Content-Length" not in got.headers
    assert "ETag" in got.headers


@pytest.mark.parametrize("keep", [1, 5, 500, -1])
def test_truncated_gzip_is_a_lie(visitor: Visitor, there: Upstream, keep: int) -> None:
    there.gzip(keep=keep)
    with pytest.raises(UpstreamLied, match="breaks off"):
        visitor.get(there.url)


def test_gzip_shorter_than_its_length_is_cut(visitor: Visitor, there: Upstream) -> None:
    there.gzip()
    there.cut(500)
    with pytest.raises(UpstreamUnreachable):
        visitor.get(there.url)


def _bare(body: bytes) -> bytes:
    packer = zlib.compressobj(wbits=-15)
    return packer.compress(body) + packer.flush()


@pytest.mark.parametrize(
    ("coding", "pack"),
    [
        ("x-gzip", gzip.compress),
        ("GZIP", lambda body: gzip.compress(body[:99]) + gzip.compress(body[99:])),
        ("deflate", zlib.compress),
        ("deflate", _bare),
        ("identity", bytes),
    ],
)
def test_codings_that_are_undone(
    visitor: Visitor, there: Upstream, coding: str, pack: Callable[[bytes], bytes]
) -> None:
    there.put("/f", pack(BODY), Content_Encoding=coding)
    assert visitor.get(there.url).body == BODY


@pytest.mark.parametrize("coding", ["br", "zstd", "gzip, gzip", "gzip", "deflate", "x-rot13"])
def test_codings_that_are_lies(visitor: Visitor, there: Upstream, coding: str) -> None:
    there.put("/f", BODY, Content_Encoding=coding)
    with pytest.raises(UpstreamLied):
        visitor.get(there.url)


@pytest.mark.parametrize("tail", [b"junk", gzip.compress(b"x", mtime=0)[:-3]])
def test_more_after_the_compressed_end_is_a_lie(visitor: Visitor, there: Upstream, tail: bytes) -> None:
    there.put("/f", gzip.compress(BODY) + tail, Content_Encoding="gzip")
    with pytest.raises(UpstreamLied):
        visitor.get(there.url)


@pytest.mark.parametrize(
    ("path", "coding", "kind"),
    [
        ("a/primary.xml.gz", "gzip", "text/xml"),
        ("a/x.tgz", "x-gzip", "application/octet-stream"),
        ("a/logo.svgz", "gzip", "image/svg+xml"),
        ("a/x.tar.Z", "x-compress", "application/x-tar"),
        ("a/x.tar.zst", "zstd", "application/x-tar"),
        ("a/by-hash", "gzip", "application/x-gzip"),
    ],
)
def test_a_compressed_file_labelled_as_a_coding_stays_itself(
    visitor: Visitor, there: Upstream, path: str, coding: str, kind: str
) -> None:
    packed = gzip.compress(BODY)
    there.put(f"/{path}", packed, Content_Encoding=coding, Content_Type=kind)
    got = visitor.get(there.url, path)
    assert (got.body, got.length) == (packed, len(packed))


def test_a_bomb_is_read_in_small_pieces(visitor: Visitor, there: Upstream) -> None:
    there.put("/f", gzip.compress(bytes(64 << 20)), Content_Encoding="gzip")
    with visitor.upstreams.open(visitor.resource(there.url)) as download:
        sizes = [len(piece) for piece in iter(lambda: download.read(65536), b"")]
    assert max(sizes) <= 65536 and sum(sizes) == 64 << 20


def test_an_unlabelled_compressed_file_is_not_touched(visitor: Visitor, there: Upstream) -> None:
    there.put("/f", bz2.compress(BODY))
    assert visitor.get(there.url).body == bz2.compress(BODY)
