"""`artifactapi init`: the files of each client as they are written, in a directory that stands for a machine."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from app import repositories
from app.cli import main
from app.discovery import alpine, charts, containers, debian, golang, java, node, python, redhat, rust
from app.discovery.document import document
from app.discovery.found import Address, Found, Note, address
from app.discovery.machine import Machine, this
from app.discovery.readers import read
from tests.stack import ROOT

SECRET = "s3cret-of-mine"
FILES = {
    "root/.config/pip/pip.conf": f"""
[global]
index-url = https://somebody:{SECRET}@python.example.org/simple/
extra-index-url = https://other.example.org/simple https://third.example.org/pypi/simple
""",
    "etc/uv/uv.toml": """
[[index]]
name = "torch"
url = "https://torch.example.org/whl/simple"
""",
    "root/.npmrc": f"""
# ours
registry=https://node.example.org/
@team:registry=https://team.example.org/npm/
//team.example.org/npm/:_authToken={SECRET}
""",
    "etc/apt/sources.list": """
# deb http://commented.example.org/debian stable main
deb [arch=amd64 signed-by=/k.gpg] http://deb.example.org/debian stable main contrib
deb-src http://deb.example.org/debian stable main
deb cdrom:[Debian]/ stable main
""",
    "etc/apt/sources.list.d/more.sources": """Types: deb
URIs: http://deb.example.org/debian http://deb.example.org/debian-security
Suites: stable
Components: main

Types: deb
Enabled: no
URIs: http://off.example.org/debian
Suites: stable
Components: main
""",
    "etc/os-release": 'ID="almalinux"\nID_LIKE="rhel centos fedora"\nVERSION_ID="9.4"\n',
    "etc/dnf/vars/stream": "9-stream\n",
    "etc/yum.repos.d/alma.repo": f"""
[baseos]
name=BaseOS
baseurl=https://rpm.example.org/alma/$releasever/BaseOS/$basearch/os/
username=somebody
password={SECRET}
[extras]
mirrorlist=https://mirrors.example.org/mirrorlist/$releasever/extras
[epel]
metalink=https://mirrors.example.org/metalink?repo=epel-$releasever&arch=$basearch
[odd]
baseurl=https://rpm.example.org/$stream/$unheard
[off]
enabled=0
baseurl=https://off.example.org/
""",
    "etc/apk/repositories": """
https://alpine.example.org/alpine/v3.20/main
https://alpine.example.org/alpine/v3.20/community
@edge https://alpine.example.org/alpine/edge/testing
/media/cdrom/apks
""",
    "etc/docker/daemon.json": '{"registry-mirrors": ["https://mirror.example.org"]}',
    "etc/containers/registries.conf": """
unqualified-search-registries = ["docker.io", "quay.example.org"]
[[registry]]
prefix = "ghcr.example.org"
location = "ghcr.example.org"
[[registry.mirror]]
location = "inner.example.org:5000"
insecure = true
""",
    "root/.cargo/config.toml": """
[source.crates-io]
replace-with = "vendored"
[source.vendored]
registry = "sparse+https://crates.example.org/index/"
[registries.old]
index = "https://git.example.org/index.git"
""",
    "root/.config/go/env": "GOPROXY=https://go.example.org,https://second.example.org|direct\n",
    "root/.m2/settings.xml": f"""<settings xmlns="http://maven.apache.org/SETTINGS/1.2.0">
<servers><server><id>ours</id><username>somebody</username><password>{SECRET}</password></server></servers>
<mirrors><mirror><id>ours</id><mirrorOf>*</mirrorOf><url>https://maven.example.org/all</url></mirror>
<mirror><id>blocker</id><mirrorOf>external:http:*</mirrorOf><url>http://0.0.0.0/</url><blocked>true</blocked></mirror>
</mirrors></settings>""",
    "root/.config/helm/repositories.yaml": f"""
apiVersion: ""
repositories:
- name: charts
  url: https://charts.example.org/stable
- name: private
  url: https://charts.example.org/private
  username: somebody
  password: {SECRET}
