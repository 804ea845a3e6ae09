"""Genes of genomes and annotations as training and evaluation take them."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from ..errors import DatasetError
from ..genomics.genes import Annotation, Gene
from ..genomics.genome import UNKNOWN, ContigNames, Genome, reverse_complement
from ..genomics.introns import GT_AG
from .dataset import Locus, TrainingGene

MIN_KNOWN = 0.9  # share of a gene's bases that must be known


def read_genes(
    genome: Genome,
    annotation: Annotation,
    chroms: set[str] | None = None,
    min_known: float = MIN_KNOWN,
) -> list[TrainingGene]:
    """The chosen transcript of every gene.

    Genes on contigs that the FASTA does not have, on chromosomes not in `chroms`, or with less than
    `min_known` of their bases known are left out. Raises DatasetError where none is left.
    """
    wanted = ContigNames(chroms) if chroms else None
    genes = []
    for gene in annotation.genes:
        contig = genome.contig(gene.contig)
        if contig is None or (wanted and not wanted.find(gene.origin)):
            continue
        codes = genome.codes(contig, gene.chosen.start, gene.chosen.end)
        if (codes != UNKNOWN).mean() >= min_known:
            genes.append(training_gene(gene, codes))
    if not genes:
        raise DatasetError(
            f"no gene of {annotation.path} lies in known sequence of {genome.path}"
            f"{' on ' + ', '.join(sorted(chroms)) if chroms else ''}; do their contig names and "
            "builds agree?"
        )
    return genes


def merge_genes(sources: Iterable[Iterable[TrainingGene]]) -> list[TrainingGene]:
    """The genes of several sources; one that two hold (same name and chromosome) counts once, from
    the first."""
    merged: list[TrainingGene] = []
    for genes in sources:
        earlier = {(g.name, g.chrom) for g in merged}
        merged += [g for g in genes if (g.name, g.chrom) not in earlier]
    return merged


def training_gene(gene: Gene, codes: np.ndarray) -> TrainingGene:
    """A gene's chosen transcript, given the codes of [start, end) on the plus strand."""
    locus = Locus(gene.contig, gene.strand, gene.chosen.start, gene.chosen.end)
    acceptors, donors = (
        np.array(sorted(map(locus.offset, sites)), np.int64) for sites in gene.sites([gene.chosen])
    )
    return TrainingGene(
        name=gene.symbol,
        chrom=gene.origin,
        codes=codes if gene.strand == "+" else reverse_complement(codes),
        acceptors=acceptors,
        donors=donors,
        paralog=gene.paralog,
        locus=locus,
    )


def gt_ag_share(genes: Iterable[TrainingGene]) -> tuple[float, int]:
    """(share of introns with GT at the start and AG at the end, number of introns), unknown ones
    left out."""
    good = total = 0
    for gene in genes:
        codes = np.concatenate((gene.codes, [UNKNOWN] * 2))
        for donor, acceptor in zip(gene.donors, gene.acceptors):
            ends = [*codes[donor + 1 : donor + 3], *codes[acceptor - 2 : acceptor]]
            if UNKNOWN not in ends:
                total += 1
                good += ends == GT_AG
    return good / max(total, 1), total
