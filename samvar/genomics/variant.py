"""Alleles: their status, and the change they make, trimmed and with all its equivalent
placements."""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import Enum
from typing import NamedTuple

import numpy as np

from .genome import UNKNOWN, Genome, encode

MOST_SHIFT = 1000  # bases that an insertion or deletion is moved by; see `Variant`


class Status(Enum):
    """Why an allele has a score or none; the first that applies, in this order."""

    STAR = "the * allele: deleted by another record"
    BND = "breakend"
    SYMBOLIC = "symbolic allele such as <DEL>"
    NON_ACGT = "REF holds letters other than A, C, G, T, N, or ALT other than A, C, G, T"
    NO_CONTIG = "the FASTA has no such contig"
    CONTIG_END = "POS or REF lies outside the contig, whose positions count from 1"
    REF_N = "the reference is N here, or REF holds N"
    REF_MISMATCH = "REF is not the sequence of the FASTA"
    NO_GENE = "in no gene of the annotation"
    TOO_LONG = "the trimmed allele is longer than the most that is scored, 1,000 bases by default"
    NONFINITE = "the model gave no finite number"
    LOW_CONTEXT = "under 90 % of the bases around are known; scored all the same"
    OK = "scored"


SCORED = frozenset({Status.OK, Status.LOW_CONTEXT})


@dataclass(frozen=True)
class Variant:
    """Replace `ref` by `alt` at `start` (0-based, of the contig); codes 0-3, common ends trimmed.

    A pure insertion or deletion makes the same haplotype when moved up to `left` bases back or
    `right` bases on. In a repeat that allows more than MOST_SHIFT bases in all, it stands at its
    left-most place, and only so many bases on from there are looked at.

    `parts`: of a haplotype that has an insertion or deletion and other changes beside it these
    changes, in order; no placement of one meets one of the next.
    """

    contig: str
    start: int
    ref: np.ndarray
    alt: np.ndarray
    left: int = 0
    right: int = 0
    parts: tuple[Variant, ...] = ()

    @property
    def span(self) -> tuple[int, int]:
        """[start, end) of all equivalent placements, those of the parts too, 0-based; empty for an
        insertion with a single placement."""
        own = self.start - self.left, self.start + len(self.ref) + self.right
        starts, ends = zip(own, *(part.span for part in self.parts))
        return min(starts), max(ends)

    @property
    def pieces(self) -> tuple[Variant, ...]:
        """What is aligned by itself: the parts, or the whole."""
        return self.parts or (self,)

    @property
    def growth(self) -> int:
        """How many bases alt has more than ref."""
        return len(self.alt) - len(self.ref)

    def placed(self, start: int) -> Variant:
        """The same change at another of its placements."""
        shift = start - self.start
        if not -self.left <= shift <= self.right:
            raise ValueError(f"{start} is no placement of {self}")
        return Variant(
            self.contig,
            start,
            np.roll(self.ref, -shift),
            np.roll(self.alt, -shift),
            self.left + shift,
            self.right - shift,
        )


class Gap(NamedTuple):
    """Bases that one of the haplotypes has alone: `gone` of ref from `start` (0-based, of the
    contig) on, or `new` ones of alt before that."""

    start: int
    gone: int
    new: int

    @property
    def end(self) -> int:
        return self.start + self.gone


def allele_status(
    genome: Genome, contig: str | None, pos: int, ref: str, alt: str
) -> Status | None:
    """Status of an allele that is known without the genes, or None. `contig`: the FASTA's name;
    `pos` 1-based."""
    if alt == "*":
        return Status.STAR
    if any(c in alt for c in "[]") or (len(alt) > 1 and "." in (alt[0], alt[-1])):
        return Status.BND
    if "<" in alt:
        return Status.SYMBOLIC
    if not ref or not alt or set(ref.upper()) - set("ACGTN") or set(alt.upper()) - set("ACGT"):
        return Status.NON_ACGT
    if contig is None:
        return Status.NO_CONTIG
    if pos < 1 or pos - 1 + len(ref) > genome.lengths[contig]:
        return Status.CONTIG_END
    here, given = genome.codes(contig, pos - 1, pos - 1 + len(ref)), encode(ref)
    if (here == UNKNOWN).any() or (given == UNKNOWN).any():
        return Status.REF_N
    if (here != given).any():
        return Status.REF_MISMATCH
    return None


def normalise(genome: Genome, contig: str, pos: int, ref: str, alt: str) -> Variant:
    """Trim what REF and ALT share (first the prefix, since a VCF has the bases before an insertion
    or deletion) and find how far the change can be moved. `pos` is 1-based."""
    a, b, start = encode(ref), encode(alt), pos - 1
    if np.array_equal(a, b):
        return Variant(contig, start, a, b)
    n = min(len(a), len(b))
    prefix = _run(a[:n] == b[:n])
    a, b, start = a[prefix:], b[prefix:], start + prefix
    n = min(len(a), len(b))
    suffix = _run(a[::-1][:n] == b[::-1][:n])
    a, b = a[: len(a) - suffix], b[: len(b) - suffix]
    if bool(len(a)) == bool(len(b)):
        return Variant(contig, start, a, b)
    block = a if len(a) else b
    left = _shift(genome, contig, start, block, -1)
    right = _shift(genome, contig, start + len(a), block, 1)
    if left + right > MOST_SHIFT:
        leftmost = Variant(contig, start, a, b, left, right).placed(start - left)
        return replace(leftmost, right=MOST_SHIFT)
    return Variant(contig, start, a, b, left, right)


def _run(same: np.ndarray) -> int:
    """Length of the leading run of True."""
    return len(same) if same.all() else int(np.argmin(same))


def _shift(genome: Genome, contig: str, edge: int, block: np.ndarray, direction: int) -> int:
    """How far `block` can be moved: as long as the flanking sequence goes on repeating it. `edge`:
    first flanking base on the right, or the base after the last on the left."""
    moved, chunk = 0, max(4 * len(block), 64)
    while True:
        if direction > 0:
            flank = genome.codes(contig, edge + moved, edge + moved + chunk)
            expected = np.resize(np.roll(block, -moved), chunk)
        else:
            flank = genome.codes(contig, edge - moved - chunk, edge - moved)[::-1]
            expected = np.resize(np.roll(block[::-1], -moved), chunk)
        same = _run((flank == expected) & (flank != UNKNOWN))
        moved += same
        if same < chunk:
            return moved
