"""The shipped nginx.conf as the edge, with the real agent: what it answers by itself, and what it never keeps."""

from __future__ import annotations

import hashlib
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from tests.clients.curl import Curl
from tests.containers.images import multi
from tests.deploy.conftest import TOKEN, Fleet
from tests.deploy.front import Front, running
from tests.faults.reader import Read, Reader
from tests.stack import ROOT, eventually

BODY = hashlib.shake_256(b"at the edge").digest(1 << 20)
OF_A_MOMENT = {"date", "server", "connection", "x-request-id"}
FILES = pytest.mark.parametrize("fleet", ["file"], indirect=True)


@contextmanager
def agent(fleet: Fleet, front: Front) -> Iterator[subprocess.Popen[bytes]]:
    """`artifactapi edge` beside that nginx, holding its lease."""
    command = [sys.executable, "-m", "app.edge", "--url", fleet.nodes[0].url, "--name", front.work.name]
    command += ["--cache", str(front.cache), "--log", str(front.work / "edge.log")]
    command += ["--leases", str(front.leases), "--state", str(front.work / "state.json")]
    environment = {"EDGE_TOKEN": TOKEN, "PATH": os.environ["PATH"]}
    with (front.work / "agent.log").open("wb") as log:
        process = subprocess.Popen(command, cwd=ROOT, env=environment, stdout=log, stderr=log)
    try:
        eventually(lambda: leased(front), "the agent holds a lease")
        yield process
    finally:
        process.kill()
        process.wait()


def leased(front: Front) -> bool:
    return (front.leases / str(int(time.time()))).exists()


@pytest.fixture
def edge(fleet: Fleet) -> Iterator[Fleet]:
    """The fleet whose nginx holds its lease."""
    with agent(fleet, fleet.front):
        yield fleet


@contextmanager
def frozen(fleet: Fleet, *, leased: bool = True) -> Iterator[None]:
    """No worker of any node answers: what does is nginx alone. Its lease is prolonged: no node has any news, and the
    agent cannot know that."""
    pids = [pid for node in fleet.nodes for pid in node.workers()]
    ahead = [fleet.front.leases / str(int(time.time()) + second) for second in range(60 if leased else 0)]
    try:
        for pid in pids:
            os.kill(pid, signal.SIGSTOP)
        for file in ahead:
            file.touch()
        yield
    finally:
        for file in ahead:
            file.unlink(missing_ok=True)
        for pid in pids:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGCONT)


def ask(port: int, path: str, method: str = "GET", **headers: str) -> Read:
    return Reader(port, path, method=method, Connection="close", **headers).rest()


def stored(fleet: Fleet, name: str, body: bytes) -> str:
    """The path of a file that every node knows."""
    fleet.upstream.put(f"/{name}", body, Content_Type="application/x-thing")
    path = f"/repository/fixed/{name}"
    for node in fleet.nodes:
        eventually(lambda node=node: ask(node.port, path).cache == "HIT", f"{name} is recorded")  # type: ignore[misc]
    return path


def prime(edge: Fleet, path: str, method: str = "GET") -> None:
    """Have nginx ask for it while it holds its lease, which a busy machine may interrupt."""

    def asked() -> bool:
        return leased(edge.front) and ask(edge.front.port, path, method).status == 200 and leased(edge.front)

    eventually(asked, f"{path} was asked for under a lease")


def lines(found: Mapping[str, str]) -> dict[str, str]:
    return {name: value for name, value in found.items() if name not in OF_A_MOMENT}


def unanswered(port: int, path: str) -> bool:
    """Whether nothing comes within half a second."""
    with socket.create_connection(("127.0.0.1", port), 5) as conn:
        conn.sendall(f"GET {path} HTTP/1.1\r\nHost: a\r\n\r\n".encode())
        conn.settimeout(0.5)
        with suppress(TimeoutError):
            return not conn.recv(1)
        return True


