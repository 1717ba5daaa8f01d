"""Warnings: what a Warning header looks like, if there is one."""

from __future__ import annotations

import re

import pytest

from tests.conformance.asking import Api, Reply
from tests.conformance.prepared import Prepared, sha256
from tests.conformance.test_manifests import lone
from tests.containers.images import Image

# 299, no agent, a quoted text, no date (RFC 7234, 5.5)
WARNING = re.compile(r'299 - "(?:[^"\\]|\\.)*"')


def check(reply: Reply) -> None:
    """Fails for a Warning that no registry may send."""
    given = reply.headers.get_all("Warning", [])
    assert reply.status == 200, reply
    assert [each for each in given if not WARNING.fullmatch(each)] == [], reply
    assert sum(len(each) for each in given) <= 4096, reply


@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_a_copy_that_is_due_warns_as_a_registry_does(named: Api, name: str, pushed: Image, method: str) -> None:
    """Warnings (end-3, end-8a), MUST: a Warning has the code 299, the agent -, a text and no date (MUST NOT)."""
    for path in ("manifests/v1", "tags/list"):
        check(named.stale(f"{name}/{path}", method))


def test_what_is_fresh_warns_as_a_registry_does_if_at_all(api: Api, name: str, pushed: Image) -> None:
    """Warnings (end-2, end-3, end-8a, end-12a), MUST: as above, of every endpoint."""
    digest = pushed.manifest.digest
    for path in ("manifests/v1", f"manifests/{digest}", f"blobs/{pushed.blobs[0].digest}", "tags/list"):
        for reply in api.every(f"{name}/{path}"):
            check(reply)
    check(api.ask(f"{name}/referrers/{digest}"))


@pytest.mark.parametrize(
    "warning", ['199 up "odd"', '299 - "fine"', f'299 - "{"x" * 5000}"', '299 - "a" "Sat, 01 Jan 2022 00:00:00 GMT"']
)
def test_what_upstream_warns_of_is_not_passed_on_unchecked(
    made: Api, name: str, prepared: Prepared, warning: str
) -> None:
    """Warnings (end-2, end-3), MUST NOT: not more than 4096 bytes, nor another form, whatever upstream sends."""
    blob = lone(name)
    prepared.manifest(name, "v1", blob, Warning=warning)
    prepared.put(f"/v2/{name}/blobs/{sha256(b'x')}", b"x", Warning=warning)
    for path in ("manifests/v1", f"blobs/{sha256(b'x')}"):
        for reply in made.every(f"{name}/{path}"):
            check(reply)
