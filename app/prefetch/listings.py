"""What the indexes of each package list, for a pattern to choose from; pure.

package        indexes that are looked for among what is stored     else
rpm            <dir>/repodata/repomd.xml, then the lists it names   that at the top
deb            <suite>/InRelease, then those lists that are stored  -
apk            <dir>/APKINDEX.tar.gz                                -
helm           index.yaml                                           that
pypi           simple/<project>/                                    -
npm            <package>                                            -
go             <module>/@v/list                                     -
cargo          the lines of a crate                                 -
docker         v2/<name>/tags/list                                  -
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import BinaryIO

import ijson  # type: ignore[import-untyped]
import yaml

from app.errors import ArtifactError
from app.formats import apk_index
from app.formats.oci_names import parse
from app.prefetch import cargo_lock, images, package_lock, requirements
from app.prefetch.wanted import Wanted, below
from app.resource import Ask, Resource

STEP = "what an index lists"
FEW = 8  # lists that an index names, which are read unasked; of more, those that are stored
LARGEST = 64 << 20  # bytes of a line, a list of tags, the text of an APKINDEX
_HEAD = re.compile(r"(?:.*/)?(?:repodata/repomd\.xml|(?:In)?Release)")
_TOO_LONG = "is longer than any index is"


def names(wanted: Wanted, resource: Resource, body: BinaryIO) -> Iterator[Wanted]:
    """What an index lists and the pattern is found in, and further indexes; raises ValueError where it is none.

    `wanted.about` is that pattern, and behind a line feed the platforms that images are wanted for."""
    pattern, _, platforms = wanted.about.partition("\n")
    found = re.compile(pattern)
    for each in LISTINGS[resource.repository.package].read(wanted, resource, body):
        if each.then == STEP or found.search(each.path):
            yield each if each.then != images.STEP else Wanted(each.path, each.accept, "", each.then, platforms)


def about(pattern: str, platforms: tuple[str, ...]) -> str:
    """Wanted.about of an index."""
    return f"{pattern}\n{' '.join(platforms)}"


def _links(wanted: Wanted, resource: Resource, body: BinaryIO) -> Iterator[Wanted]:
    """What the format itself reads; of what heads a set, the lists that it names, and nothing of itself."""
    links = resource.format.read(resource, body).links
    if not _HEAD.fullmatch(resource.path):
        yield from (Wanted(link.path) for link in links)
        return
    paths = list(dict.fromkeys(link.path for link in links))
    lists = [path for path in paths if _is_list(resource, path)]
    held = len(lists) > FEW
    yield from (Wanted(path, then=STEP, about=wanted.about, held=held) for path in lists)
    yield from (Wanted(path) for path in paths)


def _is_list(resource: Resource, path: str) -> bool:
    try:
        part = next(iter(resource.repository.parts), resource.repository)
        return resource.format.resolve(part, Ask("GET", part.name, path)).index
    except ArtifactError:
        return False


def _alpine(wanted: Wanted, resource: Resource, body: BinaryIO) -> Iterator[Wanted]:
    directory = resource.path.rpartition("/")[0]
    for package in apk_index.paragraphs(body):
        name = package.name.encode(errors="surrogateescape")
        yield Wanted(f"{directory}/{(name + b'-' + package.version).decode()}.apk".lstrip("/"))


def _lines(file: object) -> Iterator[bytes]:
    """Each without its end, and an empty one behind the last."""
    read: Callable[[int], bytes] = file.readline  # type: ignore[attr-defined]
    while line := read(LARGEST + 1):
        if len(line) > LARGEST:
            raise ValueError(_TOO_LONG)
        yield line.rstrip(b"\r\n")
    yield b""


def _charts(wanted: Wanted, resource: Resource, body: BinaryIO) -> Iterator[Wanted]:
    """The first of each version's `urls`, event by event."""
    waiting: str | None = None
    try:
        for event in yaml.parse(body, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader)):
            if isinstance(event, yaml.ScalarEvent) and waiting == "first":
                if (path := below(resource.path, event.value)) is not None:
                    yield Wanted(path)
                waiting = None
            elif isinstance(event, yaml.SequenceStartEvent) and waiting == "urls":
                waiting = "first"
            else:
                waiting = "urls" if isinstance(event, yaml.ScalarEvent) and event.value == "urls" else None
    except yaml.YAMLError:
        raise ValueError("is no YAML") from None


