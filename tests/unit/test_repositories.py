"""remotes.json: what good files mean, and the same result from a snapshot."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any, ClassVar

import pytest

from app.problems import ConfigError
from app.repositories import Repositories, collisions, load, misspelt, snapshot
from app.resource import Kind, Repository, UpstreamOptions

BASE = "https://upstream.example/base"


def write(path: Path, document: object) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(document if isinstance(document, str) else json.dumps(document))
    return path


def loaded(tmp_path: Path, document: object) -> Repositories:
    return load(write(tmp_path / "remotes.json", document))


def remote(tmp_path: Path, **keys: Any) -> Repository:
    return loaded(tmp_path, {"remotes": {"r": {"base_url": BASE, **keys}}}).remotes["r"]


def test_a_remote_with_nothing_said_has_the_defaults(tmp_path: Path) -> None:
    assert remote(tmp_path) == Repository(name="r", kind=Kind.REMOTE, base_urls=(BASE,))


def test_every_key_of_a_remote(tmp_path: Path) -> None:
    write(tmp_path / "ca.pem", "x")
    write(tmp_path / "client.pem", "x")
    found = remote(
        tmp_path,
        package="rpm",
        description="d",
        immutable_patterns=[r"\.rpm$"],
        mutable_patterns=["x", "y"],
        cache={"immutable_ttl": "7d", "mutable_ttl": 0},
        check_mutable_updates=False,
        on_upstream_gone="drop",
        offline=True,
        verify_on_read=True,
        username="u",
        password="p",
        upstream={
            "proxy": "http://proxy.example:3128",
            "ca_file": "ca.pem",
            "client_cert": str(tmp_path / "client.pem"),
            "client_key": "client.pem",
            "headers": {"X-Team": "infra"},
            "connect_timeout": "1s",
            "first_byte_timeout": 2,
            "stall_timeout": 2.5,
            "max_connections": 8,
            "max_rate": 5,
        },
    )
    options = UpstreamOptions(
        proxy="http://proxy.example:3128",
        ca_file=str(tmp_path / "ca.pem"),
        client_cert=str(tmp_path / "client.pem"),
        client_key=str(tmp_path / "client.pem"),
        headers={"X-Team": "infra"},
        connect_timeout=1.0,
        first_byte_timeout=2.0,
        stall_timeout=2.5,
        max_connections=8,
        max_rate=5.0,
    )
    assert found == Repository(
        name="r",
        kind=Kind.REMOTE,
        package="rpm",
        description="d",
        base_urls=(BASE,),
        immutable_patterns=(re.compile(r"\.rpm$"),),
        mutable_patterns=(re.compile("x"), re.compile("y")),
        immutable_ttl=7 * 86400.0,
        mutable_ttl=0.0,
        check_mutable_updates=False,
        on_upstream_gone="drop",
        upstream=options,
        username="u",
        password="p",
        offline=True,
        verify_on_read=True,
    )


def test_every_key_that_only_docker_has(tmp_path: Path) -> None:
    found = remote(
        tmp_path,
        package="docker",
        serves=["Docker.IO", "registry.example:5000", "docker.io"],
        hosts=["images.example", "[::1]:5000"],
        default=True,
        ban_tags_enabled=True,
        ban_tags=["latest", "Edge_1.0-x"],
        upstream={"auth_hosts": ["Auth.example", "auth.example:8443"]},
    )
    assert found == Repository(
        name="r",
        kind=Kind.REMOTE,
        package="docker",
        base_urls=(BASE,),
        serves=("docker.io", "registry.example:5000"),
        hosts=("images.example", "[::1]:5000"),
        default=True,
        ban_tags=frozenset({"latest", "Edge_1.0-x"}),
        upstream=UpstreamOptions(auth_hosts=("auth.example", "auth.example:8443")),
    )


def test_tags_are_only_banned_where_that_is_enabled(tmp_path: Path) -> None:
    keys = {"package": "docker", "base_url": BASE, "ban_tags": ["latest"]}
    found = loaded(tmp_path, {"remotes": {"r": keys, "s": {**keys, "ban_tags_enabled": True}}})
    assert [each.ban_tags for each in found.remotes.values()] == [frozenset(), frozenset({"latest"})]
    shown = found.effective()["remotes"]
    assert [(each["ban_tags_enabled"], each["ban_tags"]) for each in shown.values()] == [
        (False, ["latest"]),
        (True, ["latest"]),
    ]
    assert loaded(tmp_path, found.effective()) == found


@pytest.mark.parametrize("key", ["metalink", "mirrorlist"])
def test_a_list_of_mirrors_instead_of_a_base_url(tmp_path: Path, key: str) -> None:
    url = "https://mirrors.example/metalink?repo=x-9&arch=x86_64"
    found = loaded(tmp_path, {"remotes": {"r": {"package": "rpm", key: url}}})
    assert found.remotes["r"] == Repository("r", Kind.REMOTE, "rpm", **{key: url})  # type: ignore[arg-type]
    assert found.effective()["remotes"]["r"][key] == "https://mirrors.example/metalink?***"  # a query may hold a key
    assert "base_url" not in str(found.effective())
    plain = loaded(tmp_path, {"remotes": {"r": {"package": "rpm", key: "https://mirrors.example/x"}}})
    assert loaded(tmp_path, plain.effective()) == plain


@pytest.mark.parametrize(
    ("immutable", "mutable", "expected"),
    [
        (0, 0, (None, 0.0)),
        ("0s", "0", (None, 0.0)),
        ("forever", "forever", (None, None)),
        (30, 1.5, (30.0, 1.5)),
        ("30s", "5m", (30.0, 300.0)),
        ("1h", "7d", (3600.0, 604800.0)),
        ("1.5h", "90", (5400.0, 90.0)),
    ],
)
def test_times(tmp_path: Path, immutable: object, mutable: object, expected: tuple[object, object]) -> None:
    found = remote(tmp_path, cache={"immutable_ttl": immutable, "mutable_ttl": mutable})
    assert (found.immutable_ttl, found.mutable_ttl) == expected


def test_several_upstreams_keep_their_order_and_lose_their_last_slash(tmp_path: Path) -> None:
    found = loaded(tmp_path, {"remotes": {"r": {"base_urls": ["http://b/x/", "http://a", "http://[::1]:81/y"]}}})
    assert found.remotes["r"].base_urls == ("http://b/x", "http://a", "http://[::1]:81/y")


def test_a_base_url_may_be_the_document_that_clients_are_pointed_at(tmp_path: Path) -> None:
    urls = ["http://a/v3/index.json", "http://b/index.json/", "http://c/index.yaml", "http://d/x"]
    found = {
        package: loaded(tmp_path, {"remotes": {"r": {"package": package, "base_urls": urls}}}).remotes["r"].base_urls
        for package in ("nuget", "helm", "generic")
    }
    assert found == {
        "nuget": ("http://a/v3", "http://b", "http://c/index.yaml", "http://d/x"),
        "helm": ("http://a/v3/index.json", "http://b/index.json", "http://c", "http://d/x"),
        "generic": ("http://a/v3/index.json", "http://b/index.json", "http://c/index.yaml", "http://d/x"),
    }


def test_a_local(tmp_path: Path) -> None:
    found = loaded(
        tmp_path, {"locals": {"l": {"overwrite": True, "verify_on_read": True, "description": "d"}, "m": {}}}
    )
    assert found.locals["l"] == Repository(
        name="l", kind=Kind.LOCAL, overwrite=True, verify_on_read=True, description="d"
    )
    assert found.get("m") == Repository(name="m", kind=Kind.LOCAL)
    assert found.get("x") is None
    assert found.names == {"l", "m"}


def test_the_older_form(tmp_path: Path) -> None:
    older = {"remotes": {"r": {"type": "remote", "base_url": BASE}, "l": {"type": "local", "package": "generic"}}}
    newer = {"remotes": {"r": {"base_url": BASE}}, "locals": {"l": {"package": "generic"}}}
    assert loaded(tmp_path, older) == loaded(tmp_path, newer)


def test_the_order_of_the_file_is_kept(tmp_path: Path) -> None:
    found = loaded(tmp_path, {"remotes": {name: {"base_url": BASE} for name in "zebra"}})
    assert list(found.remotes) == list("zebra")


@pytest.mark.parametrize("text", ["{}", '{"remotes": {}}', '\ufeff{"$schema": "x"}', '{"virtuals": {}}'])
def test_a_file_may_say_nothing(tmp_path: Path, text: str) -> None:
    assert loaded(tmp_path, text).names == frozenset()


def test_what_is_switched_off_may_be_said(tmp_path: Path) -> None:
    off = {
        "serves": [],
        "hosts": [],
        "default": False,
        "ban_tags_enabled": False,
        "ban_tags": [],
        "quarantine_new": False,
        "quarantine_days": 0,
    }
    assert remote(tmp_path, **off) == remote(tmp_path)


def test_secrets_from_the_environment_and_from_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("UPSTREAM_USER", "u")
    write(tmp_path / "secrets" / "password", "sesame\n")
    found = remote(
        tmp_path,
        username={"env": "UPSTREAM_USER"},
        password={"file": "secrets/password"},
        upstream={"headers": {"file": {"file": "secrets/password"}}, "proxy": "http://u:sesame@p.example:1"},
    )
    assert (found.username, found.password, found.upstream.headers["file"]) == ("u", "sesame", "sesame")


class TestConfigDir:
    def test_its_files_are_added_in_order(self, tmp_path: Path) -> None:
        write(tmp_path / "conf.d" / "b.json", {"remotes": {"b": {"base_url": BASE}}})
        write(tmp_path / "conf.d" / "a.json", {"remotes": {"a": {"base_url": BASE}}, "locals": {"l": {}}})
        write(tmp_path / "conf.d" / "note.txt", "not JSON")
        found = loaded(tmp_path, {"config_dir": "conf.d", "remotes": {"m": {"base_url": BASE}}})
        assert (list(found.remotes), list(found.locals)) == (["m", "a", "b"], ["l"])

    def test_it_may_be_the_files_own(self, tmp_path: Path) -> None:
        write(tmp_path / "team.json", {"locals": {"l": {}}})
        assert loaded(tmp_path, {"config_dir": ".", "locals": {"m": {}}}).names == {"l", "m"}

    def test_files_are_named_from_where_they_are_named(self, tmp_path: Path) -> None:
        write(tmp_path / "conf.d" / "ca.pem", "x")
        write(
            tmp_path / "conf.d" / "a.json", {"remotes": {"a": {"base_url": BASE, "upstream": {"ca_file": "ca.pem"}}}}
        )
        found = loaded(tmp_path, {"config_dir": "conf.d"})
        assert found.remotes["a"].upstream.ca_file == str(tmp_path / "conf.d" / "ca.pem")


def test_a_snapshot_loads_to_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SNAPSHOT_SECRET", "sesame-from-environment")
    write(tmp_path / "ca.pem", "x")
    write(tmp_path / "password", "sesame-from-file")
    keys = {
        "base_url": BASE,
        "username": {"env": "SNAPSHOT_SECRET"},
        "password": {"file": "password"},
        "upstream": {"ca_file": "ca.pem", "headers": {"file": "x", "X-Token": {"file": "password"}}},
    }
    write(tmp_path / "conf.d" / "a.json", {"remotes": {"l": {"type": "local"}}})
    path = write(tmp_path / "remotes.json", {"config_dir": "conf.d", "remotes": {"r": keys}})
    text = snapshot(Path("remotes.json"))
    assert "sesame" not in text
    assert load(write(tmp_path / "elsewhere" / "snapshot.json", text)) == load(path) == load(Path("remotes.json"))


def test_a_snapshot_of_a_bad_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError):
        snapshot(write(tmp_path / "remotes.json", "{"))


class TestEffective:
    def test_it_is_a_remotes_json_of_its_own(self, tmp_path: Path) -> None:
        first = loaded(
            tmp_path,
            {
                "remotes": {
                    "a": {"base_url": BASE, "package": "apk", "cache": {"mutable_ttl": "forever"}},
                    "b": {"base_urls": [BASE, "http://b"], "upstream": {"stall_timeout": 0.5}},
                    "c": {
                        "base_url": BASE,
                        "package": "docker",
                        "serves": ["docker.io"],
                        "default": True,
                        "upstream": {"auth_hosts": ["auth.example"]},
                    },
                },
                "locals": {"l": {"overwrite": True}},
            },
        )
        assert loaded(tmp_path, first.effective()) == first

    def test_ttls_are_shown_as_they_are_written(self, tmp_path: Path) -> None:
        found = loaded(tmp_path, {"remotes": {"r": {"base_url": BASE}}}).effective()["remotes"]["r"]
        assert json.dumps(found["cache"]) == '{"immutable_ttl": 0, "mutable_ttl": 3600}'

    def test_no_secret_is_in_it(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("SESAME", "sesame")
        headers = dict.fromkeys(("Authorization", "cookie", "X-Api-Key", "X-Token", "PRIVATE-TOKEN"), "sesame")
        found = loaded(
            tmp_path,
            {
                "remotes": {
                    "r": {
                        "base_url": BASE,
                        "username": "robot",
                        "password": "sesame",
                        "upstream": {
                            "headers": {"X-Api-Key": "sesame", "X-Plain": {"env": "SESAME"}, "X-Team": "infra"},
                            "proxy": "http://robot:sesame@proxy.example:3128",
                        },
                    },
                    "s": {"base_url": BASE, "username": {"env": "SESAME"}, "upstream": {}},
                    "t": {"base_url": BASE, "upstream": {"headers": headers}},
                }
            },
        )
        shown = found.effective()["remotes"]
        assert "sesame" not in json.dumps(shown)
        assert (shown["r"]["username"], shown["r"]["password"], shown["s"]["username"]) == ("robot", "***", "***")
        assert shown["r"]["upstream"]["headers"] == {"X-Api-Key": "***", "X-Plain": "***", "X-Team": "infra"}
        assert shown["r"]["upstream"]["proxy"] == "http://***@proxy.example:3128"

    def test_its_hash_follows_what_is_served(self, tmp_path: Path) -> None:
        keys: dict[str, Any] = {"base_url": BASE}
        first = loaded(tmp_path, {"remotes": {"r": keys}}).sha256
        assert re.fullmatch("[0-9a-f]{64}", first)
        assert loaded(tmp_path, {"remotes": {"r": {**keys, "cache": {"mutable_ttl": "1h"}}}}).sha256 == first
        assert loaded(tmp_path, {"remotes": {"r": {**keys, "offline": True}}}).sha256 != first

    @pytest.mark.parametrize(
        "said",
        [
            {"serves": ["docker.io"]},
            {"hosts": ["h.example"]},
            {"default": True},
            {"ban_tags": ["latest"]},
            {"ban_tags_enabled": True},
            {"upstream": {"auth_hosts": ["a.example"]}},
        ],
        ids=str,
    )
    def test_its_hash_follows_what_only_docker_has(self, tmp_path: Path, said: dict[str, Any]) -> None:
        keys: dict[str, Any] = {"base_url": BASE, "package": "docker"}
        first = loaded(tmp_path, {"remotes": {"r": keys}})
        assert loaded(tmp_path, {"remotes": {"r": {**keys, **said}}}).sha256 != first.sha256


class TestCollisions:
    HUB: ClassVar = {"package": "docker", "base_url": BASE}

    def lines(self, tmp_path: Path, hub: dict[str, Any], *names: str) -> list[str]:
        others = dict.fromkeys(names, self.HUB) | {"packages": {"base_url": BASE}}
        known = loaded(tmp_path, {"remotes": {"hub": {**self.HUB, **hub}, **others}, "locals": {"files": {}}})
        return list(collisions([*known.remotes.values(), *known.locals.values()]))

    @pytest.mark.parametrize(
        "said", [{"default": True}, {"serves": ["docker.io"]}, {"hosts": ["h.example"]}], ids=str
    )
    def test_without_patterns_any_repository_of_images_may_be_meant(
        self, tmp_path: Path, said: dict[str, Any]
    ) -> None:
        assert self.lines(tmp_path, said, "library", "other") == [
            f"remotes.hub: answers without its name in the path, but its images {name}/... are looked for in the "
            f"repository {name}: rename that one, or say in immutable_patterns which images hub has"
            for name in ("library", "other")
        ]
        assert self.lines(tmp_path, {}, "library", "other") == []

    def test_packages_collide_with_nothing(self, tmp_path: Path) -> None:
        assert self.lines(tmp_path, {"default": True}) == []
        patterns = ["^packages/", "^files/"]
        assert self.lines(tmp_path, {"default": True, "immutable_patterns": patterns}) == []
        assert list(collisions(load(Path("remotes.json")).remotes.values())) == []

    @pytest.mark.parametrize(
        ("pattern", "told"),
        [
            ("^team/", True),
            ("^(team|crew)/", True),
            ("^team/tool$", True),
            (r"^v2/team/.*/manifests/", True),
            (r"^team/image/manifests/", True),
            ("^tea", True),
            ("^crew/", False),
            (".*", False),  # speaks of no name
            ("/manifests/", False),
        ],
    )
    def test_a_pattern_that_speaks_of_the_name(self, tmp_path: Path, pattern: str, told: bool) -> None:
        said = {"default": True, "immutable_patterns": [pattern]}
        assert len(self.lines(tmp_path, said, "library", "team")) == 1 + told


def test_everybody_is_one_word_and_what_looks_like_a_word_is_told_of(tmp_path: Path) -> None:
    accesses = {"a": "everybody", "b": "", "c": "authenticatd", "d": "authenticated", "e": "authors"}
    file = tmp_path / "remotes.json"
    file.write_text(json.dumps({"locals": {name: {"access": each} for name, each in accesses.items()}}))
    known = load(file)
    assert [each.access for each in known.locals.values()] == ["", "", "authenticatd", "authenticated", "authors"]
    assert [each["access"] for each in known.effective()["locals"].values()][:2] == ["everybody"] * 2
    told = 'c: access "authenticatd" is taken for a project\'s name: did you mean "authenticated"?'
    assert list(misspelt(known.locals.values())) == [told]
