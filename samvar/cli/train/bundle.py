"""`samvar train bundle`."""

from __future__ import annotations

import json

import click

from ...errors import SamvarError
from ...files import text_lines
from ..options import NumberRange, threads_option, user_errors
from .options import data_option


@click.command()
@click.option(
    "--name",
    metavar="NAME",
    required=True,
    help="Name of the bundle; it is written into the header of annotated files.",
)
@click.option(
    "--am",
    "am_runs",
    metavar="FOLDER",
    multiple=True,
    help="A finished am run. Repeat for several, whose probabilities are then averaged.",
)
@click.option(
    "--fm", "fm_runs", metavar="FOLDER", multiple=True, help="A finished fm run; may be repeated."
)
@click.option(
    "--temperature",
    metavar="T",
    default=1.0,
    show_default=True,
    type=NumberRange(0, min_open=True),
    help="Divide the model's outputs by T before the softmax; above 1 probabilities are less "
    "extreme.",
)
@click.option(
    "--flank",
    metavar="BASES",
    default=512,
    show_default=True,
    type=click.IntRange(0),
    help="Context that the LSTM sees on either side of the compared positions.",
)
@data_option
@click.option(
    "--evaluation",
    "evaluations",
    multiple=True,
    metavar="[TITLE=]FILE",
    help="Results for the bundle's card: JSON of `samvar train evaluate` with a title, or a JSON "
    "file of several results under their titles. May be repeated.",
)
@click.option(
    "--soft-labels",
    multiple=True,
    metavar="FOLDER",
    help="Soft labels that the runs learnt from; the card says who the teacher was. Where they "
    "learnt from several, all of them, in the same order.",
)
@click.option(
    "--precision",
    type=click.Choice(["fp16", "fp32"]),
    default="fp16",
    show_default=True,
    help="Precision in which the weights are stored.",
)
@threads_option
@click.option("-o", "--output", metavar="FOLDER", required=True, help="Folder for the bundle.")
@user_errors
def bundle(
    name, am_runs, fm_runs, temperature, flank, data, evaluations, soft_labels, precision, output
) -> None:
    """Make a weight bundle of finished runs.

    The bundle is a folder with the weights, their checksums and a card, for --model of other
    commands.
    """
    from ...files import check_folder_writable
    from ...training.bundle import make_bundle
    from ...training.dataset import Dataset

    runs = {kind: list(folders) for kind, folders in (("am", am_runs), ("fm", fm_runs)) if folders}
    if not runs:
        raise click.UsageError("give at least one --am or --fm run")
    check_folder_writable(output)
    results: dict[str, dict] = {}
    for item in evaluations:
        title, _, path = item.rpartition("=")
        try:
            content = json.loads("\n".join(text_lines(path)))
        except ValueError as e:
            raise SamvarError(f"--evaluation {path} is not JSON: {e}") from e
        if not isinstance(content, dict):
            raise SamvarError(
                f"--evaluation {path} holds no results of `samvar train evaluate` or of a script"
            )
        if not title and not all(isinstance(e, dict) for e in content.values()):
            raise click.UsageError(f"--evaluation {item}: give it a title, TITLE=FILE")
        results |= {title: content} if title else content
    make_bundle(
        output,
        name,
        runs,
        flank,
        Dataset.load(data),
        results,
        precision == "fp16",
        temperature,
        soft_labels,
    )
