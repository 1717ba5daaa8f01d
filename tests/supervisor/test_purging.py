"""A remote that is defined otherwise, or no more, is dropped by the caches in front, also while old workers end."""

from __future__ import annotations

import copy
import json
import socket
import time
from collections import Counter
from pathlib import Path
from typing import Any

import requests

from app import repositories
from app.stores.redis import RedisMemory
from app.supervisor.embedded import Valkey
from app.supervisor.purging import Purging, changed, definitions
from tests.stack import Stack, eventually
from tests.supervisor.conftest import DOCUMENT

PATH = "/api/v1/edges/one"


class Edge:
    """What an agent is told, repository by repository."""

    def __init__(self, stack: Stack) -> None:
        self.stack = stack
        self.cursor = 0
        self.told: Counter[str] = Counter()

    def poll(self) -> bool:
        token = {"Authorization": f"Bearer {self.stack.token}"}
        answer = requests.post(self.stack.url + PATH, json={"cursor": self.cursor}, headers=token, timeout=10)
        if answer.status_code == 200:
            self.cursor = answer.json()["cursor"]
            self.told.update(purge["repository"] for purge in answer.json()["purges"])
        return answer.status_code == 200 and answer.json()["everything"]


def otherwise() -> dict[str, Any]:
    document = copy.deepcopy(DOCUMENT)
    document["remotes"]["packages"]["cache"] = {"mutable_ttl": 7}
    del document["remotes"]["releases"]
    document["remotes"]["new"] = {"base_url": "http://127.0.0.1:9/new"}
    return document


def test_which_are_dropped(tmp_path: Path) -> None:
    before, after = tmp_path / "before.json", tmp_path / "after.json"
    before.write_text(json.dumps(DOCUMENT))
    after.write_text(json.dumps(otherwise()))
    new = repositories.load(after)
    assert changed(definitions(before), new) == ["packages", "releases"]
    assert changed(definitions(after), new) == []
    assert changed(definitions(tmp_path / "none.json"), new) == ["packages", "alpine", "new"]
    moved = copy.deepcopy(DOCUMENT)
    del moved["remotes"]["releases"]
    moved["locals"]["releases"] = {}
    after.write_text(json.dumps(moved))
    assert changed(definitions(before), repositories.load(after)) == ["releases"]


def test_all_are_dropped_where_an_image_may_be_another_repositorys_now(tmp_path: Path) -> None:
    """`/v2/team/app` was the default remote's; a repository `team` takes it over, and that remote did not change."""
    hub = {"package": "docker", "base_url": "http://127.0.0.1:9/hub", "default": True}
    team = {"package": "docker", "base_url": "http://127.0.0.1:9/team"}
    before, after = tmp_path / "before.json", tmp_path / "after.json"
    before.write_text(json.dumps({"remotes": {"hub": hub}}))
    for remotes in ({"hub": hub, "team": team}, {"hub": hub | {"hosts": ["hub.example.org"]}}):
        after.write_text(json.dumps({"remotes": remotes}))
        assert changed(definitions(before), repositories.load(after)) == ["hub"]


def test_a_reload_with_a_request_that_is_still_running(stack: Stack) -> None:
    stack.start()
    edge = Edge(stack)
    assert edge.poll()
    time.sleep(1.5)  # the epochs have been told
    edge.poll()
    edge.told.clear()
    old = stack.workers()
    with socket.create_connection(("127.0.0.1", int(stack.url.rpartition(":")[2])), timeout=30) as slow:
        slow.sendall(b"PUT /repository/files/a HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer ")
        slow.sendall(stack.token.encode() + b"\r\nContent-Length: 4\r\n\r\nab")
        stack.configure(otherwise())
        stack.reload()
        eventually(lambda: edge.poll() or edge.told["packages"] >= 4, "told as long as an old worker runs")
        slow.sendall(b"cd")
        assert slow.recv(100).startswith(b"HTTP/1.1 201")
    eventually(lambda: not set(old) & set(stack.workers()), "the old workers are gone")
    time.sleep(1.5)
    edge.poll()
    before = edge.told.copy()
    time.sleep(1.5)
    edge.poll()
    assert edge.told == before, "and no longer"
    assert set(before) - {"files"} == {"packages", "releases"}
    assert stack.stop() == 0


def test_a_redis_that_is_down_is_told_when_it_is_back(own_valkey: Valkey) -> None:
    own_valkey.stop()
    begun = time.monotonic()
    Purging(own_valkey.url).begin(["packages"])
    assert time.monotonic() - begun < 0.25
    own_valkey.start()
    own_valkey.await_ready(10)
    memory = RedisMemory(own_valkey.url)
    cursor = memory.edges.poll("one", 0).cursor
    eventually(lambda: memory.edges.latest() > cursor, "told")
    assert [each.repository for each in memory.edges.poll("one", cursor).purges] == ["packages"]
    memory.close()
