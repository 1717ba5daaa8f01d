"""Local repositories made through the API: on every node at once, never in place of the file's, gone for good."""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass
from io import BufferedReader, RawIOBase
from typing import Any

import pytest
import redis
from marshmallow import ValidationError
from pysequoia import Tsk
from werkzeug.test import TestResponse

from app import journal, repositories
from app.accounts.people import People
from app.accounts.rights import Role
from app.errors import ArtifactError, StoreDown
from app.hosting.base import Accepted, New
from app.hosting.defining import Defining
from app.hosting.publish import carry_out
from app.maintenance import restore
from app.repositories import directory as module
from app.repositories.directory import Directory
from app.repositories.made import checked
from app.resource import Entry
from app.stores.accounts import Defined
from app.stores.postgres_accounts import PostgresAccounts
from app.stores.publications import Description, Publication
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


def test_what_cannot_be_noted_is_not_removed(node: Node, defining: Defining, monkeypatch: pytest.MonkeyPatch) -> None:
    def down(*_: object) -> None:
        raise StoreDown("the blobs' store is down")

    defining.define("made", "team", PUBLIC)
    assert node.admin("PUT", FILE, b"secret").status_code == 201
    with monkeypatch.context() as patched, refused(StoreDown.code):
        patched.setattr(journal, "removed", down)
        defining.remove("made")
    assert body(node.get(FILE)) == b"secret"
    defining.remove("made")
    defining.define("made", "other", PUBLIC)
    shelf = defining.shelf
    restore(shelf.catalog, shelf.blobs, ["made"], lambda _: None, pytest.fail)
    assert node.get(FILE).status_code == 404


# -- while a body comes -----------------------------------------------------------------------------------------


class Body(RawIOBase):
    """Something happens before its end comes."""

    def __init__(self, happens: Callable[[], object]) -> None:
        self.parts, self.happens = [b"late", b"late"], happens

    def readable(self) -> bool:
        return True

    def readinto(self, into: Any) -> int:
        if len(self.parts) == 1:
            self.happens()
        part = self.parts.pop(0) if self.parts else b""
        into[: len(part)] = part
        return len(part)


@dataclass(frozen=True, slots=True)
class Writer:
    """Of project team."""

    node: Node
    people: People
    user: int
    token: str

    def sends(self, path: str, happens: Callable[[], object], method: str = "PUT", **more: str) -> TestResponse:
        headers = {"Authorization": f"Bearer {self.token}", **more}
        body = {"wsgi.input": BufferedReader(Body(happens), 4), "CONTENT_LENGTH": "8"}
        return self.node.client.open(path, method=method, headers=headers, environ_overrides=body)


@pytest.fixture
def writer(node: Node, defining: Defining) -> Writer:
    people = node.app.extensions["artifactapi"].accounts
    user = people.store.add_user("a@example.org", "", "", False).id
    people.store.put_member("team", user, Role.WRITER)
    return Writer(node, people, user, people.make_token(user, "t", ("write",))[1])


def stored(defining: Defining) -> list[str]:
    return [each.path for each in defining.shelf.catalog.index.listing("made")]


def test_rights_that_end_while_a_body_comes_have_ended(node: Node, defining: Defining, writer: Writer) -> None:
    people = writer.people
    defining.define("made", "team", PUBLIC)
    assert writer.sends("/repository/made/before", lambda: None).status_code == 201
    assert writer.sends(FILE, lambda: people.store.drop_member("team", writer.user)).status_code == 403
    defining.redefine("made", {"access": "team"})
    people.store.put_member("team", writer.user, Role.WRITER)
    told = writer.sends(FILE, lambda: people.store.drop_member("team", writer.user))
    assert (told.status_code, told.get_json()["error"]) == (404, "unknown_repository")
    people.store.put_member("team", writer.user, Role.WRITER)
    token = people.store.tokens(writer.user)[0].id
    assert writer.sends(FILE, lambda: people.revoke(token)).status_code == 401
    assert stored(defining) == ["before"]


def test_a_repository_that_goes_while_a_body_comes_is_gone(node: Node, defining: Defining, writer: Writer) -> None:
    defining.define("made", "team", PUBLIC)
    assert writer.sends(FILE, lambda: defining.remove("made")).status_code == 404
    assert stored(defining) == []
    defining.define("made", "team", PUBLIC)  # the name is free

    def another() -> None:
        defining.remove("made")
        defining.define("made", project, PUBLIC)

    for project in ("other", "team"):
        writer.people.store.put_member(project, writer.user, Role.WRITER)
        assert writer.sends(FILE, another).status_code == 404
        assert stored(defining) == []


