"""maven-metadata.xml of several repositories as one: versions, the builds of a snapshot, a group's plugins.

    versions            every one, in Maven's order; latest and release: the newest that a repository calls so
    snapshot            the newest build; of each file (classifier, extension) the newest that there is
    plugins             the first of each prefix
    lastUpdated         the latest

Source: maven.apache.org/ref/current/maven-repository-metadata/repository-metadata.html
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import BinaryIO

from app.formats.maven_paths import SNAPSHOT
from app.formats.maven_version import ordered
from app.formats.maven_xml import Tree, document, texts

MOST = 100_000  # versions, files of a snapshot or plugins of one document
_LONGEST = 255  # characters of any of its texts, which are names on disks

_VERSIONING = "versioning/"
_SNAPSHOT = f"{_VERSIONING}snapshot"
_ANY_BUILD = "20000101.000000-1"  # which builds a snapshot has stands elsewhere
_FILE = f"{_VERSIONING}snapshotVersions/snapshotVersion"
_PLUGIN = "plugins/plugin"
_FILE_FIELDS = frozenset({"classifier", "extension", "value", "updated"})
_PLUGIN_FIELDS = frozenset({"name", "prefix", "artifactId"})
_WANTED = frozenset(
    {"groupId", "artifactId", "version"}
    | {f"{_VERSIONING}{each}" for each in ("latest", "release", "lastUpdated", "versions/version")}
    | {f"{_VERSIONING}snapshot/{each}" for each in ("timestamp", "buildNumber")}
    | {_FILE, *(f"{_FILE}/{each}" for each in _FILE_FIELDS)}
    | {_PLUGIN, *(f"{_PLUGIN}/{each}" for each in _PLUGIN_FIELDS)}
)
_TIME = re.compile(r"[0-9]{8}\.?[0-9]{6}")

Fields = dict[str, str]
Named = Callable[[str], bool]


@dataclass(slots=True)
class Metadata:
    """What one document says; `said` are the texts of elements that stand in it once, by their path."""

    said: Fields = field(default_factory=dict)
    versions: list[str] = field(default_factory=list)
    files: list[Fields] = field(default_factory=list)
    plugins: list[Fields] = field(default_factory=list)

    @property
    def build(self) -> tuple[str, int]:
        """The snapshot's newest build: its time, and its number."""
        number = self.said.get(f"{_VERSIONING}snapshot/buildNumber", "")
        return _time(self.said.get(f"{_VERSIONING}snapshot/timestamp", "")), int(number) if number.isdigit() else 0


def read(file: BinaryIO) -> Metadata:
    """Raises ValueError, whose text goes on after "the document", where it is no such document."""
    found, fields, count = Metadata(), Fields(), 0
    for path, text in texts(file, "metadata", _WANTED):
        parent, _, name = path.rpartition("/")
        count += path in (_FILE, _PLUGIN, f"{_VERSIONING}versions/version")
        if len(text) > _LONGEST or count > MOST:
            raise ValueError("says more than any does")
        if path in (_FILE, _PLUGIN):
            (found.files if path == _FILE else found.plugins).append(fields)
            fields = Fields()
        elif parent in (_FILE, _PLUGIN):
            fields[name] = text
        elif path == f"{_VERSIONING}versions/version":
            found.versions.append(text)
        else:
            found.said[path] = text
    return found


def lists(said: Metadata, path: str) -> bool:
    """Whether a document says that there is the version, or the build of a snapshot, that a file is of."""
    directory, _, name = path.rpartition("/")
    home, _, version = directory.rpartition("/")
    if not version.endswith(SNAPSHOT):
        return version in said.versions
    stamp, number = said.said.get(f"{_SNAPSHOT}/timestamp", ""), said.said.get(f"{_SNAPSHOT}/buildNumber", "")
    newest = f"{version.removesuffix(SNAPSHOT)}{stamp}-{number}"
    stem, builds = home.rpartition("/")[2], [f"{newest}-", f"{newest}.", *map(_file_name, said.files)]
    return any(name.startswith(f"{stem}-{each}") for each in builds)


def allowed(path: str, said: Metadata, may: Named) -> Metadata | None:
    """Of a member's document at `path` what its patterns let it bring; None where that is nothing of what it says.

    Plugins stay: which of their versions somebody asks for, nobody knows."""
    directory = path.rpartition("/")[0]
    home, _, last = directory.rpartition("/")
    if last.endswith(SNAPSHOT):
        left = _builds(said, f"{directory}/{home.rpartition('/')[2]}", last, may)
    else:
        left = _releases(said, directory, may)
    return left if left == said or left.versions or left.files or left.build[0] or left.plugins else None


