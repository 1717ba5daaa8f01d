"""What a way of hosting is: what an upload means to an ecosystem, and which index files follow from what is there.

A Host is an ecosystem's knowledge of publishing, as a Format is its knowledge of reading. It reads the files of a
request and of its own repository, and writes nothing: publish.py records what accept() returns, index.py what
build() returns.

    upload --> accept() --> Accepted(new, gone) --> recorded in one transaction, their scopes marked as changed
                                                --> build(scope) --> index files, switched in one transaction

A *scope* is what one index covers and one build writes: "" where a repository has one index, else what the ecosystem
calls it (an architecture's directory, a distribution, a project's name). Every file with an `about` is in one scope.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO, Protocol

from app.errors import BadRequest, MethodNotAllowed
from app.hosting.upload import Upload
from app.resource import Ask, Entry, Headers, Repository
from app.stores.base import Stored
from app.stores.publications import Child

BINARY = "application/octet-stream"


@dataclass(frozen=True, slots=True)
class Sent:
    """One file of a request: its raw body (`field` is ""), or a part of a multipart body."""

    field: str
    filename: str  # as the client wrote it, unchecked
    content_type: str  # "" where the client did not say
    upload: Upload


def _nowhere() -> Upload:
    raise AssertionError("this request was made without a place for files")


@dataclass(frozen=True, slots=True)
class Post:
    """A request that changes a repository; `path` as in Ask, `headers` by their names in lower case.

    `address` is the repository's own URL as the client reaches it, without a slash at its end; `user` is who asks;
    `now` in unix seconds; `scratch` makes an upload for a file that is inside another one, and goes with the request.
    """

    repository: Repository
    method: str
    path: str
    query: Mapping[str, str] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)
    fields: Mapping[str, Sequence[str]] = field(default_factory=dict)  # a multipart body's, but for its files
    files: Sequence[Sent] = ()
    address: str = ""
    user: str = ""
    now: float = 0.0
    scratch: Callable[[], Upload] = _nowhere

    @property
    def file(self) -> Sent:
        """The one file that was sent, raw or as the field `file`; BadRequest where there is none."""
        for each in self.files:
            if each.field in ("", "file"):
                return each
        raise BadRequest("the multipart body has no field `file`", code="bad_multipart")


@dataclass(frozen=True, slots=True)
class New:
    """A file to publish. With `replace` it may take the place of one, whatever the repository says.

    `about` is what the index will need to know of it, in a text of the host's own; `scope` is the index it stands in,
    None for a file that stands in none; `also` are further scopes that change with it, `when_gone` those that change
    only when it goes; `kept` as in Entry.
    """

    path: str
    body: Upload | bytes
    content_type: str = BINARY
    scope: str | None = None
    about: str = ""
    also: tuple[str, ...] = ()
    when_gone: tuple[str, ...] = ()
    replace: bool = False
    kept: str = ""


@dataclass(frozen=True, slots=True)
class Accepted:
    """What a request changes, all of it or nothing, and what its client is told; `answer` None is a description of
    the first new file, as JSON."""

    new: Sequence[New] = ()
    gone: Sequence[str] = ()  # paths; one that is not there is a NotFound
    status: int = 201
    answer: Mapping[str, object] | None = None
    headers: Headers = ()


@dataclass(frozen=True, slots=True)
class Item:
    """A published file as an index sees it; `digest` is its sha256 in hex, `published` in unix seconds."""

    path: str
    size: int
    digest: str
    published: float
    about: str


@dataclass(frozen=True, slots=True)
class Built:
    """One index file. A `body` that is a file is copied from there before the next one is asked for: it may be
    yielded twice, or written anew for another. `lasting`: an old edition of the index names it, and it stays for a
    while when a new one does not (a checksum is part of its name). `kept` as in Entry."""

    path: str
    body: bytes | Path
    content_type: str = BINARY
    lasting: bool = False
    kept: str = ""


@dataclass(frozen=True, slots=True)
class Described:
    """What New says of a file's place in the indexes."""

    scope: str
    about: str
    also: tuple[str, ...] = ()


class Contents(Protocol):
    """What a host may see of its repository. Every method raises StoreDown."""

    def find(self, path: str) -> Entry | None:
        """What is published (or built) as `path`."""

    def open(self, path: str) -> BinaryIO:
        """Its bytes; NotFound."""

    def items(self, scope: str, after: str = "") -> Iterator[Item]:
        """The files of one scope after that path, in the order of their paths, as of one moment."""

    def item(self, path: str) -> Item | None:
        """One file that stands in an index, without the others."""

    def scopes(self, after: str = "", limit: int = 1000) -> Sequence[str]:
        """Scopes that have a file, in the order of their bytes, for paging."""

    def listing(self, prefix: str = "", after: str = "", limit: int = 1000) -> Sequence[Stored]:
        """Files whose path begins so, as Index.listing."""

    def children(self, directory: str, after: str = "", limit: int = 1000) -> Sequence[Child]:
        """What is directly in a directory, as Publications.children."""


