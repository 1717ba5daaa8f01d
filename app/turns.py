"""Whose turn it is to visit upstream for a key: the fleet's lock, and what the others do meanwhile.

lock      what the others do
--------  ------------------------------------------------------------------------------------------------
won       visit upstream
lost      with an old copy: serve it, unless it is just about to be replaced
lost      without: follow the body at the node that downloads it, or find it recorded, or take the lock of the dead
lost      and not one byte of it for ELSEWHERE seconds: visit upstream beside that
no Redis  visit upstream; the fills process joins what runs on this node
"""

from __future__ import annotations

import contextlib
import logging
import time
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from app import metrics
from app.errors import StoreDown, UpstreamError
from app.fills.fill import Fill
from app.fills.receive import follow
from app.resource import Entry, Resource
from app.shelf import Shelf
from app.stores.catalog import Known
from app.stores.memory import Held, Holder, Memory
from app.upstream import Download
from app.upstream.peers import Peers

log = logging.getLogger(__name__)

HELD = 9.0  # seconds to wait for another node's new set: what its commit may take
COMMIT = 20.0  # seconds in which a set is recorded once nobody has been given the old one for a while
ELSEWHERE = 10.0  # seconds to wait for another node's fill before fetching beside it
MAKING = 120.0  # seconds to wait for a document that it makes, which nobody can follow


class Unlocked:
    """The null lock: Redis is down, or another node has it for too long; a fence still orders commits."""

    token = ""

    def release(self) -> None:
        """Nothing is held."""


@dataclass(frozen=True, slots=True)
class Followed:
    """A body that another node downloads, and the lock that it holds meanwhile."""

    holder: Holder
    download: Download


@dataclass(frozen=True, slots=True)
class Turns:
    """One per process, for many threads."""

    shelf: Shelf
    memory: Memory
    spools: Path
    peers: Peers = field(default_factory=Peers)

    def lock(self, name: str) -> Held | None:
        """The fleet's lock of that name, or None where someone has it."""
        try:
            return self.memory.lock(name)
        except StoreDown:
            return Unlocked()

    def turn(self, fill: Fill, resource: Resource, known: Known) -> Held | None:
        """The lock of the key, once it is ours; None where the fill was settled by what another node stored."""
        held = self.lock(fill.name)
        if held is not None:
            return held
        if known.entry is not None:
            fill.settle(self._unheld(fill, resource, known), "UPDATING")
            return None
        with metrics.lock_wait(resource.repository.name):
            found = self._await_other(fill, resource)
        if isinstance(found, Followed):
            self._follow(fill, resource, found)
            return None
        return found

    def hold(self, fill: Fill, quiet: float) -> None:
        """Give the old copy to nobody more, on no node; return when it was given to nobody for `quiet` seconds."""
        if self.peers.address:
            fill.shown = time.monotonic()  # by another node, perhaps
            with contextlib.suppress(StoreDown):
                self.memory.hold(fill.name, quiet + COMMIT)
        fill.hold(quiet)

    def unhold(self, fill: Fill) -> None:
        """It has changed, or will not."""
        if fill.held and self.peers.address:
            with contextlib.suppress(StoreDown):
                self.memory.hold(fill.name, 0)

    def _unheld(self, fill: Fill, resource: Resource, known: Known) -> Entry | None:
        """The old copy, unless another node is about to replace it: then the new one, if it comes soon."""
        if not resource.switched or not self._held(fill.name):
            return known.entry
        fill.withhold()
        deadline = time.monotonic() + HELD
        while time.monotonic() < deadline and self._held(fill.name):
            time.sleep(0.1)
        return self.shelf.look_again(resource, known).entry or known.entry

    def _held(self, name: str) -> bool:
        try:
            return bool(self.peers.address) and self.memory.held(name)
        except StoreDown:
            return False

    def _await_other(self, fill: Fill, resource: Resource) -> Held | Followed | None:
        """The lock, or a body to follow; None where the fill was settled by what the other node stored."""
        deadline = time.monotonic() + (MAKING if resource.sources else ELSEWHERE)
        while time.monotonic() < deadline:
            if (held := self.lock(fill.name)) is not None:
                return held
            again = self.shelf.look_again(resource, Known(epoch=0, entry=None))
            if again.entry is not None:
                fill.settle(again.entry, "HIT")
                return None
            stall = resource.repository.upstream.stall_timeout
            if (followed := self._followed(fill.name, stall)) is not None:
                return followed
            time.sleep(0.1)
        log.warning("%s is being filled elsewhere without an end; fetching it beside that", fill.name)
        return Unlocked()

    def _followed(self, name: str, stall: float) -> Followed | None:
        """What the node that has the lock downloads, where it has a body to read."""
        try:
            holder = self.memory.holder(name)
            download = self.peers.open(holder, name, stall) if holder is not None else None
        except (StoreDown, UpstreamError) as error:
            log.info("%s cannot be followed: %s", name, error.message)
            return None
        return Followed(holder, download) if holder and download else None

    def _follow(self, fill: Fill, resource: Resource, followed: Followed) -> None:
        settle = partial(self._recorded_elsewhere, fill, resource, followed.holder)
        with followed.download, metrics.peer_read():
            follow(fill, resource, followed.download, self.spools, settle)

    def _recorded_elsewhere(self, fill: Fill, resource: Resource, holder: Holder, digest: str) -> None:
        """Settle once the other node has recorded what was followed, or has given up its lock without."""
        while True:
            held = self._holds(holder, fill.name)
            entry = self.shelf.look_again(resource, Known(epoch=0, entry=None)).entry
            if entry is not None and entry.digest == digest:
                return fill.settle(entry)
            if not held:
                return fill.settle(None)
            time.sleep(0.1)

    def _holds(self, holder: Holder, name: str) -> bool:
        try:
            return self.memory.holder(name) == holder
        except StoreDown:
            return False
