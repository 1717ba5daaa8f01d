"""Local repositories made through the API: on every node at once, never in place of the file's, gone for good."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import pytest
import redis
from marshmallow import ValidationError
from pysequoia import Tsk

from app import journal, repositories
from app.errors import ArtifactError
from app.hosting.defining import Defining
from app.repositories import directory as module
from app.repositories.directory import Directory
from app.repositories.made import checked
from app.stores.accounts import Defined
from app.web.node import Node as Parts
from tests.http.node import ADMIN, Node, body
from tests.http.variant import NOBODY, without_database, worker

FILE = "/repository/made/a.txt"
PUBLIC = {"package": "generic", "access": ""}


@pytest.fixture
def defining(node: Node) -> Defining:
    parts = node.app.extensions["artifactapi"]
    assert isinstance(parts, Parts)
    for project in ("team", "other"):
        parts.repositories.accounts.add_project(project, "", 0)
    return Defining(parts.repositories, parts.shelf)


@contextmanager
def refused(code: str) -> Iterator[None]:
    with pytest.raises(ArtifactError) as raised:
        yield
    assert raised.value.code == code


@contextmanager
def invalid(key: str, words: str) -> Iterator[None]:
    with pytest.raises(ValidationError) as raised:
        yield
    messages = raised.value.messages
    assert isinstance(messages, dict)
    assert words in str(messages[key])


def test_every_process_serves_it_at_once(node: Node, defining: Defining) -> None:
    with worker(node) as other:
        assert other.get(FILE).get_json()["error"] == "unknown_repository"
        defining.define("made", "team", PUBLIC)
        assert other.get(FILE).get_json()["error"] == "file_not_found"
        assert other.put(FILE, data=b"x" * 100_000, headers=ADMIN).status_code == 201
        assert body(node.get(FILE)) == b"x" * 100_000
        assert node.carrier.repositories.get("made") == defining.directory.get("made")
        defining.redefine("made", {"overwrite": True})
        assert other.put(FILE, data=b"again", headers=ADMIN).status_code == 201
        defining.remove("made")
        assert other.get(FILE).get_json()["error"] == "unknown_repository"


def test_it_is_its_projects_own_unless_that_says_otherwise(node: Node, defining: Defining) -> None:
    found = defining.define("made", "team", {"package": "rpm", "project": "other"})
    assert (found.access, found.project) == ("team", "team")
    assert node.get("/api/v1/local/made/a.rpm").status_code == 404
    assert node.admin("GET", "/api/v1/local/made/a.rpm").get_json()["error"] == "file_not_found"
    assert defining.redefine("made", {"access": "authenticated"}).access == "authenticated"
    assert defining.redefine("made", {"access": None}).access == "team"


def test_what_was_published_goes_with_it_and_no_restore_brings_it_back(node: Node, defining: Defining) -> None:
    for _ in range(2):
        defining.define("made", "team", PUBLIC)
        assert node.get(FILE).status_code == 404
        assert node.admin("PUT", FILE, b"content").status_code == 201
        assert node.get(FILE).status_code == 200
        defining.remove("made")
    defining.define("made", "team", PUBLIC)
    assert node.get(FILE).status_code == 404
    with journal.replayed(defining.shelf.blobs, pytest.fail) as replay:
        assert list(replay.published()) == []
        assert [(repository, path) for repository, path, _ in replay.withdrawn()] == [("made", "a.txt")]


def test_a_name_is_one_repositorys(node: Node, defining: Defining) -> None:
    defining.define("made", "team", PUBLIC)
    for taken in ("up", "team", "made"):
        with refused("name_taken"):
            defining.define(taken, "other", PUBLIC, administrator=True)
    for filed in ("up", "team"):
        with refused("defined_in_file"):
            defining.redefine(filed, {"overwrite": True})
        with refused("defined_in_file"):
            defining.remove(filed)
    for missing in ("nothing", "", "a/b"):
        with refused("unknown_repository"):
            defining.remove(missing)
    assert set(defining.directory.locals) == {"team", "again", "made"}
    assert defining.directory.names == {"up", "rpm", "drop", "team", "again", "made"}


def test_the_file_wins(node: Node, defining: Defining, caplog: pytest.LogCaptureFixture) -> None:
    """Where an operator adds a name that somebody has already; that one waits, unreachable, with its files."""
    defining.define("made", "team", {"package": "rpm"})
    document = json.loads(node.settings.config_path.read_text())
    document["locals"]["made"] = {"package": "generic"}
    node.settings.config_path.write_text(json.dumps(document))
    with worker(node) as other, caplog.at_level(logging.ERROR):
        assert other.get(FILE).get_json()["error"] == "file_not_found"
        assert other.get("/repository/nothing/a").status_code == 404
    assert "made of remotes.json hides a repository" in caplog.text
    defining.directory.filed = repositories.load(node.settings.config_path)
    found = defining.directory.get("made")
    assert found is not None
    assert (found.package, defining.directory.made("made"), defining.directory.all_made()) == ("generic", None, {})


def test_what_a_former_repository_left_is_not_for_whoever_takes_its_name(node: Node, defining: Defining) -> None:
    assert node.admin("PUT", "/repository/team/secret.txt", b"secret").status_code == 201
    known = repositories.load(node.settings.config_path)
    defining.directory.filed = repositories.Repositories(known.remotes, {}, {}, known.sha256)
    with refused("name_taken"):
        defining.define("team", "other", PUBLIC)
    assert defining.define("team", "other", PUBLIC, administrator=True).project == "other"


def test_no_name_takes_an_upstream_publishers_place(node: Node, defining: Defining) -> None:
    """/v2/library/nginx is the default remote's image as long as nobody has a repository `library`."""
    images = {"package": "docker"}
    defining.define("first", "team", images)
    hub = {"hub": {"package": "docker", "base_url": "http://127.0.0.1:9", "default": True}}
    node.settings.config_path.write_text(json.dumps({"remotes": hub}))
    defining.directory.filed = repositories.load(node.settings.config_path)
    with refused("administrators_only"):
        defining.define("library", "team", images)
    assert defining.define("ours", "team", images, administrator=True).package == "docker"


