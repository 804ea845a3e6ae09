"""A variant and a gene -> what the model is shown of ref and alt. The only place that flips strands, both ways."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .genes import Gene
from .genome import UNKNOWN, Genome, reverse_complement
from .variant import Variant


@dataclass(frozen=True)
class Window:
    """Ref and alt around a variant, in transcript orientation, unknown outside the gene.

    The scored frame is [start, end) on the reference (0-based); `ref` and `alt` are codes of the frame with the model's
    reach before and after it. `known` is the share of known bases in the gene's part of the frame.
    """

    gene: Gene
    variant: Variant
    start: int
    end: int
    ref: np.ndarray
    alt: np.ndarray
    known: float

    def to_genome(self, values: np.ndarray) -> np.ndarray:
        """Values per base (last axis) of the transcript -> in genome order; its own inverse."""
        return values[..., ::-1] if self.gene.strand == "-" else values

    def site(self, haplotype: np.ndarray, index: int, flank: int = 5) -> str:
        """11 bases around a position of the frame, counted in genome order, in transcript orientation."""
        before, _ = self.margins(len(haplotype))
        n = len(haplotype) - sum(self.margins(len(haplotype)))
        at = before + (n - 1 - index if self.gene.strand == "-" else index)
        codes = haplotype[max(at - flank, 0) : at + flank + 1]
        return "".join("ACGTN"[c] for c in codes)

    def margins(self, length: int) -> tuple[int, int]:
        """Bases of reach before and after the frame in the transcript's orientation."""
        frame = self.end - self.start + (length - len(self.ref))
        total = length - frame
        return self._before, total - self._before

    @property
    def _before(self) -> int:
        return self._reach[0]

    _reach: tuple[int, int] = (0, 0)


def make_window(genome: Genome, gene: Gene, contig: str, variant: Variant, flank: int, reach: tuple[int, int],
                interval: tuple[int, int]) -> Window:  # fmt: skip
    """Frame = the variant's span and `flank` bases on either side. `contig` is the FASTA's name; `interval` [start, end)
    is the part of the gene that is not masked; `reach` the bases the model needs before and after a scored position."""
    span_start, span_end = variant.span
    start, end = span_start - flank, span_end + flank
    before, after = reach if gene.strand == "+" else reach[::-1]
    low, high = start - before, end + after
    codes = genome.codes(contig, low, high)
    inside = np.zeros(len(codes), bool)
    inside[max(interval[0] - low, 0) : max(interval[1] - low, 0)] = True
    codes = np.where(inside, codes, UNKNOWN).astype(np.uint8)
    at = variant.start - low
    alt = np.concatenate((codes[:at], variant.alt, codes[at + len(variant.ref) :]))
    frame = slice(before, before + end - start)
    known = float((codes[frame] != UNKNOWN).sum() / max(inside[frame].sum(), 1))
    if gene.strand == "-":
        codes, alt = reverse_complement(codes), reverse_complement(alt)
    return Window(gene, variant, start, end, codes, alt, known, reach)
