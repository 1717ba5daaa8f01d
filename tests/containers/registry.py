"""Knows how to run a real docker-registry as an upstream, behind an nginx that counts, refuses and goes away.

client -> Front (nginx, what tests count) -> docker-registry with auth -+-> the same storage
                 tests push here -> docker-registry without (the door) -+
"""

from __future__ import annotations

import contextlib
import http.client
import json
import subprocess
import time
import urllib.parse
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.clients.nginx import Hit, Nginx
from tests.containers.images import Blob, Image, Index
from tests.stack import free_port

USER, PASSWORD = "fleet", "opensesame"
_HTPASSWD = f"{USER}:$2b$04$abcdefghijklmnopqrstuuFuhxWRTXIsURoluSTZ1N4tYaWGn9oOi\n"  # bcrypt of PASSWORD

_TOO_MANY = json.dumps({"errors": [{"code": "TOOMANYREQUESTS", "message": "pull rate limit", "detail": None}]})

# One process and one event loop, as in tests.clients.nginx: an answered request is in the log.
_FRONT = """\
daemon off;
master_process off;
pid {work}/pid;
error_log {work}/error.log warn;
events {{ worker_connections 256; }}
http {{
    log_format hits escape=json '{{"method":"$request_method","path":"$request_uri","status":$status,'
        '"range":"$http_range","conditional":"$http_if_none_match$http_if_modified_since",'
        '"authorization":"$http_authorization"}}';
    client_body_temp_path {work}/client; proxy_temp_path {work}/proxy; fastcgi_temp_path {work}/fastcgi;
    uwsgi_temp_path {work}/uwsgi; scgi_temp_path {work}/scgi;
    server {{
        listen 127.0.0.1:{port};
        access_log {work}/access.log hits;
        location = /.barrier {{ access_log off; return 204; }}
        location / {{
            default_type application/json;
            if (-f {work}/limited) {{
                add_header Retry-After 1 always;
                return 429 '{too_many}';
            }}
            if (-f {work}/broken) {{ return 502; }}
            if (-f {work}/slow) {{ set $limit_rate 2m; }}
            proxy_pass http://127.0.0.1:{backend};
            proxy_http_version 1.1;
            proxy_max_temp_file_size 0;
            proxy_set_header Host $http_host;
        }}
    }}
}}
"""


class Front(Nginx):
    """An nginx before `backend` (a port); each of its faults is a flag file that exists inside a block."""

    def __init__(self, executable: str, work: Path, backend: int) -> None:
        super().__init__(executable, work)
        port = urllib.parse.urlsplit(self.url).port
        text = _FRONT.format(work=work, port=port, backend=backend, too_many=_TOO_MANY)
        (work / "nginx.conf").write_text(text, encoding="utf-8")

    def limited(self) -> contextlib.AbstractContextManager[None]:
        """Everything is 429, as Docker Hub answers above its pull rate."""
        return self._flag("limited")

    def broken(self) -> contextlib.AbstractContextManager[None]:
        """Everything is 502."""
        return self._flag("broken")

    def slow(self) -> contextlib.AbstractContextManager[None]:
        """Every body comes at 2 MB/s."""
        return self._flag("slow")

    @contextlib.contextmanager
    def _flag(self, name: str) -> Iterator[None]:
        flag = self._work / name
        flag.touch()
        try:
            yield
        finally:
            flag.unlink()


class Distribution:
    """One docker-registry process over `storage`; `auth` is that section of its configuration."""

    def __init__(self, executable: str, work: Path, storage: Path, auth: Mapping[str, Any]) -> None:
        work.mkdir(parents=True)
        self.port = free_port()
        self._work = work
        document = {
            "version": "0.1",
            "log": {"level": "warn"},
            "storage": {"filesystem": {"rootdirectory": str(storage)}, "delete": {"enabled": True}},
            "http": {"addr": f"127.0.0.1:{self.port}", "secret": "the same in both"},
            **({"auth": auth} if auth else {}),
        }
        (work / "config.yml").write_text(json.dumps(document), encoding="utf-8")  # JSON is YAML
        self._command = [executable, "serve", str(work / "config.yml")]
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Return once it answers."""
        with (self._work / "log").open("ab") as log:
            self._process = subprocess.Popen(
                self._command, cwd=self._work, stdin=subprocess.DEVNULL, stdout=log, stderr=log
            )
        deadline = time.monotonic() + 10
        while not self._answers():
            if self._process.poll() is not None or time.monotonic() > deadline:
                raise AssertionError((self._work / "log").read_text(encoding="utf-8"))
            time.sleep(0.01)

    def stop(self) -> None:
        if self._process:
            self._process.kill()
            self._process.wait(10)
            self._process = None

    def _answers(self) -> bool:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=5)
        with contextlib.closing(connection):
            try:
                connection.request("GET", "/v2/")
                return connection.getresponse().status in (200, 401)
            except OSError:
                return False


@dataclass(frozen=True, slots=True)
class Push:
    """A registry's answer to one request of a push."""

    status: int
    location: str
    body: bytes