@pytest.mark.parametrize(
    ("definition", "key", "words"),
    [
        ({"package": "generic", "signing_key": {"env": "HOME"}}, "signing_key", "environment and files"),
        ({"package": "rpm", "signing_key": {"file": "/etc/passwd"}}, "signing_key", "environment and files"),
        ({"package": "rpm", "signing_key_password": {"env": "HOME"}}, "signing_key_password", "environment"),
        ({"package": "rpm", "signing_key": "nonsense"}, "signing_key", "not an OpenPGP key"),
        ({"package": "rpm", "base_url": "http://127.0.0.1"}, "base_url", "belongs to a remote"),
        ({"package": "tpm"}, "package", "not a package type"),
        ({"package": "rpm", "repodata_depth": 6}, "repodata_depth", ""),
        ({"package": "rpm", "acces": ""}, "acces", "unknown key"),
        ({"package": "rpm", "access": "No Such!"}, "access", "not a project's name"),
    ],
)
def test_a_definition_that_says_what_it_may_not(definition: Mapping[str, Any], key: str, words: str) -> None:
    with invalid(key, words):
        checked("made", "team", definition)


@pytest.mark.parametrize("name", ["", "a/b", "..", "ü", "a" * 64, "a\n"])
def test_a_name_that_is_none(name: str) -> None:
    with invalid("name", "not a name"):
        checked(name, "team", PUBLIC)


def test_a_name_that_no_client_of_images_can_say() -> None:
    with invalid("name", "clients of images"):
        checked("Team", "team", {"package": "docker"})


def test_it_stays_of_its_package(defining: Defining) -> None:
    defining.define("made", "team", {"package": "rpm"})
    with invalid("package", "make another repository"):
        defining.redefine("made", {"package": "deb"})
    with invalid("repodata_depth", "make another repository"):
        defining.redefine("made", {"repodata_depth": 2})


def test_its_key_stays_until_it_is_taken_away(defining: Defining) -> None:
    key = str(Tsk.generate("team <team@example.org>"))
    defining.define("made", "team", {"package": "rpm", "signing_key": key})
    assert defining.redefine("made", {"description": "ours"}).signing.key == key
    assert key[40:80] not in repr(defining.directory.get("made"))
    assert defining.redefine("made", {"signing_key": None}).signing.key == ""


def test_what_another_version_wrote_takes_nothing_else_away(
    node: Node, defining: Defining, caplog: pytest.LogCaptureFixture
) -> None:
    defining.define("made", "team", PUBLIC)
    with caplog.at_level(logging.ERROR):
        defining.directory.accounts.define(Defined("strange", "team", {"package": "cargo-cult"}))
        assert node.get("/repository/strange/a").status_code == 404
    assert "strange, made through the API, is not served" in caplog.text
    assert node.get(FILE).get_json()["error"] == "file_not_found"
    with refused("name_taken"):
        defining.define("strange", "team", PUBLIC, administrator=True)


def test_an_expired_key_takes_no_repository_away(node: Node, defining: Defining) -> None:
    key = "no key any more"
    defining.directory.accounts.define(Defined("made", "team", {"package": "rpm", "access": "", "signing_key": key}))
    assert node.get("/repository/made/a.rpm").get_json()["error"] == "file_not_found"


def test_while_redis_is_down_it_is_there_within_seconds(
    node: Node, defining: Defining, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "AGE", 0.0)
    with worker(node, redis_url=NOBODY["redis_url"]) as other:
        assert other.get(FILE).get_json()["error"] == "unknown_repository"
        defining.define("made", "team", PUBLIC)
        assert other.get(FILE).get_json()["error"] == "file_not_found"


def test_while_postgres_is_down_it_is_what_it_was(node: Node, defining: Defining, postgres_url: str) -> None:
    defining.define("made", "team", PUBLIC)
    assert node.admin("PUT", FILE, b"content").status_code == 201
    with redis.Redis.from_url(node.settings.redis_url or "") as client:
        client.flushall()  # for seconds after a change no copy is taken
    assert body(node.get(FILE)) == b"content"
    with without_database(node, postgres_url):
        assert body(node.get(FILE)) == b"content"
        with worker(node) as new:  # it cannot know: not a word of "there is none"
            assert new.get(FILE).status_code == 503
            assert new.get("/repository/team/nothing").status_code == 503
            assert new.get("/").status_code == 503
    assert body(node.get(FILE)) == b"content"


def test_the_files_names_cost_nothing(node: Node, defining: Defining, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Directory, "_now", lambda _: pytest.fail("the database was thought of"))
    assert node.get("/repository/team/a").status_code == 404
    assert node.admin("PUT", "/repository/team/a", b"1").status_code == 201
    assert node.get("/repository/team/a").status_code == 200
