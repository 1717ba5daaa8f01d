"""The shipped nginx.conf in front of two nodes: what real clients, slow ones and broken ones get through it."""

from __future__ import annotations

import hashlib
import json
import os
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from tests.clients import apks, debs, rpms
from tests.clients.apk import Apk
from tests.clients.apt import Apt
from tests.clients.curl import Curl
from tests.clients.debs import Archive
from tests.clients.dnf import Dnf
from tests.clients.publisher import Repeating
from tests.clients.remote import Remote
from tests.containers.images import image, layer, multi
from tests.containers.skopeo import Skopeo
from tests.deploy.conftest import TOKEN, Fleet
from tests.deploy.front import Front, replaced, running
from tests.faults.reader import Read, Reader
from tests.stack import eventually, free_port

MIB = 1 << 20
BODY = hashlib.shake_256(b"behind nginx").digest(MIB)
FILES = pytest.mark.parametrize("fleet", ["file"], indirect=True)  # what does not depend on where blobs are
BUCKET = pytest.mark.parametrize("fleet", ["s3"], indirect=True)
OF_A_HOP = {"date", "server", "connection", "x-request-id", "keep-alive"}


def stored(fleet: Fleet, path: str, body: bytes = BODY) -> None:
    """Have the file stored, and known to be."""
    fleet.upstream.put(path, body)
    assert fleet.begin(path).rest().body == body
    eventually(lambda: fleet.begin(path, "HEAD").rest().cache == "HIT", f"{path} is recorded")


# the clients ----------------------------------------------------------------------------------------------


def test_dnf(fleet: Fleet, dnf: Callable[[str], Dnf], rpms: rpms.Rpms) -> None:
    remote = fleet.remote("rpm")
    rpms.publish(remote.root / "os", HELLO, LIBRARY)
    for _ in range(2):
        machine = dnf(f"{remote.url}/os")
        machine("install", HELLO.name)
        assert machine.installed() == {each.name: each.version for each in (HELLO, LIBRARY)}
    assert set(remote.downloads().values()) == {1}


HELLO, LIBRARY = rpms.HELLO, rpms.LIBRARY


def test_apk(fleet: Fleet, apk: list[str], apk_machine: Callable[[str], Apk]) -> None:
    remote = fleet.remote("apk")
    apks.publish_v2(remote.root / "main", apk, apks.HELLO, apks.LIBRARY)
    for _ in range(2):
        machine = apk_machine(f"{remote.url}/main")
        machine("add", apks.HELLO.name)
        assert machine.installed() == {each.name: each.version for each in (apks.HELLO, apks.LIBRARY)}
    assert set(remote.downloads().values()) == {1}


def test_apt(fleet: Fleet, apt: Callable[[Remote, Archive], Apt], archive: Callable[..., Archive]) -> None:
    remote = fleet.remote("deb")
    suite = archive(remote)
    suite.publish(debs.GREETER, debs.LIBRARY)
    for _ in range(2):
        machine = apt(remote, suite)
        machine("update")
        machine("install", debs.GREETER.name)
        assert machine.installed() == {each.name: each.version for each in (debs.GREETER, debs.LIBRARY)}


def test_skopeo(fleet: Fleet, skopeo: Callable[[], Skopeo]) -> None:
    pushed = multi(f"through-{fleet.kind}")
    fleet.registry.push(f"team/{fleet.kind}", "v1", pushed)
    for _ in range(2):
        skopeo().pull(fleet.images, f"team/{fleet.kind}", "v1").assert_same(pushed)
    assert fleet.registry.downloads(f"team/{fleet.kind}", pushed) == [1] * len(pushed.blobs)


# stored bodies --------------------------------------------------------------------------------------------


@pytest.fixture
def no_fills(fleet: Fleet) -> Iterator[Callable[[], None]]:
    """no_fills(): from now on until the test's end neither fills process does anything."""
    stopped: list[int] = []

    def stop() -> None:
        for node in fleet.nodes:
            stopped.append(node.pids()["fills"])
            os.kill(stopped[-1], signal.SIGSTOP)

    yield stop
    for pid in stopped:
        os.kill(pid, signal.SIGCONT)


