"""API.md on local repositories: the same URLs, PUT and DELETE, the same engine without an upstream."""

from __future__ import annotations

import hashlib
from concurrent.futures import ThreadPoolExecutor
from io import BytesIO
from threading import Barrier, Semaphore

import psycopg
import pytest

from app.stores import statements
from app.web import heartbeat
from tests.http.node import ADMIN, Node, body
from tests.http.variant import NOBODY, without_storage, worker
from tests.upstreams import Upstream

FORMS = ["/repository", "/api/v1/remote", "/api/v1/local"]
BROWSER = "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"


def test_every_form_publishes_reads_and_deletes(node: Node, upstream: Upstream) -> None:
    for form in FORMS:
        path = f"{form}/team/dir/tool-1.0.tgz"
        assert node.get(path).get_json()["error"] == "file_not_found"
        put = node.admin("PUT", path, b"content")
        assert (put.status_code, put.mimetype) == (201, "application/json")
        told = {"repository": "team", "path": "dir/tool-1.0.tgz", "size": 7}
        assert put.get_json() == told | {"sha256": hashlib.sha256(b"content").hexdigest()}
        for other in FORMS:
            got = node.get(f"{other}/team/dir/tool-1.0.tgz")
            assert (got.status_code, body(got), got.headers["X-Cache"]) == (200, b"content", "HIT")
            assert (got.headers["X-Artifact-Source"], got.headers["X-Artifact-Size"]) == ("cache", "7")
            assert ("Content-Disposition" in got.headers) == other.startswith("/api/"), other
            head = node.head(f"{other}/team/dir/tool-1.0.tgz")
            skipped = {"X-Request-Id"}
            assert {k: v for k, v in head.headers.items() if k not in skipped} == {
                k: v for k, v in got.headers.items() if k not in skipped
            }
        gone = node.admin("DELETE", path)
        assert (gone.status_code, body(gone)) == (204, b"")
        for other in FORMS:
            assert node.get(f"{other}/team/dir/tool-1.0.tgz").status_code == 404
            assert node.head(f"{other}/team/dir/tool-1.0.tgz").status_code == 404
        assert node.admin("DELETE", path).status_code == 404
    assert (upstream.connections, node.spools()) == (0, [])


def test_what_is_published_can_be_published_no_second_time(node: Node) -> None:
    path = "/repository/team/a"
    assert node.admin("PUT", path, b"first").status_code == 201
    for again in (b"second", b"first", b""):
        refused = node.admin("PUT", path, again)
        assert (refused.status_code, refused.get_json()["error"]) == (409, "already_published")
    assert body(node.get(path)) == b"first"
    assert (len(node.blobs()), node.spools()) == (1, [])
    node.admin("DELETE", path)
    assert node.admin("PUT", path, b"second").status_code == 201
    assert body(node.get(path)) == b"second"


def test_overwrite_allows_it_and_everyone_sees_it_at_once(node: Node) -> None:
    path = "/repository/again/a"
    with worker(node) as other:
        for number in range(3):
            content = b"%d" % number
            assert node.admin("PUT", path, content).status_code == 201
            for _ in range(2):  # from the index, then from a copy
                assert body(node.get(path)) == other.get(path).get_data() == content
        first = node.get(path).headers["ETag"]
        node.admin("PUT", path, b"another")
        assert other.get(path, headers={"If-None-Match": first}).status_code == 200


def test_two_at_once_publish_once(node: Node) -> None:
    for overwrite, expected in (("team", [201, 409]), ("again", [201, 201])):
        for number in range(5):
            path = f"/repository/{overwrite}/race-{number}"
            together = Barrier(2)

            def publish(content: bytes, path: str = path, together: Barrier = together) -> tuple[int, bytes]:
                together.wait(5)
                client = node.app.test_client()
                return client.put(path, data=content, headers=ADMIN).status_code, content

            with ThreadPoolExecutor(2) as pool:
                done = sorted(pool.map(publish, (b"one" * 5000, b"two" * 5000)))
            assert [status for status, _ in done] == expected
            winners = [content for status, content in done if status == 201]
            assert body(node.get(path)) in winners
    assert node.spools() == []


