"""A node as an edge sees it: small bodies with stamps, news, a lease, and who reported what."""

from __future__ import annotations

import json
import threading
import urllib.parse
from collections import Counter
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

TOKEN = "an-edge-s-own-token"
LEASE = 2.0
FIRST = 1000  # the number of the first news


@dataclass
class Known:
    """What the node knows; the test writes into it. `purges` have the numbers after FIRST."""

    purges: list[tuple[str, str | None]] = field(default_factory=list)
    oldest: int = 0  # who asks with an older cursor has to drop everything
    version: int = 1  # of every body
    size: int = 1000
    status: int = 200  # of what edges ask
    hits_status: int = 204
    lost: bool = False  # reports are counted and answered with another status
    highest: int = 2**52  # cursor that is taken
    asked: Counter[str] = field(default_factory=Counter)  # "GET /path" of clients
    reports: list[dict[str, Any]] = field(default_factory=list)  # that were taken or not
    hits: list[dict[str, Any]] = field(default_factory=list)  # of those that were counted
    cursors: dict[str, int] = field(default_factory=dict)  # name of an edge -> the last one it had
    told: Counter[str] = field(default_factory=Counter)  # name of an edge -> polls answered
    late: dict[str, threading.Event] = field(default_factory=dict)  # path -> answered when it is set

    @property
    def number(self) -> int:
        return FIRST + len(self.purges)

    def counted(self) -> Counter[tuple[str, str]]:
        """(repository, key) -> requests that were reported."""
        found: Counter[tuple[str, str]] = Counter()
        for each in self.hits:
            found[each["repository"], each["key"]] += each["requests"]
        return found


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    known: Known

    def do_GET(self) -> None:
        """/<repository>/<key>[?query]; a body for each Accept."""
        known, path = self.known, urllib.parse.unquote(self.path.partition("?")[0])
        _, repository, key = path.split("/", 2)
        body = f"{path} {known.version} {self.headers['Accept']} ".encode().ljust(known.size, b".")
        headers = {
            "Content-Type": "application/octet-stream",
            "ETag": f'"{known.version}"',
            "Accept-Ranges": "bytes",
            "Vary": "Accept",
            "Content-Length": str(len(body)),
        }
        if asked := self.headers["X-Edge"]:
            headers["X-Accel-Expires"] = f"@{int(float(asked)) + 86400}"
            headers["X-Edge-Entry"] = f"{known.number} {repository} {urllib.parse.quote(key, safe='/:@+~')}"
        late = known.late.get(path)
        known.asked[f"{self.command} {path}"] += 1
        if late:
            late.wait(20)
        self.send_response(200)
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(body)

    do_HEAD = do_GET  # noqa: N815

    def do_POST(self) -> None:
        known = self.known
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        hits = self.path.endswith("/hits")
        status = known.hits_status if hits else known.status
        if self.headers["Authorization"] != f"Bearer {TOKEN}":
            status = 401
        answer: dict[str, Any] = {"error": "no"}
        if hits:
            self._count(body, status)
        elif status == 200 and body["cursor"] > known.highest:
            status = 422
        elif status == 200:
            answer = self._news(self.path.rpartition("/")[2], int(body["cursor"]))
        text = b"" if status == 204 else json.dumps(answer).encode()
        self.send_response(status)
        if status != 204:
            self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    def _count(self, report: dict[str, Any], status: int) -> None:
        """A report that was counted is not counted again; with a `lost` answer it counts all the same."""
        known = self.known
        counted = [each for each in known.reports if each["report"] == report["report"] and each["counted"]]
        counts = status == 204 or known.lost
        if counts and not counted:
            known.hits.extend(report["hits"])
        known.reports.append(report | {"counted": counts})

    def _news(self, name: str, cursor: int) -> dict[str, Any]:
        known = self.known
        known.cursors[name] = cursor
        known.told[name] += 1
        everything = cursor < max(FIRST, known.oldest)
        found = [] if everything else list(enumerate(known.purges, FIRST + 1))[cursor - FIRST :][:1000]
        purges = [{"number": number, "repository": one, "key": key} for number, (one, key) in found]
        last = purges[-1]["number"] if purges else known.number
        return {"cursor": last, "everything": everything, "purges": purges, "lease": LEASE}

    def log_message(self, format: str, *args: Any) -> None:
        pass


class Node:
    """It answers at `port` until close()."""

    def __init__(self) -> None:
        self.known = Known()
        handler = type("Own", (Handler,), {"known": self.known})
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
        self._server.daemon_threads = True
        self.port = self._server.server_address[1]
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def purge(self, repository: str, key: str | None = None) -> int:
        """Make it news, and every body another one."""
        self.known.version += 1
        self.known.purges.append((repository, key))
        return self.known.number

    def acknowledged(self, number: int) -> bool:
        """By every edge."""
        return bool(self.known.cursors) and min(self.known.cursors.values()) >= number

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
