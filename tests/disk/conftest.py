"""A node on a disk of its own: a store to damage, and a real filesystem of a few MiB to fill."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from app.stores.filesystem import FilesystemBlobs
from tests.disk.small import SmallDisk
from tests.http.conftest import node, remotes

__all__ = ["node", "remotes"]  # fixtures by import


@pytest.fixture
def blobs(tmp_path: Path) -> FilesystemBlobs:
    return FilesystemBlobs(tmp_path / "store")


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Callable[[str, str], SmallDisk]]:
    """make(name, size) -> a tmpfs of that size, mounted below the test's directory and gone after it."""
    if os.geteuid() != 0:
        pytest.skip("only root may mount")
    made: list[Path] = []

    def make(name: str, size: str) -> SmallDisk:
        place = tmp_path / name
        place.mkdir()
        subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(place)], check=True)
        made.append(place)
        return SmallDisk(place)

    yield make
    for place in reversed(made):
        subprocess.run(["umount", "--lazy", str(place)], check=True)
