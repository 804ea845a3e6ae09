"""`samvar train background`."""

from __future__ import annotations

import click

from ..options import device_option, say, user_errors, workers_option
from .options import in_pairs, several_annotations, several_fastas


@click.command()
@click.argument("vcfs", nargs=-1, required=True)
@several_fastas
@several_annotations
@click.option(
    "--bundle", required=True, help="Bundle, NAME:fm for its fixed motifs; gets the result."
)
@workers_option
@device_option
@user_errors
def background(vcfs, fastas, annotations, bundle, threads, device) -> None:
    """Effects of random real VARIANTS (a VCF for every -f and -a): the scale of `samvar explain`'s
    percentiles."""
    from ...annotate import Options
    from ...files import check_writable
    from ...model.bundle import background_file, load_bundle
    from ...scoring.predictor import Predictor
    from ...training.background import LEAST_DELTA, add_to_bundle, collect

    pairs = in_pairs(fastas, annotations)
    if len(vcfs) != len(pairs):
        raise click.UsageError("give one -f and one -a for every VCF, in the same order")
    sources = [(vcf, *pair) for vcf, pair in zip(vcfs, pairs)]
    loaded = load_bundle(bundle)
    check_writable(background_file(loaded.folder, loaded.kind))
    with Predictor(loaded, device, threads) as predictor:
        add_to_bundle(loaded.folder, collect(sources, predictor, Options(rbp_min=LEAST_DELTA), say))
