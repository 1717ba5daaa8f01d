"""helm on a node: what is wrong upstream is a 502 or the old copy, and nothing of it is kept."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest

from tests.formats.proxied import serving
from tests.formats.test_helm import BAD, index, version
from tests.hosting.charts import plain
from tests.http.node import Node
from tests.upstreams import Upstream


def chart_path(node: Node, chart: str) -> str:
    (entry, *_) = json.loads(node.get("/repository/r/index.yaml").data)["entries"][chart]
    return f"/repository/r/{entry['urls'][0]}"


def digest(body: bytes) -> str:
    return hashlib.sha256(body).hexdigest()


def test_what_is_wrong_is_not_kept(tmp_path: Path, database_url: str, redis_url: str) -> None:
    """A chart with other bytes, a login page, an address inside; and an index that breaks keeps its old copy."""
    chart, elsewhere = plain("demo", "1.0.0"), Upstream()
    with serving(tmp_path, database_url, redis_url, "helm", "/charts") as (node, upstream):
        entries = [
            version("demo", "1.0.0", f"{elsewhere.url}/demo.tgz", digest=digest(chart)),
            version("wrong", "1.0.0", f"{elsewhere.url}/demo.tgz", digest="0" * 64),
            version("page", "1.0.0", "page.tgz"),
            version("inside", "1.0.0", "http://169.254.169.254/x.tgz"),
            version("gone", "1.0.0", "gone.tgz"),
        ]
        upstream.put("/charts/index.yaml", index(*entries))
        elsewhere.put("/demo.tgz", chart)
        elsewhere.put("/demo.tgz.prov", b"-----BEGIN PGP SIGNED MESSAGE-----\n")
        upstream.html("/charts/page.tgz")
        good = node.get(chart_path(node, "demo"))
        assert (good.status_code, good.data, good.headers["X-Cache"]) == (200, chart, "MISS")
        node.idle()
        assert node.get(chart_path(node, "demo")).headers["X-Cache"] == "HIT"
        assert node.get(chart_path(node, "demo") + ".prov").status_code == 200
        statuses = {name: node.get(chart_path(node, name)).status_code for name in ("page", "inside", "gone")}
        assert statuses == {"page": 502, "inside": 502, "gone": 404}
        wrong = node.client.get(chart_path(node, "wrong"))
        assert wrong.status_code == 502
        node.idle()
        assert node.get(chart_path(node, "demo").replace("1.0.0", "1.0.1")).status_code == 404
        assert node.get("/repository/r/charts/demo/1.0.0/-/http:%2F%2F169.254.169.254%2Fx.tgz").status_code in (
            400,
            404,
        )
        before = node.get("/repository/r/index.yaml")
        for body in (BAD["page"], BAD["bomb"], BAD["broken"]):
            upstream.put("/charts/index.yaml", body)
            node.idle()
            node.clock.forward(1000)
            after = node.get("/repository/r/index.yaml")
            assert (after.data, after.headers["X-Cache"]) == (before.data, "STALE")
        elsewhere.stop()


@pytest.mark.parametrize("kind", ["page", "broken", "bomb"])
def test_an_index_that_is_none_is_a_502(kind: str, tmp_path: Path, database_url: str, redis_url: str) -> None:
    with serving(tmp_path, database_url, redis_url, "helm") as (node, upstream):
        upstream.put("/index.yaml", BAD[kind])
        answer = node.get("/repository/r/index.yaml")
        assert (answer.status_code, answer.get_json()["error"]) == (502, "upstream_invalid")
        node.idle()
        assert node.spools() == []


def test_the_index_has_an_etag_of_its_own(tmp_path: Path, database_url: str, redis_url: str) -> None:
    with serving(tmp_path, database_url, redis_url, "helm") as (node, upstream):
        upstream.put("/index.yaml", index(version("demo", "1.0.0")))
        first = node.get("/repository/r/index.yaml")
        assert first.headers["Content-Type"] == "text/yaml"
        assert node.get("/repository/r/index.yaml", If_None_Match=first.headers["ETag"]).status_code == 304
        upstream.put("/index.yaml", index(version("demo", "1.1.0")))
        node.idle()
        node.clock.forward(101)
        second = node.get("/repository/r/index.yaml", If_None_Match=first.headers["ETag"])
        assert (second.status_code, second.headers["X-Cache"]) == (200, "EXPIRED")
        node.idle()
        node.clock.forward(101)
        upstream.stop()
        assert node.get("/repository/r/index.yaml").data == second.data
