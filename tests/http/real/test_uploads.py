"""Uploads through real workers: every framing, large, broken off, at the same time; never held in memory."""

from __future__ import annotations

import hashlib
import json
import socket
import struct
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Barrier

import pytest

from tests.http.raw import Reply, ask, parse, request
from tests.http.real.asking import ADMIN, TOKEN
from tests.stack import Stack, eventually

pytestmark = pytest.mark.usefixtures("unharmed")
MIB = 1 << 20
PIECE = bytes(range(256)) * 4096  # 1 MiB
PART = b'--b\r\nContent-Disposition: form-data; name="file"; filename="f"\r\n\r\n'
MULTIPART = "Content-Type: multipart/form-data; boundary=b"


def put(stack: Stack, target: str, content: bytes, *lines: str) -> Reply:
    return ask(stack.port, request("PUT", target, ADMIN, f"Content-Length: {len(content)}", *lines) + content)


def get(stack: Stack, target: str) -> Reply:
    return ask(stack.port, request("GET", target))


def chunked(*chunks: bytes, end: bytes = b"0\r\n\r\n") -> bytes:
    return b"".join(b"%x\r\n%s\r\n" % (len(chunk), chunk) for chunk in chunks) + end


def spooled(stack: Stack) -> list[Path]:
    return list((stack.data_dir / "spool").iterdir())


def test_every_framing(stack: Stack) -> None:
    big = PIECE * 3
    encoded = request("PUT", "/repository/team/{}", ADMIN, "Transfer-Encoding: chunked").decode()
    for name, content, sent in (
        ("one", b"hello", chunked(b"hello")),
        ("bytes", b"hello" * 20, chunked(*[b"%c" % each for each in b"hello" * 20])),
        ("none", b"", chunked()),
        ("large", big, chunked(big[:1], big[1:70_000], big[70_000:])),
        ("extended", b"hello", b'5;ext="x"\r\nhello\r\n0\r\nX-Checksum: x\r\n\r\n'),
    ):
        reply = ask(stack.port, encoded.format(f"chunked-{name}").encode() + sent)
        assert reply.status == 201, (name, reply.body)
        assert reply.json["sha256"] == hashlib.sha256(content).hexdigest()
        assert get(stack, f"/repository/team/chunked-{name}").body == content
    for name, content in (("raw", b"hello"), ("raw-none", b""), ("raw-large", big)):
        assert put(stack, f"/api/v1/local/team/{name}", content).json["size"] == len(content)
        assert get(stack, f"/repository/team/{name}").body == content
    unsaid = ask(stack.port, request("PUT", "/repository/team/unsaid", ADMIN))
    assert (unsaid.status, unsaid.json["error"]) == (400, "length_required"), "rather than publish nothing by mistake"
    parts = PART + big + b"\r\n--b--\r\n"
    assert put(stack, "/api/v1/remote/team/multi", parts, MULTIPART).status == 201
    assert get(stack, "/repository/team/multi").body == big
    assert spooled(stack) == []


def test_a_client_that_waits_for_100_continue(stack: Stack) -> None:
    with socket.create_connection(("127.0.0.1", stack.port), timeout=10) as client:
        lines = (ADMIN, "Content-Length: 5", "Expect: 100-continue")
        client.sendall(request("PUT", "/repository/team/expected", *lines))
        assert client.recv(100).startswith(b"HTTP/1.1 100 Continue\r\n\r\n")
        client.sendall(b"hello")
        assert client.recv(100).startswith(b"HTTP/1.1 201 ")
    assert get(stack, "/repository/team/expected").body == b"hello"


def test_a_refusal_is_readable_while_the_body_is_still_coming(stack: Stack) -> None:
    put(stack, "/repository/team/there", b"x")
    for target, credentials, status in (
        ("/repository/team/new", "X: y", 401),
        ("/repository/team/there", ADMIN, 409),
        ("/repository/nope/x", ADMIN, 404),
        ("/repository/up/x", ADMIN, 405),
        ("/api/v1/remote/up/x", ADMIN, 400),
        ("/repository/team/a%2f..%2fb", ADMIN, 400),
    ):
        head = request("PUT", target, credentials, f"Content-Length: {50 * MIB}")
        assert ask(stack.port, iter([head, *[PIECE] * 50])).status == status, target
    assert spooled(stack) == []


# -- memory --------------------------------------------------------------------------------------------------


def forget_peaks(stack: Stack) -> None:
    """Let VmHWM begin again (proc(5), clear_refs)."""
    for pid in _ours(stack):
        Path(f"/proc/{pid}/clear_refs").write_text("5")


