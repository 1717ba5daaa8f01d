"""Each file of /setup, read by its client or its client's parser; no name and no address breaks its syntax."""

from __future__ import annotations

import configparser
import itertools
import json
import subprocess
import sys
import tomllib
import xml.etree.ElementTree as ElementTree
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml

from app.errors import Invalid
from app.formats import FORMATS
from app.repository import Kind, Repository, Signing
from app.setup import Place, files, writer
from app.setup.place import PLACEHOLDER, options
from tests.clients.commands import run
from tests.conftest import require

ODD = "a.b-c_D--9"  # whatever a repository may be called
ORIGIN = "http://127.0.0.1:8080/pre'fix"  # and where PUBLIC_URL may be


def place(
    package: str, name: str = ODD, origin: str = ORIGIN, given: Mapping[str, str] | None = None, **more: Any
) -> Place:
    kind, known = more.pop("kind", Kind.REMOTE), more.pop("known", True)
    base = {"base_urls": ("https://up.example.org",)} if kind is Kind.REMOTE else {}
    repository = Repository(name, kind, package, **{**base, **more})
    return Place(repository, f"{origin}/repository/{name}", origin, options(given or {}), known)


def written(package: str, file: str, **more: Any) -> str:
    found = place(package, **more)
    how = writer(found, file)
    assert how is not None
    return how(found)


def ini(text: str) -> configparser.RawConfigParser:
    parser = configparser.RawConfigParser()
    parser.read_string(text)
    return parser


@pytest.mark.parametrize("access", ["", "team"])
@pytest.mark.parametrize("package", sorted(FORMATS))
def test_every_package_has_files_that_name_the_repository(package: str, access: str) -> None:
    found = place(package, access=access, default=True)
    assert files(found)
    for name, how in files(found).items():
        text = how(found)
        assert ODD in text or "/pre'fix" in text or name == "daemon.json"
        assert (PLACEHOLDER in text) is bool(access) or package == "docker"


def test_dnf() -> None:
    section = ini(written("rpm", f"{ODD}.repo", given={"path": "9/BaseOS/$basearch/os", "key": "RPM-GPG-KEY-9"}))[ODD]
    assert section["baseurl"] == f"{ORIGIN}/repository/{ODD}/9/BaseOS/$basearch/os/"
    assert (section["gpgcheck"], section["gpgkey"]) == ("1", f"{ORIGIN}/repository/{ODD}/RPM-GPG-KEY-9")
    own = ini(written("rpm", f"{ODD}.repo", kind=Kind.LOCAL))[ODD]
    assert (own["gpgcheck"], own["repo_gpgcheck"]) == ("0", "0")
    signed = ini(written("rpm", f"{ODD}.repo", kind=Kind.LOCAL, signing=Signing("key"), access="team"))[ODD]
    assert signed["gpgkey"].endswith(f"/{ODD}/repodata/repomd.xml.key")
    assert (signed["repo_gpgcheck"], signed["password"]) == ("1", PLACEHOLDER)


@pytest.mark.parametrize("kind", [Kind.VIRTUAL, Kind.LOCAL])
def test_dnf_checks_by_a_key_whatever_the_repository_is(kind: Kind) -> None:
    """Packages of a virtual's members are signed with upstream's key, as they are in the remote that it replaces."""
    given = {"path": "9/BaseOS", "key": "RPM-GPG-KEY"}
    key, own = f"{ORIGIN}/repository/{ODD}/RPM-GPG-KEY", f"{ORIGIN}/repository/{ODD}/9/BaseOS/repodata/repomd.xml.key"
    told = ini(written("rpm", f"{ODD}.repo", kind=kind, given=given))[ODD]
    assert (told["gpgcheck"], told["repo_gpgcheck"], told["gpgkey"]) == ("1", "0", key)
    told = ini(written("rpm", f"{ODD}.repo", kind=kind, given=given, signing=Signing("key")))[ODD]
    assert (told["gpgcheck"], told["repo_gpgcheck"], told["gpgkey"].split()) == ("1", "1", [own, key])