def test_an_image_that_goes_while_it_is_pushed_is_gone(node: Node, defining: Defining, writer: Writer) -> None:
    images = {"package": "docker", "access": ""}
    blob = f"/v2/made/app/blobs/uploads/?digest=sha256:{hashlib.sha256(b'latelate').hexdigest()}"

    def remade() -> None:
        defining.remove("made")
        defining.define("made", "team", images)

    defining.define("made", "team", images)
    assert writer.sends(blob, remade, "POST").status_code == 404
    manifest = "/v2/made/app/manifests/1"
    assert writer.sends(manifest, remade, Content_Type="application/json").status_code == 404
    assert stored(defining) == []


def test_what_is_recorded_late_is_of_the_repository_that_it_was_for(node: Node, defining: Defining) -> None:
    defining.define("made", "team", PUBLIC)
    before = defining.directory.get("made")
    assert before is not None
    defining.remove("made")
    spools, late = node.settings.layout.spool, Accepted([New("late", b"late")])
    with refused("unknown_repository"):
        carry_out(defining.shelf, spools, before, late)
    defining.define("made", "other", PUBLIC)
    with refused("unknown_repository"):
        carry_out(defining.shelf, spools, before, late)
    assert stored(defining) == []


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


@pytest.mark.parametrize("nameless", [{"default": True}, {"serves": ["r.example"]}, {"hosts": ["r.example"]}])
def test_no_name_takes_an_upstream_publishers_place(
    node: Node, defining: Defining, nameless: Mapping[str, object]
) -> None:
    """/v2/library/nginx is the default remote's image as long as nobody has a repository `library`."""
    images = {"package": "docker"}
    defining.define("first", "team", images)
    hub = {"hub": {"package": "docker", "base_url": "http://127.0.0.1:9", **nameless}}
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
        # what a key asks for to be opened may be minutes of work, and all memory
        ({"package": "apk", "signing_key": "x", "signing_key_password": "x"}, "signing_key", "send the key itself"),
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


def test_of_two_who_change_it_neither_undoes_the_others(
    node: Node, defining: Defining, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where Redis was not told of the first change either."""
    defining.define("made", "team", PUBLIC)
    untold = PostgresAccounts(node.settings.database_url or "", lambda _: None)
    real, others = PostgresAccounts.redefine, [{"access": "team"}]

    def overtaken(accounts: PostgresAccounts, before: Defined, *said: Any, **more: Any) -> Defined | None:
        if others:
            assert real(untold, before, {**before.definition, **others.pop()}) is not None
        return real(accounts, before, *said, **more)

    monkeypatch.setattr(PostgresAccounts, "redefine", overtaken)
    with closing(untold):
        found = defining.redefine("made", {"description": "ours"})
    assert (found.access, found.description) == ("team", "ours")


def test_another_key_has_every_index_signed_again(defining: Defining) -> None:
    defining.define("made", "team", {"package": "rpm"})
    hosted = defining.shelf.catalog.index.hosted
    new = Publication("a", Entry("0" * 64, 1), description=Description("s", ""))
    assert hosted.change("made", [new], [], lambda _: True, lambda _: None).scopes == {"s": 1}
    defining.redefine("made", {"description": "ours"})
    assert hosted.scope("made", "s")[0] == 1
    defining.redefine("made", {"signing_key": str(Tsk.generate("team <team@example.org>"))})
    assert hosted.scope("made", "s")[0] == 2


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
            assert set(new.get("/").get_json()["locals"]) == {"team", "again"}, "what is public goes on"
            for path in ("/v2/", "/v2/_catalog", "/metrics", "/metrics?format=json"):
                assert new.get(path).status_code in (200, 401), path
            image = "/v2/made/x/manifests/latest"
            assert new.get(image).status_code == 503, "no remote is asked for what may be somebody's own"
    assert body(node.get(FILE)) == b"content"


def test_the_files_names_cost_nothing(node: Node, defining: Defining, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Directory, "_now", lambda _: pytest.fail("the database was thought of"))
    assert node.get("/repository/team/a").status_code == 404
    assert node.admin("PUT", "/repository/team/a", b"1").status_code == 201
    assert node.get("/repository/team/a").status_code == 200
