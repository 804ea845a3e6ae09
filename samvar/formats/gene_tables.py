"""Genes from BED12 + gene, the SpliceAI table and the canonical exon table."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator

from ..genomics.genes import Gene, Transcript
from .loci import exons_of, loci, merge


def _numbers(text: str) -> list[int]:
    return [int(v) for v in text.split(",") if v.strip()]


def read_bed12(lines: list[str]) -> Iterator[Gene]:
    """BED12, 0-based half-open, with the gene symbol in a 13th column (else the name is the
    gene)."""
    grouped: dict[tuple, list[Transcript]] = defaultdict(list)
    for line in lines:
        if line.startswith("#"):
            continue
        f = line.split("\t")
        start, thick = int(f[1]), (int(f[6]), int(f[7]))
        sizes, offsets = _numbers(f[10]), _numbers(f[11])
        if not len(sizes) == len(offsets) == int(f[9]):
            raise ValueError(
                f"blockSizes and blockStarts are not blockCount ({f[9]}) numbers: {line[:100]!r}"
            )
        exons = merge(
            exons_of(
                [start + o for o in offsets], [start + o + n for o, n in zip(offsets, sizes)], line
            )
        )
        cds = sum(max(0, min(e, thick[1]) - max(s, thick[0])) for s, e in exons)
        symbol = f[12] if len(f) > 12 else f[3]
        grouped[symbol, symbol, f[0], f[5]].append(Transcript(f[3], exons, cds))
    for key, transcripts in grouped.items():
        yield from loci(*key, transcripts)


def read_spliceai(lines: list[str]) -> Iterator[Gene]:
    """SpliceAI's #NAME CHROM STRAND TX_START TX_END EXON_START EXON_END; starts 0-based, ends
    1-based."""
    grouped: dict[tuple, list[Transcript]] = defaultdict(list)
    for line in lines:
        if line.startswith("#"):
            continue
        name, contig, strand, _, _, starts, ends = line.split("\t")[:7]
        exons = merge(exons_of(_numbers(starts), _numbers(ends), line))
        grouped[name, name, contig, strand].append(Transcript(name, exons))
    for key, transcripts in grouped.items():
        yield from loci(*key, transcripts)


def read_canonical(lines: list[str]) -> Iterator[Gene]:
    """gene has_paralog chrom|contig strand tx_start1 tx_end1 exon_ends1 exon_starts1 [chrom];
    1-based inclusive.

    exon_ends1 are last bases of exons that an intron follows on the genome, exon_starts1 first
    bases of the next exon.
    """
    header = lines[0].split("\t")
    for line in lines[1:]:
        row = dict(zip(header, line.split("\t")))
        starts = [int(row["tx_start1"])] + _numbers(row["exon_starts1"])
        ends = _numbers(row["exon_ends1"]) + [int(row["tx_end1"])]
        exons = tuple(exons_of([s - 1 for s in starts], ends, line))
        contig = row.get("contig") or row["chrom"]
        yield from loci(
            row["gene"],
            row["gene"],
            contig,
            row["strand"],
            [Transcript(row["gene"], exons)],
            origin=row["chrom"],
            paralog=row["has_paralog"] == "1",
        )
