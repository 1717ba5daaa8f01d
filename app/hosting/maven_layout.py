"""What a path of a Maven repository is.

    <group>/<artifact>/<version>/<artifact>-<version>[-<classifier>].<extension>
    \\______ home _____/          and beside each file .asc, .md5, .sha1, .sha256, .sha512

    org/example/lib/1.0/lib-1.0-sources.jar
    org/example/lib/1.1-SNAPSHOT/lib-1.1-20261121.161714-3.jar     the third build of that snapshot
    org/example/lib/maven-metadata.xml                             which versions there are
    org/example/lib/1.1-SNAPSHOT/maven-metadata.xml                which builds
    org/example/maven-metadata.xml                                 which plugins a group has

Source: maven.apache.org/repository/layout.html, and maven-model's rules for identifiers.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime

from app.errors import BadRequest
from app.formats.maven_paths import SNAPSHOT

PLUGINS = "maven-metadata-plugins"  # the server's own directory in a group's, and nothing else's name
STAMP = "%Y%m%d.%H%M%S"

ID = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]*")
_GROUP = re.compile(r"[A-Za-z0-9_-]+")
_VERSION = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.+~!-]*")
_BUILD = re.compile(r"(?P<stamp>[0-9]{8}\.[0-9]{6})-(?P<number>[0-9]{1,9})")
_STAMPED = re.compile(rf"(?:.*-)?{_BUILD.pattern}")
_PLAIN = re.compile(r"\.(?P<extension>(?![0-9]+(?:\.|$))[A-Za-z0-9_][A-Za-z0-9_.+~-]*)")
_CLASSIFIED = re.compile(
    r"-(?P<classifier>[A-Za-z0-9_][A-Za-z0-9_.+~-]*?)\.(?P<extension>(?:tar\.)?[A-Za-z0-9_+~-]+(?:\.asc|\.sig)?)"
)
_LONGEST = 255  # bytes of a file's name, on most of what clients store it on


@dataclass(frozen=True, slots=True)
class Artifact:
    """One file of a version; `home` is its group and artifact as a path, `version` the directory it is in.

    `build` tells a snapshot's builds apart: ("20261121.161714", 3), and ("", 0) for any other file.
    """

    home: str
    version: str
    classifier: str
    extension: str
    build: tuple[str, int] = ("", 0)

    @property
    def snapshot(self) -> bool:
        return self.version.endswith(SNAPSHOT)

    @property
    def built(self) -> str:
        """The version as the file's name has it."""
        stamp, number = self.build
        return f"{self.version.removesuffix(SNAPSHOT)}{stamp}-{number}" if stamp else self.version

    @property
    def scope(self) -> str:
        """The directory of the index that tells of this file."""
        return f"{self.home}/{self.version}" if self.snapshot else self.home


def parse(path: str) -> Artifact:
    """Raises BadRequest "bad_path" where the path is not one of an artifact's file."""
    segments = path.split("/")
    if len(segments) < 4:
        raise _refused("it is shorter than that")
    *group, artifact, version, name = segments
    _require_home([*group, artifact])
    if not _VERSION.fullmatch(version) or _STAMPED.fullmatch(version) or version == PLUGINS:
        raise _refused(f"{version[:80]!r} is no version's directory")
    if len(name.encode()) > _LONGEST or not name.startswith(f"{artifact}-"):
        raise _refused(f"a file of {artifact[:80]} {version[:80]} is named {artifact[:80]}-{version[:80]}...")
    return _file("/".join([*group, artifact]), version, name.removeprefix(f"{artifact}-"))


def home(path: str) -> str:
    """A directory that may have an index; raises BadRequest "bad_path"."""
    *group, last = path.split("/")
    if last.endswith(SNAPSHOT) and _VERSION.fullmatch(last):
        _require_home(group)
    else:
        _require_home([*group, last], least=1)
    return path


def _file(where: str, version: str, rest: str) -> Artifact:
    if rest.startswith(version):
        return Artifact(where, version, *_ending(rest.removeprefix(version)))
    before = version.removesuffix(SNAPSHOT)
    match = _BUILD.match(rest, len(before))
    if before == version or not rest.startswith(before) or match is None:
        raise _refused(f"a file of version {version[:80]} has that in its name")
    return Artifact(where, version, *_ending(rest[match.end() :]), _build(match["stamp"], match["number"]))


def _ending(rest: str) -> tuple[str, str]:
    """(classifier, extension)."""
    match = _PLAIN.fullmatch(rest) or _CLASSIFIED.fullmatch(rest)
    if match is None:
        raise _refused("after the version come [-<classifier>].<extension>")
    found = match.groupdict()
    return found.get("classifier") or "", found["extension"]


def _build(stamp: str, number: str) -> tuple[str, int]:
    try:
        datetime.strptime(stamp, STAMP)
    except ValueError:
        raise _refused(f"{stamp} is no time") from None
    return stamp, int(number)


def _require_home(segments: list[str], least: int = 2) -> None:
    *group, artifact = segments
    if PLUGINS in segments:
        raise _refused(f"no group and no artifact is called {PLUGINS} here")
    if len(segments) < least or not all(_GROUP.fullmatch(each) for each in group):
        raise _refused("it begins with a group: letters, digits, - and _, a directory for each of its parts")
    if not ID.fullmatch(artifact) or artifact.endswith(SNAPSHOT):
        raise _refused(f"{artifact[:80]!r} is no artifact's id")


def _refused(reason: str) -> BadRequest:
    return BadRequest(
        f"a path here is <group>/<artifact>/<version>/<artifact>-<version>[-<classifier>].<extension>: {reason}",
        code="bad_path",
    )
