"""What a test says of the past: when entries were used, how old their bytes are."""

from __future__ import annotations

import os
import time

import psycopg

from tests.http.node import Node


def used(node: Node, *paths: str) -> None:
    """The entries of `up` at these paths were used in this order, hours ago and a minute apart."""
    with psycopg.connect(node.settings.database_url or "", autocommit=True) as connection:
        for number, path in enumerate(paths):
            at = time.time() - 3 * 3600 + 60 * number
            connection.execute("UPDATE entries SET used = %s WHERE path = %s", [at, path])


def age(node: Node, seconds: float = 7200) -> None:
    """Every blob was adopted so long ago."""
    for blob in node.blobs():
        os.utime(blob, times=(time.time() - seconds,) * 2)


def entries(node: Node) -> dict[str, set[str]]:
    """repository -> the paths that it has entries for."""
    found: dict[str, set[str]] = {}
    with psycopg.connect(node.settings.database_url or "") as connection:
        for repository, path in connection.execute("SELECT repository, path FROM entries"):
            found.setdefault(repository, set()).add(path)
    return found
