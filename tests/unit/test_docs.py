"""What the documents promise is there, and what is there is documented."""

from __future__ import annotations

import ast
import json
import re
from pathlib import Path

import pytest

from app.config import DOCUMENTED
from app.formats import FORMATS
from app.repositories import schema

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text()
ARCHITECTURE = (ROOT / "ARCHITECTURE.md").read_text()
MODULES = sorted((ROOT / "app").rglob("*.py"))
ENGINE = [
    "cache.py",
    "shelf.py",
    "fetch.py",
    "turns.py",
    "visit.py",
    "records.py",
    "sets.py",
    "adopt.py",
    "freshness.py",
    "assembly.py",
    "making.py",
    "desk.py",
    "sources.py",
    "locating.py",
    "heads.py",
    *(f"fills/{p.name}" for p in (ROOT / "app/fills").glob("*.py")),
]
ECOSYSTEMS = "docker|rpm|apk|deb|pypi|npm|helm|cargo|maven|nuget|conda|yum|dnf|alpine|gem|terraform|puppet"


@pytest.mark.parametrize("setting", DOCUMENTED, ids=lambda one: one.name)
def test_every_setting_is_a_row_of_the_readme(setting: object) -> None:
    name, default, meaning = (getattr(setting, each) for each in ("name", "default", "meaning"))
    shown = "-" if default == "-" else f"`{default}`"
    assert f"| `{name}` | {shown} | {meaning} |" in README


def test_every_key_of_a_remote_is_in_the_readme() -> None:
    definitions = str(schema())
    for key in ("base_urls", "check_mutable_updates", "on_upstream_gone", "offline", "overwrite"):
        assert key in definitions
        assert f"`{key}`" in README


@pytest.mark.parametrize("name", FORMATS)
def test_every_format_is_in_the_readme(name: str) -> None:
    assert f"`{name}`" in README


@pytest.mark.parametrize("snippet", re.findall(r"```json\n(.*?)```", README, re.DOTALL))
def test_what_is_shown_as_json_is_json(snippet: str) -> None:
    """Who pastes a daemon.json with a comment in it has a dockerd that does not start."""
    assert json.loads(snippet)


def test_the_code_map_names_only_what_exists() -> None:
    named = re.findall(r"`((?:app|tests|bench)/[\w/]*(?:\.py)?)`", ARCHITECTURE)
    assert named
    assert [name for name in named if not (ROOT / name).exists()] == []


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_module_says_what_it_knows_and_is_short(path: Path) -> None:
    text = path.read_text()
    assert ast.get_docstring(ast.parse(text)), "a module without a docstring"
    assert text.count("\n") <= 300


@pytest.mark.parametrize("name", ENGINE)
def test_the_engine_names_no_ecosystem(name: str) -> None:
    assert re.findall(rf"\b(?:{ECOSYSTEMS})\b", (ROOT / "app" / name).read_text(), re.IGNORECASE) == []


def test_imports_go_one_way() -> None:
    """formats -> nouns; stores and upstream -> nouns; the engine imports nothing of the web."""
    wrong = []
    for path in MODULES:
        inner = path.relative_to(ROOT / "app").as_posix()
        for imported in re.findall(r"^from (app[\w.]*)", path.read_text(), re.MULTILINE):
            if inner.startswith(("stores/", "upstream/", "formats/")) and imported.startswith("app.web"):
                wrong.append((inner, imported))
            if inner in ENGINE and inner != "fills/__main__.py" and imported.startswith(("app.web", "app.formats")):
                wrong.append((inner, imported))
    assert wrong == []
