"""How rpm packages are hosted: published by PUT or POST, described in the repodata of their directory.

    POST <directory>/               a package, raw or as the field `file` or `package`, under its own name
    PUT <directory>/<name>.rpm      the same; <name> is <name>-<version>-<release>.<arch>, as rpmbuild has it
    PUT <name>.repo, RPM-GPG-KEY*   files that clients are given beside the packages

The directory of an index is the first `repodata_depth` segments of a package's path: every depth but 0 has several.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable
from pathlib import Path

from app.errors import BadRequest, MethodNotAllowed
from app.hosting import rpm_file, rpm_index
from app.hosting.base import Accepted, Build, Built, Contents, Described, Host, New, Post, Sent
from app.resource import Repository

BESIDE = re.compile(r"(?:[^/]+/)*(?:RPM-GPG-KEY[^/]*|[^/]+\.repo)")
# What stands in an index's href as it is: librepo escapes nothing.
SAYABLE = re.compile(r"[A-Za-z0-9._+~^@=,:/-]*")


class RpmHost(Host):
    __slots__ = ()
    methods = ("PUT", "POST", "DELETE")

    def accept(self, post: Post, contents: Contents) -> Accepted:
        """See Host."""
        if post.method == "DELETE":
            return super().accept(post, contents)
        if post.method not in self.methods:
            raise MethodNotAllowed("a package is sent with PUT or POST", ("GET", "HEAD", *self.methods))
        sent = _sent(post)
        if post.method == "PUT" and BESIDE.fullmatch(post.path):
            kind = "text/plain" if post.path.endswith(".repo") else "application/pgp-keys"  # whatever its client says
            return Accepted([New(post.path, sent.upload, kind)])
        directory, name = _target(post)
        rpm = rpm_file.read(sent.upload.path)
        if name and name != rpm.name:
            raise BadRequest(f"this package is {rpm.name}: PUT it under that name, or POST it", code="name_mismatch")
        path = f"{directory}{rpm.name}"
        scope = _scope(post.repository, path)
        about = rpm.described(path[len(scope) :], sent.upload.finish(), sent.upload.size, post.now)
        return Accepted([New(path, sent.upload, "application/x-rpm", scope=scope, about=about)])

    def describe_in(self, repository: Repository, path: str, file: Path) -> Described | None:
        """See Host."""
        if not path.endswith(".rpm"):
            return None
        found = file.stat()
        scope = _scope(repository, path)
        with file.open("rb") as body:
            digest = hashlib.file_digest(body, "sha256").hexdigest()
        rpm = rpm_file.read(file)
        return Described(scope, rpm.described(path[len(scope) :], digest, found.st_size, found.st_mtime))

    def build(self, build: Build) -> Iterable[Built]:
        """See Host."""
        return rpm_index.built(build, build.scope)

    def blank(self, path: str, build: Build) -> Built | None:
        """See Host. Not of a signed repository: its signature is made once, and of one repomd.xml."""
        own = build.repository
        if own.signing.key or own.repodata_depth or not path.startswith("repodata/"):
            return None
        if not self.untold(path, build.contents):
            return None
        return next((each for each in rpm_index.built(build, build.scope) if each.path == path), None)


HOST = RpmHost()


def _sent(post: Post) -> Sent:
    for each in post.files:
        if each.field == "package":
            return each
    return post.file


def _target(post: Post) -> tuple[str, str]:
    """The directory, with a slash at its end, and the name of the file, "" where the package says it."""
    directory, _, name = post.path.rpartition("/")
    if post.method == "POST":
        directory, name = post.path.rstrip("/"), ""
    elif not name.endswith(".rpm"):
        raise BadRequest("a package is called <name>.rpm; a directory ends with a slash", code="bad_path")
    if not SAYABLE.fullmatch(directory):
        raise BadRequest("a directory of packages has only letters, digits and ._+~^@=,:- in it", code="bad_path")
    if "repodata" in directory.split("/"):
        raise BadRequest("repodata/ is written by this server", code="bad_path")
    return f"{directory}/" if directory else "", name


def _scope(repository: Repository, path: str) -> str:
    """The directory whose index lists this path, "" or with a slash at its end."""
    segments = path.split("/")[:-1]
    if len(segments) < repository.repodata_depth:
        reason = f"this repository keeps its packages {repository.repodata_depth} directories deep"
        raise BadRequest(reason, code="bad_path")
    return "".join(f"{each}/" for each in segments[: repository.repodata_depth])
