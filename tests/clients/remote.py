"""Knows one remote as a test sees it: the server's addresses for it, and the upstream behind it."""

from __future__ import annotations

import json
import urllib.request
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.clients.nginx import Nginx
from tests.stack import Stack, eventually


@dataclass(frozen=True, slots=True)
class Remote:
    """A remote of one test alone: nobody else asks its upstream or stops it."""

    name: str
    upstream: Nginx
    stack: Stack

    @property
    def url(self) -> str:
        """The address that clients are configured with."""
        return f"{self.stack.url}/repository/{self.name}"

    @property
    def api(self) -> str:
        """The kind-specific form of the same."""
        return f"{self.stack.url}/api/v1/remote/{self.name}"

    @property
    def root(self) -> Path:
        """What upstream serves."""
        return self.upstream.root

    def expire(self) -> None:
        """Have every stored copy revalidated at its next request, as an operator does."""
        self._settle()
        request = urllib.request.Request(
            f"{self.stack.url}/cache/flush?mode=expire&remote={self.name}",
            method="PUT",
            headers={"Authorization": f"Bearer {self.stack.token}"},
        )
        with urllib.request.urlopen(request, timeout=30) as response:
            assert json.load(response)["remote"] == self.name

    def refresh(self, index: str) -> None:
        """Ask for an index until the server gives upstream's edition: it shows the old one while it fetches that."""
        path, wanted = f"/repository/{self.name}/{index}", (self.root / index).read_bytes()
        eventually(lambda: self.stack.get(path) == (200, wanted), f"the newest {index}")

    def _settle(self) -> None:
        """Wait until all that upstream gave is recorded: a client has its last byte a moment before that,
        and a client that asks in that moment after a flush would fetch once more."""
        for path in {hit.path for hit in self.upstream.hits() if (hit.method, hit.status) == ("GET", 200)}:
            eventually(lambda path=path: self._state(path) != "MISS", f"{path} is recorded")  # type: ignore[misc]

    def _state(self, path: str) -> str:
        request = urllib.request.Request(self.url + path, method="HEAD")
        with urllib.request.urlopen(request, timeout=30) as response:
            return str(response.headers["X-Cache"])

    def downloads(self) -> Counter[str]:
        """Whole downloads from upstream by path; percent-encoding undone only where clients differ in it."""
        whole = (hit for hit in self.upstream.hits() if (hit.method, hit.status) == ("GET", 200))
        return Counter(hit.path.lower().replace("%2b", "+") for hit in whole)

    def asked(self) -> list[dict[str, Any]]:
        """The log lines of requests that clients sent for this remote."""
        return [line for line in self.stack.lines("request") if line["repository"] == self.name]


NextRemote = Callable[[str], Remote]
