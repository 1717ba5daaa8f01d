"""What clients ask where nothing says otherwise is left out only where something does; and secrets in addresses."""

from __future__ import annotations

from pathlib import Path

import pytest

from app.discovery import alpine, debian
from app.discovery.found import address
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
