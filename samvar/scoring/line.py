"""Both alleles of a gene base by base on one line, in transcript orientation."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from ..genomics.variant import Variant
from ..genomics.window import Place, Window
from .arrays import Floats
from .predictor import ScoredWindow

NO_BASE = 255  # code of a column that an allele has no base in


class Span(NamedTuple):
    """Columns [start, stop) of a line."""

    start: int
    stop: int


class Bases(NamedTuple):
    """Bases of one allele, in order: the column and the code of each, both (n,)."""

    columns: np.ndarray
    codes: np.ndarray


@dataclass(frozen=True, eq=False)
class Line:
    """Columns count from the gene's first base, in transcript orientation; an inserted base is a
    column of its own, a deleted base a column that alt has no base in.

    Columns [first, last) have been scored; there
    ref_sites, alt_sites  (2, n): probability of an acceptor and of a donor, mean of the seeds; 0
                          where the allele has no base
    ref_codes, alt_codes  (n,): the bases, `NO_BASE` where the allele has none
    The variant is an insertion of `new` bases or a deletion of `gone` bases at column `gap`, but
    for bases that map one to one.
    """

    window: Window
    placed: Variant
    first: int
    gap: int
    gone: int
    new: int
    ref_sites: Floats
    alt_sites: Floats
    ref_codes: np.ndarray
    alt_codes: np.ndarray

    @classmethod
    def of(cls, scored: ScoredWindow, placed: Variant) -> Line:
        """`placed`: the placement of the window's variant that the alleles are aligned by."""
        window = scored.window
        gone, new = len(placed.ref), len(placed.alt)
        if gone == new:
            gone = new = 0
        first = window.origin + window.flank
        gap = window.origin + window.replaced(placed)[0]
        at, start = gap - first, window.reach[0] + window.flank
        ref, alt = (window.to_genome(p.mean(0)) for p in (scored.ref, scored.alt))
        ref_codes = window.ref[start : start + ref.shape[1]]
        alt_codes = window.alt[start : start + alt.shape[1]]
        return cls(
            window,
            placed,
            first,
            gap,
            gone,
            new,
            np.insert(ref, [at] * new, 0.0, 1),
            np.insert(alt, [at] * gone, 0.0, 1),
            np.insert(ref_codes, [at] * new, NO_BASE),
            np.insert(alt_codes, [at] * gone, NO_BASE),
        )

    @property
    def last(self) -> int:
        return self.first + len(self.ref_codes)

    def column(self, position: int) -> int:
        """Column of a base of the reference; `position` 0-based, genomic."""
        gene = self.window.gene
        base = position - gene.start if self.window.direction > 0 else gene.end - 1 - position
        return base + self.new * (base >= self.gap)

    def place(self, column: int) -> Place:
        """Where on the genome a column is."""
        gene, forward = self.window.gene, self.window.direction > 0
        if self.gap <= column < self.gap + self.new:
            inserted = column - self.gap
            offset = inserted + 1 if forward else self.new - inserted
            return Place(self.placed.start - 1, offset)
        base = column - self.new * (column >= self.gap)
        return Place(gene.start + base if forward else gene.end - 1 - base)

    def scored(self, column: int) -> bool:
        """Whether the models have said something of a column."""
        return self.first <= column < self.last

    def length(self, span: Span, in_alt: bool) -> int:
        """How many bases an allele has in a span."""
        absent = self.gone if in_alt else self.new
        overlap = min(span.stop, self.gap + absent) - max(span.start, self.gap)
        return span.stop - span.start - max(overlap, 0)

    def bases(self, span: Span, in_alt: bool) -> Bases:
        """An allele's bases in a span."""
        start, stop = span
        inner = max(start, self.first), min(stop, self.last)
        if inner[0] >= inner[1]:
            shift = self.new * (start >= self.last)
            return Bases(np.arange(start, stop), self._outside(start - shift, stop - shift))
        known = self.alt_codes if in_alt else self.ref_codes
        codes = np.concatenate(
            (
                self._outside(start, inner[0]),
                known[inner[0] - self.first : inner[1] - self.first],
                self._outside(inner[1] - self.new, stop - self.new),
            )
        )
        there = codes != NO_BASE
        return Bases(np.arange(start, stop)[there], codes[there])

    def _outside(self, first: int, last: int) -> np.ndarray:
        """Codes of bases [first, last) that both alleles have, counted from the gene's first."""
        return self.window.gene_codes(first, last) if first < last else np.empty(0, np.uint8)
