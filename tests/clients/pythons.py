"""Knows an upstream index of Python packages: pages in JSON or in HTML on one address, files on another."""

from __future__ import annotations

import hashlib
import html
import io
import json
import zipfile
from dataclasses import dataclass, field

from app.formats.pypi import JSON_V1
from tests.upstreams import Upstream

UPLOADED = "2026-01-02T03:04:05.678901Z"


@dataclass
class Index:
    """What `index` and `files` serve; `add` before anyone asks."""

    index: Upstream = field(default_factory=Upstream)
    files: Upstream = field(default_factory=Upstream)
    projects: dict[str, list[dict[str, object]]] = field(default_factory=dict)

    def add(self, made: tuple[str, bytes], requires_python: str = "", **more: object) -> dict[str, object]:
        """A file of its project, with its metadata and a provenance where it is a wheel; what the page says of it."""
        name, body = made
        project = name.partition("-")[0].replace("_", "-")
        url = f"{self.files.url}/{hashlib.sha256(body).hexdigest()[:8]}/{name}"
        path = url.removeprefix(self.files.url)
        self.files.put(path, body)
        said: dict[str, object] = {"filename": name, "url": url, "hashes": {"sha256": _sha256(body)}}
        said |= {"size": len(body), "upload-time": UPLOADED, "requires-python": requires_python or None}
        if name.endswith(".whl"):
            metadata = _metadata(body)
            self.files.put(f"{path}.metadata", metadata, Content_Type="binary/octet-stream")
            said |= {"core-metadata": {"sha256": _sha256(metadata)}, "provenance": f"{url}.provenance"}
            self.files.put(f"{path}.provenance", b'{"version": 1}', Content_Type="application/json")
        said |= {"yanked": False} | more
        self.projects.setdefault(project, []).append(said)
        self._publish(project)
        return said

    def _publish(self, project: str) -> None:
        """Its page under simple/ in JSON, under html/simple/ in HTML, with URLs relative to a base there."""
        said = self.projects[project]
        versions = sorted({str(each["filename"]).split("-")[1].removesuffix(".tar.gz") for each in said})
        page = {"meta": {"api-version": "1.1"}, "name": project, "versions": versions, "files": said}
        self.index.put(f"/simple/{project}/", json.dumps(page).encode(), Content_Type=JSON_V1)
        self.index.put(f"/html/simple/{project}/", self._html(project), Content_Type="text/html")
        listed = {"meta": {"api-version": "1.1"}, "projects": [{"name": name} for name in self.projects]}
        self.index.put("/simple/", json.dumps(listed).encode(), Content_Type=JSON_V1)

    def _html(self, project: str) -> bytes:
        lines = [f'<title>Links for {project}</title><base href="{self.files.url}/base/">']
        for each in self.projects[project]:
            url = str(each["url"]).replace(self.files.url, "..")
            digest = each["hashes"]["sha256"]  # type: ignore[index]
            python = html.escape(str(each["requires-python"] or ""))
            lines.append(f'<a href="{url}#sha256={digest}" data-requires-python="{python}">{each["filename"]}</a>')
        return "\n".join(lines).encode()

    def asked(self) -> list[str]:
        """The paths that upstream was asked for, files without their directory."""
        own = [each.path for each in self.index.requests]
        return own + [each.path.rpartition("/")[2] for each in self.files.requests]

    def stop(self) -> None:
        self.index.stop()
        self.files.stop()

    def start(self) -> None:
        self.index.start()
        self.files.start()


def _sha256(body: bytes) -> str:
    return hashlib.sha256(body).hexdigest()


def _metadata(wheel: bytes) -> bytes:
    with zipfile.ZipFile(io.BytesIO(wheel)) as archive:
        return archive.read(next(name for name in archive.namelist() if name.endswith("/METADATA")))
