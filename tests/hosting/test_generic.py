"""Plain files: published with curl's verbs, listed, verified; what is refused, and that nothing of it stays."""

from __future__ import annotations

import base64
import hashlib
import http.client
import itertools
import json
import os
import socket
import threading
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from urllib.parse import quote, urljoin, urlsplit

import pytest

from app.hosting.base import Contents
from app.hosting.listing import listing
from app.resource import Ask
from app.stores.publications import Child
from tests.clients.commands import CommandFailedError, run
from tests.conftest import require
from tests.hosting.conftest import TOKEN
from tests.stack import Stack, StackFactory, eventually

BEARER = {"Authorization": f"Bearer {TOKEN}"}
LARGE = os.urandom(3 << 20)  # more than a worker reads itself
BOUNDARY = "a-boundary-of-the-tests"
_NUMBERS = itertools.count()


@dataclass(frozen=True, slots=True)
class Reply:
    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def error(self) -> str:
        told: str = json.loads(self.body)["error"]
        return told


def ask(stack: Stack, method: str, path: str, body: bytes | Iterable[bytes] | None = None, **headers: str) -> Reply:
    """A request of `path` in /repository/, with the administrator's token unless `Authorization` is given."""
    sent = BEARER | {name.replace("_", "-"): value for name, value in headers.items()}
    connection = http.client.HTTPConnection("127.0.0.1", stack.port, timeout=60)
    try:
        chunked = body is not None and not isinstance(body, bytes)
        if chunked:
            sent["Transfer-Encoding"] = "chunked"
        connection.request(method, f"/repository/{path}", body, sent, encode_chunked=chunked)
        answer = connection.getresponse()
        return Reply(answer.status, dict(answer.getheaders()), answer.read())
    finally:
        connection.close()


def multipart(*parts: tuple[str, bytes]) -> bytes:
    """Files by their fields' names."""
    lines = [
        f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="{name}"; filename="{name}"\r\n\r\n'.encode()
        + body
        + b"\r\n"
        for name, body in parts
    ]
    return b"".join(lines) + f"--{BOUNDARY}--\r\n".encode()


FORM = {"Content_Type": f"multipart/form-data; boundary={BOUNDARY}"}


@pytest.fixture
def path() -> str:
    """One in the local `generic` that nobody has published."""
    return f"generic/tests-{next(_NUMBERS)}/tool.bin"


def spooled(stack: Stack) -> list[Path]:
    return list((stack.data_dir / "spool").iterdir())


