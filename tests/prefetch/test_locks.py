"""What each lock file pins, by the paths of its repository; what is wrong with one is said of its line."""

from __future__ import annotations

import base64
import contextlib
import hashlib
import io
import json
import time

import pytest

from app.formats import FORMATS
from app.prefetch import images, requirements
from app.prefetch.rules import LOCKS
from app.prefetch.wanted import Lock, Task, Wanted, below, task
from app.resource import HERE, Ask, Kind, Repository

A, B = "a" * 64, "b" * 64


def read(kind: str, text: str, *platforms: str, **more: object) -> list[Wanted]:
    package, reader = LOCKS[kind]
    repository = Repository("up", Kind.REMOTE, package, base_urls=("https://registry.example.org",), **more)  # type: ignore[arg-type]
    return list(reader(Lock(text, platforms), repository))


def test_requirements() -> None:
    text = f"""
--index-url https://pypi.example.org/simple
# by pip-compile
Some_Name[extra]==1.0 ; python_version > "3" \\
    --hash=sha256:{A} \\
    --hash=sha256:{B}  # of the wheel
other==2 --hash=sha256:{B}
"""
    found = read("requirements.txt", text)
    assert [(each.path, each.about) for each in found] == [
        ("simple/some-name/", f"{A} {B}"),
        ("simple/other/", B),
    ]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("a==1", "line 1: a has no hash"),
        ("\na==1 --hash=md5:00", "line 2: a has no sha256"),
        ("-r other.txt", "line 1: names a file"),
        (f"a @ https://example.org/a.whl --hash=sha256:{A}", "line 1: a is at an address"),
        ("==", "line 1: is no requirement"),
    ],
)
def test_requirements_that_pin_nothing(text: str, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        read("requirements.txt", text)


def test_files_of_a_page_are_those_with_the_hashes() -> None:
    page = {
        "files": [
            {"url": "../../packages/a/a-1.tar.gz", "hashes": {"sha256": A}},
            {"url": "../../packages/a/a-1.whl", "hashes": {"sha256": B}, "core-metadata": {"sha256": A}},
            {"url": "../../packages/a/a-2.whl", "hashes": {"sha256": "c" * 64}},
        ]
    }
    wanted = Wanted("simple/a/", then=requirements.STEP, about=f"{A} {B}")
    resource = FORMATS["generic"].resolve(Repository("up", Kind.REMOTE), Ask("GET", "up", "simple/a/"))
    found = list(requirements.files(wanted, resource, io.BytesIO(json.dumps(page).encode())))
    assert [each.path for each in found] == [
        "packages/a/a-1.tar.gz",
        "packages/a/a-1.whl",
        "packages/a/a-1.whl.metadata",
    ]
    missing = Wanted("simple/a/", about="d" * 64)
    with pytest.raises(ValueError, match="of no file that the index lists"):
        list(requirements.files(missing, resource, io.BytesIO(json.dumps(page).encode())))
    with pytest.raises(ValueError, match="not JSON"):
        list(requirements.files(missing, resource, io.BytesIO(b"<html>log in</html>")))


def test_package_lock() -> None:
    sha = hashlib.sha512(b"x").digest()
    text = json.dumps(
        {
            "lockfileVersion": 3,
            "packages": {
                "": {"name": "mine"},
                "node_modules/@scope/a": {
                    "version": "1.0.0",
                    "resolved": "https://registry.example.org/@scope%2fa/-/a-1.0.0.tgz",
                    "integrity": f"sha1-AAAA sha512-{base64.b64encode(sha).decode()}",
                },
                "node_modules/b/node_modules/c": {"version": "2.0.0"},
                "node_modules/d": {"version": "1", "resolved": "git+ssh://git@example.org/d.git#0"},
                "node_modules/e": {"link": True, "resolved": "packages/e"},
                "node_modules/f": {"version": "1", "inBundle": True},
            },
        }
    )
    found = read("package-lock.json", text)
    assert [(each.path, each.digest) for each in found] == [
        ("@scope/a", ""),
        ("@scope/a/-/a-1.0.0.tgz", f"sha512:{sha.hex()}"),
        ("c", ""),
        ("c/-/c-2.0.0.tgz", ""),
    ]
    with pytest.raises(ValueError, match="lockfileVersion 2 or 3"):
        read("package-lock.json", '{"lockfileVersion": 1, "dependencies": {}}')
    with pytest.raises(ValueError, match="not JSON"):
        read("package-lock.json", "[" * 100_000)


def test_cargo_lock() -> None:
    text = f"""
version = 4
[[package]]
name = "mine"
version = "0.1.0"
[[package]]
name = "Serde_json"
version = "1.0.1"
source = "registry+https://example.org/index"
checksum = "{A}"
[[package]]
name = "abc"
version = "2.0.0"
source = "sparse+https://example.org/index/"
checksum = "{B}"
[[package]]
name = "of-git"
version = "2.0.0"
source = "git+https://example.org/x#0"
"""
    found = read("Cargo.lock", text)
    assert [(each.path, each.digest) for each in found] == [
        ("config.json", ""),
        ("se/rd/serde_json", ""),
        (f"api/v1/crates/Serde_json/1.0.1/{A}/download", f"sha256:{A}"),
        ("3/a/abc", ""),
        (f"api/v1/crates/abc/2.0.0/{B}/download", f"sha256:{B}"),
    ]
    with pytest.raises(ValueError, match="not TOML"):
        read("Cargo.lock", "=")
    with pytest.raises(ValueError, match="no crate's name"):
        read("Cargo.lock", '[[package]]\nname = "../x"\nversion = "1"\nsource = "registry+x"\n')


def test_cargo_lock_of_other_versions_and_hands() -> None:
    text = f"""# by cargo
[root]
name = "mine"
[[package]]
name = 'a' # ours
version="1.0.0"\r
source = "registry+x"
checksum = "{A}"
dependencies = [
 "b 1.0.0 (registry+x)",
]
[metadata]
"checksum b 1.0.0 (registry+x)" = "{B}"
[[patch.unused]]
name = "c"
version = "1"
source = "registry+x"
"""
    assert [each.path for each in read("Cargo.lock", text)] == [
        "config.json",
        "1/a",
        f"api/v1/crates/a/1.0.0/{A}/download",
    ]
    for wrong in ("<<<<<<< ours", "name = 1", 'source = "registry+\\u0078"'):
        with pytest.raises(ValueError, match="line 2: is not TOML as cargo"):
            read("Cargo.lock", f"[[package]]\n{wrong}\n")


def test_a_cargo_lock_holds_nobody_for_long() -> None:
    for text in ("a" + ".a" * 20_000 + "=1", "[" * 1_000_000, "[[package]]\nname" + " " * 1_000_000):
        began = time.process_time()
        with contextlib.suppress(ValueError):
            read("Cargo.lock", text)
        assert time.process_time() - began < 2


def test_go_sum() -> None:
    sums = f"h1:{'A' * 43}="
    lines = ("Lib v1.0.0", "Lib v1.0.0/go.mod", "x v0.1.0-RC1/go.mod")
    text = "".join(f"example.org/{line} {sums}\n" for line in lines)
    assert {each.path for each in read("go.sum", text)} == {
        "example.org/!lib/@v/v1.0.0.info",
        "example.org/!lib/@v/v1.0.0.mod",
        "example.org/!lib/@v/v1.0.0.zip",
        "example.org/x/@v/v0.1.0-!r!c1.mod",
    }
    with pytest.raises(ValueError, match="line 2: is no line"):
        read("go.sum", f"example.org/x v1.0.0 {sums}\nnonsense")


def test_images() -> None:
    text = f"busybox\nteam/app:1.2 # ours\nregistry.example.org/app@sha256:{A}\nteam/app:3@sha256:{B}\n"
    found = read("images", text, "linux/amd64")
    assert [each.path for each in found] == [
        "v2/busybox/manifests/latest",
        "v2/team/app/manifests/1.2",
        f"v2/app/manifests/sha256:{A}",
        f"v2/team/app/manifests/sha256:{B}",
    ]
    assert {each.about for each in found} == {"linux/amd64"}
    hub = read("images", "docker.io/library/busybox:1", serves=("docker.io",))
    assert [each.path for each in hub] == ["v2/library/busybox/manifests/1"]


@pytest.mark.parametrize(
    ("text", "platforms", "said"),
    [
        ("quay.example.org/x", (), "line 1: quay.example.org is not the registry"),
        ("a\nUPPER:1", (), "line 2: this is no name"),
        ("a:" + "x" * 200, (), "line 1: this is no tag"),
        ("a", ("amd64",), "no platform"),
    ],
)
def test_images_that_are_none(text: str, platforms: tuple[str, ...], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        read("images", text, *platforms)


def test_an_index_of_images_is_followed_for_the_platforms_asked_for() -> None:
    arm = {"digest": f"sha256:{A}", "platform": {"os": "linux", "architecture": "arm", "variant": "v7"}}
    amd = {"digest": f"sha256:{B}", "platform": {"os": "linux", "architecture": "amd64"}}
    body = json.dumps({"manifests": [arm, amd]}).encode()
    resource = FORMATS["docker"].resolve(
        Repository("up", Kind.REMOTE, "docker"), Ask("GET", "up", "v2/x/manifests/latest")
    )
    for asked, paths in (("linux/arm/v7", [A]), ("linux/amd64 linux/arm", [A, B]), ("", [A, B])):
        found = images.named(Wanted("v2/x/manifests/latest", about=asked), resource, io.BytesIO(body))
        assert [each.path for each in found] == [f"v2/x/manifests/sha256:{each}" for each in paths]
    body = json.dumps(
        {
            "config": {"digest": f"sha256:{A}"},
            "layers": [{"digest": f"sha256:{B}"}, {"digest": f"sha256:{A}", "urls": ["https://example.org"]}],
        }
    ).encode()
    found = images.named(Wanted("v2/x/manifests/latest"), resource, io.BytesIO(body))
    assert [each.path for each in found] == [f"v2/x/blobs/sha256:{B}", f"v2/x/blobs/sha256:{A}"]


@pytest.mark.parametrize(
    ("url", "path"),
    [
        ("../../packages/a/a-1%2B2.whl#sha256=00", "packages/a/a-1+2.whl"),
        ("/packages/a", "packages/a"),
        (f"{HERE}/x/-/x-1.tgz", "x/-/x-1.tgz"),
        ("https://elsewhere.example.org/a", None),
        ("../../../../etc/passwd", "etc/passwd"),
        ("//elsewhere.example.org/a", None),
        ("a%2f%2e%2e%2fb", None),
        ("http://[", None),
    ],
)
def test_where_a_document_points(url: str, path: str | None) -> None:
    assert below("simple/a/", url) == path


def test_a_task_is_kept_as_text() -> None:
    whole = Task([Wanted("a", "b", "sha256:c", "d", "e\n"), Wanted("f", held=True)], ("m",), "p", ("linux/amd64",))
    assert task(whole.text()) == whole
