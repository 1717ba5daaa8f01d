"""What once went wrong with sets, or nearly: half of a set, a switch that never comes, a client beside one."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import pytest

from app import sets
from app.errors import StoreDown
from app.fetch import Fetch
from app.fills.fill import Fill
from app.records import Records
from app.resource import Entry, Resource
from app.stores.catalog import Catalog, Known
from app.stores.redis import RedisMemory
from tests.http.conftest import QUICK
from tests.http.moments import Gate, as_it_was, landed, overtaken, until, when_asked
from tests.http.node import Node, body
from tests.http.sets import ASC, REPOMD, SUITE, URL, Edition, Suite, expired, prime, sha256, stored, valid_until
from tests.http.variant import without_database
from tests.upstream_wire import Reply, Seen, whole
from tests.upstreams import Fault, Upstream

DEB = "/repository/deb"
FILES = "/repodata/filelists.xml"
OLD = Edition({"filelists": b"old files"}, {"a.rpm": b"package one"}, hashed=False)
NEW = Edition({"filelists": b"new files"}, {"a.rpm": b"package two"}, hashed=False)
NAMED_OLD, NAMED_NEW = replace(OLD, hashed=True), replace(NEW, hashed=True)


@pytest.fixture
def remotes(remotes: dict[str, Any], upstream: Upstream) -> dict[str, Any]:
    """Upstreams that are waited for: several tests hold an answer back."""
    base = {"base_url": upstream.url, "cache": {"mutable_ttl": 100}, "upstream": QUICK | {"first_byte_timeout": 20}}
    for package, pattern in (("rpm", r"x86_64/.*\.rpm$"), ("deb", r"\.deb$")):
        remotes["remotes"][package] = base | {"package": package}
        remotes["remotes"][f"few-{package}s"] = base | {"package": package, "immutable_patterns": [pattern]}
    return remotes


@pytest.fixture(autouse=True)
def hurried(monkeypatch: pytest.MonkeyPatch) -> None:
    """No client and no publisher is given time, but where that is the subject."""
    monkeypatch.setattr(sets, "QUIET", 0.0)
    monkeypatch.setattr(sets, "PAUSE", 0.0)


def assert_switched(node: Node, edition: Edition) -> None:
    """Root and a plainly named member are both of that edition."""
    assert stored(node, REPOMD)[1] == edition.repomd
    assert stored(node, FILES)[1] == edition.data["filelists"]


# -- what changes, and what does not ------------------------------------------------------------------------------


@pytest.mark.parametrize("algorithm", ["sha1", "sha256", "sha384", "sha512"])
def test_any_checksum_tells_that_a_plain_name_has_another_body(
    node: Node, upstream: Upstream, algorithm: str
) -> None:
    old, new = replace(OLD, algorithm=algorithm), replace(NEW, algorithm=algorithm)
    prime(node, upstream, old, "primary", "filelists")
    new.publish(upstream)
    assert expired(node) == "UPDATING"
    assert stored(node, REPOMD) == ("HIT", new.repomd)
    assert stored(node, FILES) == ("HIT", b"new files")


@pytest.mark.parametrize("repository", ["few-rpms", "few-debs"])
def test_a_member_that_patterns_forbid_does_not_spoil_its_root(
    node: Node, upstream: Upstream, repository: str
) -> None:
    repomd = Edition({}, hashed=False).repomd.replace(b"repodata/primary.xml", b"extra/stuff.xml")
    release = Suite({"main/binary-x/Packages": b"", "../../outside/list": b""}).release
    path, text = (REPOMD, repomd) if repository == "few-rpms" else (f"{SUITE}InRelease", release)
    upstream.put(path, text)
    assert stored(node, path, f"/repository/{repository}") == ("MISS", text)
    node.idle()
    upstream.stop()
    assert stored(node, path, f"/repository/{repository}") == ("HIT", text)
    assert node.get(f"/repository/{repository}/extra/stuff.xml").status_code in (403, 502)


def test_two_heads_of_one_suite_change_one_after_the_other(node: Node, upstream: Upstream) -> None:
    """The second one finds the members of the first one's new set, and spoils nothing."""
    heads, packages = ("InRelease", "Release"), "main/binary-x/Packages"
    old, new = (Suite({packages: _stanza(name)}) for name in ("a", "b"))
    paths = [SUITE + name for name in (*heads, "Release.gpg", packages)]
    old.publish(upstream, *heads)
    for path in paths:
        stored(node, path, DEB)
    node.idle()
    new.publish(upstream, *heads)
    assert expired(node, paths[0], DEB) == "UPDATING"
    assert stored(node, paths[1], DEB)[0] in ("UPDATING", "EXPIRED")
    node.idle()
    upstream.stop()
    signature = b"signs " + sha256(new.release).encode()
    assert [stored(node, path, DEB)[1] for path in paths] == [
        new.release,
        new.release,
        signature,
        new.files[packages],
    ]


