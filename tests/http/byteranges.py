"""What a response to a Range request brought, whatever form it has: whole, one part, multipart/byteranges."""

from __future__ import annotations

import email.parser
import email.policy
import re
from collections.abc import Mapping

Part = tuple[int, bytes]  # where it begins, its bytes


def parts(headers: Mapping[str, str], content: bytes, size: int) -> list[Part]:
    """The parts of a 206 (RFC 9110, 14.6 and 15.3.7); AssertionError where a part contradicts its Content-Range."""
    kind = headers["Content-Type"]
    if not kind.startswith("multipart/byteranges"):
        return [(_begin(headers["Content-Range"], content, size), content)]
    assert "Content-Range" not in headers, "only parts have one (RFC 9110, 15.3.7.2)"
    head = f"Content-Type: {kind}\r\n\r\n".encode()
    message = email.parser.BytesParser(policy=email.policy.HTTP).parsebytes(head + content)
    assert not message.defects, message.defects
    found = re.split(rb"\r\n--" + re.escape(_boundary(kind)) + rb"(?:--)?\r\n", content)
    assert found[0] == found[-1] == b"", "nothing before the first boundary or after the last"
    return [_part(each, size) for each in found[1:-1]]


def _boundary(kind: str) -> bytes:
    return kind.partition("boundary=")[2].strip('"').encode()


def _part(raw: bytes, size: int) -> Part:
    head, _, content = raw.partition(b"\r\n\r\n")
    lines = dict(line.split(": ", 1) for line in head.decode().split("\r\n"))
    assert lines["Content-Type"]
    return _begin(lines["Content-Range"], content, size), content


def _begin(content_range: str, content: bytes, size: int) -> int:
    match = re.fullmatch(r"bytes (\d+)-(\d+)/(\d+)", content_range)
    assert match, content_range
    first, last, whole = (int(group) for group in match.groups())
    assert (last - first + 1, whole) == (len(content), size), content_range
    return first
