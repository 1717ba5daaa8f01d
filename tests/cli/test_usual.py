"""What clients ask where nothing says otherwise is left out only where something does; and secrets in addresses."""

from __future__ import annotations

from pathlib import Path

import pytest

from app.discovery import alpine, debian, redhat
from app.discovery.document import document
from app.discovery.found import Address, Note, address
from app.discovery.machine import Machine
from app.discovery.readers import read
from tests.cli.test_init import FILES, SECRET, urls

BESIDE = {
    "etc/pip.conf": "[global]\nextra-index-url = https://extra.example.org/simple\n",
    "root/.npmrc": "@team:registry=https://team.example.org/\n",
    "etc/containers/registries.conf": 'unqualified-search-registries = ["quay.example.org", "docker.io"]\n',
    "root/.cargo/config.toml": '[registries.x]\nindex = "sparse+https://crates.example.org/"\n',
    "root/.m2/settings.xml": "<settings><profiles><profile><repositories><repository><id>ours</id>"
    "<url>https://maven.example.org</url></repository></repositories></profile></profiles></settings>",
}


@pytest.mark.parametrize(("configured", "more"), [(BESIDE, 5), (FILES, 0)])
def test_the_usual_one_is_left_out_where_another_is_asked_instead(
    configured: dict[str, str], more: int, tmp_path: Path
) -> None:
    for name, text in configured.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    every = Machine(tmp_path, tmp_path / "root", {}, lambda command: f"https://usual.example.org/{command[0]}", "x")
    usual = {"pypi", "npm", "docker", "cargo", "maven"}
    said = [each for each, _ in read(every).sources if "default" in each or "npm config" in each]
    assert len(said) == more, said
    assert usual <= {each.package for each in read(every).addresses}


def test_a_list_of_mirrors_is_asked_with_its_query_and_nothing_else_is() -> None:
    url = "https://a:b@x.example.org:8/p/?q=1#f"
    assert urls([address("rpm", url, "x", key="metalink")]) == ["https://x.example.org:8/p?q=1"]
    text = f"https://mirror.example.org/alpine?token={SECRET}\nhttps://a:{SECRET}@other.example.org/v3.20/main\n"
    for found in (*alpine.repositories(text), *debian.one_line(f"deb {text.splitlines()[0]} s main")):
        assert SECRET not in str(found)


TOLD = {
    "pip.conf": "[global]\nindex-url = https://told.example.org/pip\n",
    "uv.toml": '[[index]]\nurl = "https://told.example.org/uv"\ndefault = true\n',
    "npmrc": "registry=https://told.example.org/npm\n",
    "cargo/config.toml": '[source.crates-io]\nregistry = "sparse+https://told.example.org/cargo"\n',
    "registries.conf": '[[registry]]\nprefix = "docker.io"\nlocation = "told.example.org"\n',
    "goenv": "GOPROXY=https://told.example.org/go\n",
    "charts.yaml": "repositories: [{name: c, url: https://told.example.org/helm}]\n",
    "config/pip/pip.conf": "[global]\nindex-url = https://told.example.org/xdg-pip\n",
    "config/uv/uv.toml": '[[index]]\nurl = "https://told.example.org/xdg-uv"\n',
    "config/go/env": "GOPROXY=https://told.example.org/xdg-go\n",
    "config/helm/repositories.yaml": "repositories: [{name: c, url: https://told.example.org/xdg-helm}]\n",
    "helm/repositories.yaml": "repositories: [{name: c, url: https://told.example.org/helm-home}]\n",
    "venv/pip.conf": "[global]\nindex-url = https://told.example.org/venv\n",
    "nothing": "",
}
USUAL = {
    "root/.pip/pip.conf": "[global]\nindex-url = https://usual.example.org/pip\n",
    "root/.config/uv/uv.toml": '[[index]]\nurl = "https://usual.example.org/uv"\n',
    "root/.npmrc": "registry=https://usual.example.org/npm\n",
    "root/.cargo/config.toml": '[source.crates-io]\nregistry = "sparse+https://usual.example.org/cargo"\n',
    "etc/containers/registries.conf": '[[registry]]\nprefix = "docker.io"\nlocation = "usual.example.org"\n',
    "root/.config/go/env": "GOPROXY=https://usual.example.org/go\n",
    "root/.config/helm/repositories.yaml": "repositories: [{name: c, url: https://usual.example.org/helm}]\n",
}


