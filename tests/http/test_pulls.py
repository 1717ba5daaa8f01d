"""Who pulled what, from the request to the answer of /api/v1/pulls; and the hits that edges report."""

from __future__ import annotations

import hashlib
import ipaddress
import itertools
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from werkzeug.test import TestResponse

from app import metrics
from app.cli import main
from app.errors import StoreDown, Unavailable
from app.stores.pulls import Named, Pull
from app.web import usage
from app.web.pulls import BODY, HITS, Hits, _artifact
from app.web.usage import Artifact, Gathered
from tests.http.node import ADMIN, Node, body
from tests.http.variant import worker
from tests.upstreams import Upstream

LARGE = bytes(range(256)) * 1024  # 256 KiB: the fills process sends it
UP = "/repository/up"
NOW = time.time() // 60 * 60


def sha256(content: bytes) -> str:
    return "sha256:" + hashlib.sha256(content).hexdigest()


def written(node: Node) -> None:
    """What both processes have gathered is in the database."""
    node.idle()
    for finish in (node.carrier.finish, node.app.extensions["artifactapi"].finish):
        assert isinstance(finish.record, Gathered)
        finish.record.flush()
        finish.tally.flush()


def asked(node: Node, **parameters: object) -> TestResponse:
    query = "&".join(f"{name}={value}" for name, value in parameters.items())
    return node.admin("GET", f"/api/v1/pulls?{query}")


def pulls(node: Node, **parameters: object) -> list[dict[str, Any]]:
    written(node)
    answer = asked(node, **parameters)
    assert answer.status_code == 200, answer.text
    return list(answer.get_json()["pulls"])


# -- what is recorded ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("content", [b"small", LARGE], ids=["small", "large"])
def test_a_miss_and_a_hit_are_pulls_of_the_same_bytes(node: Node, upstream: Upstream, content: bytes) -> None:
    upstream.put("/p/bad-1.0.rpm", content)
    for _ in range(3):
        body(node.get(f"{UP}/p/bad-1.0.rpm"))
        node.idle()
    told = pulls(node)
    assert sum(each.pop("requests") for each in told) == 3
    assert sum(each.pop("bytes") for each in told) == 3 * len(content)
    assert 0 <= time.time() - NOW < 600
    for each in told:
        assert each.pop("at") >= time.strftime("%Y-%m-%dT%H:%M:00Z", time.gmtime(NOW))
        assert each == {
            "client": "127.0.0.1",
            "repository": "up",
            "path": "p/bad-1.0.rpm",
            "digest": sha256(content),
        }


def test_what_brings_a_client_nothing_is_no_pull(node: Node, upstream: Upstream) -> None:
    upstream.put("/a.txt", b"a")
    node.head(f"{UP}/a.txt")
    node.get(f"{UP}/missing.txt")
    node.get(f"{UP}/missing.txt")
    node.get("/repository/unknown/a.txt")
    node.get("/metrics")
    written(node)
    assert pulls(node) == []
    etag = node.get(f"{UP}/a.txt").headers["ETag"]
    assert node.get(f"{UP}/a.txt", If_None_Match=etag).status_code == 304
    node.head(f"{UP}/a.txt")
    assert [each["requests"] for each in pulls(node)] == [1]


def test_ranges_and_hosted_files_are_pulls(node: Node, upstream: Upstream) -> None:
    node.admin("PUT", "/repository/team/t.bin", b"hosted")
    assert node.get("/repository/team/t.bin", Range="bytes=1-2").status_code == 206
    [told] = pulls(node)
    assert (told["repository"], told["path"], told["bytes"]) == ("team", "t.bin", 2)
    assert told["digest"] == sha256(b"hosted")


def test_a_body_that_breaks_off_has_no_digest(node: Node, upstream: Upstream) -> None:
    upstream.put("/cut.rpm", LARGE)
    upstream.cut(200_000, "/cut.rpm")
    with pytest.raises(Unavailable, match="broke off"):
        node.get(f"{UP}/cut.rpm")
    assert [each["digest"] for each in pulls(node)] == [None]


def test_the_client_behind_a_proxy(node: Node, upstream: Upstream) -> None:
    upstream.put("/a.txt", b"a")
    body(node.get(f"{UP}/a.txt"))
    written(node)
    with worker(node, trusted_proxies=(ipaddress.ip_network("127.0.0.1"),)) as client:
        for address in ("2001:DB8::5", "::ffff:10.0.0.7"):
            client.get(f"{UP}/a.txt", headers={"X-Forwarded-For": f"192.0.2.1, {address}"}).get_data()
    assert {each["client"] for each in pulls(node)} == {"127.0.0.1", "2001:db8::5", "10.0.0.7"}


