"""curl through the cache: GET, HEAD, ranges, resumes and conditional requests of a generic remote."""

from __future__ import annotations

import random
from hashlib import sha256
from pathlib import Path

import pytest

from tests.clients.curl import Curl
from tests.clients.dating import backdate
from tests.clients.remote import NextRemote, Remote
from tests.stack import eventually

SIZE = 3 << 20


@pytest.fixture(scope="module")
def odd_names(next_remote: NextRemote) -> Remote:
    """One remote for all names."""
    return next_remote("generic")


def put(remote: Remote, path: str, seed: int = 0, size: int = SIZE) -> bytes:
    """Publish bytes of a generation of their own at upstream."""
    body = random.Random(seed).randbytes(size)
    file = remote.root / path
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(body)
    backdate(remote.root)
    return body


def test_one_download_serves_everyone(curl: Curl, generic_remote: Remote) -> None:
    body = put(generic_remote, "tool/v1.bin")
    direct = curl(f"{generic_remote.upstream.url}/tool/v1.bin")
    before = generic_remote.upstream.count()
    cold, warm = (curl(f"{generic_remote.api}/tool/v1.bin") for _ in range(2))
    for reply in (cold, warm):
        assert (reply.status, reply.sha256) == (200, sha256(body).hexdigest())
        assert reply.headers["Content-Length"] == reply.headers["X-Artifact-Size"] == str(SIZE)
        for name in ("ETag", "Last-Modified"):
            assert reply.headers[name] == direct.headers[name]
    assert [reply.headers["X-Artifact-Source"] for reply in (cold, warm)] == ["remote", "cache"]
    assert [reply.headers["X-Cache"] for reply in (cold, warm)] == ["MISS", "HIT"]
    assert cold.headers["Content-Disposition"] == 'attachment; filename="v1.bin"'
    assert generic_remote.upstream.count() - before == 1
    with generic_remote.upstream.stopped():
        assert curl(f"{generic_remote.url}/tool/v1.bin").body == body


def test_an_upstream_change_is_served_after_expiry(curl: Curl, generic_remote: Remote) -> None:
    url = f"{generic_remote.url}/latest"
    old = put(generic_remote, "latest", seed=1)
    assert curl(url).body == old
    new = put(generic_remote, "latest", seed=2)
    assert curl(url).body == old
    generic_remote.expire()
    changed = curl(url)
    assert (changed.headers["X-Cache"], changed.body) == ("EXPIRED", new)
    generic_remote.expire()
    same = curl(url)
    assert (same.headers["X-Cache"], same.body) == ("REVALIDATED", new)
    assert [hit.status for hit in generic_remote.upstream.hits() if hit.method == "GET"] == [200, 200, 304]


def test_expired_and_upstream_down_is_served_with_a_warning(curl: Curl, generic_remote: Remote) -> None:
    body = put(generic_remote, "latest")
    curl(f"{generic_remote.url}/latest")
    generic_remote.expire()
    with generic_remote.upstream.stopped():
        reply = curl(f"{generic_remote.url}/latest")
        absent = curl(f"{generic_remote.url}/never-asked")
    assert (reply.status, reply.headers["X-Cache"], reply.body) == (200, "STALE", body)
    assert reply.headers["Warning"].startswith("110")
    assert (absent.status, absent.error) == (502, "upstream_unreachable")


def test_head_tells_what_get_gives_and_stores_nothing(curl: Curl, generic_remote: Remote) -> None:
    put(generic_remote, "a.bin")
    url = f"{generic_remote.url}/a.bin"
    cold = curl(url, "--head")
    assert (cold.status, cold.headers["X-Cache"], cold.body[:9]) == (200, "MISS", b"HTTP/1.1 ")
    assert {hit.method for hit in generic_remote.upstream.hits()} == {"HEAD"}
    got = curl(url)
    assert got.headers["X-Cache"] == "MISS"
    warm = curl(url, "--head")
    for name in ("Content-Length", "Content-Type", "ETag", "Last-Modified", "Accept-Ranges"):
        assert warm.headers[name] == curl(url).headers[name]
    for name in ("ETag", "Last-Modified"):
        assert cold.headers[name] == got.headers[name]
    assert curl(f"{generic_remote.url}/absent.bin", "--head").status == 404


@pytest.mark.parametrize(
    ("asked", "first", "last"), [("0-0", 0, 0), ("100-199", 100, 199), ("3145000-", 3145000, SIZE - 1)]
)
def test_a_range_of_a_stored_file(curl: Curl, generic_remote: Remote, asked: str, first: int, last: int) -> None:
    body = put(generic_remote, "a.bin")
    curl(f"{generic_remote.url}/a.bin")
    reply = curl(f"{generic_remote.url}/a.bin", "--range", asked)
    assert (reply.status, reply.body) == (206, body[first : last + 1])
    assert reply.headers["Content-Range"] == f"bytes {first}-{last}/{SIZE}"


def test_odd_ranges(curl: Curl, generic_remote: Remote) -> None:
    body = put(generic_remote, "a.bin")
    url = f"{generic_remote.url}/a.bin"
    cold = curl(url, "--range", "10-19")
    assert cold.body in (body, body[10:20])
    assert cold.status == (200 if cold.body == body else 206)
    eventually(lambda: curl(url).headers["X-Cache"] == "HIT", "stored")
    suffix = curl(url, "--range", "-5")
    assert (suffix.status, suffix.body) == (206, body[-5:])
    beyond = curl(url, "--range", f"{SIZE}-")
    assert (beyond.status, beyond.headers["Content-Range"]) == (416, f"bytes */{SIZE}")
    several = curl(url, "--range", "0-9,20-29")
    assert several.body == body if several.status == 200 else several.parts() == [body[:10], body[20:30]]
    current = curl(url).headers["ETag"]
    fits = curl(url, "--range", "0-9", "--header", f"If-Range: {current}")
    assert (fits.status, fits.body) == (206, body[:10])
    differs = curl(url, "--range", "0-9", "--header", 'If-Range: "other"')
    assert (differs.status, differs.body) == (200, body)
    assert generic_remote.downloads() == {"/a.bin": 1}


