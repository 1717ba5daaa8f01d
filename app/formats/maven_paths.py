"""What the names of files in a Maven repository say to whoever reads from it.

    <group>/<artifact>/<version>/<artifact>-<version>[-<classifier>].<extension>
    <group>/<artifact>/maven-metadata.xml               which versions there are
    <group>/<artifact>/<version>/maven-metadata.xml     which builds a snapshot has
    <group>/maven-metadata.xml                          which plugins a group has

Beside each file may be .md5, .sha1, .sha256, .sha512 and .asc. Source: maven.apache.org/repository/layout.html
"""

from __future__ import annotations

METADATA = "maven-metadata.xml"
SNAPSHOT = "SNAPSHOT"
SUMS = {".md5": "md5", ".sha1": "sha1", ".sha256": "sha256", ".sha512": "sha512"}


def summed(path: str) -> tuple[str, str] | None:
    """(path, algorithm) of the file that `path` would be a checksum of; None where it is no checksum's."""
    for suffix, algorithm in SUMS.items():
        if path.endswith(suffix):
            return path.removesuffix(suffix), algorithm
    return None


def is_metadata(path: str) -> bool:
    """Whether the file is a maven-metadata.xml."""
    return path.rpartition("/")[2] == METADATA


def listed_in(path: str) -> str:
    """The maven-metadata.xml that tells of an artifact's file: the artifact's, or the snapshot's; "" for none."""
    directory = path.rpartition("/")[0]
    home, _, version = directory.rpartition("/")
    place = directory if version.endswith(SNAPSHOT) else home
    return f"{place}/{METADATA}" if place and not is_metadata(path) else ""


def group_of(path: str) -> str:
    """The group, with dots, whose plugins a maven-metadata.xml may name."""
    return ".".join(path.split("/")[:-1])


def coordinates(path: str) -> str:
    """`group:artifact` of an artifact's files and metadata (of a group's metadata: as if its last part were an
    artifact); "" for any other file."""
    path = (summed(path) or (path, ""))[0].removesuffix(".asc")
    *directories, name = path.split("/")
    if name == METADATA:
        directories = directories[:-1] if directories and directories[-1].endswith(SNAPSHOT) else directories
    else:
        directories = directories[:-1]
    *group, artifact = directories or [""]
    return f"{'.'.join(group)}:{artifact}" if group and artifact else ""
