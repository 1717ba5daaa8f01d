"""A node whose every server is at the end of a Link, and what it is asked while they are ill."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import Any

import redis

from app.supervisor.embedded import Valkey
from app.web.health import KEPT
from soak.client import Answer
from tests.faults.door import noise
from tests.fleet.fleet import flush, get, put
from tests.fleet.link import Link
from tests.stack import Stack, eventually
from tests.upstreams import Upstream

SMALL, LARGE = 3000, 300_000  # bytes: answered by a worker, and handed over
QUESTIONS = ("fresh", "large", "expired", "missing", "hosted", "unknown", "upload", "health", "ready", "flush")


@dataclass(frozen=True, slots=True)
class Ward:
    """The node and the way to each of its servers."""

    node: Stack
    valkey: Valkey
    upstream: Upstream
    links: Mapping[str, Link]

    def well(self) -> None:
        for link in self.links.values():
            link.well()

    def prepare(self, case: str) -> None:
        """Have a body of every kind stored, and remembered by Redis; whether all is well is forgotten meanwhile."""
        forgotten = time.monotonic() + KEPT
        for kind in ("fresh", "large", "expired", "missing"):
            self.upstream.put(_file(kind, case), body_of(kind, case))
        for kind in ("fresh", "large", "expired"):
            path = _path(kind, case)
            eventually(partial(self._stored, path), f"{path} is stored")
        assert put(self.node, _path("hosted", case), body_of("hosted", case)).status == 201
        self._remember_at_once()
        assert get(self.node, _path("hosted", case)).status == 200
        assert put(self.node, _path("unknown", case), body_of("unknown", case)).status == 201
        time.sleep(max(0.0, forgotten - time.monotonic()))

    def _stored(self, path: str) -> bool:
        return get(self.node, path).cache in ("HIT", "REVALIDATED")

    def _remember_at_once(self) -> None:
        """Redis takes no copy for some seconds after a change; nobody needs to wait for that here."""
        with redis.Redis.from_url(self.valkey.url) as client:
            for key in client.scan_iter("artifactapi:copy:*"):
                if client.get(key) == b"forgotten":
                    client.unlink(key)

    def ask(self, case: str, limit: float) -> dict[str, Answer]:
        """Every question at once, each answered within `limit` seconds or not at all."""
        reads = ("fresh", "large", "expired", "missing", "hosted", "unknown")
        asked: dict[str, Callable[[], Answer]] = {
            kind: partial(get, self.node, _path(kind, case), limit=limit) for kind in reads
        }
        asked["upload"] = partial(put, self.node, _path("upload", case), body_of("upload", case), limit)
        asked["health"] = partial(get, self.node, "/health", limit=limit)
        asked["ready"] = partial(get, self.node, "/health/ready", limit=limit)
        asked["flush"] = partial(flush, self.node, "remote=other", limit)
        with ThreadPoolExecutor(len(asked)) as pool:
            running = {kind: pool.submit(one) for kind, one in asked.items()}
            return {kind: one.result() for kind, one in running.items()}

    def recovers(self, case: str) -> None:
        """Without a restart everything is as it was, and what was not stored is."""
        eventually(self._all_well, "every worker finds every store well", 20)
        eventually(lambda: get(self.node, "/health/ready").status == 200, "every worker thinks so", 20)
        for kind in ("fresh", "large", "missing", "hosted", "unknown"):
            eventually(partial(self._hits, kind, case), f"{kind} is a hit", 20)
        eventually(lambda: put(self.node, _path("after", case), b"after").status in (201, 409), "every worker writes")
        assert get(self.node, _path("after", case)).body == b"after"

    def _all_well(self) -> bool:
        """More at once than there are workers, so that each answers some."""
        with ThreadPoolExecutor(24) as pool:
            return all(one.status == 200 for one in pool.map(lambda _: get(self.node, "/health"), range(24)))

    def _hits(self, kind: str, case: str) -> bool:
        answer = get(self.node, _path(kind, case))
        assert answer.status != 200 or answer.body == body_of(kind, case)
        return answer.cache == "HIT"


def body_of(kind: str, case: str) -> bytes:
    return noise(LARGE if kind == "large" else SMALL, f"{kind} {case}")


def _file(kind: str, case: str) -> str:
    return f"/{kind}/{case.replace(',', '').replace(' ', '-')}.bin"


def _path(kind: str, case: str) -> str:
    repository = {"expired": "live", "hosted": "team", "unknown": "team", "upload": "team", "after": "team"}.get(
        kind, "up"
    )
    return f"/repository/{repository}{_file(kind, case)}"


def shown(answer: Answer) -> str:
    """As the table writes it: the X-Cache of a 200 that has one, else the status; why there is none."""
    return answer.problem or (answer.cache if answer.status == 200 and answer.cache else str(answer.status))


def faulty(case: str, found: Mapping[str, Answer]) -> Iterator[str]:
    """What is wrong whatever the case: bytes, an error without its JSON, a 503 that does not say when."""
    for kind, answer in found.items():
        if answer.status == 200 and kind not in ("health", "ready", "flush") and answer.body != body_of(kind, case):
            yield f"{kind}: wrong bytes"
        if answer.status == 503 and kind not in ("health", "ready") and "retry-after" not in answer.headers:
            yield f"{kind}: 503 without Retry-After"
        if answer.status >= 400 and kind not in ("health", "ready") and "error" not in _told(answer):
            yield f"{kind}: {answer.status} without a reason"


def unhealthy(answer: Answer) -> set[str]:
    """The checks that /health calls unhealthy."""
    return {name for name, state in _told(answer)["checks"].items() if state != "healthy"}


def _told(answer: Answer) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(answer.body)
    return found
