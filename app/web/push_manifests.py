"""Manifests and tags that are pushed, and what is deleted of an image.

What a manifest names has to be in the same image: so a blob becomes readable by being pushed or mounted there, never
by being named. While a manifest is checked and recorded nothing is deleted of its image, on any node.
Source: OCI distribution-spec 1.1, Pushing Manifests, Content Management.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import ExitStack

from flask import Response, request

from app.errors import BadRequest, NotFound, TooLarge
from app.formats.oci_manifests import LARGEST
from app.formats.oci_names import Endpoint, Target, valid_tag
from app.hosting.base import Accepted, New
from app.hosting.change_turn import turn
from app.hosting.docker import described
from app.hosting.docker_manifest import Manifest, manifest
from app.hosting.index import Indexer
from app.hosting.publish import Outcome, carry_out
from app.hosting.upload import Upload
from app.resource import Ask, Repository
from app.web import heartbeat, oci
from app.web.node import node
from app.web.receiving import received

MOST_TAGS = 100  # of one request
BATCH = 500  # paths that the index is asked for at once


def put(ask: Ask, source: Repository, target: Target) -> Response:
    """Record a manifest under its digest and its tags, all of it in one moment."""
    if (request.content_length or 0) > LARGEST:
        raise TooLarge(f"a manifest has {LARGEST} bytes at the most", code="size_invalid")
    with ExitStack() as kept:
        upload = _body(source, kept)
        pushed = manifest(target, upload.path.read_bytes(), request.content_type or "")
        tags = _tags(target)
        with heartbeat.beating(), turn(node().memory, source, target.name):
            _require_parts(source, pushed)
            outcome = _carried_out(source, Accepted(_new(target, pushed, tags, upload)))
    _settle(source, outcome)
    return _created(ask, target, pushed, tags)


def delete(source: Repository, target: Target) -> Response:
    """A tag alone, a blob, or a manifest with all its tags."""
    with heartbeat.beating(), turn(node().memory, source, target.name):
        outcome = _carried_out(source, Accepted(gone=_named_alike(source, target)))
    _settle(source, outcome)
    return Response(status=202, headers=[oci.VERSION])


# -- a manifest -----------------------------------------------------------------------------------------------


def _body(source: Repository, kept: ExitStack) -> Upload:
    sent = received(node().settings.layout.spool, source, kept).files
    if len(sent) != 1 or sent[0].field:
        raise BadRequest("a manifest is sent as it is, not as a form", code="manifest_invalid")
    if sent[0].upload.size > LARGEST:
        raise TooLarge(f"a manifest has {LARGEST} bytes at the most", code="size_invalid")
    sent[0].upload.finish()
    return sent[0].upload


def _tags(target: Target) -> Sequence[str]:
    """Those under which it is to be found; a digest's are in the query."""
    found = [target.tag] if target.tag else request.args.getlist("tag")
    if len(found) > MOST_TAGS or not all(valid_tag(tag) for tag in found):
        raise BadRequest("this is no tag that a manifest can have, or there are too many", code="tag_invalid")
    return found


def _require_parts(source: Repository, pushed: Manifest) -> None:
    """Everything that it names is in this image: NotFound "manifest_blob_unknown" names the first that is not."""
    digests = list(pushed.parts)
    for start in range(0, len(digests), BATCH):
        asked = {digest: pushed.parts[digest] for digest in digests[start : start + BATCH]}
        paths = [path for each in asked.values() for path in each]
        found = node().shelf.catalog.index.find_all(source.name, paths)
        _require_found(asked, frozenset(found))


def _require_found(asked: Mapping[str, Sequence[str]], found: frozenset[str]) -> None:
    for digest, paths in asked.items():
        if found.isdisjoint(paths):
            raise NotFound(f"the image has no {digest}: push it first", code="manifest_blob_unknown")


def _new(target: Target, pushed: Manifest, tags: Sequence[str], upload: Upload) -> Sequence[New]:
    """The file under each of its names; its own digest is the one that a list of referrers knows."""
    listed = described(target, pushed)
    references = dict.fromkeys([*tags, *([] if target.tag else [target.reference])])
    references.pop(pushed.digest, None)
    names = [Target(Endpoint.MANIFESTS, target.name, each).path for each in references]
    first = New(
        Target(Endpoint.MANIFESTS, target.name, pushed.digest).path,
        upload,
        pushed.media_type,
        scope=listed.scope if listed else None,
        about=listed.about if listed else "",
        replace=True,
    )
    return [first, *(New(path, upload, pushed.media_type, replace=True) for path in names)]


def _created(ask: Ask, target: Target, pushed: Manifest, tags: Sequence[str]) -> Response:
    digest = target.reference if target.digest else pushed.digest
    place = ask.url_path.rpartition("/")[0]
    headers = [("Location", f"{place}/{digest}"), ("Docker-Content-Digest", digest), oci.VERSION]
    headers += [("OCI-Subject", pushed.subject)] if pushed.subject else []
    headers += [("OCI-Tag", tag) for tag in tags] if target.digest else []
    return Response(status=201, headers=headers)


# -- changes of an image --------------------------------------------------------------------------------------


def _named_alike(source: Repository, target: Target) -> Sequence[str]:
    """The paths that go with it."""
    if target.kind is Endpoint.BLOBS or target.tag:
        return [target.path]
    index = node().shelf.catalog.index
    entry = index.find_all(source.name, [target.path]).get(target.path)
    if entry is None:
        raise NotFound("no such manifest", code="file_not_found")
    prefix = f"v2/{target.name}/{Endpoint.MANIFESTS}/"
    known = (each.path for each in index.named(entry.digest, [source.name], prefix=prefix))
    return [path for path in known if "/" not in path.removeprefix(prefix)]


def _carried_out(source: Repository, accepted: Accepted) -> Outcome:
    return carry_out(node().shelf, node().settings.layout.spool, source, accepted)


def _settle(source: Repository, outcome: Outcome) -> None:
    """Note that the lists are as the change left them: they are computed, and there is nothing to build."""
    Indexer(node().shelf, node().settings.layout.spool).settle(source, outcome.scopes)
