"""What is taken for a login page in the place of a file, and what is not."""

from __future__ import annotations

import time
from dataclasses import replace

import pytest

from app.errors import UpstreamLied
from app.fills.receive import refuse_html
from app.formats.base import _packed
from app.formats.generic import GENERIC
from app.resource import Ask, Digest, Kind, Repository, Resource

ARCHIVES = ("a.jar", "a.tar.gz", "a-1.0-py3-none-any.whl", "a.zip", "a.conda", "a.nupkg", "a.gem", "a.crate")
TEXTS = ("a.bin", "a.tar", "a.sha256", "a.asc", "a.iso")
MARKED = ("a.xml", "a.svg", "a.xhtml", "a.jsp")
PAGES = {
    "a page": b"<!DOCTYPE html><p>",
    "behind a byte order mark": b"\xef\xbb\xbf\r\n<!doctype html>",
    "behind a comment": b"<!-- (c) us -->\n<!-- two --><HTML lang=en>",
    "behind what XML declares": b"<?xml version='1.0'?>\n<!DOCTYPE html PUBLIC ''>",
    "its head": b" <head><title>Sign in</title>",
    "its body": b'<body class="login">',
    "a script": b"<script>location='/login'</script>",
    "a refresh": b"<meta http-equiv=refresh content='0;/login'>",
    "a title": b"<title>Sign in</title>",
}
MARKUP = {
    "a document": b"<?xml version='1.0'?><project></project>",
    "another first element": b"<header></header>",
    "a comment": b"<!-- only -->",
    "a comment without an end": b"<!-- <html>",
}


def resource(path: str, expected: Digest | None = None) -> Resource:
    return replace(GENERIC.resolve(Repository("up", Kind.REMOTE), Ask("GET", "up", path)), expected=expected)


def refused(given: Resource, start: bytes) -> bool:
    try:
        refuse_html(given, {"Content-Type": "application/octet-stream"}, start)
    except UpstreamLied:
        return True
    return False


@pytest.mark.parametrize("page", PAGES)
def test_a_page_is_no_file(page: str) -> None:
    assert [path for path in (*ARCHIVES, *TEXTS) if not refused(resource(path), PAGES[page])] == []


@pytest.mark.parametrize("markup", MARKUP)
def test_markup_is_no_archive_and_may_be_another_file(markup: str) -> None:
    assert [path for path in ARCHIVES if not refused(resource(path), MARKUP[markup])] == []
    assert [path for path in TEXTS if refused(resource(path), MARKUP[markup])] == []


def test_what_has_the_checksum_that_it_should_have_is_no_login_page() -> None:
    known = Digest("sha256", "a1" * 32)
    told = {name: text for name, text in (PAGES | MARKUP).items() if name != "a page"}
    assert [name for name in told if refused(resource("a.zip", known), told[name])] == []


@pytest.mark.parametrize("path", MARKED)
def test_a_name_of_markup_can_have_it(path: str) -> None:
    """Also where its format says that it is a file (a release's), as no other name of generic is."""
    given = Resource(Repository("up", Kind.REMOTE), path, path)
    assert [name for name in PAGES if refused(given, PAGES[name])] == ["a page"]


def test_what_is_told_to_be_packed_may_have_been_unpacked_on_the_way() -> None:
    assert not refused(resource("repodata/primary.xml.gz"), b"<metadata/>")
    assert not refused(resource("readme.html"), PAGES["a page"])


@pytest.mark.parametrize("name", ["a.xml.gz", "a.tar", "gz", "a/gz", "a.gz/b", "sha256:ab", "a.GZ", "a.", ""])
def test_a_name_that_does_not_say_that_it_is_packed(name: str) -> None:
    assert not _packed(name)
    assert all(_packed(each) for each in (*ARCHIVES, "xml.gz", "v1.0/.gz", "a.xml/b.gz"))


def test_how_a_name_ends_is_looked_up() -> None:
    """Each hit asks: a pattern that is tried at every position takes a hundred times as long."""
    names = ["." * 4096, "a" * 4096, "v2/a/manifests/sha256:" + "ab" * 32]
    began = time.process_time()
    for _ in range(1000):
        assert not any(map(_packed, names))
    assert time.process_time() - began < 0.1


def test_a_body_made_of_comments_is_judged_at_once() -> None:
    began = time.monotonic()
    assert not refused(resource("a.bin"), b"<!---->" * 10_000)
    assert time.monotonic() - began < 1
