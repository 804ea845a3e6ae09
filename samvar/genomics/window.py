"""A variant and a gene -> what the model is shown of ref and alt. The only place that flips
strands, both ways."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from typing import NamedTuple, TypeVar

import numpy as np

from .genes import Gene
from .genome import UNKNOWN, Genome, decode, reverse_complement
from .variant import Gap, Variant

Index = TypeVar("Index", int, np.ndarray)


class Place(NamedTuple):
    """A base on the genome: its position, 0-based; of an inserted base the position of the base
    before the insertion, and `offset` 1, 2, ... from there."""

    position: int
    offset: int = 0

    @property
    def pos(self) -> int:
        """The position as in a VCF: 1-based."""
        return self.position + 1


class Base(NamedTuple):
    """A base of the two haplotypes: its place, and its index in each, in genome order, 0 at the
    first compared position; None in the one that has no such base."""

    place: Place
    in_ref: int | None
    in_alt: int | None


@dataclass(frozen=True, eq=False)
class Window:
    """Ref and alt around a variant, in transcript orientation, unknown outside the gene.

    Positions [start, end) of the reference (0-based, genome order) are compared; the LSTM sees
    `flank` bases more on either side, the frame. `ref` and `alt` are the codes of the frame with
    `reach[0]` bases before and `reach[1]` after it, in transcript orientation. `placed` are the
    placements of the variant's pieces that `alt` is made of, in genome order, `known` the share of
    known bases in the gene's part of the frame. `stretch`: bases
    [start, end) in which this frame lies with others that are to be scored and nearly touch it,
    counted as `origin` is; None where that is not known.
    """

    genome: Genome
    gene: Gene
    variant: Variant
    placed: tuple[Variant, ...]
    start: int
    end: int
    flank: int
    reach: tuple[int, int]
    ref: np.ndarray
    alt: np.ndarray
    known: float
    stretch: tuple[int, int] | None = None

    @property
    def compared(self) -> int:
        """How many positions of the reference are compared."""
        return self.end - self.start

    @property
    def frame_length(self) -> int:
        """Bases of the reference's frame."""
        return self.compared + 2 * self.flank

    @property
    def direction(self) -> int:
        """1 where the transcript runs as the genome does, else -1."""
        return 1 if self.gene.strand == "+" else -1

    def to_genome(self, values: np.ndarray) -> np.ndarray:
        """Values per base (last axis) in transcript order -> in genome order; its own inverse."""
        return values if self.direction > 0 else values[..., ::-1]

    def flipped(self, index: Index, length: int) -> Index:
        """Index of a base among `length`, in genome order -> in transcript order; its own
        inverse."""
        return index if self.direction > 0 else length - 1 - index

    @property
    def locus(self) -> Hashable:
        """What the reference's sequence along the gene depends on."""
        gene = self.gene
        return self.genome, self.variant.contig, gene.start, gene.end, gene.strand

    @property
    def origin(self) -> int:
        """Where the frame starts, counted in bases of the transcript from the gene's first one."""
        if self.direction > 0:
            return self.start - self.flank - self.gene.start
        return self.gene.end - (self.end + self.flank)

    @property
    def replaced(self) -> tuple[int, int]:
        """Positions [start, end) of the contig that `placed` replaces, 0-based."""
        last = self.placed[-1]
        return self.placed[0].start, last.start + len(last.ref)

    @property
    def changed(self) -> int:
        """Bases that the variant may replace, wherever it is placed, or has there."""
        start, end = self.variant.span
        return end - start + max(self.variant.growth, 0)

    def in_frame(self, start: int, end: int) -> tuple[int, int]:
        """Positions [start, end) of the contig as bases [first, last) of the ref frame, in
        transcript orientation."""
        first, last = (p - self.start + self.flank for p in (start, end))
        n = self.frame_length
        return (first, last) if self.direction > 0 else (n - last, n - first)

    def base_gone(self, column: int) -> Base:
        """A base that alt has not. `column` of the ref frame, in transcript orientation."""
        index = self.flipped(column, self.frame_length) - self.flank
        return Base(Place(index + self.start), index, None)

    def base_of_alt(self, column: int, gaps: Sequence[Gap]) -> Base:
        """A base of alt, where the alleles are aligned with `gaps`, in genome order. `column` of
        the alt frame, in transcript orientation."""
        index = self.flipped(column, self.frame_length + self.variant.growth) - self.flank
        in_ref = index
        for gap in gaps:
            into = in_ref + self.start - gap.start
            if into < 0:
                break
            if into < gap.new:
                return Base(Place(gap.start - 1, into + 1), None, index)
            in_ref += gap.gone - gap.new
        return Base(Place(in_ref + self.start), in_ref, index)

    def gene_codes(self, first: int, last: int) -> np.ndarray:
        """Reference codes of bases [first, last) counted from the gene's first one, in transcript
        orientation, unknown outside the gene."""
        g, contig = self.gene, self.variant.contig
        low, high = max(first, 0), min(last, g.end - g.start)
        out = np.full(last - first, UNKNOWN, np.uint8)
        if low < high and self.direction > 0:
            out[low - first : high - first] = self.genome.codes(
                contig, g.start + low, g.start + high
            )
        elif low < high:
            out[low - first : high - first] = reverse_complement(
                self.genome.codes(contig, g.end - high, g.end - low)
            )
        return out

    def site(self, haplotype: np.ndarray, index: int, width: int = 5) -> str:
        """The bases around a position, in transcript orientation. `index`: in genome order, 0 at
        the first compared."""
        before = self.reach[0] if self.direction > 0 else self.reach[1]
        at = self.flipped(before + self.flank + index, len(haplotype))
        return decode(haplotype[at - width : at + width + 1])


