"""Every setting from the environment, one line each, checked at start."""

from __future__ import annotations

import ipaddress
import os
import re
import urllib.parse
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from marshmallow import EXCLUDE, Schema, ValidationError, fields, validate

from app import times
from app.layout import LONGEST_SOCKET_PATH, Layout
from app.problems import ConfigError, Problem

__all__ = ["DOCUMENTED", "ConfigError", "Layout", "Network", "Setting", "Settings", "from_environment"]

Network = ipaddress.IPv4Network | ipaddress.IPv6Network

UNIX = "unix:"  # what a HOST begins with that is the path of a unix socket


@dataclass(frozen=True, slots=True)
class Settings:
    """The checked settings of one process; paths are absolute except `config_path`, kept as it was given.

    `database_url`, `redis_url` and `storage_url` None mean the embedded servers and DATA_DIR. The supervisor
    sets `fills_socket` for its children.
    """

    host: str
    port: int
    workers: int
    config_path: Path
    data_dir: Path
    database_url: str | None = field(repr=False)  # this and the next may hold a password
    redis_url: str | None = field(repr=False)
    storage_url: str | None
    public_url: str | None
    admin_token: str | None = field(repr=False)
    metrics_token: str | None = field(repr=False)
    edge_token: str | None = field(repr=False)
    trusted_proxies: tuple[Network, ...]
    log_format: str
    debug: bool
    auth: str
    s3_endpoint_url: str | None
    s3_redirect: bool
    node_url: str | None
    offline: bool
    storage_max: int | None
    storage_min_free: str
    accel_redirect: str | None
    pulls_keep: int
    fills_socket: Path | None = None

    @property
    def bind(self) -> str:
        """`host:port` as gunicorn and URLs write it: an IPv6 address stands in brackets; or `unix:/a/path`."""
        if self.host.startswith(UNIX):
            return self.host
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    @property
    def layout(self) -> Layout:
        """Where these settings place things on this machine."""
        url = urllib.parse.urlsplit(self.storage_url or "")
        return Layout(self.data_dir, Path(urllib.parse.unquote(url.path)) if url.scheme == "file" else None)

    @property
    def bucket(self) -> tuple[str, str] | None:
        """(bucket, prefix) of an s3:// STORAGE_URL; the prefix is empty or ends with a slash."""
        url = urllib.parse.urlsplit(self.storage_url or "")
        prefix = url.path.strip("/")
        return (url.netloc, f"{prefix}/" if prefix else "") if url.scheme == "s3" else None


@dataclass(frozen=True, slots=True)
class Setting:
    """One line of the README's table."""

    name: str
    default: str
    meaning: str


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


def _url(*schemes: str) -> Callable[[str], str]:
    def parse(value: str) -> str:
        scheme, mark, rest = value.partition("://")
        if scheme in schemes and mark and rest and not re.search(r"\s", value):
            return value
        raise ValueError(f"not a URL that begins with {' or '.join(f'{each}://' for each in schemes)}")

    return parse


def _public_url(value: str) -> str:
    url = urllib.parse.urlsplit(_url("http", "https")(value))
    if not url.hostname or "@" in url.netloc or url.query or url.fragment:
        raise ValueError("not an address like https://artifacts.example.org (no credentials, no query)")
    return value.rstrip("/")


def _storage_url(value: str) -> str:
    if value.startswith("s3://"):
        if not re.fullmatch(r"s3://[a-z0-9][a-z0-9.-]{1,61}[a-z0-9](/[A-Za-z0-9!_.*'()/-]*)?", value):
            raise ValueError(f'"{value}" is not a bucket written as s3://bucket or s3://bucket/prefix')
    elif not re.fullmatch(r"file:///[^?#]+", value):
        raise ValueError(f'"{value}" is not written as file:///a/directory or s3://bucket/prefix')
    return value


def _bytes(value: str) -> int:
    """`500G` and the like, in powers of 1024."""
    match = re.fullmatch(r"(\d{1,15})\s*([KMGTP]?)(i?B)?", value, re.IGNORECASE)
    if match is None:
        raise ValueError(f'"{value}" is not a number of bytes such as 500G')
    return int(match[1]) << 10 * " KMGTP".index(match[2].upper() or " ")


