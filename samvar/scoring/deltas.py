"""Site probabilities of ref and alt -> the four deltas with their positions."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain
from typing import NamedTuple

import numpy as np

from ..genomics.align import Alignment, align, placements, take
from ..genomics.variant import Gap
from ..genomics.window import Place, Window
from .arrays import Floats, Ints

NAMES = ("AG", "AL", "DG", "DL")
SITE_OF = (0, 0, 1, 1)  # row of the site probabilities: acceptor, acceptor, donor, donor
SIGN = np.array([1.0, -1.0, 1.0, -1.0])


class Delta(NamedTuple):
    """One of the four: `name` of NAMES, `value` >= 0 (probability), where the site stands."""

    name: str
    value: float
    place: Place


class Deltas(NamedTuple):
    """Acceptor gain and loss, donor gain and loss of one allele in one gene.

    values     (4,): >= 0, probability
    columns    (4,): column of `alignment` each stands at
    gaps       where the alleles have another length, in genome order, at the placements that
               explain least (`align.placements`); none in alleles of equal length
    alignment  the columns with these gaps, within the compared positions
    sd         sample standard deviation over the seeds of the largest delta, None with one seed
    """

    values: Floats
    columns: Ints
    gaps: tuple[Gap, ...]
    alignment: Alignment
    sd: float | None

    @property
    def places(self) -> tuple[Place, ...]:
        """Where on the genome each stands."""
        a = self.alignment
        return tuple(Place(int(a.position[c]), int(a.offset[c])) for c in self.columns)

    @property
    def named(self) -> tuple[Delta, ...]:
        """Each with its name and place."""
        return tuple(Delta(n, float(v), p) for n, v, p in zip(NAMES, self.values, self.places))


def compute(
    window: Window,
    p_ref: Floats,
    p_alt: Floats,
    mask: bool = False,
    near: Sequence[tuple[int, int]] = (),
) -> Deltas:
    """p_ref (S, 2, n), p_alt (S, 2, m): acceptor and donor probabilities of the compared positions
    by S seeds, in genome order -> deltas. A deleted base has alt probability 0, an inserted one ref
    probability 0; of all placements that with the smallest sum of deltas counts, the 3'-most of
    equals; those of several gaps are tried one gap after the other, from the 5' end of the
    transcript on, the next ones 3'-most meanwhile. `mask` removes gains at annotated and losses at
    unannotated sites. Where there is `near` only positions count that lie in one of these
    intervals, [start, end), 0-based.
    """
    ref, alt = p_ref.mean(0), p_alt.mean(0)
    gaps, alignment, change = _least(window, ref, alt, mask, near)
    columns = np.array([_peak(window, alignment, row) for row in change])
    values = change[range(4), columns].clip(0)
    sd = None
    if len(p_ref) > 1:
        top = int(values.argmax())
        each = [_change(r, a, alignment)[top, columns[top]] for r, a in zip(p_ref, p_alt)]
        sd = float(np.std(each, ddof=1))
    return Deltas(values, columns, gaps, alignment, sd)


class _Comparison(NamedTuple):
    gaps: tuple[Gap, ...]
    alignment: Alignment
    change: Floats  # (4, n)

    @property
    def explained(self) -> float:
        """Sum of the deltas."""
        return float(self.change.max(1).clip(0).sum())


def _least(
    window: Window, ref: Floats, alt: Floats, mask: bool, near: Sequence[tuple[int, int]]
) -> _Comparison:
    """The comparison that explains least."""
    places = [p for piece in window.variant.pieces if (p := placements(piece, window.direction))]
    least = _compare(window, ref, alt, tuple(first for first, *_ in places), mask, near)
    for i in range(len(places))[:: window.direction]:
        before, after = least.gaps[:i], least.gaps[i + 1 :]
        others = (
            _compare(window, ref, alt, (*before, gap, *after), mask, near) for gap in places[i][1:]
        )
        least = min(chain([least], others), key=lambda c: c.explained)
    return least


def _compare(
    window: Window,
    ref: Floats,
    alt: Floats,
    gaps: tuple[Gap, ...],
    mask: bool,
    near: Sequence[tuple[int, int]],
) -> _Comparison:
    alignment = align(window, gaps)
    change = _change(ref, alt, alignment)
    if mask:
        change = change * _allowed(window, alignment)
    if near:
        within = [(start <= alignment.position) & (alignment.position < end) for start, end in near]
        change = change * np.any(within, axis=0)
    return _Comparison(gaps, alignment, change)


def _change(ref: Floats, alt: Floats, alignment: Alignment) -> Floats:
    """(4, n): signed so that what each delta looks for is positive."""
    change = take(alt, alignment.alt, 0.0) - take(ref, alignment.ref, 0.0)
    signed: Floats = change[list(SITE_OF)] * SIGN[:, None]
    return signed


def _peak(window: Window, alignment: Alignment, change: Floats) -> int:
    """Column of the largest change; of equals the one nearest the variant, a base of ref before an
    inserted one, then the 5' one of the transcript."""
    ties = np.flatnonzero(change == change.max())
    start, end = window.variant.span
    position = alignment.position[ties]
    distance = np.maximum(np.maximum(start - position, position - (end - 1)), 0)
    inserted = alignment.offset[ties] > 0
    distance[inserted] = 0  # whichever base of the span they are anchored at
    return int(ties[np.lexsort((ties * window.direction, inserted, distance))[0]])


def _allowed(window: Window, alignment: Alignment) -> Floats:
    """(4, n): 1 where a delta counts under --mask."""
    annotated = np.array(
        [
            np.isin(alignment.position, list(s)) & (alignment.offset == 0)
            for s in window.gene.sites()
        ]
    )[list(SITE_OF)]
    return np.where(SIGN[:, None] > 0, ~annotated, annotated)
