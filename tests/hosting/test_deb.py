"""apt installs what was published, signed or trusted blindly; the next version too, no more what was withdrawn."""

from __future__ import annotations

import gzip
import hashlib
import itertools
import lzma
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest

from tests.clients.apt import Apt
from tests.clients.commands import CommandFailedError, run
from tests.conftest import require
from tests.hosting.asked import ask, blank
from tests.hosting.conftest import TOKEN, Keys
from tests.hosting.debian import Debian
from tests.stack import Stack

DISTRIBUTIONS = (f"d{number}" for number in itertools.count())


@pytest.fixture
def distribution() -> str:
    """One that no other test uses."""
    return next(DISTRIBUTIONS)


@pytest.fixture
def machine(tmp_path: Path) -> Callable[[str, str, str], Apt]:
    """machine(options, url, source): a fresh machine's apt with that one line of sources."""
    for tool in ("apt-get", "dpkg"):
        require(tool)
    numbers = itertools.count()

    def make(options: str, url: str, source: str) -> Apt:
        found = Apt(tmp_path / f"machine{next(numbers)}", url, source, Path("/nowhere"))
        (found.root / "etc/apt/sources.list").write_text(f"deb [{options}] {url} {source}\n", encoding="utf-8")
        return found

    return make


@pytest.fixture
def signed_by(tmp_path: Path, keys: Keys) -> str:
    """The option by which apt knows the team's key."""
    (tmp_path / "team.asc").write_text(keys.openpgp_public, encoding="ascii")
    return f"signed-by={tmp_path / 'team.asc'}"


def test_a_machine_is_set_up_before_the_first_package(hosted: Stack, machine: Callable[..., Apt]) -> None:
    url = blank(hosted.url, "deb")
    client = machine("trusted=yes", url, "stable main")
    client("update")
    assert ask("POST", url, Debian("hello").body).status == 201
    client("update")
    client("install", "hello")
    assert client.installed() == {"hello": "1.0-1"}


def test_a_machine_installs_upgrades_and_sees_no_more_what_was_withdrawn(
    hosted: Stack, machine: Callable[..., Apt], signed_by: str, distribution: str
) -> None:
    for repository, option in (("signed-deb", signed_by), ("deb", "trusted=yes")):
        base = f"{hosted.url}/repository/{repository}"
        pool = f"{base}/pool/{distribution}/main"
        library = Debian("libgreet++", "1:1.0~rc1-1", "all", packing=".gz")
        hello = Debian("hello", fields=("Depends: libgreet++ (>= 1:1.0~rc1)",), packing=".zst")
        for package in (library, hello):
            assert ask("PUT", f"{pool}/{package.file.replace('+', '%2B')}", package.body).status == 201
        client = machine(option, base, f"{distribution} main")
        client("update")
        client("install", "hello")
        assert client.installed() == {"hello": "1.0-1", "libgreet++": "1:1.0~rc1-1"}
        assert (client.root / "opt/hello/payload").read_bytes() == hello.payload

        newer = replace(hello, version="1.1-1", payload=b"newer\n")
        assert ask("POST", f"{base}?distribution={distribution}", newer.body).said["path"].endswith(newer.file)
        client("update")
        client("upgrade")
        assert client.installed()["hello"] == "1.1-1"
        assert ask("DELETE", f"{pool}/{newer.file}").status == 204
        client("update")
        client("install", "--allow-downgrades", "hello=1.0-1")
        assert newer.file not in ask("GET", f"{base}/dists/{distribution}/main/binary-amd64/Packages").body.decode()


