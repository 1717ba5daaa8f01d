"""The connections that every request asks on: answers are never mixed up, and what was closed is replaced."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
import redis

from app.stores.redis_apart import Apart


@pytest.fixture
def client(redis_url: str) -> Iterator[redis.Redis]:
    with redis.Redis.from_url(redis_url) as client:
        yield client


@pytest.fixture
def apart(redis_url: str) -> Iterator[Apart]:
    with redis.Redis.from_url(redis_url, socket_timeout=0.3, protocol=2) as owner:
        apart = Apart(owner.connection_pool)
        yield apart
        apart.close()


def test_one_connection_serves_one_request_after_the_other(apart: Apart) -> None:
    assert len({apart.ask("CLIENT", "ID") for _ in range(5)}) == 1


def test_many_threads_get_their_own_answers(apart: Apart) -> None:
    words = [f"word {number}" for number in range(400)]
    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(lambda word: apart.ask("ECHO", word), words)) == [word.encode() for word in words]


def test_a_connection_that_the_server_closed_is_replaced(apart: Apart, client: redis.Redis) -> None:
    before = apart.ask("CLIENT", "ID")
    client.client_kill_filter(_id=str(before))
    assert apart.ask("ECHO", "here") == b"here"
    assert apart.ask("CLIENT", "ID") != before


def test_an_answer_that_came_too_late_is_nobodys(apart: Apart, client: redis.Redis) -> None:
    with pytest.raises(redis.TimeoutError):
        apart.ask("BLPOP", "artifactapi:nothing", "0.6")
    assert apart.ask("ECHO", "mine") == b"mine"


def test_a_refusal_is_told_and_the_next_command_is_answered(apart: Apart) -> None:
    with pytest.raises(redis.ResponseError):
        apart.ask("NONSENSE")
    assert apart.ask("ECHO", "mine") == b"mine"


def test_a_server_that_is_not_there_is_an_error(tmp_path: object) -> None:
    with redis.Redis.from_url(f"unix://{tmp_path}/none") as owner, pytest.raises(redis.ConnectionError):
        Apart(owner.connection_pool).ask("PING")