def test_nginx_sends_stored_files_with_every_header(fleet: Fleet, curl: Curl, no_fills: Callable[[], None]) -> None:
    body = hashlib.shake_256(b"large").digest(MIB) * 64
    stored(fleet, "/large.rpm", body)
    route = "/api/v1/remote/up/large.rpm"
    plain = curl(f"{fleet.nodes[0].url}{route}")  # past nginx, so from the fills process
    if fleet.kind == "file":
        no_fills()
    through = curl(f"{fleet.front.url}{route}")
    assert (through.status, through.sha256) == (200, hashlib.sha256(body).hexdigest())
    assert headers_of(through.headers.items()) == headers_of(plain.headers.items())
    assert {"etag", "last-modified", "x-cache", "content-disposition"} <= dict(
        headers_of(plain.headers.items())
    ).keys()


def headers_of(pairs: Iterable[tuple[str, str]]) -> list[tuple[str, str]]:
    """Sorted, without those that belong to a connection or a moment; one that is there twice stays so."""
    found = [(name.lower(), value) for name, value in pairs]
    return sorted(line for line in found if line[0] not in OF_A_HOP)


def test_a_registrys_headers_come_through(fleet: Fleet, no_fills: Callable[[], None]) -> None:
    pushed = image(layer(f"large-{fleet.kind}", 200_000))
    blob = pushed.layers[0].blob
    fleet.registry.push("team/large", fleet.kind, pushed)
    path = f"/v2/images/team/large/blobs/{blob.digest}"
    assert fleet.begin(path).rest().body == bytes(blob.data)
    eventually(lambda: fleet.begin(path, "HEAD").rest().cache == "HIT", "it is recorded")
    if fleet.kind == "file":
        no_fills()
    found = fleet.begin(path).rest()
    assert (found.status, found.body, found.cache) == (200, bytes(blob.data), "HIT")
    assert found.headers["docker-content-digest"] == blob.digest
    assert found.headers["etag"]


def test_without_last_modified_the_files_time_is_not_told(fleet: Fleet) -> None:
    fleet.upstream.no_validators("/plain")
    stored(fleet, "/plain")
    found = fleet.begin("/plain").rest()
    assert (found.body, found.headers["etag"]) == (BODY, f'"{hashlib.sha256(BODY).hexdigest()}"')
    assert "last-modified" not in found.headers


@FILES
def test_a_file_that_nginx_cannot_read_comes_from_the_node(fleet: Fleet, tmp_path: Path) -> None:
    stored(fleet, "/unreadable")
    (tmp_path / "blobs").mkdir()
    ports = (fleet.nodes[0].port, fleet.nodes[1].port)
    with running(Front(fleet.front.command[0], fleet.front.work / "other", ports, tmp_path / "blobs")) as other:
        found = Reader(other.port, "/repository/up/unreadable", Connection="close").rest()
    assert (found.status, found.body, found.cache, found.whole) == (200, BODY, "HIT", True)


@pytest.mark.parametrize(
    ("headers", "status", "expected"),
    [
        ({"Range": "bytes=100-199"}, 206, BODY[100:200]),
        ({"Range": "bytes=-70000"}, 206, BODY[-70000:]),
        ({"Range": f"bytes={MIB}-"}, 416, None),
        ({"Range": "bytes=5-9", "If-Range": "ETAG"}, 206, BODY[5:10]),
        ({"Range": "bytes=5-9", "If-Range": '"another"'}, 200, BODY),
        ({"If-None-Match": "ETAG"}, 304, b""),
        ({"If-None-Match": '"another"'}, 200, BODY),
        ({"If-Modified-Since": "LAST"}, 304, b""),
        ({"If-Match": '"another"'}, 200, BODY),  # does not concern a cache's reads
        ({"If-Unmodified-Since": "Thu, 01 Jan 1970 00:00:00 GMT"}, 200, BODY),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, dict) else None,
)
def test_conditions_and_ranges_are_judged_by_the_node(
    fleet: Fleet, headers: dict[str, str], status: int, expected: bytes | None
) -> None:
    stored(fleet, "/judged")
    about = fleet.begin("/judged", "HEAD").rest().headers
    given = {k: v.replace("ETAG", about["etag"]).replace("LAST", about["last-modified"]) for k, v in headers.items()}
    found = fleet.begin("/judged", **given).rest()
    assert (found.status, found.whole) == (status, True)
    assert expected is None or found.body == expected
    assert status == 416 or found.headers["etag"] == about["etag"]


