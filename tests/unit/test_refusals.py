"""Every way to get remotes.json wrong, and the line it gets: file, key, reason and the likely fix."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from app.formats import FORMATS
from app.hosting import HOSTED
from app.problems import ConfigError
from app.repositories import load

LOCALS = [name for name in FORMATS if name in HOSTED]

BASE = "https://u.example"
LIST = "https://m.example/metalink?repo=x"
DOCKER: dict[str, Any] = {"package": "docker"}
RPM: dict[str, Any] = {"package": "rpm"}
NOT_A_NAME = "not a name: 1 to 63 letters, digits, dots, dashes and underscores, the first a letter or digit"


def lines(path: Path) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        load(path)
    return str(caught.value).splitlines()


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def refused(document: object) -> list[str]:
    """The lines for a document, which is JSON text or a value."""
    path = Path("remotes.json")
    path.write_text(document if isinstance(document, str) else json.dumps(document))
    return lines(path)


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("", 'empty: the least it may hold is {"remotes": {}}'),
        (" \n", 'empty: the least it may hold is {"remotes": {}}'),
        ("[]", 'not an object: it begins with {"remotes": ...'),
        ("null", 'not an object: it begins with {"remotes": ...'),
        ('{"remotes": {}', "not JSON: line 1 column 15: Expecting ',' delimiter"),
        ('{"a": NaN}', "not JSON: NaN is not a value"),
        ("[" * 100_000, "not JSON that can be read: nested too deeply"),
        ('{"remotes": []}', "remotes: not an object of repositories by name"),
        ('{"remote": {}}', 'remote: unknown key: did you mean "remotes"?'),
        ('{"zzz": {}}', "zzz: unknown key"),
        ('{"remotes": {}, "remotes": {}}', "remotes: given twice in one object: keep one of them"),
        ('{"locals": {"a": {}, "a": {}}}', "locals.a: given twice in one object: keep one of them"),
        (
            '{"locals": {"a": {"overwrite": true, "overwrite": true}}}',
            "locals.a.overwrite: given twice in one object: keep one of them",
        ),
        ('{"config_dir": "gone"}', 'config_dir: "gone" is not a readable directory beside this file'),
        (
            '{"config_dir": "' + "d" * 5000 + '"}',
            f'config_dir: "{"d" * 76}... is not a readable directory beside this file',
        ),
        ('{"config_dir": "a\\u0000b"}', r'config_dir: "a\u0000b" is not a readable directory beside this file'),
        ('{"config_dir": 1}', "config_dir: 1 is not a readable directory beside this file"),
        ('{"locals": {"a": 1}}', "locals.a: not an object"),
        ('{"remotes": {"a": null}}', "remotes.a: field may not be null"),
        (
            '{"locals": {"-a": {}}}',
            f"locals.-a: {NOT_A_NAME}",
        ),
        (
            '{"locals": {"": {}}}',
            f'locals."": {NOT_A_NAME}',
        ),
        (
            '{"locals": {"a\\n": {}}}',
            rf"locals.a\n: {NOT_A_NAME}",
        ),
        (
            '{"locals": {"a": {}}, "virtuals": {"a": {}}}',
            "virtuals.a: the name is taken by locals.a in remotes.json",
        ),
        (
            '{"virtuals": {"a": {"members": ["b"]}}}',
            'virtuals.a.members[0]: "b" is no remote and no local',
        ),
        (
            '{"remotes": {"a": {"type": "virtual", "members": []}}}',
            "remotes.a.members: length must be between 1 and 64",
        ),
        (
            '{"remotes": {"a": {"type": "lokal"}}}',
            'remotes.a.type: "lokal" is not remote, local or virtual: did you mean "local"?',
        ),
        ('{"remotes": {"a": {"type": []}}}', "remotes.a.type: [] is not remote, local or virtual"),
        (
            '{"locals": {"a": {"package": "cargo"}}}',
            f"locals.a.package: cargo is not built in this version: {', '.join(LOCALS)} here",
        ),
        (
            '{"locals": {"a": {"base_url": "http://b"}}}',
            "locals.a.base_url: belongs to a remote: a local repository has no upstream",
        ),
        ('{"locals": {"a": {"overwrit": true}}}', 'locals.a.overwrit: unknown key: did you mean "overwrite"?'),
        ('{"locals": {"a": {"overwrite": 1}}}', "locals.a.overwrite: 1 is not true or false"),
        ('{"locals": {"a": {"quota": 1}}}', "locals.a.quota: not built in this version: remove the key"),
        ('{"remotes": {"a": {}}}', "remotes.a.base_url: missing: a remote needs its upstream's URL"),
    ],
    ids=lambda text: text[:40],
)
def test_a_bad_document(text: str, line: str) -> None:
    assert refused(text) == [f"remotes.json: {line}"]


@pytest.mark.parametrize(
    ("keys", "line"),
    [
        # known keys, known values
        ({"mutable_pattern": []}, 'mutable_pattern: unknown key: did you mean "mutable_patterns"?'),
        ({"frobnicate": 1}, "frobnicate: unknown key"),
        ({"overwrite": True}, "overwrite: belongs to a local repository"),
        ({"package": "rpn"}, 'package: "rpn" is not a package type: did you mean "rpm"?'),
        ({"package": "apt"}, 'package: "apt" is not a package type: did you mean "deb"?'),
        ({"package": 1}, "package: not a valid string"),
        ({"description": "d" * 1001}, "description: longer than maximum length 1000"),
        ({"check_mutable_updates": "yes"}, 'check_mutable_updates: "yes" is not true or false'),
        ({"offline": 0}, "offline: 0 is not true or false"),
        ({"on_upstream_gone": "forget"}, "on_upstream_gone: must be one of: keep, drop"),
        ({"members": ["b"]}, "members: belongs to a virtual repository"),
        (
            {"access": "Our Team"},
            "access: not a project's name: 1 to 63 lower-case letters and digits, with dots, dashes, underscores "
            "between",
        ),
        ({"access": None}, "access: field may not be null"),
        (
            {"access": "public"},
            'access: "public" is no project: it is "everybody", "authenticated" or a project\'s name',
        ),
        ({"rate": 1}, "rate: not built in this version: remove the key"),
        ({"quarantine_new": True}, "quarantine_new: not built in this version: remove the key"),
        ({"quarantine_days": 7}, "quarantine_days: not built in this version: remove the key"),
        ({"quarantine_days": False}, "quarantine_days: not built in this version: remove the key"),
        # what only one package has
        *(
            (keys, f"{name}: belongs to package docker, and this is generic: remove the key")
            for name, keys in {
                "serves": {"serves": ["docker.io"]},
                "hosts": {"hosts": ["images.example"]},
                "default": {"default": True},
                "ban_tags_enabled": {"ban_tags_enabled": True},
                "ban_tags": {"ban_tags": ["latest"]},
                "upstream.auth_hosts": {"upstream": {"auth_hosts": ["auth.example"]}},
            }.items()
        ),
        # hosts and tags
        (DOCKER | {"serves": "docker.io"}, "serves: not a valid list"),
        (DOCKER | {"serves": [1]}, "serves[0]: 1 is not host or host:port"),
        (DOCKER | {"serves": [""]}, 'serves[0]: "" is not host or host:port'),
        (
            DOCKER | {"serves": ["docker.io", "https://docker.io"]},
            'serves[1]: "https://docker.io" is not host or host:port, without http:// and without a path',
        ),
        (DOCKER | {"hosts": ["h:0"]}, 'hosts[0]: "h:0" is not host or host:port'),
        (DOCKER | {"hosts": ["h:65536"]}, 'hosts[0]: "h:65536" is not host or host:port'),
        (DOCKER | {"hosts": ["u@h"]}, 'hosts[0]: "u@h" is not host or host:port'),
        (DOCKER | {"hosts": ["a..b"]}, 'hosts[0]: "a..b" is not host or host:port'),
        (DOCKER | {"hosts": ["*.example"]}, 'hosts[0]: "*.example" is not host or host:port'),
        (DOCKER | {"hosts": ["h\n"]}, r'hosts[0]: "h\n" is not host or host:port'),
        (DOCKER | {"hosts": ["a" * 5000]}, None),
        (DOCKER | {"hosts": ["a-" * 100]}, None),
        (DOCKER | {"upstream": {"auth_hosts": ["/"]}}, None),
        (DOCKER | {"default": "yes"}, 'default: "yes" is not true or false'),
        *(
            (
                DOCKER | {"ban_tags": [tag]},
                f"ban_tags[0]: {json.dumps(tag)} is not a tag: letters, digits, _ . and -, at most 128",
            )
            for tag in ("", "-x", ".x", "a/b", "a b", "latest\n", "sha256:0", 7)
        ),
        (DOCKER | {"ban_tags": ["x" * 129]}, None),
        # lists of mirrors
        (RPM | {"metalink": LIST}, "metalink: given beside base_url: keep one of them"),
        (RPM | {"mirrorlist": LIST}, "mirrorlist: given beside base_url: keep one of them"),
        # URLs
        ({"base_url": 1}, "base_url: not a URL of at most 2048 characters"),
        ({"base_url": "ftp://h"}, "base_url: not a URL that begins with http:// or https:// and a host"),
        ({"base_url": "https://"}, "base_url: not a URL that begins with http:// or https:// and a host"),
        ({"base_url": "http://h:0"}, "base_url: not a URL that begins with http:// or https:// and a host"),
        ({"base_url": "http://h:x"}, "base_url: not a URL that begins with http:// or https:// and a host"),
        ({"base_url": "http://[::1"}, "base_url: not a URL that begins with http:// or https:// and a host"),
        ({"base_url": "http://h/a b"}, "base_url: has a character that a URL cannot hold: percent-encode it"),
        ({"base_url": "http://h\\x"}, "base_url: has a character that a URL cannot hold: percent-encode it"),
        ({"base_url": "http://h/\u00e9"}, "base_url: has a character that a URL cannot hold: percent-encode it"),
        (
            {"base_url": "http://h/a?b=c"},
            "base_url: has a query or a fragment: name the directory that holds the files",
        ),
        ({"base_url": "http://h/a#"}, "base_url: has a query or a fragment: name the directory that holds the files"),
        (
            {"base_url": "http://u:sesame@h/"},
            'base_url: has credentials in it: they belong in "username" and "password"',
        ),
        ({"base_url": "http://h/a/../b"}, "base_url: the path has a dot segment"),
        ({"base_url": "http://h/a//b"}, "base_url: the path has an empty segment"),
        ({"base_urls": ["http://h"]}, "base_urls: given beside base_url: put every URL into one of the two"),
        (
            RPM | {"base_url": "https://m.example/metalink?repo=x&arch=y"},
            "base_url: a list of mirrors, not a repository: say it with the key metalink (or mirrorlist)",
        ),
        (
            RPM | {"base_url": "http://mirrorlist.example/x"},
            "base_url: a list of mirrors, not a repository: say it with the key metalink (or mirrorlist)",
        ),
        # patterns
        (
            {"immutable_patterns": ["("]},
            "immutable_patterns[0]: not a regular expression: missing ), unterminated subpattern at position 0",
        ),
        (
            {"mutable_patterns": ["a", "*"]},
            "mutable_patterns[1]: not a regular expression: nothing to repeat at position 0",
        ),
        ({"mutable_patterns": [1]}, "mutable_patterns[0]: 1 is not a regular expression"),
        ({"mutable_patterns": [""]}, 'mutable_patterns[0]: "" is not a regular expression'),
        ({"mutable_patterns": "a"}, "mutable_patterns: not a valid list"),
        ({"mutable_patterns": ["a" * 1025]}, "mutable_patterns[0]: longer than 1024 characters"),
        (
            {"mutable_patterns": ["a{9999999999}"]},
            "mutable_patterns[0]: not a regular expression: the repetition number is too large",
        ),
        *(
            (
                {"mutable_patterns": [pattern]},
                "mutable_patterns[0]: repeats a repetition, which some paths take for ever to match: (a+)+ means a+",
            )
            for pattern in ("(a+)+$", "^([a-z]+)*$", r"(?:\w*)+x", "(.*)*", "(.+){3,}")
        ),
        # times
        ({"cache": {"mutable_ttl": -1}}, "cache.mutable_ttl: -1 is negative"),
        (
            {"cache": {"mutable_ttl": True}},
            'cache.mutable_ttl: true is not seconds or a time such as 30, "30s", "5m", "1h" or "7d"',
        ),
        (
            {"cache": {"mutable_ttl": "1 week"}},
            'cache.mutable_ttl: "1 week" is not seconds or a time such as 30, "30s", "5m", "1h" or "7d"',
        ),
        (
            {"cache": {"immutable_ttl": "-1s"}},
            'cache.immutable_ttl: "-1s" is not seconds or a time such as 30, "30s", "5m", "1h" or "7d"',
        ),
        ({"cache": {"immutable_ttl": 10**400}}, None),
        ({"cache": {"mutabel_ttl": 1}}, 'cache.mutabel_ttl: unknown key: did you mean "mutable_ttl"?'),
        ({"cache": 1}, "cache: not an object"),
        ({"upstream": {"connect_timeout": 0}}, "upstream.connect_timeout: 0 is not between 0.01 and 600 seconds"),
        (
            {"upstream": {"stall_timeout": "forever"}},
            'upstream.stall_timeout: "forever" is not seconds or a time such as 30, "30s", "5m", "1h" or "7d"',
        ),
        # upstream
        ({"upstream": []}, "upstream: not an object"),
        ({"upstream": {"prox": ""}}, 'upstream.prox: unknown key: did you mean "proxy"?'),
        (
            {"upstream": {"proxy": "socks5://p:1"}},
            "upstream.proxy: not a URL that begins with http:// or https:// and a host",
        ),
        (
            {"upstream": {"proxy": "http://p:1/x"}},
            "upstream.proxy: not a proxy's address: it is http://host:port, without a path",
        ),
        *(
            (
                {"upstream": {"max_rate": rate}},
                f"upstream.max_rate: {shown} is not requests a second from 0.01 to 10000",
            )
            for rate, shown in ((0, "0"), (-1, "-1"), ("5/s", '"5/s"'), (True, "true"), (10001, "10001"))
        ),
        ({"verify_on_read": "yes"}, 'verify_on_read: "yes" is not true or false'),
        (
            {"upstream": {"max_connections": 0}},
            "upstream.max_connections: must be greater than or equal to 1 and less than or equal to 1024",
        ),
        ({"upstream": {"ca_file": ""}}, 'upstream.ca_file: "" is not the path of a file'),
        ({"upstream": {"headers": {"a b": "x"}}}, "upstream.headers.a b: not a header's name"),
        ({"upstream": {"headers": {"Range": "x"}}}, "upstream.headers.Range: this server sets it itself: remove it"),
        (
            {"upstream": {"headers": {"A": "x\r\nB: y"}}},
            "upstream.headers.A: empty, longer than 16 KiB, or with a control character in it",
        ),
        ({"upstream": {"headers": {"A": "\u20ac"}}}, "upstream.headers.A: its value is not latin-1"),
        (
            {"upstream": {"headers": {"A": 1}}},
            'upstream.headers.A: not a string, {"env": "NAME"} or {"file": "path"}',
        ),
        ({"upstream": {"headers": {str(n): "x" for n in range(65)}}}, "upstream.headers: more than 64"),
        # secrets
        ({"password": "sesame"}, "password: there is no username beside it"),
        ({"username": "\ud800"}, "username: not UTF-8"),
        ({"upstream": {"ca_file": "a\0b"}}, None),
        ({"a\nb": 1}, r"a\nb: unknown key"),
        ({"username": "a:b"}, "username: a colon cannot be part of it (RFC 7617)"),
        ({"username": ""}, "username: empty, longer than 16 KiB, or with a control character in it"),
        ({"username": {"env": "NO_SUCH_VARIABLE"}}, 'username: the environment has no variable "NO_SUCH_VARIABLE"'),
        ({"username": {"env": "A", "file": "b"}}, 'username: not a string, {"env": "NAME"} or {"file": "path"}'),
        (
            {"username": "u", "upstream": {"headers": {"authorization": "x"}}},
            "username: given beside an Authorization header: keep one of them",
        ),
    ],
    ids=lambda each: json.dumps(each)[:50] if isinstance(each, dict) else "",
)
def test_a_bad_remote(keys: dict[str, Any], line: str | None) -> None:
    found = refused({"remotes": {"r": {"base_url": BASE, **keys}}})
    assert len(found) == 1
    assert line is None or found == [f"remotes.json: remotes.r.{line}"]


@pytest.mark.parametrize(
    ("keys", "line"),
    [
        ({}, "base_url: missing: a remote needs its upstream's URL"),
        (RPM | {"metalink": LIST, "mirrorlist": LIST}, "mirrorlist: given beside metalink: keep one of them"),
        (RPM | {"base_urls": [BASE], "metalink": LIST}, "metalink: given beside base_urls: keep one of them"),
        (
            {"package": "deb", "metalink": LIST},
            "metalink: belongs to package rpm, and this is deb: remove the key",
        ),
        (
            {"package": "generic", "mirrorlist": LIST},
            "mirrorlist: belongs to package rpm, and this is generic: remove the key",
        ),
        *(
            ({"package": "rpm", "metalink": url}, f"metalink: {reason}")
            for url, reason in (
                (1, "not a URL of at most 2048 characters"),
                ("ftp://m.example/l", "not a URL that begins with http:// or https:// and a host"),
                ("http://u:sesame@m.example/", 'has credentials in it: they belong in "username" and "password"'),
                ("http://m.example/l#x", "has a fragment: remove it"),
                ("http://m.example/l?a=$releasever", "has a variable of dnf's in it: write what it stands for"),
                ("http://m.example/$basearch", "has a variable of dnf's in it: write what it stands for"),
                ("http://m.example/${arch}", "has a variable of dnf's in it: write what it stands for"),
                ("http://m.example/../l", "the path has a dot segment"),
                ("http://m.example/l?a=[b]", "the path has a query with a character that belongs encoded"),
            )
        ),
        (
            RPM | {"base_urls": [BASE, "https://m.example/mirrorlist"]},
            "base_urls[1]: a list of mirrors, not a repository: say it with the key metalink (or mirrorlist)",
        ),
    ],
    ids=str,
)
def test_a_bad_upstream(keys: dict[str, Any], line: str) -> None:
    assert refused({"remotes": {"r": keys}}) == [f"remotes.json: remotes.r.{line}"]


@pytest.mark.parametrize("name", ["Hub", "hub-", "a..b", "a___b", "a.-b", "a_.b", "hub."])
def test_a_remote_of_images_has_a_name_that_their_clients_can_say(name: str) -> None:
    hub = DOCKER | {"base_url": BASE}
    assert refused({"remotes": {name: hub, "hub2": hub, "a__b.c--d": hub, "Other_": {"base_url": BASE}}}) == [
        f"remotes.json: remotes.{name}: not a name that clients of images can say: lower-case letters and digits, "
        "with one dot, one or two underscores or dashes between them"
    ]


def test_only_one_remote_can_answer_for_what_is_not_named(tmp_path: Path) -> None:
    first = DOCKER | {"base_url": BASE, "serves": ["docker.io"], "hosts": ["a.example"], "default": True}
    second = DOCKER | {"base_url": BASE, "serves": ["Quay.io", "Docker.IO"], "hosts": ["A.example:5000", "a.example"]}
    third = DOCKER | {"base_url": BASE, "default": True, "frobnicate": 1}
    (tmp_path / "conf.d").mkdir()
    (tmp_path / "conf.d" / "a.json").write_text(json.dumps({"remotes": {"c": third}}))
    assert refused({"config_dir": "conf.d", "remotes": {"a": first, "b": second}}) == [
        "remotes.json: remotes.b.serves: docker.io is remotes.a's already: only one can be",
        "remotes.json: remotes.b.hosts: a.example is remotes.a's already: only one can be",
        "conf.d/a.json: remotes.c.frobnicate: unknown key",
        "conf.d/a.json: remotes.c.default: remotes.a is that already: only one can be",
    ]


@pytest.mark.parametrize(
    ("keys", "key"),
    [
        ({"upstream": {"ca_file": "gone.pem"}}, "upstream.ca_file"),
        ({"upstream": {"client_cert": "gone.pem"}}, "upstream.client_cert"),
        ({"username": {"file": "gone.pem"}}, "username"),
        ({"upstream": {"headers": {"A": {"file": "gone.pem"}}}}, "upstream.headers.A"),
    ],
)
def test_a_file_that_is_not_there(tmp_path: Path, keys: dict[str, Any], key: str) -> None:
    line = f"remotes.json: remotes.r.{key}: {tmp_path / 'gone.pem'}: No such file or directory"
    assert refused({"remotes": {"r": {"base_url": BASE, **keys}}}) == [line]


def test_a_secret_that_is_not_text(tmp_path: Path) -> None:
    (tmp_path / "secret").write_bytes(b"\xff\xfe")
    found = refused({"remotes": {"r": {"base_url": BASE, "username": {"file": "secret"}}}})
    assert found == ["remotes.json: remotes.r.username: not UTF-8"]


def test_a_file_of_config_dir_that_leads_nowhere(tmp_path: Path) -> None:
    (tmp_path / "conf.d").mkdir()
    (tmp_path / "conf.d" / "a.json").symlink_to("gone")
    (tmp_path / "conf.d" / ".#b.json").symlink_to("an editor's lock")
    assert refused({"config_dir": "conf.d"}) == ["conf.d/a.json: no such file: make one, or let CONFIG_PATH name it"]


def test_two_headers_that_differ_in_case() -> None:
    found = refused({"remotes": {"r": {"base_url": BASE, "upstream": {"headers": {"A": "1", "a": "2"}}}}})
    assert found == [
        f"remotes.json: remotes.r.upstream.headers.{name}: given twice, for case does not matter in a header's name"
        for name in "Aa"
    ]


def test_a_key_without_its_certificate(tmp_path: Path) -> None:
    (tmp_path / "key.pem").write_text("x")
    found = refused({"remotes": {"r": {"base_url": BASE, "upstream": {"client_key": "key.pem"}}}})
    assert found == ["remotes.json: remotes.r.upstream.client_key: belongs to a client_cert, and there is none"]


def test_every_problem_has_its_line(tmp_path: Path) -> None:
    (tmp_path / "conf.d").mkdir()
    (tmp_path / "conf.d" / "a.json").write_text('{"locals": {"r": {}, "l": {"x": 1}}, "config_dir": "."}')
    (tmp_path / "conf.d" / "b.json").write_text("{")
    bad = {"base_url": "ftp://x", "cache": {"mutable_ttl": -1}, "immutable_patterns": ["(", "a", "["], "foo": 1}
    found = refused({"config_dir": "conf.d", "remotes": {"r": bad}, "bar": 1})
    assert [line.rsplit(": ", 1)[0].split(": not ")[0] for line in found] == [
        "remotes.json: bar",
        "conf.d/a.json: config_dir",
        "conf.d/a.json: locals.r",
        "conf.d/b.json",
        "remotes.json: remotes.r.base_url",
        "remotes.json: remotes.r.immutable_patterns[0]",
        "remotes.json: remotes.r.immutable_patterns[2]",
        "remotes.json: remotes.r.cache.mutable_ttl",
        "remotes.json: remotes.r.foo",
        "conf.d/a.json: locals.l.x",
    ]


def test_a_file_that_is_not_utf8(tmp_path: Path) -> None:
    (tmp_path / "remotes.json").write_bytes(b'{"a": "\xff"}')
    assert lines(Path("remotes.json")) == ["remotes.json: not UTF-8: byte 7 is no part of a character"]


def test_a_file_that_is_not_there_at_all() -> None:
    assert lines(Path("remotes.json")) == ["remotes.json: no such file: make one, or let CONFIG_PATH name it"]


def test_a_directory_instead_of_a_file(tmp_path: Path) -> None:
    assert lines(tmp_path) == [f"{tmp_path}: cannot be read: Is a directory"]


@pytest.mark.skipif(os.getuid() == 0, reason="root reads everything")
def test_a_file_that_may_not_be_read(tmp_path: Path) -> None:
    (tmp_path / "remotes.json").touch(mode=0o000)
    assert lines(Path("remotes.json")) == ["remotes.json: cannot be read: Permission denied"]


def test_no_line_repeats_a_password() -> None:
    bad = {"base_url": "http://u:sesame@h", "username": "u:sesame", "password": "sesame\n"}
    assert "sesame" not in "\n".join(refused({"remotes": {"r": bad}}))


@pytest.mark.parametrize(
    ("package", "owned", "meant"),
    [
        ("pypi", ["team-*", "Team_*", "team.lib"], {1: "team-*", 2: "team-lib"}),
        ("cargo", ["the_crate", "the-crate"], {0: "the-crate"}),
        ("docker", ["Team/*", "team/*"], {0: "team/*"}),
        ("maven", ["com.team", "com.team.*", "com.team:lib"], {0: "com.team:*"}),
        ("npm", ["@Team/*", "the_lib"], {}),
    ],
)
def test_patterns_that_would_protect_nothing(package: str, owned: list[str], meant: dict[int, str]) -> None:
    remotes = {"r": {"package": package, "base_url": BASE, "owned": owned}}
    wrong = [f'owned[{number}]: matches no name of {package}: write "{each}"' for number, each in meant.items()]
    expected = ["remotes.json: x: unknown key", *(f"remotes.json: remotes.r.{each}" for each in wrong)]
    assert refused({"x": 1, "remotes": remotes}) == expected
    if package in LOCALS:
        assert len(refused({"x": 1, "locals": {"r": {"package": package, "owned": owned}}})) == len(expected)
