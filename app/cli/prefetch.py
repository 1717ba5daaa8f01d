"""`artifactapi prefetch REMOTE`: asks a server to fetch ahead of its clients, and shows how far that is."""

from __future__ import annotations

import ipaddress
import re
import sys
import time
import urllib.parse
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click
import requests
from requests.auth import AuthBase

from app.cli.context import settings_given, warn
from app.config import Settings
from app.errors import ArtifactError

KINDS = {
    "requirements.txt": re.compile(r".*requirements.*\.(?:txt|in)|constraints.*\.txt"),
    "package-lock.json": re.compile(r"package-lock\.json|npm-shrinkwrap\.json"),
    "Cargo.lock": re.compile(r"Cargo\.lock"),
    "go.sum": re.compile(r"go\.sum|go\.work\.sum"),
    "images": re.compile(r".*images.*"),
}
PAUSE, LINES = 0.5, 5.0  # seconds between two looks; between two lines where there is no terminal
PATIENCE = 120.0  # seconds for an answer: a large lock file is read before it is taken
WIDTH = 30  # characters of the bar
SHOWN = 10  # failures
FAR = 1024
FILE = click.Path(exists=True, dir_okay=False)
INPUT = click.Path(exists=True, dir_okay=False, allow_dash=True)


class Refused(ArtifactError):
    """What the server said against it."""


@click.command()
@click.argument("remote")
@click.option("--paths-from", type=INPUT, metavar="FILE", help="Paths, one a line; - is standard input.")
@click.option("--include", metavar="REGEX", help="What the indexes list and this is found in.")
@click.option("--index", "indexes", multiple=True, metavar="PATH", help="With --include: this one, not the stored.")
@click.option("--lock", type=FILE, metavar="FILE", help="What a lock file, or a list of images, pins.")
@click.option("--kind", type=click.Choice(list(KINDS)), help="What kind of lock file; told by its name otherwise.")
@click.option("--platform", "platforms", multiple=True, metavar="OS/ARCH", help="Of images; default: all of them.")
@click.option("--server", metavar="URL", help="Default: the one that the settings describe, on this machine.")
@click.option("--token-file", type=FILE, metavar="FILE", help="Default: ADMIN_TOKEN, or that in DATA_DIR.")
@click.option("--no-wait", is_flag=True, help="Print where the job can be looked up, and return.")
@click.pass_context
def prefetch(
    context: click.Context, /, remote: str, server: str | None, token_file: str | None, no_wait: bool, **given: Any
) -> None:
    """Fetch into REMOTE what will be asked of it. The exit status is 1 where something could not be had."""
    wanted = _wanted(**given)
    link = _link(server, token_file)
    where = link.ask("POST", "/api/v1/artifacts", {"remote": remote, **wanted})["id"]
    path = f"/api/v1/artifacts/jobs/{where}"
    if no_wait:
        click.echo(f"{link.server}{path}")
        return
    try:
        told = _watched(link, path)
    except KeyboardInterrupt:
        warn(f"the server goes on with it: {link.server}{path} (DELETE cancels it)")
        context.exit(130)
    for each in told["failures"][:SHOWN]:
        warn(f"{each['path']}: {each['message']}")
    if told["state"] != "done":
        warn(f"{told['state']}{': ' if told['reason'] else ''}{told['reason']}")
    context.exit(0 if told["state"] == "done" and not told["failed"] else 1)


def _wanted(
    paths_from: str | None,
    include: str | None,
    indexes: tuple[str, ...],
    lock: str | None,
    kind: str | None,
    platforms: tuple[str, ...],
) -> dict[str, Any]:
    """What the API is asked for. Raises UsageError."""
    if sum(each is not None for each in (paths_from, include, lock)) != 1:
        raise click.UsageError("give one of --paths-from, --include and --lock")
    more: dict[str, Any] = {"platforms": list(platforms)} if platforms else {}
    if include is not None:
        return {"include_pattern": include, "indexes": list(indexes), **more}
    text = _text(paths_from or lock or "")
    if paths_from is not None:
        return {"paths": [line.strip() for line in text.splitlines() if line.strip()]}
    name = Path(lock or "").name
    found = kind or next((each for each, names in KINDS.items() if names.fullmatch(name)), None)
    if found is None:
        raise click.UsageError(f"--kind: {name} does not tell which kind of lock file it is")
    return {"lock": {"kind": found, "text": text}, **more}


