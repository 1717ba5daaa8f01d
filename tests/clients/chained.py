"""Knows a node with two upstreams and a chain: remote `near` asks one of them, remote `far` asks `near`."""

from __future__ import annotations

import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from tests.stack import Stack, StackFactory, eventually
from tests.upstreams import Upstream


@dataclass(frozen=True, slots=True)
class Chained:
    """The node, what `near` asks, and another upstream for what the test file adds."""

    stack: Stack
    upstream: Upstream
    other: Upstream

    def url(self, repository: str) -> str:
        """What clients are configured with."""
        return f"{self.stack.url}/repository/{repository}"

    @contextmanager
    def stopped(self) -> Iterator[None]:
        """No upstream answers."""
        self.upstream.stop()
        self.other.stop()
        try:
            yield
        finally:
            self.upstream.start()
            self.other.start()

    def settle(self, *paths: str) -> None:
        """Wait until these of `near` are recorded: a client has its last byte a moment before that."""
        for path in paths:
            eventually(lambda path=path: self._state(path) != "MISS", f"{path} is recorded")  # type: ignore[misc]

    def _state(self, path: str) -> str:
        request = urllib.request.Request(f"{self.url('near')}/{path}", method="HEAD")
        with urllib.request.urlopen(request, timeout=30) as response:
            return str(response.headers["X-Cache"])


@contextmanager
def chained(
    stack_factory: StackFactory,
    package: str,
    upstreams: tuple[Upstream, Upstream],
    more: Mapping[str, Any],
    **settings: str,
) -> Iterator[Chained]:
    """`more` is a remotes.json whose remotes go beside the two, which may be there to say more of them."""
    one, other = upstreams
    stack = stack_factory({"remotes": {}}, name=package, **settings)
    remotes = {name: dict(said) for name, said in more.get("remotes", {}).items()}
    for name, url in (("near", one.url), ("far", f"{stack.url}/repository/near")):
        remotes[name] = {"package": package, "base_url": url, **remotes.get(name, {})}
    stack.configure({**more, "remotes": remotes})
    try:
        yield Chained(stack.start(), one, other)
    finally:
        stack.stop()
        one.stop()
        other.stop()