@pytest.mark.parametrize(
    ("method", "to", "at"),
    [
        ("PUT", "/pool/{0}/main/a_1.0-1_amd64.deb", "{0}/main"),
        ("POST", "/pool/{0}/main", "{0}/main"),
        ("POST", "/pool/{0}/contrib/", "{0}/contrib"),
        ("POST", "/pool/{0}/contrib/a_1.0-1_amd64.deb", "{0}/contrib"),
        ("POST", "?distribution={0}", "{0}/main"),
        ("POST", "/?distribution={0}&component=x.y", "{0}/x.y"),
        ("PUT", "/any/where/a.deb?distribution={0}&component=non-free", "{0}/non-free"),
        ("PUT", "/pool/a.deb;deb.distribution={0};deb.component=main;deb.architecture=amd64", "{0}/main"),
        ("PUT", "/pool/{0}/main/a/a_1.0-1_amd64.deb", "{0}/main"),
        ("PUT", "/pool/{0}/x.y/a/a/a_1.0-1_amd64.deb", "{0}/x.y"),
    ],
)
def test_a_package_goes_where_the_request_says(
    hosted: Stack, distribution: str, method: str, to: str, at: str
) -> None:
    base, package = f"{hosted.url}/repository/deb", Debian("a")
    told = ask(method, base + to.format(distribution), package.body)
    path = f"pool/{at.format(distribution)}/{package.file}"
    assert (told.status, told.said["path"], told.headers["Location"]) == (201, path, f"{base}/{path}")
    assert ask("GET", f"{base}/{path}").body == package.body
    component = at.partition("/")[2]
    packages = ask("GET", f"{base}/dists/{distribution}/{component}/binary-amd64/Packages").body.decode()
    digest = hashlib.sha256(package.body).hexdigest()
    assert packages == f"{package.control.decode()}Filename: {path}\nSize: {len(package.body)}\nSHA256: {digest}\n\n"


def form(fields: dict[str, str], *bodies: bytes) -> bytes:
    """A multipart body with the boundary x, its files named `file`."""
    named = [(f'name="{name}"', value.encode()) for name, value in fields.items()]
    named += [('name="file"; filename="a.deb"', body) for body in bodies]
    lines = [f"--x\r\nContent-Disposition: form-data; {name}\r\n\r\n".encode() + body for name, body in named]
    return b"\r\n".join([*lines, b"--x--\r\n"])


def test_a_form_says_where_a_package_goes(hosted: Stack, distribution: str) -> None:
    """As Pulp's users send it; what is not said is stable and main."""
    package, url = Debian("a", arch="riscv64"), f"{hosted.url}/repository/deb"
    typed = {"Content-Type": "multipart/form-data; boundary=x"}
    for fields, at in (({"distribution": distribution, "component": "c"}, f"{distribution}/c"), ({}, "stable/main")):
        told = ask("POST", url, form(fields, package.body), typed)
        assert (told.status, told.said["path"]) == (201, f"pool/{at}/{package.file}")
    other = replace(package, name="other")
    told = ask("POST", url, form({"distribution": distribution}, other.body, other.body), typed)
    assert (told.status, told.said["message"]) == (400, "one package is published at a time")


@pytest.mark.parametrize(
    ("name", "to", "at"),
    [
        ("loose", "loose_1.0-1_amd64.deb", "stable/main"),
        ("pooled", "pool/pooled_1.0-1_amd64.deb", "stable/main"),
        ("hello", "pool/contrib/h/hello/hello_1.0-1_amd64.deb", "stable/contrib"),
        ("short", "pool/main/s/short_1.0-1_amd64.deb", "stable/main"),
        ("libx1", "pool/universe/libx/libx1_1.0-1_amd64.deb", "stable/universe"),
        ("flat", "pool/main/flat_1.0-1_amd64.deb", "stable/main"),
    ],
)
def test_a_path_as_archives_have_them_says_the_component(hosted: Stack, name: str, to: str, at: str) -> None:
    base, package = f"{hosted.url}/repository/deb", Debian(name)
    told = ask("PUT", f"{base}/{to}", package.body)
    assert (told.status, told.said["path"]) == (201, f"pool/{at}/{package.file}")
    assert ask("GET", told.headers["Location"]).body == package.body


