"""Alt positions onto ref positions, for every placement of a change."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from .variant import Variant
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


def placements(window: Window) -> Iterator[Variant]:
    """Every placement of the window's variant, the 3'-most in transcript orientation first.

    Of an insertion or deletion the equivalent ones; of alleles of equal length the only one. Of a
    delins the places of the bases that one allele has more than the other, as an insertion or
    deletion: all its other bases map base to base, so that a splice site among them is not taken
    for lost and found again.
    """
    v = window.variant
    n_ref, n_alt = len(v.ref), len(v.alt)
    shared = min(n_ref, n_alt) if n_ref != n_alt else 0
    if shared:
        gone, new = max(n_ref - n_alt, 0), max(n_alt - n_ref, 0)
        places = [
            Variant(v.contig, v.start + k, v.ref[k : k + gone], v.alt[k : k + new])
            for k in range(shared + 1)
        ]
    else:
        places = [v.placed(start) for start in range(v.start - v.left, v.start + v.right + 1)]
    yield from reversed(places) if window.direction > 0 else places


def align(window: Window, placed: Variant) -> Alignment:
    """Columns of the compared positions; an index counts from the first of them.

    Alleles of equal length map base to base; deleted bases stand in ref alone, inserted ones in alt
    alone.
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
    alt = np.concatenate(
        (before - low, np.full(n_ref, ABSENT), at + new - low, after - low + n_alt - n_ref)
    )
    anchor = at + n_ref - 1
    position = np.concatenate((before, gone, np.full(n_alt, anchor), after))
    offset = np.concatenate(
        (np.zeros(len(before) + n_ref, int), new + 1, np.zeros(len(after), int))
    )
    return Alignment(ref, alt, position, offset)
