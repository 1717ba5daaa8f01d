"""RFC 9110, 13 and 14, on a stored body: a small one that a worker sends, a big one that is handed over."""

from __future__ import annotations

import random

import pytest
from werkzeug.test import TestResponse

from tests.http.byteranges import parts
from tests.http.node import Node, body
from tests.upstreams import Upstream

PATH = "/repository/up/dir/a.txt"
ETAG, DATE = '"the-etag"', "Sat, 01 Jan 2022 12:00:00 GMT"
EARLIER, LATER = "Sat, 01 Jan 2022 11:59:59 GMT", "Sat, 01 Jan 2022 12:00:01 GMT"
CONTENT = random.Random(1).randbytes(700_000)


@pytest.fixture(params=[1000, 700_000], ids=["small", "handed over"])
def content(request: pytest.FixtureRequest, node: Node, upstream: Upstream) -> bytes:
    """A stored body with known validators."""
    found = CONTENT[: request.param]
    upstream.put("/dir/a.txt", found, ETag=ETAG, Last_Modified=DATE)
    assert body(node.get(PATH)) == found
    node.idle()
    return found


# -- conditions --------------------------------------------------------------------------------------------------

CONDITIONS: list[tuple[dict[str, str], int]] = [
    ({"If-None-Match": ETAG}, 304),
    ({"If-None-Match": f"W/{ETAG}"}, 304),
    ({"If-None-Match": f'"other", {ETAG}'}, 304),
    ({"If-None-Match": f'W/"other" ,W/{ETAG},"third"'}, 304),
    ({"If-None-Match": "*"}, 304),
    ({"If-None-Match": '"other"'}, 200),
    ({"If-None-Match": '"the-etag-2"'}, 200),
    ({"If-None-Match": '"THE-ETAG"'}, 200),
    ({"If-None-Match": ""}, 200),
    ({"If-None-Match": '"'}, 200),
    ({"If-None-Match": ",,,"}, 200),
    ({"If-Modified-Since": DATE}, 304),
    ({"If-Modified-Since": LATER}, 304),
    ({"If-Modified-Since": EARLIER}, 200),
    ({"If-Modified-Since": "Saturday, 01-Jan-22 12:00:00 GMT"}, 304),
    ({"If-Modified-Since": "Sat Jan  1 12:00:00 2022"}, 304),
    ({"If-Modified-Since": "yesterday"}, 200),
    ({"If-Modified-Since": ""}, 200),
    ({"If-Modified-Since": "Sat, 32 Foo 2022 99:99:99 GMT"}, 200),
    ({"If-Modified-Since": "Sat, 01 Jan 99999999 12:00:00 GMT"}, 200),
    ({"If-None-Match": '"other"', "If-Modified-Since": LATER}, 200),
    ({"If-None-Match": ETAG, "If-Modified-Since": EARLIER}, 304),
    ({"If-None-Match": ETAG, "Range": "bytes=0-9"}, 304),
    ({"If-Modified-Since": DATE, "Range": "bytes=0-9"}, 304),
    ({"If-Match": '"other"'}, 200),  # for changes (13.1.1); a cache may leave it to the origin
    ({"If-Unmodified-Since": EARLIER}, 200),
]


def test_conditions(node: Node, content: bytes) -> None:
    for headers, status in CONDITIONS:
        for method in ("GET", "HEAD"):
            answer = node.client.open(PATH, method=method, headers=headers, buffered=True)
            got = answer.get_data()
            assert answer.status_code == status, (method, headers)
            assert got == (content if (method, status) == ("GET", 200) else b""), (method, headers)
            assert (answer.headers["ETag"], answer.headers["X-Cache"]) == (ETAG, "HIT")
            assert answer.headers.get("Last-Modified", DATE if status == 304 else "") == DATE, (
                "15.4.5: may be left out"
            )
            if status == 304:
                assert answer.headers.get("Content-Length", "0") in ("0", str(len(content)))
                assert "Content-Range" not in answer.headers


