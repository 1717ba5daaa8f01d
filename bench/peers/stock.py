"""What every product serves: files of five sizes, an image of the same bytes, 20,000 small files, two indexes.

/<rate>/<number>/<name>.deb            files of upstream's (bench/site.py)
bench/stock:latest                     an image whose layers are those files
/0/<number>/key-<number>.deb           each of KEYS files
/sets/stock/repodata/repomd.xml, /sets/stock/apk/x86_64/APKINDEX.tar.gz
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import tarfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from bench.packages import Packages
from bench.peers.registry import Origin
from bench.site import MANIFEST, MIB, Files

SIZES: Mapping[str, int] = {
    "1 KiB": 1024,
    "10 KiB": 10 * 1024,
    "1 MiB": MIB,
    "64 MiB": 64 * MIB,
    "1 GiB": 1024 * MIB,
}
KEYS = 20_000
IMAGE = "bench/stock"
LAYER = "application/vnd.oci.image.layer.v1.tar+gzip"
CONFIG = "application/vnd.oci.image.config.v1+json"
RPM, APK = "stock/repodata/repomd.xml", "stock/apk/x86_64/APKINDEX.tar.gz"
ACCEPT = {"Accept": MANIFEST}


@dataclass(frozen=True, slots=True)
class Image:
    """A pushed image: its name, its manifest and what its layers are called."""

    name: str
    manifest: bytes
    layers: tuple[str, ...]  # digests

    @property
    def digest(self) -> str:
        return f"sha256:{hashlib.sha256(self.manifest).hexdigest()}"

    def blob(self, number: int) -> str:
        return f"/v2/{self.name}/blobs/{self.layers[number]}"

    @property
    def by_digest(self) -> str:
        return f"/v2/{self.name}/manifests/{self.digest}"

    @property
    def by_tag(self) -> str:
        return f"/v2/{self.name}/manifests/latest"


@dataclass(frozen=True, slots=True)
class Stock:
    """`files`: upstream's paths by size; `image` is None where there is no registry to put it into."""

    upstream: Files
    files: Mapping[str, str]
    origin: Origin | None
    image: Image | None

    def fresh(self, size: int, rate: float = 0) -> str:
        """New bytes under a path that nobody asked for; `rate` in bytes a second."""
        name = f"fresh-{size}.deb"
        self.upstream.body(name, size)
        return self.upstream.path(name, rate)

    def new_image(self, sizes: Sequence[int]) -> Image | None:
        """An image of layers that nobody has."""
        if self.origin is None:
            return None
        files = []
        for number, size in enumerate(sizes):
            self.upstream.body(f"layer-{number}", size)
            files.append(self.upstream.here / "files" / f"layer-{number}")
        return pushed(self.origin, f"bench/image-{self.upstream.serial()}", files)


def stocked(upstream: Files, origin: Origin | None, sizes: Sequence[str]) -> Stock:
    """Make all of it upstream; `sizes` are the first few of SIZES."""
    names = {size: f"hit-{size.replace(' ', '-')}.deb" for size in sizes}
    for size, name in names.items():
        upstream.body(name, SIZES[size])
    upstream.body("warm.deb", 1024)
    _keys(upstream)
    Packages(upstream.here / "sets" / "stock", 200).publish()
    _apk(upstream.here / "sets" / APK)
    paths = {size: upstream.path(name) for size, name in names.items()}
    files = [upstream.here / "files" / name for name in names.values()]
    return Stock(upstream, paths, origin, pushed(origin, IMAGE, files) if origin else None)


def _keys(upstream: Files) -> None:
    """Each a file of its own: as many pages of the page cache and as many open() as of real ones."""
    body = (upstream.here / "files" / "hit-10-KiB.deb").read_bytes()
    for number in range(1, KEYS + 1):
        (upstream.here / "files" / f"key-{number}.deb").write_bytes(body)


def _apk(file: Path) -> None:
    """An index of 1000 packages (apk-tools, APKINDEX: one-letter fields, a blank line after each package)."""
    packages = "".join(f"C:Q1{number:027x}=\nP:p{number}\nV:1.0-r0\nA:x86_64\nS:1\nI:1\n\n" for number in range(1000))
    file.parent.mkdir(parents=True)
    with tarfile.open(file, "w:gz") as archive:
        member = tarfile.TarInfo("APKINDEX")
        member.size = len(packages)
        archive.addfile(member, io.BytesIO(packages.encode()))


def pushed(origin: Origin, name: str, files: Sequence[Path]) -> Image:
    """Push an image of these layers from an OCI layout of links (image-spec, "Image Layout")."""
    layout = origin.work / "layouts" / name
    blobs = layout / "blobs" / "sha256"
    blobs.mkdir(parents=True)
    config = _blob(
        blobs, b'{"architecture": "amd64", "os": "linux", "rootfs": {"type": "layers", "diff_ids": []}}', CONFIG
    )
    layers = [_link(blobs, file) for file in files]
    document = {"schemaVersion": 2, "mediaType": MANIFEST, "config": config, "layers": layers}
    manifest = json.dumps(document, indent=3).encode()
    named = {**_blob(blobs, manifest, MANIFEST), "annotations": {"org.opencontainers.image.ref.name": "latest"}}
    (layout / "index.json").write_text(json.dumps({"schemaVersion": 2, "manifests": [named]}), encoding="utf-8")
    (layout / "oci-layout").write_text('{"imageLayoutVersion": "1.0.0"}', encoding="utf-8")
    origin.push(layout, name)
    return Image(name, manifest, tuple(str(layer["digest"]) for layer in layers))


def _blob(blobs: Path, data: bytes, kind: str) -> dict[str, object]:
    digest = hashlib.sha256(data).hexdigest()
    (blobs / digest).write_bytes(data)
    return {"mediaType": kind, "digest": f"sha256:{digest}", "size": len(data)}


def _link(blobs: Path, file: Path) -> dict[str, object]:
    with file.open("rb") as opened:
        digest = hashlib.file_digest(opened, "sha256").hexdigest()
    os.link(file, blobs / digest)
    return {"mediaType": LAYER, "digest": f"sha256:{digest}", "size": file.stat().st_size}
