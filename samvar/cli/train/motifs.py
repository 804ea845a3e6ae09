"""`samvar train motifs` and `samvar train branch-points`."""

from __future__ import annotations

import click

from .options import run_training, training_options

effects_option = click.option(
    "--effects",
    required=True,
    metavar="FOLDER",
    help="What a teacher says of substitutions, by `samvar train teach` with effects = true.",
)


@click.command()
@effects_option
@training_options
def motifs(**options) -> None:
    """Learn motifs that have no protein, from a teacher's effects.

    RECIPE is a TOML file of settings; see train/teach/ for examples. `samvar train am
    --learnt-motifs` starts with what comes out.
    """
    run_training("motifs", **options)


@click.command()
@effects_option
@training_options
def branch_points(**options) -> None:
    """Learn branch points from a teacher's effects on acceptors.

    RECIPE is a TOML file of settings; see train/teach/ for examples. `samvar train am
    --branch-points` starts with what comes out.
    """
    run_training("branch_points", **options)
