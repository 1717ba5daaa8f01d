"""How one upstream body becomes a verified blob: spool, checksums, the HTML check, adoption."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from types import TracebackType

from app import metrics
from app.errors import UpstreamLied, UpstreamPage
from app.fills.checksums import Checksums
from app.fills.fill import Fill
from app.fills.spool import Head, Spool
from app.resource import Entry, Resource
from app.stores.blobs import Blobs
from app.upstream import Download

Settle = Callable[[str], None]

CHUNK = 1 << 18  # bytes asked for at a time; a read returns as soon as there are some
GATHER = 1 << 16  # bytes that are worth a read of their own within a large body
SNIFFED = 16  # bytes behind white space that tell a page
LOOKED = 1 << 10  # bytes of what begins as markup, among which its first element is looked for
BLANK = 1 << 16  # bytes of white space after which it is no page
HTML = (b"<!doctype html", b"<html")
_BOM = b"\xef\xbb\xbf"
_FIRST = re.compile(
    rb"(?:(?:<!--.*?-->|<\?.*?\?>)\s*)*+<(?:!doctype\s+html|html|head|body|meta|script|title)(?![\w:.-])",
    re.DOTALL | re.IGNORECASE,
)
_MARKUP = re.compile(r".*\.(?:ftl|jspx?|svg|vm|xht|xhtml|xml|xslt?)", re.DOTALL)  # any element may be their first


def head_of(resource: Resource, download: Download) -> Head:
    """Upstream's own validators and type; a body of unknown length says None."""
    headers = download.headers
    kept = [f"{name}: {value}" for name in resource.keep if (value := headers.get(name)) is not None]
    return Head(
        headers.get("Content-Type") or "application/octet-stream",
        download.length,
        headers.get("ETag"),
        headers.get("Last-Modified"),
        "\n".join(kept),
    )


def refuse_html(resource: Resource, headers: Mapping[str, str], start: bytes = b"") -> None:
    """UpstreamPage where a login or error page comes for what cannot be HTML."""
    if resource.html:
        return
    declared = (headers.get("Content-Type") or "").partition(";")[0].strip().lower()
    if declared in ("text/html", "application/xhtml+xml") or _is_page(resource, start):
        raise UpstreamPage("upstream answered with an HTML page instead of the file")


def _markup(start: bytes) -> bytes:
    """How a body begins that may be markup, without what no reader of that minds."""
    return start.lstrip().removeprefix(_BOM).lstrip()[:LOOKED]


def _is_page(resource: Resource, start: bytes) -> bool:
    if start.lstrip()[:SNIFFED].lower().startswith(HTML):
        return True
    if resource.expected is not None:  # that tells what it is
        return False
    looked = _markup(start)
    if resource.packed:
        return looked.startswith(b"<")
    return _FIRST.match(looked) is not None and not _MARKUP.fullmatch(resource.path)


def _undecided(start: bytes) -> bool:
    """Whether more of a body may tell that it is a page."""
    looked = _markup(start)
    return len(start) < BLANK and len(looked) < (LOOKED if looked.startswith(b"<") else SNIFFED)


@dataclass(frozen=True, slots=True)
class Receipt:
    """Where one body goes: the spool's directory, the blobs, and the fence it is received under."""

    spools: Path
    blobs: Blobs
    fence: int


def receive(fill: Fill, resource: Resource, download: Download, receipt: Receipt) -> Entry:
    """Download, verify and adopt one body while the fill's readers follow it.

    Raises UpstreamError where the body breaks or is wrong, StoreDown where the disk fails; neither leaves
    anything behind, and readers never saw the end.
    """
    head = head_of(resource, download)
    chunk = download.read(CHUNK)
    while chunk and not resource.html and _undecided(chunk) and (more := download.read(CHUNK)):
        chunk += more
    refuse_html(resource, download.headers, chunk)
    count = partial(metrics.received, resource.repository.name)
    sums = Checksums(resource.expected)
    with _Passage(fill, download, sums, Spool(receipt.spools, fill.name, receipt.fence)) as passage:
        digest = passage.run(head, chunk, count)
        receipt.blobs.adopt(passage.spool.path, digest)
        return Entry(digest, passage.spool.size, head.content_type, head.etag, head.last_modified, kept=head.kept)


def follow(fill: Fill, resource: Resource, download: Download, spools: Path, settle: Settle) -> None:
    """Give a body to this node's readers that another node downloads, stores and records.

    `settle` is called with its digest once it is whole, while its bytes can still be read here. Raises as receive().
    """
    try:
        head = Head.from_line(download.headers.get("X-Fill-Head", ""))
    except (TypeError, ValueError) as error:
        raise UpstreamLied("another node answered with no head of a download") from error
    if not download.framed:
        raise UpstreamLied("another node's body ends only with its connection, and may be cut")
    sums = Checksums(resource.expected)
    with _Passage(fill, download, sums, Spool(spools, fill.name, 0)) as passage:
        settle(passage.run(head, download.read(CHUNK)))


class _Passage:
    """A body on its way from a download through a spool to a fill's readers."""

    def __init__(self, fill: Fill, download: Download, sums: Checksums, spool: Spool) -> None:
        self.fill, self.download, self.spool = fill, download, spool
        self.sums = sums

    def __enter__(self) -> _Passage:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.sums.finish()
        self.spool.close()

    def run(self, head: Head, chunk: bytes, count: Callable[[int], None] = lambda _: None) -> str:
        """Return the verified sha256 in hex; `chunk` was read already, `count` is told of bytes as they come."""
        self.spool.describe(head)
        self.fill.arrive(head, self.spool)
        while chunk:
            self.spool.write(chunk)
            count(len(chunk))
            self.fill.progress(self.spool.size)  # before hashing: the readers' first byte waits for no checksum
            self.sums.update(chunk)
            if len(chunk) < GATHER and CHUNK < self.spool.size != head.length:
                self.fill.gather()
            chunk = self.download.read(CHUNK)
        digest = _verified(self.sums, head, self.spool.size)
        self.fill.verified(self.spool.size, digest)
        return digest


def _verified(sums: Checksums, head: Head, size: int) -> str:
    digest = sums.finish()
    if head.length is not None and size != head.length:
        raise UpstreamLied(f"upstream sent {size} bytes and announced {head.length}")
    if problem := sums.mismatch():
        raise UpstreamLied(f"upstream's body is not the file: {problem}")
    return digest
