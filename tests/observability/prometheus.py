"""A real Prometheus that scrapes nodes as deploy/prometheus.yml says, only oftener."""

from __future__ import annotations

import json
import shutil
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from app.supervisor.processes import Command, Process
from tests.conftest import require
from tests.observability.page import METRICS_TOKEN
from tests.stack import Stack, eventually, free_port

DEPLOY = Path(__file__).parents[2] / "deploy"


class Prometheus:
    """The server's HTTP API."""

    def __init__(self, port: int) -> None:
        self._url = f"http://127.0.0.1:{port}/api/v1"

    def query(self, expression: str) -> list[dict[str, Any]]:
        """The series of an instant query; AssertionError with the server's reason where it is wrong."""
        try:
            found = self._get(f"query?{urllib.parse.urlencode({'query': expression})}")
        except urllib.error.HTTPError as error:
            if error.code == 503:  # it is starting
                raise
            raise AssertionError(f"{expression}: {error.read().decode()}") from None
        assert found["resultType"] == "vector", expression
        return list(found["result"])

    def alerts(self) -> list[dict[str, Any]]:
        """Every rule with its `health` and its last error."""
        return [rule for group in self._get("rules")["groups"] for rule in group["rules"]]

    def ready(self, nodes: int) -> bool:
        """Whether each node was scraped at least twice and every rule evaluated."""
        try:
            scraped = self.query('count_over_time(up{job="artifactapi"}[1m]) > 1 and up == 1')
            return len(scraped) == nodes and all(rule["health"] != "unknown" for rule in self.alerts())
        except OSError:
            return False

    def _get(self, path: str) -> dict[str, Any]:
        with urllib.request.urlopen(f"{self._url}/{path}", timeout=10) as answer:
            return dict(json.load(answer)["data"])


@contextmanager
def scraping(nodes: list[Stack], directory: Path) -> Iterator[Prometheus]:
    """Running under the shipped configuration and rules, with these nodes for targets."""
    port = free_port()
    text = (DEPLOY / "prometheus.yml").read_text()
    for number, node in enumerate(nodes, 1):
        text = text.replace(f"node{number}.example.org:8080", f"127.0.0.1:{node.port}")
    assert "example.org" not in text, "every target is one of the nodes"
    (directory / "prometheus.yml").write_text(text.replace("15s", "500ms"))
    (directory / "metrics-token").write_text(METRICS_TOKEN)
    shutil.copy(DEPLOY / "alerts.yml", directory)
    arguments = (
        require("prometheus"),
        f"--config.file={directory}/prometheus.yml",
        f"--storage.tsdb.path={directory}/data",
        f"--web.listen-address=127.0.0.1:{port}",
    )
    log = directory / "log"
    process = Process.start(Command("prometheus", arguments, directory / "record", directory, {}, log=log))
    try:
        server = Prometheus(port)
        eventually(lambda: process.ended() is not None or server.ready(len(nodes)), "scraped")
        assert process.ended() is None, log.read_text()
        yield server
    finally:
        process.stop(5)
