"""A remote of one format as tables ask it, and as a node serves it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from app.formats import FORMATS
from app.resource import Ask, Kind, Repository, Resource
from tests.http.node import Node
from tests.upstreams import Upstream


def resolved(package: str, path: str, query: str = "", base: str = "http://127.0.0.1:1", allow: str = "") -> Resource:
    """What `path` is in a remote with at most one pattern."""
    patterns = (re.compile(allow),) if allow else ()
    repository = Repository(
        "r", Kind.REMOTE, package, base_urls=(base,), immutable_patterns=patterns, mutable_ttl=60.0
    )
    return FORMATS[package].resolve(repository, Ask("GET", "r", path, query))


@contextmanager
def serving(
    root: Path, database_url: str, redis_url: str, package: str, base: str = "", **more: object
) -> Iterator[tuple[Node, Upstream]]:
    """A node whose remote `r` (mutable_ttl 100 s) is this upstream's; `more` are other keys of it."""
    upstream = Upstream()
    remote = {"package": package, "base_url": upstream.url + base, "cache": {"mutable_ttl": 100}, **more}
    try:
        with Node(root, database_url, redis_url, {"remotes": {"r": remote}}).running() as node:
            yield node, upstream
    finally:
        upstream.stop()
