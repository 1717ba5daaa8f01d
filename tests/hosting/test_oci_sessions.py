"""Uploads of images over time: on several nodes, by many at once, after losses, and collected when they are over."""

from __future__ import annotations

import hashlib
import json
import os
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from werkzeug.test import TestResponse

from app import maintenance
from app.errors import StoreDown
from app.hosting.docker_blobs import publish
from app.hosting.docker_unused import withdraw_unused
from app.hosting.index import Indexer
from app.shelf import Shelf
from app.stores.catalog import Catalog
from app.stores.redis import RedisMemory
from app.stores.uploads import LIFE
from tests.containers.images import Image, artifact, image, layer
from tests.disk.index import age
from tests.http.node import Node

FENCED = {"package": "docker", "base_url": "http://127.0.0.1:1", "immutable_patterns": ["^v2/allowed/"]}
LOCALS = {"images": {"package": "docker"}, "more": {"package": "docker"}, "plain": {"package": "generic"}}
UPLOADS = "/v2/images/app/blobs/uploads/"


@pytest.fixture
def make(tmp_path: Path, database_url: str, redis_url: str) -> Iterator[Callable[..., Node]]:
    """make(**settings) -> one more node on the same database, Redis and disk."""
    with ExitStack() as running:

        def started(**settings: str) -> Node:
            root = tmp_path / str(len(list(tmp_path.iterdir())))
            root.mkdir()
            shared = {"DATA_DIR": str(tmp_path / "shared"), **settings}
            (tmp_path / "shared").mkdir(exist_ok=True)
            document = {"locals": LOCALS, "remotes": {"fenced": FENCED}}
            return running.enter_context(Node(root, database_url, redis_url, document, **shared).running())

        yield started


@pytest.fixture
def node(make: Callable[[], Node]) -> Node:
    return make()


def digest(data: bytes) -> str:
    return f"sha256:{hashlib.sha256(data).hexdigest()}"


def begin(node: Node) -> str:
    reply = node.admin("POST", UPLOADS)
    assert reply.status_code == 202
    return str(reply.headers["Location"])


def push(node: Node, of: Image, tag: str, name: str = "images/app") -> TestResponse:
    for each in of.blobs:
        url = f"/v2/{name}/blobs/uploads/?digest={each.digest}"
        assert node.admin("POST", url, bytes(each.data)).status_code == 201
    kind = of.manifest.media_type
    return node.admin("PUT", f"/v2/{name}/manifests/{tag}", bytes(of.manifest.data), Content_Type=kind)


def unused(node: Node) -> int:
    """Withdraw what no manifest names; how many."""
    repository = node.carrier.repositories.get("images")
    assert repository is not None
    return withdraw_unused(node.carrier.engine.shelf, node.settings.layout.spool, repository)


def collect(node: Node) -> int:
    shelf = node.carrier.engine.shelf
    return maintenance.collect(shelf.catalog.index, shelf.blobs, grace=0).removed


def test_an_upload_goes_on_at_any_node(make: Callable[[], Node]) -> None:
    nodes = [make(), make(), make()]
    place = begin(nodes[0])
    for number, part in enumerate((b"one", b"two", b"three")):
        assert nodes[number].admin("PATCH", place, part).status_code == 202
    assert nodes[1].admin("GET", place).headers["Range"] == "0-10"
    assert nodes[2].admin("PUT", f"{place}?digest={digest(b'onetwothree')}").status_code == 201
    assert nodes[0].get(f"/v2/images/app/blobs/{digest(b'onetwothree')}").data == b"onetwothree"
    assert nodes[0].admin("GET", place).status_code == 404


def test_one_piece_is_the_blob_itself(node: Node) -> None:
    place = begin(node)
    node.admin("PATCH", place, b"whole")
    (blob,) = node.blobs()
    before = blob.stat().st_ino
    assert node.admin("PUT", f"{place}?digest={digest(b'whole')}").status_code == 201
    assert [each.stat().st_ino for each in node.blobs()] == [before]


