"""Alt positions onto ref positions, for every placement of a change."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from .variant import Gap, Variant
from .window import Window

ABSENT = -1


class Alignment(NamedTuple):
    """Columns of the aligned haplotypes, in genome order.

    ref, alt        (n,): index into the compared positions of that haplotype, ABSENT where it has
                    no such base
    position        (n,): genomic position, 0-based; inside an insertion that of the base before it
    offset          (n,): 0, or inside an insertion 1, 2, ... from that base
    """

    ref: np.ndarray
    alt: np.ndarray
    position: np.ndarray
    offset: np.ndarray


def take(values: np.ndarray, index: np.ndarray, absent: float | np.ndarray) -> np.ndarray:
    """values[..., index], with `absent` where the haplotype has no such base."""
    missing = index == ABSENT
    return np.where(missing, absent, values[..., np.where(missing, 0, index)])


def placements(piece: Variant, direction: int) -> list[Gap]:
    """Every gap that a change can be, the 3'-most in transcript orientation first; none where the
    alleles have equal length. `direction`: 1 where the transcript runs as the genome does, else -1.

    Of an insertion or deletion the equivalent placements. Of a delins the places of the bases that
    one allele has more than the other: all its other bases map base to base, so that a splice site
    among them is not taken for lost and found again.
    """
    if not piece.growth:
        return []
    gone, new = max(-piece.growth, 0), max(piece.growth, 0)
    shared = min(len(piece.ref), len(piece.alt))
    starts = range(piece.start - piece.left, piece.start + piece.right + shared + 1)
    return [Gap(start, gone, new) for start in starts[::-direction]]


def align(window: Window, gaps: Sequence[Gap]) -> Alignment:
    """Columns of the compared positions; an index counts from the first of them.

    Deleted bases stand in ref alone, inserted ones in alt alone; between the gaps, which are in
    genome order, base maps to base.
    """
    n = window.compared + sum(gap.new for gap in gaps)
    in_ref, in_alt, offset = np.ones(n, bool), np.ones(n, bool), np.zeros(n, int)
    column = -window.start  # of base 0
    for start, gone, new in gaps:
        at = column + start
        in_alt[at : at + gone] = False
        in_ref[at : at + new] = False
        offset[at : at + new] = np.arange(1, new + 1)
        column += new
    before = np.cumsum(in_ref) - 1  # the last base of ref up to each column
    return Alignment(
        np.where(in_ref, before, ABSENT),
        np.where(in_alt, np.cumsum(in_alt) - 1, ABSENT),
        window.start + before,
        offset,
    )
