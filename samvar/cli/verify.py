"""`samvar verify`."""

from __future__ import annotations

import sys

import click

from .options import (
    EXIT_ERROR,
    annotation_option,
    device_option,
    fasta_option,
    listed,
    of_build,
    opinions_of,
    read_genes,
    say,
    user_errors,
)


@click.command()
@click.argument("vcf")
@fasta_option
@annotation_option
@click.option(
    "--model",
    "model_name",
    metavar="NAME|FOLDER",
    help="Weights to score with [default: the bundle that the header names].",
)
@click.option(
    "--records",
    metavar="N",
    default=100,
    show_default=True,
    type=click.IntRange(0),
    help="Score this many records again, drawn at random.",
)
@click.option(
    "--binding",
    metavar="default|FOLDER",
    help="Compare BIND, too, with this model of binding: that which the file was made with.",
)
@click.option(
    "--peaks",
    metavar="FOLDER|FILE",
    type=click.Path(exists=True),
    help="Compare PEAK, too, with these peaks: those which the file was made with.",
)
@click.option(
    "--transcripts",
    metavar="FILE",
    help="The list that the file was annotated with (annotate --transcripts FILE); without it what "
    "is of its transcripts is not compared.",
)
@device_option
@user_errors
def verify(
    vcf, fasta, annotation, model_name, records, binding, peaks, transcripts, device
) -> None:
    """Check that an annotated VCF is what these files give.

    VCF is an output of `samvar annotate`. Compares the checksums of model, reference and annotation
    with those in its header, and scores a random sample of its records again. The checksum of the
    reference covers the names and lengths of its contigs, and their bases if the file was made with
    --md5. Exit code 1 where anything differs; what could not be compared is told.
    """
    from ..formats.vcf import VcfReader
    from ..genomics.genome import Genome
    from ..model.bundle import load_bundle
    from ..scoring.predictor import Predictor
    from ..verify import attribute, provenance
    from ..verify import verify as check

    ids = None if transcripts is None else listed(transcripts)
    with VcfReader(vcf) as reader:
        header = provenance(reader)
        genome, genes = Genome(fasta), read_genes(annotation)
        genes = of_build(genome, genes)
        model = model_name or ":".join(attribute(header["model"], k) for k in ("Name", "Kind"))
        with (
            Predictor(load_bundle(model), device) as predictor,
            opinions_of(binding, peaks, genome) as opinions,
        ):
            report = check(reader, genome, genes, predictor, records, opinions, ids)
    for what in report.left_out:
        say(f"samvar: not compared: {what}")
    for problem in report.problems:
        say(f"samvar: {problem}")
    if report.problems:
        say(f"samvar: {vcf} is not what these files give ({len(report.problems)} differences)")
        sys.exit(EXIT_ERROR)
    say(
        f"samvar: {vcf} verified: model, reference (names and lengths of contigs), annotation, and "
        f"{report.rescored} records scored again"
    )
