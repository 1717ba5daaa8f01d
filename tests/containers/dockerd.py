"""Knows how dockerd is run with a registry mirror, and `docker` against it.

What it asks nobody but Docker Hub for goes to a tripwire: it believes that to be its way out.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator
from pathlib import Path

from tests.clients.commands import CommandFailedError, run
from tests.containers.containerd import Containerd
from tests.containers.daemon import running
from tests.containers.machine import Held, Source, tagged
from tests.containers.tripwire import Tripwire


class Docker:
    """The daemon as a machine; `forget()` makes it a fresh one."""

    takes_all = False

    def __init__(self, docker: str, home: Path) -> None:
        self._home = home
        self._command = [docker, "--host", f"unix://{home}/d.sock"]

    def __call__(self, *arguments: str) -> str:
        return run([*self._command, *arguments], self._home)

    def forget(self) -> Docker:
        """Without any image."""
        if images := set(self("image", "ls", "--all", "--quiet").split()):
            self("image", "rm", "--force", *images)
        return self

    def pull(self, source: Source, name: str, reference: str) -> Held:
        """Docker Hub's images by their own names, from the mirror; others by the address of the server."""
        hub = source.serves == "docker.io"
        return self.pull_as(tagged(name, reference) if hub else source.address(name, reference))

    def pull_as(self, address: str) -> Held:
        self("pull", "--quiet", address)
        return self.held(address)

    def held(self, address: str) -> Held:
        """What it has under that name."""
        about = json.loads(self("image", "inspect", address))[0]
        (known,) = about["RepoDigests"]
        return Held(known.partition("@")[2], about["Id"])


@contextlib.contextmanager
def dockerd(
    executables: tuple[str, str], home: Path, mirror: str, beside: Containerd, out: Tripwire
) -> Iterator[Docker]:
    """A running daemon with all of its state below `home`, a short path; `executables` are dockerd and docker."""
    daemon, docker = executables
    file = home / "daemon.json"
    file.write_text(json.dumps({"deprecated-key-path": str(home / "key.json")}), encoding="utf-8")
    places = {"data-root": "data", "exec-root": "exec", "pidfile": "pid", "config-file": file.name}
    command = [
        daemon,
        "--storage-driver=vfs",
        "--iptables=false",
        "--bridge=none",
        f"--host=unix://{home}/d.sock",
        f"--containerd={beside.socket}",
        f"--registry-mirror={mirror}",
        *(f"--{option}={home / place}" for option, place in places.items()),
    ]
    machine = Docker(docker, home)
    with running(command, home, lambda: _answers(machine), *out.variables):
        yield machine


def _answers(machine: Docker) -> bool:
    try:
        return bool(machine("info", "--format", "{{.ID}}").strip())
    except CommandFailedError:
        return False
