"""Knows how dnf is run: into an installroot of its own, with one repository and no other configuration."""

from __future__ import annotations

import subprocess
from pathlib import Path

from tests.clients.commands import as_root, run, spawn

_CONFIGURATION = """\
[main]
reposdir=/dev/null
varsdir=/dev/null
pluginconfpath=/dev/null
plugins=0
gpgcheck=0
keepcache=1
timeout=20
retries=1
logdir=/log
[test]
name=test
baseurl={url}
"""


class Dnf:
    """One machine's dnf; its cache and its root are empty at first."""

    def __init__(self, executable: str, home: Path, url: str) -> None:
        self._home = home
        self.root = home / "root"
        self.root.mkdir(parents=True)
        configuration = home / "dnf.conf"
        configuration.write_text(_CONFIGURATION.format(url=url), encoding="utf-8")
        self._command = [
            *as_root(),
            executable,
            f"--config={configuration}",
            f"--installroot={self.root}",
            "--releasever=9",
            "--assumeyes",
        ]

    def __call__(self, *arguments: str) -> str:
        return run([*self._command, *arguments], self._home)

    def start(self, *arguments: str) -> subprocess.Popen[bytes]:
        """Run in the background, to be killed."""
        return spawn([*self._command, *arguments], self._home)

    def installed(self) -> dict[str, str]:
        """name -> version, by rpm's own database."""
        return installed(self.root, self._home)

    def downloads(self, name: str) -> list[Path]:
        """Files of that name in the cache, partial ones too."""
        return list((self.root / "var/cache").rglob(name))


def installed(root: Path, home: Path) -> dict[str, str]:
    """What rpm says is installed below `root`: name -> version."""
    output = run(["rpm", "--root", str(root), "-qa", "--queryformat", "%{NAME} %{VERSION}\\n"], home)
    return dict(line.split() for line in output.splitlines())
