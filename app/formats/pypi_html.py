"""HTML pages of any size, link by link, with what they say of themselves; never more than a little of one in memory.

Source: HTML (whatwg), 4.2.3 (base); PEP 503; PEP 629, 708 and 792 for the meta elements.
"""

from __future__ import annotations

import codecs
import re
import urllib.parse
from collections.abc import Generator, Iterator, Mapping
from html.parser import HTMLParser
from typing import BinaryIO, NamedTuple

_PIECE = 1 << 14  # bytes that are parsed at a time
_LARGEST = 1 << 16  # characters of one element's tag, or of a comment
_TEXT = 1 << 10  # characters of a link's text, and of a heading, that are looked at
_LONGEST = 1 << 10  # characters of a link that has its end in the next piece
_BEGINS = '<a href="'
_PLAIN = re.compile(rf"""\s*{_BEGINS}([^"&<>]*)">([^&<>]*)</a>(?:\s*<br ?/?>)?\s*""")
_HEADINGS = ("title", "h1", "h2")
_SAYS_SO = re.compile(r"links for|simple index|index of|package index|simple repository", re.IGNORECASE)

Attributes = Mapping[str, str | None]


class Anchor(NamedTuple):
    """A link: `url` as the page's base element makes it, else as it is written; `text` without white space around."""

    url: str
    attributes: Attributes
    text: str


class Page(HTMLParser):
    """What a page says of itself, as far as it was read; `at` is its own URL."""

    def __init__(self, at: str = "") -> None:
        super().__init__(convert_charrefs=True)
        self.at = at
        self.base = ""
        self.metas: list[tuple[str, str]] = []  # of names that begin with "pypi:"
        self.declared = False  # that it is an index
        self.marked = False  # it has an element
        self.asks = False  # it has a form, or asks for a password
        self.password = False
        self._found: list[Anchor] = []
        self._open: Attributes | None = None
        self._text = ""  # of the link that is open
        self._heading = ""
        self._said = ""  # by the heading that is open

    def anchors(self, body: BinaryIO) -> Iterator[Anchor]:
        """Its links, in their order. Raises ValueError where it is more than a page can be."""
        decoder = codecs.getincrementaldecoder("utf-8")(errors="replace")
        rest = ""
        while piece := body.read(_PIECE):
            rest = yield from self._read(rest + decoder.decode(piece))
            if len(self.rawdata) > _LARGEST:
                raise ValueError("has an HTML element without an end")
        self.feed(rest)
        self.close()
        self._ended()
        yield from self._taken()

    def _read(self, text: str) -> Generator[Anchor, None, str]:
        """Its links, and what of it is to be read with more. Links that have but a target and a text, of which the
        largest pages consist, are read as such, everything else by HTMLParser."""
        at = 0
        while at < len(text) and self._between():
            while found := _PLAIN.match(text, at):
                self.marked, at = True, found.end()
                yield Anchor(self._below(found[1].strip()), {"href": found[1]}, found[2][:_TEXT].strip())
            until = text.find(_BEGINS, at + 1)
            if until < 0 and len(text) - at < _LONGEST:
                return text[at:]
            self.feed(text[at:until] if until >= 0 else text[at:])
            at = until if until >= 0 else len(text)
            yield from self._taken()
        self.feed(text[at:])
        yield from self._taken()
        return ""

    def _between(self) -> bool:
        """Whether what comes next stands for itself: it is in no element, comment or text that is not at its end."""
        return not self.rawdata and self.cdata_elem is None and self._open is None and not self._heading

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """See HTMLParser; the first attribute of a name counts, as to browsers."""
        self.marked, said = True, dict(reversed(attrs))
        if tag == "a":
            self._ended()
            self._open = said
        elif tag == "base":
            self._based(said)
        elif tag == "meta":
            self._meta(said.get("name") or "", said.get("content") or "")
        elif tag in ("form", "input"):
            self.asks = True
            self.password = self.password or (said.get("type") or "").lower() == "password"
        elif tag in _HEADINGS:
            self._heading, self._said = tag, ""

    def handle_endtag(self, tag: str) -> None:
        if tag == "a":
            self._ended()
        elif tag == self._heading:
            self.declared = self.declared or _SAYS_SO.search(self._said) is not None
            self._heading = ""

    def handle_data(self, data: str) -> None:
        if self._open is not None and len(self._text) < _TEXT:
            self._text += data[:_TEXT]
        if self._heading and len(self._said) < _TEXT:
            self._said += data[:_TEXT]

    def _taken(self) -> list[Anchor]:
        found, self._found = self._found, []
        return found

    def _ended(self) -> None:
        """The link that is open, if one is; HTML has none within another."""
        said, self._open = self._open, None
        if said is not None and (href := said.get("href")) is not None:
            self._found.append(Anchor(self._below(href.strip()), said, self._text.strip()))
        self._text = ""

    def _below(self, href: str) -> str:
        if not self.base:
            return href
        try:
            return urllib.parse.urljoin(self.base, href)
        except ValueError:
            return ""

    def _based(self, said: Attributes) -> None:
        """The first base element with a href counts, and none that leads to no page (data:, javascript:)."""
        href = (said.get("href") or "").strip()
        if not href or self.base:
            return
        try:
            base = urllib.parse.urljoin(self.at, href)
            if urllib.parse.urlsplit(base).scheme in ("", "http", "https"):
                self.base = base
        except ValueError:
            return

    def _meta(self, name: str, content: str) -> None:
        name = name.lower()
        if name.startswith("pypi:") and len(self.metas) < _TEXT:
            self.metas.append((name.removeprefix("pypi:"), content))
            self.declared = True
