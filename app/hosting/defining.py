"""How a local repository is made, changed and removed through the API; who may is asked before.

define     a name that nobody has    --> accounts
redefine   anything but its package  --> accounts; what was signed is signed again, where a key changed
remove     accounts, with the files  --> the journal, so that no restore brings them back --> caches in front
"""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from marshmallow import ValidationError

from app import journal, maintenance
from app.errors import Conflict, Forbidden, NotFound, StoreDown
from app.repositories.directory import Directory
from app.repositories.made import checked
from app.resource import Repository
from app.shelf import Shelf
from app.stores.accounts import AlreadyTaken, Defined


@dataclass(frozen=True, slots=True)
class Defining:
    """One per process. Every method raises StoreDown, and ValidationError with messages by key."""

    directory: Directory
    shelf: Shelf

    def define(
        self, name: str, project: str, definition: Mapping[str, Any], *, administrator: bool = False
    ) -> Repository:
        """Make one; Conflict "name_taken", Forbidden "administrators_only" (see _refuse_shadow)."""
        found = checked(name, project, definition)
        if name in self.directory.names:
            raise _taken(name)
        if not administrator:
            self._refuse_shadow(found)
            self._refuse_left_behind(name)
        try:
            self.directory.accounts.define(Defined(name, project, dict(definition)))
        except AlreadyTaken:
            raise _taken(name) from None
        return found

    def redefine(self, name: str, changes: Mapping[str, Any]) -> Repository:
        """Change these keys; None takes one away. Conflict "defined_in_file", NotFound."""
        before = self._made(name)
        definition = {key: value for key, value in {**before.definition, **changes}.items() if value is not None}
        found, was = checked(name, before.project, definition), self.directory.get(name)
        _refuse_other(found, was)
        if self.directory.accounts.redefine(name, definition) is None:
            raise _unknown()
        if was is not None and was.signing != found.signing:
            self.shelf.catalog.index.hosted.touch(name)
        if was is not None and was.access != found.access:
            with contextlib.suppress(StoreDown):  # then no edge is told anything: its lease is soon over
                self.shelf.catalog.memory.edges.purge([name])
        return found

    def remove(self, name: str) -> None:
        """Remove one with everything in it; when this returns, no cache in front serves it any more."""
        self._made(name)
        if not self.directory.accounts.undefine(name):
            raise _unknown()
        index, blobs = self.shelf.catalog.index, self.shelf.blobs
        journal.removed(blobs, index.next_note(), name, index.next_fence())
        maintenance.flush(self.shelf.catalog, [name], "", expire=False)

    def _made(self, name: str) -> Defined:
        if name in self.directory.filed.names:
            raise Conflict(f"{name} is defined in remotes.json, and changed there", code="defined_in_file")
        if (found := self.directory.made(name)) is None:
            raise _unknown()
        return found

    def _refuse_shadow(self, found: Repository) -> None:
        """/v2/<name>/... means the repository <name> before it means an image of the default remote: whoever may
        choose any name could take the place of a publisher upstream."""
        remotes = self.directory.remotes.values()
        if found.package == "docker" and any(each.default or each.hosts for each in remotes):
            reason = "here clients may leave a remote's name out, so administrators choose the names for images"
            raise Forbidden(reason, code="administrators_only")

    def _refuse_left_behind(self, name: str) -> None:
        """Entries of a repository of that name that remotes.json had, or a restore brought back, are not theirs."""
        if self.shelf.catalog.index.listing(name, limit=1):
            raise _taken(name)


def _refuse_other(found: Repository, was: Repository | None) -> None:
    if was is None or (found.package, found.repodata_depth) == (was.package, was.repodata_depth):
        return
    key = "package" if found.package != was.package else "repodata_depth"
    raise ValidationError({key: ["what is published was published for this one: make another repository"]})


def _taken(name: str) -> Conflict:
    return Conflict(f"the name {name} is taken", code="name_taken")


def _unknown() -> NotFound:
    return NotFound("no such repository", code="unknown_repository")
