"""The Makefile, with Pythons of a test's own on PATH: nothing is downloaded here."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.conftest import require
from tests.stack import ROOT

PYTHONS = ("python3.13", "python3.12", "python3.11", "python3", "python")
TOO_OLD = "#!/bin/sh\nexit 1\n"
NO_VENV = '#!/bin/sh\ncase "$2" in *ensurepip*) exit 1;; esac\n'
ECHO = '#!/bin/sh\necho "PORT=$PORT DATA_DIR=$DATA_DIR" "$@"\n'


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    directory = tmp_path / "a checkout"
    (directory / ".venv" / "bin").mkdir(parents=True)
    for name in ("Makefile", "setup.cfg", "pyproject.toml"):
        shutil.copy(ROOT / name, directory)
    return directory


def program(path: Path, script: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(script)
    path.chmod(0o755)


def make(checkout: Path, *arguments: str, pythons: str | None = None) -> tuple[int, str, str]:
    """Exit status, output, errors; with `pythons` every Python on PATH is that script."""
    path = os.environ["PATH"]
    if pythons is not None:
        path = f"{checkout / 'bin'}:/usr/bin:/bin"
        for name in PYTHONS:
            program(checkout / "bin" / name, pythons)
    environment = {"PATH": path, "HOME": str(checkout)}
    command = [require("make"), "--no-print-directory", *arguments]
    done = subprocess.run(
        command, cwd=checkout, env=environment, capture_output=True, text=True, timeout=60, check=False
    )
    return done.returncode, done.stdout, done.stderr


def test_help_is_the_default_and_lists_every_target(checkout: Path) -> None:
    status, out, _ = make(checkout)
    assert status == 0
    assert [line.split()[1] for line in out.splitlines()] == [
        "help",
        "run",
        "test",
        "lint",
        "bench",
        "bench-quick",
        "soak",
        "clean",
    ]


def test_a_too_old_python_is_one_line_that_says_what_to_install(checkout: Path) -> None:
    status, _, errors = make(checkout, "run", pythons=TOO_OLD)
    advice, failure = errors.splitlines()
    assert status != 0
    assert advice.startswith("Python >= 3.11 is needed: apt install python3 python3-venv (Debian, Ubuntu), dnf ")
    assert failure.startswith("make: ***")


def test_a_named_python_that_is_too_old_is_named(checkout: Path) -> None:
    program(checkout / "old python", TOO_OLD)
    _, _, errors = make(checkout, "run", "PYTHON=./old python")
    assert errors.startswith("PYTHON=./old python is not Python 3.11 or newer: Python >= 3.11 is needed: ")


def test_a_missing_venv_module_is_one_line(checkout: Path) -> None:
    status, _, errors = make(checkout, "run", pythons=NO_VENV)
    assert status != 0
    assert errors.splitlines()[0] == (
        "python3.13 cannot make a virtual environment: apt install python3-venv (Debian, Ubuntu), "
        "dnf install python3 (Fedora), apk add python3 (Alpine)"
    )


def test_settings_reach_the_server_and_nothing_is_installed_twice(checkout: Path) -> None:
    program(checkout / ".venv" / "bin" / "python", ECHO)
    for stamp in ("made", "run"):
        (checkout / ".venv" / f"{stamp}.stamp").touch()
    status, out, errors = make(checkout, "run", "PORT=8099", "DATA_DIR=/a b")
    assert (status, out, errors) == (0, "PORT=8099 DATA_DIR=/a b -m app.cli run\n", "")


def test_a_changed_setup_is_installed_again(checkout: Path) -> None:
    program(checkout / ".venv" / "bin" / "python", ECHO)
    for stamp in ("made", "run"):
        (checkout / ".venv" / f"{stamp}.stamp").touch()
        os.utime(checkout / ".venv" / f"{stamp}.stamp", (1, 1))
    _, out, _ = make(checkout, "run")
    assert "pip install" in out
    assert ".[embedded]" in out
    assert "pip install" not in make(checkout, "run")[1]