def test_what_nobody_signed_is_taken_where_that_is_wanted() -> None:
    """Nowhere else; where it is not, the file says how to."""
    for package, file, strict, open_ in (
        ("rpm", "x.repo", "gpgcheck=1", "gpgcheck=0"),
        ("deb", "x.sources", "Components: main\n", "Trusted: yes"),
        ("deb", "x.list", "deb http", "deb [trusted=yes] http"),
    ):
        text = written(package, file)
        assert (strict in text, open_ in text, "?trusted=yes" in text) == (True, False, True)
        text = written(package, file, given={"trusted": "yes"})
        assert (open_ in text, "?trusted=yes" in text) == (True, False)
        text = written(package, file, given={"key": "/k"})
        assert (open_ in text, "?trusted=yes" in text) == (False, False)


def test_apt() -> None:
    given = {"suites": "noble noble-updates", "components": "main universe", "key": "/usr/share/keyrings/u.gpg"}
    text = written("deb", f"{ODD}.sources", given=given)
    assert "Suites: noble noble-updates\nComponents: main universe\nSigned-By: /usr/share/keyrings/u.gpg\n" in text
    assert "Trusted: yes" in written("deb", f"{ODD}.sources", kind=Kind.LOCAL)
    assert "Trusted" not in written("deb", f"{ODD}.sources")
    lines = written("deb", "any.list", given=given).splitlines()
    assert lines[1:] == [
        f"deb [signed-by=/usr/share/keyrings/u.gpg] {ORIGIN}/repository/{ODD} {suite} main universe"
        for suite in ("noble", "noble-updates")
    ]
    signed = written("deb", "any.list", kind=Kind.LOCAL, signing=Signing("key"), access="team")
    saved = f"/etc/apt/keyrings/{ODD}.asc"
    assert f"-u token:TOKEN -fo {saved} {ORIGIN}/repository/{ODD}/dists/stable/Release.key\n" in signed
    assert f"deb [signed-by={saved}] {ORIGIN}" in signed


@pytest.mark.parametrize("kind", [Kind.REMOTE, Kind.VIRTUAL])
@pytest.mark.parametrize("file", ["x.sources", "x.list"])
def test_apt_takes_no_key_by_its_path_in_the_repository(file: str, kind: Kind) -> None:
    """Left out in silence, nothing would be checked by it."""
    with pytest.raises(Invalid) as caught:
        written("deb", file, kind=kind, given={"key": "Release.key"})
    assert list(caught.value.fields) == ["key"]


def test_a_client_calls_its_file_what_it_likes() -> None:
    """As far as how it ends: that is what the client reads it by."""
    for package, name in (("rpm", ".repo"), ("deb", ".sources"), ("deb", ".list"), ("apk", ".list")):
        assert written(package, f"company{name}") == written(package, f"{ODD}{name}") == written(package, name)
    assert written("apk", "company.list") == written("apk", "repositories")
    for package, name in (("rpm", "x.sources"), ("deb", "x.repo"), ("pypi", "x.list"), ("rpm", "x"), ("rpm", "repo")):
        assert writer(place(package), name) is None


def test_images() -> None:
    hosts = tomllib.loads(written("docker", "hosts.toml", serves=("docker.io",)))
    where = f"{ORIGIN}/repository/{ODD}/v2"
    assert (hosts["server"], hosts["override_path"], hosts["host"]) == (where, True, {})
    text = written("docker", "registries.conf", name="hub", origin="http://127.0.0.1:8080", serves=("docker.io",))
    registry = tomllib.loads(text)["registry"][0]
    assert registry == {"prefix": "docker.io", "location": "127.0.0.1:8080/hub", "insecure": True}
    by_name = {"prefix": "127.0.0.1:8080/hub", "location": "127.0.0.1:8080/hub", "insecure": True}
    assert tomllib.loads(text)["registry"][1:] == [by_name]
    daemon = json.loads(written("docker", "daemon.json", default=True, origin="https://p.example.org"))
    assert daemon == {"registry-mirrors": ["https://p.example.org"]}


HOST = "127.0.0.1:8080"


