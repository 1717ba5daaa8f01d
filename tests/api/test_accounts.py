"""Accounts over HTTP: registration, login, oneself, tokens, administrators; real Postgres and Redis."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.api.asking import PASSWORD, People, Person, refused
from tests.http.node import TOKEN, Node
from tests.http.variant import NOBODY, worker

ADA = {"email": "ada@example.org", "password": PASSWORD, "full_name": "Ada"}


# -- registration and login ------------------------------------------------------------------------------------


def test_registration_is_closed_but_to_administrators(people: People) -> None:
    refused(people.nobody.post("/auth/register", ADA), 403, "registration_closed")
    made = people.root.post("/auth/register", ADA)
    assert made.status_code == 201
    told = made.get_json()
    assert {key: told[key] for key in ("email", "full_name", "admin")} == {
        "email": "ada@example.org",
        "full_name": "Ada",
        "admin": False,
    }
    assert not any("password" in key for key in told)


@pytest.mark.parametrize("settings", [{"REGISTRATION": "open"}])
def test_open_registration(people: People) -> None:
    assert people.nobody.post("/auth/register", ADA).status_code == 201
    refused(people.nobody.post("/auth/register", ADA), 409, "already_registered")
    other_case = ADA | {"email": "ADA@Example.ORG"}
    refused(people.nobody.post("/auth/register", other_case), 409, "already_registered")
    wrong = refused(people.nobody.post("/auth/register", {"email": "ada", "password": "x", "age": 3}), 422, "invalid")
    assert set(wrong["fields"]) == {"email", "password", "age"}
    assert "x" not in wrong["fields"]["password"]
    people.logged_in("Ada@example.org")


def test_a_login_and_its_end(people: People) -> None:
    people.root.post("/users", ADA)
    ada = people.logged_in("ada@example.org")
    told = ada.post("/auth/login", {key: ADA[key] for key in ("email", "password")})
    assert {"access_token", "token_type", "expires_in"} == set(told.get_json())
    assert told.get_json()["token_type"] == "bearer"
    assert told.headers["Cache-Control"] == "no-store"
    me = ada.get("/auth/me").get_json()
    assert (me["email"], me["full_name"], me["scopes"]) == ("ada@example.org", "Ada", ["admin"])
    assert ada.post("/auth/logout").status_code == 204
    refused(ada.get("/auth/me"), 401, "unauthorized")


def test_wrong_credentials_are_all_the_same(people: People) -> None:
    people.root.post("/users", ADA)
    people.root.post("/users", {"email": "nopassword@example.org"})
    told = set()
    for email, password in (
        ("ada@example.org", "another horse battery"),
        ("bob@example.org", PASSWORD),
        ("nopassword@example.org", ""),
        ("not an address", PASSWORD),
    ):
        answer = Person(people.node).post("/auth/login", {"email": email, "password": password})
        told.add((answer.status_code, answer.get_json()["error"], answer.get_json()["message"]))
    assert told == {(401, "wrong_credentials", "wrong e-mail address or password")}


def test_more_than_five_logins_a_minute_from_an_address_are_refused(people: People) -> None:
    people.root.post("/users", ADA)
    one = Person(people.node)
    for _ in range(5):
        refused(
            one.post("/auth/login", {"email": "ada@example.org", "password": "wrong wrong wrong"}),
            401,
            "wrong_credentials",
        )
    answer = one.post("/auth/login", {"email": "ada@example.org", "password": PASSWORD})
    refused(answer, 429, "too_many_requests")
    assert 1 <= int(answer.headers["Retry-After"]) <= 60
    people.logged_in("ada@example.org")  # from elsewhere


def test_bodies_that_are_none(people: People) -> None:
    def sent(body: bytes, kind: str = "application/json") -> tuple[int, str]:
        answer = Person(people.node).post("/auth/login", data=body, content_type=kind)
        return answer.status_code, answer.get_json()["error"]

    assert sent(b"{") == (400, "bad_body")
    assert sent(b"") == (400, "bad_body")
    assert sent(b"[" * 50_000) == (400, "bad_body")
    assert sent(b'{"email": NaN}') == (400, "bad_body")
    assert sent(b'{"email": "\\ud800"}') == (400, "bad_body")
    assert sent(b'{"email": "\xff"}') == (400, "bad_body")
    assert sent(b'{"email": ' + b"9" * 5000 + b"}") == (400, "bad_body")
    assert sent(b'"x"') == (422, "invalid")
    assert sent(b"[1]") == (422, "invalid")
    assert sent(b'{"email": "a\\u0000b", "password": "x"}') == (422, "invalid")
    assert sent(b'{"email": {"a": 1}, "password": ["x"]}') == (422, "invalid")
    assert sent(b"{}", "text/plain") == (415, "unsupported_media_type")
    assert sent(b'"' + b"x" * 70_000 + b'"')[0] == 413


def test_a_new_password_takes_the_old_one_and_ends_logins(people: People) -> None:
    ada = people.user("ada")
    other = people.logged_in("ada@example.org")
    new = "a wrong horse battery"
    refused(ada.patch("/auth/me", {"password": new}), 422, "invalid")
    refused(ada.patch("/auth/me", {"password": new, "current_password": new}), 403, "wrong_password")
    assert ada.patch("/auth/me", {"full_name": "Ada L."}).get_json()["full_name"] == "Ada L."
    assert ada.patch("/auth/me", {"password": new, "current_password": PASSWORD}).status_code == 200
    refused(other.get("/auth/me"), 401, "unauthorized")
    answer = Person(people.node).post("/auth/login", {"email": ada.email, "password": new})
    assert answer.status_code == 200


# -- tokens ----------------------------------------------------------------------------------------------------


def test_a_token_is_shown_once_and_ends_at_once(people: People) -> None:
    ada = people.user("ada")
    made = ada.post("/tokens", {"name": "laptop", "scopes": ["read"], "expires_in": 3600}).get_json()
    assert made["token"].startswith("aapi_")
    assert len(made["token"]) == 48
    assert made["expires"] is not None
    listed = ada.get("/tokens").get_json()["tokens"]
    assert [each["name"] for each in listed] == ["login", "laptop"]
    assert made["token"] not in ada.get("/tokens").get_data(as_text=True)
    laptop = Person(people.node, made["token"])
    assert laptop.get("/auth/me").get_json()["scopes"] == ["read"]
    for basic in (("anything", made["token"]), ("", made["token"])):
        assert people.nobody.get("/auth/me", auth=basic).status_code == 200
    assert ada.delete(f"/tokens/{made['id']}").status_code == 204
    refused(laptop.get("/auth/me"), 401, "unauthorized")
    refused(ada.delete(f"/tokens/{made['id']}"), 404, "unknown_token")
    refused(ada.delete(f"/tokens/{2**63}"), 404, "not_found")


def test_nobody_gives_more_than_they_have(people: People) -> None:
    ada = people.user("ada")
    made = ada.post("/tokens", {"name": "ci", "scopes": ["write:team"], "expires_in": 600}).get_json()
    ci = Person(people.node, made["token"])
    for scopes in (["admin"], ["write:team"], ["read:team"]):  # it would outlive the one that was stolen
        refused(ci.post("/tokens", {"name": "x", "scopes": scopes, "expires_in": 60}), 403, "scope_too_small")
    refused(ci.get("/tokens"), 403, "scope_too_small")
    whole = ada.post("/tokens", {"name": "all", "scopes": ["admin"], "expires_in": 600}).get_json()
    short = Person(people.node, whole["token"])
    refused(short.post("/tokens", {"name": "x", "scopes": ["read:team"], "expires_in": 6000}), 403, "expires_sooner")
    refused(short.post("/tokens", {"name": "x", "scopes": ["read:team"]}), 403, "expires_sooner")
    assert short.post("/tokens", {"name": "x", "scopes": ["read:team"], "expires_in": 60}).status_code == 201
    refused(ci.patch("/auth/me", {"full_name": "x"}), 403, "scope_too_small")
    refused(ci.get("/projects"), 403, "scope_too_small")
    refused(ci.delete(f"/tokens/{made['id']}"), 403, "scope_too_small")


def test_another_users_token_is_not_there(people: People) -> None:
    ada, bob = people.user("ada"), people.user("bob")
    made = ada.post("/tokens", {"name": "x", "scopes": ["admin"]}).get_json()
    refused(bob.delete(f"/tokens/{made['id']}"), 404, "unknown_token")
    assert people.root.delete(f"/tokens/{made['id']}").status_code == 204


def test_bad_tokens_name_each_field(people: People) -> None:
    ada = people.user("ada")
    wrong = {"name": "", "scopes": ["everything"], "expires_in": 0}
    told = refused(ada.post("/tokens", wrong), 422, "invalid")
    assert set(told["fields"]) == {"name", "scopes.0", "expires_in"}
    assert set(refused(ada.post("/tokens", {}), 422, "invalid")["fields"]) == {"name", "scopes"}
    told = refused(people.root.post("/tokens", {"name": "x", "scopes": ["read"]}), 403, "not_a_user")
    assert "POST /api/v1/users" in told["message"], "whoever begins with ADMIN_TOKEN is told the way to a token"
    assert ada.post("/tokens", {"name": "x\n", "scopes": ["read"]}).status_code == 422


def test_a_scope_is_of_a_repository_that_one_may_see(people: People) -> None:
    ada = people.user("ada")
    assert ada.post("/tokens", {"name": "x", "scopes": ["write:team", "read:inside"]}).status_code == 201
    for unseen in ("nothing", "filed"):
        told = refused(ada.post("/tokens", {"name": "x", "scopes": ["read", f"write:{unseen}"]}), 422, "invalid")
        assert set(told["fields"]) == {"scopes.1"}


def test_every_token_of_a_user_ends_in_one_change(people: People, node: Node) -> None:
    ada, store = people.user("ada"), node.app.extensions["artifactapi"].accounts.store
    for number in range(3):
        ada.post("/tokens", {"name": f"{number}", "scopes": ["read"]})
    mine, before = ada.get("/auth/me").get_json()["id"], store.changes()
    assert people.root.delete(f"/users/{mine}/tokens").get_json() == {"revoked": 4}
    assert store.changes() == before + 1
    refused(ada.get("/auth/me"), 401, "unauthorized")


# -- administrators --------------------------------------------------------------------------------------------


def test_administrators_see_whose_tokens_there_are_and_end_one(people: People) -> None:
    ada = people.user("ada")
    made = ada.post("/tokens", {"name": "lost", "scopes": ["read"]}).get_json()
    mine = ada.get("/auth/me").get_json()["id"]
    told = people.root.get(f"/users/{mine}/tokens").get_json()
    assert told == {**ada.get("/tokens").get_json(), "after": None}
    assert made["token"] not in people.root.get(f"/users/{mine}/tokens").get_data(as_text=True)
    (found,) = (each for each in told["tokens"] if each["name"] == "lost")
    first = people.root.get(f"/users/{mine}/tokens?limit=1").get_json()
    assert ([each["name"] for each in first["tokens"]], first["after"]) == (["login"], first["tokens"][0]["id"])
    assert people.root.delete(f"/tokens/{found['id']}").status_code == 204
    refused(Person(people.node, made["token"]).get("/auth/me"), 401, "unauthorized")
    refused(people.root.get("/users/999/tokens"), 404, "unknown_user")
    refused(people.nobody.get(f"/users/{mine}/tokens"), 401, "unauthorized")
    refused(ada.get(f"/users/{mine}/tokens"), 403, "not_an_administrator")


def test_administrators_manage_users(people: People) -> None:
    ada = people.user("ada")
    number = ada.get("/auth/me").get_json()["id"]
    for method, path in (("GET", "/users"), ("POST", "/users"), ("GET", f"/users/{number}"), ("GET", "/audit")):
        refused(ada.ask(method, path), 403, "not_an_administrator")
        refused(people.nobody.ask(method, path), 401, "unauthorized")
    found = people.root.get("/users?search=ADA@").get_json()
    assert [each["email"] for each in found["users"]] == ["ada@example.org"]
    assert found["after"] is None
    assert people.root.get("/users?search=%25").get_json()["users"] == []
    assert people.root.patch(f"/users/{number}", {"full_name": "Ada"}).get_json()["full_name"] == "Ada"
    assert people.root.delete(f"/users/{number}/tokens").get_json() == {"revoked": 1}
    refused(ada.get("/auth/me"), 401, "unauthorized")
    ada = people.logged_in("ada@example.org")
    assert people.root.patch(f"/users/{number}", {"disabled": True}).get_json()["disabled"] is True
    refused(ada.get("/auth/me"), 401, "unauthorized")
    refused(
        Person(people.node).post("/auth/login", {"email": ada.email, "password": PASSWORD}), 401, "wrong_credentials"
    )
    assert people.root.delete(f"/users/{number}").status_code == 204
    refused(people.root.get(f"/users/{number}"), 404, "unknown_user")
    refused(people.root.patch(f"/users/{number}", {"admin": True}), 404, "unknown_user")


def test_somebody_stays_administrator(people: People) -> None:
    eve = people.user("eve", admin=True)
    mine = eve.get("/auth/me").get_json()["id"]
    refused(eve.delete(f"/users/{mine}"), 409, "last_administrator")
    refused(eve.patch(f"/users/{mine}", {"admin": False}), 409, "last_administrator")
    refused(eve.patch(f"/users/{mine}", {"disabled": True}), 409, "last_administrator")
    people.user("ada", admin=True)
    assert eve.patch(f"/users/{mine}", {"admin": False}).status_code == 200
    refused(eve.get("/users"), 403, "not_an_administrator")


def test_pages_of_users(people: People) -> None:
    for number in range(5):
        people.root.post("/users", {"email": f"user{number}@example.org"})
    seen: list[str] = []
    after: int | None = 0
    while after is not None:
        page = people.root.get(f"/users?limit=2&after={after}").get_json()
        seen += [each["email"] for each in page["users"]]
        after = page["after"]
    assert seen == [f"user{number}@example.org" for number in range(5)]
    for query in ("limit=0", "limit=1001", "limit=x", "after=-1", f"after={2**63}", "sort=x", "search=%00"):
        refused(people.root.get(f"/users?{query}"), 422, "invalid")


def test_the_administrators_own_token(people: People, node: Node) -> None:
    me = people.root.get("/auth/me").get_json()
    assert (me["id"], me["email"], me["admin"]) == (None, "admin", True)
    refused(people.root.post("/auth/logout"), 400, "not_a_token")
    refused(people.root.patch("/auth/me", {"full_name": "x"}), 403, "not_a_user")
    with worker(node, auth="open") as client:
        assert client.get("/api/v1/users").status_code == 200
        assert client.get("/api/v1/auth/me", headers={"Authorization": f"Bearer {TOKEN}x"}).status_code == 200


def test_two_administrators_do_not_remove_each_other(people: People) -> None:
    both = [people.user(name, admin=True) for name in ("ada", "bob")]
    numbers = [each.get("/auth/me").get_json()["id"] for each in both]
    with ThreadPoolExecutor(2) as pool:
        done = list(
            pool.map(
                lambda pair: pair[0].delete(f"/users/{pair[1]}").status_code, zip(both, numbers[::-1], strict=True)
            )
        )
    assert 204 in done
    left = [each for each in people.root.get("/users").get_json()["users"] if each["admin"]]
    assert len(left) == 1


def test_an_exchange_that_is_refused_is_in_the_trail(people: People) -> None:
    for token in ("", "x", "a.b.c", "é" * 5000):
        refused(people.nobody.post("/auth/oidc", {"token": token, "project": "tools"}), 401, "invalid_token")
    event = people.root.get("/audit?action=login&limit=1").get_json()["events"][0]
    assert (event["user"], event["status"], event["detail"]) == ("tools/", 401, "oidc")


def test_without_postgres_it_says_so(people: People, node: Node) -> None:
    ada = people.user("ada")
    with worker(node, database_url=NOBODY["database_url"]) as client:
        headers = {"Authorization": f"Bearer {ada.token}"}
        for method, path, body in (
            ("POST", "/api/v1/auth/login", {"email": ada.email, "password": PASSWORD}),
            ("GET", "/api/v1/tokens", None),
            ("POST", "/api/v1/projects", {"name": "tools"}),
        ):
            answer = client.open(path, method=method, headers=headers, json=body)
            refused(answer, 503, "store_unavailable")
            assert int(answer.headers["Retry-After"]) > 0