""",
}


@pytest.fixture
def root(tmp_path: Path) -> Path:
    for name, text in FILES.items():
        file = tmp_path / "machine" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
    return tmp_path / "machine"


def run(*arguments: str) -> Any:
    return CliRunner().invoke(main, ["init", *arguments])


def remotes(file: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(file.read_text())["remotes"]
    return found


def test_a_whole_machine(root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    output = tmp_path / "remotes.json"
    done = run("--root", str(root), "--output", str(output))
    assert done.exit_code == 0, done.output
    assert SECRET not in done.output + output.read_text()
    found = remotes(output)
    urls = {
        name: next(each[key] for key in ("base_url", "metalink", "mirrorlist") if key in each)
        for name, each in found.items()
    }
    expected = {
        "pypi": "https://python.example.org/simple",
        "pypi-other.example.org": "https://other.example.org/simple",
        "pypi-third.example.org": "https://third.example.org/pypi/simple",
        "pypi-torch": "https://torch.example.org/whl/simple",
        "npm": "https://node.example.org",
        "npm-team": "https://team.example.org/npm",
        "debian": "http://deb.example.org/debian",
        "debian-security": "http://deb.example.org/debian-security",
        "baseos": "https://rpm.example.org/alma/9/BaseOS/x86_64/os",
        "extras": "https://mirrors.example.org/mirrorlist/9/extras",
        "epel": "https://mirrors.example.org/metalink?repo=epel-9&arch=x86_64",
        "alpine": "https://alpine.example.org/alpine",
        "dockerhub-mirror-1": "https://mirror.example.org",
        "inner-example-org-5000": "http://inner.example.org:5000",
        "quay-example-org": "https://quay.example.org",
        "ours": "https://maven.example.org/all",
        "charts": "https://charts.example.org/stable",
        "private": "https://charts.example.org/private",
        "go": "https://go.example.org",
        "go-2": "https://second.example.org",
    }
    assert {name: url for name, url in urls.items() if name in expected} == {
        name: url.replace("x86_64", os.uname().machine) for name, url in expected.items()
    }
    assert found["pypi"]["password"] == {"env": "PYPI_PASSWORD"}
    assert found["npm-team"]["upstream"] == {"headers": {"Authorization": {"env": "NPM_TEAM_AUTHORIZATION"}}}
    assert found["baseos"]["username"] == {"env": "BASEOS_USERNAME"}
    assert found["ours"]["password"] == {"env": "OURS_PASSWORD"}
    assert found["dockerhub-mirror-1"]["serves"] == ["docker.io"]
    assert found["inner-example-org-5000"]["serves"] == ["ghcr.example.org"]
    for file in FILES:
        if file not in ("etc/os-release", "etc/dnf/vars/stream"):
            assert f"read {file.replace('root/', '~/') if file.startswith('root/') else '/' + file}:" in done.output
    for said in ("$unheard", "sparse one is", "cdrom", "set NPM_TEAM_AUTHORIZATION before"):
        assert said in done.output, done.output
    for line in done.output.splitlines():
        if line.startswith("set "):
            monkeypatch.setenv(line.split()[1], "x")
    assert set(repositories.load(output).remotes) == set(found)


def test_a_file_that_is_there_is_not_replaced(root: Path, tmp_path: Path) -> None:
    output = tmp_path / "remotes.json"
    output.write_text("mine")
    done = run("--root", str(root), "--output", str(output))
    assert (done.exit_code, output.read_text()) == (1, "mine")
    assert "--force" in done.output
    printed = CliRunner().invoke(main, ["init", "--root", str(root), "--output", str(output), "--print"])
    assert (printed.exit_code, output.read_text()) == (0, "mine")
    assert "debian" in json.loads(printed.stdout)["remotes"]
    assert run("--root", str(root), "--output", str(output), "--force").exit_code == 0
    assert "debian" in remotes(output)
    assert run("--root", str(root), "--output", str(tmp_path / "no" / "r.json")).exit_code == 1


def test_what_is_written_is_what_the_server_reads(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """CONFIG_PATH names it for `check` and `run`, too."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("CONFIG_PATH", str(tmp_path / "mine.json"))
    assert run("--root", str(root)).exit_code == 0
    assert "debian" in remotes(tmp_path / "mine.json")
    monkeypatch.setenv("CONFIG_PATH", " ")
    assert run("--root", str(root)).exit_code == 0
    assert "debian" in remotes(tmp_path / "remotes.json")


