"""A tiny repository of checksum-named or plainly named metadata, published by hand into a test's upstream."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field

from tests.upstreams import Upstream

REPOMD = "/repodata/repomd.xml"
_PRIMARY = """<?xml version="1.0" encoding="UTF-8"?>
<metadata xmlns="http://linux.duke.edu/metadata/common" packages="{count}">{packages}</metadata>
"""
_PACKAGE = """<package type="rpm"><name>{name}</name>
<checksum type="sha256" pkgid="YES">{digest}</checksum><location href="{href}"/></package>
"""


def sha256(body: bytes) -> str:
    return hashlib.sha256(body).hexdigest()


@dataclass(slots=True)
class Edition:
    """One edition of a repository: its metadata by data type, its packages by path, whether it is signed."""

    data: dict[str, bytes]
    packages: dict[str, bytes] = field(default_factory=dict)
    signature: bytes = b""
    hashed: bool = True

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
            f'<data type="{kind}"><checksum type="sha256">{sha256(body)}</checksum>'
            f'<location href="{self.path(kind)[1:]}"/></data>'
            for kind, body in self.data.items()
        )
        return f'<repomd xmlns="http://linux.duke.edu/metadata/repo">{listed}</repomd>'.encode()

    def publish(self, upstream: Upstream, *without: str) -> None:
        """Offer everything but the metadata types in `without`."""
        for kind, body in self.data.items():
            if kind not in without:
                upstream.put(self.path(kind), body)
        for path, body in self.packages.items():
            upstream.put(f"/{path}", body)
        upstream.put(REPOMD, self.repomd)
        if self.signature:
            upstream.put(f"{REPOMD}.asc", self.signature)

    def withdraw(self, upstream: Upstream) -> None:
        """Take the metadata away, as a publisher does with an old edition."""
        for kind in self.data:
            upstream.remove(self.path(kind))
