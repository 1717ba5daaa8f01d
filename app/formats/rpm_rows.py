"""What a repomd.xml or a primary.xml names: types, checksums and paths, row by row."""

from __future__ import annotations

from collections.abc import Iterator
from typing import BinaryIO

from app.formats.base import checksum
from app.formats.packed import unpacked
from app.formats.xml import Attributes, parsed
from app.resource import Digest

LONGEST = 16 << 20  # bytes of a repomd.xml; real ones have a few KiB

Row = tuple[str, Digest | None, str]  # type, digest, href


def rows(body: BinaryIO) -> Iterator[Row]:
    """The rows of a repomd.xml; raises ValueError where it is none."""
    return parsed(unpacked(body, LONGEST), "repomd", Rows())


class Rows:
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

    def end(self, name: str, text: str) -> Row | None:
        """An element ends: a row where it is the row's own."""
        if name == "checksum":
            self._value = text.strip()
        if name != self._element or not self._href:
            return None
        algorithm = "sha1" if self._algorithm == "sha" else self._algorithm  # createrepo's old name for it
        return self._type, checksum(algorithm, self._value), self._href


class Revision:
    """The text of <revision>."""

    names = frozenset(("revision",))

    def start(self, name: str, attributes: Attributes) -> None:
        """See Rows of xml.py."""

    def end(self, name: str, text: str) -> str | None:
        """See Rows of xml.py."""
        return text.strip()


def revision(body: BinaryIO) -> int:
    """When a repomd.xml was made, in unix seconds as it says; 0 where that is no number."""
    said = next(parsed(unpacked(body, LONGEST), "repomd", Revision()), "")
    return int(said) if said.isascii() and said.isdigit() and len(said) < 12 else 0
