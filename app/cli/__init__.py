"""The console script `artifactapi`: every command, a function or a file each; settings come from the environment."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import click

from app import __version__, config, logs, maintenance, paths, repositories
from app.cli import storage
from app.cli.context import UNTOLD, catalog_of, every, settings_given, warn
from app.cli.indexes import reindex
from app.cli.init import init
from app.cli.prefetch import prefetch
from app.cli.pulls import pulls
from app.cli.why import why
from app.edge.command import edge
from app.errors import ArtifactError
from app.problems import ConfigError, Problem
from app.repositories.display import sources
from app.supervisor.processes import StartError
from app.supervisor.supervisor import Supervisor


class Commands(click.Group):
    """Shows every error of ours as lines for the operator, never as a traceback; exit status 1."""

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except (ConfigError, StartError, ArtifactError) as error:
            for line in str(error).splitlines():
                click.echo(f"artifactapi: {line}", err=True)
            ctx.exit(1)


def _settings_table() -> str:
    lines = (f"  {each.name:<16} {each.meaning} [{each.default}]" for each in config.DOCUMENTED)
    return "\b\nSettings (environment):\n" + "\n".join(lines)


@click.group(cls=Commands, epilog=_settings_table())
@click.version_option(__version__, prog_name="artifactapi")
def main() -> None:
    """One address in front of every package registry a fleet uses."""


@main.command()
def run() -> None:
    """Start the server with everything it needs, and watch it until Ctrl-C or SIGTERM; SIGHUP reloads."""
    settings = settings_given()
    logs.configure(settings.log_format, settings.debug)
    Supervisor(settings, os.environ, click.echo).run()


@main.command()
def check() -> None:
    """Check the settings and remotes.json; every error is one line, and the exit status 1; warnings leave it 0."""
    problems: list[Problem] = []
    file = Path(os.environ.get("CONFIG_PATH", "").strip() or "remotes.json")
    try:
        file = settings_given().config_path
    except ConfigError as error:
        problems.extend(error.problems)
    try:
        known = repositories.load(file)
    except ConfigError as error:
        problems.extend(error.problems)
    if problems:
        raise ConfigError(*problems)
    click.echo(f"{file}: {len(known.remotes)} remotes, {len(known.locals)} locals, {len(known.virtuals)} virtuals")
    for each in every(known):
        click.echo(f"  {each.name}: {each.kind} {each.package} {' '.join(sources(each))}".rstrip())
    for line in (*repositories.collisions(every(known)), *repositories.misspelt(every(known))):
        warn(f"{file}: {line}")


@main.command()
def schema() -> None:
    """Print the JSON Schema of remotes.json."""
    click.echo(json.dumps(repositories.schema(), indent=2))


@main.command()
@click.option("--remote", metavar="NAME", help="Only this remote; default: all of them.")
@click.option("--path", "prefix", default="", metavar="PREFIX", help="Only paths that start so.")
@click.option(
    "--mode",
    type=click.Choice(["expire", "delete"]),
    default="expire",
    show_default=True,
    help="expire: keep the bytes and ask upstream at the next request; delete: forget the entries.",
)
def flush(remote: str | None, prefix: str, mode: str) -> None:
    """Make remotes ask upstream again. Local repositories are never touched; Redis may be down."""
    settings = settings_given()
    known = repositories.load(settings.config_path)
    cached = [*known.remotes, *known.virtuals]  # of a virtual, what was made of its members
    if remote is not None and remote not in cached:
        raise click.UsageError(f"no remote is called {remote}: there are {', '.join(cached) or 'none'}")
    names = [remote] if remote is not None else cached
    with catalog_of(settings) as catalog:
        done = maintenance.flush(catalog, names, paths.check(prefix.lstrip("/")), expire=mode == "expire")
    verb = "expired" if mode == "expire" else "forgot"
    click.echo(
        f"{verb} {done.entries} entries, removed {done.redis_keys} copies from Redis; "
        f"{done.unreferenced} blobs are referred to no more (artifactapi gc removes them)"
    )
    if not done.told:
        warn(UNTOLD)
    if not done.settled:
        warn(maintenance.UNSETTLED)


for command in (init, why, pulls, prefetch, storage.gc, storage.verify, storage.restore, reindex, edge):
    main.add_command(command)
