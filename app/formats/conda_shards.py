"""repodata_shards.msgpack.zst: which shard (by its sha256) lists the packages of which name.

    {"info": {"subdir", "base_url", "shards_base_url", ...}, "shards": {<name>: <32 bytes>}, ...}

Nothing but the two URLs is made a value of; the rest is passed on in the bytes that it came in.
Source: github.com/conda/ceps, 16 "Sharded repodata"; github.com/msgpack/msgpack/blob/master/spec.md.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import BinaryIO

import msgpack  # type: ignore[import-untyped]
import zstandard

from app.formats.conda_repodata import elsewhere
from app.formats.packed import unpacked

LARGEST = 16 << 20  # bytes, unpacked; the largest channel has 30,000 names of some 50 bytes
_LONGEST = 4096  # bytes of a text
_BASE, _SHARDS = "base_url", "shards_base_url"  # of info; relative to the index
_BESIDE, _BELOW = "./", "./shards/"


@dataclass(frozen=True, slots=True)
class Shards:
    """What an index says: `info`, and all that stands beside info, as names with packed values, in their order."""

    info: Mapping[str, bytes]
    rest: Mapping[str, bytes]
    packages_url: str
    shards_url: str

    @property
    def elsewhere(self) -> bool:
        """Whether packages are on another host, or anywhere but in a place beside the index."""
        return elsewhere(self.packages_url)


def read_shards(body: BinaryIO) -> Shards:
    """Raises ValueError where it is no such index."""
    data = b"".join(unpacked(body, LARGEST))
    try:
        return _Index(data).read()
    except (msgpack.UnpackException, ValueError, TypeError, RecursionError) as error:
        raise ValueError(f"is no index of shards: {error}") from error


def written(shards: Shards) -> bytes:
    """The index as if its shards were below it, and its packages beside it unless they are near anyway."""
    packer = msgpack.Packer()
    packages = _BESIDE if shards.elsewhere else shards.packages_url
    info = {**shards.info, _BASE: packer.pack(packages), _SHARDS: packer.pack(_BELOW)}
    body = [packer.pack_map_header(1 + len(shards.rest)), packer.pack("info"), packer.pack_map_header(len(info))]
    body += [part for name, value in (*info.items(), *shards.rest.items()) for part in (packer.pack(name), value)]
    return zstandard.ZstdCompressor(level=3, write_checksum=True).compress(b"".join(body))


class _Index:
    """A walk over the packed bytes, in which skipped values stay bytes."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._unpacker = msgpack.Unpacker(
            raw=False, max_buffer_size=LARGEST, max_str_len=_LONGEST, max_array_len=0, max_ext_len=0
        )
        self._unpacker.feed(data)

    def read(self) -> Shards:
        info, rest = dict[str, bytes](), dict[str, bytes]()
        for _ in range(self._unpacker.read_map_header()):
            name = self._text()
            if name == "info":
                info = {self._text(): self._skipped() for _ in range(self._unpacker.read_map_header())}
            else:
                rest[name] = self._shards() if name == "shards" else self._skipped()
        if self._unpacker.tell() != len(self._data) or not info or "shards" not in rest:
            raise ValueError("it has no info, no shards, or more than that")
        return Shards(info, rest, _url(info, _BASE, _BESIDE), _url(info, _SHARDS, _BELOW))

    def _text(self) -> str:
        found = self._unpacker.unpack()
        if not isinstance(found, str):
            raise ValueError("a name is no text")
        return found

    def _skipped(self) -> bytes:
        before = self._unpacker.tell()
        self._unpacker.skip()
        return self._data[before : self._unpacker.tell()]

    def _shards(self) -> bytes:
        before = self._unpacker.tell()
        for _ in range(self._unpacker.read_map_header()):
            self._text()
            digest = self._unpacker.unpack()
            if not isinstance(digest, bytes) or len(digest) != 32:
                raise ValueError("a shard is not named by a sha256")
        return self._data[before : self._unpacker.tell()]


def _url(info: Mapping[str, bytes], name: str, otherwise: str) -> str:
    """A URL of info; with a slash at its end, for what is below it is meant."""
    found = msgpack.unpackb(info[name], max_str_len=_LONGEST, max_array_len=0) if name in info else None
    if found is not None and not isinstance(found, str):
        raise ValueError(f"its {name} is no text")
    return f"{(found or otherwise).rstrip('/')}/"