def test_a_replaced_file_is_known_by_its_bytes(node: Node, upstream: Upstream) -> None:
    """Who has the old one is what an operator wants to know."""
    for content in (b"good", b"bad"):
        upstream.put("/latest.txt", content)
        body(node.get(f"{UP}/latest.txt"))
        node.idle()
        node.clock.forward(101)
    body(node.get(f"{UP}/latest.txt"))
    assert {each["digest"] for each in pulls(node, path="latest.txt")} == {sha256(b"good"), sha256(b"bad")}
    assert len(pulls(node, digest=sha256(b"good"))) == 1


def test_nothing_is_recorded_where_nothing_is_kept(node: Node, upstream: Upstream) -> None:
    upstream.put("/a.txt", b"a")
    node.admin("PUT", "/repository/team/t.bin", b"hosted")
    with worker(node, pulls_keep=0) as client:
        assert client.get("/repository/team/t.bin").status_code == 200
        assert (
            client.post("/api/v1/edges/e/hits", headers=ADMIN, json=report(row("team", "t.bin"))).status_code == 204
        )
    assert pulls(node) == []


# -- gathering -------------------------------------------------------------------------------------------------


class Failing:
    """A record that is away, or keeps what it was given."""

    def __init__(self) -> None:
        self.down = True
        self.kept: list[Pull] = []

    def record(self, given: Any) -> None:
        rows = list(given)
        if self.down:
            raise StoreDown("not now")
        self.kept += rows

    def __getattr__(self, name: str) -> Any:
        raise AssertionError(name)


def test_while_the_database_is_away_a_bounded_number_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(usage, "ROWS", 3)
    record, before = Failing(), metrics.UNRECORDED._value.get()
    gathered = Gathered(record)
    for number in (1, 2, 3, 4, 1):
        gathered.add("up", Artifact(str(number), str(number)), "10.0.0.5", NOW, 1, 10)
    gathered.flush()
    for number in (1, 5):
        gathered.add("up", Artifact(str(number), str(number)), "10.0.0.5", NOW, 2, 10)
    gathered.flush()
    record.down = False
    gathered.close()
    assert [(pull.path, pull.requests, pull.bytes) for pull in record.kept] == [
        ("1", 4, 30),
        ("2", 1, 10),
        ("3", 1, 10),
    ]
    assert metrics.UNRECORDED._value.get() - before == 3, "one of 4, two of 5"


def test_many_at_once_do_not_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(usage, "EARLY", 2)
    record = Failing()
    record.down = False
    gathered = Gathered(record)
    for number in range(2):
        gathered.add("up", Artifact(str(number), str(number)), "10.0.0.5", NOW)
    deadline = time.monotonic() + 8  # EVERY is 10
    while len(record.kept) < 2:
        assert time.monotonic() < deadline
        time.sleep(0.01)
    gathered.close()


# -- asking ----------------------------------------------------------------------------------------------------


def test_it_is_the_administrators(node: Node) -> None:
    assert node.get("/api/v1/pulls").status_code == 401


@pytest.fixture
def recorded(node: Node) -> Node:
    at = int(NOW) - 3600
    digest = "ab" * 32
    node.carrier.engine.shelf.catalog.index.pulls.record(
        [
            Pull("up", "a/x.rpm", digest, "10.0.0.5", at, 1, 1),
            Pull("up", "a/x.rpm", digest, "10.0.1.6", at + 60, 1, 1),
            Pull("up", "b/y.rpm", "", "2001:db8::5", at + 120, 1, 1),
            Pull("removed", "z.rpm", "", "::", at + 180, 1, 1),
        ]
    )
    return node


def test_pages_and_filters(recorded: Node) -> None:
    assert [each["path"] for each in pulls(recorded)] == ["z.rpm", "b/y.rpm", "a/x.rpm", "a/x.rpm"]
    assert [each["client"] for each in pulls(recorded, path="/a/")] == ["10.0.1.6", "10.0.0.5"]
    assert [each["path"] for each in pulls(recorded, client="2001:db8::/32")] == ["b/y.rpm"]
    assert [each["client"] for each in pulls(recorded, client="::ffff:10.0.0.5")] == ["10.0.0.5"]
    assert [each["client"] for each in pulls(recorded, digest="AB" * 32, client="10.0.0.0/24")] == ["10.0.0.5"]
    [removed] = pulls(recorded, repository="removed")
    assert (removed["client"], removed["digest"]) == (None, None)
    seen, after = [], None
    for _ in range(4):
        page = asked(recorded, limit=1, **({} if after is None else {"after": after})).get_json()
        seen += [each["path"] for each in page["pulls"]]
        after = page["after"]
    assert (seen, after) == (["z.rpm", "b/y.rpm", "a/x.rpm", "a/x.rpm"], None)


