"""npm's documents: which form is asked for, where it is stored, how it is written."""

from __future__ import annotations

from dataclasses import replace

import pytest

from app.formats import npm
from app.formats.accept import fitting
from app.formats.npm import FULL, HERE, NPM, PACKAGE, SHORT
from app.resource import Ask, Kind, Repository

LOCAL = Repository("team", Kind.LOCAL)


@pytest.mark.parametrize(
    ("accept", "kind"),
    [
        ("", FULL),
        ("*/*", FULL),
        ("application/json", FULL),
        (f"{SHORT}; q=1.0, application/json; q=0.8, */*", SHORT),
        (f"{SHORT}; q=0.5, application/json", FULL),
        ("text/html", FULL),
    ],
)
def test_the_form_of_a_document(accept: str, kind: str) -> None:
    assert npm.negotiated(accept) == kind
    for package in ("tool", "@team/tool"):
        resource = NPM.resolve(LOCAL, Ask("GET", "team", package, headers={"accept": accept}))
        assert (resource.key, resource.rendered) == (f"{package}/-/{npm.VARIANTS[kind]}", True)


def test_a_document_is_rendered_for_where_the_client_reached_us() -> None:
    ask = Ask("GET", "team", "tool", address="https://a.example.org/repository/team")
    stored = f'{{"tarball":"{HERE}/tool/-/tool-1.0.0.tgz","x":"\\u2302"}}'.encode()
    body, _ = NPM.render(ask, NPM.resolve(LOCAL, ask), stored, "")
    assert body == b'{"tarball":"https://a.example.org/repository/team/tool/-/tool-1.0.0.tgz","x":"\\u2302"}'
    other = replace(ask, path="tool/-/tool-1.0.0.tgz")
    assert NPM.resolve(LOCAL, other).key == other.path
    assert not NPM.resolve(LOCAL, other).rendered


def test_names_that_npm_takes() -> None:
    for name in ("a", "a.b", "a-b_c~d", "@a/b", "@a-1/b_", "-a", "0"):
        assert PACKAGE.fullmatch(name), name
    for name in (
        "",
        "-",
        ".a",
        "_a",
        "A",
        "@a",
        "@a/",
        "@a/b/c",
        "@/b",
        "a/b",
        "a b",
        "@-/b",
        "@a/-",
        "\u0430",
        "a\n",
    ):
        assert not PACKAGE.fullmatch(name), name


def test_the_first_of_equals_is_chosen() -> None:
    assert fitting("b/b, a/a", ["a/a", "b/b"]) == "a/a"
    assert fitting("a/*;q=0.1, b/b;q=0.2", ["a/a", "b/b"]) == "b/b"
