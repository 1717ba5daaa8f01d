"""go.sum: of every module its .info, .mod and .zip; where only its go.mod is pinned, the .mod alone.

    <module> <version> h1:<base64>            <module> <version>/go.mod h1:<base64>

h1 is no checksum of a file, but a sum over what is in it: the go command looks at it, whatever a proxy says.

Source: go.dev/ref/mod, "go.sum files", "GOPROXY protocol"; golang.org/x/mod/sumdb/dirhash.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from app.prefetch.wanted import Lock, Wanted
from app.resource import Repository

_UPPER = re.compile(r"[A-Z]")
_LINE = re.compile(r"(\S+) (v[^\s/]+)(/go\.mod)? h1:[A-Za-z0-9+/]{43}=")
_MANIFEST = "/go.mod"


def read(lock: Lock, repository: Repository) -> Iterator[Wanted]:
    """Raises ValueError that names the line."""
    for number, text in enumerate(lock.text.splitlines(), 1):
        if not text.strip():
            continue
        match = _LINE.fullmatch(text.strip())
        if match is None:
            raise ValueError(f"line {number}: is no line of a go.sum")
        module, version = escaped(match[1]), escaped(match[2])
        for ending in ("mod",) if match[3] == _MANIFEST else ("info", "mod", "zip"):
            yield Wanted(f"{module}/@v/{version}.{ending}")


def escaped(name: str) -> str:
    """With every capital letter as `!` and its small one."""
    return _UPPER.sub(lambda match: f"!{match[0].lower()}", name)
