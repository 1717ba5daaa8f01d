"""Every setting from the environment, one line each, checked at start; settings_values.py reads their values."""

from __future__ import annotations

import os
import urllib.parse
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from marshmallow import EXCLUDE, Schema, ValidationError, fields, validate

from app import settings_values as values
from app import times
from app.layout import Layout
from app.problems import ConfigError, Problem
from app.settings_values import UNIX, Network, Parsed

__all__ = ["DOCUMENTED", "ConfigError", "Layout", "Network", "Setting", "Settings", "from_environment"]


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
    auth_header: str
    registration: str
    oidc_issuers: tuple[str, ...]
    rate_token: str | None
    rate_address: str | None
    s3_endpoint_url: str | None
    s3_redirect: bool
    node_url: str | None
    offline: bool
    storage_max: int | None
    storage_min_free: str
    accel_redirect: str | None
    pulls_keep: int
    upload_max: int | None
    projects_max: int
    repositories_max: int
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

    host = _line(_read(values.host), "HOST", "127.0.0.1",
                 "the address to listen on, or unix:/a/path for a proxy on this machine")
    port = _line(fields.Integer, "PORT", 8080, "the port to listen on", **_whole(1, 65535))
    workers = _line(fields.Integer, "WORKERS", _workers, "gunicorn worker processes",
                    shown="2 a core, 2 to 8", **_whole(1, 256))
    config_path = _line(_read(Path), "CONFIG_PATH", Path("remotes.json"),
                        "the file that defines the repositories")
    data_dir = _line(_read(values.place), "DATA_DIR", lambda: values.place("var"), "blobs, embedded servers, secrets",
                     shown="./var")
    database_url = _line(_read(values.url("postgresql", "postgres")), "DATABASE_URL", None,
                         "a PostgreSQL server; unset starts an embedded one")
    redis_url = _line(_read(values.url("redis", "rediss", "unix")), "REDIS_URL", None,
                      "a Redis or Valkey server; unset starts an embedded one")
    storage_url = _line(_read(values.storage_url), "STORAGE_URL", None,
                        "where blobs are kept: file:///a/directory or s3://bucket/prefix; unset is DATA_DIR/blobs")
    s3_endpoint_url = _line(_read(values.url("http", "https")), "S3_ENDPOINT_URL", None,
                            "an S3 that is not Amazon's; the keys are in the usual AWS_* variables")
    s3_redirect = _line(fields.Boolean, "S3_REDIRECT", False,
                        "send clients to S3 itself for stored bodies over 64 KiB, by a presigned link",
                        shown="false", wants="true or false")
    storage_max = _line(_read(values.size), "STORAGE_MAX", None,
                        "bytes that all blobs together may take, such as 500G; unset is no limit")
    storage_min_free = _line(_read(values.share), "STORAGE_MIN_FREE", "10%",
                             "what is kept free of the blobs' filesystem, in percent or bytes")
    node_url = _line(_read(values.public_url), "NODE_URL", None,
                     "where the other nodes of a fleet reach this one, to read what it is downloading")
    offline = _line(fields.Boolean, "OFFLINE", False, "never ask any upstream",
                    shown="false", wants="true or false")
    accel_redirect = _line(_read(values.location), "ACCEL_REDIRECT", None,
                           "nginx's internal location that sends stored blobs: /_blobs/ for files, /_s3/ for S3")
    pulls_keep = _line(_read(times.length), "PULLS_KEEP", 30 * 86400,
                       "for how long it is known who pulled what; 0 records nothing", shown="30d")
    upload_max = _line(_read(values.size), "UPLOAD_MAX", None,
                       "bytes that one upload may have, such as 5G; unset is no limit")
    public_url = _line(_read(values.public_url), "PUBLIC_URL", None,
                       "the address clients use, where a proxy is in front")
    admin_token = _line(_read(values.token), "ADMIN_TOKEN", None,
                        "the administrator's token; unset makes one in DATA_DIR/secrets/admin-token")
    metrics_token = _line(_read(values.token), "METRICS_TOKEN", None,
                          "a token that /metrics asks for; unset asks for none")
    edge_token = _line(_read(values.token), "EDGE_TOKEN", None,
                       "a token of nginx's agent (artifactapi edge), for nothing else; unset leaves the admin token")
    trusted_proxies = _line(_read(values.networks), "TRUSTED_PROXIES", (),
                            "networks whose X-Forwarded-* is believed, separated by commas; proxies set or drop each",
                            shown="-")
    log_format = _line(fields.String, "LOG_FORMAT", "json", "json or text, one line a request",
                       **_one_of("json", "text"))
    debug = _line(fields.Boolean, "DEBUG", False, "adds `detail` to errors",
                  shown="false", wants="true or false")
    auth = _line(fields.String, "AUTH", "token",
                 "token: writing needs a token; header: or a user whom a trusted proxy names; open: a trusted "
                 "network, none needed", **_one_of("token", "header", "open"))
    auth_header = _line(_read(values.header), "AUTH_HEADER", "X-Remote-User",
                        "with AUTH=header: the line by which a trusted proxy names the user")
    registration = _line(fields.String, "REGISTRATION", "closed",
                         "open: anybody may make an account; closed: administrators do", **_one_of("closed", "open"))
    projects_max = _line(fields.Integer, "PROJECTS_MAX", 20,
                         "how many projects somebody may own who is no administrator", **_whole(0, 10_000))
    repositories_max = _line(fields.Integer, "REPOSITORIES_MAX", 50,
                             "how many repositories a project's owners may make through the API", **_whole(0, 10_000))
    oidc_issuers = _line(_read(values.issuers), "OIDC_ISSUERS", (),
                         "issuers of OIDC tokens that CI systems may exchange here, separated by commas", shown="-")
    rate_token = _line(_read(values.rate), "RATE_TOKEN", None,
                       "how often a user may ask, with all their tokens, such as 600/minute; unset is no limit")
    rate_address = _line(_read(values.rate), "RATE_ADDRESS", None,
                         "how often an address may ask without a known token; unset is no limit")
    snapshot = Parsed(values.place, data_key="ARTIFACTAPI_SNAPSHOT", load_default=None)
    fills_socket = Parsed(values.place, data_key="ARTIFACTAPI_FILLS_SOCKET", load_default=None)
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
        loaded = _SCHEMA.load(given)
    except ValidationError as error:
        reasons: Any = error.messages
        raise ConfigError(*(_problem(name, given[name], reasons[name][0]) for name in sorted(reasons))) from None
    if (loaded["auth"], loaded["registration"]) == ("header", "open"):
        reason = "open beside AUTH=header: anybody could make another's account before they first come"
        raise ConfigError(Problem("", "REGISTRATION", reason))
    snapshot = loaded.pop("snapshot")
    return Settings(**{**loaded, "config_path": snapshot or loaded["config_path"]})


def _problem(name: str, value: str, reason: str) -> Problem:
    wants = next(each.metadata.get("wants") for each in _SCHEMA.fields.values() if each.data_key == name)
    return Problem("", name, f'"{value}" is not {wants}' if wants else reason)
