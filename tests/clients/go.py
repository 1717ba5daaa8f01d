"""Go as its users run it, the modules that an upstream serves, and a checksum database that vouches for them."""

from __future__ import annotations

import base64
import hashlib
import io
import json
import re
import sys
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from tests.clients.commands import run
from tests.conftest import require
from tests.upstreams import Upstream

_EPOCH = (2026, 11, 1, 0, 0, 0)


@dataclass(frozen=True, slots=True)
class Module:
    """One version of a module whose only package returns `text`."""

    path: str
    version: str
    text: str = "hello"
    needs: Sequence[str] = ()  # "example.org/lib v1.0.0"

    @property
    def mod(self) -> bytes:
        needed = "".join(f"require {each}\n" for each in self.needs)
        return f"module {self.path}\n\ngo 1.21\n{needed}".encode()

    @property
    def files(self) -> Mapping[str, bytes]:
        name = self.path.rpartition("/")[2].lower()
        code = f'package {name}\n\nfunc Text() string {{ return "{self.text}" }}\n'
        return {"go.mod": self.mod, f"{name}.go": code.encode()}

    @property
    def zip(self) -> bytes:
        body = io.BytesIO()
        with zipfile.ZipFile(body, "w") as archive:
            for name, content in self.files.items():
                archive.writestr(zipfile.ZipInfo(f"{self.path}@{self.version}/{name}", _EPOCH), content)
        return body.getvalue()

    @property
    def info(self) -> bytes:
        return json.dumps({"Version": self.version, "Time": "2026-11-01T00:00:00Z"}).encode()

    @property
    def record(self) -> str:
        """Its lines of go.sum."""
        whole = {f"{self.path}@{self.version}/{name}": content for name, content in self.files.items()}
        lines = f"{self.path} {self.version} {_h1(whole)}\n"
        return f"{lines}{self.path} {self.version}/go.mod {_h1({'go.mod': self.mod})}\n"


def escaped(text: str) -> str:
    """With ! for capital letters."""
    return re.sub(r"[A-Z]", lambda match: f"!{match[0].lower()}", text)


def wire(path: str) -> str:
    """As the path reaches an upstream."""
    return quote(escaped(path), safe="/:@~!")


def publish(upstream: Upstream, *modules: Module) -> None:
    """All versions of those modules that this upstream then has."""
    for path in {each.path for each in modules}:
        versions = "".join(f"{each.version}\n" for each in modules if each.path == path)
        upstream.put(wire(f"/{path}/@v/list"), versions.encode(), Content_Type="text/plain")
    for each in modules:
        for suffix, body in (("info", each.info), ("mod", each.mod), ("zip", each.zip)):
            upstream.put(wire(f"/{each.path}/@v/{each.version}.{suffix}"), body)


class Go:
    """One machine's go, which knows one proxy; `database` is what it verifies modules by (GOSUMDB)."""

    def __init__(self, home: Path, proxy: str, database: str = "off") -> None:
        self.home, self.project = home, home / "project"
        self._go = require(str(Path(sys.executable).parent / "go"))
        settings = {
            "GOPROXY": proxy,
            "GOSUMDB": database,
            "GOPATH": home / "go",
            "GOCACHE": home / "cache",
            "GOFLAGS": "-modcacherw -mod=mod",
            "GOTOOLCHAIN": "local",
            "GOTELEMETRY": "off",
            "GONOSUMDB": "",
            "GOPRIVATE": "",
            "GOVCS": "*:off",
        }
        self._environment = [f"{name}={value}" for name, value in settings.items()]
        self.project.mkdir(parents=True)

    def __call__(self, *arguments: str) -> str:
        """What `go ARGUMENTS` said in the project; raises CommandFailedError."""
        return run(["env", *self._environment, self._go, *arguments], self.home, cwd=self.project)

    def needs(self, *modules: Module) -> None:
        """Have the project be one that uses them."""
        imports = "".join(f'import _ "{each.path}"\n' for each in modules)
        (self.project / "project.go").write_text(f"package project\n\n{imports}")
        self.project.joinpath("go.mod").write_text("module example.org/project\n\ngo 1.21\n")
        for each in modules:
            self("mod", "edit", f"-require={each.path}@{each.version}")

    def source(self, module: Module) -> str:
        """The code that was downloaded."""
        name = module.path.rpartition("/")[2].lower()
        where = self.home / "go/pkg/mod" / f"{escaped(module.path)}@{module.version}"
        return (where / f"{name}.go").read_text()


class Database:
    """A checksum database of fewer than 256 records.

    Source: go.dev/design/25530-sumdb; RFC 6962; c2sp.org/signed-note.
    """

    def __init__(self, name: str, *records: str) -> None:
        self.name = name
        self._key = Ed25519PrivateKey.from_private_bytes(hashlib.sha256(name.encode()).digest())
        self._public = b"\x01" + self._key.public_key().public_bytes_raw()
        self._id = hashlib.sha256(f"{name}\n".encode() + self._public).digest()[:4]
        self._records = records

    @property
    def verifier(self) -> str:
        """What clients know it by."""
        return f"{self.name}+{self._id.hex()}+{base64.b64encode(self._public).decode()}"

    def publish(self, upstream: Upstream) -> None:
        """Have a proxy pass it on."""
        leaves = [hashlib.sha256(b"\0" + each.encode()).digest() for each in self._records]
        tree = f"go.sum database tree\n{len(leaves)}\n{base64.b64encode(_root(leaves)).decode()}\n"
        signature = base64.b64encode(self._id + self._key.sign(tree.encode())).decode()
        note = f"{tree}\n\u2014 {self.name} {signature}\n"
        below = f"/sumdb/{self.name}"
        upstream.put(f"{below}/supported", b"")
        upstream.put(f"{below}/latest", note.encode())
        upstream.put(f"{below}/tile/8/0/000.p/{len(leaves)}", b"".join(leaves))
        for number, record in enumerate(self._records):
            path, version, *_ = record.split()
            found = f"{number}\n{record}\n{note}"
            upstream.put(wire(f"{below}/lookup/{path}@{version}"), found.encode())


def _root(leaves: Sequence[bytes]) -> bytes:
    """RFC 6962, 2.1."""
    if len(leaves) == 1:
        return leaves[0]
    split = 1 << (len(leaves) - 1).bit_length() - 1
    return hashlib.sha256(b"\x01" + _root(leaves[:split]) + _root(leaves[split:])).digest()


def _h1(files: Mapping[str, bytes]) -> str:
    """golang.org/x/mod/sumdb/dirhash, Hash1."""
    lines = "".join(f"{hashlib.sha256(files[name]).hexdigest()}  {name}\n" for name in sorted(files))
    return "h1:" + base64.b64encode(hashlib.sha256(lines.encode()).digest()).decode()
