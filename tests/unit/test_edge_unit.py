"""The unit of the edge agent: systemd understands it, and its options are the command's."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from click.testing import CliRunner

from app.edge.command import edge
from tests.conftest import require
from tests.deploy.front import DEPLOY, replaced

UNIT = "artifactapi-edge.service"


def test_systemd_understands_the_unit(tmp_path: Path) -> None:
    text = (DEPLOY / UNIT).read_text("utf-8")
    file = tmp_path / UNIT
    file.write_text(replaced(text, {"ExecStart=/opt/artifactapi/bin/artifactapi edge": "ExecStart=/bin/true edge"}))
    command = [require("systemd-analyze"), "verify", "--man=no", str(file)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert UNIT not in done.stderr, done.stderr
    assert done.returncode == 0, done.stderr


def test_it_names_the_command_s_options_and_nginx_s_own_places() -> None:
    lines = (DEPLOY / UNIT).read_text("utf-8").splitlines()
    pairs = dict(line.split("=", 1)[1].split("=", 1) for line in lines if line.startswith("Environment="))
    options = {str(each.envvar): each.default for each in edge.params}
    assert {name: str(options[name]) for name in pairs} == pairs
    nginx = (DEPLOY / "nginx.conf").read_text("utf-8")
    for place in ("CACHE", "LOG", "LEASES"):
        assert pairs[f"ARTIFACTAPI_EDGE_{place}"] in nginx
    assert f"listen {pairs['ARTIFACTAPI_EDGE_URL'].removeprefix('http://')};" in nginx
    assert (
        pairs["ARTIFACTAPI_EDGE_CACHE"] == "/var/cache/artifactapi-edge"
        and "CacheDirectory=artifactapi-edge" in lines
    )
    assert "User=www-data" in lines
    assert "user www-data;" in nginx


@pytest.mark.parametrize(
    ("options", "token", "reason"),
    [
        ([], "", "no token"),
        ([], "two words", "no token"),
        (["--token-file", "/nowhere"], "unused-secret", "No such file"),
        (["--name", "a/b"], "unused-secret", "letters"),
    ],
)
def test_it_refuses_to_start_in_words(options: list[str], token: str, reason: str, tmp_path: Path) -> None:
    given = ["--leases", str(tmp_path / "leases"), "--state", str(tmp_path / "state.json"), *options]
    done = CliRunner().invoke(edge, given, env={"EDGE_TOKEN": token})
    assert done.exit_code == 2
    assert reason in done.output
    assert not token or token not in done.output
