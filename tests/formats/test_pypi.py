"""Python packages: which form of a page is asked for, what a path is, how pages are read, written and merged."""

from __future__ import annotations

import io
import json
import random
import re
import time
from dataclasses import replace
from html.parser import HTMLParser
from typing import Any, BinaryIO

import pytest

from app.errors import Forbidden, Moved, NotFound
from app.formats import pypi, pypi_html
from app.formats.pypi import HTML, HTML_V1, JSON_V1, PYPI
from app.formats.pypi_pages import File, Listed, Project, project_html, project_json, root_html, root_json
from app.formats.pypi_read import files, head, names
from app.resource import Ask, Entry, Found, Kind, Made, Repository, Resource
from tests.hosting import wheels

LOCAL = Repository("team", Kind.LOCAL, "pypi")
REMOTE = Repository("up", Kind.REMOTE, "pypi", base_urls=("http://127.0.0.1:1/root",), mutable_ttl=60.0)
OTHER = replace(REMOTE, name="other")
ALL = Repository("all", Kind.VIRTUAL, "pypi", members=("team", "up", "other"), parts=(LOCAL, REMOTE, OTHER))
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


@pytest.mark.parametrize("path", ["packages/a/a-1.0.tar.gz", "simple/a/b/", "simple/a/index.html", ""])
def test_other_paths_are_files(path: str) -> None:
    ask = Ask("GET", "team", path)
    assert PYPI.resolve(LOCAL, ask).key == path
    assert PYPI.headers(ask, PYPI.resolve(LOCAL, ask), "", "") == ()


HOSTILE = '"><script>&\u2028'


def test_a_page_says_everything_in_both_forms() -> None:
    whole = File(
        "a-1.0-py3-none-any.whl",
        "../../packages/a/a-1.0-py3-none-any.whl",
        {"sha256": "aa"},
        size=7,
        uploaded="2023-11-14T22:13:20.500000Z",
        requires_python=">=3.8",
        yanked=HOSTILE,
        metadata={"sha256": "bb"},
        signed=True,
    )
    bare = File("a-1.0.tar.gz", "https://example.org/a-1.0.tar.gz#sha1=ff", {})
    odd = replace(bare, name=HOSTILE, digests={"md5": "cc"}, yanked="", metadata={})
    project = Project("a", ("1.0",), (whole, bare, odd))
    told = json.loads(joined(project_json(project)))
    assert (told["meta"], told["name"], told["versions"]) == ({"api-version": "1.1"}, "a", ["1.0"])
    first, second, third = told["files"]
    assert (first["upload-time"], first["size"], first["yanked"]) == ("2023-11-14T22:13:20.500000Z", 7, HOSTILE)
    assert first["core-metadata"] == first["dist-info-metadata"] == {"sha256": "bb"}
    assert (second["yanked"], second["core-metadata"], second["gpg-sig"]) == (False, False, False)
    assert not {"size", "upload-time", "requires-python"} & set(second)
    assert (third["yanked"], third["core-metadata"], third["filename"]) == (True, True, HOSTILE)
    links = joined(project_html(project)).decode().split("\n")[7:10]
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
    some = [Listed("a"), Listed("B", {"_last-serial": 7})]
    told = json.loads(joined(root_json(some)))["projects"]
    assert told == [{"name": "a"}, {"name": "B", "_last-serial": 7}]
    assert '<a href="a/">a</a><br>\n<a href="B/">B</a>' in joined(root_html(some)).decode()
    assert json.loads(joined(root_json(()))) == {"meta": {"api-version": "1.1"}, "projects": []}


def joined(pieces: Any) -> bytes:
    return b"".join(pieces)


# -- paths -----------------------------------------------------------------------------------------------------


def resolved(path: str, repository: Repository = REMOTE, accept: str = PIP) -> Resource:
    return PYPI.resolve(repository, Ask("GET", repository.name, path, headers={"accept": accept}))


