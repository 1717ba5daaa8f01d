"""Jobs through the API: asked for, done by the fills process, looked up, cancelled, refused."""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from werkzeug.test import TestResponse

from app.prefetch.wanted import Task, Wanted
from app.prefetch.working import Prefetching
from tests.api.asking import People, refused
from tests.http.node import Node
from tests.http.sets import Edition
from tests.upstreams import Upstream


class Ahead:
    """A node, its upstream, and whoever asks it to prefetch."""

    def __init__(self, node: Node, upstream: Upstream) -> None:
        self.node, self.upstream = node, upstream
        self.people = People(node)
        self.prefetching = Prefetching(node.carrier.engine, node.carrier.repositories.get)

    def ask(self, **told: Any) -> TestResponse:
        return self.people.root.post("/artifacts", told)

    def done(self, **told: Any) -> dict[str, Any]:
        """The job, when it has ended."""
        answer = self.ask(**told)
        assert answer.status_code == 202, answer.get_data(as_text=True)
        assert answer.get_json()["state"] == "queued"
        where = answer.headers["Location"]
        assert where.endswith(f"/api/v1/artifacts/jobs/{answer.get_json()['id']}")
        assert self.prefetching.once()
        return self.job(answer.get_json()["id"])

    def job(self, name: str) -> dict[str, Any]:
        found: dict[str, Any] = self.people.root.get(f"/artifacts/jobs/{name}").get_json()
        return found

    def is_here(self, path: str, **headers: str) -> bool:
        answer = self.node.get(f"/repository/{path}", **headers)
        return (answer.status_code, answer.headers["X-Cache"]) == (200, "HIT")


@pytest.fixture
def ahead(tmp_path: Path, database_url: str, redis_url: str, upstream: Upstream) -> Iterator[Ahead]:
    remotes: dict[str, dict[str, Any]] = {
        package: {"package": package, "base_url": upstream.url}
        for package in ("generic", "rpm", "docker", "go", "apk")
    }
    remotes["docker"]["serves"] = ["registry.example.org"]
    remotes["some"] = {"base_url": upstream.url, "immutable_patterns": ["^a/"]}
    remotes["inside"] = {"base_url": upstream.url, "access": "alpha"}
    document = {
        "remotes": remotes,
        "locals": {"team": {}},
        "virtuals": {"all": {"members": ["team", "generic"]}},
    }
    with Node(tmp_path, database_url, redis_url, document).running() as node:
        yield Ahead(node, upstream)


def test_paths(ahead: Ahead) -> None:
    ahead.upstream.put("/a.bin", b"a" * 100_000)
    ahead.upstream.put("/b.bin", b"b")
    told = ahead.done(remote="generic", paths=["a.bin", "/b.bin", "missing.bin", "a.bin"])
    counts = [told[key] for key in ("state", "total", "done", "stored", "failed", "bytes")]
    assert counts == ["done", 3, 3, 2, 1, 100_001], told
    assert [(each["path"], each["error"]) for each in told["failures"]] == [("missing.bin", "not_found")]
    assert ahead.upstream.count(method="HEAD") == 0
    ahead.upstream.stop()
    assert ahead.is_here("generic/a.bin")
    assert ahead.is_here("generic/b.bin")
    again = ahead.done(remote="generic", paths=["b.bin"])
    assert (again["state"], again["stored"], again["failed"], again["done"]) == ("done", 0, 0, 1)
    assert [each["id"] for each in ahead.people.root.get("/artifacts/jobs").get_json()["jobs"]] == [
        again["id"],
        told["id"],
    ]


def test_a_virtual_is_prefetched_through_its_members(ahead: Ahead) -> None:
    ahead.upstream.put("/a.bin", b"a")
    assert ahead.done(remote="all", paths=["a.bin"])["stored"] == 1
    assert ahead.is_here("generic/a.bin")


