"""Content codings that upstream applied although asked for none (RFC 9110, 8.4): which to undo, and how."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Mapping


class Undecodable(Exception):
    """A coding that is not known here, or a body that is not what its coding says; a clause for a message."""


_GZIP, _ZLIB, _DEFLATE = 31, 15, -15  # zlib's names for the three wrappings
_GZIPPED = ("gzip", "x-gzip")
# A file that *is* compressed, and labelled so by its server: the label is about the file, not the transfer.
_FILES = {"gzip": (".gz", ".tgz", ".svgz"), "compress": (".z",), "zstd": (".zst",), "br": (".br",), "xz": (".xz",)}


def undo(headers: Mapping[str, str], path: str) -> str | None:
    """The coding to undo for the file at `path`, None for none; raises Undecodable."""
    codings = [one.strip().lower() for one in headers.get("Content-Encoding", "").split(",")]
    codings = [one for one in codings if one not in ("", "identity")]
    if not codings or (len(codings) == 1 and _is_the_file(codings[0], headers, path)):
        return None
    if len(codings) > 1 or codings[0] not in (*_GZIPPED, "deflate"):
        raise Undecodable("a Content-Encoding that was not asked for")
    return codings[0]


def _is_the_file(coding: str, headers: Mapping[str, str], path: str) -> bool:
    plain = coding.removeprefix("x-")
    kind = headers.get("Content-Type", "").partition(";")[0].strip().lower()
    return path.lower().endswith(_FILES.get(plain, ())) or (plain == "gzip" and kind in _GZIP_TYPES)


_GZIP_TYPES = ("application/gzip", "application/x-gzip", "application/x-tgz", "application/x-compressed-tar")


class Decoded:
    """Reads a compressed body as what it was; `source(n)` gives raw bytes, b"" at their verified end."""

    def __init__(self, source: Callable[[int], bytes], coding: str) -> None:
        self._source, self._gzip = source, coding in _GZIPPED
        self._pending = b""
        self._inflate = None if not self._gzip else zlib.decompressobj(_GZIP)

    def read1(self, size: int) -> bytes:
        """Up to `size` bytes; b"" only where the raw body and every member of it ended; raises Undecodable."""
        while True:
            raw = self._pending or self._source(65536)
            if not raw:
                return self._end()
            try:
                data = self._decode(raw, size)
            except zlib.error:
                raise Undecodable("a body that is not what its Content-Encoding says") from None
            if data:
                return data

    def _decode(self, raw: bytes, size: int) -> bytes:
        if self._inflate is None:  # RFC 9110, 8.4.1.2: zlib's format, though some send it bare
            self._inflate = zlib.decompressobj(_ZLIB if raw[0] & 0x0F == 8 else _DEFLATE)
        elif self._inflate.eof:
            if not self._gzip:
                raise zlib.error("more after the end")
            self._inflate = zlib.decompressobj(_GZIP)
        data = self._inflate.decompress(raw, size)
        self._pending = self._inflate.unconsumed_tail or self._inflate.unused_data
        return data

    def _end(self) -> bytes:
        if self._inflate is not None and not self._inflate.eof:
            raise Undecodable("a compressed body that breaks off")
        return b""
