"""`samvar train fm` and `samvar train am`."""

from __future__ import annotations

import click

from .options import run_training, training_options


@click.command()
@training_options
@click.option(
    "--lssi",
    help="Folder of a finished `samvar train lssi` [default: the core sites of --start-from].",
)
@click.option(
    "--start-from",
    help="Folder of an fm run, or a bundle (NAME:fm), of the same width to start from.",
)
def fm(**options) -> None:
    """Train the model of fixed motifs by RECIPE (TOML)."""
    run_training("fm", **options)


@click.command()
@training_options
@click.option(
    "--lssi",
    help="Folder of a finished `samvar train lssi` [default: the core sites of --start-from].",
)
@click.option(
    "--start-from", help="Folder of an fm or am run, or a bundle, of the same width to start from."
)
def am(**options) -> None:
    """Train the model of adjusted motifs by RECIPE (TOML)."""
    run_training("am", **options)
