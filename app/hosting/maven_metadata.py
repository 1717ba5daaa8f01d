"""maven-metadata.xml: which versions an artifact has, which builds a snapshot, which plugins a group.

Source: maven.apache.org/ref/current/maven-repository-metadata/repository-metadata.html
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import BinaryIO

from app.formats.maven_paths import SNAPSHOT
from app.formats.maven_version import ordered
from app.formats.maven_xml import Tree, document, texts
from app.hosting.base import Item
from app.hosting.maven_layout import ID, Artifact, parse

MOST_PLUGINS = 500
_PLUGIN = frozenset(f"plugins/plugin{field}" for field in ("", "/name", "/prefix", "/artifactId"))


@dataclass(frozen=True, slots=True)
class Plugin:
    """A plugin that a group's metadata names: `mvn <prefix>:<goal>` finds it so."""

    artifact: str
    prefix: str
    name: str = ""

    def to_text(self) -> str:
        return json.dumps([self.artifact, self.prefix, self.name])

    @classmethod
    def from_text(cls, text: str) -> Plugin:
        return cls(*json.loads(text))


def plugins(file: BinaryIO) -> Sequence[Plugin]:
    """The plugins that an uploaded document names; ValueError as texts() does, and where one cannot be."""
    found: list[Plugin] = []
    said: dict[str, str] = {}
    for path, text in texts(file, "metadata", _PLUGIN):
        if path != "plugins/plugin":
            said[path.rpartition("/")[2]] = text
            continue
        one, said = Plugin(said.get("artifactId", ""), said.get("prefix", ""), said.get("name", "")), {}
        if not ID.fullmatch(one.artifact) or not ID.fullmatch(one.prefix) or max(map(len, _words(one))) > 200:
            raise ValueError("names a plugin without an artifactId or a prefix that could be one")
        found.append(one)
        if len(found) > MOST_PLUGINS:
            raise ValueError(f"names more than {MOST_PLUGINS} plugins")
    return found


def _words(plugin: Plugin) -> tuple[str, str, str]:
    return plugin.artifact, plugin.prefix, plugin.name


def of_home(home: str, versions: Iterable[str], named: Sequence[Plugin], now: float) -> bytes | None:
    """The document of an artifact's directory, or a group's, or of what is both; None where there is nothing."""
    known = ordered(versions)
    tree: list[tuple[str, Tree]] = []
    if known:
        tree += [*_coordinates(home), ("versioning", _versioning(known, now))]
    if named:
        tree.append(("plugins", [("plugin", _plugin(each)) for each in sorted(named, key=_words)]))
    return document("metadata", tree) if tree else None


def of_snapshot(scope: str, items: Iterable[Item], now: float) -> bytes | None:
    """The document of a snapshot's directory: of every file the newest build, but none newer than the newest pom.

    Whoever uploads a build sends its pom behind its main file, so nobody is told of a build that is half there.
    """
    files = [(parse(item.path), item) for item in items]
    if not files:
        return None
    home, _, version = scope.rpartition("/")
    builds = [file.build for file, _ in files if file.extension == "pom"] or [file.build for file, _ in files]
    newest = max(builds)
    last: dict[tuple[str, str], tuple[Artifact, Item]] = {}
    for file, item in sorted(files, key=lambda pair: (pair[0].build, pair[1].path)):
        if file.build <= newest:
            last[file.classifier, file.extension] = (file, item)
    current: list[tuple[str, Tree]] = []
    if newest[0]:
        current.append(("snapshot", (("timestamp", newest[0]), ("buildNumber", str(newest[1])))))
    each = [("snapshotVersion", _snapshot_version(*last[key])) for key in sorted(last)]
    versioning = [*current, ("lastUpdated", _time(now)), ("snapshotVersions", each)]
    return document("metadata", [*_coordinates(home), ("version", version), ("versioning", versioning)])


def _coordinates(home: str) -> list[tuple[str, Tree]]:
    group, _, artifact = home.rpartition("/")
    return [("groupId", group.replace("/", ".")), ("artifactId", artifact)]


def _versioning(known: Sequence[str], now: float) -> Tree:
    released = [each for each in known if not each.endswith(SNAPSHOT)]
    release: list[tuple[str, Tree]] = [("release", released[-1])] if released else []
    listed = [("version", each) for each in known]
    return [("latest", known[-1]), *release, ("versions", listed), ("lastUpdated", _time(now))]


def _plugin(plugin: Plugin) -> Tree:
    name: list[tuple[str, Tree]] = [("name", plugin.name)] if plugin.name else []
    return [*name, ("prefix", plugin.prefix), ("artifactId", plugin.artifact)]


def _snapshot_version(file: Artifact, item: Item) -> Tree:
    classifier: list[tuple[str, Tree]] = [("classifier", file.classifier)] if file.classifier else []
    updated = file.build[0].replace(".", "") or _time(item.published)
    return [*classifier, ("extension", file.extension), ("value", file.built), ("updated", updated)]


def _time(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y%m%d%H%M%S")