def peaks(stack: Stack) -> list[int]:
    """The largest resident size, in MiB, that each process of ours has had."""
    return [int(line.split()[1]) // 1024 for pid in _ours(stack) for line in _status(pid) if line.startswith("VmHWM")]


def _ours(stack: Stack) -> list[int]:
    return [*stack.workers(), stack.pids()["fills"]]


def _status(pid: int) -> list[str]:
    return Path(f"/proc/{pid}/status").read_text().splitlines()


def test_300_mb_pass_through_in_little_memory(stack: Stack) -> None:
    size, digest = 300 * MIB, hashlib.sha256()
    for _ in range(300):
        digest.update(PIECE)
    forget_peaks(stack)
    head = request("PUT", "/repository/team/huge", ADMIN, f"Content-Length: {size}")
    reply = ask(stack.port, iter([head, *[PIECE] * 300]))
    assert (reply.status, reply.json["size"], reply.json["sha256"]) == (201, size, digest.hexdigest())
    assert max(peaks(stack)) < 120, peaks(stack)
    assert _read_digest(stack, "/repository/team/huge") == (size, digest.hexdigest())
    assert max(peaks(stack)) < 120, peaks(stack)
    assert ask(stack.port, request("DELETE", "/repository/team/huge", ADMIN)).status == 204
    assert get(stack, "/repository/team/huge").status == 404
    (stack.data_dir / "blobs" / "sha256" / digest.hexdigest()[:2] / digest.hexdigest()).unlink()


def test_a_large_multipart_upload_passes_through_in_little_memory(stack: Stack) -> None:
    forget_peaks(stack)
    content = [PART, *[PIECE] * 100, b"\r\n--b--\r\n"]
    length = f"Content-Length: {sum(map(len, content))}"
    head = request("PUT", "/repository/team/huge-part", ADMIN, MULTIPART, length)
    reply = ask(stack.port, iter([head, *content]))
    assert (reply.status, reply.json["size"]) == (201, 100 * MIB)
    assert max(peaks(stack)) < 120, peaks(stack)


def _read_digest(stack: Stack, target: str) -> tuple[int, str]:
    """Size and sha256 of a body too large to keep."""
    digest, size = hashlib.sha256(), 0
    with socket.create_connection(("127.0.0.1", stack.port), timeout=10) as client:
        client.sendall(request("GET", target))
        stream = client.makefile("rb")
        while stream.readline().strip():
            pass
        while piece := stream.read(MIB):
            digest.update(piece)
            size += len(piece)
        stream.close()
    return size, digest.hexdigest()


# -- broken off ----------------------------------------------------------------------------------------------

SHORT = [
    ("raw", ("Content-Length: 1000000",), b"x" * 500_000),
    ("raw-nothing", ("Content-Length: 1000000",), b""),
    ("chunked-in-a-chunk", ("Transfer-Encoding: chunked",), b"186a0\r\n" + b"x" * 500),
    ("chunked-between", ("Transfer-Encoding: chunked",), chunked(b"x" * 70_000, end=b"")),
    ("chunked-unended", ("Transfer-Encoding: chunked",), chunked(b"x" * 70_000, end=b"0\r\n")),
    ("multipart", ("Content-Length: 1000000", MULTIPART), PART + b"x" * 300_000),
    ("multipart-unended", (f"Content-Length: {len(PART) + 9}", MULTIPART), PART + b"x" * 9),
]


@pytest.mark.parametrize("politely", [True, False], ids=["fin", "reset"])
def test_an_upload_that_breaks_off_stores_nothing(stack: Stack, politely: bool) -> None:
    before = set((stack.data_dir / "blobs" / "sha256").rglob("*"))
    for name, lines, content in SHORT:
        target = f"/repository/team/short-{name}-{politely}"
        answer = _break_off(stack, request("PUT", target, ADMIN, *lines) + content, politely)
        if politely:
            assert (parse(answer).status, set(parse(answer).json)) == (400, {"error", "message", "request_id"}), name
        eventually(lambda: spooled(stack) == [], f"{name} is cleared away")
        assert get(stack, target).status == 404
        assert put(stack, target, b"the whole").status == 201
    added = {path for path in set((stack.data_dir / "blobs" / "sha256").rglob("*")) - before if path.is_file()}
    assert len(added) <= 1, "the whole one, of the first round"


def _break_off(stack: Stack, sent: bytes, politely: bool) -> bytes:
    """Send and end, by a half-close that still reads, or by a reset."""
    with socket.create_connection(("127.0.0.1", stack.port), timeout=10) as client:
        client.sendall(sent)
        if politely:
            client.shutdown(socket.SHUT_WR)
            return b"".join(iter(lambda: client.recv(1 << 16), b""))
        client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    return b""


# -- at the same time ----------------------------------------------------------------------------------------


def test_two_at_once_are_one_201_and_one_409(stack: Stack) -> None:
    for repository, expected in (("team", [201, 409]), ("again", [201, 201])):
        for number in range(8):
            together = Barrier(2)
            target = f"/repository/{repository}/race-{number}"

            def publish(content: bytes, target: str = target, together: Barrier = together) -> int:
                return ask(stack.port, _at_once(target, content, together)).status

            with ThreadPoolExecutor(2) as pool:
                contents = (b"one" * 50_000, b"two" * 50_000)
                statuses = list(pool.map(publish, contents))
            assert sorted(statuses) == expected
            kept = get(stack, target).body
            assert kept in [content for content, status in zip(contents, statuses, strict=True) if status == 201]
    assert spooled(stack) == []


def _at_once(target: str, content: bytes, together: Barrier) -> Iterator[bytes]:
    """All but the last byte, and that one when the other has come as far."""
    yield request("PUT", target, ADMIN, f"Content-Length: {len(content)}") + content[:-1]
    together.wait(10)
    yield content[-1:]


def test_a_deleted_file_is_gone_for_every_worker_at_once(stack: Stack) -> None:
    for number in range(5):
        put(stack, "/repository/team/short-lived", b"%d" % number)
        with ThreadPoolExecutor(8) as pool:
            read = lambda _: get(stack, "/repository/team/short-lived")  # noqa: E731
            assert {reply.body for reply in pool.map(read, range(16))} == {b"%d" % number}
            assert ask(stack.port, request("DELETE", "/repository/team/short-lived", ADMIN)).status == 204
            assert {reply.status for reply in pool.map(read, range(16))} == {404}


def test_the_token_is_not_in_the_log(stack: Stack) -> None:
    assert TOKEN not in stack.log()
    assert json.dumps(TOKEN)[1:-1] not in stack.log()
