"""What a remote does not give away: another repository's images, what its patterns refuse, banned tags."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.clients.commands import CommandFailedError
from tests.containers.images import multi, simple
from tests.containers.machine import ANY, NewMachine, Source, ask
from tests.containers.skopeo import Skopeo


def test_a_digest_of_a_private_registry_is_unknown_to_a_public_one(
    new_machine: NewMachine, sources: dict[str, Source], image_name: str
) -> None:
    """Its bytes are stored here, and the public image of that name exists: guessing a digest gives nothing."""
    public, private = sources["hub"], sources["private"]
    secret, open_ = (multi(f"{image_name.replace('/', '-')}-{each}") for each in ("secret", "open"))
    private.registry.push(image_name, "v1", secret)
    public.registry.push(image_name, "v1", open_)
    new_machine().pull(private, image_name, "v1").assert_same(secret)
    new_machine().pull(public, image_name, "v1").assert_same(open_)
    private.settle(image_name, secret)
    for blob in secret.blobs:
        answers = [public.get(f"{image_name}/blobs/{blob.digest}", method) for method in ("GET", "HEAD")]
        assert [each.status for each in answers] == [404, 404]
        assert answers[0].code == "BLOB_UNKNOWN"
    for manifest in secret.manifests:
        answer = public.get(f"{image_name}/manifests/{manifest.digest}")
        assert (answer.status, answer.code) == (404, "MANIFEST_UNKNOWN")
    with pytest.raises(CommandFailedError):
        new_machine().pull(public, image_name, secret.manifest.digest)


def test_patterns_hold_for_manifests_blobs_and_tag_lists_alike(
    skopeo: Callable[[], Skopeo], sources: dict[str, Source], image_name: str
) -> None:
    fenced = sources["fenced"]
    pushed = simple(image_name.replace("/", "-"))
    allowed = f"allowed/{image_name}"
    for name in (allowed, image_name):
        fenced.registry.push(name, "v1", pushed)
    skopeo().pull(fenced, allowed, "v1").assert_same(pushed)
    assert skopeo().tags(f"{fenced.host}/fenced/{allowed}") == ["v1"]
    with pytest.raises(CommandFailedError):
        skopeo().pull(fenced, image_name, "v1")
    references = ("manifests/v1", f"manifests/{pushed.manifest.digest}", f"blobs/{pushed.config.digest}", "tags/list")
    for reference in references:
        answer = fenced.get(f"{image_name}/{reference}")
        assert (answer.status, answer.code) == (403, "DENIED"), reference
    assert not [hit for hit in fenced.registry.front.hits() if hit.path.startswith(f"/v2/{image_name}/")]


def test_a_banned_tag_is_refused_and_its_digest_is_not(new_machine: NewMachine, hub: Source, image_name: str) -> None:
    pushed = multi(image_name.replace("/", "-"))
    hub.registry.push(image_name, "banned", pushed)
    with pytest.raises(CommandFailedError):
        new_machine().pull(hub, image_name, "banned")
    answer = hub.get(f"{image_name}/manifests/banned")
    assert (answer.status, answer.code) == (403, "DENIED")
    new_machine().pull(hub, image_name, pushed.manifest.digest).assert_same(pushed)


def test_a_registry_that_nobody_serves_is_a_404(hub: Source, image_name: str) -> None:
    """?ns= is looked up among the remotes; where it names none, the default does not answer instead."""
    hub.registry.push(image_name, "v1", simple(image_name.replace("/", "-")))
    url = f"{hub.stack.url}/v2/{image_name}/manifests/v1"
    statuses = [ask(f"{url}{query}", accept=ANY).status for query in ("", "?ns=docker.io", "?ns=127.0.0.1:1")]
    assert statuses == [200, 200, 404]
    assert ask(f"{url}?ns=127.0.0.1:1").code == "NAME_UNKNOWN"
