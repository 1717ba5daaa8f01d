"""A chart's version, and its file's name: which is newer, and where a name ends and a version begins.

Source: semver.org 2.0.0, and a "v" that many charts have before it.
"""

from __future__ import annotations

import re

_IDENTIFIERS = r"[0-9A-Za-z-]+(?:\.[0-9A-Za-z-]+)*"
_NUMBER = r"(?:0|[1-9][0-9]*)"
VERSION = re.compile(
    rf"v?(?P<numbers>{_NUMBER}\.{_NUMBER}\.{_NUMBER})(?:-(?P<before>{_IDENTIFIERS}))?(?:\+(?P<build>{_IDENTIFIERS}))?"
)
_LEADING_ZERO = re.compile(r"0[0-9]+")
_SUFFIX = re.compile(r"\.(?:tgz|tar\.gz)(?:\.prov)?\Z")
_DASH = re.compile(r"-(?=v?[0-9])")

Precedence = tuple[tuple[int, ...], bool, tuple[tuple[bool, int, str], ...]]


def is_version(text: str) -> bool:
    """SemVer 2, with or without a leading v."""
    match = VERSION.fullmatch(text)
    return match is not None and not any(_LEADING_ZERO.fullmatch(each) for each in (match["before"] or "").split("."))


def precedence(version: str) -> Precedence:
    """By what a version is newer than another (semver.org, 11); what is none is older than all."""
    match = VERSION.fullmatch(version)
    if match is None:
        return (), False, ()
    before = (match["before"] or "").split(".") if match["before"] else []
    parts = tuple((not each.isdigit(), int(each) if each.isdigit() else 0, each) for each in before)
    return tuple(map(int, match["numbers"].split("."))), not before, parts


def chart_of(file: str) -> str:
    """The name of the chart that a file <name>-<version>.tgz, or its signature, is of; "" where it is no such file.

    The first dash behind which there is a version: 1.0.0-2.0.0 is a version, too.
    """
    suffix = _SUFFIX.search(file)
    if suffix is None:
        return ""
    stem = file[: suffix.start()]
    found = (each.start() for each in _DASH.finditer(stem) if is_version(stem[each.end() :]))
    return stem[: next(found, 0)]
