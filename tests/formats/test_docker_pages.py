"""The Link of a registry's lists as a table: upstream's, and what this server makes of it."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from io import BytesIO

import pytest

from app.formats import oci_lists, oci_virtual
from app.formats.docker import DOCKER
from app.formats.oci_virtual import all_tags, following
from app.resource import Entry, Found, Kind, Reading, Repository
from tests.formats.images import (
    HEX,
    HUB,
    REFERRERS,
    TAGS,
    ask,
    remote,
    resolve,
)

VERSION = ("Docker-Distribution-Api-Version", "registry/2.0")


def link(
    upstream: str, path: str = TAGS, query: str = "n=2", url_path: str = "", source: Repository | None = None
) -> str | None:
    """The target of the Link that this server makes of upstream's."""
    asked = ask(path, query, url_path=url_path)
    told = dict(DOCKER.headers(asked, DOCKER.resolve(source or remote(), asked), "", f"Link: {upstream}"))
    if "Link" not in told:
        return None
    found = re.fullmatch(r'<([^<>\s]+)>; rel="next"', told["Link"])
    assert found is not None
    return found[1]


HERE = f"/repository/r/{TAGS}"


@pytest.mark.parametrize(
    ("upstream", "expected"),
    [
        ('</v2/team/app/tags/list?n=2&last=b>; rel="next"', f"{HERE}?last=b&n=2"),
        ("</v2/team/app/tags/list?last=b&n=2>;rel=next", f"{HERE}?last=b&n=2"),
        ('<https://registry.example.org/v2/team/app/tags/list?n=2&last=b>; rel="next"', f"{HERE}?last=b&n=2"),
        ('</prefix/v2/team/app/tags/list?last=b>; rel="next"', f"{HERE}?last=b"),
        ('<list?last=b>; rel="next"', f"{HERE}?last=b"),
        ('<?last=b>; rel="next"', f"{HERE}?last=b"),
        ('</v2/team%2Fapp/tags/list?last=b>; rel="next"', f"{HERE}?last=b"),
        ('</v2/team/app/tags/list?next_page=gA%3D%3D&n=50>; rel="next"', f"{HERE}?n=50&next_page=gA%3D%3D"),
        ('</v2/team/app/tags/list?last=b&ns=evil.example.org>; rel="next"', f"{HERE}?last=b"),
        ('</v2/team/app/tags/list?last=b>; title="x, y"; REL="NEXT"', f"{HERE}?last=b"),
        ('</v2/team/app/tags/list?last=b>; rel="up next"', f"{HERE}?last=b"),
        ('</other>; rel="prev", </v2/team/app/tags/list?last=b>; rel="next"', f"{HERE}?last=b"),
        ('</v2/team/app/tags/list?last=a%22b%3E>; rel="next"', f"{HERE}?last=a%22b%3E"),
        ('</v2/team/app/tags/list?last=b>; rel="prev"', None),
        ('</v2/team/app/tags/list?last=b>; rel="nextish"', None),
        ("</v2/team/app/tags/list?last=b>", None),
        ('</v2/team/other/tags/list?last=b>; rel="next"', None),
        ('</v2/otherteam/app/tags/list?last=b>; rel="next"', None),
        ('</v2/xteam/app/tags/list?last=b>; rel="next"', None),
        ('</v2/_catalog?last=b>; rel="next"', None),
        ('</v2/team/app/tags/list>; rel="next"', None),
        ('</v2/team/app/tags/list?n=2>; rel="next"', None),
        ('</v2/team/app/tags/list?n=2&unknown=3>; rel="next"', None),
        ('</v2/team/app/tags/list?n=x&last=b>; rel="next"', None),
        ('<http://[/v2/team/app/tags/list?last=b>; rel="next"', None),
        ('/v2/team/app/tags/list?last=b; rel="next"', None),
        ("", None),
        ("<<>>;;rel", None),
    ],
)
def test_a_link_leads_to_this_server(upstream: str, expected: str | None) -> None:
    assert link(upstream) == expected


NEXT = '</v2/team/app/tags/list?last=b&n=2>; rel="next"'


