"""Every metric name, and the only places that change them; label values are bounded by configuration.

Counters and histograms of all of a node's processes are summed (metric_files.py); a gauge is of the processes
that live: `livesum` adds them up, `livemostrecent` is what was set last. Names of nodes are the scraper's to add.
"""

from __future__ import annotations

import re
import time
from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager
from functools import lru_cache
from http import HTTPStatus

from prometheus_client import Counter, Gauge, Histogram

STATES = frozenset({"HIT", "STALE", "REVALIDATED", "UPDATING", "MISS", "JOINED", "EXPIRED", "NEGATIVE"})
FETCHED = frozenset({"MISS", "JOINED", "EXPIRED"})  # whose bytes came from upstream for this very request
STATUSES = frozenset({*map(int, HTTPStatus), 499})  # 499: the client left before the response had begun
STORES = ("postgres", "redis", "s3")
BLOBS = "storage"  # blobs as files, which have no connections to lend
BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0, 60.0)

REQUESTS = Counter("artifactapi_requests", "Finished client requests.", ["repository", "method", "status", "cache"])
SECONDS = Histogram(
    "artifactapi_request_seconds",
    "From a request's arrival to its last byte.",
    ["repository"],
    buckets=BUCKETS,
)
FIRST = Histogram(
    "artifactapi_first_byte_seconds",
    "From a request's arrival to the head of its response, by where the bytes are from: cache, remote or none.",
    ["repository", "source"],
    buckets=BUCKETS,
)
BYTES = Counter("artifactapi_response_bytes", "Body bytes sent to clients.", ["repository", "cache"])
FILLS = Counter("artifactapi_fills", "Finished visits to upstream by result.", ["repository", "result"])
RUNNING = Gauge("artifactapi_fills_running", "Fills in progress.", multiprocess_mode="livesum")
LOCK_WAIT = Histogram(
    "artifactapi_lock_wait_seconds", "Waiting for a lock another node holds.", ["repository"], buckets=BUCKETS
)
UPSTREAM = Counter("artifactapi_upstream_responses", "Upstream answers by status.", ["repository", "status"])
UPSTREAM_SECONDS = Histogram(
    "artifactapi_upstream_seconds", "Until upstream's response headers.", ["repository"], buckets=BUCKETS
)
RECEIVED = Counter("artifactapi_upstream_bytes", "Body bytes received from upstream, kept or not.", ["repository"])
QUOTA = Gauge(
    "artifactapi_upstream_quota",
    "What upstream's last answer said of its rate limit: the number of requests, and how many are left.",
    ["repository", "what"],
    multiprocess_mode="livemostrecent",
)
BREAKER = Gauge(
    "artifactapi_upstream_breaker_open",
    "1 while an upstream is not asked because it failed.",
    ["repository", "upstream"],
    multiprocess_mode="livemostrecent",
)
STORE_FAILURES = Counter("artifactapi_store_failures", "Failures of Postgres, Redis, S3 or the disk.", ["store"])
STORE_BUSY = Counter("artifactapi_store_busy", "Times that every connection to a store was lent.", ["store"])
LEFT_OUT = Counter(
    "artifactapi_left_out",
    "Times that a member of a virtual did not answer and was left out.",
    ["repository", "member"],
)
PREFETCHED = Counter(
    "artifactapi_prefetched",
    "What jobs of prefetching looked for: `stored` (fetched for them), `present` (it was there) or `failed`.",
    ["repository", "result"],
)
EVICTED = Counter("artifactapi_evicted_bytes", "Bytes of entries that made room for others.", ["repository"])
QUARANTINED = Counter("artifactapi_quarantined_blobs", "Damaged blobs that were put aside.")
UNRECORDED = Counter("artifactapi_pulls_unrecorded", "Pulls that are missing in the record of who pulled what.")
EDGE = Counter("artifactapi_edge_requests", "Requests that an edge answered and reported.", ["repository"])
PEERS = Counter("artifactapi_peer_reads", "Downloads followed from another node by how they ended.", ["result"])
STORED = Gauge(
    "artifactapi_storage_used_bytes",
    "Bytes that entries refer to, the same on every node of a fleet.",
    multiprocess_mode="livemostrecent",
)
DISK = Gauge(
    "artifactapi_storage_filesystem_bytes",
    "The filesystem of blobs and spool: `free` or `total`.",
    ["what"],
    multiprocess_mode="livemostrecent",
)
CONFIG = Gauge("artifactapi_config_info", "The configuration in force.", ["sha256"], multiprocess_mode="livemax")


