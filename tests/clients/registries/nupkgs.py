"""Knows how a NuGet feed looks, whose services are on two hosts, and how nuget.exe is run."""

from __future__ import annotations

import gzip
import io
import json
import shutil
import subprocess
import zipfile
from pathlib import Path
from typing import Any

import pytest

from tests.clients.commands import run
from tests.conftest import require
from tests.upstreams import Upstream

_NUSPEC = """\
<?xml version="1.0"?><package xmlns="http://schemas.microsoft.com/packaging/2013/05/nuspec.xsd"><metadata>
<id>{id}</id><version>{version}</version><authors>a</authors><description>of the tests</description>{needs}
</metadata></package>
"""


def nupkg(name: str, version: str, needs: str = "") -> bytes:
    """A package, depending on any version of `needs`."""
    said = f'<dependencies><dependency id="{needs}" version="1.0.0" /></dependencies>' if needs else ""
    body = io.BytesIO()
    with zipfile.ZipFile(body, "w") as file:
        for path, content in (
            (f"{name}.nuspec", _NUSPEC.format(id=name, version=version, needs=said)),
            ("content/readme.txt", name),
        ):
            file.writestr(zipfile.ZipInfo(path, (2026, 1, 1, 0, 0, 0)), content)
    return body.getvalue()


class Feed:
    """A V3 feed at /v3 of one server with its registrations (always compressed) and files on another."""

    def __init__(self, upstream: Upstream, files: Upstream) -> None:
        self.upstream, self.files = upstream, files
        self.registrations, self.flat = f"{files.url}/reg-gz", f"{files.url}/flat"
        self._versions: dict[str, list[tuple[str, str]]] = {}
        types = {
            "PackageBaseAddress/3.0.0": f"{self.flat}/",
            "RegistrationsBaseUrl/3.6.0": f"{self.registrations}/",
            "RegistrationsBaseUrl/Versioned": f"{self.registrations}/",
            "SearchQueryService/3.0.0-beta": f"{upstream.url}/search",
            "PackagePublish/2.0.0": f"{upstream.url}/publish",
        }
        resources = [{"@id": url, "@type": kind, "clientVersion": "4.3.0-alpha"} for kind, url in types.items()]
        upstream.put("/v3/index.json", _json({"version": "3.0.0", "resources": resources}))

    def add(self, name: str, version: str, needs: str = "") -> None:
        """One more package, its lists changed."""
        low = name.lower()
        self._versions.setdefault(name, []).append((version, needs))
        listed = [each for each, _ in self._versions[name]]
        self.files.put(f"/flat/{low}/index.json", _json({"versions": listed}))
        self.files.put(f"/flat/{low}/{version}/{low}.{version}.nupkg", nupkg(name, version, needs))
        path = f"/reg-gz/{low}/index.json"
        self.files.put(path, gzip.compress(_json(self._registration(name))), Content_Encoding="gzip")
        hits = [{"@id": f"{self.registrations}/{low}/index.json", "id": name, "version": version}]
        self.upstream.put("/search", _json({"totalHits": 1, "data": hits}))

    def _registration(self, name: str) -> dict[str, Any]:
        leaves = [self._leaf(name, *each) for each in self._versions[name]]
        url = f"{self.registrations}/{name.lower()}/index.json"
        lower, upper = self._versions[name][0][0], self._versions[name][-1][0]
        page = {"@id": f"{url}#page", "count": len(leaves), "items": leaves, "lower": lower, "upper": upper}
        return {"@id": url, "count": 1, "items": [{**page, "parent": url}]}

    def _leaf(self, name: str, version: str, needs: str) -> dict[str, Any]:
        low = name.lower()
        content = f"{self.flat}/{low}/{version}/{low}.{version}.nupkg"
        told: dict[str, Any] = {
            "@id": f"{self.upstream.url}/catalog/{low}.{version}.json",
            "id": name,
            "version": version,
        }
        if needs:
            url = f"{self.registrations}/{needs.lower()}/index.json"
            wanted = [{"id": needs, "range": "[1.0.0, )", "registration": url}]
            told["dependencyGroups"] = [{"dependencies": wanted}]
        return {
            "@id": f"{self.registrations}/{low}/{version}.json",
            "catalogEntry": {**told, "listed": True, "packageContent": content},
            "packageContent": content,
            "registration": f"{self.registrations}/{low}/index.json",
        }


def _json(document: object) -> bytes:
    return json.dumps(document).encode()


def nuget() -> list[str]:
    """The command line of a real nuget.exe."""
    mono = require("mono")
    told = subprocess.run(
        [require("npm"), "root", "--global"], stdout=subprocess.PIPE, text=True, check=True, timeout=60
    )
    place = Path(told.stdout.strip())
    found = next(iter(place.glob("nuget-exe/nuget-*.exe")), None)
    if found is None:
        require("nuget-exe of npm")
        pytest.skip("unreachable")
    return [mono, str(found)]


class NuGet:
    """One machine's nuget.exe, which knows one source."""

    def __init__(self, home: Path, url: str) -> None:
        self.home, self.source = home, f"{url}/index.json"

    def install(self, name: str, *options: str) -> set[str]:
        """nuget install: the packages that are there then, as <id>.<version>."""
        shutil.rmtree(self.home / "packages", ignore_errors=True)
        options = ("-Source", self.source, "-OutputDirectory", "packages", "-NonInteractive", "-NoCache", *options)
        run([*nuget(), "install", name, *options], self.home)
        return {each.name for each in (self.home / "packages").iterdir()}

    def search(self, text: str) -> str:
        """nuget search: what it printed."""
        return run([*nuget(), "search", text, "-Source", self.source, "-NonInteractive"], self.home)
