"""How an index is signed with an OpenPGP key: beside a file, or around a text (RFC 9580, sections 7 and 10.3)."""

from __future__ import annotations

from functools import lru_cache

import pysequoia
from pysequoia import SignatureMode

from app.errors import ArtifactError
from app.resource import Signing


class Unsignable(ArtifactError):
    """The signing key can no longer sign: it was checked when the configuration was read, and has expired since."""

    code = "signing_key_unusable"


def check(signing: Signing) -> None:
    """ValueError, with the reason, where this key cannot sign today."""
    _signer(signing)


def sign_detached(signing: Signing, data: bytes, now: float) -> bytes:
    """An armoured signature of `data`; `now` in unix seconds. Raises Unsignable."""
    return _signed(signing, data, now, SignatureMode.DETACHED)


def sign_cleartext(signing: Signing, data: bytes, now: float) -> bytes:
    """`data`, a UTF-8 text, between the lines of its signature. Raises Unsignable."""
    return _signed(signing, data, now, SignatureMode.CLEAR)


@lru_cache(maxsize=64)
def public_key(signing: Signing) -> bytes:
    """What clients verify with, in armour."""
    return str(pysequoia.Tsk.from_bytes(signing.key.encode()).extract_certificate()).encode()


def _signed(signing: Signing, data: bytes, now: float, mode: SignatureMode) -> bytes:
    """The signature carries the machine's own time: the library takes no other."""
    try:
        signer, ends = _signer(signing)
    except ValueError as error:
        raise Unsignable(str(error)) from None
    if ends <= now:
        raise Unsignable("the signing key has expired")
    return pysequoia.sign(signer, data, mode=mode)


@lru_cache(maxsize=64)  # to unlock a key takes a tenth of a second, on purpose
def _signer(signing: Signing) -> tuple[pysequoia.PySigner, float]:
    """What signs with this key, and the unix time from which it may not."""
    try:
        key = pysequoia.Tsk.from_bytes(signing.key.encode())
    except RuntimeError as error:
        raise ValueError(f"not an OpenPGP key: {_reason(error)}") from None
    try:
        signer = key.signer(signing.password) if signing.password else key.signer()
    except RuntimeError as error:
        locked = "the password does not open it, or " if signing.password else ""
        raise ValueError(f"this key cannot sign: {locked}{_reason(error)}") from None
    ends = key.extract_certificate().expiration
    return signer, ends.timestamp() if ends else float("inf")


def _reason(error: RuntimeError) -> str:
    """The library's reason without the trace that it adds."""
    return str(error).partition("\n")[0]
