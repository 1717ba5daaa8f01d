"""Knows how zypper is run: everything below a root of its own, with one repository."""

from __future__ import annotations

from pathlib import Path

from tests.clients.commands import as_root, run
from tests.clients.dnf import installed


class Zypper:
    """One machine's zypper; its caches, its repositories and its root are empty at first."""

    def __init__(self, executable: str, home: Path, url: str) -> None:
        self._home = home
        self.root = home / "root"
        self.root.mkdir(parents=True)
        self._command = [
            *as_root(),
            executable,
            "--root",
            str(self.root),
            "--non-interactive",
            "--no-gpg-checks",
        ]
        self("addrepo", "--no-gpgcheck", "--no-check", url, "test")

    def __call__(self, *arguments: str) -> str:
        return run([*self._command, *arguments], self._home)

    def installed(self) -> dict[str, str]:
        """name -> version, by rpm's own database."""
        return installed(self.root, self._home)
