"""`samvar train average`."""

from __future__ import annotations

import click

from ..options import NumberRange, device_option, threads_option, user_errors
from .options import data_option


@click.command()
@click.argument("runs", metavar="RUN...", nargs=-1, required=True)
@data_option
@click.option("-o", "--output", metavar="FOLDER", required=True, help="Folder for the result.")
@click.option(
    "--density",
    metavar="SHARE",
    type=NumberRange(0, 1, min_open=True),
    help="Share of positions with a motif site, per RBP [default: that of the first run].",
)
@threads_option
@device_option
@user_errors
def average(runs, data, output, density, device) -> None:
    """Average the weights of finished runs.

    Each RUN is the folder of an fm or am run. All must have been trained from the same start, on
    the dataset that is given. The result is a run as well.
    """
    from ...files import check_folder_writable
    from ...model.device import device_of
    from ...training.average import average as average_runs
    from ...training.dataset import Dataset

    check_folder_writable(output)
    average_runs(list(runs), Dataset.load(data), output, device_of(device), density)