def test_of_two_pieces_at_once_one_is_told_to_look(make: Callable[[], Node]) -> None:
    nodes, told = [make(), make()], list[int]()
    place, together = begin(nodes[0]), threading.Barrier(2)

    def go_on(node: Node) -> None:
        together.wait()
        told.append(node.admin("PATCH", place, b"x" * 100_000).status_code)

    threads = [threading.Thread(target=go_on, args=(each,)) for each in nodes]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    size = 100_000 * told.count(202)
    assert set(told) <= {202, 416}
    assert nodes[0].admin("GET", place).headers["Range"] == f"0-{size - 1}"
    assert nodes[0].admin("PUT", f"{place}?digest={digest(b'x' * size)}").status_code == 201


def test_pieces_are_kept_while_their_upload_lives(node: Node) -> None:
    place = begin(node)
    for part in (b"one", b"two"):
        node.admin("PATCH", place, part)
    age(node)
    assert collect(node) == 0
    assert node.admin("PUT", f"{place}?digest={digest(b'onetwo')}").status_code == 201
    age(node)
    assert collect(node) == 2
    assert node.get(f"/v2/images/app/blobs/{digest(b'onetwo')}").data == b"onetwo"


def test_what_nobody_goes_on_with_is_over(node: Node) -> None:
    place = begin(node)
    node.admin("PATCH", place, b"one")
    node.clock.forward(LIFE + 1)
    begin(node)
    assert node.admin("GET", place).status_code == 404
    age(node)
    assert collect(node) == 1


def test_pieces_are_joined_in_s3(tmp_path: Path, database_url: str, redis_url: str, s3_url: str) -> None:
    settings = {"STORAGE_URL": s3_url, "S3_ENDPOINT_URL": os.environ["S3_ENDPOINT_URL"]}
    with Node(tmp_path, database_url, redis_url, {"locals": LOCALS}, **settings).running() as node:
        place, parts = begin(node), [os.urandom(200_000) for _ in range(3)]
        for part in parts:
            assert node.admin("PATCH", place, part).status_code == 202
        known = digest(b"".join(parts))
        assert node.admin("PUT", f"{place}?digest={known}").status_code == 201
        assert node.get(f"/v2/images/app/blobs/{known}").data == b"".join(parts)
        assert push(node, image(layer("s3", 1000)), "v1").status_code == 201
        assert node.get("/v2/images/app/manifests/v1").status_code == 200


def test_a_refused_blob_leaves_nothing(node: Node) -> None:
    place = begin(node)
    assert node.admin("PUT", f"{place}?digest={digest(b'other')}", b"these").status_code == 400
    assert node.admin("GET", place).status_code == 404
    assert node.admin("POST", f"{UPLOADS}?digest={digest(b'other')}", b"these").status_code == 400
    age(node)
    collect(node)
    assert (node.blobs(), node.spools()) == ([], [])


def test_a_lost_piece_is_no_blob(node: Node) -> None:
    place = begin(node)
    for part in (b"one", b"two"):
        node.admin("PATCH", place, part)
    node.blobs()[0].unlink()
    assert node.admin("PUT", f"{place}?digest={digest(b'onetwo')}").status_code == 503
    assert node.get(f"/v2/images/app/blobs/{digest(b'onetwo')}").status_code == 404


def test_a_form_is_no_blob(node: Node) -> None:
    form = b'--b\r\nContent-Disposition: form-data; name="file"; filename="x"\r\n\r\nx\r\n--b--\r\n'
    for path in (f"{UPLOADS}?digest={digest(b'x')}", f"{begin(node)}?digest={digest(b'x')}"):
        method = "PUT" if "uploads/?" not in path else "POST"
        reply = node.admin(method, path, form, Content_Type="multipart/form-data; boundary=b")
        assert (reply.status_code, reply.json["errors"][0]["code"]) == (400, "BLOB_UPLOAD_INVALID")  # type: ignore[index]


def test_a_damaged_layer_is_mended_by_pushing_it_again(node: Node) -> None:
    pushed = image(layer("mended", 1000))
    assert push(node, pushed, "v1").status_code == 201
    for each in node.blobs():
        each.unlink()
    assert node.get("/v2/images/app/manifests/v1").status_code == 503
    assert push(node, pushed, "v1").status_code == 201
    assert node.get(f"/v2/images/app/blobs/{pushed.blobs[1].digest}").data == pushed.blobs[1].data


