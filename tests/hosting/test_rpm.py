"""rpm packages of a team's own: dnf and zypper install what was published, and nothing else gets in."""

from __future__ import annotations

import gzip
import json
import xml.etree.ElementTree as ElementTree
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.clients.commands import CommandFailedError
from tests.clients.conftest import dnf, home, rpms, zypper
from tests.clients.dnf import Dnf
from tests.clients.rpms import Package, Rpms
from tests.clients.zypper import Zypper
from tests.hosting.asked import ask, blank
from tests.hosting.conftest import TOKEN, Keys
from tests.hosting.rpms import COMMON, RPM, Team, send
from tests.stack import Stack, eventually
from tests.unit.test_rpm_file import rpm as made

__all__ = ["dnf", "home", "rpms", "zypper"]  # fixtures by import

REPOMD = "repodata/repomd.xml"


@pytest.fixture
def team(hosted: Stack) -> Team:
    return Team(hosted, "rpm")


@pytest.fixture
def again(hosted: Stack) -> Team:
    """May be overwritten."""
    return Team(hosted, "open-rpm")


def test_dnf_and_zypper_install_what_was_published(
    team: Team, rpms: Rpms, dnf: Callable[[str], Dnf], zypper: Callable[[str], Zypper]
) -> None:
    library, tool = Package("lib++x", "1.0~rc1"), Package("tool", "1.0", requires=("lib++x",))
    posted = team.send("POST", "Packages/", rpms.file(library).read_bytes())
    assert (posted.status, posted.json["path"]) == (201, f"Packages/{library.file}")
    assert team.put(tool.file, rpms.file(tool).read_bytes()).status == 201
    machine = dnf(team.url)
    machine("install", "tool")
    assert machine.installed() == {"tool": "1.0", "lib++x": "1.0~rc1"}
    newer = Package("tool", "2.0", requires=("lib++x",))
    team.published(rpms.file(newer).read_bytes())
    machine("upgrade", "--refresh", "tool")
    assert machine.installed()["tool"] == "2.0"
    assert "/opt/tool/payload" in machine("repoquery", "--list", "tool")
    suse = zypper(team.url)
    suse("install", "tool")
    assert suse.installed() == machine.installed()


def test_a_signed_index_is_verified(hosted: Stack, keys: Keys, rpms: Rpms, dnf: Callable[[str], Dnf]) -> None:
    team = Team(hosted, "signed-rpm")
    package = Package("signed", "1.0")
    team.published(rpms.file(package).read_bytes())
    assert team.get(f"{REPOMD}.key").body.decode() == keys.openpgp_public
    trusting = f"--setopt=test.gpgkey={team.url}/{REPOMD}.key"
    machine = dnf(team.url)
    machine("makecache", "--setopt=test.repo_gpgcheck=1", trusting)
    machine("install", "signed", "--setopt=test.repo_gpgcheck=1", trusting)
    assert machine.installed() == {"signed": "1.0"}
    unsigned = Team(hosted, "rpm")
    unsigned.published(rpms.file(Package("unsigned", "1.0")).read_bytes())
    with pytest.raises(CommandFailedError, match=r"repomd\.xml"):
        dnf(unsigned.url)("makecache", "--setopt=test.repo_gpgcheck=1", trusting)


def test_what_the_index_says_of_a_package(again: Team, rpms: Rpms) -> None:
    package = Package("said", "1.0", requires=("bash",))
    body = rpms.file(package).read_bytes()
    answer = again.put(f"a/b/{package.file}", body)
    assert answer.status == 201
    index = again.index()
    (found,) = [
        each
        for each in ElementTree.fromstring(index["primary"]).iter(f"{COMMON}package")
        if each.findtext(f"{COMMON}name") == "said"
    ]
    location, size, times = (found.find(f"{COMMON}{name}") for name in ("location", "size", "time"))
    assert location is not None
    assert size is not None
    assert times is not None
    assert location.attrib["href"] == f"a/b/{package.file}"
    assert size.attrib["package"] == str(len(body))
    assert int(times.attrib["file"]) >= int(times.attrib["build"]) > 0
    assert found.findtext(f"{COMMON}checksum") == answer.json["sha256"]
    assert {each.attrib["name"] for each in found.iter(f"{RPM}entry")} == {"said", "bash"}
    assert b"/opt/said/payload" in index["filelists"]
    again.send("DELETE", f"a/b/{package.file}")


def test_a_package_goes_out_of_the_index(again: Team, rpms: Rpms, dnf: Callable[[str], Dnf]) -> None:
    stays, goes = Package("stays", "1.0"), Package("goes", "1.0")
    again.published(rpms.file(stays).read_bytes(), rpms.file(goes).read_bytes())
    before = again.get(REPOMD).body
    assert again.send("DELETE", goes.file).status == 204
    assert again.send("DELETE", goes.file).status == 404
    assert stays.file in again.listed()
    assert goes.file not in again.listed()
    assert again.get(goes.file).status == 404
    for href in (line.split('"')[1] for line in before.decode().splitlines() if "<location" in line):
        assert again.get(href).status == 200  # whoever has the old repomd finds what it names
    again.send("DELETE", stays.file)
    assert again.listed() == []  # and not 404: clients have the repository configured
    dnf(again.url)("makecache")


