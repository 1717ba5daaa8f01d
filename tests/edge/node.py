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
    status: int = 200  # of what edges ask
    hits_status: int = 204
    asked: Counter[str] = field(default_factory=Counter)  # "GET /path" of clients
    hits: list[dict[str, Any]] = field(default_factory=list)
    cursors: list[int] = field(default_factory=list)
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
        """/<repository>/<key>[?query]; the key begins with "moves" where it is mutable."""
        known, path = self.known, urllib.parse.unquote(self.path.partition("?")[0])
        _, repository, key = path.split("/", 2)
        body = f"{path} {known.version} ".encode().ljust(1000, b".")
        asked, _, leased = self.headers["X-Edge"].partition(" ")
        lasting = bool(leased) and not key.startswith("moves")
        until = int(float(asked)) + (86400 if lasting else 0)
        entry = f"{known.number} {repository} {urllib.parse.quote(key, safe='/:@+~')}"
        known.asked[f"{self.command} {path}"] += 1
        if path in known.late:
            known.late[path].wait(20)
        self.send_response(200)
        for name, value in (
            ("Content-Type", "application/octet-stream"),
            ("X-Accel-Expires", f"@{until}"),
            ("X-Edge-Entry", entry),
            ("ETag", f'"{known.version}"'),
            ("Accept-Ranges", "bytes"),
            ("Content-Length", str(len(body))),
        ):
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
        if hits and status == 204:
            known.hits.extend(body["hits"])
        elif status == 200:
            answer = self._news(int(body["cursor"]))
        text = b"" if status == 204 else json.dumps(answer).encode()
        self.send_response(status)
        if status != 204:
            self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    def _news(self, cursor: int) -> dict[str, Any]:
        known = self.known
        known.cursors.append(cursor)
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
        return any(each >= number for each in self.known.cursors[-5:])

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
