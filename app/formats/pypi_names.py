"""How Python projects are called.

Source: PEP 503, "Normalized Names"; PEP 508, "Names".
"""

from __future__ import annotations

import re

_RUNS = re.compile(r"[-_.]+")
_PROJECT = re.compile(r"[a-z0-9](?:[a-z0-9-]*[a-z0-9])?")


def normalised(name: str) -> str:
    """A project's name as PEP 503 writes it."""
    return _RUNS.sub("-", name).lower()


def is_project(name: str) -> bool:
    """Whether a normalised name can be a project's."""
    return _PROJECT.fullmatch(name) is not None
