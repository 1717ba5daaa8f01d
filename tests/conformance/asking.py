"""Knows how the API is asked: by which address, in which state of the cache, and what came back."""

from __future__ import annotations

import contextlib
import http.client
import json
import re
import urllib.request
from dataclasses import dataclass
from email.message import Message
from typing import Any, Protocol

from tests.containers.machine import ANY
from tests.stack import Stack, eventually

# named: /v2/<remote>/<name>   own: /repository/<remote>/v2/<name>   ns: /v2/<name>?ns=   bare: /v2/<name>
FORMS = ("named", "own", "ns", "bare")

_NEXT = re.compile(r"<([^<>]+)>; rel=\"next\"")  # one way to write what RFC 5988, 5 allows


class Stoppable(Protocol):
    """An upstream that can be down for a while."""

    def stopped(self) -> contextlib.AbstractContextManager[None]:
        """It refuses connections inside this block."""


@dataclass(frozen=True, slots=True, repr=False)
class Reply:
    """One response; `headers` looks names up in any case, `state` is the cache's when it was asked."""

    state: str
    status: int
    headers: Message
    body: bytes

    def __repr__(self) -> str:
        return f"{self.state}: {self.status} {self.headers.items()} {self.body[:200]!r}"

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def told(self) -> tuple[int, str]:
        """(status, the code of its only error)."""
        assert "errors" in self.json, self
        (error,) = self.json["errors"]
        return self.status, str(error["code"])

    @property
    def type(self) -> str:
        return str(self.headers["Content-Type"])

    @property
    def digest(self) -> str:
        return str(self.headers["Docker-Content-Digest"])

    @property
    def next(self) -> str:
        """The target of its Link, "" without one; a Link of any other form fails the test."""
        link = self.headers["Link"]
        if link is None:
            return ""
        found = _NEXT.fullmatch(link)
        assert found, link
        return found[1]


@dataclass(frozen=True, slots=True)
class Api:
    """One remote of the server under test, by one of the four addresses it has."""

    form: str
    remote: str
    serves: str  # what ?ns= says
    host: str  # what the bare form says in Host; "" for the server's own address
    node: Stack
    upstream: Stoppable

    def name(self, name: str) -> str:
        """What stands for <name> in the specification's URLs: all between /v2/ and the endpoint."""
        return f"{self.remote}/{name}" if self.form == "named" else name

    @property
    def base(self) -> str:
        """Where the API begins."""
        return {"own": f"/repository/{self.remote}/v2/", "ns": f"/v2/?ns={self.serves}"}.get(self.form, "/v2/")

    def target(self, path: str) -> str:
        """The request's target for a path below an image's /v2/."""
        if self.form == "own":
            return f"/repository/{self.remote}/v2/{path}"
        if self.form == "ns":
            return f"/v2/{path}{'&' if '?' in path else '?'}ns={self.serves}"
        return f"/v2/{self.name(path)}"

    def ask(self, path: str, method: str = "GET", *, state: str = "cold", **headers: str) -> Reply:
        """One request; `If_None_Match="..."` style headers, an Accept of everything unless one is given."""
        return self.go(self.target(path), method, state=state, **headers)

    def go(self, target: str, method: str = "GET", *, state: str = "cold", **headers: str) -> Reply:
        """As ask(), for a target as it stands."""
        sent = {"Accept": ANY, "Host": self.host if self.form == "bare" else ""}
        sent |= {name.replace("_", "-"): value for name, value in headers.items()}
        connection = http.client.HTTPConnection("127.0.0.1", self.node.port, timeout=30)
        with contextlib.closing(connection):
            connection.request(method, target, headers={name: value for name, value in sent.items() if value})
            answer = connection.getresponse()
            return Reply(state, answer.status, answer.headers, answer.read())

    def every(self, path: str, method: str = "GET", **headers: str) -> tuple[Reply, Reply, Reply]:
        """The same request thrice: nothing is stored; it is stored; and upstream is gone."""
        return self.ask(path, method, **headers), *self.stored(path, method, **headers)

    def stored(self, path: str, method: str = "GET", **headers: str) -> tuple[Reply, Reply]:
        """every() but for the first."""
        self.store(path)
        warm = self.ask(path, method, state="warm", **headers)
        with self.upstream.stopped():
            return warm, self.ask(path, method, state="stopped", **headers)

    def stale(self, path: str, method: str = "GET", **headers: str) -> Reply:
        """The request when the stored copy is due and upstream is gone; it is tried again, so this takes a while."""
        self.store(path)
        self.expire()
        with self.upstream.stopped():
            return self.ask(path, method, state="stale", **headers)

    def store(self, path: str) -> None:
        """Have it in the cache: a body's last byte comes a moment before it is recorded."""
        assert self.ask(path).status == 200
        eventually(lambda: self.ask(path, "HEAD").headers["X-Cache"] != "MISS", f"{path} is recorded")

    def expire(self) -> None:
        """Have what is stored of this remote compared with upstream at its next request, as an operator does."""
        request = urllib.request.Request(
            f"{self.node.url}/cache/flush?mode=expire&remote={self.remote}",
            method="PUT",
            headers={"Authorization": f"Bearer {self.node.token}"},
        )
        with urllib.request.urlopen(request, timeout=30) as response:
            assert json.load(response)["remote"] == self.remote
