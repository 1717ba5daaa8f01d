"""`artifactapi edge`: its options, in words and in the environment."""

from __future__ import annotations

import logging
import os
import re
import signal
import socket
from pathlib import Path
from threading import Event

import click

from app import logs
from app.edge.agent import Agent, Places
from app.edge.node import Node
from app.edge.problems import UnableError
from app.stores.edges import NAME

PREFIX = "ARTIFACTAPI_EDGE_"


def _token(file: Path | None) -> str:
    """What `file` or EDGE_TOKEN holds; never shown."""
    try:
        token = file.read_text("utf-8").strip() if file else os.environ.get("EDGE_TOKEN", "").strip()
    except OSError as error:
        raise click.UsageError(f"--token-file {file}: {error.strerror}") from None
    if not re.fullmatch(r"[!-~]+", token):
        raise click.UsageError("no token: --token-file names a file with the node's EDGE_TOKEN, or EDGE_TOKEN is set")
    return token


def _place(name: str, default: str, meaning: str) -> click.Option:
    return click.Option(
        [f"--{name}"],
        envvar=f"{PREFIX}{name.upper()}",
        type=click.Path(path_type=Path),
        default=default,
        show_default=True,
        show_envvar=True,
        help=meaning,
    )


def _named(context: click.Context, option: click.Parameter, name: str | None) -> str:
    name = name or socket.gethostname()
    if not NAME.fullmatch(name):
        raise click.BadParameter("1 to 64 letters, digits, dots, dashes, underscores")
    return name


@click.command()
@click.option(
    "--url",
    envvar=f"{PREFIX}URL",
    default="http://127.0.0.1:8090",
    show_default=True,
    show_envvar=True,
    help="Where a node answers: through nginx's door for it, or directly.",
)
@click.option(
    "--token-file",
    envvar=f"{PREFIX}TOKEN_FILE",
    type=click.Path(path_type=Path),
    show_envvar=True,
    help="A file with the nodes' EDGE_TOKEN (or ADMIN_TOKEN); without it EDGE_TOKEN is read.",
)
@click.option(
    "--name",
    envvar=f"{PREFIX}NAME",
    callback=_named,
    show_envvar=True,
    help="Of this edge, and of no other one of the fleet.  [default: the name of the host]",
)
def edge(url: str, token_file: Path | None, name: str, **places: Path) -> None:
    """Let the nginx of this machine keep public bodies for long: drop what a node ends, and count what nginx serves.

    Runs as nginx's user until SIGTERM. While it does not, nginx keeps nothing.
    """
    logs.configure(os.environ.get("LOG_FORMAT", "json"))
    stop = Event()
    for each in (signal.SIGTERM, signal.SIGINT):
        signal.signal(each, lambda *_: stop.set())
    try:
        agent = Agent(Places(**places), Node(url, name, _token(token_file)), stop)
        logging.getLogger(__name__).info("edge_started", extra={"fields": {"name": name, "url": url}})
        agent.run()
    except UnableError as error:
        raise click.ClickException(str(error)) from error


edge.params.extend(
    [
        _place("cache", "/var/cache/artifactapi-edge", "nginx's proxy_cache_path, with levels=1:2."),
        _place("log", "/var/log/nginx/edge.log", "nginx's access_log of the format `edge`."),
        _place("leases", "/run/artifactapi-edge", "The directory in which nginx looks for the lease."),
        _place("state", "/var/lib/artifactapi-edge/state.json", "What is known again after a restart."),
    ]
)
