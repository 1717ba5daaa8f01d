"""What formats share that are hosted here and not proxied yet."""

from __future__ import annotations

from app.formats.base import PathRules


class Hosted(PathRules):
    """Plain paths, published into."""

    __slots__ = ()
    proxied = False
