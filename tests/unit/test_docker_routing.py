"""Which repository a path below /v2/ means, and a catalog's pages: the pure parts of both, as tables."""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence
from types import MappingProxyType

import pytest

from app.errors import NotFound
from app.repositories import Repositories
from app.resource import Kind, Repository
from app.web import client, docker, images

PROXIES = (ipaddress.ip_network("10.0.0.0/8"),)


def known(*remotes: Repository) -> Repositories:
    return Repositories(MappingProxyType({each.name: each for each in remotes}), {}, {}, "")


def image(name: str, **more: object) -> Repository:
    return Repository(name, Kind.REMOTE, "docker", **more)  # type: ignore[arg-type]


PLAIN = known(image("hub", serves=("docker.io",)), image("quay", serves=("quay.io", "quay.example:5000")))
HOSTED = known(image("hub"), image("a", hosts=("a.example",)), image("b", hosts=("a.example:5000", "b.example")))
FALLBACK = known(image("hub"), image("any", default=True), image("q", serves=("q.example",), hosts=("h.example",)))

PACKAGES = (Repository("alpine", Kind.REMOTE, "apk"), Repository("library", Kind.LOCAL))
SHADED = known(image("any", default=True), image("q", serves=("q.example",), hosts=("h.example",)), *PACKAGES)
NAMED = known(image("hub", serves=("docker.io",)), *PACKAGES)
PUSHED = known(image("hub", serves=("docker.io",)), Repository("library", Kind.LOCAL, "docker"))

X = "library/x/manifests/1"
GIT = "alpine/git/manifests/1"


@pytest.mark.parametrize(
    ("repositories", "path", "namespace", "hosts", "expected"),
    [
        # its name in the path, which wins
        (PLAIN, f"hub/{X}", None, (), ("hub", f"v2/{X}")),
        (PLAIN, f"hub/{X}", "quay.io", (), ("hub", f"v2/{X}")),
        (PLAIN, f"hub/{X}", "nobody.example", (), ("hub", f"v2/{X}")),
        (HOSTED, f"hub/{X}", None, ("a.example",), ("hub", f"v2/{X}")),
        (FALLBACK, f"hub/{X}", None, (), ("hub", f"v2/{X}")),
        (PLAIN, "hub", None, (), ("hub", "v2/")),
        # ?ns=
        (PLAIN, X, "docker.io", (), ("hub", f"v2/{X}")),
        (PLAIN, X, "DOCKER.io", (), ("hub", f"v2/{X}")),
        (PLAIN, X, "quay.IO", (), ("quay", f"v2/{X}")),
        (PLAIN, X, "quay.example:5000", (), ("quay", f"v2/{X}")),
        (PLAIN, X, "quay.example", (), None),
        (PLAIN, X, "quay.example:5001", (), None),
        (PLAIN, X, "docker.io:443", (), None),
        (PLAIN, X, "", (), None),
        (PLAIN, X, "http://docker.io", (), None),
        (FALLBACK, X, "q.example", ("h.example",), ("q", f"v2/{X}")),
        (FALLBACK, X, "nobody.example", ("h.example",), None),  # never another registry's image under this name
        # the host's name
        (HOSTED, X, None, ("a.example",), ("a", f"v2/{X}")),
        (HOSTED, X, None, ("a.example:5000", "a.example"), ("b", f"v2/{X}")),
        (HOSTED, X, None, ("a.example:5001", "a.example"), ("a", f"v2/{X}")),
        (HOSTED, X, None, ("b.example:80", "b.example"), ("b", f"v2/{X}")),
        (HOSTED, X, None, ("c.example",), None),
        (FALLBACK, X, None, ("h.example",), ("q", f"v2/{X}")),
        # the default
        (FALLBACK, X, None, (), ("any", f"v2/{X}")),
        (FALLBACK, X, None, ("c.example",), ("any", f"v2/{X}")),
        # a repository of packages shades nothing that answers, and is named where nothing does
        (SHADED, GIT, None, (), ("any", f"v2/{GIT}")),
        (SHADED, X, None, ("c.example",), ("any", f"v2/{X}")),
        (SHADED, GIT, "q.example", (), ("q", f"v2/{GIT}")),
        (SHADED, GIT, None, ("h.example",), ("q", f"v2/{GIT}")),
        (SHADED, f"q/{GIT}", None, (), ("q", f"v2/{GIT}")),
        (SHADED, GIT, "nobody.example", ("h.example",), ("alpine", "v2/git/manifests/1")),
        (NAMED, GIT, "docker.io", (), ("hub", f"v2/{GIT}")),
        (NAMED, GIT, None, ("h.example",), ("alpine", "v2/git/manifests/1")),
        # nobody pushes what stands for a registry's own image
        (PUSHED, X, "docker.io", (), ("hub", f"v2/{X}")),
        (PUSHED, X, "registry.example", (), ("library", "v2/x/manifests/1")),
        (PUSHED, X, None, (), ("library", "v2/x/manifests/1")),
        # nothing says which
        (PLAIN, X, None, (), None),
        (known(), X, "docker.io", ("docker.io",), None),
    ],
)
def test_which_repository(
    repositories: Repositories,
    path: str,
    namespace: str | None,
    hosts: tuple[str, ...],
    expected: tuple[str, str] | None,
) -> None:
    if expected is None:
        with pytest.raises(NotFound, match=r"no repository") as caught:
            docker.pick(repositories, path, namespace, hosts)
        assert caught.value.code == "unknown_repository"
        assert (namespace if namespace is not None else "library") in caught.value.message
    else:
        found = docker.pick(repositories, path, namespace, hosts)
        assert (found.repository.name, found.path) == expected