def test_the_same_package_again(team: Team, again: Team, rpms: Rpms) -> None:
    package, rebuilt = Package("twice", "1.0"), Package("twice", "1.0", salt="rebuilt")
    bodies = [rpms.file(each).read_bytes() for each in (package, rebuilt)]
    assert [team.put(package.file, body).status for body in bodies] == [201, 409]
    assert team.send("POST", "", bodies[1]).json["error"] == "already_published"
    assert team.get(package.file).body == bodies[0]
    assert [again.put(package.file, body).status for body in bodies] == [201, 201]
    assert again.listed().count(package.file) == 1
    assert again.get(package.file).body == bodies[1]
    again.send("DELETE", package.file)


def test_uploads_at_once_are_all_in_the_index(team: Team, rpms: Rpms) -> None:
    packages = [Package(f"burst{number}", "1.0") for number in range(6)]
    bodies = [rpms.file(each).read_bytes() for each in packages]
    with ThreadPoolExecutor(len(bodies)) as pool:
        answers = list(pool.map(lambda body: team.send("POST", "", body), bodies))
    assert [each.status for each in answers] == [201] * len(bodies)
    assert {each.file for each in packages} <= set(team.listed())


def test_multipart(team: Team, rpms: Rpms) -> None:
    for field in ("file", "package"):
        package = Package(f"multipart-{field}", "1.0")
        head = f'--x\r\nContent-Disposition: form-data; name="{field}"; filename="what.ever"\r\n\r\n'.encode()
        body = head + rpms.file(package).read_bytes() + b"\r\n--x--\r\n"
        answer = team.send("POST", "", body, Content_Type="multipart/form-data; boundary=x")
        assert (answer.status, answer.json["path"]) == (201, package.file)


def test_head_and_ranges(team: Team, rpms: Rpms) -> None:
    package = Package("ranged", "1.0", size=5000)
    body = rpms.file(package).read_bytes()
    team.published(body)
    head = team.send("HEAD", package.file)
    assert (head.status, head.headers["Content-Length"], head.body) == (200, str(len(body)), b"")
    assert head.headers["Content-Type"] == "application/x-rpm"
    part = team.send("GET", package.file, Range="bytes=100-199")
    assert (part.status, part.body) == (206, body[100:200])
    assert team.send("HEAD", REPOMD).status == 200


def test_each_directory_has_its_own_index(hosted: Stack, rpms: Rpms, dnf: Callable[[str], Dnf]) -> None:
    team = Team(hosted, "deep-rpm")
    seven, eight = Package("seven", "1.0"), Package("eight", "1.0")
    assert team.put(f"el/7/deeper/{seven.file}", rpms.file(seven).read_bytes()).status == 201
    assert team.send("POST", "el/8", rpms.file(eight).read_bytes()).json["path"] == f"el/8/{eight.file}"
    assert team.listed("el/7/") == [f"deeper/{seven.file}"]
    assert team.listed("el/8/") == [eight.file]
    assert team.get(REPOMD).status == 404
    refused = team.put(f"el/{seven.file}", rpms.file(seven).read_bytes())
    assert (refused.status, refused.json["error"]) == (400, "bad_path")
    machine = dnf(f"{team.url}/el/7")
    machine("install", "seven")
    assert machine.installed() == {"seven": "1.0"}
    assert team.send("DELETE", f"el/8/{eight.file}").status == 204
    assert team.get(f"el/8/{REPOMD}").status == 404


def test_a_remote_in_front_of_it(hosted: Stack, rpms: Rpms, dnf: Callable[[str], Dnf]) -> None:
    """Another node's remote, say: the set it takes over is whole."""
    team = Team(hosted, "rpm")
    package = Package("proxied", "1.0")
    team.published(rpms.file(package).read_bytes())
    machine = dnf(f"{hosted.url}/repository/before-rpm")
    machine("install", "proxied")
    assert machine.installed() == {"proxied": "1.0"}


def test_a_private_one_takes_credentials(hosted: Stack, rpms: Rpms, dnf: Callable[[str], Dnf]) -> None:
    team = Team(hosted, "private-rpm")
    team.published(rpms.file(Package("secret", "1.0")).read_bytes())
    with pytest.raises(CommandFailedError):
        dnf(team.url)("makecache")
    machine = dnf(team.url)
    machine("install", "secret", "--setopt=test.username=any", f"--setopt=test.password={team.token}")
    assert machine.installed() == {"secret": "1.0"}


