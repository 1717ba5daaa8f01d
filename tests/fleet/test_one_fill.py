"""One download for a whole fleet, whoever asks where, and whatever happens to the node that makes it."""

from __future__ import annotations

import hashlib
import time
from concurrent.futures import ThreadPoolExecutor

from soak.client import Answer
from tests.faults.door import TAIL, noise
from tests.fleet.fleet import Fleet, await_ready, destroy, get
from tests.stack import Stack, eventually
from tests.upstreams import Upstream

MIB = 1 << 20
CLIENTS = 50
TAKEN_OVER = 10.0 + 10.0  # seconds: a dead node's lock lapses after 10, and a little


def _ask_all(fleet: Fleet, path: str, clients: int) -> list[Answer]:
    nodes = [fleet.nodes[number % len(fleet.nodes)] for number in range(clients)]
    with ThreadPoolExecutor(clients) as pool:
        return list(pool.map(lambda node: get(node, path, keep=False, limit=100), nodes))


def test_fifty_clients_of_two_nodes_are_one_download(fleet: Fleet, fleet_upstream: Upstream) -> None:
    body = noise(64 * MIB, "for everyone")
    fleet_upstream.put("/everyone.bin", body)
    fleet_upstream.rate(64 * MIB / 3)  # so that all are here before it is done
    answers = _ask_all(fleet, path := "/repository/up/everyone.bin", CLIENTS)
    wanted = hashlib.sha256(body).hexdigest()
    assert [(one.status, one.problem, one.digest) for one in answers] == [(200, "", wanted)] * CLIENTS
    assert fleet_upstream.count("/everyone.bin", "GET") == 1
    assert {one.cache for one in answers} <= {"MISS", "JOINED"}
    eventually(lambda: {get(each, path, keep=False).cache for each in fleet.nodes} == {"HIT"}, "stored")


def test_a_chunked_body_reaches_the_other_node_as_well(fleet: Fleet, fleet_upstream: Upstream) -> None:
    body = noise(4 * MIB, "without a length")
    fleet_upstream.put("/chunked.bin", body)
    fleet_upstream.chunked("/chunked.bin")
    fleet_upstream.rate(4 * MIB)
    answers = _ask_all(fleet, "/repository/up/chunked.bin", 6)
    assert {(one.status, one.problem, one.digest) for one in answers} == {(200, "", hashlib.sha256(body).hexdigest())}
    assert fleet_upstream.count("/chunked.bin", "GET") == 1


def test_a_body_that_breaks_is_cut_on_both_nodes(fleet: Fleet, fleet_upstream: Upstream) -> None:
    body = noise(4 * MIB, "broken")
    fleet_upstream.put("/broken.bin", body)
    fleet_upstream.cut(3 * MIB, "/broken.bin")
    fleet_upstream.rate(4 * MIB)
    for answer in _ask_all(fleet, "/repository/up/broken.bin", 6):
        assert not answer.whole or answer.status >= 500
        assert answer.status >= 500 or answer.size <= 4 * MIB - TAIL
    fleet_upstream.reset()
    assert get(fleet.nodes[1], "/repository/up/broken.bin").body == body


def test_the_filling_node_killed_is_taken_over(
    fleet: Fleet, one: Stack, other: Stack, fleet_upstream: Upstream
) -> None:
    body, path = noise(8 * MIB, "taken over"), "/repository/up/taken-over.bin"
    fleet_upstream.put("/taken-over.bin", body)
    fleet_upstream.rate(2 * MIB)
    with ThreadPoolExecutor(4) as pool:
        readers = [pool.submit(get, one, path)]
        fleet_upstream.wait_for("/taken-over.bin", "GET")
        readers += [pool.submit(get, node, path) for node in (one, other, other)]
        time.sleep(1.5)
        destroy(one)
        fleet_upstream.rate(None)
        begun = time.monotonic()
        answers = [reader.result() for reader in readers]  # who comes before the death is noticed is cut as they are
        again = get(other, path, limit=60)
        assert time.monotonic() - begun < TAKEN_OVER
    try:
        for answer in answers:
            assert body.startswith(answer.body) or answer.status >= 500
            assert not answer.whole or answer.status >= 500 or answer.body == body
        assert (again.status, again.whole, again.body == body) == (200, True, True)
        eventually(lambda: get(other, path).cache == "HIT", "stored", 20)
    finally:
        one.launch()
        await_ready(one)
    assert (hit := get(one, path)).cache == "HIT" and hit.body == body
