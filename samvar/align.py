"""Alt positions onto ref positions, for every equivalent placement of a change."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from .variant import Variant
from .windows import Window

ABSENT = -1


class Alignment(NamedTuple):
    """Columns of the aligned haplotypes, in genome order.

    ref, alt        (n,): index into the compared positions of that haplotype, ABSENT where it has no such base
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


def placements(window: Window) -> Iterator[Variant]:
    """Every equivalent placement of the window's variant, the 3'-most in transcript orientation first."""
    v = window.variant
    starts = range(v.start - v.left, v.start + v.right + 1)
    for start in reversed(starts) if window.gene.strand == "+" else starts:
        yield v.placed(start)


def align(window: Window, placed: Variant) -> Alignment:
    """Columns of the compared positions; an index counts from the first of them.

    Alleles of equal length map base to base; otherwise the deleted bases stand in ref alone, then the inserted ones in
    alt alone.
    """
    n_ref, n_alt = len(placed.ref), len(placed.alt)
    low, high, at = window.start, window.end, placed.start
    before, after = np.arange(low, at), np.arange(at + n_ref, high)
    gone = np.arange(at, at + n_ref)
    if n_ref == n_alt:
        position = np.concatenate((before, gone, after))
        return Alignment(position - low, position - low, position, np.zeros(len(position), int))
    new = np.arange(n_alt)
    ref = np.concatenate((before - low, gone - low, np.full(n_alt, ABSENT), after - low))
    alt = np.concatenate((before - low, np.full(n_ref, ABSENT), at + new - low, after - low + n_alt - n_ref))
    anchor = at + n_ref - 1
    position = np.concatenate((before, gone, np.full(n_alt, anchor), after))
    offset = np.concatenate((np.zeros(len(before) + n_ref, int), new + 1, np.zeros(len(after), int)))
    return Alignment(ref, alt, position, offset)
