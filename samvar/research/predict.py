"""What the model says of sequences: splice sites, motif sites, and how two versions of a sequence
differ."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from itertools import islice
from typing import NamedTuple

import numpy as np

from ..errors import SequenceError
from ..formats.bigwig import KINDS, BigWigs
from ..formats.regions import Regions
from ..formats.sequences import Piece
from ..genomics.genome import Genome, decode, reverse_complement
from ..model.bottleneck import Layout
from ..scoring.arrays import Floats
from ..scoring.predictor import Predictor
from ..scoring.sequences import Predicted, margin, predict

SIZE = 2048  # bases of a piece
CHUNK = 32  # pieces handed to the workers together
SITE_WIDTH = 5  # bases on either side of a motif site's centre that are shown
LONGEST_OF_PAIR = 1_000_000  # bases


class Shown(NamedTuple):
    """A piece, and of it the bases [first, last) (0-based, of the sequence) that are wanted."""

    piece: Piece
    first: int
    last: int


class Stranded(NamedTuple):
    """What is said of one strand of a piece; `codes`: of its bases alone, as they were given."""

    shown: Shown
    strand: str
    codes: np.ndarray
    found: Predicted


def whole(pieces: Iterable[Piece]) -> Iterator[Shown]:
    """Pieces of which all is wanted."""
    for piece in pieces:
        yield Shown(piece, piece.start, piece.start + piece.n)


def region_pieces(genome: Genome, regions: Regions, beyond: int) -> Iterator[Shown]:
    """What of a genome lies in the regions, in pieces from the contig's start on, wherever the
    regions begin, with what is around them."""
    number = 0
    for contig, length in genome.lengths.items():
        for low, high in regions.on(contig):
            high = min(high, length)
            number += 1
            for start in range(low // SIZE * SIZE, high, SIZE):
                n = min(SIZE, length - start)
                codes = genome.codes(contig, start - beyond, start + n + beyond)
                piece = Piece(number, contig, start, codes, n)
                yield Shown(piece, max(low, start), min(high, start + n))


def predicted(
    predictor: Predictor, pieces: Iterable[Shown], strands: str, own: bool = False
) -> Iterator[Stranded]:
    """Each piece on each of the strands (some of "+-"), in order, on the workers."""
    beyond = margin(predictor)

    def one(job: tuple[Shown, str]) -> Stranded:
        shown, strand = job
        codes = shown.piece.codes
        found = predict(predictor, codes, strand, own)
        return Stranded(shown, strand, codes[beyond : len(codes) - beyond], found)

    jobs = ((shown, strand) for shown in pieces if shown.piece.n for strand in strands)
    while chunk := list(islice(jobs, CHUNK)):
        yield from predictor.map(one, chunk)


# --------------------------------------------------------------------------------- sites and motifs


class Site(NamedTuple):
    """A base that may be a splice site: `position` 0-based, as the sequence was given; `core` is
    the log-probability by the splice-site model alone."""

    record: int
    name: str
    position: int
    strand: str
    kind: str
    probability: float
    core: float


class MotifSite(NamedTuple):
    """A binding site: `position` of its centre, 0-based; `bases` around it, on its strand."""

    record: int
    name: str
    position: int
    strand: str
    rbp: str
    activation: float
    bases: str


def sites(stranded: Stranded, least: float) -> Iterator[Site]:
    """Of the wanted bases those that are a site with at least this probability, by position."""
    piece, first, last = stranded.shown
    wanted = slice(first - piece.start, last - piece.start)
    probability, bottleneck = (values[:2, wanted] for values in stranded.found)
    for at, kind in np.argwhere(probability.T >= least).tolist():
        yield Site(
            piece.record,
            piece.name,
            first + at,
            stranded.strand,
            KINDS[kind],
            float(probability[kind, at]),
            float(bottleneck[kind, at]),
        )


def motif_sites(stranded: Stranded, layout: Layout, beyond: int) -> Iterator[MotifSite]:
    """Motif sites of the wanted bases, by position."""
    piece, first, last = stranded.shown
    channels = list(layout.motif_channels)
    active = stranded.found.bottleneck[channels, first - piece.start : last - piece.start]
    for at, channel in zip(*np.nonzero(active.T > 0)):
        position = first + int(at)
        middle = position - piece.start + beyond
        codes = piece.codes[middle - SITE_WIDTH : middle + SITE_WIDTH + 1]
        yield MotifSite(
            piece.record,
            piece.name,
            position,
            stranded.strand,
            layout.motifs[channel],
            float(active[channel, at]),
            decode(reverse_complement(codes) if stranded.strand == "-" else codes),
        )


COLUMNS = ("RECORD", "NAME", "POSITION", "STRAND", "SITE", "PROBABILITY", "CORE")
MOTIF_COLUMNS = ("RECORD", "NAME", "POSITION", "STRAND", "RBP", "ACTIVATION", "SEQUENCE")


def site_row(site: Site) -> tuple[str, ...]:
    """A row of the table; the position 1-based."""
    return (
        str(site.record),
        site.name,
        str(site.position + 1),
        site.strand,
        site.kind,
        f"{site.probability:.4f}",
        f"{site.core:.3f}",
    )


def bed_row(site: Site) -> tuple[str, ...]:
    """A line of BED6; the score is a thousandth of the probability."""
    score = str(round(1000 * site.probability))
    start, end = str(site.position), str(site.position + 1)
    return site.name, start, end, site.kind, score, site.strand


def motif_row(site: MotifSite) -> tuple[str, ...]:
    """A row of the table of motif sites; the position 1-based."""
    return (
        str(site.record),
        site.name,
        str(site.position + 1),
        site.strand,
        site.rbp,
        f"{site.activation:.3f}",
        site.bases,
    )


# -------------------------------------------------------------------------------------------- pairs


class Version(NamedTuple):
    """A whole sequence, and the probabilities (2, n) of its sites on each strand."""

    record: int
    name: str
    codes: np.ndarray
    probability: dict[str, Floats]


class PairedSite(NamedTuple):
    """A splice site in two versions of a sequence: positions 0-based, None where one has no such
    base; its probability there counts as 0."""

    pair: int
    names: tuple[str, str]
    positions: tuple[int | None, int | None]
    strand: str
    kind: str
    probability: tuple[float, float]


def versions(
    predictor: Predictor, pieces: Iterable[Piece], strands: str, own: bool = False
) -> Iterator[Version]:
    """Whole sequences, one after the other. Raises SequenceError where one is longer than
    LONGEST_OF_PAIR."""
    for record, name, own_pieces in _by_record(pieces):
        parts: dict[str, list[Floats]] = {strand: [np.empty((2, 0))] for strand in strands}
        codes = [np.empty(0, np.uint8)]
        for stranded in predicted(predictor, whole(own_pieces), strands, own):
            parts[stranded.strand].append(stranded.found.probability)
            if stranded.strand == strands[0]:
                codes.append(stranded.codes)
        joined = {strand: np.concatenate(p, 1) for strand, p in parts.items()}
        yield Version(record, name, np.concatenate(codes), joined)


def _by_record(pieces: Iterable[Piece]) -> Iterator[tuple[int, str, list[Piece]]]:
    held: list[Piece] = []
    for piece in pieces:
        if held and piece.record != held[0].record:
            yield held[0].record, held[0].name, held
            held = []
        if piece.start + piece.n > LONGEST_OF_PAIR:
            raise SequenceError(
                f"sequence {piece.record} ({piece.name}) has more than {LONGEST_OF_PAIR:,} bases, "
                "the most that one of a pair may have"
            )
        held.append(piece)
    if held:
        yield held[0].record, held[0].name, held


def pairs(found: Iterable[Version], path: str) -> Iterator[tuple[Version, Version]]:
    """The first sequence with the second, the third with the fourth. Raises SequenceError where the
    last one is alone."""
    every = iter(found)
    for first in every:
        second = next(every, None)
        if second is None:
            raise SequenceError(
                f"{path} has an odd number of sequences, {first.record}: the last one, "
                f"{first.name}, has no partner. Pairs are two sequences, one after the other"
            )
        yield first, second


def aligned(first: np.ndarray, second: np.ndarray) -> list[tuple[int | None, int | None]]:
    """Columns of two versions: what they begin and end with alike is one, and so is what lies
    between where it is equally long; else it is in one of them alone."""
    n = min(len(first), len(second))
    if len(first) == len(second):
        return [(i, i) for i in range(n)]
    differ = np.flatnonzero(first[:n] != second[:n])
    start = int(differ[0]) if len(differ) else n
    differ = np.flatnonzero(first[::-1][:n] != second[::-1][:n])
    ends = min(int(differ[0]) if len(differ) else n, n - start)
    columns: list[tuple[int | None, int | None]] = [(i, i) for i in range(start)]
    columns += [(i, None) for i in range(start, len(first) - ends)]
    columns += [(None, i) for i in range(start, len(second) - ends)]
    columns += [(len(first) - i, len(second) - i) for i in range(ends, 0, -1)]
    return columns


def paired_sites(pair: tuple[Version, Version], least: float) -> Iterator[PairedSite]:
    """Sites with at least this probability in one of the versions, by position."""
    first, second = pair
    columns = aligned(first.codes, second.codes)
    for strand, p in first.probability.items():
        both = p, second.probability[strand]
        for at in columns:
            for kind, name in enumerate(KINDS):
                values = _value(both[0], kind, at[0]), _value(both[1], kind, at[1])
                if max(values) >= least:
                    names = first.name, second.name
                    yield PairedSite(second.record // 2, names, at, strand, name, values)


def _value(probability: Floats, kind: int, at: int | None) -> float:
    value = 0.0 if at is None else float(probability[kind, at])
    return 0.0 if np.isnan(value) else value


PAIR_COLUMNS = (
    "PAIR", "NAME_1", "NAME_2", "POSITION_1", "POSITION_2", "STRAND", "SITE", "PROBABILITY_1",
    "PROBABILITY_2", "CHANGE",
)  # fmt: skip


def pair_row(site: PairedSite) -> tuple[str, ...]:
    """A row of the table of pairs; positions 1-based."""
    first, second = site.probability
    return (
        str(site.pair),
        *site.names,
        *("." if at is None else str(at + 1) for at in site.positions),
        site.strand,
        site.kind,
        f"{first:.4f}",
        f"{second:.4f}",
        f"{second - first:.4f}",
    )


# ------------------------------------------------------------------------------------------- bigWig


def track_lengths(lengths: list[tuple[str, int]]) -> list[tuple[str, int]]:
    """Of the sequences that a bigWig can have, in the order in which they come. Raises
    SequenceError where two have one name, or none has bases."""
    (name, times), *_ = Counter(name for name, _ in lengths).most_common(1)
    if times > 1:
        raise SequenceError(f"a bigWig needs sequences of different names; {times} are {name}")
    known = [(name, n) for name, n in lengths if n]
    if not known:
        raise SequenceError("a bigWig needs a sequence with bases")
    return known


def add_to_tracks(tracks: BigWigs, stranded: Stranded) -> None:
    """What is said of the wanted bases of a piece; unknown bases are left out."""
    piece, first, last = stranded.shown
    for kind, name in enumerate(KINDS):
        values = stranded.found.probability[kind, first - piece.start : last - piece.start]
        tracks.add((name, stranded.strand), piece.name, first, values)
