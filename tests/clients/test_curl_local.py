"""curl against the local generic repository: publish, fetch, conflicts, removal; who may write."""

from __future__ import annotations

import itertools
import random
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.clients.curl import Curl, Reply
from tests.clients.remote import NextRemote
from tests.stack import Stack

BODY = random.Random(7).randbytes(1 << 20)
_NUMBERS = itertools.count()


@dataclass(frozen=True, slots=True)
class Local:
    """One path nobody has published at yet, and a file to publish there."""

    curl: Curl
    url: str
    api: str
    file: Path
    token: str

    def upload(self, url: str | None = None, token: str | None = None, *options: str) -> Reply:
        """PUT as `curl -T` does."""
        bearer = ("--header", f"Authorization: Bearer {token or self.token}")
        return self.curl(url or self.url, "--upload-file", str(self.file), *bearer, *options)


@pytest.fixture
def local(curl: Curl, stack: Stack, tmp_path: Path) -> Local:
    file = tmp_path / "tool.tgz"
    file.write_bytes(BODY)
    path = f"team/release {next(_NUMBERS)}/tool.tgz".replace(" ", "%20")
    return Local(curl, f"{stack.url}/repository/{path}", f"{stack.url}/api/v1/local/{path}", file, stack.token)


def test_publish_and_fetch(local: Local) -> None:
    assert local.curl(local.url).status == 404
    assert local.upload().status in (200, 201)
    for url in (local.url, local.api):
        got = local.curl(url)
        assert (got.status, got.body) == (200, BODY)
        assert got.headers["ETag"]
        head = local.curl(url, "--head")
        assert (head.status, head.headers["Content-Length"]) == (200, str(len(BODY)))
    assert local.curl(local.api).headers["Content-Type"] == "application/gzip"
    part = local.curl(local.url, "--range", "100-199")
    assert (part.status, part.body) == (206, BODY[100:200])
    etag = local.curl(local.url).headers["ETag"]
    assert local.curl(local.url, "--header", f"If-None-Match: {etag}").status == 304


def test_a_form_is_published_too(local: Local) -> None:
    bearer = ("--header", f"Authorization: Bearer {local.token}")
    reply = local.curl(local.api, "--request", "PUT", "--form", f"file=@{local.file}", *bearer)
    assert reply.status in (200, 201)
    assert local.curl(local.url).body == BODY


def test_an_interrupted_fetch_is_completed(local: Local, tmp_path: Path) -> None:
    local.upload()
    file = tmp_path / "part"
    file.write_bytes(BODY[:1000])
    local.curl.save(local.url, file, "--continue-at", "-")
    assert file.read_bytes() == BODY


def test_basic_carries_the_token_as_its_password(local: Local) -> None:
    reply = local.curl(local.url, "--upload-file", str(local.file), "--user", f"ci:{local.token}")
    assert reply.status in (200, 201)


def test_nobody_writes_without_the_token(local: Local) -> None:
    anonymous = local.curl(local.url, "--upload-file", str(local.file))
    assert (anonymous.status, anonymous.error) == (401, "unauthorized")
    assert "WWW-Authenticate" in anonymous.headers
    assert local.upload(token="wrong").status == 401
    assert local.curl(local.url).status == 404
    local.upload()
    assert local.curl(local.url, "--request", "DELETE").status == 401
    assert local.curl(local.url).body == BODY


def test_published_is_published(local: Local) -> None:
    local.upload()
    local.file.write_bytes(b"something else")
    again = local.upload()
    assert (again.status, again.error) == (409, "already_published")
    assert local.curl(local.url).body == BODY


def test_what_is_deleted_is_gone_and_can_be_published_again(local: Local) -> None:
    bearer = ("--header", f"Authorization: Bearer {local.token}")
    local.upload()
    assert local.curl(local.url, "--request", "DELETE", *bearer).status in (200, 204)
    assert local.curl(local.url).status == 404
    assert local.curl(local.url, "--request", "DELETE", *bearer).status == 404
    local.file.write_bytes(b"second")
    assert local.upload().status in (200, 201)
    assert local.curl(local.url).body == b"second"


def test_a_remote_is_not_written_to(local: Local, next_remote: NextRemote) -> None:
    remote = next_remote("generic")
    for url, status in ((f"{remote.url}/a.bin", 405), (f"{remote.api}/a.bin", 400)):
        assert local.upload(url).status == status
    assert remote.upstream.count() == 0
    assert local.upload(f"{remote.stack.url}/repository/nobody/a.bin").status == 404
    escape = local.upload(f"{remote.stack.url}/repository/team/../../escape", None, "--path-as-is")
    assert escape.status in (400, 404)
