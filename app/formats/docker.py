"""What is odd about OCI and Docker registries: what each path is, and whether an image may be had.

    v2/<name>/manifests/<tag>       mutable; a variant for every class of Accept (oci_accept.py)
    v2/<name>/manifests/<digest>    immutable
    v2/<name>/blobs/<digest>        immutable; vouched for by the image's stored manifests
    v2/<name>/tags/list             mutable, page by page (oci_lists.py)
    v2/<name>/referrers/<digest>    mutable, page by page; where upstream has no such API, the tag <algorithm>-<hex>

In a local repository each manifest and blob is a file of that very path, and the lists are computed
(app/hosting/docker.py).

Source: OCI distribution-spec 1.1 (Pull, Content Discovery, Registry Proxying).
"""

from __future__ import annotations

import urllib.parse
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import BinaryIO

from app.errors import BadRequest, Forbidden, NotFound
from app.formats.base import matching
from app.formats.oci_accept import negotiated
from app.formats.oci_lists import (
    KEPT,
    OF_REFERRERS,
    PAGING,
    canonical,
    list_headers,
    listed_tags,
    namespace,
    paged,
    upstreams,
)
from app.formats.oci_manifests import INDEX, MANIFEST_TYPES, SCHEMA1, read_manifest, read_referrers
from app.formats.oci_names import CATALOG, Endpoint, Target, digest_of, parse, referrers_tag, valid_name
from app.formats.oci_virtual import all_tags, following, of_virtual
from app.resource import (
    Ask,
    Desk,
    Digest,
    Format,
    Found,
    Headers,
    Kind,
    Literal,
    Made,
    Reading,
    Repository,
    Resource,
)

__all__ = ["CATALOG", "DOCKER", "NO_REFERRERS", "Docker", "Endpoint", "Target", "parse", "valid_name"]

HUB = frozenset({"docker.io", "index.docker.io", "registry-1.docker.io", "registry.hub.docker.com"})
NO_REFERRERS = Literal(b'{"schemaVersion":2,"mediaType":"%s","manifests":[]}' % INDEX.encode(), INDEX)

_WORDS = {  # what is asked, and whether by a tag
    (Endpoint.MANIFESTS, True): "a tag",
    (Endpoint.MANIFESTS, False): "a manifest by its digest",
    (Endpoint.BLOBS, False): "a blob by its digest",
    (Endpoint.TAGS, False): "a list of tags",
    (Endpoint.REFERRERS, False): "a list of referrers",
}


class Docker(Format):
    """The pull half of the OCI distribution specification."""

    __slots__ = ()
    name = "docker"
    merged = True

    def resolve(self, repository: Repository, ask: Ask) -> Resource:
        """See Format; raises also what parse() and canonical() do, and Forbidden "banned_tag"."""
        if repository.kind is Kind.VIRTUAL:
            return of_virtual(self, repository, ask, parse(ask.path))
        if repository.kind is Kind.LOCAL:
            return _hosted(self, repository, parse(ask.path))
        target = _upstream(repository, parse(ask.path))
        said = f"docker: {_WORDS[target.kind, bool(target.tag)]}{_allowed(repository, target)}"
        ttl, path = repository.mutable_ttl, target.path
        base = Resource(repository, path, path, ttl=ttl, area=target.name, format=self, rule=said)
        if target.kind is Endpoint.TAGS:
            query = upstreams(canonical(ask.query, PAGING))
            return replace(_paged(base, query, "application/json", ("Link",)), whole=True, rendered=True)
        if target.kind is Endpoint.REFERRERS:
            return _referrers(base, target, canonical(ask.query, OF_REFERRERS))
        if target.digest is not None:
            return _by_digest(base, target)
        return _by_tag(base, *negotiated(ask.headers.get("accept", "")))

    def read(self, resource: Resource, body: BinaryIO) -> Reading:
        """See Format. What stands under a referrers tag and is no index is no list (Listing Referrers)."""
        target = parse(resource.path)
        if target.kind is Endpoint.REFERRERS:
            return read_referrers(body)
        if target.kind is Endpoint.TAGS:
            listed_tags(body)
            return Reading()
        reading = read_manifest(target, body)
        if resource.blank is not None and reading.content_type != INDEX:
            raise ValueError("this is no list of referrers")
        return reading

    def promised(self, resource: Resource, headers: Mapping[str, str]) -> Digest | None:
        """See Format. A signed schema 1 manifest's digest is of its payload, which is not its body."""
        given = {name.lower(): value.strip() for name, value in headers.items()}
        if given.get("content-type", "").partition(";")[0].strip() in SCHEMA1:
            return None
        if parse(resource.path).kind not in (Endpoint.MANIFESTS, Endpoint.BLOBS):
            return None
        try:
            return digest_of(given.get("docker-content-digest", ""))
        except BadRequest:
            return None

    def headers(self, ask: Ask, resource: Resource, digest: str, kept: str) -> Headers:
        """See Format; by what was asked, so that a referrers tag's manifest reads like any other list."""
        asked = parse(ask.path)
        lines = [("Docker-Distribution-Api-Version", "registry/2.0")]
        if (registry := namespace(ask)).lower() in resource.repository.serves:
            lines.append(("OCI-Namespace", registry))
        if asked.kind in (Endpoint.TAGS, Endpoint.REFERRERS):
            return (*lines, *list_headers(ask, resource, kept))
        if known := asked.reference if asked.digest else digest and f"sha256:{digest}":
            lines.append(("Docker-Content-Digest", known))
        varies = asked.tag and resource.repository.kind is not Kind.LOCAL
        return (*lines, ("Vary", "Accept")) if varies else tuple(lines)

    def render(self, ask: Ask, resource: Resource, body: bytes, kept: str) -> tuple[bytes, str]:
        """See Format: tag lists alone."""
        return paged(ask, resource, body, kept)

    def spelled(self, pattern: str) -> str:
        """See Format: no image has capitals."""
        return pattern.lower()

    def named(self, path: str) -> str:
        """See Format: an image's name."""
        try:
            return parse(path).name
        except (NotFound, BadRequest):
            return ""

    def needs(self, resource: Resource, found: Sequence[Found]) -> Sequence[Resource]:
        """See Format: the pages that follow."""
        return following(found)

    def make(self, resource: Resource, found: Sequence[Found], desk: Desk) -> Made:
        """See Format: a list of tags."""
        desk.write(all_tags(found))
        return Made("application/json")


