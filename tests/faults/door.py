"""A running node's front door in tests of bad days, and what must be true of the node after each of them."""

from __future__ import annotations

import hashlib
import json
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

from tests.faults.reader import Read, Reader
from tests.stack import Stack, eventually
from tests.upstreams import Upstream

QUICK = {"connect_timeout": 1, "first_byte_timeout": 1, "stall_timeout": 1}  # seconds
KIB = 1024
TAIL = 64 * KIB  # what nobody is given before it is verified
BIG = 1 << 20  # far over every buffer on the way, so that readers follow the download


def document(upstream: Upstream) -> dict[str, Any]:
    """Two remotes on one upstream: `up` revalidates everything, `rpm` knows checksums in names."""
    common = {"base_url": upstream.url, "upstream": QUICK}
    return {
        "remotes": {
            "up": {**common, "cache": {"mutable_ttl": 3600}, "mutable_patterns": [".*"]},
            "rpm": {**common, "package": "rpm"},
        }
    }


def noise(size: int, seed: str) -> bytes:
    """So many bytes that no other test has, that gzip cannot shrink, and that never repeat."""
    return hashlib.shake_256(seed.encode()).digest(size)


def checksummed(body: bytes) -> str:
    """The name createrepo_c gives a file of metadata."""
    return f"/repodata/{hashlib.sha256(body).hexdigest()}-primary.xml"


@dataclass(slots=True)
class Door:
    """A node in front of `upstream`; `before` is what its blob store held when the test began."""

    stack: Stack
    upstream: Upstream
    before: set[str] = field(default_factory=set)
    _readers: list[Reader] = field(default_factory=list)
    _proven: ClassVar[set[tuple[Path, int]]] = set()  # blobs that were hashed already, as they are

    def __enter__(self) -> Door:
        eventually(lambda: self.stack.get("/health")[0] == 200, "healthy")
        self.before = self.blobs()
        return self

    def __exit__(self, *_: object) -> None:
        """Leave nobody behind: no client, no fault, no download."""
        for reader in self._readers:
            reader.leave()
        self.upstream.reset()
        self.settled()
        assert "Traceback" not in self.stack.log()

    def begin(self, path: str, protocol: str = "HTTP/1.1", method: str = "GET", **headers: str) -> Reader:
        self._readers.append(Reader(self.stack.port, path, protocol, method, **headers))
        return self._readers[-1]

    def get(self, path: str, protocol: str = "HTTP/1.1", method: str = "GET", **headers: str) -> Read:
        return self.begin(path, protocol, method, **headers).rest()

    def warmed(self, path: str) -> None:
        """Have the file stored, and make it due for revalidation."""
        assert self.get(path).status == 200
        self.settled()
        self.expire()
        self.before = self.blobs()

    def expire(self) -> None:
        """Everything stored is revalidated at its next request; nobody rests."""
        self._flush("expire")

    def forget(self) -> None:
        """Nothing is stored any more, not even that something was missing."""
        self._flush("delete")

    def _flush(self, mode: str) -> None:
        headers = {"Authorization": f"Bearer {self.stack.token}"}
        url = f"{self.stack.url}/cache/flush?mode={mode}"
        with urllib.request.urlopen(urllib.request.Request(url, method="PUT", headers=headers), timeout=30) as answer:
            assert "flushed" in json.load(answer)

    def blobs(self) -> set[str]:
        """The digests in the store, each proven by its bytes; nothing half-made lies beside them."""
        store = self.stack.data_dir / "blobs" / "sha256"
        found = {path: path.stat() for path in store.rglob("*") if path.is_file()}
        for path, stat in found.items():
            if (path, stat.st_ctime_ns) not in self._proven:
                assert hashlib.sha256(path.read_bytes()).hexdigest() == path.name
                self._proven.add((path, stat.st_ctime_ns))
        return {path.name for path in found}

    def spools(self) -> list[Path]:
        return list((self.stack.data_dir / "spool").iterdir())

    def settled(self) -> None:
        """No download runs and none left anything."""
        eventually(lambda: not self.spools(), "no spool")

    def stored(self, *bodies: bytes) -> None:
        """Since the test began exactly these were stored."""
        self.settled()
        assert self.blobs() - self.before == {hashlib.sha256(body).hexdigest() for body in bodies}

    def recovers(self, path: str, body: bytes, cache: str = "MISS") -> None:
        """The faults are over: the next try is right, and the one after it is a hit."""
        self.upstream.reset()
        again = self.get(path)
        assert (again.status, again.cache, again.whole, again.body == body) == (200, cache, True, True), again.headers
        self.settled()
        eventually(lambda: self.get(path).cache == "HIT", "stored")
        assert self.get(path).body == body


Fault = Callable[[Upstream, str], None]  # of the path upstream