@pytest.mark.parametrize("repository", [LOCAL, REMOTE, ALL], ids=lambda each: each.kind)
@pytest.mark.parametrize(
    ("path", "target"),
    [
        ("simple", "simple/"),
        ("simple/a", "a/"),
        ("simple/A_b", "a-b/"),
        ("simple/A.-_B/", "../a-b/"),
        ("simple/a?format=x", "a/?format=x"),
    ],
)
def test_a_page_has_one_address(repository: Repository, path: str, target: str) -> None:
    path, _, query = path.partition("?")
    with pytest.raises(Moved) as moved:
        PYPI.resolve(repository, Ask("GET", repository.name, path, query))
    assert moved.value.location == target


def test_a_page_of_a_remote_is_made_of_upstreams() -> None:
    page = resolved("simple/a-b/")
    (source,) = page.sources
    assert (page.key, page.whole, page.package) == ("simple/a-b/index.v1.json", True, "a-b")
    assert (source.key, source.index, source.ttl, source.url) == ("simple/a-b/", True, 60.0, "")
    assert source.headers == {"Accept": pypi.ACCEPT}
    assert (source.listing, resolved("simple/").sources[0].listing) == ("simple/a-b/", "")
    assert resolved("simple/a-b/", accept="").key == "simple/a-b/index.html"


def test_a_base_url_may_be_the_indexs_own() -> None:
    own = replace(REMOTE, base_urls=("http://127.0.0.1:1/root/simple/",))
    assert resolved("simple/a/", own).sources[0].url == "http://127.0.0.1:1/root/simple/a/"
    assert resolved("simple/", own).sources[0].url == "http://127.0.0.1:1/root/simple/"
    assert resolved("pypi/a/json", own).repository.base_urls == ("http://127.0.0.1:1/root",)
    assert resolved("pypi/a/json").url == ""


def test_a_file_is_where_the_page_says() -> None:
    wheel = resolved("packages/A_B/a_b-1.0-py3-none-any.whl")
    assert (wheel.path, wheel.immutable, wheel.html) == ("packages/a-b/a_b-1.0-py3-none-any.whl", True, False)
    assert wheel.named_in is not None
    assert wheel.named_in.key == "simple/a-b/"
    assert wheel.otherwise is None
    metadata = resolved("packages/a-b/a_b-1.0-py3-none-any.whl.metadata")
    assert metadata.otherwise is not None
    assert metadata.otherwise.sources == (wheel.named_in,)
    assert resolved("packages/a-b/a_b-1.0.tar.gz.metadata").otherwise is None
    provenance = resolved("packages/a-b/a_b-1.0-py3-none-any.whl.provenance")
    assert (provenance.immutable, provenance.ttl) == (False, 60.0)


def test_patterns_are_asked_about_the_file_alone() -> None:
    some = replace(REMOTE, immutable_patterns=(re.compile(r"-1\.0.*\.whl$"),))
    for path in ("a-1.0-py3-none-any.whl", "a-1.0-py3-none-any.whl.metadata", "a-1.0-py3-none-any.whl.provenance"):
        assert resolved(f"packages/a/{path}", some).named_in is not None
    with pytest.raises(Forbidden):
        resolved("packages/a/a-2.0-py3-none-any.whl", some)
    assert resolved("simple/a/", some).key not in (resolved("simple/a/").key, resolved("simple/a/", ALL).key)
    long = [replace(REMOTE, immutable_patterns=(re.compile("x" * 220 + end),)) for end in "ab"]
    assert len({resolved("simple/a/", each).key for each in long}) == 2, "to their very end"


@pytest.mark.parametrize(
    "path", ["", "a", "simple/a/index.v1.json", "simple/a%3ab/", "packages/a", "packages/aa/bb/cc/a-1.0.tar.gz"]
)
@pytest.mark.parametrize("repository", [REMOTE, ALL], ids=lambda each: each.kind)
def test_nothing_else_is_there(path: str, repository: Repository) -> None:
    with pytest.raises(NotFound):
        resolved(path, repository)


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("simple/a-b/", "a-b"),
        ("simple/A_b/", "a-b"),
        ("simple/", ""),
        ("packages/A.B/x.whl.metadata", "a-b"),
        ("pypi/A.B/json", "a-b"),
        ("pypi/a/1.0/json", "a"),
        ("yanked/a/1.0", ""),
        ("other", ""),
    ],
)
def test_what_a_path_is_about(path: str, name: str) -> None:
    assert PYPI.named(path) == name


