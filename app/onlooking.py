"""Stores to look through: what a request would write is kept from them, and who was asked is told."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from app.resource import Entry
from app.stores.base import Index
from app.stores.memory import Memory, Recollection


class Onlooker:
    """A memory that nothing is written to; told the epochs, it answers as if it had kept them."""

    def __init__(self, memory: Memory) -> None:
        self._memory = memory
        self._told: dict[str, int] | None = None

    def __getattr__(self, name: str) -> Any:
        return getattr(self._memory, name)

    @property
    def distrusted(self) -> bool:
        return self._memory.distrusted and self._told is None

    def recall(self, repository: str, key: str) -> Recollection:
        return self.recall_all(((repository, key),))[0]

    def recall_all(self, keys: Sequence[tuple[str, str]]) -> list[Recollection]:
        found = self._memory.recall_all(keys)
        return [self._as_told(name, each) for (name, _), each in zip(keys, found, strict=True)]

    def _as_told(self, repository: str, found: Recollection) -> Recollection:
        told = (self._told or {}).get(repository, -1)
        if told > (-1 if found.epoch is None else found.epoch):
            return replace(found, epoch=told, negative=0, missed=0)
        return found

    def raise_epochs(self, epochs: dict[str, int]) -> None:
        self._told = epochs

    def remember(self, *_: object) -> None:
        """The copy is not refreshed."""

    def forget(self, *_: object) -> None:
        """An outlived copy stays."""


class Overheard:
    """An index that tells whether it was asked for an entry, and whether it answered."""

    def __init__(self, index: Index) -> None:
        self._index = index
        self.answered: bool | None = None

    def __getattr__(self, name: str) -> Any:
        return getattr(self._index, name)

    def find(self, repository: str, key: str) -> tuple[int, Entry | None]:
        self.answered = False
        found = self._index.find(repository, key)
        self.answered = True
        return found

    def find_each(self, keys: Sequence[tuple[str, str]]) -> list[tuple[int, Entry | None]]:
        self.answered = False
        found = self._index.find_each(keys)
        self.answered = True
        return found
