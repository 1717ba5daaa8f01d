"""Connections to Redis beside its pool's, for the one command that every request waits for."""

from __future__ import annotations

from typing import Any

from redis.connection import ConnectionPool
from redis.exceptions import ConnectionError as Broken


class Apart:
    """For many threads. Lending one of these is taking it off a list: the pool's lock, its look into the socket and
    the client's retries, events and options cost several times what the command does."""

    def __init__(self, pool: ConnectionPool) -> None:
        """They are of the pool's kind, and are not of its number."""
        self._pool = pool
        self._idle: list[Any] = []  # redis-py is typed loosely; append and pop happen at once for every thread

    def ask(self, *command: str) -> Any:
        """The server's answer to a command that may be asked twice, for connections that were idle may be closed by
        now; raises what redis-py raises."""
        while self._idle:
            try:
                return self._asked(self._idle.pop(), command)
            except (Broken, IndexError):  # or another thread was quicker
                continue
        return self._asked(self._pool.connection_class(**self._pool.connection_kwargs), command)

    def _asked(self, connection: Any, command: tuple[str, ...]) -> Any:
        try:
            connection.send_command(*command, check_health=False)
            answer = connection.read_response()
        except BaseException:  # whose answer comes next nobody knows
            connection.disconnect()
            raise
        self._idle.append(connection)
        return answer

    def close(self) -> None:
        """Close those that are idle; the next command opens a new one."""
        while self._idle:
            self._idle.pop().disconnect()
