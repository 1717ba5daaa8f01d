"""The push half of the OCI distribution specification, for local repositories of images: what each request changes.

    POST                    v2/<name>/blobs/uploads/           begin an upload, send a blob whole, or mount one
    GET PATCH PUT DELETE    v2/<name>/blobs/uploads/<id>       where it is; go on; end it; give it up
    PUT DELETE              v2/<name>/manifests/<reference>
    DELETE                  v2/<name>/blobs/<digest>

A path is read from its end, as in app/formats/oci_names.py: <name> may have segments like these.
Source: OCI distribution-spec 1.1, Push, Content Management.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from flask import Response

from app.errors import ArtifactError, BadRequest, MethodNotAllowed, NotFound
from app.formats.oci_names import Endpoint, parse, valid_name
from app.hosting import docker_blobs
from app.resource import Ask, Repository
from app.web import heartbeat, local, oci, push_manifests, push_uploads
from app.web.auth import principal, require_write
from app.web.node import node

_UPLOADS = re.compile(r"v2/(?P<name>.+)/blobs/uploads(?:/(?P<upload>[^/]*))?")


def change(ask: Ask, source: Repository) -> Response:
    """A PUT, POST, PATCH or DELETE of `v2/...` in a local repository of images."""
    require_write(source)
    if (found := _upload(ask)) is not None:
        return push_uploads.change(ask, source, *found)
    target = parse(ask.path)
    if ask.method == "PUT" and target.kind is Endpoint.MANIFESTS:
        return push_manifests.put(ask, source, target)
    if ask.method == "DELETE" and target.kind in (Endpoint.MANIFESTS, Endpoint.BLOBS):
        with _missing(ask):
            return push_manifests.delete(source, target)
    raise MethodNotAllowed("the registry API has no such request", oci.READING)


def read(ask: Ask, source: Repository) -> Response:
    """A GET or HEAD of `v2/...` in a local repository of images."""
    found = _upload(ask)
    if found is None:
        if ask.method == "HEAD":
            _renew(ask, source)
        with _missing(ask):
            return local.get(ask, source)
    require_write(source)
    return push_uploads.status(ask, source, *found)


@contextmanager
def _missing(ask: Ask) -> Iterator[None]:
    """Words of this API for what is not there: it knows of no files."""
    try:
        yield
    except NotFound as error:
        if error.code != "file_not_found":
            raise
        raise NotFound(f"no such {parse(ask.path).kind.removesuffix('s')}", code=error.code) from None


def _renew(ask: Ask, source: Repository) -> None:
    """Who pushes asks first which blobs are here already, and does not send those: they stay for its manifest."""
    with suppress(ArtifactError):  # what is wrong with the request is said by whoever answers it
        if parse(ask.path).kind is Endpoint.BLOBS and principal().may_write(source):
            with heartbeat.beating():
                docker_blobs.renew(node().shelf, source, ask.path)


def _upload(ask: Ask) -> tuple[str, str] | None:
    """(image, upload) where the path is one of uploads; raises BadRequest "name_invalid"."""
    match = _UPLOADS.fullmatch(ask.path)
    if match is None:
        return None
    if not valid_name(match["name"]):
        raise BadRequest("this is no name that an image can have", code="name_invalid")
    return match["name"], match["upload"] or ""
