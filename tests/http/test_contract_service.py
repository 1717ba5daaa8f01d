"""API.md, "Service", line by line: what the node is, how it is, what it counts, how it is configured."""

from __future__ import annotations

import json
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families
from werkzeug.test import TestResponse

from app import __version__
from tests.http.node import TOKEN, Node, body
from tests.http.variant import NOBODY, without_storage, worker
from tests.upstreams import Upstream

SECRET = "a-secret-of-upstream"


def test_the_root_says_what_this_is(node: Node) -> None:
    answer = node.get("/")
    assert (answer.status_code, answer.mimetype) == (200, "application/json")
    assert answer.get_json() == {
        "name": "artifactapi",
        "version": __version__,
        "remotes": ["up", "rpm", "drop"],
        "virtuals": [],
        "locals": ["team", "again"],
    }


# -- health ------------------------------------------------------------------------------------------------


def test_health_of_a_well_node(node: Node) -> None:
    answer = node.get("/health")
    assert answer.status_code == 200
    told = answer.get_json()
    assert len(told.pop("config_sha256")) == 64
    checks = dict.fromkeys(("api", "database", "redis", "storage"), "healthy")
    assert told == {"status": "healthy", "checks": checks, "upstreams": {}}
    assert node.get("/health/live").status_code == 200
    assert node.get("/health/ready").status_code == 200


AWAY = [
    (("redis",), 200),
    (("database",), 200),
    (("redis", "database"), 503),
    (("storage",), 503),
    (("storage", "redis", "database"), 503),
]


def test_health_names_what_is_away(node: Node) -> None:
    for away, ready in AWAY:
        urls = {f"{name}_url": NOBODY[f"{name}_url"] for name in away if name != "storage"}
        unmounted = without_storage(node) if "storage" in away else nullcontext()
        with worker(node, **urls) as client, unmounted:
            _unwell(client.get("/health"), away)
            assert client.get("/health/ready").status_code == ready, away
            assert client.get("/health/live").status_code == 200
    assert node.get("/health").status_code == 200, "the storage is back"


def _unwell(answer: TestResponse, away: tuple[str, ...]) -> None:
    told = answer.get_json()
    unhealthy = {name for name, state in told["checks"].items() if state == "unhealthy"}
    assert (answer.status_code, told["status"], unhealthy) == (503, "unhealthy", set(away))
    assert set(told["checks"]) == {"api", "database", "redis", "storage"}
    assert "nonexistent" not in answer.get_data(as_text=True), "reasons are for the log"


def test_an_upstream_that_is_down_leaves_the_node_healthy(node: Node, upstream: Upstream) -> None:
    upstream.stop()
    assert node.get("/repository/up/a.txt").status_code == 502
    assert node.get("/health").status_code == 200


def test_the_hash_of_the_configuration_follows_it(node: Node, remotes: dict[str, Any], tmp_path: Path) -> None:
    before = node.get("/health").get_json()["config_sha256"]
    other = tmp_path / "other.json"
    remotes["remotes"]["up"]["cache"]["mutable_ttl"] = 101
    other.write_text(json.dumps(remotes))
    with worker(node, config_path=other) as client:
        assert client.get("/health").get_json()["config_sha256"] != before
    with worker(node) as client:
        assert client.get("/health").get_json()["config_sha256"] == before


# -- metrics -----------------------------------------------------------------------------------------------


def test_metrics_are_prometheus_text(node: Node, upstream: Upstream) -> None:
    upstream.put("/a.txt", b"twelve bytes")
    before = _samples(node)
    body(node.get("/repository/up/a.txt"))
    node.idle()
    body(node.get("/repository/up/a.txt"))
    after = _samples(node)
    for cache in ("MISS", "HIT"):
        labels = (("cache", cache), ("method", "GET"), ("repository", "up"), ("status", "200"))
        name = ("artifactapi_requests_total", labels)
        assert after[name] - before.get(name, 0) == 1
        sent = ("artifactapi_response_bytes_total", (("cache", cache), ("repository", "up")))
        assert after[sent] - before.get(sent, 0) == len(b"twelve bytes")


def _samples(node: Node) -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
    answer = node.get("/metrics")
    assert answer.status_code == 200
    assert answer.headers["Content-Type"].startswith("text/plain")
    families = text_string_to_metric_families(answer.get_data(as_text=True))
    samples = [sample for family in families for sample in family.samples]
    return {(each.name, tuple(sorted(each.labels.items()))): each.value for each in samples}


