"""Genes, their transcripts and splice sites, and which of them lie over an interval. 0-based,
half-open."""

from __future__ import annotations

import os
from array import array
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from enum import IntEnum
from typing import Literal

from .genome import ContigNames

_BIN = 1 << 17


class Exons(Sequence):
    """Ascending (start, end), 0-based half-open, of a transcript's exons; an annotation has
    millions, so they are kept as plain numbers."""

    __slots__ = ("bounds",)

    def __init__(self, intervals: Iterable[tuple[int, int]]):
        self.bounds = array("I", [bound for interval in intervals for bound in interval])

    @classmethod
    def of_bounds(cls, bounds: bytes) -> Exons:
        """From start, end, start, end, ... as 32-bit numbers."""
        exons = cls(())
        exons.bounds = array("I", bounds)
        return exons

    def __len__(self) -> int:
        return len(self.bounds) // 2

    def __getitem__(self, i):
        if isinstance(i, slice):
            return tuple(self)[i]
        return self.bounds[2 * i], self.bounds[2 * i + 1]

    def __iter__(self) -> Iterator[tuple[int, int]]:
        return zip(self.bounds[::2], self.bounds[1::2])

    def __eq__(self, other) -> bool:
        return isinstance(other, (Exons, tuple)) and tuple(self) == tuple(other)

    def __hash__(self) -> int:
        return hash(tuple(self))

    def __repr__(self) -> str:
        return f"Exons({tuple(self)})"


class Rank(IntEnum):
    """What an annotation's tags say of a transcript; the best of them."""

    NONE = 0
    CANONICAL = 1  # Ensembl's
    MANE_CLINICAL = 2  # MANE Plus Clinical
    MANE_SELECT = 3


WellKnown = Literal["chosen", "mane", "all"]
Choice = WellKnown | frozenset[str]  # which transcripts; or their ids


@dataclass(frozen=True, slots=True)
class Transcript:
    """`id` with its version, where the annotation has one. Exons as ascending (start, end),
    0-based half-open.

    The coding sequence, stop codon included, is what of the exons lies in [cds_start, cds_end);
    both are 0 in a transcript without one. `phase` bases of it precede its first whole codon: 0,
    or 1 or 2 where its beginning is missing. `differs`: the annotation notes that the transcript's
    own sequence has more or fewer bases than the genome (RefSeq).
    """

    id: str
    exons: Sequence[tuple[int, int]]
    cds_start: int = 0
    cds_end: int = 0
    phase: int = 0
    rank: Rank = Rank.NONE
    differs: bool = False

    @property
    def start(self) -> int:
        return self.exons[0][0]

    @property
    def end(self) -> int:
        return self.exons[-1][1]

    @property
    def names(self) -> tuple[str, str]:
        """The id, and the id without its version."""
        return self.id, without_version(self.id)

    @property
    def coding(self) -> bool:
        return self.cds_start < self.cds_end

    @property
    def cds(self) -> list[tuple[int, int]]:
        """The coding part of each exon that has one, ascending, 0-based half-open."""
        parts = ((max(s, self.cds_start), min(e, self.cds_end)) for s, e in self.exons)
        return [(start, end) for start, end in parts if start < end]

    @property
    def cds_length(self) -> int:
        start, end = self.cds_start, self.cds_end
        return sum([min(e, end) - max(s, start) for s, e in self.exons if s < end and start < e])

    def preference(self) -> tuple:
        """Sorts the transcript to be chosen first."""
        return -self.rank, -self.cds_length, -sum([e - s for s, e in self.exons]), self.id


def without_version(name: str) -> str:
    """A transcript's id without the version that may end it: NM_000059.4 -> NM_000059."""
    stem, point, version = name.rpartition(".")
    return stem if point and version.isdecimal() else name


