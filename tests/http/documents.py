"""An ecosystem of the tests' own, for what the engine does with documents that are made of others.

pages/<name>     made: the lines of every source's page, each line once, first member first; a page that has BAD in it
                 is none. Its first line says where this server is; beside it parts/<sha256> is recorded
files/<name>/<file>   the file that a line "<file> <url> [sha256]" of that page names
anything else    plain files
"""

from __future__ import annotations

import hashlib
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, BinaryIO

import pytest

from app.errors import NotFound
from app.formats import FORMATS
from app.formats.virtual import among, made, merged, variant
from app.resource import HERE, Ask, Desk, Digest, Format, Found, Kind, Located, Made, Reading, Repository, Resource
from tests.http.node import Node
from tests.upstreams import Upstream

PACKAGE = "generic"  # the name under which it stands in for another
PRIVATE = {"access": "authenticated"}


@dataclass(eq=False)
class Pages(Format):
    """See above; `makes` counts."""

    name = PACKAGE
    merged = True
    makes: list[str] = field(default_factory=list)
    hold: threading.Event | None = None

    def resolve(self, repository: Repository, ask: Ask) -> Resource:
        kind, _, rest = ask.path.partition("/")
        if kind == "pages":
            return self._page(repository, ask.path, rest)
        if kind == "parts":
            name = rest.partition("/")[0]
            page = self._page(repository, f"pages/{name}", name)
            key = variant(repository, ask.path)
            return Resource(repository, key, ask.path, immutable=True, format=self, beside=page)
        if repository.kind is Kind.VIRTUAL:
            return among(self, repository, ask)
        plain = Resource(repository, ask.path, ask.path, immutable=True, format=self, html=True)
        if repository.kind is Kind.REMOTE and kind == "files":
            name = rest.partition("/")[0]
            return replace(plain, named_in=self._original(repository, f"pages/{name}"), package=name)
        return plain if kind == "files" else replace(plain, immutable=False, ttl=repository.mutable_ttl)

    def _page(self, repository: Repository, path: str, name: str) -> Resource:
        if repository.kind is Kind.LOCAL:
            return Resource(repository, path, path, immutable=True, format=self)
        if repository.kind is Kind.REMOTE:
            page = made(self, repository, path, path, (self._original(repository, path),), "made")
        else:
            page = merged(self, repository, path, path, lambda part: self._source(part, path))
        return replace(page, addressed=True)

    def _source(self, part: Repository, path: str) -> Resource:
        return Resource(part, path, path, format=self) if part.kind is Kind.LOCAL else self._original(part, path)

    def _original(self, repository: Repository, path: str) -> Resource:
        return Resource(repository, f"original {path}", path, ttl=repository.mutable_ttl, format=self, index=True)

    def named(self, path: str) -> str:
        kind, _, rest = path.partition("/")
        return rest.partition("/")[0] if kind in ("pages", "files", "parts") else ""

    def read(self, resource: Resource, body: BinaryIO) -> Reading:
        if b"LIE" in body.read():
            raise ValueError("a lie")
        return Reading()

    def locate(self, resource: Resource, index: BinaryIO) -> Located | None:
        wanted = resource.path.rpartition("/")[2]
        for line in index.read().decode().splitlines():
            name, _, rest = line.partition(" ")
            url, _, digest = rest.partition(" ")
            if name == wanted and url:
                return Located(url, Digest("sha256", digest) if digest else None)
        return None

    def make(self, resource: Resource, found: Sequence[Found], desk: Desk) -> Made:
        self.makes.append(resource.repository.name)
        if self.hold is not None:
            self.hold.wait(10)
        lines: dict[bytes, None] = {}
        for each in found:
            text = each.file.read() if each.file is not None else b""
            if b"BAD" in text:
                raise ValueError(f"{each.resource.repository.name}: BAD")
            lines.update(dict.fromkeys(text.splitlines()))
        if b"NONE" in lines:
            raise NotFound("there is no such page", upstream_status=404)
        body = b"".join(line + b"\n" for line in lines)
        name = resource.path.removeprefix("pages/")
        with desk.beside(f"parts/{name}/{hashlib.sha256(body).hexdigest()}", "text/plain") as part:
            part.write(body)
        desk.write(f"{HERE}/files\n".encode())
        desk.write(body)
        return Made("text/plain", "Own: line")


@contextmanager
def standing_in() -> Iterator[Pages]:
    """While this lasts, PACKAGE is that format."""
    with pytest.MonkeyPatch.context() as patch:
        pages = Pages()
        known = {**FORMATS, PACKAGE: pages}
        for module in [each for name, each in sys.modules.items() if name.startswith("app.")]:
            if getattr(module, "FORMATS", None) is FORMATS:
                patch.setattr(module, "FORMATS", known)
        yield pages


@dataclass
class Fleet:
    """Nodes on the same stores, two upstreams, and the format that counts."""

    pages: Pages
    one: Upstream
    two: Upstream
    node: Node
    more: dict[str, Any] = field(default_factory=dict)

    def ask(self, path: str, **headers: str) -> tuple[int, str, bytes]:
        answer = self.node.get(path, **headers)
        return answer.status_code, answer.headers.get("X-Cache", ""), answer.data


def remotes(one: Upstream, two: Upstream) -> dict[str, Any]:
    """Two remotes, a local, a private local; virtuals of some of them."""
    quick = {"connect_timeout": 2, "first_byte_timeout": 2, "stall_timeout": 2}
    up = {"package": PACKAGE, "cache": {"mutable_ttl": 100}, "upstream": quick}
    return {
        "remotes": {
            "one": up | {"base_url": f"{one.url}/base", "username": "me", "password": "a-secret"},
            "two": up | {"base_url": two.url, "owned": ["ours-*"]},
            "hidden": up | {"base_url": f"{two.url}/hidden"} | PRIVATE,
        },
        "locals": {
            "team": {"package": PACKAGE, "overwrite": True},
            "secret": {"package": PACKAGE, "owned": ["inner-*"]} | PRIVATE,
        },
        "virtuals": {
            "both": {"package": PACKAGE, "members": ["one", "two"]},
            "mixed": {"package": PACKAGE, "members": ["team", "one", "two"]},
            "closed": {"package": PACKAGE, "members": ["secret", "hidden"]},
            "partly": {"package": PACKAGE, "members": ["secret", "hidden", "one"]},
        },
    }


@contextmanager
def fleet(root: Path, database_url: str, redis_url: str, **settings: str) -> Iterator[Fleet]:
    """One node with remotes(), under the format of the tests."""
    one, two = Upstream(), Upstream()
    try:
        node = Node(root, database_url, redis_url, remotes(one, two), **settings)
        with standing_in() as pages, node.running():
            yield Fleet(pages, one, two, node)
    finally:
        one.stop()
        two.stop()
