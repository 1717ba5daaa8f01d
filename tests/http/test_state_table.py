"""The engine's state table, row by row, over HTTP against a real upstream and real stores."""

from __future__ import annotations

import hashlib
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from app.stores.filesystem import FilesystemBlobs
from tests.http.node import Node, body
from tests.upstreams import Upstream

A = "/repository/up/dir/a.txt"
BODY = b"first " * 1000
NEWER = b"second " * 1000


def test_missing_won_is_a_miss_then_a_hit(node: Node, upstream: Upstream) -> None:
    upstream.put("/dir/a.txt", BODY)
    cold = node.get(A)
    assert (cold.status_code, body(cold)) == (200, BODY)
    assert (cold.headers["X-Cache"], cold.headers["X-Artifact-Source"]) == ("MISS", "remote")
    node.idle()
    warm = node.get(A)
    assert (warm.headers["X-Cache"], warm.headers["X-Artifact-Source"], body(warm)) == ("HIT", "cache", BODY)
    for name in ("ETag", "Last-Modified", "Content-Type", "X-Artifact-Size", "Content-Length"):
        assert cold.headers[name] == warm.headers[name], name
    assert upstream.count() == 1
    assert node.spools() == []


def test_fresh_needs_no_upstream(node: Node, upstream: Upstream) -> None:
    upstream.put("/dir/a.txt", BODY)
    body(node.get(A))
    node.idle()
    upstream.stop()
    node.clock.forward(99)
    assert node.get(A).headers["X-Cache"] == "HIT"


def test_expired_unchanged_is_revalidated(node: Node, upstream: Upstream) -> None:
    upstream.put("/dir/a.txt", BODY)
    body(node.get(A))
    node.idle()
    node.clock.forward(101)
    again = node.get(A)
    assert (again.headers["X-Cache"], again.headers["X-Artifact-Source"], body(again)) == (
        "REVALIDATED",
        "cache",
        BODY,
    )
    assert upstream.requests[-1].headers.get("If-None-Match") or upstream.requests[-1].headers.get("if-none-match")
    node.idle()
    assert node.get(A).headers["X-Cache"] == "HIT"
    assert upstream.count() == 2


def test_expired_changed_is_swapped(node: Node, upstream: Upstream) -> None:
    upstream.put("/dir/a.txt", BODY)
    body(node.get(A))
    node.idle()
    upstream.put("/dir/a.txt", NEWER)
    node.clock.forward(101)
    again = node.get(A)
    assert (again.headers["X-Cache"], again.headers["X-Artifact-Source"], body(again)) == ("EXPIRED", "remote", NEWER)


def test_expired_changed_slowly_serves_the_old_copy_then_the_new(node: Node, upstream: Upstream) -> None:
    upstream.put("/dir/a.txt", b"a" * 60_000)
    body(node.get(A))
    node.idle()
    upstream.put("/dir/a.txt", b"b" * 60_000)
    upstream.rate(10_000)  # six seconds, one more than a client waits
    node.clock.forward(101)
    with ThreadPoolExecutor() as pool:
        won = pool.submit(node.get, A)
        upstream.wait_for("/dir/a.txt", n=2)
        lost = node.get(A)
        assert (lost.headers["X-Cache"], body(lost)) == ("UPDATING", b"a" * 60_000)
        assert (won.result().headers["X-Cache"], body(won.result())) == ("UPDATING", b"a" * 60_000)
    node.idle()
    assert body(node.get(A)) == b"b" * 60_000
    assert upstream.count() == 2


def test_expired_with_upstream_failing_is_stale_and_rests(node: Node, upstream: Upstream) -> None:
    upstream.put("/dir/a.txt", BODY)
    body(node.get(A))
    node.idle()
    node.clock.forward(101)
    upstream.status(503)
    stale = node.get(A)
    assert (stale.status_code, stale.headers["X-Cache"], body(stale)) == (200, "STALE", BODY)
    assert stale.headers["Warning"].startswith("110 ")
    asked = upstream.count()
    node.clock.forward(29)
    assert node.get(A).headers["X-Cache"] == "STALE"
    assert upstream.count() == asked, "a failing upstream is left alone for 30 s"
    upstream.clear()
    node.clock.forward(2)
    assert node.get(A).headers["X-Cache"] == "REVALIDATED"