def test_many_ranges_at_once(fleet: Fleet, curl: Curl) -> None:
    stored(fleet, "/ranges")
    found = curl(f"{fleet.front.url}/repository/up/ranges", "--range", "0-9,1000-100999,200000-200009")
    assert found.status == 206
    assert found.parts() == [BODY[:10], BODY[1000:101000], BODY[200000:200010]]


@BUCKET
def test_no_link_to_s3_is_in_a_log(fleet: Fleet, tmp_path: Path) -> None:
    """Not even where S3 fails and nginx would say of what; the node sends the body."""
    stored(fleet, "/linked", BODY)
    front = fleet.locally(fleet.front.work / "linking")  # its S3 is an address where nobody is
    with running(front):
        assert Reader(front.port, "/repository/up/linked", Connection="close").rest().body == BODY
        eventually(lambda: "/linked" in (front.work / "access.log").read_text("utf-8"), "its line")
    told = front.errors() + "".join(file.read_text("utf-8") for file in front.work.glob("*.log"))
    assert "127.0.0.1:9" in told and '"502, ' not in told.split()
    assert not [word for word in ("X-Amz", "Signature", "Credential") if word in told]


# uploads --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("framing", [[], ["--header", "Transfer-Encoding: chunked"]], ids=["length", "chunked"])
def test_an_upload(fleet: Fleet, curl: Curl, tmp_path: Path, framing: list[str]) -> None:
    (tmp_path / "file").write_bytes(BODY * 3)
    url = f"{fleet.front.url}/repository/team/{len(framing)}.bin"
    options = [*framing, "--user", f"admin:{TOKEN}", "--upload-file", str(tmp_path / "file")]
    assert curl(url, *options[:-4], *options[-2:]).status == 401
    assert json.loads(curl(url, *options).body)["sha256"] == hashlib.sha256(BODY * 3).hexdigest()
    assert curl(url).body == BODY * 3
    assert curl(url, *options).status == 409


@FILES
def test_an_upload_that_is_refused_unread_has_its_answer(fleet: Fleet) -> None:
    """The node answers and goes on reading; a reset would look to nginx like a node that broke."""
    head = f"PUT /repository/team/refused HTTP/1.1\r\nHost: a\r\nContent-Length: {8 * MIB}\r\n\r\n"
    for port in (fleet.nodes[0].port, fleet.front.port):
        with socket.create_connection(("127.0.0.1", port), timeout=30) as conn:
            conn.sendall(head.encode() + BODY)
            time.sleep(0.3)  # by now it is refused, if this is the node
            conn.sendall(BODY * 7)
            assert conn.recv(1000).startswith(b"HTTP/1.1 401 ")


@FILES
@pytest.mark.parametrize("token", [{}, {"Authorization": "Bearer another"}], ids=["anonymous", "wrong"])
@pytest.mark.parametrize("size", [{"Content_Length": f"{64 << 30}"}, {"Transfer_Encoding": "chunked"}], ids=str)
@pytest.mark.parametrize(("method", "path"), [("PUT", "/repository/team/x"), ("GET", "/")])
def test_nobody_fills_nginxs_disk(
    fleet: Fleet, method: str, path: str, size: dict[str, str], token: dict[str, str]
) -> None:
    """Who may not write is told so before a byte of a large body is taken."""
    found = told(Reader(fleet.front.port, path, method=method, Connection="close", **size, **token))
    assert (found.status, found.error) == (401, "unauthorized")
    assert found.headers["www-authenticate"] == 'Basic realm="artifactapi", charset="UTF-8"'


