"""Push: manifests, tags, subjects (end-7a, end-7b), and what is found of them (end-3, end-8a to end-8b, end-12a)."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.conformance.pushing import EMPTY, Local, body, digest, made
from tests.containers.images import Blob, Form, Image, Index, artifact, image, layer, manifest, multi, simple

INDEX, MANIFEST = Form.OCI.value[:2]
DOCKER_LIST, DOCKER_MANIFEST = Form.DOCKER.value[:2]
SCHEMA1 = "application/vnd.docker.distribution.manifest.v1+prettyjws"


def small(name: str) -> Image:
    """An image of one layer."""
    return image(layer(name.replace("/", "-"), 500))


def descriptor(data: bytes = b"{}", **more: Any) -> dict[str, Any]:
    return {"mediaType": EMPTY.media_type, "digest": digest(data), "size": len(data), **more}


def empty(**more: Any) -> dict[str, Any]:
    """A manifest of the empty blob."""
    return {"schemaVersion": 2, "mediaType": MANIFEST, "config": descriptor(), "layers": [descriptor()], **more}


@pytest.mark.parametrize("form", list(Form), ids=lambda form: form.name.lower())
@pytest.mark.parametrize("make", [simple, multi], ids=["image", "index"])
def test_a_manifest_is_pushed(local: Local, name: str, form: Form, make: Any) -> None:
    """Pushing Manifests (end-7a, end-3), MUST: 201 with Location, and what is pulled is what was pushed."""
    pushed: Image | Index = make(name.replace("/", "-"), form)
    for each in pushed.blobs:
        local.blob(name, bytes(each.data))
    for each in pushed.manifests:
        reply = local.put(name, each.digest, each)
        assert (reply.status, reply.digest) == (201, each.digest)
    reply = local.put(name, "v1", pushed.manifest)
    assert (reply.status, reply.digest) == (201, pushed.manifest.digest)
    for target in (reply.headers["Location"], f"{local.base}{name}/manifests/v1"):
        found = local.go(target)
        assert (found.status, found.body, found.type) == (200, pushed.manifest.data, pushed.manifest.media_type)
        head = local.go(target, "HEAD")
        assert (head.status, head.digest) == (200, pushed.manifest.digest)
        assert head.headers["Content-Length"] == str(len(pushed.manifest.data))
    for each in pushed.blobs:
        assert local.ask(f"{name}/blobs/{each.digest}").body == each.data


def test_a_manifest_is_pushed_under_its_digest(local: Local, name: str) -> None:
    """Pushing Manifests (end-7a), MUST: by digest there is no tag, and the digest is the body's."""
    pushed = small(name)
    digested = local.push(name, pushed.manifest.digest, pushed)
    assert local.ask(f"{name}/manifests/{digested}").body == pushed.manifest.data
    assert local.tags(name) == []
    assert local.put(name, digest(b"other"), pushed.manifest).told == (400, "DIGEST_INVALID")


def test_a_manifest_is_pushed_under_its_sha512(local: Local, name: str) -> None:
    """Pushing Manifests (end-7a), MAY: sha512 is a digest as good as any, and is told back."""
    pushed = small(name)
    local.push(name, "v1", pushed)
    known = digest(bytes(pushed.manifest.data), "sha512")
    reply = local.put(name, known, pushed.manifest)
    assert (reply.status, reply.digest) == (201, known)
    found = local.ask(f"{name}/manifests/{known}")
    assert (found.body, found.digest) == (pushed.manifest.data, known)


def test_a_digest_is_pushed_with_its_tags(local: Local, name: str) -> None:
    """Pushing Manifests with tags (end-7b), MAY: ?tag= tags what is pushed by digest, and OCI-Tag says so."""
    pushed = small(name)
    local.push(name, "v0", pushed)
    query = "&".join(f"tag=t{number}" for number in range(10))
    reply = local.put(name, f"{pushed.manifest.digest}?{query}", pushed.manifest)
    assert reply.status == 201
    assert reply.headers.get_all("OCI-Tag") == [f"t{number}" for number in range(10)]
    assert len(local.tags(name)) == 11
    bad = local.put(name, f"{pushed.manifest.digest}?tag=.no", pushed.manifest)
    assert bad.status == 400


