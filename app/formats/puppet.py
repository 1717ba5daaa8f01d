"""What is odd about the Puppet Forge: pages that a query asks for, and addresses that count from the client's root.

    v3/releases?module=<user>-<name>&...    a module's releases, page by page, with the checksum of each file
    v3/releases/<user>-<name>-<version>     one release
    v3/modules?..., v3/modules/<user>-<name>
    v3/files/<user>-<name>-<version>.tar.gz

`pagination.next` and `file_uri` are paths from the Forge's root (/v3/...), which clients append to the URL that they
are configured with, whatever path that has: so documents are right below any prefix as they are, and stay
upstream's bytes.

Source: forgeapi.puppet.com (v3); Puppet's forge/repository.rb and the puppet_forge gem for how addresses are read.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from typing import BinaryIO

import ijson  # type: ignore[import-untyped]

from app.errors import NotFound
from app.formats.base import MOST_MEMBERS, PathRules, at_most, checksum, rule
from app.formats.json_strings import checked, plain
from app.formats.queries import canonical
from app.resource import Ask, Kind, Link, Reading, Repository, Resource

_RELEASES = frozenset(("", "results.item", "current_release", "results.item.current_release"))  # where one can be
_SAID = frozenset(("file_uri", "file_sha256"))
_TEXTS = frozenset((
    "ends_with", "endorsements", "exclude_fields", "include_fields", "module", "module_groups", "operatingsystem",
    "operatingsystemrelease", "owner", "pe_requirement", "puppet_requirement", "query", "slugs", "sort_by",
    "starts_with", "supported", "tag", "with_release_since", "exclude_premium", "hide_deprecated", "only_latest",
    "premium", "show_deleted", "with_html", "with_pdk", "with_plans", "with_readme", "with_tasks",
))  # fmt: skip
_NUMBERS = frozenset(("limit", "offset", "with_minimum_score"))
_FILE = re.compile(r"/?(v3/files/[0-9A-Za-z][0-9A-Za-z._+-]*)")


class _Puppet(PathRules):
    __slots__ = ()

    def resolve(self, repository: Repository, ask: Ask) -> Resource:
        """See Format; raises BadRequest for a query that says nothing. Documents are read before they are sent."""
        if "?" in ask.path:  # the key of a page would be that path's, too
            raise NotFound("the Forge has no such path", code="file_not_found")
        found = super().resolve(repository, ask)
        if repository.kind is not Kind.REMOTE or not found.index:
            return found
        query = canonical(ask.query, _TEXTS, _NUMBERS)
        key = f"{found.path}?{query}" if query else found.path
        return replace(found, key=key, query=query, listing=key, whole=True)

    def read(self, resource: Resource, body: BinaryIO) -> Reading:
        """See Format: the files of a page's releases, or of one."""
        checked(body)
        return Reading(tuple(at_most(MOST_MEMBERS, _files(plain(body)))))


def _files(body: BinaryIO) -> Iterator[Link]:
    """Of releases that say so; md5 proves nothing. What stands deeper is the word of a module's author alone."""
    said: dict[str, dict[str, str]] = {place: {} for place in _RELEASES}
    for place, event, value in ijson.parse(body):
        above, _, name = place.rpartition(".")
        if place == "results" and event not in ("start_array", "end_array"):
            raise ValueError("is no page of the Forge: its results are no list")
        if place == "results.item" and event not in ("start_map", "map_key", "end_map"):
            raise ValueError("is no page of the Forge: a result is no object")
        if event == "string" and name in _SAID and above in _RELEASES:
            said[above][name] = value
        elif event == "end_map" and place in _RELEASES:
            release, said[place] = said[place], {}
            found = _FILE.fullmatch(release.get("file_uri", ""))
            if found is not None and "file_sha256" in release:
                yield Link(found[1], checksum("sha256", release["file_sha256"]))


PUPPET = _Puppet(
    "puppet",
    (
        rule(r"v3/(?:modules|releases)(?:/[^/]+)?", "what the Forge has", own=True, index=True),
        rule(r"v3/files/[^/]+\.tar\.gz", "a module's release", immutable=True, listed=True),
    ),
)
