"""Knows how a client is run here: a fresh HOME, nothing of the machine's own settings, a time limit."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


class CommandFailedError(AssertionError):
    """A client ended with another status than 0; carries all that it printed."""


def environment(home: Path) -> dict[str, str]:
    """All that a client sees of the environment: no proxy, no locale, no configuration but its own."""
    scratch = home / "tmp"
    scratch.mkdir(parents=True, exist_ok=True)
    return {"PATH": _PATH, "HOME": str(home), "TMPDIR": str(scratch), "LC_ALL": "C.UTF-8"}


def run(command: list[str], home: Path, timeout: float = 60, cwd: Path | None = None) -> str:
    """What the command printed (both streams); raises CommandFailedError, or after `timeout` seconds."""
    done = subprocess.run(
        command,
        env=environment(home),
        cwd=cwd or home,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        timeout=timeout,
        check=False,
    )
    output = done.stdout.decode(errors="replace")
    if done.returncode:
        raise CommandFailedError(f"{' '.join(command)}: status {done.returncode}\n{output}")
    return output


def spawn(command: list[str], home: Path) -> subprocess.Popen[bytes]:
    """Start a command that the test means to kill; its output is dropped."""
    return subprocess.Popen(
        command,
        env=environment(home),
        cwd=home,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )


def as_root() -> list[str]:
    """Prefix of commands that insist on being root: nothing for root, a user namespace for others."""
    return [] if os.geteuid() == 0 else ["unshare", "--user", "--map-root-user", "--"]
