"""A response whose body is still arriving: what the engine reads, and the one place its end is believed."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping
from types import MappingProxyType, TracebackType

import urllib3
from urllib3.exceptions import HTTPError, ReadTimeoutError
from urllib3.util import parse_url

from app.errors import UpstreamError, UpstreamLied, UpstreamTimeout, UpstreamUnreachable
from app.upstream.coding import Decoded, Undecodable
from app.upstream.dial import where


class Download:
    """One answer of upstream; a context manager.

    `headers` are case-insensitive and describe the body as it is read; `length` is how many bytes that will be,
    None if unknown; `announced` is what the header says, also in answer to a HEAD; `url` is the final one, without
    credentials and query.
    """

    def __init__(
        self,
        response: urllib3.HTTPResponse,
        url: str,
        coding: str | None,
        release: Callable[[], None],
        ended: Callable[[UpstreamError | None], None] | None = None,
    ) -> None:
        """`release` is called once at its end, `ended` with how a body went that was not closed before that."""
        self._response: urllib3.HTTPResponse = response
        self._release: Callable[[], None] | None = release
        self._ended = ended or (lambda _: None)
        self._failure: UpstreamError | None = None
        self._whole = False
        self.status: int = response.status
        self.url: str = parse_url(url)._replace(auth=None, query=None).url
        self._host = where(url)
        self.framed: bool = response.chunked or response.length_remaining is not None or coding is not None
        self.length: int | None = None if coding else response.length_remaining
        self.headers: Mapping[str, str] = _described(response, coding)
        self.announced: int | None = _announced(response)
        self._source = self._raw if coding is None else Decoded(self._raw, coding).read1
        if response.length_remaining == 0:
            self.read(1)  # gives the connection back

    def read(self, size: int) -> bytes:
        """Up to `size` bytes (at least 1), as soon as there are some; b"" only at the verified end.

        Raises UpstreamTimeout (a stall), UpstreamUnreachable (cut short), UpstreamLied (does not decode), and
        then the same again.
        """
        if self._whole:
            return b""
        if self._failure is not None:
            raise self._failure
        try:
            data = self._source(size)
        except (UpstreamError, Undecodable) as error:
            if self._failure is None:  # else it broke because it was closed
                self._ended(self._named(error))
            self._failure = self._named(error)
            self.close()
            raise self._failure from None
        if not data:
            self._whole = True
            self._ended(None)
            self.close()
        return data

    def close(self) -> None:
        """Give the connection back if the body was read whole, else end it; wakes a `read` in another thread."""
        if not self._whole:
            self._failure = self._failure or UpstreamUnreachable("the download was closed")
            with contextlib.suppress(ValueError, RuntimeError, OSError):
                self._response.shutdown()
        self._response.close() if not self._whole else self._response.release_conn()
        release, self._release = self._release, None
        if release is not None:
            release()

    def __enter__(self) -> Download:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _named(self, error: UpstreamError | Undecodable) -> UpstreamError:
        return error if isinstance(error, UpstreamError) else UpstreamLied(f"upstream {self._host}: sent {error}")

    def _raw(self, size: int) -> bytes:
        try:
            return self._response.read1(size, decode_content=False)
        except (ReadTimeoutError, TimeoutError):
            raise UpstreamTimeout(f"upstream {self._host}: stopped sending in the middle of the body") from None
        except (HTTPError, OSError, ValueError, AttributeError):
            raise UpstreamUnreachable(f"upstream {self._host}: the connection broke within the body") from None


def _announced(response: urllib3.HTTPResponse) -> int | None:
    """Content-Length as the header says it: the body's even where none follows, as to a HEAD (RFC 9110, 8.6)."""
    text = response.headers.get("Content-Length", "")
    return int(text) if text.isascii() and text.isdigit() and len(text) < 19 else None


def _described(response: urllib3.HTTPResponse, coding: str | None) -> Mapping[str, str]:
    headers = response.headers.copy()
    if coding is not None:
        for name in ("Content-Encoding", "Content-Length"):
            headers.pop(name, None)
    return MappingProxyType(headers)