def test_the_rest_doubles_up_to_the_ttl_and_retry_after_is_honoured(node: Node, upstream: Upstream) -> None:
    upstream.put("/dir/a.txt", BODY)
    body(node.get(A))
    node.idle()
    node.clock.forward(101)
    upstream.status(429, headers={"Retry-After": "77"})
    assert node.get(A).headers["X-Cache"] == "STALE"
    node.clock.forward(76)
    assert (node.get(A).headers["X-Cache"], upstream.count()) == ("STALE", 2)
    node.clock.forward(2)
    assert (node.get(A).headers["X-Cache"], upstream.count()) == ("STALE", 3)


def test_expired_unreachable_is_stale(node: Node, upstream: Upstream) -> None:
    upstream.put("/dir/a.txt", BODY)
    body(node.get(A))
    node.idle()
    node.clock.forward(101)
    upstream.stop()
    stale = node.get(A)
    assert (stale.status_code, stale.headers["X-Cache"], body(stale)) == (200, "STALE", BODY)


def test_expired_with_a_wrong_body_keeps_the_old_copy(node: Node, upstream: Upstream) -> None:
    good = b"<metadata/>" * 100
    name = f"/repodata/{hashlib.sha256(good).hexdigest()}-primary.xml.gz"
    upstream.put(name, good)
    path = "/repository/rpm" + name
    assert body(node.get(path)) == good
    node.idle()
    assert node.admin("PUT", "/cache/flush?remote=rpm&mode=expire").status_code == 200
    upstream.put(name, b"something else" * 99)
    stale = node.get(path)
    assert (stale.status_code, stale.headers["X-Cache"], body(stale)) == (200, "STALE", good)


def test_expired_html_for_a_package_keeps_the_old_copy(node: Node, upstream: Upstream) -> None:
    upstream.put("/p.rpm", BODY)
    body(node.get("/repository/up/p.rpm"))
    node.idle()
    node.admin("PUT", "/cache/flush?remote=up&mode=expire")
    upstream.html("/p.rpm")
    stale = node.get("/repository/up/p.rpm")
    assert (stale.headers["X-Cache"], body(stale)) == ("STALE", BODY)


def test_expired_gone_upstream_is_kept_and_marked(node: Node, upstream: Upstream) -> None:
    upstream.put("/dir/a.txt", BODY)
    body(node.get(A))
    node.idle()
    upstream.remove("/dir/a.txt")
    node.clock.forward(101)
    stale = node.get(A)
    assert (stale.status_code, stale.headers["X-Cache"], body(stale)) == (200, "STALE", BODY)
    assert stale.headers["X-Upstream-Status"] == "404"
    upstream.put("/dir/a.txt", NEWER)
    node.clock.forward(101)
    assert body(node.get(A)) == NEWER


def test_expired_gone_upstream_is_dropped_where_configured(node: Node, upstream: Upstream) -> None:
    upstream.put("/dir/a.txt", BODY)
    path = "/repository/drop/dir/a.txt"
    body(node.get(path))
    node.idle()
    upstream.status(410, "/dir/a.txt")
    node.clock.forward(101)
    assert node.get(path).status_code == 410
    assert node.get(path).status_code == 404


def test_missing_lost_joins(node: Node, upstream: Upstream) -> None:
    big = b"0123456789" * 40_000
    upstream.put("/dir/a.txt", big)
    upstream.rate(200_000)
    with ThreadPoolExecutor(8) as pool:
        all_of_them = list(pool.map(lambda _: (r := node.get(A)).headers["X-Cache"] + str(body(r) == big), range(8)))
    assert sorted(all_of_them) == ["JOINEDTrue"] * 7 + ["MISSTrue"]
    assert upstream.count() == 1


