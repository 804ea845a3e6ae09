"""`samvar train motifs`."""

from __future__ import annotations

import click

from .options import run_training, training_options


@click.command()
@click.option(
    "--effects",
    required=True,
    metavar="FOLDER",
    help="What a teacher says of substitutions, by `samvar train teach` with effects = true.",
)
@training_options
def motifs(**options) -> None:
    """Learn motifs that have no protein, from a teacher's effects.

    RECIPE is a TOML file of settings; see train/teach/ for examples. `samvar train am
    --learnt-motifs` starts with what comes out.
    """
    run_training("motifs", **options)
