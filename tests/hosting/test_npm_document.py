"""npm's documents in bounded memory: what is left in the file, and what comes out of it."""

from __future__ import annotations

import base64
import json
import tracemalloc
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from app.errors import BadRequest, Unprocessable
from app.hosting.base import Accepted, Contents, Item, New
from app.hosting.npm_document import LONG, Far, decoded, document
from app.hosting.npm_package import State, about, full, package, state_path, tarball_path
from app.hosting.npm_room import MOST, require_room, room
from app.hosting.npm_tarball import Tarball
from app.hosting.npm_version import VERSION, newest, order


def written(path: Path, text: bytes) -> Path:
    path.write_bytes(text)
    return path


def test_long_strings_stay_in_the_file(tmp_path: Path) -> None:
    body = bytes(range(256)) * (LONG // 64)
    text = base64.b64encode(body).decode()
    given: dict[str, Any] = {"a": {"data": text, "note": 'a "quoted" \\ one'}, "b": [text, 1, None], "c": "x" * LONG}
    found = document(written(tmp_path / "d", json.dumps(given).encode()))
    assert (found["a"]["note"], found["b"][1:], found["c"]) == (given["a"]["note"], [1, None], given["c"][:])
    for far in (found["a"]["data"], found["b"][0]):
        assert isinstance(far, Far)
        assert b"".join(decoded(far)) == body


def test_slashes_may_be_escaped(tmp_path: Path) -> None:
    body = b"\xff" * LONG  # nothing but slashes, and one escape across every piece
    text = json.dumps({"data": base64.b64encode(body).decode()}).replace("/", "\\/")
    found = document(written(tmp_path / "d", b" " + text.encode()))
    assert b"".join(decoded(found["data"])) == body


def test_memory_is_bounded_whatever_the_tarball(tmp_path: Path) -> None:
    path = tmp_path / "d"
    with path.open("wb") as file:
        file.write(b'{"data": "')
        for _ in range(32):
            file.write(b"AAAA" * (1 << 18))
        file.write(b'"}')
    tracemalloc.start()
    try:
        assert sum(map(len, decoded(document(path)["data"]))) == 24 << 20
        assert tracemalloc.get_traced_memory()[1] < 8 << 20
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("text", [b'{"a": "' + b"x" * (9 << 20), b'{"a": ["' + b'x", "' * (3 << 20) + b'"]}'])
def test_what_is_too_long_is_refused(tmp_path: Path, text: bytes) -> None:
    with pytest.raises(BadRequest):
        document(written(tmp_path / "d", text))


def of_versions(number: int, **more: Any) -> list[Item]:
    found = []
    for each in range(number):
        manifest = {"name": "big", "version": f"1.0.{each}", "_id": f"big@1.0.{each}", **more}
        said = about(Tarball("big", f"1.0.{each}", manifest, "sha512-AAAA", "00"))
        found.append(Item(tarball_path("big", f"1.0.{each}"), 1, "", 1e9 + each, said))
    text = State({"latest": "1.0.0"}, {f"1.0.{each}": "é" * 9 for each in range(number)}).text()
    return [*found, Item(state_path("big"), 1, "", 0.0, text)]


@pytest.mark.parametrize(
    "more", [{}, {"description": "é" * 9000}, {"dependencies": {f"d{n}": "1" for n in range(300)}}]
)
def test_what_a_package_may_grow_to_is_read_when_npm_sends_it_back(tmp_path: Path, more: Any) -> None:
    """Some ten MiB of ordinary documents, or half a million strings."""
    items = of_versions(200, **more)
    body = full(package("big", items))
    size, parts = room([(each.path, each.about) for each in items])
    assert len(body) <= size <= 2 * len(body)
    times = min(MOST[0] // size, MOST[1] // parts)
    assert document(written(tmp_path / "d", b'{"a":[' + b",".join([body] * times) + b"]}"))["a"][0]["name"] == "big"


class Known:
    """Contents of one package."""

    def __init__(self, items: list[Item]) -> None:
        self.known = items

    def items(self, scope: str) -> Iterator[Item]:
        yield from self.known


def test_a_package_grows_no_further_but_may_shrink() -> None:
    items = of_versions(9, description="é" * (300 << 10))  # 1.8 MiB each
    contents: Contents = Known(items[1:])  # type: ignore[assignment]
    more = New(items[0].path, b"", about=items[0].about)
    with pytest.raises(Unprocessable, match="too many versions"):
        require_room(contents, "big", Accepted([more]))
    why = New(state_path("big"), b"", about=State({}, {"1.0.1": "x" * 4096}).text())
    with pytest.raises(Unprocessable, match="too many versions"):
        require_room(contents, "big", Accepted([why]))
    require_room(contents, "big", Accepted([why], [items[1].path]))


def test_versions_stand_in_the_order_of_semver() -> None:
    ordered = (
        "1.0.0-0 1.0.0-2 1.0.0-10 1.0.0-alpha 1.0.0-alpha.1 1.0.0-beta 1.0.0 1.0.1 1.2.0 1.10.0 2.0.0-rc.1 2.0.0"
    )
    backwards = ordered.split()[::-1]
    assert sorted(backwards, key=order) == ordered.split()
    assert newest(["1.0.0", "1.10.0", "2.0.0-rc.1"]) == "1.10.0"
    assert newest(["1.0.0-a", "1.0.0-b"]) == "1.0.0-b"
    for bad in ("1", "1.0", "v1.0.0", "01.0.0", "1.0.0-01", "1.0.0-", "1.0.0+b", "1.0.0\n", f"1.0.0-{'a' * 300}"):
        assert not VERSION.fullmatch(bad), bad
