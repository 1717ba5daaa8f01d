"""pip and uv: through a remote whose files are elsewhere, cold, with upstream stopped, through two of these proxies,
through a virtual; and pip from the index that this machine itself is configured for."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path

import pytest

from tests.clients.commands import run
from tests.clients.pythons import Index
from tests.hosting import wheels
from tests.hosting.conftest import TOKEN
from tests.stack import Stack, StackFactory, eventually

PIP = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--no-cache-dir"]
UV = [sys.executable, "-m", "uv", "--no-cache"]
SMALL = "six"  # a package that every index of everything has

Home = Callable[[], Path]


@pytest.fixture(scope="module")
def index() -> Iterator[Index]:
    made = Index()
    yield made
    made.stop()


@pytest.fixture(scope="module")
def node(index: Index, stack_factory: StackFactory) -> Stack:
    """Remotes `pypi` of JSON pages, `html` of HTML ones, `chain` behind this server, `public` if there is one."""
    stack = stack_factory({"remotes": {}}, "pypi", ADMIN_TOKEN=TOKEN)
    here = {"pypi": index.index.url, "html": f"{index.index.url}/html", "chain": f"{stack.url}/repository/pypi"}
    if (public := _public()) is not None:
        here["public"] = public
    remotes = {name: {"package": "pypi", "base_url": url} for name, url in here.items()}
    virtual = {"package": "pypi", "members": ["pypi", "team"]}
    stack.configure({"remotes": remotes, "locals": {"team": {"package": "pypi"}}, "virtuals": {"all": virtual}})
    return stack.start()


@cache
def _public() -> str | None:
    """The index over the network that this machine's pip gets packages from, as it is configured; None for none."""
    set_here = subprocess.run(
        [*PIP, "config", "get", "global.index-url"], capture_output=True, text=True, check=False
    )
    found = (os.environ.get("PIP_INDEX_URL", ""), set_here.stdout.strip(), _default())
    return next((url for url in found if url.startswith(("http://", "https://")) and _works(url)), None)


def _default() -> str:
    from pip._internal.models.index import PyPI

    return str(PyPI.simple_url)


def _works(url: str) -> bool:
    with tempfile.TemporaryDirectory() as scratch:
        asked = [*PIP, "--isolated", "--retries", "1", "download", "--no-deps", "--index-url", url, "--dest", scratch]
        cert = ["--cert", os.environ["PIP_CERT"]] if "PIP_CERT" in os.environ else []
        done = subprocess.run([*asked, *cert, SMALL], capture_output=True, timeout=60, check=False)
    return done.returncode == 0


def simple(node: Stack, repository: str) -> str:
    return f"{node.url}/repository/{repository}/simple/"


def pip(home: Path, url: str, *what: str, command: str = "install") -> Path:
    """What pip puts into a new directory."""
    where = home / "installed"
    into = ["--target", str(where)] if command == "install" else ["--dest", str(where)]
    run([*PIP, command, "--index-url", url, "--trusted-host", "127.0.0.1", *into, *what], home)
    return where


def uv(home: Path, url: str, *what: str) -> Path:
    where = home / "installed"
    run([*UV, "pip", "install", "--default-index", url, "--target", str(where), *what], home)
    return where


def test_cold_then_without_upstream_then_through_two(index: Index, node: Stack, home: Home) -> None:
    index.add(wheels.wheel("cold-tool", "1.0", "Requires-Dist: cold-lib"))
    index.add(wheels.wheel("cold-tool", "2.0", "Requires-Python: >=99"), requires_python=">=99")
    index.add(wheels.sdist("cold-lib", "0.5"))
    url = simple(node, "chain")
    assert (uv(home(), url, "Cold.Tool") / "cold_lib.py").read_text() == "VERSION = '0.5'\n"
    asked = index.asked()
    assert sorted(asked) == sorted(set(asked)), "everything was asked for once"
    index.stop()
    try:
        assert (pip(home(), simple(node, "pypi"), "cold_tool") / "cold_tool.py").read_text() == "VERSION = '1.0'\n"
        assert (uv(home(), url, "cold-tool==1.0") / "cold_lib.py").exists()
    finally:
        index.start()


