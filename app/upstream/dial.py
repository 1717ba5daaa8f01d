"""How one remote's upstream is dialled: pools, TLS, proxy, retries, and what its failures are called here."""

from __future__ import annotations

import errno
import logging
import os
import random
import ssl
import threading
import urllib.parse
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from functools import partial
from http.client import HTTPException, IncompleteRead, RemoteDisconnected
from types import TracebackType
from typing import Any, Self

import urllib3
from requests.utils import DEFAULT_CA_BUNDLE_PATH
from urllib3.connectionpool import ConnectionPool
from urllib3.exceptions import (
    ConnectTimeoutError,
    HTTPError,
    MaxRetryError,
    NameResolutionError,
    NewConnectionError,
    ProtocolError,
    ProxyError,
    ReadTimeoutError,
    SSLError,
)
from urllib3.response import BaseHTTPResponse
from urllib3.util.retry import Retry

from app.errors import UpstreamError, UpstreamLied, UpstreamTimeout, UpstreamUnreachable
from app.resource import UpstreamOptions
from app.upstream.guard import Guard
from app.upstream.pace import Pace
from app.upstream.pools import Direct, Proxied
from app.upstream.wire import Malformed, Terms

# urllib3 warns of every retry with the whole URL; a query string may be a signature.
logging.getLogger("urllib3").setLevel(logging.CRITICAL)

_EXHAUSTED = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM})
_CA_VARIABLES = ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "SSL_CERT_FILE")


class Unconnected(UpstreamError):
    """There is no connection to `host`: nothing at all can be asked there."""

    host = ""


class _Unreached(UpstreamUnreachable, Unconnected):
    pass


class _UnreachedInTime(UpstreamTimeout, Unconnected):
    pass


class Exhausted(UpstreamUnreachable):
    """This process cannot open a socket: no fault of upstream."""


class Patience(Retry):
    """Two more tries, 0.1 to 0.5 s apart, for what may pass in a moment: no connection, a reset, 502, 503, 504.

    Time-outs are not repeated (the client has waited long enough), nor is anything that upstream meant.
    """

    def __init__(self, total: int = 2, *, pace: Callable[[], None] = lambda: None, **kwargs: Any) -> None:
        self._pace = pace  # waits for each further try's turn
        settled = {
            "allowed_methods": frozenset({"GET", "HEAD", "POST"}),  # nothing is posted but questions
            "status_forcelist": frozenset({502, 503, 504}),
            "raise_on_status": False,
            "respect_retry_after_header": False,
        }
        super().__init__(total, **{**settled, **kwargs})

    def increment(
        self,
        method: str | None = None,
        url: str | None = None,
        response: BaseHTTPResponse | None = None,
        error: Exception | None = None,
        _pool: ConnectionPool | None = None,
        _stacktrace: TracebackType | None = None,
    ) -> Self:
        if error is not None and not _passing(error):
            raise error
        more = super().increment(method, url, response, error, _pool, _stacktrace)
        if response is not None:
            response.close()  # else urllib3 reads its body to the end, however long that takes
        return more

    def new(self, **kwargs: Any) -> Self:
        return super().new(pace=self._pace, **kwargs)

    def sleep(self, response: BaseHTTPResponse | None = None) -> None:
        super().sleep(response)
        self._pace()

    def get_backoff_time(self) -> float:
        return random.uniform(0.1, 0.25) * min(2, len(self.history))  # noqa: S311 (no secret)


def _passing(error: Exception) -> bool:
    if isinstance(error, ProxyError):
        error = error.original_error
    if isinstance(error, ProtocolError):
        cause = _cause(error)
        return isinstance(cause, OSError | HTTPException) and not isinstance(cause, Malformed | TimeoutError)
    return isinstance(error, NewConnectionError | OSError)


def _cause(error: ProtocolError) -> BaseException:
    """What urllib3 wrapped, as far as it says so."""
    last = error.args[-1] if error.args else None
    return last if isinstance(last, BaseException) else error


