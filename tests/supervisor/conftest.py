"""A node of a test's own, in a directory with a space in its name."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.stack import Stack

DOCUMENT: dict[str, Any] = {
    "remotes": {
        "packages": {"package": "rpm", "base_url": "http://127.0.0.1:9/rpm"},
        "alpine": {"package": "apk", "base_url": "http://127.0.0.1:9/apk"},
        "releases": {"base_url": "http://127.0.0.1:9/files"},
    },
    "locals": {"files": {}},
}


@pytest.fixture
def stack(tmp_path: Path) -> Iterator[Stack]:
    """Not started; nothing of it outlives the test."""
    node = Stack(tmp_path / "a node", DOCUMENT, {})
    yield node
    node.close()
