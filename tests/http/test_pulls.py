"""Who pulled what, from the request to the answer of /api/v1/pulls."""

from __future__ import annotations

import ipaddress
import json
import time
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from app import metrics, times
from app.cli import main
from app.errors import StoreDown, Unavailable
from app.stores.pulls import Pull
from app.web import usage
from app.web.usage import Artifact, Gathered
from tests.http.node import ADMIN, Node, body
from tests.http.recording import NOW, asked, pulls, report, row, sha256, written
from tests.http.variant import worker
from tests.upstreams import Upstream

LARGE = bytes(range(256)) * 1024  # 256 KiB: the fills process sends it
UP = "/repository/up"


# -- what is recorded ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("content", [b"small", LARGE], ids=["small", "large"])
def test_a_miss_and_a_hit_are_pulls_of_the_same_bytes(node: Node, upstream: Upstream, content: bytes) -> None:
    upstream.put("/p/bad-1.0.rpm", content)
    begun = time.time()
    for _ in range(3):
        body(node.get(f"{UP}/p/bad-1.0.rpm"))
        node.idle()
    told = pulls(node)
    assert sum(each.pop("requests") for each in told) == 3
    assert sum(each.pop("bytes") for each in told) == 3 * len(content)
    for each in told:
        assert each.pop("at") >= time.strftime("%Y-%m-%dT%H:%M:00Z", time.gmtime(begun))
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
    upstream.rate(400_000)  # so that the head is on its way before
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

    def record(self, given: Any) -> int:
        rows = list(given)
        if self.down:
            raise StoreDown("not now")
        self.kept += rows
        return 0

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


def test_a_count_that_is_too_high_costs_no_other_pull(node: Node) -> None:
    record = Gathered(node.carrier.engine.shelf.catalog.index.pulls)
    for at in (NOW, NOW, NOW + 60):
        record.add("up", Artifact("forged", "forged"), "10.0.0.6", at, 2**62, 2**63 - 2)
    record.add("up", Artifact("a", "a"), "10.0.0.5", NOW, 1, 10)
    record.flush()
    record.close()
    assert {(each["path"], each["requests"], each["bytes"]) for each in pulls(node)} == {
        ("forged", 2**31 - 1, 2**63 - 1),
        ("forged", 2**31 - 1, 2**63 - 2),
        ("a", 1, 10),
    }


def test_what_can_never_be_written_costs_no_other_pull(node: Node) -> None:
    record, before = Gathered(node.carrier.engine.shelf.catalog.index.pulls), metrics.UNRECORDED._value.get()
    for path in ("a", "NUL \0", "b", "half \ud800", "c"):
        record.add("up", Artifact(path, path), "10.0.0.5", NOW, 2, 10)
    record.flush()
    record.close()
    assert {(each["path"], each["requests"]) for each in pulls(node)} == {("a", 2), ("b", 2), ("c", 2)}
    assert metrics.UNRECORDED._value.get() - before == 4


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


def test_a_record_tells_since_when_it_is_one(node: Node) -> None:
    """On the day of an upgrade "nobody" must not read as "nobody in 30 days"."""
    assert asked(node).get_json()["recorded_since"] is None
    record = node.carrier.engine.shelf.catalog.index.pulls
    for days, told in ((1, 1), (29, 29), (40, 30)):  # PULLS_KEEP is 30 days, what is older waits for its pruning
        record.record([Pull("up", "a", "", "10.0.0.5", int(node.clock()) - days * 86400, 1, 1)])
        since = times.moment(asked(node).get_json()["recorded_since"])
        assert abs(node.clock() - since - told * 86400) < 120


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
    since = times.written(int(NOW) - 3600)
    assert f"goes back to {since}" in run(main, ["pulls", "--path", "nothing"]).stderr
    for wrong in (["--repository", "upp"], ["--since", "now"]):
        assert run(main, ["pulls", *wrong]).exit_code != 0
