"""`artifactapi why URL` beside the stores of a node: the facts of the endpoint, as text or as JSON."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from app import compose, repositories
from app.cli import Commands
from app.cli.why import lines, why
from app.web import explain
from tests.http.explained import Explainer
from tests.http.node import Node
from tests.upstreams import Upstream

A = "/repository/up/dir/a.txt"
AGES = ("age", "in", "at")  # of another clock


@pytest.fixture
def explainer(node: Node, upstream: Upstream) -> Explainer:
    return Explainer(node, upstream)


@pytest.fixture
def environ(node: Node, database_url: str, redis_url: str) -> dict[str, str]:
    """What an operator's shell has."""
    stores = {"DATABASE_URL": database_url, "REDIS_URL": redis_url}
    return {"CONFIG_PATH": str(node.root / "remotes.json"), "DATA_DIR": str(node.root / "d"), **stores}


def run(environ: dict[str, str], *arguments: str) -> Result:
    return CliRunner().invoke(Commands(commands={"why": why}), ["why", *arguments], env=environ)


def facts(told: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """Every leaf, but for what each process finds by itself: ages, and how the fills process is."""
    if isinstance(told, dict | list):
        for key, value in told.items() if isinstance(told, dict) else enumerate(told):
            if key not in (*AGES, "upstreams", "unknown"):
                yield from facts(value, f"{path}.{key}")
    else:
        yield path, told


def test_the_same_facts(explainer: Explainer, upstream: Upstream, environ: dict[str, str]) -> None:
    upstream.put("/dir/a.txt", b"text")
    explainer.node.get(A)
    explainer.node.idle()
    heard = upstream.count()
    for url, status in ((A, 0), ("/repository/up/b.txt", 0), ("/repository/nope/a", 1), ("/v2/", 0)):
        as_json, as_text = run(environ, url, "--json"), run(environ, url)
        assert (as_json.exit_code, as_text.exit_code) == (status, status), as_text.output
        told = json.loads(as_json.stdout)
        assert dict(facts(told)) == dict(facts(explainer.document(url)))
        for path, value in facts(told):
            assert value in (None, "", True, False) or str(value) in as_text.stdout, path
    assert upstream.count() == heard


def test_the_text_is_for_people(explainer: Explainer) -> None:
    text = "\n".join(lines(explainer.document("/repository/nope/a")))
    assert text.splitlines()[:4] == [
        "/repository/nope/a",
        "REFUSED: refused",
        "  upstream asked  no",
        "  always: 404 unknown_repository - no such repository",
    ]


def test_what_it_cannot_tell(explainer: Explainer, environ: dict[str, str]) -> None:
    answer = run(environ | {"REDIS_URL": "unix:///nowhere"}, A)
    assert answer.exit_code == 0
    assert "unknown: download, for Redis does not answer" in answer.stdout
    wrong = run(environ, "ftp://nowhere")
    assert (wrong.exit_code, wrong.stderr) == (
        1,
        "artifactapi: url is neither the http URL of a client nor a path\n",
    )
    alone = run({**environ, "DATABASE_URL": "", "REDIS_URL": "", "DATA_DIR": str(explainer.node.root / "x")}, A)
    assert (alone.exit_code, alone.stdout) == (1, "")
    assert f"nothing runs in {explainer.node.root / 'x'} (DATA_DIR)" in alone.stderr


def test_where_a_blob_is_in_a_bucket(node: Node, tmp_path: Path) -> None:
    settings = replace(node.settings, storage_url="s3://blobs/some/prefix", s3_endpoint_url="http://127.0.0.1:1")
    known = repositories.load(tmp_path / "remotes.json")
    app = compose.worker(settings, known)
    with app.app_context():
        assert explain.place("ab" * 32) == f"s3://blobs/some/prefix/sha256/ab/{'ab' * 32}"
