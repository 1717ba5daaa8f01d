"""What the agent asks a node: news, and to count what nginx alone served.

POST /api/v1/edges/<name>         {"cursor": n} -> 200 {"cursor", "everything", "purges": [...], "lease": seconds}
POST /api/v1/edges/<name>/hits    {"report": "<32 hexadecimal digits>", "hits": [...]} -> 204
"""

from __future__ import annotations

import enum
import urllib.parse
from dataclasses import dataclass
from typing import Any

import requests

from app.edge.problems import AwayError, UnknownError
from app.stores.edges import News, Purge

PATIENCE = (0.5, 0.5)  # seconds to connect, and for an answer: together well below a lease
COUNTING = (0.5, 1.0)  # the same for a report: it and a poll do not outlast a lease either
SHORTEST, LONGEST = 0.0, 60.0  # seconds of a lease that are believed
LATER = frozenset({401, 403, 404, 405, 408, 425, 429})  # and what begins with a 5: not counted, and may be one day


class Counted(enum.Enum):
    """What became of a report."""

    YES = "counted"
    LATER = "not counted, or nobody knows: again, under the same number"
    NEVER = "refused for good"


@dataclass(frozen=True, slots=True)
class Told:
    """A good answer: the news, and the seconds of lease that came with them."""

    news: News
    lease: float


class Node:
    """Whoever answers at `url`, as the edge `name`. Proxies, .netrc and redirects are not followed."""

    def __init__(self, url: str, name: str, token: str) -> None:
        self._url = f"{url.rstrip('/')}/api/v1/edges/{urllib.parse.quote(name, safe='')}"
        self._session = requests.Session()
        self._session.trust_env = False
        self._session.headers["Authorization"] = f"Bearer {token}"

    def poll(self, cursor: int) -> Told:
        """News after `cursor`; AwayError where there is no good answer, UnknownError where `cursor` is the reason."""
        try:
            answer = self._post("", {"cursor": cursor}, PATIENCE)
            if answer.status_code == requests.codes.unprocessable:
                raise UnknownError("the node does not take this cursor")
            if answer.status_code != requests.codes.ok:
                raise AwayError(f"the node answers {answer.status_code}")
            return _told(answer.json())
        except requests.RequestException as error:
            raise AwayError(f"the node cannot be asked: {type(error).__name__}") from error
        except (KeyError, TypeError, ValueError) as error:
            raise AwayError("the node's answer is not one about news") from error

    def report(self, report: dict[str, Any]) -> Counted:
        try:
            status = self._post("/hits", report, COUNTING).status_code
        except requests.RequestException:
            return Counted.LATER
        if status < requests.codes.multiple_choices:
            return Counted.YES
        return Counted.LATER if status in LATER or status >= requests.codes.server_error else Counted.NEVER

    def close(self) -> None:
        self._session.close()

    def _post(self, path: str, body: dict[str, Any], patience: tuple[float, float]) -> requests.Response:
        return self._session.post(self._url + path, json=body, timeout=patience, allow_redirects=False)


def _told(body: Any) -> Told:
    purges = [Purge(int(each["number"]), str(each["repository"]), _key(each["key"])) for each in body["purges"]]
    lease = min(max(float(body["lease"]), SHORTEST), LONGEST)
    return Told(News(int(body["cursor"]), purges, everything=bool(body["everything"])), lease)


def _key(value: Any) -> str | None:
    return None if value is None else str(value)