def test_the_same_layers_are_pushed_by_many_at_once(make: Callable[[], Node]) -> None:
    nodes, told = [make(), make()], list[int]()
    pushed = image(layer("shared-a", 20_000), layer("shared-b", 20_000))

    def one(number: int) -> None:
        told.append(push(nodes[number % 2], pushed, f"v{number}", f"images/app{number % 3}").status_code)

    threads = [threading.Thread(target=one, args=(number,)) for number in range(12)]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    assert told == [201] * 12
    found = [nodes[0].get(f"/v2/images/app{number}/tags/list").json["tags"] for number in range(3)]  # type: ignore[index]
    assert sorted(tag for tags in found for tag in tags) == sorted(f"v{number}" for number in range(12))
    assert len(nodes[0].blobs()) == 4


def test_images_outlive_their_database(node: Node) -> None:
    """What a restore records is what was pushed; who refers to what is read anew."""
    subject = image(layer("subject", 1000))
    signature = artifact(subject.manifest, "signature")
    assert push(node, subject, "v1").status_code == 201
    assert push(node, signature, signature.manifest.digest).status_code == 201
    assert push(node, subject, "gone").status_code == 201
    assert node.admin("DELETE", "/v2/images/app/manifests/gone").status_code == 202
    index, shelf = node.carrier.engine.shelf.catalog.index, node.carrier.engine.shelf
    with index._connections.lend() as connection:  # type: ignore[attr-defined]
        for table in ("entries", "descriptions", "scopes", "generated"):
            connection.execute(f"TRUNCATE {table}")
    maintenance.restore(shelf.catalog, shelf.blobs, ["images"], lambda _: None, lambda _: None)
    repository = node.carrier.repositories.get("images")
    assert repository is not None
    assert Indexer(shelf, node.settings.layout.spool).describe(repository) == 1
    assert node.get("/v2/images/app/manifests/v1").data == subject.manifest.data
    assert node.get("/v2/images/app/manifests/gone").status_code == 404
    listed = node.get(f"/v2/images/app/referrers/{subject.manifest.digest}").json
    assert [each["digest"] for each in listed["manifests"]] == [signature.manifest.digest]  # type: ignore[index]
    for each in subject.blobs:
        assert node.get(f"/v2/images/app/blobs/{each.digest}").data == each.data


def test_layers_that_nothing_names_any_more_are_collected(node: Node) -> None:
    """A day after they came, for a push sends layers first; what another manifest of the image names stays."""
    shared, own = layer("kept", 500), layer("dropped", 500)
    gone, stays = image(shared, own), image(shared)
    for tag, pushed in (("gone", gone), ("stays", stays)):
        assert push(node, pushed, tag).status_code == 201
    assert push(node, gone, "v1", "images/app/blobs/nested").status_code == 201
    assert node.admin("DELETE", f"/v2/images/app/manifests/{gone.manifest.digest}").status_code == 202
    assert unused(node) == 0
    node.clock.forward(LIFE + 1)
    assert unused(node) == 2  # its config, its own layer
    status = {each.digest: node.get(f"/v2/images/app/blobs/{each.digest}").status_code for each in gone.blobs}
    assert status == {gone.config.digest: 404, shared.blob.digest: 200, own.blob.digest: 404}
    for each in (*stays.blobs, *gone.blobs):
        name = "app" if each in stays.blobs else "app/blobs/nested"
        assert node.get(f"/v2/images/{name}/blobs/{each.digest}").status_code == 200
    assert push(node, gone, "back").status_code == 201


def test_what_a_client_relies_on_again_is_not_collected(node: Node) -> None:
    """It was pushed again, or found by a client that pushes: the manifest follows within a day."""
    names, old = ("pushed", "asked", "read", "left"), bytes(layer("old", 500).blob.data)
    place = {name: f"/v2/images/{name}/blobs/{digest(old)}" for name in names}
    for name in names:
        node.admin("POST", f"/v2/images/{name}/blobs/uploads/?digest={digest(old)}", old)
    node.clock.forward(LIFE + 1)
    assert node.admin("POST", f"/v2/images/pushed/blobs/uploads/?digest={digest(old)}", old).status_code == 201
    assert node.admin("HEAD", place["asked"]).status_code == 200
    assert node.head(place["read"]).status_code == 200  # by somebody who pushes nothing
    assert unused(node) == 2
    assert [node.get(place[name]).status_code for name in names] == [200, 200, 404, 404]
    node.clock.forward(LIFE + 1)
    assert unused(node) == 2


