"""Knows how an Alpine package of the second format is made, rightly or with one thing wrong."""

from __future__ import annotations

import gzip
import hashlib
import io
import tarfile
from dataclasses import dataclass, field

ARCH = "x86_64"


@dataclass(frozen=True, slots=True)
class Alpine:
    """One file, usr/share/<name>/payload; `info` are further lines of .PKGINFO."""

    name: str
    version: str = "1.0-r0"
    arch: str = ARCH
    info: tuple[str, ...] = ()
    signed: bool = False  # with bytes that nobody verifies
    payload: bytes = field(default=b"payload\n")

    @property
    def file(self) -> str:
        return f"{self.name}-{self.version}.apk"

    @property
    def body(self) -> bytes:
        return self.signatures + self.control + self.data

    @property
    def signatures(self) -> bytes:
        return gzip.compress(tar((".SIGN.RSA.somebody.rsa.pub", b"\0" * 256)), mtime=0) if self.signed else b""

    @property
    def control(self) -> bytes:
        return gzip.compress(tar((".PKGINFO", self.pkginfo)), mtime=0)

    @property
    def identity(self) -> str:
        return hashlib.sha1(self.control, usedforsecurity=False).hexdigest()

    @property
    def pkginfo(self) -> bytes:
        facts = (
            f"pkgname = {self.name}",
            f"pkgver = {self.version}",
            "pkgdesc = of the tests",
            f"arch = {self.arch}",
            f"size = {len(self.payload)}",
            *self.info,
            f"datahash = {hashlib.sha256(self.data).hexdigest()}",
        )
        return "".join(f"{fact}\n" for fact in ("# made by the tests", *facts)).encode()

    @property
    def data(self) -> bytes:
        buffer = io.BytesIO()
        with tarfile.open(fileobj=buffer, mode="w", format=tarfile.PAX_FORMAT) as archive:
            for folder in ("usr", "usr/share", f"usr/share/{self.name}"):
                entry = tarfile.TarInfo(folder)
                entry.type, entry.mode = tarfile.DIRTYPE, 0o755
                archive.addfile(entry)
            entry = tarfile.TarInfo(f"usr/share/{self.name}/payload")
            entry.size = len(self.payload)
            digest = hashlib.sha1(self.payload, usedforsecurity=False).hexdigest()
            entry.pax_headers = {"APK-TOOLS.checksum.SHA1": digest}
            archive.addfile(entry, io.BytesIO(self.payload))
        return gzip.compress(buffer.getvalue(), mtime=0)


def tar(*members: tuple[str, bytes]) -> bytes:
    """A tar of these files, without an end mark."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.PAX_FORMAT) as archive:
        for name, body in members:
            member = tarfile.TarInfo(name)
            member.size = len(body)
            archive.addfile(member, io.BytesIO(body))
        end = archive.offset
    return buffer.getvalue()[:end]
