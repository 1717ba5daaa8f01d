"""A package as its repository knows it, and the two documents that clients are given of it.

    <package>/-/<name>-<version>.tgz    about: {"manifest": package.json, "dist": {"integrity", "shasum"}}
    <package>/-/state.json              about, and its content: State

Source: github.com/npm/registry, docs/responses/package-metadata.md.
"""

from __future__ import annotations

import hashlib
import json
import secrets
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from typing import Any

from app import paths
from app.formats.npm import HERE
from app.hosting.base import Contents, Item
from app.hosting.npm_tarball import Tarball
from app.hosting.npm_version import newest

PLACE = secrets.token_hex(16)  # stands for the repository's address in a manifest: nobody could have written it

# What an abbreviated document tells of a version: all that an installation needs.
_SHORT = (
    *("name", "version", "deprecated", "dependencies", "optionalDependencies", "devDependencies"),
    *("bundleDependencies", "peerDependencies", "peerDependenciesMeta", "acceptDependencies", "bin", "directories"),
    *("dist", "engines", "_hasShrinkwrap", "hasInstallScript", "cpu", "os", "libc", "funding"),
)
_REPEATED = ("description", "homepage", "keywords", "repository", "author", "contributors", "license", "bugs")


@dataclass(frozen=True, slots=True)
class State:
    """What is said of versions beside them: versions by tag, reasons by deprecated version."""

    tags: Mapping[str, str] = field(default_factory=dict)
    deprecated: Mapping[str, str] = field(default_factory=dict)

    def text(self) -> str:
        """As it is stored; ASCII."""
        return json.dumps(asdict(self), sort_keys=True, separators=(",", ":"))

    @classmethod
    def read(cls, text: str | bytes) -> State:
        """Of text()."""
        found = json.loads(text)
        return cls(found["tags"], found["deprecated"])

    def of(self, versions: Iterable[str]) -> State:
        """Only what concerns these; `latest` is always one of them."""
        known = set(versions)
        tags = {tag: version for tag, version in self.tags.items() if version in known}
        if known:
            tags.setdefault("latest", newest(known))
        return State(tags, {version: why for version, why in self.deprecated.items() if version in known})

    def beside(self, version: str, manifest: Mapping[str, Any]) -> Mapping[str, Any]:
        """What a version says of itself, and what is said of it."""
        why = self.deprecated.get(version)
        return {**manifest, **({"deprecated": why} if why else {})}


@dataclass(frozen=True, slots=True)
class Package:
    """`items` are its tarballs by version, in the order of their publication; `revision` changes with everything."""

    name: str
    items: Mapping[str, Item]
    manifests: Mapping[str, Mapping[str, Any]]
    state: State
    revision: str
    modified: float

    def manifest(self, version: str) -> Mapping[str, Any]:
        """What a version says of itself, and what is said of it."""
        return self.state.beside(version, self.manifests[version])


def about(found: Tarball) -> str:
    """What is remembered of a tarball."""
    dist = {"integrity": found.integrity, "shasum": found.shasum}
    return json.dumps({"manifest": found.manifest, "dist": dist}, separators=(",", ":"))


def state_path(package: str) -> str:
    return f"{package}/-/state.json"


def tarball_path(package: str, version: str) -> str:
    return f"{package}/-/{package.rpartition('/')[2]}-{version}.tgz"


def state_in(contents: Contents, name: str) -> State:
    """What is said of a package's versions; nothing where there is no such package."""
    if contents.find(state_path(name)) is None:
        return package(name, contents.items(name)).state
    with contents.open(state_path(name)) as file:
        return State.read(file.read())


def told(contents: Contents, name: str, wanted: str) -> tuple[Item, Mapping[str, Any]] | None:
    """The tarball of one version, or of a tag's, and what is said of it; None where there is none. The other
    versions are not read."""
    state = state_in(contents, name)
    version = state.tags.get(wanted, wanted)
    item = contents.item(tarball_path(name, version))
    return (item, state.beside(version, _manifest(item, json.loads(item.about)))) if item is not None else None


def package(name: str, items: Iterable[Item]) -> Package:
    """Of all files in a package's scope."""
    state, told, modified = State(), [], 0.0
    revision = hashlib.sha256()
    for each in items:
        revision.update(f"{each.path}\n{each.digest}\n".encode())
        modified = max(modified, each.published)
        if each.path == state_path(name):
            state = State.read(each.about)
        else:
            told.append((each, json.loads(each.about)))
    told.sort(key=lambda pair: (pair[0].published, pair[0].path))
    found = {about["manifest"]["version"]: item for item, about in told}
    manifests = {about["manifest"]["version"]: _manifest(item, about) for item, about in told}
    return Package(name, found, manifests, state.of(found), f"{len(told)}-{revision.hexdigest()[:32]}", modified)


def _manifest(item: Item, about: Mapping[str, Any]) -> Mapping[str, Any]:
    return {**about["manifest"], "dist": {**about["dist"], "tarball": f"{PLACE}/{paths.quote(item.path)}"}}


def full(found: Package) -> bytes:
    """The whole document."""
    latest = found.manifests[found.state.tags["latest"]]
    return _text(
        {
            "_id": found.name,
            "_rev": found.revision,
            "name": found.name,
            "dist-tags": found.state.tags,
            "versions": {version: found.manifest(version) for version in found.manifests},
            "time": _times(found),
            **{key: latest[key] for key in _REPEATED if key in latest},
        }
    )


def short(found: Package) -> bytes:
    """The abbreviated document."""
    versions = {}
    for version in found.manifests:
        manifest = found.manifest(version)
        versions[version] = {key: manifest[key] for key in _SHORT if key in manifest}
    head = {"name": found.name, "modified": moment(found.modified), "dist-tags": found.state.tags}
    return _text({**head, "versions": versions})


def _times(found: Package) -> Mapping[str, str]:
    published = {version: moment(item.published) for version, item in found.items.items()}
    return {"created": next(iter(published.values())), "modified": moment(found.modified), **published}


def moment(time: float) -> str:
    """Unix seconds as JavaScript writes a time."""
    return datetime.fromtimestamp(time, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _text(document: Mapping[str, Any]) -> bytes:
    """ASCII, and HERE where the repository's address belongs."""
    return json.dumps(document, separators=(",", ":")).replace(PLACE, HERE).encode()
