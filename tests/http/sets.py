"""Tiny repositories whose index heads a set, published by hand into a test's upstream; what a node has of them."""

from __future__ import annotations

import email.utils
import hashlib
from dataclasses import dataclass, field

from tests.http.node import Node
from tests.upstreams import Upstream

URL = "/repository/rpm"
REPOMD = "/repodata/repomd.xml"
ASC = f"{REPOMD}.asc"
_PRIMARY = """<?xml version="1.0" encoding="UTF-8"?>
<metadata xmlns="http://linux.duke.edu/metadata/common" packages="{count}">{packages}</metadata>
"""
_PACKAGE = """<package type="rpm"><name>{name}</name>
<checksum type="sha256" pkgid="YES">{digest}</checksum><location href="{href}"/></package>
"""

SUITE = "/dists/s/"


def sha256(body: bytes) -> str:
    return hashlib.sha256(body).hexdigest()


@dataclass(slots=True)
class Edition:
    """One edition of a repository: its metadata by data type, its packages by path, whether it is signed.

    `algorithm` is of the checksums that its repomd gives, `hashed` whether the metadata is named by its own.
    """

    data: dict[str, bytes]
    packages: dict[str, bytes] = field(default_factory=dict)
    signature: bytes = b""
    hashed: bool = True
    algorithm: str = "sha256"

    def __post_init__(self) -> None:
        listed = [
            _PACKAGE.format(name=path.rpartition("/")[2], digest=sha256(body), href=path)
            for path, body in self.packages.items()
        ]
        text = _PRIMARY.format(count=len(listed), packages="".join(listed))
        self.data = {"primary": text.encode(), **self.data}

    def path(self, kind: str) -> str:
        """Where upstream has the metadata of that type."""
        name = f"{sha256(self.data[kind])}-{kind}.xml" if self.hashed else f"{kind}.xml"
        return f"/repodata/{name}"

    @property
    def repomd(self) -> bytes:
        listed = "".join(
            f'<data type="{kind}"><checksum type="{self.algorithm}">{self._checksum(body)}</checksum>'
            f'<location href="{self.path(kind)[1:]}"/></data>'
            for kind, body in self.data.items()
        )
        return f'<repomd xmlns="http://linux.duke.edu/metadata/repo">{listed}</repomd>'.encode()

    def _checksum(self, body: bytes) -> str:
        return hashlib.new(self.algorithm, body).hexdigest()

    def publish(self, upstream: Upstream, *without: str) -> None:
        """Offer everything but the metadata types in `without`."""
        for kind, body in self.data.items():
            if kind not in without:
                upstream.put(self.path(kind), body)
        for path, body in self.packages.items():
            upstream.put(f"/{path}", body)
        upstream.put(REPOMD, self.repomd)
        if self.signature:
            upstream.put(ASC, self.signature)

    def withdraw(self, upstream: Upstream) -> None:
        """Take the metadata away, as a publisher does with an old edition."""
        for kind in self.data:
            upstream.remove(self.path(kind))


@dataclass(frozen=True, slots=True)
class Suite:
    """One edition of an archive's suite: its indexes by path below it, and the lines above the checksums."""

    files: dict[str, bytes] = field(default_factory=dict)
    lines: bytes = b""

    @property
    def release(self) -> bytes:
        sums = (
            b" %b %d %b\n" % (sha256(body).encode(), len(body), name.encode()) for name, body in self.files.items()
        )
        return b"Suite: s\n" + self.lines + b"SHA256:\n" + b"".join(sums)

    def publish(self, upstream: Upstream, *heads: str) -> None:
        """Offer the indexes and the release under each name of `heads`, with a signature beside a plain one."""
        for name, body in self.files.items():
            upstream.put(SUITE + name, body)
        for head in heads:
            upstream.put(SUITE + head, self.release)
        if "Release" in heads:
            upstream.put(f"{SUITE}Release.gpg", b"signs " + sha256(self.release).encode())


def valid_until(seconds: float) -> bytes:
    """The line of a release that is not to be believed after that unix time."""
    return b"Valid-Until: %b\n" % email.utils.formatdate(seconds, usegmt=True).encode()


def prime(node: Node, upstream: Upstream, edition: Edition, *kinds: str) -> None:
    """Publish an edition and have the node store its root, those types and the signature, if there is one."""
    edition.publish(upstream)
    for path in (REPOMD, *(edition.path(kind) for kind in kinds)):
        assert node.get(URL + path).status_code == 200, path
    if edition.signature:
        assert node.get(URL + ASC).get_data() == edition.signature
    node.idle()
    upstream.reset()


def expired(node: Node, path: str = REPOMD, prefix: str = URL) -> str:
    """The answer to the first request after the root's time: its X-Cache, once what it began has ended."""
    node.clock.forward(101)
    state = node.get(prefix + path).headers["X-Cache"]
    node.idle()
    return str(state)


def stored(node: Node, path: str, prefix: str = URL) -> tuple[str, bytes]:
    """The X-Cache and the body of an answer that has one."""
    reply = node.get(prefix + path)
    body = reply.get_data()
    assert reply.status_code == 200, (path, body)
    return reply.headers["X-Cache"], body
