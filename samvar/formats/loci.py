"""What the readers of annotations share: exons of a line, and transcripts put together to genes."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from ..genomics.genes import Gene, Transcript


def loci(
    gene_id: str, symbol: str, contig: str, strand: str, transcripts: list[Transcript], **more
) -> Iterator[Gene]:
    """One Gene for each group of overlapping transcripts; none where the strand is not known."""
    if strand not in ("+", "-"):
        return
    group: list[Transcript] = []
    end = 0
    for t in sorted(transcripts, key=lambda t: (t.start, t.end, t.id)) + [None]:
        if group and (t is None or t.start >= end):
            ordered = tuple(sorted(group, key=Transcript.preference))
            yield Gene(
                gene_id,
                symbol,
                contig,
                strand,
                group[0].start,
                end,
                ordered,
                more.get("origin") or contig,
                more.get("paralog"),
            )
            group, end = [], 0
        if t is not None:
            group.append(t)
            end = max(end, t.end)


def exons_of(starts: list[int], ends: list[int], line: str) -> list[tuple[int, int]]:
    """A line's exons, half-open. Raises ValueError when they are not whole, or end before they
    start."""
    if len(starts) != len(ends):
        raise ValueError(f"{len(starts)} starts and {len(ends)} ends of exons: {line[:100]!r}")
    if any(start >= end for start, end in zip(starts, ends)):
        raise ValueError(f"an exon ends before it starts: {line[:100]!r}")
    return list(zip(starts, ends))


def merge(intervals: Iterable[tuple[int, int]]) -> tuple[tuple[int, int], ...]:
    """Ascending exons; overlapping or touching pieces of one exon become one."""
    merged: list[tuple[int, int]] = []
    for start, end in sorted(intervals):
        if merged and start <= merged[-1][1]:
            merged[-1] = merged[-1][0], max(end, merged[-1][1])
        else:
            merged.append((start, end))
    return tuple(merged)
