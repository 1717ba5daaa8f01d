"""What the dashboard and the alerts ask is what live nodes export: a real Prometheus scrapes them and answers."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from itertools import combinations

import pytest

from tests.observability.page import scrape
from tests.observability.prometheus import DEPLOY, Prometheus, scraping
from tests.stack import Stack

DASHBOARD = json.loads((DEPLOY / "grafana-dashboard.json").read_text())
PANELS = [panel for panel in DASHBOARD["panels"] if panel["type"] != "row"]
TARGETS = [(panel["title"], target) for panel in PANELS for target in panel["targets"]]
VARIABLES = {"$node": ".*", "$repository": ".*", "$__rate_interval": "1m", "$__range": "1m"}
SELECTOR = re.compile(r"\b(artifactapi_[a-z_]+|up)(\{[^}]*\})?")
NAMED = re.compile(
    r"(?:by|on|without|ignoring) \(([^)]*)\)|\{\{\s*(\w+)\s*\}\}|\$labels\.(\w+)|(\w+)(?:=~|!=|!~|=)\""
)
SCRAPED = {"instance", "job"}  # labels that Prometheus adds
NOT_TO_BE_HAD = {  # what a short test cannot bring about; the parts that count it have tests of their own
    'artifactapi_requests_total{cache="UPDATING"}',
    "artifactapi_peer_reads_total",
}
EMPTY = {"Downloads followed from another node"}


@pytest.fixture(scope="module")
def prometheus(nodes: list[Stack], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Prometheus]:
    with scraping(nodes, tmp_path_factory.mktemp("prometheus")) as server:
        yield server


def plain(expression: str) -> str:
    """An expression of the dashboard without Grafana's variables."""
    for name, value in VARIABLES.items():
        expression = expression.replace(name, value)
    return expression


def test_the_dashboard_can_be_imported() -> None:
    """Nothing in it is of the Grafana it was made in."""
    assert "id" not in DASHBOARD
    assert "__inputs" not in DASHBOARD
    variables = {each["name"]: each for each in DASHBOARD["templating"]["list"]}
    assert set(variables) == {"datasource", "node", "repository"}
    assert (variables["datasource"]["type"], variables["datasource"]["query"]) == ("datasource", "prometheus")
    own = {"type": "prometheus", "uid": "${datasource}"}
    sources = [panel["datasource"] for panel in PANELS] + [target["datasource"] for _, target in TARGETS]
    assert all(each == own for each in [*sources, variables["node"]["datasource"]])
    assert all("$node" in target["expr"] for _, target in TARGETS)


def test_panels_have_their_own_place() -> None:
    assert len({panel["id"] for panel in DASHBOARD["panels"]}) == len(DASHBOARD["panels"])
    cells = [(panel["title"], _cells(panel["gridPos"])) for panel in DASHBOARD["panels"]]
    for (one, mine), (other, theirs) in combinations(cells, 2):
        assert not mine & theirs, f"{one} lies over {other}"


def _cells(place: dict[str, int]) -> set[tuple[int, int]]:
    assert place["x"] + place["w"] <= 24
    rows, columns = range(place["y"], place["y"] + place["h"]), range(place["x"], place["x"] + place["w"])
    return {(x, y) for x in columns for y in rows}


def test_every_panel_asks_what_prometheus_can_answer(prometheus: Prometheus) -> None:
    for title, target in TARGETS:
        found = prometheus.query(plain(target["expr"]))
        assert found or title in EMPTY, title


def test_every_rule_is_evaluated_and_two_well_nodes_are_no_alarm(prometheus: Prometheus) -> None:
    rules = prometheus.alerts()
    assert [(rule["name"], rule["lastError"]) for rule in rules if rule["health"] != "ok"] == []
    firing = {rule["name"] for rule in rules if rule["state"] == "firing"}
    assert firing == set()


def _selectors() -> Iterator[str]:
    expressions = [plain(target["expr"]) for _, target in TARGETS]
    expressions += re.findall(r"expr: (.*?)\n +(?:for|labels):", (DEPLOY / "alerts.yml").read_text(), re.DOTALL)
    for expression in expressions:
        for name, labels in SELECTOR.findall(expression):
            yield name + labels
    for each in DASHBOARD["templating"]["list"][1:]:
        yield each["query"]["query"].removeprefix("label_values(").partition(",")[0]


def test_every_selector_finds_something_on_live_nodes(prometheus: Prometheus) -> None:
    asked = sorted(set(_selectors()))
    assert len(asked) > 30
    nothing = [each for each in asked if not prometheus.query(f"count({each})")]
    assert [each for each in nothing if not each.startswith(tuple(NOT_TO_BE_HAD))] == []


def test_every_label_is_exported(nodes: list[Stack]) -> None:
    exported = scrape(nodes[0]).labels() | {"up": set()}
    texts = [target["expr"] + target["legendFormat"] for _, target in TARGETS]
    texts += (DEPLOY / "alerts.yml").read_text().split("- alert:")[1:]
    for text in texts:
        metrics = {name for name, _ in SELECTOR.findall(text.partition("for:")[0])} - NOT_TO_BE_HAD
        assert metrics <= set(exported), metrics - set(exported)
        if metrics:
            known = set().union(*(exported[name] for name in metrics)) | SCRAPED
            assert set(_labels(text)) - {"severity", *_wanted(text)} <= known, text


def _labels(text: str) -> Iterator[str]:
    for groups in NAMED.findall(text):
        yield from (name for part in groups for name in part.replace(",", " ").split())


def _wanted(text: str) -> set[str]:
    """The labels of what a short test has not."""
    return {"result"} if NOT_TO_BE_HAD & {name for name, _ in SELECTOR.findall(text)} else set()


def test_nothing_is_exported_that_nobody_is_shown(nodes: list[Stack]) -> None:
    """And no more than that: a metric that neither a panel nor an alert uses is not worth its series."""
    shown = {re.sub(r"_(?:bucket|count|sum|total)$", "", each.partition("{")[0]) for each in _selectors()}
    families = {re.sub(r"_(?:bucket|count|sum|total|created)$", "", name) for name in scrape(nodes[0]).labels()}
    assert families <= shown
