"""The shipped TLS example in the shipped server."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import require
from tests.deploy.front import DEPLOY, Front, replaced, running
from tests.stack import free_port


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, Path]]:
    """(chain, key) for 127.0.0.1."""
    work = tmp_path_factory.mktemp("certificate")
    chain, key = work / "fullchain.pem", work / "privkey.pem"
    command = "req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=127.0.0.1 -addext subjectAltName=IP:127.0.0.1"
    files = ["-keyout", str(key), "-out", str(chain)]
    subprocess.run([require("openssl"), *command.split(), *files], check=True, capture_output=True, timeout=60)
    yield chain, key


def test_tls(tmp_path: Path, certificate: tuple[Path, Path]) -> None:
    """The shipped example in the shipped server: https answers, http is sent on with method, path and port."""
    front = Front(require("nginx"), tmp_path / "nginx", (free_port(), free_port()), tmp_path)
    port = free_port()
    changes = {
        "listen 443 ssl default_server;": f"listen 127.0.0.1:{port} ssl default_server;",
        "listen [::]:443 ssl default_server;": f"listen 127.0.0.1:{free_port()} ssl default_server;",
        "ssl_certificate /etc/nginx/artifactapi/fullchain.pem;": f"ssl_certificate {certificate[0]};",
        "ssl_certificate_key /etc/nginx/artifactapi/privkey.pem;": f"ssl_certificate_key {certificate[1]};",
    }
    tls = front.work / "more" / "nginx-tls.conf"
    tls.write_text(replaced((DEPLOY / "nginx-tls.conf").read_text("utf-8"), changes))
    assert "test is successful" in front.checked()
    with running(front, status=308):
        curl = [require("curl"), "-s", "--cacert", str(certificate[0]), "-o", "/dev/null"]
        told = [*curl, "-w", "%{http_code} %{redirect_url}"]
        secure = subprocess.run([*told, f"https://127.0.0.1:{port}/x"], capture_output=True, text=True, check=True)
        plain = subprocess.run([*told, f"{front.url}/a//b%2Fc?d=e"], capture_output=True, text=True, check=True)
    assert secure.stdout.split()[0] == "503"  # no node is there
    assert plain.stdout == f"308 https://127.0.0.1:{front.port}/a//b%2Fc?d=e"


def test_the_shipped_configuration_is_sound_as_it_is(tmp_path: Path) -> None:
    front = Front(require("nginx"), tmp_path / "nginx", (free_port(), free_port()), tmp_path)
    said = front.checked()
    assert "test is successful" in said
    assert "warn" not in said or os.geteuid() != 0, said
