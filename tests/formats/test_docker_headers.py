"""Response headers of the docker format: what upstream promises, and what clients are told."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from app.formats.docker import DOCKER
from app.formats.oci_manifests import MANIFEST, SCHEMA1
from app.resource import Digest
from tests.formats.images import (
    BLOB,
    BY_DIGEST,
    D256,
    D512,
    HEX,
    HEX512,
    REFERRERS,
    TAG,
    TAGS,
    ask,
    remote,
    resolve,
)

JWS = SCHEMA1[0]

# -- what upstream promises -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("path", "headers", "promised"),
    [
        (TAG, {"Docker-Content-Digest": D256}, Digest("sha256", HEX)),
        (TAG, {"docker-content-digest": f" {D512} "}, Digest("sha512", HEX512)),
        (BY_DIGEST, {"DOCKER-CONTENT-DIGEST": D256}, Digest("sha256", HEX)),
        (BLOB, {"Docker-Content-Digest": D256}, Digest("sha256", HEX)),
        (TAG, {}, None),
        (TAG, {"ETag": f'"{D256}"'}, None),
        (TAG, {"Docker-Content-Digest": ""}, None),
        (TAG, {"Docker-Content-Digest": HEX}, None),
        (TAG, {"Docker-Content-Digest": "sha256:../x"}, None),
        (TAG, {"Docker-Content-Digest": f"blake3:{HEX}"}, None),
        (TAG, {"Docker-Content-Digest": D256, "Content-Type": JWS}, None),
        (TAG, {"Docker-Content-Digest": D256, "content-type": f"{SCHEMA1[1]}; charset=utf-8"}, None),
        (TAG, {"Docker-Content-Digest": D256, "Content-Type": MANIFEST}, Digest("sha256", HEX)),
        (TAGS, {"Docker-Content-Digest": D256}, None),
        (REFERRERS, {"Docker-Content-Digest": D256}, None),
    ],
)
def test_the_promised_digest(path: str, headers: Mapping[str, str], promised: Digest | None) -> None:
    assert DOCKER.promised(resolve(path), headers) == promised


# -- response headers -----------------------------------------------------------------------------------------

VERSION = ("Docker-Distribution-Api-Version", "registry/2.0")
OTHER = "f6" * 32


@pytest.mark.parametrize(
    ("path", "digest", "expected"),
    [
        (TAG, OTHER, [("Docker-Content-Digest", f"sha256:{OTHER}"), ("Vary", "Accept")]),
        (TAG, "", [("Vary", "Accept")]),
        (BY_DIGEST, HEX, [("Docker-Content-Digest", D256)]),
        (BY_DIGEST, "", [("Docker-Content-Digest", D256)]),
        (f"v2/team/app/manifests/{D512}", OTHER, [("Docker-Content-Digest", D512)]),
        (BLOB, "", [("Docker-Content-Digest", D256)]),
        (f"v2/team/app/blobs/{D512}", OTHER, [("Docker-Content-Digest", D512)]),
        (TAGS, OTHER, []),
        (REFERRERS, OTHER, []),
    ],
)
def test_headers(path: str, digest: str, expected: list[tuple[str, str]]) -> None:
    assert DOCKER.headers(ask(path), resolve(path), digest, "") == (VERSION, *expected)


def test_a_referrers_tag_reads_like_referrers() -> None:
    tag = resolve(REFERRERS).otherwise
    assert tag is not None
    assert DOCKER.headers(ask(REFERRERS), tag, OTHER, "") == (VERSION,)


def test_the_namespace_is_said_where_it_is_served() -> None:
    found = resolve(TAG, source=remote(serves=("docker.io",)))
    assert ("OCI-Namespace", "docker.io") in DOCKER.headers(ask(TAG, "ns=docker.io"), found, OTHER, "")
    assert "OCI-Namespace" not in dict(DOCKER.headers(ask(TAG, "ns=example.org"), found, OTHER, ""))
    assert "OCI-Namespace" not in dict(DOCKER.headers(ask(TAG), found, OTHER, ""))