def test_clients_that_come_together_share_one_download(curl: Curl, generic_remote: Remote, tmp_path: Path) -> None:
    body = put(generic_remote, "slow/a.bin", size=6 << 20)
    files = [tmp_path / f"{number}.bin" for number in range(8)]
    downloads = [curl.start(f"{generic_remote.url}/slow/a.bin", file) for file in files]
    assert [download.wait(60) for download in downloads] == [0] * len(files)
    assert all(file.read_bytes() == body for file in files)
    assert generic_remote.upstream.count() == 1
    states = [line["cache"] for line in generic_remote.asked()]
    assert (states.count("MISS"), set(states) - {"HIT"}) == (1, {"MISS", "JOINED"})


def test_a_cut_file_is_completed(curl: Curl, generic_remote: Remote, tmp_path: Path) -> None:
    body = put(generic_remote, "a.bin")
    url, file = f"{generic_remote.url}/a.bin", tmp_path / "a.bin"
    curl(url)
    file.write_bytes(body[:1_000_000])
    curl.save(url, file, "--continue-at", "-")
    assert file.read_bytes() == body
    eventually(lambda: [line["status"] for line in generic_remote.asked()] == [200, 206], "logged")
    assert generic_remote.upstream.count() == 1


def test_a_killed_download_is_completed(curl: Curl, generic_remote: Remote, tmp_path: Path) -> None:
    body = put(generic_remote, "slow/a.bin", size=12 << 20)
    url, file = f"{generic_remote.url}/slow/a.bin", tmp_path / "a.bin"
    download = curl.start(url, file)
    try:
        eventually(lambda: file.exists() and file.stat().st_size > 1 << 20, "the first MiB", 60)
    finally:
        download.kill()
        download.wait(10)
    assert file.stat().st_size < len(body)
    curl.save(url, file, "--continue-at", "-")
    assert file.read_bytes() == body
    eventually(lambda: generic_remote.asked()[-1]["status"] == 206, "logged")
    assert generic_remote.upstream.count() == 1


def test_conditional_requests(curl: Curl, generic_remote: Remote, tmp_path: Path) -> None:
    body = put(generic_remote, "a.bin", seed=1)
    url, file, etag = f"{generic_remote.url}/a.bin", tmp_path / "a.bin", tmp_path / "etag"
    remember = ("--etag-save", str(etag), "--remote-time")
    curl.save(url, file, *remember)
    assert file.read_bytes() == body
    assert file.stat().st_mtime == (generic_remote.root / "a.bin").stat().st_mtime
    for condition in (("--etag-compare", str(etag)), ("--time-cond", str(file))):
        unchanged = curl(url, *condition)
        assert (unchanged.status, unchanged.body) == (304, b"")
    new = put(generic_remote, "a.bin", seed=2)
    generic_remote.expire()
    for condition in (("--etag-compare", str(etag)), ("--time-cond", str(file))):
        changed = curl(url, *condition)
        assert (changed.status, changed.body) == (200, new)


@pytest.mark.parametrize(
    ("name", "written"),
    [
        ("libstdc++-1~2.bin", "libstdc++-1~2.bin"),
        ("libstdc++-1~2.bin", "libstdc%2B%2b-1%7E2.bin"),
        ("a b.bin", "a%20b.bin"),
        ("100%.bin", "100%25.bin"),
        ("50%2B.bin", "50%252B.bin"),
        ("scope@v1.bin", "scope%40v1.bin"),
        ("grüße.bin", "gr%C3%BC%C3%9Fe.bin"),
    ],
)
def test_names_reach_upstream_as_they_are(curl: Curl, odd_names: Remote, name: str, written: str) -> None:
    body = put(odd_names, name, seed=sum(name.encode()), size=100)
    assert curl(f"{odd_names.url}/{written}").body == body
    (odd_names.root / name).unlink()
    assert curl(f"{odd_names.url}/{written}").body == body


def test_outside_paths_and_unknown_remotes(curl: Curl, generic_remote: Remote) -> None:
    (generic_remote.root.parent / "secret").write_text("secret", encoding="utf-8")
    for path in ("../secret", "%2e%2e/secret", "a/..%2f..%2fsecret", "a//b", "%00", "a%5cb"):
        assert curl(f"{generic_remote.url}/{path}", "--path-as-is").status in (400, 404)
    assert generic_remote.upstream.count() == 0
    unknown = curl(f"{generic_remote.stack.url}/repository/nobody/a.bin")
    assert (unknown.status, unknown.error) == (404, "unknown_repository")


def test_unknown_credentials_are_ignored_and_go_nowhere(curl: Curl, generic_remote: Remote) -> None:
    body = put(generic_remote, "a.bin", size=100)
    for credentials in (("--user", "me:a-password"), ("--header", "Authorization: Bearer a-password")):
        assert curl(f"{generic_remote.url}/a.bin", *credentials).body == body
        assert curl(f"{generic_remote.url}/absent", *credentials).status == 404
    assert not any(hit.authorization for hit in generic_remote.upstream.hits())
    assert "a-password" not in generic_remote.stack.log()
