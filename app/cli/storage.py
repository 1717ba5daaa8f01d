"""The commands on stored bytes: gc, verify, restore."""

from __future__ import annotations

import contextlib
import os
import sys
import time
from functools import partial
from typing import Any

import click

from app import compose, maintenance, repositories
from app.cli.context import UNTOLD, catalog_of, directory_of, every, settings_given, stores_of, warn
from app.cli.indexes import rewrite
from app.config import Settings
from app.errors import Conflict, StoreDown
from app.fills import spool
from app.formats import FORMATS
from app.hosting.tidying import tidy
from app.repositories.directory import Directory
from app.shelf import Shelf
from app.stores.base import Index, Stored
from app.stores.blobs import Blobs
from app.stores.catalog import Catalog
from app.stores.postgres import migrate
from app.verification import Damage, Tally, Verification

MINUTE = 60.0  # seconds between the making of a spool and its lock, at the very most
NICE = 10  # a verification beside a running server gives way to it
PROGRESS = 5.0  # seconds between two lines of progress


class Untouched:
    """Blobs of which none is removed: a dry run."""

    def __init__(self, blobs: Blobs) -> None:
        self._blobs = blobs

    def __getattr__(self, name: str) -> Any:
        return getattr(self._blobs, name)

    def remove(self, digest: str) -> None:
        """It could be removed, and stays."""


@click.command()
@click.option(
    "--grace",
    type=click.FloatRange(min=0),
    default=maintenance.GRACE,
    show_default=True,
    metavar="SECONDS",
    help="Leave blobs alone that are younger.",
)
@click.option(
    "--drop-unknown",
    is_flag=True,
    help="First forget repositories that nobody defines any more (remotes.json, the API), with what is in them.",
)
@click.option("--yes", is_flag=True, help="Do not ask whether --drop-unknown may.")
@click.option("--dry-run", is_flag=True, help="Count, remove nothing; with --drop-unknown: tell what goes.")
def gc(grace: float, drop_unknown: bool, yes: bool, dry_run: bool) -> None:
    """Remove blobs that nothing refers to; safe while the server runs."""
    settings = settings_given()
    blobs: Any = compose.blobs(settings)
    known = repositories.load(settings.config_path)
    with catalog_of(settings) as catalog, directory_of(settings, known) as directory:
        names = directory.names if drop_unknown else None
        if names is not None and not _may_forget(catalog.index, names, yes, dry_run):
            return
        if not dry_run:
            tidy(Shelf(catalog, blobs), settings.layout.spool, directory.locals.values())
        done = maintenance.collect(catalog.index, Untouched(blobs) if dry_run else blobs, grace=grace, known=names)
    if not dry_run:
        _reap(settings, catalog, grace)
    if drop_unknown:
        click.echo(f"forgot {done.dropped} entries of repositories that are not configured")
    click.echo(f"{'would remove' if dry_run else 'removed'} {done.removed} of {done.blobs} blobs")


def _reap(settings: Settings, catalog: Catalog, grace: float) -> None:
    """What killed processes left in this machine's spool, as the fills process does hourly."""
    if settings.layout.spool.is_dir():
        for orphan in spool.reap(settings.layout.spool, max(1.0, min(grace, MINUTE))):
            with contextlib.suppress(StoreDown):
                catalog.memory.break_lock(orphan.lock, orphan.token)


def _may_forget(index: Index, known: frozenset[str], yes: bool, dry_run: bool) -> bool:
    """Tell what --drop-unknown forgets, and ask whether it may; a dry run only tells."""
    unknown = index.drop_unknown(known, dry_run=True)
    for name, entries in unknown.items():
        click.echo(f"not configured: {name}, {entries} entries")
    if not unknown:
        click.echo("not configured: none")
    if dry_run or yes or not unknown:
        return not dry_run
    if not sys.stdin.isatty():
        raise click.UsageError("--drop-unknown also forgets what was published there: say --yes if it may")
    return click.confirm("Forget them, with what was published there?", abort=True)


