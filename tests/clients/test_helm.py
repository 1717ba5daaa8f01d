"""Helm's own library pulls charts through the cache: cold, upstreams stopped, through two caches, of several."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from helm_python import HelmRepoError, registry
from helm_python import chart as helm

from tests.clients.members import Members
from tests.hosting import charts


@pytest.fixture(scope="module")
def served(members: Members, tmp_path_factory: pytest.TempPathFactory) -> Members:
    """Charts of both upstreams, most of them on another host, in indexes that Helm wrote."""
    for upstream, kept in ((members.one, {"demo": "1.0.0", "inner": "9.0.0"}), (members.two, {"demo": "1.10.0"})):
        work = tmp_path_factory.mktemp("charts")
        for name, version in kept.items():
            chart = charts.packed(work, name, version, 'annotations: {changes: "- one\\n- two: \\u00e9"}\n')
            members.files.put(f"/charts/{chart.name}", chart.read_bytes())
            members.files.put(f"/charts/{chart.name}.prov", b"-----BEGIN PGP SIGNED MESSAGE-----\n")
        upstream.put("/helm/index.yaml", _index(work, f"{members.files.url}/charts"))
    members.publish("helm-team/inner-1.0.0.tgz", charts.plain("inner", "1.0.0"))
    return members


def _index(work: Path, url: str) -> bytes:
    found: dict[str, Any] = registry.repo_index_generate(work, base_url=url)
    return yaml.safe_dump(found, allow_unicode=True).encode()


@pytest.fixture
def pull(home: Callable[[], Path]) -> Callable[..., str]:
    """pull(url, chart, version): the version that Helm then has, whole."""

    def run(url: str, chart: str, version: str | None = None) -> str:
        into = home()
        registry.pull(chart, repo_url=url, destination=into, version=version)
        (file,) = into.glob("*.tgz")
        helm.Chart.load(file).close()
        return file.name

    return run


def test_helm_pulls_cold_warm_and_through_two(served: Members, pull: Callable[..., str]) -> None:
    near, far = served.url("helm-near"), served.url("helm-far")
    assert pull(near, "demo") == "demo-1.0.0.tgz"
    cold = served.asked()
    assert pull(far, "demo") == "demo-1.0.0.tgz"
    assert served.asked() == cold
    path = registry.repo_index(far)["entries"]["demo"][0]["urls"][0]
    assert served.stack.get(f"/repository/helm-far/{path}.prov")[0] == 200
    with served.stopped():
        for url in (near, far):
            assert pull(url, "demo") == "demo-1.0.0.tgz"
        assert served.stack.get(f"/repository/helm-near/{path}.prov")[0] == 200
    served.expire("helm-near", "helm-far")
    with served.stopped():
        assert pull(far, "demo") == "demo-1.0.0.tgz"


def test_helm_reads_what_it_would_read_upstream(served: Members) -> None:
    ours, theirs = (registry.repo_index(url) for url in (served.url("helm-near"), f"{served.one.url}/helm"))
    for entries in (*ours["entries"].values(), *theirs["entries"].values()):
        for entry in entries:
            del entry["urls"]
    assert ours == theirs


def test_several_repositories_are_one(served: Members, pull: Callable[..., str]) -> None:
    both = served.url("helm-all")
    entries = registry.repo_index(both)["entries"]
    told = {name: [each["version"] for each in found] for name, found in entries.items()}
    assert told == {"inner": ["1.0.0"], "demo": ["1.10.0", "1.0.0"]}
    assert pull(both, "demo") == "demo-1.10.0.tgz"
    assert pull(both, "demo", "1.0.0") == "demo-1.0.0.tgz"
    assert pull(both, "inner") == "inner-1.0.0.tgz"
    with pytest.raises(HelmRepoError):
        pull(both, "inner", "9.0.0")
    impostor = registry.repo_index(served.url("helm-near"))["entries"]["inner"][0]["urls"][0]
    assert served.stack.get(f"/repository/helm-near/{impostor}")[0] == 200
    assert served.stack.get(f"/repository/helm-all/{impostor}")[0] == 404
    with served.stopped():
        assert pull(both, "demo") == "demo-1.10.0.tgz"
