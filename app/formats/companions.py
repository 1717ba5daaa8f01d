"""What goes with the head of a virtual's index, as its signature: the member's where that is its head, else ours."""

from __future__ import annotations

from collections.abc import Sequence
from typing import BinaryIO, Protocol

from app.errors import NotFound
from app.formats.virtual import made, variant
from app.resource import Ask, Desk, Found, Resource


def companion(head: Resource, path: str) -> Resource:
    """A file that goes with the head that was given out last."""
    said = f"virtual: goes with {head.path.rpartition('/')[2]}"
    return made(head.format, head.repository, variant(head.repository, path), path, [head], said)


def needs(resource: Resource, found: Sequence[Found]) -> Sequence[Resource]:
    """The heads of the members; and what goes with that one of them that was given out."""
    head, parts = resource.sources[0], resource.repository.parts
    if len(found) == 1:
        return [each for each in head.sources if each.path == head.path and each.repository in parts]
    given = _given(found)
    if given is None or found[-1].resource.path == resource.path:
        return ()
    member = given.resource.repository
    return [resource.format.resolve(member, Ask("GET", member.name, resource.path))]


def handed_on(found: Sequence[Found], desk: Desk) -> bool:
    """Write the member's where the head is a member's; False where that was merged. Raises NotFound."""
    if _given(found) is None:
        return False
    own = found[-1]
    if own.file is None:
        raise own.error if own.silent and own.error else NotFound("its member has none", upstream_status=404)
    copy(own.file, desk)
    return True


def signed(resource: Resource, found: Sequence[Found]) -> tuple[bytes, float]:
    """The merged head, which is to be signed, and when it was made. Raises NotFound where there is no key."""
    head = found[0]
    if not resource.repository.signing.key or head.file is None or head.entry is None:
        raise NotFound("this index is merged, and not signed", upstream_status=404)
    head.file.seek(0)
    return head.file.read(), head.entry.fetched


class Written(Protocol):
    """A document, or a file beside it."""

    def write(self, data: bytes, /) -> object: ...


def copy(file: BinaryIO, into: Written) -> None:
    """All of a file."""
    file.seek(0)
    while piece := file.read(1 << 20):
        into.write(piece)


def _given(found: Sequence[Found]) -> Found | None:
    """The member's head that the virtual's is; None where that was merged."""
    whole, *heads = found
    same = (each for each in heads if each.entry and whole.entry and each.entry.digest == whole.entry.digest)
    return next(same, None)