class Progress:
    """A line on standard error now and then."""

    def __init__(self) -> None:
        self._next = time.monotonic() + PROGRESS

    def __call__(self, tally: Tally) -> None:
        if time.monotonic() >= self._next:
            self._next = time.monotonic() + PROGRESS
            click.echo(f"{tally.blobs} blobs, {tally.bytes >> 20} MiB read", err=True)


@click.command()
@click.option("--repository", metavar="NAME", help="Only what this repository refers to; default: every stored blob.")
@click.option(
    "--rate",
    type=click.IntRange(min=0),
    default=64,
    show_default=True,
    metavar="MIB",
    help="Read at most so many MiB a second; 0 is no limit.",
)
def verify(repository: str | None, rate: int) -> None:
    """Hash stored blobs again and put damaged ones aside; safe while the server runs.

    Damaged files of remotes are fetched anew at their next request; hosted ones are listed, and answer 503 until
    they are published again. The exit status is 1 where something was damaged, missing or unreadable.
    """
    settings = settings_given()
    known = repositories.load(settings.config_path)
    with catalog_of(settings) as catalog, directory_of(settings, known) as directory:
        if repository is not None and directory.get(repository) is None:
            raise click.UsageError(f"no repository is called {repository}")
        os.nice(NICE)
        run = Verification(catalog, compose.blobs(settings), directory, Progress(), rate << 20)
        found = [_told(damage) for damage in run.run(repository)]
    for digest in run.tally.unread:
        click.echo(f"unreadable {digest}: the store failed; try again")
    click.echo(f"{run.tally.blobs} blobs of {run.tally.bytes} bytes read, {len(found)} damaged or missing")
    if found or run.tally.unread:
        sys.exit(1)


def _told(damage: Damage) -> Damage:
    click.echo(f"{'missing' if damage.missing else 'damaged'} {damage.digest}")
    for stored in damage.forgotten:
        click.echo(f"  {stored.repository}/{stored.path}: forgotten, the next request fetches it")
    for stored in damage.kept:
        click.echo(f"  {stored.repository}/{stored.path}: hosted, answers 503 until it is published again")
    return damage


@click.command()
@click.option("--from-store", is_flag=True, help="Read the journal beside the blobs; there is nothing else to read.")
@click.option("--force", is_flag=True, help="Also into a database that has hosted files already.")
def restore(from_store: bool, force: bool) -> None:
    """Rebuild the database's hosted files from the journal that is kept beside the blobs.

    Into an empty database, or (with --force) into one that a back-up of Postgres was restored to: then the journal
    adds what was published since, and drops what was withdrawn. Nobody should publish meanwhile.
    """
    if not from_store:
        raise click.UsageError("say --from-store: a back-up of Postgres is restored by pg_restore")
    settings = settings_given()
    known = repositories.load(settings.config_path)
    migrate(stores_of(settings).database_url)
    missing: list[Stored] = []
    with catalog_of(settings) as catalog:
        if not force:
            with directory_of(settings, known) as directory:
                _refuse_hosted(catalog.index, directory)
        names = [each.name for each in every(known)]
        with directory_of(settings, known) as directory:
            named = partial(_named, directory)
            done = maintenance.restore(catalog, compose.blobs(settings), names, missing.append, warn, named)
            indexed = rewrite(settings, catalog, directory, directory.locals)
    for stored in missing:
        warn(f"{stored.repository}/{stored.path}: its bytes are not in the store ({stored.entry.digest})")
    click.echo(f"restored {done.files} hosted files, withdrew {done.withdrawn}, {len(missing)} have no bytes")
    if not done.told:
        warn(UNTOLD)
    if not (done.told and indexed):
        sys.exit(1)


def _refuse_hosted(index: Index, known: Directory) -> None:
    for name in known.locals:
        if index.listing(name, limit=1):
            raise Conflict(f"the database has files of {name} already: --force adds what the journal knows beyond it")


def _named(directory: Directory, repository: str, path: str) -> str:
    """The package of a hosted file, "" where nobody knows the repository."""
    known = directory.get(repository)
    return FORMATS[known.package].named(path) if known is not None else ""
