"""The unit of systemd and the manifest of Kubernetes: their tools and the server understand what they say."""

from __future__ import annotations

import configparser
import subprocess
from pathlib import Path
from typing import Any

import pytest

from app import repositories
from app.supervisor.supervisor import DATABASE_READY, LONGEST_MIGRATION
from tests.conftest import require
from tests.deploy.front import DEPLOY, replaced
from tests.deploy.shipped import STOPPING, kubernetes, settings_of


@pytest.fixture(scope="module")
def unit() -> configparser.RawConfigParser:
    found = configparser.RawConfigParser(strict=False)
    found.optionxform = str  # type: ignore[assignment, method-assign]
    found.read(DEPLOY / "artifactapi.service")
    return found


def test_systemd_understands_the_unit(tmp_path: Path) -> None:
    text = (DEPLOY / "artifactapi.service").read_text("utf-8")
    file = tmp_path / "artifactapi.service"
    file.write_text(replaced(text, {"ExecStart=/opt/artifactapi/bin/artifactapi run": "ExecStart=/bin/true run"}))
    done = subprocess.run(
        [require("systemd-analyze"), "verify", "--man=no", str(file)],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert "artifactapi.service" not in done.stderr, done.stderr
    assert done.returncode == 0, done.stderr


def test_the_unit_stops_gently_and_its_settings_are_ours(unit: configparser.RawConfigParser) -> None:
    service = unit["Service"]
    assert float(service["TimeoutStopSec"]) > STOPPING
    assert (service["KillMode"], service["ExecReload"]) == ("mixed", "/bin/kill -HUP $MAINPID")
    lines = (DEPLOY / "artifactapi.service").read_text("utf-8").splitlines()
    pairs = dict(line.split("=", 1)[1].split("=", 1) for line in lines if line.startswith("Environment="))
    settings = settings_of(pairs)
    assert settings.host == "unix:/run/artifactapi/http.sock"
    assert (str(settings.data_dir), settings.accel_redirect) == ("/var/lib/artifactapi", "/_blobs/")
    nginx = (DEPLOY / "nginx.conf").read_text("utf-8")
    assert f"# server {settings.host};" in nginx
    assert f"location {settings.accel_redirect} {{" in nginx
    assert f"alias {settings.layout.blobs}/;" in nginx


@pytest.fixture(scope="module")
def pod() -> dict[str, Any]:
    (found,) = (each["spec"]["template"]["spec"] for each in kubernetes() if each["kind"] == "Deployment")
    return dict(found)


def test_a_pods_settings_are_ours(pod: dict[str, Any]) -> None:
    (container,) = pod["containers"]
    given = {
        each["name"]: each.get("value", "10.1.2.3").replace("$(POD_IP)", "10.1.2.3") for each in container["env"]
    }
    settings = settings_of(given, "POD_IP")
    assert (settings.node_url, settings.bucket) == ("http://10.1.2.3:8080", ("artifacts", ""))
    names = [each["name"] for each in container["env"]]
    assert names.index("POD_IP") < names.index("NODE_URL")  # a variable is expanded only behind its definition
    assert container["envFrom"] == [{"secretRef": {"name": "artifactapi"}}]
    probes = {kind: container[f"{kind}Probe"]["httpGet"]["path"] for kind in ("startup", "liveness", "readiness")}
    assert set(probes.values()) == {"/health/live"}  # a store that all pods share takes none of them out
    startup = container["startupProbe"]
    assert startup["periodSeconds"] * startup["failureThreshold"] > LONGEST_MIGRATION + DATABASE_READY
    assert settings.trusted_proxies == ()  # whom to trust is not known here
    pause = float(container["lifecycle"]["preStop"]["exec"]["command"][1])
    assert pod["terminationGracePeriodSeconds"] > STOPPING + pause
    assert (pod["securityContext"]["runAsNonRoot"], f"{pod['securityContext']['runAsUser']}:") == (True, "10001:")


def test_every_name_in_the_manifest_is_defined_in_it(pod: dict[str, Any], tmp_path: Path) -> None:
    documents = {each["kind"]: each for each in kubernetes()}
    assert set(documents) == {"ConfigMap", "Deployment", "Service", "PodDisruptionBudget"}
    labels = documents["Deployment"]["spec"]["template"]["metadata"]["labels"]
    assert documents["Service"]["spec"]["selector"] == labels
    assert documents["Deployment"]["spec"]["selector"]["matchLabels"] == labels
    assert documents["PodDisruptionBudget"]["spec"]["selector"]["matchLabels"] == labels
    (container,) = pod["containers"]
    assert {each["name"] for each in container["volumeMounts"]} == {each["name"] for each in pod["volumes"]}
    assert documents["Service"]["spec"]["ports"][0]["targetPort"] in {each["name"] for each in container["ports"]}
    (tmp_path / "remotes.json").write_text(documents["ConfigMap"]["data"]["remotes.json"])
    assert set(repositories.load(tmp_path / "remotes.json").remotes) == {"almalinux", "dockerhub"}
