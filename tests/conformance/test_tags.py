"""Listing tags: GET /v2/<name>/tags/list (end-8a), with n and last (end-8b)."""

from __future__ import annotations

import pytest

from tests.conformance.asking import FORMS, Api, Reply
from tests.conformance.prepared import Prepared
from tests.conformance.test_manifests import lone
from tests.containers.images import Blob
from tests.containers.registry import Registry

# In the order of their bytes, which is one of the two that are allowed; docker-registry has it too.
TAGS = ["1.0", "1.1", "10", "2", "Beta", "_x", "alpha", "beta", "latest"]


def push(registry: Registry, name: str, tags: list[str]) -> str:
    """An image under so many tags; its name."""
    registry.push_blob(name, Blob("application/vnd.oci.empty.v1+json", b"{}"))
    for tag in reversed(tags):
        registry.push_manifest(name, tag, lone(name))
    return name


@pytest.fixture(scope="session")
def tagged_by_form(registry: Registry) -> dict[str, str]:
    return {form: push(registry, f"team/tagged-{form}", TAGS) for form in FORMS}


@pytest.fixture
def tagged(tagged_by_form: dict[str, str], form: str) -> str:
    """An image that docker-registry has under all TAGS, and nobody asks for by another form; its name."""
    return tagged_by_form[form]


def tags(reply: Reply) -> list[str]:
    """The list of a page that was answered as it has to be."""
    assert (reply.status, reply.type.partition(";")[0]) == (200, "application/json"), reply
    told = reply.json
    assert set(told) >= {"name", "tags"}, reply
    assert isinstance(told["tags"], list), reply
    return list(told["tags"])


def walked(api: Api, path: str) -> list[list[str]]:
    """Every page from `path` on, by the Links."""
    reply, pages = api.ask(path), []
    for _ in range(20):
        pages.append(tags(reply))
        if not reply.next:
            return pages
        reply = api.go(reply.next)
    raise AssertionError("the Links lead in a circle")


def test_the_tags_of_a_repository_are_listed(api: Api, tagged: str) -> None:
    """Listing Tags (end-8a), MUST: 200, JSON with `tags` for a repository that exists."""
    for reply in api.every(f"{tagged}/tags/list"):
        assert sorted(tags(reply)) == sorted(TAGS), reply


def test_a_list_of_tags_names_its_repository(api: Api, tagged: str) -> None:
    """Listing Tags (end-8a, end-8b), MUST: `name` is the <name> that was asked for, as the client calls it."""
    for query in ("", "?n=2", "?n=0", "?last=zz"):
        assert api.ask(f"{tagged}/tags/list{query}").json["name"] == api.name(tagged), query


def test_tags_are_in_order(api: Api, tagged: str) -> None:
    """Listing Tags (end-8a, end-8b), MUST: in lexical order or in that of their bytes."""
    for query in ("", "?n=5", "?last=1.1", "?n=5&last=1.1"):
        found = tags(api.ask(f"{tagged}/tags/list{query}"))
        assert found in (sorted(found), sorted(found, key=str.lower)), query


def test_a_repository_without_tags_has_an_empty_list(made: Api, name: str, prepared: Prepared) -> None:
    """Listing Tags (end-8a), MAY: the list may be empty."""
    prepared.tags(f"/v2/{name}/tags/list", "", [])
    for reply in made.every(f"{name}/tags/list"):
        assert tags(reply) == [], reply


def test_a_repository_that_lost_its_tags_has_a_list(api: Api, name: str, registry: Registry) -> None:
    """Listing Tags (end-8a), MUST: the body is of the given form, so an empty list is a list and no null."""
    push(registry, name, ["v1"])
    registry.delete(name, lone(name))
    for reply in api.every(f"{name}/tags/list"):
        assert tags(reply) == [], reply


def test_the_tags_of_no_repository_are_not_found(api: Api, name: str) -> None:
    """Listing Tags (end-8a, code-9), MUST: 404 where there is no such repository."""
    for query in ("", "?n=2", "?last=a"):
        assert api.ask(f"{name}/tags/list{query}").told == (404, "NAME_UNKNOWN"), query


