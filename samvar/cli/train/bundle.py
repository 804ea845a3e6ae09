"""`samvar train bundle`."""

from __future__ import annotations

import json

import click

from ...errors import SamvarError
from ...files import text_lines
from ..options import NumberRange, threads_option, user_errors


@click.command()
@click.option("--name", required=True, help="Name of the bundle.")
@click.option(
    "--am", "am_runs", multiple=True, help="Folder of a finished AM run; repeat for several seeds."
)
@click.option(
    "--fm", "fm_runs", multiple=True, help="Folder of a finished FM run; repeat for several seeds."
)
@click.option(
    "--temperature",
    default=1.0,
    show_default=True,
    type=NumberRange(0, min_open=True),
    help="Divides the outputs before the softmax.",
)
@click.option(
    "--flank",
    default=512,
    show_default=True,
    help="F: bases the LSTM sees beyond the compared positions.",
)
@click.option(
    "-d", "--data", required=True, help="The packed dataset that the runs were trained on."
)
@click.option(
    "--evaluation",
    "evaluations",
    multiple=True,
    metavar="[TITLE=]FILE",
    help="JSON for the card: of `samvar train evaluate`, or several under their titles; repeat.",
)
@click.option("--precision", type=click.Choice(["fp16", "fp32"]), default="fp16", show_default=True)
@threads_option
@click.option("-o", "--output", required=True, help="Folder of the bundle.")
@user_errors
def bundle(
    name, am_runs, fm_runs, temperature, flank, data, evaluations, precision, output
) -> None:
    """Finished runs to a weight bundle with manifest and card."""
    from ...training.bundle import make_bundle
    from ...training.dataset import Dataset

    runs = {kind: list(folders) for kind, folders in (("am", am_runs), ("fm", fm_runs)) if folders}
    if not runs:
        raise click.UsageError("give at least one --am or --fm run")
    results = {}
    for item in evaluations:
        title, _, path = item.rpartition("=")
        try:
            content = json.loads("\n".join(text_lines(path)))
        except ValueError as e:
            raise SamvarError(f"--evaluation {path} is no JSON: {e}") from e
        if not isinstance(content, dict):
            raise SamvarError(
                f"--evaluation {path} holds no results of `samvar train evaluate` or of a script"
            )
        if not title and not all(isinstance(e, dict) for e in content.values()):
            raise click.UsageError(f"--evaluation {item}: give it a title, TITLE=FILE")
        results |= {title: content} if title else content
    make_bundle(
        output, name, runs, flank, Dataset.load(data), results, precision == "fp16", temperature
    )
