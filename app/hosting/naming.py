"""The packages of files that were published by a version that did not remember any, found by their paths."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable

from app.errors import StoreDown
from app.formats import FORMATS
from app.maintenance import alone
from app.resource import Repository
from app.stores.catalog import Catalog

log = logging.getLogger(__name__)

BATCH = 1000  # files of one look


def name_published(catalog: Catalog, repositories: Iterable[Repository]) -> int:
    """Name the package of every hosted file that has none so far; of how many. Raises StoreDown."""
    with alone(catalog.memory, "naming of packages") as ours:
        return sum(_named(catalog, each) for each in repositories) if ours else 0


def attempt(catalog: Catalog, repositories: Callable[[], Iterable[Repository]]) -> None:
    """name_published(), for a thread of its own: what fails is done at the next start."""
    try:
        found = name_published(catalog, repositories())
        if found:
            log.info("%d hosted files have the name of their package now", found)
    except StoreDown as error:
        log.warning("the packages of hosted files are not all known: %s", error.message)


def _named(catalog: Catalog, repository: Repository) -> int:
    named, hosted, done, after = FORMATS[repository.package].named, catalog.index.hosted, 0, b""
    while batch := hosted.unnamed(repository.name, after, BATCH):
        after = batch[-1][0]
        packages = {key_hash: package for key_hash, path in batch if (package := named(path))}
        if packages:
            done += catalog.name(repository.name, packages)
    return done
