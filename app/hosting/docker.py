"""How images are hosted: the lists that are computed of what was pushed.

    v2/<name>/blobs/<digest>          a file, there for this image alone
    v2/<name>/manifests/<digest>      a file; one with a subject stands in the scope v2/<name>/referrers/<subject>
    v2/<name>/manifests/<tag>         a file of the same bytes
    v2/<name>/tags/list               computed of the paths
    v2/<name>/referrers/<digest>      computed of the descriptors in its scope

Pushing is a protocol of its own (app/web/push.py): a path is never simply PUT.
Source: OCI distribution-spec 1.1, Listing Tags, Listing Referrers.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import closing
from pathlib import Path
from typing import Any, cast
from urllib.parse import quote

from app.errors import NotFound
from app.formats.oci_lists import OF_REFERRERS, PAGING, called, canonical, parameters
from app.formats.oci_manifests import INDEX, LARGEST
from app.formats.oci_names import Endpoint, Target, parse
from app.hosting.base import Contents, Described, Host, Page
from app.hosting.docker_manifest import Manifest, manifest
from app.resource import Ask, Headers

MOST = 10_000  # tags of one answer
READ = 1000  # paths read at a time
ROOM = LARGEST - 4096  # bytes of descriptors in one list of referrers: clients stop reading at LARGEST
VERSION = ("Docker-Distribution-Api-Version", "registry/2.0")


class Images(Host):
    """Images, and whatever else is pushed as one."""

    __slots__ = ()
    methods: tuple[str, ...] = ()

    def describes(self, path: str) -> bool:
        """See Host: of manifests alone, each under its digest."""
        target = parse(path)
        return target.kind is Endpoint.MANIFESTS and target.reference.startswith("sha256:")

    def describe(self, path: str, file: Path) -> Described | None:
        """See Host: what has a subject."""
        target = parse(path)
        return described(target, manifest(target, file.read_bytes(), ""))

    def page(self, ask: Ask, contents: Contents, address: str) -> Page | None:
        """See Host: the lists. Raises NotFound "unknown_repository" for the tags of no image, and as parse() does."""
        target = parse(ask.path)
        if target.kind is Endpoint.TAGS:
            return _tags(ask, target, contents)
        if target.kind is Endpoint.REFERRERS:
            return _referrers(ask, target, contents)
        return None


HOST = Images()


def described(target: Target, pushed: Manifest) -> Described | None:
    """Where a manifest of that image is listed, if anywhere."""
    if not pushed.subject:
        return None
    return Described(Target(Endpoint.REFERRERS, target.name, pushed.subject).path, pushed.about)


def _last(given: Mapping[str, str]) -> str:
    """What a page begins after; no text of Postgres's has a NUL."""
    return given.get("last", "").partition("\0")[0]


# -- tags -----------------------------------------------------------------------------------------------------


def _tags(ask: Ask, target: Target, contents: Contents) -> Page:
    given = parameters(canonical(ask.query, PAGING))
    number = min(int(given.get("n", MOST)), MOST)
    found: list[str] = []
    for tag in _after(target, _last(given), contents):
        if len(found) > number:
            break
        found.append(tag)
    if not found and not _exists(target, contents):
        raise NotFound("no such image", code="unknown_repository")
    page, more = found[:number], number and len(found) > number
    link = _link(ask, f"last={quote(page[-1], safe='')}&n={number}") if more else ()
    return _told({"name": called(ask), "tags": page}, "application/json", link)


def _after(target: Target, last: str, contents: Contents) -> Iterator[str]:
    """The image's tags in order. Digests, which are in between, are leapt over: no tag has a colon or anything that
    comes right after it. What has a slash is another image's ("a/manifests/b")."""
    prefix = f"v2/{target.name}/manifests/"
    after = prefix + last
    while batch := contents.listing(prefix, after, READ):
        after = batch[-1].path
        for path in (each.path.removeprefix(prefix) for each in batch):
            if path.partition(":")[1]:
                after = max(after, f"{prefix}{path.partition(':')[0]};")
            elif "/" not in path:
                yield path
        if len(batch) < READ:
            return


def _exists(target: Target, contents: Contents) -> bool:
    """Whether anything was pushed under that name (and is there)."""
    prefixes = [f"v2/{target.name}/{kind}/" for kind in (Endpoint.MANIFESTS, Endpoint.BLOBS)]
    listed = (each for prefix in prefixes for each in contents.listing(prefix, limit=READ))
    return any(each.path.count("/") == target.path.count("/") for each in listed)


# -- referrers ------------------------------------------------------------------------------------------------


def _referrers(ask: Ask, target: Target, contents: Contents) -> Page:
    given = parameters(canonical(ask.query, OF_REFERRERS))
    kind, last = given.get("artifactType", ""), _last(given)
    found: list[dict[str, Any]] = []
    link: Headers = ()
    size = 0
    after = f"v2/{target.name}/{Endpoint.MANIFESTS}/{last}" if last else ""
    with closing(cast(Any, contents.items(target.path, after))) as items:  # it holds a connection until it ends
        for item in items:
            about = json.loads(item.about)
            if kind and about.get("artifactType") != kind:
                continue
            size += len(item.about) + 2
            if found and size > ROOM:
                asked = f"&artifactType={quote(kind, safe='')}" if kind else ""
                link = _link(ask, f"last={found[-1]['digest']}{asked}")
                break
            found.append(about)
    filtered = (("OCI-Filters-Applied", "artifactType"),) if kind else ()
    return _told({"schemaVersion": 2, "mediaType": INDEX, "manifests": found}, INDEX, (*link, *filtered))


def _link(ask: Ask, query: str) -> Headers:
    return (("Link", f'<{ask.url_path}?{query}>; rel="next"'),)


def _told(document: dict[str, object], media_type: str, headers: Headers) -> Page:
    return Page(json.dumps(document).encode(), media_type, headers=(VERSION, *headers))
