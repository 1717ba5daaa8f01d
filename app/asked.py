"""What a client asks for; a pure value."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Ask:
    """What a client asks for, after the one path check: `path` is decoded and has no leading slash."""

    method: str
    repository: str
    path: str
    query: str = ""
    headers: Mapping[str, str] = field(default_factory=dict)  # names in lower case
    request_id: str = "-"
    url_path: str = ""  # as the client wrote it, for the log
    # "repository"; "api" adds Content-Disposition and types by suffix; "v2" answers errors in the form of OCI;
    # "fill" is another node that follows a download, "status" a worker that asks how the fills process is
    route: str = "repository"
    protocol: str = "HTTP/1.1"
    client: str = "-"
    user: str = ""  # who asks, where that was asked; for the log
    address: str = ""  # the repository's own URL as the client reaches it, where that was asked; for what has HERE
    members: tuple[str, ...] | None = None  # of a virtual: those that the client may read, where that was asked
    member: str = ""  # of a virtual: the one in which it was found
    posted: str = ""  # the question that a POST sent (Format.asks)
    private: bool = False  # of a virtual: not everybody may read all of it
    started: float = 0.0  # unix seconds