def test_times(recorded: Node) -> None:
    moment = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(NOW - 3600 + 60))
    for form in (moment, moment + "Z", moment + "%2B00:00"):
        assert len(pulls(recorded, since=form)) == 3
        assert len(pulls(recorded, until=form)) == 1
    assert len(pulls(recorded, since="2026-01-01")) == 4
    assert len(pulls(recorded, client="-")) == 1
    told = asked(recorded).get_json()
    kept = time.strptime(told["recorded_since"], "%Y-%m-%dT%H:%M:%SZ")
    assert 29 < (NOW - time.mktime(kept) + time.timezone) / 86400 < 31


REFUSED = (
    *("repo=up", "since=yesterday", "since=0000-01-01", "until=x", "since=2026-11-21&until=2026-11-20"),
    *("client=host", "client=host.example.org/8", "client=10.0.0.0/33", "digest=sha512:ab", "digest="),
    *("limit=0", "limit=1001", "limit=x", "after=1", f"after=1.{'a' * 32}.999.1.1.1"),
    *("path=../x", "path=%00", "repository=%00"),
)


def test_what_cannot_be_asked(node: Node) -> None:
    for query in REFUSED:
        answer = node.admin("GET", f"/api/v1/pulls?{query}")
        assert answer.status_code == 400, query
        assert answer.get_json()["error"] in ("bad_parameter", "bad_path")


def test_a_wrong_name_does_not_read_as_nobody(node: Node) -> None:
    assert asked(node, repository="upp").status_code == 404
    assert asked(node, repository="up").get_json()["pulls"] == []


def test_while_the_database_is_away(node: Node) -> None:
    with worker(node, database_url="postgresql://x@/x?host=/nonexistent") as client:
        answer = client.get("/api/v1/pulls", headers=ADMIN)
        assert answer.status_code == 503
        assert int(answer.headers["Retry-After"]) >= 1
        sent = client.post("/api/v1/edges/e/hits", headers=ADMIN, json=report(row("up", "a.rpm")))
        assert sent.status_code == 204, "the hits are counted all the same"


# -- what edges report -----------------------------------------------------------------------------------------


def row(repository: str, key: str, **other: object) -> dict[str, object]:
    given = {"client": "10.0.0.9", "minute": int(NOW), "requests": 2, "bytes": 20}
    return {"repository": repository, "key": key} | given | other


def report(*rows: dict[str, object]) -> dict[str, object]:
    return {"hits": list(rows)}


def sent(node: Node, document: object) -> TestResponse:
    return node.client.post("/api/v1/edges/e1/hits", headers=ADMIN, json=document)


def test_hits_of_an_edge_count_like_our_own(node: Node, upstream: Upstream) -> None:
    upstream.put("/a.rpm", b"a")
    body(node.get(f"{UP}/a.rpm"))
    written(node)
    before = _counted()
    assert sent(node, report(row("up", "a.rpm"), row("gone", "a.rpm"), row("up", "evicted.rpm"))).status_code == 204
    assert [now - then for now, then in zip(_counted(), before, strict=True)] == [4, 40, 4, 0]
    written(node)
    told = node.admin("GET", "/metrics?format=json").get_json()["repositories"]
    assert set(told) == {"up"}
    assert (told["up"]["hits"], told["up"]["bytes"]) == (4, 41)
    edge = [each for each in pulls(node) if each["client"] == "10.0.0.9"]
    assert sorted((each["path"], each["requests"], each["bytes"]) for each in edge) == [
        ("a.rpm", 2, 20),
        ("evicted.rpm", 2, 20),
    ]


def _counted() -> list[float]:
    labels = ("up", "GET", "200", "HIT")
    timed = next(each for each in metrics.SECONDS.labels("up")._child_samples() if each.name == "_count")
    return [
        metrics.REQUESTS.labels(*labels)._value.get(),
        metrics.BYTES.labels("up", "HIT")._value.get(),
        metrics.EDGE.labels("up")._value.get(),
        timed.value,
    ]


def test_an_edge_that_keeps_an_entry_in_use_keeps_it_from_eviction(node: Node, upstream: Upstream) -> None:
    for name in ("cold", "hot"):
        upstream.put(f"/{name}.rpm", b"a")
        body(node.get(f"{UP}/{name}.rpm"))
    written(node)
    index = node.carrier.engine.shelf.catalog.index
    index.used([("up", "cold.rpm"), ("up", "hot.rpm")], 1000.0, -(10**9))
    assert sent(node, report(row("up", "hot.rpm"))).status_code == 204
    node.app.extensions["artifactapi"].finish.usage.flush()
    assert [each.path for each in index.coldest(["up"], False, 2)] == ["cold.rpm", "hot.rpm"]


