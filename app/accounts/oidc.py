"""Tokens that a CI system's issuer signed (OpenID Connect), exchanged for one of this server's that lives 15 minutes.

    believed   an issuer of OIDC_ISSUERS, by the keys that its discovery document leads to (OpenID Connect Discovery
               1.0, section 4); RS256, ES256, EdDSA; exp, iss and aud must be there, nbf and iat hold (RFC 7519)
    gives      what a project's Trust says: its issuer, its audience, and all of its claims stand in the token; of
               several the highest role

A token is not used up: whoever has it can exchange it again until it expires.
"""

from __future__ import annotations

import json
import time
import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey

from app.accounts.rights import Role
from app.errors import ArtifactError, Unauthorized, UpstreamLied
from app.stores.accounts import Trust

LONGEST = 16 * 1024  # characters of a token
ALGORITHMS = {"RS256": "RSA", "ES256": "EC", "EdDSA": "OKP"}  # and the kind of key that each takes (RFC 7518, 8037)
LEEWAY = 30.0  # seconds that two clocks may differ
SMALLEST = 2048  # bits of an RSA key (RFC 7518, 3.3)
FRESH, AGAIN, STALE = 600.0, 30.0, 3600.0  # seconds: keys are believed, nothing is asked again; while it is down
MOST = 100  # keys of one issuer
REASONS: Mapping[type[Exception], str] = {
    jwt.ExpiredSignatureError: "it has expired",
    jwt.ImmatureSignatureError: "it is not valid yet",
    jwt.InvalidSignatureError: "its signature is wrong",
    jwt.MissingRequiredClaimError: "exp, iss or aud is missing",
}

Read = Callable[[str, str], bytes]  # (URL, which address of the configuration led to it) -> body
Jwk = Mapping[str, Any]


@dataclass(slots=True)
class _Keys:
    """What an issuer published when it last answered, and why that failed since; times are monotonic seconds."""

    found: Sequence[Jwk] = ()
    read: float = float("-inf")
    asked: float = float("-inf")
    failure: ArtifactError | None = None


class Issuers:
    """Those whose tokens are believed; one per process."""

    def __init__(self, issuers: Iterable[str], read: Read, clock: Callable[[], float] = time.monotonic) -> None:
        self._keys = {issuer: _Keys() for issuer in issuers}
        self._read, self._clock = read, clock

    def claims(self, token: str) -> Mapping[str, Any]:
        """What a token of a believed issuer says; its audience is not judged. Raises Unauthorized; where an issuer's
        keys cannot be had UpstreamError or Unavailable."""
        if len(token) > LONGEST:
            raise _refused("it is too long")
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # what is weak is refused, not told of
                return self._claims(token)
        except jwt.PyJWTError as error:
            raise _refused(REASONS.get(type(error), "it is no token that this server can check")) from None
        except (ValueError, TypeError, OverflowError, RecursionError, AttributeError):
            raise _refused("it is no token that this server can check") from None

    def _claims(self, token: str) -> Mapping[str, Any]:
        header = jwt.get_unverified_header(token)
        issuer = jwt.decode(token, options={"verify_signature": False}).get("iss")
        if not isinstance(issuer, str) or issuer not in self._keys:
            raise _refused("its issuer is not among those of this server")
        algorithm = header.get("alg")
        if algorithm not in ALGORITHMS:
            raise _refused("its algorithm is none of RS256, ES256, EdDSA")
        key = self._key(issuer, algorithm, header.get("kid"))
        options: Any = {"require": ["exp", "iss", "aud"], "verify_aud": False}
        found: Mapping[str, Any] = jwt.decode(
            token, key, algorithms=[algorithm], issuer=issuer, leeway=LEEWAY, options=options
        )
        return found

    def _key(self, issuer: str, algorithm: str, kid: object) -> Any:
        """The key of that name, asked for anew where it is not known: issuers change theirs."""
        keys = self._known(issuer, FRESH)
        chosen = _chosen(keys, algorithm, kid) or _chosen(self._known(issuer, AGAIN), algorithm, kid)
        if chosen is None:
            raise _refused("it is signed with a key that its issuer does not publish")
        key = jwt.PyJWK.from_dict(dict(chosen), algorithm).key
        if isinstance(key, RSAPublicKey) and key.key_size < SMALLEST:
            raise _refused("its issuer's key is too short")
        return key

    def _known(self, issuer: str, age: float) -> Sequence[Jwk]:
        """The issuer's keys, read up to `age` seconds ago; what failed is asked again after AGAIN."""
        keys, now = self._keys[issuer], self._clock()
        if now - keys.asked >= (AGAIN if keys.failure else age):
            keys.asked, keys.failure = now, None
            try:
                keys.found = self._published(issuer)
            except ArtifactError as error:
                keys.failure = error
            else:
                keys.read = now
        if keys.failure is not None and now - keys.read >= STALE:
            raise keys.failure
        return keys.found

    def _published(self, issuer: str) -> Sequence[Jwk]:
        about = _object(self._read(f"{issuer.rstrip('/')}/.well-known/openid-configuration", issuer))
        where = about.get("jwks_uri")
        if about.get("issuer") != issuer or not isinstance(where, str):
            raise UpstreamLied("the issuer's discovery document is of another issuer, or names no keys")
        keys = _object(self._read(where, issuer)).get("keys")
        if not isinstance(keys, list):
            raise UpstreamLied("the issuer's keys are no JWK set")
        return [key for key in keys[:MOST] if isinstance(key, dict)]


def _chosen(keys: Sequence[Jwk], algorithm: str, kid: object) -> Jwk | None:
    """The one that is meant: by its name, or the only one of its kind."""
    fit = [key for key in keys if _fits(key, algorithm) and (kid is None or key.get("kid") == kid)]
    return fit[0] if len(fit) == 1 else None


def _fits(key: Jwk, algorithm: str) -> bool:
    usable = key.get("use", "sig") == "sig" and key.get("alg", algorithm) == algorithm
    return usable and key.get("kty") == ALGORITHMS[algorithm]


def _object(body: bytes) -> Mapping[str, Any]:
    try:
        found = json.loads(body)
    except (ValueError, RecursionError):
        found = None
    if not isinstance(found, dict):
        raise UpstreamLied("the issuer's answer is no JSON object")
    return found


def believed(claims: Mapping[str, Any], trusts: Iterable[Trust]) -> Role:
    """The highest role that one of these trusts gives for them; Unauthorized where none does."""
    roles = [each.role for each in trusts if _meets(claims, each)]
    if not roles:
        raise _refused("the project does not trust what it says")
    return max(roles)


def _meets(claims: Mapping[str, Any], trust: Trust) -> bool:
    said = claims["aud"]  # one, or a list (RFC 7519, 4.1.3); of anything else nothing is meant
    if trust.audience not in (said if isinstance(said, list) else [said]):
        return False
    return bool(trust.claims) and all(_said(claims, name) == value for name, value in trust.claims.items())


def _said(claims: Mapping[str, Any], name: str) -> str | None:
    """A claim as text; numbers and truth values as JSON writes them, of what is nested nothing."""
    value = claims.get(name)
    if isinstance(value, bool | int):
        return json.dumps(value)
    return value if isinstance(value, str) else None


def subject(claims: Mapping[str, Any]) -> str:
    """Whose it was, for the log."""
    said = claims.get("sub")
    plain = "".join(sign for sign in said if sign.isprintable()) if isinstance(said, str) else ""
    return plain[:200] or "ci"


def _refused(reason: str) -> Unauthorized:
    return Unauthorized(f"the token is not accepted: {reason}", code="invalid_token")