_NAMED = re.compile(r'[{,]repository="([^"]*)"')

# Of what every request counts: labels() reads and locks each time. Their values are few, so none is given up.
_requests, _seconds = lru_cache(None)(REQUESTS.labels), lru_cache(None)(SECONDS.labels)
_first, _bytes = lru_cache(None)(FIRST.labels), lru_cache(None)(BYTES.labels)


def begin(sha256: str, remotes: Iterable[str]) -> None:
    """Say which configuration is in force, and begin at 0 what is rare and watched: a counter that appears with its
    first event has not risen (a rate needs two values)."""
    CONFIG.labels(sha256).set(1)
    for store in STORES:
        STORE_BUSY.labels(store)
    for store in (*STORES, BLOBS):
        STORE_FAILURES.labels(store)
    for remote in remotes:
        EVICTED.labels(remote)
        EDGE.labels(remote)


def request(
    repository: str, method: str, status: int, cache: str, sent: int, seconds: float, *, first: float | None = None
) -> None:
    """One finished request; `sent` in body bytes, `cache` is its X-Cache or empty, `first` the seconds until its
    head was sent where that was not the end of it as well."""
    cache = cache if cache in STATES else ""
    _requests(repository, method, _status(status), cache).inc()
    _seconds(repository).observe(seconds)
    _first(repository, _source(cache)).observe(seconds if first is None else first)
    if sent:
        _bytes(repository, cache).inc(sent)


def edge(repository: str, method: str, status: int, requests: int, sent: int) -> None:
    """Hits that an edge answered by itself; how long they took nobody here knows."""
    _requests(repository, method, _status(status), "HIT").inc(requests)
    _bytes(repository, "HIT").inc(sent)
    EDGE.labels(repository).inc(requests)


def _source(cache: str) -> str:
    if cache in FETCHED:
        return "remote"
    return "cache" if cache and cache != "NEGATIVE" else "none"


def _status(status: int) -> str:
    """An upstream may answer with any number."""
    return str(status) if status in STATUSES else "other"


def fill(repository: str, result: str) -> None:
    """One finished visit: `stored`, `unrecorded`, `unchanged`, or the code of the error it ended with."""
    FILLS.labels(repository, result).inc()


def upstream(repository: str, status: int, seconds: float) -> None:
    """One upstream answer and the time until its headers."""
    UPSTREAM.labels(repository, _status(status)).inc()
    UPSTREAM_SECONDS.labels(repository).observe(seconds)


def received(repository: str, count: int) -> None:
    """So many bytes of a body came, counted as they come: a download that stands still can be seen."""
    RECEIVED.labels(repository).inc(count)


def quota(repository: str, headers: Mapping[str, str]) -> None:
    """RateLimit-Limit and -Remaining, whose values may carry a window: `76;w=21600` (Docker Hub's form)."""
    for what in ("limit", "remaining"):
        value = headers.get(f"RateLimit-{what}", "").partition(";")[0].strip()
        if value.isascii() and value.isdigit():
            QUOTA.labels(repository, what).set(int(value[:18]))


@contextmanager
def lock_wait(repository: str) -> Iterator[None]:
    """Observes how long the block took."""
    begun = time.monotonic()
    try:
        yield
    finally:
        LOCK_WAIT.labels(repository).observe(time.monotonic() - begun)


@contextmanager
def peer_read() -> Iterator[None]:
    """Counts a download that is followed from another node by how the block ends."""
    try:
        yield
    except BaseException:
        PEERS.labels("cut").inc()
        raise
    PEERS.labels("whole").inc()


def only(text: str, repositories: Collection[str]) -> str:
    """A page of metrics without what it says of any other repository."""
    return "".join(line for line in text.splitlines(keepends=True) if _about(line) in repositories)


def _about(line: str) -> str:
    """The repository of a sample; of what is of none, and of comments, the empty name."""
    named = _NAMED.search(line) if not line.startswith("#") else None
    return named[1] if named else ""
