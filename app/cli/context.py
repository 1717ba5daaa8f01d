"""What every command starts from: the settings, the repositories, and the stores of the server beside it."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

import click

from app import compose, config
from app.config import Settings
from app.repositories import Repositories
from app.repositories.directory import Directory
from app.resource import Repository
from app.stores.catalog import FRESH, Catalog
from app.stores.postgres import PostgresIndex
from app.stores.redis import RedisMemory
from app.supervisor import commands
from app.supervisor.commands import Stores
from app.supervisor.processes import StartError

UNTOLD = (
    f"Redis was not told, so nodes that reach it may serve older copies for up to {FRESH:.0f} s: "
    "set REDIS_URL to the servers' own and run this again"
)
NOT_RUNNING = "nothing runs in {} (DATA_DIR): start it, or set DATABASE_URL and REDIS_URL"


def settings_given() -> Settings:
    return config.from_environment(commands.inherited(os.environ))


def warn(line: str) -> None:
    click.echo(f"artifactapi: warning: {line}", err=True)


def every(known: Repositories) -> Iterator[Repository]:
    for each in (known.remotes, known.locals, known.virtuals):
        yield from each.values()


def stores_of(settings: Settings) -> Stores:
    """The stores that the settings name, or those of the supervisor that runs beside us."""
    beside = Stores.read(settings.layout.run / commands.URLS)
    database = settings.database_url or (beside and beside.database_url)
    if not database:
        raise StartError(NOT_RUNNING.format(settings.data_dir))
    return Stores(database, settings.redis_url or (beside and beside.redis_url) or "unix:///nowhere")


@contextmanager
def directory_of(settings: Settings, known: Repositories) -> Iterator[Directory]:
    """Every repository: those of the file, and those that were made through the API."""
    stores = stores_of(settings)
    at = replace(settings, database_url=stores.database_url, redis_url=stores.redis_url)
    directory = Directory(known, *compose.accounts(at))
    try:
        yield directory
    finally:
        directory.close()


@contextmanager
def catalog_of(settings: Settings) -> Iterator[Catalog]:
    """The catalog over stores_of()."""
    stores = stores_of(settings)
    index = PostgresIndex(stores.database_url)
    try:
        yield Catalog(index, RedisMemory(stores.redis_url))
    finally:
        index.close()
