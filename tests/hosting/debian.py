"""Knows how a Debian package is made, rightly or with one thing wrong."""

from __future__ import annotations

import gzip
import io
import lzma
import tarfile
from collections.abc import Callable, Iterable
from dataclasses import dataclass

import zstandard

PACKINGS: dict[str, Callable[[bytes], bytes]] = {
    "": lambda body: body,
    ".gz": lambda body: gzip.compress(body, mtime=0),
    ".xz": lzma.compress,
    ".zst": lambda body: zstandard.ZstdCompressor().compress(body),
}


@dataclass(frozen=True, slots=True)
class Debian:
    """One file, /opt/<name>/payload; `fields` are further lines of its control file."""

    name: str
    version: str = "1.0-1"
    arch: str = "amd64"
    fields: tuple[str, ...] = ()
    packing: str = ".xz"
    payload: bytes = b"payload\n"

    @property
    def file(self) -> str:
        return f"{self.name}_{self.version.rpartition(':')[2]}_{self.arch}.deb"

    @property
    def control(self) -> bytes:
        lines = (f"Package: {self.name}", f"Version: {self.version}", f"Architecture: {self.arch}")
        told = ("Maintainer: tests <tests@example.org>", *self.fields, "Description: of the tests", " and more of it")
        return "".join(f"{line}\n" for line in (*lines, *told)).encode()

    @property
    def body(self) -> bytes:
        pack = PACKINGS[self.packing]
        files = [(f"./opt/{self.name}/payload", self.payload)]
        return ar(
            ("debian-binary", b"2.0\n"),
            (f"control.tar{self.packing}", pack(tar([("./control", self.control), ("./md5sums", b"")]))),
            (f"data.tar{self.packing}", pack(tar(files))),
        )


def ar(*members: tuple[str, bytes]) -> bytes:
    """An ar archive as dpkg-deb writes it."""
    found = b"!<arch>\n"
    for name, body in members:
        found += (
            f"{name:<16}{0:<12}{0:<6}{0:<6}{'100644':<8}{len(body):<10}`\n".encode() + body + b"\n" * (len(body) % 2)
        )
    return found


def tar(files: Iterable[tuple[str, bytes]]) -> bytes:
    """A tar of these, with the directories that they are in."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.GNU_FORMAT) as archive:
        for name, body in files:
            parts = name.split("/")[:-1]
            for depth in range(1, len(parts) + 1):
                folder = tarfile.TarInfo("/".join(parts[:depth]) + "/")
                folder.type, folder.mode = tarfile.DIRTYPE, 0o755
                archive.addfile(folder)
            member = tarfile.TarInfo(name)
            member.size = len(body)
            archive.addfile(member, io.BytesIO(body))
    return buffer.getvalue()
