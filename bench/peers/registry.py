"""docker-registry as a pull-through cache of a second docker-registry, which the bench fills with skopeo.

nginx sends that registry's blobs itself, from its files: limit_rate counts what one write sends, and does not see the
small pieces of a proxied body.

docker-registry (proxy) -+
ours --------------------+-> nginx (1 Gbit/s a connection, counts) -> docker-registry <- skopeo
"""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from bench.peers.product import REGISTRY, Product, Program, running
from tests.stack import free_port

GIGABIT = 125_000_000  # bytes a second

FRONT = """
{user}
daemon off; worker_processes 1; pid {work}/pid; error_log {work}/error.log error;
events {{ worker_connections 768; }}
http {{
    sendfile on; tcp_nopush on; default_type application/octet-stream;
    log_format asked "$request_method $uri"; access_log {work}/asked.log asked;
    client_body_temp_path {work}/t1; proxy_temp_path {work}/t2; fastcgi_temp_path {work}/t3;
    uwsgi_temp_path {work}/t4; scgi_temp_path {work}/t5; client_max_body_size 0;
    server {{
        listen 127.0.0.1:{port} backlog=1024;
        location ~ "^/v2/.+/blobs/sha256:(?<two>[0-9a-f]{{2}})(?<rest>[0-9a-f]{{62}})$" {{
            limit_rate {rate};
            add_header Docker-Content-Digest sha256:$two$rest;
            alias {blobs}/$two/$two$rest/data;
        }}
        location / {{
            proxy_pass http://127.0.0.1:{backend}; proxy_http_version 1.1;
            proxy_set_header Host $http_host; proxy_max_temp_file_size 0;
        }}
    }}
}}
"""


@dataclass(frozen=True, slots=True)
class Origin:
    """The registry that is upstream: `front` is its port for everybody, `door` the one that is pushed to."""

    work: Path
    skopeo: str
    front: int
    door: int

    def push(self, layout: Path, name: str) -> None:
        """An OCI layout's only image, as <name>:latest; its bytes stay as they are."""
        target = f"docker://127.0.0.1:{self.door}/{name}:latest"
        options = ["--insecure-policy", "--dest-tls-verify=false", "--preserve-digests", "--quiet"]
        command = [self.skopeo, "copy", *options, f"oci:{layout}:latest", target]
        # one long line of skopeo's is more than an exception says by itself
        done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
        if done.returncode:
            raise RuntimeError(f"skopeo: {done.stderr[-300:]}")

    def asked(self, path: str, method: str = "GET") -> int:
        """How many requests for that path have ended."""
        return (self.work / "front" / "asked.log").read_text(encoding="utf-8").split("\n").count(f"{method} {path}")


@contextlib.contextmanager
def origin(registry: str, nginx: str, skopeo: str, work: Path) -> Iterator[Origin]:
    """An empty one."""
    front, door = free_port(), free_port()
    (work / "front").mkdir(parents=True)
    user = "user root;" if os.geteuid() == 0 else ""
    blobs = work / "door" / "data" / "docker" / "registry" / "v2" / "blobs" / "sha256"
    told = FRONT.format(work=work / "front", port=front, backend=door, blobs=blobs, rate=GIGABIT, user=user)
    (work / "front" / "nginx.conf").write_text(told, encoding="utf-8")
    behind = _program(registry, work / "door", door)
    before = Program([nginx, "-e", work / "front/error.log", "-c", work / "front/nginx.conf"], work / "front/log")
    with running(behind, f"http://127.0.0.1:{door}/v2/"), running(before, f"http://127.0.0.1:{front}/v2/"):
        yield Origin(work, skopeo, front, door)


@contextlib.contextmanager
def serving(registry: str, work: Path, upstream: int) -> Iterator[Product]:
    """The peer: a pull-through cache of `upstream`, a port of 127.0.0.1."""
    port = free_port()
    program = _program(registry, work, port, upstream)

    def restart() -> None:
        program.stop()
        program.start()

    with running(program, f"http://127.0.0.1:{port}/v2/"):
        yield Product(REGISTRY, port, program.pids, image=lambda path: path, restart=restart, stop=program.stop)


def _program(registry: str, work: Path, port: int, upstream: int | None = None) -> Program:
    """Debian's config.yml (descriptors in memory, files) without its password and its log lines of every request."""
    work.mkdir(parents=True)
    document = {
        "version": "0.1",
        "log": {"level": "error", "accesslog": {"disabled": True}},
        "storage": {"cache": {"blobdescriptor": "inmemory"}, "filesystem": {"rootdirectory": str(work / "data")}},
        "http": {"addr": f"127.0.0.1:{port}", "headers": {"X-Content-Type-Options": ["nosniff"]}},
    }
    if upstream:
        document["proxy"] = {"remoteurl": f"http://127.0.0.1:{upstream}"}
    (work / "config.yml").write_text(json.dumps(document), encoding="utf-8")  # JSON is YAML
    return Program([registry, "serve", work / "config.yml"], work / "log")
