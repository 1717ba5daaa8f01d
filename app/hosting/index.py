"""How indexes follow what is published: one build for all who wait, switched as a whole, never an older one later.

    published --> its count goes up --> whoever has the lock builds from a snapshot --> switched with that count

The lock only saves work: a build that is overtaken finds a newer count and changes nothing. What a killed process
left behind (built < changed) the next publication builds, or sweeping.py, within seconds.
"""

from __future__ import annotations

import hashlib
import logging
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from email.utils import formatdate
from pathlib import Path
from typing import BinaryIO
from weakref import WeakKeyDictionary, WeakValueDictionary

from app.errors import ArtifactError, BadRequest, NotFound, StoreDown, Unprocessable
from app.fills.spool import noted
from app.hosting import host
from app.hosting.base import Build, Built, Item
from app.hosting.publish import modified
from app.hosting.upload import Upload
from app.resource import Entry, Repository
from app.shelf import Shelf
from app.stores.base import Stored
from app.stores.memory import Held
from app.stores.publications import Child, Described, Description, Indexed

log = logging.getLogger(__name__)

PATIENCE = 60.0  # seconds that a publication waits for its index
BUILDS = 2  # at one time in a process: each holds connections to the index
LOOK, SLOWEST = 0.02, 0.2  # seconds between two looks at another's build: at first, at most
PIECE = 1 << 20


@dataclass(frozen=True, slots=True)
class Inside:
    """Contents of one repository, from the stores."""

    shelf: Shelf
    repository: str

    def find(self, path: str) -> Entry | None:
        return self.shelf.catalog.find(self.repository, path).entry

    def open(self, path: str) -> BinaryIO:
        entry = self.find(path)
        served = self.shelf.take(entry, "") if entry is not None else None
        if served is None:
            raise NotFound("no such file", code="file_not_found")
        return served.file

    def items(self, scope: str, after: str = "") -> Iterator[Item]:
        with self.shelf.catalog.index.hosted.items(self.repository, scope, after) as (_, found):
            yield from map(_item, found)

    def item(self, path: str) -> Item | None:
        found = self.shelf.catalog.index.hosted.described(self.repository, path)
        return _item(found) if found is not None else None

    def scopes(self, after: str = "", limit: int = 1000) -> Sequence[str]:
        return self.shelf.catalog.index.hosted.scopes(self.repository, after, limit)

    def listing(self, prefix: str = "", after: str = "", limit: int = 1000) -> Sequence[Stored]:
        return self.shelf.catalog.index.listing(self.repository, prefix, after, limit)

    def children(self, directory: str, after: str = "", limit: int = 1000) -> Sequence[Child]:
        return self.shelf.catalog.index.hosted.children(self.repository, directory, after, limit)


class Turns:
    """Who builds in this process: of many that wait for one index, one looks after it."""

    def __init__(self) -> None:
        self.builds = threading.BoundedSemaphore(BUILDS)
        self._locks: WeakValueDictionary[tuple[str, str], Lock] = WeakValueDictionary()
        self._lock = threading.Lock()

    def of(self, repository: str, scope: str) -> Lock:
        with self._lock:
            return self._locks.setdefault((repository, scope), Lock())


class Lock:
    """A lock that is forgotten with its last holder."""

    def __init__(self) -> None:
        self._lock = threading.Lock()

    @contextmanager
    def held(self, seconds: float) -> Iterator[bool]:
        """Whether it was to be had within so many seconds."""
        held = self._lock.acquire(timeout=seconds)
        try:
            yield held
        finally:
            if held:
                self._lock.release()


_turns: WeakKeyDictionary[Shelf, Turns] = WeakKeyDictionary()  # one for each process's shelf


