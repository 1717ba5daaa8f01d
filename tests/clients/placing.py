"""Knows how a mirror changes under its clients: each file, and each directory, in one step."""

from __future__ import annotations

import shutil
from pathlib import Path


def place(file: Path, target: Path) -> None:
    """Copy `file` to `target` in one step, with its time."""
    target.parent.mkdir(parents=True, exist_ok=True)
    beside = target.with_suffix(".new")
    shutil.copy2(file, beside)
    beside.rename(target)


def point(link: Path, directory: Path) -> None:
    """Make `link` lead to `directory` in one step."""
    link.parent.mkdir(parents=True, exist_ok=True)
    beside = link.with_name(f".{link.name}.new")
    beside.symlink_to(directory)
    beside.rename(link)
