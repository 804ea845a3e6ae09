"""`samvar train cnn`."""

from __future__ import annotations

import click

from .options import run_training, training_options


@click.command()
@training_options
def cnn(**options) -> None:
    """Train a dilated network (CNN), the baseline and a teacher.

    It is that of SpliceAI and OpenSpliceAI, with 80 to 10,000 bases of context. RECIPE is a TOML
    file of settings; see train/species/ for examples. `samvar train teach --teacher FOLDER` takes
    what comes out as a teacher of your own species.
    """
    run_training("cnn", **options)