def test_a_tag_moves(local: Local, name: str) -> None:
    """Pushing Manifests (end-7a), MUST: a tag is what was pushed last; what it was stays under its digest."""
    first, second = small(f"{name}-1"), small(f"{name}-2")
    local.push(name, "latest", first)
    local.push(name, "latest", second)
    assert local.ask(f"{name}/manifests/latest").digest == second.manifest.digest
    assert local.ask(f"{name}/manifests/{first.manifest.digest}").status == 200
    assert local.tags(name) == ["latest"]


def test_a_manifest_of_four_megabytes_is_pushed(team: Local, name: str) -> None:
    """Pushing Manifests (end-7a, code-10), SHOULD: at least four megabytes are taken, and what is more is a 413."""
    team.blob(name, b"{}")
    bare = len(made(empty(annotations={"a": ""}), MANIFEST).data)
    largest = made(empty(annotations={"a": "x" * ((4 << 20) - bare)}), MANIFEST)
    assert len(largest.data) == 4 << 20
    assert team.put(name, "big", largest).status == 201
    assert team.ask(f"{name}/manifests/big").body == largest.data
    more = Blob(MANIFEST, bytes(largest.data) + b" ")
    assert team.put(name, "bigger", more).told == (413, "SIZE_INVALID")
    parts = iter([bytes(more.data)[: 1 << 20], bytes(more.data)[1 << 20 :]])
    reply = team.ask(f"{name}/manifests/bigger", "PUT", parts, Content_Type=MANIFEST)
    assert reply.told == (413, "SIZE_INVALID")


REFUSED: dict[str, Blob] = {
    "nothing": Blob(MANIFEST, b""),
    "no JSON": Blob(MANIFEST, b"{"),
    "no UTF-8": Blob(MANIFEST, b'{"schemaVersion":2,"\xff":1}'),
    "no object": Blob(MANIFEST, b"[]"),
    "a deep list": Blob(MANIFEST, b'{"schemaVersion":2,"layers":' + b"[" * 100_000 + b"]" * 100_000 + b"}"),
    "a deep object": Blob(MANIFEST, b'{"a":' * 50_000 + b"1" + b"}" * 50_000),
    "a huge number": Blob(MANIFEST, b'{"schemaVersion":' + b"9" * 10_000 + b"}"),
    "no version": made({"mediaType": MANIFEST, "config": descriptor(), "layers": []}, MANIFEST),
    "version 1": made(empty(schemaVersion=1), MANIFEST),
    "version true": made(empty(schemaVersion=True), MANIFEST),
    "schema 1": made({"schemaVersion": 1, "name": "x", "tag": "y", "fsLayers": []}, SCHEMA1),
    "another type": made(empty(), DOCKER_MANIFEST),
    "a type of its own": made(empty(mediaType="application/json"), "application/json"),
    "a type of an index": made({"schemaVersion": 2, "config": descriptor(), "layers": []}, INDEX),
    "an index as an image": made({"schemaVersion": 2, "manifests": []}, MANIFEST),
    "both": made(empty(manifests=[]), MANIFEST),
    "no config": made({"schemaVersion": 2, "mediaType": MANIFEST, "layers": []}, MANIFEST),
    "no layers": made({"schemaVersion": 2, "mediaType": MANIFEST, "config": descriptor()}, MANIFEST),
    "a config that is none": made(empty(config="x"), MANIFEST),
    "layers that are none": made(empty(layers={"a": 1}), MANIFEST),
    "a layer without a digest": made(empty(layers=[{"mediaType": "x", "size": 1}]), MANIFEST),
    "a layer with a bad digest": made(empty(layers=[descriptor(digest="sha256:0")]), MANIFEST),
    "a layer with a path": made(empty(layers=[descriptor(digest="../../v2/x")]), MANIFEST),
    "annotations that are none": made(empty(annotations=["a"]), MANIFEST),
    "an annotation that is no string": made(empty(annotations={"a": {"b": [1]}}, subject=descriptor()), MANIFEST),
    "a subject that is none": made(empty(subject=[]), MANIFEST),
    "a subject with a bad digest": made(empty(subject=descriptor(digest="sha256:0")), MANIFEST),
}


@pytest.mark.parametrize("which", REFUSED)
def test_what_is_no_manifest_is_refused(team: Local, name: str, which: str) -> None:
    """Pushing Manifests (end-7a, code-6), MUST: 400 MANIFEST_INVALID for what is not valid, and nothing is tagged."""
    team.blob(name, b"{}")
    assert team.put(name, "v1", REFUSED[which]).told == (400, "MANIFEST_INVALID")
    assert team.ask(f"{name}/manifests/v1").status == 404


