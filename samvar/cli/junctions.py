"""`samvar junctions`."""

from __future__ import annotations

from contextlib import ExitStack

import click

from ..errors import ContigMismatchError
from .options import (
    NumberRange,
    annotation_option_of,
    check_outputs,
    device_option,
    different_files,
    fasta_option,
    genome_and_genes,
    model_option,
    open_table,
    say,
    table_option,
    user_errors,
    workers_option,
)

MIN_CHECKED = 20  # scored junctions from which on their motifs are looked at


@click.command()
@click.argument("junctions", metavar="BED|SJ.out.tab|BAM|-")
@fasta_option
@annotation_option_of(required=False)
@model_option
@table_option("junctions")
@click.option(
    "--clean",
    metavar="FILE",
    help="Write the input to this file (- for stdout) without the records that have a junction "
    "below --min-score; text as text (BGZF where the name ends in .gz), alignments as SAM where it "
    "ends in .sam, else as BAM.",
)
@click.option(
    "--min-score",
    metavar="PROB",
    default=0.1,
    show_default=True,
    type=NumberRange(0, 1),
    help="Score that a junction needs to be kept: the lesser probability of its two sites.",
)
@click.option(
    "--keep-annotated",
    is_flag=True,
    help="Keep introns of the annotation, whatever their score.",
)
@click.option(
    "--circular",
    metavar="CONTIG,...",
    default="",
    help="Contigs that are circles: what follows their last base is their first one.",
)
@device_option
@workers_option
@user_errors
def junctions(
    junctions,
    fasta,
    annotation,
    model_name,
    output,
    clean,
    min_score,
    keep_annotated,
    circular,
    device,
    threads,
) -> None:
    """Score splice junctions, and remove those that are doubtful.

    The table has a row for each junction: the probabilities of its donor and acceptor, their
    minimum, what the intron begins and ends with, and whether it is annotated. Of alignments each
    junction has one row, with the number of reads; they are written at the end.
    """
    from ..formats.alignments import AlignmentReader
    from ..formats.junctions import open_junctions
    from ..genomics.genome import CircularGenome
    from ..model.bundle import load_bundle
    from ..research.junctions import Counts, Judge
    from ..scoring.predictor import Predictor

    if keep_annotated and not annotation:
        raise click.UsageError("--keep-annotated needs the annotation: -a FILE")
    if clean == "-" and output == "-":
        raise click.UsageError("--clean - needs -o FILE: stdout is taken by the table")
    different_files(output, clean, inputs=(junctions, fasta, annotation))
    check_outputs(output, clean)
    counts = Counts(min_score)
    with ExitStack() as stack:
        source = stack.enter_context(open_junctions(junctions, fasta))
        genes = genome_and_genes(fasta, annotation)[1] if annotation else None
        genome = CircularGenome(fasta, filter(None, circular.split(",")))
        predictor = stack.enter_context(Predictor(load_bundle(model_name), device, threads))
        judge = Judge(genome, predictor, genes)
        write_row = stack.enter_context(open_table(output))
        run = _alignments if isinstance(source, AlignmentReader) else _rows
        run(source, judge, counts, write_row, clean, keep_annotated, stack)
        _check_contigs(counts, junctions, fasta)
    _report(counts, clean, fasta)


def _rows(rows, judge, counts, write_row, clean, keep_annotated, stack) -> None:
    """A text, row by row."""
    from tqdm import tqdm

    from ..formats.junctions import open_text
    from ..research.junctions import COLUMNS, decide_rows, table_row

    write_line = stack.enter_context(open_text(clean)) if clean else None
    write_row(COLUMNS)
    decided = decide_rows(judge, rows, counts, keep_annotated)
    for row, judged, kept in tqdm(decided, disable=None, unit="row"):
        for one in judged:
            write_row(table_row(one))
        if write_line and kept:
            write_line(row.line)


def _alignments(reader, judge, counts, write_row, clean, keep_annotated, stack) -> None:
    """Alignments, and then the table."""
    from tqdm import tqdm

    from ..formats.alignments import alignment_writer
    from ..research.junctions import COLUMNS, decide_alignments, table_row

    out = stack.enter_context(alignment_writer(clean, reader)) if clean else None
    reads: dict = {}
    decided = decide_alignments(judge, reader, counts, reads, keep_annotated)
    for alignment, _, kept in tqdm(decided, disable=None, unit="read"):
        if out and kept:
            out.write(alignment.record)
    write_row(COLUMNS)
    order = {contig: i for i, contig in enumerate(reader.contigs)}
    for judged in sorted(reads, key=lambda j: (order[j.junction.contig], *j.junction[1:])):
        write_row(table_row(judged, reads[judged]))


def _check_contigs(counts, path: str, fasta: str) -> None:
    """Raises ContigMismatchError where no junction lies on a contig of the FASTA."""
    from ..genomics.variant import Status

    if counts.junctions and counts.statuses[Status.NO_CONTIG] == counts.junctions:
        raise ContigMismatchError(
            f"no junction of {path} is on a contig of {fasta}: are they of the same genome?"
        )


def _report(counts, clean: str | None, fasta: str) -> None:
    unscored = {
        s.name: n for s, n in counts.statuses.items() if s.name not in ("OK", "LOW_CONTEXT")
    }
    without = ", ".join(f"{n:,} {name}" for name, n in unscored.items())
    say(
        f"samvar: {counts.junctions:,} junctions, {counts.below:,} of them below "
        f"{counts.least:g}" + (f"; without a score: {without}" if without else "")
    )
    if clean:
        kept = counts.records - counts.removed
        say(f"samvar: {counts.records:,} records: {kept:,} kept, {counts.removed:,} removed")
    if counts.scored >= MIN_CHECKED and counts.canonical < counts.scored / 2:
        say(
            f"samvar: only {counts.canonical:,} of {counts.scored:,} junctions begin and end as "
            f"introns do (GT-AG, GC-AG, AT-AC): is {fasta} of their genome build?"
        )
