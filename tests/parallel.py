"""What may run beside what under pytest-xdist: a file's tests stay in one process, a directory's where they share
servers that are dear to start."""

from __future__ import annotations

from typing import Any

import pytest
from xdist.scheduler import LoadScopeScheduling

TOGETHER = (
    "tests/clients/registries/",
    "tests/clients/test_virtual_",
    "tests/containers/",
    "tests/conformance/",
    "tests/fleet/",
    "tests/http/real/",
    "tests/observability/",
)
S3 = (  # what asks SeaweedFS, which takes a fifth of a core where nobody asks it anything: one process has one
    "tests/deploy/test_link.py",
    "tests/disk/test_journal.py",
    "tests/disk/test_s3.py",
    "tests/faults/test_degradation.py",
    "tests/faults/test_s3.py",
    "tests/hosting/test_oci_sessions.py",
    "tests/http/test_made_addressed.py",
    "tests/http/test_on_s3.py",
    "tests/stores/test_blobs.py",
    "tests/stores/test_s3.py",
)
LONG = (  # minutes; begun in this order before all others, for who begins last should end soon
    "tests/containers/",
    "tests/clients/test_editions.py",
    "tests/conformance/",
    "tests/supervisor/test_run.py",
    "tests/supervisor/test_watch.py",
    "tests/clients/test_sets.py",
    "tests/clients/test_apt.py",
    "tests/fleet/",
    "s3",
)


def place(path: str) -> str:
    """What of a node id ("tests/unit/test_x.py::test_y[z]") is run by one process, in its order."""
    file = path.partition("::")[0]
    return "s3" if file in S3 else next((each for each in TOGETHER if path.startswith(each)), file)


class ByPlace(LoadScopeScheduling):  # type: ignore[misc]  # xdist has no types
    """Hands out places instead of tests, in the order of the collection."""

    def _split_scope(self, nodeid: str) -> str:
        return place(nodeid)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> ByPlace:
    config.option.loadscopereorder = False
    return ByPlace(config, log)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Long places first, only where there are processes to share them out to."""
    if hasattr(config, "workerinput"):
        items.sort(key=lambda item: _rank(item.nodeid))


def _rank(nodeid: str) -> int:
    found = place(nodeid)
    return LONG.index(found) if found in LONG else len(LONG)
