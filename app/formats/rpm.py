"""What is odd about dnf and zypper repositories: repodata/repomd.xml names everything beside it by checksum.

    <dir>/repodata/repomd.xml                   heads the set: <data type="primary"><checksum><location>
    <dir>/repodata/repomd.xml.asc, .key         belong to exactly that repomd, which does not name them
    <dir>/repodata/<hex>-primary.xml.gz         every package with its checksum; paths count from <dir>
    <dir>/repodata/primary.xml.gz               the same where createrepo_c ran without --unique-md-filenames

Source: createrepo_c's layout; zypper's media.1 and the installer's .treeinfo stand beside repodata.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import BinaryIO

from app.formats.base import ALGORITHMS, MOST_LISTED, MOST_MEMBERS, PathRules, at_most, checksum, rule, within
from app.formats.packed import unpacked
from app.formats.xml import Attributes, parsed
from app.resource import Digest, Link, Reading, Resource, Role

# createrepo_c puts the checksum (md5 too) of the file as stored (compressed) before its name: <hex>-primary.xml.zst
_CHECKSUM = f"(?P<digest>{'|'.join(f'[0-9a-f]{{{length}}}' for length in (32, *ALGORITHMS))})"
_IN = r"(?P<dir>(?:.*/)?)repodata/"
_PRIMARY = r"primary\.xml(?:\.(?:gz|bz2|xz|zst))?"
_HEAD = r"\g<dir>repodata/repomd.xml"
_LIST = r"\g<dir>repodata#primary"

_LONGEST = 16 << 20  # bytes of a repomd.xml; real ones have a few KiB


class _Rpm(PathRules):
    __slots__ = ()

    def read(self, resource: Resource, body: BinaryIO) -> Reading:
        """See Format: the members of a repomd, or the packages of a primary."""
        directory, _, name = resource.path.rpartition("repodata/")
        if name == "repomd.xml":
            return Reading(tuple(at_most(MOST_MEMBERS, _members(resource.path, directory, body))))
        return Reading(at_most(MOST_LISTED, _packages(directory, body)))


RPM = _Rpm(
    "rpm",
    (
        rule(
            rf"{_IN}repomd\.xml",
            "repomd.xml, which heads the set",
            own=True,
            remember_missing=False,
            index=True,
            switched=True,
            listing=r"\g<0>",
            root=r"\g<0>",
        ),
        rule(
            rf"{_IN}repomd\.xml\.(?:asc|key)",
            "a companion of repomd.xml",
            own=True,
            remember_missing=False,
            listed=True,
            root=_HEAD,
        ),
        rule(
            rf"{_IN}{_CHECKSUM}-{_PRIMARY}",
            "a list of packages, named by its checksum",
            immutable=True,
            own=True,
            remember_missing=False,
            index=True,
            listed=True,
            listing=_LIST,
            root=_HEAD,
        ),
        rule(
            rf"{_IN}{_CHECKSUM}-[^/]+",
            "metadata, named by its checksum",
            immutable=True,
            own=True,
            remember_missing=False,
            listed=True,
            root=_HEAD,
        ),
        rule(
            rf"{_IN}{_PRIMARY}",
            "a list of packages",
            own=True,
            remember_missing=False,
            index=True,
            listed=True,
            listing=_LIST,
            root=_HEAD,
        ),
        rule(rf"{_IN}[^/]+", "metadata", own=True, remember_missing=False, listed=True, root=_HEAD),
        rule(
            r"(?:.*/)?(?:RPM-GPG-KEY[^/]*|[^/]+\.repo|media\.1/[^/]+|\.?treeinfo|extra_files\.json)",
            "a key or a file beside the metadata",
            own=True,
        ),
        rule(r".*\.d?rpm", "a package", immutable=True, listed=True),
    ),
)


def _members(path: str, directory: str, body: BinaryIO) -> Iterator[Link]:
    """One link for each <data> (two may name one file), then the companions that no repomd names."""
    for slot, digest, href in parsed(unpacked(body, _LONGEST), "repomd", _Data()):
        if (member := within(directory, href)) is not None:
            yield Link(member, digest, Role.MEMBER, slot)
    yield Link(f"{path}.asc", None, Role.MEMBER, ".asc", signs=True)
    yield Link(f"{path}.key", None, Role.MEMBER, ".key")


def _packages(directory: str, body: BinaryIO) -> Iterator[Link]:
    for _, digest, href in parsed(unpacked(body), "metadata", _Data("package")):
        if digest is not None and (package := within(directory, href)) is not None:
            yield Link(package, digest)


_Row = tuple[str, Digest | None, str]  # type, digest, href


class _Data:
    """The rows of a repomd (<data type>) or of a primary (<package type>)."""

    def __init__(self, element: str = "data") -> None:
        self._element = element
        self._type = self._algorithm = self._href = self._value = ""
        self.names = frozenset((element, "checksum", "location"))

    def start(self, name: str, attributes: Attributes) -> None:
        """An element begins; a location of another repository (xml:base) is none of ours."""
        if name == "location":
            self._href = "" if "xml:base" in attributes else attributes.get("href", "")
        elif name == "checksum":
            self._algorithm = attributes.get("type", "").lower()
        elif name == self._element:
            self._type, self._algorithm, self._href, self._value = attributes.get("type", ""), "", "", ""

    def end(self, name: str, text: str) -> _Row | None:
        """An element ends: a row where it is the row's own."""
        if name == "checksum":
            self._value = text.strip()
        if name != self._element or not self._href:
            return None
        algorithm = "sha1" if self._algorithm == "sha" else self._algorithm  # createrepo's old name for it
        return self._type, checksum(algorithm, self._value), self._href
