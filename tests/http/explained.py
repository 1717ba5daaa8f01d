"""What a node tells of a URL, held against a golden answer and against what a real GET right after it gets.

The goldens are golden/<name>.json: times are written as "T+<seconds since the test began>", the upstream as
`upstream`, the node's directory as `<root>`. `GOLDEN=write pytest ...` writes them anew, for a person to read.
"""

from __future__ import annotations

import datetime
import json
import os
import re
from pathlib import Path
from typing import Any

from werkzeug.test import TestResponse

from app.web import explain
from tests.http.node import ADMIN, Node
from tests.upstreams import Upstream

GOLDEN = Path(__file__).parent / "golden"
MOMENT = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ")


class Explainer:
    """One node, the upstream behind it, and when the test began."""

    def __init__(self, node: Node, upstream: Upstream) -> None:
        self.node, self.upstream, self.began = node, upstream, int(node.clock())
        if explain.blueprint.name not in node.app.blueprints:
            node.app.register_blueprint(explain.blueprint)

    def __call__(self, name: str, url: str, accept: str = "") -> dict[str, Any]:
        """The explanation as it is, once it is as golden/<name>.json says; upstream heard nothing of it."""
        heard = self.upstream.count()
        told = self.document(url, accept)
        assert self.upstream.count() == heard
        golden, text = GOLDEN / f"{name}.json", json.dumps(self._normal(told), indent=2) + "\n"
        if os.environ.get("GOLDEN") == "write":
            golden.write_text(text)
        assert json.loads(text) == json.loads(golden.read_text()), name
        return told

    def document(self, url: str, accept: str = "") -> dict[str, Any]:
        answer = self.node.client.get(
            "/api/v1/explain", query_string={"url": url, "accept": accept}, headers=ADMIN, buffered=True
        )
        assert answer.status_code == 200, answer.get_data()
        told: dict[str, Any] = json.loads(answer.get_data())
        return told

    def holds(self, told: dict[str, Any], reply: TestResponse, heard: int) -> None:
        """What a GET got is one of the cases, and upstream was asked only where that was told."""
        answer = told["answer"]
        got = {"status": reply.status_code, "x_cache": reply.headers.get("X-Cache") or None, "code": _code(reply)}
        fitting = [case for case in answer["cases"] if got.items() <= case.items()]
        assert fitting, (got, answer)
        assert answer["served"] or reply.status_code >= 400
        assert self.upstream.count() == heard or any(case["upstream_asked"] for case in fitting)

    def check(self, name: str, url: str, accept: str = "", host: str = "") -> TestResponse:
        """The golden, then a real GET of the same; `url` is a path, `host` what the client calls the server."""
        return self._get(self(name, f"http://{host}{url}" if host else url, accept), url, accept, host)

    def ask(self, url: str) -> TestResponse:
        """The same without a golden."""
        return self._get(self.document(url), url)

    def _get(self, told: dict[str, Any], url: str, accept: str = "", host: str = "") -> TestResponse:
        heard = self.upstream.count()
        headers = {name: value for name, value in (("Accept", accept), ("Host", host)) if value}
        reply = self.node.get(url, **headers)
        self.node.idle()
        self.holds(told, reply, heard)
        return reply

    def _normal(self, told: dict[str, Any]) -> Any:
        text = json.dumps(told)
        text = text.replace(str(self.node.root), "<root>").replace(f"127.0.0.1:{self.upstream.port}", "upstream")
        return json.loads(MOMENT.sub(self._relative, text))

    def _relative(self, match: re.Match[str]) -> str:
        moment = datetime.datetime.strptime(match[0], "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=datetime.UTC)
        return f"T+{int(moment.timestamp()) - self.began}"


def _code(reply: TestResponse) -> str | None:
    if reply.status_code < 400:
        return None
    said = json.loads(reply.get_data())
    return str(said["errors"][0]["code"] if "errors" in said else said["error"])
