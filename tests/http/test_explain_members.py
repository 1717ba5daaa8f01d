"""Why a client gets a document that is made of others, or a file of a virtual's member: what is told comes true."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from app.cli.why import lines
from tests.http.documents import Fleet, fleet
from tests.http.explained import Explainer


@pytest.fixture
def here(tmp_path: Path, database_url: str, redis_url: str) -> Iterator[Fleet]:
    with fleet(tmp_path, database_url, redis_url) as found:
        yield found


def test_what_is_told_comes_true(here: Fleet) -> None:
    explainer = Explainer(here.node, here.one)
    here.one.put("/base/pages/lib", b"near near.bin\n")
    here.one.put("/base/pages/near.bin", b"near")
    here.two.put("/pages/lib", b"b\n")
    pages, file = "/repository/both/pages/lib", "/repository/both/files/lib/near"
    for url in (pages, file, pages, file, "/repository/both/pages/none", "/repository/one/pages/lib"):
        explainer.ask(url)
    explainer.ask("/repository/both/pages/none")
    here.node.clock.forward(101)
    explainer.ask(pages)
    here.two.stop()
    here.node.clock.forward(101)
    for _ in range(2):
        assert explainer.ask(pages).headers["X-Cache"] == "STALE"
    here.one.put("/base/pages/lib", b"BAD\n")
    here.node.clock.forward(301)
    for _ in range(2):
        assert explainer.ask(pages).headers["X-Cache"] == "STALE"


def test_who_is_asked_and_why(here: Fleet) -> None:
    explainer = Explainer(here.node, here.one)
    answer = here.node.admin("PUT", "/repository/team/files/tool/v1", b"ours")
    assert answer.status_code in (200, 201)

    def members(path: str) -> dict[str, tuple[bool, str]]:
        told = explainer.document(f"/repository/mixed/{path}")
        assert "mixed" in "\n".join(lines(told))
        return {each["repository"]: (each["asked"], each["because"]) for each in told["members"]}

    held, other = "it has files of this package", "another member owns this package, or has files of it"
    assert members("files/tool/v1") == {"team": (True, held), "one": (False, other), "two": (False, other)}
    asked = (True, "asked in its turn")
    nothing = (False, "it has no files of this package")
    assert members("pages/lib") == {"team": nothing, "one": asked, "two": asked}
    assert members("pages/ours-x") == {
        "team": (False, other),
        "one": (False, other),
        "two": (True, "it owns this package"),
    }
    assert members("plain.bin") == {"team": asked, "one": asked, "two": asked}
    assert "members" not in explainer.document("/repository/one/plain.bin")