def test_what_nginx_keeps_it_answers_as_the_node_would(edge: Fleet) -> None:
    path = stored(edge, "kept.bin", BODY[:3000])
    port, node = edge.front.port, edge.nodes[0].port
    plain = {method: ask(node, path, method) for method in ("GET", "HEAD")}
    for asked in (path, f"{path}?a=b"):
        for method in ("GET", "HEAD"):
            prime(edge, asked, method)
    about = plain["GET"].headers
    judged = {"If_None_Match": about["etag"]}, {"If_Modified_Since": about["last-modified"]}
    unmodified = [ask(node, path, **each) for each in judged]
    with frozen(edge):
        for method, wanted in plain.items():
            found = ask(port, path, method, X_Request_Id="mine", Authorization="Basic eDp5")
            assert (found.status, found.body, found.whole) == (200, wanted.body, True)
            assert lines(found.headers) == lines(wanted.headers)
            assert found.headers["x-request-id"] == "mine"
        for each, wanted in zip(judged, unmodified, strict=True):
            found = ask(port, path, **each)
            assert (found.status, lines(found.headers)) == (304, lines(wanted.headers))
        assert ask(port, path, If_None_Match='"another"').body == BODY[:3000]
        assert ask(port, f"{path}?a=b").body == BODY[:3000]
        assert unanswered(port, f"{path}?another")  # another key
    part = ask(port, path, Range="bytes=5-9")
    assert (part.status, part.body, part.headers["content-range"]) == (206, BODY[5:10], "bytes 5-9/3000")
    assert ask(port, path, If_Match='"another"').status == 200


def test_an_images_manifests_and_blobs(edge: Fleet) -> None:
    pushed = multi(f"edge-{edge.kind}")
    name = f"edge/{edge.kind}"
    edge.registry.push(name, "v1", pushed)
    first = pushed.manifests[0]
    kinds = {"index": pushed.manifest, "manifests": first, "blobs": pushed.blobs[0]}
    paths = {f"/v2/images/{name}/{'blobs' if kind == 'blobs' else 'manifests'}/{each.digest}": each
             for kind, each in kinds.items()}  # fmt: skip
    for path in paths:
        for node in edge.nodes:
            eventually(lambda p=path, n=node: ask(n.port, p).cache == "HIT", path)  # type: ignore[misc]
        prime(edge, path)
    plain = {path: ask(edge.nodes[0].port, path) for path in paths}
    with frozen(edge):
        for path, each in paths.items():
            found = ask(edge.front.port, path)
            assert (found.body, found.headers["docker-content-digest"]) == (bytes(each.data), each.digest)
            assert lines(found.headers) == lines(plain[path].headers)


def test_a_tag_is_another_one_for_another_accept(edge: Fleet) -> None:
    """Also where a client writes several lines, of which nginx 1.22 puts only the first into the key."""
    pushed = multi(f"accepted-{edge.kind}")
    edge.registry.push(f"accepted/{edge.kind}", "v1", pushed)
    path = f"/v2/images/accepted/{edge.kind}/manifests/v1"
    one, many = "application/vnd.oci.image.manifest.v1+json", "application/vnd.oci.image.index.v1+json"
    for lined in ([many], [one], [one, many], [f"{one}, {many}"]):
        more = "".join(f"Accept: {each}\r\n" for each in lined)
        told = {raw(port, path, more) for port in (edge.nodes[0].port, *[edge.front.port] * 5)}
        assert len(told) == 1, lined


def raw(port: int, path: str, more: str) -> bytes:
    """The body, but for the number of the request."""
    with socket.create_connection(("127.0.0.1", port), 30) as conn:
        conn.sendall(f"GET {path} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n{more}\r\n".encode())
        whole = b"".join(iter(lambda: conn.recv(1 << 16), b""))
    return re.sub(rb'"request_id": "[^"]*"', b"", whole.partition(b"\r\n\r\n")[2])


def test_hosts_are_apart(edge: Fleet) -> None:
    path = stored(edge, "host.bin", BODY[:100])
    prime(edge, path)
    with frozen(edge):
        assert ask(edge.front.port, path).body == BODY[:100]
        with socket.create_connection(("127.0.0.1", edge.front.port), 5) as conn:
            conn.sendall(f"GET {path} HTTP/1.1\r\nHost: b\r\n\r\n".encode())
            conn.settimeout(0.5)
            with pytest.raises(TimeoutError):
                conn.recv(1)