def test_a_link_is_under_the_address_that_the_client_used() -> None:
    assert link(NEXT, url_path="/v2/r/team/app/tags/list") == "/v2/r/team/app/tags/list?last=b&n=2"
    assert link(NEXT, url_path="/v2/r/team%2Fapp/tags/list") == "/v2/r/team%2Fapp/tags/list?last=b&n=2"
    assert link(NEXT, url_path='/v2/r/"><script>') is None
    assert link(NEXT, url_path="/v2/a\r\nX: y") is None
    hub = '</v2/library/alpine/tags/list?last=b>; rel="next"'
    assert (
        link(hub, "v2/alpine/tags/list", url_path="/v2/alpine/tags/list", source=HUB) == "/v2/alpine/tags/list?last=b"
    )


def test_a_link_keeps_the_client_s_namespace() -> None:
    assert link(NEXT, query="ns=docker.io") == f"{HERE}?last=b&n=2&ns=docker.io"
    assert link(NEXT, query="n=1&ns=a%26b%0d%0a") == f"{HERE}?last=b&n=2&ns=a%26b%0D%0A"


def test_an_empty_list_has_no_next_page() -> None:
    assert link(NEXT, query="n=0") is None
    assert link(NEXT, query="n=00") is None


def test_referrers_have_pages_and_filters() -> None:
    upstream = f'<https://127.0.0.1/v2/team/app/referrers/sha256%3A{HEX}?artifactType=a%2Fb&nextToken=t>; rel="next"'
    here = f"/repository/r/{REFERRERS}?artifactType=a%2Fb&nextToken=t"
    assert link(upstream, REFERRERS, "artifactType=a/b") == here
    kept = f"Link: {upstream}\nOCI-Filters-Applied: artifactType"
    told = DOCKER.headers(ask(REFERRERS), resolve(REFERRERS), "", kept)
    assert told == (VERSION, ("Link", f'<{here}>; rel="next"'), ("OCI-Filters-Applied", "artifactType"))


@pytest.mark.parametrize(
    "kept", ["OCI-Filters-Applied: a\rb", "OCI-Filters-Applied: ", "X: y", "Link", "\n\n", "a\u2028b: c"]
)
def test_nothing_strange_is_repeated(kept: str) -> None:
    assert DOCKER.headers(ask(REFERRERS), resolve(REFERRERS), "", kept) == (VERSION,)


def test_a_link_made_to_be_slow_is_not() -> None:
    """The suite's own time limit is the assertion."""
    assert link("<" * 60_000) is None
    assert link(f"<x>{'; rel' * 10_000}") is None
    assert link(f"<x>;{' ' * 60_000}") is None


UNPAGED = [f"t{number}" for number in (3, 1, 2, 5, 4)]


def shown(query: str, tags: object, kept: str = "", url_path: str = "") -> tuple[dict[str, object], str]:
    """A tag list as a client gets it, and the headers kept with it."""
    asked = ask("v2/a/b/tags/list", query, url_path=url_path)
    body = json.dumps({"name": "a/b", "tags": tags}).encode()
    text, kept = DOCKER.render(asked, DOCKER.resolve(remote(), asked), body, kept)
    return json.loads(text), kept


@pytest.mark.parametrize(
    ("query", "expected", "link"),
    [
        ("", ["t1", "t2", "t3", "t4", "t5"], ""),
        ("n=9", ["t1", "t2", "t3", "t4", "t5"], ""),
        ("n=2", ["t1", "t2"], "last=t2&n=2"),
        ("n=2&last=t2", ["t3", "t4"], "last=t4&n=2"),
        ("n=2&last=t4", ["t5"], ""),
        ("last=t3", ["t4", "t5"], ""),
        ("last=t9", [], ""),
        ("n=0", [], ""),
        ("n=1&last=a", ["t1"], "last=t1&n=1"),
    ],
)
def test_a_list_that_upstream_did_not_page_is_put_in_order_and_cut(
    query: str, expected: list[str], link: str
) -> None:
    told, kept = shown(query, UNPAGED)
    assert told == {"name": "a/b", "tags": expected}
    assert kept == (f'Link: </v2/a/b/tags/list?{link}>; rel="next"' if link else "")


def test_a_page_of_an_upstream_that_pages_is_left_alone() -> None:
    kept = 'Link: </v2/a/b/tags/list?n=2&last=z>; rel="next"'
    assert shown("n=2", ["x", "z", "y"], kept) == ({"name": "a/b", "tags": ["x", "z", "y"]}, kept)
    assert shown("n=0", ["x", "z", "y"], kept) == ({"name": "a/b", "tags": []}, "")


