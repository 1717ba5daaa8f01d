"""Of which packages a local repository has files, and what is known of several keys in one question."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import pytest

from app.errors import StoreDown
from app.hosting.naming import EVERY, SOON, name_published, until
from app.resource import Entry, Kind, Repository
from app.stores.base import Index, Stored
from app.stores.catalog import Catalog
from app.stores.memory import Recollection
from app.stores.publications import Publication
from app.stores.redis import RedisMemory
from tests.stores.values import entry


@pytest.fixture
def memory(redis_url: str) -> Iterator[RedisMemory]:
    found = RedisMemory(redis_url)
    yield found
    found.close()


@pytest.fixture
def catalog(index: Index, memory: RedisMemory) -> Catalog:
    return Catalog(index, memory)


def put(catalog: Catalog, path: str, package: str, *gone: str) -> None:
    new = [Publication(path, entry(path), True, package=package)] if path else []
    packages = {package}
    changed = catalog.change("team", new, gone, lambda _: True, lambda _: None, packages=packages)
    assert changed.standing is None


def held(catalog: Catalog, package: str, *hosts: str) -> set[str]:
    return set(catalog.find_all((), hosts or ("team", "other"), package)[1])


def test_who_holds_a_package(catalog: Catalog) -> None:
    assert held(catalog, "lib") == set()
    assert held(catalog, "lib") == set(), "as it is remembered"
    put(catalog, "lib-1", "lib")
    assert held(catalog, "lib") == {"team"}, "at once"
    assert held(catalog, "lib", "other") == set()
    assert held(catalog, "li") == set()
    put(catalog, "lib-1", "tool")
    assert (held(catalog, "lib"), held(catalog, "tool")) == (set(), {"team"}), "of what took its place"
    put(catalog, "", "tool", "lib-1")
    assert held(catalog, "tool") == set()
    assert not catalog.index.hosted.holds(["team"], "")


def test_a_restored_file_is_of_its_package(catalog: Catalog, index: Index) -> None:
    file = Stored("team", "lib-1", entry("lib-1", fence=5), package="lib")
    assert index.restore([replace(file, package="")]) == 1
    assert held(catalog, "lib") == set()
    assert catalog.restore([file], ["team"]) == (1, True), "one of a version that knew no packages learns of it"
    assert held(catalog, "lib") == {"team"}
    assert index.restore([file]) == 0


def test_several_keys_at_once(catalog: Catalog, memory: RedisMemory, index: Index) -> None:
    for name in ("a", "b"):
        assert index.commit("alpine", name, name, entry(name), 0, lambda: True)
    keys = [("alpine", "b"), ("debian", "b"), ("alpine", "a"), ("alpine", "none")]
    assert [found for _, found in index.find_each(keys)] == [entry("b", fence=1), None, entry("a", fence=1), None]
    assert index.find_each([]) == []
    for _ in range(2):
        known, _held = catalog.find_all(keys)
        assert [each.entry.digest if each.entry else None for each in known] == [
            entry("b").digest,
            None,
            entry("a").digest,
            None,
        ]
    recalled = memory.recall_all(keys)
    assert [each.entry is not None for each in recalled] == [True, False, True, False]
    assert memory.recall_all([]) == []
    assert recalled[3] == Recollection(recalled[0].epoch)
    first, _held = catalog.find_all(keys[1:], first=True)
    assert [isinstance(each.entry, Entry) for each in first] == [False, True], "what comes after it is not looked for"


def test_files_of_a_version_that_knew_no_packages(catalog: Catalog, index: Index) -> None:
    repository = Repository("team", Kind.LOCAL, package="npm")
    for path in ("tool/-/tool-1.0.0.tgz", "@a/b/-/b-1.0.0.tgz", "readme"):
        put(catalog, path, "")
    put(catalog, "known/-/known-1.0.0.tgz", "known")
    assert held(catalog, "tool") == held(catalog, "@a/b") == set()
    assert name_published(catalog, [repository, replace(repository, package="generic")]) >= 2
    assert held(catalog, "tool") == held(catalog, "@a/b") == held(catalog, "known") == {"team"}
    assert name_published(catalog, [repository]) == 0


def test_they_are_looked_for_again_and_soon_where_that_failed(catalog: Catalog) -> None:
    waits: list[float] = []

    def repositories() -> list[Repository]:
        if not waits:
            raise StoreDown("a hiccup")
        return [Repository("team", Kind.LOCAL, package="npm")]

    def wait(seconds: float) -> bool:
        waits.append(seconds)
        if len(waits) == 2:
            put(catalog, "late/-/late-1.0.0.tgz", "")  # of a node that is still of the older version
        return len(waits) == 3

    until(catalog, repositories, wait)
    assert waits == [SOON, EVERY, EVERY]
    assert held(catalog, "late") == {"team"}