def test_a_pattern_chooses_of_what_the_index_lists(ahead: Ahead) -> None:
    edition = Edition({}, {"Packages/one-1.rpm": b"one", "Packages/two-1.rpm": b"two"})
    edition.publish(ahead.upstream)
    told = ahead.done(remote="rpm", include_pattern=r"one-.*\.rpm$")
    assert (told["state"], told["stored"], told["failed"]) == ("done", 3, 0), told
    ahead.upstream.stop()
    assert ahead.is_here("rpm/repodata/repomd.xml")
    assert ahead.is_here("rpm/Packages/one-1.rpm")
    assert ahead.node.get("/repository/rpm/Packages/two-1.rpm").status_code == 502
    told = ahead.done(remote="apk", include_pattern="x")
    assert (told["state"], told["reason"]) == (
        "failed",
        'no index of it is stored here: name those to read, as in "indexes": ["v3.22/main/x86_64/APKINDEX.tar.gz"]',
    )
    told = ahead.done(remote="docker", include_pattern="x")
    assert told["reason"].endswith('as in "indexes": ["v2/<name>/tags/list"]')
    told = refused(ahead.ask(remote="generic", include_pattern="x"), 422, "invalid")
    assert '"paths": [' in told["fields"]["include_pattern"][0]


def test_a_module_is_chosen_by_its_list(ahead: Ahead) -> None:
    ahead.upstream.put("/example.org/x/@v/list", b"v1.0.0\nv1.1.0\n")
    ahead.upstream.put("/example.org/x/@v/v1.1.0.info", b'{"Version": "v1.1.0"}')
    told = ahead.done(remote="go", include_pattern=r"v1\.1\.0\.info$", indexes=["example.org/x/@v/list"])
    assert (told["stored"], told["failed"]) == (2, 0), told
    assert ahead.is_here("go/example.org/x/@v/v1.1.0.info")


def test_an_image_with_what_it_names(ahead: Ahead) -> None:
    oci = "application/vnd.oci.image."

    def put(path: str, body: bytes, kind: str) -> dict[str, Any]:
        digest = f"sha256:{hashlib.sha256(body).hexdigest()}"
        for each in (path, digest) if path else (digest,):
            place = "blobs" if kind == "application/octet-stream" else "manifests"
            ahead.upstream.put(f"/v2/team/app/{place}/{each}", body, Content_Type=kind)
        return {"mediaType": kind, "digest": digest, "size": len(body)}

    def image(architecture: str) -> dict[str, Any]:
        config = put("", b'{"architecture": "%s"}' % architecture.encode(), "application/octet-stream")
        layer = put("", b"layer of " + architecture.encode(), "application/octet-stream")
        document = {"schemaVersion": 2, "mediaType": f"{oci}manifest.v1+json", "config": config, "layers": [layer]}
        found = put("", json.dumps(document).encode(), f"{oci}manifest.v1+json")
        return found | {"platform": {"os": "linux", "architecture": architecture}}

    manifests = [image("amd64"), image("arm64")]
    index = {"schemaVersion": 2, "mediaType": f"{oci}index.v1+json", "manifests": manifests}
    put("1.0", json.dumps(index).encode(), f"{oci}index.v1+json")
    text = "registry.example.org/team/app:1.0\n"
    told = ahead.done(remote="docker", lock={"kind": "images", "text": text}, platforms=["linux/arm64"])
    assert (told["source"], told["total"], told["stored"], told["failed"]) == ("images", 4, 4, 0), told
    told = ahead.done(remote="docker", paths=["team/app:1.0"])
    assert (told["source"], told["total"], told["stored"], told["failed"]) == ("paths", 7, 3, 0), told
    told = ahead.done(remote="docker", lock={"kind": "images", "text": text})
    assert (told["total"], told["stored"]) == (7, 0), told
    for same in ("team/app/manifests/1.0", "/v2/team/app/manifests/1.0"):
        told = ahead.done(remote="docker", paths=[same])
        assert (told["total"], told["done"], told["failed"]) == (1, 1, 0), same
    ahead.upstream.stop()
    assert ahead.is_here(f"docker/v2/team/app/manifests/{manifests[1]['digest']}")