def make_window(
    genome: Genome, gene: Gene, variant: Variant, distance: int, flank: int, reach: tuple[int, int]
) -> Window:
    """Compared positions = the variant's span and `distance` bases on either side; `reach`: what
    the model needs before and after the frame."""
    start, end = variant.span[0] - distance, variant.span[1] + distance
    before, after = reach if gene.strand == "+" else reach[::-1]
    low, high = start - flank - before, end + flank + after
    positions = np.arange(low, high)
    inside = (positions >= gene.start) & (positions < gene.end)
    ref = np.where(inside, genome.codes(variant.contig, low, high), UNKNOWN).astype(np.uint8)
    placed = tuple(piece.placed(_placement_in(gene, piece)) for piece in variant.pieces)
    parts, done = [], 0
    for piece in placed:
        at, n = piece.start - low, len(piece.ref)
        new = np.where(inside[at : at + n], piece.alt, UNKNOWN) if not piece.growth else piece.alt
        parts += [ref[done:at], new]
        done = at + n
    alt = np.concatenate((*parts, ref[done:])).astype(np.uint8)
    frame = inside & (positions >= start - flank) & (positions < end + flank)
    known = float((ref[frame] != UNKNOWN).mean()) if frame.any() else 0.0
    if gene.strand == "-":
        ref, alt = reverse_complement(ref), reverse_complement(alt)
    return Window(genome, gene, variant, placed, start, end, flank, reach, ref, alt, known)


def _placement_in(gene: Gene, variant: Variant) -> int:
    """Start of the placement that lies inside the gene as far as can be, the 3'-most of the
    transcript: the haplotype with everything outside the gene unknown is then the same for every
    spelling."""
    low, high = variant.start - variant.left, variant.start + variant.right
    margin = 0 if len(variant.ref) else 1  # an insertion lies between two bases of the gene
    first, last = gene.start + margin, gene.end - margin - len(variant.ref)
    if gene.strand == "+":
        return max(low, min(high, last))
    return min(high, max(low, first))
