"""How Alpine packages are hosted: one signed index for each architecture's directory.

    <any>/<arch>/<name>-<version>.apk     PUT; or POST to any of its directories
    <any>/<arch>/APKINDEX.tar.gz          built: a tar of DESCRIPTION and APKINDEX, its signature a gzip member before
    <any>/<arch>/<signing_key_name>       built: the public key, for /etc/apk/keys

Source: apk-tools, src/app_index.c, src/extract_v2.c; abuild, abuild-sign.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path

from app.errors import BadRequest
from app.formats import apk_index, apk_signature
from app.formats.apk_index import INDEX, key_name
from app.hosting import apk_package
from app.hosting.apk_package import NOARCH, Package
from app.hosting.archives import judged
from app.hosting.base import BINARY, Accepted, Build, Built, Contents, Described, New, PackageHost, Post

ARCHITECTURES = frozenset(  # doc/apk-package.5
    (
        *("aarch64", "arc700", "archs", "armeb", "armel", "armhf", "armv7", "loongarch64", "loongarchx32", "mips"),
        *("mips64", "mips64el", "mipsel", "ppc", "ppc64", "ppc64le", "riscv32", "riscv64", "s390x", "sh2eb", "sh3"),
        *("sh4", "wasi32", "wasi64", "x86", "x86_64"),
    )
)


class _Apk(PackageHost):
    __slots__ = ()

    def take(self, post: Post, contents: Contents) -> Accepted:
        """See PackageHost; a PUT names the file, a POST its directory or one above."""
        if post.method == "PUT" and not post.path.endswith(".apk"):
            raise BadRequest("this repository takes packages: PUT <arch>/<name>-<version>.apk", code="bad_path")
        upload = post.file.upload
        with judged(), upload.path.open("rb") as file:
            package = apk_package.read(file)
        directory = _directory(post, package)
        entry = package.entry(directory.rpartition("/")[2])
        return Accepted([New(f"{directory}/{package.file}", upload, BINARY, scope=directory, about=entry)])

    def describe(self, path: str, file: Path) -> Described | None:
        """See Host."""
        directory, _, name = path.rpartition("/")
        with judged(), file.open("rb") as body:
            package = apk_package.read(body)
        return Described(directory, package.entry(directory.rpartition("/")[2])) if name == package.file else None

    def build(self, build: Build) -> Iterable[Built]:
        """See Host. Where the last package went the index stays, and is empty: apk takes a 404 for an error."""
        return _index(build, (each.about for each in build.items))

    def blank(self, path: str, build: Build) -> Built | None:
        """See Host."""
        directory, _, name = path.rpartition("/")
        known = directory.rpartition("/")[2] in ARCHITECTURES and name in (INDEX, key_name(build.repository))
        if not known or not self.untold(path, build.contents):
            return None
        index = _index(replace(build, scope=directory), iter(()))
        return next((each for each in index if each.path == path), None)

    def untold(self, path: str, contents: Contents) -> bool:
        """See Host: an architecture without packages, beside others. A directory that has nothing may be mistyped."""
        directory = path.rpartition("/")[0]
        above = directory[: directory.rfind("/") + 1]
        beside = contents.children(above, limit=1) or not contents.scopes(limit=1)
        return bool(beside) and next(iter(contents.items(directory)), None) is None


HOST = _Apk()


def _directory(post: Post, package: Package) -> str:
    """Where the package belongs; BadRequest where the request says otherwise."""
    above, _, last = post.path.rstrip("/").rpartition("/")
    if post.method == "PUT":
        arch = above.rpartition("/")[2]
        fits = package.arch == arch or (package.arch == NOARCH and arch in ARCHITECTURES)
        if not fits or last != package.file:
            raise BadRequest(f"apk asks for this package as {_right(above, package)}", code="bad_path")
        return above
    whole = post.path.rstrip("/")
    if last == package.arch or (package.arch == NOARCH and last in ARCHITECTURES):
        return whole
    if package.arch == NOARCH or last in ARCHITECTURES:
        raise BadRequest(f"apk asks for this package as {_right(whole, package)}", code="bad_path")
    return f"{whole}/{package.arch}".lstrip("/")


def _right(directory: str, package: Package) -> str:
    """The path that it should have, as far as that is known."""
    above, _, last = directory.rpartition("/")
    known = last in ARCHITECTURES or last == NOARCH or not last
    arch = "<architecture>" if package.arch == NOARCH else package.arch
    return "/".join(part for part in (above if known else directory, arch, package.file) if part)


# -- the index ----------------------------------------------------------------------------------------------


def _index(build: Build, entries: Iterator[str]) -> Iterator[Built]:
    text, packed, signing = build.scratch(), build.scratch(), build.repository.signing
    with text.open("w+b") as file, packed.open("wb") as into:
        for entry in entries:
            file.write(f"{entry}\n".encode())
        digest = apk_index.pack(build.repository, file, into)
    if not signing.key:
        yield Built(f"{build.scope}/{INDEX}", packed, "application/gzip")
        return
    name = key_name(build.repository)
    yield Built(f"{build.scope}/{name}", apk_signature.public_key(signing), "application/x-pem-file")
    signature = apk_index.signature(build.repository, digest)
    yield Built(f"{build.scope}/{INDEX}", _behind(signature, packed, build.scratch()), "application/gzip")


def _behind(head: bytes, tail: Path, into: Path) -> Path:
    with into.open("wb") as file, tail.open("rb") as rest:
        file.write(head)
        shutil.copyfileobj(rest, file, 1 << 20)
    return into
