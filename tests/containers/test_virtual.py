"""Several registries behind one name: what a team pushed, and what each of two upstreams has."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator

import pytest

from tests.conformance.pushing import Local
from tests.containers.images import artifact, multi, simple
from tests.containers.machine import NewMachine, Source
from tests.containers.registry import PASSWORD, USER, Registry
from tests.stack import Stack, StackFactory

NEEDED = ("skopeo", "podman", "buildah")


@pytest.fixture(scope="module")
def node(registries: dict[str, Registry], stack_factory: StackFactory) -> Iterator[Stack]:
    remotes = {
        "hub": {"package": "docker", "base_url": registries["hub"].url},
        "private": {
            "package": "docker",
            "base_url": registries["private"].url,
            "username": USER,
            "password": PASSWORD,
        },
    }
    config = {
        "remotes": remotes,
        "locals": {"team": {"package": "docker", "owned": ["corp/*"]}},
        "virtuals": {"all": {"package": "docker", "members": ["team", "hub", "private"]}},
    }
    found = stack_factory(config, name="virtual-images").start()
    yield found
    found.stop()


@pytest.fixture
def everything(node: Stack, registries: dict[str, Registry]) -> Source:
    """What clients pull from; `registry` is the first upstream."""
    return Source("all", registries["hub"], node)


@pytest.fixture
def team(node: Stack) -> Local:
    return Local("named", "team", node, node.token)


@pytest.mark.parametrize("client", NEEDED)
def test_an_image_comes_from_whoever_has_it(
    machines: Callable[[str], NewMachine],
    client: str,
    everything: Source,
    team: Local,
    registries: dict[str, Registry],
    image_name: str,
) -> None:
    """Of the team, of the first upstream, of the last; a name that the team has is nobody else's; warm, too."""
    made = {place: multi(f"{image_name.replace('/', '-')}-{place}") for place in ("team", "hub", "private")}
    team.push(f"{image_name}-team", "v1", made["team"])
    registries["hub"].push(f"{image_name}-team", "v1", made["hub"])
    registries["hub"].push(f"{image_name}-team", "v9", made["hub"])
    for place in ("hub", "private"):
        registries[place].push(f"{image_name}-{place}", "v1", made[place])
    for place in ("team", "hub", "private"):
        machines(client)().pull(everything, f"{image_name}-{place}", "v1").assert_same(made[place])
    assert everything.get(f"{image_name}-team/manifests/v9").status == 404
    assert not [hit for hit in registries["hub"].front.hits() if f"{image_name}-team" in hit.path]
    for place in ("hub", "private"):
        Source(place, registries[place], everything.stack).settle(f"{image_name}-{place}", made[place])
    with registries["hub"].front.stopped(), registries["private"].front.stopped():
        for place in ("team", "hub", "private"):
            machines(client)().pull(everything, f"{image_name}-{place}", "v1").assert_same(made[place])


def test_tags_are_those_of_all_upstreams(
    everything: Source, registries: dict[str, Registry], image_name: str
) -> None:
    image = simple(image_name.replace("/", "-"))
    for place, tags in (("hub", "ac"), ("private", "bcd")):
        for tag in tags:
            registries[place].push(image_name, tag, image)
    answer = everything.get(f"{image_name}/tags/list")
    assert answer.status == 200, answer.body
    assert json.loads(answer.body) == {"name": f"all/{image_name}", "tags": ["a", "b", "c", "d"]}
    walked, path = [], f"{image_name}/tags/list?n=3"
    while path:
        answer = everything.get(path)
        walked += json.loads(answer.body)["tags"]
        link = answer.headers["Link"] or ""
        path = link.partition(">")[0].removeprefix("</v2/all/")
    assert walked == ["a", "b", "c", "d"]
    registries["private"].push(image_name, "e", image)
    everything_else = Source("private", registries["private"], everything.stack)
    everything_else.expire(f"{image_name}/tags")
    assert json.loads(everything.get(f"{image_name}/tags/list").body)["tags"] == ["a", "b", "c", "d", "e"]


def test_an_upstream_that_is_down_is_left_out(
    everything: Source, registries: dict[str, Registry], image_name: str
) -> None:
    image = simple(image_name.replace("/", "-"))
    registries["private"].push(image_name, "v1", image)
    with registries["hub"].front.stopped():
        answer = everything.get(f"{image_name}/manifests/v1")
        listed = everything.get(f"{image_name}/tags/list")
        nobodys = everything.get(f"{image_name}-none/manifests/v1")
    assert (answer.status, "hub" in answer.headers["Warning"]) == (200, True)
    assert json.loads(listed.body)["tags"] == ["v1"]
    assert '299 - "hub did not answer and is left out"' in listed.headers.get_all("Warning", [])
    assert nobodys.status in (502, 503)  # who is away may have it


def test_lists_of_what_the_team_has_are_the_teams(everything: Source, team: Local, image_name: str) -> None:
    image = simple(image_name.replace("/", "-"))
    team.push(image_name, "v1", image)
    everything.registry.push(image_name, "v2", image)
    signature = artifact(image.manifest, "signature")
    team.push(image_name, signature.manifest.digest, signature)
    assert json.loads(everything.get(f"{image_name}/tags/list").body)["tags"] == ["v1"]
    listed = json.loads(everything.get(f"{image_name}/referrers/{image.manifest.digest}").body)
    assert [each["digest"] for each in listed["manifests"]] == [signature.manifest.digest]


def test_what_nobody_has(everything: Source, registries: dict[str, Registry], image_name: str) -> None:
    answer = everything.get(f"{image_name}/manifests/v1")
    assert (answer.status, answer.code) == (404, "MANIFEST_UNKNOWN")
    assert everything.get(f"{image_name}/tags/list").status == 404
    for path in ("manifests/v1", "tags/list"):
        assert everything.get(f"corp/tool/{path}").status == 404
    listed = everything.get(f"corp/tool/referrers/{simple('nowhere').manifest.digest}")
    assert json.loads(listed.body)["manifests"] == []
    assert not [hit for hit in registries["hub"].front.hits() if "corp/tool" in hit.path]
    pushing = Local("named", "all", everything.stack, everything.stack.token)
    assert pushing.put(image_name, "v1", simple("nowhere").manifest).status == 405