class Indexer:
    """Builds the indexes of local repositories, for many threads; all of one shelf wait for each other."""

    def __init__(self, shelf: Shelf, spools: Path) -> None:
        self.shelf = shelf
        self.spools = spools
        self.defects = 0  # files that could not be described, though they should have been
        self._turns = _turns.setdefault(shelf, Turns())

    def settle(self, repository: Repository, scopes: Mapping[str, int]) -> bool:
        """Return when the indexes tell of these counts; False where one does not by PATIENCE, or cannot be built.

        One that lists others ("" of "demo", a directory of one below it) comes after them: what it names is there.
        """
        try:
            return all(self._settled(repository, scope, scopes[scope]) for scope in sorted(scopes, reverse=True))
        except ArtifactError as error:
            log.error("the index of %s is behind: %s", repository.name, error.message)
        except Exception:
            log.exception("the index of %s is behind, by a defect", repository.name)
        return False

    def describe(self, repository: Repository) -> int:
        """Have the host describe every file that no index knows of (after a restore), and mark every index as one to
        be built again; how many files. Raises StoreDown."""
        hosted, after = self.shelf.catalog.index.hosted, ""
        done = 0
        while host(repository.package).indexed and (batch := hosted.undescribed(repository.name, after)):
            for path, entry in batch:
                after = path
                done += self._describe(repository, path, entry)
        hosted.touch(repository.name)
        return done

    def _describe(self, repository: Repository, path: str, entry: Entry) -> int:
        served = self.shelf.take(entry, "") if host(repository.package).describes(path) else None
        if served is None:
            return 0
        with served.file, Upload(self.spools, repository.name) as copy:
            while chunk := served.file.read(PIECE):
                copy.write(chunk)
            try:
                found = host(repository.package).describe_in(repository, path, copy.path)
            except (BadRequest, Unprocessable) as error:
                log.error("%s of %s stands in no index: %s", path, repository.name, error.message)
                return 0
            except Exception:  # of one file, which keeps no other one out of its index
                log.exception("%s of %s stands in no index, by a defect", path, repository.name)
                self.defects += 1
                return 0
        if found is None:
            return 0
        said = Description(found.scope, found.about, found.also)
        return int(self.shelf.catalog.index.hosted.describe(repository.name, path, entry.fence, said))

    # -- one index ----------------------------------------------------------------------------------------

    def _settled(self, repository: Repository, scope: str, wanted: int) -> bool:
        deadline = time.monotonic() + PATIENCE
        with self._turns.of(repository.name, scope).held(PATIENCE) as ours:
            return ours and self._settled_by(deadline, repository, scope, wanted)

    def _settled_by(self, deadline: float, repository: Repository, scope: str, wanted: int) -> bool:
        name, look = f"index of {repository.name} {scope}", LOOK
        while time.monotonic() < deadline:
            changed, built = self.shelf.catalog.index.hosted.scope(repository.name, scope)
            if built >= wanted:
                return True
            if not changed:  # its repository was removed meanwhile
                return False
            if self._tried(name, repository, scope, wanted):
                continue
            time.sleep(look)
            look = min(2 * look, SLOWEST)
        return False

    def _tried(self, name: str, repository: Repository, scope: str, wanted: int) -> bool:
        """Whether it was built by us or is built already; not where another has its turn, or bytes of it are gone."""
        held = self._lock(name)
        if held is None:
            return False
        try:
            with self._turns.builds, noted(self.spools, name, held.token):
                if self.shelf.catalog.index.hosted.scope(repository.name, scope)[1] >= wanted:
                    return True
                return self._build(repository, scope)
        finally:
            held.release()

    def _lock(self, name: str) -> Held | None:
        try:
            return self.shelf.catalog.memory.lock(name)
        except StoreDown:
            return _Unlocked()

    def _build(self, repository: Repository, scope: str) -> bool:
        """False where the switch changed nothing."""
        catalog, inside = self.shelf.catalog, Inside(self.shelf, repository.name)
        with ExitStack() as kept, catalog.index.hosted.items(repository.name, scope) as (count, found):

            def scratch() -> Path:
                return kept.enter_context(Upload(self.spools, repository.name)).path

            build = Build(repository, scope, map(_item, found), inside, scratch, self.shelf.clock())
            known: set[str] = set()
            files = [self._stored(repository, each, known) for each in host(repository.package).build(build)]
        return catalog.switch_index(repository.name, scope, count, files, self.shelf.blobs.exists)

    def _stored(self, repository: Repository, built: Built, known: set[str]) -> Indexed:
        digest, size = self._kept(repository, built.body, known)
        now = self.shelf.clock()
        dated = formatdate(modified(self.shelf, repository, built.path, digest, now), usegmt=True)
        entry = Entry(digest, size, built.content_type, f'"{digest}"', dated, now, now, kept=built.kept)
        return Indexed(built.path, entry, built.lasting)

    def _kept(self, repository: Repository, body: bytes | Path, known: set[str]) -> tuple[str, int]:
        """The digest and the size of a body that is stored now. `known` are the digests of this build so far: there
        may be hundreds of empty lists, and one is written."""
        if isinstance(body, bytes) and (digest := hashlib.sha256(body).hexdigest()) in known:
            return digest, len(body)
        with Upload(self.spools, repository.name) as upload:
            if isinstance(body, bytes):
                upload.write(body)
            else:
                with body.open("rb") as file:
                    while chunk := file.read(PIECE):
                        upload.write(chunk)
            known.add(digest := upload.finish())
            self.shelf.blobs.adopt(upload.path, digest)
            return digest, upload.size


def _item(found: Described) -> Item:
    return Item(found.path, found.size, found.digest, found.published, found.about)


class _Unlocked:
    """Redis is down: two may build the same, and one is recorded."""

    token = ""

    def release(self) -> None:
        """Nothing is held."""
