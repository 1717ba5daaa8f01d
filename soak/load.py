"""The clients of a soak run: a steady mix of everything that real ones do, each answer judged."""

from __future__ import annotations

import random
import threading
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass

from soak import bodies
from soak.client import Answer, Request, ask
from soak.judge import DEFECT, Ledger, failed, judged, judged_head, judged_hosted, judged_range

COLD, LIVE = 500, 30  # paths
PAUSE = 0.02  # seconds between two requests of a client
UPLOADS = 4000  # a bound on the disk
MIX = {"cold": 12, "hot": 30, "live": 20, "range": 8, "head": 6, "if none match": 8, "upload": 5, "hosted": 10}


@dataclass(frozen=True, slots=True)
class Doors:
    """Where clients ask: a node's port or a proxy's; `token` may write."""

    ports: Sequence[int]
    token: str


class Client(threading.Thread):
    """One of them; `seed` and the answers it gets decide what it does."""

    def __init__(self, seed: str, doors: Doors, ledger: Ledger, over: threading.Event) -> None:
        super().__init__(daemon=True, name=seed)
        self._chance = random.Random(seed)
        self._doors, self._ledger, self._over = doors, ledger, over
        self._hot: deque[str] = deque(maxlen=50)
        self._etags: dict[str, str] = {}
        self._unsure: list[str] = []  # uploads of which nobody knows whether they are there
        self._sent = 0

    def run(self) -> None:
        while not self._over.wait(PAUSE):
            if self._chance.random() < 0.004:
                self._flush()
                continue
            kind = self._chance.choices(list(MIX), list(MIX.values()))[0]
            _DO[kind](self, kind)

    def _ask(self, path: str, method: str = "GET", data: bytes | None = None, **given: str) -> Answer:
        port = self._chance.choice(self._doors.ports)
        if method == "PUT":
            given["Authorization"] = f"Bearer {self._doors.token}"
        named = {name.replace("_", "-"): value for name, value in given.items()}
        return ask(Request(port, path, method, named, data, keep="Range" in given))

    def _get(self, kind: str, path: str, etag: str | None = None) -> None:
        floor = self._ledger.floor
        answer = self._ask(_url(path)) if etag is None else self._ask(_url(path), If_None_Match=etag)
        if etag is not None and answer.status == 304 and not answer.problem:
            self._ledger.count(kind, "304", path, answer)
            return
        self._ledger.count(kind, judged(path, answer, self._ledger.begun, floor), path, answer)
        if answer.status == 200 and answer.whole:
            self._etags[path] = answer.headers.get("etag", "")
            if path.startswith("/fixed/"):
                self._hot.append(path)

    def _cold(self, kind: str) -> None:
        self._get(kind, f"/fixed/{self._chance.randrange(COLD)}")

    def _live(self, kind: str) -> None:
        self._get(kind, f"/live/{self._chance.randrange(LIVE)}")

    def _known(self) -> str:
        return self._chance.choice(self._hot) if self._hot else "/fixed/0"

    def _hot_path(self, kind: str) -> None:
        self._get(kind, self._known())

    def _if_none_match(self, kind: str) -> None:
        path = self._chance.choice(list(self._etags) or ["/live/0"])
        self._get(kind, path, self._etags.get(path, "none"))

    def _range(self, kind: str) -> None:
        path = self._known()
        size = bodies.size_of(path)
        first = self._chance.randrange(size)
        last = self._chance.randrange(first, size)
        answer = self._ask(_url(path), Range=f"bytes={first}-{last}")
        self._ledger.count(kind, judged_range(path, answer, self._ledger.begun, first, last), path, answer)

    def _head(self, kind: str) -> None:
        path = self._chance.choice([self._known(), f"/live/{self._chance.randrange(LIVE)}"])
        answer = self._ask(_url(path), "HEAD")
        self._ledger.count(kind, judged_head(path, answer), path, answer)

    def _upload(self, kind: str) -> None:
        """A new name, or one of which nobody knows whether it is there: then a 409 says that it is."""
        again = bool(self._unsure) and self._chance.random() < 0.5
        if not again and len(self._ledger.hosted) >= UPLOADS:
            return
        self._sent += not again
        path = self._unsure.pop() if again else f"/hosted/{self.name}-{self._sent}".replace(" ", "-")
        answer = self._ask(_url(path), "PUT", bodies.body(path))
        published = not answer.problem and (answer.status == 201 or (again and answer.status == 409))
        if published:
            self._ledger.publish(path)
        else:
            self._unsure.append(path)
        told = str(answer.status) if published else failed(answer) or DEFECT
        self._ledger.count("upload again" if again else kind, told, path, answer)

    def _hosted(self, kind: str) -> None:
        path = self._ledger.some(self._chance)
        if path is not None:
            answer = self._ask(_url(path))
            self._ledger.count(kind, judged_hosted(path, answer), path, answer)

    def _flush(self) -> None:
        mode, remote = self._chance.choice(["delete", "expire"]), self._chance.choice(["fixed", "live"])
        answer = self._ask(f"/cache/flush?remote={remote}&mode={mode}", "PUT", b"")
        if answer.status == 200 and answer.whole and (remote, mode) == ("live", "delete"):
            self._ledger.flushed(answer)
        told = failed(answer) or str(answer.status)
        self._ledger.count("flush", told, f"{remote} {mode}", answer)


def _url(path: str) -> str:
    repository = "team" if path.startswith("/hosted/") else path.split("/")[1]
    return f"/repository/{repository}{path}"


_DO = {
    "cold": Client._cold,
    "hot": Client._hot_path,
    "live": Client._live,
    "range": Client._range,
    "head": Client._head,
    "if none match": Client._if_none_match,
    "upload": Client._upload,
    "hosted": Client._hosted,
}
