"""`samvar train fm` and `samvar train am`."""

from __future__ import annotations

import click

from .options import run_training, training_options

lssi_option = click.option(
    "--lssi",
    metavar="FOLDER",
    help="Finished run of `samvar train lssi`, for the core sites [default: those of "
    "--start-from].",
)


@click.command()
@lssi_option
@click.option(
    "--start-from",
    metavar="NAME|FOLDER",
    help="Start from the weights of this fm run or bundle (NAME:fm), which must have as many "
    "channels [default: random weights].",
)
@training_options
def fm(**options) -> None:
    """Train the model of fixed motifs (FM).

    RECIPE is a TOML file of settings; see train/paper/ for examples.
    """
    run_training("fm", **options)


@click.command(short_help="Train the model of adjusted motifs (AM).")
@lssi_option
@click.option(
    "--start-from",
    metavar="NAME|FOLDER",
    help="Start from the weights of this fm or am run or bundle; what its number of channels "
    "decides starts anew where the recipe has another [default: random weights].",
)
@click.option(
    "--soft-labels",
    multiple=True,
    metavar="FOLDER",
    help="Learn from these labels of `samvar train teach`, too. May be repeated.",
)
@click.option(
    "--learnt-motifs",
    metavar="FOLDER",
    help="Start with the motifs of this finished run of `samvar train motifs`, after those of "
    "--start-from where learnt_motifs and learnt_channels leave room for both.",
)
@click.option(
    "--branch-points",
    metavar="FOLDER",
    help="Start with the branch points of this finished run of `samvar train branch-points`.",
)
@click.option(
    "--bound",
    metavar="FILE",
    help="Learn from these bins of `samvar train bound` where motifs are bound in cells, too.",
)
@training_options
def am(**options) -> None:
    """Train the model of adjusted motifs (AM), which `samvar annotate` uses.

    RECIPE is a TOML file of settings; see train/paper/ for examples.
    """
    run_training("am", **options)
