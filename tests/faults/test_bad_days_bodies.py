"""Bodies that break, lie or come in an odd wrapping, as a client sees them on the wire."""

from __future__ import annotations

import gzip
import hashlib
import threading

import pytest

from tests.faults.door import BIG, KIB, TAIL, Door, Fault, checksummed, noise
from tests.faults.reader import unchunked
from tests.upstream_wire import Reply, Seen
from tests.upstreams import Upstream

BREAK = 700_000  # bytes of a BIG body after which it breaks
RATE = 2_000_000  # bytes a second, so that others can join a download before it breaks


def wrong_end(upstream: Upstream, path: str) -> None:
    """The right length, and only the very last byte is wrong."""

    def apply(reply: Reply, _: Seen) -> Reply:
        return reply.carrying(reply.content[:-1] + bytes([reply.content[-1] ^ 1]))

    upstream.fault(apply, path)


def wrong_chunks(upstream: Upstream, path: str) -> None:
    wrong_end(upstream, path)
    upstream.chunked(path)


FAULTS: dict[str, tuple[Fault, int, str]] = {
    "stalls": (lambda up, path: up.stall(BREAK, path), 504, "upstream_timeout"),
    "stalls at its beginning": (lambda up, path: up.stall(10, path), 504, "upstream_timeout"),
    "closes short": (lambda up, path: up.cut(BREAK, path), 502, "upstream_unreachable"),
    "closes one byte short": (lambda up, path: up.cut(BIG - 1, path), 502, "upstream_unreachable"),
    "closes a chunk short": (lambda up, path: up.chunked(path, cut=BREAK), 502, "upstream_unreachable"),
    "closes between two chunks": (lambda up, path: up.chunked(path, cut=BIG // 2), 502, "upstream_unreachable"),
    "gzip cut short": (lambda up, path: up.gzip(path, keep=BREAK), 502, "upstream_invalid"),
    "wrong bytes": (lambda up, path: up.corrupt(path), 502, "upstream_invalid"),
    "a wrong last byte": (wrong_end, 502, "upstream_invalid"),
    "a wrong last byte, chunked": (wrong_chunks, 502, "upstream_invalid"),
}
each_fault = pytest.mark.parametrize("name", FAULTS)


@each_fault
def test_everyone_who_reads_is_cut_before_the_tail(door: Door, name: str) -> None:
    fault, status, code = FAULTS[name]
    body = noise(BIG, f"broken {name}")
    file = checksummed(body)
    path = "/repository/rpm" + file
    door.upstream.put(file, body)
    door.upstream.rate(RATE)
    fault(door.upstream, file)
    first = door.begin(path).until(0)
    door.upstream.wait_for(file)
    joined = [door.begin(path), door.begin(path, Range=f"bytes=0-{BIG - 1}"), door.begin(path, "HTTP/1.0")]
    for read in [reader.rest() for reader in (first, *joined)]:
        if read.status in (200, 206):
            assert not read.whole
            assert len(read.body) <= BIG - TAIL
            if name != "wrong bytes":
                assert body.startswith(read.body)
        else:  # the head had not been sent yet: HTTP/1.0 cannot frame a body of unknown length
            assert (read.status, read.error) == (status, code)
    assert door.upstream.count(file) == 1
    door.stored()
    door.recovers(path, body)


@each_fault
def test_a_stored_copy_outlives_it(door: Door, name: str) -> None:
    fault, _, _ = FAULTS[name]
    body = noise(BIG, f"outlives {name}")
    file = checksummed(body)
    path = "/repository/rpm" + file
    door.upstream.put(file, body)
    door.warmed(path)
    door.upstream.put(file, body, ETag='"another"')
    fault(door.upstream, file)
    stale = door.get(path)
    assert (stale.status, stale.cache, stale.whole, stale.body == body) == (200, "STALE", True, True)
    assert stale.headers["warning"].startswith("110 ")
    door.stored()
    door.expire()
    door.recovers(path, body, "EXPIRED")


def test_the_tail_is_withheld_until_it_is_verified(door: Door) -> None:
    """Upstream holds the last byte back: the client has all but the tail, and waits."""
    body = noise(BIG, "tail")
    door.upstream.put("/tail.bin", body)
    door.upstream.stall(BIG - 1, "/tail.bin")
    reader = door.begin("/repository/up/tail.bin").until(BIG - TAIL)
    read = reader.rest()
    assert (read.status, read.whole, len(read.body)) == (200, False, BIG - TAIL)
    assert body.startswith(read.body)
    assert read.headers["content-length"] == str(BIG)
    door.stored()
    door.recovers("/repository/up/tail.bin", body)


@pytest.mark.parametrize("chunked", [False, True])
def test_a_small_body_that_breaks_late_is_an_error_and_no_cut(door: Door, chunked: bool) -> None:
    body = noise(TAIL - 1, f"late {chunked}")
    file = f"/late{chunked}.bin"
    door.upstream.put(file, body)
    if chunked:
        door.upstream.chunked(file)
    door.upstream.stall(1000, file)
    threading.Timer(0.3, door.upstream.clear).start()  # which ends the connection
    bad = door.get("/repository/up" + file)
    assert (bad.status, bad.error) == (502, "upstream_unreachable")
    door.stored()
    door.recovers("/repository/up" + file, body)


@pytest.mark.parametrize("size", [0, 1, TAIL - 1, TAIL, TAIL + 1, BIG])
@pytest.mark.parametrize("framing", ["chunked", "close"])
def test_a_body_of_unknown_length_is_framed_anew(door: Door, framing: str, size: int) -> None:
    """To HTTP/1.1 in chunks, byte-exact; to HTTP/1.0 with the length, once that is known (RFC 9112, 6.1)."""
    body = noise(size, f"unknown {framing}")
    for protocol in ("HTTP/1.1", "HTTP/1.0"):
        file = f"/{framing}{size}{protocol[-1]}.bin"
        door.upstream.put(file, body)
        door.upstream.chunked(file) if framing == "chunked" else door.upstream.http10(file)
        if size > TAIL:
            door.upstream.rate(RATE)
        reader = door.begin("/repository/up" + file, protocol)
        read = reader.rest()
        assert (read.status, read.cache, read.whole, read.body == body) == (200, "MISS", True, True)
        if protocol == "HTTP/1.0" or size <= TAIL:
            assert read.headers["content-length"] == str(size)
        elif size == BIG:
            assert unchunked(reader.so_far.partition(b"\r\n\r\n")[2]) == (body, True)
        door.settled()
        again = door.get("/repository/up" + file, protocol)
        if framing == "chunked":
            assert (again.headers["content-length"], again.body == body) == (str(size), True)
        else:  # an end that a killed upstream makes too is served, and never kept
            assert (again.cache, again.body == body) == ("MISS", True)
            door.settled()
        door.upstream.reset()
    if size and framing == "chunked":
        door.stored(body)


def test_more_than_the_content_length_is_no_part_of_this_or_the_next_answer(door: Door) -> None:
    body, other = noise(3000, "overrun"), noise(3000, "after the overrun")
    for name, content in (("/over.bin", body), ("/after.bin", other)):
        door.upstream.put(name, content)
    door.upstream.overrun(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil", "/over.bin")
    for _ in range(3):
        door.forget()
        for path, content in (("/repository/up/over.bin", body), ("/repository/up/after.bin", other)):
            read = door.get(path)
            assert (read.status, read.whole, read.body == content) == (200, True, True)
    door.stored(body, other)


@pytest.mark.parametrize("size", [3000, BIG])
def test_gzip_unasked_is_undone_and_what_is_stored_is_the_file(door: Door, size: int) -> None:
    body = noise(size, "gzip")
    file = checksummed(body)
    path = "/repository/rpm" + file
    door.upstream.put(file, body)
    door.upstream.gzip(file)
    read = door.get(path)
    assert (read.status, read.whole, read.body == body) == (200, True, True)
    assert "content-encoding" not in read.headers
    door.stored(body)
    hit = door.get(path)
    assert (hit.cache, hit.body == body, hit.headers["content-length"]) == ("HIT", True, str(size))


def test_a_gzip_file_that_is_labelled_so_stays_as_it_is(door: Door) -> None:
    body = gzip.compress(noise(3000, "labelled"), mtime=0)
    door.upstream.put("/f.tar.gz", body, Content_Encoding="gzip")
    assert door.get("/repository/up/f.tar.gz").body == body
    door.stored(body)


def test_no_validators_means_a_whole_new_download_and_a_tag_of_our_own(door: Door) -> None:
    body, path = noise(3000, "plain"), "/repository/up/plain.bin"
    door.upstream.put("/plain.bin", body)
    door.upstream.no_validators()
    first = door.get(path)
    assert first.body == body and "etag" not in first.headers and "last-modified" not in first.headers
    door.settled()
    hit = door.get(path)
    assert hit.headers["etag"] == f'"{hashlib.sha256(body).hexdigest()}"'
    assert door.get(path, If_None_Match=hit.headers["etag"]).status == 304
    door.expire()
    assert door.get(path).cache == "EXPIRED"
    assert not {"if-none-match", "if-modified-since"} & set(door.upstream.requests[-1].headers)
    door.stored(body)
    newer = noise(3000, "plain, newer")
    door.upstream.put("/plain.bin", newer)
    door.expire()
    assert door.get(path).body == newer


def test_a_part_of_a_broken_download_is_never_continued(door: Door) -> None:
    """The file changes while it is fetched again: no body is ever made of two."""
    old, new = noise(BIG, "old half"), noise(BIG, "new half")
    door.upstream.put("/half.bin", old)
    door.upstream.cut(BREAK, "/half.bin", times=1)
    assert not door.get("/repository/up/half.bin").whole
    door.upstream.put("/half.bin", new)
    assert door.get("/repository/up/half.bin").body == new
    assert all("range" not in seen.headers for seen in door.upstream.requests)
    door.stored(new)


def test_a_range_of_a_download_that_breaks_is_cut_or_right(door: Door) -> None:
    body = noise(BIG, "range")
    door.upstream.put("/range.bin", body)
    door.upstream.rate(RATE)
    door.upstream.stall(BREAK, "/range.bin")  # a second for the others to come, then the stall ends it
    first = door.begin("/repository/up/range.bin").until(200 * KIB)
    ranges = ("bytes=1000-99999", f"bytes=1000-{BIG - 1}")
    begun = [door.begin("/repository/up/range.bin", Range=value).until(1) for value in ranges]
    early, late = (reader.rest() for reader in begun)
    told = (early.status, early.whole, body.startswith(early.body))
    assert told == (200, False, True), "a range that ends before the withheld end would look whole unverified"
    assert (late.status, late.whole, body[1000:].startswith(late.body)) == (206, False, True)
    assert not first.rest().whole
    door.stored()


def test_a_package_that_is_gone_although_the_index_lists_it(door: Door) -> None:
    body, index = noise(3000, "package"), b"<repomd/>"
    door.upstream.put("/gone/repodata/repomd.xml", index)
    door.upstream.put("/gone/Packages/p.rpm", body)
    where = "/repository/rpm/gone/"
    assert door.get(where + "repodata/repomd.xml").body == index
    door.settled()
    door.upstream.remove("/gone/Packages/p.rpm")
    for _ in range(2):
        missing = door.get(where + "Packages/p.rpm")
        assert (missing.status, missing.error, missing.cache) == (404, "not_found", "NEGATIVE")
    assert door.upstream.count("/gone/Packages/p.rpm") == 1, "remembered for a moment"
    assert door.get(where + "repodata/repomd.xml").cache == "HIT"
    door.forget()
    door.upstream.put("/gone/Packages/p.rpm", body)
    assert door.get(where + "Packages/p.rpm").body == body
    door.settled()
    door.upstream.remove("/gone/Packages/p.rpm")
    door.expire()
    kept = door.get(where + "Packages/p.rpm")
    assert (kept.cache, kept.headers["x-upstream-status"], kept.body) == ("STALE", "404", body)
    assert door.get(where + "repodata/repomd.xml").body == index
    door.settled()
    door.upstream.remove("/gone/repodata/repomd.xml")
    door.expire()
    assert door.get(where + "repodata/repomd.xml").body == index
