"""What is odd about dnf and zypper repositories: repodata/repomd.xml names everything beside it by checksum.

    <dir>/repodata/repomd.xml                   heads the set: <data type="primary"><checksum><location>
    <dir>/repodata/repomd.xml.asc, .key         belong to exactly that repomd, which does not name them
    <dir>/repodata/<hex>-primary.xml.gz         every package with its checksum; paths count from <dir>
    <dir>/repodata/primary.xml.gz               the same where createrepo_c ran without --unique-md-filenames

Source: createrepo_c's layout; zypper's media.1 and the installer's .treeinfo stand beside repodata.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import BinaryIO

from app.formats.base import PathRules, rule, within
from app.formats.packed import unpacked
from app.formats.xml import Attributes, parsed
from app.resource import Digest, Link, Reading, Resource, Role

# createrepo_c puts the checksum of the file as stored (compressed) before its name: <hex>-primary.xml.zst
_CHECKSUM = r"(?P<digest>[0-9a-f]{32}|[0-9a-f]{40}|[0-9a-f]{56}|[0-9a-f]{64}|[0-9a-f]{96}|[0-9a-f]{128})"
_IN = r"(?P<dir>(?:.*/)?)repodata/"
_PRIMARY = r"primary\.xml(?:\.(?:gz|bz2|xz|zst))?"
_HEAD = r"\g<dir>repodata/repomd.xml"
_LIST = r"\g<dir>repodata#primary"

_LONGEST = 16 << 20  # bytes of a repomd.xml; real ones have a few KiB
_LENGTHS = {"sha1": 40, "sha224": 56, "sha256": 64, "sha384": 96, "sha512": 128}  # md5 proves nothing


class _Rpm(PathRules):
    __slots__ = ()

    def read(self, resource: Resource, body: BinaryIO) -> Reading:
        """See Format: the members of a repomd, or the packages of a primary."""
        directory, _, name = resource.path.rpartition("repodata/")
        if name == "repomd.xml":
            return Reading(tuple(_members(resource.path, directory, body)))
        return Reading(_packages(directory, body))


RPM = _Rpm(
    "rpm",
    (
        rule(
            rf"{_IN}repomd\.xml",
            own=True,
            remember_missing=False,
            index=True,
            switched=True,
            listing=r"\g<0>",
            root=r"\g<0>",
        ),
        rule(rf"{_IN}repomd\.xml\.(?:asc|key)", own=True, remember_missing=False, listed=True, root=_HEAD),
        rule(
            rf"{_IN}{_CHECKSUM}-{_PRIMARY}",
            immutable=True,
            own=True,
            remember_missing=False,
            index=True,
            listed=True,
            listing=_LIST,
            root=_HEAD,
        ),
        rule(rf"{_IN}{_CHECKSUM}-[^/]+", immutable=True, own=True, remember_missing=False, listed=True, root=_HEAD),
        rule(rf"{_IN}{_PRIMARY}", own=True, index=True, listed=True, listing=_LIST, root=_HEAD),
        rule(rf"{_IN}[^/]+", own=True, listed=True, root=_HEAD),
        rule(r"(?:.*/)?(?:RPM-GPG-KEY[^/]*|[^/]+\.repo|media\.1/[^/]+|\.?treeinfo|extra_files\.json)", own=True),
        rule(r".*\.d?rpm", immutable=True, listed=True),
    ),
)


def _members(path: str, directory: str, body: BinaryIO) -> Iterator[Link]:
    """One link for each <data>, then the companions that no repomd names."""
    for slot, checksum, href in parsed(unpacked(body, _LONGEST), "repomd", _Data()):
        if (member := within(directory, href)) is not None:
            yield Link(member, checksum, Role.MEMBER, slot)
    for suffix in (".asc", ".key"):
        yield Link(path + suffix, None, Role.MEMBER, suffix)


def _packages(directory: str, body: BinaryIO) -> Iterator[Link]:
    for _, checksum, href in parsed(unpacked(body), "metadata", _Data("package")):
        if checksum is not None and (package := within(directory, href)) is not None:
            yield Link(package, checksum)


_Row = tuple[str, Digest | None, str]  # type, checksum, href


class _Data:
    """The rows of a repomd (<data type>) or of a primary (<package type>)."""

    def __init__(self, element: str = "data") -> None:
        self._element = element
        self._type = self._algorithm = self._href = self._value = ""
        self.names = frozenset((element, "checksum", "location"))

    def start(self, name: str, attributes: Attributes) -> None:
        """An element begins; a location of another repository (xml:base) is none of ours."""
        if name == "location":
            self._href = "" if "xml:base" in attributes else attributes.get("href", "")
        elif name == "checksum":
            self._algorithm = attributes.get("type", "").lower()
        elif name == self._element:
            self._type, self._algorithm, self._href, self._value = attributes.get("type", ""), "", "", ""

    def end(self, name: str, text: str) -> _Row | None:
        """An element ends: a row where it is the row's own."""
        if name == "checksum":
            self._value = text.strip().lower()
        if name != self._element or not self._href:
            return None
        return self._type, _checksum(self._algorithm, self._value), self._href


_HEX = re.compile(r"[0-9a-f]+")


def _checksum(algorithm: str, value: str) -> Digest | None:
    """createrepo writes "sha" for sha1; None for what proves nothing."""
    algorithm = "sha1" if algorithm == "sha" else algorithm
    if _LENGTHS.get(algorithm) != len(value) or not _HEX.fullmatch(value):
        return None
    return Digest(algorithm, value)
