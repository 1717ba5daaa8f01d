"""Somebody who asks the JSON API of a node, with the token that they have."""

from __future__ import annotations

import itertools
from typing import Any

from werkzeug.test import TestResponse

from tests.http.node import TOKEN, Node

PASSWORD = "a right horse battery"
_ADDRESSES = itertools.count(1)


class Person:
    """`address` is of nobody else, so that no test counts another's logins."""

    def __init__(self, node: Node, token: str = "", email: str = "") -> None:
        self.node, self.token, self.email = node, token, email
        number = next(_ADDRESSES)
        self.address = f"10.{number >> 16}.{number >> 8 & 255}.{number & 255}"

    def ask(self, method: str, path: str, json: Any = None, /, **more: Any) -> TestResponse:
        headers = {"Authorization": f"Bearer {self.token}"} if self.token else {}
        headers |= more.pop("headers", {})
        if json is not None:
            more["json"] = json
        base = {"REMOTE_ADDR": self.address}
        return self.node.client.open(
            f"/api/v1{path}", method=method, headers=headers, environ_base=base, buffered=True, **more
        )

    def get(self, path: str, **more: Any) -> TestResponse:
        return self.ask("GET", path, **more)

    def post(self, path: str, json: Any = None, **more: Any) -> TestResponse:
        return self.ask("POST", path, json, **more)

    def put(self, path: str, json: Any = None) -> TestResponse:
        return self.ask("PUT", path, json)

    def patch(self, path: str, json: Any = None) -> TestResponse:
        return self.ask("PATCH", path, json)

    def delete(self, path: str) -> TestResponse:
        return self.ask("DELETE", path)

    def upload(self, path: str, body: bytes) -> TestResponse:
        headers = {"Authorization": f"Bearer {self.token}"} if self.token else {}
        return self.node.client.put(f"/repository/{path}", data=body, headers=headers)


class People:
    """Everybody on one node."""

    def __init__(self, node: Node) -> None:
        self.node = node
        self.root = Person(node, TOKEN, "admin")
        self.nobody = Person(node)

    def user(self, name: str, *, admin: bool = False) -> Person:
        """A new one, logged in."""
        email = f"{name}@example.org"
        made = self.root.post("/users", {"email": email, "password": PASSWORD, "admin": admin})
        assert made.status_code == 201, made.get_data(as_text=True)
        return self.logged_in(email)

    def logged_in(self, email: str) -> Person:
        person = Person(self.node, email=email)
        answer = person.post("/auth/login", {"email": email, "password": PASSWORD})
        assert answer.status_code == 200, answer.get_data(as_text=True)
        person.token = answer.get_json()["access_token"]
        return person


def refused(answer: TestResponse, status: int, code: str) -> dict[str, Any]:
    """That it was, in the one form of errors; the whole of it."""
    told: dict[str, Any] = answer.get_json()
    assert (answer.status_code, told["error"]) == (status, code), told
    assert told["request_id"] == answer.headers["X-Request-Id"]
    return told
