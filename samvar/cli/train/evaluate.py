"""`samvar train evaluate`."""

from __future__ import annotations

import os

import click

from ...errors import SamvarError
from ..options import (
    allow_mismatch_option,
    check_outputs,
    device_option,
    genome_and_genes,
    model_option,
    names_in,
    threads_option,
    user_errors,
    write_json,
)
from .options import in_pairs, several_annotations, several_fastas


@click.command()
@several_fastas
@several_annotations
@allow_mismatch_option
@model_option
@click.option(
    "--run",
    metavar="FOLDER",
    help="Evaluate this fm, am or cnn run instead of the weights of --model.",
)
@click.option(
    "--chroms", metavar="NAME,...", help="Only genes of these chromosomes [default: all]."
)
@click.option(
    "--no-paralogs",
    is_flag=True,
    help="Only genes that the annotation marks as having no paralogs.",
)
@click.option(
    "--genes",
    type=click.Path(exists=True, dir_okay=False),
    help="Only genes whose names are in this file, separated by blanks or line ends.",
)
@click.option(
    "--entropy/--no-entropy",
    default=True,
    show_default=True,
    help="Measure the information of an active site, eta, for the entropy bound; this takes 3 to 5 "
    "times as long.",
)
@threads_option
@click.option(
    "--json",
    "output",
    metavar="FILE",
    required=True,
    help="Write the numbers to this file (- for stdout).",
)
@device_option
@user_errors
def evaluate(
    fastas, annotations, model_name, run, chroms, no_paralogs, genes, entropy, output, device
) -> None:
    """Measure the accuracy of a model on known genes.

    Writes top-k accuracy of splice sites, density of motif sites, and the entropy bound, for the
    genes of one or several genomes.
    """
    from ...errors import DatasetError
    from ...model.bundle import load_bundle
    from ...model.device import device_of
    from ...training.cnn import DilatedResNet, evaluate_cnn
    from ...training.dataset import Dataset
    from ...training.evaluate import evaluate as evaluate_models
    from ...training.genes import merge_genes, read_genes

    check_outputs(output)
    where = device_of(device)
    if run:
        kind, model = _model_of(run)
        models, about = [model], dict(kind=kind)
    else:
        bundle = load_bundle(model_name)
        models = bundle.models
        about = dict(kind=bundle.kind, bundle=bundle.name, seeds=bundle.seeds, sha256=bundle.sha256)
    found = merge_genes(
        [
            read_genes(*genome_and_genes(*pair), set(chroms.split(",")) if chroms else None)
            for pair in in_pairs(fastas, annotations)
        ]
    )
    if no_paralogs:
        if all(g.paralog is None for g in found):
            raise DatasetError(
                "the annotation does not say which genes have paralogs (no has_paralog column); "
                "use --genes with a list"
            )
        found = [g for g in found if g.paralog is False]
    if genes:
        names = names_in(genes)
        found = [g for g in found if g.name in names]
    if not found:
        raise DatasetError("no gene is left to evaluate")
    data = Dataset.from_genes(found)
    about |= dict(
        annotations=[os.path.basename(a) for a in annotations],
        chroms=chroms,
        no_paralogs=no_paralogs,
    )
    models = [m.to(where) for m in models]
    if isinstance(models[0], DilatedResNet):
        result = evaluate_cnn(models[0], data, data.genes(), where)
    else:
        result = evaluate_models(models, data, data.genes(), where, entropy)
    write_json(output, about | result)


def _model_of(run: str):
    """(kind, model) of a run, finished or not. Raises SamvarError where it is one of core sites
    or of motifs."""
    from ...model.sam import SAM
    from ...training.checkpoint import load_run, read_run
    from ...training.cnn import load_cnn

    kind = read_run(run, unfinished=True)[0]["kind"]
    if kind == "cnn":
        return kind, load_cnn(run, unfinished=True)
    model, _ = load_run(run, unfinished=True)
    if not isinstance(model, SAM):
        raise SamvarError(f"{run} is a run of core sites: evaluate takes fm, am and cnn runs")
    return kind, model
