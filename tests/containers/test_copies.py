"""Twenty tags of one 500 MiB base, under two names: its bytes are stored once and sent once."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.containers.images import Image, Layer, digest_of, huge_layer, image, layer
from tests.containers.machine import Source
from tests.containers.skopeo import Skopeo
from tests.stack import eventually

MIB = 500
TAGS = range(10)


@pytest.fixture
def base(tmp_path: Path) -> Iterator[Layer]:
    """A layer of so many MiB."""
    file = tmp_path / "huge"
    yield huge_layer(file, MIB)
    file.unlink()


def stored(source: Source) -> list[Path]:
    """Every blob of the node."""
    return [path for path in (source.stack.data_dir / "blobs" / "sha256").rglob("*") if path.is_file()]


def assert_whole(blobs: Path, pulled: Image) -> None:
    """Its small parts byte for byte; skopeo itself checked the digest of the large one."""
    for part in (pulled.manifest, pulled.config, *(each.blob for each in pulled.layers)):
        file = blobs / part.digest.removeprefix("sha256:")
        assert file.stat().st_size == len(part.data)
        assert len(part.data) > 1 << 20 or file.read_bytes() == part.data


def test_twenty_tags_of_one_base_are_one_copy(
    skopeo: Callable[[], Skopeo], hub: Source, image_name: str, base: Layer
) -> None:
    apps = {
        (f"{image_name}-{name}", f"v{tag}"): image(base, layer(f"{image_name}-{name}-{tag}".replace("/", "-")))
        for name in ("app", "tool")
        for tag in TAGS
    }
    for (name, tag), each in apps.items():
        hub.registry.push(name, tag, each)
    before = set(stored(hub))
    machine = skopeo()
    for name, tag in apps:
        machine.copy(hub.address(name, tag), f"oci:{machine.home / 'layout'}:{name.rpartition('-')[2]}-{tag}")
    for each in apps.values():
        assert_whole(machine.home / "layout/blobs/sha256", each)
    new = set(stored(hub)) - before
    assert len([path for path in new if path.stat().st_size > MIB << 20]) == 1
    assert sum(path.stat().st_size for path in new) < (MIB + 10) << 20
    asked = [hub.registry.asked("GET", f"{name}/blobs/{base.blob.digest}") for name in {name for name, _ in apps}]
    assert sum(asked) == 1


def test_bytes_that_are_stored_are_asked_for_by_head(sources: dict[str, Source], image_name: str) -> None:
    """One layer in two images and in two registries: upstream says who may have it, and sends it once."""
    shared = image(layer(image_name.replace("/", "-")))
    blob = shared.layers[0].blob
    names = (f"{image_name}-one", f"{image_name}-two")
    for source in (sources["hub"], sources["private"]):
        for name in names:
            source.registry.push(name, "v1", shared)
    first = sources["hub"].get(f"{names[0]}/blobs/{blob.digest}")
    assert digest_of(first.body) == blob.digest
    eventually(lambda: sources["hub"].is_stored(f"{names[0]}/blobs/{blob.digest}"), "recorded")
    for source, name in ((sources["hub"], names[1]), (sources["private"], names[0]), (sources["private"], names[1])):
        path = f"{name}/blobs/{blob.digest}"
        answer = source.get(path)
        assert (answer.status, digest_of(answer.body)) == (200, blob.digest)
        assert (source.registry.asked("HEAD", path), source.registry.asked("GET", path)) == (1, 0)