def test_a_stored_root_that_cannot_be_read_is_replaced_nevertheless(node: Node, upstream: Upstream) -> None:
    """An earlier version read it, as it were."""
    prime(node, upstream, OLD)
    [blob] = node.blobs()
    blob.chmod(0o640)
    blob.write_bytes(b"?" * len(OLD.repomd))
    NEW.publish(upstream)
    assert expired(node) == "UPDATING"
    assert stored(node, REPOMD) == ("HIT", NEW.repomd)


def test_a_root_that_goes_away_within_a_switch_is_left_alone_for_a_while(node: Node, upstream: Upstream) -> None:
    prime(node, upstream, NAMED_OLD, "primary", "filelists")
    NAMED_NEW.publish(upstream, "filelists")
    upstream.fault(when_asked(lambda: upstream.remove(REPOMD)), NAMED_NEW.path("filelists"), 1)
    assert expired(node) == "UPDATING"
    upstream.reset()
    for _ in range(3):
        assert stored(node, REPOMD) == ("STALE", NAMED_OLD.repomd)
        node.idle()
    assert upstream.count() == 0


@pytest.mark.parametrize("name", ["filelists", "repomd"])
@pytest.mark.parametrize("failures", [1, 2])
def test_a_memory_that_hiccups_within_a_switch_shows_nobody_half_of_it(
    node: Node, upstream: Upstream, monkeypatch: pytest.MonkeyPatch, name: str, failures: int
) -> None:
    """Copies are dropped before the commit and after it; either may fail."""
    prime(node, upstream, OLD, "primary", "filelists")
    assert_switched(node, OLD)
    forget, left = RedisMemory.forget, [failures]

    def hiccup(memory: RedisMemory, repository: str, key: str) -> None:
        if name in key and left[0]:
            left[0] -= 1
            raise StoreDown("a hiccup")
        forget(memory, repository, key)

    monkeypatch.setattr(RedisMemory, "forget", hiccup)
    NEW.publish(upstream)
    assert expired(node) == "UPDATING"
    assert left == [0]
    assert_switched(node, NEW)


def test_without_an_index_a_root_and_its_signature_are_passed_through(
    node: Node, upstream: Upstream, postgres_url: str
) -> None:
    signed = replace(NAMED_NEW, signature=b"signs new")
    signed.publish(upstream)
    with without_database(node, postgres_url):
        assert [stored(node, path)[1] for path in (REPOMD, ASC)] == [signed.repomd, b"signs new"]


# -- clients beside a switch ------------------------------------------------------------------------------------


def _status(code: int) -> Fault:
    return lambda *_: whole(code, {}, b"no\n")


def _reset(reply: Reply, _: Seen) -> Reply:
    return replace(reply, reset=True)


def _old_again(*_: Any) -> Reply:
    return whole(200, {"Content-Type": "text/xml"}, b"old files")


LATE = {"as it was": as_it_was, "a reset": _reset, "the old bytes": _old_again}
LATE |= {str(code): _status(code) for code in (304, 404, 403, 503)}


