"""Whether an annotation and a FASTA are of one genome build, by what introns begin and end with."""

from __future__ import annotations

import numpy as np

from ..errors import WrongBuildError
from .genes import Annotation
from .genome import UNKNOWN, Genome, encode, reverse_complement

GT_AG = encode("GTAG").tolist()
SPLICED = GT_AG, encode("GCAG").tolist(), encode("ATAC").tolist()
CHECKED, MIN_CHECKED = 200, 5  # introns that are looked at, about; from how many on to refuse


def check_introns(genome: Genome, annotation: Annotation) -> str:
    """Of a sample of introns in known sequence half or more must be GT-AG, GC-AG or AT-AC.

    Raises WrongBuildError where they are not; of fewer than `MIN_CHECKED` introns, returns a
    warning for the user (else an empty text).
    """
    spliced = known = 0
    placed = [(g, contig) for g in annotation.genes if (contig := genome.contig(g.contig))]
    some = placed[:: max(len(placed) // CHECKED, 1)]
    genes = [(g, contig) for g, contig in some if len(g.chosen.exons) > 1]
    per_gene = -(-CHECKED // max(len(genes), 1))
    for gene, contig in genes:
        for (_, start), (end, _) in list(zip(gene.chosen.exons, gene.chosen.exons[1:]))[:per_gene]:
            ends = np.concatenate(
                (genome.codes(contig, start, start + 2), genome.codes(contig, end - 2, end))
            )
            if UNKNOWN not in ends:
                known += 1
                oriented = ends if gene.strand == "+" else reverse_complement(ends)
                spliced += oriented.tolist() in SPLICED
    if spliced >= known / 2:
        return ""
    seen = (
        f"{spliced} of {known} introns of annotation {annotation.path} begin and end in FASTA "
        f"{genome.path} as introns do (GT-AG, GC-AG or AT-AC)"
    )
    if known < MIN_CHECKED:
        return f"only {seen}: is the annotation of the FASTA's genome build?"
    raise WrongBuildError(
        f"only {seen}: most likely they are of different genome builds, or coordinates are off by "
        "one. Give the annotation of the FASTA's build, or go on with --allow-annotation-mismatch "
        "(in Python: allow_annotation_mismatch=True)"
    )
