"""A real token endpoint on 127.0.0.1 (Docker's token specification), also for a docker-registry to trust.

    server = TokenServer({"me": "hidden"}, tmp_path)      whoever shows no login gets a token too, unless
    server = TokenServer({...}, tmp_path, anonymous=False)
    Registry(..., auth=server.auth)                       the `auth` section of a docker-registry's configuration
    server.count(), server.requests                       what it was asked
    server.expires_in = 2; server.field = "access_token"  how it answers from now on
    server.fail(503, times=1); server.hang()              and every other fault of tests/upstreams.py
    server.accepts(header); server.revoke()               for an upstream of the test's own

Its tokens are ES256 JWTs signed by openssl; `kid` is the key's fingerprint as docker-registry 2.x computes it.
"""

from __future__ import annotations

import base64
import hashlib
import itertools
import json
import ssl
import subprocess
import time
import urllib.parse
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tests.conftest import require
from tests.upstream_wire import Reply, Seen, whole
from tests.upstreams import Upstream

_WIDTH = 32  # bytes of each half of a P-256 signature (RFC 7518, 3.4)


class TokenServer(Upstream):
    """The server: runs from the start until `stop()`; `folder` takes its key and certificate."""

    def __init__(
        self,
        users: Mapping[str, str],
        folder: Path,
        *,
        anonymous: bool = True,
        expires_in: object = 300,
        field: str = "token",
        tls: ssl.SSLContext | None = None,
    ) -> None:
        self.users, self.anonymous = dict(users), anonymous
        self.expires_in, self.field = expires_in, field  # None: the answer does not say; seconds
        self.service, self.issuer = "images of 127.0.0.1", "token server of a test"
        self._signer = _Signer(require("openssl"), folder)
        self._tokens: dict[str, float] = {}  # until unix seconds
        self._serial = itertools.count()
        super().__init__(tls)

    @property
    def url(self) -> str:
        """The realm."""
        return f"{super().url}/token"

    @property
    def certificate(self) -> Path:
        """PEM, the `rootcertbundle`."""
        return self._signer.certificate

    @property
    def auth(self) -> dict[str, Any]:
        """The `auth` section of docker-registry's configuration."""
        own = {"realm": self.url, "service": self.service, "issuer": self.issuer}
        return {"token": {**own, "rootcertbundle": str(self.certificate)}}

    def challenge(self, area: str) -> str:
        """The WWW-Authenticate of a registry that trusts this server, for pulling an image."""
        return f'Bearer realm="{self.url}",service="{self.service}",scope="repository:{area}:pull"'

    def accepts(self, authorization: str | None) -> bool:
        """Whether it is `Bearer` and a token of this server that is neither expired nor revoked."""
        token = (authorization or "").removeprefix("Bearer ")
        return token != authorization and time.time() < self._tokens.get(token, 0)

    def revoke(self) -> None:
        """None of the tokens until now is accepted any more (by `accepts`; a docker-registry takes them)."""
        self._tokens.clear()

    def fail(self, status: int, times: int | None = None) -> None:
        self.status(status, times=times)

    def _plain(self, seen: Seen) -> Reply:
        if seen.method != "GET" or seen.path != "/token":  # OAuth2 by POST is not spoken: clients fall back
            return whole(405 if seen.method != "GET" else 404, {"Connection": "close"}, b"")
        user = self._user(seen.headers.get("authorization"))
        if user is None:
            return whole(401, {"WWW-Authenticate": 'Basic realm="tokens"'}, b"{}")
        scopes = urllib.parse.parse_qs(seen.query).get("scope", [])
        answer: dict[str, object] = {self.field: self._token(user, scopes)}
        if self.expires_in is not None:
            answer["expires_in"] = self.expires_in
        return whole(200, {"Content-Type": "application/json"}, json.dumps(answer).encode())

    def _user(self, authorization: str | None) -> str | None:
        """Who asks, "" for nobody in particular; None for who must not."""
        if authorization is None:
            return "" if self.anonymous else None
        login = base64.b64decode(authorization.removeprefix("Basic ")).decode()
        user, _, password = login.partition(":")
        return user if self.users.get(user) == password else None

    def _token(self, user: str, scopes: list[str]) -> str:
        now = time.time()
        said = self.expires_in
        lifetime = said if isinstance(said, int | float) and 0 < said < 1e6 else 60
        own = {"iss": self.issuer, "sub": user, "aud": self.service, "jti": str(next(self._serial))}
        times = {"nbf": int(now) - 10, "iat": int(now), "exp": int(now + lifetime) + 1}
        token = self._signer.sign({**own, **times, "access": [_access(scope) for scope in scopes]})
        self._tokens[token] = now + lifetime
        return token


def _access(scope: str) -> dict[str, Any]:
    kind, _, rest = scope.partition(":")
    name, _, actions = rest.rpartition(":")
    return {"type": kind, "name": name, "actions": actions.split(",")}


class _Signer:
    """A key of this test alone."""

    def __init__(self, openssl: str, folder: Path) -> None:
        self._openssl, self._key, self.certificate = openssl, folder / "tokens.key", folder / "tokens.pem"
        kind = ["-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2"]
        files = ["-subj", "/CN=tokens", "-keyout", str(self._key), "-out", str(self.certificate)]
        self._run("req", *kind, *files)
        public = self._run("pkey", "-in", str(self._key), "-pubout", "-outform", "DER")
        self._kid = _fingerprint(public)

    def sign(self, claims: Mapping[str, Any]) -> str:
        """A JWS in its compact form (RFC 7515, 3.1)."""
        head = {"typ": "JWT", "alg": "ES256", "kid": self._kid}
        text = ".".join(_base64url(json.dumps(part).encode()) for part in (head, claims))
        der = self._run("dgst", "-sha256", "-sign", str(self._key), given=text.encode())
        return f"{text}.{_base64url(_fixed(der))}"

    def _run(self, *arguments: str, given: bytes = b"") -> bytes:
        done = subprocess.run([self._openssl, *arguments], input=given, check=True, capture_output=True, timeout=20)
        return done.stdout


def _fingerprint(public: bytes) -> str:
    """240 bits of the sha256 of the DER public key, in base32, in groups of four."""
    text = base64.b32encode(hashlib.sha256(public).digest()[:30]).decode()
    return ":".join(text[at : at + 4] for at in range(0, len(text), 4))


def _fixed(der: bytes) -> bytes:
    """The two integers of an ASN.1 signature, each in its full width."""
    first = der[4 : 4 + der[3]]
    second = der[4 + der[3] + 2 :]
    return b"".join(part.lstrip(b"\0").rjust(_WIDTH, b"\0") for part in (first, second))


def _base64url(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()
