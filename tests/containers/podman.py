"""Knows how podman is run: storage of its own, no daemon. Containers cannot run here, images can be pulled.

<home>/root/vfs-images/<config's digest in hex>/
    manifest    this platform's
    =<base64>   the same, the index it was chosen from, the config, and an empty file that stands for signatures
"""

from __future__ import annotations

import json
from pathlib import Path

from tests.clients.commands import as_root, run
from tests.containers.images import digest_of
from tests.containers.machine import Held, Source


def storage(home: Path) -> list[str]:
    """The options that keep everything below `home`, for podman and buildah alike."""
    return ["--root", str(home / "root"), "--runroot", str(home / "run"), "--storage-driver", "vfs"]


def held(home: Path) -> Held:
    """The only image of that storage."""
    (image,) = (path for path in (home / "root/vfs-images").iterdir() if path.is_dir())
    bodies = {digest_of(body): body for path in image.iterdir() if (body := path.read_bytes())}
    chosen = digest_of((image / "manifest").read_bytes())
    index = next((digest for digest, body in bodies.items() if "manifests" in json.loads(body)), None)
    return Held(index or chosen, f"sha256:{image.name}", bodies)


class Podman:
    """One machine's podman; `variables` are NAME=value pairs of its environment."""

    takes_all = False

    def __init__(self, executable: str, home: Path, *variables: str) -> None:
        self._home = home
        self._command = [*as_root(), "env", *variables, executable, *storage(home)]

    def __call__(self, *arguments: str) -> str:
        return run([*self._command, *arguments], self._home)

    def pull(self, source: Source, name: str, reference: str) -> Held:
        return self.pull_as(source.address(name, reference), "--tls-verify=false")

    def pull_as(self, address: str, *options: str) -> Held:
        """Pull what is called so, by its address or by a mirror's."""
        self("pull", "--quiet", *options, address)
        return held(self._home)


def mirrored(home: Path, registry: str, mirror: str) -> str:
    """A registries.conf that asks `mirror` (host/prefix) before `registry`, as a variable of the environment."""
    file = home / "registries.conf"
    file.write_text(
        f'[[registry]]\nprefix = "{registry}"\nlocation = "{registry}"\n'
        f'[[registry.mirror]]\nlocation = "{mirror}"\ninsecure = true\n',
        encoding="utf-8",
    )
    return f"CONTAINERS_REGISTRIES_CONF={file}"
