"""Every setting: its default, its good values, and the one line that a bad one gets."""

from __future__ import annotations

import ipaddress
import os
from pathlib import Path

import pytest

from app.config import DOCUMENTED, ConfigError, from_environment

TOKEN = "0123456789abcdef"


def test_the_defaults(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    found = from_environment({"UNRELATED": "x", "PORT": "", "HOST": "  "})
    assert (found.bind, found.config_path, found.data_dir) == (
        "127.0.0.1:8080",
        Path("remotes.json"),
        tmp_path / "var",
    )
    assert found.workers == min(max(len(os.sched_getaffinity(0)) * 2, 2), 8)
    assert {found.database_url, found.redis_url, found.storage_url, found.public_url} == {None}
    assert {found.admin_token, found.metrics_token, found.fills_socket} == {None}
    assert (found.trusted_proxies, found.log_format, found.debug, found.auth) == ((), "json", False, "token")


@pytest.mark.parametrize(
    ("name", "value", "attribute", "expected"),
    [
        ("HOST", "::1", "bind", "[::1]:8080"),
        ("HOST", "[::]", "host", "::"),
        ("HOST", "localhost", "bind", "localhost:8080"),
        ("PORT", "65535", "port", 65535),
        ("WORKERS", "1", "workers", 1),
        ("CONFIG_PATH", "/etc/artifactapi/remotes.json", "config_path", Path("/etc/artifactapi/remotes.json")),
        ("DATA_DIR", "/srv/a b/../c", "data_dir", Path("/srv/c")),
        ("DATABASE_URL", "postgresql:///x?host=/run", "database_url", "postgresql:///x?host=/run"),
        ("DATABASE_URL", "postgres://u:p@127.0.0.1/x", "database_url", "postgres://u:p@127.0.0.1/x"),
        ("REDIS_URL", "rediss://127.0.0.1", "redis_url", "rediss://127.0.0.1"),
        ("REDIS_URL", "unix:///run/redis.sock", "redis_url", "unix:///run/redis.sock"),
        ("PUBLIC_URL", "https://a.example/cache/", "public_url", "https://a.example/cache"),
        ("ADMIN_TOKEN", TOKEN, "admin_token", TOKEN),
        ("METRICS_TOKEN", TOKEN, "metrics_token", TOKEN),
        ("LOG_FORMAT", "text", "log_format", "text"),
        ("DEBUG", "1", "debug", True),
        ("DEBUG", "off", "debug", False),
        ("AUTH", "open", "auth", "open"),
        ("AUTH", "header", "auth", "header"),
        ("AUTH_HEADER", "Remote-User", "auth_header", "Remote-User"),
        ("REGISTRATION", "open", "registration", "open"),
        (
            "OIDC_ISSUERS",
            "https://a.example.org/x/,http://127.0.0.1:1",
            "oidc_issuers",
            ("https://a.example.org/x/", "http://127.0.0.1:1"),
        ),
        ("ARTIFACTAPI_SNAPSHOT", "/run/snapshot.json", "config_path", Path("/run/snapshot.json")),
        ("ARTIFACTAPI_FILLS_SOCKET", "/run/fills.sock", "fills_socket", Path("/run/fills.sock")),
    ],
)
def test_a_good_value(name: str, value: str, attribute: str, expected: object) -> None:
    assert getattr(from_environment({name: value}), attribute) == expected


def test_proxies_are_networks() -> None:
    found = from_environment({"TRUSTED_PROXIES": "10.1.2.3/8, 127.0.0.1 ,fd00::/8,"}).trusted_proxies
    assert found == tuple(ipaddress.ip_network(each) for each in ("10.0.0.0/8", "127.0.0.1/32", "fd00::/8"))


@pytest.mark.parametrize(
    ("name", "value", "line"),
    [
        ("HOST", "a b", 'HOST: "a b" is not an address or a host name'),
        ("HOST", ":::", 'HOST: ":::" is not an address or a host name'),
        ("PORT", "x", 'PORT: "x" is not a whole number between 1 and 65535'),
        ("PORT", "0", 'PORT: "0" is not a whole number between 1 and 65535'),
        ("PORT", "80.5", 'PORT: "80.5" is not a whole number between 1 and 65535'),
        ("WORKERS", "-1", 'WORKERS: "-1" is not a whole number between 1 and 256'),
        ("DATABASE_URL", "mysql://u:pw@h", "DATABASE_URL: not a URL that begins with postgresql:// or postgres://"),
        ("REDIS_URL", "h:6379", "REDIS_URL: not a URL that begins with redis:// or rediss:// or unix://"),
        (
            "STORAGE_URL",
            "s3://",
            'STORAGE_URL: "s3://" is not a bucket written as s3://bucket or s3://bucket/prefix',
        ),
        (
            "STORAGE_URL",
            "/blobs",
            'STORAGE_URL: "/blobs" is not written as file:///a/directory or s3://bucket/prefix',
        ),
        ("PUBLIC_URL", "a.example", "PUBLIC_URL: not a URL that begins with http:// or https://"),
        (
            "PUBLIC_URL",
            "https://u:p@a.example",
            "PUBLIC_URL: not an address like https://artifacts.example.org (no credentials, no query)",
        ),
        ("PUBLIC_URL", "https://[", "PUBLIC_URL: Invalid IPv6 URL"),
        ("ADMIN_TOKEN", "short", "ADMIN_TOKEN: not at least 16 printable characters without spaces"),
        ("METRICS_TOKEN", "with a space in it", "METRICS_TOKEN: not at least 16 printable characters without spaces"),
        (
            "TRUSTED_PROXIES",
            "10.0.0.0/8,x",
            'TRUSTED_PROXIES: "x" is not an IP address or network such as 10.0.0.0/8',
        ),
        ("LOG_FORMAT", "xml", 'LOG_FORMAT: "xml" is not json or text'),
        ("DEBUG", "maybe", 'DEBUG: "maybe" is not true or false'),
        ("AUTH", "none", 'AUTH: "none" is not token or header or open'),
        ("REGISTRATION", "yes", 'REGISTRATION: "yes" is not closed or open'),
        ("AUTH_HEADER", "X User", 'AUTH_HEADER: "X User" is not the name of a header such as X-Remote-User'),
        (
            "OIDC_ISSUERS",
            "https://ci.example.org, http://ci.example.org",
            'OIDC_ISSUERS: "http://ci.example.org" is not an https:// URL: '
            "whoever is on the way could forge its keys",
        ),
        (
            "OIDC_ISSUERS",
            "https://me@ci.example.org",
            "OIDC_ISSUERS: not an address like https://artifacts.example.org (no credentials, no query)",
        ),
    ],
)
def test_a_bad_value_is_one_line(name: str, value: str, line: str) -> None:
    with pytest.raises(ConfigError) as caught:
        from_environment({name: value})
    assert str(caught.value) == line


def test_single_sign_on_leaves_no_name_to_be_taken_beforehand() -> None:
    with pytest.raises(ConfigError, match="REGISTRATION: open beside AUTH=header"):
        from_environment({"AUTH": "header", "REGISTRATION": "open"})


def test_every_bad_value_has_its_line() -> None:
    with pytest.raises(ConfigError) as caught:
        from_environment({"PORT": "x", "AUTH": "x"})
    assert [each.key for each in caught.value.problems] == ["AUTH", "PORT"]


def test_secrets_stay_out_of_the_representation() -> None:
    text = repr(from_environment({"ADMIN_TOKEN": TOKEN, "DATABASE_URL": "postgres://u:sesame@h/x"}))
    assert TOKEN not in text
    assert "sesame" not in text


def test_each_setting_is_documented_once_and_no_internal_one() -> None:
    names = [each.name for each in DOCUMENTED]
    assert len(set(names)) == len(names) == 32
    assert not [name for name in names if name.startswith("ARTIFACTAPI_")]
    assert all(each.default and each.meaning for each in DOCUMENTED)
