"""How often one may ask: by token, by address (IPv6 by its /64), with Redis away; in JSON and in the form of OCI."""

from __future__ import annotations

import pytest

from app.accounts import secrets
from app.config import ConfigError, from_environment
from app.stores.rates import parse
from app.web import rates
from app.web.rates import block
from tests.api.asking import PASSWORD, People, Person, refused
from tests.http.node import Node
from tests.http.variant import NOBODY, worker


@pytest.mark.parametrize("settings", [{"RATE_ADDRESS": "3/hour", "RATE_TOKEN": "5/hour"}])
def test_by_token_and_by_address(people: People, node: Node) -> None:
    one, other = Person(node), Person(node)
    assert [_root(one) for _ in range(5)] == [200, 200, 200, 429, 429]
    assert _root(other) == 200
    root = Person(node, people.root.token)
    root.address = one.address
    assert [_root(root) for _ in range(6)] == [200] * 5 + [429], "what has a token is counted for that"
    one.token = "unknown"
    assert _root(one) == 429
    answer = node.client.get("/v2/x/manifests/1", environ_base={"REMOTE_ADDR": one.address})
    assert (answer.status_code, answer.get_json()["errors"][0]["code"]) == (429, "TOOMANYREQUESTS")
    assert int(answer.headers["Retry-After"]) > 0
    for path in ("/health/live", "/metrics"):
        assert node.client.get(path, environ_base={"REMOTE_ADDR": one.address}).status_code == 200


@pytest.mark.parametrize("settings", [{"RATE_TOKEN": "5/hour"}])
def test_by_user_however_many_tokens(people: People, node: Node) -> None:
    people.root.post("/users", {"email": "ada@example.org", "password": PASSWORD})
    one, other = (people.logged_in("ada@example.org") for _ in range(2))
    assert [_root(each) for each in (one, other, one, other, one, other)] == [200] * 5 + [429]


def _root(person: Person) -> int:
    headers = {"Authorization": f"Bearer {person.token}"} if person.token else {}
    return person.node.client.get("/", headers=headers, environ_base={"REMOTE_ADDR": person.address}).status_code


@pytest.mark.parametrize("settings", [{"RATE_ADDRESS": "2/hour", "TRUSTED_PROXIES": "192.0.2.1"}])
def test_the_forwarded_address_is_believed_of_a_trusted_proxy_alone(node: Node) -> None:
    def asked(peer: str, forwarded: str) -> int:
        headers = {"X-Forwarded-For": forwarded}
        return node.client.get("/", headers=headers, environ_base={"REMOTE_ADDR": peer}).status_code

    assert [asked("192.0.2.1", f"198.51.100.{number}") for number in range(4)] == [200] * 4
    assert [asked("203.0.113.9", f"198.51.100.{number}") for number in range(4)] == [200, 200, 429, 429]
    v6 = [asked("192.0.2.1", f"2001:db8::{number}") for number in range(3)]
    assert v6 == [200, 200, 429], "one client has the whole /64"


def test_what_an_address_stands_for() -> None:
    assert block("192.0.2.7") == "192.0.2.7"
    assert block("2001:db8:1:2:3:4:5:6") == "2001:db8:1:2::/64"
    assert block("fe80::1%eth0") == "fe80::/64"
    assert block("-") == "-"


def test_of_a_dual_stack_socket_every_address_is_its_own(node: Node) -> None:
    wrong = {"email": "ada@example.org", "password": "wrong wrong wrong"}

    def tried(peer: str) -> int:
        base = {"REMOTE_ADDR": peer}
        return node.client.post("/api/v1/auth/login", json=wrong, environ_base=base).status_code

    assert [tried("::ffff:198.51.100.77") for _ in range(6)] == [401] * 5 + [429]
    assert tried("::ffff:198.51.100.78") == 401


@pytest.mark.parametrize("settings", [{"RATE_TOKEN": "2/hour"}])
def test_what_nginx_asks_before_an_upload_is_not_counted_beside_the_upload(people: People) -> None:
    assert [people.root.get("/may-write").status_code for _ in range(4)] == [204] * 4
    assert [people.root.get("/auth/me").status_code for _ in range(3)] == [200, 200, 429]


@pytest.mark.parametrize("settings", [{"REGISTRATION": "open"}])
def test_strangers_make_rows_and_hashes_at_a_bounded_pace(people: People, monkeypatch: pytest.MonkeyPatch) -> None:
    hashed, hashes = secrets.hashed, iter(range(6))  # and no more
    monkeypatch.setattr(secrets, "hashed", lambda password: hashed(password + str(next(hashes))))
    new = [{"email": f"user{number}@example.org", "password": PASSWORD} for number in (0, 0, 1, 2, 3, 4, 5)]
    answers = [people.nobody.post("/auth/register", each) for each in new]
    assert [answer.status_code for answer in answers] == [201, 409, 201, 201, 201, 201, 201]
    answers = [people.nobody.post("/auth/register", {}) for _ in range(53)]
    assert {answer.status_code for answer in answers} == {422}, "60 a minute, those that are refused included"
    more = {"email": "more@example.org", "password": PASSWORD}
    refused(people.nobody.post("/auth/register", more), 429, "too_many_requests")
    assert next(hashes, None) is None
    monkeypatch.undo()
    assert people.root.post("/auth/register", more).status_code == 201, "an administrator's are not counted"
    monkeypatch.setitem(rates.OPEN, "oidc", parse("2/hour"))
    answers = [people.nobody.post("/auth/oidc", {"token": "x", "project": "tools"}) for _ in range(3)]
    assert [answer.status_code for answer in answers] == [401, 401, 429]
    assert answers[0].headers["Cache-Control"] == "no-store"


def test_redis_away(node: Node) -> None:
    with worker(node, redis_url=NOBODY["redis_url"], rate_address="1/hour") as client:
        assert [client.get("/").status_code for _ in range(3)] == [200] * 3
        wrong = {"email": "ada@example.org", "password": "wrong wrong wrong"}
        answers = [client.post("/api/v1/auth/login", json=wrong) for _ in range(6)]
        assert [answer.status_code for answer in answers] == [401] * 5 + [429]
        refused(answers[-1], 429, "too_many_requests")


def test_unset_asks_nobody(node: Node) -> None:
    before = [hook.__name__ for hook in node.app.before_request_funcs[None]]
    with worker(node, rate_address="1/hour") as client:
        assert len(client.application.before_request_funcs[None]) == len(before) + 1


NO_RATES = ["600", "0/minute", "-1/minute", "1/fortnight", "1.5/second", "99999999/day", "1/minute;2/hour"]


@pytest.mark.parametrize("wrong", NO_RATES)
def test_what_is_no_rate(wrong: str) -> None:
    with pytest.raises(ConfigError, match=r"RATE_TOKEN: .* is not a rate such as 600/minute"):
        from_environment({"RATE_TOKEN": wrong})
    assert from_environment({"RATE_TOKEN": "600/minute"}).rate_token == "600/minute"
