"""`artifactapi pulls`: the record of GET /api/v1/pulls, read from the database itself, as a table or JSON."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import islice

import click

from app import repositories, times
from app.cli.context import catalog_of, settings_given, warn
from app.stores.pulls import UNKNOWN, Pull, Pulls, Sought
from app.web.pulls import MOST, document, recorded_since, sought

HEAD = ("at", "client", "requests", "bytes", "what")


@click.command()
@click.option("--repository", metavar="NAME", help="Only of this repository.")
@click.option("--path", metavar="PREFIX", help="Only paths that start so.")
@click.option("--digest", metavar="SHA256", help="Only these bytes, under whatever name.")
@click.option("--client", metavar="ADDRESS", help="Only this address, or this network (10.0.0.0/8).")
@click.option("--since", metavar="TIME", help="From 2026-11-21 or 2026-11-21T13:00:00Z on; in UTC.")
@click.option("--until", metavar="TIME", help="Before that time.")
@click.option("--limit", type=click.IntRange(1), default=100, show_default=True, help="So many, the newest first.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line, as GET /api/v1/pulls has them.")
def pulls(limit: int, as_json: bool, **given: str | None) -> None:
    """Tell which clients pulled what, to the minute."""
    wanted = sought({name: value for name, value in given.items() if value is not None})
    settings = settings_given()
    known = repositories.load(settings.config_path)
    with catalog_of(settings) as catalog:
        record = catalog.index.pulls
        name = wanted.repository
        if name is not None and known.get(name) is None and not record.knows(name):
            raise click.UsageError(f"no repository is called {name}, and nothing is recorded of one")
        rows = _rows(record, wanted)
        shown = list(islice(rows, limit))
        more = next(rows, None) is not None
        since = None if shown else recorded_since(record, time.time() - settings.pulls_keep)
    for line in [json.dumps(document(pull)) for pull in shown] if as_json else _table(shown):
        click.echo(line)
    if more:
        warn(f"these are the newest {limit}; there are more (--limit)")
    if not shown:
        warn(f"no such pull is in the record, which {f'goes back to {since}' if since else 'is empty'} (PULLS_KEEP)")


def _rows(record: Pulls, wanted: Sought) -> Iterator[Pull]:
    """Page by page, as they are asked for."""
    while True:
        page = record.find(replace(wanted, limit=MOST))
        yield from page.pulls
        if page.after is None:
            return
        wanted = replace(wanted, after=page.after)


def _table(shown: Sequence[Pull]) -> Iterator[str]:
    if not shown:
        return
    rows = [HEAD, *(_cells(pull) for pull in shown)]
    widths = [max(len(row[column]) for row in rows) for column in range(4)]
    for row in rows:
        yield "  ".join([*(cell.ljust(width) for cell, width in zip(row, widths, strict=False)), row[4]])


def _cells(pull: Pull) -> tuple[str, ...]:
    client = pull.client if pull.client != UNKNOWN else "-"
    digest = f" sha256:{pull.digest}" if pull.digest else ""
    what = f"{pull.repository}/{pull.path}{digest}"
    return times.written(pull.minute), client, str(pull.requests), str(pull.bytes), what
