"""What is odd about Alpine repositories: one signed index a directory, packages named by version.

Source: apk-tools 2 (APKINDEX.tar.gz) and 3 (Packages.adb); both carry their signature inside.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import BinaryIO

from app.errors import NotFound
from app.formats import apk_merged
from app.formats.apk_index import INDEX, key_name, paragraphs
from app.formats.base import PathRules, rule
from app.formats.merging import beside, chosen
from app.resource import Ask, Desk, Found, Kind, Made, Reading, Repository, Resource

_FILE = re.compile(r"(?:.*/)?(?P<name>[^/]+)-[0-9][^/-]*(?:-r[0-9]+)?\.apk")


class _Apk(PathRules):
    __slots__ = ()

    def resolve(self, repository: Repository, ask: Ask) -> Resource:
        """See Format."""
        if repository.kind is not Kind.VIRTUAL:
            return super().resolve(repository, ask)
        directory, slash, name = ask.path.rpartition("/")
        if name == INDEX:
            return apk_merged.head(self, repository, directory + slash)
        if repository.signing.key and name == key_name(repository):
            return beside(super().resolve(repository, ask), apk_merged.head(self, repository, directory + slash), ask)
        if name.lower() == "packages.adb" and len(repository.members) > 1:
            raise NotFound(
                f"a Packages.adb cannot be merged: {INDEX} is, which every apk reads", code="file_not_found"
            )
        return chosen(self, repository, ask)

    def read(self, resource: Resource, body: BinaryIO) -> Reading:
        """See Format: that an index is one."""
        for _ in paragraphs(body):
            pass
        return Reading()

    def named(self, path: str) -> str:
        """See Format: <name>-<version>.apk."""
        match = _FILE.fullmatch(path)
        return match["name"] if match else ""

    def make(self, resource: Resource, found: Sequence[Found], desk: Desk) -> Made:
        """See Format."""
        return apk_merged.make(resource, found, desk)


APK = _Apk(
    "apk",
    (
        rule(r"(?:.*/)?(?:APKINDEX\.tar\.gz|[Pp]ackages\.adb)", "an index", own=True, remember_missing=False),
        rule(
            r"(?:.*/)?(?:[^/]+\.rsa\.pub|latest-releases\.yaml|last-updated|MIRRORS\.txt)",
            "a key or a note on the archive",
            own=True,
        ),
        rule(r".*\.apk", "a package", immutable=True),
    ),
    merged=True,
)