def test_an_empty_machine_and_broken_files(tmp_path: Path) -> None:
    (tmp_path / "m").mkdir()
    output = tmp_path / "remotes.json"
    assert run("--root", str(tmp_path / "m"), "--output", str(output)).exit_code == 0
    assert remotes(output) == {}
    for name in FILES:
        file = tmp_path / "m" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(b"\xff\xfe{[<&: \x00" if "os-release" not in name else b"\xff")
    done = run("--root", str(tmp_path / "m"), "--output", str(output), "--force")
    assert done.exit_code == 0, done.output
    assert "is not UTF-8" in done.output
    for name in FILES:
        (tmp_path / "m" / name).write_text("{[<&: \n= [[\n")
    done = run("--root", str(tmp_path / "m"), "--output", str(output), "--force")
    assert done.exit_code == 0, done.output
    assert "Traceback" not in done.output


def urls(found: Any) -> list[str]:
    return [each.url if isinstance(each, Address) else "-" for each in found]


def test_what_each_parser_reads_besides() -> None:
    environ = {"PIP_INDEX_URL": "https://a.example.org/simple", "UV_INDEX": "n=https://b.example.org/simple"}
    assert urls(python.environment(environ)) == ["https://a.example.org/simple", "https://b.example.org/simple"]
    assert urls(python.uv('[[index]]\nurl = "https://a.example.org"\ndefault = true\n')) == ["https://a.example.org"]
    assert urls(node.npmrc("registry = ${R}\n_auth=abc", {"R": "http://r.example.org"})) == [
        "http://r.example.org",
        "-",
    ]
    assert urls(debian.one_line("deb mirror+file:/x stable main\n\ndeb https://[::1]:80/d s m")) == [
        "-",
        "https://[::1]:80/d",
    ]
    assert urls(golang.environment({"GOPROXY": "direct,off"})) == []
    assert urls(alpine.repositories("# x\nhttp://a.example.org/custom\n")) == ["http://a.example.org/custom"]
    assert urls(containers.hosts('server = "https://gcr.example.org"\n[host."https://x"]\n')) == [
        "https://gcr.example.org"
    ]
    assert urls(containers.hosts('server = "https://docker.io"')) == []
    assert urls(rust.config('[source.crates-io]\nregistry = "sparse+https://x.example.org"')) == [
        "https://x.example.org"
    ]
    assert redhat.variables("ID=fedora\nVERSION_ID=41\n", "i686", {})["basearch"] == "i386"
    assert urls(charts.repositories("a: 1")) == []
    with pytest.raises(ValueError, match="document type"):
        list(java.settings("<!DOCTYPE x><settings/>"))


@pytest.mark.parametrize(
    ("url", "told"),
    [
        ("https://a:b@x.example.org:8/p/#f", ("https://x.example.org:8/p", "basic")),
        ("https://x.example.org/p?token=secret", None),
        ("http://[2001:db8::1]/x", ("http://[2001:db8::1]/x", "")),
        ("ftp://x/", None),
        ("http://[x", None),
        ("https://", None),
    ],
)
def test_addresses(url: str, told: tuple[str, str] | None) -> None:
    found: Found = address("deb", url, "a name/with: things")
    assert isinstance(found, Note) if told is None else (found.url, found.login) == told  # type: ignore[union-attr]
    assert told is None or found.name == "a-name-with-things"  # type: ignore[union-attr]


def test_names_and_hosts_are_each_once() -> None:
    found = [Address("deb", f"http://{n}.example.org", "debian", serves=("x",)) for n in "abb"]
    text = document(found).text["remotes"]
    assert list(text) == ["debian", "debian-2"]
    assert "serves" not in text["debian-2"]
    assert document([Address("unheard", "http://x", "x")]).notes


def test_this_very_machine(tmp_path: Path) -> None:
    """Its pip, npm and apt, whatever they are configured for: what they say themselves is what is found."""
    found = {each.url for each in read(this()).addresses}
    if shutil.which("npm"):
        registry = subprocess.run(["npm", "config", "get", "registry"], capture_output=True, text=True, check=True)
        assert registry.stdout.strip().rstrip("/") in found
    command = [sys.executable, "-m", "app.cli", "init", "--output", str(tmp_path / "remotes.json")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False, cwd=ROOT)
    assert done.returncode == 0, done.stderr
    packages = {each["package"] for each in remotes(tmp_path / "remotes.json").values()}
    assert "pypi" in packages
    lists = [*Path("/etc/apt").glob("sources.list.d/*.sources"), *Path("/etc/apt").glob("sources.list")]
    assert "deb" in packages or not lists


def test_a_command_that_is_not_there_or_fails_says_nothing() -> None:
    machine = this()
    assert machine.run(["no-such-command-here"]) == ""
    assert machine.run([sys.executable, "-c", "raise SystemExit(1)"]) == ""
    assert isinstance(machine, Machine)
