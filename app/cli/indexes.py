"""The command on the indexes of local repositories: reindex."""

from __future__ import annotations

import sys
from collections.abc import Iterable

import click

from app import compose, repositories
from app.cli.context import catalog_of, directory_of, settings_given, warn
from app.config import Settings
from app.hosting.index import Indexer
from app.hosting.sweeping import behind
from app.repositories.directory import Directory
from app.shelf import Shelf
from app.stores.catalog import Catalog


@click.command()
@click.argument("names", nargs=-1, metavar="[NAME]...")
def reindex(names: tuple[str, ...]) -> None:
    """Write the indexes of local repositories anew, of all or of those named; safe while the server runs.

    Files of which no index knows (after a restore) are read first. The exit status is 1 where an index could not be
    built, or a file not be read by a defect; the log says why.
    """
    settings = settings_given()
    known = repositories.load(settings.config_path)
    with catalog_of(settings) as catalog, directory_of(settings, known) as directory:
        if unknown := sorted(set(names) - directory.locals.keys()):
            raise click.UsageError(f"no local repository is called {', '.join(unknown)}")
        if not rewrite(settings, catalog, directory, names or directory.locals):
            sys.exit(1)


def rewrite(settings: Settings, catalog: Catalog, directory: Directory, names: Iterable[str]) -> bool:
    """Describe what needs it, and build every index; whether all of them could be. Raises StoreDown."""
    settings.layout.spool.mkdir(parents=True, exist_ok=True)
    indexer = Indexer(Shelf(catalog, compose.blobs(settings)), settings.layout.spool)
    whole = True
    for name in names:
        repository = directory.locals[name]
        described = indexer.describe(repository)
        found = [(scope, changed) for each, scope, changed in behind(catalog.index.hosted) if each == name]
        built = sum(indexer.settle(repository, {scope: changed}) for scope, changed in found)
        if described or found:
            click.echo(f"{name}: {described} files described, {built} of {len(found)} indexes built")
        if built < len(found):
            warn(f"{name}: an index could not be built")
            whole = False
    if indexer.defects:
        warn(f"{indexer.defects} files could not be read, by a defect")
    return whole and not indexer.defects
