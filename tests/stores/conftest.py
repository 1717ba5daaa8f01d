"""Every implementation of the index, empty, for the contracts of its parts."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from app.stores.base import Index
from app.stores.postgres import PostgresIndex

Make = Callable[[], Index]


@pytest.fixture(params=["postgres"])
def make(request: pytest.FixtureRequest) -> Iterator[Make]:
    """Another client of the same empty index, as another process would have one."""
    made: list[Index] = []

    def postgres() -> Index:
        made.append(PostgresIndex(request.getfixturevalue("database_url"), connections=4))
        return made[-1]

    yield {"postgres": postgres}[request.param]
    for index in made:
        index.close()


@pytest.fixture
def index(make: Make) -> Index:
    return make()
