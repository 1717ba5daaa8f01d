"""What a WWW-Authenticate says, whom it may send for tokens, and the names that tokens are kept under."""

from __future__ import annotations

import urllib.parse

import pytest
from urllib3.util import parse_url

from app.errors import UpstreamDenied
from app.upstream.challenge import Challenge, challenges
from app.upstream.login import Login
from app.upstream.realm import question
from app.upstream.tokens import Grant, Keyring, name_of

REALM = "https://auth.example.org/token"
BEARER = {"realm": REALM, "service": "images", "scope": "repository:a/b:pull,push"}


def one(scheme: str, **parameters: str) -> Challenge:
    return Challenge(scheme, parameters)


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        ([], ()),
        ([""], ()),
        ([", ,,"], ()),
        (["Basic"], (one("basic"),)),
        (["Negotiate, Basic"], (one("negotiate"), one("basic"))),
        (["Negotiate YII="], (one("negotiate"),)),
        (["Negotiate YIIa==, Basic realm=x"], (one("negotiate"), one("basic", realm="x"))),
        (
            [f'Bearer realm="{REALM}",service="images",scope="repository:a/b:pull,push"'],
            (Challenge("bearer", BEARER),),
        ),
        (
            [f'bEARER  Realm = "{REALM}" , SERVICE=images,scope="repository:a/b:pull,push"  '],
            (Challenge("bearer", BEARER),),
        ),
        (['Basic realm="a, Bearer realm=\\"evil\\", b"'], (one("basic", realm='a, Bearer realm="evil", b'),)),
        (['Basic realm="back\\\\slash"'], (one("basic", realm="back\\slash"),)),
        (['Basic realm=""'], (one("basic", realm=""),)),
        (['Bearer realm="a", Basic realm="b"'], (one("bearer", realm="a"), one("basic", realm="b"))),
        (['Basic realm="b"', 'Bearer realm="a"'], (one("basic", realm="b"), one("bearer", realm="a"))),
        (['Bearer realm="a",realm="b"'], (one("bearer", realm="a"),)),
        (['realm="a"'], ()),
        (['Basic realm="a"', 'service="b"'], (one("basic", realm="a"),)),
        (['Bearer realm="never ends, Basic realm="b"'], (one("bearer"),)),
        (['Bearer realm="a\\'], (one("bearer"),)),
        (['Bearer realm="a"trailing, service=b'], (one("bearer", service="b"),)),
        (["Bearer realm=, service=b"], (one("bearer", service="b"),)),
        (["B@d realm=a, Basic"], (one("basic"),)),
        (["Bearer error='x', realm=\"a\""], (one("bearer", error="'x'", realm="a"),)),
    ],
)
def test_challenges(lines: list[str], expected: tuple[Challenge, ...]) -> None:
    assert challenges(lines) == expected


@pytest.mark.parametrize("piece", ['"', '\\"', '"\\', ",", 'a="', "a ", "= ", 'a="\\",'])
@pytest.mark.timeout(20)
def test_nonsense_of_any_length_is_read_quickly(piece: str) -> None:
    challenges([piece * 20_000, "Bearer " + piece * 20_000, '"' + piece * 20_000])


def asked(realm: str, registry: str, *allowed: str, login: bool = False, **parameters: str) -> str:
    challenge = Challenge("bearer", {"realm": realm, **parameters})
    return question(challenge, parse_url(registry), allowed, login=login).url


@pytest.mark.parametrize(
    ("registry", "realm"),
    [
        ("https://registry.example.org", "https://registry.example.org/token"),
        ("https://registry.example.org:5000", "https://registry.example.org/token"),
        ("https://registry-1.docker.io", "https://auth.docker.io/token"),
        ("https://registry.gitlab.com", "https://gitlab.com/jwt/auth"),
        ("https://registry.example.org", "https://EXAMPLE.org./token"),
        ("https://registry.example.org", "https://a.b.example.org/token"),
        ("https://registry.example.co.uk", "https://auth.example.co.uk/token"),
        ("http://registry.example.org", "https://registry.example.org/token"),
        ("http://registry.example.org", "http://auth.example.org/token"),
        ("http://127.0.0.1:5000", "http://127.0.0.1:5001/token"),
        ("http://[::1]:5000", "http://[::1]:5001/token"),
        ("http://localhost:5000", "http://localhost:5001/token"),
    ],
)
def test_a_realm_on_the_registrys_own_site_is_asked(registry: str, realm: str) -> None:
    assert parse_url(asked(realm, registry)).host == parse_url(realm).host