def test_what_is_no_package(team: Team, rpms: Rpms) -> None:
    body = rpms.file(Package("broken", "1.0", size=5000)).read_bytes()
    flipped = body[:-10] + bytes([body[-10] ^ 1]) + body[-9:]
    for wrong in (b"", b"nonsense", body[:90], body[:2000], body[:-1], flipped, body + b"x", gzip.compress(body)):
        answer = team.put("broken-1.0-1.noarch.rpm", wrong)
        assert (answer.status, answer.json["error"]) == (422, "not_a_package")
    assert team.get("broken-1.0-1.noarch.rpm").status == 404


def test_no_package_makes_the_others_unreadable(again: Team, dnf: Callable[[str], Dnf]) -> None:
    """A character that no XML may have, in one of them, and dnf would load none."""
    for name, summary, status in (
        ("fine", "a\x85\U0001ffff", 201),
        ("spoilt", "a\uffffb", 422),
        ("spoilt", "\ufffe", 422),
    ):
        answer = again.send("POST", "", made(name, summary=summary))
        assert (answer.status, answer.json.get("error", "")) == (status, "" if status == 201 else "not_a_package")
    assert "fine-0:1.0-1" in dnf(again.url)("repoquery", "fine")
    again.send("DELETE", "fine-1.0-1.noarch.rpm")


@pytest.mark.parametrize(
    ("path", "code"),
    [
        ("other-1.0-1.noarch.rpm", "name_mismatch"),
        ("named-1.0-1.noarch.deb", "bad_path"),
        ("repodata/named-1.0-1.noarch.rpm", "bad_path"),
        ("a/repodata/named-1.0-1.noarch.rpm", "bad_path"),
        ("a%20b/named-1.0-1.noarch.rpm", "bad_path"),
        ("%C3%BC/named-1.0-1.noarch.rpm", "bad_path"),
        ("..%2Fnamed-1.0-1.noarch.rpm", "bad_path"),
    ],
)
def test_a_path_that_is_none(team: Team, rpms: Rpms, path: str, code: str) -> None:
    answer = team.put(path, rpms.file(Package("named", "1.0")).read_bytes())
    assert (answer.status, answer.json["error"]) == (400, code)


def test_files_beside_the_packages(team: Team) -> None:
    for path in ("team.repo", "keys/RPM-GPG-KEY-team"):
        assert team.send("PUT", path, b"text", Content_Type="text/html").status == 201
        assert team.get(path).body == b"text"
    types = [team.get(path).headers["Content-Type"] for path in ("team.repo", "keys/RPM-GPG-KEY-team")]
    assert types == ["text/plain", "application/pgp-keys"]
    assert not [each for each in team.listed() if not each.endswith(".rpm")]


def test_an_index_is_nobodys_to_publish_or_withdraw(team: Team, rpms: Rpms) -> None:
    team.published(rpms.file(Package("indexed", "1.0")).read_bytes())
    for method in ("DELETE", "PUT"):
        told = team.send(method, REPOMD, b"")
        assert (told.status, json.loads(told.body)["error"]) == (409, "index_file")
    assert team.get(REPOMD).status == 200


def test_a_machine_is_set_up_before_the_first_package(hosted: Stack, rpms: Rpms, dnf: Callable[[str], Dnf]) -> None:
    url = blank(hosted.url, "rpm")
    machine = dnf(url)
    machine("makecache")
    assert machine("--quiet", "repoquery") == ""
    assert ask("GET", f"{url}/other/{REPOMD}").status == 404
    Team(hosted, url.rpartition("/")[2]).published(rpms.file(Package("first", "1.0")).read_bytes())
    machine("install", "--refresh", "first")
    assert machine.installed() == {"first": "1.0"}


def test_a_repository_made_through_the_api(hosted: Stack, keys: Keys, rpms: Rpms, dnf: Callable[[str], Dnf]) -> None:
    """Made, used and removed, with two workers and the fills process that all have to know of it."""
    administrator = {"Authorization": f"Bearer {TOKEN}", "Content-Type": "application/json"}
    api = f"{hosted.url}/api/v1"
    assert send("POST", f"{api}/projects", b'{"name": "rpm-makers"}', **administrator).status == 201
    made = json.dumps({"name": "made-rpm", "project": "rpm-makers", "package": "rpm"}).encode()
    assert send("POST", f"{api}/repositories", made, **administrator).status == 201
    team = Team(hosted, "made-rpm")
    team.published(rpms.file(Package("made", "1.0", size=2 << 20)).read_bytes())
    assert send("GET", f"{team.url}/{REPOMD}").status in (401, 404)
    machine = dnf(team.url)
    machine("install", "made", "--setopt=test.username=any", f"--setopt=test.password={TOKEN}")
    assert machine.installed() == {"made": "1.0"}
    key = json.dumps({"signing_key": keys.openpgp}).encode()
    told = send("PATCH", f"{api}/repositories/made-rpm", key, **administrator)
    assert (told.status, b"PRIVATE KEY" in told.body) == (200, False)
    eventually(lambda: team.get(f"{REPOMD}.asc").status == 200, "signed")
    assert send("DELETE", f"{api}/repositories/made-rpm", None, **administrator).status == 204
    assert team.get(REPOMD).json["error"] == "unknown_repository"
