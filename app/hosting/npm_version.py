"""Versions as npm orders them.

Source: semver.org 2.0.0, sections 2, 9 and 11.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

_NUMBER = r"(?:0|[1-9][0-9]{0,15})"
_PART = rf"(?:{_NUMBER}|[0-9]*[A-Za-z-][0-9A-Za-z-]*)"
VERSION = re.compile(rf"(?=.{{1,256}}\Z){_NUMBER}\.{_NUMBER}\.{_NUMBER}(?:-{_PART}(?:\.{_PART})*)?")

Order = tuple[tuple[int, ...], bool, tuple[tuple[bool, int, str], ...]]


def order(version: str) -> Order:
    """A key by which versions stand in their order."""
    core, dash, pre = version.partition("-")
    numbers = tuple(int(each) for each in core.split("."))
    parts = tuple((False, int(each), "") if each.isdigit() else (True, 0, each) for each in pre.split(".") if each)
    return numbers, not dash, parts


def newest(versions: Iterable[str]) -> str:
    """The greatest release, or where there is none the greatest of all; there is at least one."""
    known = list(versions)
    return max([each for each in known if "-" not in each] or known, key=order)
