"""apk installs what was published: by a signature that it verifies and without, the next version too, and no more
what was withdrawn."""

from __future__ import annotations

import gzip
import io
import itertools
import tarfile
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.hazmat.primitives.hashes import SHA256

from app.formats.tar import files
from app.hosting.archives import gzip_member
from tests.clients.alpine import apk_command
from tests.clients.apk import Apk
from tests.clients.commands import CommandFailedError, run
from tests.conftest import require
from tests.hosting.alpine import ARCH, Alpine
from tests.hosting.asked import ask, blank
from tests.hosting.conftest import TOKEN, Keys
from tests.stack import Stack

KEY_NAME = "team@example.org-1.rsa.pub"
DIRECTORIES = (f"r{number}" for number in itertools.count())


@pytest.fixture(scope="session")
def command() -> list[str]:
    return apk_command(require) or [require("apk")]


@pytest.fixture
def directory() -> str:
    """A directory in a repository that no other test uses."""
    return next(DIRECTORIES)


@pytest.fixture
def machine(command: list[str], tmp_path: Path) -> Callable[..., Apk]:
    """machine(url, keys=None): a fresh machine's apk."""
    numbers = itertools.count()
    return lambda url, keys=None: Apk(command, tmp_path / f"machine{next(numbers)}", url, keys)


@pytest.fixture
def trusted(tmp_path: Path, keys: Keys) -> Path:
    """A directory of keys with the team's."""
    found = tmp_path / "keys"
    found.mkdir()
    (found / KEY_NAME).write_text(keys.rsa_public, encoding="ascii")
    return found


def index(body: bytes) -> str:
    """The text of an APKINDEX.tar.gz."""
    packed = io.BytesIO(body)
    with gzip.open(packed) as whole, tarfile.open(fileobj=io.BytesIO(whole.read()), ignore_zeros=True) as tar:
        found = tar.extractfile("APKINDEX")
        assert found is not None
        return found.read().decode()


def test_a_machine_installs_upgrades_and_sees_no_more_what_was_withdrawn(
    hosted: Stack, machine: Callable[..., Apk], trusted: Path, directory: str
) -> None:
    base = f"{hosted.url}/repository/signed-apk/{directory}"
    library = Alpine("libgreet++", "1.0_rc1-r0", signed=True)
    hello = Alpine("hello", info=("depend = libgreet++", "license = MIT"), signed=True)
    for package in (library, hello):
        assert ask("PUT", f"{base}/{ARCH}/{package.file.replace('+', '%2B')}", package.body).status == 201
    for number, keys in enumerate((trusted, None), 1):
        client = machine(base, keys)
        client("add", "hello")  # the index vouches for it; its own signature is nobody's
        assert client.installed() == {"hello": "1.0-r0", "libgreet++": "1.0_rc1-r0"}
        assert (client.root / "usr/share/hello/payload").read_bytes() == hello.payload

        newer = replace(hello, version=f"1.{number}-r0", payload=b"newer\n")
        assert ask("POST", base, newer.body).status == 201
        client("upgrade", "--update-cache")
        assert client.installed()["hello"] == newer.version
        assert ask("DELETE", f"{base}/{ARCH}/{newer.file}").status == 204
        client("update")
        assert newer.file not in client("policy", "hello")


def test_a_machine_is_set_up_before_the_first_package(
    hosted: Stack, machine: Callable[..., Apk], tmp_path: Path, keys: Keys
) -> None:
    plain, signed = blank(hosted.url, "apk"), blank(hosted.url, "apk", signing_key=keys.rsa)
    key = ask("GET", f"{signed}/main/{ARCH}/{signed.rpartition('/')[2]}.rsa.pub")
    assert (key.status, key.body.decode()) == (200, keys.rsa_public)
    (tmp_path / "etc").mkdir()
    (tmp_path / "etc" / f"{signed.rpartition('/')[2]}.rsa.pub").write_bytes(key.body)
    for url, trusted in ((plain, None), (signed, tmp_path / "etc")):
        client = machine(f"{url}/main", trusted)
        client("update")
        hello = Alpine("hello", signed=trusted is not None)
        assert ask("PUT", f"{url}/main/{ARCH}/{hello.file}", hello.body).status == 201
        assert ask("GET", f"{url}/other/{ARCH}/APKINDEX.tar.gz").status == 404  # a mistyped directory is none
        client("add", "--update-cache", "hello")
        assert client.installed() == {"hello": "1.0-r0"}


