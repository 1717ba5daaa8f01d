"""The JSON Schema agrees with what is loaded: the example, the effective configuration, and refusals."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from app.formats import FORMATS
from app.repositories import load, schema
from app.resource import Repository, UpstreamOptions

EXAMPLE = Path(__file__).parents[2] / "remotes.json"


@pytest.fixture
def validator() -> Any:
    jsonschema.Draft202012Validator.check_schema(schema())
    return jsonschema.Draft202012Validator(schema())


def test_the_example_is_valid(validator: Any) -> None:
    validator.validate(json.loads(EXAMPLE.read_text()))
    validator.validate(load(EXAMPLE).effective())


def test_the_example_shows_each_kind_and_every_format() -> None:
    """But for the two whose registries `artifactapi init` finds on every machine that has their clients."""
    found = load(EXAMPLE)
    assert {each.package for each in found.remotes.values()} == set(FORMATS) - {"pypi", "npm"}
    assert [each.package for each in found.locals.values()] == ["generic"]
    assert [each.members for each in found.virtuals.values()] == [("files", "github")]
    assert all(found.remotes[name].description for name in found.remotes)


@pytest.mark.parametrize(
    "keys",
    [
        {},
        {"base_url": "https://h", "base_urls": ["https://h"]},
        {"base_url": "ftp://h"},
        {"base_url": "https://u:p@h"},
        {"base_url": "https://h", "package": "oci"},
        {"base_url": "https://h", "metalink": "https://h", "package": "rpm"},
        {"metalink": "https://h", "mirrorlist": "https://h", "package": "rpm"},
        {"metalink": "https://h"},
        {"metalink": "https://h", "package": "deb"},
        {"metalink": "https://h?a=$basearch", "package": "rpm"},
        {"base_url": "https://h", "serves": ["docker.io"]},
        {"base_url": "https://h", "default": True, "package": "rpm"},
        {"base_url": "https://h", "upstream": {"auth_hosts": ["a.example"]}},
        {"base_url": "https://h", "serves": ["https://docker.io"], "package": "docker"},
        {"base_url": "https://h", "ban_tags": ["a/b"], "package": "docker"},
        {"base_url": "https://h", "mutable_pattern": []},
        {"base_url": "https://h", "cache": {"mutable_ttl": -1}},
        {"base_url": "https://h", "cache": {"mutable_ttl": "1 week"}},
        {"base_url": "https://h", "upstream": {"stall_timeout": "forever"}},
        {"base_url": "https://h", "quarantine_new": True},
        {"base_url": "https://h", "password": {"env": "A", "file": "b"}},
    ],
    ids=str,
)
def test_what_is_refused_is_invalid(validator: Any, keys: dict[str, Any]) -> None:
    assert not validator.is_valid({"remotes": {"r": keys}})


@pytest.mark.parametrize(
    "keys",
    [
        {"metalink": "https://h/?repo=x&arch=y", "package": "rpm"},
        {"mirrorlist": "https://h", "package": "rpm"},
        {"base_url": "https://h", "default": False, "serves": [], "upstream": {"auth_hosts": []}},
        {
            "base_url": "https://h",
            "package": "docker",
            "serves": ["docker.io"],
            "default": True,
            "upstream": {"auth_hosts": ["a.example:8443"]},
        },
    ],
    ids=str,
)
def test_what_is_loaded_is_valid(validator: Any, tmp_path: Path, keys: dict[str, Any]) -> None:
    (tmp_path / "remotes.json").write_text(json.dumps({"remotes": {"r": keys}}))
    validator.validate({"remotes": {"r": keys}})
    validator.validate(load(tmp_path / "remotes.json").effective())


@pytest.mark.parametrize(
    "document", [{"locals": {"-a": {}}}, {"virtuals": {"v": {"members": []}}}, {"remote": {}}], ids=str
)
def test_a_document_that_is_refused_is_invalid(validator: Any, document: dict[str, Any]) -> None:
    assert not validator.is_valid(document)


def test_every_key_is_described_and_every_field_has_its_key() -> None:
    parts = schema()["$defs"]
    for name in ("Remote", "Local", "Virtual", "Cache", "Upstream"):
        assert all(each["description"] for each in parts[name]["properties"].values())
    assert set(parts["Upstream"]["properties"]) == {each.name for each in dataclasses.fields(UpstreamOptions)}
    keys = {key for name in ("Remote", "Local", "Cache") for key in parts[name]["properties"]}
    made = {"name", "kind", "members", "parts", "unread", "signing", "created"}
    assert {each.name for each in dataclasses.fields(Repository)} - keys == made


def test_defaults_are_the_dataclasses() -> None:
    parts = schema()["$defs"]
    assert parts["Cache"]["properties"]["mutable_ttl"]["default"] == 3600
    assert parts["Upstream"]["properties"]["max_connections"]["default"] == UpstreamOptions().max_connections
    assert parts["Remote"]["properties"]["on_upstream_gone"]["default"] == "keep"
