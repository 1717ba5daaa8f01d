"""What a wheel or a source distribution says of itself: by its file's name, and by the metadata that is inside.

    <name>-<version>[-<build>]-<python>-<abi>-<platform>.whl    <name>-<version>.dist-info/METADATA
    <name>-<version>.tar.gz (or .zip, as of old)                <name>-<version>/PKG-INFO

Name and version must be the same in both, once normalised.

Source: PEP 427, 440, 503, 625, 643; packaging.python.org, "Core metadata specifications".
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from packaging.metadata import parse_email
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name, canonicalize_version, parse_sdist_filename, parse_wheel_filename
from packaging.version import InvalidVersion, Version

from app.errors import BadRequest
from app.formats.tar import top_level
from app.hosting import pypi_zip
from app.hosting.archives import Limits, unpack

LONGEST = 255  # characters of a file's name
TAGS = 256  # of a wheel: its name has three lists, and whoever reads it makes every combination of them
_METADATA = 2 << 20  # bytes of METADATA or PKG-INFO
_LINES = 20_000  # of them before the description
_FIELDS = 200  # of different names; there are about forty
_SPECIFIER = 500  # characters of Requires-Python
_SDIST = Limits(unpacked=2 << 30, members=200_000)
T = TypeVar("T")
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+!-]*\.(?:whl|tar\.gz|zip)")


@dataclass(frozen=True, slots=True)
class Named:
    """What a file's name says; `project` and `version` are normalised, `release` without zeros at its end, too. A
    release has one file of each `kind`, however its name is spelled: its ending, of a wheel its build and tags."""

    project: str
    version: str
    wheel: bool
    release: str
    kind: str


@dataclass(frozen=True, slots=True)
class Said:
    """What is inside: the metadata as it stands there, and of it what an index repeats."""

    metadata: bytes
    requires_python: str


def named(filename: str) -> Named:
    """Raises BadRequest "bad_filename"."""
    if len(filename) > LONGEST or not _NAME.fullmatch(filename):
        raise _unnamed("is no name of a wheel (.whl) or a source distribution (.tar.gz, .zip)")
    wheel = filename.endswith(".whl")
    try:
        if wheel:
            tags = _tags(filename)
            project, version, build, _ = parse_wheel_filename(filename)
            kind = f"{build} {tags}"
        else:
            project, version = parse_sdist_filename(filename)
            kind = filename.rpartition(".")[2]
        release = canonicalize_version(version)
        return Named(canonicalize_name(project, validate=True), str(version), wheel, release, kind)
    except ValueError as error:
        raise _unnamed("has no name and version in it as PEP 427 and 625 write them") from error


def _tags(filename: str) -> list[list[str]]:
    """The three lists at a wheel's end; two that have the same in them make the same combinations."""
    tags = [each.split(".") for each in filename.lower().removesuffix(".whl").split("-")[-3:]]
    if math.prod(map(len, tags)) > TAGS:
        raise _unnamed(f"stands for more than {TAGS} combinations of tags")
    return [sorted(set(each)) for each in tags]


def inside(path: Path, told: Named, filename: str) -> Said:
    """What the file at `path` says of itself; ValueError where it is not what `told` and `filename` say it is."""
    if told.wheel:
        metadata = _of_wheel(path, told)
    else:
        metadata = _of_zip(path, told) if filename.endswith(".zip") else _of_tar(path, told)
    return _said(metadata, told)


def same_name(name: str, told: Named) -> bool:
    """Whether a project's name, however it is written, is that one."""
    return name.isascii() and canonicalize_name(name) == told.project


def same_version(version: str, told: Named) -> bool:
    """Whether a version, however it is written, is that one."""
    try:
        return version.isascii() and str(Version(version)) == told.version
    except InvalidVersion:
        return False


def _unnamed(reason: str) -> BadRequest:
    return BadRequest(f"the file's name {reason}", code="bad_filename")


def _of_wheel(path: Path, told: Named) -> bytes:
    with pypi_zip.opened(path) as archive:
        tops = {name.partition("/")[0] for name in archive.namelist() if "/" in name}
        directory = _one([top for top in tops if top.endswith(".dist-info")], ".dist-info directory")
        _judge_directory(directory.removesuffix(".dist-info"), told)
        pypi_zip.member(archive, f"{directory}/WHEEL", _METADATA)
        return pypi_zip.member(archive, f"{directory}/METADATA", _METADATA)


def _of_zip(path: Path, told: Named) -> bytes:
    with pypi_zip.opened(path) as archive:
        found = [name for name in archive.namelist() if name.count("/") == 1 and name.endswith("/PKG-INFO")]
        name = _one(found, "PKG-INFO")
        _judge_directory(name.partition("/")[0], told)
        return pypi_zip.member(archive, name, _METADATA)


def _of_tar(path: Path, told: Named) -> bytes:
    with path.open("rb") as file:
        if file.read(2) != b"\x1f\x8b":
            raise ValueError("is no .tar.gz")
        file.seek(0)
        found = list(top_level(unpack(file, _SDIST), "PKG-INFO", _METADATA, _SDIST))
    name, metadata = _one(found, "PKG-INFO where a source distribution has it")
    _judge_directory(name.partition("/")[0], told)
    return metadata


def _one(found: Sequence[T], what: str) -> T:
    if len(found) != 1:
        raise ValueError(f"has {'no' if not found else 'more than one'} {what}")
    return found[0]


def _judge_directory(directory: str, told: Named) -> None:
    """ "<name>-<version>", in whichever spelling."""
    name, _, version = directory.rpartition("-")
    if not (same_name(name, told) and same_version(version, told)):
        raise ValueError(f"is of another name or version inside than its file's name says: {directory[:80]!r}")


def _said(metadata: bytes, told: Named) -> Said:
    raw, strange = parse_email(_head(metadata))
    if not same_name(raw.get("name", ""), told):
        raise ValueError("names another project in its metadata than in its file's name")
    if not same_version(raw.get("version", ""), told):
        raise ValueError("has another version in its metadata than in its file's name")
    if "requires-python" in strange:
        raise ValueError("has more than one Requires-Python")
    return Said(metadata, _specifier(raw.get("requires_python", "")))


def _head(metadata: bytes) -> bytes:
    """What is before the description; the parser takes the time of the number of fields times that of their names."""
    head = metadata.replace(b"\r\n", b"\n").replace(b"\r", b"\n").partition(b"\n\n")[0]
    lines = head.split(b"\n")
    names = {line.partition(b":")[0].lower() for line in lines if line[:1] not in (b" ", b"\t")}
    if len(lines) > _LINES or len(names) > _FIELDS:
        raise ValueError(f"has metadata of more than {_LINES} lines or {_FIELDS} kinds of fields")
    return head + b"\n\n"


def _specifier(text: str) -> str:
    text = text.strip()
    if len(text) > _SPECIFIER or not text.isascii() or not (text or " ").isprintable():
        raise ValueError("has a Requires-Python that is none")
    try:
        SpecifierSet(text)
    except ValueError as error:
        raise ValueError("has a Requires-Python that is none") from error
    return text