class Registry:
    """An upstream of images: `url` is what the server under test is configured with."""

    def __init__(self, registry: str, nginx: str, work: Path, auth: Mapping[str, Any] | None = None) -> None:
        storage = work / "storage"
        self._door = Distribution(registry, work / "door", storage, {})
        self._served = Distribution(registry, work / "served", storage, auth) if auth else self._door
        self.front = Front(nginx, work / "front", self._served.port)

    @property
    def url(self) -> str:
        return self.front.url

    @property
    def host(self) -> str:
        """What stands before the name of an image that is pulled without any proxy."""
        return self.url.removeprefix("http://")

    def start(self) -> None:
        for each in {self._door, self._served}:
            each.start()
        self.front.start()

    def close(self) -> None:
        self.front.close()
        for each in {self._door, self._served}:
            each.stop()

    def push(self, name: str, tag: str, pushed: Image | Index) -> None:
        """Have it under name:tag."""
        for blob in pushed.blobs:
            self.push_blob(name, blob)
        for manifest in pushed.manifests:
            self.push_manifest(name, manifest.digest, manifest)
        self.push_manifest(name, tag, pushed.manifest)

    def push_blob(self, name: str, blob: Blob) -> None:
        """A monolithic upload, where it is not there yet (distribution-spec, "POST then PUT")."""
        if self._ask("HEAD", f"/v2/{name}/blobs/{blob.digest}").status == 200:
            return
        begun = self._ask("POST", f"/v2/{name}/blobs/uploads/")
        where = urllib.parse.urlsplit(begun.location)
        path = f"{where.path}?{where.query}&digest={blob.digest}"
        self._ask("PUT", path, blob, "application/octet-stream", expected=201)

    def push_manifest(self, name: str, reference: str, manifest: Blob) -> None:
        path = f"/v2/{name}/manifests/{reference}"
        self._ask("PUT", path, manifest, manifest.media_type, expected=201)

    def delete(self, name: str, manifest: Blob) -> None:
        """Delete a manifest and every tag on it; this registry knows no other way to delete a tag."""
        self._ask("DELETE", f"/v2/{name}/manifests/{manifest.digest}", expected=202)

    def _ask(
        self, method: str, path: str, body: Blob | None = None, content_type: str = "", *, expected: int = 0
    ) -> Push:
        headers = {"Content-Type": content_type, "Content-Length": str(len(body.data))} if body else {}
        connection = http.client.HTTPConnection("127.0.0.1", self._door.port, timeout=60)
        with contextlib.closing(connection):
            connection.request(method, path, memoryview(body.data) if body else None, headers)
            answer = connection.getresponse()
            reply = Push(answer.status, answer.headers["Location"] or "", answer.read())
        assert expected in (0, reply.status), (method, path, reply)
        return reply

    def asked(self, method: str, path: str) -> int:
        """How often it was asked, whatever it answered but for a challenge; `path` is below /v2/."""
        return len([hit for hit in self.hits(path) if hit.method == method and hit.status != 401])

    def hits(self, path: str) -> list[Hit]:
        """Every request that reached the front for this path below /v2/."""
        return [hit for hit in self.front.hits() if hit.path.partition("?")[0] == f"/v2/{path}"]

    def downloads(self, name: str, of: Image | Index) -> list[int]:
        """How often upstream was asked for each blob of an image."""
        return [self.asked("GET", f"{name}/blobs/{blob.digest}") for blob in of.blobs]


def htpasswd(file: Path) -> dict[str, Any]:
    """The `auth` section of a registry that only USER with PASSWORD may read."""
    file.write_text(_HTPASSWD, encoding="ascii")
    return {"htpasswd": {"realm": "test", "path": str(file)}}
