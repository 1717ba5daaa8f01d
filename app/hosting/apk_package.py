"""How an Alpine package is read: who it is, what an index says of it, and whether it is whole.

    [.SIGN.* ]   gzip, a tar without end mark: signatures, which stay as they are
    [.PKGINFO]   gzip, the control part: what follows here, and scripts; its SHA-1 is the package's identity
    [files   ]   gzip, the data part: its SHA-256 is `datahash` in .PKGINFO

Source: apk-tools, doc/apk-v2.5, doc/apk-package.5, src/package.c (the fields of an index).
"""

from __future__ import annotations

import base64
import hashlib
import io
import re
from dataclasses import dataclass, field
from typing import BinaryIO

from app.formats.packed import PIECE
from app.formats.tar import files
from app.hosting.archives import Limits, content, gzip_member

NOARCH = "noarch"
_CONTROL = Limits(unpacked=8 << 20, members=100)
_SIGNATURES = 16
_LONGEST_INFO = 512 << 10  # bytes of .PKGINFO
_LONGEST_HEADER = 2000  # bytes of an entry but for its lists: apk has a buffer of 2048
_LONGEST_LIST = 64_000  # bytes of each list: apk reads no index with a line of 128 KiB, older ones of 64 KiB

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+-]{0,127}")
_VERSION = re.compile(
    r"(?=.{1,96}$)[0-9]+(?:\.[0-9]+)*[a-z]?(?:_(?:alpha|beta|pre|rc|cvs|svn|git|hg|p)[0-9]*)*(?:~[0-9a-f]+)?(?:-r[0-9]+)?"
)
_ARCH = re.compile(r"[a-z][a-z0-9_]{0,31}")
_NUMBER = re.compile(r"[0-9]{1,19}")
_UNPRINTABLE = re.compile(r"[\x00-\x1f\x7f]")

# As apk writes them into an index, in its order: the letter, the name in .PKGINFO, whether it is left out when empty.
_ONCE = (
    *(("I", "size", False), ("T", "pkgdesc", False), ("U", "url", False), ("L", "license", False)),
    *(("o", "origin", True), ("m", "maintainer", True), ("t", "builddate", True), ("c", "commit", True)),
    ("k", "provider_priority", True),
)
_LISTS = (("D", "depend"), ("p", "provides"), ("i", "install_if"))
_NUMBERS = frozenset({"size", "builddate", "provider_priority"})
_KNOWN = frozenset({"pkgname", "pkgver", "arch", "datahash", *(name for _, name, _ in _ONCE)})


@dataclass(frozen=True, slots=True)
class Package:
    """What a package says of itself; `identity` is the SHA-1 of its control part, `size` its own in bytes."""

    name: str
    version: str
    arch: str
    identity: bytes
    size: int
    once: dict[str, str] = field(default_factory=dict)
    lists: dict[str, list[str]] = field(default_factory=dict)

    @property
    def file(self) -> str:
        """The name under which apk asks for it."""
        return f"{self.name}-{self.version}.apk"

    def entry(self, arch: str) -> str:
        """Its paragraph in the index of an architecture's directory, without the empty line behind it.

        apk asks for <arch>/<file>, by the index's word: a noarch package is listed under each architecture's own.
        """
        lines = [f"C:Q1{base64.b64encode(self.identity).decode()}", f"P:{self.name}", f"V:{self.version}"]
        lines += [f"A:{arch}", f"S:{self.size}"]
        for letter, name, optional in _ONCE:
            value = self.once.get(name, "0" if name in _NUMBERS else "")
            lines += [f"{letter}:{value}"] if not optional or value not in ("", "0") else []
        lines += [f"{letter}:{' '.join(self.lists[name])}" for letter, name in _LISTS if name in self.lists]
        return "".join(f"{line}\n" for line in lines)


