"""Knows how the Puppet Forge answers, page by page, and how `puppet module` is run."""

from __future__ import annotations

import hashlib
import io
import json
import shutil
import tarfile
import urllib.parse
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.clients.commands import run
from tests.conftest import require
from tests.upstream_wire import Reply, Seen, whole
from tests.upstreams import Upstream


@dataclass(frozen=True, slots=True)
class Release:
    """A file of the Forge and what is said of it."""

    document: dict[str, Any]
    body: bytes


def release(name: str, version: str, needs: str = "") -> Release:
    """team-<name>, depending on any version of team-<needs>."""
    dependencies = [{"name": f"team/{needs}", "version_requirement": ">= 1.0.0"}] if needs else []
    metadata = {
        "name": f"team-{name}",
        "version": version,
        "author": "team",
        "summary": "of the tests",
        "license": "MIT",
        "source": "-",
        "dependencies": dependencies,
    }
    body = io.BytesIO()
    with tarfile.open(fileobj=body, mode="w:gz") as file:
        member = tarfile.TarInfo(f"team-{name}-{version}/metadata.json")
        text = json.dumps(metadata).encode()
        member.size = len(text)
        file.addfile(member, io.BytesIO(text))
    packed = body.getvalue()
    slug = f"team-{name}-{version}"
    document = {
        "slug": slug,
        "version": version,
        "metadata": metadata,
        "file_uri": f"/v3/files/{slug}.tar.gz",
        "file_sha256": hashlib.sha256(packed).hexdigest(),
        "file_md5": hashlib.md5(packed).hexdigest(),
    }
    return Release(document, packed)


class Forge:
    """One release a page, so that every list of two has a next page."""

    def __init__(self, upstream: Upstream) -> None:
        self.upstream = upstream
        self.releases: list[Release] = []
        upstream.fault(self._page, "/v3/releases")

    def add(self, *releases: Release) -> None:
        for each in releases:
            self.releases.insert(0, each)
            self.upstream.put(each.document["file_uri"], each.body)

    def _page(self, _: Reply, seen: Seen) -> Reply:
        asked = dict(urllib.parse.parse_qsl(seen.query))
        offset, module = int(asked.get("offset", "0")), asked.get("module", "")
        listed = [one.document for one in self.releases if one.document["metadata"]["name"] == module]
        more = f"/v3/releases?module={module}&offset={offset + 1}" if offset + 1 < len(listed) else None
        page = {"pagination": {"next": more}, "results": listed[offset : offset + 1]}
        return whole(200, {"Content-Type": "application/json"}, json.dumps(page).encode())


class Puppet:
    """One machine's `puppet module`, which knows one Forge."""

    def __init__(self, home: Path, url: str) -> None:
        self.home, self.url = home, url
        self.modules = home / "modules"

    def install(self, name: str) -> dict[str, str]:
        """puppet module install: the modules that are there then, and their versions."""
        shutil.rmtree(self.modules, ignore_errors=True)
        self.modules.mkdir()
        options = [
            "--module_repository",
            self.url,
            "--target-dir",
            str(self.modules),
            "--modulepath",
            str(self.modules),
        ]
        run([require("puppet"), "module", "install", f"team-{name}", *options], self.home)
        found = [json.loads(file.read_text()) for file in self.modules.glob("*/metadata.json")]
        return {each["name"]: each["version"] for each in found}
