"""What a GET would do now: the rows of cache.py's state table as pure rules over what was found.

Where upstream is asked, its answer decides, so a row has one case for each answer that makes a difference.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace

from app.errors import (
    ArtifactError,
    StoreDown,
    Unavailable,
    UpstreamError,
    UpstreamLied,
    UpstreamTimeout,
    UpstreamUnreachable,
)
from app.fetch import no_such, told_before
from app.resource import Resource
from app.stores.catalog import Known

ALWAYS = "always"
FAILS = "upstream cannot be reached, is late, answers 5xx or 429, or sends a wrong body"
FAILURES = {
    "upstream cannot be reached": UpstreamUnreachable("upstream cannot be reached"),
    "upstream is late": UpstreamTimeout("upstream is late"),
    "upstream answers 5xx": UpstreamError("upstream answers 5xx"),
    "upstream answers 429": UpstreamError("upstream answers 429", upstream_status=429),
    "upstream sends a wrong body": UpstreamLied("upstream sends a wrong body"),
}


@dataclass(frozen=True, slots=True)
class Case:
    """One way it can end: served with this X-Cache, or refused with that error; `asked` where upstream is."""

    when: str
    x_cache: str = ""
    error: ArtifactError | None = None
    asked: bool = False


@dataclass(frozen=True, slots=True)
class Row:
    """A row of the state table, and its cases."""

    name: str
    cases: tuple[Case, ...]

    @property
    def asked(self) -> bool:
        """Whether upstream may be asked."""
        return any(case.asked for case in self.cases)

    @property
    def served(self) -> bool:
        """Whether it can end well."""
        return any(case.error is None for case in self.cases)


@dataclass(frozen=True, slots=True)
class Found:
    """What a prediction goes by: a download of it that runs, on this node or `elsewhere`; why upstream would not be
    asked (`barred`); bytes of the digest in its name that are `here` through another name."""

    resource: Resource
    known: Known = field(default_factory=lambda: Known(0, None))
    running: bool = False
    elsewhere: bool = False
    barred: ArtifactError | None = None
    here: bool = False


def certain(name: str, x_cache: str) -> Row:
    """Served without asking upstream."""
    return Row(name, (Case(ALWAYS, x_cache),))


def refused(name: str, error: ArtifactError) -> Row:
    """Refused without asking upstream."""
    return Row(name, (Case(ALWAYS, error=error),))


def absent(name: str, found: Found, error: ArtifactError, otherwise: Row | None) -> Row:
    """Upstream is known to have none: what the resource names otherwise (its row), else its blank, else a 404."""
    if otherwise is not None:
        return replace(otherwise, name=f"{name}; otherwise {otherwise.name}")
    if found.resource.blank is not None:
        return certain(f"{name}: its blank", "MISS")
    return refused(name, error)


# -- a stored copy that has expired ---------------------------------------------------------------------------


def expired(found: Found) -> Row:
    """There is an old copy to fall back on."""
    if found.running:
        return _lost(found.resource)
    if found.barred is not None:
        name, left = f"expired, and upstream is not asked ({found.barred.code})", Case(ALWAYS, "STALE")
        return _doubted(name, (left,), _renewed(found.resource), found.barred)
    return Row("expired, won: upstream is asked", _renewed(found.resource))


def _lost(resource: Resource) -> Row:
    name = "expired, lost: a download of it runs, and the old copy is served at once"
    if not resource.switched:
        return certain(name, "UPDATING")
    old = Case("the set behind it is not changing just now", "UPDATING")
    return Row(name, (old, Case("it is: the new edition, after a moment", "EXPIRED")))


def hashed(row: Row, lost: Row) -> Row:
    """The same where a body is read and hashed before it is served, which no look does; `lost` is the row of one
    that turns out to be damaged, and is put aside."""
    damaged = (replace(case, when=f"if its bytes are damaged: {case.when}") for case in lost.cases)
    return replace(row, cases=(*row.cases, *damaged))


def _renewed(resource: Resource) -> tuple[Case, ...]:
    return _asking(*_changed(resource), *_gone(resource))


def _asking(*cases: Case) -> tuple[Case, ...]:
    return tuple(replace(case, asked=True) for case in cases)


def _changed(resource: Resource) -> Iterator[Case]:
    if resource.repository.check_mutable_updates:
        yield Case("upstream says that it is unchanged", "REVALIDATED")
    if resource.switched:
        yield Case("upstream has a new edition", "UPDATING")
    else:
        yield Case("upstream has a new body, here within 5 s", "EXPIRED")
        yield Case("upstream has a new body, later than that", "UPDATING")
    yield Case(FAILS, "STALE")


def _gone(resource: Resource) -> Iterator[Case]:
    """What becomes of the copy where upstream has it no longer, or denies it."""
    drop = resource.repository.on_upstream_gone == "drop"
    for status in (404, 410, 401, 403):
        ended = drop or (resource.follow_gone and status in (404, 410))
        when = f"upstream answers {status}"
        yield Case(when, error=no_such(status, status)) if ended else Case(when, "STALE")


# -- nothing that can be served ---------------------------------------------------------------------------------


def missing(found: Found, otherwise: Row | None = None) -> Row:
    """Nothing is stored that could be served; `otherwise` is the row of Resource.otherwise, if there is one."""
    if found.running:
        return _joined(found)
    if found.barred is not None:
        return _barred(found, found.barred, otherwise)
    return Row("missing, won: upstream is asked", _asked(found, otherwise))


def _joined(found: Found) -> Row:
    if found.elsewhere:
        cases = Case("its node lets it be read", "MISS"), Case("it is stored by then", "HIT")
        return Row("missing, lost: another node downloads it", cases)
    return certain("missing, lost: join the running download", "JOINED")


def _barred(found: Found, barred: ArtifactError, otherwise: Row | None) -> Row:
    left: tuple[Case, ...] = (Case(ALWAYS, error=told_before(found.known, barred)),)
    if found.here:
        left = Case("a stored index below the same name lists these bytes", "HIT"), Case("none does", error=barred)
    name = f"missing, and upstream is not asked ({barred.code})"
    return _doubted(name, left, _asked(found, otherwise), barred)


def _doubted(name: str, left: tuple[Case, ...], asked: tuple[Case, ...], barred: ArtifactError) -> Row:
    """An open breaker may concern other paths alone: then this one is asked for."""
    if not barred.retry_after:
        return Row(name, left)
    others = (replace(case, when=f"if only other paths failed, and {case.when}") for case in asked)
    alone = f"upstream is left alone for {barred.retry_after:.0f} s"
    return Row(name, (*(replace(case, when=alone) for case in left), *others))


def _asked(found: Found, otherwise: Row | None) -> tuple[Case, ...]:
    return _asking(*_came(found), *_none(found, otherwise), *_failed(found))


def _came(found: Found) -> Iterator[Case]:
    if found.here:
        yield Case("upstream's HEAD announces the bytes that are here", "REVALIDATED")
        yield Case("upstream cannot be asked, and a stored index below the same name lists these bytes", "HIT")
    yield Case("upstream has it", "MISS")


def _none(found: Found, otherwise: Row | None) -> Iterator[Case]:
    if otherwise is not None:
        yield from (replace(case, when=f"upstream has none, and otherwise {case.when}") for case in otherwise.cases)
    elif found.resource.blank is not None:
        yield Case("upstream has none: its blank", "MISS")
    else:
        yield Case("upstream answers 404 or 410", error=no_such(404, 404))
    yield Case("upstream answers 401 or 403", error=no_such(403, 403))


def _failed(found: Found) -> Iterator[Case]:
    for when, error in FAILURES.items():
        if isinstance(error, UpstreamLied) and found.resource.blank is not None:
            yield Case(f"{when}: its blank", "MISS")
        else:
            yield Case(when, error=told_before(found.known, error))


def past(found: Found, down: StoreDown) -> Row:
    """The bytes' store is down: what upstream has is passed through, and not recorded."""
    row = missing(replace(found, here=False))
    if found.known.entry is None:
        return replace(row, name=f"the bytes' store is down; {row.name}")
    cases = (replace(case, error=down) if _failing(case) else case for case in row.cases)
    return replace(row, name=f"the bytes' store is down; {row.name}", cases=tuple(cases))


def _failing(case: Case) -> bool:
    return isinstance(case.error, UpstreamError | Unavailable)
