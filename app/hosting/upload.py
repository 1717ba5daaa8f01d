"""One body on its way in: received beside what is stored, hashed, durable, and gone unless it was adopted."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from types import TracebackType

from app.errors import BadRequest
from app.fills.checksums import Checksums
from app.fills.spool import Spool
from app.resource import Digest


class Upload:
    """Written once, from its beginning; leaving the block removes what was not published.

    `announced` are checksums that its client told before it.
    """

    def __init__(self, spools: Path, repository: str, announced: Iterable[Digest] = ()) -> None:
        self._announced = tuple(announced)
        self._spool = Spool(spools, f"upload to {repository}", 0)
        self._sums = Checksums(None, {each.algorithm for each in self._announced})
        self._digest = ""

    def __enter__(self) -> Upload:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None
    ) -> None:
        self.close()

    @property
    def size(self) -> int:
        return self._spool.size

    @property
    def path(self) -> Path:
        """Where the bytes are until they are adopted."""
        return self._spool.path

    def write(self, chunk: bytes) -> int:
        self._sums.update(chunk)
        self._spool.write(chunk)
        return len(chunk)

    def verify(self) -> None:
        """Once all is written: BadRequest "checksum_mismatch" where it is not what was announced."""
        for each in self._announced:
            if (found := self._sums.finish(each.algorithm)) != each.value:
                raise mismatch(each, found)

    def finish(self) -> str:
        """The sha256 in hex, once the bytes are durable."""
        if not self._digest:
            self._digest = self._sums.finish()
            self._spool.sync()
        return self._digest

    def close(self) -> None:
        """Remove what was not adopted."""
        self._sums.finish()
        self._spool.close()


def mismatch(announced: Digest, found: str) -> BadRequest:
    """What a client is told whose body is not the one that it announced."""
    reason = f"its {announced.algorithm} is {found}, and {announced.value} was announced"
    return BadRequest(f"the upload is not what its sender sent: {reason}", code="checksum_mismatch")