@pytest.mark.parametrize(("seconds", "state"), [(0.1, "HIT"), (2.0, "JOINED")], ids=["soon", "late"])
def test_missing_lost_is_a_hit_where_all_is_here_and_recorded_soon(
    node: Node, upstream: Upstream, monkeypatch: pytest.MonkeyPatch, seconds: float, state: str
) -> None:
    """Who asks again for what it has just got asks for what is here, if the disk takes a little to record it."""
    upstream.put("/dir/a.txt", BODY)
    record = FilesystemBlobs.adopt

    def slow(self: FilesystemBlobs, file: Path, digest: str) -> None:
        time.sleep(seconds)
        record(self, file, digest)

    monkeypatch.setattr(FilesystemBlobs, "adopt", slow)
    replies = node.get(A), node.get(A), node.head(A)
    assert [(each.headers["X-Cache"], body(each)) for each in replies[:2]] == [("MISS", BODY), (state, BODY)]
    assert (replies[2].headers["X-Cache"], replies[2].headers["Content-Length"]) == (state, str(len(BODY)))
    assert upstream.count() == 1


def test_missing_head_of_what_is_being_downloaded_is_told_from_that(node: Node, upstream: Upstream) -> None:
    big = b"0123456789" * 40_000
    upstream.put("/dir/a.txt", big)
    upstream.rate(400_000)
    with ThreadPoolExecutor(1) as pool:
        got = pool.submit(lambda: body(node.get(A)))
        upstream.wait_for("/dir/a.txt", "GET")
        time.sleep(0.2)
        head = node.head(A)
        assert (head.status_code, head.headers["X-Cache"]) == (200, "JOINED")
        assert head.headers["Content-Length"] == str(len(big))
        assert got.result() == big
    assert upstream.count() == 1


def test_missing_404_is_remembered_for_a_short_time(node: Node, upstream: Upstream) -> None:
    first = node.get(A)
    assert (first.status_code, first.headers["X-Cache"]) == (404, "NEGATIVE")
    assert first.get_json()["error"] == "not_found"
    assert (node.get(A).status_code, node.head(A).status_code, upstream.count()) == (404, 404, 1)
    node.admin("PUT", "/cache/flush?remote=up")
    upstream.put("/dir/a.txt", BODY)
    assert body(node.get(A)) == BODY


@pytest.mark.parametrize("length", [True, False], ids=["framed", "chunked"])
def test_an_index_that_nobody_has_is_not_sent_before_it_was_read(
    node: Node, upstream: Upstream, length: bool
) -> None:
    path = "/repository/rpm/repodata/repomd.xml"
    upstream.put("/repodata/repomd.xml", b"<repomd><broken")
    if not length:
        upstream.chunked("/repodata/repomd.xml")
    reply = node.get(path)
    assert (reply.status_code, reply.get_json()["error"]) == (502, "upstream_invalid")
    upstream.put("/repodata/repomd.xml", b"<repomd/>")
    assert body(node.get(path)) == b"<repomd/>"


def test_an_index_is_never_negatively_cached(node: Node, upstream: Upstream) -> None:
    path = "/repository/rpm/repodata/repomd.xml"
    assert node.get(path).status_code == 404
    upstream.put("/repodata/repomd.xml", b"<repomd/>")
    assert body(node.get(path)) == b"<repomd/>"


def test_missing_denied_is_a_502_and_not_remembered(node: Node, upstream: Upstream) -> None:
    upstream.put("/dir/a.txt", BODY)
    upstream.status(403, times=1)
    denied = node.get(A)
    assert (denied.status_code, denied.get_json()["error"]) == (502, "upstream_denied")
    assert body(node.get(A)) == BODY


def test_missing_head_asks_upstream_and_stores_nothing(node: Node, upstream: Upstream) -> None:
    upstream.put("/dir/a.txt", BODY)
    head = node.head(A)
    assert (head.status_code, head.headers["X-Cache"], body(head)) == (200, "MISS", b"")
    assert "Content-Length" not in head.headers
    assert head.headers["ETag"]
    node.idle()
    assert (upstream.count(method="HEAD"), upstream.count(method="GET"), node.blobs()) == (1, 0, [])


def test_stored_head_equals_get(node: Node, upstream: Upstream) -> None:
    upstream.put("/dir/a.txt", BODY)
    body(node.get(A))
    node.idle()
    got, head = node.get(A), node.head(A)
    same = {k: v for k, v in got.headers.items() if k != "X-Request-Id"}
    assert {k: v for k, v in head.headers.items() if k != "X-Request-Id"} == same
    assert body(head) == b""


