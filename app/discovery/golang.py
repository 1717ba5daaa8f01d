"""GOPROXY. Source: go.dev/ref/mod, "Environment variables"; `go help environment` (the file go/env)."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

from app.discovery.found import Found, address

GO = "go"
STANDARD = "https://proxy.golang.org,direct"


def proxies(value: str) -> Iterator[Found]:
    """Of a list that commas and bars separate; `direct` and `off` are none."""
    for number, each in enumerate(
        each for each in re.split(r"[,|]", value) if each.strip() not in ("", "direct", "off")
    ):
        yield address(GO, each.strip(), f"{GO}-{number + 1}" if number else GO)


def env(text: str) -> Iterator[Found]:
    """The file that `go env -w` writes."""
    for line in text.splitlines():
        name, _, value = line.partition("=")
        if name.strip() == "GOPROXY":
            yield from proxies(value.strip())


def environment(environ: Mapping[str, str]) -> Iterator[Found]:
    """The variable, which wins over the file."""
    yield from proxies(environ.get("GOPROXY", ""))
