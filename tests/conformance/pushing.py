"""Knows how a local repository of the server under test is pushed to: by which address, with which token."""

from __future__ import annotations

import contextlib
import hashlib
import http.client
import itertools
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from tests.conformance.asking import Reply
from tests.containers.images import Blob, Image, Index
from tests.containers.machine import ANY
from tests.stack import Stack

# named: /v2/<local>/<name>   own: /repository/<local>/v2/<name>
LOCAL_FORMS = ("named", "own")
BINARY = "application/octet-stream"
EMPTY = Blob("application/vnd.oci.empty.v1+json", b"{}")

_NUMBERS = itertools.count()


def body(text: str = "") -> bytes:
    """Bytes that no other test has."""
    return f"{text} {next(_NUMBERS)} {id(_NUMBERS)}".encode()


def digest(data: bytes, algorithm: str = "sha256") -> str:
    return f"{algorithm}:{hashlib.new(algorithm, data).hexdigest()}"


@dataclass(frozen=True, slots=True)
class Local:
    """One local repository, by one of its two addresses, asked by who has that token ("" for nobody)."""

    form: str
    repository: str
    node: Stack
    token: str

    @property
    def base(self) -> str:
        """What stands before <name>."""
        return f"/v2/{self.repository}/" if self.form == "named" else f"/repository/{self.repository}/v2/"

    def called(self, name: str) -> str:
        """An image as a client of that address calls it."""
        return f"{self.repository}/{name}" if self.form == "named" else name

    def ask(
        self, path: str, method: str = "GET", data: bytes | Iterable[bytes] | None = None, **headers: str
    ) -> Reply:
        """One request for a path below the base."""
        return self.go(f"{self.base}{path}", method, data, **headers)

    def go(
        self, target: str, method: str = "GET", data: bytes | Iterable[bytes] | None = None, **headers: str
    ) -> Reply:
        """As ask(), for a target as it stands, or a Location; data in parts are sent chunked."""
        sent = {"Accept": ANY, "Authorization": f"Bearer {self.token}" if self.token else ""}
        sent |= {name.replace("_", "-"): value for name, value in headers.items()}
        connection = http.client.HTTPConnection("127.0.0.1", self.node.port, timeout=60)
        with contextlib.closing(connection):
            target = target.removeprefix(self.node.url)
            connection.request(method, target, data, {name: value for name, value in sent.items() if value})
            answer = connection.getresponse()
            return Reply("", answer.status, answer.headers, answer.read())

    # -- what most tests need before they begin ---------------------------------------------------------------

    def begin(self, name: str) -> str:
        """Where a new upload goes on."""
        reply = self.ask(f"{name}/blobs/uploads/", "POST")
        assert reply.status == 202, reply
        return str(reply.headers["Location"])

    def blob(self, name: str, data: bytes, algorithm: str = "sha256") -> str:
        """Push a blob; its digest."""
        known = digest(data, algorithm)
        reply = self.ask(f"{name}/blobs/uploads/?digest={known}", "POST", data, Content_Type=BINARY)
        assert reply.status == 201, reply
        return known

    def put(self, name: str, reference: str, manifest: Blob) -> Reply:
        """PUT a manifest as the type that it has."""
        return self.ask(
            f"{name}/manifests/{reference}", "PUT", bytes(manifest.data), Content_Type=manifest.media_type
        )

    def push(self, name: str, reference: str, of: Image | Index) -> str:
        """Push an image, or several and their index; the digest."""
        for each in of.blobs:
            self.blob(name, bytes(each.data))
        for each in of.manifests:
            known = reference if each is of.manifest else each.digest
            reply = self.put(name, known, each)
            assert reply.status == 201, reply
        return of.manifest.digest

    def tags(self, name: str, query: str = "") -> Any:
        reply = self.ask(f"{name}/tags/list{query}")
        assert reply.status == 200, reply
        return reply.json["tags"]

    def referrers(self, name: str, subject: str, query: str = "") -> Any:
        """The digests that refer to it."""
        reply = self.ask(f"{name}/referrers/{subject}{query}")
        assert reply.status == 200, reply
        return [each["digest"] for each in reply.json["manifests"]]


def made(document: Mapping[str, Any], media_type: str) -> Blob:
    """A manifest of one's own."""
    return Blob(media_type, json.dumps(document).encode())