# -- reading ---------------------------------------------------------------------------------------------------

SIMPLE = b"""<!DOCTYPE html><html><head><base href="http://files.example.org/up/"><base href="http://x.example.org/">
<meta name="pypi:repository-version" content="1.3"><meta name="PYPI:project-status" content="archived">
<meta name="pypi:tracks" content="http://a.example.org/"><title>Links for a</title></head><body>
<a href="../a/a-1.0.tar.gz#sha256=aa" data-requires-python="&gt;=3.8">a-1.0.tar.gz</a>
<a HREF='a-1.0-py3-none-any.whl?x=1&amp;y=2#egg=a&sha512=bb' data-yanked data-core-metadata="sha256=cc"
   data-gpg-sig=false data-provenance="/p/a.json">a</a><a href="a-0.1.zip"
   data-yanked="no &lt;b&gt;" data-dist-info-metadata=true data-gpg-sig=true>zip</a>
<a href="javascript:a-1.0.zip">bad</a><a href="../">up</a><a name=x>here</a><a href="http://[/a-2.zip">bad</a>
<a href="a-1.0.tar.gz.asc">signature</a></body></html>"""


def opened(document: object) -> BinaryIO:
    return io.BytesIO(document if isinstance(document, bytes) else json.dumps(document).encode())


def test_a_page_of_html() -> None:
    found = head(opened(SIMPLE), "files")
    assert (found.minor, found.versions, found.more) == (3, None, {"project-status": {"status": "archived"}})
    assert found.meta == {"api-version": "1.3", "tracks": ["http://a.example.org/"]}
    sdist, wheel, old = files(opened(SIMPLE), "http://127.0.0.1:1/simple/a/")
    assert sdist == File(
        "a-1.0.tar.gz",
        "http://files.example.org/a/a-1.0.tar.gz",
        {"sha256": "aa"},
        requires_python=">=3.8",
        signed=None,
    )
    assert wheel.url == "http://files.example.org/up/a-1.0-py3-none-any.whl?x=1&y=2"
    assert (wheel.yanked, wheel.metadata, wheel.digests) == ("", {"sha256": "cc"}, {"sha512": "bb"})
    assert (wheel.signed, wheel.provenance) == (False, "/p/a.json")
    assert (old.yanked, old.metadata, old.signed) == ("no <b>", {}, True)


def test_a_base_may_be_relative() -> None:
    page = b'<title>Links for a</title><base href="../../f/"><a href="../g/a-1.zip">a</a>'
    assert [each.url for each in files(opened(page), "http://127.0.0.1:1/root/simple/a/")] == [
        "http://127.0.0.1:1/root/g/a-1.zip"
    ]


