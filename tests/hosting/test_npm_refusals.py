"""npm packages that are none, and documents that lie: refused in words, and nothing is published of them."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from typing import Any

import pytest
import requests

from tests.hosting.tarballs import document, send, tarball
from tests.hosting.wheels import tarred
from tests.stack import Stack

NAME, VERSION = "bad", "1.0.0"
GOOD = tarball(NAME, VERSION)
MANIFEST = "package/package.json"
NOT_PACKAGES = {
    "nothing": b"",
    "text": b"no tarball at all",
    "cut": GOOD[:60],
    "no package.json": tarred({"package/index.js": ""}),
    "one too deep": tarred({"package/lib/package.json": json.dumps({"name": NAME, "version": VERSION})}),
    "no JSON": tarred({MANIFEST: "module.exports"}),
    "no object": tarred({MANIFEST: "[]"}),
    "two of them": tarred({MANIFEST: "{}", "other/package.json": "{}"}),
    "deep": tarred({MANIFEST: "[" * 100_000}),
    "long": tarred({MANIFEST: json.dumps({"name": NAME, "version": VERSION, "x": "x" * (1 << 20)})}),
    "a name in capitals": tarball("BAD", VERSION),
    "a hidden name": tarball(".bad", VERSION),
    "a name that leads away": tarball("../bad", VERSION),
    "a name of a list": tarball(["bad"], VERSION),  # type: ignore[arg-type]
    "no version": tarball(NAME, "latest"),
    "a version in Unicode": tarball(NAME, "1.0.\u0661"),
    "traversal": tarred({MANIFEST: json.dumps({"name": NAME, "version": VERSION}), "package/../../x": ""}),
    "a bomb": tarred({MANIFEST: json.dumps({"name": NAME, "version": VERSION}), "package/zeros": bytes(32 << 20)}),
}


def changed(change: Callable[[dict[str, Any]], Any]) -> bytes:
    """A good document, spoilt."""
    made = document(NAME, VERSION, GOOD)
    change(made)
    return json.dumps(made).encode()


def attached(made: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = made["_attachments"][f"{NAME}-{VERSION}.tgz"]
    return found


def dist(made: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = made["versions"][VERSION]["dist"]
    return found


NOT_DOCUMENTS = {
    "nothing": b"",
    "no JSON": b"publish this",
    "no object": b"[]",
    "no end": changed(lambda made: None)[:-1],
    "no end of a string": b'{"name": "' + b'\\"' * 1_000_000,
    "no UTF-8": b'{"name": "\xff"}',
    "deep": b'{"versions": ' + b"[" * 1_000_000,
    "many parts": b'{"versions": [' + b"[]," * 2_000_000 + b"[]]}",
    "no number": changed(lambda made: made.update(x=float("nan"))),
    "another name": changed(lambda made: made.update(name="good")),
    "no name": changed(lambda made: made.pop("name")),
    "no versions": changed(lambda made: made.update(versions={})),
    "two versions": changed(lambda made: made["versions"].update({"2.0.0": {}})),
    "a version of another kind": changed(lambda made: made.update(versions={VERSION: "1.0.0"})),
    "another version": changed(lambda made: made.update(versions={"1.0.1": {}})),
    "two tarballs": changed(lambda made: made["_attachments"].update({"b.tgz": attached(made)})),
    "a provenance": changed(lambda made: made["_attachments"].update({"b.sigstore": {"data": "{}"}})),
    "no tarball": changed(lambda made: made.update(_attachments={"bad.zip": attached(made)})),
    "no data": changed(lambda made: attached(made).pop("data")),
    "no base64": changed(lambda made: attached(made).update(data="&&&&")),
    "half of base64": changed(lambda made: attached(made).update(data=attached(made)["data"][:-3])),
    "base64 in Unicode": changed(lambda made: attached(made).update(data="\u0410" * 4)),
    "another length": changed(lambda made: attached(made).update(length=1)),
    "another shasum": changed(lambda made: dist(made).update(shasum="0" * 40)),
    "another integrity": changed(lambda made: dist(made).update(integrity="sha512-AAAA")),
    "an unknown integrity": changed(lambda made: dist(made).update(integrity="md5-AAAA")),
    "an integrity of another kind": changed(lambda made: dist(made).update(integrity=7)),
    "a tag of another version": changed(lambda made: made.update({"dist-tags": {"latest": "2.0.0"}})),
    "a tag that is a version": changed(lambda made: made.update({"dist-tags": {"1.0.0": VERSION}})),
    "a surrogate for a tag": changed(lambda made: made.update({"dist-tags": {"\ud800": VERSION}})),
    "nothing but stars": b'{"name": "bad", "users": {"me": true}}',
}
NOT_NAMES = ["Bad", ".bad", "b%00d", "a/../b", "@scope", "@scope/a/b", "-", "b\u0430d", "x" * 215, "x" * 5000]


def nothing_published(hosted: Stack, refused: requests.Response, status: int) -> None:
    assert refused.status_code == status, refused.text
    assert requests.get(f"{hosted.url}/repository/npm/{NAME}", timeout=30).status_code == 404


@pytest.mark.parametrize("case", NOT_PACKAGES)
def test_what_is_no_package_is_refused(hosted: Stack, case: str) -> None:
    body = json.dumps(document(NAME, VERSION, NOT_PACKAGES[case])).encode()
    refused = send(hosted, NAME, body)
    nothing_published(hosted, refused, 422)
    assert refused.json()["error"] == "not_a_package"


@pytest.mark.parametrize("case", NOT_DOCUMENTS)
def test_a_document_that_lies_is_refused(hosted: Stack, case: str) -> None:
    nothing_published(hosted, send(hosted, NAME, NOT_DOCUMENTS[case]), 400)


@pytest.mark.parametrize("name", NOT_NAMES, ids=range(len(NOT_NAMES)))
def test_names_that_npm_would_not_take_are_refused(hosted: Stack, name: str) -> None:
    body = json.dumps(document(name, VERSION, tarball(name, VERSION))).encode()
    assert send(hosted, name, body).status_code in (400, 404)


def test_another_package_inside_is_refused(hosted: Stack) -> None:
    for other in (tarball("good", VERSION), tarball(NAME, "1.0.1")):
        refused = send(hosted, NAME, json.dumps(document(NAME, VERSION, other)).encode())
        nothing_published(hosted, refused, 400)


def test_what_javascript_cannot_show_is_kept_as_it_is(hosted: Stack) -> None:
    body = tarball("odd", VERSION, description="\0 \ud800 \u2302/ \u2028 </script>", tarball="\u2302/x")
    assert send(hosted, "odd", json.dumps(document("odd", VERSION, body)).encode()).status_code == 201
    told = requests.get(f"{hosted.url}/repository/npm/odd", timeout=30).json()
    assert told["description"] == "\0 \ud800 \u2302/ \u2028 </script>"
    assert told["versions"][VERSION]["tarball"] == "\u2302/x"
    assert base64.b64decode(told["versions"][VERSION]["dist"]["integrity"].removeprefix("sha512-"))
