"""/etc/apk/repositories. Source: apk-repositories(5)."""

from __future__ import annotations

import re
from collections.abc import Iterator

from app.discovery.found import Found, address, folder, host_of

_RELEASE = re.compile(r"/(?:v\d+\.\d+|edge|latest-stable)/[^/]+/?$")


def repositories(text: str) -> Iterator[Found]:
    """One address for each mirror: releases and branches are folders of it."""
    for line in text.splitlines():
        words = [word for word in line.partition("#")[0].split() if not word.startswith("@")]
        url = next((word for word in words if "://" in word), "")
        if url:
            base = _RELEASE.sub("", url)
            yield address("apk", base, folder(base) or host_of(url))