@pytest.mark.parametrize("n", [1, 3, len(TAGS) - 1, len(TAGS), len(TAGS) + 1, 1000])
def test_as_many_tags_as_were_asked_for(api: Api, tagged: str, n: int) -> None:
    """Listing Tags (end-8b), MUST: n results from the beginning; fewer only where there are fewer, or with a Link."""
    for reply in api.every(f"{tagged}/tags/list?n={n}"):
        found = tags(reply)
        assert found == TAGS[: len(found)], reply
        assert len(found) == min(n, len(TAGS)) or (reply.next and len(found) < n), reply


def test_no_tags_are_asked_for(api: Api, tagged: str) -> None:
    """Listing Tags (end-8b), MUST: n=0 gets an empty list, and no Link (MUST NOT)."""
    for query in ("n=0", "n=0&last=alpha"):
        reply = api.ask(f"{tagged}/tags/list?{query}")
        assert (tags(reply), reply.headers["Link"]) == ([], None), reply


@pytest.mark.parametrize("last", ["", *TAGS, "1", "m", "zzz", "5"])
def test_tags_after_the_last(api: Api, tagged: str, last: str) -> None:
    """Listing Tags (end-8b), MUST: without n, all tags after `last`, which is a value and not among them."""
    assert tags(api.ask(f"{tagged}/tags/list?last={last}")) == [tag for tag in TAGS if tag > last]


@pytest.mark.parametrize("last", ["", "1.1", "Beta", "beta", "latest", "m"])
def test_so_many_tags_after_the_last(api: Api, tagged: str, last: str) -> None:
    """Listing Tags (end-8b), MUST: with n and last, up to n tags after `last`, which is not among them."""
    rest = [tag for tag in TAGS if tag > last]
    for reply in api.every(f"{tagged}/tags/list?n=2&last={last}"):
        assert tags(reply) == rest[:2], reply


@pytest.mark.parametrize("n", [1, 2, 4, 9, 10])
def test_links_lead_through_all_tags(api: Api, tagged: str, n: int) -> None:
    """Listing Tags (end-8b), MUST: a Link is RFC 5988's with rel="next", and leads on where more tags are."""
    pages = walked(api, f"{tagged}/tags/list?n={n}")
    assert [tag for page in pages for tag in page] == TAGS
    assert max(map(len, pages)) <= n
    api.store(f"{tagged}/tags/list")
    with api.upstream.stopped():
        assert walked(api, f"{tagged}/tags/list?n={n}") == pages


def test_a_list_cut_by_upstream_is_followed_to_its_end(made: Api, name: str, prepared: Prepared) -> None:
    """Listing Tags (end-8a, end-8b), MAY: Links of a registry that pages by itself lead through this server."""
    path = f"/v2/{name}/tags/list"
    for n, query in ((0, ""), (2, "n=2")):
        prepared.tags(path, query, ["a", "b"], f"{path}?last=b&n=2")
        prepared.tags(path, "last=b&n=2", ["c"], f"http://127.0.0.1:{prepared.port}{path}?last=c&n=2")
        prepared.tags(path, "last=c&n=2", ["d"])
        pages = walked(made, f"{name}/tags/list?{query}")
        assert [tag for page in pages for tag in page] == ["a", "b", "c", "d"], n


def test_a_new_tag_is_listed_once_the_list_is_due(api: Api, name: str, registry: Registry) -> None:
    """Listing Tags (end-8a), MUST: the list is the repository's, not what it once was."""
    push(registry, name, ["v1"])
    api.store(f"{name}/tags/list")
    push(registry, name, ["v2"])
    api.expire()
    assert sorted(tags(api.ask(f"{name}/tags/list"))) == ["v1", "v2"]


def test_tags_are_listed_while_upstream_is_gone(named: Api, name: str, registry: Registry) -> None:
    """Listing Tags (end-8a), MUST: 200 and the list, also when it is due and upstream cannot be asked."""
    assert tags(named.stale(f"{push(registry, name, ['v1'])}/tags/list")) == ["v1"]
