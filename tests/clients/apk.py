"""Knows how apk 3 is run: a root of its own, one repository, nothing trusted from the machine."""

from __future__ import annotations

import os
from pathlib import Path

from tests.clients.apks import ARCH
from tests.clients.commands import run


class Apk:
    """One machine's apk; `url` is a v2 repository, or the address of a v3 index (it ends with .adb).

    It verifies signatures where it is given the directory of its `keys`, and else none.
    """

    def __init__(self, command: list[str], home: Path, url: str, keys: Path | None = None) -> None:
        self._home = home
        self.root = home / "root"
        self.root.mkdir(parents=True)
        trust = ["--keys-dir", str(keys)] if keys else ["--allow-untrusted"]
        options = ["--repositories-file", "/dev/null", *trust, "--arch", ARCH, "--timeout", "20"]
        self._command = [*command, "--root", str(self.root), *options, "--repository", url]
        self("add", "--initdb", *([] if os.geteuid() == 0 else ["--usermode"]), "--no-network")

    def __call__(self, *arguments: str) -> str:
        return run([*self._command, *arguments], self._home)

    def installed(self) -> dict[str, str]:
        """name -> version, by apk's own database."""
        lines = (self.root / "lib/apk/db/installed").read_text(encoding="utf-8").splitlines()
        names, versions = ([line[2:] for line in lines if line.startswith(field)] for field in ("P:", "V:"))
        return dict(zip(names, versions, strict=True))
