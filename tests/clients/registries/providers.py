"""Knows how a registry of Terraform's providers looks, whose files are on another host, and how terraform is run."""

from __future__ import annotations

import hashlib
import io
import json
import os
import shutil
import socket
import ssl
import subprocess
import threading
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from tests.clients.commands import CommandFailedError, environment, run
from tests.clients.signing import Key
from tests.conftest import require
from tests.upstreams import Upstream

_MACHINES = {"aarch64": "arm64", "x86_64": "amd64"}
PLATFORMS = (("linux", _MACHINES.get(os.uname().machine, "amd64")), ("darwin", "arm64"))


class Providers:
    """team/stone in one registry: signed, with its files at `files`."""

    def __init__(self, upstream: Upstream, files: Upstream, key: Key, work: Path) -> None:
        self.upstream, self.files, self.key, self.work = upstream, files, key, work
        self._versions: list[dict[str, object]] = []
        upstream.put("/.well-known/terraform.json", b'{"providers.v1": "/v1/providers/", "modules.v1": "/m/"}')

    def add(self, version: str) -> None:
        """One more version for two platforms."""
        archives = {f"terraform-provider-stone_{version}_{a}_{b}.zip": (a, b) for a, b in PLATFORMS}
        sums = ""
        for name in archives:
            body = _archive(version)
            self.files.put(f"/files/{name}", body)
            sums += f"{hashlib.sha256(body).hexdigest()}  {name}\n"
        self._sign(version, sums)
        for line in sums.splitlines():
            digest, name = line.split()
            self._document(version, name, *archives[name], digest)
        platforms = [{"os": a, "arch": b} for a, b in PLATFORMS]
        self._versions.append({"version": version, "protocols": ["5.0"], "platforms": platforms})
        listed = {"id": "team/stone", "versions": self._versions, "warnings": None}
        self.upstream.put("/v1/providers/team/stone/versions", json.dumps(listed).encode())

    def _sign(self, version: str, sums: str) -> None:
        file, armored, signature = (self.work / f"{version}.{kind}" for kind in ("sums", "asc", "sig"))
        file.write_text(sums)
        self.key.sign_beside(file, armored)
        run([require("gpg"), "--batch", "--yes", "--output", str(signature), "--dearmor", str(armored)], self.work)
        self.files.put(f"/files/{version}_SHA256SUMS", file.read_bytes())
        self.files.put(f"/files/{version}_SHA256SUMS.sig", signature.read_bytes())

    def _document(self, version: str, name: str, system: str, arch: str, digest: str) -> None:
        key = {"key_id": "0", "ascii_armor": self.key.armored.read_text()}
        told = {
            "protocols": ["5.0"],
            "os": system,
            "arch": arch,
            "filename": name,
            "download_url": f"{self.files.url}/files/{name}",
            "shasums_url": f"{self.files.url}/files/{version}_SHA256SUMS",
            "shasums_signature_url": f"{self.files.url}/files/{version}_SHA256SUMS.sig",
            "shasum": digest,
            "signing_keys": {"gpg_public_keys": [key]},
        }
        path = f"/v1/providers/team/stone/{version}/download/{system}/{arch}"
        self.upstream.put(path, json.dumps(told).encode(), Content_Type="application/json")


def _archive(version: str) -> bytes:
    body = io.BytesIO()
    with zipfile.ZipFile(body, "w") as file:
        member = zipfile.ZipInfo(f"terraform-provider-stone_v{version}", (2026, 1, 1, 0, 0, 0))
        member.external_attr = 0o755 << 16
        file.writestr(member, "#!/bin/sh\nexit 1\n")
    return body.getvalue()


def terraform() -> str:
    """A real terraform, or OpenTofu; no registry of packages has either, so that no machine of CI must."""
    found = shutil.which("terraform") or shutil.which("tofu")
    if found is None:
        pytest.skip("neither terraform nor tofu is installed")
    return found


class Terraform:
    """One machine's terraform; `settings` is its CLI configuration, `trusted` a certificate that it believes."""

    def __init__(self, home: Path, settings: str, trusted: Path | None = None) -> None:
        self.home = home
        (home / "cli.tfrc").write_text(settings)
        own = {"TF_CLI_CONFIG_FILE": str(home / "cli.tfrc"), "CHECKPOINT_DISABLE": "1"}
        self._environment = {**environment(home), **own, **({"SSL_CERT_FILE": str(trusted)} if trusted else {})}

    def init(self, source: str) -> set[str]:
        """terraform init: the executables that are installed then."""
        project = self.home / "project"
        shutil.rmtree(project, ignore_errors=True)
        project.mkdir()
        (project / "main.tf").write_text(
            f'terraform {{\n  required_providers {{\n    stone = {{ source = "{source}" }}\n  }}\n}}\n'
        )
        command = [terraform(), "init", "-no-color", "-input=false"]
        done = subprocess.run(
            command, env=self._environment, cwd=project, capture_output=True, text=True, timeout=60, check=False
        )
        if done.returncode:
            raise CommandFailedError(done.stdout + done.stderr)
        return {file.name for file in project.rglob(".terraform/providers/**/terraform-provider-*")}


def by_registry(host: str, url: str) -> str:
    """Settings: a host's registry is at `url`, a repository."""
    return f'host "{host}" {{\n  services = {{ "providers.v1" = "{url}/v1/providers/" }}\n}}\n'


def by_mirror(url: str) -> str:
    """Settings: every provider comes from the mirror of the repository at `url`."""
    return f'provider_installation {{\n  network_mirror {{\n    url = "{url}/mirror/"\n  }}\n}}\n'


@contextmanager
def tls(port: int, certificate: Path, key: Path) -> Iterator[str]:
    """The URL of what listens on `port`, in TLS."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        threading.Thread(target=_admit, args=(listener, context, port), daemon=True).start()
        yield f"https://127.0.0.1:{listener.getsockname()[1]}"
        with suppress(OSError):
            listener.shutdown(socket.SHUT_RDWR)


def _admit(listener: socket.socket, context: ssl.SSLContext, port: int) -> None:
    with suppress(OSError):  # closed
        while True:
            visitor = listener.accept()[0]
            threading.Thread(target=_converse, args=(visitor, context, port), daemon=True).start()


def _converse(visitor: socket.socket, context: ssl.SSLContext, port: int) -> None:
    """One request and its answer: the node closes behind each."""
    with (
        suppress(OSError),
        context.wrap_socket(visitor, server_side=True) as client,
        socket.create_connection(("127.0.0.1", port)) as server,
    ):
        request = b""
        while b"\r\n\r\n" not in request and (piece := client.recv(65536)):
            request += piece
        server.sendall(request)
        while piece := server.recv(65536):
            client.sendall(piece)