@dataclass(frozen=True, slots=True)
class Gene:
    """One locus: transcripts of one gene id on one contig and strand that overlap each other, the
    chosen one first.

    [start, end) is the union of the transcripts. `origin` is the chromosome that a contig was cut
    from (the contig itself unless the annotation says otherwise); `paralog` is None where the
    annotation does not say.
    """

    id: str
    symbol: str
    contig: str
    strand: str
    start: int
    end: int
    transcripts: Sequence[Transcript]
    origin: str = ""
    paralog: bool | None = None

    @property
    def chosen(self) -> Transcript:
        return self.transcripts[0]

    def selected(self, choice: Choice) -> tuple[Transcript, ...]:
        """The chosen transcript, those of MANE (Select, Plus Clinical), all, or those whose id,
        with or without its version, is among the given ones; there may be none."""
        if choice == "chosen":
            return (self.chosen,)
        if choice == "all":
            return tuple(self.transcripts)
        if choice == "mane":
            return tuple(t for t in self.transcripts if t.rank >= Rank.MANE_CLINICAL)
        return tuple(t for t in self.transcripts if not choice.isdisjoint(t.names))

    def sites(self, transcripts: Iterable[Transcript] | None = None) -> tuple[set[int], set[int]]:
        """Positions (0-based) of acceptors (first exonic bases) and donors (last exonic bases) of
        introns."""
        upstream, downstream = set(), set()
        for t in self.transcripts if transcripts is None else transcripts:
            for (_, end), (start, _) in zip(t.exons, t.exons[1:]):
                upstream.add(end - 1)
                downstream.add(start)
        return (downstream, upstream) if self.strand == "+" else (upstream, downstream)

    def with_site(self, kind: int, position: int) -> tuple[Transcript, ...]:
        """Transcripts of which a position (0-based) is an acceptor (`kind` 0) or a donor (1)."""
        return tuple(t for t in self.transcripts if position in self.sites((t,))[kind])

    def introns(self) -> set[tuple[int, int]]:
        """[start, end) on the genome of the introns of all transcripts."""
        return {
            (end, start)
            for t in self.transcripts
            for (_, end), (start, _) in zip(t.exons, t.exons[1:])
        }


class Annotation:
    """All genes, in order of contig and start, with a look-up by interval. `notes` say what its
    reader left out or split, `digest` is the sha256 of the file."""

    def __init__(
        self, genes: list[Gene], path: str = "", digest: str = "", notes: Iterable[str] = ()
    ):
        self.genes = sorted(genes, key=lambda g: (g.contig, g.start, g.end, g.id, g.strand))
        self.notes = tuple(notes)
        self.path, self.name, self.digest = path, os.path.basename(path), digest
        self.contigs = ContigNames(g.contig for g in self.genes)
        self._chosen: Annotation | None = None
        self._bins: dict[tuple[str, int], list[Gene]] = defaultdict(list)
        for g in self.genes:
            for i in range(g.start // _BIN, (g.end - 1) // _BIN + 1):
                self._bins[g.contig, i].append(g)

    def overlapping(self, contig: str, start: int, end: int) -> list[Gene]:
        """Genes whose interval touches [start, end) (0-based); an empty span must lie between two
        bases of the gene."""
        name = self.contigs.find(contig)
        if name is None:
            return []
        found = {}
        for i in range(start // _BIN, max(start, end - 1) // _BIN + 1):
            for g in self._bins.get((name, i), ()):
                if g.start < end and start < g.end:
                    found[id(g)] = g
        return list(found.values())

    def unknown(self, choice: Choice) -> list[str]:
        """Those of the given ids, in order, that no transcript has, with or without its version."""
        if isinstance(choice, str):
            return []
        there = {name for g in self.genes for t in g.transcripts for name in t.names}
        return sorted(choice - there)

    def of_chosen_transcripts(self) -> Annotation:
        """The same genes, each no longer than its chosen transcript; made once."""
        if self._chosen is None:
            genes = [replace(g, start=g.chosen.start, end=g.chosen.end) for g in self.genes]
            self._chosen = Annotation(genes, self.path, self.digest, self.notes)
        return self._chosen
