"""`samvar train average`."""

from __future__ import annotations

import click

from ..options import NumberRange, device_option, threads_option, user_errors


@click.command()
@click.argument("runs", nargs=-1, required=True)
@click.option(
    "-d", "--data", required=True, help="The packed dataset that the runs were trained on."
)
@click.option("-o", "--output", required=True, help="Folder of the averaged run.")
@click.option(
    "--density", type=NumberRange(0, 1, min_open=True), help="Of sites [default: the first run's]."
)
@threads_option
@device_option
@user_errors
def average(runs, data, output, density, device) -> None:
    """One model with the mean weights of finished RUNS that went on from the same start."""
    from ...model.device import device_of
    from ...training.average import average as run
    from ...training.dataset import Dataset

    run(list(runs), Dataset.load(data), output, device_of(device), density)
