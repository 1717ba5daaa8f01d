"""What is odd about dnf and zypper repositories: repodata/repomd.xml names everything beside it by checksum.

    <dir>/repodata/repomd.xml                   heads the set: <data type="primary"><checksum><location>
    <dir>/repodata/repomd.xml.asc, .key         belong to exactly that repomd, which does not name them
    <dir>/repodata/<hex>-primary.xml.gz         every package with its checksum; paths count from <dir>
    <dir>/repodata/primary.xml.gz               the same where createrepo_c ran without --unique-md-filenames

Source: createrepo_c's layout; zypper's media.1 and the installer's .treeinfo stand beside repodata.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import BinaryIO

from app.formats import rpm_merged
from app.formats.base import ALGORITHMS, MOST_LISTED, MOST_MEMBERS, PathRules, at_most, rule, within
from app.formats.companions import companion
from app.formats.merging import beside, chosen
from app.formats.packed import unpacked
from app.formats.rpm_rows import Rows, rows
from app.formats.xml import parsed
from app.resource import Ask, Desk, Found, Kind, Link, Made, Reading, Repository, Resource, Role

# createrepo_c puts the checksum (md5 too) of the file as stored (compressed) before its name: <hex>-primary.xml.zst
_CHECKSUM = f"(?P<digest>{'|'.join(f'[0-9a-f]{{{length}}}' for length in (32, *ALGORITHMS))})"
_IN = r"(?P<dir>(?:.*/)?)repodata/"
_PRIMARY = r"(?:merged-)?primary\.xml(?:\.(?:gz|bz2|xz|zst))?"
_HEAD = r"\g<dir>repodata/repomd.xml"
_LIST = r"\g<dir>repodata#primary"
_SET = re.compile(rf"{_IN}(?:repomd\.xml(?P<suffix>\.asc|\.key)?|[0-9a-f]{{64}}-{rpm_merged.NAMED}[^/]+)")
_FILE = re.compile(r"(?:.*/)?(?P<name>[^/]+)-[^/-]+-[^/-]+\.[^/.-]+\.d?rpm")


class _Rpm(PathRules):
    __slots__ = ()

    def resolve(self, repository: Repository, ask: Ask) -> Resource:
        """See Format."""
        if repository.kind is not Kind.VIRTUAL:
            return super().resolve(repository, ask)
        match = _SET.fullmatch(ask.path)
        if match is None:
            return chosen(self, repository, ask)
        head = rpm_merged.head(self, repository, match["dir"])
        if ask.path == head.path:
            return head
        if match["suffix"]:
            return companion(head, ask.path)
        return beside(super().resolve(replace(repository, kind=Kind.REMOTE), ask), head, ask)

    def named(self, path: str) -> str:
        """See Format: <name>-<version>-<release>.<arch>.rpm."""
        match = _FILE.fullmatch(path)
        return match["name"] if match else ""

    def needs(self, resource: Resource, found: Sequence[Found]) -> Sequence[Resource]:
        """See Format."""
        return rpm_merged.needs(resource, found)

    def make(self, resource: Resource, found: Sequence[Found], desk: Desk) -> Made:
        """See Format."""
        return rpm_merged.make(resource, found, desk)

    def read(self, resource: Resource, body: BinaryIO) -> Reading:
        """See Format: the members of a repomd, or the packages of a primary."""
        directory, _, name = resource.path.rpartition("repodata/")
        if name == "repomd.xml":
            return Reading(tuple(at_most(MOST_MEMBERS, _members(resource.path, directory, body))))
        return Reading(at_most(MOST_LISTED, _packages(directory, body)))


RPM = _Rpm(
    "rpm",
    (
        rule(
            rf"{_IN}repomd\.xml",
            "repomd.xml, which heads the set",
            own=True,
            remember_missing=False,
            index=True,
            switched=True,
            listing=r"\g<0>",
            root=r"\g<0>",
        ),
        rule(
            rf"{_IN}repomd\.xml\.(?:asc|key)",
            "a companion of repomd.xml",
            own=True,
            remember_missing=False,
            listed=True,
            root=_HEAD,
        ),
        rule(
            rf"{_IN}{_CHECKSUM}-{_PRIMARY}",
            "a list of packages, named by its checksum",
            immutable=True,
            own=True,
            remember_missing=False,
            index=True,
            listed=True,
            listing=_LIST,
            root=_HEAD,
        ),
        rule(
            rf"{_IN}{_CHECKSUM}-[^/]+",
            "metadata, named by its checksum",
            immutable=True,
            own=True,
            remember_missing=False,
            listed=True,
            root=_HEAD,
        ),
        rule(
            rf"{_IN}{_PRIMARY}",
            "a list of packages",
            own=True,
            remember_missing=False,
            index=True,
            listed=True,
            listing=_LIST,
            root=_HEAD,
        ),
        rule(rf"{_IN}[^/]+", "metadata", own=True, remember_missing=False, listed=True, root=_HEAD),
        rule(
            r"(?:.*/)?(?:RPM-GPG-KEY[^/]*|[^/]+\.repo|media\.1/[^/]+|\.?treeinfo|extra_files\.json)",
            "a key or a file beside the metadata",
            own=True,
        ),
        rule(r".*\.d?rpm", "a package", immutable=True, listed=True),
    ),
    merged=True,
)


def _members(path: str, directory: str, body: BinaryIO) -> Iterator[Link]:
    """One link for each <data> (two may name one file), then the companions that no repomd names."""
    for slot, digest, href in rows(body):
        if (member := within(directory, href)) is not None:
            yield Link(member, digest, Role.MEMBER, slot)
    yield Link(f"{path}.asc", None, Role.MEMBER, ".asc", signs=True)
    yield Link(f"{path}.key", None, Role.MEMBER, ".key")


def _packages(directory: str, body: BinaryIO) -> Iterator[Link]:
    for _, digest, href in parsed(unpacked(body), "metadata", Rows("package")):
        if digest is not None and (package := within(directory, href)) is not None:
            yield Link(package, digest)
