"""AUTH=header: a trusted proxy in front says who somebody is; tokens work beside it."""

from __future__ import annotations

import base64
from typing import Any

import pytest
from flask.testing import FlaskClient

from app.accounts.rights import Role
from app.config import from_environment
from tests.http.node import ADMIN, TOKEN, Node
from tests.http.variant import worker

PROXY, STRANGER = {"REMOTE_ADDR": "10.0.0.1"}, {"REMOTE_ADDR": "192.0.2.7"}
TRUSTED = from_environment({"TRUSTED_PROXIES": "10.0.0.0/24"}).trusted_proxies
PATH = "/repository/members/a.bin"


@pytest.fixture
def remotes(remotes: dict[str, Any]) -> dict[str, Any]:
    remotes["locals"]["members"] = {"package": "generic", "access": "ours", "project": "ours"}
    return remotes


def asked(client: FlaskClient, method: str, peer: dict[str, str], **headers: str) -> int:
    sent = {name.replace("_", "-"): value for name, value in headers.items()}
    return client.open(PATH, method=method, headers=sent, data=b"body", environ_base=peer).status_code


def test_a_proxy_names_the_user_and_nobody_else_does(node: Node) -> None:
    people = node.app.extensions["artifactapi"].accounts
    people.store.add_project("ours", "", 0)
    with worker(node, auth="header", trusted_proxies=TRUSTED) as client:
        for peer in (PROXY, STRANGER):
            assert asked(client, "GET", peer) == 401
        assert list(people.store.users()) == []
        assert asked(client, "GET", STRANGER, X_Remote_User="anna@example.org") == 401
        assert list(people.store.users()) == [], "a stranger makes nobody"
        assert asked(client, "GET", PROXY, X_Remote_User="Anna@example.org") == 404, "known, and no member"
        (anna,) = people.store.users()
        assert (anna.email, anna.admin, anna.password) == ("anna@example.org", False, "")
        people.store.put_member("ours", anna.id, Role.WRITER)
        assert asked(client, "PUT", PROXY, X_Remote_User="anna@example.org") == 201
        assert asked(client, "GET", PROXY, X_Remote_User="anna@example.org") == 200
        assert asked(client, "GET", STRANGER, X_Remote_User="anna@example.org") == 401
        _, token = people.make_token(anna.id, "laptop")
        assert asked(client, "GET", STRANGER, Authorization=f"Bearer {token}") == 200
        assert asked(client, "GET", PROXY, **ADMIN, X_Remote_User="bert@example.org") == 200, "a token comes first"
        people.store.change_user(anna.id, disabled=True)
        assert asked(client, "GET", PROXY, X_Remote_User="anna@example.org") == 401
        strange = ("", " ", "a,b", "a\x7fb", "x" * 255, "\xff\xfe", "anna@example.org, bert@example.org")
        assert [asked(client, "GET", PROXY, X_Remote_User=each) for each in strange] == [401] * len(strange)
        assert len(list(people.store.users())) == 1


def test_whose_name_it_is(node: Node) -> None:
    """Letters that are K to Unicode alone, the administrator's own name, numbers, and a password out of nothing."""
    people = node.app.extensions["artifactapi"].accounts
    owner = people.store.add_user("kate", "", "")
    people.store.add_project("ours", "", owner.id)
    with worker(node, auth="header", trusted_proxies=TRUSTED) as client:
        kelvin = "\u212aate".encode().decode("latin-1")
        assert asked(client, "GET", PROXY, X_Remote_User=kelvin) == 404
        assert asked(client, "GET", PROXY, X_Remote_User="Admin") == 401
        other = people.store.add_user(str(owner.id), "", "")
        people.store.put_member("ours", other.id, Role.READER)
        at = f"/api/v1/projects/ours/members/{owner.id}"
        gone = client.delete(at, headers={"X-Remote-User": other.email}, environ_base=PROXY)
        assert gone.status_code == 204
        assert [each.user for each in people.store.members("ours")] == [owner.id]
        new = {"password": "a long enough phrase", "current_password": ""}
        _, token = people.make_token(owner.id, "laptop")
        for headers, status in (({"Authorization": f"Bearer {token}"}, 403), ({"X-Remote-User": "kate"}, 200)):
            answer = client.patch("/api/v1/auth/me", json=new, headers=headers, environ_base=PROXY)
            assert answer.status_code == status, answer.get_data(as_text=True)


