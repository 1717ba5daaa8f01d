"""Clients that leave, stop reading or come late: a download is nobody's, and ends only with upstream."""

from __future__ import annotations

from tests.faults.door import BIG, TAIL, Door, noise

RATE = 2_000_000  # bytes a second: a BIG body takes half a second
HUGE = 12 * BIG  # more than the buffers of a client that does not read


def test_the_only_client_leaves_and_the_download_goes_on(door: Door) -> None:
    body, path = noise(BIG, "left alone"), "/repository/up/alone.bin"
    door.upstream.put("/alone.bin", body)
    door.upstream.rate(RATE)
    door.begin(path).until(TAIL).leave()
    door.settled()
    hit = door.get(path)
    assert (hit.cache, hit.body == body, door.upstream.count()) == ("HIT", True, 1)
    door.stored(body)


def test_the_only_client_leaves_before_upstream_answers(door: Door) -> None:
    body, path = noise(BIG, "left early"), "/repository/up/early.bin"
    door.upstream.put("/early.bin", body)
    door.upstream.latency(0.5)
    reader = door.begin(path)
    door.upstream.wait_for("/early.bin")
    reader.leave()
    joined = door.get(path)
    assert (joined.cache, joined.whole, joined.body == body) == ("JOINED", True, True)
    assert door.upstream.count() == 1
    door.stored(body)


def test_who_began_leaves_and_who_joined_reads_on(door: Door) -> None:
    body, path = noise(BIG, "began"), "/repository/up/began.bin"
    door.upstream.put("/began.bin", body)
    door.upstream.rate(RATE)
    first = door.begin(path).until(1)
    joined = [door.begin(path).until(1) for _ in range(3)]
    first.leave()
    joined.pop().leave()
    for read in [reader.rest() for reader in joined]:
        assert (read.cache, read.whole, read.body == body) == ("JOINED", True, True)
    assert door.upstream.count() == 1
    door.stored(body)


def test_a_client_that_stops_reading_holds_nobody(door: Door) -> None:
    body, path = noise(HUGE, "stuck"), "/repository/up/stuck.bin"
    door.upstream.put("/stuck.bin", body)
    stuck = door.begin(path).until(1)
    joined = door.get(path)
    assert joined.whole and joined.body == body
    door.settled()
    hit = door.get(path)
    assert (hit.cache, hit.body == body) == ("HIT", True)
    late = stuck.rest()
    assert late.whole and late.body == body, "its bytes wait for it, even after they were stored"
    assert door.upstream.count() == 1


def test_many_clients_and_half_of_them_leave(door: Door) -> None:
    body, path = noise(BIG, "many"), "/repository/up/many.bin"
    door.upstream.put("/many.bin", body)
    door.upstream.rate(RATE)
    readers = [door.begin(path) for _ in range(20)]
    for reader in readers[::2]:
        reader.until(1).leave()
    assert all(read.whole and read.body == body for read in [reader.rest() for reader in readers[1::2]])
    assert door.upstream.count() == 1
    door.stored(body)


def test_a_client_that_leaves_an_expired_copys_download(door: Door) -> None:
    old, new, path = noise(BIG, "older"), noise(BIG, "newer"), "/repository/up/expired.bin"
    door.upstream.put("/expired.bin", old)
    door.warmed(path)
    door.upstream.put("/expired.bin", new)
    door.upstream.rate(RATE)
    leaving = door.begin(path)
    door.upstream.wait_for("/expired.bin", n=2)
    meanwhile = door.get(path)
    assert (meanwhile.cache, meanwhile.body == old) == ("UPDATING", True)
    leaving.leave()
    door.settled()
    assert door.get(path).body == new
    door.stored(new)


def test_a_half_closed_client_is_answered(door: Door) -> None:
    """A client may say that it has no more requests, and still read (RFC 9112, 9.6)."""
    body = noise(BIG, "half closed")
    door.upstream.put("/half-closed.bin", body)
    reader = door.begin("/repository/up/half-closed.bin")
    reader.finish_sending()
    read = reader.rest()
    assert read.whole and read.body == body
