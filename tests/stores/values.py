"""Values that tests of the stores share."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Protocol

from app.resource import Entry
from app.stores.publications import Changed, Description, Publication

Journal = Callable[[Mapping[str, int]], None]


def digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def entry(text: str = "a", fence: int = 1) -> Entry:
    """An entry with every field set, its times with microseconds."""
    return Entry(
        digest=digest(text),
        size=2**40 + len(text),
        content_type="text/x-ünusual; charset=utf-8",
        etag='W/"é"',
        last_modified="Sat, 21 Nov 2026 03:00:00 GMT",
        fetched=1795230000.123456,
        checked=1795230001.654321,
        fence=fence,
        retry_at=1795230002.000001,
        failures=3,
        gone=404,
        until=1795316400.25,
        kept="Docker-Content-Digest: sha256:ü\nLink: <x>",
    )


def unnoted(_: Mapping[str, int]) -> None:
    """A journal that keeps nothing."""


class Changing(Protocol):
    """Index.hosted, or a Catalog."""

    def change(
        self,
        repository: str,
        new: Sequence[Publication],
        gone: Sequence[str],
        present: Callable[[str], bool],
        journal: Journal,
    ) -> Changed:
        """See Publications."""


def publish(
    hosted: Changing,
    repository: str,
    path: str,
    what: Entry | None = None,
    overwrite: bool = True,
    *,
    description: Description | None = None,
    present: bool = True,
    journal: Journal = unnoted,
) -> bool:
    """Publish one file; False where something stands in the way."""
    new = Publication(path, what or entry(path), overwrite, description)
    return hosted.change(repository, [new], [], lambda _: present, journal).standing is None


def withdraw(hosted: Changing, repository: str, path: str, journal: Journal = unnoted) -> bool:
    """Withdraw one file; False where it is not there."""
    return hosted.change(repository, [], [path], lambda _: True, journal).standing is None


def at_once(works: Iterable[Callable[[], object]]) -> None:
    """Run all in threads of their own; the first failure is raised again."""
    failures: list[BaseException] = []

    def run(work: Callable[[], object]) -> None:
        try:
            work()
        except BaseException as failure:
            failures.append(failure)

    threads = [threading.Thread(target=run, args=(work,)) for work in works]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if failures:
        raise failures[0]
