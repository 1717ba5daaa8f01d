"""Virtual repositories of images: a manifest or blob is the first member's that has it, tags are all remotes'.

An image that a local member has is that member's alone, with its tags and referrers (app/web/docker.py asks it).
"""

from __future__ import annotations

import json
import urllib.parse
from collections.abc import Iterator, Sequence
from dataclasses import replace

from app.errors import NotFound
from app.formats.oci_lists import OF_REFERRERS, canonical, listed_tags, next_page
from app.formats.oci_names import Endpoint, Target, valid_tag
from app.formats.virtual import among, made, variant
from app.resource import Ask, Format, Found, Kind, Repository, Resource

MOST = 1_000_000  # tags of one image; the largest have some ten thousand
LONGEST = 128 << 20  # bytes of all pages of an image's tags
_PAGE = "n=1000"  # a page as large as upstreams give any: by default some have a hundred tags, some fifty


def of_virtual(known: Format, repository: Repository, ask: Ask, target: Target) -> Resource:
    """What a path of a virtual is. Raises Forbidden where every member's patterns refuse the image."""
    if target.kind not in (Endpoint.TAGS, Endpoint.REFERRERS):
        return among(known, repository, ask)
    lists = among(known, repository, ask)  # whose it may be is judged of all members
    remotes = tuple(each for each in lists.among if each.repository.kind is Kind.REMOTE)
    if not remotes:
        raise NotFound("no such image", code="unknown_repository")
    if target.kind is Endpoint.REFERRERS:
        return _referrers(replace(lists, among=remotes))
    pages = [_page(each.repository, target, known) for each in remotes]
    whole = made(known, repository, variant(repository, f"{target.path}#all"), target.path, pages, lists.rule)
    return replace(whole, html=False, rendered=True, query=canonical(ask.query, OF_REFERRERS))


def _page(remote: Repository, target: Target, known: Format) -> Resource:
    """The first page of a remote's list; it is read before it is recorded, as nobody is sent it as it is."""
    return replace(known.resolve(remote, Ask("GET", remote.name, target.path, _PAGE)), rendered=False, index=True)


def _referrers(found: Resource) -> Resource:
    """An empty list is the answer only where no member has another one."""
    *earlier, last = found.among
    return replace(found, among=(*(_without_blank(each) for each in earlier), last))


def _without_blank(resource: Resource) -> Resource:
    if resource.otherwise is None:
        return resource
    return replace(resource, otherwise=replace(resource.otherwise, blank=None))


def following(found: Sequence[Found]) -> Sequence[Resource]:
    """The pages that each remote's last one links to, and nobody has read yet. Raises ValueError where it has too
    much to say, before more of it is fetched."""
    if sum(each.entry.size for each in found if each.entry is not None) > LONGEST:
        raise ValueError(f"its pages are longer than {LONGEST >> 20} MiB")
    read = {(each.resource.repository.name, each.resource.key) for each in found}
    last = {each.resource.repository.name: each for each in found}
    pages = (_next(each) for each in last.values() if each.entry is not None)
    return [page for page in pages if page is not None and (page.repository.name, page.key) not in read]


def _next(found: Found) -> Resource | None:
    kept = "" if found.entry is None else found.entry.kept
    query = next_page(found.resource, kept)
    if not query:
        return None
    page = Ask("GET", found.resource.repository.name, found.resource.path, query)
    known = found.resource.format.resolve(found.resource.repository, page)
    return replace(known, rendered=False, index=True)


def all_tags(found: Sequence[Found]) -> bytes:
    """The document of every tag that a client could pull by, in order; raises ValueError where one is no list."""
    tags = {tag for each in found for tag in _tags(each) if valid_tag(tag)}
    if len(tags) > MOST:
        raise ValueError(f"more than {MOST} tags")
    name = next(urllib.parse.unquote(each.resource.path).removeprefix("v2/") for each in found)
    return json.dumps({"name": name.removesuffix("/tags/list"), "tags": sorted(tags)}).encode()


def _tags(found: Found) -> Iterator[str]:
    if found.file is None:
        return
    try:
        yield from listed_tags(found.file)
    except ValueError as error:
        raise ValueError(f"{found.resource.repository.name}: {error}") from error
