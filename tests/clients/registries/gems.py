"""Knows how gems are built and published as a compact index, and how gem and bundler are run."""

from __future__ import annotations

import hashlib
import shutil
from pathlib import Path

from tests.clients.commands import run
from tests.conftest import require
from tests.upstreams import Upstream

_SPECIFICATION = """\
Gem::Specification.new do |gem|
  gem.name, gem.version, gem.summary = "{name}", "{version}", "of the tests"
  gem.authors, gem.license, gem.homepage = ["a"], "MIT", "http://127.0.0.1/"
  gem.files = ["lib/{name}.rb"]
  {needs}
end
"""


class Gems:
    """Gems in one directory, and the registry that they make."""

    def __init__(self, work: Path) -> None:
        self.work = work
        self.site = work / "site"
        (self.site / "gems").mkdir(parents=True)
        self._info: dict[str, list[str]] = {}
        self._versions = "created_at: 2026-11-21T00:00:00Z\n---\n"

    def build(self, name: str, version: str, needs: str = "") -> Path:
        """One more gem, depending on any version of `needs`."""
        source = self.work / f"{name}-{version}"
        (source / "lib").mkdir(parents=True)
        (source / f"lib/{name}.rb").write_text(f"module {name.capitalize()}; VERSION = '{version}'; end\n")
        said = f'gem.add_dependency "{needs}", ">= 0"' if needs else ""
        (source / "gemspec").write_text(_SPECIFICATION.format(name=name, version=version, needs=said))
        file = self.site / "gems" / f"{name}-{version}.gem"
        run([require("gem"), "build", "gemspec", "-o", str(file)], self.work, cwd=source)
        checksum = hashlib.sha256(file.read_bytes()).hexdigest()
        listed = self._info.setdefault(name, [])
        listed.append(f"{version} {f'{needs}:>= 0' if needs else ''}|checksum:{checksum}\n")
        self._versions += f"{name} {version} {hashlib.md5(self.info(name)).hexdigest()}\n"
        return file

    def info(self, name: str) -> bytes:
        return f"---\n{''.join(self._info[name])}".encode()

    def publish(self, upstream: Upstream) -> None:
        """As rubygems' own server has it: every list under the md5 of its text for an ETag."""
        lists = {"/versions": self._versions.encode(), "/names": "".join(f"{n}\n" for n in self._info).encode()}
        lists |= {f"/info/{name}": self.info(name) for name in self._info}
        for path, body in lists.items():
            upstream.put(path, body, ETag=f'"{hashlib.md5(body).hexdigest()}"', Content_Type="text/plain")
        for file in (self.site / "gems").iterdir():
            upstream.put(f"/gems/{file.name}", file.read_bytes())
        upstream.put("/", b"<!doctype html><title>gems</title>", Content_Type="text/html")

    def index(self, upstream: Upstream) -> None:
        """Besides, the older indexes, by RubyGems' own tool."""
        run([require("gem"), "generate_index", "--directory", str(self.site)], self.work)
        for file in self.site.rglob("*"):
            if file.is_file() and "gems" not in file.relative_to(self.site).parts:
                upstream.put(f"/{file.relative_to(self.site)}", file.read_bytes())


class Ruby:
    """One machine's gem and bundler, which know one registry."""

    def __init__(self, home: Path, url: str) -> None:
        self.home, self.url = home, url
        self.gems = home / "gems"

    def install(self, name: str, *options: str) -> str:
        """gem install: what it printed."""
        command = ["install", name, "--clear-sources", "--source", f"{self.url}/", "--no-document"]
        return run([require("gem"), *command, "--install-dir", str(self.gems), *options], self.home)

    def bundle(self, *names: str, source: str = "") -> str:
        """bundle install of a Gemfile with these gems: what it locked; of another source where this is its mirror."""
        project = self.home / "project"
        shutil.rmtree(project, ignore_errors=True)
        project.mkdir()
        lines = [f'source "{source or self.url}/"', *(f'gem "{name}"' for name in names)]
        (project / "Gemfile").write_text("\n".join(lines) + "\n")
        run([require("bundle"), "config", "set", "--local", "path", str(self.gems)], self.home, cwd=project)
        if source:
            run([require("bundle"), "config", "set", "--local", "mirror.all", f"{self.url}/"], self.home, cwd=project)
        run([require("bundle"), "install", "--retry", "0"], self.home, cwd=project)
        return (project / "Gemfile.lock").read_text()

    def installed(self) -> set[str]:
        """The full names of what is installed."""
        return {file.stem for file in self.gems.rglob("specifications/*.gemspec")}
