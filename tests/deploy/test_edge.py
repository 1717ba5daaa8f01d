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
from tests.disk.small import SmallDisk
from tests.faults.reader import Read, Reader
from tests.stack import ROOT, eventually

BODY = hashlib.shake_256(b"at the edge").digest(1 << 20)
OF_A_MOMENT = {"date", "server", "connection", "x-request-id"}
FILES = pytest.mark.parametrize("fleet", ["file"], indirect=True)


@contextmanager
def agent(fleet: Fleet, front: Front) -> Iterator[subprocess.Popen[bytes]]:
    """`artifactapi edge` beside that nginx, holding its lease."""
    command = [sys.executable, "-m", "app.edge", "--url", f"http://127.0.0.1:{front.door}", "--name", front.work.name]
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


@contextmanager
def frozen_with(edge: Fleet, *asked: str) -> Iterator[None]:
    """frozen(), when nginx answers all of these ("GET /path") itself: a busy machine may lose the lease before, and
    with it what was kept."""
    split = [(path, method) for method, _, path in (each.partition(" ") for each in asked)]
    for _ in range(9):
        for path, method in split:
            prime(edge, path, method)
        with frozen(edge):
            if not any(unanswered(edge.front.port, path, method) for path, method in split):
                yield
                return
    raise AssertionError(f"not kept: {asked}")


def lines(found: Mapping[str, str]) -> dict[str, str]:
    return {name: value for name, value in found.items() if name not in OF_A_MOMENT}


def unanswered(port: int, path: str, method: str = "GET") -> bool:
    """Whether nothing comes within half a second."""
    with socket.create_connection(("127.0.0.1", port), 5) as conn:
        conn.sendall(f"{method} {path} HTTP/1.1\r\nHost: a\r\n\r\n".encode())
        conn.settimeout(0.5)
        with suppress(TimeoutError):
            return not conn.recv(1)
        return True


def test_what_nginx_keeps_it_answers_as_the_node_would(edge: Fleet) -> None:
    path = stored(edge, "kept.bin", BODY[:3000])
    port, node = edge.front.port, edge.nodes[0].port
    plain = {method: ask(node, path, method) for method in ("GET", "HEAD")}
    about = plain["GET"].headers
    judged = {"If_None_Match": about["etag"]}, {"If_Modified_Since": about["last-modified"]}
    unmodified = [ask(node, path, **each) for each in judged]
    with frozen_with(edge, f"GET {path}", f"HEAD {path}", f"GET {path}?a=b"):
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
    both = {"If_None_Match": about["etag"], "If_Modified_Since": "Thu, 01 Jan 1970 00:00:01 GMT"}
    assert ask(port, path, **both).status == ask(node, path, **both).status == 304
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
    plain = {path: ask(edge.nodes[0].port, path) for path in paths}
    with frozen_with(edge, *(f"GET {path}" for path in paths)):
        for path, each in paths.items():
            found = ask(edge.front.port, path)
            assert (found.body, found.headers["docker-content-digest"]) == (bytes(each.data), each.digest)
            assert lines(found.headers) == lines(plain[path].headers)


def test_a_tag_is_another_one_for_another_accept(edge: Fleet) -> None:
    """Also where a client writes several lines, of which nginx 1.22 has only the first in $http_accept."""
    pushed = multi(f"accepted-{edge.kind}")
    edge.registry.push(f"accepted/{edge.kind}", "v1", pushed)
    path = f"/v2/images/accepted/{edge.kind}/manifests/v1"
    one, many = "application/vnd.oci.image.manifest.v1+json", "application/vnd.oci.image.index.v1+json"
    for lined in ([many], [one], [one, many], [f"{one}, {many}"]):
        more = "".join(f"Accept: {each}\r\n" for each in lined)
        told = {raw(port, path, more) for port in (edge.nodes[0].port, *[edge.front.port] * 5)}
        assert len(told) == 1, lined


def raw(port: int, path: str, more: str = "", host: str = "a") -> bytes:
    """The body, but for the number of the request."""
    with socket.create_connection(("127.0.0.1", port), 30) as conn:
        conn.sendall(f"GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n{more}\r\n".encode())
        whole = b"".join(iter(lambda: conn.recv(1 << 16), b""))
    return re.sub(rb'"request_id": "[^"]*"', b"", whole.partition(b"\r\n\r\n")[2])


def test_hosts_are_apart(edge: Fleet) -> None:
    path = stored(edge, "host.bin", BODY[:100])
    with frozen_with(edge, f"GET {path}"):
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
    found = [file.read_bytes() for file in kept(edge.front)]
    heads = b"".join(each.partition(b"\r\n\r\n")[0] for each in found)
    assert not [name for name in (b"-edge.bin", b"none.bin", b"large.bin") if name in heads]
    assert not [each for each in found if b"fresh.bin" in each and b"X-Cache: MISS" in each]


@FILES
def test_without_a_lease_nothing_is_kept(fleet: Fleet) -> None:
    path, text = stored(fleet, "unleased.bin", BODY[:200]), stored(fleet, "unleased.txt", BODY[:200])
    front = fleet.locally(fleet.front.work / "unleased")
    with running(front):
        for each in (path, path, text, text):
            assert ask(front.port, each, X_Edge=f"{time.time():.3f}", Range="leased").body == BODY[:200]
        assert kept(front) == []
        with frozen(fleet, leased=False):
            assert unanswered(front.port, path)


def kept(front: Front) -> list[Path]:
    return [file for file in front.cache.rglob("*") if file.is_file()]


