"""Knows how apt is run: below a root of its own, with one signed source and nothing of the machine's settings."""

from __future__ import annotations

import subprocess
from pathlib import Path

from tests.clients.commands import run, spawn

# Retries would hide a failure, and `update` calls many failures warnings unless it is told otherwise.
_CONFIGURATION = """\
Dir "{root}/";
Dir::State::status "{root}/var/lib/dpkg/status";
APT::Architecture "amd64";
APT::Architectures {{ "amd64"; }};
APT::Sandbox::User "root";
APT::Update::Error-Mode "any";
APT::Get::Assume-Yes "true";
Acquire::Languages "none";
Acquire::Retries "0";
Acquire::http::Timeout "20";
Acquire::PDiffs::SizeLimit "100000";
DPkg::Use-Pty "false";
DPkg::Options {{ "--root={root}"; "--force-not-root"; "--force-unsafe-io"; "--log={root}/dpkg.log"; }};
"""


class Apt:
    """One machine's apt-get; its lists, its archives and its root are empty at first.

    `source` is what follows the address in sources.list; `keyring` is whom it trusts.
    """

    def __init__(self, home: Path, url: str, source: str, keyring: Path) -> None:
        self._home = home
        self.root = home / "root"
        for directory in ("etc/apt/apt.conf.d", "etc/apt/preferences.d", "var/log/apt"):
            (self.root / directory).mkdir(parents=True)
        for directory in ("var/lib/apt/lists/partial", "var/cache/apt/archives/partial"):
            (self.root / directory).mkdir(parents=True)
        for directory in ("info", "updates", "triggers"):
            (self.root / "var/lib/dpkg" / directory).mkdir(parents=True)
        (self.root / "var/lib/dpkg/status").touch()
        configuration = home / "apt.conf"
        configuration.write_text(_CONFIGURATION.format(root=self.root), encoding="utf-8")
        line = f"deb [signed-by={keyring}] {url} {source}\n"
        (self.root / "etc/apt/sources.list").write_text(line, encoding="utf-8")
        self._command = ["env", f"APT_CONFIG={configuration}", "apt-get"]

    def __call__(self, *arguments: str) -> str:
        return run([*self._command, *arguments], self._home)

    def download(self, *packages: str) -> None:
        """Fetch them and what they depend on into archives/."""
        self("install", "--download-only", *packages)

    def installed(self) -> dict[str, str]:
        """name -> version, by dpkg's own database."""
        database = f"--admindir={self.root}/var/lib/dpkg"
        output = run(["dpkg-query", database, "--show", "--showformat=${Package} ${Version}\\n"], self._home)
        return dict(line.split() for line in output.splitlines())

    def start(self, *arguments: str) -> subprocess.Popen[bytes]:
        """Run in the background, to be killed."""
        return spawn([*self._command, *arguments], self._home)

    def partial(self) -> int:
        """Bytes of packages that are downloading, or were when it was killed."""
        files = list((self.root / "var/cache/apt/archives/partial").glob("*.deb"))
        return sum(file.stat().st_size for file in files)

    def archives(self) -> list[Path]:
        """The packages downloaded and kept."""
        return sorted((self.root / "var/cache/apt/archives").glob("*.deb"))

    def lists(self) -> dict[str, bytes]:
        """The index files that it holds, by the name that apt gives them without the address."""
        files = (self.root / "var/lib/apt/lists").glob("*_*")
        return {file.name.rpartition("_dists_")[2] or file.name: file.read_bytes() for file in files}
