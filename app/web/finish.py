"""What is written of a finished request: one log line, the metrics, the fleet's counters."""

from __future__ import annotations

import logging
import threading
import time
from collections import Counter

from app import metrics
from app.errors import StoreDown
from app.repositories.directory import Directory
from app.resource import Ask
from app.stores.memory import Memory
from app.web.ticker import Ticker
from app.web.usage import Artifact, Record, Usage

log = logging.getLogger("artifactapi.request")

PULLED = frozenset({200, 206, 307})  # of a GET: bytes, or the link to them (app/stores/pulls.py)
METHODS = frozenset({"GET", "HEAD", "PUT", "POST", "DELETE", "OPTIONS"})
EVERY = 1.0  # seconds between two batches of counters


class Tally:
    """Counts per repository and cache state, added to Redis in batches so that no request waits for it."""

    def __init__(self, memory: Memory) -> None:
        self._memory = memory
        self._lock = threading.Lock()
        self._requests: Counter[tuple[str, str]] = Counter()
        self._bytes: Counter[tuple[str, str]] = Counter()
        self._ticker = Ticker("tally", EVERY, self.flush)

    def add(self, repository: str, state: str, sent: int, requests: int = 1) -> None:
        with self._lock:
            self._requests[repository, state] += requests
            self._bytes[repository, state] += sent
            self._ticker.begin()

    def flush(self) -> None:
        """Send what has gathered; kept for the next time where Redis does not answer."""
        with self._lock:
            requests, sent = self._requests, self._bytes
            self._requests, self._bytes = Counter(), Counter()
        for (repository, state), number in requests.items():
            try:
                self._memory.count(repository, state, number, sent[repository, state])
            except StoreDown:
                with self._lock:
                    self._requests[repository, state] += number
                    self._bytes[repository, state] += sent[repository, state]

    def close(self) -> None:
        """Send what is left and end."""
        self._ticker.close()


class Finish:
    """The end of every request, wherever it was answered."""

    def __init__(self, tally: Tally, usage: Usage, record: Record, repositories: Directory) -> None:
        self.tally = tally
        self.usage = usage
        self.record = record
        self.repositories = repositories

    def __call__(
        self,
        ask: Ask,
        status: int,
        cache: str,
        sent: int,
        note: str = "",
        artifact: Artifact | None = None,
        *,
        begun: float = 0.0,
        error: str = "",
    ) -> None:
        """`sent` in body bytes; `note` says what went wrong, and `error` is the code that a refused client was told;
        `artifact` is what was served, if one was; `begun` is when (unix seconds) the response's head was sent, 0
        where that was no earlier than its end."""
        if ask.route == "status":  # this node's worker asked, for a request that is counted itself
            return
        now = time.time()
        seconds = max(now - ask.started, 0.0)
        first = min(max(begun - ask.started, 0.0), seconds) if begun else seconds
        repository = ask.repository if self.repositories.known(ask.repository) else ""
        method = ask.method if ask.method in METHODS else "OTHER"
        metrics.request(repository, method, status, cache, sent, seconds, first=first)
        if cache:
            self.tally.add(repository, cache, sent)
        if artifact is not None and repository:
            for used in ((artifact.repository or repository, artifact.key), *artifact.made_of):
                self.usage.add(*used)
            if method == "GET" and status in PULLED:
                self.record.add(repository, artifact, ask.client, now, 1, sent)
        told = {"status": status, "duration_ms": round(seconds * 1000, 2), "bytes": sent}
        _write(ask, told | {"repository": repository, "cache": cache}, error, note)

    def reported(
        self, repository: str, artifact: Artifact, method: str, status: int, requests: int, sent: int
    ) -> None:
        """Hits that an edge answered by itself count like ours; it has their log lines, and the time they took."""
        metrics.edge(repository, method, status, requests, sent)
        self.tally.add(repository, "HIT", sent, requests)
        self.usage.add(repository, artifact.key)

    def close(self) -> None:
        """Send what has gathered."""
        self.tally.close()
        self.usage.close()
        self.record.close()


def _write(ask: Ask, told: dict[str, object], error: str, note: str) -> None:
    """The request's log line; words that are empty are left out."""
    line = {"method": ask.method, "path": ask.url_path, **told, "request_id": ask.request_id, "client": ask.client}
    more = {name: value for name, value in (("user", ask.user), ("error", error), ("note", note)) if value}
    log.info("request", extra={"fields": line | more})
