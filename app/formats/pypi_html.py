"""HTML pages of any size, link by link, with what they say of themselves; never more than a little of one in memory.

Source: HTML (whatwg), 4.2.3 (base); PEP 503; PEP 629, 708 and 792 for the meta elements.
"""

from __future__ import annotations

import codecs
import re
import urllib.parse
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from html.parser import HTMLParser
from typing import BinaryIO

_PIECE = 1 << 14  # bytes that are parsed at a time
_LARGEST = 1 << 16  # characters of one element's tag, or of a comment
_TEXT = 1 << 10  # characters of a link's text, and of a heading, that are looked at
_HEADINGS = ("title", "h1", "h2")
_SAYS_SO = re.compile(r"links for|simple index|index of|package index|simple repository", re.IGNORECASE)

Attributes = Mapping[str, str | None]


@dataclass(frozen=True, slots=True)
class Anchor:
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
        while piece := body.read(_PIECE):
            self.feed(decoder.decode(piece))
            if len(self.rawdata) > _LARGEST:
                raise ValueError("has an HTML element without an end")
            yield from self._taken()
        self.close()
        self._ended()
        yield from self._taken()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """See HTMLParser; the first attribute of a name counts, as to browsers."""
        said = dict(reversed(attrs))
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
