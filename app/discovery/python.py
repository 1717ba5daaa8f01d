"""pip.conf and uv.toml. Source: pip's documentation, "Configuration"; uv's, "Package indexes"."""

from __future__ import annotations

import configparser
import tomllib
from collections.abc import Iterator, Mapping
from typing import Any

from app.discovery.found import Found, Note, address, host_of

PYPI = "pypi"


def pip(text: str) -> Iterator[Found]:
    """Raises ValueError."""
    parser = configparser.RawConfigParser(strict=False)
    try:
        parser.read_string(text)
    except configparser.Error as error:
        raise ValueError(f"is no pip.conf: {type(error).__name__}") from None
    for section in ("global", "install", "download"):
        certificate = parser.get(section, "cert", fallback=parser.get("global", "cert", fallback=""))
        for key in ("index-url", "extra-index-url"):
            yield from indexes(parser.get(section, key, fallback=""), certificate, extra=key != "index-url")
        if parser.get(section, "find-links", fallback=""):
            yield Note("find-links: is a folder or a page, and no index")


def environment(environ: Mapping[str, str]) -> Iterator[Found]:
    """PIP_* and UV_* variables, which win over files."""
    certificate = environ.get("PIP_CERT", "")
    for name in ("PIP_INDEX_URL", "UV_INDEX_URL", "UV_DEFAULT_INDEX"):
        yield from indexes(environ.get(name, ""), certificate)
    for name in ("PIP_EXTRA_INDEX_URL", "UV_EXTRA_INDEX_URL", "UV_INDEX"):
        for each in environ.get(name, "").split():
            yield from indexes(each.partition("=")[2] if "=" in each.partition("://")[0] else each, certificate, True)


def indexes(urls: str, certificate: str = "", extra: bool = False) -> Iterator[Found]:
    """Separated by blanks."""
    for url in urls.split():
        name = f"{PYPI}-{host_of(url) or 'extra'}" if extra else PYPI
        yield address(PYPI, url, name, beside=extra, ca_file=certificate)


def uv(text: str) -> Iterator[Found]:
    """uv.toml, or the [tool.uv] of a pyproject.toml. Raises ValueError."""
    try:
        told: dict[str, Any] = tomllib.loads(text)
    except tomllib.TOMLDecodeError:
        raise ValueError("is no TOML") from None
    told = told.get("tool", {}).get("uv", {}) if "tool" in told else told
    for key in ("index-url", "extra-index-url"):
        value = told.get(key, "")
        for url in value if isinstance(value, list) else [value]:
            yield from indexes(str(url), extra=key != "index-url")
    for each in told.get("index", ()):
        if isinstance(each, dict) and "url" in each:
            name, beside = str(each.get("name", "")) or PYPI, not each.get("default")
            yield address(PYPI, str(each["url"]), f"{PYPI}-{name}" if beside else PYPI, beside=beside)