class Bare(Reader):
    """One whose head need not be HTTP."""

    def __init__(self, port: int, head: str) -> None:
        self._raw, self._reset, self._method = bytearray(), False, ""
        self._conn = socket.create_connection(("127.0.0.1", port), 30)
        self._conn.sendall(f"{head}\r\nConnection: close\r\n\r\n".encode())


def told(reader: Reader) -> Read:
    """What is answered to a head whose body never comes."""
    reader.until(1).finish_sending()
    return reader.rest()


@FILES
@pytest.mark.parametrize(
    ("method", "path", "size", "status"),
    [
        ("PUT", "/repository/team/x", "100000000", 413),  # UPLOAD_MAX is 64M here
        ("PUT", "/repository/up/x", "1000000", 405),
        ("PUT", "/repository/every/x", "1000000", 405),
        ("PUT", "/api/v1/remote/up/x", "1000000", 400),
        ("PUT", "/api/v1/virtual/every/x", "1000000", 400),
        ("PUT", "/repository/none/x", "1000000", 404),
        ("PUT", "/repository/team/%2e%2e/x", "1000000", 400),
        ("PUT", "/", "1000000", 405),
        ("GET", "/repository/team/x", "1000000", 413),
        ("POST", "/api/v1/users", "1000000", 413),
    ],
)
def test_nor_does_who_is_known_with_what_nothing_takes(
    fleet: Fleet, method: str, path: str, size: str, status: int
) -> None:
    own = {"Content_Length": size, "Authorization": f"Bearer {TOKEN}"}
    found = told(Reader(fleet.front.port, path, method=method, Connection="close", **own))
    errors = {400: "bad_request", 404: "not_found", 405: "method_not_allowed", 413: "too_large"}
    assert (found.status, found.error) == (status, errors[status])
    assert ("allow" in found.headers) == (status == 405), "RFC 9110, 15.5.6"


@FILES
def test_a_token_in_a_path_is_not_in_nginxs_log(fleet: Fleet) -> None:
    told(fleet.begin("/repository/team/-/user/token/aapi_" + "x" * 43 + "?a=aapi_" + "y" * 43, "DELETE"))
    log = fleet.front.work / "access.log"
    eventually(lambda: "/repository/team/-/user/token/***" in log.read_text("utf-8"), "its line")
    assert "xxxx" not in log.read_text("utf-8")


@FILES
def test_a_registry_refuses_in_its_own_form(fleet: Fleet) -> None:
    for path in ("/v2/images/x/blobs/uploads/", "/repository/images/v2/x/blobs/uploads/"):
        found = told(fleet.begin(path, "PUT", Content_Length="1000000"))
        assert (found.status, json.loads(found.body)["errors"][0]["code"]) == (401, "UNAUTHORIZED")
        assert found.headers["content-type"] == "application/json"


