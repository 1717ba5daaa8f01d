"""Maven as its users run it behind a mirror of everything, and an upstream that has what Debian's packages have."""

from __future__ import annotations

import hashlib
import io
import zipfile
from pathlib import Path

from tests.hosting.maven import CENTRAL, Maven
from tests.upstreams import Upstream

_SETTINGS = """<settings>
  <localRepository>{local}</localRepository>
  <interactiveMode>false</interactiveMode>
  <mirrors><mirror><id>mirror</id><mirrorOf>*</mirrorOf><url>{url}</url></mirror></mirrors>
</settings>
"""


class Mirrored(Maven):
    """One machine's Maven, which asks one repository for everything."""

    def __init__(self, home: Path, url: str) -> None:
        super().__init__(home, "")
        self.url = url
        (home / "settings.xml").write_text(_SETTINGS.format(local=self.local, url=url))

    def build(self, coordinates: str, needs: str = "") -> Path:
        """A project of one class, compiled."""
        project = self.project(self.url, coordinates, "public class Main { }", needs)
        self.run(project, "compile", "--strict-checksums")
        return project

    def jars(self, home: str) -> set[str]:
        """The names of the jars that were resolved of an artifact (its directory)."""
        return {path.name for path in (self.local / home).rglob("*.jar")}


def central(upstream: Upstream) -> None:
    """Have it serve all of the repository on disk, with the checksums that are not there."""
    for file in CENTRAL.rglob("*"):
        if file.is_file():
            path = f"/{file.relative_to(CENTRAL)}"
            upstream.put(path, file.resolve())
            with file.open("rb") as body:
                upstream.put(f"{path}.sha1", hashlib.file_digest(body, "sha1").hexdigest().encode())


def jar(text: str) -> bytes:
    body = io.BytesIO()
    with zipfile.ZipFile(body, "w") as archive:
        archive.writestr(zipfile.ZipInfo("text"), text)
    return body.getvalue()


def pom(group: str, artifact: str, version: str) -> bytes:
    named = f"<groupId>{group}</groupId><artifactId>{artifact}</artifactId><version>{version}</version>"
    return f"<project><modelVersion>4.0.0</modelVersion>{named}</project>".encode()


def metadata(group: str, artifact: str, *versions: str) -> bytes:
    """As Maven deploys it, of versions in their order."""
    listed = "".join(f"<version>{each}</version>" for each in versions)
    return (
        f"<metadata><groupId>{group}</groupId><artifactId>{artifact}</artifactId><versioning>"
        f"<latest>{versions[-1]}</latest><release>{versions[-1]}</release><versions>{listed}</versions>"
        "<lastUpdated>20261101000000</lastUpdated></versioning></metadata>"
    ).encode()


def publish(upstream: Upstream, group: str, artifact: str, *versions: str) -> None:
    """All versions of an artifact that this upstream then has, with their checksums; a jar says where it is from."""
    home = f"/{group.replace('.', '/')}/{artifact}"
    files = {f"{home}/maven-metadata.xml": metadata(group, artifact, *versions)}
    for each in versions:
        files[f"{home}/{each}/{artifact}-{each}.pom"] = pom(group, artifact, each)
        files[f"{home}/{each}/{artifact}-{each}.jar"] = jar(f"{upstream.port} {each}")
    for path, body in files.items():
        upstream.put(path, body)
        upstream.put(f"{path}.sha1", hashlib.sha1(body).hexdigest().encode(), Content_Type="text/plain")
