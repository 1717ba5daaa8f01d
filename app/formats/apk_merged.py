"""The index of a virtual repository of Alpine packages: made of its members' at the same directory.

    <dir>/APKINDEX.tar.gz    the one member's that has any, byte for byte; else merged, signed by the virtual's key
    <dir>/<key's name>       the public half of that key

One package of a name and version is the first member's that lists it, paragraph for paragraph. A package's URL
follows from its name and version alone (apk knows no other), so it is the first member's that has such a file: apk
refuses a file that is not the one whose checksum (C:) the index has. Packages.adb is binary, signed as a whole, and
not merged.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

from app.errors import NotFound
from app.formats import apk_index
from app.formats.apk_index import INDEX, Paragraph, key_name, paragraphs
from app.formats.companions import copy
from app.formats.merging import MOST_PACKAGES, Claims, naming, signs_itself, source
from app.formats.virtual import made, variant
from app.resource import Ask, Desk, Format, Found, Kind, Made, Repository, Resource


def head(known: Format, repository: Repository, directory: str) -> Resource:
    """The index of a directory ("" or with a slash at its end); of locals that the client may not read, for names."""
    path, said = directory + INDEX, "virtual: made of its members' indexes"
    unread = [each for each in repository.unread if each.kind is Kind.LOCAL]
    sources = [_at(known, part, path) for part in (*repository.parts, *unread)]
    return made(known, repository, variant(repository, path), path, sources, said)


def _at(known: Format, part: Repository, path: str) -> Resource:
    """A member's index, read before it is recorded."""
    return replace(source(known.resolve(part, Ask("GET", part.name, path))), index=part.kind is Kind.REMOTE)


def make(resource: Resource, found: Sequence[Found], desk: Desk) -> Made:
    """See Format.make."""
    there = [each for each in found if each.file is not None]
    parts = {part.name for part in resource.repository.parts}
    merging = [each for each in there if each.resource.repository.name in parts]
    if not merging:
        raise NotFound("no member has such a directory", upstream_status=404)
    claims = Claims((*resource.repository.parts, *resource.repository.unread), _held(there))
    if resource.repository.signing.key:
        _give_key(resource, desk)
    only = merging[0].resource.repository
    if len(merging) > 1 or signs_itself(resource, only) or any(_refused(claims, merging[0])):
        _merge(resource, claims, merging, desk)
    elif (body := merging[0].file) is not None:
        copy(body, desk)
    return Made("application/gzip")


def _held(found: Sequence[Found]) -> set[str]:
    """The names that locals have."""
    local = (each for each in found if each.resource.repository.kind is Kind.LOCAL)
    return {package.name for each in local for package in _read(each)}


def _read(found: Found) -> Iterator[Paragraph]:
    assert found.file is not None
    found.file.seek(0)
    with naming(found.resource.repository.name):
        yield from paragraphs(found.file)


def _refused(claims: Claims, found: Found) -> Iterator[bool]:
    member = found.resource.repository
    if claims.against(member):
        yield from (True for package in _read(found) if claims.refuse(member, package.name))


def _give_key(resource: Resource, desk: Desk) -> None:
    from app.formats import apk_signature  # which loads a library of cryptography

    path = resource.path.removesuffix(INDEX) + key_name(resource.repository)
    with desk.beside(path, "application/x-pem-file") as file:
        file.write(apk_signature.public_key(resource.repository.signing))


def _merge(resource: Resource, claims: Claims, merging: Sequence[Found], desk: Desk) -> None:
    text, packed, seen = desk.scratch(), desk.scratch(), set[tuple[str, bytes]]()
    for each in merging:
        for package in _read(each):
            key = (package.name, package.version)
            if key in seen or claims.refuse(each.resource.repository, package.name):
                continue
            seen.add(key)
            if len(seen) > MOST_PACKAGES:
                raise ValueError(f"its members list more than {MOST_PACKAGES} packages")
            text.write(package.text + b"\n\n")
    digest = apk_index.pack(resource.repository, text, packed)
    if resource.repository.signing.key:
        desk.write(apk_index.signature(resource.repository, digest))
    copy(packed, desk)
