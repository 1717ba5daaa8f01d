"""Knows an upstream that speaks the whole of distribution-spec 1.1, with answers that a test lays down.

docker-registry 2.8 has no referrers API, does not cut its lists and knows no sha512; this has what it is given.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from tests.containers.images import Blob
from tests.upstream_wire import Reply, Seen, whole
from tests.upstreams import Upstream

INDEX = "application/vnd.oci.image.index.v1+json"


@dataclass(frozen=True, slots=True)
class Page:
    """One page of a list, and the header lines beside it."""

    document: Mapping[str, Any]
    headers: Mapping[str, str]
    type: str = "application/json"

    @property
    def body(self) -> bytes:
        """Spaced as no encoder of the server under test would do it."""
        return json.dumps(self.document, indent=1).encode()


class Prepared(Upstream):
    """The server; `lists` are asked by path and query, all else is put() as files."""

    def __init__(self) -> None:
        self.lists: dict[tuple[str, str], Page] = {}
        super().__init__()
        self.fault(self._list)

    def manifest(self, name: str, reference: str, manifest: Blob, **headers: str) -> None:
        """A manifest under one tag or digest, labelled as a registry does."""
        said = {"Content_Type": manifest.media_type, "Docker_Content_Digest": manifest.digest} | headers
        self.put(f"/v2/{name}/manifests/{reference}", bytes(manifest.data), validators=True, **said)

    def blob(self, name: str, body: bytes, digest: str) -> None:
        self.put(f"/v2/{name}/blobs/{digest}", body, Docker_Content_Digest=digest)

    def tags(self, path: str, query: str, tags: list[str], link: str = "") -> None:
        """A page of tags; `link` is the target of the next."""
        name = path.removeprefix("/v2/").removesuffix("/tags/list")
        self.lists[path, query] = Page({"name": name, "tags": tags}, _link(link))

    def referrers(self, path: str, query: str, *listed: Mapping[str, Any], link: str = "", **headers: str) -> Page:
        """A page of referrers; `headers` with underscores for dashes."""
        document = {"schemaVersion": 2, "mediaType": INDEX, "manifests": list(listed)}
        said = {name.replace("_", "-"): value for name, value in headers.items()}
        self.lists[path, query] = Page(document, _link(link) | said, INDEX)
        return self.lists[path, query]

    @contextlib.contextmanager
    def stopped(self) -> Iterator[None]:
        """It refuses connections inside this block."""
        self.stop()
        try:
            yield
        finally:
            self.start()

    def _list(self, reply: Reply, seen: Seen) -> Reply:
        page = self.lists.get((seen.path, seen.query))
        if page is None or seen.method not in ("GET", "HEAD"):
            return reply
        return whole(200, {"Content-Type": page.type, **page.headers}, page.body)


def _link(target: str) -> dict[str, str]:
    return {"Link": f'<{target}>; rel="next"'} if target else {}


def sha256(body: bytes) -> str:
    return f"sha256:{hashlib.sha256(body).hexdigest()}"


def sha512(body: bytes) -> str:
    return f"sha512:{hashlib.sha512(body).hexdigest()}"