@pytest.mark.parametrize("form", FORMS)
def test_only_what_a_client_has_seen_is_changed(node: Node, form: str) -> None:
    """RFC 9110, 13.1.1: strong tags alone; where the request would be refused anyway, that is what is told."""
    path = f"{form}/again/seen"
    assert node.admin("PUT", path, b"new", If_Match="*").status_code == 412
    assert node.admin("DELETE", path, If_Match="*").status_code == 404
    assert node.admin("PUT", path, b"first").status_code == 201
    tag = node.get(path).headers["ETag"]
    for wrong in ('"nope"', f"W/{tag}", ""):
        for method, content in (("PUT", b"lost"), ("DELETE", None)):
            refused = node.admin(method, path, content, If_Match=wrong)
            assert (refused.status_code, refused.get_json()["error"]) == (412, "precondition_failed"), wrong
    assert body(node.get(path)) == b"first"
    assert node.admin("PUT", path, b"second", If_Match=f'"other", {tag}').status_code == 201
    assert node.admin("DELETE", path, If_Match=tag).status_code == 412
    assert node.admin("DELETE", path, If_Match="*").status_code == 204
    node.admin("PUT", f"{form}/team/seen", b"once")
    assert node.admin("PUT", f"{form}/team/seen", b"once", If_Match='"nope"').status_code == 409
    node.admin("DELETE", f"{form}/team/seen")


def test_of_two_who_saw_the_same_one_changes_it(node: Node) -> None:
    for number in range(5):
        path = f"/repository/again/update-{number}"
        node.admin("PUT", path, b"seen")
        tag, together = node.get(path).headers["ETag"], Barrier(2)

        def change(content: bytes, path: str = path, together: Barrier = together, tag: str = tag) -> int:
            together.wait(5)
            client = node.app.test_client()
            return client.put(path, data=content, headers=ADMIN | {"If-Match": tag}).status_code

        with ThreadPoolExecutor(2) as pool:
            assert sorted(pool.map(change, (b"one" * 5000, b"two" * 5000))) == [201, 412]
    assert node.spools() == []


@pytest.mark.parametrize(
    ("headers", "status", "error"),
    [
        ({"Content-Range": "bytes 3-5/6"}, 400, "partial_upload"),
        ({"Content-Encoding": "gzip"}, 415, "unsupported_media_type"),
        ({"Content-Encoding": "identity"}, 201, None),
    ],
)
@pytest.mark.parametrize("method", ["PUT", "POST"])
def test_an_upload_is_the_whole_file_as_it_is(
    node: Node, method: str, headers: dict[str, str], status: int, error: str | None
) -> None:
    for repository in ("team", "again"):
        path = f"/repository/{repository}/part"
        told = node.client.open(path, method=method, data=b"def", headers=ADMIN | headers)
        assert (told.status_code, told.get_json().get("error")) == (status, error)
        assert node.get(path).status_code == (200 if status == 201 else 404)


def test_where_it_is_and_the_directory_that_it_is_in(node: Node) -> None:
    for form in FORMS:
        put = node.admin("PUT", f"{form}/again/some%20dir/a%2Bb", b"x")
        assert put.headers["Location"].endswith("/repository/again/some%20dir/a%2Bb")
        for query in ("", "?format=json"):
            moved = node.get(f"{form}/again/some%20dir{query}", Accept=BROWSER)
            assert (moved.status_code, moved.headers["Location"]) == (302, f"./some%20dir/{query}")
            assert moved.headers["Cache-Control"] == "no-store"  # a file of that name may come
        assert node.get(f"{form}/again/some", Accept=BROWSER).status_code == 404


@pytest.mark.parametrize("accept", ["", "*/*", "text/html, image/gif, image/jpeg, *; q=.2, */*; q=.2"])
def test_a_directory_is_no_file_to_a_program(node: Node, accept: str) -> None:
    """curl -f fails, and wget saves no page as the file; the last one is what Java asks with."""
    assert node.admin("PUT", "/repository/team/release/x", b"x").status_code == 201
    for form in FORMS:
        for get in (node.get, node.head):
            assert get(f"{form}/team/release", Accept=accept).status_code == 404
        told = node.get(f"{form}/team/release", Accept=accept).get_json()
        assert (told["error"], told["message"]) == ("file_not_found", "no such file; there is a directory release/")


def test_an_empty_file(node: Node) -> None:
    for form in FORMS:
        path = f"{form}/team/empty-{FORMS.index(form)}"
        put = node.client.put(path, input_stream=BytesIO(), content_length=0, headers=ADMIN)
        assert (put.status_code, put.get_json()["size"]) == (201, 0)
        got = node.get(path)
        assert (got.status_code, body(got), got.headers["Content-Length"]) == (200, b"", "0")
        assert got.headers["X-Artifact-Size"] == "0"
        assert node.head(path).headers["Content-Length"] == "0"
        assert node.get(path, Range="bytes=0-0").status_code == 416
        assert node.get(path, If_None_Match=got.headers["ETag"]).status_code == 304


