"""The files by which a node's processes count together, and what becomes of those of the dead.

$PROMETHEUS_MULTIPROC_DIR/
    counter_<pid>.db  histogram_<pid>.db    one a process; its counts outlive it
    gauge_live<mode>_<pid>.db               ends with its process
    counter_0.db  histogram_0.db            the sums of the dead: no process has pid 0
    fold.lock                               shared by who reads the page, exclusive for who folds

It is a link into memory: the files are mapped, and a page of one that finds a full disk ends its process (SIGBUS).
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import tempfile
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

from prometheus_client.mmap_dict import MmapedDict

VARIABLE = "PROMETHEUS_MULTIPROC_DIR"
MEMORY = Path("/dev/shm")  # noqa: S108  the directory below it has a new name and is its owner's alone
ROOM = 32 << 20  # bytes; the files of nine processes that know fifty busy repositories are 12 MiB
SUMMED = ("counter", "histogram")


def renew(place: Path) -> None:
    """An empty directory at `place`, in memory where there is enough of it; what an earlier start left is gone."""
    discard(place)
    if MEMORY.is_dir() and os.access(MEMORY, os.W_OK) and shutil.disk_usage(MEMORY).free >= ROOM:
        place.symlink_to(tempfile.mkdtemp(prefix="artifactapi-", dir=MEMORY))
    else:
        place.mkdir(mode=0o700)


def discard(place: Path) -> None:
    """Remove it with all counts."""
    shutil.rmtree(place.resolve(), ignore_errors=True)
    if place.is_symlink():
        place.unlink()


def directory() -> Path | None:
    """Where this process counts; None where it counts for itself alone."""
    return Path(os.environ[VARIABLE]) if os.environ.get(VARIABLE) else None


@contextlib.contextmanager
def unfolded() -> Iterator[None]:
    """While the block reads the files, nobody folds them: nothing is counted twice or missed."""
    with _locked(directory(), fcntl.LOCK_SH):
        yield


def forget_gauges(place: Path) -> None:
    """What dead processes had in progress or in force is not told any more. Readers pass over what is gone
    (prometheus_client, multiprocess.py)."""
    for gauge in _dead(place, "gauge_live*"):
        gauge.unlink(missing_ok=True)


def fold() -> None:
    """Add the counts of processes that ended to the sums and remove their files.

    Without it each restart of a worker would leave two more files for every later scrape to read. Where a page
    is being read it is left for the next time: nobody who restarts workers may wait for one of them.
    """
    if (place := directory()) is None:
        return
    forget_gauges(place)
    with contextlib.suppress(BlockingIOError), _locked(place, fcntl.LOCK_EX | fcntl.LOCK_NB):
        for kind in SUMMED:
            _fold(place / f"{kind}_0.db", _dead(place, kind))


def _fold(total: Path, dead: list[Path]) -> None:
    if not dead:
        return
    sums: defaultdict[str, float] = defaultdict(float)
    for file in [*dead, *([total] if total.exists() else [])]:
        for key, value, *_ in MmapedDict.read_all_values_from_file(str(file)):  # type: ignore[no-untyped-call]
            sums[key] += value
    fresh = total.with_suffix(".new")
    fresh.unlink(missing_ok=True)
    written = MmapedDict(str(fresh))  # type: ignore[no-untyped-call]
    for key, value in sums.items():
        written.write_value(key, value, 0.0)  # type: ignore[no-untyped-call]
    written.close()  # type: ignore[no-untyped-call]
    fresh.replace(total)
    for file in dead:
        file.unlink()


def _dead(place: Path, kind: str) -> list[Path]:
    """The files of that kind whose process is no more; a pid that another process got by now waits for its end."""
    return [
        file
        for file in sorted(place.glob(f"{kind}_*.db"))
        if (pid := file.stem.rpartition("_")[2]) != "0" and not Path("/proc", pid).exists()
    ]


@contextlib.contextmanager
def _locked(place: Path | None, how: int) -> Iterator[None]:
    if place is None:
        yield
        return
    descriptor = os.open(place / "fold.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, how)
        yield
    finally:
        os.close(descriptor)
