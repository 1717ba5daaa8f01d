"""How a Debian package is read: who it is, and the paragraph that an index has of it.

    debian-binary   "2.0"
    control.tar     plain, .gz, .xz or .zst: ./control, scripts, checksums
    data.tar        never looked into
    _*              of other people, passed over

Source: deb(5), deb-control(5), deb822(5); Debian Policy 5.6.7 (names), 5.6.12 (versions).
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import BinaryIO

from app.formats.tar import files
from app.hosting import deb_relations
from app.hosting.archives import Limits, ar, content, unpack

ALL = "all"  # an architecture that fits every machine
_CONTROL = Limits(
    unpacked=64 << 20, ratio=1000, members=1000
)  # the checksums of a hundred thousand files are there too
_LONGEST_CONTROL = 512 << 10  # bytes
_PACKINGS = ("", ".gz", ".xz", ".zst")

_NAME = re.compile(r"[a-z0-9][a-z0-9+.-]{0,99}")  # dpkg takes one letter, too
_VERSION = re.compile(r"(?:[0-9]{1,9}:)?(?P<rest>[0-9][A-Za-z0-9.+~-]{0,99})")
_ARCH = re.compile(r"[a-z0-9][a-z0-9-]{0,31}")
_FIELD = re.compile(r"([!-\"$-,.-9;-~][!-9;-~]*):[ \t]*(.*)")
_UNPRINTABLE = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")

# What an index says of the file, and no package of itself (lower case).
_OF_THE_INDEX = frozenset({"filename", "size", "md5sum", "sha1", "sha256", "sha512", "description-md5", "status"})


@dataclass(frozen=True, slots=True)
class Package:
    """What a package says of itself; `stanza` is its control file as an index repeats it, lines with their ends."""

    name: str
    version: str
    arch: str
    stanza: str

    @property
    def file(self) -> str:
        """Its name as dpkg builds it: the version's epoch is left out."""
        return f"{self.name}_{self.version.partition(':')[2] or self.version}_{self.arch}.deb"


def read(file: BinaryIO) -> Package:
    """The package in `file`; raises ValueError where it is none, or not whole."""
    members = ((name, body) for name, body in ar(file) if not name.startswith("_"))
    name, body = next(members, ("", file))
    if name != "debian-binary" or not content(body, 16, "a format's number").startswith(b"2."):
        raise ValueError("is no deb of format 2: it does not begin with debian-binary")
    name, body = next(members, ("", file))
    if not name.startswith("control.tar") or name.removeprefix("control.tar") not in _PACKINGS:
        raise ValueError(f"has {name or 'nothing'} where control.tar, .gz, .xz or .zst belongs")
    control = _control(body, name != "control.tar")
    rest = [name for name, _ in members]
    if not rest or not rest[0].startswith("data.tar"):
        raise ValueError("has no data.tar behind its control.tar")
    if any(each.startswith(("control.tar", "data.tar", "debian-binary")) for each in rest[1:]):
        raise ValueError("has a second control.tar or data.tar")
    return _package(control)


def _control(body: BinaryIO, packed: bool) -> str:
    tar = unpack(body, _CONTROL) if packed else body
    found = [
        content(file, _LONGEST_CONTROL, "a control file") for name, file in files(tar, _CONTROL) if name == "control"
    ]
    if len(found) != 1:
        raise ValueError(f"has {len(found)} control files" if found else "has no control file")
    try:
        return found[0].decode()
    except UnicodeError:
        raise ValueError("has a control file that is not UTF-8") from None


def _package(control: str) -> Package:
    found = {name.lower(): lines for name, lines in paragraph(control)}
    name, version, arch = (_value(found, field) for field in ("Package", "Version", "Architecture"))
    if not _NAME.fullmatch(name):
        raise ValueError(f"has a name that Debian does not take: {name[:80]!r}")
    if not _VERSION.fullmatch(version):
        raise ValueError(f"has a version that Debian does not take: {version[:80]!r}")
    if not _ARCH.fullmatch(arch) or arch in ("any", "source"):
        raise ValueError(f"has an architecture that Debian does not take: {arch[:80]!r} (such as amd64, arm64, all)")
    if found.get("package-type", [""])[0].endswith(": udeb"):
        raise ValueError("is a udeb: apt installs none")
    deb_relations.check({field: _value(found, field) for field in found})
    found.pop("package")
    kept = [line for field, lines in found.items() if field not in _OF_THE_INDEX for line in lines]
    return Package(name, version, arch, "".join(f"{line}\n" for line in (f"Package: {name}", *kept)))


def _value(found: Mapping[str, list[str]], field: str) -> str:
    """What a field says; its further lines, if any, make it none that fits."""
    lines = found.get(field.lower(), [""])
    return "\n".join((lines[0].partition(":")[2].strip(), *lines[1:]))


def paragraph(text: str) -> Iterator[tuple[str, list[str]]]:
    """The fields of the one paragraph: name, and its lines as they stand. Raises ValueError."""
    lines: list[str] = []
    seen: set[str] = set()
    for line in text.strip("\n").split("\n"):
        if not line.strip(" \t"):
            raise ValueError("has a control file of several paragraphs")
        if _UNPRINTABLE.search(line):
            raise ValueError("has a control character in its control file")
        if line[0] in " \t":
            if not lines:
                raise ValueError("has a control file that begins in the middle")
            lines.append(line.rstrip())
            continue
        match = _FIELD.fullmatch(line)
        if match is None:
            raise ValueError(f"has a line in its control file that is no field: {line[:80]!r}")
        name = match[1]
        if name.lower() in seen:
            raise ValueError(f"has two fields {name[:80]} in its control file")
        seen.add(name.lower())
        lines = [f"{name}: {match[2].rstrip()}".rstrip()]
        yield name, lines
