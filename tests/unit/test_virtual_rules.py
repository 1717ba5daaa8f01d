"""The pure rules of virtuals: whose patterns count, who may be asked, what a document's stamp depends on."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest

from app.assembly import Source, claimants, path_hash, said, saying, stamp
from app.errors import Forbidden, NotFound
from app.formats import FORMATS
from app.formats.generic import GENERIC
from app.formats.virtual import among, made, variant
from app.resource import Ask, Entry, Kind, Repository, Resource, Signing


def member(name: str, kind: Kind = Kind.REMOTE, pattern: str = "", owned: tuple[str, ...] = ()) -> Repository:
    patterns = (re.compile(pattern),) if pattern else ()
    return Repository(name, kind, immutable_patterns=patterns, owned=owned)


def virtual(*parts: Repository, unread: tuple[Repository, ...] = ()) -> Repository:
    names = tuple(part.name for part in (*parts, *unread))
    return Repository("all", Kind.VIRTUAL, members=names, parts=parts, unread=unread)


JARS, ZIPS, ALL = member("jars", pattern=r"\.jar$"), member("zips", pattern=r"\.zip$"), member("every")


@pytest.mark.parametrize(
    ("path", "found"),
    [("a.jar", ["jars", "every"]), ("a.zip", ["zips", "every"]), ("a.tar", ["every"])],
)
def test_each_members_patterns_apply(path: str, found: list[str]) -> None:
    resource = among(GENERIC, virtual(JARS, ZIPS, ALL), Ask("GET", "all", path))
    assert [each.repository.name for each in resource.among] == found


def test_what_no_member_lets_through() -> None:
    with pytest.raises(Forbidden):
        among(GENERIC, virtual(JARS, ZIPS), Ask("GET", "all", "a.tar"))
    with pytest.raises(NotFound):
        among(GENERIC, virtual(unread=(JARS,)), Ask("GET", "all", "a.jar"))


TEAM, OURS = member("team", Kind.LOCAL), member("ours", owned=("ours-*", "@ours/*"))


@pytest.mark.parametrize(
    ("package", "repository", "candidates", "hosts"),
    [
        ("", virtual(TEAM, ALL, OURS), ["team", "every", "ours"], []),
        ("lib", virtual(TEAM, ALL, OURS), ["team", "every", "ours"], ["team"]),
        ("ours-lib", virtual(TEAM, ALL, OURS), ["ours"], []),
        ("@ours/lib", virtual(TEAM, ALL, OURS), ["ours"], []),
        ("Ours-lib", virtual(TEAM, ALL, OURS), ["team", "every", "ours"], ["team"]),
        ("ours-lib", virtual(ALL, unread=(OURS,)), [], []),
        ("lib", virtual(ALL, unread=(TEAM,)), ["every"], ["team"]),
        ("lib", ALL, ["every"], []),
    ],
)
def test_whose_a_package_may_be(
    package: str, repository: Repository, candidates: list[str], hosts: list[str]
) -> None:
    parts = repository.parts or (repository,)
    resource = Resource(
        repository, "x", "x", package=package, among=tuple(Resource(each, "x", "x") for each in parts)
    )
    found, asked = claimants(resource)
    assert ([each.repository.name for each in found], asked) == (candidates, hosts)


def test_an_owner_whose_patterns_refuse_the_path_still_owns_it() -> None:
    owner = replace(JARS, owned=("lib",))
    resource = replace(among(GENERIC, virtual(owner, ALL), Ask("GET", "all", "a.zip")), package="lib")
    assert claimants(resource) == ((), [])


def test_who_may_not_read_all_has_documents_of_their_own() -> None:
    whole, some, other = virtual(TEAM, ALL), virtual(ALL, unread=(TEAM,)), virtual(TEAM, unread=(ALL,))
    assert variant(whole, "x") == "x"
    assert len({variant(each, "x") for each in (whole, some, other)}) == 3
    assert all("\x1f" in variant(each, "x") for each in (some, other)), "no path can be that"


def test_so_have_they_files_beside_it() -> None:
    ask = Ask("GET", "all", f"repodata/{'0' * 64}-merged-primary.xml.zst")
    whole, some = virtual(TEAM, ALL), virtual(ALL, unread=(TEAM,))
    keys = [FORMATS["rpm"].resolve(each, ask).among[0].key for each in (whole, some)]
    assert keys == [ask.path, variant(some, ask.path)]


def _narrowed(states: list[Source], pattern: str) -> list[Source]:
    narrow = replace(ALL, immutable_patterns=(re.compile(pattern),))
    return [replace(states[0], resource=replace(states[0].resource, repository=narrow)), *states[1:]]


def test_what_a_stamp_depends_on() -> None:
    sources = [Resource(each, "x", "x") for each in (ALL, OURS)]
    one = made(GENERIC, virtual(ALL, OURS), "x", "x", sources, "")
    states = [Source(each, state) for each, state in zip(sources, ("d1", "d2"), strict=True)]
    signed = replace(one, repository=replace(one.repository, signing=Signing(key="k")))
    renamed = replace(one, repository=replace(one.repository, signing=Signing(key="k", name="k.rsa.pub")))
    guarded = replace(one, repository=replace(one.repository, unread=(TEAM,)))
    owning = [replace(states[0], resource=replace(sources[0], repository=replace(ALL, owned=("a",)))), states[1]]
    stamps = [
        stamp(one, states),
        stamp(one, list(reversed(states))),
        stamp(one, [states[0], replace(states[1], state="-")]),
        stamp(one, states[:1]),
        stamp(signed, states),
        stamp(renamed, states),
        stamp(guarded, states),
        stamp(one, owning),
        *(stamp(one, _narrowed(states, "x" * 220 + end)) for end in "ab"),
    ]
    assert len(set(stamps)) == len(stamps)
    assert stamp(one, list(states)) == stamps[0]


def test_lines_of_an_entry() -> None:
    kept = saying("Own: a: b", {"Made-Of": "1", "Left-Out": ""})
    assert kept == "Own: a: b\nMade-Of: 1"
    entry = Entry("d", 1, kept=saying(kept, {"Made-Of": "2"}))
    assert (said(entry, "Own"), said(entry, "Made-Of"), said(entry, "Left-Out")) == ("a: b", "2", "")
    assert saying(entry.kept, {"Made-Of": "", "Own": ""}) == ""
    assert len(path_hash("a b")) == 16
