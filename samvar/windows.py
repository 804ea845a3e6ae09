"""A variant and a gene -> what the model is shown of ref and alt. The only place that flips strands, both ways."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .genes import Gene
from .genome import UNKNOWN, Genome, decode, reverse_complement
from .variant import Variant


@dataclass(frozen=True)
class Window:
    """Ref and alt around a variant, in transcript orientation, unknown outside the gene.

    The scored frame is [start, end) on the reference (0-based). `ref` and `alt` are the codes of the frame with
    `reach[0]` bases before and `reach[1]` after it, in transcript orientation. `known` is the share of known bases in
    the gene's part of the frame.
    """

    gene: Gene
    variant: Variant
    start: int
    end: int
    ref: np.ndarray
    alt: np.ndarray
    known: float
    reach: tuple[int, int]

    def to_genome(self, values: np.ndarray) -> np.ndarray:
        """Values per base (last axis) in transcript order -> in genome order; its own inverse."""
        return values[..., ::-1] if self.gene.strand == "-" else values

    def site(self, haplotype: np.ndarray, index: int, flank: int = 5) -> str:
        """The bases around a position, in transcript orientation. `index`: in genome order, 0 at the frame's start."""
        before, after = self.reach
        at = len(haplotype) - after - 1 - index if self.gene.strand == "-" else before + index
        return decode(haplotype[at - flank : at + flank + 1])


def make_window(genome: Genome, gene: Gene, variant: Variant, flank: int, reach: tuple[int, int]) -> Window:
    """Frame = the variant's span and `flank` bases on either side; `reach`: what the model needs before and after."""
    start, end = variant.span[0] - flank, variant.span[1] + flank
    before, after = reach if gene.strand == "+" else reach[::-1]
    low, high = start - before, end + after
    positions = np.arange(low, high)
    inside = (positions >= gene.start) & (positions < gene.end)
    ref = np.where(inside, genome.codes(variant.contig, low, high), UNKNOWN).astype(np.uint8)
    placed = variant.placed(_placement_in(gene, variant))
    at, n = placed.start - low, len(placed.ref)
    new = placed.alt if n != len(placed.alt) else np.where(inside[at : at + n], placed.alt, UNKNOWN).astype(np.uint8)
    alt = np.concatenate((ref[:at], new, ref[at + n :]))
    frame = inside & (positions >= start) & (positions < end)
    known = float((ref[frame] != UNKNOWN).mean()) if frame.any() else 0.0
    if gene.strand == "-":
        ref, alt = reverse_complement(ref), reverse_complement(alt)
    return Window(gene, variant, start, end, ref, alt, known, reach)


def _placement_in(gene: Gene, variant: Variant) -> int:
    """Start of the placement that lies inside the gene as far as can be, the 3'-most of the transcript: the haplotype
    with everything outside the gene unknown is then the same for every spelling."""
    low, high = variant.start - variant.left, variant.start + variant.right
    margin = 0 if len(variant.ref) else 1  # an insertion lies between two bases of the gene
    first, last = gene.start + margin, gene.end - margin - len(variant.ref)
    if gene.strand == "+":
        return max(low, min(high, last))
    return min(high, max(low, first))