@pytest.mark.parametrize(
    ("variable", "place", "package", "expected"),
    [
        ("PIP_CONFIG_FILE", "pip.conf", "pypi", ["told.example.org/pip", "usual.example.org/uv"]),
        ("PIP_CONFIG_FILE", "absent", "pypi", ["usual.example.org/pip", "usual.example.org/uv"]),
        ("PIP_CONFIG_FILE", "/dev/null", "pypi", ["usual.example.org/uv"]),
        ("VIRTUAL_ENV", "venv", "pypi", ["told.example.org/venv", "usual.example.org/pip", "usual.example.org/uv"]),
        ("UV_CONFIG_FILE", "uv.toml", "pypi", ["usual.example.org/pip", "told.example.org/uv"]),
        ("XDG_CONFIG_HOME", "config", "pypi",
         ["told.example.org/xdg-pip", "usual.example.org/pip", "told.example.org/xdg-uv"]),
        ("NPM_CONFIG_USERCONFIG", "npmrc", "npm", ["told.example.org/npm"]),
        ("npm_config_userconfig", "npmrc", "npm", ["told.example.org/npm"]),
        ("NPM_CONFIG_GLOBALCONFIG", "npmrc", "npm", ["usual.example.org/npm", "told.example.org/npm"]),
        ("CARGO_HOME", "cargo", "cargo", ["told.example.org/cargo"]),
        ("CONTAINERS_REGISTRIES_CONF", "registries.conf", "docker", ["told.example.org"]),
        ("GOENV", "goenv", "go", ["told.example.org/go"]),
        ("GOENV", "off", "go", []),
        ("XDG_CONFIG_HOME", "config", "go", ["told.example.org/xdg-go"]),
        ("HELM_REPOSITORY_CONFIG", "charts.yaml", "helm", ["told.example.org/helm"]),
        ("HELM_CONFIG_HOME", "helm", "helm", ["told.example.org/helm-home"]),
        ("XDG_CONFIG_HOME", "config", "helm", ["told.example.org/xdg-helm"]),
        ("CARGO_HOME", "", "cargo", ["usual.example.org/cargo"]),
        ("CARGO_HOME", "nothing", "cargo", []),
    ],
)  # fmt: skip
def test_the_environment_says_where_a_configuration_is(
    variable: str, place: str, package: str, expected: list[str], tmp_path: Path
) -> None:
    """And the usual file is left out that the client then does not read."""
    for name, text in (*TOLD.items(), *USUAL.items()):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    value = place if place in ("", "off") else str(tmp_path / place)  # an absolute one stays as it is
    machine = Machine(tmp_path, tmp_path / "root", {variable: value}, lambda _: "", "x")
    found = [each.url.partition("://")[2] for each in read(machine).addresses if each.package == package]
    assert found == expected


def test_a_client_certificate_and_a_proxy_of_dnf(tmp_path: Path) -> None:
    """The files are taken over where they can be read, both or none; what is not is said, without any secret."""
    for name in ("c.pem", "k.pem", "ca.pem"):
        (tmp_path / name).write_text("x")
    text = f"""[corp]
baseurl=https://corp.example.org/
sslcacert={tmp_path}/ca.pem
sslclientcert={tmp_path}/c.pem
sslclientkey={tmp_path}/k.pem
proxy=http://somebody:{SECRET}@proxy.example.org:3128
sslverify=0
[both]
baseurl=https://both.example.org/
sslclientcert={tmp_path}/c.pem
proxy=_none_
[half]
baseurl=https://half.example.org/
sslclientcert={tmp_path}/c.pem
sslclientkey={tmp_path}/gone.pem
sslcacert={tmp_path}/gone-too.pem
"""
    found = list(redhat.repo(text, {}))
    notes = [each.text for each in found if isinstance(each, Note)]
    assert [note.partition(":")[0] for note in notes] == ["corp", "corp"]
    assert "proxy" in notes[0]
    assert "ca_file" in notes[1]
    assert SECRET not in str(found)
    made = document(each for each in found if isinstance(each, Address))
    upstream = {name: each.get("upstream") for name, each in made.text["remotes"].items()}
    assert upstream == {
        "corp": {key: f"{tmp_path}/{name}.pem" for key, name in
                 (("ca_file", "ca"), ("client_cert", "c"), ("client_key", "k"))},
        "both": {"client_cert": f"{tmp_path}/c.pem"},
        "half": None,
    }  # fmt: skip
    assert [note.partition(" cannot")[0] for note in made.notes] == [
        f"half: {tmp_path}/gone-too.pem",
        f"half: {tmp_path}/gone.pem",
    ]