@pytest.mark.parametrize(
    ("peer", "host", "forwarded", "hosts"),
    [
        ("203.0.113.9", "A.example", "", ("a.example",)),
        ("203.0.113.9", "a.example:5000", "", ("a.example:5000", "a.example")),
        ("203.0.113.9", "[::1]:5000", "", ("[::1]:5000", "[::1]")),
        ("203.0.113.9", "[::1]", "", ("[::1]",)),
        ("203.0.113.9", "", "", ()),
        ("203.0.113.9", "a.example", "b.example", ("a.example",)),  # a stranger may say what it likes
        ("10.0.0.1", "a.example", "B.example:80", ("b.example:80", "b.example")),
        ("10.0.0.1", "a.example", "b.example, c.example", ("c.example",)),  # the left is what its client forged
        ("10.0.0.1", "a.example", "b.example, ", ("a.example",)),
        ("10.0.0.1", "a.example", "", ("a.example",)),
        ("", "a.example", "b.example", ("b.example",)),  # a unix socket
    ],
)
def test_the_host_that_a_client_asked(peer: str, host: str, forwarded: str, hosts: tuple[str, ...]) -> None:
    environ = {"REMOTE_ADDR": peer, "HTTP_HOST": host, "HTTP_X_FORWARDED_HOST": forwarded}
    assert client.hosts(environ, PROXIES) == hosts


STORED = {"a": ["x", "y/z"], "a-b": ["x"], "a.c": ["m"], "b": [], "c": ["x"]}
ORDER = ["a-b/x", "a.c/m", "a/x", "a/y/z", "c/x"]  # of the bytes: "-" < "." < "/"


def names(repository: str, after: str, limit: int) -> Sequence[str]:
    return [name for name in STORED[repository] if name > after][:limit]


@pytest.mark.parametrize("size", [1, 2, 3, 4, 5, 6])
def test_the_pages_of_a_catalog_are_all_of_it_in_order(size: int) -> None:
    found: list[str] = []
    while one := images.page(STORED, found[-1] if found else "", size, names):
        assert len(one) <= size
        found += one
    assert found == sorted(ORDER) == ORDER


@pytest.mark.parametrize(
    ("last", "rest"),
    [("", 0), ("a", 0), ("a-b", 0), ("a-b/", 0), ("a-b/x", 1), ("a.", 1), ("a/w", 2), ("a/x", 3), ("a/x/q", 3),
     ("a0", 4), ("c/x", 5), ("zzz", 5)],
)  # fmt: skip
def test_a_page_begins_after_a_name_that_need_not_exist(last: str, rest: int) -> None:
    assert images.page(STORED, last, 9, names) == ORDER[rest:]


def test_an_empty_page_reads_nothing() -> None:
    def never(repository: str, after: str, limit: int) -> Sequence[str]:
        raise AssertionError

    assert images.page(STORED, "", 0, never) == []


def test_however_pages_are_chosen_the_names_are_read_once_in_a_while() -> None:
    now, asked, stored = 100.0, [], ["a", "b", "c/d"]

    def read(repository: str, after: str, limit: int) -> Sequence[str]:
        asked.append(repository)
        return [name for name in stored if name > after][:limit]

    recent = images.Recent(read, lambda: now)
    for after, limit, expected in (("", 9, stored), ("a", 1, ["b"]), ("aa", 9, ["b", "c/d"]), ("z", 9, [])):
        assert list(recent.names("r", after, limit)) == expected
    assert asked == ["r"]
    assert list(recent.names("s", "", 1)) == ["a"]
    stored.append("e")
    now += images.RECENT - 0.1
    assert list(recent.names("r", "b", 9)) == ["c/d"]
    now += 0.1
    assert list(recent.names("r", "b", 9)) == ["c/d", "e"]
    now -= 3600
    assert list(recent.names("r", "", 9)) == stored
    assert asked == ["r", "s", "r", "r"]


def test_of_a_huge_repository_only_the_page_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(images, "HELD", 3)
    stored = ["a", "b", "c", "d", "e"]
    recent = images.Recent(lambda _, after, limit: [name for name in stored if name > after][:limit], lambda: 0.0)
    assert list(recent.names("r", "c", 9)) == ["d", "e"]
    assert list(recent.names("r", "", 4)) == ["a", "b", "c", "d"]
