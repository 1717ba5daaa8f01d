"""The shipped TLS example in the shipped server."""

from __future__ import annotations

import http.client
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from app.edge.node import Node
from tests.conftest import require
from tests.deploy.front import DEPLOY, Front, replaced, running
from tests.edge import node as answering
from tests.stack import free_port

PLAIN = "if ($scheme = http) {"


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


def test_the_agents_door_is_open_where_http_is_sent_on(tmp_path: Path) -> None:
    """At its default address the shipped agent has its lease; nobody else finds anything there, or that elsewhere."""
    behind = answering.Node()
    front = Front(require("nginx"), tmp_path / "nginx", (behind.port, behind.port), tmp_path)
    text = (DEPLOY / "nginx-tls.conf").read_text("utf-8")
    (front.work / "more" / "http.conf").write_text(text[text.index(PLAIN) :])
    with running(front, status=308):
        agent = Node(f"http://127.0.0.1:{front.door}", "one.of-them", answering.TOKEN)
        assert agent.poll(0).lease == answering.LEASE
        agent.close()
        assert status(front.door, "/api/v1/edges/a/hits", b'{"hits": []}') == 401  # the node's: without a token
        assert status(front.door, "/api/v1/edges/a/hits", b"x" * (128 * 1024 + 1)) == 413
        for path in ("/", "/alma/a", "/api/v1/edges", "/api/v1/edges/a/b", "/metrics"):
            assert status(front.door, path) == 404
    (front.work / "more" / "http.conf").unlink()
    with running(front):
        for path in ("/api/v1/edges/a", "/api/v1/edges/a/hits", "//api/v1/%65dges/a", "/api/v1/edges"):
            assert status(front.port, path, b"{}") == 404
    behind.close()
    assert not behind.known.asked  # of what clients may ask


def status(port: int, path: str, body: bytes = b"") -> int:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    try:
        connection.request("POST" if body else "GET", path, body or None)
        return connection.getresponse().status
    finally:
        connection.close()


def test_the_shipped_configuration_is_sound_as_it_is(tmp_path: Path) -> None:
    front = Front(require("nginx"), tmp_path / "nginx", (free_port(), free_port()), tmp_path)
    said = front.checked()
    assert "test is successful" in said
    assert "warn" not in said or os.geteuid() != 0, said
