"""Knows what a client and a source of images are to the tests, whoever they are."""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from email.message import Message
from pathlib import Path
from typing import Protocol

from tests.containers.images import Form, Image, Index, contents
from tests.containers.registry import Registry
from tests.stack import Stack, eventually

# docker-registry answers 404 for an OCI manifest to whoever says no more than */*.
ANY = ", ".join([*(each for form in Form for each in form.value[:2]), "*/*"])


@dataclass(frozen=True, slots=True)
class Answer:
    """One response of the server under test; `headers` looks names up in any case."""

    status: int
    headers: Message
    body: bytes

    @property
    def code(self) -> str:
        """The error's code in OCI's form."""
        (error,) = json.loads(self.body)["errors"]
        return str(error["code"])


@dataclass(frozen=True, slots=True)
class Source:
    """A remote of the server under test: its addresses for clients, and the registry behind it."""

    name: str
    registry: Registry
    stack: Stack
    serves: str = ""  # the registry it answers for by ?ns=
    own: str = ""  # a host (with its port) that stands for it alone

    @property
    def host(self) -> str:
        """The server, as it stands before a slash."""
        return f"127.0.0.1:{self.stack.port}"

    def address(self, name: str, reference: str) -> str:
        """What a client without any mirror calls the image; `reference` is a tag or a digest."""
        return f"{self.own or f'{self.host}/{self.name}'}/{tagged(name, reference)}"

    def get(self, path: str, method: str = "GET", accept: str = ANY) -> Answer:
        """A request of the registry API for this remote."""
        return ask(f"{self.stack.url}/v2/{self.name}/{path}", method, accept)

    def expire(self, path: str = "") -> None:
        """Have the stored copies of what begins so revalidated at their next request, as an operator does."""
        below = f"&path=v2/{path}" if path else ""
        request = urllib.request.Request(
            f"{self.stack.url}/cache/flush?mode=expire&remote={self.name}{below}",
            method="PUT",
            headers={"Authorization": f"Bearer {self.stack.token}"},
        )
        with urllib.request.urlopen(request, timeout=30) as response:
            assert json.load(response)["remote"] == self.name

    def settle(self, name: str, of: Image | Index) -> None:
        """Wait until what a client pulled is recorded: it has its last byte a moment before that."""
        for blob in of.blobs:
            path = f"{name}/blobs/{blob.digest}"
            if self.registry.asked("GET", path):
                eventually(lambda path=path: self.is_stored(path), f"{path} is recorded")  # type: ignore[misc]

    def is_stored(self, path: str) -> bool:
        return bool(self.get(path, "HEAD").headers["X-Cache"] != "MISS")


def ask(url: str, method: str = "GET", accept: str = ANY) -> Answer:
    """One request; every status is an answer."""
    request = urllib.request.Request(url, method=method, headers={"Accept": accept})
    try:
        with urllib.request.urlopen(request, timeout=30) as response:
            return Answer(response.status, response.headers, response.read())
    except urllib.error.HTTPError as error:
        with error:
            return Answer(error.code, error.headers, error.read())


def tagged(name: str, reference: str) -> str:
    """name:tag or name@digest."""
    return f"{name}{'@' if ':' in reference else ':'}{reference}"


@dataclass(frozen=True, slots=True)
class Held:
    """What a machine has of an image: the digest it knows it by, its own platform's config, and bytes by digest."""

    digest: str
    config: str
    kept: Mapping[str, bytes] = field(default_factory=dict)

    def assert_same(self, pushed: Image | Index) -> None:
        """It is what was pushed, byte for byte as far as the client keeps bytes."""
        expected = dict(contents(pushed))
        mine = pushed.images[0] if isinstance(pushed, Index) else pushed
        assert (self.digest, self.config) == (pushed.manifest.digest, mine.config.digest)
        assert self.kept == {digest: expected[digest] for digest in self.kept}


class Machine(Protocol):
    """A client with empty storage."""

    takes_all: bool  # whether it pulls every platform of an index

    def pull(self, source: Source, name: str, reference: str) -> Held:
        """Pull by tag or digest; raises CommandFailedError."""


NewMachine = Callable[[], Machine]
Home = Callable[[], Path]


def parts(machine: Machine, pushed: Image | Index) -> Image | Index:
    """What a machine downloads of an image: all of it, or its own platform's."""
    return pushed.images[0] if isinstance(pushed, Index) and not machine.takes_all else pushed
