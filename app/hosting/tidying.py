"""What no publisher deletes and nothing needs: withdrawn before the garbage is collected."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterable
from pathlib import Path

from app.errors import ArtifactError
from app.hosting.docker_unused import withdraw_unused
from app.resource import Repository
from app.shelf import Shelf
from app.stores.uploads import LIFE

log = logging.getLogger(__name__)


def tidy(shelf: Shelf, spools: Path, repositories: Iterable[Repository]) -> int:
    """Forget uploads that nobody went on with for a day, and withdraw layers that no image names; how many layers.

    What cannot be tidied now is left for the next time. Raises StoreDown where the index does not answer.
    """
    shelf.catalog.index.uploads.expire(time.time() - LIFE)
    return sum(_tidied(shelf, spools, each) for each in repositories if each.package == "docker")


def _tidied(shelf: Shelf, spools: Path, repository: Repository) -> int:
    try:
        return withdraw_unused(shelf, spools, repository)
    except (ArtifactError, ValueError) as error:
        log.warning("layers of %s that no image names stay for now: %s", repository.name, error)
        return 0
