"""The one path check, as tables."""

from __future__ import annotations

import pytest

from app import paths
from app.errors import BadRequest

ACCEPTED = {
    "": "",
    "a": "a",
    "a/b.rpm": "a/b.rpm",
    "dir/": "dir/",
    "a%2fb": "a/b",
    "a%2Fb": "a/b",
    "libstdc++.rpm": "libstdc++.rpm",
    "libstdc%2B%2B.rpm": "libstdc++.rpm",
    "%40scope%2fname": "@scope/name",
    "a%20b": "a b",
    "%252e%252e/x": "%2e%2e/x",
    "%252fx": "%2fx",
    "...": "...",
    "..a/b..": "..a/b..",
    ".hidden/.treeinfo": ".hidden/.treeinfo",
    "caf%C3%A9": "caf\u00e9",
    "caf\u00c3\u00a9": "caf\u00e9",  # as WSGI gives raw bytes: latin-1
    "a:b@c": "a:b@c",
    "x%3Fy%23z": "x?y#z",
    "a" * 4096: "a" * 4096,
    "%41" * 4096: "A" * 4096,
}

REFUSED = {
    "/": "empty segment",
    "/etc/passwd": "empty segment",
    "%2fetc/passwd": "empty segment",
    "a//b": "empty segment",
    "a%2f%2fb": "empty segment",
    "a//": "empty segment",
    "a/%2f": "empty segment",
    ".": "dot segment",
    "./": "dot segment",
    "..": "dot segment",
    "../x": "dot segment",
    "a/../b": "dot segment",
    "a/./b": "dot segment",
    "a/..": "dot segment",
    "a/../": "dot segment",
    "%2e%2e/x": "dot segment",
    "%2E%2e%2fx": "dot segment",
    "a/..%2f..": "dot segment",
    ".%2e/x": "dot segment",
    "a%00b": "control character",
    "a\x00b": "control character",
    "a%0d%0ab": "control character",
    "a%1fb": "control character",
    "a%7fb": "control character",
    "a%C2%85b": "control character",
    "a\\b": "backslash",
    "..%5c..%5cx": "backslash",
    "%c0%ae%c0%ae/x": "not UTF-8",
    "%ff": "not UTF-8",
    "caf\u00e9": "not UTF-8",
    "\u20ac": "not UTF-8",
    "%ed%a0%80": "not UTF-8",
    "100%": "malformed percent escape",
    "%4": "malformed percent escape",
    "%zz": "malformed percent escape",
    "%u002e": "malformed percent escape",
    "http://127.0.0.1/x": "absolute URL",
    "HTTP:/127.0.0.1/x": "absolute URL",
    "https%3a%2f%2f127.0.0.1": "absolute URL",
    "file:/etc/passwd": "absolute URL",
    "a" * 4097: "longer than 4096 bytes",
    "%C3%A9" * 2049: "longer than 4096 bytes",
}


@pytest.mark.parametrize(("raw", "path"), ACCEPTED.items(), ids=lambda text: text[:24])
def test_a_harmless_path_is_decoded_once(raw: str, path: str) -> None:
    assert paths.parse(raw) == path


@pytest.mark.parametrize(("raw", "reason"), REFUSED.items(), ids=lambda text: text[:24])
def test_a_harmful_path_is_a_bad_request(raw: str, reason: str) -> None:
    with pytest.raises(BadRequest, match=reason) as caught:
        paths.parse(raw)
    assert (caught.value.status, caught.value.code) == (400, "bad_path")


@pytest.mark.parametrize(
    ("path", "quoted"),
    [
        ("a/b.rpm", "a/b.rpm"),
        ("libstdc++.rpm", "libstdc%2B%2B.rpm"),
        ("1~rc1^git", "1~rc1%5Egit"),
        ("sha256:ab@c", "sha256:ab@c"),
        ("a b", "a%20b"),
        ("!$&'()*,;=", "!%24%26%27%28%29%2A%2C%3B%3D"),
        ("e.org/!azure/m/@v/v1.0.0+incompatible.zip", "e.org/!azure/m/@v/v1.0.0%2Bincompatible.zip"),
        ("x?y#z", "x%3Fy%23z"),
        ("%2e%2e", "%252e%252e"),
        ("caf\u00e9", "caf%C3%A9"),
        ('"<>[]{}|`', "%22%3C%3E%5B%5D%7B%7D%7C%60"),
    ],
)
def test_a_path_is_encoded_once(path: str, quoted: str) -> None:
    assert paths.quote(path) == quoted
    assert paths.parse(quoted) == path


@pytest.mark.parametrize(
    ("base", "path", "query", "url"),
    [
        ("http://h/base", "a/b", "", "http://h/base/a/b"),
        ("http://h/base/", "a/", "", "http://h/base/a/"),
        ("http://h", "", "", "http://h/"),
        ("http://h/b%20c", "d+e", "n=1&last=x%2Fy", "http://h/b%20c/d%2Be?n=1&last=x%2Fy"),
    ],
)
def test_a_path_is_appended_to_its_base(base: str, path: str, query: str, url: str) -> None:
    assert paths.join(base, path, query) == url


@pytest.mark.parametrize("path", ["../x", "/x", "//evil/x", "http://evil/x", "a\nb", "a/./b", "\udcff"])
def test_join_trusts_nobody(path: str) -> None:
    with pytest.raises(BadRequest):
        paths.join("http://h/base", path)


@pytest.mark.parametrize("query", ["a=b c", "a=b\r\nX: y", "a#b", "\u00e9"])
def test_join_refuses_an_unencoded_query(query: str) -> None:
    with pytest.raises(BadRequest):
        paths.join("http://h/base", "a", query)
