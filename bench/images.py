"""The same measurements for images: blobs and manifests instead of files."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator

from bench import herd, hits, memory
from bench.bodies import Text
from bench.client import Got, head
from bench.figures import MILLISECONDS, Figure, median
from bench.first_byte import MISS, Pair, compare, file
from bench.site import BLOBS, BRIEF, MANIFEST, MIB, SMALL, Site
from tests.stack import eventually

LAYERS = 8
SECONDS = 1.0  # of load on each address in turn: short, so that the machine's moods meet all of them
REPEATS = 3  # a round
LATE = BRIEF + 0.2


def measure(site: Site) -> Iterator[Figure]:
    yield compare(f"{MISS}: 10 KiB blob", site, lambda: file(site, BLOBS, "small", SMALL))
    yield compare(f"{MISS}: 16 MiB blob", site, lambda: file(site, BLOBS, "large", 16 * MIB))
    yield from _manifest(site)
    yield from herd.measure(site, BLOBS, "64 MiB blob")
    yield _herd(site, "images", "one cold tag, GET and HEAD: upstream GETs", warm=False)
    yield _herd(site, "brief", "one expired unmoved tag: manifest GETs", warm=True)
    yield from _hits(site)
    yield from memory.large(site, "4 GiB blob", lambda body: _late(body.serial, body.sha256()))


def _late(serial: int, digest: str) -> str:
    return f"/repository/late-images/v2/0/0/{memory.SIZE}/{serial}/blobs/sha256:{digest}"


def _new(site: Site) -> Text:
    """An image's manifest of usual size, unlike every other, in the file `manifest`."""
    kind, serial = "application/vnd.oci.image.{}+json", site.files.serial()
    parts = [
        {"mediaType": kind.format(what), "digest": f"sha256:{serial * 100 + number:064x}", "size": number + 1}
        for number, what in enumerate(["config.v1", *["layer.v1.tar+gzip"] * LAYERS])
    ]
    document = {"schemaVersion": 2, "mediaType": MANIFEST, "config": parts[0], "layers": parts[1:]}
    return site.files.text("manifest", json.dumps(document, indent=3).encode())


# -- one client -----------------------------------------------------------------------------------------------


def _manifest(site: Site) -> Iterator[Figure]:
    """Cold, and then warm the same; it is sent when it is whole, so its last byte comes with its first."""
    colds: list[Got] = []
    warms: list[Got] = []

    def fresh() -> Pair:
        manifest = _new(site)
        tag, _ = site.files.manifest("manifest")

        def through() -> Got:
            colds.append(site.through(tag, manifest, at="images"))
            warms.append(site.through(tag, manifest, at="images"))
            return colds[-1]

        return Pair(lambda: site.direct(tag, manifest), through)

    yield compare(f"{MISS}: a manifest by tag", site, fresh)
    for name, found in (("cold", colds), ("warm", warms)):
        first, last = median([each.first for each in found]), median([each.total for each in found])
        told = f"{MILLISECONDS.write(first)}, {MILLISECONDS.write(last)}"
        yield Figure(f"  {name}: first byte, last byte", told, samples=tuple(each.total for each in found))


def _hits(site: Site) -> Iterator[Figure]:
    body, manifest = site.files.body("hit", SMALL), _new(site)
    file, blob, (tag, digest) = site.files.path("hit"), site.files.blob("hit"), site.files.manifest("manifest")
    site.through(file, body)
    site.through(blob, body, at="images")
    site.through(digest, manifest, at="images")
    site.through(tag, manifest, at="images")
    addresses = {
        "10 KiB file": site.address(file),
        "10 KiB blob": site.address(blob, "images"),
        f"{manifest.size / 1024:.0f} KiB manifest by digest": site.address(digest, "images"),
        "the same by tag": site.address(tag, "images"),
    }
    yield from hits.rates(site, addresses, SECONDS, REPEATS)


# -- fifty ----------------------------------------------------------------------------------------------------


def _herd(site: Site, at: str, work: str, *, warm: bool) -> Figure:
    """Upstream's GETs for a herd on one tag: exactly one of a cold one, none of one that is stored and unmoved."""
    wanted = 0 if warm else 1
    rounds = [_round(site, at, warm) for _ in range(site.rounds)]
    gets = tuple(float(gets) for gets, _, _ in rounds)
    heads = "/".join(str(heads) for _, heads, _ in rounds)
    note = f"HEADs {heads}, the last client after {MILLISECONDS.write(median([last for _, _, last in rounds]))}"
    found = f"{max(gets):.0f} ({herd.CLIENTS} right answers, {note})"
    return Figure(f"{herd.CLIENTS} clients, {work}", found, f"exactly {wanted}", set(gets) == {wanted}, gets)


def _round(site: Site, at: str, warm: bool) -> tuple[int, int, float]:
    """Upstream's GETs and HEADs, and the seconds of the last client."""
    manifest = _new(site)
    tag, _ = site.files.manifest("manifest")
    if warm:
        site.through(tag, manifest, at=at)
        time.sleep(LATE)
    eventually(lambda: site.files.asked(tag) == warm, "upstream's log line", 5)
    address = site.address(tag, at)

    def client(number: int) -> float:
        whole = number % 2 == 0
        return site.through(tag, manifest, at=at).total if whole else head(site.node.port, address, manifest.size)

    last = herd.together(client)
    eventually(lambda: site.files.asked(tag) + site.files.asked(tag, "HEAD") > warm, "upstream's log line", 5)
    return site.files.asked(tag) - warm, site.files.asked(tag, "HEAD"), last
