"""Helm: charts that its own library packs, signs, pulls, verifies and renders; then what a client may not do."""

from __future__ import annotations

import json
import subprocess
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import yaml
from helm_python import HelmRepoError, registry
from helm_python import chart as helm

from tests.conftest import require
from tests.hosting import asked, charts
from tests.hosting.conftest import TOKEN
from tests.stack import Stack

MULTIPART = "multipart/form-data; boundary=xxxxxx"


def ask(
    stack: Stack, path: str, body: bytes | None = None, method: str = "", kind: str = "application/octet-stream"
) -> tuple[int, bytes]:
    """Status and body of a request with the token; with a body it is a PUT."""
    method = method or ("GET" if body is None else "PUT")
    told = asked.ask(method, f"{stack.url}/repository/{path}", body, {"Content-Type": kind})
    return told.status, told.body


def multipart(**files: bytes) -> bytes:
    head = b'--xxxxxx\r\nContent-Disposition: form-data; name="%s"; filename="file"\r\n\r\n%s\r\n'
    parts = [head % (name.encode(), body) for name, body in files.items()]
    return b"".join(parts) + b"--xxxxxx--\r\n"


def index(stack: Stack, repository: str) -> dict[str, Any]:
    found: dict[str, Any] = registry.repo_index(f"{stack.url}/repository/{repository}", username="ci", password=TOKEN)
    return found


