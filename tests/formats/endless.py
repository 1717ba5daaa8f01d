"""A body that never ends."""

from __future__ import annotations

import io


class Zeros(io.BytesIO):
    """What it was made with, then zeros."""

    def read(self, size: int | None = -1, /) -> bytes:
        """As many bytes as asked for, always."""
        assert size is not None
        assert size > 0, "a body is never read as a whole"
        return super().read(size).ljust(size, b"\0")