def _share(value: str) -> str:
    """A percentage, or bytes as in _bytes(); kept as text."""
    if re.fullmatch(r"\d{1,2}(\.\d+)?%", value):
        return value
    return str(_bytes(value))


def _location(value: str) -> str:
    if not re.fullmatch(r"/[A-Za-z0-9._/-]*", value):
        raise ValueError(f'"{value}" is not the path of an nginx location such as /_blobs/')
    return value.rstrip("/") + "/"


def _token(value: str) -> str:
    if len(value) < 16 or not re.fullmatch(r"[!-~]+", value):
        raise ValueError("not at least 16 printable characters without spaces")
    return value


def _networks(value: str) -> tuple[Network, ...]:
    return tuple(_network(each.strip()) for each in value.split(",") if each.strip())


def _network(value: str) -> Network:
    try:
        return ipaddress.ip_network(value, strict=False)
    except ValueError:
        raise ValueError(f'"{value}" is not an IP address or network such as 10.0.0.0/8') from None


def _place(value: str) -> Path:
    return Path(os.path.abspath(value))  # noqa: PTH100 - absolute() would keep "..", resolve() follows links


def _host(value: str) -> str:
    if value.startswith(UNIX):
        return _unix(value)
    host = value.removeprefix("[").removesuffix("]")
    try:
        return str(ipaddress.ip_address(host))
    except ValueError:
        if re.fullmatch(r"[A-Za-z0-9]([A-Za-z0-9.-]{0,252}[A-Za-z0-9])?", host):
            return host
    raise ValueError(f'"{value}" is not an address or a host name')


def _unix(value: str) -> str:
    path = value.removeprefix(UNIX)
    if not path.startswith("/") or path.endswith("/") or len(os.fsencode(path)) > LONGEST_SOCKET_PATH:
        raise ValueError(f'"{value}" is not unix:/a/path of at most {LONGEST_SOCKET_PATH} bytes')
    return value


def _workers() -> int:
    return min(max(len(os.sched_getaffinity(0)) * 2, 2), 8)


def _line(kind: Callable[..., Any], name: str, default: Any, meaning: str, *, shown: str = "", **more: Any) -> Any:
    """One setting: its name, its default (shown in the README as `shown`) and its meaning."""
    text = shown or ("-" if default is None else str(default))
    metadata = {"shown": text, "meaning": meaning, "wants": more.pop("wants", "")}
    return kind(data_key=name, load_default=default, metadata=metadata, **more)


def _whole(low: int, high: int) -> dict[str, Any]:
    wants = f"a whole number between {low} and {high}"
    return {"validate": validate.Range(low, high), "wants": wants}


def _one_of(*choices: str) -> dict[str, Any]:
    return {"validate": validate.OneOf(choices), "wants": " or ".join(choices)}


def _read(parse: Callable[[str], Any]) -> Callable[..., Parsed]:
    return lambda **options: Parsed(parse, **options)