@pytest.fixture(scope="module")
def keyring(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory with secring.gpg and pubring.gpg, of team@example.org."""
    home = tmp_path_factory.mktemp("gpg")
    home.chmod(0o700)
    gpg = [
        require("gpg"),
        "--homedir",
        str(home),
        "--batch",
        "--quiet",
        "--pinentry-mode",
        "loopback",
        "--passphrase",
        "",
    ]
    subprocess.run([*gpg, "--quick-gen-key", "team@example.org", "rsa2048", "sign", "never"], check=True, timeout=60)
    for name, option in (("secring.gpg", "--export-secret-keys"), ("pubring.gpg", "--export")):
        made = subprocess.run([*gpg, option], check=True, timeout=60, capture_output=True)
        (home / name).write_bytes(made.stdout)
    subprocess.run(["gpgconf", "--homedir", str(home), "--kill", "all"], check=True, timeout=60)
    return home


def test_a_signed_chart_is_pulled_verified_and_rendered(hosted: Stack, tmp_path: Path, keyring: Path) -> None:
    chart = charts.packed(tmp_path, "demo", "1.2.3+b.1")
    signature = Path(helm.sign(chart, key="team@example.org", keyring=keyring / "secring.gpg"))
    body = multipart(chart=chart.read_bytes(), prov=signature.read_bytes())
    assert ask(hosted, "private-helm/api/charts", body, "POST", MULTIPART) == (201, b'{"saved":true}\n')
    (entry,) = index(hosted, "private-helm")["entries"]["demo"]
    assert f"sha256:{entry['digest']}" == helm.digest(chart)
    url, into = f"{hosted.url}/repository/private-helm", tmp_path / "pulled"
    into.mkdir()
    registry.pull("demo", repo_url=url, destination=into, username="ci", password=TOKEN)
    pulled = into / "demo-1.2.3+b.1.tgz"
    status, body = ask(hosted, "private-helm/demo-1.2.3+b.1.tgz.prov")
    assert status == 200
    pulled.with_name(pulled.name + ".prov").write_bytes(body)
    assert helm.verify(pulled, keyring / "pubring.gpg")["file_name"] == pulled.name
    with helm.Chart.load(pulled) as loaded:
        assert "version: 1.2.3+b.1" in loaded.render(name="x")["demo/templates/map.yaml"]
    with pytest.raises(HelmRepoError):
        registry.pull("demo", repo_url=url, destination=into)


def test_the_index_says_what_helms_own_says(hosted: Stack, tmp_path: Path) -> None:
    """Every field that a Chart.yaml has, and none that would make the index unreadable."""
    full = """type: application
home: https://example.org/
icon: https://example.org/icon.svg
kubeVersion: ">=1.20.0-0"
condition: a.enabled,b.enabled
deprecated: true
keywords: [one, "2"]
sources: [https://example.org/source]
annotations: {example.org/on: "yes", multi: "a\\nb \\U0001F600 \\u2028"}
maintainers: [{name: Ann, email: ann@example.org}, {name: Bob, url: https://example.org/bob}]
tags: front
dependencies:
- {name: sub, version: ~1.2, repository: https://example.org/charts, alias: other, tags: [b], import-values: [c]}
unknown: {field: 1}
"""
    versions = [("full", "1.10.0"), ("full", "1.9.0"), ("full", "1.10.0-rc.1"), ("1.0", "0.1.0"), ("null", "0.1.0")]
    for name, version in versions:
        chart = tmp_path / f"{name}-{version}.tgz"
        chart.write_bytes(charts.plain(name, version, full))
        assert ask(hosted, f"open-helm/{chart.name}", chart.read_bytes())[0] == 201
    odd = charts.plain("odd", "0.1.0", 'home: "\\x7f \\x85 \\uFEFF"\n')  # which Helm's own index would not survive
    assert ask(hosted, "open-helm/odd-0.1.0.tgz", odd)[0] == 201
    ours, theirs = index(hosted, "open-helm"), registry.repo_index_generate(tmp_path)
    for entries in (*ours["entries"].values(), *theirs["entries"].values()):
        for entry in entries:
            del entry["created"]
    assert ours["entries"]["full"] == theirs["entries"]["full"]
    assert [each["version"] for each in ours["entries"]["full"]] == ["1.10.0", "1.10.0-rc.1", "1.9.0"]
    read = yaml.safe_load(ask(hosted, "open-helm/index.yaml")[1])
    assert {"full", "1.0", "null"} <= set(ours["entries"]) & set(read["entries"])
    assert read["entries"]["odd"][0]["home"] == "\x7f \x85 \ufeff"
    assert read["serverInfo"] == {"contextPath": "/repository/open-helm"}


def test_chartmuseums_api(hosted: Stack) -> None:
    for version in ("1.0.0", "1.1.0"):
        assert ask(hosted, "helm/api/charts", charts.plain("muse", version), "POST")[0] == 201
    assert [each["version"] for each in json.loads(ask(hosted, "helm/api/charts/muse")[1])] == ["1.1.0", "1.0.0"]
    assert json.loads(ask(hosted, "helm/api/charts/muse/1.0.0")[1])["urls"] == ["muse-1.0.0.tgz"]
    assert "muse" in json.loads(ask(hosted, "helm/api/charts")[1])
    assert json.loads(ask(hosted, "helm/api/charts?limit=0")[1]) == {}
    assert ask(hosted, "helm/api/charts?limit=x")[0] == 400
    assert ask(hosted, "helm/api/charts/muse/1.0.0", method="HEAD") == (200, b"")
    assert ask(hosted, "helm/muse-sub-0.1.0.tgz", charts.plain("muse-sub", "0.1.0"))[0] == 201
    assert [each["version"] for each in json.loads(ask(hosted, "helm/api/charts/muse")[1])] == ["1.1.0", "1.0.0"]
    for absent in ("muse/2.0.0", "mus", "muse/1.0.0/more", "muse/sub-0.1.0"):
        assert ask(hosted, f"helm/api/charts/{absent}")[0] == 404
    assert ask(hosted, "helm/api/charts?force", charts.plain("muse", "1.0.0"), "POST")[0] == 409
    assert ask(hosted, "helm/muse-1.0.0.tgz", charts.plain("muse", "1.0.0"))[0] == 409
    assert ask(hosted, "helm/api/charts/muse/1.0.0", method="DELETE") == (200, b'{"deleted":true}\n')
    assert ask(hosted, "helm/api/charts/muse/1.0.0", method="DELETE")[0] == 404
    assert ask(hosted, "helm/muse-1.0.0.tgz")[0] == 404
    assert [each["version"] for each in index(hosted, "helm")["entries"]["muse"]] == ["1.1.0"]


def test_charts_that_are_sent_at_the_same_time_all_end_up_in_the_index(hosted: Stack) -> None:
    versions = [f"0.{number}.0" for number in range(16)]
    with ThreadPoolExecutor(8) as pool:
        sent = [pool.submit(ask, hosted, f"helm/race-{each}.tgz", charts.plain("race", each)) for each in versions]
        same = [pool.submit(ask, hosted, "helm/race-1.0.0.tgz", charts.plain("race", "1.0.0")) for _ in range(4)]
    assert {each.result()[0] for each in sent} == {201}
    assert sorted(each.result()[0] for each in same) == [201, 409, 409, 409]
    told = [each["version"] for each in index(hosted, "helm")["entries"]["race"]]
    assert told == ["1.0.0", *reversed(versions)]


def test_a_replaced_chart_loses_its_old_signature(hosted: Stack, tmp_path: Path, keyring: Path) -> None:
    first = charts.packed(tmp_path, "again", "1.0.0")
    signature = Path(helm.sign(first, key="team@example.org", keyring=keyring / "secring.gpg")).read_bytes()
    assert ask(hosted, "open-helm/api/prov", signature, "POST")[0] == 400  # there is no such chart yet
    assert ask(hosted, "open-helm/again-1.0.0.tgz", first.read_bytes())[0] == 201
    assert ask(hosted, "open-helm/api/prov", multipart(prov=signature), "POST", MULTIPART)[0] == 201
    assert ask(hosted, "open-helm/other-1.0.0.tgz.prov", signature)[0] == 422
    assert ask(hosted, "open-helm/again-1.0.0.tgz", charts.plain("again", "1.0.0"))[0] == 201
    assert ask(hosted, "open-helm/again-1.0.0.tgz.prov")[0] == 404
    assert ask(hosted, "open-helm/again-1.0.0.tgz.prov", signature)[0] == 422  # it is the other's
    assert ask(hosted, "open-helm/again-1.0.0.tgz", method="DELETE")[0] == 204
    assert "again" not in index(hosted, "open-helm")["entries"]


BOMB = "\n".join(f"k{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]" for n in range(1, 12))
GOOD = charts.CHART.format("bad", "1.0.0")


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b"", 422),
        (b"no archive", 422),
        (charts.archive(("bad/Chart.yaml", GOOD.encode()), compress=False), 422),
        (charts.plain("bad", "1.0.0")[:-9], 422),
        (charts.plain("other", "1.0.0"), 422),
        (charts.plain("../bad", "1.0.0"), 422),
        (charts.plain("bad", "1.0"), 422),
        (charts.plain("bad", "01.0.0"), 422),
        (charts.plain("bad", "1.0.0-01"), 422),
        (charts.archive(("Chart.yaml", GOOD.encode())), 422),
        (charts.archive(("bad/Chart.yaml", GOOD.encode()), ("worse/Chart.yaml", GOOD.encode())), 422),
        (charts.archive(("bad/../../Chart.yaml", b"x"), ("bad/Chart.yaml", GOOD.encode())), 422),
        (charts.archive(("bad/Chart.yaml", GOOD.encode()), ("bad/zeros", bytes(110 << 20))), 422),
        (charts.archive(("bad/Chart.yaml", b"name: [" * 10_000)), 422),
        (charts.archive(("bad/Chart.yaml", b"\xff\xfe")), 422),
        (charts.archive(("bad/Chart.yaml", b"- a list")), 422),
        (charts.archive(("bad/Chart.yaml", b"# " + b"x" * (300 << 10))), 422),
        (charts.plain("bad", "1.0.0", f"k0: &a0 [x]\n{BOMB}\n"), 422),
        (charts.plain("bad", "1.0.0", "keywords: &a [*a]\n"), 422),
        (charts.plain("bad", "1.0.0", "maintainers: [Ann]\n"), 422),
        (charts.plain("bad", "1.0.0", "deprecated: perhaps\n"), 422),
        (charts.plain("bad", "1.0.0", f"annotations: {{? {'x' * 2000} : y}}\n"), 422),
        (charts.plain("bad", "1.0.0", "name: bad\n"), 422),
        (charts.plain("bad", "1.0.0", f'annotations: {{a: "{"x" * 70_000}"}}\n'), 422),
        (charts.plain("bad", "1.0.0", 'home: !!python/object/apply:os.system ["id"]\n'), 422),
    ],
)
def test_what_is_no_chart_is_refused(hosted: Stack, body: bytes, status: int) -> None:
    assert ask(hosted, "helm/bad-1.0.0.tgz", body)[0] == status
    assert ask(hosted, "helm/bad-1.0.0.tgz")[0] == 404
    assert "bad" not in index(hosted, "helm")["entries"]


@pytest.mark.parametrize("path", ["index.yaml", "bad", "x/bad-1.0.0.tgz", "../bad-1.0.0.tgz"])
def test_a_path_that_is_no_charts_is_refused(hosted: Stack, path: str) -> None:
    assert ask(hosted, f"helm/{path}", charts.plain("bad", "1.0.0"))[0] in (400, 409, 422)