class TestUploads:
    @pytest.mark.parametrize("body", [b"", b"small", LARGE], ids=["empty", "small", "large"])
    @pytest.mark.parametrize("form", ["raw", "chunked", "multipart"])
    def test_published_read_and_withdrawn(self, hosted: Stack, path: str, body: bytes, form: str) -> None:
        if form == "raw":
            put = ask(hosted, "PUT", path, body)
        elif form == "chunked":
            put = ask(hosted, "PUT", path, iter([body[:1000], body[1000:]] if body else []))
        else:
            put = ask(hosted, "PUT", path, multipart(("file", body)), **FORM)
        assert put.status == 201, put.body
        digest = hashlib.sha256(body).hexdigest()
        told = json.loads(put.body)
        assert (told["size"], told["sha256"]) == (len(body), digest)
        assert urlsplit(put.headers["Location"]).path == f"/repository/{path}"
        got = ask(hosted, "GET", path)
        assert (got.status, got.body) == (200, body)
        assert got.headers["X-Checksum-Sha256"] == digest
        head = ask(hosted, "HEAD", path)
        assert (head.status, head.headers["Content-Length"]) == (200, str(len(body)))
        assert head.headers["X-Checksum-Sha256"] == digest
        assert ask(hosted, "DELETE", path).status == 204
        assert ask(hosted, "GET", path).status == 404

    @pytest.mark.parametrize("body", [b"<script>1</script>", LARGE], ids=["small", "large"])
    def test_a_page_runs_nothing_on_the_origin_of_the_api(self, hosted: Stack, path: str, body: bytes) -> None:
        page = path.replace(".bin", ".html")
        assert ask(hosted, "PUT", page, body, Content_Type="text/html").status == 201
        for wanted in ("bytes=0-", "bytes=0-3", "bytes=0-1,4-5"):
            headers = ask(hosted, "GET", page, None, Range=wanted).headers
            assert "sandbox" in headers["Content-Security-Policy"].split(";")[0].split()
            assert "default-src 'none'" in headers["Content-Security-Policy"]
            assert headers["X-Content-Type-Options"] == "nosniff"

    def test_a_form_is_posted_too(self, hosted: Stack, path: str) -> None:
        assert ask(hosted, "POST", path, multipart(("file", b"posted")), **FORM).status == 201
        assert ask(hosted, "GET", path).body == b"posted"
        directory = path.removesuffix("tool.bin")
        assert ask(hosted, "POST", directory, multipart(("file", b"named")), **FORM).status == 201
        assert ask(hosted, "GET", f"{directory}file").body == b"named"
        assert ask(hosted, "POST", directory, b"raw").error == "bad_path"

    def test_every_request_is_logged_and_counted_once(self, hosted: Stack, path: str) -> None:
        assert ask(hosted, "PUT", path, LARGE, X_Request_Id="counted-once").status == 201
        lines = [line for line in hosted.lines("request") if line["request_id"] == "counted-once"]
        assert [(line["method"], line["status"], line["repository"]) for line in lines] == [("PUT", 201, "generic")]

    def test_the_log_and_the_status_line_say_why_an_upload_was_refused(self, hosted: Stack, path: str) -> None:
        ask(hosted, "PUT", path, b"x")
        told = f"{path.partition('/')[2]} is published already"
        with socket.create_connection(("127.0.0.1", hosted.port), 30) as conn:
            conn.sendall(_head("PUT", path, 1, "X-Request-Id: refused-why") + b"y")
            assert conn.makefile("rb").readline().decode() == f"HTTP/1.1 409 {told}\r\n"
        (line,) = [each for each in hosted.lines("request") if each["request_id"] == "refused-why"]
        assert (line["error"], line["note"]) == ("already_published", told)

    def test_a_wrong_token_is_no_missing_one(self, hosted: Stack, path: str) -> None:
        for given, said in (("Bearer wrong", "ended"), ("", "this needs a token")):
            refused = ask(hosted, "PUT", path, b"x", Authorization=given)
            assert refused.status == 401
            assert said.encode() in refused.body

    def test_https_on_the_http_port_is_no_line_of_the_log(self, hosted: Stack) -> None:
        before = len(hosted.lines("refused"))
        for hello in (b"\x16\x03\x01\x00\x05\n\r\n\r\n", b"not http\r\n\r\n"):
            with socket.create_connection(("127.0.0.1", hosted.port), 30) as conn:
                conn.sendall(hello)
                assert conn.recv(12) == b"HTTP/1.1 400"
        eventually(lambda: len(hosted.lines("refused")) > before, "a line of the log")
        assert [each["note"] for each in hosted.lines("refused")[before:]] == ["InvalidRequestLine"]

    def test_of_a_range_the_checksum_is_the_whole_files(self, hosted: Stack, path: str) -> None:
        ask(hosted, "PUT", path, LARGE)
        part = ask(hosted, "GET", path, Range="bytes=10-19")
        assert (part.status, part.body) == (206, LARGE[10:20])
        assert part.headers["X-Checksum-Sha256"] == hashlib.sha256(LARGE).hexdigest()

    def test_100_continue(self, hosted: Stack, path: str) -> None:
        with socket.create_connection(("127.0.0.1", hosted.port), 30) as conn:
            conn.sendall(_head("PUT", path, len(LARGE), "Expect: 100-continue"))
            assert conn.recv(100).startswith(b"HTTP/1.1 100 ")
            conn.sendall(LARGE)
            assert conn.recv(100).startswith(b"HTTP/1.1 201 ")

    def test_a_slow_client_holds_no_worker(self, hosted: Stack, path: str) -> None:
        conns = [socket.create_connection(("127.0.0.1", hosted.port), 30) for _ in range(6)]  # there are 2 workers
        try:
            for number, conn in enumerate(conns):
                conn.sendall(_head("PUT", f"{path}-{number}", len(LARGE)) + LARGE[:100])
            for number in range(4):
                assert ask(hosted, "PUT", f"{path}-quick-{number}", b"quick").status == 201
            for conn in conns:
                conn.sendall(LARGE[100:])
            assert [conn.recv(12) for conn in conns] == [b"HTTP/1.1 201"] * 6
        finally:
            for conn in conns:
                conn.close()

    def test_nor_does_one_with_little_to_send(self, hosted: Stack, path: str) -> None:
        """Whoever it is, and whatever is asked of them."""
        conns = [socket.create_connection(("127.0.0.1", hosted.port), 30) for _ in range(6)]  # there are 2 workers
        try:
            for number, conn in enumerate(conns):
                conn.sendall(_head("PUT", f"{path}-{number}", 1000) + b"x")
            assert ask(hosted, "PUT", path, b"quick").status == 201
            for conn in conns:
                conn.sendall(b"x" * 999)
                assert conn.recv(100).startswith(b"HTTP/1.1 201 ")
        finally:
            for conn in conns:
                conn.close()

    def test_a_stranger_has_seconds_for_a_body_that_is_read(self, hosted: Stack) -> None:
        head = "POST /api/v1/auth/login HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
        with socket.create_connection(("127.0.0.1", hosted.port), 30) as conn:
            conn.sendall(f"{head}Content-Length: 1000\r\n\r\n{{".encode())
            assert conn.recv(100).startswith(b"HTTP/1.1 408 ")

    @pytest.mark.parametrize("kind", ["text/plain; x=\u0100", "text/plain\x0bx", "text/\0plain", f"a/{'b' * 300}"])
    def test_a_type_that_no_header_can_have(self, hosted: Stack, path: str, kind: str) -> None:
        """It would be the Content-Type of every answer, for good."""
        body = multipart(("file", b"x")).replace(b"\r\n\r\n", f"\r\nContent-Type: {kind}\r\n\r\n".encode(), 1)
        refused = ask(hosted, "PUT", path, body, **FORM)
        assert (refused.status, refused.error) == (400, "bad_content_type")
        assert ask(hosted, "GET", path).status == 404

    def test_another_edition_within_the_same_second(self, hosted: Stack, path: str) -> None:
        """Some clients ask by date alone."""
        path = path.replace("generic", "open-generic")
        for body in (b"one", b"two", b"three"):
            assert ask(hosted, "PUT", path, body).status == 201
            found = ask(hosted, "GET", path)
            assert found.body == body
            if body != b"three":
                dated = found.headers["Last-Modified"]
        assert ask(hosted, "GET", path, If_Modified_Since=dated).status == 200

    def test_strangers_are_refused_unread(self, hosted: Stack, path: str) -> None:
        for given in ("Bearer not-a-token", "Basic eDp5"):
            refused = ask(hosted, "PUT", path, LARGE, Authorization=given)
            assert (refused.status, refused.error) == (401, "unauthorized")
        assert ask(hosted, "GET", path).status == 404

    def test_what_is_published_stays(self, hosted: Stack, path: str) -> None:
        ask(hosted, "PUT", path, LARGE)
        for body in (LARGE, b"other", iter([b"chunked"])):
            refused = ask(hosted, "PUT", path, body)
            assert (refused.status, refused.error) == (409, "already_published")
        assert ask(hosted, "GET", path).body == LARGE

    @pytest.mark.parametrize("package", ["generic", "open-generic"])
    def test_if_none_match_any(self, hosted: Stack, path: str, package: str) -> None:
        path = path.replace("generic", package)
        assert ask(hosted, "PUT", path, b"first", If_None_Match="*").status == 201
        refused = ask(hosted, "PUT", path, b"second", If_None_Match="*")
        assert (refused.status, refused.error) == (412, "precondition_failed")
        assert ask(hosted, "GET", path).body == b"first"

    def test_of_many_who_saw_the_same_one_changes_it(self, hosted: Stack, path: str) -> None:
        """Small or large; and who waits for another holds no worker."""
        path = path.replace("generic", "open-generic")
        for body in (b"small", LARGE):
            assert ask(hosted, "PUT", path, b"seen").status == 201
            tag = ask(hosted, "HEAD", path).headers["ETag"]
            with ThreadPoolExecutor(6) as pool:
                told = [pool.submit(ask, hosted, "PUT", path, body + b"%d" % n, If_Match=tag) for n in range(6)]
            assert sorted(each.result().status for each in told) == [201, *[412] * 5]
            assert ask(hosted, "DELETE", path, If_Match=tag).error == "precondition_failed"
            assert ask(hosted, "DELETE", path).status == 204

    def test_sixty_four_at_once_all_succeed_or_say_why(self, hosted: Stack, path: str) -> None:
        with ThreadPoolExecutor(64) as pool:
            replies = list(pool.map(lambda n: ask(hosted, "PUT", f"{path}-{n}", LARGE[: 2 << 20]), range(64)))
        assert {reply.status for reply in replies} <= {201, 503}
        assert all("Retry-After" in reply.headers for reply in replies if reply.status == 503)
        for number, reply in enumerate(replies):
            assert ask(hosted, "HEAD", f"{path}-{number}").status == (200 if reply.status == 201 else 404)
        assert sum(reply.status == 201 for reply in replies) >= 60


