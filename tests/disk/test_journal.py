"""The journal: what is published at its end, whatever order and damage its records have."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from app import journal
from app.resource import Entry
from app.stores.base import Stored
from app.stores.blobs import Blobs
from app.stores.filesystem import FilesystemBlobs
from tests.seaweed import Bucket
from tests.stores.values import entry


@pytest.fixture(params=["filesystem", "s3"])
def store(request: pytest.FixtureRequest, blobs: FilesystemBlobs) -> Blobs:
    if request.param == "filesystem":
        return blobs
    from app.stores.s3 import S3Blobs

    bucket: Bucket = request.getfixturevalue("s3_bucket")
    return S3Blobs(bucket.name, bucket.prefix, bucket.endpoint)


def at(fence: int, text: str = "a") -> Entry:
    return entry(text, fence)


def replayed(store: Blobs) -> tuple[list[Stored], list[tuple[str, str, int]], list[str]]:
    reports: list[str] = []
    with journal.replayed(store, reports.append) as replay:
        return list(replay.published()), list(replay.withdrawn()), reports


def test_nothing_was_published(store: Blobs) -> None:
    assert replayed(store) == ([], [], [])
    assert store.noted(0) is None


def test_the_highest_fence_of_a_path_wins(store: Blobs) -> None:
    journal.published(store, 1, "team", "b/ü#1", at(7, "new"))
    journal.published(store, 2, "team", "b/ü#1", at(3, "old"))
    journal.published(store, 3, "team", "a", at(4))
    journal.withdrawn(store, 4, "team", "a", 5)
    journal.published(store, 5, "team", "again", at(8))
    journal.withdrawn(store, 6, "team", "again", 9)
    journal.published(store, 7, "team", "again", at(10, "back"))
    journal.published(store, 8, "other", "a", at(1795000000000))
    published, withdrawn, reports = replayed(store)
    assert published == [
        Stored("other", "a", at(1795000000000)),
        Stored("team", "again", at(10, "back")),
        Stored("team", "b/ü#1", at(7, "new")),
    ]
    assert withdrawn == [("team", "a", 5)]
    assert reports == []
    assert store.noted(7) == 8
    assert store.noted(8) is None


def test_a_removed_repository_has_nothing_of_before(store: Blobs) -> None:
    """Whatever order the records have: and what is published under its name afterwards is published."""
    journal.removed(store, 1, "team", 10)
    journal.published(store, 2, "team", "a", at(3))
    journal.withdrawn(store, 3, "team", "b", 4)
    journal.published(store, 4, "team", "c", at(11))
    journal.published(store, 5, "other", "a", at(5))
    published, withdrawn, reports = replayed(store)
    assert published == [Stored("other", "a", at(5)), Stored("team", "c", at(11))]
    assert withdrawn == [("team", "a", 10), ("team", "b", 10)]
    assert reports == []


def test_records_are_found_by_number_beside_what_is_none(store: Blobs) -> None:
    """Across the directories that a filesystem keeps them in, whose names are the first 17 digits."""
    for number in (3, 999, 1000, 1795000000000):
        store.note(f"{number:020d}-ab", b"{}")
    if isinstance(store, FilesystemBlobs):
        (store.journal / "README").write_text("of an operator")
        (store.journal / "99999999999999999").mkdir()
        (store.journal / "99999999999999999" / "zz.json").write_text("{}")
    else:
        store._s3.ask("put_object", Key=f"{store.prefix}journal/README", Body=b"of an operator")  # type: ignore[attr-defined]
    assert store.noted(0) in (3, 999, 1000, 1795000000000)
    assert store.noted(999) in (1000, 1795000000000)
    assert store.noted(1000) == 1795000000000
    assert store.noted(1795000000000) is None


BROKEN = [
    b"",
    b'{"version": 1',
    b"[]",
    b"null",
    b"\xff\x00",
    b'{"version": 2, "op": "publish"}',
    b'{"version": 1, "op": "rename", "fence": 1, "repository": "r", "path": "p"}',
    b'{"version": 1, "op": "withdraw", "fence": "1", "repository": "r", "path": "p"}',
    b'{"version": 1, "op": "withdraw", "fence": 18446744073709551616, "repository": "r", "path": "p"}',
    b'{"version": 1, "op": "withdraw", "fence": 1, "repository": "r", "path": "\\ud800"}',
    b'{"version": 1, "op": "publish", "fence": 1, "repository": "r", "path": "p", "entry": {"size": 1}}',
    b'{"version": 1, "op": "publish", "fence": 1, "repository": "r", "path": "p", "entry": [1]}',
    b'{"version": 1, "op": "publish", "fence": 1, "repository": "r", "path": "p", "entry": {"digest": 1, "size": 2}}',
    b'{"version": 1, "op": "withdraw", "fence": 1, "repository": "r", "path": "a\\u0000b"}',
    *(
        json.dumps(
            {"version": 1, "op": "publish", "fence": 1, "repository": "r", "path": "p"}
            | {"entry": {"digest": "0" * 64, "size": 2} | wrong}
        ).encode()
        for wrong in (
            {"digest": "zz"},
            {"checked": "now"},
            {"etag": 5},
            {"size": 1 << 63},
            {"etag": "a\0b"},
            {"kept": "\ud800"},
        )
    ),
]


def test_a_record_that_cannot_be_read_is_reported_and_left_out(blobs: FilesystemBlobs) -> None:
    journal.published(blobs, 9, "team", "kept", at(1))
    for number, text in enumerate(BROKEN):
        blobs.note(f"{2 + number:020d}-ab", text)
    published, withdrawn, reports = replayed(blobs)
    assert [each.path for each in published] == ["kept"]
    assert withdrawn == []
    assert len(reports) == len(BROKEN)
    assert all(report.startswith("record ") and len(report) < 400 for report in reports)


def test_a_later_version_may_have_added_fields(blobs: FilesystemBlobs) -> None:
    journal.published(blobs, 10, "team", "a", at(1))
    (text,) = blobs.notes()
    told = json.loads(text)
    told["fence"] = told["entry"]["fence"] = 2
    told["signed"] = told["entry"]["signed"] = True
    blobs.note(f"{2:020d}-ab", json.dumps(told).encode())
    published, _, reports = replayed(blobs)
    assert (published, reports) == ([Stored("team", "a", replace(at(1), fence=2))], [])