def _text(name: str) -> str:
    try:
        return sys.stdin.read() if name == "-" else Path(name).read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise click.UsageError(f"{name}: {error}") from None


def _watched(link: Link, path: str) -> dict[str, Any]:
    """The job, when it has ended."""
    terminal, said, at = sys.stdout.isatty(), "", -LINES
    while True:
        told = link.ask("GET", path)
        ended = told["state"] not in ("queued", "running")
        line = "  ".join(_progress(told, terminal))
        if terminal:
            click.echo(f"\r\x1b[K{line}", nl=ended)
        elif line != said and (ended or time.monotonic() - at >= LINES):
            click.echo(line)
            said, at = line, time.monotonic()
        if ended:
            return told
        time.sleep(PAUSE)


def _progress(told: dict[str, Any], terminal: bool) -> Iterator[str]:
    if terminal:
        part = WIDTH * told["done"] // max(told["total"], 1)
        yield f"[{'#' * part}{'.' * (WIDTH - part)}]"
    yield told["state"]
    yield f"{told['done']}/{told['total']}"
    yield f"{told['stored']} fetched ({_bytes(told['bytes'])})"
    if told["failed"]:
        yield f"{told['failed']} failed"


def _bytes(count: float) -> str:
    for unit in ("B", "KiB", "MiB", "GiB"):
        if count < FAR:
            return f"{count:.0f} {unit}" if unit == "B" else f"{count:.1f} {unit}"
        count /= FAR
    return f"{count:.1f} TiB"


class _Token(AuthBase):
    """Said to requests as such, or a .netrc would be believed instead."""

    def __init__(self, token: str) -> None:
        self._token = token

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        request.headers["Authorization"] = f"Bearer {self._token}"
        return request


@dataclass(frozen=True, slots=True)
class Link:
    """A server, and the token that it is asked with."""

    server: str
    token: _Token

    def ask(self, method: str, path: str, body: Any = None) -> dict[str, Any]:
        """The JSON of its answer. Raises Refused."""
        url = f"{self.server}{path}"
        try:
            answer = requests.request(method, url, json=body, auth=self.token, timeout=PATIENCE)
            told = answer.json()
        except requests.RequestException as error:
            raise Refused(f"{url}: {error}") from None
        if not isinstance(told, dict) or not answer.ok:
            raise Refused("\n".join(_reasons(url, answer.status_code, told)))
        return told


def _reasons(url: str, status: int, told: Any) -> Iterator[str]:
    found = told if isinstance(told, dict) else {}
    yield f"{url}: {status} {found.get('error', '')}: {found.get('message', '')}"
    for name, each in found.get("fields", {}).items():
        yield f"{name}: {' '.join(each)}"


def _link(server: str | None, token_file: str | None) -> Link:
    settings = settings_given()
    if server and not token_file and not _own(server, settings):
        raise click.UsageError(f"--token-file: {server} is elsewhere, and is not sent this machine's own token")
    file = Path(token_file) if token_file else settings.layout.admin_token
    if not token_file and settings.admin_token:
        return Link(_address(server, settings), _Token(settings.admin_token))
    try:
        return Link(_address(server, settings), _Token(file.read_text(encoding="ascii").strip()))
    except (OSError, UnicodeDecodeError) as error:
        raise click.UsageError(f"--token-file: no token in {file}: {error}") from None


def _own(server: str, settings: Settings) -> bool:
    """Whether that is this machine, or the address that its settings say clients use."""
    if settings.public_url and server.rstrip("/") == settings.public_url:
        return True
    try:
        parts = urllib.parse.urlsplit(server)
        known = parts.netloc == settings.bind or parts.hostname == "localhost"
        return known or ipaddress.ip_address(parts.hostname or "").is_loopback
    except ValueError:
        return False


def _address(server: str | None, settings: Settings) -> str:
    if server:
        return server.rstrip("/")
    if settings.host.startswith("unix:"):
        raise click.UsageError("--server: HOST is a socket: name the URL that clients use")
    return f"http://{settings.bind}".replace("//0.0.0.0:", "//127.0.0.1:").replace("//[::]:", "//[::1]:")