def _head(method: str, path: str, length: int, *lines: str) -> bytes:
    sent = (f"{method} /repository/{path} HTTP/1.1", "Host: x", f"Authorization: Bearer {TOKEN}", *lines)
    return "\r\n".join((*sent, f"Content-Length: {length}", "", "")).encode()


class TestChecksums:
    @pytest.mark.parametrize("body", [b"some bytes", LARGE], ids=["small", "large"])
    @pytest.mark.parametrize("form", ["raw", "multipart"])
    def test_what_is_announced_is_verified(self, hosted: Stack, path: str, body: bytes, form: str) -> None:
        sent = body if form == "raw" else multipart(("file", body))
        for number, (good, bad) in enumerate(_announced(body, sent)):
            more = FORM if form == "multipart" else {}
            refused = ask(hosted, "PUT", f"{path}-{number}", sent, **bad, **more)
            assert (refused.status, refused.error) == (400, "checksum_mismatch"), bad
            assert ask(hosted, "HEAD", f"{path}-{number}").status == 404
            assert ask(hosted, "PUT", f"{path}-{number}", sent, **good, **more).status == 201, good
        assert spooled(hosted) == []

    @pytest.mark.parametrize(("name", "value"), [
        ("X-Checksum-Sha256", "abc"), ("X-Checksum-Md5", "z" * 32), ("X-Checksum-Sha1", ""),
        ("Content-MD5", "%%%"), ("Content-MD5", "YWJj"), ("Content-Digest", "sha-256=abc"),
        ("Content-Digest", "sha-256=:YWJj:"), ("Repr-Digest", "garbage"), ("Digest", "sha-256"),
    ])  # fmt: skip
    def test_what_is_malformed_is_refused(self, hosted: Stack, path: str, name: str, value: str) -> None:
        refused = ask(hosted, "PUT", path, b"body", **{name: value})
        assert (refused.status, refused.error) == (400, "bad_checksum")

    def test_unknown_algorithms_are_passed_over(self, hosted: Stack, path: str) -> None:
        known = _base64("sha512", b"body")
        field = f"unixsum=:AAAA:, sha-512=:{known}:;q=1"
        assert ask(hosted, "PUT", path, b"body", Content_Digest=field, Digest="crc32c=abcd").status == 201

    def test_of_several_files_none_can_be_told(self, hosted: Stack, path: str) -> None:
        body = multipart(("file", b"a"), ("other", b"a"))
        refused = ask(hosted, "PUT", path, body, X_Checksum_Md5=hashlib.md5(b"a").hexdigest(), **FORM)
        assert (refused.status, refused.error) == (400, "bad_checksum")