@pytest.mark.parametrize(
    ("more", "registry"),
    [
        ({}, "up.example.org"),
        ({"base_urls": ("https://Up.example.org:443",)}, "up.example.org"),
        ({"base_urls": ("http://up.example.org:5000",)}, "up.example.org:5000"),
        ({"base_urls": ("https://registry-1.docker.io",)}, "docker.io"),
        ({"base_urls": ("https://up.example.org/below",)}, ""),
        ({"known": False}, ""),
        ({"base_urls": ("https://registry-1.docker.io",), "known": False}, "docker.io"),
        ({"serves": ("x.example.org",), "known": False}, "x.example.org"),
        ({"kind": Kind.VIRTUAL, "parts": ("team", "quay", "hub"), "known": False}, ""),
        ({"kind": Kind.VIRTUAL, "parts": ("team", "hub", "quay"), "known": False}, "docker.io"),
        ({"serves": ("docker.io", "x.example.org")}, "docker.io"),
        ({"serves": ("docker.io",), "given": {"registry": "quay.example.org"}}, "quay.example.org"),
        ({"serves": ("docker.io",), "given": {"registry": HOST}}, ""),
        ({"kind": Kind.LOCAL}, ""),
        ({"kind": Kind.VIRTUAL}, ""),
        ({"kind": Kind.VIRTUAL, "parts": ("team", "quay", "hub")}, "quay.example.org"),
        ({"kind": Kind.VIRTUAL, "parts": ("team",)}, ""),
    ],
    ids=itertools.count(),
)
def test_images_are_asked_for_by_the_registrys_name_or_by_their_own_here(more: dict[str, Any], registry: str) -> None:
    """No name that begins with this server's host is led to the repository: it names one already."""
    parts = {
        "team": Repository("team", Kind.LOCAL, "docker"),
        "quay": Repository("quay", Kind.REMOTE, "docker", base_urls=("https://quay.example.org",)),
        "hub": Repository("hub", Kind.REMOTE, "docker", serves=("docker.io",)),
    }
    more = {**more, "parts": tuple(parts[name] for name in more.get("parts", ()))}
    told = {"name": "im", "origin": f"https://{HOST}", **more}
    (found,) = tomllib.loads(written("docker", "registries.conf", **told))["registry"]
    assert found == {"prefix": registry or f"{HOST}/im", "location": f"{HOST}/im"}
    text = written("docker", "hosts.toml", **told)
    assert f"/certs.d/{registry or HOST}/hosts.toml\n" in text
    hosts, here = tomllib.loads(text), f"https://{HOST}"
    expected = (f"{here}/repository/im/v2", True) if registry else (here, False)
    assert (hosts["server"], hosts.get("override_path", False)) == expected
    pushed = ["push"] if told.get("kind") is Kind.LOCAL else []
    assert hosts["capabilities"] == ["pull", "resolve", *pushed]


def test_images_below_a_path_are_for_containerd_alone() -> None:
    """podman and dockerd ask /v2/ at the top of the host, whatever stands behind it."""
    names = set(files(place("docker", default=True)))
    assert names == {"hosts.toml", "curl.txt"}
    assert names < set(files(place("docker", default=True, origin="http://127.0.0.1:8080")))


