"""Lock files and patterns of each ecosystem, through the formats themselves; then upstream goes away."""

from __future__ import annotations

import base64
import gzip
import hashlib
import io
import json
import tarfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from app.formats.pypi import JSON_V1
from tests.http.node import Node
from tests.prefetch.test_jobs import Ahead
from tests.upstreams import Upstream

PACKAGES = ("pypi", "npm", "cargo", "helm", "apk", "deb")


@pytest.fixture
def ahead(tmp_path: Path, database_url: str, redis_url: str, upstream: Upstream) -> Iterator[Ahead]:
    remotes = {package: {"package": package, "base_url": f"{upstream.url}/{package}"} for package in PACKAGES}
    with Node(tmp_path, database_url, redis_url, {"remotes": remotes}).running() as node:
        yield Ahead(node, upstream)


def archive(**files: bytes) -> bytes:
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz") as tar:
        for name, body in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(body)
            tar.addfile(info, io.BytesIO(body))
    return packed.getvalue()


def python(ahead: Ahead) -> tuple[str, str]:
    """A project of two files, and the sha256 of each."""
    files = {"a-1.0.tar.gz": archive(x=b"1"), "a-1.0-py3-none-any.whl": b"PK\5\6" + bytes(18)}
    digests = [hashlib.sha256(body).hexdigest() for body in files.values()]
    for name, body in files.items():
        ahead.upstream.put(f"/files/{name}", body)
    listed = [
        {"filename": name, "url": f"{ahead.upstream.url}/files/{name}", "hashes": {"sha256": digest}}
        for name, digest in zip(files, digests, strict=True)
    ]
    page = {"meta": {"api-version": "1.0"}, "name": "a", "files": listed}
    ahead.upstream.put("/pypi/simple/a/", json.dumps(page).encode(), Content_Type=JSON_V1)
    return digests[0], digests[1]


def test_requirements(ahead: Ahead) -> None:
    first, second = python(ahead)
    lock = {"kind": "requirements.txt", "text": f"A==1.0 --hash=sha256:{first}\n"}
    told = ahead.done(remote="pypi", lock=lock)
    assert (told["total"], told["failed"]) == (2, 0), told
    chosen = ahead.done(remote="pypi", include_pattern=r"\.whl$")
    assert (chosen["failed"], chosen["stored"]) == (0, 1), chosen
    lock["text"] = f"A==1.0 --hash=sha256:{'0' * 64} --hash=sha256:{second}\n"
    told = ahead.done(remote="pypi", lock=lock)
    assert (told["failed"], told["failures"][0]["error"]) == (1, "unreadable"), told
    ahead.upstream.stop()
    assert ahead.is_here("pypi/simple/a/", Accept=JSON_V1)
    assert ahead.is_here("pypi/packages/a/a-1.0.tar.gz")
    assert ahead.is_here("pypi/packages/a/a-1.0-py3-none-any.whl")


def test_package_lock(ahead: Ahead) -> None:
    tarball = archive(**{"package/package.json": b"{}"})
    ahead.upstream.put("/npm/@team/b/-/b-1.0.0.tgz", tarball)
    integrity = f"sha512-{base64.b64encode(hashlib.sha512(tarball).digest()).decode()}"
    url = f"{ahead.upstream.url}/npm/@team/b/-/b-1.0.0.tgz"
    version = {"name": "@team/b", "version": "1.0.0", "dist": {"tarball": url, "integrity": integrity}}
    document = {"name": "@team/b", "dist-tags": {"latest": "1.0.0"}, "versions": {"1.0.0": version}}
    for path in ("/npm/@team/b", "/npm/@team%2fb", "/npm/@team%2Fb"):
        ahead.upstream.put(path, json.dumps(document).encode(), Content_Type="application/json")
    entry = {
        "version": "1.0.0",
        "resolved": "https://registry.example.org/@team/b/-/b-1.0.0.tgz",
        "integrity": integrity,
    }
    text = json.dumps({"lockfileVersion": 3, "packages": {"node_modules/@team/b": entry}})
    told = ahead.done(remote="npm", lock={"kind": "package-lock.json", "text": text})
    assert (told["total"], told["failed"]) == (2, 0), told
    assert ahead.done(remote="npm", include_pattern="b-1", indexes=["@team/b"])["failed"] == 0
    ahead.upstream.stop()
    assert ahead.is_here("npm/@team/b/-/b-1.0.0.tgz")


