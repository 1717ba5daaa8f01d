"""What apk's and apt's indexes are built from: the same files make the same bytes, and a lost description is read
again."""

from __future__ import annotations

import hashlib
import io
import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import nullcontext
from email.utils import formatdate
from pathlib import Path
from typing import BinaryIO, cast

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from marshmallow import ValidationError

from app.errors import Conflict, NotFound, Unprocessable
from app.formats import apk_signature
from app.hosting import apk, deb, deb_index, pypi, rpm
from app.hosting.base import Build, Contents, Described, Host, Item
from app.repositories.keys import LocalSchema
from app.resource import Kind, Repository, Signing
from app.stores.publications import Child
from tests.hosting.alpine import Alpine
from tests.hosting.conftest import Keys
from tests.hosting.debian import Debian

NOW = 1_700_000_000.0


class Present(dict[str, bytes]):
    """Contents of which a build reads the index files that are there."""

    def open(self, path: str) -> BinaryIO:
        if path not in self:
            raise NotFound("no such file", code="file_not_found")
        return io.BytesIO(self[path])


def described(host: Host, path: str, body: bytes, tmp_path: Path) -> Described:
    (tmp_path / "package").write_bytes(body)
    found = host.describe(path, tmp_path / "package")
    assert found is not None
    return found


def built(
    host: Host,
    repository: Repository,
    scope: str,
    items: Sequence[Item],
    tmp_path: Path,
    before: Mapping[str, bytes] | None = None,
    now: float = NOW,
) -> dict[str, bytes]:
    """Every index file by its path, in the order of their making; `before` are those that are there."""
    numbers = itertools.count()

    def scratch() -> Path:
        path = tmp_path / f"scratch{next(numbers)}"
        path.write_bytes(b"")
        return path

    build = Build(repository, scope, items, cast(Contents, Present(before or {})), scratch, now)
    return {
        each.path: each.body if isinstance(each.body, bytes) else each.body.read_bytes() for each in host.build(build)
    }


def items(host: Host, packages: dict[str, bytes], tmp_path: Path) -> list[Item]:
    return [
        Item(path, len(body), hashlib.sha256(body).hexdigest(), NOW, described(host, path, body, tmp_path).about)
        for path, body in sorted(packages.items())
    ]


def test_an_apk_index_is_the_same_for_the_same_packages(tmp_path: Path, keys: Keys) -> None:
    packages = {f"x86_64/{each.file}": each.body for each in (Alpine("a"), Alpine("b", arch="noarch"))}
    found = items(apk.HOST, packages, tmp_path)
    repository = Repository("team", Kind.LOCAL, "apk", description="é" * 300, signing=Signing(keys.rsa))
    once = built(apk.HOST, repository, "x86_64", found, tmp_path)
    assert list(once) == ["x86_64/team.rsa.pub", "x86_64/APKINDEX.tar.gz"]
    assert once == built(apk.HOST, repository, "x86_64", found, tmp_path)
    assert list(built(apk.HOST, repository, "x86_64", [], tmp_path)) == list(once)


def test_a_debs_index_is_the_same_for_the_same_packages(tmp_path: Path) -> None:
    packages = {
        f"pool/s/{component}/{each.file}": each.body
        for component in ("main", "x")
        for each in (Debian("a"), Debian("b", arch="all"), Debian("c", arch="armhf"))
    }
    found = items(deb.HOST, packages, tmp_path)
    repository = Repository("team", Kind.LOCAL, "deb", description="two\nlines")
    once = built(deb.HOST, repository, "s", found, tmp_path)
    assert once == built(deb.HOST, repository, "s", found, tmp_path)
    assert len(once) == 2 * 3 * 3 * 2 + 1
    assert list(once)[-1] == "dists/s/Release"  # it names the others
    assert once["dists/s/Release"].decode().split("SHA256:")[0].splitlines() == [
        *("Origin: team", "Label: team", "Suite: s", "Codename: s", "Date: Tue, 14 Nov 2023 22:13:20 UTC"),
        *("Architectures: all amd64 armhf", "Components: main x", "Description: two lines", "Acquire-By-Hash: yes"),
    ]
    assert built(deb.HOST, repository, "s", [], tmp_path) == {}
    emptied = built(deb.HOST, repository, "s", [], tmp_path, once)
    plain = {path for path in once if "by-hash" not in path}
    assert {path for path in emptied if "by-hash" not in path} == plain
    assert {emptied[path] for path in plain if path.endswith("Packages")} == {b""}


def test_a_component_and_an_architecture_go_with_their_last_package(tmp_path: Path) -> None:
    """Where others stay: else a branch's component is built for ever, and in the end no other has room."""
    repository = Repository("team", Kind.LOCAL, "deb")
    packages = {
        f"pool/s/main/{Debian('a').file}": Debian("a").body,
        f"pool/s/branch/{Debian('b', arch='armhf').file}": Debian("b", arch="armhf").body,
    }
    found = items(deb.HOST, packages, tmp_path)
    before = built(deb.HOST, repository, "s", found, tmp_path)
    assert b"Architectures: amd64 armhf\nComponents: branch main\n" in before["dists/s/Release"]
    left = [each for each in found if "/main/" in each.path]
    after = built(deb.HOST, repository, "s", left, tmp_path, before)
    assert b"Architectures: amd64\nComponents: main\n" in after["dists/s/Release"]
    assert not any("branch" in path or "armhf" in path for path in after)