def test_another_sites_page_changes_nothing(node: Node) -> None:
    people = node.app.extensions["artifactapi"].accounts
    people.store.add_project("ours", "", people.store.add_user("anna", "", "").id)
    with worker(node, auth="header", trusted_proxies=TRUSTED) as client:
        for lines in (
            {"Sec_Fetch_Site": "cross-site"},
            {"Sec_Fetch_Site": "same-site"},
            {"Origin": "https://evil.example.org"},
            {"Origin": "null"},
        ):
            assert asked(client, "PUT", PROXY, X_Remote_User="anna", **lines) == 401, lines
            assert asked(client, "GET", PROXY, X_Remote_User="anna", **lines) == 404, lines
        assert asked(client, "PUT", PROXY, X_Remote_User="anna", Sec_Fetch_Site="same-origin") == 201
        assert asked(client, "DELETE", PROXY, X_Remote_User="anna", Origin="http://localhost") == 204


def test_nor_does_it_with_what_a_browser_remembers(node: Node) -> None:
    basic = {"Authorization": "Basic " + base64.b64encode(f"x:{TOKEN}".encode()).decode()}
    with worker(node) as client:
        assert asked(client, "PUT", STRANGER, **basic, Sec_Fetch_Site="cross-site") == 401
        assert asked(client, "PUT", STRANGER, **basic, Sec_Fetch_Site="none") == 201
        assert asked(client, "GET", STRANGER, **basic, Sec_Fetch_Site="cross-site") == 200
        assert asked(client, "DELETE", STRANGER, **ADMIN, Origin="https://ours.example.org") == 204


def test_nor_where_everybody_may(node: Node) -> None:
    """AUTH=open is of a network that is trusted, not of every page that somebody in it looks at."""
    foreign: dict[str, str]
    with worker(node, auth="open") as client:
        for foreign in ({"Sec_Fetch_Site": "cross-site"}, {"Origin": "https://evil.example.org"}):
            assert asked(client, "PUT", STRANGER, **foreign) == 401, foreign
            assert asked(client, "PUT", STRANGER, **foreign, Authorization="Negotiate abcd") == 401, foreign
            assert asked(client, "GET", STRANGER, **foreign) == 404, foreign
        assert asked(client, "PUT", STRANGER) == 201
        assert asked(client, "DELETE", STRANGER, Origin="http://localhost") == 204


def test_a_name_that_somebody_else_has_lead_here_is_another_sites(node: Node) -> None:
    rebound = {"Host": "evil.example.org", "Origin": "http://evil.example.org"}
    own = {"Origin": "https://packages.example.org", "Sec_Fetch_Site": "same-origin"}
    with worker(node, auth="open", public_url="https://Packages.example.org/below") as client:
        assert asked(client, "PUT", STRANGER, **rebound) == 401
        assert asked(client, "PUT", STRANGER, **rebound, Sec_Fetch_Site="same-origin") == 401
        assert asked(client, "PUT", STRANGER, **own) == 201
        assert asked(client, "DELETE", STRANGER, Host="10.0.0.7:8080") == 204, "no browser's"


def test_a_password_of_elsewhere_is_nobodys_token_here(node: Node) -> None:
    with worker(node, auth="header", trusted_proxies=TRUSTED) as client:
        basic = {"Authorization": "Basic " + base64.b64encode(b"anna:her password").decode(), "X-Remote-User": "anna"}
        told = client.get("/v2/token", headers=basic, environ_base=PROXY)
        assert (told.status_code, told.get_json()["token"]) == (200, "anonymous")


def test_without_that_setting_the_line_means_nothing(node: Node) -> None:
    with worker(node, trusted_proxies=TRUSTED) as client:
        assert asked(client, "GET", PROXY, X_Remote_User="anna@example.org") == 401
    assert list(node.app.extensions["artifactapi"].accounts.store.users()) == []


def test_the_line_has_the_name_that_the_operator_gave_it(node: Node) -> None:
    with worker(node, auth="header", auth_header="Remote-User", trusted_proxies=TRUSTED) as client:
        assert asked(client, "GET", PROXY, X_Remote_User="anna") == 401
        assert asked(client, "GET", PROXY, Remote_User="anna") == 404