@FILES
@pytest.mark.parametrize(
    ("change", "head", "status", "code"),
    [
        (("", ""), "GET /api/v1/fills HTTP/1.1\r\nHost: a", 404, "not_found"),
        (("127.0.0.0/8     0;", "127.0.0.0/8     1;"), "GET /metrics HTTP/1.1\r\nHost: a", 404, "not_found"),
        (("127.0.0.0/8     0;", "127.0.0.0/8     1;"), "PUT /cache/flush HTTP/1.1\r\nHost: a", 404, "not_found"),
        (
            ("client_max_body_size 0;", "client_max_body_size 1k;"),
            "PUT /x HTTP/1.1\r\nHost: a\r\nContent-Length: 1025",
            413,
            "too_large",
        ),
        (("", ""), "PUT /cache/flush HTTP/1.1\r\nHost: a\r\nContent-Length: 70000", 413, "too_large"),
        (("", ""), "GET /x HTTP/1.1", 400, "bad_request"),
        (("", ""), "GET /%zz HTTP/1.1\r\nHost: a", 400, "bad_request"),
        (("", ""), "what is this", 400, "bad_request"),
        (("", ""), f"GET /x HTTP/1.1\r\nHost: a\r\nX: {'x' * 20_000}", 400, "bad_request"),
        (("", ""), f"GET /{'x' * 20_000} HTTP/1.1\r\nHost: a", 414, "bad_request"),
        (("", ""), "TRACE / HTTP/1.1\r\nHost: a", 405, "method_not_allowed"),
    ],
    ids=lambda value: value[:20] if isinstance(value, str) else None,
)
def test_what_nginx_refuses_itself_reads_like_the_application(
    fleet: Fleet, tmp_path: Path, change: tuple[str, str], head: str, status: int, code: str
) -> None:
    with ExitStack() as stack:
        front = fleet.front
        if change != ("", ""):
            front = fleet.locally(tmp_path / "nginx")
            text = front.configuration.read_text("utf-8")
            front.configuration.write_text(replaced(text, dict([change])), "utf-8")
            stack.enter_context(running(front))
        found = told(Bare(front.port, head))
    assert (found.status, found.error) == (status, code)
    assert ("allow" in found.headers) == (status == 405)


# those who are slow ---------------------------------------------------------------------------------------


@contextmanager
def dawdling(port: int, head: str, number: int) -> Iterator[None]:
    """So many clients that have sent `head` and do nothing more, not even read."""
    with ExitStack() as stack:
        for _ in range(number):
            conn = stack.enter_context(socket.socket())
            conn.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            conn.connect(("127.0.0.1", port))
            conn.sendall(head.encode())
        yield


UPLOAD = (
    f"PUT /repository/team/slow HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {TOKEN}\r\n"
    f"Content-Length: {MIB}\r\n\r\nx"
)


@pytest.mark.parametrize(
    "head",
    [
        "GET /repository/up/{} HTTP/1.1\r\nHost: a\r\n\r\n",
        "GET /repository/up/{} HTTP/1.1\r\nHost: a\r\nRange: bytes=1-\r\n\r\n",
        "GET /repository/up/small HTTP/1.1\r\nHost: a\r\n\r\n",
        "GET /repository/up/small HTTP/1.1\r\nHost: a\r\n",
        UPLOAD,
    ],
    ids=["stored", "range", "small", "head", "upload"],
)
def test_who_is_slow_holds_no_worker(fleet: Fleet, head: str) -> None:
    stored(fleet, "/wide", BODY * 8)
    stored(fleet, "/small", BODY[:60_000])
    with dawdling(fleet.front.port, head.format("wide"), 40):
        for _ in range(20):
            assert fleet.begin("/small").rest().body == BODY[:60_000]


@FILES
def test_who_is_slow_at_a_download_in_progress_holds_no_worker(fleet: Fleet) -> None:
    stored(fleet, "/quick", BODY[:1000])
    fleet.upstream.put("/arriving", BODY * 8)
    fleet.upstream.stall(MIB, "/arriving")
    with dawdling(fleet.front.port, "GET /repository/up/arriving HTTP/1.1\r\nHost: a\r\n\r\n", 40):
        fleet.upstream.wait_for("/arriving")
        for _ in range(20):
            assert fleet.begin("/quick").rest().body == BODY[:1000]
        fleet.upstream.clear()


