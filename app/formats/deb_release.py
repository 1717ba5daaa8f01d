"""How a Release or InRelease is read: its fields, and the files that it names by checksum.

Source: the wiki page DebianRepository/Format.
"""

from __future__ import annotations

import datetime
import email.utils
from collections.abc import Iterator, Mapping
from typing import BinaryIO

from app.formats.base import checksum
from app.formats.deb822 import fields, unsigned
from app.formats.packed import unpacked
from app.resource import Digest

# As apt names them, the preferred first: a stored body's sha256 is known without reading it again. MD5Sum is left
# out, it proves nothing.
ALGORITHMS = ("SHA256", "SHA512", "SHA1")
LONGEST = 16 << 20  # bytes of an InRelease; large suites have some hundred KiB

Said = Mapping[str, list[str]]  # a field's lines by its name in lower case


def said(body: BinaryIO) -> Said:
    """The fields; the signature is the client's to check. Raises ValueError where it names no files."""
    found = fields(unsigned(text(b"".join(unpacked(body, LONGEST)))))
    if not {"md5sum", "sha1", "sha256", "sha512"} & found.keys():
        raise ValueError("lists no files")
    return found


def text(data: bytes) -> str:
    """Without an error for the byte of another encoding in a description; no path can have one (paths.check)."""
    return data.decode(errors="surrogateescape")


def by_hash(found: Said) -> bool:
    """Whether its files have names by checksum too."""
    return found.get("acquire-by-hash", [""])[0].lower() == "yes"


def files(lines: list[str], algorithm: str) -> Iterator[tuple[str, Digest]]:
    """The (path, digest) of lines "<hex> <size> <path>". Raises ValueError."""
    for line in lines:
        try:
            value, _, name = line.split()
        except ValueError:
            raise ValueError("has a line that names no file") from None
        if (digest := checksum(algorithm, value)) is not None:
            yield name, digest


def seconds(date: str) -> float:
    """Unix seconds of an RFC 5322 date, in UTC where it names no zone; ValueError where it is none."""
    try:
        found = email.utils.parsedate_to_datetime(date)
        return (found if found.tzinfo else found.replace(tzinfo=datetime.UTC)).timestamp()
    except (ValueError, TypeError, IndexError, OverflowError):
        raise ValueError("has a date that is none") from None
