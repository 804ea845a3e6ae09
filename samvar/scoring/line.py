"""Both alleles of a gene base by base on one line, in transcript orientation."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from ..genomics.align import ABSENT, align, take
from ..genomics.variant import Gap
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

    Columns [first, last) have been scored, the variant's gaps among them; there
    ref_sites, alt_sites  (2, n): probability of an acceptor and of a donor, mean of the seeds; 0
                          where the allele has no base
    ref_codes, alt_codes  (n,): the bases, `NO_BASE` where the allele has none
    position, offset      (n,): where on the genome each is, as in a `Place`
    columns_of_ref        (m,): the column of each base of ref
    """

    window: Window
    first: int
    ref_sites: Floats
    alt_sites: Floats
    ref_codes: np.ndarray
    alt_codes: np.ndarray
    position: np.ndarray
    offset: np.ndarray
    columns_of_ref: np.ndarray

    @classmethod
    def of(cls, scored: ScoredWindow, gaps: Sequence[Gap]) -> Line:
        """`gaps`: those that the alleles are aligned with, in genome order."""
        window = scored.window
        first, start = window.origin + window.flank, window.reach[0] + window.flank
        columns = align(window, gaps)

        def codes(haplotype: np.ndarray, index: np.ndarray, length: int) -> np.ndarray:
            in_order = window.to_genome(haplotype[start : start + length])
            return window.to_genome(take(in_order, index, NO_BASE))

        return cls(
            window,
            first,
            window.to_genome(take(scored.ref.mean(0), columns.ref, 0.0)),
            window.to_genome(take(scored.alt.mean(0), columns.alt, 0.0)),
            codes(window.ref, columns.ref, scored.ref.shape[-1]),
            codes(window.alt, columns.alt, scored.alt.shape[-1]),
            window.to_genome(columns.position),
            window.to_genome(columns.offset),
            first + np.flatnonzero(window.to_genome(columns.ref) != ABSENT),
        )

    @property
    def last(self) -> int:
        return self.first + len(self.ref_codes)

    @property
    def inserted(self) -> int:
        """How many of the columns ref has no base in."""
        return len(self.ref_codes) - len(self.columns_of_ref)

    @property
    def deletes(self) -> bool:
        """Whether there are columns that alt has no base in."""
        return bool((self.alt_codes == NO_BASE).any())

    def column(self, position: int) -> int:
        """Column of a base of the reference; `position` 0-based, genomic."""
        gene = self.window.gene
        base = position - gene.start if self.window.direction > 0 else gene.end - 1 - position
        if 0 <= base - self.first < len(self.columns_of_ref):
            return int(self.columns_of_ref[base - self.first])
        return base + self.inserted * (base >= self.first)

    def place(self, column: int) -> Place:
        """Where on the genome a column is."""
        if self.scored(column):
            at = column - self.first
            return Place(int(self.position[at]), int(self.offset[at]))
        gene, base = self.window.gene, column - self.inserted * (column >= self.last)
        return Place(gene.start + base if self.window.direction > 0 else gene.end - 1 - base)

    def scored(self, column: int) -> bool:
        """Whether the models have said something of a column."""
        return self.first <= column < self.last

    def brought(self, columns: np.ndarray) -> np.ndarray:
        """Whether the base that alt has in each of `columns` (n,) is not ref's there: (n,)."""
        at = columns - self.first
        inside = (at >= 0) & (at < len(self.ref_codes))
        found = np.zeros(len(columns), bool)
        found[inside] = self.ref_codes[at[inside]] != self.alt_codes[at[inside]]
        return found

    def length(self, span: Span, in_alt: bool) -> int:
        """How many bases an allele has in a span."""
        inner = self._codes(in_alt)[
            max(span.start - self.first, 0) : max(span.stop - self.first, 0)
        ]
        return span.stop - span.start - int((inner == NO_BASE).sum())

    def bases(self, span: Span, in_alt: bool) -> Bases:
        """An allele's bases in a span."""
        start, stop = span
        inner = max(start, self.first), min(stop, self.last)
        if inner[0] >= inner[1]:
            shift = self.inserted * (start >= self.last)
            return Bases(np.arange(start, stop), self._outside(start - shift, stop - shift))
        codes = np.concatenate(
            (
                self._outside(start, inner[0]),
                self._codes(in_alt)[inner[0] - self.first : inner[1] - self.first],
                self._outside(inner[1] - self.inserted, stop - self.inserted),
            )
        )
        there = codes != NO_BASE
        return Bases(np.arange(start, stop)[there], codes[there])

    def _codes(self, in_alt: bool) -> np.ndarray:
        return self.alt_codes if in_alt else self.ref_codes

    def _outside(self, first: int, last: int) -> np.ndarray:
        """Codes of bases [first, last) that both alleles have, counted from the gene's first."""
        return self.window.gene_codes(first, last) if first < last else np.empty(0, np.uint8)
