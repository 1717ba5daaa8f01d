"""What a registry says of a package: read, merged, written with the URLs of this server, and searched for a tarball.

    {"name": ..., "dist-tags": {tag: version}, "versions": {version: manifest}, "time": {version: moment}, ...}
    manifest: {..., "dist": {"tarball": URL, "integrity": "sha512-...", "shasum": ..., "signatures": [...], ...}}

Of a manifest only dist.tarball becomes another; everything else stays the very bytes that the registry wrote.

Source: github.com/npm/registry, docs/responses/package-metadata.md; w3.org/TR/SRI for `integrity`.
"""

from __future__ import annotations

import base64
import binascii
import contextlib
import json
import re
import urllib.parse
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, BinaryIO

from app.errors import NotFound
from app.formats.base import checksum
from app.formats.helm_versions import precedence
from app.formats.npm_json import Reader, Value, members, replaced
from app.paths import quote
from app.resource import HERE, Desk, Digest, Located

MOST_VERSIONS = 100_000
MOST_MEMBERS, LARGEST = 1_000, 12 << 20  # of what a document says beside its versions: how much, how many characters
_ESCAPED = json.dumps(HERE)[1:-1]
_URL = re.compile(r'"tarball"[ \t\r\n]*:[ \t\r\n]*("[^"\\]*")')
_NONE = Value({}, "")
_VERSIONS, _TAGS, _LATEST, _TIME, _MODIFIED = "versions", "dist-tags", "latest", "time", "modified"
_VERSION = re.compile(r"[^/\\\x00-\x1f\x7f-\x9f\ud800-\udfff]{1,256}")  # what can be part of a file's name
_ALGORITHMS = ("sha512", "sha384", "sha256", "sha1")  # the strongest first


@dataclass(frozen=True, slots=True)
class Document:
    """One member's document, its file to be read again: what it says beside its versions, which these are, and which
    nobody is told of."""

    repository: str
    file: BinaryIO
    said: Mapping[str, Value]
    versions: Sequence[str]
    hidden: Collection[str] = ()

    def fields(self, name: str) -> dict[str, Value]:
        """The members of an object that it has under that name; none where it has no such object."""
        found = self.said.get(name, _NONE)
        return dict(members(found.text)) if found.text.startswith("{") else {}

    def manifests(self) -> Iterator[tuple[str, Value]]:
        """Every version and its manifest."""
        self.file.seek(0)
        return _manifests(self.file)


def read(repository: str, file: BinaryIO) -> Document:
    """Of a stored document. Raises ValueError."""
    try:
        said, versions = _read(Reader(file))
    except ValueError as error:
        raise ValueError(f"{repository}'s document of a package {error}") from error
    return Document(repository, file, said, versions)


def _read(reader: Reader) -> tuple[Mapping[str, Value], Sequence[str]]:
    said: dict[str, Value] = {}
    versions: Sequence[str] = ()
    size = 0
    for name in reader.members():
        if name in said or len(said) > MOST_MEMBERS:
            raise ValueError("says something twice, or too much")
        if name == _VERSIONS:
            said[name], versions = _NONE, _versions(reader)
            continue
        found = reader.value()
        if isinstance(found.said, dict) and len(found.said) > 2 * MOST_VERSIONS:
            raise ValueError(f"says more than {2 * MOST_VERSIONS} things of one sort")
        said[name] = replace(found, said=found.said if isinstance(found.said, str) else None)  # its text has the rest
        size += len(found.text)
        if size > LARGEST:
            raise ValueError(f"has more than {LARGEST} characters beside its versions")
    reader.end()
    if "name" not in said and _VERSIONS not in said:
        raise ValueError("has neither a name nor versions")
    return said, versions


def _versions(reader: Reader) -> Sequence[str]:
    versions: dict[str, None] = {}
    for version in reader.members():
        _judge(reader.value().said)
        if _VERSION.fullmatch(version):
            versions[version] = None
        if len(versions) > MOST_VERSIONS:
            raise ValueError(f"has more than {MOST_VERSIONS} versions")
    return tuple(versions)


