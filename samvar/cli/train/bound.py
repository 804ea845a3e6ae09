"""`samvar train bound`."""

from __future__ import annotations

import click

from ..options import annotation_option, fasta_option, genome_and_genes, names_in, say, user_errors
from .binding import peaks_option
from .options import data_option

LEFT_OUT = "chr1,chr3,chr5,chr7,chr9"


@click.command()
@data_option
@fasta_option
@annotation_option
@peaks_option
@click.option(
    "--leave-out",
    metavar="NAME,...",
    help="Chromosomes whose genes are left out, for validation and test [default: "
    "chr1,chr3,chr5,chr7,chr9].",
)
@click.option(
    "--only",
    metavar="NAME,...",
    help="Chromosomes whose genes alone are taken, to measure on; instead of --leave-out.",
)
@click.option(
    "--held-out",
    type=click.Path(exists=True, dir_okay=False),
    help="File of gene names that must not be trained on, nor any gene over them.",
)
@click.option("-o", "--output", metavar="FILE", required=True, help="Write the bins here (.npz).")
@user_errors
def bound(data, fasta, annotation, peaks, leave_out, only, held_out, output) -> None:
    """Pack what CLIP peaks say of a dataset's motifs.

    These are bins of genes that are bound, and controls.

    `samvar train am --bound FILE` has each motif's sites prefer the bound ones, as its recipe's
    bound_weight says. It takes no bins of --only.
    """
    from ...files import check_writable, complete_file
    from ...formats.peaks import read_peaks
    from ...training.dataset import Dataset
    from ...training.prepare_bound import bound_bins

    if only is not None and leave_out is not None:
        raise click.UsageError("--only and --leave-out exclude each other")
    named = only if only is not None else LEFT_OUT if leave_out is None else leave_out
    contigs = [name for name in map(str.strip, named.split(",")) if name]
    if only is not None and not contigs:
        raise click.UsageError("--only names no chromosome")
    check_writable(output)
    packed = Dataset.load(data)
    genome, genes = genome_and_genes(fasta, annotation)
    found = read_peaks(peaks)
    found.check(genome)
    symbols = names_in(held_out) if held_out else ()
    proteins = packed.proteins_of_motifs()
    bins = bound_bins(genome, genes, found, proteins, contigs, symbols, only=only is not None)
    with complete_file(output) as part:
        bins.save(part)
    counts = bins.counts()
    say(
        f"samvar: {sum(counts.values())} bound bins of {len(counts)} motifs and "
        f"{len(bins.codes) - sum(counts.values())} controls: "
        + ", ".join(f"{name} {n}" for name, n in counts.items())
    )
