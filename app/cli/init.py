"""`artifactapi init`: writes a remotes.json of what this machine's own package clients are configured for."""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import click

from app import repositories
from app.cli.context import warn
from app.discovery import machine
from app.discovery.document import Document, document
from app.discovery.readers import Read, read
from app.problems import ConfigError, Problem

STANDS_IN = "stands-in"  # for a secret, while the file is checked


def _configured() -> Path:
    """What `check` and `run` read, whether or not the other settings are in order yet."""
    return Path(os.environ.get("CONFIG_PATH", "").strip() or "remotes.json")


@click.command()
@click.option("--output", type=click.Path(dir_okay=False, path_type=Path), default=_configured,
              show_default="CONFIG_PATH, else remotes.json", metavar="FILE")  # fmt: skip
@click.option("--print", "only_print", is_flag=True, help="Print it instead.")
@click.option("--force", is_flag=True, help="Replace a file that is there.")
@click.option("--root", type=click.Path(exists=True, file_okay=False, path_type=Path), metavar="DIRECTORY",
              help="Read the files below this directory, as of another machine; no command is run.")  # fmt: skip
def init(output: Path, only_print: bool, force: bool, root: Path | None) -> None:
    """Write a remotes.json with one remote for each address that pip, npm, apt, dnf, apk, docker, podman, cargo, go,
    Maven and helm of this machine have. Credentials are never copied: variables are named that are to hold them."""
    found = read(machine.other(root) if root else machine.this())
    made = document(found.addresses)
    text = json.dumps(made.text, indent=2) + "\n"
    _check(text, made.variables, output)
    for line in _summary(found, made):
        click.echo(line, err=only_print)
    for note in (*found.notes, *made.notes):
        warn(note)
    if only_print:
        click.echo(text, nl=False)
        return
    _write(output, text, force)
    click.echo(f"{output}: {len(made.text['remotes'])} remotes")
    for name, meaning in made.variables.items():
        click.echo(f"set {name} before the server starts: {meaning}")


def _summary(found: Read, made: Document) -> Iterator[str]:
    for source, count in found.sources:
        yield f"read {source}: {count or 'no'} address{'' if count == 1 else 'es'}"
    for name, remote in made.text["remotes"].items():
        url = next(remote[key] for key in ("base_url", "metalink", "mirrorlist") if key in remote)
        yield f"  {name}: {remote['package']} {url}"


def _check(text: str, variables: Mapping[str, str], output: Path) -> None:
    """As the server will read it. Raises ConfigError."""
    with tempfile.TemporaryDirectory() as directory, _set(variables):
        file = Path(directory) / output.name
        file.write_text(text, encoding="utf-8")
        repositories.load(file)


@contextmanager
def _set(variables: Mapping[str, str]) -> Iterator[None]:
    missing = [name for name in variables if name not in os.environ]
    os.environ.update(dict.fromkeys(missing, STANDS_IN))
    try:
        yield
    finally:
        for name in missing:
            del os.environ[name]


def _write(output: Path, text: str, force: bool) -> None:
    """Never over a file that is there, unless that is wanted; then as one. Raises ConfigError."""
    try:
        if not force:
            with output.open("x", encoding="utf-8") as file:
                file.write(text)
            return
        beside = output.with_name(f".{output.name}.new")
        beside.write_text(text, encoding="utf-8")
        beside.replace(output)
    except FileExistsError:
        raise ConfigError(
            Problem(str(output), "", "is there already: --force replaces it, --print shows it")
        ) from None
    except OSError as error:
        raise ConfigError(Problem(str(output), "", f"cannot be written: {error.strerror}")) from None
