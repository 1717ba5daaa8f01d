"""`python -m soak`: run it, print every count, and end with status 1 where something fell short."""

from __future__ import annotations

import random
import sys

import click

from soak.run import run


@click.command()
@click.option("--duration", default=600.0, show_default=True, envvar="DURATION", help="Seconds of load and faults.")
@click.option(
    "--seed", default="", envvar="SEED", help="Of the faults and of what clients ask; printed if not given."
)
@click.option("--nodes", default=2, show_default=True, envvar="NODES", type=click.IntRange(1, 5))
@click.option("--clients", default=6, show_default=True, envvar="CLIENTS", type=click.IntRange(1, 50))
def main(duration: float, seed: str, nodes: int, clients: int) -> None:
    """Load a fleet while all that it depends on is stopped, killed and started again."""
    chosen = seed or str(random.SystemRandom().randrange(10**6))
    report = run(duration, chosen, nodes, clients, click.echo)
    click.echo(report.table())
    sys.exit(0 if report.good else 1)


if __name__ == "__main__":
    main()
