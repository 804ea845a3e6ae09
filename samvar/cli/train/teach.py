"""`samvar train teach`."""

from __future__ import annotations

import os

import click

from ..options import say
from .options import training_options


@click.command(short_help="Label windows of a dataset with teachers.")
@training_options
@click.option(
    "--teacher",
    "teachers",
    multiple=True,
    required=True,
    metavar="FOLDER|FILE|MODULE:FUNCTION",
    help="Finished run of `samvar train cnn`, OpenSpliceAI state dict, TorchScript module, or "
    "function; repeat to average several.",
)
@click.option(
    "--context",
    default=1000,
    show_default=True,
    type=click.IntRange(1),
    help="Bases that a TorchScript module or a function takes beyond those it labels, each side; "
    "at least 268.",
)
@click.option(
    "--known",
    metavar="FILE",
    help="Dataset with splice sites that the teacher knows, to check where it puts them, where "
    "those of -d are none: sequence without genes, another species [default: that of -d].",
)
@click.option(
    "--teacher-name",
    metavar="TEXT",
    help="Who the teacher is, with its licence: printed in the cards of models that learn from it "
    "[default: the names of its files].",
)
def teach(
    recipe,
    data,
    output,
    resume,
    minutes,
    deterministic,
    device,
    teachers,
    context,
    known,
    teacher_name,
) -> None:
    """Label windows of a dataset with teachers: soft labels for `am`.

    The windows are edited as RECIPE (TOML) says; `samvar train am --soft-labels` trains on what
    comes out. A teacher takes one-hot sequence (N, 4, L), A C G T, and gives
    log-probabilities (N, 3, L - 2 context) of none, acceptor (first base of an exon), donor (last
    base of an exon)."""
    from ...model.device import device_of
    from ...training.dataset import Dataset
    from ...training.recipe import TeachRecipe, load_recipe
    from ...training.teach import load_teacher
    from ...training.teach import teach as run

    settings, where = load_recipe(recipe, TeachRecipe), device_of(device)
    packed = Dataset.load(data)
    run(
        packed,
        settings,
        load_teacher(list(teachers), where, context),
        output,
        where,
        resume,
        minutes,
        say,
        teacher_name or ", ".join(os.path.basename(os.path.abspath(t)) for t in teachers),
        Dataset.load(known) if known else None,
    )