@pytest.mark.parametrize("way", ["repository", "api/v1/local", "api/v1/remote"])
@pytest.mark.parametrize(
    "to",
    [
        "/{1}",
        "/pool/main/{0}/{2}/{1}",
        "/pool/{3}/main/{0}/{2}/{1}",
        "/pool/{3}/main/{1}",
        "/pool/{1};deb.distribution={3};deb.component=main;deb.architecture=amd64",
        "/any/where/{1}?distribution={3}&component=c",
    ],
)
def test_the_url_of_a_put_is_the_packages_own(hosted: Stack, distribution: str, way: str, to: str) -> None:
    """It is read and removed there, and out of the index; in one distribution, whatever others have of that name."""
    name = f"own-{distribution}"
    package, other = Debian(name), Debian(name, payload=b"another\n")
    base = f"{hosted.url}/{way}/open-deb"
    url = base + to.format(name[0], package.file, name, distribution)
    assert ask("PUT", f"{base}/pool/other/main/{package.file}", other.body).status == 201
    told = ask("PUT", url, package.body)
    assert told.status == 201, told.body
    _, published, component, _ = told.said["path"].split("/")
    packages = f"{base}/dists/{published}/{component}/binary-amd64/Packages"
    assert f"Package: {name}\n" in ask("GET", packages).body.decode()
    assert ask("GET", url).body == package.body
    assert ask("HEAD", url).headers["Content-Length"] == str(len(package.body))
    assert ask("GET", url, headers={"Range": "bytes=0-6"}).body == b"!<arch>"
    assert ask("DELETE", url).status == 204
    assert [ask(method, url).status for method in ("GET", "HEAD", "DELETE")] == [404, 404, 404]
    left = ask("GET", packages)
    assert (left.status, f"Package: {name}\n" in left.body.decode()) == (200, False)
    assert ask("GET", f"{base}/pool/other/main/{package.file}").body == other.body


def test_a_distribution_whose_last_package_went_stays_empty(
    hosted: Stack, machine: Callable[..., Apt], signed_by: str, distribution: str
) -> None:
    for repository, option in (("signed-deb", signed_by), ("deb", "trusted=yes")):
        base, package = f"{hosted.url}/repository/{repository}", Debian("leaves")
        url = f"{base}/pool/{distribution}/main/{package.file}"
        client = machine(option, base, f"{distribution} main")
        for status in (201, 204):
            assert ask("PUT" if status == 201 else "DELETE", url, package.body).status == status
            client("update")
        with pytest.raises(CommandFailedError, match="leaves"):
            client("install", "leaves")
        assert ask("PUT", url, package.body).status == 201
        client("update")
        client("install", "leaves")


def test_a_component_whose_last_package_went_is_one_no_more(
    hosted: Stack, machine: Callable[..., Apt], signed_by: str, distribution: str
) -> None:
    """A machine that has it in its sources goes on with the others, and has nothing of it left."""
    base = f"{hosted.url}/repository/signed-deb"
    stays, goes = Debian(f"stays-{distribution}"), Debian(f"goes-{distribution}")
    client = machine(signed_by, base, f"{distribution} main branch")
    for component, package in (("main", stays), ("branch", goes)):
        assert ask("PUT", f"{base}/pool/{distribution}/{component}/{package.file}", package.body).status == 201
    client("update")
    assert ask("DELETE", f"{base}/pool/{distribution}/branch/{goes.file}").status == 204
    client("update")
    assert not any("branch" in name for name in client.lists())
    with pytest.raises(CommandFailedError, match=goes.name):
        client("install", goes.name)
    client("install", stays.name)
    assert ask("PUT", f"{base}/pool/{distribution}/branch/{goes.file}", goes.body).status == 201
    client("update")
    client("install", goes.name)


GOOD = Debian("good")


