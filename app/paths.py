"""The one check that every client path goes through, and the one way a path becomes an upstream URL.

    wire form   pool/libstdc%2B%2B.rpm  --parse-->  pool/libstdc++.rpm  --quote-->  pool/libstdc%2B%2B.rpm

Joining a client's path to a URL is how a proxy is made to fetch what it must not: so a path is decoded once,
checked once, and concatenated, never resolved (RFC 3986, 5.2 is what must not happen).
"""

from __future__ import annotations

import re
import urllib.parse

from app.errors import BadRequest

LONGEST = 4096  # bytes of a decoded path

_BROKEN_ESCAPE = re.compile(r"%(?![0-9A-Fa-f]{2})")
_FORBIDDEN = re.compile(r"[\x00-\x1f\x7f-\x9f\\]")  # C0, DEL, C1; some servers read \ as /
_UNSAFE_QUERY = re.compile(r"[^!$%&'()*+,\-./0-9:;=?@A-Z_a-z~]")
_ABSOLUTE = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:/")

# What RFC 3986, 3.3 lets stand in a segment is encoded nevertheless where some server gives it a meaning:
# `+` is a space to S3, `;` starts a parameter to servlet containers. `:`, `@` and `!` mean themselves everywhere:
# bare is how digests, scopes and Go's !x are written, so an upstream that does not decode its paths has them so.
_BARE = "/:@~!"


def parse(raw: str) -> str:
    """Decode a client's path, percent-encoded as on the wire (WSGI: bytes as latin-1), and check it.

    `raw` has no repository prefix, leading slash or query; one trailing slash is allowed, "" is the root.
    Escapes are decoded once: `%252e` is the literal text `%2e`. Raises BadRequest "bad_path".
    """
    if _BROKEN_ESCAPE.search(raw):
        raise _refusal("has a malformed percent escape")
    try:
        path = urllib.parse.unquote_to_bytes(raw.encode("latin-1")).decode("utf-8")
    except UnicodeError:
        raise _refusal("is not UTF-8") from None
    return check(path)


def check(path: str) -> str:
    """Return a decoded path if it is harmless; raises BadRequest "bad_path"."""
    if len(_encoded(path)) > LONGEST:
        raise _refusal(f"is longer than {LONGEST} bytes")
    if _FORBIDDEN.search(path):
        raise _refusal("has a control character or a backslash")
    if _ABSOLUTE.match(path):
        raise _refusal("is an absolute URL")
    segments = path.removesuffix("/").split("/")
    if "" in segments and path:
        raise _refusal("has an empty segment")
    if not {".", ".."}.isdisjoint(segments):
        raise _refusal("has a dot segment")
    return path


def quote(path: str) -> str:
    """The form of a decoded path that goes upstream: encoded exactly once, the same for every spelling."""
    return urllib.parse.quote(path, safe=_BARE)


def join(base_url: str, path: str, query: str = "") -> str:
    """The upstream URL of a decoded path: concatenated and checked again; raises BadRequest "bad_path"."""
    if _UNSAFE_QUERY.search(query):
        raise _refusal("has a query with a character that belongs encoded")
    url = f"{base_url.rstrip('/')}/{quote(check(path))}"
    return f"{url}?{query}" if query else url


def _encoded(path: str) -> bytes:
    try:
        return path.encode()
    except UnicodeEncodeError:
        raise _refusal("is not UTF-8") from None


def _refusal(reason: str) -> BadRequest:
    return BadRequest(f"the path {reason}", code="bad_path")
