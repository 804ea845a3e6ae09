"""Genes as training and evaluation take them: chosen transcripts in transcript orientation."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from ..errors import DatasetError
from ..formats.annotation import load_annotation
from ..genomics.genes import Gene
from ..genomics.genome import UNKNOWN, ContigNames, Genome, reverse_complement

MIN_KNOWN = 0.9  # share of a gene's bases that must be known


def read_genes(
    fasta: str, annotation: str, chroms: set[str] | None = None, min_known: float = MIN_KNOWN
) -> list[dict]:
    """Chosen transcripts as dicts for `Dataset.from_genes`, in transcript orientation; sites
    0-based within the gene.

    Genes on contigs that the FASTA lacks, on chromosomes not in `chroms`, or with less than
    `min_known` of their bases known are left out.
    """
    genome, genes = Genome(fasta), load_annotation(annotation)
    found = []
    for gene in genes.genes:
        contig = genome.contig(gene.contig)
        if contig is None or (chroms and not ContigNames(chroms).find(gene.origin)):
            continue
        codes = genome.codes(contig, gene.chosen.start, gene.chosen.end)
        if (codes != UNKNOWN).mean() >= min_known:
            found.append(oriented(gene, codes))
    if not found:
        raise DatasetError(
            f"no gene of {annotation} lies in known sequence of {fasta}"
            f"{' on ' + ', '.join(sorted(chroms)) if chroms else ''}; do their contig names and "
            "builds agree?"
        )
    return found


def merge_genes(sources: list[list[dict]]) -> list[dict]:
    """The genes of several sources; one that two hold (same name and chromosome) counts once, from
    the first."""
    merged: list[dict] = []
    for found in sources:
        earlier = {(g["name"], g["chrom"]) for g in merged}
        merged += [g for g in found if (g["name"], g["chrom"]) not in earlier]
    return merged


def oriented(gene: Gene, codes: np.ndarray) -> dict:
    """A gene's chosen transcript, given the codes of [start, end) on the plus strand."""
    start, end = gene.chosen.start, gene.chosen.end
    acceptors, donors = (np.array(sorted(s), np.int64) for s in gene.sites([gene.chosen]))
    if gene.strand == "+":
        acceptors, donors = acceptors - start, donors - start
    else:
        codes = reverse_complement(codes)
        acceptors, donors = np.sort(end - 1 - acceptors), np.sort(end - 1 - donors)
    return dict(
        name=gene.symbol,
        chrom=gene.origin,
        codes=codes,
        acceptors=acceptors,
        donors=donors,
        paralog=gene.paralog,
        contig=gene.contig,
        strand=gene.strand,
        start=start,
        end=end,
    )


def gt_ag_share(genes: Iterable[dict]) -> tuple[float, int]:
    """(share of introns with GT at the start and AG at the end, number of introns), unknown ones
    left out."""
    good = total = 0
    for g in genes:
        codes = np.concatenate((g["codes"], [UNKNOWN] * 2))
        for donor, acceptor in zip(g["donors"], g["acceptors"]):
            ends = [*codes[donor + 1 : donor + 3], *codes[acceptor - 2 : acceptor]]
            if UNKNOWN not in ends:
                total += 1
                good += ends == [2, 3, 0, 2]
    return good / max(total, 1), total
