"""Python packages' pages and npm's documents: which form is asked for, where it is stored, how it is written."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from app.formats import npm, pypi
from app.formats.accept import fitting
from app.formats.npm import FULL, HERE, NPM, PACKAGE, SHORT
from app.formats.pypi import HTML, HTML_V1, JSON_V1, PYPI
from app.formats.pypi_pages import File, Project, project_html, project_json, root_html, root_json
from app.resource import Ask, Kind, Repository

LOCAL = Repository("team", Kind.LOCAL)
PIP = f"{JSON_V1}, {HTML_V1}; q=0.1, text/html; q=0.01"
UV = f"{JSON_V1}, {HTML_V1};q=0.2, text/html;q=0.01"


@pytest.mark.parametrize(
    ("accept", "query", "kind"),
    [
        ("", "", HTML),
        ("*/*", "", HTML),
        ("text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8", "", HTML),
        (PIP, "", JSON_V1),
        (UV, "", JSON_V1),
        (f"text/html;q=0.5, {HTML_V1}", "", HTML_V1),
        (f"{JSON_V1};q=0.2, text/html;q=0.3", "", HTML),
        (f"{JSON_V1};q=0, */*;q=0.1", "", HTML),
        (f"text/html;q=0, {HTML_V1};q=0, */*;q=0.1", "", JSON_V1),
        ("application/vnd.pypi.simple.latest+json", "", JSON_V1),
        ("application/vnd.pypi.simple.v2+json", "", HTML),
        ("image/png;q=nonsense;;,,", "", HTML),
        (PIP.upper(), "", JSON_V1),
        ("text/html", "format=application/vnd.pypi.simple.v1%2Bjson", JSON_V1),
        ("text/html", "format=application/vnd.pypi.simple.v1+json", JSON_V1),
        (PIP, "format=application/vnd.pypi.simple.latest%2Bhtml", HTML_V1),
        (PIP, "format=text/html&a=b", HTML),
        (PIP, "format=image/png", JSON_V1),
    ],
)
def test_the_form_of_a_page(accept: str, query: str, kind: str) -> None:
    assert pypi.negotiated(accept, query) == kind
    ask = Ask("GET", "team", "simple/a/", query, {"accept": accept})
    resource = PYPI.resolve(LOCAL, ask)
    assert (resource.key, resource.rendered) == (f"simple/a/{pypi.VARIANTS[kind]}", False)
    assert PYPI.headers(ask, resource, "", "") == (("Vary", "Accept"),)


@pytest.mark.parametrize("path", ["simple/a", "packages/a/a-1.0.tar.gz", "simple/a/b/", "simple/a/index.html", ""])
def test_other_paths_are_files(path: str) -> None:
    ask = Ask("GET", "team", path)
    assert PYPI.resolve(LOCAL, ask).key == path
    assert PYPI.headers(ask, PYPI.resolve(LOCAL, ask), "", "") == ()


@pytest.mark.parametrize(
    ("accept", "kind"),
    [
        ("", FULL),
        ("*/*", FULL),
        ("application/json", FULL),
        (f"{SHORT}; q=1.0, application/json; q=0.8, */*", SHORT),
        (f"{SHORT}; q=0.5, application/json", FULL),
        ("text/html", FULL),
    ],
)
def test_the_form_of_a_document(accept: str, kind: str) -> None:
    assert npm.negotiated(accept) == kind
    for package in ("tool", "@team/tool"):
        resource = NPM.resolve(LOCAL, Ask("GET", "team", package, headers={"accept": accept}))
        assert (resource.key, resource.rendered) == (f"{package}/-/{npm.VARIANTS[kind]}", True)


def test_a_document_is_rendered_for_where_the_client_reached_us() -> None:
    ask = Ask("GET", "team", "tool", address="https://a.example.org/repository/team")
    stored = f'{{"tarball":"{HERE}/tool/-/tool-1.0.0.tgz","x":"\\u2302"}}'.encode()
    body, _ = NPM.render(ask, NPM.resolve(LOCAL, ask), stored, "")
    assert body == b'{"tarball":"https://a.example.org/repository/team/tool/-/tool-1.0.0.tgz","x":"\\u2302"}'
    other = replace(ask, path="tool/-/tool-1.0.0.tgz")
    assert NPM.resolve(LOCAL, other).key == other.path
    assert not NPM.resolve(LOCAL, other).rendered


def test_names_that_npm_takes() -> None:
    for name in ("a", "a.b", "a-b_c~d", "@a/b", "@a-1/b_", "-a", "0"):
        assert PACKAGE.fullmatch(name), name
    for name in (
        "",
        "-",
        ".a",
        "_a",
        "A",
        "@a",
        "@a/",
        "@a/b/c",
        "@/b",
        "a/b",
        "a b",
        "@-/b",
        "@a/-",
        "\u0430",
        "a\n",
    ):
        assert not PACKAGE.fullmatch(name), name


def test_the_first_of_equals_is_chosen() -> None:
    assert fitting("b/b, a/a", ["a/a", "b/b"]) == "a/a"
    assert fitting("a/*;q=0.1, b/b;q=0.2", ["a/a", "b/b"]) == "b/b"


HOSTILE = '"><script>&\u2028'


def test_a_page_says_everything_in_both_forms() -> None:
    whole = File(
        "a-1.0-py3-none-any.whl",
        "../../packages/a/a-1.0-py3-none-any.whl",
        {"sha256": "aa"},
        size=7,
        uploaded=1_700_000_000.5,
        requires_python=">=3.8",
        yanked=HOSTILE,
        metadata={"sha256": "bb"},
        signed=True,
    )
    bare = File("a-1.0.tar.gz", "https://example.org/a-1.0.tar.gz#sha1=ff", {})
    odd = replace(bare, name=HOSTILE, digests={"md5": "cc"}, yanked="", metadata={})
    project = Project("a", ("1.0",), (whole, bare, odd))
    told = json.loads(project_json(project))
    assert (told["meta"], told["name"], told["versions"]) == ({"api-version": "1.1"}, "a", ["1.0"])
    first, second, third = told["files"]
    assert (first["upload-time"], first["size"], first["yanked"]) == ("2023-11-14T22:13:20.500000Z", 7, HOSTILE)
    assert first["core-metadata"] == first["dist-info-metadata"] == {"sha256": "bb"}
    assert (second["yanked"], second["core-metadata"], second["gpg-sig"]) == (False, False, False)
    assert not {"size", "upload-time", "requires-python"} & set(second)
    assert (third["yanked"], third["core-metadata"], third["filename"]) == (True, {}, HOSTILE)
    links = project_html(project).decode().split("\n")[7:10]
    assert links[0] == (
        '<a href="../../packages/a/a-1.0-py3-none-any.whl#sha256=aa" data-requires-python="&gt;=3.8"'
        ' data-core-metadata="sha256=bb" data-dist-info-metadata="sha256=bb"'
        ' data-yanked="&quot;&gt;&lt;script&gt;&amp;\u2028" data-gpg-sig="true">a-1.0-py3-none-any.whl</a><br>'
    )
    assert links[1] == '<a href="https://example.org/a-1.0.tar.gz">a-1.0.tar.gz</a><br>'
    assert "#md5=cc" in links[2]
    assert 'data-core-metadata="true"' in links[2]
    assert 'data-yanked=""' in links[2]


def test_the_list_of_projects() -> None:
    assert json.loads(root_json(["a", "b"]))["projects"] == [{"name": "a"}, {"name": "b"}]
    assert '<a href="a/">a</a><br>\n<a href="b/">b</a>' in root_html(["a", "b"]).decode()
