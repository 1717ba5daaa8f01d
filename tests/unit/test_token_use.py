"""When tokens were last used: coarsely, in batches, and never lost to a store that is away for a moment."""

from __future__ import annotations

from collections.abc import Mapping

from app.errors import StoreDown
from app.web.token_use import COARSE, MOST, TokenUse


class Written:
    """What was written; `down` while nothing can be."""

    def __init__(self) -> None:
        self.batches: list[Mapping[int, float]] = []
        self.down = False

    def __call__(self, batch: Mapping[int, float]) -> None:
        if self.down:
            raise StoreDown("away")
        self.batches.append(batch)


def test_a_second_use_within_minutes_is_not_noted_again() -> None:
    written = Written()
    uses = TokenUse(written)
    for token, at in ((7, 1000.0), (7, 1001.0), (8, 1001.0), (0, 1001.0)):
        uses.add(token, at)
    uses.flush()
    uses.add(7, 1000.0 + COARSE - 1)
    uses.flush()
    uses.add(7, 1000.0 + COARSE)
    uses.close()
    assert written.batches == [{7: 1000.0, 8: 1001.0}, {7: 1000.0 + COARSE}]


def test_what_could_not_be_written_is_noted_at_the_next_use() -> None:
    written = Written()
    uses = TokenUse(written)
    written.down = True
    uses.add(7, 1000.0)
    uses.flush()
    written.down = False
    uses.add(7, 1001.0)
    uses.close()
    assert written.batches == [{7: 1001.0}]


def test_it_does_not_grow_without_end() -> None:
    written = Written()
    uses = TokenUse(written)
    for token in range(1, 3 * MOST):
        uses.add(token, 1000.0)
    uses.close()
    assert len(uses._noted) <= MOST
