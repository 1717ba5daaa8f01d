"""The suites of a virtual repository of Debian packages: made of its members' of the same name.

    <suite>/InRelease, Release              the one member's that has the suite, byte for byte; else merged
    <suite>/Release.gpg, Release.key        the member's for what is the member's, else by the virtual's own key
    <suite>/<list>/by-hash/SHA256/<hex>     the merged lists of packages, written beside; clients use no other name
    <any>/@<member>/pool/...                a package (merging.py)

One package of a name, version and architecture is the first member's that lists it; its paragraph is that member's,
but for where the package is. Only Packages are merged: sources, contents, translations and the installer's lists are
left out, and clients do without them. Without a key there is no merged InRelease, as apt wants it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from email.utils import formatdate

from app.errors import NotFound
from app.formats import companions
from app.formats.deb_lists import write
from app.formats.deb_plan import HEADS, Plan, plan
from app.formats.deb_release import seconds
from app.formats.merging import naming, source
from app.formats.virtual import made, variant
from app.resource import Ask, Desk, Format, Found, Kind, Made, Repository, Resource

PLAIN = "text/plain; charset=utf-8"
_EVERYBODYS = ("notautomatic", "butautomaticupgrades")  # said of all of it where all members say so


def head(known: Format, repository: Repository, path: str) -> Resource:
    """An InRelease or Release; of locals that the client may not read, for names."""
    directory, said = path[: path.rfind("/") + 1], "virtual: made of its members' suites"
    members = (*repository.parts, *(each for each in repository.unread if each.kind is Kind.LOCAL))
    found = [_at(known, member, directory + name) for member in members for name in HEADS]
    return made(known, repository, variant(repository, path), path, found, said)


def _at(known: Format, member: Repository, path: str) -> Resource:
    return source(known.resolve(member, Ask("GET", member.name, path)))


def needs(resource: Resource, found: Sequence[Found]) -> Sequence[Resource]:
    """See Format.needs."""
    if resource.path.endswith((".gpg", ".key")):
        return companions.needs(resource, found)
    whole = plan(resource, found)
    return () if _unsigned(whole) and len(whole.merging) > 1 else whole.lacks()


def _unsigned(whole: Plan) -> bool:
    """Whether there is none where it is merged, however that comes out."""
    return whole.resource.path.endswith("InRelease") and not whole.resource.repository.signing.key


def make(resource: Resource, found: Sequence[Found], desk: Desk) -> Made:
    """See Format.make."""
    if resource.path.endswith((".gpg", ".key")):
        return _companion(resource, found, desk)
    whole, name = plan(resource, found), resource.path.rpartition("/")[2]
    if not whole.merging:
        raise whole.silent or NotFound("no member has such a suite", upstream_status=404)
    if whole.merges():
        _merged(whole, name, found, desk)
    else:
        own = whole.merging[0].heads.get(name)
        if own is None:
            raise NotFound(f"its member has no {name}", upstream_status=404)
        companions.copy(own, desk)
    return Made(PLAIN)


def _companion(resource: Resource, found: Sequence[Found], desk: Desk) -> Made:
    """Its signature, or the key."""
    from app.formats import openpgp  # which loads a library of cryptography

    signing, key = resource.repository.signing, resource.path.endswith(".key")
    if not companions.handed_on(found, desk):
        merged = companions.signed(resource, found)
        desk.write(openpgp.public_key(signing) if key else openpgp.sign_detached(signing, *merged))
    return Made("application/pgp-keys" if key else "application/pgp-signature")


def _merged(whole: Plan, name: str, found: Sequence[Found], desk: Desk) -> None:
    signing = whole.resource.repository.signing
    if _unsigned(whole):
        raise NotFound("this suite is merged, and not signed: Release is there", upstream_status=404)
    newest = max(each.entry.fetched for each in found if each.entry is not None)
    release = "".join(f"{line}\n" for line in _release(whole, desk)).encode()
    if name == "InRelease":
        from app.formats import openpgp

        release = openpgp.sign_cleartext(signing, release, newest)
    desk.write(release)


def _release(whole: Plan, desk: Desk) -> Iterator[str]:
    own, first = whole.resource.repository, whole.merging[0].said
    about = " ".join(own.description.split())
    yield f"Origin: {own.name}"
    yield f"Label: {own.name}"
    for name in ("Suite", "Codename"):
        if value := first.get(name.lower(), [""])[0]:
            yield f"{name}: {value}"
    yield f"Date: {formatdate(_date(whole), usegmt=True).replace('GMT', 'UTC')}"
    for name in ("Architectures", "Components"):
        if values := _union(whole, name.lower()):
            yield f"{name}: {' '.join(values)}"
    if about:
        yield f"Description: {about}"
    for name in _EVERYBODYS:
        if all(each.said.get(name, [""])[0].lower() == "yes" for each in whole.merging):
            yield f"{name}: yes"
    yield "Acquire-By-Hash: yes"
    yield "SHA256:"
    yield from _lists(whole, desk)


def _date(whole: Plan) -> float:
    """The newest of its members' dates: the same of the same, and older ones apt would not take."""
    newest = 0.0
    for each in whole.merging:
        with naming(each.member.name):
            newest = max(newest, seconds(each.said["date"][0]) if "date" in each.said else 0.0)
    return newest


def _union(whole: Plan, name: str) -> list[str]:
    return list(dict.fromkeys(word for each in whole.merging for word in " ".join(each.said.get(name, [])).split()))


def _lists(whole: Plan, desk: Desk) -> Iterator[str]:
    """Write each merged list, and say what Release says of it."""
    claims = whole.claims()
    directory = whole.resource.path[: whole.resource.path.rfind("/") + 1]
    for name in sorted({name for each in whole.merging for name in each.lists}):
        every = ((each.member, whole.body(each, name)) for each in whole.merging if name in each.lists)
        bodies = [(member, body) for member, body in every if body is not None]
        if not bodies:
            continue
        with desk.scratch() as text:
            packed = write(bodies, claims, text)
            place = f"{directory}{name[: name.rfind('/') + 1]}by-hash/SHA256/{packed.digest}"
            with desk.beside(place, "application/gzip") as file:
                companions.copy(text, file)
        yield f" {packed.open_digest} {packed.open_size} {name}"  # without which apt asks for no other form of it
        yield f" {packed.digest} {packed.size} {name}.gz"
