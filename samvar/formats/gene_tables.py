"""Genes from BED12 + gene, the SpliceAI table and the canonical exon table."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator

from ..genomics.genes import Exons, Gene, Transcript
from .loci import Notes, exons_of, loci, merge
from .transcripts import STRANDS


def _number(text: str) -> int:
    if not (text.isdecimal() and text.isascii()):
        raise ValueError(f"{text!r} is no whole number")
    return int(text)


def _numbers(text: str) -> list[int]:
    """Numbers separated by commas, in quotes where a table program has been at them."""
    return [_number(v.strip()) for v in text.strip('" ').split(",") if v.strip()]


def read_bed12(lines: Iterable[str], notes: Notes) -> Iterator[Gene]:
    """BED12, 0-based half-open, with the gene symbol in a 13th column (else the name is the
    gene). Where thickStart or thickEnd is a point, nothing is coding."""
    grouped: dict[tuple[str, str, str, str], list[Transcript]] = defaultdict(list)
    for line in lines:
        if line.startswith("#"):
            continue
        f = line.split("\t")
        if len(f) < 12:
            raise ValueError("not the twelve columns of BED12")
        start, end = _number(f[1]), _number(f[2])
        thick = (0, 0) if "." in f[6:8] else (_number(f[6]), _number(f[7]))
        sizes, offsets = _numbers(f[10]), _numbers(f[11])
        if not len(sizes) == len(offsets) == _number(f[9]):
            raise ValueError(f"blockSizes and blockStarts are not blockCount ({f[9]}) numbers")
        exons = merge(
            exons_of([start + o for o in offsets], [start + o + n for o, n in zip(offsets, sizes)])
        )
        first, last = exons[0][0], exons[-1][1]
        if (first, last) != (start, end):
            raise ValueError(
                f"blocks from {first} to {last}, chromStart and chromEnd {start}, {end}"
            )
        cds = thick if thick[0] < thick[1] else (0, 0)
        symbol = f[12].strip() if len(f) > 12 and f[12].strip() else f[3]
        if f[5] in STRANDS:
            grouped[symbol, symbol, f[0], f[5]].append(Transcript(f[3], Exons(exons), *cds))
        else:
            notes.add(Notes.NO_STRAND, f[3])
    for key, transcripts in grouped.items():
        yield from loci(*key, transcripts)


def read_spliceai(lines: Iterable[str], notes: Notes) -> Iterator[Gene]:
    """SpliceAI's #NAME CHROM STRAND TX_START TX_END EXON_START EXON_END; starts 0-based, ends
    1-based."""
    grouped: dict[tuple[str, str, str, str], list[Transcript]] = defaultdict(list)
    for line in lines:
        if line.startswith("#"):
            continue
        f = line.split("\t")
        if len(f) < 7:
            raise ValueError("not the seven columns of a SpliceAI table")
        name, contig, strand, _, _, starts, ends = f[:7]
        exons = merge(exons_of(_numbers(starts), _numbers(ends)))
        if strand in STRANDS:
            grouped[name, name, contig, strand].append(Transcript(name, Exons(exons)))
        else:
            notes.add(Notes.NO_STRAND, name)
    for key, transcripts in grouped.items():
        yield from loci(*key, transcripts)


def read_canonical(lines: Iterable[str], notes: Notes) -> Iterator[Gene]:
    """gene has_paralog chrom|contig strand tx_start1 tx_end1 exon_ends1 exon_starts1 [chrom];
    1-based inclusive.

    exon_ends1 are last bases of exons that an intron follows on the genome, exon_starts1 first
    bases of the next exon.
    """
    rows = iter(lines)
    header = next(rows).split("\t")
    needed = {"has_paralog", "chrom", "strand", "tx_start1", "tx_end1", "exon_ends1"}
    if missing := sorted((needed | {"exon_starts1"}) - set(header)):
        raise ValueError(f"no column {', '.join(missing)}")
    for line in rows:
        fields = line.split("\t")
        if len(fields) < len(header):
            raise ValueError(f"not the {len(header)} columns of the header")
        row = dict(zip(header, fields))
        starts = [_number(row["tx_start1"]), *_numbers(row["exon_starts1"])]
        ends = [*_numbers(row["exon_ends1"]), _number(row["tx_end1"])]
        exons = exons_of([s - 1 for s in starts], ends)
        if row["strand"] not in STRANDS:
            notes.add(Notes.NO_STRAND, row["gene"])
            continue
        yield from loci(
            row["gene"],
            row["gene"],
            row.get("contig") or row["chrom"],
            row["strand"],
            [Transcript(row["gene"], Exons(exons))],
            origin=row["chrom"],
            paralog=row["has_paralog"] == "1",
        )
