"""What the readers of annotations share: exons of a line, transcripts put together to genes, and
notes of what they did not take as it stands."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from operator import itemgetter

from ..genomics.genes import Gene, Transcript


class Notes:
    """What a reader left out or split: how often, and one of them by name."""

    SPLIT = "ids of transcripts stand at several places of a contig; each place is a transcript"
    OVERLAP = "transcripts have exons that overlap, which are joined: copies under one id?"
    JOINED = "ids of transcripts have rows at places that overlap; they are joined: copies?"
    BOTH_STRANDS = "ids of transcripts have exons on both strands; each strand is a transcript"
    FEW_EXONS = "transcripts have CDS or UTR rows where no exon row lies; these count as exons"
    NO_EXONS = "genes or transcripts without exon, CDS or UTR rows are left out"
    NO_STRAND = "genes, transcripts or their parts without a strand are left out"
    NO_ID = "exons without a gene or transcript are left out"

    def __init__(self) -> None:
        self._counts: Counter[str] = Counter()
        self._examples: dict[str, str] = {}

    def add(self, what: str, name: str) -> None:
        self._counts[what] += 1
        self._examples[what] = min(self._examples.get(what, name), name)

    def messages(self) -> tuple[str, ...]:
        """For the user."""
        return tuple(
            f"{n} {what} ({self._examples[what]}{', ...' * (n > 1)})"
            for what, n in sorted(self._counts.items())
        )


def loci(
    gene_id: str, symbol: str, contig: str, strand: str, transcripts: list[Transcript], **more
) -> Iterator[Gene]:
    """One Gene for each group of overlapping transcripts."""
    placed = [(t.start, t.end, t.id, t) for t in transcripts]
    placed.sort(key=itemgetter(0, 1, 2))
    groups: list[list[tuple[int, int, str, Transcript]]] = []
    last = 0  # end of the group
    for start, end, name, transcript in placed:
        if start >= last:
            groups.append([])
        groups[-1].append((start, end, name, transcript))
        last = max(last, end)
    for group in groups:
        starts, ends, _, own = zip(*group)
        yield Gene(
            gene_id,
            symbol,
            contig,
            strand,
            starts[0],
            max(ends),
            tuple(sorted(own, key=Transcript.preference)),
            more.get("origin") or contig,
            more.get("paralog"),
        )


def exons_of(starts: list[int], ends: list[int]) -> list[tuple[int, int]]:
    """A line's exons, half-open. Raises ValueError when they are not whole, or end before they
    start."""
    if len(starts) != len(ends):
        raise ValueError(f"{len(starts)} starts and {len(ends)} ends of exons")
    if not starts:
        raise ValueError("no exon")
    if any(start >= end for start, end in zip(starts, ends)):
        raise ValueError("an exon ends before it starts")
    if min(starts) < 0:
        raise ValueError("an exon starts before its contig")
    if max(ends) >= 1 << 32:
        raise ValueError(f"no contig is {max(ends)} bases long")
    return list(zip(starts, ends))


def merge(
    intervals: Iterable[tuple[int, int]], touching: bool = True
) -> tuple[tuple[int, int], ...]:
    """Ascending intervals; overlapping (and `touching`) pieces become one."""
    merged: list[tuple[int, int]] = []
    for start, end in sorted(intervals):
        if merged and start < merged[-1][1] + touching:
            merged[-1] = merged[-1][0], max(end, merged[-1][1])
        else:
            merged.append((start, end))
    return tuple(merged)
