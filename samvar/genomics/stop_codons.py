"""Coding sequences with their stop codon, as samvar has them, where an annotation leaves it out.

GTF of Ensembl and GENCODE has the stop codon in rows of its own, GFF3 has it in the CDS. Other
files leave it out and say so nowhere: the sequence shows it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from itertools import islice

from .genes import Annotation, Gene, Transcript
from .genome import Genome, decode, reverse_complement
from .transcript import TranscriptMap, TranscriptPlace

STOPS = frozenset(("TAA", "TAG", "TGA"))
CHECKED = 200  # coding transcripts that are looked at
SOUGHT = 2000  # genes from all over the file, of which none codes where there is no coding sequence


def with_stop_codons(genome: Genome, annotation: Annotation) -> Annotation:
    """The same annotation where its coding sequences mostly end with a stop codon; where they are
    mostly followed by one, each that is gets it."""
    known = [g for g in annotation.genes if genome.contig(g.contig)]
    every = -(-len(known) // CHECKED) or 1
    spread = [g for first in range(every) for g in known[first::every]]
    if not any(g.chosen.coding for g in spread[:SOUGHT]):
        return annotation
    ends = followed = 0
    for gene in islice((g for g in spread if g.chosen.coding), CHECKED):
        own = TranscriptMap.of(gene)
        ends += _codon(genome, own, -3) in STOPS
        followed += _lacks_stop(genome, own)
    if followed <= ends:
        return annotation
    genes = [_mended(genome, g) if genome.contig(g.contig) else g for g in annotation.genes]
    return Annotation(genes, annotation.path, annotation.digest, annotation.notes)


def _mended(genome: Genome, gene: Gene) -> Gene:
    return replace(gene, transcripts=tuple(_each(genome, gene)))


def _each(genome: Genome, gene: Gene) -> Iterator[Transcript]:
    for transcript in gene.transcripts:
        own = TranscriptMap.of(gene, transcript)
        if own.cds and _lacks_stop(genome, own):
            last = own.position(TranscriptPlace(own.cds[1] + 2))
            start, end = min(transcript.cds_start, last), max(transcript.cds_end, last + 1)
            transcript = replace(transcript, cds_start=start, cds_end=end)
        yield transcript


def _lacks_stop(genome: Genome, own: TranscriptMap) -> bool:
    """Whether whole codons are followed by the stop codon that they do not end with."""
    whole = (own.transcript.cds_length - own.transcript.phase) % 3 == 0
    return whole and _codon(genome, own, -3) not in STOPS and _codon(genome, own, 0) in STOPS


def _codon(genome: Genome, own: TranscriptMap, offset: int) -> str:
    """Three bases of the spliced transcript, counted from the end of its coding sequence; "" where
    it ends before."""
    contig = genome.contig(own.contig)
    if contig is None or own.cds is None:
        return ""
    first = own.cds[1] + offset
    if not 0 <= first <= own.length - 3:
        return ""
    bases = ""
    for base in range(first, first + 3):
        at = own.position(TranscriptPlace(base))
        code = genome.codes(contig, at, at + 1)
        bases += decode(code if own.strand == "+" else reverse_complement(code))
    return bases
