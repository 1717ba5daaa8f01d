"""The Dockerfile by rules of our own, for no engine that reaches a registry is here; its health check is run."""

from __future__ import annotations

import fnmatch
import json
import re
import subprocess
import sys
from pathlib import Path

from tests.deploy.shipped import NAMES, image, instructions, last_stage, one, settings_of
from tests.stack import ROOT, eventually, free_port


def test_the_image_has_no_tools_and_no_root() -> None:
    assert [kind for kind, _ in instructions()].count("FROM") == 2
    assert not [
        rest for kind, rest in last_stage() if kind == "RUN" and re.search(r"\b(pip|apt|apk|gcc|curl)\b", rest)
    ]
    user, group = map(int, one("USER").split(":"))
    assert user >= 10000 and group >= 10000
    directory = image()["DATA_DIR"]
    assert one("RUN") == f"mkdir -m 0711 {directory} && chown {user}:{group} {directory}"
    assert not [rest for kind, rest in instructions() if kind == "ADD" or ":latest" in rest]


def test_the_image_starts_the_server_as_its_settings_say() -> None:
    environment = image()
    known = {name: value for name, value in environment.items() if name in NAMES}
    settings = settings_of(known)
    assert (settings.host, str(settings.port)) == ("0.0.0.0", one("EXPOSE"))
    assert str(settings.data_dir) == one("VOLUME") == environment["HOME"]
    assert f"remotes.json {settings.config_path}" in [rest for kind, rest in last_stage() if kind == "COPY"]
    assert json.loads(one("ENTRYPOINT")) + json.loads(one("CMD")) == ["artifactapi", "run"]
    assert one("STOPSIGNAL") == "SIGTERM"


def test_what_is_copied_is_there_and_nothing_else_is_sent() -> None:
    allowed = {line[1:] for line in (ROOT / ".dockerignore").read_text("utf-8").splitlines() if line.startswith("!")}
    copied = {source for kind, rest in instructions() if kind == "COPY" and "--from" not in rest
              for source in rest.split()[:-1]}  # fmt: skip
    assert copied == allowed
    assert all((ROOT / source).exists() for source in copied)


def test_the_health_check_tells_a_node_that_answers_from_one_that_does_not(tmp_path: Path) -> None:
    options, command = one("HEALTHCHECK").split("CMD", 1)
    name, *arguments = json.loads(command)
    assert (name, fnmatch.fnmatch(options, "*--interval=*--timeout=*")) == ("python", True)
    (tmp_path / "health").mkdir()
    (tmp_path / "health" / "live").touch()
    port = free_port()

    def status() -> int:
        return subprocess.run(
            [sys.executable, *arguments], env={"PORT": str(port)}, capture_output=True, check=False, timeout=30
        ).returncode

    assert status() == 1
    server = [sys.executable, "-m", "http.server", "--bind", "127.0.0.1", "--directory", str(tmp_path), str(port)]
    with subprocess.Popen(server, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as answering:
        eventually(lambda: status() == 0, "well")
        answering.terminate()
