"""What is measured with: a node of four workers, nginx and a late upstream before it, on loopback.

nginx serves each file under every number, so that there is always a path that nobody stored:
    /<bytes a second, 0 for no limit>/<number>/<file>                             as a file
    /v2/<bytes a second>/<number>/<file>/blobs/sha256:<hex>                       as an image's blob
    /v2/<bytes a second>/<number>/<file>/manifests/sha256:<hex> or t-<hex>        by digest, by tag
    /sets/<path>                                                                  a directory
"""

from __future__ import annotations

import contextlib
import hashlib
import itertools
import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from bench import late
from bench.bodies import Body, Expected, Text
from bench.client import Got, get
from tests.stack import Stack, eventually, free_port

ROOT = Path(__file__).parent.parent
WORKERS = 4
SMALL = 10 * 1024
BRIEF = 1.0  # seconds until a tag of `brief` and an index of `packages` expire
MANIFEST = "application/vnd.oci.image.manifest.v1+json"
MIB = 1 << 20

NGINX = """
{user}
daemon off; worker_processes 2; pid {here}/nginx.pid; error_log {here}/nginx.log error;
events {{ worker_connections 1024; }}
http {{
    log_format asked "$request_method $uri";
    access_log {here}/asked.log asked;
    sendfile on; tcp_nopush on; default_type application/octet-stream;
    client_body_temp_path {here}/t1; proxy_temp_path {here}/t2; fastcgi_temp_path {here}/t3;
    uwsgi_temp_path {here}/t4; scgi_temp_path {here}/t5;
    server {{
        listen 127.0.0.1:{port} backlog=1024;
        location ~ ^/(?<rate>[0-9]+)/[^/]+/(?<file>[^/]+)$ {{ limit_rate $rate; alias {here}/files/$file; }}
        location ~ ^/v2/(?<rate>[0-9]+)/[^/]+/(?<file>[^/]+)/blobs/sha256:(?<hex>[0-9a-f]+)$ {{
            limit_rate $rate; add_header Docker-Content-Digest sha256:$hex; alias {here}/files/$file;
        }}
        location ~ ^/v2/(?<rate>[0-9]+)/[^/]+/(?<file>[^/]+)/manifests/(?:sha256:|t-)(?<hex>[0-9a-f]+)$ {{
            default_type {manifest};
            limit_rate $rate; add_header Docker-Content-Digest sha256:$hex; alias {here}/files/$file;
        }}
        location /sets/ {{ alias {here}/sets/; }}
    }}
}}
"""


@dataclass(frozen=True, slots=True)
class Files:
    """nginx before a directory of files."""

    here: Path
    port: int
    _names: Iterator[int] = field(default_factory=lambda: itertools.count(1))

    def serial(self) -> int:
        """A number that was not used before in this run."""
        return next(self._names)

    def body(self, name: str, size: int) -> Body:
        """The file of that name with bytes that no file had before; `size` in bytes."""
        return Body(self.serial(), size).write(self.here / "files" / name)

    def path(self, name: str, rate: float = 0) -> str:
        """A path of that file that nobody asked for yet; `rate` limits each connection, bytes a second."""
        return f"/{rate:.0f}/{self.serial()}/{name}"

    def text(self, name: str, data: bytes) -> Text:
        """The file of that name with those bytes."""
        (self.here / "files" / name).write_bytes(data)
        return Text(data)

    def blob(self, name: str, rate: float = 0) -> str:
        """path() as a blob of an image that nobody asked for yet. Its bytes must be new for it to be fetched."""
        return f"/v2{self.path(name, rate)}/blobs/sha256:{self._sha256(name)}"

    def manifest(self, name: str) -> tuple[str, str]:
        """path() as such an image's manifest: by tag and by digest. The tag says what nginx tells as its digest."""
        image, own = self.path(name), self._sha256(name)
        return f"/v2{image}/manifests/t-{own}", f"/v2{image}/manifests/sha256:{own}"

    def asked(self, path: str, method: str = "GET") -> int:
        """How many requests for that path have ended."""
        return (self.here / "asked.log").read_text(encoding="utf-8").split("\n").count(f"{method} {path}")

    def _sha256(self, name: str) -> str:
        with (self.here / "files" / name).open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()


@dataclass(frozen=True, slots=True)
class Layout:
    """What nginx's files are in one repository of the node: (files, name, bytes a second) -> a fresh path."""

    repository: str
    path: Callable[[Files, str, float], str]


