"""Whether an annotation and a FASTA are of one genome build, by where contigs end and what introns
begin and end with."""

from __future__ import annotations

import numpy as np

from ..errors import WrongBuildError
from .genes import Annotation, Gene
from .genome import UNKNOWN, Genome, encode, reverse_complement

GT_AG = encode("GTAG").tolist()
SPLICED = GT_AG, encode("GCAG").tolist(), encode("ATAC").tolist()
CHECKED, MIN_CHECKED = 200, 5  # introns that are looked at, about; from how many on to refuse
_WAY_OUT = (
    "Give the annotation of the FASTA's build, or go on with --allow-annotation-mismatch (in "
    "Python: allow_annotation_mismatch=True)"
)
Placed = list[tuple[Gene, str]]  # genes on contigs of the FASTA, and its name of the contig


def check_introns(genome: Genome, annotation: Annotation) -> str:
    """Of a sample of the introns of genes on contigs of the FASTA, in known sequence, half or more
    must be GT-AG, GC-AG or AT-AC. Genes should not have exons beyond their contig's end.

    Raises WrongBuildError where the introns are not; of fewer than `MIN_CHECKED` introns, and of
    such genes, returns a warning for the user (else an empty text).
    """
    placed = [(g, contig) for g in annotation.genes if (contig := genome.contig(g.contig))]
    seen = f"annotation {annotation.path}", f"FASTA {genome.path}"
    doubts = _wrong_introns(*_introns(genome, placed), *seen), _wrong_ends(genome, placed, *seen)
    return "; ".join(filter(None, doubts))


def _introns(genome: Genome, placed: Placed) -> tuple[int, int]:
    """Of a sample in known sequence: how many begin and end as introns do, and all."""
    spliced = known = 0
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
    return spliced, known


def _wrong_introns(spliced: int, known: int, annotation: str, fasta: str) -> str:
    if spliced >= known / 2:
        return ""
    seen = (
        f"{spliced} of {known} introns of {annotation} begin and end in {fasta} "
        f"as introns do (GT-AG, GC-AG or AT-AC)"
    )
    if known < MIN_CHECKED:
        return f"only {seen}: is the annotation of the FASTA's genome build?"
    raise WrongBuildError(
        f"only {seen}: most likely they are of different genome builds, or coordinates are off by "
        f"one. {_WAY_OUT}"
    )


def _wrong_ends(genome: Genome, placed: Placed, annotation: str, fasta: str) -> str:
    ends = genome.lengths
    beyond = [
        g.id for g, contig in placed if g.end > ends[contig] and not genome.is_circular(contig)
    ]
    if not beyond:
        return ""
    likely = 2 * len(beyond) > len(placed)
    return (
        f"{len(beyond)} of {len(placed)} genes of {annotation} have exons beyond the end of their "
        f"contig in {fasta} ({', '.join(beyond[:3])}{', ...' * (len(beyond) > 3)}): "
        + (
            "the FASTA is a part of the genome, or the annotation of another build"
            if likely
            else "is the annotation of the FASTA's genome build?"
        )
    )
