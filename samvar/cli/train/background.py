"""`samvar train background`."""

from __future__ import annotations

import click

from ..options import (
    allow_mismatch_option,
    check_outputs,
    device_option,
    genome_and_genes,
    say,
    user_errors,
    workers_option,
)
from .options import in_pairs, several_annotations, several_fastas


@click.command()
@click.argument("vcfs", metavar="VCF...", nargs=-1, required=True)
@several_fastas
@several_annotations
@allow_mismatch_option
@click.option(
    "--model",
    "model_name",
    metavar="NAME|FOLDER",
    required=True,
    help="Bundle whose effects are measured, and which the result is added to; append :fm for its "
    "model of fixed motifs.",
)
@workers_option
@device_option
@user_errors
def background(vcfs, fastas, annotations, model_name, threads, device) -> None:
    """Measure effects of random real variants.

    They are the scale of the percentiles of `samvar explain`. Give one -f and one -a for every VCF,
    in the same order.
    """
    from ...annotate import Options
    from ...model.bundle import background_file, load_bundle
    from ...scoring.predictor import Predictor
    from ...training.background import LEAST_DELTA, add_to_bundle, collect

    pairs = in_pairs(fastas, annotations)
    if len(vcfs) != len(pairs):
        raise click.UsageError("give one -f and one -a for every VCF, in the same order")
    loaded = load_bundle(model_name)
    check_outputs(background_file(loaded.folder, loaded.kind))
    sources = [(vcf, *genome_and_genes(*pair)) for vcf, pair in zip(vcfs, pairs)]
    with Predictor(loaded, device, threads) as predictor:
        add_to_bundle(loaded.folder, collect(sources, predictor, Options(rbp_min=LEAST_DELTA), say))
