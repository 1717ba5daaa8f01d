"""npm: which of a package's two documents a client asks for, and how it gets the URLs of this server.

    <package>                            its document, whole or abbreviated, by Accept
    <package>/-/<name>-<version>.tgz     a tarball; <package> may be @<scope>/<name>
    <package>/-/full.json, -/short.json  the documents as they are stored, before they are rendered

A stored document is ASCII, but for HERE: it stands where the repository's URL belongs, and cannot be in any text.

Source: github.com/npm/registry, docs/responses/package-metadata.md; validate-npm-package-name.
"""

from __future__ import annotations

import re
from dataclasses import replace

from app.formats.accept import fitting
from app.resource import Ask, Format, Headers, Repository, Resource

FULL, SHORT = "application/json", "application/vnd.npm.install-v1+json"
VARIANTS = {FULL: "full.json", SHORT: "short.json"}  # whoever takes both gets the first
HERE = "\u2302"

_PART = r"(?!-(?:/|\Z))[a-z0-9~-][a-z0-9._~-]*"
NAME = rf"(?:@{_PART}/)?{_PART}"
PACKAGE = re.compile(NAME)
LONGEST = 214  # characters of a package's name
_DOCUMENT = re.compile(rf"(?P<package>{NAME})(?:/-/(?P<stored>full|short)\.json)?")


def negotiated(accept: str) -> str:
    """The media type of the document that fits Accept best."""
    return fitting(accept, [*VARIANTS])


class Npm(Format):
    """Documents by what is asked for, tarballs as they are."""

    __slots__ = ()
    name = "npm"
    proxied = False

    def resolve(self, repository: Repository, ask: Ask) -> Resource:
        """See Format."""
        key, said = ask.path, "local: kept as it was published"
        found = _DOCUMENT.fullmatch(ask.path)
        if found is not None:
            said = "npm: a package's document"
            if not found["stored"]:
                key = f"{ask.path}/-/{VARIANTS[negotiated(ask.headers.get('accept', ''))]}"
        local = Resource(repository, key, ask.path, immutable=True, html=True, format=self, rule=said)
        return replace(local, rendered=found is not None)

    def headers(self, ask: Ask, resource: Resource, digest: str, kept: str) -> Headers:
        """See Format."""
        return (("Vary", "Accept"),) if resource.rendered else ()

    def render(self, ask: Ask, resource: Resource, body: bytes, kept: str) -> tuple[bytes, str]:
        """See Format: tarballs are where the client reached this server."""
        return body.replace(HERE.encode(), ask.address.encode("ascii")), kept


NPM = Npm()
