"""A variant and a gene -> what the model is shown of ref and alt. The only place that flips
strands, both ways."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .genes import Gene
from .genome import UNKNOWN, Genome, decode, reverse_complement
from .variant import Variant


@dataclass(frozen=True)
class Window:
    """Ref and alt around a variant, in transcript orientation, unknown outside the gene.

    Positions [start, end) of the reference (0-based, genome order) are compared; the LSTM sees
    `flank` bases more on either side, the frame. `ref` and `alt` are the codes of the frame with
    `reach[0]` bases before and `reach[1]` after it, in transcript orientation. `placed` is the
    placement of the variant that `alt` is made of, `known` the share of known bases in the gene's
    part of the frame.
    """

    genome: Genome
    gene: Gene
    variant: Variant
    placed: Variant
    start: int
    end: int
    flank: int
    reach: tuple[int, int]
    ref: np.ndarray
    alt: np.ndarray
    known: float

    def to_genome(self, values: np.ndarray) -> np.ndarray:
        """Values per base (last axis) in transcript order -> in genome order; its own inverse."""
        return values[..., ::-1] if self.gene.strand == "-" else values

    @property
    def origin(self) -> int:
        """Where the frame starts, counted in bases of the transcript from the gene's first one."""
        if self.gene.strand == "+":
            return self.start - self.flank - self.gene.start
        return self.gene.end - (self.end + self.flank)

    def place(self, placed: Variant) -> tuple[int, int]:
        """Bases [first, last) of the ref frame that a placement of the variant replaces, in
        transcript orientation."""
        first = placed.start - self.start + self.flank
        last = first + len(placed.ref)
        n = self.end - self.start + 2 * self.flank
        return (first, last) if self.gene.strand == "+" else (n - last, n - first)

    def gene_codes(self, first: int, last: int) -> np.ndarray:
        """Reference codes of bases [first, last) counted from the gene's first one, in transcript
        orientation, unknown outside the gene."""
        g, contig = self.gene, self.variant.contig
        low, high = max(first, 0), min(last, g.end - g.start)
        out = np.full(last - first, UNKNOWN, np.uint8)
        if low < high and g.strand == "+":
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
        before, after = self.reach
        at = (
            len(haplotype) - 1 - after - self.flank - index
            if self.gene.strand == "-"
            else before + self.flank + index
        )
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
    placed = variant.placed(_placement_in(gene, variant))
    at, n = placed.start - low, len(placed.ref)
    new = (
        placed.alt
        if n != len(placed.alt)
        else np.where(inside[at : at + n], placed.alt, UNKNOWN).astype(np.uint8)
    )
    alt = np.concatenate((ref[:at], new, ref[at + n :]))
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