def test_content_type_without_media_type_is_enough(team: Local, name: str) -> None:
    """Pushing Manifests (end-7a), MUST: Content-Type is the type; an OCI manifest may leave its own out."""
    team.blob(name, b"{}")
    bare = made({"schemaVersion": 2, "config": descriptor(), "layers": []}, MANIFEST)
    assert team.put(name, "v1", Blob(f"{MANIFEST}; charset=utf-8", bare.data)).status == 201
    assert team.ask(f"{name}/manifests/v1").type == MANIFEST


@pytest.mark.parametrize("part", ["config", "layers"])
def test_a_manifest_of_what_is_not_there_is_refused(local: Local, name: str, part: str) -> None:
    """Pushing Manifests (end-7a, code-5), MUST: MANIFEST_BLOB_UNKNOWN where it names a blob that is not there."""
    local.blob(name, b"{}")
    absent = descriptor(body())
    pushed = made(empty(**{part: absent if part == "config" else [absent]}), MANIFEST)
    assert local.put(name, "v1", pushed).told == (404, "MANIFEST_BLOB_UNKNOWN")
    assert local.ask(f"{name}/manifests/v1").status == 404


def test_naming_a_blob_does_not_show_it(local: Local, name: str) -> None:
    """Pushing Manifests (end-2, code-5), MUST: what another repository has is not had by naming it in a manifest."""
    secret = body("secret")
    local.blob(f"{name}-other", secret)
    local.blob(name, b"{}")
    pushed = made(empty(layers=[descriptor(secret)]), MANIFEST)
    assert local.put(name, "v1", pushed).told == (404, "MANIFEST_BLOB_UNKNOWN")
    assert local.ask(f"{name}/blobs/{digest(secret)}").told == (404, "BLOB_UNKNOWN")
    theirs = local.push(f"{name}-other", "v1", small(name))
    listed = made({"schemaVersion": 2, "mediaType": INDEX, "manifests": [descriptor(digest=theirs)]}, INDEX)
    assert local.put(name, "v2", listed).told == (404, "MANIFEST_BLOB_UNKNOWN")


def test_an_index_of_what_is_not_there_is_refused(team: Local, name: str) -> None:
    """Pushing Manifests (end-7a, code-5), MUST: the same of an index and its children, of which none is itself."""
    child = descriptor(body(), mediaType=MANIFEST)
    pushed = made({"schemaVersion": 2, "mediaType": INDEX, "manifests": [child]}, INDEX)
    assert team.put(name, "v1", pushed).told == (404, "MANIFEST_BLOB_UNKNOWN")
    bare = made({"schemaVersion": 2, "mediaType": INDEX, "manifests": []}, INDEX)
    assert team.put(name, "v1", bare).status == 201
    nested = made({"schemaVersion": 2, "mediaType": INDEX, "manifests": [bare.descriptor]}, INDEX)
    assert team.put(name, "v2", nested).status == 201


def test_a_layer_that_is_elsewhere_may_be_absent(team: Local, name: str) -> None:
    """Pushing Manifests (end-7a), MUST: what may not be distributed need not be there."""
    team.blob(name, b"{}")
    kind = "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip"
    foreign = descriptor(body(), mediaType=kind, urls=["https://example.org/layer"])
    assert team.put(name, "v1", made(empty(layers=[foreign]), MANIFEST)).status == 201


@pytest.mark.parametrize("tag", [".a", "-a", "a" * 129, "a b", "a/b", "ä", "a%00"])
def test_no_other_tag_is_pushed(team: Local, name: str, tag: str) -> None:
    """Pushing Manifests (end-7a), MUST: a reference is a tag or a digest and nothing else."""
    team.blob(name, b"{}")
    quoted = tag.replace(" ", "%20").replace("ä", "%C3%A4")
    assert team.put(name, quoted, made(empty(), MANIFEST)).status in (400, 404)


def test_a_manifest_of_any_artifact_is_pushed(team: Local, name: str) -> None:
    """Pushing Manifests (end-7a), MUST: a config or layer may be of any type."""
    data = body()
    team.blob(name, data)
    thing = descriptor(data, mediaType="application/x-anything")
    pushed = made(empty(config=thing, layers=[thing], artifactType="application/x-any"), MANIFEST)
    assert team.put(name, "v1", pushed).status == 201