def test_labels_are_bounded_by_the_configuration(node: Node) -> None:
    for path in ("/repository/not-configured/x", "/nothing/here", "/api/v1/remote/neither/x"):
        node.get(path)
    node.ask("BREW", "/repository/up/x")
    text = node.get("/metrics").get_data(as_text=True)
    for word in ("not-configured", "neither", "nothing", "BREW"):
        assert word not in text


def test_metrics_of_a_name_are_no_defect(node: Node) -> None:
    for name in ("artifactapi_requests_total", "%00", "%ff", ""):
        assert node.get(f"/metrics?name[]={name}").status_code == 200, name


def test_metrics_as_json(node: Node, upstream: Upstream) -> None:
    upstream.put("/a.txt", b"twelve bytes")
    for _ in range(4):
        body(node.get("/repository/up/a.txt"))
        node.idle()
    node.get("/repository/rpm/nothing.txt")
    node.idle()
    _count(node)
    told = node.get("/metrics?format=json").get_json()
    assert told["repositories"]["up"] == {"hits": 3, "misses": 1, "bytes": 48, "ratio": 0.75}
    assert told["repositories"]["rpm"] == {"hits": 0, "misses": 1, "bytes": 0, "ratio": 0.0}
    assert told["totals"] == {"hits": 3, "misses": 2, "bytes": 48, "ratio": 0.6}


def _count(node: Node) -> None:
    """Both processes send what they have counted, without waiting for their next second."""
    node.carrier.finish.tally.flush()
    node.app.extensions["artifactapi"].finish.tally.flush()


def test_metrics_as_json_need_redis_and_say_so(node: Node) -> None:
    with worker(node, redis_url=NOBODY["redis_url"]) as client:
        answer = client.get("/metrics?format=json")
        assert (answer.status_code, answer.get_json()["error"]) == (503, "store_unavailable")
        assert client.get("/metrics").status_code == 200


def test_a_metrics_token_closes_metrics(node: Node) -> None:
    with worker(node, metrics_token="a-token-for-metrics") as client:
        for query in ("", "?format=json"):
            refused = client.get(f"/metrics{query}")
            assert (refused.status_code, refused.get_json()["error"]) == (401, "unauthorized")
            assert refused.headers["WWW-Authenticate"].startswith("Basic ")
            for token in ("a-token-for-metrics", TOKEN):
                assert client.get(f"/metrics{query}", headers={"Authorization": f"Bearer {token}"}).status_code == 200
                assert client.get(f"/metrics{query}", auth=("any", token)).status_code == 200
            assert client.get(f"/metrics{query}", auth=("any", "a-token-for-metric")).status_code == 401
        assert client.get("/config", headers={"Authorization": "Bearer a-token-for-metrics"}).status_code == 401
    with worker(node, metrics_token="a-token-for-metrics", auth="open") as client:
        assert client.get("/metrics").status_code == 200


# -- configuration -----------------------------------------------------------------------------------------


def test_config_shows_effective_values_and_no_secret(
    remotes: dict[str, Any], upstream: Upstream, request: pytest.FixtureRequest
) -> None:
    remotes["remotes"]["up"] |= {
        "username": "robot",
        "password": SECRET,
        "upstream": {
            "proxy": f"http://me:{SECRET}@127.0.0.1:1",
            "headers": {"X-Auth-Token": SECRET, "X-Team": "shown"},
        },
    }
    node: Node = request.getfixturevalue("node")
    answer = node.admin("GET", "/config")
    assert (answer.status_code, answer.mimetype) == (200, "application/json")
    told = answer.get_json()
    assert set(told) == {"remotes", "virtuals", "locals"}
    assert (set(told["remotes"]), set(told["locals"])) == ({"up", "rpm", "drop"}, {"team", "again"})
    up = told["remotes"]["up"]
    assert (up["base_url"], up["cache"]) == (upstream.url, {"immutable_ttl": 0, "mutable_ttl": 100})
    assert (up["check_mutable_updates"], up["on_upstream_gone"]) == (True, "keep"), "defaults are shown too"
    assert (up["username"], up["password"]) == ("robot", "***")
    assert up["upstream"]["headers"] == {"X-Auth-Token": "***", "X-Team": "shown"}
    assert "127.0.0.1:1" in up["upstream"]["proxy"]
    assert told["locals"]["again"]["overwrite"] is True
    assert SECRET not in answer.get_data(as_text=True)
    assert TOKEN not in answer.get_data(as_text=True)


