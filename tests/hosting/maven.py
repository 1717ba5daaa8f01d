"""Maven as its users run it: projects, settings.xml, and Debian's repository on disk in place of the central one."""

from __future__ import annotations

import shutil
from pathlib import Path

from tests.clients.commands import run
from tests.conftest import require

CENTRAL = Path("/usr/share/maven-repo")
PLUGINS = ("compiler", "deploy", "install", "jar", "resources", "surefire")
DEFINED = """<project xmlns="http://maven.apache.org/POM/4.0.0">
  <modelVersion>4.0.0</modelVersion>
  <groupId>{group}</groupId><artifactId>{artifact}</artifactId><version>{version}</version>
  <properties>
    <maven.compiler.source>11</maven.compiler.source><maven.compiler.target>11</maven.compiler.target>
    <project.build.sourceEncoding>UTF-8</project.build.sourceEncoding>
  </properties>
  <distributionManagement>
    <repository><id>team</id><url>{url}</url></repository>
  </distributionManagement>
  <repositories>
    <repository><id>team</id><url>{url}</url><snapshots><updatePolicy>always</updatePolicy></snapshots></repository>
  </repositories>
  <dependencies>{dependencies}</dependencies>
  <build><pluginManagement><plugins>{plugins}</plugins></pluginManagement></build>
</project>
"""
SETTINGS = """<settings>
  <localRepository>{local}</localRepository>
  <interactiveMode>false</interactiveMode>
  <mirrors><mirror><id>disk</id><mirrorOf>central</mirrorOf><url>file://{central}</url></mirror></mirrors>
  <servers><server><id>team</id><username>ci</username><password>{token}</password></server></servers>
</settings>
"""


class Maven:
    """One user of Maven with a local repository of its own, who knows one server by its token."""

    def __init__(self, home: Path, token: str) -> None:
        self.home, self.local = home, home / "m2"
        self._mvn = require("mvn")
        require("javac")
        home.mkdir(parents=True, exist_ok=True)
        settings = SETTINGS.format(local=self.local, central=CENTRAL, token=token)
        (home / "settings.xml").write_text(settings)

    def project(self, url: str, coordinates: str, source: str, needs: str = "") -> Path:
        """A project `group:artifact:version` with one class of Java, that needs another of the same form."""
        group, artifact, version = coordinates.split(":")
        directory = self.home / artifact
        code = directory / "src/main/java" / f"{source.split('class ')[1].split()[0]}.java"
        code.parent.mkdir(parents=True, exist_ok=True)
        code.write_text(source)
        values = {"group": group, "artifact": artifact, "version": version, "url": url}
        needed = _dependency(*needs.split(":")) if needs else ""
        plugins = "".join(_plugin(name) for name in PLUGINS)
        (directory / ".mvn").mkdir(exist_ok=True)
        (directory / ".mvn/jvm.config").write_text(
            "-XX:TieredStopAtLevel=1 -XX:+UseSerialGC"
        )  # starts in half the time
        (directory / "pom.xml").write_text(DEFINED.format(**values, dependencies=needed, plugins=plugins))
        return directory

    def run(self, project: Path, *goals: str) -> str:
        """What `mvn GOALS` said; raises CommandFailedError."""
        options = ["--batch-mode", "--settings", str(self.home / "settings.xml"), "-Dmaven.test.skip=true"]
        return run([self._mvn, *options, *goals], self.home, 120, cwd=project)

    def forget(self, group: str) -> None:
        """Have what was installed of a group resolved again."""
        shutil.rmtree(self.local / group.replace(".", "/"), ignore_errors=True)


def _plugin(name: str) -> str:
    directory = CENTRAL / "org/apache/maven/plugins" / f"maven-{name}-plugin"
    versions = sorted(directory.glob("*/*.jar"), key=lambda jar: jar.stat().st_size)
    if not versions:
        require(f"libmaven-{name}-plugin-java")  # which is no command: skips, or fails in CI
    version = versions[-1].parent.name
    return f"<plugin><artifactId>maven-{name}-plugin</artifactId><version>{version}</version></plugin>"


def _dependency(group: str, artifact: str, version: str) -> str:
    where = f"<groupId>{group}</groupId><artifactId>{artifact}</artifactId>"
    return f"<dependency>{where}<version>{version}</version></dependency>"
