"""How Debian's control files are read: fields and stanzas (deb822), and the clear signature around them.

Source: deb822(5); Debian Policy, 5.1; RFC 9580, 7 (cleartext signature framework).
"""

from __future__ import annotations

import re
from collections.abc import Iterator

_LONGEST = 1 << 20  # bytes of one stanza; the longest there are have some hundred KiB

_BEGIN = "-----BEGIN PGP SIGNED MESSAGE-----"
_SIGNATURE = "-----BEGIN PGP SIGNATURE-----"
_END = "-----END PGP SIGNATURE-----"
_BLANK_LINE = re.compile(rb"\n[ \t\r]*\n")
_FIELD = re.compile(r"([!-9;-~]+):[ \t]*(.*)")


def fields(text: str) -> dict[str, list[str]]:
    """The first stanza: name in lower case -> the field's lines, without what surrounds them.

    Raises ValueError where a line is neither a field nor the continuation of one.
    """
    found: dict[str, list[str]] = {}
    lines: list[str] = []
    for line in text.lstrip("\r\n").split("\n"):
        if not line.strip():
            break
        if line[0] in " \t":
            lines.append(line.strip())
        elif line[0] != "#":
            name, lines = _field(line)
            found[name] = lines
    return found


def _field(line: str) -> tuple[str, list[str]]:
    match = _FIELD.fullmatch(line.rstrip("\r"))
    if match is None:
        raise ValueError("has a line that is no field")
    return match[1].lower(), [match[2].strip()]


def unsigned(text: str) -> str:
    """The text that a clear signature is about, or all of it where there is none.

    The signature is not checked: that is the client's. Raises ValueError where the armour does not end.
    """
    if not text.startswith(_BEGIN):
        return text
    lines = [line.rstrip() for line in text.split("\n")]
    try:
        start, end = lines.index("") + 1, lines.index(_SIGNATURE)
        lines.index(_END, end)
    except ValueError:
        raise ValueError("has a signature without an end") from None
    return "\n".join(line.removeprefix("- ") for line in lines[start:end])


def stanzas(pieces: Iterator[bytes]) -> Iterator[bytes]:
    """Every stanza of a list; raises ValueError where one is longer than any there is."""
    rest = b""
    for piece in pieces:
        *whole, rest = _BLANK_LINE.split(rest + piece)
        if len(rest) > _LONGEST:
            raise ValueError("has a stanza without an end")
        yield from whole
    yield rest