def test_conditions_on_a_miss(node: Node, upstream: Upstream) -> None:
    upstream.put("/dir/a.txt", CONTENT, ETag=ETAG, Last_Modified=DATE)
    for headers, status in CONDITIONS[:8]:
        node.admin("PUT", "/cache/flush")
        answer = node.client.get(PATH, headers=headers, buffered=True)
        assert (answer.status_code, answer.headers["X-Cache"]) == (status, "MISS"), headers
        assert answer.get_data() == (CONTENT if status == 200 else b"")
        node.idle()
        assert node.head(PATH).headers["X-Cache"] == "HIT", "what a 304 spared the client is stored all the same"
    asked = {name for seen in upstream.requests for name in seen.headers}
    assert not {"if-none-match", "if-modified-since", "range"} & asked, "a client's conditions are its own"


def test_a_weak_etag_of_upstream(node: Node, upstream: Upstream) -> None:
    upstream.put("/dir/a.txt", b"0123456789", ETag=f"W/{ETAG}", Last_Modified=DATE)
    body(node.get(PATH))
    node.idle()
    for given in (ETAG, f"W/{ETAG}"):
        assert node.get(PATH, If_None_Match=given).status_code == 304, "compared weakly (13.1.2)"
        whole = node.get(PATH, If_Range=given, Range="bytes=0-1")
        assert (whole.status_code, body(whole)) == (200, b"0123456789"), "compared strongly (13.1.5)"


# -- ranges ------------------------------------------------------------------------------------------------------


def ranged(node: Node, value: str, **headers: str) -> TestResponse:
    return node.get(PATH, Range=value, **headers)


def test_one_range(node: Node, content: bytes) -> None:
    size = len(content)
    for value, first, stop in (
        ("bytes=0-0", 0, 1),
        ("bytes=0-99", 0, 100),
        ("bytes=1-1", 1, 2),
        ("bytes=100-", 100, size),
        ("bytes=0-", 0, size),
        ("bytes=-1", size - 1, size),
        ("bytes=-100", size - 100, size),
        (f"bytes=-{size}", 0, size),
        (f"bytes=-{size + 5}", 0, size),
        (f"bytes={size - 1}-", size - 1, size),
        (f"bytes={size - 1}-{size + 99}", size - 1, size),
        (f"bytes=0-{size * 1000}", 0, size),
        (f"bytes=0-0,{size}-", 0, 1),
        ("Bytes=5-9", 5, 10),
    ):
        answer = ranged(node, value)
        got = body(answer)
        assert (answer.status_code, got == content[first:stop]) == (206, True), value
        assert parts(dict(answer.headers), got, size) == [(first, got)]
        assert answer.headers["Content-Length"] == str(stop - first)
        assert (answer.headers["X-Artifact-Size"], answer.headers["ETag"]) == (str(size), ETAG)


def test_several_ranges_are_a_multipart_or_the_whole(node: Node, content: bytes) -> None:
    size = len(content)
    for value, expected in (
        ("bytes=0-9,20-29", [(0, 10), (20, 30)]),
        ("bytes=0-9, 20-29 , 500-", [(0, 10), (20, 30), (500, size)]),
        ("bytes=0-0,-1", [(0, 1), (size - 1, size)]),
        (f"bytes=5-6,100-200,{size}-", [(5, 7), (100, 201)]),
        (f"bytes=0-9,{size - 3}-{size + 9}", [(0, 10), (size - 3, size)]),
    ):
        answer = ranged(node, value)
        got = body(answer)
        assert answer.status_code == 206, value
        assert parts(dict(answer.headers), got, size) == [(first, content[first:stop]) for first, stop in expected], (
            value
        )
        assert answer.headers["Content-Length"] == str(len(got))
    for value in ("bytes=20-29,0-9", "bytes=0-9,5-14", "bytes=-5,0-9"):
        correct(ranged(node, value), content)


def correct(answer: TestResponse, content: bytes) -> None:
    """Whichever of the allowed forms: the bytes are where the response says."""
    got = body(answer)
    if answer.status_code == 200:
        assert got == content
        return
    assert answer.status_code == 206
    for first, piece in parts(dict(answer.headers), got, len(content)):
        assert content[first : first + len(piece)] == piece


