"""How Maven's artifacts are hosted: published file by file, told with checksums of their own, listed by the server.

A release is published once. Of a snapshot every build is published once, and a file without a build's number as often
as one likes.

    x.jar                    stored; with it, in its entry, its checksums
    x.jar.sha1               told from that entry (app/formats/maven.py); what a client sends is compared with it
    maven-metadata.xml       written by build(); what a client sends is not stored, but for a group's plugins:
    maven-metadata-plugins/  one file for each of them, from which build() writes what the group's metadata says
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Iterator
from pathlib import Path

from app.errors import BadRequest, Conflict, NotFound, Unprocessable
from app.formats.maven import PIECE, checksums, sums, told
from app.formats.maven_paths import METADATA, SNAPSHOT, summed
from app.formats.maven_xml import document, texts
from app.hosting.archives import judged
from app.hosting.base import Accepted, Build, Built, Contents, Described, Host, New, Post
from app.hosting.maven_layout import ID, PLUGINS, Artifact, home, parse
from app.hosting.maven_metadata import Plugin, of_home, of_snapshot, plugins

_SUM = 1024  # bytes of an uploaded checksum's file; some name the file behind it
_METADATA = 1 << 20
_MOST_GONE = 1000  # files of a directory that one request removes
_HEX = re.compile(rb"\s*([0-9A-Fa-f]{32,128})(?:\s.*)?", re.DOTALL)
_TYPES = {"pom": "application/xml", "jar": "application/java-archive"} | {"asc": "application/pgp-signature"}
_OF_POM = frozenset({"groupId", "artifactId", "version", "parent/groupId", "parent/version"})


class Maven(Host):
    """See the module."""

    __slots__ = ()

    def fixed(self, path: str) -> bool:
        """See Host. Of what accept() does not store as it is sent, and of what is no artifact's, that tells."""
        try:
            return path.rpartition("/")[2] != METADATA and not _again(parse(path))
        except BadRequest:
            return False

    def accept(self, post: Post, contents: Contents) -> Accepted:
        """See Host.accept; checksums, metadata, or a file of an artifact."""
        if post.method == "DELETE":
            return Accepted(gone=list(_gone(post.path, contents)), status=204)
        if (of := summed(post.path)) is not None:
            return _compared(post, *of, contents)
        if post.path.rpartition("/")[2] == METADATA:
            return _metadata(post, contents)
        file, upload = parse(post.path), post.file.upload
        _judge(file, upload.path)
        said = _described(file)
        again = _again(file) and post.headers.get("if-none-match", "").strip() != "*"
        kind = _TYPES.get(file.extension.rpartition(".")[2], "")
        kept = _kept(upload.path)
        return Accepted([New(post.path, upload, kind, said.scope, "", said.also, replace=again, kept=kept)])

    def describe(self, path: str, file: Path) -> Described | None:
        """See Host.describe."""
        directory, found, name = path.partition(f"/{PLUGINS}/")
        if not found or not name.endswith(".xml") or not ID.fullmatch(name):
            return _described(parse(path))
        with judged(), file.open("rb") as body:
            if len(named := plugins(body)) != 1:
                raise ValueError("names more or less than one plugin")
        return Described(home(directory), named[0].to_text())

    def build(self, build: Build) -> Iterable[Built]:
        """The one document of a directory."""
        if build.scope.endswith(SNAPSHOT):
            body = of_snapshot(build.scope, build.items, build.now)
        else:
            versions, named = set(_snapshots(build.scope, build.contents)), list[Plugin]()
            for item in build.items:
                if item.about:
                    named.append(Plugin.from_text(item.about))
                else:
                    versions.add(parse(item.path).version)
            body = of_home(build.scope, versions, named, build.now)
        if body is not None:
            yield Built(f"{build.scope}/{METADATA}", body, "application/xml", kept=told(sums([body])))


HOST = Maven()


# -- what is sent -------------------------------------------------------------------------------------------


def _described(file: Artifact) -> Described:
    return Described(file.scope, "", (file.home,) if file.snapshot else ())


def _again(file: Artifact) -> bool:
    """Whether it may be published again: what is itself named -SNAPSHOT."""
    return file.snapshot and not file.build[0]


def _judge(file: Artifact, path: Path) -> None:
    """Unprocessable where a pom is none, or says that it is another's. In a jar, say, nobody here reads."""
    if file.extension == "pom" and not file.classifier:
        try:
            _judge_pom(file, path)
        except ValueError as error:
            raise Unprocessable(f"the pom {error}", code="not_a_package") from error


def _judge_pom(file: Artifact, path: Path) -> None:
    with path.open("rb") as body:
        said = dict(texts(body, "project", _OF_POM))
    group, _, artifact = file.home.rpartition("/")
    wanted = {"groupId": group.replace("/", "."), "artifactId": artifact, "version": file.version}
    for field, value in wanted.items():
        found = said.get(field) or said.get(f"parent/{field}")
        if found and found != value and "${" not in found and not (field == "version" and found == file.built):
            raise ValueError(f"is of {field} {found[:80]!r}, and was sent to that of {value[:80]!r}")


