"""conda channels: what is in a directory is listed whole, in part, or by package; packages never change.

    <subdir>/repodata.json, .zst, .bz2            every package with its sha256, by which it is verified when it comes
    <subdir>/current_repodata.json, ...           the newest ones alone
    <subdir>/repodata_shards.msgpack.zst          which shard lists which package; the URLs in it become this server's
    <subdir>/shards/<sha256>.msgpack.zst          the packages of one name (CEP 16), wherever upstream keeps it
    <subdir>/run_exports.json, channeldata.json   more of the packages, and of the channel
    <subdir>/<name>-<version>-<build>.conda       a package, or .tar.bz2

A repodata that says that its packages are somewhere else (CEP 15) is no document to keep, for clients go there past
this server; where the list of shards says so, this server goes there for them. What is large (repodata, packages) is
sent while it arrives, and kept only if it proves to be what it should be; anything else is checked before it is sent.

Source: docs.conda.io/projects/conda-build, "Channels and generating an index"; github.com/conda/ceps, 15 and 16.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import BinaryIO

from app.formats.base import MOST_LISTED, PathRules, at_most, rule
from app.formats.conda_repodata import checked, packages
from app.formats.conda_shards import Shards, read_shards, written
from app.formats.virtual import made
from app.paths import quote
from app.resource import Ask, Desk, Found, Kind, Link, Located, Made, Reading, Repository, Resource

SHARDS = "repodata_shards.msgpack.zst"
ORIGINAL, ELSEWHERE = "\x1foriginal", "\x1felsewhere"  # behind a key's path: no client's path has these
_MAGIC = {".conda": b"PK", ".tar.bz2": b"BZh"}
_PACKED = r"(?:\.(?:zst|bz2|gz))?"
_IN = r"(?P<dir>(?:.*/)?)"


class _Conda(PathRules):
    __slots__ = ()

    def resolve(self, repository: Repository, ask: Ask) -> Resource:
        """See Format."""
        found = super().resolve(repository, ask)
        if repository.kind is not Kind.REMOTE:
            return found
        found = replace(found, whole=found.index and not found.listing and not found.listed)
        directory, _, name = ask.path.rpartition("/")
        if name == SHARDS:
            said = "conda: made of upstream's list of shards"
            return made(self, repository, ask.path, ask.path, [_original(found)], said)
        if found.expected is not None and directory.rpartition("/")[2] == "shards":
            return replace(found, named_in=self._index(repository, directory.rpartition("/")[0]))
        if _is_package(name):
            index = self._index(repository, directory)
            return replace(found, otherwise=replace(found, key=ask.path + ELSEWHERE, named_in=index))
        return found

    def _index(self, repository: Repository, directory: str) -> Resource:
        path = f"{directory}/{SHARDS}" if directory else SHARDS
        return _original(super().resolve(repository, Ask("GET", repository.name, path)))

    def read(self, resource: Resource, body: BinaryIO) -> Reading:
        """See Format: a list of packages, of shards, or any other JSON; and whether a package can be one."""
        directory, _, name = resource.path.rpartition("/")
        if name == SHARDS:
            read_shards(body)
        elif _is_package(name):
            if not any(name.endswith(end) and body.read(len(magic)) == magic for end, magic in _MAGIC.items()):
                raise ValueError("is no conda package")
        else:
            checked(body, listed="repodata" in name)
        if not resource.listing:
            return Reading()
        body.seek(0)
        where = f"{directory}/" if directory else ""
        return Reading(at_most(MOST_LISTED, (Link(where + file, digest) for file, digest in packages(body))))

    def locate(self, resource: Resource, index: BinaryIO) -> Located | None:
        """See Format: a shard, of any edition of the index, for its name is its checksum; or a package where the
        index says that packages are elsewhere."""
        shards, name = read_shards(index), resource.path.rpartition("/")[2]
        if resource.expected is not None:
            return Located(_below(shards.shards_url, name), resource.expected)
        return Located(_below(shards.packages_url, name)) if shards.elsewhere else None

    def make(self, resource: Resource, found: Sequence[Found], desk: Desk) -> Made:
        """See Format: the list of shards, as if all of them and the packages were here."""
        (source,) = found
        assert source.file is not None
        desk.write(written(_named(source.file, resource.repository)))
        return Made("application/octet-stream")


def _named(file: BinaryIO, repository: Repository) -> Shards:
    try:
        return read_shards(file)
    except ValueError as error:
        raise ValueError(f"{repository.name}: {error}") from error


def _original(index: Resource) -> Resource:
    return replace(index, key=index.path + ORIGINAL)


def _is_package(name: str) -> bool:
    return name.endswith(tuple(_MAGIC))


def _below(url: str, name: str) -> str:
    return url + quote(name)


CONDA = _Conda(
    "conda",
    (
        rule(
            rf"{_IN}repodata(?:_from_packages)?\.json{_PACKED}",
            "a list of packages",
            own=True,
            index=True,
            listing=r"\g<dir>#packages",
            root=r"\g<0>",
        ),
        rule(rf"{_IN}current_repodata\.json{_PACKED}", "a list of the newest packages", own=True, index=True),
        rule(rf"{_IN}repodata_shards\.msgpack\.zst", "a list of shards", own=True, index=True),
        rule(
            rf"{_IN}shards/(?P<digest>[0-9a-f]{{64}})\.msgpack\.zst",
            "a shard, named by its checksum",
            immutable=True,
            own=True,
        ),
        rule(rf"{_IN}(?:run_exports|channeldata)\.json{_PACKED}", "more of the packages", own=True, index=True),
        rule(
            rf"(?:.*/)?(?:(?:notices|patch_instructions)\.json{_PACKED}|repodata\.jlap)", "of the channel", own=True
        ),
        rule(r".*\.(?:conda|tar\.bz2)", "a package", immutable=True, index=True, listed=True),
    ),
)
