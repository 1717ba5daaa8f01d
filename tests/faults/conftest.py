"""One running node for all bad days that it is to survive, and an upstream that is well again for each test."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.faults.door import Door, document
from tests.stack import Stack, StackFactory
from tests.upstreams import Upstream


@pytest.fixture(scope="session")
def shared_upstream() -> Iterator[Upstream]:
    server = Upstream()
    yield server
    server.stop()


@pytest.fixture(scope="session")
def shared_stack(stack_factory: StackFactory, shared_upstream: Upstream) -> Stack:
    return stack_factory(document(shared_upstream), "bad days").start()


@pytest.fixture
def door(shared_stack: Stack, shared_upstream: Upstream) -> Iterator[Door]:
    """The shared node; every test has paths of its own."""
    with Door(shared_stack, shared_upstream) as door:
        yield door
