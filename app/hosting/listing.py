"""What is in a directory of a local repository, for people and for programs.

A page is so many names in the order of their bytes, directories first on each. Every link is absolute, so that a page
means the same under each of the repository's addresses.
"""

from __future__ import annotations

import html
import json
import re
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from urllib.parse import parse_qs, urlencode

from werkzeug.datastructures import MIMEAccept
from werkzeug.http import parse_accept_header

from app import paths
from app.errors import BadRequest
from app.hosting.base import Contents, Page
from app.resource import Ask
from app.stores.publications import Child

MOST = 1000  # names on a page
NUMBER = re.compile(r"[1-9][0-9]{0,8}")
KINDS = ("text/html", "application/json")
SAFE = (  # names are other people's words
    ("Content-Security-Policy", "default-src 'none'"),
    ("X-Content-Type-Options", "nosniff"),
    ("Vary", "Accept"),
)


def listing(ask: Ask, contents: Contents, address: str) -> Page | None:
    """The directory of that path ("" is the root), as HTML or JSON; None where it has nothing and is not the root.

    `?format=json` or `Accept`; `?limit=` names on a page, those after the name `?after=`. Raises BadRequest,
    StoreDown.
    """
    said = {name: values[0] for name, values in parse_qs(ask.query, keep_blank_values=True).items()}
    limit, after = _limit(said.get("limit")), paths.check(said.get("after", ""))
    found = list(contents.children(ask.path, after, limit + 1))
    if not found and ask.path and not after:
        return None
    shown = found[:limit]
    more = _more(ask, address, said, limit, shown[-1].name) if len(found) > limit else None
    shown.sort(key=lambda child: child.entry is not None)
    if _as_json(ask, said.get("format")):
        return Page(_json(ask, shown, more), "application/json", headers=SAFE)
    return Page(_html(ask, address, shown, more), "text/html; charset=utf-8", headers=SAFE)


def _limit(said: str | None) -> int:
    if said is None:
        return MOST
    if not NUMBER.fullmatch(said):
        raise BadRequest("limit is how many names a page has, 1 or more", code="bad_limit")
    return min(int(said), MOST)


def _more(ask: Ask, address: str, said: dict[str, str], limit: int, last: str) -> str:
    query = {name: said[name] for name in ("format",) if name in said} | {"limit": str(limit), "after": last}
    return f"{_link(address, ask.path)}?{urlencode(query)}"


def _as_json(ask: Ask, said: str | None) -> bool:
    if said is not None:
        if said not in ("html", "json"):
            raise BadRequest("format is html or json", code="bad_format")
        return said == "json"
    accepted = parse_accept_header(ask.headers.get("accept"), MIMEAccept)
    return bool(accepted) and accepted.best_match(KINDS) == "application/json"


def _json(ask: Ask, shown: Sequence[Child], more: str | None) -> bytes:
    entries = [_told(child) for child in shown]
    told = {"repository": ask.repository, "path": ask.path, "entries": entries, "next": more}
    return json.dumps(told, ensure_ascii=False).encode() + b"\n"


def _told(child: Child) -> dict[str, object]:
    entry = child.entry
    if entry is None:
        return {"name": child.name, "type": "directory"}
    return {
        "name": child.name,
        "type": "file",
        "size": entry.size,
        "modified": _time(entry.fetched).isoformat(timespec="seconds"),
        "content_type": entry.content_type,
        "sha256": entry.digest,
    }


def _time(seconds: float) -> datetime:
    return datetime.fromtimestamp(int(seconds), UTC)


def _html(ask: Ask, address: str, shown: Sequence[Child], more: str | None) -> bytes:
    title = html.escape(f"{ask.repository}/{ask.path}")
    lines = "\n".join(_lines(ask, address, shown, more))
    return f"""<!DOCTYPE html>
<html lang="en">
<head><meta charset="utf-8"><title>{title}</title></head>
<body>
<h1>{title}</h1>
<table>
<tr><th>Name</th><th>Modified</th><th>Size</th></tr>
{lines}
</table>
</body>
</html>
""".encode()


def _lines(ask: Ask, address: str, shown: Sequence[Child], more: str | None) -> Iterator[str]:
    if ask.path:
        parent = ask.path.removesuffix("/").rpartition("/")[0]
        yield _line(_link(address, f"{parent}/" if parent else ""), "../", "", "")
    for child in shown:
        href, entry = _link(address, ask.path + child.name), child.entry
        if entry is None:
            yield _line(href, child.name, "", "")
        else:
            yield _line(href, child.name, f"{_time(entry.fetched):%Y-%m-%d %H:%M}", str(entry.size))
    if more is not None:
        yield _line(more, "more", "", "")


def _line(href: str, name: str, modified: str, size: str) -> str:
    link = f'<a href="{html.escape(href)}">{html.escape(name)}</a>'
    return f"<tr><td>{link}</td><td>{modified}</td><td>{size}</td></tr>"


def _link(address: str, path: str) -> str:
    return f"{address}/{paths.quote(path)}"
