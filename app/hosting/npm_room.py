"""How large a package may grow: its document is rendered for each client, and sent back to change a version."""

from __future__ import annotations

from collections.abc import Iterable

from app.errors import Unprocessable
from app.hosting.base import Accepted, Contents
from app.hosting.npm_document import PARTS

MOST = (15 << 20, PARTS * 9 // 10)  # bytes and parts: reply.py renders up to 16 MiB, npm_document.py reads 18
_AROUND = 150  # bytes that a version has in a document beside its manifest and its path


def room(said: Iterable[tuple[str, str]]) -> tuple[int, int]:
    """How many bytes, and parts as npm_document counts them, a package's documents have at the most; of what is
    remembered of its files, by path."""
    sizes, parts = [0], [0]
    for path, text in said:
        sizes.append(len(text) + 3 * len(path) + _AROUND)
        parts.append(text.count('"') + sum(map(text.count, ",[{")) + _AROUND)
    return sum(sizes) + max(sizes), sum(parts) + max(parts)  # of the latest version it says much twice


def require_room(contents: Contents, name: str, accepted: Accepted) -> None:
    """Unprocessable "too_many" where a change makes the package's document too large. What makes such a one smaller
    is taken."""
    if not accepted.new:
        return
    known = {item.path: item.about for item in contents.items(name)}
    coming = {each.path: each.about for each in accepted.new}
    after = {path: said for path, said in (known | coming).items() if path not in accepted.gone}
    for now, then, most in zip(room(known.items()), room(after.items()), MOST, strict=True):
        if then > max(now, most):
            raise Unprocessable("the package has too many versions for one document; unpublish some", code="too_many")
