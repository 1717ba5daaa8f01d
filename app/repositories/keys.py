"""What remotes.json may say, key by key; the descriptions here are those of `artifactapi schema`."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from marshmallow import Schema, ValidationError, fields, post_load, validate, validates_schema

from app.formats import FORMATS
from app.repositories.shapes import Description, Named, Package, Strict, says
from app.repositories.values import (
    MIRROR_LIST,
    BaseURL,
    File,
    Flag,
    Off,
    Pattern,
    Proxy,
    Seconds,
    Secret,
    is_mirror_list,
)
from app.resource import UpstreamOptions

NAME = r"^[A-Za-z0-9][A-Za-z0-9._-]{0,62}\Z"
TEN_YEARS = 10 * 365 * 86400.0

# fmt: off
# What the engine itself says to upstream; another value would corrupt bodies or their framing.
ENGINE_HEADERS = frozenset((
    "accept-encoding", "connection", "content-length", "host", "if-match", "if-modified-since", "if-none-match",
    "if-range", "if-unmodified-since", "keep-alive", "proxy-authorization", "range", "te", "trailer",
    "transfer-encoding", "upgrade",
))
# fmt: on
MOST_HEADERS = 64
_HEADER_NAME = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]{1,128}")  # RFC 9110, 5.6.2


def patterns(description: str) -> fields.List[re.Pattern[str]]:
    return fields.List(Pattern(), validate=validate.Length(max=256), metadata=says(description))


class CacheSchema(Strict):
    """`cache` of a remote."""

    immutable_ttl = Seconds(
        0, TEN_YEARS, forever=True, metadata=says("how long immutable paths keep; 0 is forever, the default")
    )
    mutable_ttl = Seconds(
        0, TEN_YEARS, forever=True, metadata=says("how long mutable paths keep; 0 revalidates every time")
    )

    @post_load
    def _forever(self, data: dict[str, Any], **_: Any) -> dict[str, Any]:
        if "immutable_ttl" in data:
            data["immutable_ttl"] = data["immutable_ttl"] or None
        return data


class UpstreamSchema(Strict):
    """`upstream` of a remote: how it is dialled."""

    proxy = Proxy(metadata=says("the HTTP proxy to go through"))
    ca_file = File(metadata=says("the certificates that upstream's is checked against, PEM"))
    client_cert = File(metadata=says("the certificate shown to upstream, PEM"))
    client_key = File(metadata=says("the client certificate's key, PEM; may stand in client_cert"))
    headers = Named(
        keys=fields.String(),
        values=Secret(),
        metadata={**says("sent upstream"), "maxProperties": MOST_HEADERS},
    )
    connect_timeout = Seconds(0.01, 600, metadata=says("seconds to connect"))
    first_byte_timeout = Seconds(0.01, 3600, metadata=says("seconds to the first byte of an answer"))
    stall_timeout = Seconds(0.01, 3600, metadata=says("seconds without a byte that end a download"))
    max_connections = fields.Integer(
        strict=True, validate=validate.Range(1, 1024), metadata=says("connections at one time")
    )

    @validates_schema
    def _pairs(self, data: dict[str, Any], **_: Any) -> None:
        if "client_key" in data and "client_cert" not in data:
            raise ValidationError("belongs to a client_cert, and there is none", "client_key")

    @validates_schema
    def _headers(self, data: dict[str, Any], **_: Any) -> None:
        headers: dict[str, str] = data.get("headers", {})
        if len(headers) > MOST_HEADERS:
            raise ValidationError(f"more than {MOST_HEADERS}", "headers")
        names = [name.lower() for name in headers]
        reasons = {name: _header_problem(name, headers[name], names) for name in headers}
        if wrong := {name: [reason] for name, reason in reasons.items() if reason}:
            raise ValidationError({"headers": wrong})

    @post_load
    def _make(self, data: dict[str, Any], **_: Any) -> UpstreamOptions:
        return UpstreamOptions(**data)


def _header_problem(name: str, value: str, names: list[str]) -> str:
    if not _HEADER_NAME.fullmatch(name):
        return "not a header's name"
    if name.lower() in ENGINE_HEADERS:
        return "this server sets it itself: remove it"
    if names.count(name.lower()) > 1:
        return "given twice, for case does not matter in a header's name"
    return "" if _latin(value) else "its value is not latin-1"


def _latin(value: str) -> bool:
    try:
        value.encode("latin-1")
    except UnicodeEncodeError:
        return False
    return True


class RemoteSchema(Strict):
    """A repository that is filled from upstream."""

    package = Package(*FORMATS)
    description = Description()
    base_url = BaseURL(metadata=says("where upstream is; a directory, not a mirror list"))
    base_urls = fields.List(BaseURL(), validate=validate.Length(1, 16), metadata=says("several, tried in this order"))
    immutable_patterns = patterns("the paths that are served and never change; none allows every path")
    mutable_patterns = patterns("paths that are served and revalidated")
    cache = fields.Nested(CacheSchema, metadata=says("how long things keep"))
    check_mutable_updates = Flag(metadata=says("revalidate with a conditional request"))
    on_upstream_gone = fields.String(
        validate=validate.OneOf(["keep", "drop"]),
        metadata=says("what happens to a stored copy that upstream no longer has"),
    )
    upstream = fields.Nested(UpstreamSchema, metadata=says("how upstream is dialled"))
    username = Secret(metadata=says("upstream's credentials"))
    password = Secret(metadata=says("upstream's credentials"))
    offline = Flag(metadata=says("never dial upstream"))
    serves = Off([], "docker: registries answered for with ?ns=")
    hosts = Off([], "docker: host names mapped to this remote")
    default = Off(False, "docker: the default remote")
    ban_tags_enabled = Off(False, "docker: refuse ban_tags")
    ban_tags = Off([], "docker: tags that are refused")
    quarantine_new = Off(False, "hold back new versions")
    quarantine_days = Off(0, "how long they are held back")

    def unknown_key(self, key: str, known: set[str]) -> str:
        if key == "overwrite":
            return "belongs to a local repository"
        return super().unknown_key(key, known)

    @validates_schema(pass_original=True, skip_on_field_errors=False)
    def _one_upstream(self, data: Any, original: Any, **_: Any) -> None:
        given = [key for key in ("base_url", "base_urls") if isinstance(original, Mapping) and key in original]
        if isinstance(original, Mapping) and not given:
            raise ValidationError("missing: a remote needs its upstream's URL", "base_url")
        if len(given) > 1:
            raise ValidationError("given beside base_url: put every URL into one of the two", "base_urls")

    @validates_schema(pass_original=True, skip_on_field_errors=False)
    def _no_mirror_list(self, data: Any, original: Any, **_: Any) -> None:
        """A list of mirrors has no repodata beside it; dnf would be sent to a repository that is not there."""
        if isinstance(original, Mapping) and original.get("package") == "rpm":
            several = original.get("base_urls")
            urls = several if isinstance(several, list) else []
            wrong = {number: [MIRROR_LIST] for number, url in enumerate(urls) if is_mirror_list(url)}
            one = [MIRROR_LIST] if is_mirror_list(original.get("base_url")) else []
            if one or wrong:
                raise ValidationError({"base_url": one} if one else {"base_urls": wrong})

    @validates_schema
    def _credentials(self, data: dict[str, Any], **_: Any) -> None:
        if "password" in data and "username" not in data:
            raise ValidationError("there is no username beside it", "password")
        if ":" in data.get("username", ""):
            raise ValidationError("a colon cannot be part of it (RFC 7617)", "username")
        headers = data["upstream"].headers if "upstream" in data else {}
        if "username" in data and any(name.lower() == "authorization" for name in headers):
            raise ValidationError("given beside an Authorization header: keep one of them", "username")

    @post_load
    def _flatten(self, data: dict[str, Any], **_: Any) -> dict[str, Any]:
        """The fields of Repository."""
        one, cache = data.pop("base_url", None), data.pop("cache", {})
        for key in ("immutable_patterns", "mutable_patterns"):
            data[key] = tuple(data.get(key, ()))
        data["base_urls"] = (one,) if one else tuple(data["base_urls"])
        known = {key: value for key, value in data.items() if not isinstance(self.fields[key], Off)}
        return {**known, **cache}


class LocalSchema(Strict):
    """A repository that is published into."""

    package = Package("generic")
    description = Description()
    overwrite = Flag(metadata=says("may a path be published again"))

    def unknown_key(self, key: str, known: set[str]) -> str:
        if key in RemoteSchema().fields:
            return "belongs to a remote: a local repository has no upstream"
        return super().unknown_key(key, known)


class VirtualSchema(Strict):
    """Several repositories shown as one."""

    @validates_schema(skip_on_field_errors=False)
    def _not_built(self, data: Any, **_: Any) -> None:
        raise ValidationError("virtual repositories are not built in this version: remove it")

    @validates_schema
    def _only_known_keys(self, data: Any, **_: Any) -> None:
        """Nothing more is said of one."""


def repositories(schema: type[Schema], description: str, **more: Any) -> Named:
    name = fields.String(validate=validate.Regexp(NAME, error=NOT_A_NAME))
    return Named(keys=name, values=fields.Nested(schema), metadata={**says(description), **more})


NOT_A_NAME = "not a name: 1 to 63 letters, digits, dots, dashes and underscores, the first a letter or digit"


class DocumentSchema(Strict):
    """Every repository; each map is name -> repository."""

    remotes = repositories(RemoteSchema, "filled from upstream")
    locals = repositories(LocalSchema, "published into")
    virtuals = repositories(VirtualSchema, "several shown as one: not built in this version", maxProperties=0)
