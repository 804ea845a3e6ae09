"""Where a variant lies among the sites of its genes."""

from __future__ import annotations

from collections.abc import Iterable

from ..genomics.genes import Gene
from ..genomics.variant import Variant
from ..model.evidence import Group
from ..model.sam import ACCEPTOR, DONOR, LSSI_SPAN


def group_of(variant: Variant, genes: Iterable[Gene]) -> Group:
    """By the annotated sites and exons of all transcripts of `genes`. Of a longer variant of equal
    alleles its first base counts."""
    if len(variant.ref) != len(variant.alt):
        return Group.INDEL
    genes = list(genes)
    for gene in genes:
        for found, kind in zip(offsets(gene, variant.start), (ACCEPTOR, DONOR)):
            left, right = LSSI_SPAN[kind]
            if any(-left <= d <= right for d in found):
                return Group.CORE_SITE
    return Group.EXONIC if in_exon(variant.start, genes) else Group.INTRONIC


def offsets(gene: Gene, position: int) -> tuple[list[int], list[int]]:
    """Distances of a position (0-based) from the gene's acceptors and donors, positive
    downstream."""
    sign = 1 if gene.strand == "+" else -1
    acceptors, donors = ([sign * (position - s) for s in sites] for sites in gene.sites())
    return acceptors, donors


def in_exon(position: int, genes: Iterable[Gene]) -> bool:
    """Whether a position (0-based) is in an exon of a transcript."""
    return any(
        start <= position < end for g in genes for t in g.transcripts for start, end in t.exons
    )
