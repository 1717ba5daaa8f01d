"""A team's way through the API of a whole node: a project, its repository, a CI's token, uploads of both kinds."""

from __future__ import annotations

import os
from typing import Any

import requests

from tests.api.asking import PASSWORD
from tests.stack import Stack, StackFactory


def ask(stack: Stack, method: str, path: str, token: str = "", **more: Any) -> requests.Response:
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    return requests.request(method, f"{stack.url}{path}", headers=headers, timeout=30, **more)


def test_from_an_account_to_a_package(stack_factory: StackFactory) -> None:
    stack = stack_factory({"locals": {"team": {}}}, "api", REGISTRATION="open", RATE_ADDRESS="1000/minute").start()
    ada = {"email": "ada@example.org", "password": PASSWORD}
    assert ask(stack, "POST", "/api/v1/auth/register", json=ada | {"full_name": "Ada"}).status_code == 201
    login = ask(stack, "POST", "/api/v1/auth/login", json=ada).json()["access_token"]
    assert ask(stack, "POST", "/api/v1/projects", login, json={"name": "tools"}).status_code == 201
    ours = {"name": "ours", "project": "tools", "package": "generic"}
    assert ask(stack, "POST", "/api/v1/repositories", login, json=ours).status_code == 201
    wanted = {"name": "ci", "scopes": ["write:ours"], "expires_in": 600}
    made = ask(stack, "POST", "/api/v1/tokens", login, json=wanted).json()
    ci, large = made["token"], os.urandom(3 << 20)
    for path, body in (("small.bin", b"small"), ("large.bin", large)):  # by a worker, and by the fills process
        assert ask(stack, "PUT", f"/repository/ours/{path}", ci, data=body).status_code == 201
        assert ask(stack, "PUT", f"/repository/team/{path}", ci, data=body).status_code == 403
        for _ in range(4):  # whichever worker answers knows the repository, and who may read it
            assert ask(stack, "GET", f"/repository/ours/{path}").status_code == 401
            assert ask(stack, "GET", f"/repository/ours/{path}", ci).content == body
    assert ask(stack, "DELETE", f"/api/v1/tokens/{made['id']}", login).status_code == 204
    for _ in range(4):
        assert ask(stack, "PUT", "/repository/ours/late.bin", ci, data=b"late").status_code == 401
    events = ask(stack, "GET", "/api/v1/audit?repository=ours", stack.token).json()["events"]
    told = [(each["user"], each["action"], each["path"], each["status"]) for each in events]
    assert told == [
        ("ada@example.org", "PUT", "/repository/ours/large.bin", 201),
        ("ada@example.org", "PUT", "/repository/ours/small.bin", 201),
        ("ada@example.org", "POST", "/api/v1/repositories", 201),
    ]
    for secret in (PASSWORD, login, ci):
        assert secret not in stack.log()