def read(file: BinaryIO) -> Package:
    """The package in `file`; raises ValueError where it is none, or not whole."""
    size = file.seek(0, io.SEEK_END)
    file.seek(0)
    _refuse_others(file.read(4))
    start, control = _control(file)
    end = file.tell()
    once, lists = _info(control)
    _verify_data(file, once)
    file.seek(start)
    identity = hashlib.sha1(file.read(end - start), usedforsecurity=False).digest()
    return _checked(Package(once["pkgname"], once["pkgver"], once["arch"], identity, size, once, lists))


def _refuse_others(head: bytes) -> None:
    if head.startswith(b"ADB"):
        raise ValueError("is in the format of apk 3; the index that is kept here (APKINDEX) lists those of apk 2")
    if not head.startswith(b"\x1f\x8b"):
        raise ValueError("is no apk: it does not begin with a gzip member")


def _control(file: BinaryIO) -> tuple[int, bytes]:
    """Where the control part begins, and its tar; the file is then behind it."""
    file.seek(0)
    for _ in range(_SIGNATURES):
        start = file.tell()
        tar = gzip_member(file, _CONTROL)
        if not all(name.startswith(".SIGN.") for name, _ in files(io.BytesIO(tar), _CONTROL)):
            return start, tar
    raise ValueError("has more signatures than anybody needs")


def _info(tar: bytes) -> tuple[dict[str, str], dict[str, list[str]]]:
    found = []
    for name, body in files(io.BytesIO(tar), _CONTROL):
        if not name.startswith(".") or "/" in name:
            raise ValueError("has no control part of its own: it is in a format older than apk 2's")
        if name == ".PKGINFO":
            found.append(content(body, _LONGEST_INFO, ".PKGINFO"))
    if len(found) != 1:
        raise ValueError(f"has {len(found)} files .PKGINFO" if found else "has no .PKGINFO")
    return _fields(found[0])


def _fields(info: bytes) -> tuple[dict[str, str], dict[str, list[str]]]:
    """What stands in it once, and what may stand in it many times; other names are passed over, as apk does."""
    once: dict[str, str] = {}
    lists: dict[str, list[str]] = {}
    for line in _text(info).split("\n"):
        name, equals, value = line.partition(" = ")
        if not equals or line.startswith("#"):
            continue
        if any(name == each for _, each in _LISTS):
            lists.setdefault(name, []).extend(value.split())
        elif name in _KNOWN:
            if name in once:
                raise ValueError(f"has two lines {name} in .PKGINFO")
            once[name] = value.strip()
    for name in ("pkgname", "pkgver", "arch", "datahash"):
        if not once.get(name):
            raise ValueError(f"has no {name} in .PKGINFO")
    return once, {name: values for name, values in lists.items() if values}


def _text(info: bytes) -> str:
    try:
        text = info.decode()
    except UnicodeError:
        raise ValueError("has a .PKGINFO that is not UTF-8") from None
    if _UNPRINTABLE.search(text.replace("\n", "").replace("\t", "")):
        raise ValueError("has a control character in .PKGINFO")
    return text


def _verify_data(file: BinaryIO, once: dict[str, str]) -> None:
    found = hashlib.sha256(head := file.read(2))
    while piece := file.read(PIECE):
        found.update(piece)
    if not head:
        raise ValueError("has no data part")
    if found.hexdigest() != once["datahash"].lower():
        raise ValueError("is damaged or cut short: its data part is not what its datahash says")


def _checked(package: Package) -> Package:
    for what, value, pattern in (
        ("pkgname", package.name, _NAME),
        ("pkgver", package.version, _VERSION),
        ("arch", package.arch, _ARCH),
        *((name, package.once.get(name) or "0", _NUMBER) for name in sorted(_NUMBERS)),
    ):
        if not pattern.fullmatch(value):
            raise ValueError(f"has a {what} that apk does not take: {value[:80]!r}")
    if len("".join(package.once.values()).encode()) > _LONGEST_HEADER:
        raise ValueError(f"says more than {_LONGEST_HEADER} bytes of itself, and apk reads no more")
    for name, values in package.lists.items():
        if len(" ".join(values).encode()) > _LONGEST_LIST:
            raise ValueError(f"has more than {_LONGEST_LIST} bytes of {name}, and apk reads no more")
    return package
