"""Knows how rpms are published in the tests, and what a client finds in repodata."""

from __future__ import annotations

import hashlib
import json
import urllib.error
import urllib.request
import xml.etree.ElementTree as ElementTree
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import zstandard

from tests.hosting.conftest import TOKEN
from tests.stack import Stack

REPO = "{http://linux.duke.edu/metadata/repo}"
COMMON = "{http://linux.duke.edu/metadata/common}"
RPM = "{http://linux.duke.edu/metadata/rpm}"
LISTED = {"primary": "common", "filelists": "filelists", "other": "other"}


@dataclass(frozen=True, slots=True)
class Answer:
    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


@dataclass(frozen=True, slots=True)
class Team:
    """One local repository of a node, and who may publish there."""

    stack: Stack
    name: str
    token: str = TOKEN

    @property
    def url(self) -> str:
        return f"{self.stack.url}/repository/{self.name}"

    def send(self, method: str, path: str, body: bytes | None = None, **headers: str) -> Answer:
        sent = {name.replace("_", "-"): value for name, value in headers.items()}
        if self.token:
            sent["Authorization"] = f"Bearer {self.token}"
        return send(method, f"{self.url}/{path}", body, **sent)

    def put(self, path: str, body: bytes) -> Answer:
        return self.send("PUT", path, body)

    def published(self, *bodies: bytes) -> None:
        for body in bodies:
            answer = self.send("POST", "", body)
            assert answer.status == 201, answer.body

    def get(self, path: str) -> Answer:
        return self.send("GET", path)

    def index(self, directory: str = "") -> dict[str, bytes]:
        """Every file that the repomd of a directory names, unpacked, by type; sizes and checksums hold."""
        answer = self.get(f"{directory}repodata/repomd.xml")
        assert answer.status == 200, answer.body
        found = {}
        for data in ElementTree.fromstring(answer.body).iter(f"{REPO}data"):
            location = data.find(f"{REPO}location")
            assert location is not None
            packed = self.get(directory + location.attrib["href"]).body
            unpacked = zstandard.ZstdDecompressor().decompressobj().decompress(packed)
            told = [data.findtext(f"{REPO}{key}") for key in ("checksum", "size", "open-checksum", "open-size")]
            assert told == [_sum(packed), str(len(packed)), _sum(unpacked), str(len(unpacked))]
            found[data.attrib["type"]] = unpacked
        return found

    def listed(self, directory: str = "") -> Sequence[str]:
        """The hrefs of primary, in its order; the three files agree on how many there are."""
        index = self.index(directory)
        counts = {name: _count(index[name], element) for name, element in LISTED.items()}
        assert len(set(counts.values())) == 1, counts
        locations = ElementTree.fromstring(index["primary"]).iter(f"{COMMON}location")
        return [each.attrib["href"] for each in locations]


def send(method: str, url: str, body: bytes | None = None, **headers: str) -> Answer:
    """What a server says, whatever its status."""
    asked = urllib.request.Request(url, body, headers, method=method)
    try:
        with urllib.request.urlopen(asked, timeout=60) as answer:
            return Answer(answer.status, dict(answer.headers), answer.read())
    except urllib.error.HTTPError as error:
        with error:
            return Answer(error.code, dict(error.headers), error.read())


def _sum(body: bytes) -> str:
    return hashlib.sha256(body).hexdigest()


def _count(text: bytes, element: str) -> int:
    root = ElementTree.fromstring(text)
    packages = list(root.iter(f"{{http://linux.duke.edu/metadata/{element}}}package"))
    assert root.attrib["packages"] == str(len(packages))
    return len(packages)