class Dialler:
    """One remote's way out; connects when asked, keeps connections, at most `max_connections` busy at once."""

    def __init__(self, options: UpstreamOptions) -> None:
        self.options = options
        self._slots = threading.BoundedSemaphore(options.max_connections)
        self._pace = Pace(options.max_rate)
        self._managers: dict[tuple[Guard | None, str], urllib3.PoolManager] = {}
        self._lock = threading.Lock()

    def reserve(self, host: str) -> Callable[[], None]:
        """Take one of the remote's connections; call the answer to give it back, as often as you like.

        Raises UpstreamTimeout if none comes free within `first_byte_timeout`.
        """
        if not self._slots.acquire(timeout=self.options.first_byte_timeout):
            busy = f"upstream {host}: all {self.options.max_connections} connections are busy"
            raise UpstreamTimeout(busy, code="upstream_busy")
        taken = ExitStack()
        taken.callback(self._slots.release)
        return taken.close

    def request(
        self, method: str, url: str, headers: Mapping[str, str], guard: Guard | None, body: bytes | None = None
    ) -> urllib3.HTTPResponse:
        """The response to one request, its body unread; with a guard (a redirect elsewhere): no client cert.

        Raises UpstreamTimeout (also "upstream_busy", where `max_rate` leaves it no turn), UpstreamUnreachable,
        UpstreamLied, and UpstreamDenied from the guard.
        """
        host = where(url)
        turn = partial(self._turn, host)
        turn()
        try:
            response = self._manager(urllib.parse.urlsplit(url).scheme, guard).urlopen(
                method,
                url,
                body=body,
                headers=headers,
                redirect=False,
                retries=Patience(pace=turn),
                preload_content=False,
                decode_content=False,
                timeout=urllib3.Timeout(connect=self.options.connect_timeout, read=self.options.first_byte_timeout),
            )
        except (HTTPError, OSError, ValueError) as error:
            raise translated(error, host) from None
        assert isinstance(response, urllib3.HTTPResponse)
        return response

    def _turn(self, host: str) -> None:
        if not self._pace.take(self.options.first_byte_timeout):
            busy = f"upstream {host}: more requests than its {self.options.max_rate:g} a second"
            raise UpstreamTimeout(busy, code="upstream_busy")

    def close(self) -> None:
        """Close the idle connections; running downloads go on."""
        with self._lock:
            managers, self._managers = list(self._managers.values()), {}
        for manager in managers:
            manager.clear()

    def _manager(self, scheme: str, guard: Guard | None) -> urllib3.PoolManager:
        with self._lock:
            manager = self._managers.get((guard, scheme))
            if manager is None:
                manager = self._managers[guard, scheme] = self._new_manager(scheme, guard)
            return manager

    def _new_manager(self, scheme: str, guard: Guard | None) -> urllib3.PoolManager:
        options, proxy = self.options, self.options.proxy
        keywords: dict[str, Any] = {"maxsize": options.max_connections}
        if scheme == "https":
            keywords["ssl_context"] = _tls(options, with_certificate=guard is None)
        manager = Direct(**keywords) if proxy is None else _proxied(proxy, options, keywords)
        # A proxy resolves names itself and is configured: only literal hosts are checked, before the request.
        terms = Terms(options.connect_timeout, options.stall_timeout, guard if proxy is None else None)
        manager.terms = terms
        return manager


def _proxied(proxy: str, options: UpstreamOptions, keywords: dict[str, Any]) -> Proxied:
    url = urllib3.util.parse_url(proxy)
    login = urllib3.make_headers(proxy_basic_auth=urllib.parse.unquote(url.auth)) if url.auth else {}
    if url.scheme == "https":
        keywords["proxy_ssl_context"] = _tls(options, with_certificate=False)
    return Proxied(url._replace(auth=None).url, proxy_headers=login, **keywords)


def _tls(options: UpstreamOptions, with_certificate: bool) -> ssl.SSLContext:
    """Verify against `ca_file`, else the environment's bundle, else certifi's; raises OSError."""
    bundle = options.ca_file or next(filter(None, map(os.environ.get, _CA_VARIABLES)), DEFAULT_CA_BUNDLE_PATH)
    folder = os.path.isdir(bundle)  # noqa: PTH112 (a string either way)
    context = ssl.create_default_context(cafile=None if folder else bundle, capath=bundle if folder else None)
    if with_certificate and options.client_cert:
        context.load_cert_chain(options.client_cert, options.client_key)
    return context


def where(url: str) -> str:
    """Host and port of a URL for messages: nothing of its path, query or credentials."""
    parts = urllib3.util.parse_url(url)
    return parts.netloc or "?"


def translated(error: Exception, host: str) -> UpstreamError:
    """A failure before the body, as the error a client is shown."""
    if isinstance(error, MaxRetryError) and error.reason is not None:
        return translated(error.reason, host)
    if isinstance(error, ProxyError):
        return translated(error.original_error, f"{host} (by proxy)")
    if isinstance(error, NameResolutionError):
        return _unconnected(_Unreached, host, "the name does not resolve")
    if isinstance(error, NewConnectionError):
        if getattr(error.__cause__, "errno", None) in _EXHAUSTED:
            return Exhausted(f"upstream {host}: cannot connect ({_reason(error.__cause__)})")
        return _unconnected(_Unreached, host, f"cannot connect ({_reason(error.__cause__)})")
    if isinstance(error, ConnectTimeoutError):
        return _unconnected(_UnreachedInTime, host, "no connection in time")
    if isinstance(error, ReadTimeoutError | TimeoutError):
        return UpstreamTimeout(f"upstream {host}: no answer in time")
    if isinstance(error, SSLError | ssl.SSLError):
        return _unconnected(_Unreached, host, f"TLS failed ({_tls_reason(error)})")
    if isinstance(error, ProtocolError):
        return _protocol(_cause(error), host)
    return UpstreamUnreachable(f"upstream {host}: cannot be asked ({_reason(error)})")


def _unconnected(kind: type[Unconnected], host: str, why: str) -> Unconnected:
    error = kind(f"upstream {host}: {why}")
    error.host = host.partition(" ")[0]
    return error


def _protocol(cause: BaseException, host: str) -> UpstreamError:
    if isinstance(cause, TimeoutError):
        return UpstreamTimeout(f"upstream {host}: no answer in time")
    if isinstance(cause, Malformed):
        return UpstreamLied(f"upstream {host}: sent {cause}")
    if isinstance(cause, HTTPException) and not isinstance(cause, RemoteDisconnected | IncompleteRead):
        return UpstreamLied(f"upstream {host}: did not answer in HTTP")
    return UpstreamUnreachable(f"upstream {host}: the connection broke before an answer")


def _reason(error: BaseException | None) -> str:
    return str(getattr(error, "strerror", None) or type(error).__name__)


def _tls_reason(error: Exception) -> str:
    inner = error.args[0] if error.args and isinstance(error.args[0], Exception) else error
    return str(getattr(inner, "verify_message", None) or getattr(inner, "reason", None) or type(inner).__name__)
