"""The packages of files that were published by a version that did not remember any, found by their paths.

Hourly, for while a fleet is upgraded a node of the older version still publishes, after all that was there is named.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable

from app.errors import StoreDown
from app.formats import FORMATS
from app.maintenance import alone
from app.resource import Format, Repository
from app.stores.catalog import Catalog

log = logging.getLogger(__name__)

BATCH = 1000  # files of one look
EVERY, SOON = 3600.0, 30.0  # seconds to the next time; where it failed


def name_published(catalog: Catalog, repositories: Iterable[Repository]) -> int:
    """Name the package of every hosted file that has none so far; of how many. Raises StoreDown."""
    with alone(catalog.memory, "naming of packages") as ours:
        return sum(_named(catalog, each) for each in repositories if _nameable(each)) if ours else 0


def until(catalog: Catalog, repositories: Callable[[], Iterable[Repository]], wait: Callable[[float], bool]) -> None:
    """name_published() now and hourly, soon again where that failed; until `wait` says that it is time to stop."""
    while not wait(EVERY if attempt(catalog, repositories) else SOON):
        pass


def attempt(catalog: Catalog, repositories: Callable[[], Iterable[Repository]]) -> bool:
    """name_published(); False where that failed."""
    try:
        found = name_published(catalog, repositories())
    except StoreDown as error:
        log.warning("the packages of hosted files are not all known: %s", error.message)
        return False
    if found:
        log.info("%d hosted files have the name of their package now", found)
    return True


def _nameable(repository: Repository) -> bool:
    """Whether its format has names of packages at all: else every file would be read hourly for nothing."""
    return type(FORMATS[repository.package]).named is not Format.named


def _named(catalog: Catalog, repository: Repository) -> int:
    named, hosted, done, after = FORMATS[repository.package].named, catalog.index.hosted, 0, b""
    while batch := hosted.unnamed(repository.name, after, BATCH):
        after = batch[-1][0]
        packages = {key_hash: package for key_hash, path in batch if (package := named(path))}
        if packages:
            done += catalog.name(repository.name, packages)
    return done
