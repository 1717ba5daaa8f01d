"""The one place that looks at a machine: its files, its environment, and what its commands say of themselves."""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

LARGEST = 1 << 20  # bytes of a file
PATIENCE = 20.0  # seconds for a command

Pattern = str | Path  # of names at that machine; a Path is one file, by its whole name
Run = Callable[[Sequence[str]], str]  # what it prints; "" where it is not there, or fails


@dataclass(frozen=True, slots=True)
class Machine:
    """`root` is where its / is, `home` its user's directory."""

    root: Path
    home: Path
    environ: Mapping[str, str]
    run: Run
    architecture: str

    def files(self, *patterns: Pattern) -> Iterator[tuple[str, Path]]:
        """(name to show, where it is) of those there are; ~ is the home, * any name."""
        for pattern in patterns:
            if isinstance(pattern, Path):
                if os.access(pattern, os.F_OK) and pattern.is_file():
                    yield str(pattern), pattern
                continue
            base, rest = (self.home, pattern[2:]) if pattern.startswith("~/") else (self.root, pattern.lstrip("/"))
            for file in sorted(base.glob(rest)):
                if file.is_file():
                    yield f"{'~/' if base is self.home else '/'}{file.relative_to(base)}", file

    def has(self, *commands: str) -> bool:
        """Whether one of them is installed."""
        return any(self.run(["which", command]) for command in commands)


def text(file: Path) -> str:
    """Raises ValueError with the reason."""
    try:
        with file.open("rb") as opened:
            data = opened.read(LARGEST + 1)
        if len(data) > LARGEST:
            raise ValueError("is too large")
        return data.decode("utf-8-sig")
    except OSError as error:
        raise ValueError(f"cannot be read: {error.strerror}") from None
    except UnicodeDecodeError:
        raise ValueError("is not UTF-8") from None


def this() -> Machine:
    """The one that this process runs on."""
    return Machine(Path("/"), Path.home(), os.environ, _run, platform.machine())


def other(root: Path) -> Machine:
    """One whose files are below `root`: an image that is being built, say. No command is run."""
    homes = [each for each in (root / "root", *sorted(root.glob("home/*"))) if each.is_dir()]
    return Machine(root, homes[0] if homes else root / "root", {}, lambda _: "", platform.machine())


def _run(command: Sequence[str]) -> str:
    if command[0] == "which":
        return shutil.which(command[1]) or ""
    try:
        done = subprocess.run(  # noqa: S603 - readers.py names the commands, whole
            command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=PATIENCE, check=False
        )
    except (OSError, subprocess.SubprocessError, UnicodeDecodeError):
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""
