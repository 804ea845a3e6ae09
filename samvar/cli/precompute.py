"""`samvar precompute`."""

from __future__ import annotations

import os
import shlex
import sys
from contextlib import ExitStack

import click

from ..errors import SamvarError
from .options import (
    WELL_KNOWN,
    annotation_option,
    check_named,
    check_outputs,
    check_transcripts,
    different_files,
    fasta_option,
    file_only,
    genome_and_genes,
    listed,
    names_in,
    say,
    score_options,
    tell_unknown,
    user_errors,
    workers_option,
)


@click.command(short_help="Score all SNVs and indels of one base, to be looked up.")
@fasta_option
@annotation_option
@click.option(
    "-r",
    "--regions",
    metavar="CONTIG:FROM-TO,...",
    help="Only what of the genes lies in these regions.",
)
@click.option(
    "-R",
    "--regions-file",
    metavar="FILE",
    help="As -r, with regions from a file: contig, first and last base on each line, counted from "
    "1; BED where the name ends in .bed or .bed.gz.",
)
@click.option(
    "--genes",
    "genes_file",
    metavar="FILE",
    help="Only the genes whose symbols or ids this file lists.",
)
@click.option(
    "-o",
    "--output",
    metavar="FILE",
    callback=file_only,
    help="Write the scores to this file, a compressed VCF (.vcf.gz), with an index beside it.",
)
@click.option(
    "--bed",
    metavar="FILE",
    callback=file_only,
    help="Write the splice sites that the reference has, by the model, to this BED file, those of "
    "a probability of 0.1 or more; may stand without -o.",
)
@click.option(
    "--bigwig",
    metavar="NAME",
    help="Write the reference's probability of a site at each base to bigWig files, "
    "NAME.acceptor.plus.bw and so on for donors and the minus strand; may stand without -o. Needs "
    "pyBigWig: pip install 'samvar[bigwig]'.",
)
@click.option(
    "--resume",
    is_flag=True,
    help="Go on where a run with the same settings ended; what that has scored is in the folder "
    "FILE.chunks.",
)
@score_options
@workers_option
@user_errors
def precompute(
    fasta,
    annotation,
    regions,
    regions_file,
    genes_file,
    output,
    bed,
    bigwig,
    resume,
    model_name,
    transcripts,
    threads,
    **options,
) -> None:
    """Score all SNVs, and all insertions and deletions of one base, in genes.

    The file has a record for each allele, insertions and deletions at their left-most place, with
    the INFO of `samvar annotate`. `samvar annotate --scores FILE` looks alleles up in it; bcftools,
    VEP and vcfanno can add it to other files.
    """
    from ..annotate import Options, forked
    from ..formats.bigwig import need_bigwig, track_files
    from ..model.bundle import load_bundle
    from ..precompute import places
    from ..scoring.predictor import Predictor
    from ..views import tracks

    outputs = [output, bed, *(track_files(bigwig).values() if bigwig else [bigwig])]
    check_named(*outputs)
    if not any(outputs):
        raise click.UsageError("give -o, --bed or --bigwig: there is nothing to write")
    if regions is not None and regions_file is not None:
        raise click.UsageError("give one of -r, -R")
    if output and not output.endswith((".gz", ".bgz")):
        raise click.UsageError(f"-o {output}: the name must end in .vcf.gz")
    ids_file = None if transcripts in WELL_KNOWN else transcripts
    different_files(*outputs, inputs=(fasta, annotation, regions_file, genes_file, ids_file))
    check_outputs(*outputs)
    if bigwig:
        need_bigwig()
    chosen = Options(**options, transcripts=listed(transcripts))
    names = names_in(genes_file) if genes_file else set()
    if genes_file and not names:
        raise SamvarError(f"{genes_file} lists no gene")
    genome, genes = genome_and_genes(fasta, annotation)
    check_transcripts(transcripts, chosen.transcripts, genes)
    selection = _regions(regions, regions_file, genome)
    tell_unknown(selection, genome.lengths, f"not in {fasta}")
    wanted = places(genome, genes, chosen, selection, names)
    with ExitStack() as stack:
        predictor = stack.enter_context(Predictor(load_bundle(model_name), threads=threads))
        workers = forked(genome, genes, predictor, chosen, threads) if output else None
        if workers:
            stack.enter_context(workers)
        if bed or bigwig:
            found = tracks.site_probabilities(genome, genes, predictor, wanted, chosen)
            tracks.write_tracks(found, genome.lengths, bed, bigwig)
        if output:
            _score(output, resume, genome, genes, predictor, chosen, wanted, workers)


def _score(output: str, resume: bool, genome, genes, predictor, options, wanted, workers) -> None:
    from ..precompute import MOST, precompute

    bases = sum(place.end - place.start for place in wanted)
    say(f"samvar: {bases:,} bases of genes to score, up to {MOST * bases:,} alleles")
    command = shlex.join(["samvar", *sys.argv[1:]])
    try:
        found = precompute(
            output, genome, genes, predictor, options, wanted, command, resume, workers
        )
    except KeyboardInterrupt:
        if os.path.isdir(f"{output}.chunks"):
            say(f"samvar: {output}.chunks has what is scored; go on with --resume")
        raise
    before = f", {found.kept:,} of them by an earlier run" * bool(found.kept)
    say(f"samvar: {found.records:,} alleles of {found.bases:,} bases{before}: {output}")


def _regions(regions: str | None, regions_file: str | None, genome):
    from ..formats.regions import Regions

    if regions_file is not None:
        return Regions.read(regions_file, "pos", genome.lengths)
    return None if regions is None else Regions.parse(regions, "pos", genome.lengths)
