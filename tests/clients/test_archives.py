"""curl downloads archives and releases as a code host keeps them: tags for ever, branches for a while, no pages."""

from __future__ import annotations

import io
import tarfile
from collections.abc import Iterator

import pytest

from tests.clients.curl import Curl
from tests.clients.members import Members

COMMIT = "0123456789abcdef0123456789abcdef01234567"


def archive(text: str) -> bytes:
    body = io.BytesIO()
    with tarfile.open(fileobj=body, mode="w:gz") as writer:
        member = tarfile.TarInfo("tool/README")
        member.size = len(text)
        writer.addfile(member, io.BytesIO(text.encode()))
    return body.getvalue()


@pytest.fixture
def code(members: Members) -> Iterator[Members]:
    """The code host sends its clients to another one, whose bodies have no length."""
    yield members
    members.one.clear()
    members.files.clear()


def keep(code: Members, path: str, body: bytes) -> str:
    """Have the code host keep that; the path, once more."""
    named = f'attachment; filename="tool-{path.rpartition("/")[2]}"'
    code.files.put(f"/codeload/{path}", body, Content_Type="application/x-gzip", Content_Disposition=named)
    code.files.chunked(f"/codeload/{path}")
    code.one.redirect(f"{code.files.url}/codeload/{path}", f"/github/{path}")
    return path


@pytest.mark.parametrize(
    "path",
    [
        "acme/tool/archive/refs/tags/v1.0.0.tar.gz",
        "acme/tool/archive/v1.0.0.tar.gz",
        f"acme/tool/archive/{COMMIT}.tar.gz",
        "acme/tool/releases/download/v1.0.0/tool-linux-amd64.tar.gz",
    ],
)
def test_what_has_a_version_is_downloaded_once(code: Members, curl: Curl, path: str) -> None:
    body = archive(path)
    url = f"{code.url('github')}/{keep(code, path, body)}"
    cold = curl(url)
    assert (cold.status, cold.body) == (200, body)
    code.settle(url)
    with code.stopped():
        warm = curl(f"{code.stack.url}/api/v1/remote/github/{path}")
    assert (warm.status, warm.body, warm.headers["X-Cache"]) == (200, body, "HIT")
    assert warm.headers["Content-Disposition"] == f'attachment; filename="{path.rpartition("/")[2]}"'
    assert warm.headers["ETag"] == cold.headers["ETag"]
    assert code.files.count(f"/codeload/{path}") == 1


@pytest.mark.parametrize(
    "path", ["acme/tool/archive/refs/heads/main.tar.gz", "acme/tool/releases/latest/download/tool.tar.gz"]
)
def test_what_moves_is_asked_about_again(code: Members, curl: Curl, path: str) -> None:
    old, new = archive("old"), archive("new")
    url = f"{code.url('github')}/{keep(code, path, old)}"
    assert curl(url).body == old
    code.settle(url)
    keep(code, path, new)
    assert curl(url).body == old
    code.expire("github")
    changed = curl(url)
    assert (changed.body, changed.headers["X-Cache"]) == (new, "EXPIRED")
    code.expire("github")
    with code.stopped():
        stale = curl(url)
    assert (stale.body, stale.headers["X-Cache"]) == (new, "STALE")


def test_a_login_page_is_no_archive(code: Members, curl: Curl) -> None:
    path = "acme/secret/archive/refs/tags/v1.0.0.tar.gz"
    code.one.html(f"/github/{path}")
    answer = curl(f"{code.url('github')}/{path}")
    assert (answer.status, answer.error) == (502, "upstream_invalid")
    code.one.clear()
    body = archive("secret")
    keep(code, path, body)
    assert curl(f"{code.url('github')}/{path}").body == body


@pytest.mark.parametrize("path", ["acme/tool/archive/main.tar.gz", "acme/tool/blob/main/README", "login"])
def test_what_is_neither_is_refused(code: Members, curl: Curl, path: str) -> None:
    assert curl(f"{code.url('github')}/{path}").status == 403
