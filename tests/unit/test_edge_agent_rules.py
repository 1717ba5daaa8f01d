"""The edge agent's rules without an nginx: the lease under any clock, purges, numbers, the files."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from app.edge.cursor import SETTLING, Cursor
from app.edge.entry import Entry, hashed, of_file, parse
from app.edge.files import Files, crowded
from app.edge.index import Index
from app.edge.lease import Lease, Moment
from app.edge.log import Log
from app.edge.problems import UnableError
from app.edge.purges import MOST as MOST_KEYS
from app.edge.purges import Purges, Row
from app.stores.edges import Purge


class Clock:
    """Both clocks; `move` sets the wall clock alone."""

    def __init__(self) -> None:
        self.wall, self.steady = 1000.5, 50.0

    def __call__(self) -> Moment:
        return Moment(self.wall, self.steady)

    def wait(self, seconds: float) -> None:
        self.wall += seconds
        self.steady += seconds

    def move(self, seconds: float) -> None:
        self.wall += seconds


def _seconds(lease: Path) -> list[int]:
    return sorted(int(each.name) for each in lease.iterdir())


def test_a_lease_is_of_whole_seconds_within_what_was_granted(tmp_path: Path) -> None:
    clock = Clock()
    (tmp_path / "999").touch()
    lease = Lease(tmp_path, clock)
    assert _seconds(tmp_path) == []  # an earlier agent's
    begun = lease.begin()
    assert lease.extend(begun, 2.0)
    assert _seconds(tmp_path) == [1000, 1001]
    clock.wait(1.4)
    assert lease.extend(lease.begin(), 2.0)
    assert _seconds(tmp_path) == [1001, 1002]
    clock.wait(1.5)
    assert not lease.extend(begun, 2.0)  # an answer that took too long
    assert _seconds(tmp_path) == []


@pytest.mark.parametrize("seconds", [-3600, -1, -0.2, 0.2, 1, 3600])
def test_a_clock_that_is_set_ends_the_lease(tmp_path: Path, seconds: float) -> None:
    clock = Clock()
    lease = Lease(tmp_path, clock)
    assert lease.extend(lease.begin(), 2.0)
    begun = lease.begin()
    clock.move(seconds)
    clock.wait(0.1)
    assert not lease.extend(begun, 2.0)  # nor may that poll extend it
    assert _seconds(tmp_path) == []
    assert lease.extend(lease.begin(), 2.0)


def test_no_directory_no_lease(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(UnableError, match="lease directory"):
        Lease(tmp_path / "file" / "leases")


@pytest.mark.parametrize(
    ("text", "entry"),
    [
        (b"12 alma 9/x86_64/a.rpm", Entry(12, "alma", hashed("9/x86_64/a.rpm"))),
        (b"12 alma a%20b%C3%A4", Entry(12, "alma", hashed("a b\u00e4"))),
        (b"12 alma ", Entry(12, "alma", hashed(""))),
        (b"-1 alma a", None),
        (b"12 alma", None),
        (b"12 alma a b", None),
        (b"12 alma a " + b"0f" * 32, Entry(12, "alma", hashed("a"))),
        (b"12 alma a " + b"0f" * 32 + b" b", None),
        (b"", None),
    ],
)
def test_entries(text: bytes, entry: Entry | None) -> None:
    assert parse(text) == entry


def test_the_entry_of_a_file_is_the_node_s_alone() -> None:
    head = b"\x05\0\0\nKEY: leased|GET|http|h|/a?X-Edge-Entry: 99 no no|\nHTTP/1.1 200 OK\r\nx-edge-entry: 7 r k\r\n"
    assert of_file(head + b"A: b\r\n\r\nbody\r\nX-Edge-Entry: 8 r k\r\n\r\n") == parse(b"7 r k")
    assert of_file(head) is None  # cut
    assert of_file(b"HTTP/1.1 200 OK\r\nA: b\r\n\r\nbody\r\nX-Edge-Entry: 8 r k\r\n\r\n") is None


def test_purges_of_late_end_what_is_older_and_nothing_else() -> None:
    purges = Purges()
    assert not purges
    purges.add(Purge(10, "alma", "a"), 1.0)
    purges.add(Purge(20, "debian", None), 2.0)
    ended = [Entry(9, "alma", hashed("a")), Entry(19, "debian", 5)]
    kept = [Entry(10, "alma", hashed("a")), Entry(9, "alma", hashed("b")), Entry(20, "debian", 5), Entry(0, "x", 5)]
    again = Purges(purges.rows())
    for each in (purges, again):
        assert [each.ended(entry) for entry in ended + kept] == [True, True, False, False, False, False]
    purges.forget(1.5)
    assert [purges.ended(entry) for entry in ended] == [False, True]
    purges.everything(30, 3.0)
    assert purges.ended(Entry(29, "anything", 1))
    assert not purges.ended(Entry(30, "anything", 1))
    purges.forget(4.0)
    assert not purges


def test_very_many_purged_keys_become_their_repository() -> None:
    purges = Purges()
    for number in range(MOST_KEYS + 1):
        purges.add(Purge(number + 1, "alma", str(number)), 1.0)
    assert list(purges.rows()) == [Row("alma", None, MOST_KEYS + 1, 1.0)]


def test_a_number_is_acknowledged_by_a_look_that_began_well_after_it_was_applied() -> None:
    cursor = Cursor(5)
    cursor.apply(8, 10.0)
    cursor.apply(9, 10.3)
    cursor.looked(10.0 + SETTLING - 0.01)
    assert (cursor.applied, cursor.acknowledged) == (9, 5)
    cursor.looked(10.0 + SETTLING)
    assert cursor.acknowledged == 8
    cursor.looked(20.0)
    assert cursor.acknowledged == 9
    cursor.apply(10, 20.0)
    cursor.unleased()
    assert cursor.acknowledged == 10
    cursor.apply(11, 30.0)
    cursor.restart()
    assert (cursor.applied, cursor.acknowledged) == (0, 0)
    cursor.looked(40.0)
    assert cursor.acknowledged == 0


def _never(entry: Entry) -> bool:
    return False


def test_files_that_are_replaced_or_gone_are_noticed(tmp_path: Path) -> None:
    directory = tmp_path / "f" / "0e"
    directory.mkdir(parents=True)
    name = "0" * 29 + "0ef"
    head = "\nKEY: k\nHTTP/1.1 200 OK\r\nX-Edge-Entry: {} alma a\r\n\r\n"
    (directory / name).write_text(head.format(5))
    (directory / f"{name}.0000000001").write_text("being written")
    files = Files(tmp_path, Index())
    list(files.look(_never))
    assert len(files.index) == 1
    (directory / "new").write_text(head.format(9))
    (directory / "new").rename(directory / name)
    list(files.look(_never))
    list(files.drop([Purge(8, "alma", "a")]))
    assert (directory / name).exists()  # it is of a later stamp
    list(files.drop([Purge(10, "alma", "b"), Purge(10, "other", None)]))
    assert (directory / name).exists()
    list(files.drop([Purge(10, "alma", "a")]))
    assert not (directory / name).exists()
    (directory / name).write_text(head.format(5))
    list(files.look(_never))
    (directory / name).unlink()
    list(files.look(_never))
    assert len(files.index) == 0
    (directory / name).write_text(head.format(5))
    list(files.look(lambda entry: entry.stamp < 6))
    assert not (directory / name).exists()
    assert (directory / f"{name}.0000000001").exists()


def _put(cache: Path, name: str) -> Path:
    """A file that nginx has written long ago."""
    file = cache / name[-1] / name[-3:-1] / name
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text("\nKEY: k\nHTTP/1.1 200 OK\r\nX-Edge-Entry: 5 alma a\r\n\r\n")
    os.utime(file.parent, (1e9, 1e9))
    return file


def test_a_look_that_fails_is_made_again_until_every_file_is_known(tmp_path: Path) -> None:
    for number in range(3):
        good = _put(tmp_path, f"{number:029x}abc")
    bad = good.with_name(f"{9:029x}abc")
    bad.symlink_to(good)  # is not read, whoever asks
    os.utime(good.parent, (1e9, 1e9))
    files = Files(tmp_path, Index())
    for _ in range(3):
        with pytest.raises(UnableError, match=bad.name):
            list(files.look(_never))
    bad.unlink()
    os.utime(good.parent, (1e9, 1e9))
    list(files.look(_never))
    assert len(files.index) == 3


def test_a_disk_that_is_as_good_as_full() -> None:
    def disk(size: int, free: int, files: int = 0, unused: int = 0) -> os.statvfs_result:
        return os.statvfs_result((4096, 4096, size >> 12, free >> 12, free >> 12, files, unused, unused, 0, 255))

    gib = 1 << 30
    for roomy in (disk(100 * gib, 64 << 20), disk(gib, gib // 99), disk(gib, gib, 1000, 10)):
        assert crowded(roomy) == ""
    for full in (disk(100 * gib, 63 << 20), disk(gib, gib // 101), disk(gib, gib, 1000, 9)):
        assert "full" in crowded(full)


def test_a_lease_that_cannot_be_taken_back_is_over_when_it_was_to_be(tmp_path: Path) -> None:
    clock = Clock()
    lease = Lease(tmp_path / "leases", clock)
    assert lease.over == clock.steady
    assert lease.extend(lease.begin(), 5.0)
    assert lease.over == clock.steady + 5
    (tmp_path / "leases").rename(tmp_path / "away")
    (tmp_path / "leases").touch()  # unlink: not a directory
    clock.wait(1)
    lease.end()
    assert lease.held
    assert lease.over == clock.steady + 4
    (tmp_path / "leases").unlink()
    (tmp_path / "away").rename(tmp_path / "leases")
    lease.end()
    assert lease.over == clock.steady
    assert _seconds(tmp_path / "leases") == []


def test_a_cache_or_log_of_somebody_else_is_told(tmp_path: Path) -> None:
    """In a child process that is nobody's."""
    if os.geteuid():
        pytest.skip("only root can become somebody else")
    (tmp_path / "cache").mkdir(mode=0o700)
    (tmp_path / "edge.log").touch(mode=0o600)
    child = os.fork()
    if not child:
        told = 0
        os.setuid(65534)
        for act in (lambda: list(Files(tmp_path / "cache", Index()).look(_never)), Log(tmp_path / "edge.log").follow):
            try:
                act()
            except UnableError:
                told += 1
        os._exit(told)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 2
