"""Packed bodies: every form alike, damage is a ValueError, and nothing grows beyond its bound."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import tracemalloc
from collections.abc import Callable

import pytest
import zstandard

from app.formats.packed import LIMIT, unpacked
from tests.formats.endless import Zeros

TEXT = b"".join(b"line %d of the list\n" % number for number in range(20_000))
FORMS: dict[str, Callable[[bytes], bytes]] = {
    "gzip": gzip.compress,
    "bzip2": bz2.compress,
    "xz": lzma.compress,
    "zstd": zstandard.compress,
}
packed = pytest.mark.parametrize("pack", FORMS.values(), ids=FORMS)


def unpack(body: bytes, limit: int = LIMIT) -> bytes:
    pieces = list(unpacked(io.BytesIO(body), limit))
    assert all(pieces)
    return b"".join(pieces)


@pytest.mark.parametrize("body", [b"", b"x", b"<?xml", TEXT, b"\x1f", b"\x04\x22\x4d\x18 lz4 is not unpacked"])
def test_what_is_not_packed_is_itself(body: bytes) -> None:
    assert unpack(body) == body


@packed
def test_every_form_is_told_by_its_first_bytes(pack: Callable[[bytes], bytes]) -> None:
    assert unpack(pack(TEXT)) == TEXT
    assert unpack(pack(b"")) == b""


@packed
def test_members_follow_each_other_and_zeros_are_padding(pack: Callable[[bytes], bytes]) -> None:
    assert unpack(pack(b"a") + pack(b"") + pack(TEXT) + bytes(8)) == b"a" + TEXT
    assert unpack(pack(TEXT) + bytes(200_000) + pack(b"z")) == TEXT + b"z"


@packed
def test_a_cut_body_is_no_body(pack: Callable[[bytes], bytes]) -> None:
    body = pack(TEXT)
    for end in (len(body) - 1, len(body) // 2, 8):
        with pytest.raises(ValueError, match="cannot be unpacked"):
            unpack(body[:end])


@packed
def test_a_damaged_body_is_no_body(pack: Callable[[bytes], bytes]) -> None:
    body = pack(TEXT)
    with pytest.raises(ValueError, match="cannot be unpacked"):
        unpack(body[:6] + b"\xff" * 200 + body[206:])
    with pytest.raises(ValueError, match="cannot be unpacked"):
        unpack(body + b"rubbish that is no member")


@packed
def test_expansion_ends_at_the_limit(pack: Callable[[bytes], bytes]) -> None:
    assert unpack(pack(TEXT), len(TEXT)) == TEXT
    with pytest.raises(ValueError, match="longer"):
        unpack(pack(TEXT), len(TEXT) - 1)


def test_what_is_not_packed_ends_at_the_limit_too() -> None:
    with pytest.raises(ValueError, match="longer"):
        unpack(TEXT, 100)


@packed
def test_a_bomb_is_read_in_bounded_memory(pack: Callable[[bytes], bytes]) -> None:
    bomb = pack(bytes(64 << 20))
    tracemalloc.start()
    try:
        with pytest.raises(ValueError, match="longer"):
            for _ in unpacked(io.BytesIO(bomb), 48 << 20):
                pass
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 40 << 20


def test_a_window_larger_than_allowed_is_refused() -> None:
    parameters = zstandard.ZstdCompressionParameters(window_log=30, enable_ldm=True)
    packer = zstandard.ZstdCompressor(compression_params=parameters).compressobj()
    body = packer.compress(TEXT) + packer.flush()
    with pytest.raises(ValueError, match="cannot be unpacked"):
        unpack(body)


@packed
def test_padding_without_an_end_is_bounded(pack: Callable[[bytes], bytes]) -> None:
    with pytest.raises(ValueError, match="longer"):
        for _ in unpacked(Zeros(pack(b"a")), 1 << 20):
            pass
