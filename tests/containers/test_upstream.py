"""What reaches a registry behind the cache: one request of a herd, no login but the remote's, few tokens."""

from __future__ import annotations

import base64
import contextlib
import urllib.request
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.clients.commands import CommandFailedError
from tests.containers.images import image, layer, multi
from tests.containers.machine import ANY, Held, Machine, NewMachine, Source
from tests.containers.registry import PASSWORD, USER
from tests.containers.skopeo import Skopeo
from tests.stack import eventually
from tests.token_server import TokenServer

HERD = 8
BASIC = f"Basic {base64.b64encode(f'{USER}:{PASSWORD}'.encode()).decode()}"
LOGIN = {"hub": "", "private": BASIC, "tokened": "Bearer "}


def test_a_herd_of_cold_pulls_asks_upstream_once(
    skopeo: Callable[[], Skopeo], source: Source, image_name: str
) -> None:
    """Eight machines pull at the same moment, each gets all of it, upstream sends all of it once."""
    pushed = image(*(layer(f"{image_name}-{number}".replace("/", "-"), 2_000_000) for number in range(3)))
    source.registry.push(image_name, "v1", pushed)
    machines = [skopeo() for _ in range(HERD)]
    with ThreadPoolExecutor(HERD) as pool:
        for held in pool.map(lambda machine: machine.pull(source, image_name, "v1"), machines):
            held.assert_same(pushed)
    assert source.registry.downloads(image_name, pushed) == [1] * len(pushed.blobs)
    assert source.registry.asked("GET", f"{image_name}/manifests/v1") == 1


def test_no_login_but_the_remotes_own_goes_upstream(source: Source, image_name: str) -> None:
    """Whatever a client shows, and wherever it is asked from."""
    pushed = multi(image_name.replace("/", "-"))
    source.registry.push(image_name, "v1", pushed)
    stranger = f"Basic {base64.b64encode(b'stranger:secret').decode()}"
    for path in ("manifests/v1", f"blobs/{pushed.blobs[0].digest}", "tags/list"):
        url = f"{source.stack.url}/v2/{source.name}/{image_name}/{path}"
        asked = urllib.request.Request(url, headers={"Authorization": stranger, "Accept": ANY})
        with urllib.request.urlopen(asked, timeout=30) as answer:
            assert answer.status == 200
    hits = [hit for hit in source.registry.front.hits() if f"/{image_name}/" in hit.path and hit.status == 200]
    assert hits
    login = LOGIN[source.name]
    assert all(hit.authorization.startswith(login) and bool(hit.authorization) == bool(login) for hit in hits)
    assert not [hit for hit in source.registry.front.hits() if hit.authorization == stranger]


def test_an_image_is_pulled_with_one_token(
    new_machine: NewMachine, sources: dict[str, Source], tokens: TokenServer, image_name: str
) -> None:
    """However many manifests and blobs it has, and whichever worker is asked for them."""
    source, pushed = sources["tokened"], multi(image_name.replace("/", "-"))
    source.registry.push(image_name, "v1", pushed)
    before = tokens.count()
    new_machine().pull(source, image_name, "v1").assert_same(pushed)
    assert tokens.count() - before == 1


@pytest.mark.parametrize("new_machine", ["containerd", "dockerd"], indirect=True)
def test_a_client_is_told_that_upstream_is_at_its_limit(
    new_machine: NewMachine, sources: dict[str, Source], image_name: str
) -> None:
    source = sources["private"]
    source.registry.push(image_name, "v1", multi(image_name.replace("/", "-")))
    with source.registry.front.limited(), pytest.raises(CommandFailedError, match=r"429|toomanyrequests"):
        new_machine().pull(source, image_name, "v1")


@pytest.mark.parametrize("new_machine", ["skopeo", "podman", "buildah"], indirect=True)
def test_a_client_that_tries_again_gets_it_once_upstream_gives_it(
    new_machine: NewMachine, hub: Source, image_name: str
) -> None:
    """These wait as long as Retry-After says, four times or more, so upstream's own word must reach them."""
    pushed = multi(image_name.replace("/", "-"))
    hub.registry.push(image_name, "v1", pushed)
    with ThreadPoolExecutor(1) as pool:
        with hub.registry.front.limited():
            pulled = pool.submit(new_machine().pull, hub, image_name, "v1")
            eventually(lambda: hub.registry.asked("GET", f"{image_name}/manifests/v1"), "refused once")
        pulled.result().assert_same(pushed)


@pytest.mark.parametrize("new_machine", ["skopeo", "containerd", "dockerd"], indirect=True)
def test_a_download_that_broke_is_begun_again(new_machine: NewMachine, hub: Source, image_name: str) -> None:
    """Upstream goes away in the middle of a layer: nobody takes the half for the whole.

    containerd and dockerd try again by themselves; dockerd by Range, and after that from the beginning.
    """
    pushed = image(layer(image_name.replace("/", "-"), 8_000_000))
    hub.registry.push(image_name, "v1", pushed)
    front, spool = hub.registry.front, hub.stack.data_dir / "spool"
    with ThreadPoolExecutor(1) as pool:
        with front.slow():
            pulled = pool.submit(pulled_if_it_can, new_machine(), hub, image_name)
            eventually(lambda: any(_size(file) > 1 << 20 for file in spool.iterdir()), "under way")
            front.stop()
        front.start()
        first = pulled.result()
    (first or new_machine().pull(hub, image_name, "v1")).assert_same(pushed)


def _size(file: Path) -> int:
    """0 for what is renamed away between the look and this."""
    try:
        return file.stat().st_size
    except FileNotFoundError:
        return 0


def pulled_if_it_can(machine: Machine, source: Source, name: str) -> Held | None:
    """None where it gave up."""
    with contextlib.suppress(CommandFailedError):
        return machine.pull(source, name, "v1")
    return None
