"""A response that leaves as it was settled (reply.py, the fills process), and what is still told of it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from flask import Response
from werkzeug import datastructures

from app.resource import Headers
from app.web.usage import Artifact

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIEnvironment


class Settled(Response):
    """`artifact` is what was served, if anything was; of a `handed` one the fills process tells; `told` is the status
    that a proxy in front makes of it for its client, where that is another one."""

    automatically_set_content_length = False
    default_mimetype = None

    def __init__(
        self,
        body: bytes | Iterable[bytes],
        status: int,
        headers: Headers,
        *,
        artifact: Artifact | None = None,
        handed: bool = False,
    ) -> None:
        super().__init__(body, status, datastructures.Headers(headers))
        self.artifact = artifact
        self.told = 0
        self.handed = handed

    def get_wsgi_headers(self, environ: WSGIEnvironment) -> datastructures.Headers:
        """No line is added, made absolute or left out; copying them all would cost as much as sending them."""
        return self.headers
