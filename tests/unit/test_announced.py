"""What headers announce of an upload, as a table; and what a published file may be called."""

from __future__ import annotations

import pytest

from app.errors import BadRequest
from app.hosting.names import require_name
from app.resource import Digest
from app.web import announced

SHA256 = "2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824"  # of b"hello"
BASE64 = "LPJNul+wow4m6DsqxbninhsWHlwfp0JecwQzYpOLmCQ="
MD5, MD5_BASE64 = "5d41402abc4b2a76b9719d911017c592", "XUFAKrxLKna5cZ2REBfFkg=="


@pytest.mark.parametrize(("headers", "expected"), [
    ({}, []),
    ({"content-digest": f"sha-256=:{BASE64}:"}, [("sha256", SHA256)]),
    ({"content-digest": f"sha-256=:{BASE64}:;a=1, md5=:{MD5_BASE64}:"}, [("sha256", SHA256), ("md5", MD5)]),
    ({"content-digest": f"sha-256=:{BASE64}:", "repr-digest": f"sha-256=:{BASE64}:"}, [("sha256", SHA256)]),
    ({"repr-digest": "crc32c=:AAAA:"}, []),
    ({"digest": f"SHA-256={BASE64},adler32=03da0195"}, [("sha256", SHA256)]),
    ({"content-md5": MD5_BASE64}, [("md5", MD5)]),
])  # fmt: skip
def test_of_the_body(headers: dict[str, str], expected: list[tuple[str, str]]) -> None:
    assert announced.of_body(headers) == tuple(Digest(*each) for each in expected)


def test_of_the_file() -> None:
    found = announced.of_file({"x-checksum-sha256": SHA256.upper(), "x-checksum-md5": MD5})
    assert found == (Digest("sha256", SHA256), Digest("md5", MD5))


@pytest.mark.parametrize(("name", "value"), [
    ("content-digest", ""), ("content-digest", f"sha-256={BASE64}"), ("content-digest", f"sha-256=:{MD5_BASE64}:"),
    ("repr-digest", "sha-256=:%:"), ("digest", "sha-256"), ("digest", f"sha-256={MD5_BASE64}"),
    ("content-md5", BASE64),
])  # fmt: skip
def test_what_is_malformed(name: str, value: str) -> None:
    with pytest.raises(BadRequest) as caught:
        announced.of_body({name: value})
    assert caught.value.code == "bad_checksum"


@pytest.mark.parametrize("path", ["a", "a/b", "a b", "CON", "dot.", "ü", "日本語/ファイル", "v2/x/sha256:0", "😀"])
def test_names(path: str) -> None:
    require_name(path)


@pytest.mark.parametrize("path", [
    "", "a/", "/a", "a//b", "../a", "a/..", "a\\b", "a\0", "a\n", "u\u0308", "a\u202eb", "a\u200bb", "\ufeffa",
    " a", "a /b", "a/ b", "\ue000", "\u2028", "x" * 4097, "\udcff",
])  # fmt: skip
def test_names_that_are_none(path: str) -> None:
    with pytest.raises(BadRequest) as caught:
        require_name(path)
    assert caught.value.code == "bad_path"