FILES = Layout("files", Files.path)
BLOBS = Layout("images", Files.blob)


@dataclass(frozen=True, slots=True)
class Site:
    """Everything an item needs; `rounds` is how often it repeats what it compares."""

    node: Stack
    files: Files
    late: int  # the late upstream's port
    rounds: int
    seconds: float = 1.0  # of load on each product in each round of the comparison

    def direct(self, path: str, body: Expected, *, gather: int = 1) -> Got:
        """Fetch from nginx itself."""
        return get(self.files.port, path, body, gather=gather)

    def touch_memory(self, size: int) -> float:
        """Write and remove a file of `size` bytes, so that what is written next finds its pages free; seconds.

        A virtual machine's host finds each page at its first touch, which can cost ten times the write itself.
        """
        scratch, begun = self.node.directory / "scratch", time.perf_counter()
        with scratch.open("wb") as file:
            file.writelines(Body(0, size).blocks())
        seconds = time.perf_counter() - begun
        scratch.unlink()
        return seconds

    def through(self, path: str, body: Expected, *, at: str = "files", gather: int = 1, pace: float = 0.0) -> Got:
        """Fetch the same through the node's repository `at`."""
        return get(self.node.port, self.address(path, at), body, gather=gather, pace=pace)

    @staticmethod
    def address(path: str, at: str = "files") -> str:
        """What the node calls it."""
        return f"/repository/{at}{path}"


@contextlib.contextmanager
def site(rounds: int, seconds: float = 1.0) -> Iterator[Site]:
    """Start all of it in a temporary directory; stop all of it and remove the directory after."""
    with contextlib.ExitStack() as ends:
        here = Path(ends.enter_context(_directory()))
        files = ends.enter_context(_nginx(here / "upstream"))
        slow = ends.enter_context(late.serving())
        yield Site(ends.enter_context(_node(here / "node", files.port, slow)), files, slow, rounds, seconds)


def _directory() -> tempfile.TemporaryDirectory[str]:
    """Under TMPDIR where that is set, else beside the repository's other data: /tmp may be memory."""
    place = Path(os.environ.get("TMPDIR") or ROOT / "var" / "bench")
    place.mkdir(parents=True, exist_ok=True)
    return tempfile.TemporaryDirectory(prefix="artifactapi-bench-", dir=place)


@contextlib.contextmanager
def _nginx(here: Path) -> Iterator[Files]:
    (here / "files").mkdir(parents=True)
    (here / "sets").mkdir()
    files = Files(here, free_port())
    user = "user root;" if os.geteuid() == 0 else ""
    told = NGINX.format(user=user, here=here, port=files.port, manifest=MANIFEST)
    (here / "nginx.conf").write_text(told, encoding="utf-8")
    program = shutil.which("nginx", path=f"{os.environ['PATH']}:/usr/sbin") or "nginx"
    with subprocess.Popen([program, "-c", here / "nginx.conf", "-e", here / "nginx.log"]) as process:
        try:
            warm = files.body("warm", SMALL)
            eventually(lambda: _answers(files, warm), "nginx answers", 10)
            yield files
        finally:
            process.terminate()


def _answers(files: Files, body: Body) -> bool:
    try:
        get(files.port, files.path("warm"), body)
    except ConnectionRefusedError:
        time.sleep(0.05)
        return False
    return True


@contextlib.contextmanager
def _node(directory: Path, files: int, slow: int) -> Iterator[Stack]:
    nginx, waiting = f"http://127.0.0.1:{files}", f"http://127.0.0.1:{slow}"
    brief = {"cache": {"mutable_ttl": BRIEF}}
    remotes = {
        "files": {"package": "generic", "base_url": nginx, "immutable_patterns": [".*"]},
        "late": {"package": "generic", "base_url": waiting, "immutable_patterns": [".*"]},
        "images": {"package": "docker", "base_url": nginx},
        "late-images": {"package": "docker", "base_url": waiting},
        "brief": {"package": "docker", "base_url": nginx, **brief},
        "packages": {"package": "rpm", "base_url": f"{nginx}/sets", **brief},
    }
    node = Stack(directory, {"remotes": remotes}, {"WORKERS": str(WORKERS)})
    try:
        yield node.start()
    finally:
        node.close()
