"""Pushes of what is large: through a crash, in bounded memory, and through the shipped nginx."""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import select
import signal
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conformance.pushing import Local, digest
from tests.conftest import require
from tests.containers.daemon import short_directory
from tests.containers.images import image, layer
from tests.deploy.front import Front, running
from tests.hosting.conftest import TOKEN
from tests.stack import Stack, StackFactory, eventually

MIB = 1 << 20


@pytest.fixture(scope="module")
def stack(stack_factory: StackFactory) -> Iterator[Stack]:
    """A node that tests of this file may hurt."""
    settings = {"ADMIN_TOKEN": TOKEN, "TRUSTED_PROXIES": "127.0.0.1"}
    node: Stack = stack_factory({"locals": {"images": {"package": "docker"}}}, "crashes", **settings).start()
    yield node
    node.stop()


@pytest.fixture
def images(stack: Stack) -> Local:
    return Local("named", "images", stack, TOKEN)


def begun(stack: Stack, place: str) -> socket.socket:
    """A PATCH that has sent a MiB of an endless body."""
    client = socket.create_connection(("127.0.0.1", stack.port), 30)
    lines = (f"PATCH {place} HTTP/1.1", "Host: x", f"Authorization: Bearer {TOKEN}", "Transfer-Encoding: chunked")
    client.sendall("\r\n".join((*lines, "", "")).encode())
    client.sendall(f"{MIB:x}\r\n".encode() + bytes(MIB) + b"\r\n")
    return client


def spooled(stack: Stack) -> int:
    """Bytes of uploads that are under way."""
    found = 0
    for each in (stack.data_dir / "spool").iterdir():
        with contextlib.suppress(OSError):
            found += each.stat().st_size
    return found


def test_an_upload_survives_the_process_that_carries_it(stack: Stack, images: Local) -> None:
    """What had come before goes on; of what was on its way nothing is there, and nothing stays."""
    parts = [hashlib.shake_256(bytes([number])).digest(2 * MIB) for number in range(2)]
    place = images.begin("killed")
    assert images.go(place, "PATCH", parts[0]).status == 202
    fills = stack.pids()["fills"]
    with begun(stack, place) as client:
        eventually(lambda: spooled(stack) >= MIB // 2, "it is carried")
        os.kill(fills, signal.SIGKILL)
        with contextlib.suppress(ConnectionError):
            assert client.recv(100) == b""
    eventually(lambda: stack.pids().get("fills") not in (None, fills), "another process carries")
    assert images.go(place).headers["Range"] == f"0-{2 * MIB - 1}"
    eventually(
        lambda: images.go(place, "PATCH", parts[1], Content_Range=f"{2 * MIB}-{4 * MIB - 1}").status == 202, "on"
    )
    known = digest(b"".join(parts))
    assert images.go(f"{place}?digest={known}", "PUT").status == 201
    assert images.ask(f"killed/blobs/{known}").body == b"".join(parts)


def test_no_worker_joins_the_pieces(stack: Stack, images: Local) -> None:
    """They may be gigabytes, although the request that ends the upload has no body."""
    place, data = images.begin("joined"), b"first second"
    for part in (data[:6], data[6:]):
        assert images.go(place, "PATCH", part).status == 202
    fills = stack.pids()["fills"]
    with socket.create_connection(("127.0.0.1", stack.port), 60) as client:
        os.kill(fills, signal.SIGSTOP)
        try:
            lines = (f"PUT {place}?digest={digest(data)} HTTP/1.1", "Host: x", f"Authorization: Bearer {TOKEN}")
            client.sendall("\r\n".join((*lines, "", "")).encode())
            assert select.select([client], [], [], 2)[0] == []
        finally:
            os.kill(fills, signal.SIGCONT)
        assert client.recv(100).startswith(b"HTTP/1.1 201 ")
    assert images.ask(f"joined/blobs/{digest(data)}").body == data


def test_a_killed_worker_leaves_half_of_nothing(stack: Stack, images: Local) -> None:
    """A manifest is there with its tag or not at all, and the next try is whole."""
    pushed = image(layer("worker", 1000))
    for number in range(4):
        for worker in stack.workers():
            os.kill(worker, signal.SIGKILL)
        with contextlib.suppress(OSError, AssertionError):
            images.push("workers", f"v{number}", pushed)
    eventually(lambda: images.ask("", "GET").status < 500, "workers are back")
    assert images.push("workers", "v9", pushed) == pushed.manifest.digest
    for tag in images.tags("workers"):
        assert images.ask(f"workers/manifests/{tag}").body == pushed.manifest.data


def peak(pid: int) -> int:
    """The most memory that a process has had, in bytes."""
    found = re.search(r"VmHWM:\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text(encoding="ascii"))
    assert found
    return int(found[1]) * 1024


def test_a_large_layer_is_never_in_memory(stack: Stack, images: Local) -> None:
    block = hashlib.shake_256(b"block").digest(MIB)
    whole = hashlib.sha256()
    for _ in range(64):
        whole.update(block)
    known = f"sha256:{whole.hexdigest()}"
    images.blob("large", b"warm")
    images.go(images.begin("large"), "PATCH", iter([block] * 2))
    before = {pid: peak(pid) for pid in (stack.pids()["fills"], *stack.workers())}
    place = images.begin("large")
    for _ in range(2):
        assert images.go(place, "PATCH", iter([block] * 32)).status == 202
    assert images.go(f"{place}?digest={known}", "PUT").status == 201
    assert images.ask(f"large/blobs/{known}", "HEAD").headers["Content-Length"] == str(64 * MIB)
    grown = {pid: peak(pid) - size for pid, size in before.items()}
    assert max(grown.values()) < 24 * MIB, grown


def test_images_are_pushed_through_nginx(stack: Stack) -> None:
    with short_directory() as work:
        work.chmod(0o755)  # its workers are www-data
        front = Front(require("nginx"), work, (stack.port, stack.port), stack.data_dir / "blobs")
        with running(front):
            through(stack, front)


def through(stack: Stack, front: Front) -> None:
    images = Local("named", "images", Behind(stack, front.port), TOKEN)
    pushed = image(layer("behind", 1000), layer("nginx", 2 * MIB))
    assert images.push("behind", "v1", pushed) == pushed.manifest.digest
    data = bytes(pushed.blobs[-1].data)
    place = images.begin("behind/2")
    assert images.go(place, "PATCH", iter([data[:MIB], data[MIB:]])).status == 202
    assert images.go(f"{place}?digest={digest(data)}", "PUT").status == 201
    assert images.ask(f"behind/2/blobs/{digest(data)}").body == data
    assert images.go(place, "PATCH", data, Content_Range="5-9").status == 404
    stranger = Local("named", "images", Behind(stack, front.port), "")
    assert stranger.go(place, "PATCH", data).told == (401, "UNAUTHORIZED")
    assert stranger.ask("behind/manifests/v1").digest == pushed.manifest.digest


class Behind(Stack):
    """A node by the address of what is in front of it."""

    def __init__(self, stack: Stack, port: int) -> None:
        self.port = port