def _base64(algorithm: str, body: bytes) -> str:
    return base64.b64encode(hashlib.new(algorithm, body).digest()).decode()


def _announced(body: bytes, sent: bytes) -> Iterable[tuple[dict[str, str], dict[str, str]]]:
    """Headers that are right, and that are wrong."""
    for name in ("sha256", "sha512", "sha1", "md5"):
        header = f"X_Checksum_{name.title()}"
        yield {header: hashlib.new(name, body).hexdigest()}, {header: hashlib.new(name, b"other").hexdigest()}
    for header, form in (
        ("Content_MD5", "{md5}"),
        ("Digest", "sha-256={sha256}"),
        ("Content_Digest", "sha-512=:{sha512}:, sha-256=:{sha256}:"),
        ("Repr_Digest", "sha-256=:{sha256}:"),
    ):
        right, wrong = ({name: _base64(name, of) for name in ("md5", "sha256", "sha512")} for of in (sent, b"other"))
        yield {header: form.format(**right)}, {header: form.format(**wrong)}


class Links(HTMLParser):
    """The links of a page and their texts."""

    def __init__(self, page: bytes) -> None:
        super().__init__()
        self.found: list[tuple[str, str]] = []
        self.feed(page.decode())

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag == "a":
            self.found.append((str(dict(attrs)["href"]), ""))
        assert tag not in ("script", "img"), "a name became markup"

    def handle_data(self, data: str) -> None:
        if self.found and not self.found[-1][1]:
            self.found[-1] = (self.found[-1][0], data)


