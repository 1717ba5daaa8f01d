"""The engine's rows for sets: an index and what it names change as one, and its lists verify what is fetched."""

from __future__ import annotations

import pytest

from app import sets
from tests.http.moments import when_asked
from tests.http.node import Node, body
from tests.http.sets import ASC, REPOMD, URL, Edition, expired, prime, stored
from tests.upstreams import Upstream

OLD = Edition({"filelists": b"old files"}, {"a.rpm": b"package one"})
NEW = Edition({"filelists": b"new files", "other": b"new other"}, {"a.rpm": b"package two"})
PLAIN_OLD = Edition({"filelists": b"old files"}, hashed=False, signature=b"signs old")
PLAIN_NEW = Edition({"filelists": b"new files"}, hashed=False, signature=b"signs new")


@pytest.fixture(autouse=True)
def _hurried(monkeypatch: pytest.MonkeyPatch) -> None:
    """No client and no publisher is given time: test_sets_regressions.py is about that."""
    monkeypatch.setattr(sets, "QUIET", 0.0)
    monkeypatch.setattr(sets, "PAUSE", 0.0)


def test_the_old_set_at_once_then_the_new_one_whole(node: Node, upstream: Upstream) -> None:
    prime(node, upstream, OLD, "primary", "filelists")
    OLD.withdraw(upstream)
    NEW.publish(upstream)
    node.clock.forward(101)
    first = node.get(URL + REPOMD)
    assert (first.headers["X-Cache"], body(first)) == ("UPDATING", OLD.repomd)
    node.idle()
    assert stored(node, REPOMD) == ("HIT", NEW.repomd)
    assert stored(node, NEW.path("filelists")) == ("HIT", b"new files")
    assert upstream.count(NEW.path("filelists"), "GET") == 1
    assert stored(node, OLD.path("filelists")) == ("HIT", b"old files"), "who follows the old root finds it"


def test_only_what_the_old_set_held_is_fetched_ahead(node: Node, upstream: Upstream) -> None:
    prime(node, upstream, OLD, "primary")
    NEW.publish(upstream)
    assert expired(node) == "UPDATING"
    assert upstream.count(NEW.path("primary")) == 1
    assert upstream.count(NEW.path("filelists")) == upstream.count(NEW.path("other")) == 0


def test_an_unchanged_root_is_revalidated(node: Node, upstream: Upstream) -> None:
    prime(node, upstream, OLD, "primary")
    assert expired(node) == "REVALIDATED"
    assert [seen.path for seen in upstream.requests] == [REPOMD]


def test_an_unchanged_root_without_validators_too(node: Node, upstream: Upstream) -> None:
    upstream.no_validators()
    OLD.publish(upstream)
    body(node.get(URL + REPOMD))
    node.idle()
    assert expired(node) == "REVALIDATED"
    assert stored(node, REPOMD) == ("HIT", OLD.repomd)


def test_a_set_that_is_not_whole_upstream_changes_nothing(node: Node, upstream: Upstream) -> None:
    prime(node, upstream, OLD, "primary", "filelists")
    OLD.withdraw(upstream)
    NEW.publish(upstream, "filelists")
    assert expired(node) == "UPDATING"
    assert stored(node, REPOMD)[1] == OLD.repomd
    assert stored(node, OLD.path("filelists")) == ("HIT", b"old files")
    NEW.publish(upstream)
    assert expired(node) == "UPDATING"
    assert stored(node, REPOMD) == ("HIT", NEW.repomd)


def test_upstream_dies_within_a_switch(node: Node, upstream: Upstream) -> None:
    prime(node, upstream, OLD, "primary", "filelists")
    NEW.publish(upstream)
    upstream.disconnect(NEW.path("filelists"))
    assert expired(node) == "UPDATING"
    assert stored(node, REPOMD) == ("STALE", OLD.repomd)
    assert stored(node, OLD.path("primary")) == ("HIT", OLD.data["primary"])


def test_upstream_publishes_within_a_switch(node: Node, upstream: Upstream) -> None:
    """The second edition's file is gone when it is asked for: what is served next is the third, whole."""
    prime(node, upstream, OLD, "primary", "filelists")
    newest = Edition({"filelists": b"newest files"})
    NEW.publish(upstream, "filelists")
    upstream.fault(when_asked(lambda: newest.publish(upstream)), NEW.path("filelists"), 1)
    assert expired(node) == "UPDATING"
    assert stored(node, REPOMD) == ("HIT", newest.repomd)
    assert stored(node, newest.path("filelists")) == ("HIT", b"newest files")


def test_plain_names_move_with_their_root(node: Node, upstream: Upstream) -> None:
    prime(node, upstream, PLAIN_OLD, "primary", "filelists")
    PLAIN_NEW.publish(upstream)
    assert stored(node, "/repodata/filelists.xml") == ("HIT", b"old files")
    assert expired(node) == "UPDATING"
    assert stored(node, REPOMD) == ("HIT", PLAIN_NEW.repomd)
    assert stored(node, "/repodata/filelists.xml") == ("HIT", b"new files")
    assert stored(node, ASC) == ("HIT", b"signs new")


