"""An rpm repository that is nothing but metadata, as large as a distribution's, in editions.

<place>/repodata/repomd.xml                  names the two by checksum
<place>/repodata/<hex>-primary.xml.gz        every package; one in a hundred changes with each edition
<place>/repodata/<hex>-filelists.xml.gz      new bytes of about the size that a real one has; nobody reads them
"""

from __future__ import annotations

import gzip
import hashlib
import os
import random
from pathlib import Path

from bench.bodies import Body, Text

COUNT = 20_000
CHANGED = 100  # every so many-th package is another one in the next edition
FILELISTS = 16 << 20  # bytes

_FIRST = 1_700_000_000  # seconds since 1970: when the first edition says that it was written

_PRIMARY = '<metadata xmlns="http://linux.duke.edu/metadata/common" xmlns:rpm="http://linux.duke.edu/metadata/rpm"'
_PACKAGE = """<package type="rpm">
  <name>{name}</name>
  <arch>x86_64</arch>
  <version epoch="0" ver="{version}" rel="1.el9"/>
  <checksum type="sha256" pkgid="YES">{checksum}</checksum>
  <summary>{summary}</summary>
  <description>{description}</description>
  <packager>Example Project &lt;packager@example.org&gt;</packager>
  <url>https://example.org/{name}</url>
  <time file="17{number:08d}" build="17{number:08d}"/>
  <size package="{number}" installed="{number}" archive="{number}"/>
  <location href="Packages/{name}-{version}-1.el9.x86_64.rpm"/>
  <format>
    <rpm:license>MIT</rpm:license>
    <rpm:vendor>Example</rpm:vendor>
    <rpm:sourcerpm>{name}-{version}-1.el9.src.rpm</rpm:sourcerpm>
    <rpm:header-range start="4504" end="17909"/>
    <rpm:provides>
{provides}
    </rpm:provides>
    <rpm:requires>
{requires}
    </rpm:requires>
    <file>/usr/bin/{name}</file>
  </format>
</package>
"""
_DATA = """<data type="{kind}"><checksum type="sha256">{digest}</checksum><location href="repodata/{name}"/></data>
"""
_REPOMD = """<?xml version="1.0" encoding="UTF-8"?>
<repomd xmlns="http://linux.duke.edu/metadata/repo"><revision>{edition}</revision>
{rows}</repomd>
"""


class Packages:
    """The repository in one directory; nothing is there before the first publish()."""

    def __init__(self, place: Path, count: int = COUNT) -> None:
        self._here = place / "repodata"
        self._here.mkdir(parents=True)
        self._words = [random.Random(number).randbytes(4).hex() for number in range(4000)]
        self._rows = [self._package(number, 0) for number in range(count)]
        self._edition = 0
        self.size = 0  # bytes of primary.xml before compression
        self.members: tuple[str, ...] = ()  # names beside repomd.xml of the newest edition

    def publish(self) -> bytes:
        """Show a new edition; its repomd.xml."""
        self._edition += 1
        for number in range(self._edition % CHANGED, len(self._rows), CHANGED):
            self._rows[number] = self._package(number, self._edition)
        text = f'{_PRIMARY} packages="{len(self._rows)}">\n{"".join(self._rows)}</metadata>\n'.encode()
        self.size = len(text)
        filelists = b"".join(Body(self._edition, FILELISTS).blocks())
        files = {"primary": gzip.compress(text, 1, mtime=0), "filelists": filelists}
        named = {kind: self._member(kind, data) for kind, data in files.items()}
        self.members = tuple(name for name, _ in named.values())
        rows = "".join(_DATA.format(kind=kind, name=name, digest=own) for kind, (name, own) in named.items())
        return self._head(_REPOMD.format(edition=self._edition, rows=rows).encode())

    def text(self, name: str) -> Text:
        """A file of the newest edition."""
        return Text((self._here / name).read_bytes())

    def _member(self, kind: str, data: bytes) -> tuple[str, str]:
        digest = hashlib.sha256(data).hexdigest()
        name = f"{digest}-{kind}.xml.gz"
        (self._here / name).write_bytes(data)
        return name, digest

    def _head(self, repomd: bytes) -> bytes:
        """In one step: nobody sees half of it. With a second of its own, for nginx's ETag is second and size."""
        beside = self._here / "repomd.new"
        beside.write_bytes(repomd)
        os.utime(beside, (_FIRST + self._edition, _FIRST + self._edition))
        beside.replace(self._here / "repomd.xml")
        return repomd

    def _package(self, number: int, edition: int) -> str:
        words = random.Random(number).choices(self._words, k=60)
        capabilities = [f'      <rpm:entry name="lib{word}.so.6()(64bit)" flags="EQ" epoch="0"/>' for word in words]
        return _PACKAGE.format(
            number=number,
            name=f"{words[0]}-{number}",
            version=f"1.{edition}",
            checksum=hashlib.sha256(b"%d %d" % (number, edition)).hexdigest(),
            summary=" ".join(words[1:8]),
            description=" ".join(words[8:50]),
            provides="\n".join(capabilities[:6]),
            requires="\n".join(capabilities[6:18]),
        )
