"""Why of what has no upstream of its own: a document that is made of others, the choice among a virtual's members.

Each source, or member, is explained like any resource; which of them may be asked, and why, comes first.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import cast

from app.assembly import Assembly, claimants
from app.errors import ArtifactError, NotFound, StoreDown, UpstreamLied
from app.explain import NAMES
from app.explain import explain as plain
from app.explanation import Explanation, Here, Member, Next
from app.foresight import FAILS, Case, Row, absent, certain, refused
from app.foresight import Found as Foreseen
from app.onlooking import Onlooker, Overheard
from app.repository import owns
from app.resource import Kind, Resource
from app.shelf import Shelf
from app.stores.base import Index
from app.stores.catalog import Catalog
from app.stores.memory import Memory

ASKED, HOLDS, OWNS = "asked in its turn", "it has files of this package", "it owns this package"
OTHERS, NOTHING = "another member owns this package, or has files of it", "it has no files of this package"
_Told = tuple[Resource, Explanation]
MADE = Next(None, "when one of its sources has changed")


def explain(here: Here, resource: Resource) -> Explanation:
    """As explain.explain(), of any resource."""
    if not resource.sources and not resource.among:
        return plain(here, resource)
    memory, index = cast(Memory, Onlooker(here.memory)), cast(Index, Overheard(here.index))
    assembly = Assembly(Shelf(Catalog(index, memory, here.clock), here.blobs, here.clock))
    try:
        asked = assembly.asked(resource)
    except StoreDown as down:
        return replace(plain(here, resource), row=refused("nobody can tell which member may be asked", down))
    told = [(each, plain(here, each)) for each in asked]
    members = tuple(_members(resource, told))
    if resource.among:
        return _choice(here, assembly, resource, told, members)
    row = _made(assembly, resource, told)
    return replace(plain(here, resource), row=row, next=MADE, members=members)


def _members(resource: Resource, told: Sequence[tuple[Resource, Explanation]]) -> Iterator[Member]:
    """All of them, in their order, and why each is asked or not."""
    known = {each.repository.name: found for each, found in told}
    _, hosts = claimants(resource)
    for each in resource.sources or resource.among:
        name = each.repository.name
        if (found := known.get(name)) is None:
            yield Member(name, each.key, False, NOTHING if name in hosts else OTHERS)
        else:
            why = _because(resource, each, name in hosts)
            yield Member(name, each.key, True, why, found.freshness, found.row.name)


def _because(resource: Resource, each: Resource, host: bool) -> str:
    if resource.package and owns(each.repository, resource.package):
        return OWNS
    return HOLDS if host else ASKED


# -- the first that has it ----------------------------------------------------------------------------------


def _choice(
    here: Here, assembly: Assembly, resource: Resource, told: Sequence[_Told], members: tuple[Member, ...]
) -> Explanation:
    cases: list[Case] = []
    chosen: Explanation | None = None
    left = list(told)
    while left:
        each, found = left.pop(0)
        cases += (replace(case, when=f"{each.repository.name}: {case.when}") for case in found.row.cases)
        chosen = chosen or (found if found.row.served else None)
        passed = [case.error for case in found.row.cases if case.error is not None and _passed_by(case)]
        if not passed:
            break
        others = [other for other, _ in left]
        heirs = [other for error in passed for other in assembly.instead(each, error, others)]
        left = [(other, its) for other, its in left if other in heirs]
    else:
        cases.append(Case("no member has it", error=NotFound("no member has such a file", code="file_not_found")))
    base = chosen or (told[0][1] if told else plain(here, resource))
    row = Row("the first member that has it", tuple(cases))
    return replace(base, row=row, members=members)


def _passed_by(case: Case) -> bool:
    """Whether the next member is asked then."""
    return case.error is not None and not isinstance(case.error, StoreDown)


# -- made of others -----------------------------------------------------------------------------------------


def _made(assembly: Assembly, resource: Resource, told: Sequence[tuple[Resource, Explanation]]) -> Row:
    try:
        served = assembly.ready(resource)
    except NotFound as error:
        return absent("none of its sources is there", Foreseen(resource), error, None)
    except StoreDown as down:
        return refused("the stores are down", down)
    if served is not None:
        served.file.close()
        return certain(NAMES[served.state], served.state)
    old = assembly.shelf.find(resource).entry is not None
    cases = tuple(_renewed() if old else _first(told))
    asked = any(found.row.asked for _, found in told)
    return Row("made of what its sources are now", tuple(replace(case, asked=asked) for case in cases))


def _renewed() -> Iterator[Case]:
    yield Case("its sources are the same", "REVALIDATED")
    yield Case("one has changed, and it is made within 5 s", "EXPIRED")
    yield Case("one has changed, and that takes longer, or another process makes it", "UPDATING")
    yield Case("an upstream does not answer, or no document can be made of them", "STALE")
    yield Case("no source has it any more", error=NotFound("no source has such a thing", upstream_status=404))


def _first(told: Sequence[tuple[Resource, Explanation]]) -> Iterator[Case]:
    yield Case("a source has it", "MISS")
    yield Case("another process makes it just now", "JOINED")
    yield Case("no source has it", error=NotFound("no source has such a thing", upstream_status=404))
    yield Case("no document can be made of them", error=UpstreamLied("it cannot be made"))
    failures: list[ArtifactError] = [
        case.error
        for each, found in told
        if each.repository.kind is not Kind.LOCAL
        for case in found.row.cases
        if case.error is not None and not isinstance(case.error, NotFound)
    ]
    yield from (Case(f"no source has it, and of one {FAILS}", error=each) for each in failures[:1])
