"""What is told of one resource, and what a look goes by; pure values."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from app.foresight import Row
from app.resource import Resource
from app.stores.base import Index
from app.stores.blobs import Blobs
from app.stores.catalog import Known
from app.stores.memory import Memory, Sighting
from app.upstream.breaker import Health


@dataclass(frozen=True, slots=True)
class Here:
    """The node that is asked: its stores, its clock, where a blob of a digest is, its address among the nodes, and
    how its fills process finds each remote's upstreams (None where that cannot be told)."""

    index: Index
    memory: Memory
    blobs: Blobs
    clock: Callable[[], float]
    place: Callable[[str], str]
    address: str = ""
    offline: bool = False
    health: Mapping[str, Sequence[Health]] | None = None


@dataclass(frozen=True, slots=True)
class Bytes:
    """Where the bytes of a digest are, or would be: `state` is present, missing, damaged or unknown."""

    digest: str
    place: str
    state: str
    size: int | None = None


@dataclass(frozen=True, slots=True)
class Download:
    """The lock under which it is downloaded; `running` is None where nobody can tell, `node` is the holder's."""

    lock: str
    running: bool | None = None
    node: str = ""


@dataclass(frozen=True, slots=True)
class Next:
    """When upstream is asked next, in unix seconds (None for never, or for unknown), and why then."""

    at: float | None
    why: str


@dataclass(frozen=True, slots=True)
class Member:
    """A source of a made document, or a member that a file may come from: whether it may be `asked`, and why."""

    repository: str
    key: str
    asked: bool
    because: str
    state: str = ""
    row: str = ""


@dataclass(frozen=True, slots=True)
class Explanation:
    """`source` is the store that knew; `unknown` says of a field why it could not be looked up."""

    resource: Resource
    known: Known
    source: str
    freshness: str
    bytes: Bytes | None
    download: Download | None
    sighting: Sighting | None
    health: Sequence[Health]
    next: Next
    row: Row
    unknown: Mapping[str, str] = field(default_factory=dict)
    members: tuple[Member, ...] = ()  # see explain_members.py