# fmt: off
class _Environment(Schema):
    class Meta:
        unknown = EXCLUDE

    host = _line(_read(_host), "HOST", "127.0.0.1",
                 "the address to listen on, or unix:/a/path for a proxy on this machine")
    port = _line(fields.Integer, "PORT", 8080, "the port to listen on", **_whole(1, 65535))
    workers = _line(fields.Integer, "WORKERS", _workers, "gunicorn worker processes",
                    shown="2 a core, 2 to 8", **_whole(1, 256))
    config_path = _line(_read(Path), "CONFIG_PATH", Path("remotes.json"),
                        "the file that defines the repositories")
    data_dir = _line(_read(_place), "DATA_DIR", lambda: _place("var"), "blobs, embedded servers, secrets",
                     shown="./var")
    database_url = _line(_read(_url("postgresql", "postgres")), "DATABASE_URL", None,
                         "a PostgreSQL server; unset starts an embedded one")
    redis_url = _line(_read(_url("redis", "rediss", "unix")), "REDIS_URL", None,
                      "a Redis or Valkey server; unset starts an embedded one")
    storage_url = _line(_read(_storage_url), "STORAGE_URL", None,
                        "where blobs are kept: file:///a/directory or s3://bucket/prefix; unset is DATA_DIR/blobs")
    s3_endpoint_url = _line(_read(_url("http", "https")), "S3_ENDPOINT_URL", None,
                            "an S3 that is not Amazon's; the keys are in the usual AWS_* variables")
    s3_redirect = _line(fields.Boolean, "S3_REDIRECT", False,
                        "send clients to S3 itself for stored bodies over 64 KiB, by a presigned link",
                        shown="false", wants="true or false")
    storage_max = _line(_read(_bytes), "STORAGE_MAX", None,
                        "bytes that all blobs together may take, such as 500G; unset is no limit")
    storage_min_free = _line(_read(_share), "STORAGE_MIN_FREE", "10%",
                             "what is kept free of the blobs' filesystem, in percent or bytes")
    node_url = _line(_read(_public_url), "NODE_URL", None,
                     "where the other nodes of a fleet reach this one, to read what it is downloading")
    offline = _line(fields.Boolean, "OFFLINE", False, "never ask any upstream",
                    shown="false", wants="true or false")
    accel_redirect = _line(_read(_location), "ACCEL_REDIRECT", None,
                           "nginx's internal location that sends stored blobs: /_blobs/ for files, /_s3/ for S3")
    pulls_keep = _line(_read(times.length), "PULLS_KEEP", 30 * 86400,
                       "for how long it is known who pulled what; 0 records nothing", shown="30d")
    public_url = _line(_read(_public_url), "PUBLIC_URL", None,
                       "the address clients use, where a proxy is in front")
    admin_token = _line(_read(_token), "ADMIN_TOKEN", None,
                        "the administrator's token; unset makes one in DATA_DIR/secrets/admin-token")
    metrics_token = _line(_read(_token), "METRICS_TOKEN", None,
                          "a token that /metrics asks for; unset asks for none")
    edge_token = _line(_read(_token), "EDGE_TOKEN", None,
                       "a token of nginx's agent (artifactapi edge), for nothing else; unset leaves the admin token")
    trusted_proxies = _line(_read(_networks), "TRUSTED_PROXIES", (),
                            "networks whose X-Forwarded-* is believed, separated by commas", shown="-")
    log_format = _line(fields.String, "LOG_FORMAT", "json", "json or text, one line a request",
                       **_one_of("json", "text"))
    debug = _line(fields.Boolean, "DEBUG", False, "adds `detail` to errors",
                  shown="false", wants="true or false")
    auth = _line(fields.String, "AUTH", "token",
                 "token: writing needs a token; open: a trusted network, none needed", **_one_of("token", "open"))
    snapshot = Parsed(_place, data_key="ARTIFACTAPI_SNAPSHOT", load_default=None)
    fills_socket = Parsed(_place, data_key="ARTIFACTAPI_FILLS_SOCKET", load_default=None)
# fmt: on


_SCHEMA = _Environment()
DOCUMENTED = tuple(
    Setting(str(each.data_key), each.metadata["shown"], each.metadata["meaning"])
    for each in _SCHEMA.fields.values()
    if each.metadata
)


def from_environment(environ: Mapping[str, str]) -> Settings:
    """The settings in `environ`; an empty value is an unset one, an unknown name is ignored.

    ARTIFACTAPI_SNAPSHOT, set by the supervisor, takes the place of CONFIG_PATH. Raises ConfigError with one
    line per wrong value.
    """
    given = {name: value.strip() for name, value in environ.items() if value.strip()}
    try:
        values = _SCHEMA.load(given)
    except ValidationError as error:
        reasons: Any = error.messages
        raise ConfigError(*(_problem(name, given[name], reasons[name][0]) for name in sorted(reasons))) from None
    snapshot = values.pop("snapshot")
    return Settings(**{**values, "config_path": snapshot or values["config_path"]})


def _problem(name: str, value: str, reason: str) -> Problem:
    wants = next(each.metadata.get("wants") for each in _SCHEMA.fields.values() if each.data_key == name)
    return Problem("", name, f'"{value}" is not {wants}' if wants else reason)
