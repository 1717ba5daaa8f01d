"""One package is published into a hosted repository of ten thousand: how long until dnf has it.

The ten thousand are described in Postgres, with thirty files, twenty requires and ten changes each, and have no
bytes. dnf is the machine's own, as a process, with what it starts and parses.
"""

from __future__ import annotations

import contextlib
import hashlib
import random
import shutil
import time
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass

import createrepo_c

from app.hosting.rpm_file import Rpm
from app.resource import Entry
from app.stores.postgres import PostgresIndex
from app.stores.publications import Description, Publication
from app.supervisor import commands
from app.supervisor.commands import Stores
from bench.figures import SECONDS, Figure, at_most, shown
from bench.site import Site
from tests.clients.dnf import Dnf
from tests.clients.rpms import Package, Rpms
from tests.stack import Stack

COUNT, BATCH = 10_000, 500
FILES, REQUIRES, CHANGES = 30, 20, 10
LIMIT = 2.0  # seconds
TOKEN = "an-admin-token-of-the-bench"


@dataclass(frozen=True, slots=True)
class _Round:
    """Seconds: of the upload until its 201, of dnf after that, and of a dnf that finds nothing new."""

    published: float
    seen: float
    idle: float


def measure(site: Site) -> Iterator[Figure]:
    with _filled(site) as node:
        (node.directory / "rpms").mkdir()
        rpms = Rpms(node.directory / "rpms")
        dnf = Dnf(shutil.which("dnf") or "dnf", node.directory / "machine", f"{node.url}/repository/rpm")
        _round(node, rpms, dnf, 0)  # the first index, and a warm dnf
        rounds = [_round(node, rpms, dnf, number) for number in range(1, site.rounds + 1)]
    work = f"an rpm published among {COUNT:,}: until dnf makecache has it"
    yield at_most(work, [each.published + each.seen for each in rounds], LIMIT, SECONDS)
    yield shown("  until its 201", [each.published for each in rounds], SECONDS)
    yield shown("  dnf makecache after that", [each.seen for each in rounds], SECONDS)
    yield shown("  dnf makecache where nothing is new", [each.idle for each in rounds], SECONDS)


def _round(node: Stack, rpms: Rpms, dnf: Dnf, number: int) -> _Round:
    package = Package(f"new{number}", "1.0")
    body = rpms.file(package).read_bytes()
    begun = time.perf_counter()
    if number:
        dnf("makecache", "--refresh")
    idle = time.perf_counter() - begun
    begun = time.perf_counter()
    asked = urllib.request.Request(f"{node.url}/repository/rpm/", body, {"Authorization": f"Bearer {TOKEN}"})
    with urllib.request.urlopen(asked) as answer:
        assert answer.status == 201
        assert "Warning" not in answer.headers
    published = time.perf_counter() - begun
    dnf("makecache", "--refresh")
    seen = time.perf_counter() - begun - published
    assert package.name in dnf("-C", "repoquery", package.name)
    return _Round(published, seen, idle)


@contextlib.contextmanager
def _filled(site: Site) -> Iterator[Stack]:
    document = {"locals": {"rpm": {"package": "rpm"}}}
    node = Stack(site.node.directory.parent / "hosted-rpm", document, {"ADMIN_TOKEN": TOKEN})
    try:
        node.start()
        stores = Stores.read(node.data_dir / "run" / commands.URLS)
        assert stores is not None
        with contextlib.closing(PostgresIndex(stores.database_url)) as index:
            for first in range(0, COUNT, BATCH):
                new = [_publication(number) for number in range(first, first + BATCH)]
                index.hosted.change("rpm", new, [], lambda _: True, lambda _: None)
        yield node
    finally:
        node.close()


def _publication(number: int) -> Publication:
    package = _package(random.Random(number), number)
    entry = Entry(package.pkgId, package.size_package, "application/x-rpm", f'"{package.pkgId}"', "", fetched=1.0)
    href, digest, size, published = package.location_href, package.pkgId, package.size_package, package.time_file
    about = Rpm(href, package).described(href, digest, size, published)
    return Publication(package.location_href, entry, description=Description("", about))


_WORDS = [random.Random(number).randbytes(4).hex() for number in range(4000)]


def _package(drawn: random.Random, number: int) -> createrepo_c.Package:
    """One of about the size that a distribution's have; no two are alike."""

    def words(count: int) -> str:
        return " ".join(drawn.choices(_WORDS, k=count))

    package = createrepo_c.Package()
    package.name, package.version, package.release = f"{words(1)}-{number}", "1.0", f"{number}.el9"
    package.epoch, package.arch, package.checksum_type = "0", "x86_64", "sha256"
    package.pkgId = hashlib.sha256(str(number).encode()).hexdigest()
    package.location_href = f"Packages/{package.nvra()}.rpm"
    package.summary, package.description = words(6), words(40)
    package.url, package.rpm_license, package.rpm_group = "https://example.org", "MIT", "Unspecified"
    package.size_package = package.size_installed = drawn.randrange(1 << 24)
    package.time_build = package.time_file = 1_700_000_000 + number
    package.provides = [(package.name, "EQ", "0", package.version, package.release, False)]
    needs = _WORDS[number % 3900 :][:REQUIRES]
    package.requires = [(f"lib{word}.so.6()(64bit)", None, None, None, None, False) for word in needs]
    package.files = [("", f"/usr/share/{package.name}/", f"{words(1)}.py") for _ in range(FILES)]
    author = "A Packager <packager@example.org> - 1.0"
    package.changelogs = [(author, 1_600_000_000 + each, f"- {words(8)}") for each in range(CHANGES)]
    return package
