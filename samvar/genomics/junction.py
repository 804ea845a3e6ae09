"""A junction: the intron between two exons, and its two splice sites."""

from __future__ import annotations

from typing import NamedTuple

from ..model.sam import ACCEPTOR, DONOR
from .genome import Genome, decode, reverse_complement

STRANDS = ("+", "-")


class Junction(NamedTuple):
    """Bases [start, end) of a contig, 0-based, are spliced out; `strand` is . where it is not
    known."""

    contig: str
    start: int
    end: int
    strand: str


class SpliceSite(NamedTuple):
    """An exonic base beside an intron: `position` 0-based, `kind` ACCEPTOR or DONOR."""

    contig: str
    position: int
    strand: str
    kind: int


def sites(junction: Junction) -> tuple[SpliceSite, SpliceSite]:
    """Donor and acceptor of a junction whose strand is known."""
    contig, start, end, strand = junction
    before, after = start - 1, end
    donor, acceptor = (before, after) if strand == "+" else (after, before)
    return (
        SpliceSite(contig, donor, strand, DONOR),
        SpliceSite(contig, acceptor, strand, ACCEPTOR),
    )


def dinucleotides(genome: Genome, junction: Junction) -> str:
    """What an intron begins and ends with on its strand: GT-AG, with N where unknown."""
    contig, start, end, strand = junction
    first, last = genome.codes(contig, start, start + 2), genome.codes(contig, end - 2, end)
    if strand == "-":
        first, last = reverse_complement(last), reverse_complement(first)
    return f"{decode(first)}-{decode(last)}"
