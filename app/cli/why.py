"""`artifactapi why URL`: the explanation of app/web/explain.py, read from the stores themselves."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import click
from flask import Flask

from app import compose, repositories
from app.cli.context import catalog_of, settings_given
from app.config import Settings
from app.shelf import Shelf
from app.web.explain import explained
from app.web.node import EXTENSION

NOWHERE = "unix:///nowhere"  # never connected to
WIDTH = 16


@click.command()
@click.argument("url")
@click.option("--accept", default="", metavar="TYPES", help="The client's Accept header: images have variants by it.")
@click.option("--json", "as_json", is_flag=True, help="Print what GET /api/v1/explain answers.")
@click.pass_context
def why(context: click.Context, url: str, accept: str, as_json: bool) -> None:
    """Tell what a client gets for URL (or only its path) and why. Asks no upstream and changes nothing.

    The exit status is 1 where it would be refused.
    """
    with _application(settings_given()) as app, app.app_context():
        told = explained(url, accept)
    click.echo(json.dumps(told, indent=2) if as_json else "\n".join(lines(told)))
    context.exit(0 if told["answer"]["served"] else 1)


@contextmanager
def _application(settings: Settings) -> Iterator[Flask]:
    """A worker's application over the stores that the settings name, or the running server's."""
    known = repositories.load(settings.config_path)
    with catalog_of(settings) as catalog:
        app = compose.worker(replace(settings, redis_url=NOWHERE), known)
        own = app.extensions[EXTENSION]
        shelf = Shelf(catalog, own.shelf.blobs)
        app.extensions[EXTENSION] = replace(own, settings=settings, shelf=shelf, memory=catalog.memory)
        try:
            yield app
        finally:
            own.finish.close()
            own.repositories.close()
            own.accounts.close()


def lines(told: dict[str, Any]) -> Iterator[str]:
    """The document for people: a line a fact, the answer first."""
    yield told["url"]
    answer = told["answer"]
    yield f"{'served' if answer['served'] else 'REFUSED'}: {answer['row']}"
    yield f"  {'upstream asked':<{WIDTH}}{'it may be' if answer['upstream_asked'] else 'no'}"
    for case in answer["cases"]:
        yield f"  {case['when']}: {' '.join(_outcome(case))}"
    for name, section in told.items():
        if name not in ("url", "answer", "unknown"):
            yield from _section(name.replace("_", " "), section, told["unknown"] or {})
    for name, reason in (told["unknown"] or {}).items():
        yield f"unknown: {name.replace('_', ' ')}, for {reason}"


def _section(name: str, section: Any, unknown: dict[str, str]) -> Iterator[str]:
    if not section:
        yield f"{name}: none"
    for each in section if isinstance(section, list) else [section] if section else []:
        yield name
        for key, value in each.items():
            yield f"  {key.replace('_', ' '):<{WIDTH}}{_text(value)}"


def _outcome(case: dict[str, Any]) -> Iterator[str]:
    """Its status, X-Cache or code, and reason."""
    for value in (case["status"], case["x_cache"], case["code"]):
        if value is not None:
            yield str(value)
    if case["retry_after"] is not None:
        yield f"(Retry-After {case['retry_after']})"
    if case["upstream_asked"]:
        yield "after asking upstream"
    if case["message"] is not None:
        yield f"- {case['message']}"


def _text(value: Any) -> str:
    if value is None or value == "" or value == []:
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    return ", ".join(value) if isinstance(value, list) else str(value)