def test_what_a_lock_pins_otherwise_is_a_failure(ahead: Ahead) -> None:
    ahead.upstream.put("/a.bin", b"a")
    good = hashlib.sha512(b"a").hexdigest()
    jobs = ahead.node.carrier.engine.shelf.catalog.index.jobs
    for number, (value, failed) in enumerate(((good, 0), ("0" * 128, 1))):
        wanted = Task([Wanted("a.bin", digest=f"sha512:{value}")])
        jobs.add(f"{number:032x}", "generic", "", "package-lock.json", wanted.text(), 1.0)
        assert ahead.prefetching.once()
        told = ahead.job(f"{number:032x}")
        assert (told["done"], told["failed"]) == (1, failed), told
    assert told["failures"][0]["error"] == "not_what_is_pinned"
    assert ahead.is_here("generic/a.bin"), "it is what upstream has"


REFUSED: list[tuple[dict[str, Any], int, str, str]] = [
    ({"remote": "nowhere", "paths": ["a"]}, 404, "unknown_repository", ""),
    ({"remote": "team", "paths": ["a"]}, 400, "not_a_remote", ""),
    ({"remote": "generic"}, 422, "invalid", "paths"),
    ({"remote": "generic", "paths": ["a"], "include_pattern": "b"}, 422, "invalid", "include_pattern"),
    ({"remote": "generic", "paths": ["a/../b"]}, 422, "invalid", "paths.0"),
    ({"remote": "some", "paths": ["a/1", "b/1"]}, 422, "invalid", "paths.1"),
    ({"remote": "docker", "paths": ["v2/UPPER/manifests/1"]}, 422, "invalid", "paths.0"),
    ({"remote": "docker", "paths": ["a:1", "UPPER:1"]}, 422, "invalid", "paths.1"),
    ({"remote": "docker", "paths": ["v2/library/app:1"]}, 422, "invalid", "paths.0"),
    ({"remote": "docker", "paths": ["other.example.org/app:1"]}, 422, "invalid", "paths.0"),
    ({"remote": "docker", "paths": ["app:1"], "platforms": ["arm"]}, 422, "invalid", "platforms"),
    ({"remote": "generic", "include_pattern": "x"}, 422, "invalid", "include_pattern"),
    ({"remote": "rpm", "include_pattern": "(a+)+"}, 422, "invalid", "include_pattern"),
    ({"remote": "rpm", "include_pattern": "("}, 422, "invalid", "include_pattern"),
    ({"remote": "rpm", "lock": {"kind": "go.sum", "text": "x"}}, 422, "invalid", "lock.kind"),
    ({"remote": "go", "lock": {"kind": "go.sum", "text": "x"}}, 422, "invalid", "lock.text"),
    ({"remote": "go", "lock": {"kind": "go.sum", "text": "\n"}}, 422, "invalid", "lock.text"),
    ({"remote": "go", "lock": {"kind": "else", "text": "x"}}, 422, "invalid", "lock.kind"),
]


def test_refused(ahead: Ahead) -> None:
    for told, status, code, field in REFUSED:
        answer = refused(ahead.ask(**told), status, code)
        assert not field or field in answer["fields"], answer
    assert not ahead.prefetching.once()


def test_who_may(ahead: Ahead) -> None:
    people, told = ahead.people, {"remote": "generic", "paths": ["a"]}
    refused(people.nobody.post("/artifacts", told), 401, "unauthorized")
    writer, reader, other = people.user("writer"), people.user("reader"), people.user("other")
    refused(writer.post("/artifacts", told), 403, "not_a_writer")
    assert people.root.post("/projects", {"name": "alpha"}).status_code == 201
    for name, role in (("writer", "writer"), ("reader", "reader")):
        assert people.root.put(f"/projects/alpha/members/{name}@example.org", {"role": role}).status_code < 300
    inside = {"remote": "inside", "paths": ["a"]}
    made = writer.post("/artifacts", inside)
    assert made.status_code == 202, made.get_data(as_text=True)
    refused(reader.post("/artifacts", inside), 403, "not_a_writer")
    pattern = {"remote": "inside", "include_pattern": "(a|a)+$"}
    refused(writer.post("/artifacts", pattern), 403, "not_an_administrator")
    refused(other.post("/artifacts", inside), 404, "unknown_repository")
    path = f"/artifacts/jobs/{made.get_json()['id']}"
    assert reader.get(path).get_json()["author"] == "writer@example.org"
    assert len(reader.get("/artifacts/jobs").get_json()["jobs"]) == 1
    assert other.get("/artifacts/jobs").get_json()["jobs"] == []
    refused(other.get(path), 404, "unknown_job")
    refused(other.delete(path), 404, "unknown_job")
    refused(reader.delete(path), 403, "not_a_writer")
    assert writer.delete(path).status_code == 204
    refused(writer.delete(path), 409, "job_ended")
    assert reader.get(path).get_json()["state"] == "cancelled"


