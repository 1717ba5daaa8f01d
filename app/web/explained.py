"""An explanation as JSON: the same facts for the endpoint and for the command; never a credential or a token.

    url          what was asked, without credentials
    answer       {served, row, upstream_asked,
                  cases: [{when, upstream_asked, status, x_cache, code, message, retry_after}]}
    repository   {name, kind, package, because}
    resource     {key, rule, lifetime, ttl, expected, upstream, list}
    known        {from, state, digest, size, content_type, fetched, checked, age, failures, gone, believed_until,
                  missing}
    bytes        {digest, place, state, size}
    download     {lock, running, node}
    upstreams    [{url, state, failures, retry_in, problem}]
    last_answer  {at, age, status, problem}
    next_try     {at, in, why}
    unknown      {field: why it could not be told}
    members      [{repository, key, asked, because, state, row}]    only of what is made of others, or in a virtual

Times are ISO 8601 in UTC, ages and `in` are seconds; what is not there, or not known, is null. `ttl` is seconds or
"forever". What a refusal came before is null, too.
"""

from __future__ import annotations

import json
import urllib.parse
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any

from flask import Response

from app import paths
from app.explanation import Explanation
from app.foresight import Case, Row
from app.repositories.display import sources
from app.resource import Ask, Kind, Resource
from app.web import problem
from app.web.target import Target

Document = dict[str, Any]
SECTIONS = (
    "repository", "resource", "known", "bytes", "download", "upstreams", "last_answer", "next_try", "unknown",
)  # fmt: skip


def document(target: Target, found: Explanation, ask: Ask, now: float) -> Document:
    """All of it; `ask` decides in which form errors are told, `now` is in unix seconds."""
    seen = found.sighting
    return {
        "answer": _row(found.row, ask),
        "repository": identity(target),
        "resource": _resource(found.resource),
        "known": _known(found, now),
        "bytes": found.bytes and asdict(found.bytes),
        "download": found.download and asdict(found.download),
        "upstreams": [{**asdict(each), "retry_in": round(each.retry_in, 1)} for each in found.health],
        "last_answer": seen and {**asdict(seen), "at": _moment(seen.at), "age": _since(seen.at, now)},
        "next_try": {"at": _moment(found.next.at), "in": _until(found.next.at, now), "why": found.next.why},
        "unknown": dict(found.unknown),
        **({"members": [asdict(each) for each in found.members]} if found.members else {}),
    }


def own_page() -> Document:
    """For what this server answers by itself: the registry API's root and its catalog."""
    row = {"served": True, "row": "a page of this server's own", "upstream_asked": False, "cases": [_NOTHING]}
    return {"answer": row} | dict.fromkeys(SECTIONS)


def refusal(response: Response, target: Target | None) -> Document:
    """For what is refused before anything is looked up, as the client hears it."""
    told = _told(response.status_code, dict(response.headers), response.get_data())
    row = {"served": False, "row": "refused", "upstream_asked": False, "cases": [told]}
    return {"answer": row} | dict.fromkeys(SECTIONS) | {"repository": target and identity(target)}


def identity(target: Target) -> Document:
    source = target.repository
    return {
        "name": source.name,
        "kind": source.kind.value,
        "package": source.package,
        "because": target.because,
    }


# -- what a GET would get -------------------------------------------------------------------------------------

_NOTHING: Document = {
    "when": "always",
    "upstream_asked": False,
    "status": 200,
    "x_cache": None,
    "code": None,
    "message": None,
    "retry_after": None,
}


def _row(row: Row, ask: Ask) -> Document:
    cases = [_case(case, ask) for case in row.cases]
    return {"served": row.served, "row": row.name, "upstream_asked": row.asked, "cases": cases}


def _case(case: Case, ask: Ask) -> Document:
    about = {"when": case.when, "upstream_asked": case.asked}
    if case.error is None:
        return {**_NOTHING, **about, "x_cache": case.x_cache}
    status, headers, body = problem.render(case.error, ask)
    return {**_told(status, dict(headers), body), **about}


def _told(status: int, headers: dict[str, str], body: bytes) -> Document:
    """A response that refuses, in either form of error."""
    said = json.loads(body)
    first = said["errors"][0] if "errors" in said else said | {"code": said["error"]}
    wait = headers.get("Retry-After")
    return {
        **_NOTHING,
        "status": status,
        "x_cache": headers.get("X-Cache"),
        "code": first["code"],
        "message": first["message"],
        "retry_after": wait and int(wait),
    }


# -- what is known --------------------------------------------------------------------------------------------


def _resource(resource: Resource) -> Document:
    source, expected = resource.repository, resource.expected
    remote = source.kind is Kind.REMOTE
    bases = source.base_urls if remote else ()
    return {
        "key": resource.key,
        "rule": resource.rule,
        "lifetime": "immutable" if resource.immutable else "mutable",
        "ttl": "forever" if resource.ttl is None else resource.ttl,
        "expected": expected and f"{expected.algorithm}:{expected.value}",
        "upstream": [paths.join(_bare(base), resource.path, resource.query) for base in bases],
        "list": sources(source)[0] if remote and not bases else None,
    }


def _known(found: Explanation, now: float) -> Document | None:
    entry, known = found.known.entry, found.known
    if entry is None:
        missing = known.negative or known.missed or None
        return {"from": found.source, "state": "missing", "missing": missing} if found.source else None
    return {
        "from": found.source,
        "state": found.freshness,
        "digest": entry.digest,
        "size": entry.size,
        "content_type": entry.content_type,
        "fetched": _moment(entry.fetched),
        "checked": _moment(entry.checked),
        "age": _since(entry.checked, now),
        "failures": entry.failures,
        "gone": entry.gone or None,
        "believed_until": _moment(entry.until),
        "missing": known.negative or known.missed or None,
    }


def _bare(base: str) -> str:
    """Without credentials."""
    parts = urllib.parse.urlsplit(base)
    return parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl()


def _moment(seconds: float | None) -> str | None:
    """0 stands for never."""
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ") if seconds else None


def _since(seconds: float, now: float) -> float | None:
    return round(now - seconds, 1) if seconds else None


def _until(seconds: float | None, now: float) -> float | None:
    return None if seconds is None else round(seconds - now, 1)