def test_expired_head_revalidates_and_downloads_nothing(node: Node, upstream: Upstream) -> None:
    upstream.put("/dir/a.txt", BODY)
    body(node.get(A))
    node.idle()
    node.clock.forward(101)
    assert node.head(A).headers["X-Cache"] == "REVALIDATED"
    assert node.head(A).headers["X-Cache"] == "HIT"
    node.clock.forward(101)
    upstream.put("/dir/a.txt", NEWER)
    changed = node.head(A)
    assert (changed.status_code, changed.headers["X-Cache"]) == (200, "EXPIRED")
    upstream.stop()
    assert node.head(A).headers["X-Cache"] == "STALE"
    assert upstream.count(method="GET") == 1


def test_missing_range_is_a_range_or_the_whole(node: Node, upstream: Upstream) -> None:
    upstream.put("/dir/a.txt", BODY)
    first = node.get(A, Range="bytes=0-99")
    assert (first.status_code, body(first)) in [(206, BODY[:100]), (200, BODY)]
    node.idle()
    assert body(node.get(A, Range="bytes=-10")) == BODY[-10:]


def test_a_far_range_of_a_slow_miss_does_not_wait_for_its_beginning(node: Node, upstream: Upstream) -> None:
    big = b"0123456789" * 60_000
    upstream.put("/dir/a.txt", big)
    upstream.rate(300_000)
    begun = time.monotonic()
    far = node.stream(A, Range="bytes=500000-")
    assert far.status_code == 200
    assert next(far.iter_encoded())
    assert time.monotonic() - begun < 1.5, "the first bytes come long before the last"
    far.close()
    node.idle()


def test_a_blob_lost_from_the_store_is_fetched_again(node: Node, upstream: Upstream) -> None:
    upstream.put("/dir/a.txt", BODY)
    body(node.get(A))
    node.idle()
    node.blobs()[0].unlink()
    assert body(node.get(A)) == BODY
    node.idle()
    node.blobs()[0].write_bytes(BODY[:-1])
    assert body(node.get(A)) == BODY
    node.idle()
    assert node.get(A).headers["X-Cache"] == "HIT"


def test_a_flush_while_a_fill_runs(node: Node, upstream: Upstream) -> None:
    old, new = b"a" * 300_000, b"b" * 300_000
    upstream.put("/dir/a.txt", old)
    upstream.rate(300_000)
    with ThreadPoolExecutor() as pool:
        running = pool.submit(lambda: body(node.get(A)))
        upstream.wait_for("/dir/a.txt")
        upstream.put("/dir/a.txt", new)
        assert node.admin("PUT", "/cache/flush?remote=up").status_code == 200
        assert body(node.get(A)) == new, "what began before the flush is not joined"
        assert running.result() == old, "and serves its own readers"
    node.idle()
    assert body(node.get(A)) == new


def test_a_client_that_leaves_ends_nothing(node: Node, upstream: Upstream) -> None:
    big = b"0123456789" * 30_000
    upstream.put("/dir/a.txt", big)
    upstream.rate(300_000)
    leaving = node.stream(A)
    next(leaving.iter_encoded())
    leaving.close()
    node.idle()
    assert (body(node.get(A)), upstream.count()) == (big, 1)


def test_an_expiring_flush_keeps_what_a_client_has_just_received(node: Node, upstream: Upstream) -> None:
    upstream.put("/dir/a.txt", BODY)
    assert body(node.get(A)) == BODY  # the client may have it before it is recorded
    assert node.admin("PUT", "/cache/flush?remote=up&mode=expire").status_code == 200
    node.idle()
    assert node.get(A).headers["X-Cache"] == "REVALIDATED"
    upstream.stop()
    node.admin("PUT", "/cache/flush?remote=up&mode=expire")
    assert (node.get(A).headers["X-Cache"], upstream.count(method="GET")) == ("STALE", 2)


def test_expired_head_of_a_hanging_upstream_waits_once(node: Node, upstream: Upstream) -> None:
    upstream.put("/dir/a.txt", BODY)
    body(node.get(A))
    node.idle()
    node.clock.forward(101)
    upstream.hang()
    assert node.head(A).headers["X-Cache"] == "STALE"
    asked = upstream.count()
    assert (node.head(A).headers["X-Cache"], upstream.count()) == ("STALE", asked)
    upstream.clear()