def _page(wanted: Wanted, resource: Resource, body: BinaryIO) -> Iterator[Wanted]:
    for each in requirements.page(body):
        if (path := below(resource.path, str(each.get("url", "")))) is not None:
            yield Wanted(path)


def _document(wanted: Wanted, resource: Resource, body: BinaryIO) -> Iterator[Wanted]:
    try:
        for _, version in ijson.kvitems(body, "versions"):
            tarball = (version.get("dist") or {}).get("tarball") if isinstance(version, dict) else None
            if (path := below(resource.path, str(tarball))) is not None:
                yield Wanted(path)
    except ijson.JSONError as error:
        raise ValueError(f"is not JSON: {error}") from None


def _versions(wanted: Wanted, resource: Resource, body: BinaryIO) -> Iterator[Wanted]:
    directory = resource.path.removesuffix("list")
    for line in _lines(body):
        if line:
            yield from (Wanted(f"{directory}{line.decode()}.{ending}") for ending in ("info", "mod", "zip"))


def _crate(wanted: Wanted, resource: Resource, body: BinaryIO) -> Iterator[Wanted]:
    for line in _lines(body):
        if line:
            told = json.loads(line)
            yield Wanted(cargo_lock.crate(str(told["name"]), str(told["vers"]), str(told["cksum"])))


def _tags(wanted: Wanted, resource: Resource, body: BinaryIO) -> Iterator[Wanted]:
    data = body.read(LARGEST + 1)
    if len(data) > LARGEST:
        raise ValueError(_TOO_LONG)
    told = json.loads(data)
    name = parse(resource.path).name
    for tag in told.get("tags") or () if isinstance(told, dict) else ():
        yield images.manifest(name, str(tag), "")


@dataclass(frozen=True, slots=True)
class Listing:
    """How a package lists what it has: which stored paths are such indexes, which one there always is ("" for none),
    how it is asked for, and how it is read; that raises ValueError, KeyError, TypeError where it is none. `example`
    shows people how one is called, where none is always there."""

    heads: re.Pattern[str]
    read: Callable[[Wanted, Resource, BinaryIO], Iterator[Wanted]]
    usual: str = ""
    accept: str = ""
    example: str = ""


LISTINGS: Mapping[str, Listing] = {
    "rpm": Listing(re.compile(r"(?:.*/)?repodata/repomd\.xml"), _links, "repodata/repomd.xml"),
    "deb": Listing(re.compile(r"(?:.*/)?(?:In)?Release"), _links, example="dists/<suite>/InRelease"),
    "apk": Listing(re.compile(r"(?:.*/)?APKINDEX\.tar\.gz"), _alpine, example="v3.22/main/x86_64/APKINDEX.tar.gz"),
    "helm": Listing(re.compile(r"index\.yaml"), _charts, "index.yaml"),
    "pypi": Listing(re.compile(r"simple/[^/]+/"), _page, accept=requirements.JSON, example="simple/<project>/"),
    "npm": Listing(re.compile(r"(?:@[^/]+/)?[^/@]+"), _document, accept=package_lock.SHORT, example="<package>"),
    "go": Listing(re.compile(r".+/@v/list"), _versions, example="<module>/@v/list"),
    "cargo": Listing(re.compile(r"(?!api/)(?:1|2|3/[^/]|[^/]{2}/[^/]{2})/[^/]+"), _crate, example="se/rd/serde"),
    "docker": Listing(re.compile(r"v2/.+/tags/list"), _tags, example="v2/<name>/tags/list"),
}


def index(package: str, path: str, pattern: str, platforms: tuple[str, ...]) -> Wanted:
    """The index at that path, to be read for what the pattern is found in."""
    return Wanted(path, LISTINGS[package].accept, "", STEP, about(pattern, platforms))