DOCKER = Docker()


def _hosted(docker: Docker, repository: Repository, target: Target) -> Resource:
    """What was pushed, under the name by which it was."""
    said = f"local: {_WORDS[target.kind, bool(target.tag)]}, as it was pushed"
    return Resource(repository, target.path, target.path, immutable=True, format=docker, rule=said)


# -- which image, and whether it may be had -------------------------------------------------------------------


def _upstream(repository: Repository, target: Target) -> Target:
    """As upstream calls it: Docker Hub's own images are under library/, and clients leave that out."""
    if "/" in target.name or not _is_hub(repository):
        return target
    return replace(target, name=f"library/{target.name}")


def _is_hub(repository: Repository) -> bool:
    if "docker.io" in repository.serves:
        return True
    return any(urllib.parse.urlsplit(url).hostname in HUB for url in repository.base_urls)


def _allowed(repository: Repository, target: Target) -> str:
    """Which pattern allows it, in words, "" where there is none at all; raises Forbidden.

    A pattern may mean the image, `<name>/manifests/<tag>` or that with v2/ in front, with Docker Hub's library/ or
    without.
    """
    names = [target.name]
    if target.name.startswith("library/") and _is_hub(repository):
        names.append(target.name.removeprefix("library/"))
    paths = [replace(target, name=name).path for name in names]
    texts = (*names, *(path.removeprefix("v2/") for path in paths), *paths)
    said = _pattern(repository, texts)
    if target.tag and target.tag in repository.ban_tags:
        raise Forbidden(f"{repository.name} does not serve the tag {target.tag}", code="banned_tag")
    return said


def _pattern(repository: Repository, texts: Iterable[str]) -> str:
    """The first pattern that is found in any of the texts, in words."""
    if not repository.immutable_patterns + repository.mutable_patterns:
        return ""
    for text in texts:
        for key in ("immutable_patterns", "mutable_patterns"):
            if (index := matching(getattr(repository, key), text)) is not None:
                return f", allowed by {key}[{index}]"
    raise Forbidden(f"no pattern of {repository.name} allows this image", code="blocked_by_pattern")


# -- the five resources ---------------------------------------------------------------------------------------


def _by_tag(base: Resource, variant: str, accept: str) -> Resource:
    return replace(
        base,
        key=f"{base.path}#{variant}",
        headers={"Accept": accept},
        index=True,
        whole=True,
        head_first=True,
        follow_gone=True,
    )


def _by_digest(base: Resource, target: Target) -> Resource:
    """All kinds of manifest are asked for by digest, so that upstream converts none into another."""
    fixed = replace(
        base,
        immutable=True,
        ttl=base.repository.immutable_ttl,
        expected=target.digest,
        vouchers=f"v2/{target.name}/manifests/",
    )
    if target.kind is Endpoint.BLOBS:
        return fixed
    accept = ", ".join((*MANIFEST_TYPES, "*/*"))
    return replace(fixed, headers={"Accept": accept}, index=True, whole=True, head_first=True)


def _referrers(base: Resource, target: Target, query: str) -> Resource:
    """The tag is asked for under a key of its own: as a list it must be an index, as a tag it may be anything."""
    subject = digest_of(target.reference)
    path = Target(Endpoint.MANIFESTS, target.name, referrers_tag(subject)).path
    tag = _by_tag(replace(base, path=path), "referrers", INDEX)
    listed = replace(_paged(base, query, INDEX, KEPT), index=True, whole=True)
    return replace(listed, otherwise=replace(tag, blank=NO_REFERRERS))


def _paged(base: Resource, query: str, accept: str, keep: tuple[str, ...]) -> Resource:
    key = f"{base.path}?{query}" if query else base.path
    return replace(base, key=key, query=query, headers={"Accept": accept}, keep=keep)