def test_a_machine_whose_packages_went_or_never_came_reads_an_empty_index(
    hosted: Stack, machine: Callable[..., Apk], trusted: Path, directory: str
) -> None:
    base = f"{hosted.url}/repository/signed-apk/{directory}"
    other, own = Alpine("other", arch="armv7", signed=True), Alpine("own", signed=True)
    assert ask("POST", base, other.body).status == 201
    client = machine(base, trusted)
    client("update")
    assert ask("POST", base, own.body).status == 201
    client("add", "--update-cache", "own")
    for arch, package in ((ARCH, own), ("armv7", other)):
        assert ask("DELETE", f"{base}/{arch}/{package.file}").status == 204
    client("update")
    assert "own" not in client("policy", "hello")
    assert ask("GET", f"{base}/nowhere/APKINDEX.tar.gz").status == 404


def test_the_index_is_what_apks_own_would_be(
    hosted: Stack, command: list[str], directory: str, tmp_path: Path
) -> None:
    """`apk index` reads the same packages and says the same of them, in another order."""
    info = (
        "license = MIT",
        "origin = x",
        "depend = a>1 b",
        "depend = !c",
        "provides = cmd:x=1",
        "builddate = 1700000000",
    )
    packages = [Alpine("aa", info=info), Alpine("b", "2.0_git1-r3", signed=True), Alpine("c", arch="noarch")]
    base = f"{hosted.url}/repository/apk/{directory}/{ARCH}"
    for package in packages:
        (tmp_path / package.file).write_bytes(package.body)
        assert ask("PUT", f"{base}/{package.file}", package.body).status == 201
    options = ["--allow-untrusted", "--rewrite-arch", ARCH, "--output", "APKINDEX.tar.gz"]
    run([*command, "index", *options, *(package.file for package in packages)], tmp_path)
    theirs = index((tmp_path / "APKINDEX.tar.gz").read_bytes())
    assert set(index(ask("GET", f"{base}/APKINDEX.tar.gz").body).split("\n\n")) == set(theirs.split("\n\n"))


def test_the_signature_is_of_the_packed_index(hosted: Stack, keys: Keys, directory: str) -> None:
    base = f"{hosted.url}/repository/signed-apk/{directory}/{ARCH}"
    assert ask("PUT", f"{base}/{(one := Alpine('one')).file}", one.body).status == 201
    file = io.BytesIO(ask("GET", f"{base}/APKINDEX.tar.gz").body)
    ((name, signature),) = [(name, body.read()) for name, body in files(io.BytesIO(gzip_member(file)))]
    assert name == f".SIGN.RSA256.{KEY_NAME}"
    public = serialization.load_pem_public_key(ask("GET", f"{base}/{KEY_NAME}").body)
    assert isinstance(public, RSAPublicKey)
    public.verify(signature, file.read(), PKCS1v15(), SHA256())
    assert ask("GET", f"{base}/{KEY_NAME}").body.decode() == keys.rsa_public


def test_a_client_that_asks_by_date_sees_every_edition(hosted: Stack, directory: str) -> None:
    """However quickly one follows the other: apk asks with If-Modified-Since alone."""
    url = f"{hosted.url}/repository/apk/{directory}/{ARCH}/APKINDEX.tar.gz"
    seen = None
    for number in range(3):
        package = Alpine(f"p{number}")
        assert ask("POST", f"{hosted.url}/repository/apk/{directory}", package.body).status == 201
        told = ask("GET", url, headers={"If-Modified-Since": seen} if seen else {})
        assert (told.status, f"P:{package.name}\n" in index(told.body)) == (200, True)
        seen = told.headers["Last-Modified"]
        assert ask("GET", url, headers={"If-Modified-Since": seen}).status == 304
        assert ask("GET", url, headers={"If-None-Match": told.headers["ETag"]}).status == 304


