"""npm packages by hand: tarballs, and the documents that they are published with."""

from __future__ import annotations

import base64
import hashlib
import json
from typing import Any
from urllib.parse import quote

import requests

from tests.hosting.conftest import TOKEN
from tests.hosting.wheels import tarred
from tests.stack import Stack

BEARER = {"Authorization": f"Bearer {TOKEN}"}


def tarball(name: str, version: str, **more: Any) -> bytes:
    return tarred({"package/package.json": json.dumps({"name": name, "version": version, **more})})


def document(name: str, version: str, body: bytes, tag: str = "latest") -> dict[str, Any]:
    """What npm would send."""
    sha512 = base64.b64encode(hashlib.sha512(body).digest()).decode()
    dist = {"integrity": f"sha512-{sha512}", "shasum": hashlib.sha1(body).hexdigest()}
    attached = {
        "content_type": "application/octet-stream",
        "data": base64.b64encode(body).decode(),
        "length": len(body),
    }
    return {
        "_id": name,
        "name": name,
        "dist-tags": {tag: version},
        "versions": {version: {"name": name, "version": version, "dist": dist}},
        "_attachments": {f"{name}-{version}.tgz": attached},
    }


def put(
    hosted: Stack, name: str, version: str, repository: str = "npm", tag: str = "latest", **more: Any
) -> requests.Response:
    """Publish a version whose package.json says `more`."""
    return send(
        hosted, name, json.dumps(document(name, version, tarball(name, version, **more), tag)).encode(), repository
    )


def send(hosted: Stack, name: str, body: bytes, repository: str = "npm") -> requests.Response:
    """Publish whatever that is."""
    url = f"{hosted.url}/repository/{repository}/{quote(name, safe='@')}"
    headers = BEARER | {"Content-Type": "application/json"}
    return requests.put(url, body, headers=headers, timeout=60)
