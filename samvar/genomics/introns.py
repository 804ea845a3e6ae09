"""Whether an annotation and a FASTA are of one genome build, by what introns begin and end with."""

from __future__ import annotations

import numpy as np

from ..errors import WrongBuildError
from .genes import Annotation
from .genome import UNKNOWN, Genome, encode, reverse_complement

GT_AG = encode("GTAG").tolist()
SPLICED = GT_AG, encode("GCAG").tolist(), encode("ATAC").tolist()
CHECKED, MIN_CHECKED = 200, 5  # introns that are looked at, at most and at least


def check_introns(genome: Genome, annotation: Annotation) -> None:
    """Of a sample of introns in known sequence half or more must be GT-AG, GC-AG or AT-AC.

    Raises WrongBuildError where they are not.
    """
    spliced = known = 0
    placed = [(g, genome.contig(g.contig)) for g in annotation.genes if len(g.chosen.exons) > 1]
    genes = [(gene, contig) for gene, contig in placed if contig is not None]
    per_gene = -(-CHECKED // max(len(genes), 1))
    for gene, contig in genes[:: -(-len(genes) // CHECKED) or 1]:
        for (_, start), (end, _) in list(zip(gene.chosen.exons, gene.chosen.exons[1:]))[:per_gene]:
            ends = np.concatenate(
                (genome.codes(contig, start, start + 2), genome.codes(contig, end - 2, end))
            )
            if UNKNOWN not in ends:
                known += 1
                oriented = ends if gene.strand == "+" else reverse_complement(ends)
                spliced += oriented.tolist() in SPLICED
    if known >= MIN_CHECKED and spliced < known / 2:
        raise WrongBuildError(
            f"only {spliced} of {known} introns of annotation {annotation.path} begin and end in "
            f"FASTA {genome.path} as introns do (GT-AG, GC-AG or AT-AC): most likely they are of "
            "different genome builds, or coordinates are off by one. Give the annotation of the "
            "FASTA's build, or go on with --allow-annotation-mismatch (in Python: "
            "allow_annotation_mismatch=True)"
        )
