"""A virtual of 19 helm repositories, 14 MB of index in all: what it costs to merge them, and to serve that."""

from __future__ import annotations

import json
import random
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from bench import client
from bench.figures import MILLISECONDS, SECONDS, Figure, at_most, shown
from bench.site import Site
from tests.stack import Stack

MEMBERS, CHARTS, VERSIONS = 19, 16, 40
CPU = 1.5  # seconds for one merge
WARM = 0.01  # seconds for the first byte of it
TOKEN = "an-admin-token-of-the-bench"
_TICKS = 100  # of a second of CPU (proc(5), USER_HZ)
_WORDS = ("the", "chart", "of", "a", '"fast"', "database:", "with", "#1", "support,", "it's", "[beta]", "and", "more")


def measure(site: Site) -> Iterator[Figure]:
    with _node(site) as node:
        url = "/repository/charts/index.yaml"
        begun = time.perf_counter()
        status, body = node.get(url)
        cold = time.perf_counter() - begun
        assert (status, len(json.loads(body)["entries"])) == (200, MEMBERS * CHARTS), body[:200]
        merges = [_merged(node, url) for _ in range(site.rounds)]
        warm = [_first_byte(node, url) for _ in range(50)]
        work = f"index.yaml of {MEMBERS} helm repositories, {len(body) / 1e6:.0f} MB"
        yield shown(f"{work}: fetched and merged", [cold], SECONDS)
        yield at_most("  merged again: CPU of the fills process", merges, CPU, SECONDS)
        yield at_most("  served warm: first byte", warm, WARM, MILLISECONDS)


def _merged(node: Stack, url: str) -> float:
    """Seconds of CPU: what was made is forgotten, what it is made of is not."""
    address = f"{node.url}/cache/flush?mode=delete&remote=charts"
    headers = {"Authorization": f"Bearer {TOKEN}"}
    with urllib.request.urlopen(urllib.request.Request(address, method="PUT", headers=headers), timeout=60):
        before = _cpu(node)
    node.get(url)
    return _cpu(node) - before


def _cpu(node: Stack) -> float:
    stat = Path(f"/proc/{node.pids()['fills']}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
    return (int(stat[11]) + int(stat[12])) / _TICKS


def _first_byte(node: Stack, url: str) -> float:
    return client.seconds(node.port, url)


@contextmanager
def _node(site: Site) -> Iterator[Stack]:
    """A node of its own, whose remotes are directories of the site's nginx."""
    place = site.files.here / "sets" / str(site.files.serial())
    remotes = {}
    for number in range(MEMBERS):
        (place / str(number)).mkdir(parents=True)
        (place / str(number) / "index.yaml").write_text(_index(number), encoding="utf-8")
        base = f"http://127.0.0.1:{site.files.port}/sets/{place.name}/{number}"
        remotes[f"charts-{number}"] = {"package": "helm", "base_url": base}
    document = {"remotes": remotes, "virtuals": {"charts": {"package": "helm", "members": list(remotes)}}}
    node = Stack(site.node.directory.parent / "charts", document, {"WORKERS": "2", "ADMIN_TOKEN": TOKEN})
    try:
        yield node.start()
    finally:
        node.close()


def _index(number: int) -> str:
    """As Helm writes it."""
    chance = random.Random(number)
    names = [f"chart-{number}-{each}" for each in range(CHARTS)]
    charts = "".join(
        f"  {name}:\n" + "".join(_version(chance, name, each) for each in range(VERSIONS)) for name in names
    )
    return f"apiVersion: v1\nentries:\n{charts}generated: '2026-11-11T10:20:30.123456789Z'\n"


def _version(chance: random.Random, name: str, number: int) -> str:
    words = [json.dumps(" ".join(chance.choices(_WORDS, k=24))) for _ in range(2)]
    return f"""\
  - annotations:
      category: Database
      artifacthub.io/changes: |
        - kind: added
          description: {words[0]}
    apiVersion: v2
    appVersion: 4.{number}.1
    created: '2026-01-02T10:20:30.{chance.randrange(10**9):09d}Z'
    dependencies:
    - name: common
      repository: oci://registry.example.org/charts
      tags:
      - common
      version: 2.x.x
    description: {words[1]}
    digest: {chance.randbytes(32).hex()}
    home: https://example.org/{name}
    icon: https://example.org/{name}.svg
    keywords:
    - database
    - {name}
    kubeVersion: '>=1.20.0-0'
    maintainers:
    - email: team@example.org
      name: Team
    name: {name}
    sources:
    - https://example.org/source
    type: application
    urls:
    - https://files.example.org/{name}-1.{number}.0.tgz
    version: 1.{number}.0
"""
