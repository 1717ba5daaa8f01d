"""The checksums of a body, small and large, whichever thread computes them."""

from __future__ import annotations

import hashlib
import threading

import pytest

from app.fills import checksums
from app.fills.checksums import INLINE, Checksums
from app.resource import Digest

SIZES = (0, 1, INLINE, INLINE + 1, 3 * INLINE + 7)


def body(size: int) -> bytes:
    return hashlib.shake_128(b"checksums").digest(size)


def fed(data: bytes, expected: Digest | None, piece: int = 300_000) -> Checksums:
    sums = Checksums(expected)
    for start in range(0, len(data), piece):
        sums.update(data[start : start + piece])
    return sums


@pytest.mark.parametrize("size", SIZES)
def test_sha256_of_everything(size: int) -> None:
    data = body(size)
    sums = fed(data, None)
    assert sums.finish() == hashlib.sha256(data).hexdigest() == sums.finish()
    assert sums.mismatch() is None


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("algorithm", ["sha256", "sha1", "sha512"])
def test_the_expected_digest(algorithm: str, size: int) -> None:
    data = body(size)
    value = hashlib.new(algorithm, data).hexdigest()
    right, wrong = fed(data, Digest(algorithm, value)), fed(data + b"!", Digest(algorithm, value))
    assert (right.finish(), right.mismatch()) == (hashlib.sha256(data).hexdigest(), None)
    wrong.finish()
    found = hashlib.new(algorithm, data + b"!").hexdigest()
    assert wrong.mismatch() == f"its {algorithm} is {found}, expected {value}"


def test_a_large_and_quick_body_given_up_leaves_no_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checksums, "QUICK", 0)
    before = set(threading.enumerate())
    sums = fed(body(2 * INLINE), None)
    begun = set(threading.enumerate()) - before
    assert len(begun) == 1
    sums.finish()
    assert not begun & set(threading.enumerate())


def test_a_slow_body_is_hashed_by_whoever_receives_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checksums, "QUICK", float("inf"))
    before, data = set(threading.enumerate()), body(2 * INLINE)
    sums = fed(data, None)
    assert set(threading.enumerate()) <= before
    assert sums.finish() == hashlib.sha256(data).hexdigest()


def test_chunks_may_be_of_any_size() -> None:
    data = body(INLINE + 100_000)
    assert {fed(data, None, piece).finish() for piece in (4096, 99_999, INLINE, len(data))} == {
        hashlib.sha256(data).hexdigest()
    }
