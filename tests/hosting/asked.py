"""Knows how a test asks a node over HTTP as its administrator."""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from tests.hosting.conftest import TOKEN

JSON = {"Content-Type": "application/json"}


@dataclass(frozen=True, slots=True)
class Told:
    """An answer."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def said(self) -> Any:
        """Its JSON."""
        return json.loads(self.body)


def ask(method: str, url: str, body: bytes | None = None, headers: Mapping[str, str] | None = None) -> Told:
    """As the administrator; whatever the status."""
    given = {"Authorization": f"Bearer {TOKEN}", **(headers or {})}
    try:
        with urllib.request.urlopen(urllib.request.Request(url, body, given, method=method), timeout=60) as answer:
            return Told(answer.status, dict(answer.headers), answer.read())
    except urllib.error.HTTPError as error:
        with error:
            return Told(error.code, dict(error.headers), error.read())


def blank(url: str, package: str, **keys: str) -> str:
    """The URL of a new public repository, which nothing was published into; on the node at `url`."""
    ask("POST", f"{url}/api/v1/projects", b'{"name": "blanks"}', JSON)  # 409 from the second on
    name = f"blank-{package}{len(keys)}"
    said = {"name": name, "project": "blanks", "package": package, "access": "", **keys}
    assert ask("POST", f"{url}/api/v1/repositories", json.dumps(said).encode(), JSON).status == 201
    return f"{url}/repository/{name}"