# -- subjects -------------------------------------------------------------------------------------------------


def test_a_subject_is_told_back(local: Local, name: str) -> None:
    """Pushing Manifests with Subject (end-7a), MUST: OCI-Subject says that the subject was understood."""
    subject = small(name)
    local.push(name, "v1", subject)
    signature = artifact(subject.manifest, name)
    for each in signature.blobs:
        local.blob(name, bytes(each.data))
    reply = local.put(name, signature.manifest.digest, signature.manifest)
    assert (reply.status, reply.headers["OCI-Subject"]) == (201, subject.manifest.digest)
    assert local.put(name, "v1", subject.manifest).headers["OCI-Subject"] is None


def test_a_subject_need_not_be_there(local: Local, name: str) -> None:
    """Pushing Manifests with Subject (end-7a, end-12a), MUST: a subject that comes later, or never, is no error."""
    subject = small(name)
    referring = local.push(name, artifact(subject.manifest, name).manifest.digest, artifact(subject.manifest, name))
    assert local.referrers(name, subject.manifest.digest) == [referring]
    local.push(name, "v1", subject)
    assert local.referrers(name, subject.manifest.digest) == [referring]


def test_referrers_are_listed_as_they_are_pushed(local: Local, name: str) -> None:
    """Listing Referrers (end-12a), MUST: an index of descriptors with size, artifactType and annotations."""
    subject = local.push(name, "v1", small(name))
    about = {"mediaType": MANIFEST, "digest": subject, "size": 1}
    local.blob(name, b"{}")
    typed = made(empty(subject=about, artifactType="application/x-a", annotations={"org.example": "ä"}), MANIFEST)
    config = made(empty(subject=about), MANIFEST)
    index = made({"schemaVersion": 2, "mediaType": INDEX, "manifests": [], "subject": about}, INDEX)
    for each in (typed, config, index):
        assert local.put(name, each.digest, each).status == 201
    reply = local.ask(f"{name}/referrers/{subject}")
    assert (reply.status, reply.type, reply.json["mediaType"], reply.json["schemaVersion"]) == (200, INDEX, INDEX, 2)
    found = {each.pop("digest"): each for each in reply.json["manifests"]}
    assert {each["mediaType"] for each in found.values()} == {INDEX, MANIFEST}
    assert found[typed.digest] | {"mediaType": MANIFEST, "size": len(typed.data)} == found[typed.digest]
    assert found[typed.digest]["artifactType"] == "application/x-a"
    assert found[typed.digest]["annotations"] == {"org.example": "ä"}
    assert found[config.digest]["artifactType"] == EMPTY.media_type
    assert "artifactType" not in found[index.digest]


def test_pushed_referrers_are_filtered(local: Local, name: str) -> None:
    """Listing Referrers (end-12b), MUST: ?artifactType= leaves those, and OCI-Filters-Applied says so."""
    subject: dict[str, Any] = {"mediaType": MANIFEST, "digest": digest(body()), "size": 1}
    local.blob(name, b"{}")
    known = {}
    for kind in ("application/x-a", "application/x-b+json"):
        each = made(empty(subject=subject, artifactType=kind), MANIFEST)
        assert local.put(name, each.digest, each).status == 201
        known[kind] = each.digest
    for kind, found in known.items():
        query = f"?artifactType={kind.replace('+', '%2B')}"
        assert local.referrers(name, subject["digest"], query) == [found]
        reply = local.ask(f"{name}/referrers/{subject['digest']}{query}")
        assert reply.headers["OCI-Filters-Applied"] == "artifactType"
    assert local.referrers(name, subject["digest"], "?artifactType=none") == []
    assert local.ask(f"{name}/referrers/{subject['digest']}").headers["OCI-Filters-Applied"] is None


def test_nothing_refers_to_what_nobody_pushed(local: Local, name: str) -> None:
    """Listing Referrers (end-12a, code-4), MUST: an empty index and no 404; 400 for what is no digest."""
    reply = local.ask(f"{name}/referrers/{digest(b'nobody')}")
    assert (reply.status, reply.json["manifests"], reply.type) == (200, [], INDEX)
    assert local.ask(f"{name}/referrers/v1").status == 400


