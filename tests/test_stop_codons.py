"""Where the coding sequence ends, by the conventions of the files there are."""

import pytest

import samvar
from samvar.formats.annotation import load_annotation
from samvar.genomics import stop_codons
from samvar.genomics.genes import Annotation, Gene, Transcript
from samvar.genomics.genome import Genome
from samvar.genomics.hgvs import hgvs_c
from samvar.genomics.stop_codons import with_stop_codons
from samvar.genomics.transcript import TranscriptMap
from samvar.genomics.variant import normalise

from . import toy

LENGTH = 800
EXONS = ((100, 200), (300, 400), (500, 700))  # 0-based, in transcript orientation
START = 149  # 51 + 100 bases and what there is of exon 3 are coding
STRANDS = pytest.mark.parametrize("strand", "+-")
# columns of the coding part of the stop codon: whole in exon 3, or split by intron 2
STOPS = {"whole": [(559, 562)], "split": [(399, 400), (500, 502)]}
CONVENTIONS = ("ensembl gtf", "gencode gff3", "refseq gff3", "gtf with stop", "gtf without stop")


def bases(stop):
    """Codons GCC between ATG and TAA; nothing else in frame."""
    text = list("GCC" * (LENGTH // 3 + 1))[:LENGTH]
    text[START : START + 3] = "ATG"
    for place, base in zip((p for part in STOPS[stop] for p in range(*part)), "TAA"):
        text[place] = base
    return "".join(text)


def coding(stop):
    """Parts of the coding sequence without its stop codon."""
    end = STOPS[stop][0][0]
    parts = [(max(s, START), min(e, end)) for s, e in EXONS]
    return [(s, e) for s, e in parts if s < e]


def table(path, strand, convention, stop):
    """An annotation of one transcript."""
    with_stop = convention in ("gencode gff3", "refseq gff3", "gtf with stop")
    cds = list(coding(stop))
    if with_stop:
        for start, end in STOPS[stop]:
            if cds[-1][1] == start:
                cds[-1] = cds[-1][0], end
            else:
                cds.append((start, end))
    rows = [("exon", *e) for e in EXONS] + [("CDS", *c) for c in cds]
    if convention in ("ensembl gtf", "gencode gff3"):
        rows += [("stop_codon", *s) for s in STOPS[stop]]
    own = 'gene_id "G"; transcript_id "T";'
    lines = []
    if convention.endswith("gff3"):
        own = "Parent=rna-T"
        lines = [row(strand, "gene", 100, 700, "ID=gene-G"),
                 row(strand, "mRNA", 100, 700, "ID=rna-T;Parent=gene-G")]  # fmt: skip
    path.write_text("".join(lines + [row(strand, *r, own) for r in rows]))
    return str(path)


def row(strand, kind, start, end, text):
    if strand == "-":
        start, end = LENGTH - end, LENGTH - start
    phase = "0" if kind == "CDS" else "."
    return "\t".join(["c", "x", kind, str(start + 1), str(end), ".", strand, phase, text]) + "\n"


def fasta(path, strand, stop):
    return toy.fasta(path, c=bases(stop) if strand == "+" else toy.revcomp(bases(stop)))


@STRANDS
@pytest.mark.parametrize("stop", STOPS)
@pytest.mark.parametrize("convention", CONVENTIONS)
def test_the_first_base_behind_the_stop_codon(strand, stop, convention, tmp_path):
    genome = Genome(fasta(tmp_path / "g.fa", strand, stop))
    suffix = "gff3" if convention.endswith("gff3") else "gtf"
    annotation = load_annotation(table(tmp_path / f"a.{suffix}", strand, convention, stop))
    own = TranscriptMap.of(with_stop_codons(genome, annotation).genes[0])
    behind = STOPS[stop][-1][1]
    first = sum(min(e, behind) - max(s, START) for s, e in EXONS if s < behind)
    named = []
    for place in (behind, behind - 1):
        at = place if strand == "+" else LENGTH - 1 - place
        ref = genome.codes("c", at, at + 1)
        letter = "ACGT"[int(ref[0])]
        change = normalise(genome, "c", at + 1, letter, "T" if letter != "T" else "A")
        named.append(hgvs_c(own, change, genome).split(":")[1][:-3])
    assert named == ["c.*1", f"c.{first}"]


@pytest.mark.slow
@STRANDS
def test_the_library_reads_it_so(strand, tmp_path):
    genes = table(tmp_path / "a.gtf", strand, "gtf without stop", "whole")
    (tmp_path / "m").mkdir()
    with samvar.load(fasta(tmp_path / "g.fa", strand, "whole"), genes, toy.bundle(tmp_path / "m"),
                     allow_annotation_mismatch=True) as scorer:  # fmt: skip
        (gene,) = scorer.annotation.genes
    assert gene.chosen.cds_length == 51 + 100 + 59 + 3


@pytest.fixture
def genome(tmp_path):
    return Genome(fasta(tmp_path / "g.fa", "+", "whole"))


def annotated(*transcripts):
    return Annotation([Gene("G", "G", "c", "+", 100, 700, transcripts)], digest="d")


WHOLE = Transcript("A", EXONS, START, 559)


@pytest.mark.parametrize(
    "other",
    [
        Transcript("B", EXONS, START, 556),  # its end is missing: no stop codon behind
        Transcript("B", EXONS, START + 1, 559),  # no whole codons
        Transcript("B", EXONS, START, 700),  # to the end of the transcript
        Transcript("B", EXONS),
    ],
)
def test_only_what_a_stop_codon_follows_gets_it(genome, other):
    (gene,) = with_stop_codons(genome, annotated(WHOLE, other)).genes
    first, second = gene.transcripts
    assert first.cds_end == 562 and second == other


def test_the_phase_counts(genome):
    own = Transcript("B", EXONS, START + 1, 559, phase=2)
    (gene,) = with_stop_codons(genome, annotated(own)).genes
    assert gene.chosen.cds_end == 562


def test_an_annotation_that_has_them_stays_as_it_is(genome):
    has = Transcript("A", EXONS, START, 562)
    annotation = annotated(has, WHOLE)  # the chosen transcript tells
    assert with_stop_codons(genome, annotation) is annotation
    elsewhere = Annotation([Gene("G", "G", "other", "+", 100, 700, (WHOLE,))])
    assert with_stop_codons(genome, elsewhere) is elsewhere


def test_where_nothing_codes_few_genes_are_looked_at(genome, monkeypatch):
    monkeypatch.setattr(stop_codons, "SOUGHT", 3)
    looked = []

    class Told(tuple):
        def __getitem__(self, i):
            looked.append(self)
            return super().__getitem__(i)

    plain, coding = (Told([t]) for t in (Transcript("N", EXONS), WHOLE))
    genes = [Gene("G", "G", "c", "+", 100, 700, plain) for _ in range(9)]
    annotation = Annotation(genes, digest="d")
    assert with_stop_codons(genome, annotation) is annotation and len(looked) == 3
    genes[2] = Gene("G", "G", "c", "+", 100, 700, coding)
    assert with_stop_codons(genome, Annotation(genes)).genes[2].chosen.cds_end == 562
