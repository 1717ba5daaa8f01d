"""The seam of bodies that arrive in pieces, by several requests and on whatever node: what has come so far.

    begin() --> append() ... append() --> whoever joins the pieces --> end()

The bytes of a piece are a blob from the start; as long as its upload lives, no garbage collection takes it. As in
base.py: "not here" is None or False, "broken" is errors.StoreDown.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

LIFE = 86400.0  # seconds after its last piece for which an upload can be gone on with


@dataclass(frozen=True, slots=True)
class Piece:
    """Bytes of a body from its byte `start` on; `digest` is their sha256 in hex."""

    start: int
    size: int
    digest: str

    @property
    def end(self) -> int:
        """The byte after its last."""
        return self.start + self.size


class Uploads(Protocol):
    """Uploads under way, each for one area (an image, say) of one repository. Every method raises StoreDown."""

    def begin(self, upload: str, repository: str, area: str, now: float) -> None:
        """Begin one under a name that nobody guesses; `now` in unix seconds."""

    def pieces(self, upload: str, repository: str, area: str) -> Sequence[Piece] | None:
        """What has come, in order and without a gap; None where there is no such upload of that area."""

    def append(self, upload: str, piece: Piece, now: float, present: Callable[[str], bool]) -> bool:
        """Record a piece whose blob is here; False, and nothing is recorded, where it does not begin where the others
        end, the upload is over, or `present` (asked of its digest, excluding its removal) says its bytes are gone."""

    def end(self, upload: str) -> bool:
        """Forget it; what nothing else refers to is garbage from now on. False where it is over already."""

    def expire(self, before: float) -> int:
        """Forget all whose last piece came before that; how many."""