# -- errors ------------------------------------------------------------------------------------------------

REFUSALS = [
    ("GET", "/nothing", 404, "not_found"),
    ("GET", "/repository/nope/x", 404, "unknown_repository"),
    ("GET", "/repository/team/x", 404, "file_not_found"),
    ("GET", "/repository/up/a/../b", 400, "bad_path"),
    ("GET", "/config", 401, "unauthorized"),
    ("POST", "/health", 405, "method_not_allowed"),
    ("GET", "/cache/flush", 405, "method_not_allowed"),
    ("PATCH", "/repository/up/x", 401, "unauthorized"),
    ("GET", "/repository/up/no-such-file", 404, "not_found"),
    ("GET", "/repository/up/denied", 502, "upstream_denied"),
    ("GET", "/repository/up/broken", 502, "upstream_error"),
    ("GET", "/api/v1/remote/nope/x", 404, "unknown_repository"),
    ("GET", "/api/v1/local/up/x", 404, "unknown_repository"),
]


def test_every_error_is_json_of_one_shape(node: Node, upstream: Upstream) -> None:
    upstream.status(403, "/denied")
    upstream.status(500, "/broken")
    for method, path, status, code in REFUSALS:
        answer = node.ask(method, path)
        assert (answer.status_code, answer.mimetype) == (status, "application/json"), path
        told = answer.get_json()
        assert set(told) == {"error", "message", "request_id"}, path
        assert (told["error"], told["request_id"]) == (code, answer.headers["X-Request-Id"]), path
        assert told["message"]
        assert ("Allow" in answer.headers) == (status == 405), path
        assert ("WWW-Authenticate" in answer.headers) == (status == 401), path
        assert "Traceback" not in answer.get_data(as_text=True)


def test_a_clients_request_id_is_kept_where_it_is_one(node: Node, upstream: Upstream) -> None:
    upstream.put("/a.txt", b"a")
    for path in ("/", "/repository/up/a.txt", "/repository/up/a.txt", "/repository/up/missing", "/nothing"):
        assert node.get(path, X_Request_Id="from-a.proxy:7").headers["X-Request-Id"] == "from-a.proxy:7", path
    made = {node.get("/", X_Request_Id=bad).headers["X-Request-Id"] for bad in ('"', "a b", "x" * 65, "é", "")}
    assert len(made) == 5
    assert all(len(each) == 16 and each.isalnum() for each in made)


@pytest.mark.parametrize("debug", [False, True])
def test_a_defect_tells_a_client_nothing_unless_debug(
    node: Node, debug: bool, caplog: pytest.LogCaptureFixture
) -> None:
    def defect() -> str:
        raise RuntimeError("inner workings")

    with worker(node, debug=debug) as client:
        client.application.add_url_rule("/defect", view_func=defect)
        answer = client.get("/defect")
    told = answer.get_json()
    assert (answer.status_code, told["error"]) == (500, "internal_error")
    assert told["request_id"] == answer.headers["X-Request-Id"]
    assert told.get("detail") == ("RuntimeError: inner workings" if debug else None)
    assert ("inner workings" in answer.get_data(as_text=True)) == debug
    assert "Traceback" not in answer.get_data(as_text=True)
    assert "inner workings" in caplog.text, "the log has all of it"


def test_unreachable_redis_stops_no_reading(node: Node, upstream: Upstream) -> None:
    upstream.put("/a.txt", b"a")
    body(node.get("/repository/up/a.txt"))
    node.idle()
    with worker(node, redis_url=NOBODY["redis_url"]) as client:
        for _ in range(3):
            answer = client.get("/repository/up/a.txt")
            assert (answer.headers["X-Cache"], answer.get_data()) == ("HIT", b"a")


def test_options_names_the_methods(node: Node) -> None:
    for path in ("/", "/health", "/config", "/cache/flush"):
        assert node.ask("OPTIONS", path).status_code == 200
    refused = node.ask("OPTIONS", "/repository/up/x")
    assert refused.status_code == 405
    assert {"GET", "HEAD"} <= set(refused.headers["Allow"].split(", "))
