"""Whether this node serves, asked as any load balancer asks."""

from __future__ import annotations

import http.client
import socket

from app.settings_values import UNIX

TIMEOUT = 1.0  # seconds
_WILDCARDS = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104  compared with, not bound


def reachable(host: str) -> str:
    """The address at which this machine reaches a server that listens on `host`."""
    return _WILDCARDS.get(host, host)


class _Local(http.client.HTTPConnection):
    """Over a unix socket, whose path stands as the host."""

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self.host)


def why_not_ready(host: str, port: int) -> str | None:
    """None if /health/live and /health/ready both answer 200, else what the first of them said."""
    for path in ("/health/live", "/health/ready"):
        try:
            status, body = _get(reachable(host), port, path)
        except (OSError, http.client.HTTPException) as error:
            return f"{path}: {error}"
        if status != http.client.OK:
            return f"{path}: {status} {body}"
    return None


def _get(host: str, port: int, path: str) -> tuple[int, str]:
    local = host.startswith(UNIX)
    connection = (_Local if local else http.client.HTTPConnection)(host.removeprefix(UNIX), port, timeout=TIMEOUT)
    try:
        connection.request("GET", path, headers={"User-Agent": "artifactapi-supervisor", "Host": "localhost"})
        answer = connection.getresponse()
        return answer.status, answer.read(1000).decode("utf-8", "replace").strip()
    finally:
        connection.close()