def test_a_page_of_json() -> None:
    whole = {
        "filename": "a-1.0-py3-none-any.whl",
        "url": "../../f/a-1.0-py3-none-any.whl",
        "hashes": {"sha256": "aa", "odd": 7},
        "requires-python": None,
        "size": 7,
        "upload-time": "2026-01-02T03:04:05.678901Z",
        "yanked": True,
        "core-metadata": {"sha256": "cc"},
        "data-dist-info-metadata": {"sha256": "cc"},
        "gpg-sig": True,
        "provenance": "https://example.org/p",
        "_own": [1, 2.5, {"x": None}],
    }
    bare = {"filename": "../a-1.zip", "url": "a-1.zip", "hashes": {}}
    other = {"filename": "a-1.zip", "url": "file:///a-1.zip", "hashes": {}}
    beside = {"filename": "a-1.zip.metadata", "url": "a-1.zip.metadata", "hashes": {}}
    document = {"files": [whole, bare, other, beside], "meta": {"api-version": "1.4", "_last-serial": 9}, "name": "a"}
    document |= {"versions": ["1.0", "2.0"], "project-status": {"status": "active"}, "alternate-locations": ["x"]}
    found = head(opened(document), "files")
    assert (found.minor, found.versions, found.meta) == (4, ("1.0", "2.0"), document["meta"])
    assert found.more == {"project-status": {"status": "active"}, "alternate-locations": ["x"]}
    (file,) = files(opened(document))
    assert (file.digests, file.size, file.uploaded) == ({"sha256": "aa"}, 7, "2026-01-02T03:04:05.678901Z")
    assert (file.yanked, file.metadata, file.signed) == ("", {"sha256": "cc"}, True)
    assert file.more == {"_own": [1, 2.5, {"x": None}], "data-dist-info-metadata": {"sha256": "cc"}}


LOGIN = b"<!DOCTYPE html><html><title>Sign in</title><a href='/help/'>Help</a><form><input type=password></form>"
ENDLESS = b"<title>Links for a</title><a href='"
GOOD = {"filename": "a-1.zip", "url": "a-1.zip", "hashes": {}}


@pytest.mark.parametrize(
    ("body", "why"),
    [
        (b"", "no list of files"),
        (b"plain text", "no list of files"),
        (b"[1,2]", "neither a JSON object nor HTML"),
        (b"<html><title>login</title></html>", "a login page"),
        (LOGIN, "a login page"),
        (b"<a href='a-1.zip'>a-1.zip</a>" + LOGIN, "a login page"),
        (b"<title>Simple index</title><form></form>", "a login page"),
        (b'{"files": [', "broken JSON"),
        (b'{"files": []} {}', "broken JSON"),
        (b'{"files": [}', "broken JSON"),
        (b'{"files": ["\xff"]}', "broken JSON"),
        ({"error": "unauthorized"}, "JSON without files"),
        ({"files": {}}, "what is none"),
        ({"files": ["a"]}, "what is none"),
        ({"files": [{"filename": 1, "url": "a"}]}, "what is none"),
        ({"files": [GOOD], "meta": {"api-version": "2.0"}}, "another version"),
        ({"files": [], "versions": [1]}, "versions that are none"),
        (b'{"files":[],"x":' + 30 * b"[" + 30 * b"]" + b"}", "nested too deeply"),
        (b'{"files":[],"x":' + 100_000 * b'{"a":' + b"}", "nested too deeply"),
        (b'{"files":[],"x":"' + (2 << 20) * b"x" + b'"}', "value of more than"),
        (b'{"files":[{"filename":"' + (2 << 20) * b"x" + b'"}]}', "value of more than"),
        (b'{"files":[],' + b",".join(b'"%d":1' % n for n in range(100)) + b"}", "more than an index"),
        (ENDLESS + (1 << 20) * b"x", "without an end"),
        (b"<!--" + (1 << 20) * b"x", "without an end"),
    ],
    ids=lambda each: each if isinstance(each, str) else "",
)
def test_what_is_no_page(body: object, why: str) -> None:
    with pytest.raises(ValueError, match=why):
        head(opened(body), "files")


def test_what_the_older_api_says_may_be_long() -> None:
    releases = {f"{number}.0": [file(f"a-{number}.0.tar.gz", digests={"md5": "0" * 400})] for number in range(4000)}
    told = {"info": {"name": "a"}, "releases": releases, "urls": [], "vulnerabilities": []}
    assert len(json.dumps(told)) > 2 << 20
    PYPI.read(resolved("pypi/a/json"), opened(told))