@dataclass(frozen=True, slots=True)
class Build:
    """One index to be written: the files of `scope` as of one moment, to be read once; `scratch` names a new file
    for a body that is too large for memory."""

    repository: Repository
    scope: str
    items: Iterable[Item]
    contents: Contents
    scratch: Callable[[], Path]
    now: float


@dataclass(frozen=True, slots=True)
class Page:
    """An answer that is computed, not stored."""

    body: bytes
    content_type: str = "application/json"
    status: int = 200
    headers: Headers = ()


class Host:
    """One ecosystem's publishing; by itself, plain files at the paths to which they are sent."""

    __slots__ = ()
    methods: tuple[str, ...] = ("PUT", "DELETE")

    def turn(self, post: Post) -> str | None:
        """The scope in which accept() reads what it then changes: such requests wait for each other. None: any."""
        return None

    def fixed(self, path: str) -> bool:
        """Whether what is published as `path` may not be replaced (unless the repository says so): a PUT of it is
        refused before its body is read. accept() decides again, with New.replace."""
        return True

    def stored(self, path: str, query: Mapping[str, str]) -> str:
        """The path of what a client sent to that one: by the URL of its PUT it is read and removed, too."""
        return path

    def accept(self, post: Post, contents: Contents) -> Accepted:
        """What the request changes; raises BadRequest, Conflict, NotFound, Unprocessable "not_a_package", ..."""
        if post.method == "DELETE":
            return Accepted(gone=[self.stored(post.path, post.query)], status=204)
        if post.method != "PUT":
            raise MethodNotAllowed("a file is sent with PUT", ("GET", "HEAD", *self.methods))
        if not post.path or post.path.endswith("/"):
            raise BadRequest("a file needs a name, and a directory's address a slash at its end", code="bad_path")
        return Accepted([New(post.path, post.file.upload, post.file.content_type)])

    def describe(self, path: str, file: Path) -> Described | None:
        """What an index has to know of a file that is published already: after a restore, say."""
        return None

    def describes(self, path: str) -> bool:
        """Whether describe() may have anything to say of that path: only then is its file copied for it."""
        return True

    def describe_in(self, repository: Repository, path: str, file: Path) -> Described | None:
        """describe(), where it depends on the repository too."""
        return self.describe(path, file)

    @property
    def indexed(self) -> bool:
        """Whether an index has to know anything of its files."""
        own = type(self)
        return own.describe is not Host.describe or own.describe_in is not Host.describe_in

    @property
    def waits(self) -> bool:
        """Whether a change may have to wait: for its index, or for its turn."""
        return self.indexed or type(self).turn is not Host.turn

    def build(self, build: Build) -> Iterable[Built]:
        """Every index file of one scope, none where it has no files any more; body by body, the one that names the
        others last. Deterministic but for `now`."""
        return ()

    def blank(self, path: str, build: Build) -> Built | None:
        """The index file of that path (as a Format keys it) while nothing is published: clients are set up before the
        first package. None where it would not be true (untold()). `build` is of no items."""
        return None

    def untold(self, path: str, contents: Contents) -> bool:
        """Whether nothing is published that the index of that path, which is not there, would tell of."""
        return not contents.scopes(limit=1)

    def personal(self, path: str) -> bool:
        """Whether page() has to know who asks (Ask.user); of what is public nobody else is asked."""
        return False

    def page(self, ask: Ask, contents: Contents, address: str) -> Page | None:
        """The answer to a GET or HEAD that no stored file is; `address` as in Post. None: the file of that path."""
        return None


class PackageHost(Host):
    """A host of packages that are sent one at a time, with PUT or POST."""

    __slots__ = ()
    methods = ("PUT", "POST", "DELETE")

    def accept(self, post: Post, contents: Contents) -> Accepted:
        """See Host."""
        if post.method == "DELETE":
            return Accepted(gone=[self.stored(post.path, post.query)], status=204)
        if post.method not in self.methods:
            raise MethodNotAllowed("a package is sent with PUT or POST", ("GET", "HEAD", *self.methods))
        if len(post.files) > 1:
            raise BadRequest("one package is published at a time", code="bad_multipart")
        return self.take(post, contents)

    def take(self, post: Post, contents: Contents) -> Accepted:
        """accept(), of the package that was sent."""
        raise NotImplementedError
