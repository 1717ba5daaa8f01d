"""Tokens of CI systems: a real issuer on loopback, with real keys, and everything that is not its token."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import time
from collections.abc import Iterator
from dataclasses import replace
from functools import cache
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from app.accounts import oidc
from app.accounts.oidc import Issuers
from app.accounts.people import People
from app.accounts.rights import Role
from app.errors import ArtifactError, Unauthorized
from app.stores.accounts import Trust
from app.stores.postgres_accounts import PostgresAccounts
from app.stores.redis_accounts import RedisAccounts
from app.upstream.documents import LONGEST, Documents
from tests.upstreams import Upstream

DISCOVERY, KEYS = "/.well-known/openid-configuration", "/keys"
AUDIENCE = "https://artifacts.example.org"


@cache
def secret(kind: str) -> Any:
    """One key of each kind for all tests; those of RSA take long to make."""
    if kind == "EdDSA":
        return ed25519.Ed25519PrivateKey.generate()
    if kind == "ES256":
        return ec.generate_private_key(ec.SECP256R1())
    return rsa.generate_private_key(65537, 1024 if kind == "weak" else 2048)


def jwk(kind: str, kid: str, **more: Any) -> dict[str, Any]:
    """The public half as an issuer publishes it."""
    algorithm = "RS256" if kind in ("other", "weak") else kind
    made = jwt.get_algorithm_by_name(algorithm).to_jwk(secret(kind).public_key(), as_dict=True)
    return {**made, "kid": kid, "use": "sig", **more}


class Issuer:
    """An issuer's documents in a test's upstream, and the people of a server that believes it."""

    def __init__(self, upstream: Upstream, people: People, issuers: Issuers, clock: list[float]) -> None:
        self.upstream, self.people, self.issuers, self.clock = upstream, people, issuers, clock
        self.url = upstream.url
        self.publish(*(jwk(kind, kind) for kind in ("RS256", "ES256", "EdDSA")))

    def publish(self, *keys: dict[str, Any], **about: Any) -> None:
        found = {"issuer": self.url, "jwks_uri": f"{self.url}{KEYS}"} | about
        self.upstream.put(DISCOVERY, json.dumps(found).encode())
        self.upstream.put(KEYS, json.dumps({"keys": keys}).encode())

    def claims(self, **changes: Any) -> dict[str, Any]:
        now = int(time.time())
        made = {"iss": self.url, "aud": AUDIENCE, "sub": "repo:ours/app", "iat": now, "nbf": now, "exp": now + 300}
        made |= {"repository": "ours/app", "ref_protected": True}
        return {name: value for name, value in (made | changes).items() if value is not None}

    def token(self, kind: str = "RS256", kid: str | None = None, **changes: Any) -> str:
        algorithm = "RS256" if kind in ("other", "weak") else kind
        return jwt.encode(self.claims(**changes), secret(kind), algorithm, {"kid": kid or kind})

    def trust(self, **changes: Any) -> Trust:
        made = Trust(0, "ours", self.url, AUDIENCE, {"repository": "ours/app"}, Role.WRITER)
        return self.people.store.add_trust(replace(made, **changes))

    def refused(self, token: str, project: str = "ours") -> str:
        with pytest.raises(Unauthorized) as caught:
            self.people.exchange(token, project)
        assert list(self.people.store.tokens()) == []
        assert token[:50] not in caught.value.message or not token
        return caught.value.message.removeprefix("the token is not accepted: ")


@pytest.fixture
def issuer(upstream: Upstream, database_url: str, redis_url: str) -> Iterator[Issuer]:
    clock, memory, documents = [1000.0], RedisAccounts(redis_url), Documents()
    issuers = Issuers([upstream.url], documents.read, lambda: clock[0])
    people = People(PostgresAccounts(database_url, memory.outdate), memory, issuers=issuers)
    for project in ("ours", "theirs"):
        people.store.add_project(project, "", 0)
    yield Issuer(upstream, people, issuers, clock)
    people.close()
    documents.close()


def test_a_token_of_a_trusted_issuer_is_worth_a_quarter_of_an_hour(issuer: Issuer) -> None:
    issuer.trust()
    issuer.trust(role=Role.READER)
    for kind in ("RS256", "ES256", "EdDSA"):
        given, secret_of_ours = issuer.people.exchange(issuer.token(kind), "ours")
        assert (given.kind, given.expires - given.created) == ("oidc", 900)
        found = issuer.people.principal_of(secret_of_ours)
        assert found is not None
        assert (found.name, found.user, found.projects) == ("ours/repo:ours/app", 0, {"ours": Role.WRITER})
        assert found.scopes == {"read", "write"}
    assert issuer.upstream.count() == 2, "its documents are read once"


def test_what_a_project_trusts_is_all_of_it(issuer: Issuer) -> None:
    issuer.trust(claims={"repository": "ours/app", "ref_protected": "true"})
    issuer.trust(project="theirs", claims={"repository": "theirs/app"})
    issuer.trust(project="theirs", audience="another")
    issuer.trust(project="theirs", issuer="https://other.example.org")
    issuer.trust(project="theirs", claims={})
    untrusted = "the project does not trust what it says"
    assert issuer.refused(issuer.token(), "theirs") == untrusted
    assert issuer.refused(issuer.token(), "none") == untrusted
    assert issuer.refused(issuer.token(repository="ours/fork")) == untrusted
    assert issuer.refused(issuer.token(repository=["ours/app"])) == untrusted
    assert issuer.refused(issuer.token(ref_protected=False)) == untrusted
    assert issuer.refused(issuer.token(ref_protected=None)) == untrusted
    assert issuer.refused(issuer.token(aud="https://elsewhere.example.org")) == untrusted
    assert issuer.refused(issuer.token(aud=[])) == untrusted
    assert issuer.people.exchange(issuer.token(aud=["x", AUDIENCE]), "ours")


def test_times_are_kept(issuer: Issuer) -> None:
    issuer.trust()
    now = int(time.time())
    assert issuer.refused(issuer.token(exp=now - 60)) == "it has expired"
    assert issuer.refused(issuer.token(nbf=now + 60)) == "it is not valid yet"
    for made in (issuer.token(exp=None), issuer.token(aud=None)):
        assert issuer.refused(made) == "exp, iss or aud is missing"
    assert issuer.refused(issuer.token(exp="soon"))
    assert issuer.refused(forged(issuer.claims() | {"exp": 1e999}, {"alg": "RS256", "kid": "RS256"}))
    assert issuer.people.exchange(issuer.token(exp=now - 20), "ours"), "clocks differ a little"


def test_other_signatures_are_none(issuer: Issuer) -> None:
    issuer.trust()
    good = issuer.token()
    head, payload, signature = good.split(".")
    wrong, weak = "its signature is wrong", "its issuer's key is too short"
    assert issuer.refused(issuer.token("other", kid="RS256")) == wrong
    assert issuer.refused(f"{head}.{encoded(issuer.claims(repository='x'))}.{signature}") == wrong
    assert issuer.refused(f"{head}.{payload}.{'A' * len(signature)}") == wrong
    issuer.refused(f"{head}.{payload}.")
    issuer.publish(jwk("weak", "weak"))
    issuer.clock[0] += 3600
    with pytest.warns(jwt.InsecureKeyLengthWarning):
        signed = issuer.token("weak")
    assert issuer.refused(signed) == weak


def test_an_algorithm_is_not_the_senders_to_choose(issuer: Issuer) -> None:
    issuer.trust()
    public = secret("RS256").public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    none = "its algorithm is none of RS256, ES256, EdDSA"
    for algorithm in ("none", "None", "HS256", "HS512", "RS1", "", None, 7, ["RS256"]):
        for key in (b"", public, json.dumps(jwk("RS256", "RS256")).encode()):
            said = issuer.refused(forged(issuer.claims(), {"alg": algorithm, "kid": "RS256"}, key))
            assert said in (none, "it is no token that this server can check"), algorithm
    published = "it is signed with a key that its issuer does not publish"
    assert issuer.refused(issuer.token("ES256", kid="RS256")) == published
    assert issuer.refused(forged(issuer.claims(), {"alg": "RS256", "kid": "ES256"}, public)) == published
    for header in ({"jwk": jwk("other", "x")}, {"jku": "http://127.0.0.1:9/keys"}, {"x5u": "http://127.0.0.1:9/"}):
        made = jwt.encode(issuer.claims(), secret("other"), "RS256", {"kid": "RS256", **header})
        assert issuer.refused(made) == "its signature is wrong", "keys that it brings along are not looked at"


def test_other_issuers_are_never_asked(issuer: Issuer) -> None:
    issuer.trust()
    others = [
        "https://evil.example.org",
        f"{issuer.url}/",
        f"{issuer.url}@evil.example.org",
        "",
        7,
        [issuer.url],
    ]
    for other in others:
        made = forged(issuer.claims() | {"iss": other}, {"alg": "RS256", "kid": "RS256"}, b"x")
        assert issuer.refused(made) == "its issuer is not among those of this server"
    assert issuer.upstream.count() == 0


NO_TOKENS = ("", ".", "..", "...", "a.b.c", "é.é.é", "\0", "x" * 20_000)
EMPTY_ONES = ("e30.e30.", "e30.e30.e30", "W10.W10.W10", "null.null.null")


@pytest.mark.parametrize("token", [*NO_TOKENS, *EMPTY_ONES])
def test_what_is_no_token_is_refused(issuer: Issuer, token: str) -> None:
    assert issuer.refused(token)
    deep = base64.urlsafe_b64encode(b"[" * 5000).rstrip(b"=").decode()
    assert issuer.refused(f"{deep}.{deep}.AAAA")
    assert issuer.upstream.count() == 0


def test_new_keys_are_found_and_nobody_makes_us_ask_often(issuer: Issuer) -> None:
    issuer.trust()
    issuer.people.exchange(issuer.token(), "ours")
    issuer.people.store.drop_project("ours")
    issuer.people.store.add_project("ours", "", 0)
    for _ in range(5):
        issuer.refused(issuer.token("other"))
    assert issuer.upstream.count() == 2
    issuer.publish(jwk("other", "other"))
    issuer.trust()
    issuer.clock[0] += 31
    assert issuer.people.exchange(issuer.token("other"), "ours")
    assert issuer.upstream.count() == 4


def test_an_issuer_that_is_down_is_told_apart_from_a_wrong_token(issuer: Issuer) -> None:
    issuer.trust()
    good = issuer.token()
    bad: list[tuple[str, bytes, int]] = [
        (DISCOVERY, b"", 503),
        (DISCOVERY, b"not json", 200),
        (DISCOVERY, b"[" * 10_000, 200),
        (DISCOVERY, b'{"issuer": "https://other.example.org", "jwks_uri": "x"}', 200),
        (DISCOVERY, json.dumps({"issuer": issuer.url, "jwks_uri": 7}).encode(), 200),
        (DISCOVERY, json.dumps({"issuer": issuer.url, "jwks_uri": "file:///etc/passwd"}).encode(), 200),
        (DISCOVERY, json.dumps({"issuer": issuer.url, "jwks_uri": "http://169.254.169.254/keys"}).encode(), 200),
        (DISCOVERY, json.dumps({"issuer": issuer.url, "jwks_uri": "http://10.0.0.1/keys"}).encode(), 200),
        (DISCOVERY, b" " * (LONGEST + 1), 200),
        (KEYS, b'{"keys": 7}', 200),
        (KEYS, b"[]", 200),
    ]
    for path, body, status in bad:
        issuer.publish(jwk("RS256", "RS256"))
        issuer.upstream.clear()
        issuer.upstream.put(path, body)
        if status != 200:
            issuer.upstream.status(status, path)
        issuer.clock[0] += 31
        with pytest.raises(ArtifactError) as caught:
            issuer.people.exchange(good, "ours")
        assert caught.value.status in (502, 504), (path, body[:80])
        before = issuer.upstream.count()
        with pytest.raises(ArtifactError):
            issuer.people.exchange(good, "ours")
        assert issuer.upstream.count() == before, "it is left alone for a while"
    issuer.publish(jwk("RS256", "RS256"))
    issuer.upstream.clear()
    issuer.upstream.redirect("/elsewhere", KEYS, times=1)
    issuer.clock[0] += 31
    with pytest.raises(ArtifactError):
        issuer.people.exchange(good, "ours")
    issuer.clock[0] += 31
    assert issuer.people.exchange(good, "ours")
    issuer.upstream.status(503, DISCOVERY)
    issuer.clock[0] += oidc.FRESH
    assert issuer.people.exchange(good, "ours"), "what it published lasts for a while"
    issuer.clock[0] += oidc.STALE
    with pytest.raises(ArtifactError):
        issuer.people.exchange(good, "ours")


def encoded(document: object) -> str:
    return base64.urlsafe_b64encode(json.dumps(document).encode()).rstrip(b"=").decode()


def forged(claims: dict[str, Any], header: dict[str, Any], key: bytes = b"") -> str:
    """Signed by HMAC with `key`, whatever the header says; unsigned without one."""
    said = f"{encoded(header | {'typ': 'JWT'})}.{encoded(claims)}"
    kind = hashlib.sha512 if header.get("alg") == "HS512" else hashlib.sha256
    signature = hmac.new(key, said.encode(), kind).digest() if key else b""
    return f"{said}.{base64.urlsafe_b64encode(signature).rstrip(b'=').decode()}"


def test_an_audience_that_is_no_text_is_nobodys() -> None:
    trust = Trust(0, "ours", "https://ci.example.org", AUDIENCE, {"sub": "x"}, Role.WRITER)
    assert oidc.believed({"aud": [AUDIENCE, 7], "sub": "x"}, [trust]) is Role.WRITER
    for audience in (7, True, None, {AUDIENCE: 1}, 1.5, f"{AUDIENCE}/more"):
        with pytest.raises(Unauthorized):
            oidc.believed({"aud": audience, "sub": "x"}, [trust])