def test_plain_names_the_new_set_lacks_expire_with_the_old(node: Node, upstream: Upstream) -> None:
    prime(node, upstream, PLAIN_OLD, "primary", "filelists")
    unsigned = Edition({}, hashed=False)
    unsigned.publish(upstream)
    for path in ("/repodata/filelists.xml", ASC):
        upstream.remove(path)
    assert expired(node) == "UPDATING"
    assert stored(node, REPOMD) == ("HIT", unsigned.repomd)
    assert node.get(f"{URL}/repodata/filelists.xml").status_code == 404
    assert node.get(URL + ASC).status_code == 404


def test_a_signature_is_never_paired_with_another_root(node: Node, upstream: Upstream) -> None:
    PLAIN_OLD.publish(upstream)
    body(node.get(URL + REPOMD))
    node.idle()
    PLAIN_NEW.publish(upstream)
    refused = node.get(URL + ASC)
    assert refused.status_code == 502
    node.idle()
    assert node.get(URL + REPOMD).headers["X-Cache"] == "UPDATING", "the root is asked about at once"
    node.idle()
    assert stored(node, REPOMD) == ("HIT", PLAIN_NEW.repomd)
    assert stored(node, ASC)[1] == b"signs new"


def test_a_signature_changed_within_the_switch_starts_over(node: Node, upstream: Upstream) -> None:
    prime(node, upstream, PLAIN_OLD, "primary")
    newest = Edition({}, hashed=False, signature=b"signs newest")
    PLAIN_NEW.publish(upstream)
    upstream.fault(when_asked(lambda: newest.publish(upstream)), ASC, 1)
    assert expired(node) == "UPDATING"
    assert stored(node, REPOMD) == ("HIT", newest.repomd)
    assert stored(node, ASC) == ("HIT", b"signs newest")


def test_an_expired_signature_stays_with_its_root(node: Node, upstream: Upstream) -> None:
    prime(node, upstream, PLAIN_OLD, "primary")
    PLAIN_NEW.publish(upstream)
    node.clock.forward(101)
    assert body(node.get(URL + ASC)) == b"signs old"


def test_a_root_that_is_none_never_replaces_one(node: Node, upstream: Upstream) -> None:
    prime(node, upstream, OLD, "primary")
    upstream.put(REPOMD, b"<maintenance/>")
    expired(node)
    assert stored(node, REPOMD) == ("STALE", OLD.repomd)


def test_a_listed_package_is_verified_against_its_list(node: Node, upstream: Upstream) -> None:
    prime(node, upstream, OLD, "primary")
    upstream.corrupt("/a.rpm")
    assert node.get(f"{URL}/a.rpm").status_code == 502
    node.idle()
    upstream.clear()
    assert stored(node, "/a.rpm") == ("MISS", b"package one")


def test_a_replaced_package_is_evicted_with_the_new_list(node: Node, upstream: Upstream) -> None:
    prime(node, upstream, OLD, "primary")
    assert stored(node, "/a.rpm") == ("MISS", b"package one")
    node.idle()
    NEW.publish(upstream)
    assert stored(node, "/a.rpm") == ("HIT", b"package one")
    assert expired(node) == "UPDATING"
    assert stored(node, "/a.rpm") == ("MISS", b"package two")


def test_a_missing_listed_file_makes_its_root_suspect(node: Node, upstream: Upstream) -> None:
    prime(node, upstream, OLD, "primary")
    OLD.withdraw(upstream)
    NEW.publish(upstream)
    assert node.get(URL + OLD.path("filelists")).status_code == 404
    node.idle()
    assert node.get(URL + REPOMD).headers["X-Cache"] == "UPDATING"
    node.idle()
    assert stored(node, REPOMD) == ("HIT", NEW.repomd)


def test_a_flush_within_a_switch_wins(node: Node, upstream: Upstream) -> None:
    prime(node, upstream, OLD, "primary")
    NEW.publish(upstream)
    upstream.latency(0.3)
    node.clock.forward(101)
    assert node.get(URL + REPOMD).headers["X-Cache"] == "UPDATING"
    assert node.admin("PUT", "/cache/flush?remote=rpm").status_code == 200
    node.idle()
    assert stored(node, REPOMD) == ("MISS", NEW.repomd)


@pytest.mark.parametrize("hashed", [False, True])
def test_a_listed_file_that_upstream_never_offers(node: Node, upstream: Upstream, hashed: bool) -> None:
    """Some archives list more than they have: a plain name holds its set up for a while, a checksum for good."""
    old, new = (Edition({"other": text}, hashed=hashed) for text in (b"old other", b"new other"))
    prime(node, upstream, old, "primary", "other")
    old.withdraw(upstream)
    new.publish(upstream, "other")
    for _ in range(sets.LENIENT):
        node.clock.forward(400)  # more than it rests
        assert expired(node) == "UPDATING"
        assert stored(node, REPOMD)[1] == old.repomd
    node.clock.forward(400)
    assert expired(node) == "UPDATING"
    assert stored(node, REPOMD)[1] == (old if hashed else new).repomd
    if not hashed:
        assert node.get(URL + new.path("other")).status_code == 404
