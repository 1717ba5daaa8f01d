"""What clients find out about images: their tags, their inspection, and what refers to them."""

from __future__ import annotations

import json
from collections.abc import Callable

from tests.containers.dockerd import Docker
from tests.containers.images import artifact, multi, referrers_index
from tests.containers.machine import Source
from tests.containers.skopeo import Skopeo


def test_skopeo_lists_and_inspects_through_the_cache(
    skopeo: Callable[[], Skopeo], source: Source, image_name: str
) -> None:
    pushed = multi(image_name.replace("/", "-"))
    for tag in ("v1", "v2", "latest"):
        source.registry.push(image_name, tag, pushed)
    address = f"{source.host}/{source.name}/{image_name}"
    assert skopeo().tags(address) == ["latest", "v1", "v2"]
    told = skopeo().inspect(f"{address}:v1")
    assert told["Digest"] == pushed.manifest.digest
    assert told["Layers"] == [each.blob.digest for each in pushed.images[0].layers]
    source.expire(image_name)
    with source.registry.front.stopped():
        assert skopeo().tags(address) == ["latest", "v1", "v2"]
        assert skopeo().inspect(f"{address}:v1")["Digest"] == pushed.manifest.digest


def test_docker_pulls_every_tag_of_an_image(docker: Docker, source: Source, image_name: str) -> None:
    """`--all-tags`: the list, then one tag after the other."""
    pushed = {tag: multi(f"{image_name}-{tag}".replace("/", "-")) for tag in ("v1", "v2")}
    for tag, each in pushed.items():
        source.registry.push(image_name, tag, each)
    docker("pull", "--quiet", "--all-tags", f"{source.host}/{source.name}/{image_name}")
    for tag, each in pushed.items():
        docker.held(source.address(image_name, tag)).assert_same(each)


def test_what_refers_to_an_image_is_found_by_the_fallback_tag(
    skopeo: Callable[[], Skopeo], source: Source, image_name: str
) -> None:
    """docker-registry knows no referrers; a signature that a client listed under the tag is found here."""
    image, (first, second) = multi(image_name.replace("/", "-")), ("one", "two")
    signatures = [artifact(image.manifest, f"{image_name} {each}") for each in (first, second)]
    source.registry.push(image_name, "v1", image)
    path = f"{image_name}/referrers/{image.manifest.digest}"
    assert json.loads(source.get(path.replace(image.manifest.digest, f"sha256:{'0' * 64}")).body)["manifests"] == []
    for signature in signatures:
        source.registry.push(image_name, signature.manifest.digest, signature)
    tag = image.manifest.digest.replace(":", "-")
    source.registry.push_manifest(image_name, tag, referrers_index(*signatures))

    found = source.get(path)
    assert (found.status, found.headers["Content-Type"]) == (200, "application/vnd.oci.image.index.v1+json")
    digests = [each["digest"] for each in json.loads(found.body)["manifests"]]
    assert digests == [each.manifest.digest for each in signatures]
    skopeo().pull(source, image_name, digests[0]).assert_same(signatures[0])
