"""`samvar train narrow`."""

from __future__ import annotations

import click

from ..options import device_option, threads_option, user_errors
from .options import data_option


@click.command()
@click.argument("run", metavar="RUN")
@data_option
@click.option("-o", "--output", metavar="FOLDER", required=True, help="Folder for the result.")
@click.option(
    "--inner",
    metavar="CHANNELS",
    type=click.IntRange(1),
    required=True,
    help="Channels that are kept within each residual unit of the aggregator.",
)
@threads_option
@device_option
@user_errors
def narrow(run, data, output, inner, device) -> None:
    """Make the aggregator of a finished run narrower.

    RUN is the folder of an fm or am run on the dataset that is given. Of each residual unit the
    channels are kept that can best stand for all, by least squares on training windows. The result
    is a run as well: train it on with `inner_channels`, or bundle it.
    """
    from ...files import check_folder_writable
    from ...model.device import device_of
    from ...training.dataset import Dataset
    from ...training.narrow import narrow as narrow_run

    check_folder_writable(output)
    narrow_run(run, Dataset.load(data), inner, output, device_of(device))