def test_what_is_never_kept(edge: Fleet, curl: Curl, tmp_path: Path) -> None:
    port = edge.front.port
    edge.upstream.put("/fresh.bin", BODY[:50])
    (tmp_path / "f").write_bytes(BODY[:50])
    local = f"/repository/team/{edge.kind}-edge.bin"
    curl(f"{edge.front.url}{local}", "--user", f"admin:{TOKEN}", "--upload-file", str(tmp_path / "f"))
    large = stored(edge, "large.bin", BODY)
    for path in ("/repository/fixed/fresh.bin", "/repository/fixed/none.bin", large):
        ask(port, path)
    for _ in range(3):
        assert ask(port, local).body == BODY[:50]
        assert ask(port, "/repository/fixed/none.bin").status == 404
        assert ask(port, large).body == BODY
    kept = [file.read_bytes() for file in edge.front.cache.rglob("*") if file.is_file()]
    heads = b"".join(each.partition(b"\r\n\r\n")[0] for each in kept)
    assert not [name for name in (b"-edge.bin", b"none.bin", b"large.bin") if name in heads]
    assert not [each for each in kept if b"fresh.bin" in each and b"X-Cache: MISS" in each]


def test_without_a_lease_nothing_outlives_its_second(fleet: Fleet) -> None:
    path = stored(fleet, "unleased.bin", BODY[:200])
    eventually(lambda: not leased(fleet.front), "no lease")
    ask(fleet.front.port, path)
    time.sleep(1.1)
    with frozen(fleet, leased=False):
        assert unanswered(fleet.front.port, path)


def test_who_lost_its_agent_serves_nothing_of_it(fleet: Fleet) -> None:
    path = stored(fleet, "cut.bin", BODY[:200])
    with agent(fleet, fleet.front):
        prime(fleet, path)
        with frozen(fleet):
            assert ask(fleet.front.port, path).body == BODY[:200]
    eventually(lambda: not leased(fleet.front), "the lease is over")
    with frozen(fleet, leased=False):
        assert unanswered(fleet.front.port, path)


def test_a_flush_that_has_answered_is_effective_here(edge: Fleet, curl: Curl) -> None:
    for turn in range(3):
        body = BODY[turn * 100 :][:100]
        path = stored(edge, f"flushed-{turn}.bin", body)
        assert [ask(edge.front.port, path).body for _ in range(3)] == [body] * 3
        edge.upstream.put(f"/flushed-{turn}.bin", BODY[turn * 100 + 50 :][:100])
        flush = f"{edge.nodes[1].url}/cache/flush?remote=fixed"
        done = curl(flush, "--request", "PUT", "--user", f"admin:{TOKEN}")
        assert done.status == 200, done.body
        assert ask(edge.front.port, path).body == BODY[turn * 100 + 50 :][:100]


def test_what_moves_upstream_moves_here_within_a_second(edge: Fleet) -> None:
    path = stored(edge, "moving.txt", b"one")
    for _ in range(5):
        assert ask(edge.front.port, path).body == b"one"
    edge.upstream.put("/moving.txt", b"two", Content_Type="application/x-thing")
    eventually(lambda: all(ask(node.port, path).body == b"two" for node in edge.nodes), "the nodes know")
    time.sleep(1.0)
    assert ask(edge.front.port, path).body == b"two"


@FILES
def test_what_nginx_logs_for_its_agent(fleet: Fleet, tmp_path: Path) -> None:
    path = stored(fleet, "logged.bin", BODY[:77])
    front = fleet.locally(fleet.front.work / "logging")
    with running(front):
        ask(front.port, path, X_Request_Id="one")
        log = front.work / "edge.log"
        eventually(lambda: b"logged.bin" in log.read_bytes(), "its line")
        fields = log.read_text("utf-8").splitlines()[0].split("\t")
        files = [file.name for file in front.cache.rglob("*") if file.is_file()]
        assert (fields[0], fields[2:6]) == ("MISS", ["127.0.0.1", "GET", "200", "77"])
        assert fields[6].split()[1:] == ["fixed", "logged.bin"]
        assert files == [hashlib.md5(fields[7].encode(), usedforsecurity=False).hexdigest()]
