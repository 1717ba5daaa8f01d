"""A stored 64 MiB out of S3: streamed by a node and by boto3 itself, by a link and by S3 itself, twenty at once."""

from __future__ import annotations

import http.client
import socket
import time
import urllib.parse
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass
from typing import Any

from bench import memory
from bench.bodies import Body
from bench.client import WrongAnswer, get
from bench.figures import MEGABYTES_A_SECOND, MILLISECONDS, TIMES, Figure, at_least, median, shown
from bench.site import MIB, Site
from tests.seaweed import Bucket, s3_client
from tests.stack import Stack, eventually

SIZE = 64 * MIB
REPEATS = 5
AT_ONCE = 20
READ = 256 * 1024  # bytes, of all three clients


@dataclass(frozen=True, slots=True)
class Stored:
    """One body in the bucket: its path at every node, and the client and parameters that boto3 gets it with."""

    body: Body
    path: str
    client: Any
    place: dict[str, str]

    def link(self) -> str:
        return str(self.client.generate_presigned_url("get_object", Params=self.place, ExpiresIn=600))


def measure(site: Site, streams: Stack, links: Stack, bucket: Bucket) -> Iterator[Figure]:
    """`links` is a node with S3_REDIRECT; both store in `bucket`."""
    with s3_client(bucket.endpoint) as client:
        stored = _stored(site, streams, bucket, client)
        yield from _streamed(site, streams, stored)
        yield from _linked(site, links, stored)
        yield from _together(streams, stored)


def _stored(site: Site, node: Stack, bucket: Bucket, client: Any) -> Stored:
    body, path = site.files.body("64", SIZE), site.files.path("64")
    get(node.port, site.address(path), body)
    within = {"Bucket": bucket.name, "Prefix": f"{bucket.prefix}sha256/"}

    def newest() -> Any:
        found = [each for each in client.list_objects_v2(**within).get("Contents", ()) if each["Size"] == SIZE]
        return max(found, key=lambda each: each["LastModified"], default=None)

    eventually(newest, "stored", 60)
    eventually(lambda: get(node.port, site.address(path), body).cache == "HIT", "a hit", 60)
    return Stored(body, site.address(path), client, {"Bucket": bucket.name, "Key": newest()["Key"]})


def _streamed(site: Site, node: Stack, stored: Stored) -> Iterator[Figure]:
    rounds = [(_boto3(stored), _get(node.port, stored.path)) for _ in range(site.rounds * REPEATS)]
    direct, ours = ([each[at][1] for each in rounds] for at in (0, 1))
    note = " of ".join(MEGABYTES_A_SECOND.write(SIZE / median(each)) for each in (ours, direct))
    ratios = [one / other for one, other in zip(direct, ours, strict=True)]
    yield at_least("HIT 64 MiB from S3, streamed: rate against boto3", ratios, 0.8, TIMES, note)
    first = [mine[0] - theirs[0] for theirs, mine in rounds]
    yield shown("  first byte, later than boto3's", first, MILLISECONDS)


def _linked(site: Site, node: Stack, stored: Stored) -> Iterator[Figure]:
    target, port = _target(stored.link())
    rounds = [(_get(port, target), _redirected(node.port, stored.path)) for _ in range(site.rounds * REPEATS)]
    ratios = [own[1] / linked[1] for own, linked in rounds]
    note = " of ".join(MEGABYTES_A_SECOND.write(SIZE / median([each[at][1] for each in rounds])) for at in (1, 0))
    yield at_least("HIT 64 MiB from S3, by a link: rate against S3 itself", ratios, 0.95, TIMES, note)


def _together(node: Stack, stored: Stored) -> Iterator[Figure]:
    work = f"{AT_ONCE} streams of 64 MiB from S3"
    memory.start_anew(node)
    with memory.watched(node) as peaks, ThreadPoolExecutor(AT_ONCE) as pool:
        begun = time.perf_counter()
        for each in [pool.submit(_get, node.port, stored.path) for _ in range(AT_ONCE)]:
            each.result()
        taken = time.perf_counter() - begun
    yield from memory.highest(node, peaks, work, ("fills",))
    yield shown("  all of them: rate", [AT_ONCE * SIZE / taken], MEGABYTES_A_SECOND)
    get(node.port, stored.path, stored.body)  # raises at the first wrong byte


def _boto3(stored: Stored) -> tuple[float, float]:
    """Seconds until the first bytes are here, and until all are."""
    begun = time.perf_counter()
    body = stored.client.get_object(**stored.place)["Body"]
    first, left = 0.0, SIZE
    while chunk := body.read(READ):
        first = first or time.perf_counter() - begun
        left -= len(chunk)
    return _whole(left, first, begun)


def _get(port: int, path: str) -> tuple[float, float]:
    """The same over a socket; the bytes are only counted, as boto3's are."""
    begun = time.perf_counter()
    buffer = bytearray(READ)
    with socket.create_connection(("127.0.0.1", port), 60) as conn:
        conn.sendall(f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nConnection: close\r\n\r\n".encode())
        data = b""
        while b"\r\n\r\n" not in data:
            data += conn.recv(65536) or _ended(path)
        left = SIZE - len(data.partition(b"\r\n\r\n")[2])
        count = 0 if left < SIZE else conn.recv_into(buffer)
        first, left = time.perf_counter() - begun, left - count
        conn.setsockopt(socket.SOL_SOCKET, socket.SO_RCVLOWAT, READ // 2)
        while left > 0 and (count := conn.recv_into(buffer)):
            left -= count
    return _whole(left, first, begun)


def _ended(path: str) -> bytes:
    raise WrongAnswer(f"{path}: ended within the headers")


def _whole(left: int, first: float, begun: float) -> tuple[float, float]:
    if left:
        raise WrongAnswer(f"{left} bytes are missing")
    return first, time.perf_counter() - begun


def _redirected(port: int, path: str) -> tuple[float, float]:
    """By the node's 307 to S3."""
    begun = time.perf_counter()
    with closing(http.client.HTTPConnection("127.0.0.1", port, timeout=60)) as node:
        node.request("GET", path)
        location = node.getresponse().headers["Location"] or ""
    target, s3 = _target(location)
    asked = time.perf_counter() - begun
    first, total = _get(s3, target)
    return asked + first, asked + total


def _target(link: str) -> tuple[str, int]:
    """What to ask for, and at which port of 127.0.0.1."""
    parts = urllib.parse.urlsplit(link)
    if parts.port is None:
        raise WrongAnswer(f"no link to an S3 of this machine: {link[:100]!r}")
    return f"{parts.path}?{parts.query}", parts.port
