"""Knows how curl is run and what it received."""

from __future__ import annotations

import itertools
import json
import subprocess
from dataclasses import dataclass
from email.message import Message
from email.parser import BytesParser
from hashlib import sha256
from pathlib import Path
from typing import Any

from tests.clients.commands import run, spawn


@dataclass(frozen=True, slots=True)
class Reply:
    """The last response of one curl run; `headers` looks names up in any case."""

    status: int
    headers: Message
    body: bytes

    @property
    def sha256(self) -> str:
        return sha256(self.body).hexdigest()

    @property
    def error(self) -> str:
        """The stable code of an error, with the three members that every error has."""
        document: dict[str, Any] = json.loads(self.body)
        assert {"error", "message", "request_id"} <= document.keys()
        return str(document["error"])

    def parts(self) -> list[bytes]:
        """The bodies of a multipart/byteranges answer."""
        whole = BytesParser().parsebytes(b"Content-Type: %b\r\n\r\n" % self.content_type.encode() + self.body)
        return [part.get_payload(decode=True) for part in whole.get_payload()]  # type: ignore[misc, union-attr]

    @property
    def content_type(self) -> str:
        return str(self.headers["Content-Type"])


class Curl:
    """curl without a .curlrc; every run ends within a minute."""

    def __init__(self, executable: str, home: Path) -> None:
        self._home = home
        self._numbers = itertools.count()
        self._command = [executable, "--disable", "--silent", "--show-error", "--max-time", "60"]

    def __call__(self, url: str, *options: str) -> Reply:
        """One request; every HTTP status is an answer, a broken transfer is an error."""
        number = next(self._numbers)
        head, body = self._home / f"head.{number}", self._home / f"body.{number}"
        run([*self._command, "--dump-header", str(head), "--output", str(body), *options, url], self._home)
        status, _, headers = head.read_bytes().rstrip(b"\r\n").rpartition(b"HTTP/1.")[2].partition(b"\r\n")
        received = body.read_bytes() if body.exists() else b""
        return Reply(int(status.split()[1]), BytesParser().parsebytes(headers, headersonly=True), received)

    def save(self, url: str, file: Path, *options: str) -> str:
        """Download as a user does, failing on an error status; what curl printed."""
        return run([*self._command, "--fail", *options, "--output", str(file), url], self._home)

    def start(self, url: str, file: Path) -> subprocess.Popen[bytes]:
        """Download in the background, to be killed."""
        return spawn([*self._command, "--fail", "--output", str(file), url], self._home)
