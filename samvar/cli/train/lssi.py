"""`samvar train lssi`."""

from __future__ import annotations

import click

from .options import run_training, training_options


@click.command()
@training_options
@click.option("--start-from", help="Folder of a run, or a bundle, whose core sites to start from.")
def lssi(**options) -> None:
    """Train the core acceptor and donor models by RECIPE (TOML)."""
    run_training("lssi", **options)
