"""Images and artifacts, pushed and pulled again with each of the clients that teams have."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import oras.client
import pytest

from tests.clients.commands import CommandFailedError, run
from tests.conformance.pushing import Local
from tests.conftest import require
from tests.containers.buildah import Buildah
from tests.containers.containerd import Containerd, containerd
from tests.containers.daemon import require_root, short_directory
from tests.containers.dockerd import Docker, dockerd
from tests.containers.images import PLATFORMS, Form, multi, simple
from tests.containers.podman import storage
from tests.containers.tripwire import tripwire
from tests.hosting.conftest import TOKEN
from tests.stack import Stack

CREDS = f"ci:{TOKEN}"
OPEN = "--tls-verify=false"


@pytest.fixture
def images(hosted: Stack) -> Local:
    """The public repository of images."""
    return Local("named", "docker", hosted, TOKEN)


@pytest.fixture(scope="session")
def private_images(hosted: Stack) -> Local:
    return Local("named", "private-docker", hosted, TOKEN)


@pytest.fixture(scope="session")
def daemons() -> Iterator[tuple[Docker, Containerd]]:
    """A dockerd and its containerd that know of no other registry; their way out is a tripwire."""
    require_root()
    dockers, containerds = (require("dockerd"), require("docker")), (require("containerd"), require("ctr"))
    with (
        tripwire() as out,
        short_directory() as one,
        short_directory() as two,
        containerd(*containerds, one, out.url) as beside,
        dockerd(dockers, two, out.url, beside, out) as daemon,
    ):
        yield daemon, beside


@pytest.fixture
def home() -> Iterator[Path]:
    with short_directory() as made:
        yield made


@pytest.fixture
def skopeo(home: Path) -> Callable[..., str]:
    """skopeo(arguments...) with the right to push."""
    command = require("skopeo")
    return lambda *arguments: run([command, *arguments], home)


def address(local: Local, name: str, tag: str = "v1") -> str:
    return f"127.0.0.1:{local.node.port}/{local.repository}/{name}:{tag}"


def layout(of: Any, place: Path) -> Path:
    """An OCI layout of the image or index, tagged v1 (image-spec, image-layout.md)."""
    blobs = place / "blobs" / "sha256"
    blobs.mkdir(parents=True)
    for each in (*of.manifests, *of.blobs):
        (blobs / each.digest.removeprefix("sha256:")).write_bytes(bytes(each.data))
    listed = {**of.manifest.descriptor, "annotations": {"org.opencontainers.image.ref.name": "v1"}}
    (place / "oci-layout").write_text('{"imageLayoutVersion": "1.0.0"}')
    (place / "index.json").write_text(json.dumps({"schemaVersion": 2, "manifests": [listed]}))
    return place


def pulled(place: Path) -> tuple[str, dict[str, bytes]]:
    """(the digest of its only manifest, bytes by digest) of an OCI layout."""
    (listed,) = json.loads((place / "index.json").read_bytes())["manifests"]
    return listed["digest"], {f"sha256:{each.name}": each.read_bytes() for each in (place / "blobs/sha256").iterdir()}


# -- skopeo ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("make", [simple, multi], ids=["image", "index"])
def test_skopeo_copies_there_and_back(images: Local, skopeo: Callable[..., str], home: Path, make: Any) -> None:
    pushed = make(f"skopeo-{make.__name__}")
    source = layout(pushed, home / "in")
    remote = f"docker://{address(images, f'skopeo/{make.__name__}')}"
    skopeo("copy", "--all", "--dest-tls-verify=false", f"--dest-creds={CREDS}", f"oci:{source}:v1", remote)
    skopeo("copy", "--all", "--src-tls-verify=false", remote, f"oci:{home}/out:v1")
    digest, kept = pulled(home / "out")
    assert digest == pushed.manifest.digest
    assert all(kept[each.digest] == each.data for each in (*pushed.manifests, *pushed.blobs))
    assert json.loads(skopeo("list-tags", OPEN, remote.rpartition(":")[0]))["Tags"] == ["v1"]
    by_digest = f"{remote.rpartition(':')[0]}@{digest}"
    assert digest == json.loads(skopeo("inspect", OPEN, by_digest))["Digest"] or make is multi
    skopeo("delete", OPEN, f"--creds={CREDS}", remote)
    assert images.ask(f"skopeo/{make.__name__}/manifests/v1").status == 404


def test_skopeo_copies_what_docker_saved(images: Local, skopeo: Callable[..., str], home: Path) -> None:
    source = layout(simple("archive"), home / "in")
    skopeo("copy", f"oci:{source}:v1", f"docker-archive:{home}/saved.tar:archive:v1")
    remote = f"docker://{address(images, 'archive')}"
    skopeo("copy", "--dest-tls-verify=false", f"--dest-creds={CREDS}", f"docker-archive:{home}/saved.tar", remote)
    assert images.ask("archive/manifests/v1").type == Form.DOCKER.value[1]
    skopeo("copy", "--src-tls-verify=false", remote, f"docker-archive:{home}/again.tar:archive:v1")


def test_what_is_private_is_pulled_by_who_logs_in(
    private_images: Local, skopeo: Callable[..., str], home: Path
) -> None:
    source = layout(simple("private"), home / "in")
    remote = f"docker://{address(private_images, 'secret')}"
    skopeo("copy", "--dest-tls-verify=false", f"--dest-creds={CREDS}", f"oci:{source}:v1", remote)
    skopeo("copy", "--src-tls-verify=false", f"--src-creds={CREDS}", remote, f"oci:{home}/out:v1")
    for creds in ((), ("--src-creds=ci:wrong",)):
        with pytest.raises(CommandFailedError):
            skopeo("copy", "--src-tls-verify=false", *creds, remote, f"oci:{home}/stolen:v1")


# -- podman, buildah ------------------------------------------------------------------------------------------


def test_podman_pushes_and_pulls(images: Local, home: Path) -> None:
    command = [require("podman"), *storage(home)]
    source, name = layout(simple("podman"), home / "in"), address(images, "podman")
    run([*command, "pull", "--quiet", f"oci:{source}:v1"], home)
    (image,) = run([*command, "images", "--quiet"], home).split()
    run([*command, "login", OPEN, "--username=ci", f"--password={TOKEN}", name.partition("/")[0]], home)
    run([*command, "push", OPEN, image, name], home)
    run([*command, "push", OPEN, image, name.replace("podman", "podman-again")], home)  # mounts what is there
    run([*command, "rmi", "--force", image], home)
    run([*command, "pull", "--quiet", OPEN, name], home)
    assert run([*command, "images", "--quiet"], home).split() == [image]


def test_buildah_pushes_a_manifest_list(images: Local, home: Path) -> None:
    build = Buildah(require("buildah"), home)
    name = address(images, "buildah")
    for arch in PLATFORMS:
        build("pull", "--quiet", f"oci:{layout(simple('buildah', arch=arch), home / arch)}:v1")
    build("manifest", "create", "several", *build("images", "--quiet", "--no-trunc").split())
    build("manifest", "push", "--all", OPEN, f"--creds={CREDS}", "several", f"docker://{name}")
    listed = images.ask("buildah/manifests/v1").json["manifests"]
    assert sorted(each["platform"]["architecture"] for each in listed) == sorted(PLATFORMS)


# -- docker, containerd ---------------------------------------------------------------------------------------


def test_docker_pushes_and_pulls(images: Local, daemons: tuple[Docker, Containerd], home: Path) -> None:
    docker, name = daemons[0].forget(), address(images, "docker")
    source = layout(simple("dockered"), home / "in")
    run([require("skopeo"), "copy", f"oci:{source}:v1", f"docker-archive:{home}/saved.tar:{name}"], home)
    docker("load", "--quiet", "--input", str(home / "saved.tar"))
    docker("login", "--username=ci", f"--password={TOKEN}", name.partition("/")[0])
    docker("push", "--quiet", name)
    docker("tag", name, f"{name}-again")
    docker("push", "--quiet", f"{name}-again")
    digest = images.ask("docker/manifests/v1").digest
    docker("logout", name.partition("/")[0])
    for reference in (name, f"{name.rpartition(':')[0]}@{digest}"):
        assert docker.forget().pull_as(reference).digest == digest
    with pytest.raises(CommandFailedError):
        docker("push", "--quiet", f"{name}-no-more")


def test_containerd_pushes_and_pulls(images: Local, daemons: tuple[Docker, Containerd], home: Path) -> None:
    name, machine = address(images, "containerd"), daemons[1].machine()
    pushed = simple("containered")
    source = layout(pushed, home / "in")
    run(["tar", "-C", str(source), "-cf", str(home / "image.tar"), "."], home)
    machine("images", "import", "--index-name", name, "--no-unpack", str(home / "image.tar"))
    machine("images", "push", "--plain-http", "--user", CREDS, name)
    again = daemons[1].machine()
    again("images", "pull", "--plain-http", "--snapshotter", "native", name)
    assert pushed.manifest.digest in again("images", "ls") or pushed.manifest.digest in again("content", "ls")


# -- oras -----------------------------------------------------------------------------------------------------


def test_oras_pushes_pulls_and_attaches(images: Local, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(home)
    monkeypatch.setenv("HOME", str(home))
    client = oras.client.OrasClient(hostname=f"127.0.0.1:{images.node.port}", insecure=True, auth_backend="basic")
    client.auth.set_basic_auth("ci", TOKEN)
    data = os.urandom(300_000)
    (home / "model.bin").write_bytes(data)
    name = address(images, "oras")
    client.push(target=name, files=["model.bin:application/x-model"], quiet=True)
    chunked, files = address(images, "oras-chunked"), ["model.bin:application/x-model"]
    client.push(target=chunked, files=files, do_chunked=True, chunk_size=100_000, quiet=True)
    for each in (name, chunked):
        (got,) = client.pull(target=each, outdir=str(home / "out"))
        assert Path(got).read_bytes() == data
    found = images.ask("oras/manifests/v1")
    subject = oras.oci.Subject(mediaType=found.type, digest=found.digest, size=len(found.body))
    (home / "sbom.json").write_text("{}")
    client.push(
        target=address(images, "oras", "sbom"), files=["sbom.json:application/json"], subject=subject, quiet=True
    )
    sbom = images.ask("oras/manifests/sbom").digest
    assert images.referrers("oras", found.digest) == [sbom]
    assert client.get_tags(name) == ["sbom", "v1"]
    assert hashlib.sha256(data).hexdigest() in found.body.decode()
