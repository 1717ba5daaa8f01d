"""Every client pulls through the cache: cold, warm, a tag moved, a tag deleted, upstream at its limit."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.clients.commands import CommandFailedError
from tests.containers.conftest import CLIENTS
from tests.containers.images import Form, Image, Index, contents, multi, simple
from tests.containers.machine import NewMachine, Source, parts

# Every upstream gives every client an image; what happens to it later depends on one of the two at a time.
_SOURCES = [("hub", Form.DOCKER), ("hub", Form.OCI), ("private", Form.DOCKER), ("tokened", Form.OCI)]
_PAIRS = [*((client, "hub") for client in CLIENTS), ("skopeo", "private"), ("containerd", "tokened")]


def asked_for(source: Source, name: str, reference: str) -> tuple[int, int]:
    """How often upstream was asked for a manifest: (HEAD, GET)."""
    path = f"{name}/manifests/{reference}"
    return source.registry.asked("HEAD", path), source.registry.asked("GET", path)


def downloads(source: Source, name: str, of: Image | Index) -> set[int]:
    """How often upstream sent each of the blobs."""
    return set(source.registry.downloads(name, of))


@pytest.mark.parametrize(("source", "form"), _SOURCES, indirect=["source"])
def test_a_fleet_pulls_from_one_download(
    new_machine: NewMachine, source: Source, image_name: str, form: Form
) -> None:
    """Cold, warm, and with upstream gone after the tag expired: the bytes that were pushed, each sent once."""
    pushed = multi(image_name.replace("/", "-"), form)
    source.registry.push(image_name, "v1", pushed)
    first = new_machine()
    held = first.pull(source, image_name, "v1")
    held.assert_same(pushed)
    assert not first.takes_all or held.kept.keys() == dict(contents(pushed)).keys()
    assert downloads(source, image_name, parts(first, pushed)) == {1}
    source.settle(image_name, pushed)

    cold = len(source.registry.front.hits())
    new_machine().pull(source, image_name, "v1").assert_same(pushed)
    assert len(source.registry.front.hits()) == cold

    source.expire(f"{image_name}/manifests/v1")
    with source.registry.front.stopped():
        new_machine().pull(source, image_name, "v1").assert_same(pushed)
        new_machine().pull(source, image_name, pushed.manifest.digest).assert_same(pushed)


@pytest.mark.parametrize("form", Form)
@pytest.mark.parametrize("first", CLIENTS)
def test_what_one_client_fetched_serves_every_other(
    machines: Callable[[str], NewMachine], first: str, hub: Source, image_name: str, form: Form
) -> None:
    """Their Accept headers differ; what they mean does not. skopeo alone copies the other platforms too."""
    pushed = simple(image_name.replace("/", "-"), form)
    hub.registry.push(image_name, "v1", pushed)
    machines(first)().pull(hub, image_name, "v1").assert_same(pushed)
    hub.settle(image_name, pushed)
    with hub.registry.front.stopped():
        for client in CLIENTS:
            machines(client)().pull(hub, image_name, "v1").assert_same(pushed)
    assert downloads(hub, image_name, pushed) == {1}


@pytest.mark.parametrize(("new_machine", "source"), _PAIRS, indirect=True)
def test_a_tag_that_moved_arrives_once_it_is_expired(
    new_machine: NewMachine, source: Source, image_name: str
) -> None:
    """A HEAD tells whether it moved; the manifest is sent again only if it did."""
    old, new = (multi(f"{image_name.replace('/', '-')}-{each}") for each in ("old", "new"))
    source.registry.push(image_name, "latest", old)
    new_machine().pull(source, image_name, "latest").assert_same(old)
    source.settle(image_name, old)
    before = asked_for(source, image_name, "latest")
    source.expire(f"{image_name}/manifests/latest")
    new_machine().pull(source, image_name, "latest").assert_same(old)
    heads, gets = asked_for(source, image_name, "latest")
    assert (heads, gets) == (before[0] + 1, before[1])

    source.registry.push(image_name, "latest", new)
    new_machine().pull(source, image_name, "latest").assert_same(old)
    source.expire(f"{image_name}/manifests/latest")
    machine = new_machine()
    machine.pull(source, image_name, "latest").assert_same(new)
    assert asked_for(source, image_name, "latest")[0] == heads + 1
    by_digest = asked_for(source, image_name, new.manifest.digest)[1]
    assert asked_for(source, image_name, "latest")[1] + by_digest == gets + 1
    assert downloads(source, image_name, parts(machine, new)) == {1}


@pytest.mark.parametrize(("new_machine", "source"), _PAIRS, indirect=True)
def test_a_tag_deleted_upstream_is_gone_and_its_digest_is_not(
    new_machine: NewMachine, source: Source, image_name: str
) -> None:
    pushed = multi(image_name.replace("/", "-"))
    source.registry.push(image_name, "v1", pushed)
    new_machine().pull(source, image_name, "v1")
    source.settle(image_name, pushed)
    source.registry.delete(image_name, pushed.manifest)
    source.expire()
    with pytest.raises(CommandFailedError):
        new_machine().pull(source, image_name, "v1")
    new_machine().pull(source, image_name, pushed.manifest.digest).assert_same(pushed)
    gone = source.get(f"{image_name}/manifests/v1")
    assert (gone.status, gone.code) == (404, "MANIFEST_UNKNOWN")


@pytest.mark.parametrize(("new_machine", "source"), _PAIRS, indirect=True)
@pytest.mark.parametrize("fault", ["limited", "broken"])
def test_what_is_stored_is_pulled_although_upstream_refuses(
    new_machine: NewMachine, source: Source, image_name: str, fault: str
) -> None:
    """429 as Docker Hub says it above its pull rate, and 502."""
    pushed = multi(image_name.replace("/", "-"))
    source.registry.push(image_name, "v1", pushed)
    new_machine().pull(source, image_name, "v1")
    source.settle(image_name, pushed)
    source.expire(f"{image_name}/manifests/v1")
    with getattr(source.registry.front, fault)():
        new_machine().pull(source, image_name, "v1").assert_same(pushed)


def test_what_is_not_stored_is_429_while_upstream_is_at_its_limit(source: Source, image_name: str) -> None:
    source.registry.push(image_name, "v1", multi(image_name.replace("/", "-")))
    with source.registry.front.limited():
        for method in ("GET", "HEAD"):
            answer = source.get(f"{image_name}/manifests/v1", method)
            assert answer.status == 429
            assert int(answer.headers["Retry-After"]) > 0
            assert method == "HEAD" or answer.code == "TOOMANYREQUESTS"
    assert source.get(f"{image_name}/manifests/v1").status == 200
