"""What the tests of a real node send, and what every answer of it must hold to."""

from __future__ import annotations

import json

from tests.http.raw import Reply, exchange, parse, request
from tests.stack import Stack

TOKEN = "a-token-of-these-tests"
ADMIN = f"Authorization: Bearer {TOKEN}"
GOOD, HANDED = "/repository/up/a.txt", "/repository/up/big.bin"
BIG = b"0123456789" * 40_000


def say(stack: Stack, sent: bytes, allowed: set[int], *, end: bool = False) -> Reply:
    """The answer to these bytes, one of the `allowed` statuses; a good request after it is answered as ever."""
    reply = parse(exchange(stack.port, sent, end=end), sent)
    assert reply.status in allowed, (sent[:100], reply.status)
    assert b"Traceback" not in reply.body
    assert b'File "' not in reply.body
    if reply.status >= 400 and reply.headers["content-type"] == "application/json" and reply.body:
        assert set(json.loads(reply.body)) == {"error", "message", "request_id"}
    good = parse(exchange(stack.port, request("GET", GOOD)))
    assert (good.status, good.body) == (200, b"hello"), sent[:100]
    return reply
