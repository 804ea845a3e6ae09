"""Junctions of a file, each with what the model says of its two sites; and the file without those
that it doubts."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from itertools import islice
from typing import NamedTuple

from ..genomics.genes import Annotation, Gene
from ..genomics.genome import Genome
from ..genomics.junction import STRANDS, Junction, SpliceSite, dinucleotides, sites
from ..genomics.variant import Status
from ..scoring.predictor import Predictor
from ..scoring.sites import SiteScore, SiteScorer

CANONICAL = "GT-AG", "GC-AG", "AT-AC"
CHUNK, CHUNK_BASES = 2000, 1 << 24  # records, or bases of them, that are judged together


class Judged(NamedTuple):
    """A junction and what is said of it; its strand is the one given or, where none was, the better
    one of the two.

    donor, acceptor  calibrated probabilities; None without a score
    motif            what the intron begins and ends with, as in GT-AG
    known            as regtools has it: DA an annotated intron, NDA two annotated sites of other
                     introns, D or A one annotated site, N none; None without an annotation
    """

    junction: Junction
    donor: float | None
    acceptor: float | None
    motif: str
    known: str | None
    status: Status

    @property
    def score(self) -> float | None:
        """The lesser of the two probabilities."""
        if self.donor is None or self.acceptor is None:
            return None
        return min(self.donor, self.acceptor)


@dataclass
class Counts:
    """Of a run: records with a junction (of alignments all), and those removed; statuses of the
    different junctions, or of the junctions of all rows where the input is text; how many of them
    have a score, one below the least, and begin and end as introns do."""

    least: float
    records: int = 0
    removed: int = 0
    scored: int = 0
    below: int = 0
    canonical: int = 0
    statuses: Counter = field(default_factory=Counter)

    @property
    def junctions(self) -> int:
        return self.statuses.total()

    def add(self, judged: Judged) -> None:
        self.statuses[judged.status] += 1
        if judged.score is not None:
            self.scored += 1
            self.below += judged.score < self.least
            self.canonical += judged.motif in CANONICAL


class Judge:
    """Judges junctions, against an annotation where there is one."""

    def __init__(self, genome: Genome, predictor: Predictor, annotation: Annotation | None = None):
        self.genome, self.annotation = genome, annotation
        self._scorer = SiteScorer(genome, predictor)
        self._introns: dict[int, set[tuple[int, int]]] = {}
        self._sites: dict[int, tuple[set[int], set[int]]] = {}

    def judge(self, junctions: Iterable[Junction]) -> dict[Junction, Judged]:
        """Each of the different ones."""
        stranded = {j: stranded_as(j) for j in dict.fromkeys(junctions)}
        wanted = [site for options in stranded.values() for o in options for site in sites(o)]
        scores = self._scorer.score(wanted)
        found = {}
        for junction, options in stranded.items():
            best = max((self._judged(o, scores) for o in options), key=_preference)
            found[junction] = best if best.score is not None else best._replace(junction=junction)
        return found

    def _judged(self, junction: Junction, scores: dict[SpliceSite, SiteScore]) -> Judged:
        donor, acceptor = (scores[site] for site in sites(junction))
        status = min(donor.status, acceptor.status, key=list(Status).index)
        contig = self.genome.contig(junction.contig)
        motif = dinucleotides(self.genome, junction._replace(contig=contig)) if contig else "NN-NN"
        return Judged(
            junction, donor.probability, acceptor.probability, motif, self._known(junction), status
        )

    def _known(self, junction: Junction) -> str | None:
        if self.annotation is None:
            return None
        genes = [
            gene
            for gene in self.annotation.overlapping(junction.contig, junction.start, junction.end)
            if gene.strand == junction.strand
        ]
        intron = junction.start, junction.end
        if any(intron in self._kept(self._introns, gene, Gene.introns) for gene in genes):
            return "DA"
        donor, acceptor = (site.position for site in sites(junction))
        known = [self._kept(self._sites, gene, Gene.sites) for gene in genes]
        has_donor = any(donor in donors for _, donors in known)
        has_acceptor = any(acceptor in acceptors for acceptors, _ in known)
        if has_donor and has_acceptor:
            return "NDA"
        return "D" if has_donor else "A" if has_acceptor else "N"

    @staticmethod
    def _kept(memory: dict, gene: Gene, made: Callable[[Gene], object]):
        """What is made of a gene, once."""
        if id(gene) not in memory:
            memory[id(gene)] = made(gene)
        return memory[id(gene)]


def stranded_as(junction: Junction) -> list[Junction]:
    """The junction on its strand, or on either one where that is not known."""
    if junction.strand in STRANDS:
        return [junction]
    return [junction._replace(strand=strand) for strand in STRANDS]


def _preference(judged: Judged) -> float:
    return -1.0 if judged.score is None else judged.score


def doubted(found: Iterable[Judged], least: float, keep_annotated: bool = False) -> bool:
    """Whether one of them scores less; those without a score are not doubted, and, where asked
    for, annotated introns neither."""
    return any(
        j.score is not None and j.score < least and not (keep_annotated and j.known == "DA")
        for j in found
    )


class Decided(NamedTuple):
    """A record of the input (`formats.junctions.Row` or `formats.alignments.Spliced`), what is
    said of its junctions, and whether it stays."""

    record: object
    judged: tuple[Judged, ...]
    kept: bool


def decide_rows(
    judge: Judge, rows: Iterable, counts: Counts, keep_annotated: bool = False
) -> Iterator[Decided]:
    """Rows of a text, each with its junctions judged; counted row by row."""
    rows = iter(rows)
    while chunk := list(islice(rows, CHUNK)):
        found = judge.judge(j for row in chunk for j in row.junctions)
        for row in chunk:
            judged = tuple(found[j] for j in row.junctions)
            for one in judged:
                counts.add(one)
            yield _decided(row, judged, counts, keep_annotated, bool(judged))


def decide_alignments(
    judge: Judge,
    alignments: Iterable,
    counts: Counts,
    reads: dict[Judged, int],
    keep_annotated: bool = False,
) -> Iterator[Decided]:
    """Alignments, each with its junctions judged. `reads` takes how many have each of the different
    junctions: memory grows with these, not with the alignments."""
    known: dict[Junction, Judged] = {}
    for chunk in _chunks(alignments):
        new = {j for a in chunk for j in a.junctions if j not in known}
        for junction, judged in judge.judge(new).items():
            known[junction] = judged
            if judged not in reads:
                reads[judged] = 0
                counts.add(judged)
        for alignment in chunk:
            judged_here = tuple(known[j] for j in alignment.junctions)
            for judged in judged_here:
                reads[judged] += 1
            yield _decided(alignment, judged_here, counts, keep_annotated, True)


def _chunks(alignments: Iterable) -> Iterator[list]:
    chunk, bases = [], 0
    for alignment in alignments:
        chunk.append(alignment)
        bases += alignment.record.query_length
        if len(chunk) == CHUNK or bases > CHUNK_BASES:
            yield chunk
            chunk, bases = [], 0
    if chunk:
        yield chunk


def _decided(
    record: object, judged: tuple[Judged, ...], counts: Counts, keep_annotated: bool, counted: bool
) -> Decided:
    kept = not doubted(judged, counts.least, keep_annotated)
    counts.records += counted
    counts.removed += not kept
    return Decided(record, judged, kept)


COLUMNS = (
    "CHROM", "START", "END", "STRAND", "DONOR", "ACCEPTOR", "SCORE", "MOTIF", "KNOWN", "STATUS",
    "READS",
)  # fmt: skip


def table_row(judged: Judged, reads: int | None = None) -> tuple[str, ...]:
    """A row of the table: the intron 1-based, both ends included."""
    contig, start, end, strand = judged.junction
    values = (judged.donor, judged.acceptor, judged.score)
    return (
        contig,
        str(start + 1),
        str(end),
        strand,
        *("." if v is None else f"{v:.4f}" for v in values),
        judged.motif,
        judged.known or ".",
        judged.status.name,
        "." if reads is None else str(reads),
    )