def test_the_256_ranges_of_a_zchunk_download(node: Node, content: bytes) -> None:
    step = len(content) // 256
    spans = [(at * step, at * step + max(1, step // 2)) for at in range(256)]
    answer = ranged(node, "bytes=" + ",".join(f"{first}-{stop - 1}" for first, stop in spans))
    assert answer.status_code == 206
    assert parts(dict(answer.headers), body(answer), len(content)) == [
        (first, content[first:stop]) for first, stop in spans
    ]


def test_abuse_never_costs_more_than_the_whole(node: Node, content: bytes) -> None:
    size = len(content)
    for value in (
        "bytes=" + ",".join(["0-"] * 200),
        "bytes=" + ",".join(f"{at}-{at}" for at in range(0, 600, 2)),
        "bytes=" + ",".join(["0-0"] * 5000),
        "bytes=" + ",".join(f"0-{at}" for at in range(size - 250, size)),
        f"bytes=0-{size - 2},1-{size - 1}",
        f"bytes=0-,-{size}",
    ):
        answer = ranged(node, value)
        assert answer.status_code == 200, value[:60]
        assert body(answer) == content


def test_no_range_within_the_body(node: Node, content: bytes) -> None:
    size = len(content)
    several = ranged(node, f"bytes={size + 1}-{size + 2},{size * 9}-")
    assert (several.status_code, body(several) == content) == (200, True), "librepo falls back on a whole 200 alone"
    for value in (f"bytes={size}-", f"bytes={size}-{size + 5}", f"bytes={size * 9}-"):
        answer = ranged(node, value)
        told = (answer.status_code, answer.headers.get("Content-Range"))
        assert told == (416, f"bytes */{size}"), value
        assert answer.get_json()["error"] == "range_not_satisfiable"
        assert answer.get_json()["request_id"] == answer.headers["X-Request-Id"]
    assert ranged(node, f"bytes={size}-", If_Range='"other"').status_code == 200


MALFORMED = [
    "", "bytes", "bytes=", "bytes=-", "bytes=--1", "bytes=a-b", "bytes=5-2", "bytes=0-9-9", "bytes 0-9", "0-9",
    "items=0-9", "bytes=0-9;q=1", "bytes=0x0-0x9", "bytes=+0-9", "bytes=1_0-2_0", "bytes=0.0-9", "bytes=0-9,x",
    "bytes=9-0,20-29", "bytes=,", "bytes=0 0-9", "=0-9", "bytes==0-9", "bytes=\xb2-\xb3", "bytes=" + "9" * 5000 + "-",
]  # fmt: skip


def test_a_malformed_range_is_ignored(node: Node, content: bytes) -> None:
    for value in MALFORMED:
        answer = ranged(node, value)
        assert (answer.status_code, body(answer) == content) == (200, True), value[:60]
        assert answer.headers["Accept-Ranges"] == "bytes"


def test_if_range(node: Node, content: bytes) -> None:
    for value, status in (
        (ETAG, 206),
        (f" {ETAG} ", 206),
        (DATE, 206),
        ('"other"', 200),
        (f"W/{ETAG}", 200),
        (EARLIER, 200),
        (LATER, 200),
        ("the-etag", 200),
        ("*", 200),
        ("", 200),
        ('"', 200),
        (f'{ETAG}, "other"', 200),
        ("\xff\xfe", 200),
    ):
        answer = ranged(node, "bytes=0-9", If_Range=value)
        assert answer.status_code == status, value
        assert body(answer) == (content[:10] if status == 206 else content)
    assert node.get(PATH, If_Range=ETAG).status_code == 200, "means nothing without a Range"


def test_a_head_has_no_range(node: Node, content: bytes) -> None:
    answer = node.head(PATH, Range="bytes=0-9")
    assert (answer.status_code, answer.headers["Content-Length"]) == (200, str(len(content)))
    assert "Content-Range" not in answer.headers


def test_ranges_and_conditions_under_the_api(node: Node, content: bytes) -> None:
    for form in ("/api/v1/remote/up/dir/a.txt",):
        answer = node.get(form, Range="bytes=0-9")
        assert (answer.status_code, body(answer)) == (206, content[:10])
        assert answer.headers["Content-Disposition"] == 'attachment; filename="a.txt"'
        assert node.get(form, If_None_Match=ETAG).status_code == 304


def test_ranges_of_a_local_file(node: Node, content: bytes) -> None:
    path = "/repository/team/a"
    node.admin("PUT", path, content)
    etag = node.get(path).headers["ETag"]
    resumed = node.get(path, Range="bytes=500-", If_Range=etag)
    assert (resumed.status_code, body(resumed)) == (206, content[500:])
    assert node.get(path, If_None_Match=etag).status_code == 304
    assert node.get(path, If_Modified_Since=node.head(path).headers["Last-Modified"]).status_code == 304