@pytest.mark.parametrize(
    ("method", "to", "body", "status", "reason"),
    [
        ("PUT", "/good.deb", GOOD.body, 400, "belongs at pool/stable/main/good_1.0-1_amd64.deb"),
        ("PUT", "/pool/main/g/good/good_1.0_amd64.deb", GOOD.body, 400, "belongs at pool/stable/main/good_1.0-1"),
        ("PUT", "/pool/main/x/good_1.0-1_amd64.deb", GOOD.body, 400, "belongs at"),
        ("PUT", "/else/where/good_1.0-1_amd64.deb;deb.architecture=amd64", GOOD.body, 400, "belongs at"),
        ("PUT", "/pool/{0}/main/other.deb", GOOD.body, 400, "belongs at pool/{0}/main/good_1.0-1_amd64.deb"),
        ("PUT", "/pool/{0}/x/good/good_1.0-1_amd64.deb", GOOD.body, 400, "belongs at pool/stable"),
        ("PUT", "/pool/{0}/x/g/good_1.0-1_amd64.deb", GOOD.body, 400, "belongs at pool/stable"),
        ("PUT", "/pool/main/{0}/g/good_1.0-1_amd64.deb", GOOD.body, 400, "belongs at pool/stable"),
        ("POST", "?distribution=main&component=x", GOOD.body, 400, "packages of stable"),
        ("PUT", "/pool/{0}/main/good_1.0-1_amd64.txt", GOOD.body, 400, "belongs at"),
        ("POST", "/elsewhere", GOOD.body, 400, "POST to the repository itself"),
        ("POST", "?distribution={0}/x", GOOD.body, 400, "one distribution"),
        ("POST", "?distribution=..&component={0}", GOOD.body, 400, "one distribution"),
        ("PUT", "/x.deb;deb.distribution={0};deb.distribution=other", GOOD.body, 400, "one distribution"),
        ("PUT", "/x.deb;deb.distribution={0},other", GOOD.body, 400, "one distribution"),
        ("PUT", "/x.deb;deb.distribution={0};deb.architecture=arm64", GOOD.body, 400, "for amd64, not for arm64"),
        ("PUT", "/pool/{0}/main/good_1.0-1.dsc", b"Format: 3.0 (quilt)\n", 422, "source packages"),
        ("PUT", "/pool/{0}/main/good_1.0.orig.tar.xz", b"", 422, "source packages"),
        ("POST", "?distribution={0}", b"", 422, "no ar archive"),
        ("POST", "?distribution={0}", GOOD.body[:-20], 422, "in the middle of a member"),
        ("POST", "?distribution={0}", Debian("good", "1.0/../x").body, 422, "a version that Debian does not take"),
        ("POST", "?distribution={0}", Debian("good", fields=("Package: two",)).body, 422, "two fields Package"),
    ],
)
def test_what_cannot_be_published_is_refused_and_leaves_nothing(
    hosted: Stack, distribution: str, method: str, to: str, body: bytes, status: int, reason: str
) -> None:
    base = f"{hosted.url}/repository/deb"
    told = ask(method, base + to.format(distribution), body)
    assert (told.status, reason.format(distribution) in told.said["message"]) == (status, True), told.said
    assert ask("GET", f"{base}/dists/{distribution}/Release").status == 404
    if method == "PUT":
        assert ask("GET", base + to.format(distribution)).status == 404


def test_no_package_makes_the_others_unusable(hosted: Stack, machine: Callable[..., Apt], distribution: str) -> None:
    """apt-get would refuse everything, of every source, over one relation that it cannot read."""
    base = f"{hosted.url}/repository/deb"
    url = f"{base}?distribution={distribution}"
    fields = ("Depends: a (1.0), b:any | c(=1 )", "Provides: x (= 1)", "Multi-Arch: same", "Section: " + "s" * 256)
    for package in (GOOD, Debian("odd", fields=fields)):
        assert ask("POST", url, package.body).status == 201
    for field in ("Depends: foo (>= ", "Depends: a (=1)", f"Section: {'s' * 70_000}", "Multi-Arch: nonsense"):
        told = ask("POST", url, Debian("bad", fields=(field,)).body)
        assert (told.status, told.said["error"]) == (422, "not_a_package")
    client = machine("trusted=yes", base, f"{distribution} main")
    assert "W:" not in client("update")
    client("install", "good")
    assert client.installed() == {"good": "1.0-1"}


