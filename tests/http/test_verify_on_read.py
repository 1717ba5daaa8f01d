"""verify_on_read: stored bytes that changed on the disk are never served."""

from __future__ import annotations

import errno
import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

import pytest

from tests.http.node import Node, body
from tests.upstreams import Upstream

SIZES = pytest.mark.parametrize("content", [b"small one", b"large " * 40_000], ids=["small", "large"])


@pytest.fixture
def node(remotes: dict[str, Any], tmp_path: Path, database_url: str, redis_url: str) -> Iterator[Node]:
    remotes["remotes"]["up"]["verify_on_read"] = True
    remotes["locals"]["team"]["verify_on_read"] = True
    with Node(tmp_path, database_url, redis_url, remotes).running() as node:
        yield node


def rot(node: Node) -> None:
    """One bit of every blob is another; the size stays."""
    for path in node.blobs():
        path.chmod(0o640)
        with path.open("r+b") as file:
            first = file.read(1)[0]
            file.seek(0)
            file.write(bytes([first ^ 1]))


@SIZES
def test_a_damaged_copy_is_fetched_again(node: Node, upstream: Upstream, content: bytes) -> None:
    upstream.put("/a.rpm", content)
    body(node.get("/repository/up/a.rpm"))
    node.idle()
    assert node.get("/repository/up/a.rpm").headers["X-Cache"] == "HIT"
    rot(node)
    answer = node.get("/repository/up/a.rpm")
    assert (answer.headers["X-Cache"], body(answer)) == ("MISS", content)
    node.idle()
    answer = node.get("/repository/up/a.rpm")
    assert (answer.headers["X-Cache"], body(answer)) == ("HIT", content)
    assert len(list((node.settings.layout.blobs / "quarantine").rglob("*"))) >= 1


@SIZES
def test_a_damaged_copy_is_no_answer_while_upstream_is_away(node: Node, upstream: Upstream, content: bytes) -> None:
    upstream.put("/a.rpm", content)
    body(node.get("/repository/up/a.rpm"))
    node.idle()
    rot(node)
    upstream.stop()
    for headers in ({}, {"Range": "bytes=0-3"}):
        assert node.get("/repository/up/a.rpm", **headers).status_code in (502, 503)


@SIZES
def test_a_damaged_hosted_file_is_a_503_until_it_is_there_again(node: Node, content: bytes) -> None:
    node.admin("PUT", "/repository/team/x", content)
    rot(node)
    answer = node.get("/repository/team/x")
    assert (answer.status_code, answer.get_json()["error"]) == (503, "store_unavailable")
    node.admin("PUT", "/repository/again/x", content)  # the same bytes by another way
    assert body(node.get("/repository/team/x")) == content


def test_elsewhere_the_bytes_are_taken_as_they_are(node: Node, upstream: Upstream) -> None:
    upstream.put("/a.rpm", b"as it was")
    body(node.get("/repository/drop/a.rpm"))
    node.idle()
    rot(node)
    assert body(node.get("/repository/drop/a.rpm")) != b"as it was"


def test_a_good_blob_that_took_the_damaged_one_s_place_stays(node: Node, monkeypatch: pytest.MonkeyPatch) -> None:
    """It was published again while a reader still hashed the damaged one."""
    node.admin("PUT", "/repository/team/x", b"mine")
    rot(node)
    shelf = node.app.extensions["artifactapi"].shelf
    opened = shelf.blobs.open

    def then_mended(digest: str) -> BinaryIO | None:
        file: BinaryIO | None = opened(digest)
        (path,) = node.blobs()
        path.with_name("mended").write_bytes(b"mine")
        path.with_name("mended").replace(path)
        return file

    monkeypatch.setattr(shelf.blobs, "open", then_mended)
    assert body(node.get("/repository/team/x")) == b"mine"
    assert not (node.settings.layout.blobs / "quarantine").exists()


def test_what_the_disk_cannot_read_is_damaged(
    node: Node, upstream: Upstream, monkeypatch: pytest.MonkeyPatch
) -> None:
    upstream.put("/a.rpm", b"as it was")
    body(node.get("/repository/up/a.rpm"))
    node.idle()

    def unreadable(*_: object) -> None:
        raise OSError(errno.EIO, "Input/output error")

    with monkeypatch.context() as broken:
        broken.setattr(hashlib, "file_digest", unreadable)
        answer = node.get("/repository/up/a.rpm")
    assert (answer.headers["X-Cache"], body(answer)) == ("MISS", b"as it was")
