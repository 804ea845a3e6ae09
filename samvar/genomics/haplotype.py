"""Several variants on one haplotype -> the one variant that they make together."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

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
    """One variant of the contig in place of `parts`, which do not overlap and are in order."""
    start, end = parts[0].start, parts[-1].start + len(parts[-1].ref)
    reference = genome.codes(parts[0].contig, start, end)
    pieces, done = [], start
    for part in parts:
        pieces += [reference[done - start : part.start - start], part.alt]
        done = part.start + len(part.ref)
    haplotype = np.concatenate(pieces)
    return normalise(genome, parts[0].contig, start + 1, decode(reference), decode(haplotype))