@pytest.mark.parametrize(
    ("package", "method", "to", "at"),
    [
        (Alpine("a"), "PUT", "/x86_64/a-1.0-r0.apk", "/x86_64/a-1.0-r0.apk"),
        (Alpine("a"), "POST", "", "/x86_64/a-1.0-r0.apk"),
        (Alpine("a"), "POST", "/", "/x86_64/a-1.0-r0.apk"),
        (Alpine("a", arch="armv7"), "POST", "/main", "/main/armv7/a-1.0-r0.apk"),
        (Alpine("a"), "POST", "/v3.22/main/x86_64", "/v3.22/main/x86_64/a-1.0-r0.apk"),
        (Alpine("a", arch="noarch"), "POST", "/aarch64", "/aarch64/a-1.0-r0.apk"),
        (Alpine("a", arch="noarch"), "PUT", "/s390x/a-1.0-r0.apk", "/s390x/a-1.0-r0.apk"),
        (Alpine("a", arch="noarch"), "POST", "", "<architecture>/a-1.0-r0.apk"),
        (Alpine("a"), "POST", "/aarch64", "/x86_64/a-1.0-r0.apk"),
        (Alpine("a"), "PUT", "/aarch64/a-1.0-r0.apk", "/x86_64/a-1.0-r0.apk"),
        (Alpine("a"), "PUT", "/main/a-1.0-r0.apk", "/main/x86_64/a-1.0-r0.apk"),
        (Alpine("a"), "PUT", "/x86_64/b-1.0-r0.apk", "/x86_64/a-1.0-r0.apk"),
        (Alpine("a"), "PUT", "/x86_64/a-1.0-r0.txt", "PUT <arch>/<name>-<version>.apk"),
        (Alpine("a"), "PUT", "/x86_64/APKINDEX.tar.gz", "PUT <arch>/<name>-<version>.apk"),
    ],
)
def test_a_package_goes_where_apk_asks_for_it(
    hosted: Stack, directory: str, package: Alpine, method: str, to: str, at: str
) -> None:
    base = f"{hosted.url}/repository/apk/{directory}"
    told = ask(method, base + to, package.body)
    if told.status == 201:
        assert (told.said["path"], ask("GET", base + at).body) == (directory + at, package.body)
        assert f"A:{at.split('/')[-2]}\n" in index(ask("GET", f"{base}{at.rpartition('/')[0]}/APKINDEX.tar.gz").body)
    else:
        assert (told.status, told.said["error"], at in told.said["message"]) == (400, "bad_path", True)
        assert ask("GET", base + to).status == 404


def test_what_is_no_package_is_refused_and_leaves_nothing(
    hosted: Stack, directory: str, command: list[str], tmp_path: Path
) -> None:
    base = f"{hosted.url}/repository/apk/{directory}/{ARCH}"
    tree = tmp_path / "tree"
    tree.mkdir()
    facts = [part for fact in ("name:v3", "version:1.0-r0", f"arch:{ARCH}") for part in ("--info", fact)]
    run([*command, "mkpkg", *facts, "--files", str(tree), "--output", "v3.apk"], tmp_path)
    good = Alpine("good")
    for body, reason in (
        ((tmp_path / "v3.apk").read_bytes(), "apk 3"),
        (good.body[:-10], "cut short"),
        (b"", "no apk"),
        (b"\x1f\x8b" + b"\0" * 100, "unpacked"),
    ):
        for method, url in (("PUT", f"{base}/{good.file}"), ("POST", base)):
            told = ask(method, url, body)
            assert (told.status, told.said["error"], reason in told.said["message"]) == (422, "not_a_package", True)
    assert {ask("GET", f"{base}/{name}").status for name in (good.file, "APKINDEX.tar.gz")} == {404}
    assert ask("PUT", f"{base}/{good.file}", good.body).status == 201


