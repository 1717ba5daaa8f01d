"""The repodata of a virtual repository: made of its members' at the same directory.

    <dir>/repodata/repomd.xml                            the one member's that has any, byte for byte; else merged
    <dir>/repodata/<sha256>-merged-primary.xml.zst, ...  written beside a merged one
    <dir>/repodata/repomd.xml.asc, .key                  the member's with the member's, else by our key
    <dir>/@<member>/<href>                               a package (merging.py)

One package of a name, epoch, version, release and architecture is the first member's that lists it; its description
is that member's, byte for byte, but for where the package is. Comps, advisories and modules are put together;
databases, deltas and zchunk are left out. A local member's root index says which names it has in other directories.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import BinaryIO

from app.errors import NotFound
from app.formats import companions
from app.formats.merging import naming, source
from app.formats.repodata import KINDS, Packed, packed, packed_as, repomd
from app.formats.rpm_packages import Merged
from app.formats.rpm_parts import PARTS
from app.formats.rpm_plan import HEAD, Edition, Plan, plan
from app.formats.rpm_rows import revision
from app.formats.virtual import made, variant
from app.resource import Ask, Desk, Format, Found, Kind, Made, Repository, Resource

NAMED = "merged-"  # a part of the names of files beside a merged repomd.xml, so that no member's are looked for there


# -- which resource it is -----------------------------------------------------------------------------------


def head(known: Format, repository: Repository, directory: str) -> Resource:
    """repomd.xml of a directory ("" or with a slash at its end)."""
    path, said = directory + HEAD, "virtual: made of its members' repodata"
    members = [source(_at(known, part, directory)) for part in repository.parts]
    others = [each for each in (*repository.parts, *repository.unread) if each.kind is Kind.LOCAL]
    scopes = [_at(known, each, _scope(each, directory)) for each in others]
    names_of = [each for each in scopes if each.path != path or each.repository in repository.unread]
    return made(known, repository, variant(repository, path), path, (*members, *names_of), said)


def _at(known: Format, part: Repository, directory: str) -> Resource:
    return known.resolve(part, Ask("GET", part.name, directory + HEAD))


def _scope(part: Repository, directory: str) -> str:
    """The directory of the local index that would cover a package there."""
    return "".join(f"{each}/" for each in directory.split("/")[:-1][: part.repodata_depth])


# -- how it is made -----------------------------------------------------------------------------------------


def needs(resource: Resource, found: Sequence[Found]) -> Sequence[Resource]:
    """See Format.needs."""
    if resource.path.endswith(HEAD):
        return plan(resource, found).lacks()
    return companions.needs(resource, found)


def make(resource: Resource, found: Sequence[Found], desk: Desk) -> Made:
    """See Format.make."""
    if not resource.path.endswith(HEAD):
        return _companion(resource, found, desk)
    whole = plan(resource, found)
    if not whole.merging:
        raise whole.silent or NotFound("no member has such a directory", upstream_status=404)
    if whole.merges():
        desk.write(_merged(whole, desk))
    else:
        companions.copy(whole.merging[0].head, desk)
    return Made("application/xml")


def _merged(whole: Plan, desk: Desk) -> bytes:
    """The merged files, beside; and the repomd.xml that names them."""
    directory = whole.resource.path.removesuffix(HEAD)
    merged = Merged({kind.name: desk.scratch() for kind in KINDS})
    claims = whole.claims()
    for each in whole.merging:
        with naming(each.member.name):
            merged.add(each.member, each.directory, _bodies(whole, each), claims)
    files = [_put(desk, directory, each) for each in (*_lists(merged, desk), *_parts(whole, desk))]
    return repomd(files, max(_revision(each) for each in whole.merging))


def _bodies(whole: Plan, edition: Edition) -> dict[str, BinaryIO]:
    found = {kind.name: whole.body(edition, kind.name) for kind in KINDS}
    return {kind: body for kind, body in found.items() if body is not None}


def _revision(edition: Edition) -> int:
    edition.head.seek(0)
    return revision(edition.head)


@dataclass(frozen=True, slots=True)
class _File:
    """A file that is written, and what repomd.xml says of it."""

    said: Packed
    content_type: str
    body: BinaryIO


def _lists(merged: Merged, desk: Desk) -> Iterable[_File]:
    for kind in KINDS:
        text, body = merged.texts[kind.name], desk.scratch()
        text.seek(0)
        yield _File(packed(kind, text, body, merged.count, NAMED), "application/zstd", body)


def _parts(whole: Plan, desk: Desk) -> Iterable[_File]:
    for kind, part in PARTS.items():
        bodies = {each.member.name: body for each in whole.merging if (body := whole.body(each, kind)) is not None}
        if bodies:
            body = desk.scratch()
            said = packed_as(kind, NAMED + part.file, part.pieces(bodies), body, part.packer())
            yield _File(said, part.content_type, body)


def _put(desk: Desk, directory: str, file: _File) -> Packed:
    with desk.beside(directory + file.said.href, file.content_type) as beside:
        companions.copy(file.body, beside)
    return file.said


def _companion(resource: Resource, found: Sequence[Found], desk: Desk) -> Made:
    """Its signature, or the key."""
    from app.formats import openpgp  # which loads a library of cryptography

    signing, key = resource.repository.signing, resource.path.endswith(".key")
    if not companions.handed_on(found, desk):
        merged = companions.signed(resource, found)
        desk.write(openpgp.public_key(signing) if key else openpgp.sign_detached(signing, *merged))
    return Made("application/pgp-keys" if key else "application/pgp-signature")
