"""Who may read and write what."""

from __future__ import annotations

import pytest

from app.accounts.rights import Principal, Role
from app.resource import Kind, Repository

EVERYTHING = frozenset({"admin"})


@pytest.mark.parametrize(
    ("projects", "scopes", "reads", "writes"),
    [
        ({}, EVERYTHING, False, False),
        ({"guests": Role.READER}, EVERYTHING, True, False),
        ({"team": Role.READER}, EVERYTHING, False, False),
        ({"team": Role.WRITER}, EVERYTHING, True, True),
        ({"team": Role.OWNER}, EVERYTHING, True, True),
        ({"team": Role.WRITER}, frozenset({"read"}), True, False),
        ({"team": Role.WRITER}, frozenset({"write:other"}), False, False),
    ],
)
def test_whoever_publishes_reads(
    projects: dict[str, Role], scopes: frozenset[str], reads: bool, writes: bool
) -> None:
    repository = Repository("files", Kind.LOCAL, access="guests", project="team")
    somebody = Principal("ada", 1, scopes=scopes, projects=projects)
    assert (somebody.may_read(repository), somebody.may_write(repository)) == (reads, writes)