def test_a_version_is_published_once(hosted: Stack, distribution: str) -> None:
    first, second = Debian("x", payload=b"1"), Debian("x", payload=b"22" * 2000)
    for repository, status, kept in (("deb", 409, first), ("open-deb", 201, second)):
        base = f"{hosted.url}/repository/{repository}"
        path = f"pool/{distribution}/main/{first.file}"
        assert ask("PUT", f"{base}/{path}", first.body).status == 201
        for method, to in (("PUT", f"/{path}"), ("POST", f"?distribution={distribution}")):
            told = ask(method, base + to, second.body)
            assert (told.status, told.said.get("error", "already_published")) == (status, "already_published")
        assert ask("GET", f"{base}/{path}").body == kept.body
        text = ask("GET", f"{base}/dists/{distribution}/main/binary-amd64/Packages").body.decode()
        assert (text.count("Package: x\n"), f"Size: {len(kept.body)}\n" in text) == (1, True)


def sums(release: str) -> Iterator[tuple[str, int, str]]:
    for line in release.partition("\nSHA256:\n")[2].splitlines():
        if not line.startswith(" "):
            return
        digest, size, path = line.split()
        yield digest, int(size), path


def test_a_release_never_pairs_with_other_indexes(hosted: Stack, distribution: str) -> None:
    """What any of the last Releases names is still there by its checksum; the plain names are the newest one's."""
    base = f"{hosted.url}/repository/signed-deb"
    packages = [Debian("a"), Debian("b", arch="arm64"), Debian("c", arch="all"), Debian("a", "2.0-1")]
    releases = []
    for number, package in enumerate(packages):
        component = "main" if number % 2 else "contrib"
        told = ask("POST", f"{base}?distribution={distribution}&component={component}", package.body)
        assert told.status == 201
        signed = ask("GET", f"{base}/dists/{distribution}/InRelease").body.decode()
        releases.append(ask("GET", f"{base}/dists/{distribution}/Release").body.decode())
        assert releases[-1] in signed
    for release in releases:
        for digest, size, path in sums(release):
            directory, _, name = path.rpartition("/")
            body = ask("GET", f"{base}/dists/{distribution}/{directory}/by-hash/SHA256/{digest}").body
            assert (hashlib.sha256(body).hexdigest(), len(body)) == (digest, size)
            if release == releases[-1]:
                assert ask("GET", f"{base}/dists/{distribution}/{path}").body == body, name
    assert "\nArchitectures: all amd64 arm64\nComponents: contrib main\n" in releases[-1]
    assert len(list(sums(releases[-1]))) == 3 * 3 * 2


def test_every_form_of_an_index_says_the_same(hosted: Stack, distribution: str) -> None:
    base = f"{hosted.url}/repository/deb"
    for package in (Debian("a"), Debian("b", arch="all"), Debian("c", arch="i386")):
        assert ask("POST", f"{base}?distribution={distribution}", package.body).status == 201
    for arch, names in (("amd64", ["a", "b"]), ("i386", ["c", "b"]), ("all", ["b"])):
        here = f"{base}/dists/{distribution}/main/binary-{arch}/Packages"
        plain = ask("GET", here).body
        assert [line.split()[1] for line in plain.decode().split("\n") if line.startswith("Package: ")] == names
        assert (
            plain == gzip.decompress(ask("GET", f"{here}.gz").body) == lzma.decompress(ask("GET", f"{here}.xz").body)
        )


def test_a_distribution_of_packages_for_all_serves_any_machine(
    hosted: Stack, machine: Callable[..., Apt], signed_by: str, distribution: str
) -> None:
    base = f"{hosted.url}/repository/signed-deb"
    assert ask("POST", f"{base}?distribution={distribution}", Debian("script", arch="all").body).status == 201
    client = machine(signed_by, base, f"{distribution} main")
    client("update")
    client("install", "script")
    assert client.installed() == {"script": "1.0-1"}


