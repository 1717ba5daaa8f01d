"""A tag that moves all the time: whoever pulls gets one whole image, and nobody a half of two."""

from __future__ import annotations

import contextlib
import itertools
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

from tests.containers.conftest import CLIENTS
from tests.containers.images import Index, multi
from tests.containers.machine import Held, NewMachine, Source

PULLS = 6  # of each client
PAUSE = 0.05  # seconds between two pushes


@contextlib.contextmanager
def moving(source: Source, name: str) -> Iterator[dict[str, Index]]:
    """name:latest moves inside this block; every image that it was, by digest."""
    pushed: dict[str, Index] = {}
    ended = threading.Event()

    def move(number: int) -> None:
        each = multi(f"{name.replace('/', '-')}-{number}")
        pushed[each.manifest.digest] = each
        source.registry.push(name, "latest", each)

    def keep_moving() -> None:
        for number in itertools.count(1):
            if ended.wait(PAUSE):
                return
            move(number)

    move(0)
    thread = threading.Thread(target=keep_moving)
    thread.start()
    try:
        yield pushed
    finally:
        ended.set()
        thread.join()


def test_every_pull_of_a_moving_tag_is_one_whole_image(
    machines: Callable[[str], NewMachine], sources: dict[str, Source], image_name: str
) -> None:
    """Revalidated at every request, by all clients at once: nearly every pull finds another image, never an older."""
    source, made = sources["eager"], {client: machines(client) for client in CLIENTS}

    def pulls(client: str) -> list[Held]:
        return [made[client]().pull(source, image_name, "latest") for _ in range(PULLS)]

    with moving(source, image_name) as pushed, ThreadPoolExecutor(len(CLIENTS)) as pool:
        pulled = list(pool.map(pulls, CLIENTS))
    order = list(pushed)
    for one in pulled:
        for held in one:
            held.assert_same(pushed[held.digest])
        seen = [order.index(held.digest) for held in one]
        assert seen == sorted(seen)
        assert len(set(seen)) > PULLS // 2
