"""Container images of one layer, published by hand into a test's upstream."""

from __future__ import annotations

import hashlib
import json
from typing import Any

OCI = "application/vnd.oci.image.manifest.v1+json"
TAR = "application/vnd.oci.image.layer.v1.tar"


def digest(body: bytes) -> str:
    return f"sha256:{hashlib.sha256(body).hexdigest()}"


def image(layer: bytes, **more: Any) -> bytes:
    """A manifest; `more` is said of its layer, and wins."""
    listed = {"mediaType": TAR, "digest": digest(layer), "size": len(layer)} | more
    config = {"mediaType": "application/vnd.oci.image.config.v1+json", "digest": digest(b"{}"), "size": 2}
    return json.dumps({"schemaVersion": 2, "mediaType": OCI, "config": config, "layers": [listed]}).encode()
