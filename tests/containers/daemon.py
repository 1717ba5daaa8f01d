"""Knows how a daemon of containers is run: in a mount namespace of its own, so that its mounts end with it."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.clients.commands import environment

# Both write below /run whatever they are told; this /run is nobody else's.
_ENCLOSED = ["unshare", "--mount", "--", "sh", "-c", 'mount -t tmpfs none /run && exec "$@"', "sh"]


def require_root() -> None:
    """dockerd and containerd mount, and refuse anyone else."""
    if os.geteuid() != 0:
        pytest.skip("daemons of containers need root")


@contextlib.contextmanager
def short_directory() -> Iterator[Path]:
    """A directory whose sockets have short names: 107 bytes are the most."""
    with tempfile.TemporaryDirectory(prefix="art", dir="/tmp", ignore_cleanup_errors=True) as made:
        yield Path(made)


@contextlib.contextmanager
def running(command: list[str], home: Path, ready: Callable[[], bool], *variables: str) -> Iterator[None]:
    """The daemon inside this block; its log is `home`/log."""
    log = home / "log"
    with log.open("wb") as out:
        daemon = subprocess.Popen(
            [*_ENCLOSED, "env", *variables, *command],
            env=environment(home),
            cwd=home,
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=out,
        )
    try:
        _await(daemon, ready, log)
        yield
    finally:
        _end(daemon)


def _await(daemon: subprocess.Popen[bytes], ready: Callable[[], bool], log: Path) -> None:
    deadline = time.monotonic() + 30
    while not ready():
        if daemon.poll() is not None or time.monotonic() > deadline:
            raise AssertionError(log.read_text(encoding="utf-8", errors="replace"))
        time.sleep(0.05)


def _end(daemon: subprocess.Popen[bytes]) -> None:
    daemon.send_signal(signal.SIGTERM)
    try:
        daemon.wait(20)
    except subprocess.TimeoutExpired:
        daemon.kill()
        daemon.wait(10)