def _judge(manifest: Any) -> None:
    dist = manifest.get("dist", {}) if isinstance(manifest, dict) else None
    if not isinstance(dist, dict) or not isinstance(dist.get("tarball", ""), str):
        raise ValueError("has a version that says nothing of its tarball")


def _manifests(file: BinaryIO) -> Iterator[tuple[str, Value]]:
    reader = Reader(file)
    for name in reader.members():
        if name == _VERSIONS:
            for version in reader.members():
                yield version, reader.value()
        else:
            reader.value()


# -- written ------------------------------------------------------------------------------------------------------


def write(package: str, documents: Sequence[Document], desk: Desk) -> None:
    """One document of all of them, each version as the first has it that has it."""
    chosen = _chosen(documents)
    desk.write(b"{")
    for number, name in enumerate(_names(documents)):
        desk.write(("," * bool(number) + json.dumps(name) + ":").encode())
        if name == _VERSIONS:
            _write_versions(package, documents, chosen, desk)
        else:
            desk.write(_escaped(_said(name, documents, chosen)).encode())
    desk.write(b"}")


def _chosen(documents: Sequence[Document]) -> Mapping[str, int]:
    """Which document each version is taken from."""
    chosen: dict[str, int] = {}
    for number, each in enumerate(documents):
        for version in each.versions:
            chosen.setdefault(version, number)
    return chosen


def _names(documents: Sequence[Document]) -> Sequence[str]:
    """What the first document says, and what no document says for another."""
    names = dict.fromkeys(documents[0].said)
    for each in documents[1:]:
        names |= dict.fromkeys(name for name in (_TAGS, _VERSIONS, _TIME) if name in each.said)
    return tuple(names)


def _said(name: str, documents: Sequence[Document], chosen: Mapping[str, int]) -> str:
    if name == _TAGS:
        return _object(_tags(documents, chosen))
    if name == _TIME and (len(documents) > 1 or documents[0].hidden):
        return _object(_times(documents, chosen))
    if name == _MODIFIED:
        return max((each.said[name] for each in documents if name in each.said), key=_text).text
    return documents[0].said[name].text


def _tags(documents: Sequence[Document], chosen: Mapping[str, int]) -> dict[str, Value]:
    """Each tag as the first says that has it, and has it of a version that is there; `latest`, which is what is
    installed where nobody names a version, is there wherever a version is."""
    tags: dict[str, Value] = {}
    for each in documents:
        for tag, version in each.fields(_TAGS).items():
            if _text(version) in chosen:
                tags.setdefault(tag, version)
    return tags if _LATEST in tags else {**tags, **_newest(documents)}


def _newest(documents: Sequence[Document]) -> dict[str, Value]:
    """The newest release that is left, else the newest version, of the first that has any: its order is what keeps
    a stranger's from being taken instead."""
    left = next((each.versions for each in documents if each.versions), ())
    releases = [version for version in left if precedence(version)[1]] or left
    found = max(releases, key=precedence, default=None)
    return {} if found is None else {_LATEST: Value(found, json.dumps(found))}


def _times(documents: Sequence[Document], chosen: Mapping[str, int]) -> dict[str, Value]:
    """When each version was published, as the document says that it is taken from."""
    found = [each.fields(_TIME) for each in documents]
    times: dict[str, Value] = {}
    for number, said in enumerate(found):
        for name, moment in said.items():
            if chosen.get(name, number) == number and (name in chosen or name not in documents[number].hidden):
                times.setdefault(name, moment)
    for name, which in (("created", min), (_MODIFIED, max)):
        if moments := [said[name] for said in found if name in said]:
            times[name] = which(moments, key=_text)
    return times


def _write_versions(package: str, documents: Sequence[Document], chosen: Mapping[str, int], desk: Desk) -> None:
    desk.write(b"{")
    comma, left = "", dict(chosen)
    for number, each in enumerate(documents):
        for version, found in each.manifests():
            if left.get(version) == number:
                del left[version]
                desk.write(f"{comma}{json.dumps(version)}:{addressed(package, version, found)}".encode())
                comma = ","
    desk.write(b"}")


