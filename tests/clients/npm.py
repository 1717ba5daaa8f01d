"""npm, pnpm and yarn, each with a HOME, a cache and settings of its own; and a registry for them to ask."""

from __future__ import annotations

import base64
import hashlib
import json
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.clients.commands import run
from tests.conftest import require
from tests.hosting.tarballs import tarball
from tests.upstream_wire import Reply, Seen, whole
from tests.upstreams import Upstream

FULL, SHORT = "application/json", "application/vnd.npm.install-v1+json"
BULK = "/-/npm/v1/security/advisories/bulk"


class Registry:
    """What npm's registry is to its clients: documents in both forms here, tarballs on another port, advisories."""

    def __init__(self) -> None:
        self.documents, self.files = Upstream(), Upstream()
        self.asked: list[Mapping[str, str]] = []  # headers of audits
        self._known: dict[str, dict[str, Any]] = {}
        self.documents.fault(self._advised, BULK)

    @property
    def url(self) -> str:
        return self.documents.url

    def add(self, name: str, version: str, **more: Any) -> None:
        """A version whose package.json says `more`."""
        body = tarball(name, version, **more)
        path = f"/files/{hashlib.sha256(body).hexdigest()}/{version}.tgz"
        self.files.put(path, body)
        sha512 = base64.b64encode(hashlib.sha512(body).digest()).decode()
        dist = {"tarball": self.files.url + path, "integrity": f"sha512-{sha512}"}
        manifest = {"name": name, "version": version, **more, "dist": dist}
        self._known.setdefault(name, {})[version] = manifest
        self.documents.put(f"/{name}", b"{}", Content_Type=FULL)
        self.documents.clear(f"/{name}")
        self.documents.fault(lambda reply, seen: self._document(reply, seen, name), f"/{name}")

    def _document(self, reply: Reply, seen: Seen, name: str) -> Reply:
        short = SHORT in seen.headers.get("accept", "")
        found: dict[str, Any] = {
            "name": name,
            "dist-tags": {"latest": list(self._known[name])[-1]},
            "versions": self._known[name],
        }
        if not short:
            found["time"] = dict.fromkeys(self._known[name], "2025-01-01T00:00:00.000Z")
        return whole(200, {"Content-Type": SHORT if short else FULL}, json.dumps(found).encode())

    def _advised(self, _: Reply, seen: Seen) -> Reply:
        self.asked.append(seen.headers)
        advice = {
            "id": 1,
            "url": "https://example.org/1",
            "title": "it is a test",
            "severity": "high",
            "vulnerable_versions": "<9.0.0",
        }
        return whole(200, {"Content-Type": FULL}, json.dumps({"tool": [advice]}).encode())

    def stop(self) -> None:
        self.documents.stop()
        self.files.stop()

    def start(self) -> None:
        self.documents.start()
        self.files.start()


@dataclass(frozen=True, slots=True)
class Npm:
    """A machine on which one of npm, pnpm, yarn is run; `registry` is its only one, with a slash at its end."""

    command: Sequence[str]
    home: Path
    registry: str

    def __post_init__(self) -> None:
        self.home.mkdir(parents=True, exist_ok=True)
        quiet = "update-notifier=false\nfund=false\naudit=false\nfetch-retries=0\n"
        (self.home / ".npmrc").write_text(f"registry={self.registry}\n{quiet}")
        (self.home / ".yarnrc").write_text(f'registry "{self.registry}"\ndisable-self-update-check true\n')

    def __call__(self, *arguments: str, cwd: Path | None = None) -> str:
        return run([*self.command, *arguments], self.home, cwd=cwd)

    def project(self, dependencies: Mapping[str, str], lock: Path | None = None) -> Path:
        """A new directory with a package.json, and a lock file as it was elsewhere."""
        directory = self.home / f"project{len(list(self.home.iterdir()))}"
        directory.mkdir()
        said = {"name": "project", "version": "1.0.0", "dependencies": dict(dependencies)}
        (directory / "package.json").write_text(json.dumps(said))
        if lock is not None:
            (directory / lock.name).write_bytes(lock.read_bytes())
        return directory

    def installed(self, directory: Path) -> Mapping[str, str]:
        """The versions in its node_modules by name."""
        found = [*directory.glob("node_modules/*/package.json"), *directory.glob("node_modules/@*/*/package.json")]
        said = [json.loads(each.read_text()) for each in found]
        return {each["name"]: each["version"] for each in said}


def others(directory: Path) -> Mapping[str, Sequence[str]]:
    """The commands of pnpm and yarn, installed by npm from wherever this machine gets its packages."""
    npm = require("npm")
    wanted = [npm, "install", "--prefix", str(directory), "--no-audit", "--no-fund", "pnpm@9", "yarn@1"]
    subprocess.run(wanted, check=True, capture_output=True, timeout=120, cwd=directory)
    node, modules = require("node"), directory / "node_modules"
    return {
        "pnpm": [node, str(modules / "pnpm" / "bin" / "pnpm.cjs")],
        "yarn": [node, str(modules / "yarn" / "bin" / "yarn.js")],
    }
