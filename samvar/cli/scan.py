"""`samvar scan`."""

from __future__ import annotations

import re

import click

from ..errors import SamvarError
from .options import (
    annotation_option,
    check_outputs,
    check_plot,
    different_files,
    distance_option,
    fasta_option,
    file_only,
    genome_and_genes,
    model_option,
    rbp_min_option,
    say,
    to_stdout,
    user_errors,
    workers_option,
)

LARGEST = 1000  # deletion or hidden window, in bases


def sizes(ctx, param, value: str | None) -> range:
    """`N` or `N-M`, in bases."""
    if value is None:
        return range(0)
    written = re.fullmatch(r"([0-9]+)(?:-([0-9]+))?", value)
    if written:
        first, last = int(written[1]), int(written[2] or written[1])
        if 1 <= first <= last <= LARGEST:
            return range(first, last + 1)
    raise click.BadParameter(f"{value!r} is no size or range of sizes from 1 to {LARGEST} bases")


@click.command()
@click.argument("where", metavar="CHR:START-END|'GENE:exon N'")
@fasta_option
@annotation_option
@model_option
@click.option(
    "--deletions",
    metavar="SIZES",
    callback=sizes,
    help="All deletions of so many bases, too: N, or a range N-M.",
)
@click.option(
    "--mask",
    metavar="SIZES",
    callback=sizes,
    help="Instead of changing bases, hide every window of so many bases (N, or a range N-M) from "
    "all binding, as an antisense oligonucleotide does.",
)
@click.option(
    "--around",
    metavar="BASES",
    default=50,
    show_default=True,
    type=click.IntRange(0, 1000),
    help="Bases on either side of an exon that belong to it.",
)
@distance_option(1000, "Compare splice sites up to this far from a change.")
@rbp_min_option("Name the strongest cause of each delta of at least this size.")
@click.option(
    "-o",
    "--output",
    metavar="FILE",
    default="-",
    show_default="stdout",
    help="Write the table to this file.",
)
@click.option(
    "--figure",
    metavar="FILE",
    callback=file_only,
    help="Draw a heat map of the changes, or what each hidden window does; the name must end in "
    ".svg or .png. A PNG needs matplotlib: pip install 'samvar[plot]'.",
)
@workers_option
@user_errors
def scan(
    where,
    fasta,
    annotation,
    model_name,
    deletions,
    mask,
    around,
    distance,
    rbp_min,
    output,
    figure,
    threads,
) -> None:
    """Score every SNV of a region or of an exon.

    The table has a row for each allele and gene: the four deltas, their places relative to POS, and
    the strongest cause of the largest. With --mask it has a row for each hidden window and splice
    site.
    """
    from tqdm import tqdm

    from .. import files
    from ..annotate import Options
    from ..model.bundle import load_bundle
    from ..scoring.predictor import Predictor
    from ..views import scan as scanning

    if mask and deletions:
        raise click.UsageError("--mask changes no bases: give it without --deletions")
    different_files(output, figure, inputs=(fasta, annotation))
    if figure:
        from ..views import heat_map

        check_plot(figure, needed=figure.endswith(".png"))
    check_outputs(output, figure)
    genome, genes = genome_and_genes(fasta, annotation)
    place = scanning.place_of(where, genome, genes, around)
    options = Options(distance=distance, rbp_min=rbp_min)
    if mask:
        for gene in scanning.without_windows(genome, genes, place, max(mask)):
            part = f"the part of {gene.symbol} that is scanned"
            say(f"samvar: no window of {max(mask)} bases lies in {part}")
    with Predictor(load_bundle(model_name), threads=threads) as predictor:
        if mask:
            hidden = list(scanning.walk(genome, genes, predictor, place, mask))
            table = [scanning.WALK_COLUMNS, *(r for h in hidden for r in scanning.walk_rows(h))]
        else:
            total = sum(1 for _ in scanning.changes(genome, place, deletions))
            if not total:
                raise SamvarError(f"{where} has no known base")
            found = scanning.scan(genome, genes, predictor, place, deletions, options)
            scanned = list(tqdm(found, total=total, disable=None, unit="allele"))
            table = [scanning.COLUMNS, *(scanning.cells(r) for s in scanned for r in s.rows)]
    if figure and mask:
        heat_map.write_walk(place, hidden, figure)
    elif figure:
        heat_map.write(genome, genes, place, scanned, figure)
    text = "".join("\t".join(row) + "\n" for row in table)
    if output == "-":
        to_stdout(text)
    else:
        files.write(output, text)
