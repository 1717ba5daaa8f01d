"""Knows how buildah is run: it pulls, and builds a Dockerfile in a chroot."""

from __future__ import annotations

from pathlib import Path

from tests.clients.commands import as_root, run
from tests.containers.machine import Held, Source
from tests.containers.podman import held, storage


class Buildah:
    """One machine's buildah."""

    takes_all = False

    def __init__(self, executable: str, home: Path) -> None:
        self._home = home
        self._command = [*as_root(), "env", "BUILDAH_ISOLATION=chroot", executable, *storage(home)]

    def __call__(self, *arguments: str) -> str:
        return run([*self._command, *arguments], self._home)

    def pull(self, source: Source, name: str, reference: str) -> Held:
        """`buildah from`: a working container of the image."""
        self("from", "--quiet", "--tls-verify=false", source.address(name, reference))
        return held(self._home)

    def build(self, dockerfile: str, tag: str) -> str:
        """Build without any context; what was printed."""
        (self._home / "Dockerfile").write_text(dockerfile, encoding="utf-8")
        return self("build", "--tls-verify=false", "--tag", tag, "--file", "Dockerfile", str(self._home))
