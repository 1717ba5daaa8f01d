"""The engine's rows for sets: an index and what it names change as one, and its lists verify what is fetched."""

from __future__ import annotations

from collections.abc import Callable

from tests.http.node import Node, body
from tests.http.sets import REPOMD, Edition
from tests.upstream_wire import Reply, Seen
from tests.upstreams import Fault, Upstream

URL = "/repository/rpm"
OLD = Edition({"filelists": b"old files"}, {"a.rpm": b"package one"})
NEW = Edition({"filelists": b"new files", "other": b"new other"}, {"a.rpm": b"package two"})
PLAIN_OLD = Edition({"filelists": b"old files"}, hashed=False, signature=b"signs old")
PLAIN_NEW = Edition({"filelists": b"new files"}, hashed=False, signature=b"signs new")


def prime(node: Node, upstream: Upstream, edition: Edition, *kinds: str) -> None:
    """Publish an edition and have the node store its root, those types and the signature, if there is one."""
    edition.publish(upstream)
    for path in (REPOMD, *(edition.path(kind) for kind in kinds)):
        assert node.get(URL + path).status_code == 200, path
    if edition.signature:
        assert body(node.get(f"{URL}{REPOMD}.asc")) == edition.signature
    node.idle()
    upstream.reset()


def expired(node: Node) -> str:
    """The answer to the first request after the root's time: its X-Cache, once what it began has ended."""
    node.clock.forward(101)
    state = node.get(URL + REPOMD).headers["X-Cache"]
    node.idle()
    return str(state)


def stored(node: Node, path: str) -> tuple[str, bytes]:
    reply = node.get(URL + path)
    return reply.headers["X-Cache"], body(reply)


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
    upstream.fault(_when_asked(lambda: newest.publish(upstream)), NEW.path("filelists"), 1)
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
    assert stored(node, f"{REPOMD}.asc") == ("HIT", b"signs new")


def test_plain_names_the_new_set_lacks_expire_with_the_old(node: Node, upstream: Upstream) -> None:
    prime(node, upstream, PLAIN_OLD, "primary", "filelists")
    unsigned = Edition({}, hashed=False)
    unsigned.publish(upstream)
    for path in ("/repodata/filelists.xml", f"{REPOMD}.asc"):
        upstream.remove(path)
    assert expired(node) == "UPDATING"
    assert stored(node, REPOMD) == ("HIT", unsigned.repomd)
    assert node.get(f"{URL}/repodata/filelists.xml").status_code == 404
    assert node.get(f"{URL}{REPOMD}.asc").status_code == 404


def test_a_signature_is_never_paired_with_another_root(node: Node, upstream: Upstream) -> None:
    PLAIN_OLD.publish(upstream)
    body(node.get(URL + REPOMD))
    node.idle()
    PLAIN_NEW.publish(upstream)
    refused = node.get(f"{URL}{REPOMD}.asc")
    assert refused.status_code == 502
    node.idle()
    assert node.get(URL + REPOMD).headers["X-Cache"] == "UPDATING", "the root is asked about at once"
    node.idle()
    assert stored(node, REPOMD) == ("HIT", PLAIN_NEW.repomd)
    assert stored(node, f"{REPOMD}.asc")[1] == b"signs new"


def test_a_signature_changed_within_the_switch_starts_over(node: Node, upstream: Upstream) -> None:
    prime(node, upstream, PLAIN_OLD, "primary")
    newest = Edition({}, hashed=False, signature=b"signs newest")
    PLAIN_NEW.publish(upstream)
    upstream.fault(_when_asked(lambda: newest.publish(upstream)), f"{REPOMD}.asc", 1)
    assert expired(node) == "UPDATING"
    assert stored(node, REPOMD) == ("HIT", newest.repomd)
    assert stored(node, f"{REPOMD}.asc") == ("HIT", b"signs newest")


def test_an_expired_signature_stays_with_its_root(node: Node, upstream: Upstream) -> None:
    prime(node, upstream, PLAIN_OLD, "primary")
    PLAIN_NEW.publish(upstream)
    node.clock.forward(101)
    assert body(node.get(f"{URL}{REPOMD}.asc")) == b"signs old"


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


def _when_asked(then: Callable[[], None]) -> Fault:
    """Answer as before, and do something as soon as it is asked."""

    def fault(reply: Reply, _: Seen) -> Reply:
        then()
        return reply

    return fault
