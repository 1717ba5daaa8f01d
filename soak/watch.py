"""How long hits failed that could have been answered: the longest time between two right answers of one door,
counted while a node behind it, S3, and Redis or Postgres were there.

A node is there while its gunicorn and its fills process are, Redis once it knows the asked objects again.
"""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass, field

from soak.chaos import Health
from soak.client import Answer, Request, ask
from soak.judge import WRONG, Ledger, judged

KEPT = 8  # objects that nobody flushes
EACH, PAUSE = 3, 0.25  # threads a node, seconds between two of a thread's requests
PATIENCE = 2.5  # seconds that a client waits before it asks again
LIMIT = 5.0  # seconds that hits may fail


@dataclass(slots=True)
class Watch:
    """Of one door; `number` is its place in Health.since."""

    number: int
    port: int
    health: Health
    ledger: Ledger
    longest: float = 0.0
    ended_at: float = 0.0  # seconds after the run's beginning
    _right: float = field(default_factory=time.monotonic)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def start(self, over: threading.Event) -> list[threading.Thread]:
        threads = [threading.Thread(target=self._run, args=(over, turn), daemon=True) for turn in range(EACH)]
        for thread in threads:
            thread.start()
        return threads

    def _run(self, over: threading.Event, turn: int) -> None:
        while not over.wait(PAUSE):
            turn += EACH
            path = f"/kept/{turn % KEPT}"
            since = self.health.since[self.number]
            answer = ask(Request(self.port, f"/repository/kept{path}", limit=PATIENCE))
            outcome = judged(path, answer, self.ledger.begun)
            self.ledger.count("watch", outcome, path, answer)
            self._note(answer, outcome, since)

    def _note(self, answer: Answer, outcome: str, since: float | None) -> None:
        """A gap counts from the last right answer, or from when everything was there if that is later."""
        now = time.monotonic()
        right = answer.status == 200 and answer.whole and outcome != WRONG
        with self._lock:
            still = self.health.since[self.number]
            if since is not None and still == since:
                gap = now - max(self._right, since)
                if gap > self.longest:
                    self.longest, self.ended_at = gap, time.time() - self.ledger.begun
            if right:
                self._right = now
