"""What `upstream` of a remote may say: how it is dialled."""

from __future__ import annotations

import re
from typing import Any

from marshmallow import ValidationError, fields, post_load, validate, validates_schema

from app.repositories.addresses import Host, Proxy
from app.repositories.shapes import Named, Strict, says
from app.repositories.values import File, Rate, Seconds, Secret
from app.resource import UpstreamOptions

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
    max_rate = Rate(0.01, 10_000, metadata=says("requests a second, with retries and redirects"))
    auth_hosts = fields.List(
        Host(),
        validate=validate.Length(max=16),
        metadata=says("docker: hosts besides upstream's own site that may be asked for its access tokens"),
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
        return UpstreamOptions(**{**data, "auth_hosts": tuple(data.get("auth_hosts", ()))})


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