@pytest.mark.parametrize("repository", ["pypi", "html"])
def test_hashes_and_downloads(index: Index, node: Stack, home: Home, repository: str) -> None:
    made = [make(f"locked-{repository}", "1.0") for make in (wheels.wheel, wheels.sdist)]
    for each in made:
        index.add(each, requires_python=">=3.8")
    here, url = home(), simple(node, repository)
    locked = here / "requirements.txt"
    locked.write_text(f"locked-{repository}==1.0 --hash=sha256:{hashlib.sha256(made[0][1]).hexdigest()}\n")
    assert (pip(here, url, "--require-hashes", "-r", str(locked)) / f"locked_{repository}.py").exists()
    uv(home(), url, "--require-hashes", "-r", str(locked))
    if repository == "html":
        sources = ["--no-deps", "--no-binary", ":all:", f"locked-{repository}"]
        assert (pip(home(), url, *sources, command="download") / made[1][0]).read_bytes() == made[1][1]


def test_a_resolver_reads_metadata_and_no_wheel(index: Index, node: Stack, home: Home) -> None:
    index.add(wheels.wheel("planned", "1.0", "Requires-Dist: planned-lib>=2"))
    index.add(wheels.wheel("planned-lib", "2.1"))
    wanted = home() / "requirements.in"
    wanted.write_text("planned\n")
    resolved = run([*UV, "pip", "compile", "--default-index", simple(node, "pypi"), str(wanted)], wanted.parent)
    assert "planned-lib==2.1" in resolved
    asked = [each for each in index.asked() if each.startswith("planned")]
    assert asked
    assert {each.rpartition(".")[2] for each in asked} == {"metadata"}


def test_metadata_that_upstream_promises_and_has_not(index: Index, node: Stack, home: Home) -> None:
    said = index.add(wheels.wheel("promised", "1.0"))
    index.files.remove(f"{str(said['url']).removeprefix(index.files.url)}.metadata")
    for installed in (pip(home(), simple(node, "pypi"), "promised"), uv(home(), simple(node, "pypi"), "promised")):
        assert (installed / "promised.py").exists()


def test_what_a_local_has_is_not_looked_for_elsewhere(index: Index, node: Stack, home: Home) -> None:
    index.add(wheels.wheel("confused", "9.0"))
    index.add(wheels.wheel("confused-lib", "2.0"))
    for made in (wheels.wheel("Confused", "1.0", "Requires-Dist: confused-lib"), wheels.wheel("team-only", "1.0")):
        assert wheels.publish(node, made, "team").status_code == 200
    for install in (pip, uv):
        where = install(home(), simple(node, "all"), "confused", "team-only")
        assert (where / "confused.py").read_text() == "VERSION = '1.0'\n"
        assert (where / "confused_lib.py").exists()
        assert (where / "team_only.py").exists()
    assert not [
        each for each in index.asked() if each.startswith(("/simple/confused/", "confused-9", "/simple/team"))
    ]


def test_the_index_that_this_machine_is_configured_for(node: Stack, home: Home) -> None:
    if _public() is None:
        pytest.skip("this machine's pip asks no index over the network")
    url = simple(node, "public")
    installed = pip(home(), url, "--no-deps", SMALL)
    assert (installed / f"{SMALL}.py").exists()
    before = len(node.lines("request"))
    assert (uv(home(), url, "--no-deps", SMALL) / f"{SMALL}.py").exists()
    eventually(lambda: len(node.lines("request")) >= before + 2, "the page and the file are logged")
    assert {line["cache"] for line in node.lines("request")[before:]} == {"HIT"}