def test_cargo_lock(ahead: Ahead) -> None:
    crate = archive(x=b"crate")
    checksum = hashlib.sha256(crate).hexdigest()
    dl = f"{ahead.upstream.url}/cargo/dl"
    ahead.upstream.put("/cargo/config.json", json.dumps({"dl": dl}).encode())
    line = {"name": "abcd", "vers": "1.0.0", "deps": [], "cksum": checksum, "features": {}, "yanked": False}
    ahead.upstream.put("/cargo/ab/cd/abcd", json.dumps(line).encode() + b"\n")
    ahead.upstream.put("/cargo/dl/abcd/1.0.0/download", crate)
    text = f'[[package]]\nname="abcd"\nversion="1.0.0"\nsource="registry+https://x"\nchecksum="{checksum}"\n'
    told = ahead.done(remote="cargo", lock={"kind": "Cargo.lock", "text": text})
    assert (told["total"], told["failed"]) == (3, 0), told
    told = ahead.done(remote="cargo", include_pattern="abcd")
    assert (told["done"], told["failed"]) == (2, 0), told
    ahead.upstream.stop()
    assert ahead.is_here(f"cargo/api/v1/crates/abcd/1.0.0/{checksum}/download")


def test_charts(ahead: Ahead) -> None:
    chart = archive(**{"demo/Chart.yaml": b"apiVersion: v2\nname: demo\nversion: 1.0.0\n"})
    digest = hashlib.sha256(chart).hexdigest()
    ahead.upstream.put("/helm/charts/demo-1.0.0.tgz", chart)
    ahead.upstream.put(
        "/helm/index.yaml",
        f"""apiVersion: v1
entries:
  demo:
  - {{name: demo, version: 1.0.0, digest: {digest}, urls: [charts/demo-1.0.0.tgz]}}
  - {{name: demo, version: 0.9.0, digest: {digest}, urls: [charts/demo-0.9.0.tgz]}}
generated: "2026-01-01T00:00:00Z"
""".encode(),
        Content_Type="text/yaml",
    )
    told = ahead.done(remote="helm", include_pattern=r"1\.0\.0")
    assert (told["total"], told["failed"]) == (2, 0), told
    ahead.upstream.stop()
    assert ahead.is_here("helm/index.yaml")


def signature() -> bytes:
    """What stands before a signed APKINDEX: a gzip of its own, a tar without an end mark."""
    member = tarfile.TarInfo(".SIGN.RSA256.somebody.rsa.pub")
    member.size = 512
    return gzip.compress(member.tobuf(tarfile.USTAR_FORMAT) + b"s" * 512)


@pytest.mark.parametrize("signed", [False, True])
def test_alpine(ahead: Ahead, signed: bool) -> None:
    index = signature() * signed + archive(
        DESCRIPTION=b"x", APKINDEX=b"C:Q1x\nP:one\nV:1.0-r0\n\nC:Q1y\nP:two\nV:2.0-r0\n"
    )
    ahead.upstream.put("/apk/main/x86_64/APKINDEX.tar.gz", index)
    ahead.upstream.put("/apk/main/x86_64/two-2.0-r0.apk", b"two")
    told = ahead.done(remote="apk", include_pattern="/two-", indexes=["main/x86_64/APKINDEX.tar.gz"])
    assert (told["total"], told["failed"]) == (2, 0), told
    again = ahead.done(remote="apk", include_pattern="/two-")
    assert (again["total"], again["stored"]) == (2, 0), again
    ahead.upstream.put("/apk/edge/x86_64/APKINDEX.tar.gz", gzip.compress(b"no tar"))
    told = ahead.done(remote="apk", include_pattern="x", indexes=["edge/x86_64/APKINDEX.tar.gz"])
    assert told["failures"][0]["error"] == "unreadable", told


def test_debian(ahead: Ahead) -> None:
    digest = hashlib.sha256(b"a").hexdigest()
    packages = f"Package: a\nFilename: pool/a_1_amd64.deb\nSize: 1\nSHA256: {digest}\n\n".encode()
    path = "dists/s/main/binary-amd64/Packages"
    listed = f" {hashlib.sha256(packages).hexdigest()} {len(packages)} main/binary-amd64/Packages"
    ahead.upstream.put("/deb/dists/s/Release", f"Suite: s\nSHA256:\n{listed}\n".encode())
    ahead.upstream.put(f"/deb/{path}", packages)
    ahead.upstream.put("/deb/pool/a_1_amd64.deb", b"a")
    release = ahead.done(remote="deb", include_pattern=r"a_.*\.deb$", indexes=["dists/s/Release"])
    assert (release["total"], release["failed"]) == (3, 0), release
    told = ahead.done(remote="deb", include_pattern=r"a_.*\.deb$", indexes=[path])
    assert (told["total"], told["failed"]) == (2, 0), told
