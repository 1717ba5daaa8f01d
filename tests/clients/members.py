"""One node for charts, crates and archives: of charts and crates a remote, one before that, and a virtual.

<package>-near   one's        <package>-far   <package>-near's        <package>-two   two's
helm-team        a local      <package>-all   the local, near, two
github           archives of one, which sends its clients to `files` for them
"""

from __future__ import annotations

import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any

import pytest

from tests.stack import Stack, StackFactory, eventually
from tests.upstreams import Upstream

TOKEN = "an-admin-token-of-the-tests"
GITHUB = {  # as README.md has it, but for base_url
    "package": "generic",
    "mutable_patterns": [
        "/archive/refs/heads/",
        "/releases/latest/download/",
        "/releases/download/(nightly|latest)/",
    ],
    "immutable_patterns": [
        "/archive/refs/tags/",
        r"/archive/(v?[0-9][^/]*|[0-9a-f]{40})\.(tar\.gz|zip)$",
        "/releases/download/",
    ],
    "cache": {"mutable_ttl": 300},
}


@dataclass(frozen=True, slots=True)
class Members:
    """The node and its upstreams."""

    stack: Stack
    one: Upstream
    two: Upstream
    files: Upstream  # where both keep what their indexes list

    def url(self, name: str) -> str:
        """What a client is configured with."""
        return f"{self.stack.url}/repository/{name}"

    def asked(self) -> int:
        """Requests that any upstream heard."""
        return self.one.count() + self.two.count() + self.files.count()

    def publish(self, path: str, body: bytes) -> None:
        """Into a local repository."""
        self._put(f"/repository/{path}", body)

    def expire(self, *names: str) -> None:
        """Have every stored copy revalidated at its next request, as an operator does."""
        for name in names:
            self._put(f"/cache/flush?mode=expire&remote={name}", b"")

    def _put(self, path: str, body: bytes) -> None:
        headers = {"Authorization": f"Bearer {TOKEN}", "Content-Type": "application/octet-stream"}
        request = urllib.request.Request(self.stack.url + path, body, headers, method="PUT")
        with urllib.request.urlopen(request, timeout=30) as answer:
            assert answer.status < 300

    def settle(self, url: str) -> None:
        """Wait until that is recorded: a client has its last byte a moment before."""

        def recorded() -> bool:
            with urllib.request.urlopen(urllib.request.Request(url, method="HEAD"), timeout=30) as answer:
                return str(answer.headers["X-Cache"]) == "HIT"

        eventually(recorded, f"{url} is recorded")

    @contextmanager
    def stopped(self, *upstreams: Upstream) -> Iterator[None]:
        """None of them answers; without any, all."""
        chosen = upstreams or (self.one, self.two, self.files)
        for each in chosen:
            each.stop()
        try:
            yield
        finally:
            for each in chosen:
                each.start()


@pytest.fixture(scope="session")
def members(stack_factory: StackFactory) -> Iterator[Members]:
    """The node, for every test of these three."""
    with ExitStack() as ended:
        one, two, files = (Upstream() for _ in range(3))
        for each in (one, two, files):
            ended.callback(each.stop)
        stack: Stack = stack_factory({}, "members", ADMIN_TOKEN=TOKEN)
        stack.configure(_document(stack.url, one, two))
        stack.start()
        ended.callback(stack.stop)
        yield Members(stack, one, two, files)


def _document(own: str, one: Upstream, two: Upstream) -> dict[str, Any]:
    remotes: dict[str, Any] = {"github": {**GITHUB, "base_url": f"{one.url}/github"}}
    virtuals: dict[str, Any] = {}
    for package, local in (("helm", ["helm-team"]), ("cargo", [])):
        base = {"package": package, "cache": {"mutable_ttl": 3600}}
        near = f"{own}/repository/{package}-near"
        for name, url in (("near", f"{one.url}/{package}"), ("far", near), ("two", f"{two.url}/{package}")):
            remotes[f"{package}-{name}"] = {**base, "base_url": url}
        owner = {"owned": ["tool-of-two*"]}
        remotes[f"{package}-two"] |= owner
        members = [*local, f"{package}-near", f"{package}-two"]
        virtuals[f"{package}-all"] = {"package": package, "members": members}
    return {"remotes": remotes, "virtuals": virtuals, "locals": {"helm-team": {"package": "helm"}}}
