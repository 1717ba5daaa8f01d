"""Knows how skopeo is run: it copies images, all platforms of them, into a directory as they are."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from tests.clients.commands import run
from tests.containers.images import digest_of
from tests.containers.machine import Held, Source

_SERVED = "--src-tls-verify=false"


class Skopeo:
    """One machine's skopeo. `dir:` keeps bytes and digests; `oci:` would write Docker's manifests anew."""

    takes_all = True

    def __init__(self, executable: str, home: Path) -> None:
        self.home = home
        self._command = executable

    def pull(self, source: Source, name: str, reference: str) -> Held:
        target = self.home / "image"
        self.copy(source.address(name, reference), f"dir:{target}")
        manifest = (target / "manifest.json").read_bytes()
        files = (path for path in target.iterdir() if path.name not in ("version", "manifest.json"))
        kept = {f"sha256:{path.name.partition('.')[0]}": path.read_bytes() for path in files}
        return Held(digest_of(manifest), _config(manifest, kept), {**kept, digest_of(manifest): manifest})

    def copy(self, address: str, target: str, *options: str) -> str:
        """Copy every platform; what skopeo printed."""
        arguments = ("copy", "--all", _SERVED, *options, f"docker://{address}", target)
        return run([self._command, *arguments], self.home)

    def inspect(self, address: str) -> dict[str, Any]:
        text = run([self._command, "inspect", "--tls-verify=false", f"docker://{address}"], self.home)
        return dict(json.loads(text))

    def tags(self, address: str) -> list[str]:
        text = run([self._command, "list-tags", "--tls-verify=false", f"docker://{address}"], self.home)
        return list(json.loads(text)["Tags"])


def _config(manifest: bytes, kept: dict[str, bytes]) -> str:
    """The config's digest, of the first platform where there are several."""
    document = json.loads(manifest)
    if "manifests" in document:
        document = json.loads(kept[document["manifests"][0]["digest"]])
    return str(document["config"]["digest"])
