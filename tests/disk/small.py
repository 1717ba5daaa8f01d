"""A filesystem of a few MiB that a test fills and makes room on."""

from __future__ import annotations

import contextlib
import os
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class SmallDisk:
    place: Path

    @property
    def ballast(self) -> Path:
        return self.place / "ballast"

    @property
    def free(self) -> int:
        """Bytes."""
        found = os.statvfs(self.place)
        return found.f_bavail * found.f_frsize

    def fill(self, left: int = 0) -> None:
        """Take all room but so many bytes."""
        with self.ballast.open("ab", buffering=0) as file, contextlib.suppress(OSError):
            while (size := min(self.free - left, 1 << 20)) > 0:
                file.write(bytes(size))
        assert self.free <= max(left, 4096)

    def relieve(self) -> None:
        self.ballast.unlink()
