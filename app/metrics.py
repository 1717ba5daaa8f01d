"""Every metric name, and the only places that change them; label values are bounded by configuration."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from prometheus_client import Counter, Gauge, Histogram

BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0, 60.0)

REQUESTS = Counter("artifactapi_requests", "Finished client requests.", ["repository", "method", "status", "cache"])
SECONDS = Histogram(
    "artifactapi_request_seconds",
    "From a request's arrival to its last byte.",
    ["repository"],
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
QUOTA = Gauge(
    "artifactapi_upstream_quota",
    "What upstream's last answer said of its rate limit: the number of requests, and how many are left.",
    ["repository", "what"],
    multiprocess_mode="mostrecent",
)
CONFIG = Gauge("artifactapi_config_info", "The configuration in force.", ["sha256"], multiprocess_mode="livemax")


def request(repository: str, method: str, status: int, cache: str, sent: int, seconds: float) -> None:
    """One finished request; `sent` in body bytes, `cache` is its X-Cache or empty."""
    REQUESTS.labels(repository, method, str(status), cache).inc()
    SECONDS.labels(repository).observe(seconds)
    if sent:
        BYTES.labels(repository, cache).inc(sent)


def fill(repository: str, result: str) -> None:
    """One finished visit: `stored`, `unrecorded`, `unchanged`, or the code of the error it ended with."""
    FILLS.labels(repository, result).inc()


def upstream(repository: str, status: int, seconds: float) -> None:
    """One upstream answer and the time until its headers."""
    UPSTREAM.labels(repository, str(status)).inc()
    UPSTREAM_SECONDS.labels(repository).observe(seconds)


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
