"""maven: hosted here, not proxied yet; what is published carries its checksums with it.

From Maven 3.9 on its resolver takes X-Checksum-Sha1 and X-Checksum-Md5 for the checksums of the body that they come
with, and asks for no file of them ("Remote Included Checksums" in its documentation).
"""

from __future__ import annotations

from app.formats.hosted import Hosted
from app.resource import Ask, Headers, Resource

KEPT = ("X-Checksum-Md5", "X-Checksum-Sha1", "X-Checksum-Sha512")  # lines of Entry.kept


class Maven(Hosted):
    """Plain paths, told with their checksums."""

    __slots__ = ()

    def headers(self, ask: Ask, resource: Resource, digest: str, kept: str) -> Headers:
        """The checksums that were taken when the file was published."""
        return tuple(checksums(kept).items())


def checksums(kept: str) -> dict[str, str]:
    """Checksums in hex by the names of KEPT, as far as Entry.kept has them."""
    lines = (line.partition(": ") for line in kept.splitlines())
    return {name: value for name, _, value in lines if name in KEPT}


MAVEN = Maven("maven")
