"""How a local repository is made, changed and removed through the API; who may is asked before.

define     a name that nobody has    --> accounts
redefine   anything but its package  --> accounts; what was signed is signed again, where a key changed
remove     the journal, so that no restore brings files back, and accounts, with them --> caches in front
"""

from __future__ import annotations

import contextlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from marshmallow import ValidationError

from app import journal, maintenance
from app.errors import Conflict, Forbidden, NotFound, StoreDown, Unavailable
from app.repositories.directory import Directory
from app.repositories.made import checked
from app.resource import Repository
from app.shelf import Shelf
from app.stores.accounts import AlreadyTaken, Defined

TRIES = 5  # of a change that others overtake


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
        if found.package == "docker":  # what remotes answered under /v2/<name>/... is theirs no more
            self._purge([each.name for each in self._nameless()])
        return found

    def redefine(self, name: str, changes: Mapping[str, Any]) -> Repository:
        """Change these keys; None takes one away. Conflict "defined_in_file", NotFound, Unavailable (see TRIES)."""
        before = first = self._made(name)
        for _ in range(TRIES):
            if (before.project, before.created) != (first.project, first.created):  # another one of that name
                raise _unknown()
            if (found := self._redefined(before, changes)) is not None:
                return found
            self.directory.distrust()
            before = self._made(name)
        raise Unavailable("others are changing this repository", retry_after=1)

    def _redefined(self, before: Defined, changes: Mapping[str, Any]) -> Repository | None:
        """None where it is not as `before` says any more."""
        definition = {key: value for key, value in {**before.definition, **changes}.items() if value is not None}
        found, was = checked(before.name, before.project, definition), self.directory.get(before.name)
        _refuse_other(found, was)
        resigned = was is None or was.signing != found.signing
        if self.directory.accounts.redefine(before, definition, rebuild=resigned) is None:
            return None
        if was is None or was.access != found.access:
            self._purge([before.name])
        return found

    def remove(self, name: str) -> None:
        """Remove one with everything in it; when this returns, no cache in front serves it any more."""
        self._made(name)
        number = self.shelf.catalog.index.next_note()
        if not self.directory.accounts.undefine(name, partial(journal.removed, self.shelf.blobs, number, name)):
            raise _unknown()
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
        if found.package == "docker" and (others := self._nameless()):
            names = ", ".join(each.name for each in others)
            reason = f"images of {names} are had without that name (default, hosts, serves): here only administrators"
            reason += " make repositories of images"
            raise Forbidden(reason, code="administrators_only")

    def _nameless(self) -> Sequence[Repository]:
        """Remotes that answer without their name."""
        return [each for each in self.directory.remotes.values() if each.default or each.hosts or each.serves]

    def _purge(self, names: Sequence[str]) -> None:
        with contextlib.suppress(StoreDown):  # then no edge is told anything: its lease is soon over
            self.shelf.catalog.memory.edges.purge(names)

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
