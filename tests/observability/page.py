"""A node's /metrics as a test reads it."""

from __future__ import annotations

import urllib.request
from dataclasses import dataclass

from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.samples import Sample

from tests.stack import Stack

METRICS_TOKEN = "a-token-that-may-only-scrape"


@dataclass(frozen=True, slots=True)
class Page:
    """What one scrape gave."""

    samples: tuple[Sample, ...]

    def total(self, name: str, **labels: str) -> float:
        """The sum of every series of that name with these labels among its own."""
        return sum(each.value for each in self.samples if each.name == name and labels.items() <= each.labels.items())

    def values(self, name: str, label: str) -> set[str]:
        """Every value that a label has."""
        return {each.labels[label] for each in self.samples if each.name == name}

    def labels(self) -> dict[str, set[str]]:
        """The names of the labels of every series' name."""
        found: dict[str, set[str]] = {}
        for each in self.samples:
            found.setdefault(each.name, set()).update(each.labels)
        return found


def scrape(stack: Stack) -> Page:
    """As Prometheus does it."""
    asked = urllib.request.Request(f"{stack.url}/metrics", headers={"Authorization": f"Bearer {METRICS_TOKEN}"})
    with urllib.request.urlopen(asked, timeout=30) as answer:
        text = answer.read().decode()
    families = text_string_to_metric_families(text)
    return Page(tuple(sample for family in families for sample in family.samples))
