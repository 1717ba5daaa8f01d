"""Asking a node who pulled what, and reporting to it as an edge does."""

from __future__ import annotations

import hashlib
import time
from typing import Any
from uuid import uuid4

from werkzeug.test import TestResponse

from app.web.usage import Gathered
from tests.http.node import ADMIN, Node

NOW = time.time() // 60 * 60


def sha256(content: bytes) -> str:
    return "sha256:" + hashlib.sha256(content).hexdigest()


def written(node: Node) -> None:
    """What both processes have gathered is in the database."""
    node.idle()
    for finish in (node.carrier.finish, node.app.extensions["artifactapi"].finish):
        assert isinstance(finish.record, Gathered)
        finish.record.flush()
        finish.tally.flush()


def asked(node: Node, **parameters: object) -> TestResponse:
    query = "&".join(f"{name}={value}" for name, value in parameters.items())
    return node.admin("GET", f"/api/v1/pulls?{query}")


def pulls(node: Node, **parameters: object) -> list[dict[str, Any]]:
    written(node)
    answer = asked(node, **parameters)
    assert answer.status_code == 200, answer.text
    return list(answer.get_json()["pulls"])


def row(repository: str, key: str, **other: object) -> dict[str, object]:
    given = {"client": "10.0.0.9", "minute": int(NOW), "requests": 2, "bytes": 20}
    return {"repository": repository, "key": key} | given | other


def report(*rows: dict[str, object]) -> dict[str, Any]:
    return {"report": uuid4().hex, "hits": list(rows)}


def sent(node: Node, document: object) -> TestResponse:
    return node.client.post("/api/v1/edges/e1/hits", headers=ADMIN, json=document)