@pytest.fixture(scope="module")
def directory(hosted: Stack) -> str:
    """With files, directories, names that are markup, and a file beside a directory of its name."""
    directory = f"generic/listed-{next(_NUMBERS)}"
    for name in ("b.txt", "a", "a/deep/er/file", "a-b", "z/1", "z/2", "<script>alert(1)<", "ü&?#%.txt"):
        assert ask(hosted, "PUT", f"{directory}/{quote(name)}", name.encode()).status == 201
    return directory


class TestListing:
    def test_as_html(self, hosted: Stack, directory: str) -> None:
        page = ask(hosted, "GET", f"{directory}/")
        assert (page.status, page.headers["Content-Type"]) == (200, "text/html; charset=utf-8")
        found = Links(page.body).found
        assert [name for _, name in found] == [
            "../", "a/", "z/", "<script>alert(1)<", "a", "a-b", "b.txt", "ü&?#%.txt"
        ]  # fmt: skip
        for href, name in found[1:]:
            followed = ask(hosted, "GET", urlsplit(href).path.removeprefix("/repository/"))
            assert followed.status == 200
            assert followed.body == name.encode() or name.endswith("/")
        assert ask(hosted, "HEAD", f"{directory}/").headers["Content-Length"] == str(len(page.body))

    def test_as_json(self, hosted: Stack, directory: str) -> None:
        for page in (
            ask(hosted, "GET", f"{directory}/?format=json"),
            ask(hosted, "GET", f"{directory}/", Accept="application/json"),
        ):
            told = json.loads(page.body)
            assert (told["repository"], told["path"]) == ("generic", f"{directory.partition('/')[2]}/")
            assert told["entries"][0] == {"name": "a/", "type": "directory"}
            entry = next(each for each in told["entries"] if each["name"] == "b.txt")
            assert (entry["size"], entry["sha256"]) == (5, hashlib.sha256(b"b.txt").hexdigest())
            assert (entry["content_type"], told["next"]) == ("text/plain", None)

    def test_in_pages(self, hosted: Stack, directory: str) -> None:
        url: str | None = f"{directory}/?format=json&limit=3"
        pages: list[list[str]] = []
        while url is not None:
            told = json.loads(ask(hosted, "GET", url).body)
            pages.append([entry["name"] for entry in told["entries"]])
            url = told["next"] and told["next"].partition("/repository/")[2]
        assert [len(page) for page in pages] == [3, 3, 1] or [len(page) for page in pages] == [3, 3, 2]
        names = ["<script>alert(1)<", "a", "a-b", "a/", "b.txt", "z/", "ü&?#%.txt"]
        assert sorted(itertools.chain(*pages)) == sorted(names)
        assert len(set(itertools.chain(*pages))) == len(names)

    def test_the_root_and_what_is_not_there(self, hosted: Stack, directory: str) -> None:
        assert f"{directory.partition('/')[2]}/" in [
            name for _, name in Links(ask(hosted, "GET", "generic/").body).found
        ]
        assert ask(hosted, "GET", "generic").status == 200
        assert ask(hosted, "GET", f"{directory}/never/").status == 404
        assert ask(hosted, "GET", f"{directory}/never").status == 404

    def test_a_directory_without_its_slash(self, hosted: Stack, directory: str, tmp_path: Path) -> None:
        """Which a browser is led to, and curl does not save as a file."""
        accept = "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"
        for path, to in ((directory, f"{directory}/"), (f"{directory}/z?format=json", f"{directory}/z/?format=json")):
            for method in ("GET", "HEAD"):
                moved = ask(hosted, method, path, Accept=accept)
                found = urljoin(f"http://x/repository/{path}", moved.headers["Location"])
                assert (moved.status, found) == (302, f"http://x/repository/{to}")
        assert ask(hosted, "GET", f"{directory}/a").body == b"a"  # the file, where a directory is called so, too
        ask(hosted, "PUT", "generic/HTTP:1/x", b"x")  # 409 from the second run on
        assert ask(hosted, "GET", "generic/HTTP:1", Accept=accept).headers["Location"] == "./HTTP:1/"
        with pytest.raises(CommandFailedError, match="404"):
            run([require("curl"), "-fLsSO", f"{hosted.url}/repository/{directory}/z"], tmp_path)

    @pytest.mark.parametrize("package", ["rpm", "deb", "apk", "maven", "helm"])
    def test_other_packages_are_listed_too(self, hosted: Stack, package: str) -> None:
        page = ask(hosted, "GET", f"open-{package}/?format=json")
        assert (page.status, json.loads(page.body)["path"]) == (200, "")

    @pytest.mark.parametrize("query", ["limit=0", "limit=x", "format=xml", "after=a/../b", "after=%00"])
    def test_what_no_page_has(self, hosted: Stack, query: str) -> None:
        assert ask(hosted, "GET", f"generic/?{query}").status == 400

    def test_strangers_see_nothing_of_a_private_one(self, hosted: Stack) -> None:
        assert ask(hosted, "PUT", "private-generic/secret/name", b"x").status == 201
        for path in ("private-generic/", *(f"private-generic/secret{rest}" for rest in ("", "/", "/name"))):
            assert ask(hosted, "GET", path, Authorization="").status in (401, 404)
            assert ask(hosted, "HEAD", path, Authorization="Bearer x").status in (401, 404)


