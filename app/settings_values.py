"""How settings are read: a function for each kind of value, whose ValueError is the reason shown without a secret."""

from __future__ import annotations

import ipaddress
import os
import re
import urllib.parse
from collections.abc import Callable
from pathlib import Path
from typing import Any

from marshmallow import ValidationError, fields

from app.layout import LONGEST_SOCKET_PATH

Network = ipaddress.IPv4Network | ipaddress.IPv6Network

UNIX = "unix:"  # what a HOST begins with that is the path of a unix socket


class Parsed(fields.Field[Any]):
    """A setting that a function reads; its ValueError is the reason shown, and repeats no secret."""

    def __init__(self, parse: Callable[[str], Any], **options: Any) -> None:
        super().__init__(**options)
        self.parse = parse

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> Any:
        try:
            return self.parse(value)
        except ValueError as error:
            raise ValidationError(str(error)) from None


def url(*schemes: str) -> Callable[[str], str]:
    def parse(value: str) -> str:
        scheme, mark, rest = value.partition("://")
        if scheme in schemes and mark and rest and not re.search(r"\s", value):
            return value
        raise ValueError(f"not a URL that begins with {' or '.join(f'{each}://' for each in schemes)}")

    return parse


def public_url(value: str) -> str:
    parts = urllib.parse.urlsplit(url("http", "https")(value))
    if not parts.hostname or "@" in parts.netloc or parts.query or parts.fragment:
        raise ValueError("not an address like https://artifacts.example.org (no credentials, no query)")
    return value.rstrip("/")


def storage_url(value: str) -> str:
    if value.startswith("s3://"):
        if not re.fullmatch(r"s3://[a-z0-9][a-z0-9.-]{1,61}[a-z0-9](/[A-Za-z0-9!_.*'()/-]*)?", value):
            raise ValueError(f'"{value}" is not a bucket written as s3://bucket or s3://bucket/prefix')
    elif not re.fullmatch(r"file:///[^?#]+", value):
        raise ValueError(f'"{value}" is not written as file:///a/directory or s3://bucket/prefix')
    return value


def size(value: str) -> int:
    """`500G` and the like, in powers of 1024."""
    match = re.fullmatch(r"(\d{1,15})\s*([KMGTP]?)(i?B)?", value, re.IGNORECASE)
    if match is None:
        raise ValueError(f'"{value}" is not a number of bytes such as 500G')
    return int(match[1]) << 10 * " KMGTP".index(match[2].upper() or " ")


def share(value: str) -> str:
    """A percentage, or bytes as in size(); kept as text."""
    if re.fullmatch(r"\d{1,2}(\.\d+)?%", value):
        return value
    return str(size(value))


def location(value: str) -> str:
    if not re.fullmatch(r"/[A-Za-z0-9._/-]*", value):
        raise ValueError(f'"{value}" is not the path of an nginx location such as /_blobs/')
    return value.rstrip("/") + "/"


def token(value: str) -> str:
    if len(value) < 16 or not re.fullmatch(r"[!-~]+", value):
        raise ValueError("not at least 16 printable characters without spaces")
    return value


def networks(value: str) -> tuple[Network, ...]:
    return tuple(network(each.strip()) for each in value.split(",") if each.strip())


def network(value: str) -> Network:
    try:
        return ipaddress.ip_network(value, strict=False)
    except ValueError:
        raise ValueError(f'"{value}" is not an IP address or network such as 10.0.0.0/8') from None


def place(value: str) -> Path:
    return Path(os.path.abspath(value))  # noqa: PTH100 - absolute() would keep "..", resolve() follows links


def host(value: str) -> str:
    if value.startswith(UNIX):
        return unix(value)
    name = value.removeprefix("[").removesuffix("]")
    try:
        return str(ipaddress.ip_address(name))
    except ValueError:
        if re.fullmatch(r"[A-Za-z0-9]([A-Za-z0-9.-]{0,252}[A-Za-z0-9])?", name):
            return name
    raise ValueError(f'"{value}" is not an address or a host name')


def unix(value: str) -> str:
    path = value.removeprefix(UNIX)
    if not path.startswith("/") or path.endswith("/") or len(os.fsencode(path)) > LONGEST_SOCKET_PATH:
        raise ValueError(f'"{value}" is not unix:/a/path of at most {LONGEST_SOCKET_PATH} bytes')
    return value


def header(value: str) -> str:
    if not re.fullmatch(r"[A-Za-z][A-Za-z0-9-]{0,63}", value):
        raise ValueError(f'"{value}" is not the name of a header such as X-Remote-User')
    return value


def issuers(value: str) -> tuple[str, ...]:
    """As they stand in a token's `iss`, so nothing is cut off; http is for this machine's own."""
    return tuple(_issuer(each.strip()) for each in value.split(",") if each.strip())


def _issuer(value: str) -> str:
    parts = urllib.parse.urlsplit(public_url(value))
    if parts.scheme == "http" and not _is_loopback(parts.hostname or ""):
        raise ValueError(f'"{value}" is not an https:// URL: whoever is on the way could forge its keys')
    return value


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def rate(value: str) -> str:
    if not re.fullmatch(r"[1-9]\d{0,6}/(second|minute|hour|day)", value):
        raise ValueError(f'"{value}" is not a rate such as 600/minute')
    return value
