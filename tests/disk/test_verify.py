"""`artifactapi verify`: damage is found, put aside, and named; what can be fetched again is."""

from __future__ import annotations

import hashlib
import random
from pathlib import Path

import pytest

from app import repositories
from app.errors import StoreDown
from app.stores.filesystem import FilesystemBlobs
from app.verification import Damage, Tally, Verification
from tests.disk.command import artifactapi
from tests.disk.index import entries
from tests.http.node import Node, body
from tests.upstreams import Upstream


def noise(name: str, size: int = 100_000) -> bytes:
    return random.Random(name).randbytes(size)


def digest(name: str) -> str:
    return hashlib.sha256(noise(name)).hexdigest()


def blob(node: Node, name: str) -> Path:
    return node.settings.layout.blobs / "sha256" / digest(name)[:2] / digest(name)


def damage(node: Node, name: str) -> None:
    """A bit has flipped; the size is as it was."""
    content = bytearray(noise(name))
    content[50_000] ^= 1
    blob(node, name).chmod(0o600)
    blob(node, name).write_bytes(content)


@pytest.fixture
def filled(node: Node, upstream: Upstream) -> Node:
    for name in ("good", "bad", "shared"):
        upstream.put(f"/{name}", noise(name))
        assert body(node.get(f"/repository/up/{name}")) == noise(name)
    for name in ("mine", "shared", "good"):
        assert node.admin("PUT", f"/repository/again/{name}", noise(name)).status_code == 201
    node.idle()
    return node


def checked(node: Node, repository: str | None = None) -> tuple[list[Damage], Tally]:
    shelf = node.carrier.engine.shelf
    run = Verification(shelf.catalog, shelf.blobs, repositories.load(node.settings.config_path), lambda _: None)
    return list(run.run(repository)), run.tally


def test_sound_bytes_are_left_alone(filled: Node) -> None:
    told = artifactapi(filled, "verify")
    assert (told.status, told.out) == (0, "4 blobs of 400000 bytes read, 0 damaged or missing\n")
    assert checked(filled, "up")[1].blobs == 3
    assert len(filled.blobs()) == 4


def test_damage_is_put_aside_and_named(filled: Node, upstream: Upstream) -> None:
    for name in ("bad", "shared", "mine"):
        damage(filled, name)
    told = artifactapi(filled, "verify", "--rate", "0")
    assert told.status == 1
    lines = told.out.splitlines()
    assert set(lines[:-1]) == {
        *(f"damaged {digest(name)}" for name in ("bad", "shared", "mine")),
        "  up/bad: forgotten, the next request fetches it",
        "  up/shared: forgotten, the next request fetches it",
        "  again/shared: hosted, answers 503 until it is published again",
        "  again/mine: hosted, answers 503 until it is published again",
    }
    assert lines[-1].endswith("3 damaged or missing")
    assert {path.name for path in (filled.settings.layout.blobs / "quarantine").iterdir()} == {
        digest(name) for name in ("bad", "shared", "mine")
    }
    assert entries(filled) == {"up": {"good"}, "again": {"good", "shared", "mine"}}
    upstream.reset()
    for name in ("bad", "good"):
        assert body(filled.get(f"/repository/up/{name}")) == noise(name)
    assert upstream.count() == 1
    assert filled.get("/repository/again/mine").status_code == 503
    assert filled.admin("PUT", "/repository/again/mine", noise("mine")).status_code == 201
    assert body(filled.get("/repository/again/mine")) == noise("mine")


def test_a_published_file_that_was_damaged_is_repaired_by_the_same_bytes_only(node: Node) -> None:
    """Of a repository in which nothing is published twice."""
    for form in ("/repository/team", "/api/v1/local/team"):
        assert node.admin("PUT", f"{form}/mine", noise("mine")).status_code in (201, 409)
        damage(node, "mine")
        assert artifactapi(node, "verify").status == 1
        assert node.get(f"{form}/mine").status_code == 503
        other = node.admin("PUT", f"{form}/mine", noise("other"))
        assert (other.status_code, other.get_json()["error"]) == (409, "already_published")
        assert node.get(f"{form}/mine").status_code == 503
        assert node.admin("PUT", f"{form}/mine", noise("mine")).status_code == 201
        assert body(node.get(f"{form}/mine")) == noise("mine")
        assert node.admin("PUT", f"{form}/mine", noise("mine")).status_code == 409
    assert artifactapi(node, "verify").status == 0


def test_one_repository_and_what_is_missing(filled: Node) -> None:
    damage(filled, "bad")
    blob(filled, "mine").unlink()
    found, tally = checked(filled, "again")
    assert [(each.digest, each.missing, len(each.kept)) for each in found] == [(digest("mine"), True, 1)]
    assert tally.blobs == 2
    found, _ = checked(filled)
    assert {(each.digest, each.missing) for each in found} == {(digest("bad"), False), (digest("mine"), True)}


def test_an_unknown_repository_is_a_question_not_an_answer(filled: Node) -> None:
    told = artifactapi(filled, "verify", "--repository", "nobody")
    assert (told.status, "no repository is called nobody" in told.errors) == (2, True)


def test_a_store_that_fails_proves_nothing(filled: Node) -> None:
    """A descriptor that cannot be read is damage of the disk; a store that is down is not."""

    class Failing(FilesystemBlobs):
        def open(self, digest: str) -> None:
            raise StoreDown("it does not answer")

    shelf = filled.carrier.engine.shelf
    known = repositories.load(filled.settings.config_path)
    run = Verification(shelf.catalog, Failing(filled.settings.layout.blobs), known, lambda _: None)
    assert list(run.run(None)) == []
    assert len(run.tally.unread) == 4
    assert len(filled.blobs()) == 4
