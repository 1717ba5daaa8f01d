"""What proves who somebody is: passwords (argon2id, RFC 9106) and tokens of our own making."""

from __future__ import annotations

import functools
import hashlib
import re
import secrets

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

SHORTEST, LONGEST = 8, 256  # characters of a password
TOKEN = re.compile(r"aapi_[A-Za-z0-9_-]{43}")

# 19 MiB and two rounds: OWASP's Password Storage Cheat Sheet, so that a few logins at once do not fill the memory
_HASHER = PasswordHasher(time_cost=2, memory_cost=19 * 1024, parallelism=1)


def new_token() -> str:
    """256 random bits, told apart from other secrets by how it begins."""
    return f"aapi_{secrets.token_urlsafe(32)}"


def digest_of(token: str) -> str:
    """What is kept of a token: the sha256 in hex. It has 256 random bits, so nothing slower is needed."""
    return hashlib.sha256(token.encode()).hexdigest()


def hashed(password: str) -> str:
    """What is kept of a password; ValueError where it is too short or too long."""
    if not SHORTEST <= len(password) <= LONGEST:
        raise ValueError(f"{SHORTEST} to {LONGEST} characters")
    return _HASHER.hash(_bytes(password))


def verified(password: str, kept: str) -> bool:
    """Whether this is the password; as long a wait where there is none (`kept` is "") as where there is one."""
    against = kept or _nobodys()
    try:
        _HASHER.verify(against, _bytes(password[: LONGEST + 1]))
    except (VerificationError, InvalidHashError):
        return False
    return bool(kept)


def _bytes(password: str) -> bytes:
    return password.encode("utf-8", "surrogatepass")


@functools.cache
def _nobodys() -> str:
    return _HASHER.hash(secrets.token_bytes(32))
