"""Cargo as its users run it, and the crates that a sparse registry has."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import os
import subprocess
import tarfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from tests.clients.commands import environment
from tests.upstreams import Upstream


@dataclass(frozen=True, slots=True)
class Crate:
    """One version of a crate, whose library returns `text`."""

    name: str
    version: str
    text: str = "hello"
    needs: Mapping[str, str] = field(default_factory=dict)  # name -> requirement

    @property
    def body(self) -> bytes:
        needs = "".join(f'{name} = "{wanted}"\n' for name, wanted in self.needs.items())
        manifest = f'[package]\nname = "{self.name}"\nversion = "{self.version}"\nedition = "2021"\n[dependencies]\n'
        code = f'pub fn text() -> &\'static str {{ "{self.text}" }}\n'
        tar = io.BytesIO()
        with tarfile.open(fileobj=tar, mode="w") as writer:
            for name, content in (("Cargo.toml", manifest + needs), ("src/lib.rs", code)):
                member = tarfile.TarInfo(f"{self.name}-{self.version}/{name}")
                member.size = len(content)
                writer.addfile(member, io.BytesIO(content.encode()))
        return gzip.compress(tar.getvalue(), mtime=0)

    @property
    def line(self) -> bytes:
        """What the index says of it."""
        plain = {"features": [], "optional": False, "default_features": True, "target": None, "kind": "normal"}
        deps = [{"name": name, "req": wanted, **plain} for name, wanted in self.needs.items()]
        cksum = hashlib.sha256(self.body).hexdigest()
        said = {
            "name": self.name,
            "vers": self.version,
            "deps": deps,
            "cksum": cksum,
            "features": {},
            "yanked": False,
        }
        return json.dumps(said).encode() + b"\n"


def in_index(name: str) -> str:
    """Where the index has a crate of that name."""
    low = name.lower()
    return {1: f"1/{low}", 2: f"2/{low}", 3: f"3/{low[0]}/{low}"}.get(len(low), f"{low[:2]}/{low[2:4]}/{low}")


def publish(index: Upstream, files: Upstream, *crates: Crate) -> None:
    """All of a registry: config.json, a line for each crate, and the crates on another host."""
    template = f"{files.url}/crates/{{crate}}/{{crate}}-{{version}}.crate"
    index.put("/cargo/config.json", json.dumps({"dl": template, "api": files.url, "auth-required": False}).encode())
    lines: dict[str, bytes] = {}
    for each in crates:
        lines[each.name] = lines.get(each.name, b"") + each.line
        files.put(f"/crates/{each.name}/{each.name}-{each.version}.crate", each.body, Content_Type="application/gzip")
    for name, body in lines.items():
        index.put(f"/cargo/{in_index(name)}", body)


class Cargo:
    """One machine's cargo, with that registry in the place of crates.io."""

    def __init__(self, home: Path, url: str) -> None:
        sysroot = subprocess.run(["rustc", "--print", "sysroot"], capture_output=True, check=True, timeout=60)
        self._tools = Path(sysroot.stdout.decode().strip()) / "bin"
        self._project = home / "project"
        self._home = home
        config = f'[source.crates-io]\nreplace-with = "here"\n[source.here]\nregistry = "sparse+{url}/"\n'
        config += f'[registries.here]\nindex = "sparse+{url}/"\n'
        self._write(home / "cargo/config.toml", config + "[net]\nretry = 0\n")

    def project(self, needs: str, uses: str) -> None:
        """A program that prints what `uses` returns."""
        manifest = f'[package]\nname = "app"\nversion = "0.0.1"\nedition = "2021"\n[dependencies]\n{needs}\n'
        self._write(self._project / "Cargo.toml", manifest)
        self._write(self._project / "src/main.rs", f'fn main() {{ println!("{{}}", {uses}); }}\n')

    def __call__(self, *arguments: str) -> str:
        """What it printed; CommandFailedError-like AssertionError with all of it where it failed."""
        env = environment(self._home) | {"CARGO_HOME": str(self._home / "cargo"), "CARGO_TERM_COLOR": "never"}
        env["PATH"] = f"{self._tools}{os.pathsep}{env['PATH']}"
        command = [str(self._tools / "cargo"), *arguments]
        done = subprocess.run(command, env=env, cwd=self._project, capture_output=True, timeout=90, check=False)
        said = (done.stdout + done.stderr).decode(errors="replace")
        assert done.returncode == 0, said
        return said

    def locked(self) -> str:
        """Cargo.lock."""
        return (self._project / "Cargo.lock").read_text()

    def _write(self, file: Path, text: str) -> None:
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