def _compared(post: Post, path: str, algorithm: str, contents: Contents) -> Accepted:
    """A checksum: right, or BadRequest. That of metadata is of the client's own, which is not what is served."""
    match = _HEX.fullmatch(_small(post, _SUM))
    if match is None:
        raise BadRequest("a checksum is sent in hexadecimal", code="bad_checksum")
    if path.rpartition("/")[2] != METADATA:
        parse(path)
        right = _checksum(path, algorithm, contents)
        if right is None:
            raise BadRequest("there is no such file; its checksum comes after it", code="bad_checksum")
        if right != match[1].decode().lower():
            raise BadRequest(f"the {algorithm} of {path} is {right}", code="checksum_mismatch")
    return _told(post)


def _metadata(post: Post, contents: Contents) -> Accepted:
    """What it says of plugins is kept; of versions, this server knows better."""
    directory = home(post.path.rpartition("/")[0])
    _small(post, _METADATA)
    try:
        with post.file.upload.path.open("rb") as body:
            named = plugins(body)
    except ValueError as error:
        raise Unprocessable(f"the metadata {error}", code="not_a_package") from error
    if named and directory.endswith(SNAPSHOT):
        raise Unprocessable("the metadata of a snapshot names no plugins", code="not_a_package")
    new = {each.path: each for each in (_of_plugin(directory, plugin) for plugin in named)}
    return _told(post, [each for each in new.values() if not _stands(each, contents)])


def _of_plugin(directory: str, plugin: Plugin) -> New:
    fields = [("name", plugin.name), ("prefix", plugin.prefix), ("artifactId", plugin.artifact)]
    body = document("metadata", [("plugins", [("plugin", fields)])])
    path = f"{directory}/{PLUGINS}/{plugin.artifact}.xml"
    return New(path, body, "application/xml", directory, plugin.to_text(), replace=True)


def _stands(new: New, contents: Contents) -> bool:
    entry = contents.find(new.path)
    return isinstance(new.body, bytes) and entry is not None and entry.digest == hashlib.sha256(new.body).hexdigest()


def _told(post: Post, new: Iterable[New] = ()) -> Accepted:
    return Accepted(list(new), answer={"repository": post.repository.name, "path": post.path})


def _small(post: Post, limit: int) -> bytes:
    upload = post.file.upload
    if upload.size > limit:
        raise BadRequest(f"that file has at most {limit} bytes", code="too_large")
    return upload.path.read_bytes()


def _gone(path: str, contents: Contents) -> Iterator[str]:
    """The file, or with a slash at its end the files of a version's directory; raises Conflict, NotFound."""
    if not path.endswith("/"):
        if path.rpartition("/")[2] == METADATA:
            raise Conflict("the server writes this file itself", code="index_file")
        yield path
        return
    listed = contents.listing(path, limit=_MOST_GONE + 1)
    found = [each.path for each in listed if each.path.rpartition("/")[2] != METADATA]
    if not found:
        raise NotFound("no such directory", code="file_not_found")
    if len(listed) > _MOST_GONE or not all(_directly(path, each) for each in found):
        raise Conflict("only a version's or an artifact's directory is deleted as a whole", code="too_many_files")
    yield from found


def _directly(directory: str, path: str) -> bool:
    """Whether the directory is that of the file's version, or of its artifact."""
    file = parse(path) if f"/{PLUGINS}/" not in path else None
    return file is not None and directory in (f"{file.home}/", f"{file.home}/{file.version}/")


# -- what is told -------------------------------------------------------------------------------------------


def _snapshots(scope: str, contents: Contents) -> Iterator[str]:
    """The snapshot versions whose files are in directories of their own."""
    after, below = f"{scope}/", f"{scope}/"
    while batch := contents.scopes(after, limit=100):
        for after in batch:
            if not after.startswith(below):
                return
            version = after.removeprefix(below)
            if "/" not in version and version.endswith(SNAPSHOT):
                yield version


def _checksum(path: str, algorithm: str, contents: Contents) -> str | None:
    """In hex, of what is stored as `path`; None where nothing is."""
    entry = contents.find(path)
    if entry is None or algorithm == "sha256":
        return entry.digest if entry else None
    known = checksums(entry.kept).get(f"X-Checksum-{algorithm.capitalize()}")
    if known is None:  # published by another way, or restored without it
        with contents.open(path) as file:
            known = sums(iter(lambda: file.read(PIECE), b""))[algorithm]
    return known


def _kept(path: Path) -> str:
    with path.open("rb") as file:
        return told(sums(iter(lambda: file.read(PIECE), b"")))