@pytest.mark.parametrize(
    ("registry", "realm"),
    [
        ("https://registry.example.org", "https://auth.example.net/token"),
        ("https://registry.example.org", "https://notexample.org/token"),
        ("https://registry.example.org", "https://example.org.evil.net/token"),
        ("https://registry.example.org", "https://registry.example.org@evil.net/token"),
        ("https://registry.example.org", "http://registry.example.org/token"),
        ("https://gcr.io", "https://evil.io/token"),
        ("https://example.co.uk", "https://evil.co.uk/token"),
        ("https://example.com.au", "https://evil.com.au/token"),
        ("https://example.org", "https://org/token"),
        ("https://localhost", "https://evil/token"),
        ("http://127.0.0.1", "http://1.0.0.1/token"),
        ("http://10.0.0.1", "http://evil.0.0.1/token"),
        ("http://127.0.0.1", "http://2.0.0.1/token"),
        ("http://127.0.0.1", "http://127.0.0.2/token"),
        ("https://registry.example.org", "ftp://registry.example.org/token"),
        ("https://registry.example.org", "/token"),
        ("https://registry.example.org", "token"),
        ("https://registry.example.org", ""),
        ("https://registry.example.org", "https://"),
        ("https://registry.example.org", "https://registry.example.org:99999/token"),
        ("https://registry.example.org", "https://[::1/token"),
    ],
)
def test_any_other_realm_is_refused(registry: str, realm: str) -> None:
    with pytest.raises(UpstreamDenied) as caught:
        asked(realm + ("?secret" if "/token" in realm else ""), registry)
    assert caught.value.code == "upstream_realm_refused" and "secret" not in caught.value.message


@pytest.mark.parametrize(
    ("registry", "host", "fine"),
    [
        ("https://registry.example.org", "registry.example.org", True),
        ("https://registry.example.org", "example.org", True),
        ("https://registry-1.docker.io", "auth.docker.io", True),
        ("https://registry.gitlab.com", "gitlab.com", True),
        *(("https://registry.example.org", f"{first}.example.org", True)
          for first in ("auth", "hub", "login", "token", "id", "accounts", "sso", "AUTH")),
        ("https://mine.azurecr.io", "yours.azurecr.io", False),
        ("https://mine.github.io", "yours.github.io", False),
        ("https://1.dkr.ecr.us-east-1.amazonaws.com", "evil.us-east-1.amazonaws.com", False),
        ("https://registry.example.org", "a.auth.example.org", False),
        ("https://registry.example.org", "auth.evil.example.org", False),
        ("https://registry.example.org", "authority.example.org", False),
        ("https://example.org", "auth.org", False),
        ("https://gcr.io", "auth.io", False),
    ],
)  # fmt: skip
def test_a_login_is_told_to_fewer(registry: str, host: str, fine: bool) -> None:
    realm = f"https://{host}/token"
    assert not fine or asked(realm, registry, login=True) == asked(realm, registry)
    if not fine:
        with pytest.raises(UpstreamDenied) as caught:
            asked(realm, registry, login=True)
        assert caught.value.code == "upstream_realm_refused"
        assert asked(realm, registry, host, login=True)


@pytest.mark.parametrize(
    ("allowed", "realm", "fine"),
    [
        ("auth.example.net", "https://auth.example.net/token", True),
        ("AUTH.example.net", "https://auth.example.net:8443/token", True),
        ("auth.example.net:8443", "https://auth.example.net:8443/token", True),
        ("auth.example.net:443", "https://auth.example.net/token", True),
        ("auth.example.net:8443", "https://auth.example.net/token", False),
        ("example.net", "https://auth.example.net/token", False),
        ("auth.example.net", "http://auth.example.net/token", False),
    ],
)
def test_the_configuration_allows_exact_hosts(allowed: str, realm: str, fine: bool) -> None:
    if fine:
        assert asked(realm, "https://registry.example.org", allowed)
        return
    with pytest.raises(UpstreamDenied):
        asked(realm, "https://registry.example.org", allowed)


def test_service_and_every_scope_are_asked_for() -> None:
    realm = "https://me:hidden@registry.example.org/token?account=x#part"
    url = asked(realm, "https://registry.example.org", service="the & images", scope="repository:a:pull registry:b:*")
    assert "hidden" not in url and "part" not in url
    pairs = urllib.parse.parse_qsl(urllib.parse.urlsplit(url).query)
    scopes = [("scope", "repository:a:pull"), ("scope", "registry:b:*")]
    assert pairs == [("account", "x"), ("service", "the & images"), *scopes]
    assert asked(REALM, "https://auth.example.org") == REALM


def test_another_name_for_every_repository_base_image_and_login() -> None:
    given = [
        ("r", "https://a", "x", None),
        ("s", "https://a", "x", None),
        ("r", "https://b", "x", None),
        ("r", "https://a", "y", None),
        ("r", "https://a", "x", "me:"),
        ("r", "https://a", "x", "me:hidden"),
        ("r", "https://a", "x", "you:hidden"),
    ]
    names = {name_of(*one) for one in given}
    assert len(names) == len(given) and names == {name_of(*one) for one in given}
    assert not any("hidden" in name for name in names)


def test_nothing_shows_a_secret() -> None:
    keyring = Keyring(None)
    keyring.keep("n", Grant("Bearer hidden", 60))
    login = Login(keyring, "n", parse_url("http://127.0.0.1"), "me:hidden")
    assert "hidden" not in repr((Grant("Bearer hidden", 1), keyring, login))


def test_a_process_keeps_so_many_tokens_and_no_more() -> None:
    keyring = Keyring(None)
    for number in range(3000):
        keyring.keep(str(number), Grant(f"Bearer {number}", 60))
    assert keyring.find("0") is None and keyring.find("2999") == "Bearer 2999"