@pytest.mark.parametrize(
    ("body", "why"),
    [
        (b"[]", "no JSON object"),
        (b'"a"', "no JSON object"),
        (b"", "broken JSON"),
        (b'{"releases": {', "broken JSON"),
        (b'{"releases": {}} {}', "JSON"),
        (b'{"releases":' + 100_000 * b'{"a":' + b"}", "nested too deeply"),
        (b'{"info":"' + (2 << 20) * b"x" + b'"}', "value of more than"),
    ],
)
def test_what_is_not_the_older_apis(body: bytes, why: str) -> None:
    with pytest.raises(ValueError, match=why):
        PYPI.read(resolved("pypi/a/json"), opened(body))


@pytest.mark.parametrize(
    "body",
    [
        b"<title>Links for a</title><h1>Links for a</h1>",
        b"<html><h1>Simple <b>index</b></h1></html>",
        b'<meta name="pypi:repository-version" content="1.0">',
        b"<a href='x/a-1.zip'>a-1.zip</a><form><input name=q></form>",
        b'  {"files": null}',
        {"files": [], "meta": {"api-version": "1.9"}},
    ],
)
def test_a_page_without_a_file(body: object) -> None:
    head(opened(body), "files")


PIECES = (
    *('<a href="a/">a</a>', '<a href="/b-1/">b-1</a><br>', '\n <a href="c/">c</a> <br/>\n', "<a href='d/'>d</a>"),
    *(
        '<a href="e/" class=x>e</a>',
        '<a href="f/?a=b&amp;c">f</a>',
        '<a href="g/">g',
        "</a>",
        "<b>",
        "&amp",
        "&",
        "<",
    ),
    *(
        "<!-- ",
        " -->",
        "<script>",
        "</script>",
        "<title>Simple index",
        "</title>",
        '<a href="h',
        '/">',
        "<h1>",
        "</h1>",
    ),
    *(
        '<base href="/x/">',
        "<input type=password>",
        '<a  href="i/">i</a>',
        '<a href="j/">\xe9</a>',
        "text",
        "\n" * 40,
    ),
)


