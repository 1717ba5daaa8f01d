"""Knows how images are made of nothing: layers of noise, manifests in Docker's and in OCI's form, indexes.

Index -> Image (amd64) -> config
                       -> base layer, top layer
      -> Image (arm64) -> ...
"""

from __future__ import annotations

import gzip
import hashlib
import io
import itertools
import json
import mmap
import tarfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import Enum
from functools import cached_property
from pathlib import Path
from typing import Any

_MIB = 1 << 20
PLATFORMS = ("amd64", "arm64")


class Form(Enum):
    """The media types of index, manifest, config and layer: Docker's image manifest 2.2, OCI's image-spec 1.1."""

    DOCKER = (
        "application/vnd.docker.distribution.manifest.list.v2+json",
        "application/vnd.docker.distribution.manifest.v2+json",
        "application/vnd.docker.container.image.v1+json",
        "application/vnd.docker.image.rootfs.diff.tar.gzip",
    )
    OCI = (
        "application/vnd.oci.image.index.v1+json",
        "application/vnd.oci.image.manifest.v1+json",
        "application/vnd.oci.image.config.v1+json",
        "application/vnd.oci.image.layer.v1.tar+gzip",
    )


def digest_of(data: bytes | mmap.mmap) -> str:
    return f"sha256:{hashlib.sha256(data).hexdigest()}"


@dataclass(frozen=True)
class Blob:
    """Some bytes and what they are called; a manifest is one too."""

    media_type: str
    data: bytes | mmap.mmap

    @cached_property
    def digest(self) -> str:
        return digest_of(self.data)

    @property
    def descriptor(self) -> dict[str, Any]:
        return {"mediaType": self.media_type, "digest": self.digest, "size": len(self.data)}


@dataclass(frozen=True)
class Layer:
    """A file tree: `diff_id` is the digest of the tar that `blob` unpacks to, as daemons list it."""

    blob: Blob
    diff_id: str


@dataclass(frozen=True)
class Image:
    """One platform's image."""

    manifest: Blob
    config: Blob
    layers: tuple[Layer, ...]

    @property
    def blobs(self) -> tuple[Blob, ...]:
        """Everything that is pulled by /blobs/."""
        return (self.config, *(layer.blob for layer in self.layers))

    @property
    def manifests(self) -> tuple[Blob, ...]:
        return (self.manifest,)


@dataclass(frozen=True)
class Index:
    """Several platforms' images under one tag."""

    manifest: Blob
    images: tuple[Image, ...]

    @property
    def blobs(self) -> tuple[Blob, ...]:
        return tuple({blob.digest: blob for image in self.images for blob in image.blobs}.values())

    @property
    def manifests(self) -> tuple[Blob, ...]:
        """Children first, as a registry wants them."""
        return (*(image.manifest for image in self.images), self.manifest)


def layer(name: str, size: int = 20_000, form: Form = Form.OCI) -> Layer:
    """A gzipped tar of one file of noise that no other name gives."""
    noise = hashlib.shake_256(name.encode()).digest(size)
    return packed(_tar({f"opt/{name}": noise}), form)


def packed(tar: bytes, form: Form = Form.OCI) -> Layer:
    """A tar as a layer."""
    blob = Blob(form.value[3], gzip.compress(tar, compresslevel=1, mtime=0))
    return Layer(blob, digest_of(tar))


def huge_layer(file: Path, mib: int, form: Form = Form.OCI) -> Layer:
    """A gzipped tar of one file of so many MiB of noise, not in memory; `file` keeps it.

    Nothing is compressed, for gzip would take its time; skopeo does gzip what is not, so the header must be there.
    """
    block = hashlib.shake_256(file.name.encode()).digest(_MIB)
    info = tarfile.TarInfo("opt/huge")
    info.size = mib * _MIB
    tar = hashlib.sha256()
    with gzip.GzipFile(file, "wb", compresslevel=0, mtime=0) as out:
        for part in itertools.chain([info.tobuf()], itertools.repeat(block, mib), [bytes(2 * tarfile.BLOCKSIZE)]):
            tar.update(part)
            out.write(part)
    with file.open("rb") as whole:
        blob = Blob(form.value[3], mmap.mmap(whole.fileno(), 0, access=mmap.ACCESS_READ))
    return Layer(blob, f"sha256:{tar.hexdigest()}")


def image(*layers: Layer, form: Form = Form.OCI, arch: str = "amd64") -> Image:
    """An image of these layers, the base first."""
    rootfs = {"type": "layers", "diff_ids": [each.diff_id for each in layers]}
    about = {"architecture": arch, "os": "linux", "config": {"Cmd": ["/bin/sh"]}, "rootfs": rootfs}
    config = Blob(form.value[2], _json(about))
    return Image(manifest(config, *(each.blob for each in layers), form=form), config, layers)


def manifest(config: Blob, *layers: Blob, form: Form = Form.OCI, **more: Any) -> Blob:
    """A manifest; `more` are further members (artifactType, subject, annotations)."""
    parts = {"config": config.descriptor, "layers": [each.descriptor for each in layers]}
    return Blob(form.value[1], _json({"schemaVersion": 2, "mediaType": form.value[1], **parts, **more}))


def simple(name: str, form: Form = Form.OCI, arch: str = "amd64") -> Image:
    """An image of two layers that shares nothing with one of another name."""
    return image(layer(f"{name}-base", 60_000, form), layer(f"{name}-{arch}", 4_000, form), form=form, arch=arch)


def multi(name: str, form: Form = Form.OCI) -> Index:
    """An image for two platforms that share their base."""
    images = tuple(simple(name, form, arch) for arch in PLATFORMS)
    listed = [
        {**each.manifest.descriptor, "platform": {"architecture": arch, "os": "linux"}}
        for each, arch in zip(images, PLATFORMS, strict=True)
    ]
    about = {"schemaVersion": 2, "mediaType": form.value[0], "manifests": listed}
    return Index(Blob(form.value[0], _json(about)), images)


def artifact(subject: Blob, name: str) -> Image:
    """An OCI artifact that refers to `subject` (image-spec 1.1, manifest.md, "Guidelines for Artifact Usage")."""
    nothing = Blob("application/vnd.oci.empty.v1+json", b"{}")
    body = Blob("text/plain", f"signed: {name}".encode())
    kind = "application/vnd.example.signature"
    about = manifest(nothing, body, artifactType=kind, subject=subject.descriptor)
    return Image(about, nothing, (Layer(body, body.digest),))


def referrers_index(*artifacts: Image) -> Blob:
    """What a client pushes under the fallback tag (distribution-spec 1.1, "Referrers Tag Schema")."""
    listed = [{**each.manifest.descriptor, "artifactType": _artifact_type(each)} for each in artifacts]
    about = {"schemaVersion": 2, "mediaType": Form.OCI.value[0], "manifests": listed}
    return Blob(Form.OCI.value[0], _json(about))


def _artifact_type(each: Image) -> str:
    return str(json.loads(bytes(each.manifest.data))["artifactType"])


def _tar(files: Mapping[str, bytes]) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as tar:
        for name, body in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(body)
            tar.addfile(info, io.BytesIO(body))
    return out.getvalue()


def _json(document: Mapping[str, Any]) -> bytes:
    """Indented, as no encoder of the server under test would write it: bytes must come back as they are."""
    return json.dumps(document, indent=3).encode()


def contents(of: Image | Index) -> Iterator[tuple[str, bytes]]:
    """(digest, bytes) of every manifest and blob."""
    for each in (*of.manifests, *of.blobs):
        yield each.digest, bytes(each.data)
