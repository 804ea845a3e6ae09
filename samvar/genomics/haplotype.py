"""Several variants on one haplotype -> the one variant that they make together."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise
from typing import NamedTuple

import numpy as np

from .genome import Genome, decode
from .variant import Variant, normalise


def overlapping(parts: Sequence[Variant]) -> bool:
    """Whether some of the variants, in order of `place`, change the same bases, or insert at one
    place: no haplotype has them all."""
    return any(
        after.start < before.start + len(before.ref) or place(before) == place(after)
        for before, after in pairwise(parts)
    )


def place(variant: Variant) -> tuple[int, int]:
    """Sorts variants along the contig; an insertion goes before a change of the base after it."""
    return variant.start, variant.start + len(variant.ref)


def joined(genome: Genome, parts: Sequence[Variant]) -> Variant:
    """One variant of the contig in place of `parts`, which do not overlap and are in order. Where
    one of them inserts or deletes bases and others lie apart from it, each is a part of it (those
    that can be placed side by side are one change)."""
    whole = _spelled_out(genome, parts)
    apart = _apart(genome, parts)
    has_gap = any(part.growth for part in apart)
    return replace(whole, parts=apart) if has_gap and len(apart) > 1 else whole


def _spelled_out(genome: Genome, parts: Sequence[Variant]) -> Variant:
    start, end = parts[0].start, parts[-1].start + len(parts[-1].ref)
    reference = genome.codes(parts[0].contig, start, end)
    pieces, done = [], start
    for part in parts:
        pieces += [reference[done - start : part.start - start], part.alt]
        done = part.start + len(part.ref)
    haplotype = np.concatenate(pieces)
    return normalise(genome, parts[0].contig, start + 1, decode(reference), decode(haplotype))


def _apart(genome: Genome, parts: Sequence[Variant]) -> tuple[Variant, ...]:
    """The parts; those whose placements meet as one, since the same haplotype could be
    described as changes at other places there. All that meet are joined at once, so that both
    strands have the same; what they make may meet further ones."""
    groups = [_Group([part], part.span) for part in parts]
    while True:
        met: list[_Group] = []
        for group in groups:
            while met and group.span[0] <= met[-1].span[1]:
                group = met.pop().joined(group)
            met.append(group)
        apart = [_spelled_out(genome, own) if own[1:] else own[0] for own, _ in met]
        if len(met) == len(groups):
            return tuple(apart)
        groups = [_Group(group.parts, own.span) for group, own in zip(met, apart)]


class _Group(NamedTuple):
    """Neighbouring parts, and [start, end) of where these can be placed."""

    parts: list[Variant]
    span: tuple[int, int]

    def joined(self, after: _Group) -> _Group:
        (start, end), (low, high) = self.span, after.span
        return _Group(self.parts + after.parts, (min(start, low), max(end, high)))
