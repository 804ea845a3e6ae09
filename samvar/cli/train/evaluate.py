"""`samvar train evaluate`."""

from __future__ import annotations

import os

import click

from ...errors import SamvarError
from ..options import device_option, names_in, threads_option, user_errors, write_json
from .options import in_pairs, several_annotations, several_fastas


@click.command()
@several_fastas
@several_annotations
@click.option(
    "--bundle",
    "name",
    default="default",
    show_default=True,
    help="Bundle, NAME:fm for its fixed motifs.",
)
@click.option("--run", help="Folder of an fm or am run to evaluate instead of a bundle.")
@click.option("--chroms", help="Only genes of these chromosomes, comma-separated.")
@click.option(
    "--no-paralogs", is_flag=True, help="Only genes that the annotation marks as without paralogs."
)
@click.option("--genes", type=click.Path(exists=True), help="File of gene names: only these.")
@click.option(
    "--entropy/--no-entropy",
    default=True,
    help="Measure eta for the entropy bound (3 to 5 times longer).",
)
@threads_option
@click.option("--json", "output", required=True, help="Where the numbers go; - for stdout.")
@device_option
@user_errors
def evaluate(
    fastas, annotations, name, run, chroms, no_paralogs, genes, entropy, output, device
) -> None:
    """Top-k accuracy, density and entropy bound on the genes of any genome and annotation."""
    from ...errors import DatasetError
    from ...files import check_writable
    from ...model.bundle import load_bundle
    from ...model.device import device_of
    from ...training.checkpoint import load_run
    from ...training.dataset import Dataset
    from ...training.evaluate import evaluate as measure
    from ...training.genes import merge_genes, read_genes

    if output != "-":
        check_writable(output)
    where = device_of(device)
    if run:
        model, description = load_run(run, unfinished=True)
        if description["kind"] == "lssi":
            raise SamvarError(f"{run} is a run of core sites: evaluate takes fm and am runs")
        models, about = [model], dict(kind=description["kind"])
    else:
        bundle = load_bundle(name)
        models = bundle.models
        about = dict(kind=bundle.kind, bundle=bundle.name, seeds=bundle.seeds, sha256=bundle.sha256)
    found = merge_genes(
        [
            read_genes(*pair, set(chroms.split(",")) if chroms else None)
            for pair in in_pairs(fastas, annotations)
        ]
    )
    if no_paralogs:
        if all(g["paralog"] is None for g in found):
            raise DatasetError(
                "the annotation does not tell paralogs (no has_paralog column); use --genes with a "
                "list"
            )
        found = [g for g in found if g["paralog"] is False]
    if genes:
        names = names_in(genes)
        found = [g for g in found if g["name"] in names]
    if not found:
        raise DatasetError("no gene is left to evaluate")
    data = Dataset.from_genes([dict(g, split="test") for g in found])
    about |= dict(
        annotations=[os.path.basename(a) for a in annotations],
        chroms=chroms,
        no_paralogs=no_paralogs,
    )
    result = about | measure([m.to(where) for m in models], data, data.genes(), where, entropy)
    write_json(output, result)