def test_minutes_of_another_clock(node: Node) -> None:
    node.admin("PUT", "/repository/team/t.bin", b"t")
    future, past = int(NOW) + 86400, int(NOW) - 31 * 86400
    for minute in (future, past, int(NOW) - 3600 + 17):
        assert sent(node, report(row("team", "t.bin", minute=minute))).status_code == 204
    moments = [each["at"] for each in pulls(node)]
    assert len(moments) == 2
    assert moments[0] <= time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    assert moments[1] == time.strftime("%Y-%m-%dT%H:%M:00Z", time.gmtime(NOW - 3600))


@pytest.mark.parametrize(
    ("fetched", "known"), [(NOW - 3600, True), (NOW - 5, True), (NOW - 1, False), (NOW + 30, False)]
)
def test_a_digest_is_only_of_what_was_certainly_served(fetched: float, known: bool) -> None:
    """An edge tells the entry's name; the index what it has now."""
    hits = Hits("up", "a#1", "10.0.0.9", int(NOW) + 20, 1, 1)
    assert _artifact(hits, Named("a", "ab", fetched)) == Artifact("a#1", "a", "ab" if known else "")
    assert _artifact(hits, None) == Artifact("a#1", "a#1")


def test_who_may_report(node: Node) -> None:
    assert node.client.post("/api/v1/edges/e1/hits", json=report()).status_code == 401
    with worker(node, edge_token="a-token-of-the-edge") as client:
        headers = {"Authorization": "Bearer a-token-of-the-edge"}
        assert client.post("/api/v1/edges/e1/hits", headers=headers, json=report()).status_code == 204
        assert client.get("/api/v1/pulls", headers=headers).status_code == 401


BAD: dict[str, Callable[[dict[str, object]], object]] = {
    "a list": lambda good: [good],
    "no rows": lambda good: {},
    "a number": lambda good: 5,
    "more": lambda good: report(good) | {"more": 1},
    "too many": lambda good: report(*itertools.repeat(good, HITS + 1)),
    "a row of text": lambda good: {"hits": ["x"]},
    **{
        f"no {name}": lambda good, name=name: report({k: v for k, v in good.items() if k != name})  # type: ignore[misc]
        for name in ("repository", "key", "client", "minute", "requests", "bytes")
    },
    "nothing asked": lambda good: report(good | {"requests": 0}),
    "negative": lambda good: report(good | {"bytes": -1}),
    "huge": lambda good: report(good | {"bytes": 10**30}),
    "a float": lambda good: report(good | {"minute": 1.5}),
    "a NUL": lambda good: report(good | {"key": "a\0b"}),
    "a surrogate": lambda good: report(good | {"key": "a\ud800"}),
    "no key": lambda good: report(good | {"key": ""}),
    "unknown field": lambda good: report(good | {"status": 200}),
}


def test_a_report_is_checked_whole(node: Node) -> None:
    good = row("team", "t.bin")
    for case, broken in BAD.items():
        answer = sent(node, broken(good))
        assert (answer.status_code, answer.get_json()["error"]) == (422, "unprocessable"), case
    assert pulls(node) == []


def test_a_report_that_is_no_json(node: Node) -> None:
    for text in (b"", b"{", b"[" * 50_000, b'{"hits": [' + b"9" * 5000 + b"]}", b"\xff"):
        answer = node.admin("POST", "/api/v1/edges/e1/hits", text)
        assert (answer.status_code, answer.get_json()["error"]) == (400, "bad_body")


def test_a_report_that_is_too_long(node: Node) -> None:
    rows = report(*itertools.repeat(row("team", "k" * 200), HITS))
    assert len(json.dumps(rows)) > BODY
    assert sent(node, rows).status_code == 413


# -- the command -----------------------------------------------------------------------------------------------


def test_the_command(recorded: Node, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    settings = recorded.settings
    for name, value in (
        ("DATABASE_URL", settings.database_url),
        ("REDIS_URL", settings.redis_url),
        ("CONFIG_PATH", settings.config_path),
        ("DATA_DIR", settings.data_dir),
    ):
        monkeypatch.setenv(name, str(value))
    run = CliRunner().invoke
    done = run(main, ["pulls", "--limit", "2"])
    head, first, second = done.stdout.splitlines()
    assert head.split() == ["at", "client", "requests", "bytes", "what"]
    assert first.split()[1:] == ["-", "1", "1", "removed/z.rpm"]
    assert second.split()[1] == "2001:db8::5"
    assert "--limit" in done.stderr
    lines = run(main, ["pulls", "--repository", "up", "--path", "a/", "--json"]).stdout.splitlines()
    assert [json.loads(line)["client"] for line in lines] == ["10.0.1.6", "10.0.0.5"]
    assert "goes back 30 days" in run(main, ["pulls", "--path", "nothing"]).stderr
    for wrong in (["--repository", "upp"], ["--since", "now"]):
        assert run(main, ["pulls", *wrong]).exit_code != 0