def test_links_lead_through_all_pushed_referrers(team: Local, name: str) -> None:
    """Listing Referrers (end-12a), MUST: no list is longer than four megabytes, and Link leads to the rest."""
    subject: dict[str, Any] = {"mediaType": MANIFEST, "digest": digest(body()), "size": 1}
    team.blob(name, b"{}")
    pushed = []
    for number in range(5):
        each = made(empty(subject=subject, annotations={"a": f"{number}" + "x" * 1_500_000}), MANIFEST)
        assert team.put(name, each.digest, each).status == 201
        pushed.append(each.digest)
    found, target = (
        [],
        f"{team.base}{name}/referrers/{subject['digest']}?artifactType={EMPTY.media_type.replace('+', '%2B')}",
    )
    while target:
        reply = team.go(target)
        assert len(reply.body) <= 4 << 20
        assert reply.headers["OCI-Filters-Applied"] == "artifactType"
        found += [each["digest"] for each in reply.json["manifests"]]
        target = reply.next
    assert found == sorted(pushed)


# -- tags -----------------------------------------------------------------------------------------------------


def test_pushed_tags_are_listed(local: Local, name: str) -> None:
    """Listing Tags (end-8a, end-8b), MUST: in order, by n and last, with a Link to the rest, without digests."""
    pushed = small(name)
    for tag in ("b", "a", "A", "z9", "_", "sha256", "sha257", "t.1"):
        local.push(name, tag, pushed)
    local.push(f"{name}/manifests/x", "inner", pushed)
    assert local.tags(name) == (tags := ["A", "_", "a", "b", "sha256", "sha257", "t.1", "z9"])
    assert local.ask(f"{name}/tags/list").json["name"] == local.called(name)
    assert local.tags(name, "?n=0") == []
    assert local.tags(name, "?n=100") == tags
    assert local.tags(name, "?last=b") == tags[4:]
    assert local.tags(name, "?n=2&last=a") == ["b", "sha256"]
    assert local.tags(name, "?n=1&last=%00") == ["A"]
    found, target = [], f"{local.base}{name}/tags/list?n=3"
    while target:
        reply = local.go(target)
        found.append(reply.json["tags"])
        target = reply.next
    assert found == [tags[:3], tags[3:6], tags[6:]]
    assert local.ask(f"{name}/tags/list?n=x").status == 400


def test_the_tags_of_nothing_are_not_found(local: Local, name: str) -> None:
    """Listing Tags (end-8a, code-9), MUST: 404 where nothing was pushed, an empty list where nothing is tagged."""
    assert local.ask(f"{name}/tags/list").told == (404, "NAME_UNKNOWN")
    local.blob(name, body())
    assert local.tags(name) == []


def test_who_is_not_known_changes_nothing(team: Local, stranger: Local, name: str) -> None:
    """Error Codes (code-11), MUST: a 401 for who has no token, who may pull nevertheless where that is public."""
    pushed = small(name)
    known = team.push(name, "v1", pushed)
    for method, path in (("PUT", "manifests/v1"), ("DELETE", "manifests/v1"), ("DELETE", f"manifests/{known}")):
        assert stranger.ask(f"{name}/{path}", method, bytes(pushed.manifest.data)).told == (401, "UNAUTHORIZED")
    assert stranger.ask(f"{name}/manifests/v1").digest == known


@pytest.mark.parametrize(
    ("method", "path"),
    [("PUT", "tags/list"), ("POST", "manifests/v1"), ("PATCH", "manifests/v1"), ("PUT", "blobs/{}"), ("PUT", "x/y")],
)
def test_what_is_no_request_of_the_api_is_refused(team: Local, name: str, method: str, path: str) -> None:
    """Error Codes (code-13), MUST: an operation that is not supported says so, also where much else is."""
    reply = team.ask(f"{name}/{path.format(digest(b'x'))}", method, b"x")
    assert reply.status in (404, 405)
    assert json.loads(reply.body)["errors"][0]["code"] == "UNSUPPORTED"


def test_an_image_is_pushed_with_what_docker_calls_it(team: Local, name: str) -> None:
    """Pushing Manifests (end-7a), MUST: parts may be named twice, and a manifest pushed twice is one."""
    shared = layer("shared", 500)
    twice = manifest(EMPTY, shared.blob, shared.blob)
    team.blob(name, b"{}")
    team.blob(name, bytes(shared.blob.data))
    for _ in range(2):
        assert team.put(name, "v1", twice).status == 201
    assert team.tags(name) == ["v1"]
