"""A transcript as it is read, from its 5' end on: exon numbers, places on it, its bases and its
reading frame."""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass
from functools import cached_property
from itertools import accumulate
from typing import NamedTuple

import numpy as np

from ..errors import AnnotationError
from .genes import Gene, Transcript
from .genome import Genome, reverse_complement

SHORTEST_INTRON = 10  # bases; less is where a transcript's sequence and the genome differ


class TranscriptPlace(NamedTuple):
    """A base of the spliced transcript (0-based), or one `offset` bases away from it in an intron:
    after the last base of an exon offsets are above 0, before the first base of one below."""

    base: int
    offset: int = 0


@dataclass(frozen=True)
class TranscriptMap:
    """A transcript on its contig (by the annotation's name) and strand. Positions of the genome are
    0-based; bases of the transcript count from 0 at its 5' end; exons and introns are numbered from
    1 in the order in which they are transcribed. Blocks of the annotation that fewer than
    SHORTEST_INTRON bases part are one exon, and these bases belong to it."""

    transcript: Transcript
    contig: str
    strand: str

    @classmethod
    def of(cls, gene: Gene, transcript: Transcript | None = None) -> TranscriptMap:
        """Of a gene's transcript; of the chosen one where none is named."""
        return cls(transcript or gene.chosen, gene.contig, gene.strand)

    @property
    def id(self) -> str:
        return self.transcript.id

    @cached_property
    def exons(self) -> list[tuple[int, int]]:
        """[start, end) on the genome of exon 1, 2, ..."""
        ascending: list[tuple[int, int]] = []
        for start, end in self.transcript.exons:
            if ascending and start - ascending[-1][1] < SHORTEST_INTRON:
                start = ascending.pop()[0]
            ascending.append((start, end))
        return ascending if self.strand == "+" else ascending[::-1]

    @cached_property
    def exon_starts(self) -> list[int]:
        """First base of each exon in the spliced transcript, and the length of that."""
        return [0, *accumulate(end - start for start, end in self.exons)]

    @property
    def length(self) -> int:
        """Bases of the spliced transcript."""
        return self.exon_starts[-1]

    @property
    def gapped(self) -> bool:
        """Whether the annotation shows that the transcript's own sequence has more or fewer bases
        than the genome, so that positions of the two don't correspond."""
        return self.transcript.differs or len(self.exons) < len(self.transcript.exons)

    # ------------------------------------------------------------------- exons, introns and places

    def exon_of(self, position: int) -> int | None:
        """Number of the exon that holds this base of the genome, None where none does."""
        for number, (start, end) in enumerate(self.exons, 1):
            if start <= position < end:
                return number
        return None

    def intron_of(self, position: int) -> int | None:
        """Number of the intron that holds this base of the genome, None where none does."""
        for number, (start, end) in enumerate(self.introns, 1):
            if start <= position < end:
                return number
        return None

    @cached_property
    def introns(self) -> list[tuple[int, int]]:
        """[start, end) on the genome of intron 1, 2, ..."""
        pairs = zip(self.exons, self.exons[1:])
        if self.strand == "+":
            return [(before[1], after[0]) for before, after in pairs]
        return [(after[1], before[0]) for before, after in pairs]

    def exon_of_base(self, base: int) -> int:
        """Number of the exon that holds this base of the spliced transcript."""
        if not 0 <= base < self.length:
            raise ValueError(f"{self.id} has {self.length} bases, not a base {base + 1}")
        return bisect_right(self.exon_starts, base)

    def place(self, position: int) -> TranscriptPlace | None:
        """Where a base of the genome lies; None outside of the transcript. A base of an intron
        belongs to the nearer exon, one in the very middle to the exon before."""
        if number := self.exon_of(position):
            start, end = self.exons[number - 1]
            within = position - start if self.strand == "+" else end - 1 - position
            return TranscriptPlace(self.exon_starts[number - 1] + within)
        if number := self.intron_of(position):
            start, end = self.introns[number - 1]
            before, after = position - start + 1, end - position
            if self.strand == "-":
                before, after = after, before
            first = self.exon_starts[number]  # of the next exon
            return (
                TranscriptPlace(first - 1, before)
                if before <= after
                else TranscriptPlace(first, -after)
            )
        return None

    def position(self, place: TranscriptPlace) -> int:
        """The base of the genome at a place. Raises ValueError where the transcript has no such
        base, or no intron that reaches so far there."""
        number = self.exon_of_base(place.base)
        start, end = self.exons[number - 1]
        within = place.base - self.exon_starts[number - 1]
        at = start + within if self.strand == "+" else end - 1 - within
        if not place.offset:
            return at
        last = place.base + 1 == self.exon_starts[number]
        first = within == 0
        intron = number if place.offset > 0 else number - 1
        if not (last if place.offset > 0 else first) or not 1 <= intron <= len(self.introns):
            side = "after" if place.offset > 0 else "before"
            raise ValueError(f"{self.id} has no intron {side} this base")
        at += place.offset if self.strand == "+" else -place.offset
        if self.intron_of(at) != intron:
            start, end = self.introns[intron - 1]
            raise ValueError(f"intron {intron} of {self.id} has {end - start} bases")
        return at

    # ------------------------------------------------------------------------------- reading frame

    @cached_property
    def cds(self) -> tuple[int, int] | None:
        """[first base, end) of the coding sequence in the spliced transcript, stop codon included;
        None in a transcript without one."""
        parts = self.transcript.cds
        if not parts:
            return None
        ends = [self.place(parts[0][0]), self.place(parts[-1][1] - 1)]
        bases = sorted(place.base for place in ends if place)
        return bases[0], bases[1] + 1

    def codon_of(self, base: int) -> tuple[int, int] | None:
        """Number of the codon (from 1) of a base of the spliced transcript, and which of its bases
        (0, 1, 2) it is; None outside of the coding sequence. The codon of a beginning that is
        missing, if any, is number 0."""
        if self.cds is None or not self.cds[0] <= base < self.cds[1]:
            return None
        codon, within = divmod(base - self.cds[0] - self.transcript.phase, 3)
        return codon + 1, within

    def sequence(self, genome: Genome) -> np.ndarray:
        """Base codes (0-3, 4 unknown) of the spliced transcript, from its 5' end. Raises
        AnnotationError where the FASTA has no such contig."""
        contig = genome.contig(self.contig)
        if contig is None:
            raise AnnotationError(
                f"{self.id} is on {self.contig}, which {genome.name} does not have"
            )
        parts = [genome.codes(contig, start, end) for start, end in self.transcript.exons]
        codes = np.concatenate(parts)
        return codes if self.strand == "+" else reverse_complement(codes)
