"""The documents that this server makes of Python package indexes: pages with its own URLs, of one index or of many.

    a project's page    every file once, the first source's of a name; versions of all; the rest as the first says it
    the list of all     every project once, as the first source spells it; one that a member owns, where that has it
    <wheel>.metadata    where upstream's page promises it and upstream has it not: what is in the wheel

Source: PEP 503, 691, 700, 658; PEP 427 for what a wheel is.
"""

from __future__ import annotations

import io
import zipfile
import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import BinaryIO

from app import paths
from app.formats.base import allows
from app.formats.pypi_names import normalised
from app.formats.pypi_pages import File, Listed, Project, project_html, project_json, root_html, root_json
from app.formats.pypi_read import Head, files, head, names
from app.repository import owns
from app.resource import Desk, Found, Kind, Made, Repository

_DIRECTORY = 8 << 20  # bytes of a wheel's directory
_METADATA = 8 << 20  # bytes
_GATHERED = 1 << 16  # bytes that are written at once

Source = tuple[Repository, BinaryIO]


def page(project: str, found: Sequence[Found], desk: Desk, *, as_json: bool) -> None:
    """A project's page. Raises ValueError that names the repository whose page is wrong."""
    given = _sources(found)
    heads = list(_heads(given, "files"))
    said = Project(project, _versions(heads), _files(project, given), _meta(heads), heads[0].more)
    _write(desk, project_json(said) if as_json else project_html(said))


def root(repository: Repository, found: Sequence[Found], desk: Desk, made: Made, *, as_json: bool) -> None:
    """The list of all projects, shown where it is one remote's, whose list was read when it was stored. Raises
    ValueError as page()."""
    given = _sources(found)
    if repository.kind is Kind.REMOTE:
        desk.show(made)
    meta = _meta(list(_heads(given, "projects")))
    listed = _names(repository.parts or (repository,), given)
    _write(desk, root_json(listed, meta) if as_json else root_html(listed, meta))


def metadata(wheel: BinaryIO) -> bytes:
    """What a wheel says of itself (PEP 658). Raises ValueError where it does not."""
    try:
        with zipfile.ZipFile(_Sparing(wheel)) as archive:
            found = [each for each in archive.infolist() if _is_metadata(each)]
            if len(found) != 1:
                raise ValueError("the wheel has no METADATA, or several")
            with archive.open(found[0]) as file:
                said = file.read(_METADATA + 1)
    except (zipfile.BadZipFile, zlib.error, NotImplementedError, EOFError, RuntimeError) as error:
        raise ValueError("the wheel is a damaged zip") from error
    if len(said) > _METADATA:
        raise ValueError(f"the wheel has a METADATA of more than {_METADATA >> 20} MiB")
    return said


def _sources(found: Sequence[Found]) -> list[Source]:
    """Those that are there."""
    return [(each.resource.repository, each.file) for each in found if each.file is not None]


def _heads(given: Iterable[Source], listed: str) -> Iterator[Head]:
    for repository, file in given:
        with _naming(repository):
            yield head(file, listed, judged=True)


def _meta(heads: Sequence[Head]) -> Mapping[str, object]:
    """The first's, as a version of the API that all of them have."""
    return {**heads[0].meta, "api-version": f"1.{min(each.minor for each in heads)}"}


def _versions(heads: Sequence[Head]) -> Sequence[str] | None:
    found: dict[str, None] = {}
    for each in heads:
        if each.versions is None:
            return None
        found.update(dict.fromkeys(each.versions))
    return list(found)


def _files(project: str, given: Iterable[Source]) -> Iterator[File]:
    """Relative to the page, wherever that was read; without those that a repository's patterns refuse."""
    seen: set[str] = set()
    for repository, body in given:
        body.seek(0)
        with _naming(repository):
            for file in files(body):
                path = f"packages/{project}/{file.name}"
                if file.name in seen or not allows(repository, path):
                    continue
                seen.add(file.name)
                url = f"../../{paths.quote(path)}"
                provenance = f"{url}.provenance" if file.provenance else ""
                yield replace(file, url=url, provenance=provenance)


def _names(parts: Sequence[Repository], given: Sequence[Source]) -> Iterator[Listed]:
    owning = [part for part in parts if part.owned]
    merging = bool(owning) or len(given) > 1
    seen: set[str] = set()
    for repository, body in given:
        body.seek(0)
        with _naming(repository):
            if not merging:
                yield from names(body)
                continue
            for each in names(body):
                name = normalised(each.name)
                if name not in seen and _may_name(repository, owning, name):
                    seen.add(name)
                    yield each


def _may_name(repository: Repository, owning: Sequence[Repository], name: str) -> bool:
    owners = [each.name for each in owning if owns(each, name)]
    return not owners or repository.name in owners


def _write(desk: Desk, pieces: Iterable[bytes]) -> None:
    waiting, size = [], 0
    for piece in pieces:
        waiting.append(piece)
        size += len(piece)
        if size > _GATHERED:
            desk.write(b"".join(waiting))
            waiting, size = [], 0
    desk.write(b"".join(waiting))


@contextmanager
def _naming(repository: Repository) -> Iterator[None]:
    try:
        yield
    except ValueError as error:
        raise ValueError(f"{repository.name}'s page {error}") from error


class _Sparing(io.RawIOBase):
    """A file of which nobody reads much at a time: zipfile reads a directory whole, however long it says it is."""

    def __init__(self, body: BinaryIO) -> None:
        super().__init__()
        self.body = body

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET, /) -> int:
        return self.body.seek(offset, whence)

    def tell(self) -> int:
        return self.body.tell()

    def read(self, size: int = -1, /) -> bytes:
        wanted = _DIRECTORY + 1 if size < 0 else min(size, _DIRECTORY + 1)
        found = self.body.read(wanted)
        if len(found) > _DIRECTORY:
            raise ValueError(f"the wheel has a directory of more than {_DIRECTORY >> 20} MiB")
        return found


def _is_metadata(member: zipfile.ZipInfo) -> bool:
    directory, _, name = member.filename.partition("/")
    plain = member.compress_type in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED) and not member.flag_bits & 1
    return plain and name == "METADATA" and directory.endswith(".dist-info")