def test_cancelled_while_it_runs(ahead: Ahead) -> None:
    for number in range(40):
        ahead.upstream.put(f"/{number}.bin", b"x")
    ahead.upstream.latency(0.3)
    made = ahead.ask(remote="generic", paths=[f"{number}.bin" for number in range(40)]).get_json()
    work = threading.Thread(target=ahead.prefetching.once)
    work.start()
    ahead.upstream.wait_for()
    assert ahead.people.root.delete(f"/artifacts/jobs/{made['id']}").status_code == 204
    work.join(20)
    assert not work.is_alive()
    assert ahead.job(made["id"])["state"] == "cancelled"
    assert ahead.upstream.count() < 40


def test_a_process_that_ends_leaves_it_to_the_next(ahead: Ahead) -> None:
    for number in range(12):
        ahead.upstream.put(f"/{number}.bin", b"x")
    ahead.upstream.latency(0.5)
    made = ahead.ask(remote="generic", paths=[f"{number}.bin" for number in range(12)]).get_json()
    assert ahead.prefetching.once(lambda _: True)
    assert ahead.job(made["id"])["state"] == "queued"
    ahead.upstream.latency(0)
    assert Prefetching(ahead.node.carrier.engine, ahead.node.carrier.repositories.get).once()
    told = ahead.job(made["id"])
    assert (told["state"], told["done"], told["failed"]) == ("done", 12, 0)
    assert ahead.upstream.count() == 12, "nothing is fetched twice"


def test_what_is_stored_is_found_over_all_repositories(ahead: Ahead) -> None:
    ahead.upstream.put("/x/one.bin", b"one")
    ahead.upstream.put("/x/two.bin", b"two")
    for path in ("generic/x/one.bin", "generic/x/two.bin", "some/a"):
        ahead.node.get(f"/repository/{path}")
    ahead.upstream.put("/a/one.bin", b"one")
    ahead.node.get("/repository/some/a/one.bin")
    ahead.node.idle()
    root = ahead.people.root

    def found(query: str) -> list[str]:
        told = root.get(f"/artifacts?{query}").get_json()
        return [f"{each['repository']}/{each['path']}" for each in told["artifacts"]]

    assert found("") == ["generic/x/one.bin", "generic/x/two.bin", "some/a/one.bin"]
    assert found("q=two") == ["generic/x/two.bin"]
    assert found("repository=some") == found("remote=some") == found("remote=some&repository=some")
    assert found("remote=some") == ["some/a/one.bin"]
    assert found("search=two") == found("q=two")
    assert set(refused(root.get("/artifacts?remote=some&repository=up"), 422, "invalid")["fields"]) == {"remote"}
    assert found("package=rpm") == []
    assert found("prefix=a/") == ["some/a/one.bin"]
    assert found(f"digest=sha256:{hashlib.sha256(b'one').hexdigest()}") == ["generic/x/one.bin", "some/a/one.bin"]
    page, seen = root.get("/artifacts?limit=1").get_json(), []
    while page["after"]:
        seen += [each["path"] for each in page["artifacts"]]
        page = root.get("/artifacts", query_string={"limit": 1, "after": page["after"]}).get_json()
    assert seen == ["x/one.bin", "x/two.bin", "a/one.bin"]
    refused(ahead.people.nobody.get("/artifacts"), 401, "unauthorized")
    for name in ("repository", "remote"):
        refused(root.get(f"/artifacts?{name}=nowhere"), 404, "unknown_repository")
    other = ahead.people.user("other")
    refused(other.get("/artifacts?repository=inside"), 404, "unknown_repository")
