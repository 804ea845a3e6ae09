"""`samvar train lssi`."""

from __future__ import annotations

import click

from .options import run_training, training_options


@click.command()
@click.option(
    "--start-from",
    metavar="NAME|FOLDER",
    help="Start from the core-site models of this run or bundle [default: random weights].",
)
@training_options
def lssi(**options) -> None:
    """Train the models of core acceptor and donor sites.

    RECIPE is a TOML file of settings; see train/paper/ for examples.
    """
    run_training("lssi", **options)