# what breaks ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("framing", ["length", "chunked"])
def test_a_body_that_breaks_is_cut_and_never_whole(fleet: Fleet, framing: str) -> None:
    path = f"/broken-{framing}"
    fleet.upstream.put(path, BODY)
    if framing == "length":
        fleet.upstream.cut(MIB // 2, path)
    else:
        fleet.upstream.chunked(path, cut=MIB // 2)
    found = fleet.begin(path).rest()
    assert (found.status, found.whole) == (200, False)
    assert len(found.body) < MIB
    assert BODY.startswith(found.body)
    fleet.upstream.clear()
    assert fleet.begin(path).rest().body == BODY


@contextmanager
def asked_again_and_again(fleet: Fleet) -> Iterator[Repeating]:
    """Hits, bodies that nginx or a fills process sends, and misses; each must be right."""
    serial = threading.Lock()
    stored(fleet, "/under-load", BODY)
    stored(fleet, "/under-load-small", BODY[:9000])

    def turn(number: int) -> None:
        path = f"/cold-{fleet.kind}-{threading.get_ident()}-{number}"
        with serial:
            fleet.upstream.put(path, BODY[: 1000 + number])
        wanted: Mapping[str, bytes] = {
            "/under-load": BODY,
            "/under-load-small": BODY[:9000],
            path: BODY[: 1000 + number],
        }
        for asked, body in wanted.items():
            found = fleet.begin(asked).rest()
            assert (found.status, found.whole, found.body == body) == (200, True, True), (asked, found.status)

    with Repeating(turn, threads=4) as load:
        yield load


def passed(load: Repeating, more: int) -> None:
    """Wait for so many more turns."""
    wanted = load.turns + more
    eventually(lambda: load.turns >= wanted or load._failures, f"{more} more turns")


@FILES
def test_no_request_fails_while_a_node_reloads(fleet: Fleet) -> None:
    with asked_again_and_again(fleet) as load:
        for node in fleet.nodes:
            before = set(node.workers())
            node.reload()
            eventually(lambda before=before, node=node: not before & set(node.workers()), "new workers")  # type: ignore[misc]
            passed(load, 8)


@FILES
def test_no_request_fails_while_a_node_is_stopped_and_started(fleet: Fleet) -> None:
    node = fleet.nodes[1]
    with asked_again_and_again(fleet) as load:
        passed(load, 8)
        assert node.stop() == 0
        passed(load, 8)
        node.start()
        passed(load, 8)


@BUCKET
def test_no_request_fails_while_a_node_is_killed(fleet: Fleet) -> None:
    """Its clients that were being sent a body are cut, all others are asked elsewhere."""
    node = fleet.nodes[0]
    stored(fleet, "/survivor", BODY[:1000])

    def turn(_: int) -> None:
        found = fleet.begin("/survivor").rest()
        assert found.status == 200 and (found.body == BODY[:1000] or not found.whole), found

    with Repeating(turn, threads=2) as load:
        passed(load, 8)
        node.kill()
        passed(load, 8)
        node.start()
        passed(load, 8)


@FILES
def test_no_node_is_a_clear_answer(fleet: Fleet) -> None:
    with running(
        Front(fleet.front.command[0], fleet.front.work / "alone", (free_port(), free_port()), Path("/"))
    ) as alone:
        found = Reader(alone.port, "/repository/up/x", Connection="close", X_Request_Id="mine").rest()
        image = Reader(alone.port, "/v2/images/x/tags/list", Connection="close").rest()
        upload = told(Reader(alone.port, "/repository/team/x", method="PUT", Content_Length="9000000"))
    for each in (found, upload):
        assert (each.status, each.error, each.headers["retry-after"]) == (503, "unavailable", "5")
    assert json.loads(found.body) == {"error": "unavailable", "message": "no node answers", "request_id": "mine"}
    assert (image.status, json.loads(image.body)["errors"][0]["code"]) == (503, "UNAVAILABLE")


# what arrives ---------------------------------------------------------------------------------------------


@FILES
@pytest.mark.parametrize(
    "path",
    [
        "/a%2Fb",
        "/a+b%2B",
        "/a~b%7E",
        "/%C3%A4/%e4",
        "//double//slash",
        "/./dotted/../path",
        "/a%252e",
        "/a;b=c,d@e:f!$&'()*",
        "/%41%20b",
        "/" + "x" * 6000,
    ],
    ids=lambda path: path[:20],
)
def test_a_path_arrives_byte_for_byte(fleet: Fleet, path: str) -> None:
    """The node logs the same, answers the same, and upstream is asked the same as without nginx."""

    def outcome(port: int) -> tuple[int, str, str]:
        before = len(fleet.upstream.requests)
        answer = Reader(port, f"/repository/up{path}", Connection="close", Cache_Control="no-cache").rest()
        eventually(lambda: logged(answer), "its line")
        asked = fleet.upstream.requests[before:]
        return answer.status, logged(answer), asked[-1].path if asked else ""

    def logged(answer: Read) -> str:
        lines = fleet.door.lines("request")
        return next((each["path"] for each in lines if each["request_id"] == answer.headers["x-request-id"]), "")

    through, direct = outcome(fleet.front.port), outcome(fleet.nodes[0].port)
    assert through[:2] == direct[:2]
    assert through[1] == f"/repository/up{path}"[:2048]


@FILES
def test_the_host_and_the_client_are_the_outer_ones(fleet: Fleet) -> None:
    pushed = multi(f"hosted-{fleet.kind}")
    fleet.registry.push(f"hosted/{fleet.kind}", "v1", pushed)
    path = f"/v2/hosted/{fleet.kind}/manifests/v1"
    accept = "application/vnd.oci.image.index.v1+json"
    with socket.socket() as conn:
        conn.bind(("127.0.0.9", 0))
        conn.connect(("127.0.0.1", fleet.front.port))
        lines = ("Host: images.example:8443", f"Accept: {accept}", "X-Forwarded-For: 192.0.2.1", "Connection: close")
        conn.sendall(
            "\r\n".join((f"GET {path} HTTP/1.1", *lines, "X-Forwarded-Host: other.example", "", "")).encode()
        )
        answer = b"".join(iter(lambda: conn.recv(1 << 16), b""))
    assert answer.startswith(b"HTTP/1.1 200 ")
    assert answer.endswith(bytes(pushed.manifest.data))
    eventually(lambda: [each for each in fleet.door.lines("request") if each["path"] == path], "its line")
    assert {each["client"] for each in fleet.door.lines("request") if each["path"] == path} == {"127.0.0.9"}


@FILES
def test_no_client_says_how_documents_name_this_server(fleet: Fleet) -> None:
    told = {"X-Forwarded-Prefix": "/evil", "X-Forwarded-Port": "444", "Connection": "close"}
    answer = Reader(fleet.front.port, "/setup/", **told).rest()
    assert (answer.status, b"http://a/setup/" in answer.body) == (200, True)
    assert b"evil" not in answer.body and b":444" not in answer.body


@FILES
@pytest.mark.parametrize(
    "path",
    ["/_blobs/sha256/ab/x", "/%5Fblobs/x", "/api/v1/fills", "//api/v1/%66ills", "/api/v1/edges/a", "/api/v1/edges"],
)
def test_what_is_between_nginx_and_nodes_is_nobody_elses(fleet: Fleet, path: str) -> None:
    assert Reader(fleet.front.port, path, Connection="close", X_Fill="eA").rest().status == 404


@FILES
def test_metrics_and_flush_are_for_the_inside(fleet: Fleet, tmp_path: Path) -> None:
    front = Front(
        fleet.front.command[0], fleet.front.work / "inside", (fleet.nodes[0].port, fleet.nodes[1].port), tmp_path
    )
    text = front.configuration.read_text("utf-8")
    assert text.count("127.0.0.0/8     0;") == 1
    front.configuration.write_text(text.replace("127.0.0.0/8     0;", "127.0.0.1/32    0;"), "utf-8")
    with running(front):
        for path in ("/metrics", "/cache/flush", "/%6Detrics", "/x/../metrics", "//metrics", "//cache/flush"):
            assert asked_from("127.0.0.9", front.port, path) == 404
        assert asked_from("127.0.0.1", front.port, "/metrics") == 200
        assert asked_from("127.0.0.1", front.port, "/cache/flush") == 405
        assert asked_from("127.0.0.9", front.port, "/health/live") == 200


def asked_from(address: str, port: int, path: str) -> int:
    with socket.socket() as conn:
        conn.settimeout(30)
        conn.bind((address, 0))
        conn.connect(("127.0.0.1", port))
        conn.sendall(f"GET {path} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n".encode())
        return int(conn.recv(1000).split()[1])