@pytest.mark.parametrize("late", LATE.values(), ids=LATE.keys())
def test_what_an_older_visit_learns_of_an_old_member_leaves_the_new_one(
    node: Node, upstream: Upstream, late: Fault
) -> None:
    prime(node, upstream, OLD, "primary", "filelists")
    node.clock.forward(101)
    with overtaken(node, upstream, URL, FILES, late):
        NEW.publish(upstream)
        stored(node, REPOMD)
        landed(REPOMD)
        assert_switched(node, NEW)
    assert_switched(node, NEW)


@pytest.mark.parametrize("late", LATE.values(), ids=LATE.keys())
def test_what_a_younger_visit_learns_of_an_old_member_leaves_the_new_one(
    node: Node, upstream: Upstream, late: Fault
) -> None:
    """Younger than the root's own visit, so that fences alone do not tell."""
    prime(node, upstream, OLD, "primary", "filelists")
    node.clock.forward(101)
    NEW.publish(upstream)
    gate = Gate()
    upstream.fault(when_asked(gate.come), REPOMD, 1)
    with ThreadPoolExecutor(1) as pool:
        pool.submit(node.app.test_client().get, URL + REPOMD, buffered=True)
        gate.reached()
        with overtaken(node, upstream, URL, FILES, late):
            gate.open()
            landed(REPOMD)
            assert_switched(node, NEW)
    assert_switched(node, NEW)