@pytest.mark.parametrize("seed", range(8))
def test_links_are_read_at_once_as_html_parser_reads_them(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    dice = random.Random(seed)

    def said(text: str, piece: int) -> object:
        monkeypatch.setattr(pypi_html, "_PIECE", piece)
        page = pypi_html.Page("https://example.org/simple/")
        found = list(page.anchors(io.BytesIO(text.encode())))
        return found, page.declared, page.asks, page.password, page.base

    texts = ["".join(dice.choices(PIECES, k=dice.randrange(1, 80))) for _ in range(60)]
    read = [[said(text, piece) for piece in (1 << 14, 50, 1100)] for text in texts]
    monkeypatch.setattr(pypi_html, "_PLAIN", re.compile("(?!)"))
    monkeypatch.setattr(pypi_html, "_BEGINS", "\0")
    for text, found in zip(texts, read, strict=True):
        assert found == [said(text, 1 << 14)] * 3, text


def test_a_long_list_of_all_projects_costs_little() -> None:
    """Less than html.parser alone takes, on whatever machine."""
    page = b"<title>Simple index</title>" + b"".join(
        b'<a href="/simple/n%d/">n%d</a>\n' % (n, n) for n in range(20_000)
    )
    took = []
    for read in (lambda: head(opened(page), "projects"), lambda: HTMLParser().feed(page.decode())):
        began = time.process_time()
        read()
        took.append(time.process_time() - began)
    assert took[0] < took[1] * 0.8, took


def test_the_list_of_all_projects() -> None:
    page = b"<a href='/simple/a-b/'>A.b</a><a href='c/'>c/</a><a href='/help/'>Need help?</a><a href='d'>d</a>"
    assert [each.name for each in names(opened(page))] == ["A.b", "c"]
    head(opened(page), "projects")
    with pytest.raises(ValueError, match="a login page"):
        head(opened(b"<form></form><a href='/help/'>help</a>"), "projects")
    told = {"projects": [{"name": "A", "_last-serial": 1}, {"name": "no/name"}], "meta": {"api-version": "1.0"}}
    assert list(names(opened(told))) == [Listed("A", {"_last-serial": 1})]


@pytest.mark.parametrize(("body", "most"), [(b"{", 256), (b"<html>", 64)])
def test_what_is_huge_is_not_read(body: bytes, most: int) -> None:
    class Huge(io.BytesIO):
        def seek(self, offset: int, whence: int = 0, /) -> int:
            return 1 << 30 if whence == io.SEEK_END else super().seek(offset, whence)

    with pytest.raises(ValueError, match=f"more than {most} MiB"):
        head(Huge(body), "files")


# -- making ----------------------------------------------------------------------------------------------------


class Desk(io.BytesIO):
    shown: Made | None = None

    def show(self, made: Made) -> None:
        self.shown = made

    """What is written, and nothing else."""

    def beside(self, path: str, content_type: str) -> BinaryIO:
        raise AssertionError

    def scratch(self) -> BinaryIO:
        raise AssertionError


def found(repository: Repository, document: object, path: str = "simple/a/") -> Found:
    body = document if isinstance(document, bytes) else json.dumps(document).encode()
    source = Resource(repository, path, path)
    return Found(source, Entry("", len(body)), io.BytesIO(body))


def made(where: Repository, *sources: Found, path: str = "simple/a/", accept: str = JSON_V1) -> bytes:
    desk = Desk()
    PYPI.make(resolved(path, where, accept), sources, desk)
    return desk.getvalue()


def file(name: str, **more: object) -> dict[str, object]:
    return {"filename": name, "url": f"https://files.example.org/x/{name}", "hashes": {"sha256": "aa"}, **more}


def test_a_page_is_as_upstream_says_but_for_the_urls() -> None:
    more = {"size": 1, "upload-time": "2026-01-02T03:04:05.000001Z", "yanked": "no", "core-metadata": {"sha256": "b"}}
    one = file("a-1.0+x-py3-none-any.whl", provenance="https://example.org/p", **more)
    document = {"meta": {"api-version": "1.4", "_last-serial": "7"}, "name": "A", "versions": ["1.0"], "files": [one]}
    told = json.loads(made(REMOTE, found(REMOTE, document)))
    url = "../../packages/a/a-1.0%2Bx-py3-none-any.whl"
    says = {"url": url, "provenance": f"{url}.provenance", "dist-info-metadata": {"sha256": "b"}}
    assert told == {**document, "name": "a", "files": [{**one, **says}]}
    page = made(REMOTE, found(REMOTE, document), accept=HTML).decode()
    assert f'<a href="{url}#sha256=aa" ' in page
    assert f'data-provenance="{url}.provenance"' in page
    assert 'content="1.4"' in page


def test_the_first_member_wins_and_versions_are_of_all() -> None:
    ours = {"meta": {"api-version": "1.1"}, "versions": ["1.0"], "files": [file("a-1.0.zip", size=1)]}
    theirs: dict[str, object] = {"meta": {"api-version": "1.4"}, "versions": ["1.0", "2.0"]}
    theirs |= {"files": [file("a-1.0.zip", size=2), file("a-2.0.zip")], "project-status": {"status": "archived"}}
    told = json.loads(made(ALL, found(REMOTE, ours), Found(Resource(OTHER, "", "")), found(OTHER, theirs)))
    assert [(each["filename"], each.get("size")) for each in told["files"]] == [("a-1.0.zip", 1), ("a-2.0.zip", None)]
    assert (told["versions"], told["meta"], "project-status" in told) == (
        ["1.0", "2.0"],
        {"api-version": "1.1"},
        False,
    )
    told = json.loads(made(ALL, found(REMOTE, SIMPLE), found(OTHER, theirs)))
    assert ("versions" in told, told["meta"]["api-version"]) == (False, "1.0")
    assert len(told["files"]) == 5
    again = made(ALL, found(REMOTE, SIMPLE), found(OTHER, theirs))
    assert again == made(ALL, found(REMOTE, SIMPLE), found(OTHER, theirs))


def test_what_patterns_refuse_is_not_listed() -> None:
    some = replace(REMOTE, immutable_patterns=(re.compile(r"-1\."),))
    document = {"files": [file("a-1.0.zip"), file("a-2.0.zip")]}
    assert [each["filename"] for each in json.loads(made(some, found(some, document)))["files"]] == ["a-1.0.zip"]


def test_the_list_of_all_projects_of_all_members() -> None:
    owner = replace(OTHER, owned=("mine-*",))
    where = replace(ALL, parts=(LOCAL, REMOTE, owner))
    ours = found(LOCAL, {"meta": {"api-version": "1.1"}, "projects": [{"name": "tool"}]}, "simple/")
    theirs = found(REMOTE, {"projects": [{"name": "Tool"}, {"name": "Mine.X"}, {"name": "b"}]}, "simple/")
    owned = found(owner, {"projects": [{"name": "mine-x"}, {"name": "b"}]}, "simple/")
    told = json.loads(made(where, ours, theirs, owned, path="simple/"))
    assert [each["name"] for each in told["projects"]] == ["tool", "b", "mine-x"]
    assert b'<a href="mine-x/">' in made(where, ours, theirs, owned, path="simple/", accept=HTML)


def test_a_broken_source_is_named() -> None:
    with pytest.raises(ValueError, match="other's page is broken JSON"):
        made(ALL, found(REMOTE, SIMPLE), found(OTHER, b'{"files": ['))


def located(document: object, path: str) -> Any:
    return PYPI.locate(resolved(path), opened(document))


def test_where_upstream_has_a_file() -> None:
    sha = 64 * "a"
    one = file("a-1.0.zip", **{"gpg-sig": False, "core-metadata": {"sha256": sha}})
    one |= {"hashes": {"md5": 32 * "b", "sha512": 128 * "c", "sha256": sha.upper()}, "provenance": "/p"}
    two = file("a-2.0.zip?")
    document = {"files": [one, two]}
    place = located(document, "packages/a/a-1.0.zip")
    assert (place.url, place.digest.algorithm, place.digest.value) == (one["url"], "sha256", sha)
    place = located(document, "packages/a/a-1.0.zip.metadata")
    assert (place.url, place.digest.value) == (f"{one['url']}.metadata", sha)
    assert located(document, "packages/a/a-1.0.zip.provenance").url == "/p"
    assert located(document, "packages/a/a-2.0.zip?.asc").digest is None
    for path in ("a-1.0.zip.asc", "a-2.0.zip?.metadata", "a-2.0.zip?.provenance", "a-3.0.zip", "a-1.0"):
        assert located(document, f"packages/a/{path}") is None, path


def of_wheel(document: object, wheel: bytes | None) -> bytes:
    path = "packages/tool/tool-1.0-py3-none-any.whl.metadata"
    resource = resolved(path).otherwise
    assert resource is not None
    index = found(REMOTE, document)
    (wanted,) = PYPI.needs(resource, [index])
    assert wanted.path == path.removesuffix(".metadata")
    other = Found(wanted) if wheel is None else Found(wanted, Entry("", len(wheel)), io.BytesIO(wheel))
    assert PYPI.needs(resource, [index, other]) == ()
    desk = Desk()
    PYPI.make(resource, [index, other], desk)
    return desk.getvalue()


def test_promised_metadata_is_in_the_wheel() -> None:
    name, body = wheels.wheel("tool", "1.0")
    promised = file(name, **{"core-metadata": True})
    assert of_wheel({"files": [promised]}, body) == wheels.metadata("tool", "1.0").encode()
    other = file(name, **{"core-metadata": {"sha256": 64 * "a"}})
    with pytest.raises(ValueError, match="other metadata than the wheel has"):
        of_wheel({"files": [other]}, body)
    with pytest.raises(NotFound):
        of_wheel({"files": [promised]}, None)
    with pytest.raises(NotFound):
        of_wheel({"files": [file(name)]}, body)
    for broken in (body[:-30], b"PK", wheels.zipped({"x/y": "z"})):
        with pytest.raises(ValueError, match="the wheel"):
            of_wheel({"files": [promised]}, broken)