def test_a_list_has_the_name_that_the_client_says() -> None:
    assert shown("", ["x"], url_path="/v2/hub/a/b/tags/list")[0]["name"] == "hub/a/b"
    assert shown("", ["x"], url_path="/v2/a%2Fb/tags/list")[0]["name"] == "a/b"
    assert shown("", ["x"], url_path="/repository/v2/v2/a/b/tags/list")[0]["name"] == "a/b"


def test_no_tags_are_an_empty_list() -> None:
    assert shown("", None)[0]["tags"] == shown("n=2", None)[0]["tags"] == []


def page(tags: str, then: str = "", member: str = "r") -> Found:
    """What a virtual has read of a member's list, `then` being the query of the page behind it."""
    one = replace(remote(), name=member)
    resource = DOCKER.resolve(one, ask(TAGS, f"last={tags[0]}" if tags[0] != "a" else "n=1000"))
    body = json.dumps({"name": "team/app", "tags": list(tags)}).encode()
    kept = f'Link: </{TAGS}?{then}>; rel="next"' if then else ""
    return Found(resource, Entry("0" * 64, len(body), kept=kept), BytesIO(body))


def test_a_virtual_reads_every_page_of_each_member() -> None:
    one, two = replace(remote(), name="one"), replace(remote(), name="two")
    both = Repository("v", Kind.VIRTUAL, "docker", members=("one", "two"), parts=(one, two))
    asked = DOCKER.resolve(both, ask(TAGS)).sources
    assert [(each.query, each.index, each.rendered) for each in asked] == [("n=1000", True, False)] * 2
    found = [page("ab", "last=c", "one"), page("ax", member="two")]
    (more,) = following(found)
    assert (more.repository, more.query, more.index, more.rendered) == (one, "last=c", True, False)
    found.append(page("cd", "last=e", "one"))
    assert [each.query for each in following(found)] == ["last=e"], "and not the one before again"
    found.append(page("e", "n=1000", "one"))
    assert following(found) == [], "a ring has an end"
    assert json.loads(all_tags(found)) == {"name": "team/app", "tags": ["a", "b", "c", "d", "e", "x"]}


def test_a_virtual_reads_no_more_than_a_list_can_have(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(oci_virtual, "LONGEST", 60)
    assert following([page("abc", "last=d")])
    with pytest.raises(ValueError, match="longer"):
        following([page("abc", "last=d"), page("def", "last=g")])
    monkeypatch.setattr(oci_lists, "LARGEST", 30)
    with pytest.raises(ValueError, match="r: is longer than 30 bytes"):
        all_tags([page("abc")])


@pytest.mark.parametrize("body", [b"", b"[]", b"<html>", b'{"tags": "a"}', b'{"tags": {"a": 1}}', b"[" * 100_000])
def test_what_is_no_page_of_tags_is_not_recorded_of_a_member(body: bytes) -> None:
    with pytest.raises(ValueError, match=r"."):
        DOCKER.read(page("a").resource, BytesIO(body))
    assert DOCKER.read(page("a").resource, BytesIO(b'{"tags": null}')) == Reading()


STRANGE = ["\u20ac", "a b", "-", "t2", "", "t1", "a\r\nX: y", "t3", "\ud800", "x" * 129]


def test_what_no_tag_can_be_is_in_no_page() -> None:
    """A Link in latin-1 could not even say it."""
    for query, expected, link in (("n=2", ["t1", "t2"], "last=t2&n=2"), ("n=2&last=t2", ["t3"], "")):
        told, kept = shown(query, STRANGE)
        assert told["tags"] == expected
        assert kept == (f'Link: </v2/a/b/tags/list?{link}>; rel="next"' if link else "")
        kept.encode("latin-1")


@pytest.mark.parametrize("body", [b"", b"[]", b"{}", b'{"tags":7}', b'{"tags":[1,2,3]}', b"[" * 100_000])
def test_what_is_no_list_of_tags_is_left_alone(body: bytes) -> None:
    asked = ask("v2/a/b/tags/list", "n=1")
    assert DOCKER.render(asked, DOCKER.resolve(remote(), asked), body, "") == (body, "")