def test_what_is_learnt_of_a_copy_that_was_read_before_the_switch_leaves_the_new_one(
    node: Node, upstream: Upstream, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A HEAD that read of the old copy, then paused, and took its fence after the switch."""
    prime(node, upstream, OLD, "primary", "filelists")
    upstream.fault(lambda reply, seen: whole(304, {}, b"") if seen.method == "HEAD" else reply, FILES)
    node.clock.forward(101)
    gate, fence = Gate(), Fetch.fence

    def paused(fetch: Fetch, known: Known) -> int:
        if threading.current_thread().name.startswith("fill HEAD"):
            gate.come()
        return fence(fetch, known)

    monkeypatch.setattr(Fetch, "fence", paused)
    with ThreadPoolExecutor(1) as pool:
        pool.submit(node.app.test_client().head, URL + FILES, buffered=True)
        gate.reached()
        try:
            NEW.publish(upstream)
            stored(node, REPOMD)
            landed(REPOMD)
        finally:
            gate.open()
    node.idle()
    assert_switched(node, NEW)


def test_a_member_revalidated_meanwhile_does_not_refuse_the_switch(node: Node, upstream: Upstream) -> None:
    more = replace(OLD, data=OLD.data | {"other": b"more"})
    prime(node, upstream, OLD, "primary", "filelists")
    more.publish(upstream)
    node.clock.forward(101)
    with overtaken(node, upstream, URL, REPOMD):
        assert stored(node, FILES) == ("REVALIDATED", b"old files")
        landed(FILES)
    assert stored(node, REPOMD) == ("HIT", more.repomd)


def test_a_file_that_was_never_stored_is_expected_as_the_new_root_says(
    node: Node, upstream: Upstream, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also while the list of a member, which may be of fifty thousand packages, is still being recorded."""
    prime(node, upstream, OLD, "primary")
    NEW.publish(upstream)
    gate, keep_list = Gate(), Records.keep_list

    def slow(records: Records, resource: Resource, entry: Entry, epoch: int) -> None:
        if resource.path.endswith("primary.xml"):
            gate.come()
        keep_list(records, resource, entry, epoch)

    monkeypatch.setattr(Records, "keep_list", slow)
    node.clock.forward(101)
    assert stored(node, REPOMD)[0] in ("UPDATING", "EXPIRED")
    gate.reached()
    try:
        assert stored(node, REPOMD)[1] == NEW.repomd
        assert stored(node, FILES) == ("MISS", b"new files")
    finally:
        gate.open()
        node.idle()
    assert_switched(node, NEW)


def test_a_set_of_plain_names_is_held_until_its_last_reader_had_time(
    node: Node, upstream: Upstream, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sets, "QUIET", 3.0)
    prime(node, upstream, OLD, "primary", "filelists")
    NEW.publish(upstream)
    node.clock.forward(101)
    assert stored(node, REPOMD)[1] == OLD.repomd
    fill = running(node, REPOMD)
    until(lambda: fill.held)
    assert stored(node, FILES)[1] == b"old files", "who follows the old root still finds it"
    with ThreadPoolExecutor(3) as pool:
        asked = [pool.submit(node.app.test_client().get, URL + REPOMD, buffered=True) for _ in range(3)]
        replies = [each.result() for each in asked]
    assert [(each.headers["X-Cache"], body(each)) for each in replies] == [("EXPIRED", NEW.repomd)] * 3
    node.idle()
    assert_switched(node, NEW)


def test_a_set_that_is_named_by_checksums_is_held_for_nobody(
    node: Node, upstream: Upstream, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sets, "QUIET", 3600.0)
    prime(node, upstream, NAMED_OLD, "primary", "filelists")
    NAMED_NEW.publish(upstream)
    assert expired(node) == "UPDATING"
    assert stored(node, REPOMD) == ("HIT", NAMED_NEW.repomd)


def running(node: Node, path: str) -> Fill:
    """The fill of that path of the rpm remote, which runs."""
    name = f"rpm@0{path}"
    fill, new = node.carrier.engine.flights.board(name, lambda fill: fill.settle(None))
    assert not new
    assert fill.name == name
    return fill


# -- signatures -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("hashed", [True, False])
def test_the_old_set_stays_until_the_new_signature_is_there(node: Node, upstream: Upstream, hashed: bool) -> None:
    old = replace(OLD, signature=b"signs old", hashed=hashed)
    new = replace(NEW, signature=b"signs old", hashed=hashed)
    prime(node, upstream, old, "primary", "filelists")
    new.publish(upstream)
    assert expired(node) == "UPDATING"
    assert stored(node, REPOMD)[1] == old.repomd
    assert stored(node, ASC)[1] == b"signs old"
    assert stored(node, old.path("filelists"))[1] == b"old files"
    upstream.put(ASC, b"signs new")
    assert expired(node) == "UPDATING"
    assert stored(node, REPOMD) == ("HIT", new.repomd)
    assert stored(node, ASC) == ("HIT", b"signs new")


def test_a_signature_that_comes_a_little_later_is_waited_for(node: Node, upstream: Upstream) -> None:
    old, new = replace(OLD, signature=b"signs old"), replace(NEW, signature=b"signs old")
    prime(node, upstream, old, "primary", "filelists")
    new.publish(upstream)
    upstream.fault(when_asked(lambda: upstream.put(ASC, b"signs new")), ASC, 1)
    assert expired(node) == "UPDATING"
    assert stored(node, REPOMD) == ("HIT", new.repomd)
    assert stored(node, ASC) == ("HIT", b"signs new")
    assert upstream.count(ASC) == 2


@pytest.mark.parametrize("missing", [sets.ATTEMPTS - 1, sets.ATTEMPTS])
def test_a_signature_is_missed_at_the_last_attempt_alone(node: Node, upstream: Upstream, missing: int) -> None:
    old, new = replace(OLD, signature=b"signs old"), replace(NEW, signature=b"signs new")
    prime(node, upstream, old, "primary", "filelists")
    new.publish(upstream)
    upstream.status(404, ASC, times=missing)
    assert expired(node) == "UPDATING"
    assert upstream.count(ASC) == sets.ATTEMPTS
    assert_switched(node, new)
    there = missing < sets.ATTEMPTS
    assert stored(node, ASC) == ("HIT" if there else "MISS", b"signs new")


def test_a_signature_on_its_way_while_its_root_changes_is_not_kept(node: Node, upstream: Upstream) -> None:
    old, new = replace(OLD, signature=b"signs old"), replace(NEW, signature=b"signs new")
    old.publish(upstream)
    stored(node, REPOMD)
    node.idle()
    with overtaken(node, upstream, URL, ASC) as reply:
        new.publish(upstream)
        node.clock.forward(101)
        stored(node, REPOMD)
        landed(REPOMD)
        assert stored(node, REPOMD)[1] == new.repomd
    assert reply.result().status_code == 502
    assert stored(node, ASC)[1] == b"signs new"


def test_a_signature_that_may_be_cut_is_no_signature(node: Node, upstream: Upstream) -> None:
    replace(OLD, signature=b"signs old").publish(upstream)
    stored(node, REPOMD)
    upstream.http10(ASC)
    assert node.get(URL + ASC).status_code == 502
    node.idle()
    upstream.clear()
    assert stored(node, ASC) == ("MISS", b"signs old")


# -- lists, and what makes a root suspect -------------------------------------------------------------------------


def test_a_file_that_no_list_promises_makes_nothing_suspect(node: Node, upstream: Upstream) -> None:
    prime(node, upstream, OLD, "primary")
    for path in (ASC, "/repodata/nothing", "/b.rpm"):
        assert node.get(URL + path).status_code == 404
        node.idle()
        assert stored(node, REPOMD) == ("HIT", OLD.repomd), path


def test_a_file_that_the_old_root_lists_does_not_make_the_new_one_suspect(node: Node, upstream: Upstream) -> None:
    """Its 404 comes while the root is being replaced already."""
    prime(node, upstream, NAMED_OLD, "primary")
    NAMED_OLD.withdraw(upstream)
    NAMED_NEW.publish(upstream)
    gate = Gate()
    upstream.fault(when_asked(gate.come), NAMED_NEW.path("primary"), 1)
    node.clock.forward(101)
    with ThreadPoolExecutor(1) as pool:
        first = pool.submit(node.app.test_client().get, URL + REPOMD, buffered=True)
        gate.reached()
        try:
            assert node.get(URL + NAMED_OLD.path("filelists")).status_code == 404
            landed(NAMED_OLD.path("filelists"))
        finally:
            gate.open()
        assert first.result().headers["X-Cache"] == "UPDATING"
    node.idle()
    assert stored(node, REPOMD) == ("HIT", NAMED_NEW.repomd)


def test_a_suspicion_that_comes_late_does_not_bring_the_old_root_back(
    node: Node, upstream: Upstream, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its thread pauses where it has read of the old root, and is to write."""
    prime(node, upstream, OLD, "primary")
    upstream.status(404, FILES, times=1)
    gate, find = Gate(), Catalog.find

    def paused(catalog: Catalog, repository: str, key: str) -> Known:
        known = find(catalog, repository, key)
        if f"/{key}" == REPOMD and threading.current_thread().name.endswith(FILES):
            gate.come()
        return known

    monkeypatch.setattr(Catalog, "find", paused)
    with ThreadPoolExecutor(1) as pool:
        missing = pool.submit(node.app.test_client().get, URL + FILES, buffered=True)
        gate.reached()
        try:
            NEW.publish(upstream)
            node.clock.forward(101)
            stored(node, REPOMD)
            landed(REPOMD)
        finally:
            gate.open()
        assert missing.result().status_code == 404
    node.idle()
    upstream.stop()
    assert stored(node, REPOMD)[1] == NEW.repomd


def test_a_listed_file_that_a_mirror_lacks_is_asked_for_again(node: Node, upstream: Upstream) -> None:
    prime(node, upstream, OLD, "primary")
    upstream.remove("/a.rpm")
    assert node.get(f"{URL}/a.rpm").status_code == 404
    node.idle()
    OLD.publish(upstream)
    assert stored(node, "/a.rpm") == ("MISS", b"package one")


def test_the_list_of_an_older_edition_is_nobodys(node: Node, upstream: Upstream) -> None:
    """Upstream still has it, and anyone may ask for it."""
    NAMED_OLD.publish(upstream)
    NAMED_NEW.publish(upstream)
    for path in (REPOMD, NAMED_NEW.path("primary"), "/a.rpm", NAMED_OLD.path("primary")):
        stored(node, path)
        node.idle()
    assert stored(node, "/a.rpm") == ("HIT", b"package two")
    node.admin("PUT", "/cache/flush?remote=rpm")
    for path in (REPOMD, NAMED_OLD.path("primary")):
        stored(node, path)
        node.idle()
    assert stored(node, "/a.rpm") == ("MISS", b"package two")


def test_a_package_that_arrives_while_its_list_is_recorded_is_kept_by_that(node: Node, upstream: Upstream) -> None:
    NEW.publish(upstream)
    upstream.put("/a.rpm", b"package one")
    stored(node, REPOMD)
    with overtaken(node, upstream, URL, "/a.rpm"):
        upstream.put("/a.rpm", b"package two")
        stored(node, NEW.path("primary"))
        landed(NEW.path("primary"))
    assert stored(node, "/a.rpm") == ("MISS", b"package two")


# -- until when an index may be believed --------------------------------------------------------------------------


def test_a_suite_that_upstream_froze_is_served_stale(node: Node, upstream: Upstream) -> None:
    """Its date was over already when upstream gave it out: there is nothing better."""
    path, absent = f"{SUITE}InRelease", "main/binary-x/Packages"
    frozen = Suite({absent: _stanza("a")}, valid_until(node.clock() - 86400))
    frozen.publish(upstream, "InRelease")
    stored(node, path, DEB)
    node.idle()
    assert stored(node, path, DEB) == ("HIT", frozen.release)
    upstream.remove(SUITE + absent)
    assert node.get(DEB + SUITE + absent).status_code == 404
    node.idle()
    upstream.status(503)
    assert stored(node, path, DEB) == ("STALE", frozen.release), "suspect, and asked about in vain"


def test_a_suite_whose_date_passes_while_it_is_stored_is_not(node: Node, upstream: Upstream) -> None:
    path = f"{SUITE}InRelease"
    suite = Suite({"Packages": b""}, valid_until(node.clock() + 50))
    suite.publish(upstream, "InRelease")
    stored(node, path, DEB)
    node.idle()
    upstream.status(503)
    assert stored(node, path, DEB) == ("HIT", suite.release)
    node.clock.forward(51)
    assert node.get(DEB + path).status_code == 502
    node.idle()
    upstream.clear()
    assert stored(node, path, DEB) == ("MISS", suite.release), "upstream itself has nothing better"
    node.idle()
    upstream.status(503)
    node.clock.forward(101)
    assert stored(node, path, DEB) == ("STALE", suite.release)


def test_a_404_that_was_known_once_answers_while_upstream_is_down(node: Node, upstream: Upstream) -> None:
    """apt goes on to Release only where InRelease is a 404."""
    suite = Suite({"main/binary-x/Packages": b""})
    suite.publish(upstream, "Release")
    for _ in range(2):
        assert node.get(f"{DEB}{SUITE}InRelease").status_code == 404
        stored(node, f"{SUITE}Release", DEB)
        node.idle()
    assert upstream.count(f"{SUITE}InRelease") == 2, "while upstream answers, its 404 is not believed"
    upstream.stop()
    node.clock.forward(3600)
    for ask in (node.get, node.head):
        assert ask(f"{DEB}{SUITE}InRelease").status_code == 404
    assert stored(node, f"{SUITE}Release", DEB) == ("STALE", suite.release)
    assert node.get(f"{DEB}{SUITE}Release.gpg").status_code == 502, "nobody ever said that it is not there"


def test_a_release_in_another_encoding_is_one(node: Node, upstream: Upstream) -> None:
    suite = Suite({"Packages": b""}, b"Description: Pakete f\xfcr uns\n")
    suite.publish(upstream, "InRelease")
    stored(node, f"{SUITE}InRelease", DEB)
    node.idle()
    assert stored(node, f"{SUITE}InRelease", DEB) == ("HIT", suite.release)


def _stanza(name: str) -> bytes:
    return f"Package: {name}\nFilename: pool/a.deb\nSHA256: {sha256(name.encode())}\n".encode()
