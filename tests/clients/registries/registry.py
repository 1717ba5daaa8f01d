"""Knows a registry as tests see it: its upstream, a remote in front of that, and a remote in front of the remote."""

from __future__ import annotations

import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from tests.stack import Stack, eventually
from tests.upstreams import Upstream


@dataclass(frozen=True, slots=True)
class Registry:
    """`near` asks the upstream, `far` asks `near`; both are URLs that clients are configured with."""

    package: str
    upstream: Upstream
    files: Upstream  # another host, where an upstream keeps its files
    stack: Stack

    @property
    def near(self) -> str:
        return f"{self.stack.url}/repository/{self.package}"

    @property
    def far(self) -> str:
        return f"{self.stack.url}/repository/{self.package}-far"

    @contextmanager
    def stopped(self) -> Iterator[None]:
        """No upstream answers."""
        self.upstream.stop()
        self.files.stop()
        try:
            yield
        finally:
            self.upstream.start()
            self.files.start()

    def settle(self, *paths: str) -> None:
        """Wait until these are recorded: a client has its last byte a moment before that."""
        for path in paths:
            eventually(lambda path=path: self._state(path) != "MISS", f"{path} is recorded")  # type: ignore[misc]

    def _state(self, path: str) -> str:
        request = urllib.request.Request(f"{self.near}/{path}", method="HEAD")
        with urllib.request.urlopen(request, timeout=30) as response:
            return str(response.headers["X-Cache"])

    def expire(self) -> None:
        """Have every stored copy revalidated at its next request, as an operator does."""
        for name in (self.package, f"{self.package}-far"):
            url = f"{self.stack.url}/cache/flush?mode=expire&remote={name}"
            headers = {"Authorization": f"Bearer {self.stack.token}"}
            with urllib.request.urlopen(urllib.request.Request(url, method="PUT", headers=headers), timeout=30):
                pass