@pytest.mark.parametrize(("method", "status"), [("PUT", 201), ("DELETE", 204)])
def test_a_worker_whose_stores_take_their_time_gives_signs_of_life(
    node: Node, database_url: str, monkeypatch: pytest.MonkeyPatch, method: str, status: int
) -> None:
    """Without them gunicorn kills it after a minute; here somebody holds the lock that a change of a file needs."""
    signs = Semaphore(0)
    monkeypatch.setattr(heartbeat, "EVERY", 0.02)
    path = "/repository/again/a"
    assert node.admin("PUT", path, b"first").status_code == 201
    monkeypatch.setattr(heartbeat, "beat", signs.release)
    with ThreadPoolExecutor(1) as pool, psycopg.connect(database_url) as connection:
        connection.execute(statements.LOCK, [statements.number("file", "again/a")])
        change = pool.submit(node.admin, method, path, b"second" if method == "PUT" else None)
        seen = [signs.acquire(timeout=5) for _ in range(20)]  # far more than one for each piece of the body
        connection.rollback()
        assert change.result(20).status_code == status
    assert all(seen)


BOUNDARY = "multipart/form-data; boundary=b"
PART = b'--b\r\nContent-Disposition: form-data; name="file"; filename="f"\r\n\r\n'
NOTE = b'--b\r\nContent-Disposition: form-data; name="note"\r\n\r\nignored\r\n'
MINE = PART.replace(b'"f"', b'"../../ignored.rpm"').replace(
    b"\r\n\r\n", b"\r\nContent-Type: application/x-mine\r\n\r\n"
)


