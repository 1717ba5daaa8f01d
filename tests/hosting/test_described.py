"""Python and npm packages described from their files alone, as after a restore; and the indexes built of that."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path

import pytest

from app.errors import Unprocessable
from app.formats.npm import HERE
from app.hosting import npm, pypi
from app.hosting.base import Build, Contents, Host, Item
from app.hosting.npm_package import State, state_path
from app.resource import Kind, Repository
from tests.hosting import wheels
from tests.hosting.tarballs import tarball

REPOSITORY = Repository("team", Kind.LOCAL)


class Nothing:
    """Contents that a project's build does not look at."""


def described(host: Host, directory: Path, files: Sequence[tuple[str, bytes]]) -> list[Item]:
    found = []
    for number, (path, body) in enumerate(files):
        file = directory / str(number)
        file.write_bytes(body)
        told = host.describe(path, file)
        assert told is not None
        found.append(Item(path, len(body), hashlib.sha256(body).hexdigest(), 1_700_000_000 + number, told.about))
    return sorted(found, key=lambda each: each.path)


def built(host: Host, scope: str, items: Sequence[Item]) -> dict[str, bytes]:
    contents: Contents = Nothing()  # type: ignore[assignment]
    build = Build(REPOSITORY, scope, items, contents, Path, 0.0)
    found = {each.path: each.body for each in host.build(build)}
    assert found == {each.path: each.body for each in host.build(build)}
    return {path: body for path, body in found.items() if isinstance(body, bytes)}


def test_python_packages(tmp_path: Path) -> None:
    name, body = wheels.wheel("a-b", "1.10", "Requires-Python: >3")
    files = [
        (f"packages/a-b/{name}", body),
        ("packages/a-b/a_b-1.9.tar.gz", wheels.sdist("a-b", "1.9")[1]),
        (f"packages/a-b/{name}.asc", b"signature"),
        ("yanked/a-b/1.9", "schlecht für alle".encode()),
    ]
    (page,) = (
        json.loads(each)
        for path, each in built(pypi.HOST, "a-b", described(pypi.HOST, tmp_path, files)).items()
        if path.endswith("json")
    )
    assert page["versions"] == ["1.9", "1.10"]
    assert [each["yanked"] for each in page["files"]] == ["schlecht für alle", False]
    assert [each["gpg-sig"] for each in page["files"]] == [False, True]
    assert [each["url"].rpartition("/")[2] for each in page["files"]] == ["a_b-1.9.tar.gz", name]
    assert pypi.HOST.describe(f"packages/a-b/{name}.metadata", tmp_path / "0") is None
    told = pypi.HOST.describe(f"packages/a-b/{name}", tmp_path / "0")
    assert told is not None
    assert (told.scope, told.also) == ("a-b", ("",))
    assert built(pypi.HOST, "a-b", []) == {}


def test_npm_packages(tmp_path: Path) -> None:
    state = State({"next": "2.0.0-rc.1", "gone": "3.0.0"}, {"1.0.0": "old"})
    files = [
        ("@a/b/-/b-2.0.0-rc.1.tgz", tarball("@a/b", "v2.0.0-rc.1", bundledDependencies=["x"], dependencies=[])),
        ("@a/b/-/b-1.0.0.tgz", tarball("@a/b", "1.0.0+build.7", deprecated="never", _rev="1")),
        (state_path("@a/b"), state.text().encode()),
    ]
    items = described(npm.HOST, tmp_path, files)
    found = built(npm.HOST, "@a/b", items)
    full, short = (json.loads(found[f"@a/b/-/{name}.json"]) for name in ("full", "short"))
    assert full["dist-tags"] == short["dist-tags"] == {"next": "2.0.0-rc.1", "latest": "1.0.0"}
    assert list(full["versions"]) == ["2.0.0-rc.1", "1.0.0"]
    assert (full["versions"]["1.0.0"]["deprecated"], "_rev" in full["versions"]["1.0.0"]) == ("old", False)
    assert full["versions"]["2.0.0-rc.1"]["bundleDependencies"] == ["x"]
    assert "dependencies" not in short["versions"]["2.0.0-rc.1"]
    assert short["versions"]["1.0.0"]["dist"]["tarball"] == f"{HERE}/@a/b/-/b-1.0.0.tgz"
    assert full["time"]["created"] == "2023-11-14T22:13:20.000Z"
    other = json.loads(built(npm.HOST, "@a/b", items[1:])["@a/b/-/full.json"])
    assert other["_rev"] != full["_rev"]
    assert built(npm.HOST, "@a/b", [item for item in items if item.path == state_path("@a/b")]) == {}


@pytest.mark.parametrize("host", [pypi.HOST, npm.HOST])
def test_a_damaged_file_is_described_as_no_package(host: Host, tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(b"\x1f\x8bx")
    path = {pypi.HOST: "packages/a/a-1.0.tar.gz", npm.HOST: "a/-/a-1.0.0.tgz"}[host]
    with pytest.raises(Unprocessable):
        host.describe(path, tmp_path / "x")
