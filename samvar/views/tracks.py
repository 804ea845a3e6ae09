"""Site probabilities of the reference, for a genome browser."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from itertools import chain
from typing import NamedTuple

import numpy as np
from tqdm import tqdm

from ..annotate import Options, genes_over, one_ahead
from ..files import new_file
from ..formats.bigwig import KINDS, SIDES, bigwigs, track_files
from ..genomics.genes import Annotation
from ..genomics.genome import Genome
from ..precompute import Place
from ..scoring.arrays import Floats
from ..scoring.knockout import SEEN, region_window
from ..scoring.predictor import Predictor

STEP = 1000  # bases that the models are shown together
DIGITS = 4  # of a probability


class Sites(NamedTuple):
    """Probabilities that the bases of a place are sites: `of` a strand (2, n), acceptor and donor,
    in genome order, the largest of all genes; 0 outside genes."""

    place: Place
    of: dict[str, Floats]


def site_probabilities(
    genome: Genome,
    annotation: Annotation,
    predictor: Predictor,
    places: Sequence[Place],
    options: Options,
) -> Iterator[Sites]:
    """The places in pieces, in order. What the models are shown together starts at multiples of
    STEP, so that no digit depends on the places asked for."""
    genes = annotation.of_chosen_transcripts() if options.transcript_extent else annotation

    def job(wanted: Place) -> Sites:
        contig, first = wanted.contig, wanted.start // STEP * STEP
        last = min(first + STEP, genome.lengths[contig])
        found = {strand: np.zeros((len(KINDS), STEP), np.float32) for strand in SIDES}
        for gene in genes_over(genome, genes, contig, wanted.start, wanted.end):
            start, end = max(first, gene.start), min(last, gene.end)
            window = region_window(genome, gene, contig, start, end, predictor)
            own = found[gene.strand][:, start - first : end - first]
            np.maximum(own, predictor.exact(window).ref.mean(0), out=own)
        inner = slice(wanted.start - first, wanted.end - first)
        return Sites(wanted, {s: p[:, inner].round(DIGITS) for s, p in found.items()})

    started = (predictor.map(job, _pieces(place)) for place in places)
    total = sum(place.end - place.start for place in places)
    with tqdm(total=total, disable=None, unit="base") as bar:
        for found in chain.from_iterable(one_ahead(started)):
            yield found
            bar.update(found.place.end - found.place.start)


def _pieces(place: Place) -> list[Place]:
    """A place, cut at the multiples of STEP."""
    firsts = range(place.start // STEP * STEP, place.end, STEP)
    return [
        Place(place.contig, max(first, place.start), min(first + STEP, place.end))
        for first in firsts
    ]


def write_tracks(
    sites: Iterable[Sites], lengths: Mapping[str, int], bed: str | None, bigwig: str | None
) -> None:
    """Write the sites of at least SEEN to the BED file `bed`, and the probability of each base to
    four bigWig files, whose names begin with `bigwig`: acceptors and donors of each strand.
    `lengths` of the contigs, in the order of the sites."""
    with ExitStack() as stack:
        lines = None
        if bed:
            lines = stack.enter_context(new_file(bed))
        tracks = None
        if bigwig:
            tracks = stack.enter_context(bigwigs(track_files(bigwig), list(lengths.items())))
        for found in sites:
            if lines:
                lines.writelines(bed_lines(found))
            if tracks:
                for strand, p in found.of.items():
                    for kind, values in zip(KINDS, np.where(p, p, np.nan)):
                        tracks.add((kind, strand), found.place.contig, found.place.start, values)


def bed_lines(sites: Sites) -> Iterator[str]:
    """Sites of at least SEEN: the score is 1,000 times the probability."""
    contig, first, _ = sites.place
    listed = [
        (first + int(at), kind, strand, float(p[kind, at]))
        for strand, p in sites.of.items()
        for kind, at in np.argwhere(p >= SEEN)
    ]
    for at, kind, strand, p in sorted(listed):
        yield f"{contig}\t{at}\t{at + 1}\t{KINDS[kind]}\t{1000 * p:.0f}\t{strand}\n"
