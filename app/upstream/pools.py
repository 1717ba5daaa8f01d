"""Which idle connection is used again: one that has been silent for a while, so that nothing is on its way."""

from __future__ import annotations

import queue
import time
from typing import Any

import urllib3
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool

from app.upstream.wire import Connection, SecureConnection, Terms

QUIET = 0.02  # seconds; what upstream sends beyond a body follows it closely, and urllib3 looks before each use


class _Rotation(queue.LifoQueue[Any]):
    """A pool's connections; None stands for one that may still be made."""

    def _put(self, item: Any) -> None:
        if item is not None:
            item.parked = time.monotonic()
        super()._put(item)

    def _get(self) -> Any:
        """The connection parked longest if it was quiet long enough, else a new one."""
        parked = [one for one in self.queue if one is not None]
        oldest = min(parked, key=lambda one: one.parked, default=None)
        chosen = oldest if None not in self.queue or _quiet(oldest) else None
        self.queue.remove(chosen)
        if chosen is not None and not _quiet(chosen):
            chosen.close()
        return chosen


def _quiet(connection: Any) -> bool:
    return connection is not None and time.monotonic() - connection.parked >= QUIET


class _Pool(HTTPConnectionPool):
    ConnectionCls = Connection
    QueueCls = _Rotation


class _SecurePool(HTTPSConnectionPool):
    ConnectionCls = SecureConnection
    QueueCls = _Rotation


class _Ours:
    """A manager whose pools and connections are ours; urllib3 documents `_new_pool` as the place for it."""

    terms: Terms

    def _new_pool(self, *args: Any, **kwargs: Any) -> HTTPConnectionPool:
        self.pool_classes_by_scheme = {"http": _Pool, "https": _SecurePool}
        pool: HTTPConnectionPool = super()._new_pool(*args, **kwargs)  # type: ignore[misc]
        pool.conn_kw["terms"] = self.terms
        return pool


class Direct(_Ours, urllib3.PoolManager):
    """Pools that dial upstream itself."""


class Proxied(_Ours, urllib3.ProxyManager):
    """Pools that dial a proxy."""
