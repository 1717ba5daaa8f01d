"""Every repository by name: those of remotes.json, and the local ones that were made through the API.

a name of the file                 is the file's, without a question, whatever the database says
another, nothing changed since     what was read last: whether something changed is one round trip to Redis
another, something changed         what Postgres says now
Redis down                         what Postgres says, read again after AGE; that down too: what was read last
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from marshmallow import ValidationError

from app.errors import StoreDown
from app.repositories import Repositories
from app.repositories.made import standing
from app.resource import Repository
from app.stores.accounts import Accounts, AccountsMemory, Defined

log = logging.getLogger(__name__)

AGE = 2.0  # seconds for which nobody asks again, while Redis is down
NEVER = float("-inf")
OUTDATED = -1  # no count of changes
LONGEST = 30.0  # seconds after which Postgres is asked in any case: who changed it may not have reached Redis


@dataclass(frozen=True, slots=True)
class _Read:
    """What Postgres said at `at`, when the count of changes was `count`; None where nobody could say."""

    made: Mapping[str, Defined] = field(default_factory=dict)
    repositories: Mapping[str, Repository] = field(default_factory=dict)
    count: int | None = None
    at: float = NEVER


class Directory:
    """One per process, for many threads; what remotes.json says of all repositories is `filed`."""

    def __init__(
        self,
        filed: Repositories,
        accounts: Accounts,
        memory: AccountsMemory,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.filed = filed
        self.accounts, self._memory, self._clock = accounts, memory, clock
        self._reading = threading.Lock()
        self._read = _Read()
        self._locals: tuple[Mapping[str, Repository], Mapping[str, Repository]] = ({}, {})  # of which made ones; all
        self._failed = NEVER  # when Postgres was last found to be down

    @property
    def sha256(self) -> str:
        """Of the file's effective configuration, in hex: equal on nodes that serve the same."""
        return self.filed.sha256

    def effective(self) -> dict[str, dict[str, dict[str, Any]]]:
        """What remotes.json says of its repositories, as GET /config shows it."""
        return self.filed.effective()

    @property
    def remotes(self) -> Mapping[str, Repository]:
        return self.filed.remotes

    @property
    def virtuals(self) -> Mapping[str, Repository]:
        return self.filed.virtuals

    @property
    def locals(self) -> Mapping[str, Repository]:
        """Of both, the file's first. Raises StoreDown."""
        made, (of, every) = self._now().repositories, self._locals
        if of is not made:
            every = {**self.filed.locals, **{name: made[name] for name in sorted(made.keys() - self.filed.names)}}
            self._locals = made, every
        return every

    @property
    def listed(self) -> Mapping[str, Repository]:
        """As locals, for pages that go on while Postgres is down: the file's alone where nothing was ever read."""
        try:
            return self.locals
        except StoreDown:
            return self.filed.locals

    @property
    def names(self) -> frozenset[str]:
        """Of every kind. Raises StoreDown."""
        return self.filed.names | self._now().made.keys()

    def get(self, name: str) -> Repository | None:
        """The repository of that name, whatever its kind, a virtual with its members. Raises StoreDown where nobody
        can say."""
        found = self.filed.get(name) or self._now().repositories.get(name)
        return self._whole(found) if found is not None and found.members else found

    def _whole(self, virtual: Repository) -> Repository:
        return replace(virtual, parts=tuple(part for name in virtual.members if (part := self.get(name)) is not None))

    def known(self, name: str) -> Repository | None:
        """As get(), by what was read last: for those who only count."""
        return self.filed.get(name) or self._read.repositories.get(name)

    def made(self, name: str) -> Defined | None:
        """What was defined through the API; None for a name of the file too. Raises StoreDown."""
        return None if name in self.filed.names else self._now().made.get(name)

    def all_made(self) -> Mapping[str, Defined]:
        """Every definition that counts, by name. Raises StoreDown."""
        made = self._now().made
        return {name: made[name] for name in sorted(made.keys() - self.filed.names)}

    def distrust(self) -> None:
        """Postgres says something else than what was read last: it is asked the next time."""
        with self._reading:
            self._read = replace(self._read, count=OUTDATED, at=min(self._read.at, self._clock() - AGE))

    def close(self) -> None:
        self.accounts.close()
        self._memory.close()

    def _now(self) -> _Read:
        count = self._count()
        if self._is_current(self._read, count):
            return self._read
        with self._reading:
            if not self._is_current(self._read, count):
                self._read_again(count)
            return self._read

    def _is_current(self, read: _Read, count: int | None) -> bool:
        age = self._clock() - read.at
        return age < AGE if count is None else read.count == count and age < LONGEST

    def _count(self) -> int | None:
        """How often accounts were changed; None while Redis, which tells it in one round trip, is down."""
        try:
            _, count = self._memory.recall("repositories", "")
            if count is None:
                count = self.accounts.changes()
                self._memory.outdate(count)
        except StoreDown:
            return None
        return count

    def _read_again(self, count: int | None) -> None:
        before, now = self._read, self._clock()
        if before.at > NEVER and now - self._failed < AGE:
            return
        try:
            made = {each.name: each for each in self.accounts.defined()}
        except StoreDown as error:
            self._failed = now
            if before.at == NEVER:
                raise
            log.warning("repositories made through the API are those of before: %s", error.message)
            return
        same = {name for name, each in made.items() if before.made.get(name) == each}
        kept = {name: found for name, found in before.repositories.items() if name in same}
        new = {name: found for name in made.keys() - same if (found := _understood(made[name])) is not None}
        for name in new.keys() & self.filed.names:
            log.error("%s of remotes.json hides a repository of that name that was made through the API", name)
        self._read = _Read(made, kept | new, count, now)


def _understood(defined: Defined) -> Repository | None:
    """None for what another version wrote, and this one cannot serve."""
    try:
        return standing(defined)
    except ValidationError as error:
        log.error("%s, made through the API, is not served: %s", defined.name, error)
        return None