class TestBadInput:
    @pytest.mark.parametrize("name", [
        "", "a/", "a//b", "../up", "a/../b", "a/./b", "%2e%2e/up", "a%00b", "a%0ab", "a%7fb", "back%5cslash", "%zz",
        "%ff%fe", "x" * 5000, "a%E2%80%AEb", "a%E2%80%8Bb", "e%CC%81", "a%20/b", "%20a", "%EF%BB%BFa", "http://x/y",
    ])  # fmt: skip
    def test_names_that_no_file_may_have(self, hosted: Stack, name: str) -> None:
        refused = ask(hosted, "PUT", f"generic/{name}", b"body")
        assert refused.status in (400, 414), name
        assert refused.error in ("bad_path", "uri_too_long")

    @pytest.mark.parametrize("name", ["CON", "dot.", "a+b", "a%20b", "ü", "日本", "~", "a:b", "%25", "?x", ".hidden"])
    def test_names_that_are_only_odd(self, hosted: Stack, name: str) -> None:
        path = f"generic/odd-{next(_NUMBERS)}/{quote(name.replace('%20', ' ').replace('%25', '%'))}"
        assert ask(hosted, "PUT", path, b"odd").status == 201
        assert ask(hosted, "GET", path).body == b"odd"

    @pytest.mark.parametrize("length", [1000, 3 << 20], ids=["small", "large"])
    def test_shorter_than_announced(self, hosted: Stack, path: str, length: int) -> None:
        with socket.create_connection(("127.0.0.1", hosted.port), 30) as conn:
            conn.sendall(_head("PUT", path, length) + b"x" * (length - 1))
            conn.shutdown(socket.SHUT_WR)
            assert b"upload_incomplete" in _all(conn)
        assert ask(hosted, "GET", path).status == 404
        assert spooled(hosted) == []

    def test_longer_than_announced(self, hosted: Stack, path: str) -> None:
        with socket.create_connection(("127.0.0.1", hosted.port), 30) as conn:
            conn.sendall(_head("PUT", path, 4) + b"bodyGET /health HTTP/1.1\r\n\r\n")
            conn.shutdown(socket.SHUT_WR)
            assert _all(conn).startswith(b"HTTP/1.1 201 ")
        assert ask(hosted, "GET", path).body == b"body"

    @pytest.mark.parametrize(
        "chunks", [b"zz\r\nbody\r\n0\r\n\r\n", b"4\r\nbody", b"4\r\nbodyX\r\n0\r\n\r\n", b"-1\r\n"]
    )
    def test_chunks_that_are_none(self, hosted: Stack, path: str, chunks: bytes) -> None:
        head = _head("PUT", path, 0, "Transfer-Encoding: chunked").replace(b"Content-Length: 0\r\n", b"")
        with socket.create_connection(("127.0.0.1", hosted.port), 30) as conn:
            conn.sendall(head + chunks)
            conn.shutdown(socket.SHUT_WR)
            assert _all(conn).startswith(b"HTTP/1.1 400 ")
        assert ask(hosted, "GET", path).status == 404

    def test_without_any_length(self, hosted: Stack, path: str) -> None:
        with socket.create_connection(("127.0.0.1", hosted.port), 30) as conn:
            conn.sendall(_head("PUT", path, 0).replace(b"Content-Length: 0\r\n", b""))
            assert b"length_required" in _all(conn)
        assert ask(hosted, "GET", path).status == 404

    @pytest.mark.parametrize(("body", "status"), [
        (b"", 400),
        (b"garbage" * 1000, 400),
        (multipart(("file", b"cut"))[:-20], 400),
        (multipart(("file", b"x")).replace(BOUNDARY.encode(), b"another"), 400),
        (multipart(("nothing", b"x")), 400),
        (multipart(*((f"f{n}", b"") for n in range(1000))), 413),
        (f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="big"\r\n\r\n'.encode() + b"x" * (5 << 20), 413),
    ], ids=["empty", "garbage", "cut", "boundary", "no-file", "thousand", "field"])  # fmt: skip
    def test_multipart_garbage(self, hosted: Stack, path: str, body: bytes, status: int) -> None:
        refused = ask(hosted, "PUT", path, body, **FORM)
        assert refused.status == status, refused.body
        assert ask(hosted, "GET", path).status == 404
        assert spooled(hosted) == []

    def test_what_is_not_there(self, hosted: Stack, path: str) -> None:
        assert ask(hosted, "HEAD", path).status == 404
        gone = ask(hosted, "DELETE", path)
        assert (gone.status, gone.error) == (404, "file_not_found")

    def test_other_methods(self, hosted: Stack, path: str) -> None:
        refused = ask(hosted, "PATCH", path, b"x")
        assert (refused.status, refused.error) == (405, "method_not_allowed")


def _all(conn: socket.socket) -> bytes:
    return b"".join(iter(lambda: conn.recv(65536), b""))


@pytest.fixture(scope="module")
def small(stack_factory: StackFactory) -> Stack:
    """A node that takes 2 MiB at most."""
    document: dict[str, Any] = {"locals": {"generic": {"package": "generic"}}}
    return stack_factory(document, "small", ADMIN_TOKEN=TOKEN, UPLOAD_MAX="2M").start()


class TestLimits:
    def test_too_much_is_refused_before_and_while_it_comes(self, small: Stack, path: str) -> None:
        for body in (LARGE, iter([LARGE])):
            refused = ask(small, "PUT", path, body)
            assert (refused.status, refused.error) == (413, "too_large")
        assert ask(small, "PUT", path, LARGE[: 2 << 20]).status == 201
        assert spooled(small) == []

    def test_more_at_once_than_there_are_places_are_told_to_wait(self, small: Stack, path: str) -> None:
        conns: list[socket.socket] = []
        try:
            for number in range(70):
                conns.append(socket.create_connection(("127.0.0.1", small.port), 30))
                conns[-1].sendall(_head("PUT", f"{path}-{number}", 2 << 20))
            refused: list[bytes] = []
            threads = [threading.Thread(target=_refused, args=(conn, refused)) for conn in conns]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
        finally:
            for conn in conns:
                conn.close()
        assert len(refused) == 6
        assert all(b"503" in answer and b"Retry-After" in answer for answer in refused)
        assert ask(small, "PUT", path, b"quick").status == 201


def _refused(conn: socket.socket, refused: list[bytes]) -> None:
    """Wait a moment for an answer to a request whose body does not come."""
    conn.settimeout(3)
    try:
        refused.append(_all(conn))
    except TimeoutError:
        conn.close()


def test_a_page_has_a_thousand_names_at_the_most() -> None:
    looked: list[int] = []

    class Some:
        def children(self, directory: str, after: str, limit: int) -> Sequence[Child]:
            looked.append(limit)
            return []

    contents: Contents = Some()  # type: ignore[assignment]
    assert listing(Ask("GET", "generic", "", query="limit=10000"), contents, "") is not None
    assert looked == [1001]