def _releases(said: Metadata, directory: str, may: Named) -> Metadata:
    """Without the versions whose poms it may not bring; a snapshot's has a name by its build, or of its own."""
    artifact = directory.rpartition("/")[2]

    def brings(version: str) -> bool:
        built = version.removesuffix(SNAPSHOT) + _ANY_BUILD if version.endswith(SNAPSHOT) else version
        return any(may(f"{directory}/{version}/{artifact}-{each}.pom") for each in (version, built))

    newest = {f"{_VERSIONING}{name}" for name in ("latest", "release")}
    once = {name: text for name, text in said.said.items() if name not in newest or brings(text)}
    return replace(said, said=once, versions=[each for each in said.versions if brings(each)])


def _builds(said: Metadata, stem: str, version: str, may: Named) -> Metadata:
    """Without the files that it may not bring, and without its newest build where it may bring none of that."""
    stamp, number = said.said.get(f"{_SNAPSHOT}/timestamp", ""), said.said.get(f"{_SNAPSHOT}/buildNumber", "")
    files = [each for each in said.files if may(f"{stem}-{_file_name(each)}")]
    if files or may(f"{stem}-{version.removesuffix(SNAPSHOT)}{stamp}-{number}.pom"):
        return replace(said, files=files)
    return replace(said, files=[], said={name: text for name, text in said.said.items() if _SNAPSHOT not in name})


def _file_name(file: Fields) -> str:
    """What follows the artifact in the name of a snapshot's file."""
    classifier = f"-{file['classifier']}" if file.get("classifier") else ""
    return f"{file.get('value', '')}{classifier}.{file.get('extension', '')}"


def merge(documents: Sequence[Metadata]) -> bytes:
    """One document of those, the first of which wins."""
    tree: list[tuple[str, Tree]] = [
        (name, text) for name in ("groupId", "artifactId", "version") if (text := _first(documents, name))
    ]
    if versioning := [*_versions(documents), *_snapshot(documents)]:
        tree.append(("versioning", versioning))
    if plugins := _unlike((each for one in documents for each in one.plugins), ("prefix",)):
        order = ("name", "prefix", "artifactId")
        tree.append(("plugins", [("plugin", _tree(each, order)) for each in plugins]))
    return document("metadata", tree)


def _versions(documents: Sequence[Metadata]) -> list[tuple[str, Tree]]:
    found: list[tuple[str, Tree]] = []
    for name in ("latest", "release"):
        if said := [text for each in documents if (text := each.said.get(_VERSIONING + name))]:
            found.append((name, ordered(said)[-1]))
    if versions := ordered(version for each in documents for version in each.versions if version):
        found.append(("versions", [("version", each) for each in versions]))
    if updated := max((_time(each.said.get(f"{_VERSIONING}lastUpdated", "")) for each in documents), default=""):
        found.append(("lastUpdated", updated))
    return found


def _snapshot(documents: Sequence[Metadata]) -> list[tuple[str, Tree]]:
    newest = max(documents, key=lambda each: each.build)
    found: list[tuple[str, Tree]] = []
    if newest.build[0]:
        stamp = newest.said[f"{_VERSIONING}snapshot/timestamp"]
        found.append(("snapshot", [("timestamp", stamp), ("buildNumber", str(newest.build[1]))]))
    if newest.build[0] and not newest.files:  # written by an old Maven: who reads files would miss its build
        return found
    files = [each for one in documents for each in one.files]
    latest = sorted(files, key=lambda each: _time(each.get("updated", "")), reverse=True)  # stable: the first wins
    kept = _unlike(latest, ("classifier", "extension"))
    order = ("classifier", "extension", "value", "updated")
    rows = sorted((_tree(each, order) for each in kept), key=str)
    return [*found, ("snapshotVersions", [("snapshotVersion", each) for each in rows])] if rows else found


def _tree(fields: Fields, order: Sequence[str]) -> list[tuple[str, Tree]]:
    return [(name, fields[name]) for name in order if fields.get(name)]


def _unlike(each: Iterable[Fields], by: Sequence[str]) -> list[Fields]:
    """The first of all that are alike in those fields."""
    found: dict[tuple[str, ...], Fields] = {}
    for fields in each:
        found.setdefault(tuple(fields.get(name, "") for name in by), fields)
    return list(found.values())


def _first(documents: Iterable[Metadata], name: str) -> str:
    return next((text for each in documents if (text := each.said.get(name))), "")


def _time(text: str) -> str:
    """A time as 14 digits, "" where it is none."""
    return text.replace(".", "") if _TIME.fullmatch(text) else ""