def addressed(package: str, version: str, manifest: Value) -> str:
    """A manifest whose tarball is here, as it is written."""
    text, dist = _escaped(manifest.text), manifest.said.get("dist", {})
    if "tarball" not in dist:
        return text
    url = f'"{HERE}/{quote(package)}/-/{quote(file_name(package, version))}"'
    at = text.find('"tarball"')
    if at > 0 and text.count('tarball"') == 1 and "\\u" not in text and (found := _URL.match(text, at)):
        return text[: found.start(1)] + url + text[found.end(1) :]  # no other member is called so
    said = dict(members(text))["dist"].text
    return replaced(text, "dist", replaced(said, "tarball", url))


def file_name(package: str, version: str) -> str:
    """Of a version's tarball, here as in the registries that everybody knows."""
    return f"{package.rpartition('/')[2]}-{version}.tgz"


def _object(members: Mapping[str, Value]) -> str:
    return "{" + ",".join(f"{json.dumps(name)}:{value.text}" for name, value in members.items()) + "}"


def _escaped(text: str) -> str:
    """The same JSON without HERE in it: that is ours to write."""
    return text.replace(HERE, _ESCAPED)


def _text(value: Value) -> str:
    return value.said if isinstance(value.said, str) else ""


# -- asked ----------------------------------------------------------------------------------------------------------


def tags(documents: Sequence[Document]) -> bytes:
    """The versions by tag, as JSON. Raises NotFound where there is none."""
    if not (chosen := _chosen(documents)):
        raise NotFound("no version is left of that package", code="file_not_found")
    return _escaped(_object(_tags(documents, chosen))).encode()


def manifest(package: str, wanted: str, documents: Sequence[Document]) -> bytes:
    """What one version, or the version of a tag, says of itself. Raises NotFound."""
    chosen = _chosen(documents)
    tagged = _tags(documents, chosen).get(wanted)
    version = wanted if tagged is None else _text(tagged)
    if version in chosen:
        for found, said in documents[chosen[version]].manifests():
            if found == version:
                return addressed(package, version, said).encode()
    raise NotFound("no such version or tag", code="file_not_found")


def located(package: str, path: str, file: BinaryIO) -> Located | None:
    """Where upstream keeps the file of that path, and its checksum, by a document of the package; of the version that
    the file's name says, or whose URL ends so."""
    name = path.rpartition("/")[2]
    for version, found in _manifests(file):
        if name == file_name(package, version):
            return _located(found.said)
    file.seek(0)
    for _, found in _manifests(file):
        if name in found.text and (there := _located(found.said)) is not None and _last(there.url) == name:
            return there
    return None


def _located(manifest: Any) -> Located | None:
    dist = manifest.get("dist") if isinstance(manifest, dict) else None
    if not isinstance(dist, dict) or not isinstance(dist.get("tarball"), str):
        return None
    return Located(dist["tarball"], _digest(dist))


def _last(url: str) -> str:
    with contextlib.suppress(ValueError):
        return urllib.parse.unquote(urllib.parse.urlsplit(url).path.rpartition("/")[2])
    return ""


def _digest(dist: Mapping[str, Any]) -> Digest | None:
    """The strongest checksum that it has."""
    integrity, shasum = dist.get("integrity"), dist.get("shasum")
    given = {"sha1": shasum.lower()} if isinstance(shasum, str) else {}
    for each in integrity.split() if isinstance(integrity, str) else ():
        algorithm, _, value = each.partition("?")[0].partition("-")
        with contextlib.suppress(binascii.Error, ValueError):
            given[algorithm] = base64.b64decode(value, validate=True).hex()
    found = (checksum(algorithm, given[algorithm]) for algorithm in _ALGORITHMS if algorithm in given)
    return next((each for each in found if each is not None), None)
