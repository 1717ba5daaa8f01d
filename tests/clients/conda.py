"""Packages and channels of conda as an upstream serves them, and rattler, the client of pixi, that installs them.

`python -m tests.clients.conda URL CACHE PREFIX SHARDS NAME...` is one run of it, in a process of its own.
"""

from __future__ import annotations

import asyncio
import bz2
import hashlib
import io
import json
import os
import sys
import tarfile
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgpack  # type: ignore[import-untyped]
import zstandard

from tests.clients.commands import run
from tests.stack import ROOT
from tests.upstreams import Upstream

SUBDIR = "noarch"


@dataclass(frozen=True, slots=True)
class Package:
    """One package with one file, opt/<name>; `suffix` tells the form."""

    name: str
    version: str = "1.0"
    depends: Sequence[str] = ()
    suffix: str = ".conda"

    @property
    def stem(self) -> str:
        return f"{self.name}-{self.version}-0"

    @property
    def file(self) -> str:
        return self.stem + self.suffix

    @property
    def content(self) -> bytes:
        return f"{self.stem} says hello\n".encode()

    @property
    def index(self) -> dict[str, Any]:
        said = {"name": self.name, "version": self.version, "build": "0", "build_number": 0, "subdir": SUBDIR}
        return said | {"noarch": "generic", "depends": list(self.depends), "timestamp": 1_760_000_000_000}

    @property
    def body(self) -> bytes:
        path = f"opt/{self.name}"
        digest = hashlib.sha256(self.content).hexdigest()
        one = {"_path": path, "path_type": "hardlink", "sha256": digest, "size_in_bytes": len(self.content)}
        paths = json.dumps({"paths": [one], "paths_version": 1}).encode()
        info = {"info/index.json": json.dumps(self.index).encode(), "info/paths.json": paths}
        if self.suffix != ".conda":
            return bz2.compress(_tar({**info, path: self.content}))
        packed = {"info": _tar(info), "pkg": _tar({path: self.content})}
        body = io.BytesIO()
        with zipfile.ZipFile(body, "w") as archive:
            archive.writestr(zipfile.ZipInfo("metadata.json"), '{"conda_pkg_format_version": 2}')
            for part, tar in packed.items():
                archive.writestr(zipfile.ZipInfo(f"{part}-{self.stem}.tar.zst"), zstandard.compress(tar))
        return body.getvalue()

    @property
    def record(self) -> dict[str, Any]:
        """What repodata says of it."""
        body = self.body
        return self.index | {"sha256": hashlib.sha256(body).hexdigest(), "size": len(body)}


@dataclass(frozen=True, slots=True)
class Channel:
    """What one directory of a channel says."""

    packages: Sequence[Package]
    info: Mapping[str, str] = field(default_factory=dict)

    @property
    def repodata(self) -> bytes:
        said = {"info": {"subdir": SUBDIR, **self.info}, **_records(self.packages), "repodata_version": 1}
        return json.dumps(said).encode()

    @property
    def shards(self) -> dict[str, bytes]:
        """The shard of each package's name."""
        found = {}
        for name in {each.name for each in self.packages}:
            said = _records([each for each in self.packages if each.name == name])
            for records in said.values():
                for record in records.values():
                    record["sha256"] = bytes.fromhex(record["sha256"])
            found[name] = zstandard.compress(msgpack.packb(said | {"removed": []}))
        return found

    @property
    def index(self) -> bytes:
        """repodata_shards.msgpack.zst."""
        named = {name: hashlib.sha256(body).digest() for name, body in self.shards.items()}
        info = {"subdir": SUBDIR, "base_url": "./", "shards_base_url": "./shards/", **self.info}
        return zstandard.compress(msgpack.packb({"info": info, "shards": named}))

    def publish(self, upstream: Upstream, base: str = "", *, shards: str = "") -> None:
        """As a whole, packed or not; with `shards` also below that path, and listed."""
        below = f"{base}/{SUBDIR}"
        upstream.put(f"{below}/repodata.json", self.repodata, Content_Type="application/json")
        upstream.put(f"{below}/repodata.json.zst", zstandard.compress(self.repodata))
        if shards:
            upstream.put(f"{below}/repodata_shards.msgpack.zst", self.index)
            for body in self.shards.values():
                upstream.put(f"{shards}/{hashlib.sha256(body).hexdigest()}.msgpack.zst", body)

    def place(self, upstream: Upstream, directory: str) -> None:
        """The packages themselves."""
        for each in self.packages:
            upstream.put(f"{directory}/{each.file}", each.body)


def _records(packages: Sequence[Package]) -> dict[str, dict[str, Any]]:
    forms = {"packages": ".tar.bz2", "packages.conda": ".conda"}
    return {
        section: {each.file: each.record for each in packages if each.suffix == suffix}
        for section, suffix in forms.items()
    }


def _tar(files: Mapping[str, bytes]) -> bytes:
    body = io.BytesIO()
    with tarfile.open(fileobj=body, mode="w") as archive:
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return body.getvalue()


class Conda:
    """One machine's rattler, with one channel."""

    def __init__(self, home: Path, url: str, *, shards: bool = False) -> None:
        self.home, self.prefix = home, home / "prefix"
        self._command = [sys.executable, "-m", "tests.clients.conda", url, str(home / "cache"), str(self.prefix)]
        self._command.append("shards" if shards else "")
        home.mkdir(parents=True)

    def install(self, *specs: str) -> str:
        """What it said; raises CommandFailedError."""
        return run([*self._command, *specs], self.home, cwd=ROOT)

    def has(self, package: Package) -> bool:
        file = self.prefix / "opt" / package.name
        return file.exists() and file.read_bytes() == package.content


async def _install(url: str, cache: str, prefix: str, shards: str, *specs: str) -> None:
    from rattler import Gateway, install, solve
    from rattler.repo_data.gateway import SourceConfig

    gateway = Gateway(Path(cache) / "repodata", SourceConfig(sharded_enabled=bool(shards)))
    records = await solve([url], list(specs), gateway, platforms=["noarch"])
    await install(records, prefix, Path(cache) / "packages", show_progress=False)


if __name__ == "__main__":
    asyncio.run(_install(*sys.argv[1:]))
    os._exit(0)  # its threads do not survive the interpreter's end
