"""The console script `artifactapi`: run, check, schema, flush, gc; settings come from the environment."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click

from app import __version__, config, logs, maintenance, paths, repositories
from app.config import Settings
from app.errors import ArtifactError
from app.problems import ConfigError, Problem
from app.repositories import Repositories
from app.repositories.display import sources
from app.resource import Repository
from app.stores.base import Blobs
from app.stores.catalog import Catalog
from app.stores.filesystem import FilesystemBlobs
from app.stores.postgres import PostgresIndex
from app.stores.redis import RedisMemory
from app.supervisor import commands
from app.supervisor.processes import StartError
from app.supervisor.supervisor import Supervisor

NOT_RUNNING = "not running here: start it, or set DATABASE_URL and REDIS_URL"


class Commands(click.Group):
    """Shows every error of ours as lines for the operator, never as a traceback; exit status 1."""

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except (ConfigError, StartError, ArtifactError) as error:
            for line in str(error).splitlines():
                click.echo(f"artifactapi: {line}", err=True)
            ctx.exit(1)


class Untouched:
    """Blobs of which none is removed: a dry run."""

    def __init__(self, blobs: Blobs) -> None:
        self._blobs = blobs

    def __getattr__(self, name: str) -> Any:
        return getattr(self._blobs, name)

    def remove(self, digest: str) -> None:
        """It could be removed, and stays."""


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
    settings = _settings()
    logs.configure(settings.log_format, settings.debug)
    Supervisor(settings, os.environ, click.echo).run()


@main.command()
def check() -> None:
    """Check the settings and remotes.json; every error is one line, and the exit status 1; warnings leave it 0."""
    problems: list[Problem] = []
    file = Path(os.environ.get("CONFIG_PATH", "").strip() or "remotes.json")
    try:
        file = _settings().config_path
    except ConfigError as error:
        problems.extend(error.problems)
    try:
        known = repositories.load(file)
    except ConfigError as error:
        problems.extend(error.problems)
    if problems:
        raise ConfigError(*problems)
    click.echo(f"{file}: {len(known.remotes)} remotes, {len(known.locals)} locals, {len(known.virtuals)} virtuals")
    for each in _all(known):
        click.echo(f"  {each.name}: {each.kind} {each.package} {' '.join(sources(each))}".rstrip())
    for line in repositories.collisions(_all(known)):
        click.echo(f"artifactapi: warning: {file}: {line}", err=True)


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
    settings = _settings()
    known = repositories.load(settings.config_path)
    if remote is not None and remote not in known.remotes:
        raise click.UsageError(f"no remote is called {remote}: there are {', '.join(known.remotes) or 'none'}")
    names = [remote] if remote is not None else list(known.remotes)
    with _catalog(settings) as catalog:
        done = maintenance.flush(catalog, names, paths.check(prefix.lstrip("/")), expire=mode == "expire")
    verb = "expired" if mode == "expire" else "forgot"
    click.echo(
        f"{verb} {done.entries} entries, removed {done.redis_keys} copies from Redis; "
        f"{done.unreferenced} blobs are referred to no more (artifactapi gc removes them)"
    )


@main.command()
@click.option(
    "--grace",
    type=click.FloatRange(min=0),
    default=maintenance.GRACE,
    show_default=True,
    metavar="SECONDS",
    help="Leave blobs alone that are younger.",
)
@click.option("--drop-unknown", is_flag=True, help="First forget repositories that remotes.json no longer has.")
@click.option("--dry-run", is_flag=True, help="Count, remove nothing.")
def gc(grace: float, drop_unknown: bool, dry_run: bool) -> None:
    """Remove blobs that nothing refers to; safe while the server runs."""
    if dry_run and drop_unknown:
        raise click.UsageError("--dry-run cannot tell what --drop-unknown would leave: use one of them")
    settings = _settings()
    blobs: Any = FilesystemBlobs(settings.layout.blobs)
    known = repositories.load(settings.config_path)
    names = frozenset(each.name for each in _all(known)) if drop_unknown else None
    with _catalog(settings) as catalog:
        done = maintenance.collect(catalog.index, Untouched(blobs) if dry_run else blobs, grace=grace, known=names)
    if drop_unknown:
        click.echo(f"forgot {done.dropped} entries of repositories that are not configured")
    click.echo(f"{'would remove' if dry_run else 'removed'} {done.removed} of {done.blobs} blobs")


def _settings() -> Settings:
    return config.from_environment(commands.inherited(os.environ))


def _all(known: Repositories) -> Iterator[Repository]:
    for each in (known.remotes, known.locals, known.virtuals):
        yield from each.values()


@contextmanager
def _catalog(settings: Settings) -> Iterator[Catalog]:
    """The stores that the settings name, or those of the supervisor that runs beside us."""
    beside = commands.Stores.read(settings.layout.run / commands.URLS)
    database = settings.database_url or (beside and beside.database_url)
    if not database:
        raise StartError(NOT_RUNNING)
    memory = settings.redis_url or (beside and beside.redis_url) or "unix:///nowhere"
    index = PostgresIndex(database)
    try:
        yield Catalog(index, RedisMemory(memory))
    finally:
        index.close()


if __name__ == "__main__":
    main()