@pytest.mark.parametrize(
    ("host", "scope", "path", "says"),
    [
        (deb.HOST, "s", "dists/s/Release", lambda now: f"\nDate: {formatdate(now, usegmt=True)[:-3]}UTC\n"),
        (rpm.HOST, "", "repodata/repomd.xml", lambda now: f"<revision>{now:.0f}</revision>"),
    ],
)
def test_an_index_is_never_older_than_the_one_before(
    host: Host, scope: str, path: str, says: Callable[[float], str], tmp_path: Path
) -> None:
    """apt keeps what it has; and the clocks of two nodes differ. What no client took is not counted on."""
    package = Item("pool/s/main/a_1.0-1_amd64.deb", 1, "00" * 32, NOW, "amd64\nPackage: a\n")
    found = [package] if host is deb.HOST else []
    repository = Repository("team", Kind.LOCAL, "deb")
    edition: Mapping[str, bytes] = {}
    for now, said in ((NOW, NOW), (NOW - 60, NOW), (NOW + 1, NOW + 1), (NOW - 9000, NOW - 9000)):
        edition = built(host, repository, scope, found, tmp_path, edition, now)
        assert says(said) in edition[path].decode()


class Lists(Present):
    """Contents of which one distribution's Release is seen, the lists that it names, and whether they are full."""

    def __init__(self, components: str = "", architectures: str = "", *, full: bool = True) -> None:
        super().__init__()
        if components:
            self["dists/s/Release"] = f"Components: {components}\nArchitectures: {architectures}\n".encode()
        self.lists, self.full = set(itertools.product(components.split(), architectures.split())), full

    def find(self, path: str) -> object:
        _, _, component, arch, _ = path.split("/")
        return (component, arch.removeprefix("binary-")) in self.lists or None

    def items(self, scope: str) -> Iterator[str]:  # type: ignore[override]
        return iter(("a",) if self.full else ())


@pytest.mark.parametrize(
    ("component", "arch", "fits"), [("c1", "a1", 1), ("c1", "a9", 1), ("x", "a1", 1), ("x", "a9", 0)]
)
def test_a_distribution_has_only_so_many_lists(
    monkeypatch: pytest.MonkeyPatch, component: str, arch: str, fits: int
) -> None:
    monkeypatch.setattr(deb_index, "MOST", 12)
    lists = "c0 c1 c2", "a0 a1 a2"
    contents, emptied = cast(Contents, Lists(*lists)), cast(Contents, Lists(*lists, full=False))
    with nullcontext() if fits else pytest.raises(Conflict, match="16 lists"):
        deb_index.require_room(contents, "s", component, arch)
    deb_index.require_room(cast(Contents, Lists()), "s", component, arch)
    deb_index.require_room(emptied, "s", component, arch)  # lists of nothing go with the next package


class Published:
    """Contents in which something is published, but nothing by these names."""

    def scopes(self, limit: int) -> tuple[str, ...]:
        return ("x86_64",)

    def items(self, scope: str) -> Iterator[Item]:
        return iter(())

    def children(self, directory: str, limit: int) -> tuple[Child, ...]:
        return ()


@pytest.mark.parametrize(
    ("host", "path"),
    [
        (apk.HOST, "mistyped/x86_64/APKINDEX.tar.gz"),
        (deb.HOST, "dists/mistyped/Release"),
        (rpm.HOST, "repodata/repomd.xml"),
        (pypi.HOST, "simple/index.html"),
    ],
)
def test_no_empty_index_is_made_that_is_not_told(
    host: Host, path: str, keys: Keys, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Anybody may ask for one, and apk's is packed and signed."""

    def scratch() -> Path:
        raise AssertionError

    signing = Signing(keys.rsa) if host is apk.HOST else Signing()
    contents = cast(Contents, Published())
    assert (
        host.blank(path, Build(Repository("t", Kind.LOCAL, signing=signing), "", (), contents, scratch, NOW)) is None
    )


@pytest.mark.parametrize(
    ("host", "path", "body"),
    [
        (apk.HOST, "x86_64/other-1.0-r0.apk", Alpine("a").body),
        (deb.HOST, "pool/s/main/other_1.0-1_amd64.deb", Debian("a").body),
        (deb.HOST, "elsewhere/a_1.0-1_amd64.deb", Debian("a").body),
    ],
)
def test_what_is_elsewhere_stands_in_no_index(host: Host, path: str, body: bytes, tmp_path: Path) -> None:
    (tmp_path / "package").write_bytes(body)
    assert host.describe(path, tmp_path / "package") is None
    (tmp_path / "package").write_bytes(b"other bytes")
    with pytest.raises(Unprocessable):
        host.describe(path, tmp_path / "package")


def pem(key: rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey, password: str = "") -> str:
    best = serialization.BestAvailableEncryption(password.encode()) if password else serialization.NoEncryption()
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.TraditionalOpenSSL, best
    ).decode()


def test_keys_that_cannot_sign_an_apk_index_are_told_apart(keys: Keys) -> None:
    good = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    for signing in (Signing(keys.rsa), Signing(pem(good)), Signing(pem(good, "secret"), "secret")):
        apk_signature.check(signing)
    for signing in (
        Signing(pem(good, "secret")),
        Signing(pem(good, "secret"), "wrong"),
        Signing(pem(good), "not needed"),
        Signing(keys.openpgp),
        Signing(keys.rsa_public),
        Signing("x"),
        Signing(pem(ec.generate_private_key(ec.SECP256R1()))),
        Signing(pem(rsa.generate_private_key(public_exponent=65537, key_size=1024))),
    ):
        with pytest.raises(ValueError, match="RSA key") as refused:
            apk_signature.check(signing)
        assert signing.key[50:90] not in str(refused.value) or len(signing.key) < 90
        assert "secret" not in str(refused.value)
        with pytest.raises(ValidationError, match="signing_key"):
            LocalSchema().load(
                {"package": "apk", "signing_key": signing.key, "signing_key_password": signing.password or "x"}
            )
