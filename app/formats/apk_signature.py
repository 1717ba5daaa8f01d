"""How an apk index is signed: RSA over the SHA-256 of the packed index, named after the public key's file.

The signature's name, .SIGN.<algorithm>.<key>, tells apk the digest; it knows RSA256 since apk-tools 2.7. SHA-1 (what
abuild writes) would be verified by every apk too, but no longer by every machine's OpenSSL.

Source: apk-tools, src/extract_v2.c; RFC 8017, 8.2.
"""

from __future__ import annotations

from functools import lru_cache

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.asymmetric.utils import Prehashed

from app.resource import Signing

ALGORITHM = "RSA256"
LEAST = 2048  # bits


def check(signing: Signing) -> None:
    """ValueError, with the reason, where this key cannot sign."""
    _key(signing)


def signature(signing: Signing, digest: bytes) -> bytes:
    """Of what has this SHA-256. Raises ValueError."""
    return _key(signing).sign(digest, padding.PKCS1v15(), Prehashed(hashes.SHA256()))


def public_key(signing: Signing) -> bytes:
    """What clients have in /etc/apk/keys, as PEM. Raises ValueError."""
    public = _key(signing).public_key()
    return public.public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)


@lru_cache(maxsize=64)  # to check and to open a key takes a while
def _key(signing: Signing) -> RSAPrivateKey:
    try:
        key = serialization.load_pem_private_key(signing.key.encode(), signing.password.encode() or None)
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise ValueError(f"not an RSA key that can be opened: {error}") from None
    if not isinstance(key, RSAPrivateKey) or key.key_size < LEAST:
        raise ValueError(f"not an RSA key of {LEAST} bits or more")
    return key