def test_a_multipart_field_named_file(node: Node) -> None:
    for size in (0, 11, 600_000, 3_000_000):
        content = b"\r\n--x" * (size // 5) + b"z" * (size % 5)
        whole = NOTE + MINE + content + b"\r\n--b--\r\n"
        put = node.admin("PUT", f"/repository/team/m-{size}", whole, Content_Type=BOUNDARY)
        assert (put.status_code, put.get_json()["size"]) == (201, size)
        got = node.get(f"/repository/team/m-{size}")
        assert (body(got), got.headers["Content-Type"]) == (content, "application/x-mine")
    assert node.spools() == []


BROKEN = [
    (BOUNDARY, b""),
    (BOUNDARY, b"--b--\r\n"),
    (BOUNDARY, b"garbage"),
    (BOUNDARY, PART + b"content without an end"),
    (BOUNDARY, b'--b\r\nContent-Disposition: form-data; name="other"; filename="f"\r\n\r\nx\r\n--b--\r\n'),
    (BOUNDARY, b'--b\r\nContent-Disposition: form-data; name="file"\r\n\r\nno file, a field\r\n--b--\r\n'),
    ("multipart/form-data", PART + b"x\r\n--b--\r\n"),
    ("multipart/form-data; boundary=other", PART + b"x\r\n--b--\r\n"),
]
HUGE = [
    b"--b\r\n" + b"X" * 3_000_000,
    b'--b\r\nContent-Disposition: form-data; name="note"\r\n\r\n' + b"X" * 3_000_000 + b"\r\n--b--\r\n",
    b'--b\r\nContent-Disposition: form-data; name="note"\r\n\r\nx\r\n' * 5000 + PART + b"x\r\n--b--\r\n",
]


def test_what_a_worker_would_have_to_keep_in_memory_is_refused(node: Node) -> None:
    for content in HUGE:
        refused = node.admin("PUT", "/repository/team/a", content, Content_Type=BOUNDARY)
        assert (refused.status_code, refused.get_json()["error"]) == (413, "request_entity_too_large")
    assert (node.blobs(), node.spools()) == ([], [])


def test_a_multipart_body_that_cannot_be_read(node: Node) -> None:
    for kind, content in BROKEN:
        refused = node.admin("PUT", "/repository/team/a", content, Content_Type=kind)
        assert (refused.status_code, refused.get_json()["error"]) == (400, "bad_multipart"), (kind, content[:60])
    assert (node.get("/repository/team/a").status_code, node.blobs(), node.spools()) == (404, [], [])


TYPES = [
    # what the publisher says, the path, what a reader is told under /repository/
    ("", "a.rpm", "application/x-rpm"),
    ("", "a.tar.gz", "application/gzip"),
    ("", "a.json", "application/json"),
    ("", "a.unheard-of", "application/octet-stream"),
    ("application/x-www-form-urlencoded", "b.yaml", "text/yaml"),
    ("application/x-mine; v=2", "c.rpm", "application/x-mine; v=2"),
    ("text/plain", "d", "text/plain"),
]


def test_the_type_is_the_publishers_else_the_suffixs(node: Node) -> None:
    for said, path, told in TYPES:
        headers = {"Content_Type": said} if said else {}
        assert node.admin("PUT", f"/repository/team/{path}", b"x", **headers).status_code == 201
        assert node.get(f"/repository/team/{path}").headers["Content-Type"] == told, path
    assert node.get("/api/v1/local/team/c.rpm").headers["Content-Type"] == "application/x-rpm"


def test_names_that_are_kept_as_they_are(node: Node) -> None:
    for name in (
        "a%2Bb",
        "a+b",
        "a%20b",
        "%C3%A9",
        "~x",
        "a:b",
        "@scope%2fname",
        "a%252e%252e",
        "a;b=c",
    ):
        assert node.admin("PUT", f"/repository/team/n/{name}", name.encode()).status_code in (201, 409), name
        assert node.get(f"/repository/team/n/{name}").status_code == 200
    assert body(node.get("/repository/team/n/a+b")) == b"a%2Bb", "two spellings of one name"
    assert body(node.get("/repository/team/n/@scope/name")) == b"@scope%2fname"


@pytest.mark.parametrize("length", [200, 1000, 4000])
def test_long_names(node: Node, length: int) -> None:
    path = "/repository/team/" + "/".join(["d" * 99] * (length // 100))
    assert node.admin("PUT", path, b"long").status_code == 201
    assert body(node.get(path)) == b"long"
    assert node.admin("DELETE", path).status_code == 204


def test_a_file_needs_a_name(node: Node) -> None:
    for form in FORMS:
        for path in ("", "/", "/dir/"):
            assert node.admin("PUT", f"{form}/team{path}", b"x").status_code == 400
        assert [node.get(f"{form}/team{path}").status_code for path in ("", "/", "/dir/")] == [200, 200, 404]
    assert (node.blobs(), node.spools()) == ([], [])


def test_a_body_shorter_than_announced_stores_nothing(node: Node) -> None:
    for kind in ("", "multipart/form-data; boundary=b"):
        headers = {**ADMIN, "Content-Type": kind}
        announced = {"CONTENT_LENGTH": "4000"}
        content = PART + b"short"
        short = node.client.put("/repository/team/a", data=content, headers=headers, environ_overrides=announced)
        assert short.status_code == 400
    unsaid = node.admin("PUT", "/repository/team/a")
    assert (unsaid.status_code, unsaid.get_json()["error"]) == (400, "length_required")
    assert (node.get("/repository/team/a").status_code, node.blobs(), node.spools()) == (404, [], [])


def test_nothing_is_published_while_a_store_is_away(node: Node, upstream: Upstream) -> None:
    with worker(node, database_url=NOBODY["database_url"]) as client:
        refused = client.put("/repository/team/a", data=b"x", headers=ADMIN)
        assert (refused.status_code, refused.get_json()["error"]) == (503, "store_unavailable")
    with without_storage(node):
        assert node.admin("PUT", "/repository/team/a", b"x").status_code == 503
    assert node.spools() == []
    with worker(node, redis_url=NOBODY["redis_url"]) as client:
        assert client.put("/repository/team/a", data=b"x", headers=ADMIN).status_code == 201
        assert client.get("/repository/team/a").get_data() == b"x"
    assert body(node.get("/repository/team/a")) == b"x"


def test_equal_files_are_stored_once_and_deleted_apart(node: Node) -> None:
    node.admin("PUT", "/repository/team/a", b"same")
    node.admin("PUT", "/repository/again/b", b"same")
    assert len(node.blobs()) == 1
    node.admin("DELETE", "/repository/team/a")
    assert (node.get("/repository/team/a").status_code, body(node.get("/repository/again/b"))) == (404, b"same")


def test_a_digest_is_no_way_in(node: Node) -> None:
    digest = node.admin("PUT", "/repository/team/a", b"mine").get_json()["sha256"]
    for guess in (digest, f"sha256:{digest}", f"blobs/sha256/{digest}", f"../blobs/sha256/{digest[:2]}/{digest}"):
        assert node.get(f"/repository/again/{guess}").status_code in (400, 404)
