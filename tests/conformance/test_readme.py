"""Knows that README.md's table is what the tests say of themselves."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

HERE = Path(__file__).parent
OTHERS = {"test_readme.py"}

# "Section (end-1, code-2), LEVEL: the requirement in our words."
_SAID = re.compile(r"(?P<section>[^()]+) \((?P<ids>[^()]+)\), (?P<level>(?:MUST|SHOULD)(?: NOT)?|MAY): (?P<text>.+)")
_IDS = re.compile(r"(?:end|code)-\d+[a-c]?(?:(?:, | to )(?:end|code)-\d+[a-c]?)*")


def rows() -> Iterator[str]:
    """A line of the table for each test, in the order of files and tests."""
    for file in sorted(HERE.glob("test_*.py")):
        if file.name in OTHERS:
            continue
        for test in ast.parse(file.read_text(encoding="utf-8")).body:
            if isinstance(test, ast.FunctionDef) and test.name.startswith("test_"):
                yield _row(file.stem, test)


def _row(file: str, test: ast.FunctionDef) -> str:
    said = _SAID.fullmatch((ast.get_docstring(test) or "").partition("\n")[0])
    assert said and _IDS.fullmatch(said["ids"]), f"{file}.{test.name} does not say which requirement it tests"
    return f"| {said['section']} | {said['ids']} | {said['level']} | {said['text']} | `{file}`: `{test.name}` |"


def test_the_table_is_what_the_tests_say() -> None:
    told = (HERE / "README.md").read_text(encoding="utf-8").splitlines()
    assert [line for line in told if "`: `test_" in line] == list(rows())