def test_podman_and_skopeo_read_it(tmp_path: Path) -> None:
    """As far as asking the server that it names, where nothing listens."""
    file = tmp_path / "registries.conf"
    file.write_text(
        written("docker", "registries.conf", name="hub", origin="http://127.0.0.1:9", serves=("docker.io",))
    )
    command = [require("skopeo"), "--registries-conf", str(file), "inspect", "docker://docker.io/library/busybox:1"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
    assert "127.0.0.1:9/v2/" in done.stderr


def test_pip_and_uv(tmp_path: Path) -> None:
    file = tmp_path / "pip.conf"
    origin = "http://127.0.0.1:8080/a%2Fb"
    file.write_text(written("pypi", "pip.conf", origin=origin, access="team"))
    command = [sys.executable, "-m", "pip", "config", "list"]
    told = run(["env", f"PIP_CONFIG_FILE={file}", *command], tmp_path / "home")
    index = f"global.index-url='http://token:TOKEN@127.0.0.1:8080/a%2Fb/repository/{ODD}/simple/'"
    assert index in told.replace("****", "TOKEN")
    uv = tomllib.loads(written("pypi", "uv.toml"))
    assert uv["index"][0]["url"] == f"{ORIGIN}/repository/{ODD}/simple/"
    (tmp_path / "uv.toml").write_text(written("pypi", "uv.toml", origin="http://127.0.0.1:9", name="py"))
    done = subprocess.run(
        [sys.executable, "-m", "uv", "--config-file", str(tmp_path / "uv.toml"), "pip", "install", "--dry-run",
         "--target", str(tmp_path / "t"), "--no-cache", "no-such-thing-here"],
        capture_output=True, text=True, timeout=60, check=False, env={"PATH": "/usr/bin", "UV_HTTP_RETRIES": "0"},
    )  # fmt: skip
    assert "http://127.0.0.1:9/repository/py/simple/no-such-thing-here/" in done.stderr, done.stderr


def test_npm(tmp_path: Path) -> None:
    npm = require("npm")
    (tmp_path / "home").mkdir()
    for given, key in (({}, "registry"), ({"scope": "@team"}, "@team:registry")):
        (tmp_path / "npmrc").write_text(written("npm", ".npmrc", given=given, access="team"))
        command = ["env", f"NPM_CONFIG_USERCONFIG={tmp_path / 'npmrc'}", npm, "config", "get", key]
        assert run(command, tmp_path / "home").strip() == f"{ORIGIN}/repository/{ODD}/"
    text = (tmp_path / "npmrc").read_text()
    assert f"//127.0.0.1:8080/pre'fix/repository/{ODD}/:_authToken=TOKEN" in text
    yarn = yaml.safe_load(written("npm", ".yarnrc.yml", access="team"))
    assert (yarn["npmRegistryServer"], yarn["npmAuthToken"]) == (f"{ORIGIN}/repository/{ODD}/", "TOKEN")
    scoped = yaml.safe_load(written("npm", ".yarnrc.yml", given={"scope": "team"}))
    assert scoped["npmScopes"]["team"]["npmRegistryServer"] == f"{ORIGIN}/repository/{ODD}/"


@pytest.mark.parametrize(("file", "more"), [(".cargo/config.toml", ()), ("c.x.toml", ("--config", "c.x.toml"))])
def test_cargo(tmp_path: Path, file: str, more: tuple[str, ...]) -> None:
    """As cargo's own file or beside it, as `artifactapi run` says: it asks the index that is named there for a crate
    that nothing here has."""
    text = written("cargo", "config.toml", access="team")
    assert tomllib.loads(text)["source"]["crates-io"]["replace-with"] == ODD
    assert tomllib.loads(text)["registries"][ODD]["credential-provider"] == "cargo:token"
    package = tmp_path / "p"
    (package / "src").mkdir(parents=True)
    (package / ".cargo").mkdir()
    (package / "src/lib.rs").touch()
    (package / "Cargo.toml").write_text('[package]\nname="p"\nversion="0.1.0"\n[dependencies]\nabsent="1"\n')
    (package / file).write_text(written("cargo", "config.toml", origin="http://127.0.0.1:9", name="c.x"))
    command = [require("cargo"), "generate-lockfile", "--config", "net.retry=0", *more]
    done = subprocess.run(command, cwd=package, capture_output=True, text=True, timeout=60, check=False)
    assert "127.0.0.1:9" in done.stderr, done.stderr
    assert "c.x" in done.stderr


def test_maven_and_nuget() -> None:
    for access in ("", "team"):
        settings = ElementTree.fromstring(written("maven", "settings.xml", access=access))
        space = {"m": "http://maven.apache.org/SETTINGS/1.2.0"}
        assert settings.findtext("m:mirrors/m:mirror/m:url", namespaces=space) == f"{ORIGIN}/repository/{ODD}/"
        assert (settings.find("m:servers/m:server", space) is not None) is bool(access)
        nuget = ElementTree.fromstring(written("nuget", "NuGet.Config", access=access))
        source = nuget.find("packageSources/add")
        assert source is not None
        assert source.get("value") == f"{ORIGIN}/repository/{ODD}/index.json"
        assert (nuget.find("packageSourceCredentials") is not None) is bool(access)
    digits = ElementTree.fromstring(written("nuget", "NuGet.Config", name="9lives", access="team"))
    assert digits.find("packageSourceCredentials/_x0039_lives") is not None


def test_go_helm_gem_conda_terraform_and_curl(tmp_path: Path) -> None:
    (tmp_path / "goproxy.env").write_text(written("go", "goproxy.env"))
    told = run(["sh", "-c", f". {tmp_path}/goproxy.env && echo $GOPROXY"], tmp_path / "home")
    assert told.strip() == f"{ORIGIN}/repository/{ODD}"
    charts = yaml.safe_load(written("helm", "repositories.yaml", access="team"))["repositories"][0]
    assert charts == {"name": ODD, "url": f"{ORIGIN}/repository/{ODD}", "username": "token", "password": "TOKEN"}
    assert yaml.safe_load(written("rubygems", ".gemrc"))[":sources"] == [f"{ORIGIN}/repository/{ODD}/"]
    assert yaml.safe_load(written("rubygems", "bundle-config"))["BUNDLE_MIRROR__ALL"].endswith(f"/{ODD}/")
    assert yaml.safe_load(written("conda", ".condarc"))["channels"] == [f"{ORIGIN}/repository/{ODD}"]
    assert f'url = "{ORIGIN}/repository/{ODD}/mirror/"' in written("terraform", ".terraformrc")
    assert ini(written("puppet", "puppet.conf"))["main"]["module_repository"] == f"{ORIGIN}/repository/{ODD}"
    assert "curl --fail" in written("generic", "curl.txt")


def test_maven_asks_the_mirror_that_its_file_names(tmp_path: Path) -> None:
    file = tmp_path / "settings.xml"
    file.write_text(written("maven", "settings.xml", name="all", origin="http://127.0.0.1:9"))
    command = [require("mvn"), "-B", "-s", str(file), f"-Dmaven.repo.local={tmp_path / 'm2'}", "no-such-plugin:x"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=90, check=False)
    assert "from/to all (http://127.0.0.1:9/repository/all/)" in done.stdout, done.stdout


def test_gem_and_terraform_read_it(tmp_path: Path) -> None:
    file = tmp_path / ".gemrc"
    file.write_text(written("rubygems", ".gemrc", name="gems", origin="http://127.0.0.1:9"))
    told = run([require("gem"), "sources", "--list", "--config-file", str(file)], tmp_path / "home")
    assert told.split()[-1] == "http://127.0.0.1:9/repository/gems/"
    rc = tmp_path / "tf.tfrc"
    rc.write_text(written("terraform", ".terraformrc", name="tf", origin="https://127.0.0.1:9", access="team"))
    told = run(
        ["env", f"TF_CLI_CONFIG_FILE={rc}", "CHECKPOINT_DISABLE=1", require("terraform"), "version"], tmp_path / "t"
    )
    assert "rror" not in told, told


@pytest.mark.parametrize(
    "given",
    [
        {"path": "../x"},
        {"path": "a/./b"},
        {"path": "a\nenabled=0"},
        {"path": "a b"},
        {"key": "/../etc/shadow"},
        {"suites": "a\nb"},
        {"components": "main\tx"},
        {"scope": "a/b"},
        {"registry": 'x"y'},
        {"trusted": "no"},
        {"path": "a" * 201},
        {"other": "x"},
    ],
    ids=lambda given: "-".join(given),
)
def test_options_that_are_none(given: dict[str, str]) -> None:
    with pytest.raises(Invalid) as caught:
        options(given)
    assert list(caught.value.fields) == list(given)


def test_a_key_is_not_beside_trust() -> None:
    with pytest.raises(Invalid) as caught:
        options({"key": "/k", "trusted": "yes"})
    assert list(caught.value.fields) == ["trusted"]


def test_a_virtual_answers_for_what_its_members_serve() -> None:
    member = Repository("hub", Kind.REMOTE, "docker", serves=("docker.io",))
    found = place("docker", name="all", kind=Kind.VIRTUAL, origin="http://127.0.0.1:8080")
    found = replace(found, repository=replace(found.repository, parts=(member,)))
    assert 'prefix = "docker.io"' in files(found)["registries.conf"](found)
