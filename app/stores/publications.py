"""The seam of what is hosted: files published and withdrawn together, what indexes say of them, which are behind.

A *scope* is what one index covers (app/hosting/base.py). Every change of its files counts it up, in that change's
transaction; a built index says up to which count it tells. As in base.py: "broken" is errors.StoreDown.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Protocol

from app.resource import Entry


@dataclass(frozen=True, slots=True)
class Description:
    """What the index of `scope` has to know of a file; `also` are further scopes that change with it, `when_gone`
    those that change only when it goes."""

    scope: str
    about: str
    also: tuple[str, ...] = ()
    when_gone: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Publication:
    """One file to record; with `overwrite` it may take another's place. Its key is its path; `package` is what
    Format.named makes of that."""

    path: str
    entry: Entry
    overwrite: bool = False
    description: Description | None = None
    package: str = ""


@dataclass(frozen=True, slots=True)
class Changed:
    """What a change came to: `standing` is a path that is there already (or, of those to go, is not), `generated`
    where it is an index file's, `removed` that the repository is no more; then nothing was changed. `scopes` are the
    counts up to which their indexes are to be built."""

    standing: str | None = None
    generated: bool = False
    removed: bool = False
    scopes: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Described:
    """A published file with its description's text; `published` in unix seconds."""

    path: str
    size: int
    digest: str
    published: float
    about: str


@dataclass(frozen=True, slots=True)
class Child:
    """What is directly in a directory: a file, `used` as in Stored, or (no `entry`) a directory, whose name ends with
    a slash."""

    name: str
    entry: Entry | None = None
    used: float = field(default=0.0, compare=False)


@dataclass(frozen=True, slots=True)
class Indexed:
    """One index file to record; `lasting` as in app.hosting.base.Built."""

    path: str
    entry: Entry
    lasting: bool


class Publications(Protocol):
    """Hosted files and their indexes. Every method raises StoreDown."""

    def change(
        self,
        repository: str,
        new: Sequence[Publication],
        gone: Sequence[str],
        present: Callable[[str], bool],
        journal: Callable[[Mapping[str, int]], None],
        created: float = 0.0,
    ) -> Changed:
        """Record and drop hosted files, all of them or none, in the repository that was made at that time (0: the
        file's).

        A path is standing where it is published and not to be overwritten, where it is an index file, or where it
        is to go and is not there. `present` is asked of each digest, excluding its collection; where bytes are gone,
        their path is standing. The index gives every file its fence; `journal` is called with the fences by path
        when all is written and before that is committed: where it raises, nothing was changed.
        """

    def generated(self, repository: str, path: str) -> bool:
        """Whether that is an index file."""

    def holds(self, repositories: Sequence[str], package: str) -> bool:
        """Whether a file of that package is published in one of them."""

    def holding(self, repositories: Sequence[str], package: str) -> dict[str, tuple[int, bool]]:
        """Of each of them its epoch, and whether a file of that package is published in it."""

    def unnamed(self, repository: str, after: bytes, limit: int) -> list[tuple[bytes, str]]:
        """Published files without a package's name, as (the hash of its key, path), in the order of hashes."""

    def name(self, repository: str, packages: Mapping[bytes, str]) -> int:
        """Name the packages of those (by hash) that have no name; how many."""

    def forget(self, repository: str, path: str, fence: int) -> bool:
        """Drop a file, if its fence is not newer, without a word to the journal, which said so; True if it was
        there."""

    def describe(self, repository: str, path: str, fence: int, description: Description | None) -> bool:
        """Say this of a file that is published already, if its fence is that; its scopes count up. None: it stands in
        no index."""

    def undescribed(self, repository: str, after: str = "", limit: int = 1000) -> Sequence[tuple[str, Entry]]:
        """(path, entry) of files with no description that are no index, in the order of their paths, for paging."""

    def scope(self, repository: str, scope: str) -> tuple[int, int]:
        """(changed, built) of one scope; zeroes where there is none."""

    def unbuilt(self, after: tuple[str, str] = ("", ""), limit: int = 100) -> Sequence[tuple[str, str, int]]:
        """(repository, scope, changed) of indexes that are behind, in the order of the first two, for paging."""

    def touch(self, repository: str) -> int:
        """Count up every scope of a repository, so that all its indexes are built again; how many."""

    def items(
        self, repository: str, scope: str, after: str = ""
    ) -> AbstractContextManager[tuple[int, Iterator[Described]]]:
        """The count of a scope, and its files after the path `after` in the order of their paths, as of one moment;
        read a megabyte at a time, or one file of which more is said."""

    def described(self, repository: str, path: str) -> Described | None:
        """One file of which something is said, None where nothing is."""

    def scopes(self, repository: str, after: str = "", limit: int = 1000) -> Sequence[str]:
        """Scopes that have files, in the order of their bytes, for paging."""

    def children(self, repository: str, directory: str, after: str = "", limit: int = 1000) -> Sequence[Child]:
        """What is directly in a directory ("" is the root, others end with a slash), in the order of the names'
        bytes, for paging; as quick where it holds a million files as where it holds a million directories."""

    def switch(
        self,
        repository: str,
        scope: str,
        built: int,
        files: Sequence[Indexed],
        expires: float,
        now: float,
        present: Callable[[str], bool],
    ) -> Sequence[str] | None:
        """Record a scope's index files, in one transaction, as those of the count `built`; the paths that changed.

        Index files of the scope that are not among them go: lasting ones once `expires` (unix seconds) has come, as
        the first switch (or expire()) after that sees (`now`). None, and nothing is changed, where a newer count is
        built already or bytes are gone.
        """

    def expiring(self, now: float) -> Sequence[tuple[str, str]]:
        """(repository, scope) that have superseded index files whose time has come."""

    def expire(self, repository: str, scope: str, now: float) -> Sequence[str]:
        """Those files go, although nothing new took their place; their paths."""

    def unused(self, limit: int) -> frozenset[tuple[str, str, int]]:
        """(repository, scope, changed) of scopes with no file and no index file, which nobody has to build."""

    def forget_unused(self, scopes: Collection[tuple[str, str, int]]) -> int:
        """Forget these if they are as they were; how many. Their counts begin anew, so nobody may be building one of
        them: see that nothing has changed for long."""