def test_no_package_makes_the_others_unreadable(hosted: Stack, machine: Callable[..., Apk], directory: str) -> None:
    """Of an index with a line that is longer than its buffer apk reads nothing."""
    base = f"{hosted.url}/repository/apk/{directory}"
    assert ask("POST", base, Alpine("good").body).status == 201
    longest = tuple(f"{name} = {'x' * 64_000}" for name in ("depend", "provides", "install_if"))
    assert ask("POST", base, Alpine("long", info=longest).body).status == 201
    for info in (f"provides = {'x' * 64_001}", "\n".join(f"depend = {'d' * 99}{n:05}" for n in range(1000))):
        told = ask("POST", base, Alpine("longer", info=(info,)).body)
        assert (told.status, told.said["error"]) == (422, "not_a_package")
    client = machine(base)
    client("add", "good")
    assert client.installed() == {"good": "1.0-r0"}


def test_a_version_is_published_once(hosted: Stack, directory: str) -> None:
    first, second = Alpine("x", payload=b"1"), Alpine("x", payload=b"22")
    for repository, status, kept in (("apk", 409, first), ("open-apk", 201, second)):
        base = f"{hosted.url}/repository/{repository}/{directory}"
        assert ask("POST", base, first.body).status == 201
        for method, url in (("PUT", f"{base}/{ARCH}/{first.file}"), ("POST", base)):
            told = ask(method, url, second.body)
            assert (told.status, told.said.get("error", "already_published")) == (status, "already_published")
        assert ask("GET", f"{base}/{ARCH}/{first.file}").body == kept.body
        text = index(ask("GET", f"{base}/{ARCH}/APKINDEX.tar.gz").body)
        assert (text.count("P:x\n"), f"S:{len(kept.body)}\n" in text) == (1, True)


def test_simultaneous_uploads_all_end_up_in_the_index(hosted: Stack, directory: str) -> None:
    base = f"{hosted.url}/repository/apk/{directory}"
    packages = [Alpine(f"n{number}") for number in range(16)]
    with ThreadPoolExecutor(8) as threads:
        assert {told.status for told in threads.map(lambda each: ask("POST", base, each.body), packages)} == {201}
    text = index(ask("GET", f"{base}/{ARCH}/APKINDEX.tar.gz").body)
    assert sorted(line for line in text.split("\n") if line[:2] == "P:") == sorted(
        f"P:{each.name}" for each in packages
    )
    with ThreadPoolExecutor(8) as threads:
        gone = threads.map(lambda each: ask("DELETE", f"{base}/{ARCH}/{each.file}"), packages)
        assert {told.status for told in gone} == {204}
    assert index(ask("GET", f"{base}/{ARCH}/APKINDEX.tar.gz").body) == ""
    assert ask("DELETE", f"{base}/{ARCH}/{packages[0].file}").status == 404


def test_a_private_repository_is_read_with_credentials_in_the_url(
    hosted: Stack, machine: Callable[..., Apk], directory: str
) -> None:
    base = f"{hosted.url}/repository/private-apk/{directory}"
    assert ask("POST", base, Alpine("secret").body).status == 201
    with pytest.raises(CommandFailedError):
        machine(base)("add", "secret")
    client = machine(base.replace("://", f"://ci:{TOKEN}@"))
    client("add", "secret")
    assert client.installed() == {"secret": "1.0-r0"}


def test_a_remote_of_a_local_repository_works(
    hosted: Stack, machine: Callable[..., Apk], trusted: Path, directory: str
) -> None:
    assert ask("POST", f"{hosted.url}/repository/signed-apk/{directory}", Alpine("hello").body).status == 201
    client = machine(f"{hosted.url}/repository/before-signed-apk/{directory}", trusted)
    client("add", "hello")
    assert client.installed() == {"hello": "1.0-r0"}
