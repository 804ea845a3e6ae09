"""Genes, their transcripts and splice sites, and which of them lie over an interval. 0-based,
half-open."""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, replace

from .genome import ContigNames

_BIN = 1 << 17


@dataclass(frozen=True)
class Transcript:
    """Exons as ascending (start, end), 0-based half-open; `rank` 2 MANE Select, 1 Ensembl
    canonical, 0 neither."""

    id: str
    exons: tuple[tuple[int, int], ...]
    cds_length: int = 0
    rank: int = 0

    @property
    def start(self) -> int:
        return self.exons[0][0]

    @property
    def end(self) -> int:
        return self.exons[-1][1]

    def preference(self) -> tuple:
        """Sorts the transcript to be chosen first."""
        return -self.rank, -self.cds_length, -sum(e - s for s, e in self.exons), self.id


@dataclass(frozen=True)
class Gene:
    """One locus: transcripts of one gene id on one contig and strand that overlap each other, the
    chosen one first.

    [start, end) is the union of the transcripts. `origin` is the chromosome that a contig was cut
    from (the contig itself unless the annotation says otherwise); `paralog` is None where the
    annotation does not tell.
    """

    id: str
    symbol: str
    contig: str
    strand: str
    start: int
    end: int
    transcripts: tuple[Transcript, ...]
    origin: str = ""
    paralog: bool | None = None

    @property
    def chosen(self) -> Transcript:
        return self.transcripts[0]

    def sites(self, transcripts: Iterable[Transcript] | None = None) -> tuple[set[int], set[int]]:
        """Positions (0-based) of acceptors (first exonic bases) and donors (last exonic bases) of
        introns."""
        upstream, downstream = set(), set()
        for t in self.transcripts if transcripts is None else transcripts:
            for (_, end), (start, _) in zip(t.exons, t.exons[1:]):
                upstream.add(end - 1)
                downstream.add(start)
        return (downstream, upstream) if self.strand == "+" else (upstream, downstream)


class Annotation:
    """All genes, in order of contig and start, with a look-up by interval. `digest` is the sha256
    of the file."""

    def __init__(self, genes: list[Gene], path: str = "", digest: str = ""):
        self.genes = sorted(genes, key=lambda g: (g.contig, g.start, g.end, g.id, g.strand))
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

    def of_chosen_transcripts(self) -> Annotation:
        """The same genes, each no longer than its chosen transcript; made once."""
        if self._chosen is None:
            genes = [replace(g, start=g.chosen.start, end=g.chosen.end) for g in self.genes]
            self._chosen = Annotation(genes, self.path, self.digest)
        return self._chosen
