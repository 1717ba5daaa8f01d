"""Each file of /setup, read by its client or its client's parser; no name and no address breaks its syntax."""

from __future__ import annotations

import configparser
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
from app.setup import Place, files
from app.setup.place import PLACEHOLDER, options
from tests.clients.commands import run
from tests.conftest import require

ODD = "a.b-c_D--9"  # whatever a repository may be called
ORIGIN = "http://127.0.0.1:8080/pre'fix"  # and where PUBLIC_URL may be


def place(
    package: str, name: str = ODD, origin: str = ORIGIN, given: Mapping[str, str] | None = None, **more: Any
) -> Place:
    base = {"base_urls": ("https://up.example.org",)}
    repository = Repository(name, more.pop("kind", Kind.REMOTE), package, **{**base, **more})
    return Place(repository, f"{origin}/repository/{name}", origin, options(given or {}))


def written(package: str, file: str, **more: Any) -> str:
    found = place(package, **more)
    return files(found)[file](found)


def ini(text: str) -> configparser.RawConfigParser:
    parser = configparser.RawConfigParser()
    parser.read_string(text)
    return parser


@pytest.mark.parametrize("access", ["", "team"])
@pytest.mark.parametrize("package", sorted(FORMATS))
def test_every_package_has_files_that_name_the_repository(package: str, access: str) -> None:
    found = place(package, access=access, default=True)
    assert files(found)
    for name, writer in files(found).items():
        text = writer(found)
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


def test_apt() -> None:
    given = {"suites": "noble noble-updates", "components": "main universe", "key": "/usr/share/keyrings/u.gpg"}
    text = written("deb", f"{ODD}.sources", given=given)
    assert "Suites: noble noble-updates\nComponents: main universe\nSigned-By: /usr/share/keyrings/u.gpg\n" in text
    assert "Trusted: yes" in written("deb", f"{ODD}.sources", kind=Kind.LOCAL)
    assert "Trusted" not in written("deb", f"{ODD}.sources")


def test_images() -> None:
    hosts = tomllib.loads(written("docker", "hosts.toml", serves=("docker.io",)))
    where = f"{ORIGIN}/repository/{ODD}/v2"
    assert (hosts["server"], hosts["override_path"], hosts["host"]) == (where, True, {})
    text = written("docker", "registries.conf", name="hub", origin="http://127.0.0.1:8080", serves=("docker.io",))
    registry = tomllib.loads(text)["registry"][0]
    assert registry == {"prefix": "docker.io", "location": "127.0.0.1:8080/hub", "insecure": True}
    daemon = json.loads(written("docker", "daemon.json", default=True, origin="https://p.example.org"))
    assert daemon == {"registry-mirrors": ["https://p.example.org"]}


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


def test_cargo(tmp_path: Path) -> None:
    """cargo asks the index that it names for a crate that nothing here has."""
    text = written("cargo", "config.toml", access="team")
    assert tomllib.loads(text)["source"]["crates-io"]["replace-with"] == ODD
    assert tomllib.loads(text)["registries"][ODD]["credential-provider"] == "cargo:token"
    package = tmp_path / "p"
    (package / "src").mkdir(parents=True)
    (package / ".cargo").mkdir()
    (package / "src/lib.rs").touch()
    (package / "Cargo.toml").write_text('[package]\nname="p"\nversion="0.1.0"\n[dependencies]\nabsent="1"\n')
    (package / ".cargo/config.toml").write_text(
        written("cargo", "config.toml", origin="http://127.0.0.1:9", name="c.x")
    )
    command = [require("cargo"), "generate-lockfile", "--config", "net.retry=0"]
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
    rc = tmp_path / ".terraformrc"
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
        {"path": "a" * 201},
        {"other": "x"},
    ],
    ids=lambda given: "-".join(given),
)
def test_options_that_are_none(given: dict[str, str]) -> None:
    with pytest.raises(Invalid) as caught:
        options(given)
    assert list(caught.value.fields) == list(given)


def test_a_virtual_answers_for_what_its_members_serve() -> None:
    member = Repository("hub", Kind.REMOTE, "docker", serves=("docker.io",))
    found = place("docker", name="all", kind=Kind.VIRTUAL, origin="http://127.0.0.1:8080")
    found = replace(found, repository=replace(found.repository, parts=(member,)))
    assert 'prefix = "docker.io"' in files(found)["registries.conf"](found)