def test_who_lost_its_agent_serves_nothing_of_it(fleet: Fleet) -> None:
    path = stored(fleet, "cut.bin", BODY[:200])
    with agent(fleet, fleet.front), frozen_with(fleet, f"GET {path}"):
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


def cached(key: str) -> str:
    """The path of its file below nginx's cache, levels=1:2."""
    name = hashlib.md5(key.encode(), usedforsecurity=False).hexdigest()
    return f"{name[-1]}/{name[-3:-1]}/{name}"


def hit(edge: Fleet, path: str) -> bool:
    """Whether nginx answers it alone."""
    before = (edge.front.work / "edge.log").stat().st_size
    ask(edge.front.port, path, X_Request_Id="hit")
    time.sleep(0.4)  # until the log is written
    return b"\thit\n" in (edge.front.work / "edge.log").read_bytes()[before:]


def test_every_variant_of_a_tag_is_dropped(edge: Fleet, curl: Curl) -> None:
    """Those for a second Accept lie under another name than the key's md5."""
    pushed = multi(f"variant-{edge.kind}")
    name = f"variant/{edge.kind}"
    edge.registry.push(name, "v1", pushed)
    path = f"/v2/images/{name}/manifests/v1"
    index = "application/vnd.oci.image.index.v1+json"
    accepts = (index, f"{index}, application/json")

    def variants() -> list[Path]:
        return [file for file in kept(edge.front) if f"/{name}/manifests/v1".encode() in file.read_bytes()[:1000]]

    def asked() -> int:
        for accept in accepts:
            assert ask(edge.front.port, path, Accept=accept).body == bytes(pushed.manifest.data)
        return len(variants())

    eventually(lambda: asked() == len(accepts), "a file for each Accept")
    flush = f"{edge.nodes[0].url}/cache/flush?remote=images"
    assert curl(flush, "--request", "PUT", "--user", f"admin:{TOKEN}").status == 200
    assert variants() == []


def test_a_reload_keeps_what_is_kept_and_it_ends_with_its_news(edge: Fleet, curl: Curl) -> None:
    path = stored(edge, "reloaded.bin", BODY[:400])
    file = edge.front.cache / cached(f"GET|http|a|{path}")

    def asked() -> bool:
        prime(edge, path)
        return file.exists()

    eventually(asked, "it is kept")
    before, inode = edge.front.workers(), file.stat().st_ino
    edge.front.reload()
    eventually(lambda: not before & edge.front.workers(), "other workers of nginx")
    eventually(lambda: hit(edge, path), "nginx answers it itself")
    assert file.stat().st_ino == inode
    edge.upstream.put("/reloaded.bin", BODY[400:800])
    flush = f"{edge.nodes[0].url}/cache/flush?remote=fixed"
    assert curl(flush, "--request", "PUT", "--user", f"admin:{TOKEN}").status == 200
    assert ask(edge.front.port, path).body == BODY[400:800]


def test_long_requests_are_the_nodes_and_break_none(edge: Fleet) -> None:
    """A kept file's head is its key and the node's header in one buffer: too long, it would be a node's failure."""
    path, other = stored(edge, "long.bin", BODY[:100]), stored(edge, "innocent.bin", BODY[:100])
    for host in ("a", "a" * 8000):
        for _ in range(4):
            for length in (1400, 1600, 7900):
                asked = f"{path}?{'x' * length}"
                told = {raw(port, asked, host=host) for port in (edge.nodes[0].port, edge.front.port)}
                assert len(told) == 1, (length, len(host))
    assert [ask(edge.front.port, other).status for _ in range(6)] == [200] * 6
    assert "too big" not in edge.front.errors() and "no live" not in edge.front.errors()
    assert len([file for file in kept(edge.front) if b"long.bin?xx" in file.read_bytes()[:2000]]) == 1


@FILES
def test_a_full_disk_under_the_cache(fleet: Fleet) -> None:
    """The agent ends its lease, and who has none keeps nothing, so nobody notices."""
    if os.geteuid() != 0:
        pytest.skip("only root may mount")
    path, other = stored(fleet, "full.bin", BODY[:60_000]), stored(fleet, "small.bin", BODY[:100])
    front = fleet.locally(fleet.front.work / "full")
    front.cache.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=8m,mode=777", "tmpfs", str(front.cache)], check=True)
    try:
        with running(front), agent(fleet, front):
            SmallDisk(front.cache).fill()
            eventually(lambda: not leased(front), "the agent ended its lease")
            for each, size in ((path, 60_000), (other, 100)) * 3:
                assert ask(front.port, each).body == BODY[:size]
    finally:
        subprocess.run(["umount", "--lazy", str(front.cache)], check=True)


@FILES
def test_what_nginx_logs_for_its_agent(edge: Fleet) -> None:
    path = stored(edge, "logged.bin", BODY[:77])
    with frozen_with(edge, f"GET {path}"):
        ask(edge.front.port, path, X_Request_Id="one")
    log = edge.front.work / "edge.log"
    eventually(lambda: b"\tone\n" in log.read_bytes(), "its line")
    (fields,) = (line.split("\t") for line in log.read_text("utf-8").splitlines() if line.endswith("\tone"))
    assert (fields[0], fields[2:6]) == ("HIT", ["127.0.0.1", "GET", "200", "77"])
    assert fields[6].split()[1:] == ["fixed", "logged.bin", hashlib.sha256(BODY[:77]).hexdigest()]
    assert (edge.front.cache / cached(f"GET|http|a|{path}")).exists()
