"""The fills process: `python -m app.fills`, started by the supervisor, one a node."""

from __future__ import annotations

import contextlib
import itertools
import logging
import os
import resource
import signal
import socket
import sys
import threading
from pathlib import Path

from app import compose, config, logs, repositories
from app.config import Settings
from app.errors import ArtifactError, StoreDown
from app.eviction import HOURLY, Evictor
from app.fills import spool
from app.hosting import naming
from app.hosting.index import Indexer
from app.hosting.sweeping import Sweep
from app.hosting.tidying import tidy
from app.maintenance import require_whole
from app.prefetch.working import Prefetching
from app.problems import ConfigError
from app.pruning import Pruning
from app.shelf import Shelf
from app.web.carrier import Carrier

log = logging.getLogger("artifactapi.fills")

STOP = 30.0  # seconds that running responses and fills are given
LEAVE = 6.0  # seconds for a job to be left to whoever goes on with it
DESCRIPTORS = 65536  # open files at most, where the system allows so many
NICE, SESSION_NICE = 10, 5  # beside cold streams hits keep more of their latency (ARCHITECTURE.md has the figures)
MINUTE = 60.0  # seconds between the making of a spool and its lock, at the very most
STACK = 1 << 20  # bytes of a thread's stack: hundreds of slow clients sleep in one, and a package is read in one


def main() -> int:
    """Serve handed requests until SIGTERM; SIGHUP loads the supervisor's configuration snapshot again."""
    settings = config.from_environment(os.environ)
    logs.configure(settings.log_format, settings.debug)
    threading.stack_size(STACK)
    _raise_descriptors()
    _give_way()
    carrier = compose.carrier(settings, repositories.load(settings.config_path))
    _reap(carrier, settings.layout.spool)
    stopping = threading.Event()
    shelf = carrier.engine.shelf
    evictor = Evictor(
        shelf.catalog,
        shelf.blobs,
        lambda: carrier.repositories.filed,
        settings,
        lambda: tidy(shelf, settings.layout.spool, carrier.repositories.locals.values()),
    )
    evictor.start()
    (pruning := Pruning(shelf.catalog, settings.pulls_keep)).start()
    ahead = _begin(carrier, settings.layout.spool, stopping)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stopping.set())
    signal.signal(signal.SIGHUP, lambda *_: _reload(carrier, settings))
    carrier.serve(_listener(settings), stopping)
    ahead.join(LEAVE)
    drained = carrier.drain(STOP)
    evictor.close()
    pruning.close()
    carrier.finish.close()
    return 0 if drained else 1


def _begin(carrier: Carrier, spools: Path, stopping: threading.Event) -> threading.Thread:
    """What this process does beside serving; the thread of jobs, which is waited for at the end."""
    shelf, known = carrier.engine.shelf, carrier.repositories
    sweep = Sweep(Indexer(shelf, spools), known.get)
    work = {
        "sweep": lambda: _sweep(carrier, spools, stopping),
        "indexes": lambda: sweep.until(stopping.wait),
        "naming": lambda: naming.until(shelf.catalog, lambda: known.locals.values(), stopping.wait),
        "jobs": lambda: Prefetching(carrier.engine, known.get).until(stopping.wait),
    }
    threads = {name: threading.Thread(target=target, name=name, daemon=True) for name, target in work.items()}
    for each in threads.values():
        each.start()
    return threads["jobs"]


def _raise_descriptors() -> None:
    """A response that follows a download holds two; the usual soft limit of 1024 is soon reached."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = DESCRIPTORS if hard == resource.RLIM_INFINITY else min(hard, DESCRIPTORS)
    resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def _listener(settings: Settings) -> socket.socket:
    """The supervisor's socket, in which requests wait while this process is restarted; else one of our own."""
    inherited = os.environ.get("ARTIFACTAPI_FILLS_FD")
    if inherited is not None:
        return socket.socket(fileno=int(inherited))
    path = settings.fills_socket or settings.layout.socket("fills.sock")
    path.unlink(missing_ok=True)
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    listener.bind(str(path))
    listener.listen(1024)
    return listener


def _give_way() -> None:
    """Among this process's neighbours, and where the kernel weighs sessions (sched(7), autogroup) among those:
    there a nice value counts within its own session alone."""
    os.nice(NICE)
    with contextlib.suppress(OSError):
        Path("/proc/self/autogroup").write_text(str(SESSION_NICE), encoding="ascii")


def _reap(carrier: Carrier, spools: Path, age: float = 0.0) -> None:
    """A predecessor that was killed left spools and locks; its locks are freed so that nobody waits for them."""
    for orphan in spool.reap(spools, age):
        log.warning("freed the lock of a dead download of %s", orphan.lock)
        with contextlib.suppress(StoreDown):
            carrier.engine.visits.fetch.memory.break_lock(orphan.lock, orphan.token)


def _sweep(carrier: Carrier, spools: Path, stopping: threading.Event) -> None:
    """What dead processes left half-made: workers' uploads in the spool hourly, and in the store now and daily; on a
    thread, for S3 may be slow or down."""
    for hour in itertools.count():
        try:
            _reap(carrier, spools, MINUTE)
            if hour % 24 == 0:
                _sweep_store(carrier.engine.shelf)
        except ArtifactError as error:
            level = logging.WARNING if isinstance(error, StoreDown) else logging.ERROR
            log.log(level, "the store is not looked after: %s", error.message)
        except OSError as error:
            log.warning("the spool is not looked after: %s", error.strerror)
        if stopping.wait(HOURLY):
            return


def _sweep_store(shelf: Shelf) -> None:
    """Also tells that the database is not the one that belongs to the store."""
    if count := shelf.blobs.reap():
        log.info("removed %d files or uploads of dead processes", count)
    require_whole(shelf.catalog.index, shelf.blobs)


def _reload(carrier: Carrier, settings: Settings) -> None:
    try:
        carrier.reload(repositories.load(settings.config_path))
    except ConfigError as error:
        log.error("the configuration is kept as it was: %s", error)


if __name__ == "__main__":
    sys.exit(main())
