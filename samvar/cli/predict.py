"""`samvar predict`."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import click

from ..errors import SequenceError
from .options import (
    NumberRange,
    check_outputs,
    device_option,
    different_files,
    fasta_option_of,
    file_only,
    model_option,
    open_table,
    say,
    table_option,
    tell_unknown,
    user_errors,
    workers_option,
)

BOTH = "+-"


@click.command(short_help="Predict the splice sites of sequences or regions.")
@click.argument("sequences", metavar="[SEQUENCES.fa|-]", required=False)
@fasta_option_of(required=False)
@click.option(
    "-r",
    "--regions",
    metavar="CONTIG:FROM-TO,...",
    help="Predict these regions of the reference (-f), instead of sequences.",
)
@click.option(
    "-R",
    "--regions-file",
    metavar="FILE",
    help="As -r, from a file: BED where the name ends in .bed or .bed.gz, else CONTIG, FROM, TO.",
)
@model_option
@click.option(
    "--strand",
    type=click.Choice(["+", "-", "both"]),
    help="Strand that is transcribed [default: + for sequences, both for regions].",
)
@click.option(
    "--min-prob",
    metavar="PROB",
    default=0.1,
    show_default=True,
    type=NumberRange(0, 1),
    help="List sites of at least this probability; 0 lists every known base.",
)
@click.option(
    "--uncalibrated",
    is_flag=True,
    help="Give the probabilities that annotate takes, which are softer, instead of calibrated "
    "ones, which are shares of true sites.",
)
@click.option(
    "--pairs",
    is_flag=True,
    help="The sequences are pairs, one after the other, as reference and variant of a minigene: "
    "list the sites of both versions and how they differ.",
)
@table_option("splice sites")
@click.option(
    "--motifs",
    metavar="FILE",
    callback=file_only,
    help="Write all motif sites of RBPs to this file, as a table.",
)
@click.option(
    "--bed", metavar="FILE", callback=file_only, help="Write the splice sites as BED, too."
)
@click.option(
    "--bigwig",
    metavar="PREFIX",
    callback=file_only,
    help="Write the probabilities of all bases to PREFIX.acceptor.plus.bw and so on, a file for "
    "each kind of site and strand. Needs pyBigWig: pip install 'samvar[bigwig]'.",
)
@device_option
@workers_option
@user_errors
def predict(
    sequences,
    fasta,
    regions,
    regions_file,
    model_name,
    strand,
    min_prob,
    uncalibrated,
    pairs,
    output,
    motifs,
    bed,
    bigwig,
    device,
    threads,
) -> None:
    """Predict the splice sites of sequences, or of regions of a genome.

    The table has a row for each base that may be a site: its probability, and what the splice-site
    model alone says of it. The sequences need no annotation; what lies beyond their ends is unknown
    to the model.
    """
    from ..formats.bigwig import bigwigs, need_bigwig, track_files
    from ..model.bundle import load_bundle
    from ..research import predict as predicting
    from ..scoring.predictor import Predictor
    from ..scoring.sequences import margin

    asked = regions or regions_file
    if bool(sequences) == bool(asked) or (regions and regions_file):
        raise click.UsageError("give either sequences, or regions with one of -r and -R")
    if bool(asked) != bool(fasta):
        raise click.UsageError("regions need their reference, -f FASTA, and sequences need none")
    if pairs and (asked or motifs or bed or bigwig):
        raise click.UsageError("--pairs is for sequences, and writes one table alone")
    if bigwig and sequences == "-":
        raise click.UsageError("--bigwig needs a file of sequences: stdin can be read only once")
    strands = BOTH if strand == "both" or (asked and strand is None) else strand or "+"
    files = track_files(bigwig, strands) if bigwig else {}
    inputs = (sequences, fasta, regions_file)
    different_files(output, motifs, bed, *files.values(), inputs=inputs)
    check_outputs(output, motifs, bed, *files.values())
    if bigwig:
        need_bigwig()
    with ExitStack() as stack:
        predictor = stack.enter_context(Predictor(load_bundle(model_name), device, threads))
        if predictor.bundle.calibration is None and not uncalibrated:
            say(f"samvar: {model_name} has no calibration: probabilities are those of annotate")
        told = _Told()
        source = stack.enter_context(
            _regions(fasta, regions, regions_file, margin(predictor))
            if asked
            else _sequences(sequences, margin(predictor), told)
        )
        write_row = stack.enter_context(open_table(output))
        if pairs:
            own = predicting.versions(predictor, source.pieces, strands, uncalibrated)
            write_row(predicting.PAIR_COLUMNS)
            for pair in predicting.pairs(own, sequences):
                for site in predicting.paired_sites(pair, min_prob):
                    write_row(predicting.pair_row(site))
        else:
            tracks = None
            if bigwig:
                lengths = predicting.track_lengths(source.lengths())
                tracks = stack.enter_context(bigwigs(files, lengths))
            write_motif = stack.enter_context(open_table(motifs)) if motifs else None
            write_bed = stack.enter_context(open_table(bed)) if bed else None
            found = predicting.predicted(predictor, source.shown, strands, uncalibrated)
            _write(predictor, found, min_prob, write_row, write_motif, write_bed, tracks)
    told.report()


def _write(predictor, found, least, write_row, write_motif, write_bed, tracks) -> None:
    """Every table, piece by piece."""
    from tqdm import tqdm

    from ..research import predict as predicting
    from ..scoring.sequences import margin

    layout, beyond = predictor.bundle.layout, margin(predictor)
    write_row(predicting.COLUMNS)
    if write_motif:
        write_motif(predicting.MOTIF_COLUMNS)
    with tqdm(disable=None, unit="base", unit_scale=True) as progress:
        for stranded in found:
            for site in predicting.sites(stranded, least):
                write_row(predicting.site_row(site))
                if write_bed:
                    write_bed(predicting.bed_row(site))
            if write_motif:
                for motif in predicting.motif_sites(stranded, layout, beyond):
                    write_motif(predicting.motif_row(motif))
            if tracks:
                predicting.add_to_tracks(tracks, stranded)
            progress.update(stranded.shown.last - stranded.shown.first)


class _Told:
    """Of the sequences that go by: how many have no bases or a name that was there before."""

    def __init__(self):
        self._names, self._last = set(), 0
        self.records = self.empty = self.repeated = 0

    def __call__(self, pieces):
        for piece in pieces:
            if piece.record != self._last:
                self._last = piece.record
                self.records += 1
                self.empty += piece.n == 0
                self.repeated += hash(piece.name) in self._names
                self._names.add(hash(piece.name))
            yield piece

    def report(self) -> None:
        if self.empty:
            say(f"samvar: {self.empty:,} of {self.records:,} sequences have no bases")
        if self.repeated:
            say(
                f"samvar: {self.repeated:,} sequences have the name of an earlier one: RECORD "
                "tells them apart"
            )


class _Source:
    """`pieces` as they are read, `shown` of them what is wanted, and `lengths` of all sequences,
    counted when they are asked for."""

    def __init__(self, pieces, shown, lengths):
        self.pieces, self.shown, self.lengths = pieces, shown, lengths


@contextmanager
def _sequences(path: str, beyond: int, told: _Told) -> Iterator[_Source]:
    from ..formats import sequences as reading
    from ..research.predict import SIZE, whole

    name = "stdin" if path == "-" else path

    def lengths() -> list[tuple[str, int]]:
        with reading.open_sequences(path) as lines:
            return reading.lengths(lines, name)

    with reading.open_sequences(path) as lines:
        pieces = told(reading.read_pieces(lines, name, SIZE, beyond))
        yield _Source(pieces, whole(pieces), lengths)


@contextmanager
def _regions(fasta: str, regions: str, regions_file: str, beyond: int) -> Iterator[_Source]:
    from ..formats.regions import Regions
    from ..genomics.genome import Genome
    from ..research.predict import region_pieces

    genome = Genome(fasta)
    if regions_file:
        chosen = Regions.read(regions_file, names=genome.lengths)
    else:
        chosen = Regions.parse(regions, names=genome.lengths)
    tell_unknown(chosen, genome.lengths, f"not in {fasta}")
    if not any(low < n for contig, n in genome.lengths.items() for low, _ in chosen.on(contig)):
        raise SequenceError(f"none of the regions is on a contig of {fasta}")
    pieces = region_pieces(genome, chosen, beyond)
    yield _Source(None, pieces, lambda: list(genome.lengths.items()))