def test_nothing_is_collected_where_nobody_is_kept_from_pushing(node: Node) -> None:
    """Without Redis: what is not used now may be named by the manifest that is pushed at this moment."""
    assert node.admin("POST", f"{UPLOADS}?digest={digest(b'layer')}", b"layer").status_code == 201
    node.clock.forward(LIFE + 1)
    shelf, memory = node.carrier.engine.shelf, RedisMemory("redis://127.0.0.1:1/0")
    alone = Shelf(Catalog(shelf.catalog.index, memory), shelf.blobs, node.clock)
    repository = node.carrier.repositories.get("images")
    assert repository is not None
    with pytest.raises(StoreDown):
        withdraw_unused(alone, node.settings.layout.spool, repository)
    memory.close()
    assert node.get(f"/v2/images/app/blobs/{digest(b'layer')}").data == b"layer"


def test_upload_max_is_of_all_pieces(make: Callable[..., Node]) -> None:
    node = make(UPLOAD_MAX="1000")
    place = begin(node)
    assert node.admin("PATCH", place, b"x" * 900).status_code == 202
    for method, url in (("PATCH", place), ("PUT", f"{place}?digest={digest(b'x' * 1001)}")):
        refused = node.admin(method, url, b"x" * 101)
        assert (refused.status_code, refused.json["errors"][0]["code"]) == (413, "SIZE_INVALID")  # type: ignore[index]
    assert node.admin("PUT", f"{place}?digest={digest(b'x' * 1000)}", b"x" * 100).status_code == 201


def test_a_mount_from_anywhere_is_of_what_can_be_pulled(node: Node) -> None:
    """A layer was pulled before the remote's patterns forbade it."""
    shelf, fenced = node.carrier.engine.shelf, node.carrier.repositories.get("fenced")
    assert fenced is not None
    for text in ("secret", "allowed"):
        data = f"a layer of {text}".encode()
        known = digest(data)
        assert node.admin("POST", f"{UPLOADS}?digest={known}", data).status_code == 201
        publish(shelf, fenced, f"v2/{text}/blobs/{known}", known.partition(":")[2], len(data))
        assert node.admin("DELETE", f"/v2/images/app/blobs/{known}").status_code == 202
        expected = 201 if text == "allowed" else 202
        for source in (f"&from=fenced/{text}", ""):
            assert node.admin("POST", f"{UPLOADS}?mount={known}{source}").status_code == expected, (text, source)
            if expected == 201:
                assert node.admin("DELETE", f"/v2/images/app/blobs/{known}").status_code == 202


def test_nothing_is_published_past_the_protocol(node: Node) -> None:
    """A repository of images takes no plain file, by no address, and one of files no image."""
    for address in ("/api/v1/local/images", "/repository/images"):
        for path in ("a.txt", "v2", "v2/app/blobs/x"):
            assert node.admin("PUT", f"{address}/{path}", b"x").status_code in (400, 404, 405)
    assert node.admin("PUT", f"/api/v1/local/images/v2/app/manifests/{digest(b'{}')}", b"{}").status_code == 405
    assert node.admin("POST", "/v2/plain/app/blobs/uploads/").status_code == 400
    assert node.get("/v2/images/app/tags/list").status_code == 404


def test_deep_and_long_paths_are_refused_in_form(node: Node) -> None:
    for name in ("a/" * 200 + "b", "A", "a_-b", "%2e%2e", "a%2f..", "x" * 300):
        reply = node.admin("POST", f"/v2/images/{name}/blobs/uploads/")
        assert reply.status_code == 400, name
        assert json.loads(reply.data)["errors"][0]["code"] == "NAME_INVALID"


def test_pushed_images_are_in_the_catalog(node: Node) -> None:
    assert push(node, image(layer("listed", 100)), "v1").status_code == 201
    assert node.get("/repository/images/v2/_catalog").json == {"repositories": ["app"]}