@pytest.mark.parametrize("packing", ["none", "gzip", "xz", "zstd"])
def test_what_dpkg_builds_is_indexed_as_apt_ftparchive_would(
    hosted: Stack, distribution: str, packing: str, tmp_path: Path
) -> None:
    tree = tmp_path / "tree"
    (tree / "DEBIAN").mkdir(parents=True)
    fields = ("Depends: libc6 (>= 2.36), x | y", "Conffiles:\n /etc/x 0123", "Homepage: https://example.org")
    (tree / "DEBIAN/control").write_bytes(Debian("real", "3:1.2~x-1", fields=fields).control)
    name = "real_1.2~x-1_amd64.deb"
    path = tmp_path / f"pool/{distribution}/main/{name}"
    path.parent.mkdir(parents=True)
    run([require("dpkg-deb"), "--root-owner-group", f"-Z{packing}", "--build", str(tree), str(path)], tmp_path)
    base = f"{hosted.url}/repository/deb"
    assert ask("PUT", f"{base}/pool/{distribution}/main/{name}", path.read_bytes()).status == 201
    options = [f"-oAPT::FTPArchive::{name}=false" for name in ("MD5", "SHA1", "SHA512")]
    theirs = run([require("apt-ftparchive"), *options, "packages", "pool"], tmp_path)
    ours = ask("GET", f"{base}/dists/{distribution}/main/binary-amd64/Packages").body.decode()
    assert sorted(ours.splitlines()) == sorted(theirs.splitlines())


def test_simultaneous_uploads_all_end_up_in_the_index(hosted: Stack, distribution: str) -> None:
    base = f"{hosted.url}/repository/deb"
    packages = [Debian(f"n{number}", arch="all" if number % 3 else "amd64") for number in range(12)]
    url = f"{base}?distribution={distribution}"
    with ThreadPoolExecutor(6) as threads:
        told = list(threads.map(lambda each: ask("POST", url, each.body), packages))
    assert {each.status for each in told} == {201}
    text = ask("GET", f"{base}/dists/{distribution}/main/binary-amd64/Packages").body.decode()
    assert sorted(line for line in text.split("\n") if line.startswith("Package:")) == sorted(
        f"Package: {each.name}" for each in packages
    )
    with ThreadPoolExecutor(6) as threads:
        gone = list(threads.map(lambda each: ask("DELETE", f"{base}/{each.said['path']}"), told))
    assert {each.status for each in gone} == {204}
    left = f"{base}/dists/{distribution}/main/binary"
    assert ask("GET", f"{left}-amd64/Packages").body == lzma.decompress(ask("GET", f"{left}-all/Packages.xz").body)
    assert ask("GET", f"{left}-amd64/Packages").body == b""


def test_a_remote_of_a_local_repository_works(
    hosted: Stack, machine: Callable[..., Apt], signed_by: str, distribution: str
) -> None:
    local, remote = (f"{hosted.url}/repository/{name}" for name in ("signed-deb", "before-signed-deb"))
    for package in (Debian("hello", fields=("Depends: library",)), Debian("library", arch="all")):
        assert ask("POST", f"{local}?distribution={distribution}", package.body).status == 201
    client = machine(signed_by, remote, f"{distribution} main")
    client("update")
    client("install", "hello")
    assert client.installed() == {"hello": "1.0-1", "library": "1.0-1"}


def test_a_private_repository_is_read_with_credentials(
    hosted: Stack, machine: Callable[..., Apt], distribution: str
) -> None:
    base = f"{hosted.url}/repository/private-deb"
    assert ask("POST", f"{base}?distribution={distribution}", Debian("secret").body).status == 201
    with pytest.raises(CommandFailedError, match="401"):
        machine("trusted=yes", base, f"{distribution} main")("update")
    client = machine("trusted=yes", base.replace("://", f"://ci:{TOKEN}@"), f"{distribution} main")
    client("update")
    client("install", "secret")
    assert client.installed() == {"secret": "1.0-1"}
