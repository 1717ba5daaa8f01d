"""Names of projects that look like a misspelt word for who may read, for `artifactapi check` to warn of."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Iterator

from app.accounts.rights import AUTHENTICATED, EVERYBODY
from app.resource import Repository

WORDS = (EVERYBODY, AUTHENTICATED)
ALIKE = 0.8  # of difflib's ratio: "authenticatd" is, "authors" is not


def misspelt(repositories: Iterable[Repository]) -> Iterator[str]:
    """A line for each: whoever made a project of that name would have its rights."""
    for each in repositories:
        for key, name in (("access", each.access), ("project", each.project)):
            close = difflib.get_close_matches(name, WORDS, n=1, cutoff=ALIKE) if name not in WORDS else []
            if close:
                yield f'{each.name}: {key} "{name}" is taken for a project\'s name: did you mean "{close[0]}"?'
