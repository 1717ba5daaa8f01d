"""How a registry's lists are paged: the query that asks for a page, and the Link to the next one.

Source: OCI distribution-spec 1.1 (Listing Tags, Listing Referrers); RFC 8288 (Link).
"""

from __future__ import annotations

import json
import re
import urllib.parse
from collections.abc import Iterator
from typing import Any, BinaryIO

from app.errors import BadRequest
from app.formats.json_strings import small
from app.formats.oci_names import valid_tag
from app.resource import Ask, Headers, Resource

# `n` and `last` are the specification's, the others occur in the Link of some registry. A parameter is part of the
# key, so it is known or dropped; `ns` is between the client and this server.
PAGING = frozenset((
    "continuationToken", "cursor", "last", "limit", "marker", "n", "next", "nextToken", "next_page", "offset", "page",
    "pageToken", "page_size", "page_token",
))  # fmt: skip
OF_REFERRERS = PAGING | {"artifactType"}
KEPT = ("Link", "OCI-Filters-Applied")
LARGEST = 16 << 20  # bytes of a page of tags that is read for a virtual's list

_NUMBER = re.compile(r"[0-9]{1,18}")
_LINK = re.compile(r"<([^<>]*)>([^<]*)")
_RELATION = re.compile(r";\s*rel\s*=\s*(?:\"([^\"]*)\"|([^\s;,\"]+))", re.IGNORECASE)
_URL_PATH = re.compile(r"/[A-Za-z0-9._~%/:@+-]+")
_WORDS = re.compile(r"[A-Za-z0-9, _-]+")


def canonical(query: str, known: frozenset[str]) -> str:
    """The known parameters in one order and one spelling, byte for byte what the client said.

    Raises BadRequest "pagination_number_invalid".
    """
    given = {name: value for name, value in parameters(query).items() if name in known}
    if "n" in given:
        given["n"] = _number(given["n"])
    return _encoded(given)


def parameters(query: str) -> dict[str, str]:
    """Bytes as latin-1, as WSGI has them; the first of a name counts, as in the registries' own Go."""
    return dict(reversed(urllib.parse.parse_qsl(query, encoding="latin-1")))


def called(ask: Ask) -> str:
    """The image as the client calls it: behind /v2/ that may begin with this repository's name."""
    path = urllib.parse.unquote(ask.url_path) if ask.url_path.startswith("/v2/") else f"/{ask.path}"
    return path.removeprefix("/v2/").removesuffix("/tags/list")


def namespace(ask: Ask) -> str:
    """The registry that the client means by ?ns=, "" for none."""
    return parameters(ask.query).get("ns", "")


def list_headers(ask: Ask, resource: Resource, kept: str) -> Headers:
    """What a client is told beside a list: upstream's filters, and where this server has the next page."""
    found: list[tuple[str, str]] = []
    for name, _, value in (line.partition(": ") for line in kept.split("\n")):
        if name.lower() == "oci-filters-applied" and _WORDS.fullmatch(value):
            found.append(("OCI-Filters-Applied", value))
        elif name.lower() == "link" and (page := _next(ask, resource, value)):
            found.append(("Link", f'<{ask.url_path}?{page}>; rel="next"'))
    return tuple(found)


def upstreams(query: str) -> str:
    """What of a canonical query upstream is asked: n=0 is answered here, and some registries refuse it."""
    return "" if parameters(query).get("n") == "0" else query


def paged(ask: Ask, resource: Resource, body: bytes, kept: str) -> tuple[bytes, str]:
    """A tag list as the specification wants it (Listing Tags): under the name that was asked for, in order, and no
    more of it than was asked for, with the Link to the rest.

    An upstream that pages by itself says so by its Link, and only the name is ours. docker-registry 2 knows neither
    n nor last, and lists in no order; a tag that no client could pull by is left out, as no Link could say it.
    """
    document = _document(body)
    listed = _tags(document)
    if document is None or listed is None:
        return body, kept
    asked = parameters(canonical(ask.query, PAGING))
    number, last = _wanted(ask.query), asked.get("last", "")
    if "Link: " not in kept or number == 0:
        listed, kept = sorted(tag for tag in listed if tag > last and valid_tag(tag)), ""
    page = listed[:number] if number >= 0 and not kept else listed
    told = {**document, "name": called(ask), "tags": page}
    if page and len(page) < len(listed):
        kept = f'Link: </{resource.path}?{_encoded(asked | {"last": page[-1]})}>; rel="next"'
    return body if told == document else json.dumps(told).encode(), kept


def listed_tags(page: BinaryIO) -> list[str]:
    """The tags of a page, none where it does not speak of any; raises ValueError where it is no page, or too long."""
    found = small(page, LARGEST).get("tags") or []
    if not isinstance(found, list):
        raise ValueError("is no list of tags")
    return [tag for tag in found if isinstance(tag, str)]


def _wanted(query: str) -> int:
    """The n of a query, -1 where it has none."""
    said = parameters(query).get("n", "")
    return int(said) if _NUMBER.fullmatch(said) else -1


def _document(body: bytes) -> dict[str, Any] | None:
    try:
        found = json.loads(body)
    except (ValueError, RecursionError):
        return None
    return found if isinstance(found, dict) else None


def _tags(document: dict[str, Any] | None) -> list[str] | None:
    """A repository that lost its last tag has null for a list with docker-registry."""
    if document is None or "tags" not in document:
        return None
    found = [] if document["tags"] is None else document["tags"]
    return found if isinstance(found, list) and all(isinstance(tag, str) for tag in found) else None


def _next(ask: Ask, resource: Resource, link: str) -> str:
    """The query of this server's next page, "" where there is none.

    Of upstream's Link only known parameters are repeated, and only where it leads to another page of this list;
    with the client's own ?ns=, without which its next request would be another image's. n=0 has no next page.
    """
    if not _URL_PATH.fullmatch(ask.url_path) or not _wanted(ask.query):
        return ""
    pages = (_page(target, resource) for target in _targets(link))
    page = next((each for each in pages if each not in ("", resource.query)), "")
    meant = namespace(ask)
    return f"{page}&{_encoded({'ns': meant})}" if page and meant else page


def next_page(resource: Resource, kept: str) -> str:
    """The query of upstream's page after this one, "" where there is none."""
    lines = (line.partition(": ") for line in kept.split("\n"))
    links = [value for name, _, value in lines if name.lower() == "link"]
    pages = (_page(target, resource) for link in links for target in _targets(link))
    return next((each for each in pages if each not in ("", resource.query)), "")


def _targets(link: str) -> Iterator[str]:
    """The targets of relation "next" in a Link header."""
    for target, parameters in _LINK.findall(link):
        relation = _RELATION.search(parameters)
        if relation and "next" in (relation[1] or relation[2] or "").lower().split():
            yield target


def _page(target: str, resource: Resource) -> str:
    """The query of a link to a page of the resource, "" where it leads anywhere else."""
    try:
        url = urllib.parse.urlsplit(urllib.parse.urljoin(f"http://upstream/{resource.path}", target))
        query = canonical(url.query, OF_REFERRERS)
    except (ValueError, BadRequest):
        return ""
    own = resource.path.removeprefix("v2")  # upstream may have it behind any prefix, and not know its own
    return query if urllib.parse.unquote(url.path).endswith(own) else ""


def _number(text: str) -> str:
    if not _NUMBER.fullmatch(text):
        raise BadRequest("n is the number of entries wanted", code="pagination_number_invalid")
    return str(int(text))


def _encoded(given: dict[str, str]) -> str:
    return urllib.parse.urlencode(sorted(given.items()), encoding="latin-1")
