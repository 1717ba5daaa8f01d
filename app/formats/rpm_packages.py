"""The packages of several members' repodata as one list: read as a stream, written as their members describe them."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import BinaryIO
from xml.sax.saxutils import quoteattr

from app.formats.base import within
from app.formats.merging import MOST_PACKAGES, Claims, path_of
from app.formats.packed import unpacked
from app.formats.repodata import KINDS
from app.formats.xml_cut import Child, children
from app.resource import Repository

PRIMARY, *BESIDE = KINDS
_WANTED = frozenset(("name", "arch", "version", "checksum", "location"))


@dataclass(frozen=True, slots=True)
class Package:
    """One package of a primary.xml; `key` is its name, epoch, version, release and architecture as one value,
    `href` is its path below the list's directory, "" where it is somewhere else altogether (xml:base)."""

    name: str
    key: bytes
    checksum: bytes
    href: str
    child: Child

    def described(self, member: Repository) -> bytes:
        """What the merged list says of it."""
        if not self.href:
            return self.child.raw
        return self.child.with_part("location", f"<location href={quoteattr(path_of(member, self.href))}/>".encode())


def packages(body: BinaryIO, directory: str) -> Iterator[Package]:
    """The packages that can be asked for. Raises ValueError."""
    for child in children(unpacked(body), PRIMARY.element, _WANTED, PRIMARY.namespaces):
        if child.name != "package":
            continue
        name, location = child.text("name"), child.parts.get("location")
        if not name or location is None or not child.text("checksum"):
            raise ValueError("lists a package without a name, a checksum or a location")
        elsewhere = "xml:base" in location.attributes
        path = None if elsewhere else within(directory, location.attributes.get("href", ""))
        if path is not None or elsewhere:
            href = path.removeprefix(directory) if path is not None else ""
            yield Package(name, _key(child), _checksum(child.text("checksum")), href, child)


def names(body: BinaryIO) -> set[str]:
    """The names of all packages. Raises ValueError."""
    found: set[str] = set()
    for child in children(unpacked(body), PRIMARY.element, frozenset(("name",)), PRIMARY.namespaces):
        found.add(child.text("name"))
        if len(found) > MOST_PACKAGES:
            raise ValueError(f"lists more than {MOST_PACKAGES} packages")
    return found


def _key(child: Child) -> bytes:
    version = child.parts["version"].attributes if "version" in child.parts else {}
    said = (version.get("epoch") or "0", version.get("ver", ""), version.get("rel", ""))
    return hashlib.blake2b(
        "\0".join((child.text("name"), *said, child.text("arch"))).encode(), digest_size=16
    ).digest()


def _checksum(value: str) -> bytes:
    try:
        return bytes.fromhex(value)
    except ValueError:
        raise ValueError("lists a package whose checksum is none") from None


@dataclass(slots=True)
class Merged:
    """The merged lists as they grow: a file for each of KINDS."""

    texts: Mapping[str, BinaryIO]
    count: int = 0
    seen: set[bytes] = field(default_factory=set)

    def add(self, member: Repository, directory: str, bodies: Mapping[str, BinaryIO], claims: Claims) -> None:
        """The packages of one more member, without those that are there already or others'. Raises ValueError."""
        taken = set(self._listed(member, directory, bodies[PRIMARY.name], claims))
        for kind in BESIDE:
            left = set(taken)
            if (body := bodies.get(kind.name)) is None:
                continue
            for child in children(unpacked(body), kind.element, declared=kind.namespaces):
                checksum = _checksum(child.attributes.get("pkgid", ""))
                if checksum in left:
                    left.remove(checksum)
                    self.texts[kind.name].write(child.raw + b"\n")

    def _listed(self, member: Repository, directory: str, primary: BinaryIO, claims: Claims) -> Iterator[bytes]:
        for package in packages(primary, directory):
            if package.key in self.seen or claims.refuse(member, package.name):
                continue
            self.seen.add(package.key)
            self.count += 1
            if self.count > MOST_PACKAGES:
                raise ValueError(f"lists more than {MOST_PACKAGES} packages, with the others")
            self.texts[PRIMARY.name].write(package.described(member) + b"\n")
            yield package.checksum
