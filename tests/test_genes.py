import gzip
import hashlib
import os
import pickle
import threading

import pytest

from samvar.errors import AnnotationError
from samvar.formats import gene_cache
from samvar.formats.annotation import load_annotation
from samvar.genomics.genes import Rank, Transcript

from . import toy


def write(tmp_path, text, name="a.txt"):
    path = tmp_path / name
    path.write_bytes(gzip.compress(text.encode()) if name.endswith("gz") else text.encode())
    return str(path)


GTF = """#!genome-build test
1\tx\tgene\t11\t60\t.\t-\t.\tgene_id "G1"; gene_name "ONE";
1\tx\ttranscript\t11\t60\t.\t-\t.\tgene_id "G1"; transcript_id "T1"; tag "basic"; \
tag "Ensembl_canonical";
1\tx\texon\t41\t60\t.\t-\t.\tgene_id "G1"; transcript_id "T1"; gene_name "ONE";
1\tx\texon\t11\t20\t.\t-\t.\tgene_id "G1"; transcript_id "T1"; gene_name "ONE";
1\tx\ttranscript\t11\t90\t.\t-\t.\tgene_id "G1"; transcript_id "T2"; gene_name "ONE";
1\tx\texon\t11\t90\t.\t-\t.\tgene_id "G1"; transcript_id "T2"; gene_name "ONE";
1\tx\texon\t501\t590\t.\t-\t.\tgene_id "G1"; transcript_id "T3"; gene_name "ONE";
"""


@pytest.mark.parametrize("name", ["a.gtf", "a.gtf.gz"])
def test_gtf(tmp_path, name):
    annotation = load_annotation(write(tmp_path, GTF, name))
    near, far = annotation.genes  # one id, two loci that do not overlap
    assert (near.id, near.symbol, near.contig, near.strand, near.start, near.end) == (
        "G1",
        "ONE",
        "1",
        "-",
        10,
        90,
    )
    assert near.chosen.id == "T1"  # canonical before longest
    assert near.chosen.exons == ((10, 20), (40, 60))
    assert near.sites() == ({19}, {40})  # minus strand: the acceptor is the left exon's last base
    assert (far.start, far.end, far.chosen.id) == (500, 590, "T3")


def test_gtf_transcript_ids_that_several_genes_have(tmp_path):
    """As in RefSeq; an empty id stands for the gene's only transcript."""
    row = '1\tx\texon\t{}\t{}\t.\t+\t.\tgene_id "{}"; transcript_id "{}";\n'
    text = "".join(
        row.format(s, s + 9, gene, t)
        for s, gene, t in (
            (11, "A", "unknown_transcript_1"),
            (31, "A", "unknown_transcript_1"),
            (101, "B", "unknown_transcript_1"),
            (201, "C", ""),
            (221, "C", ""),
            (301, "D", ""),
            (401, "", ""),
        )
    )
    genes = load_annotation(write(tmp_path, text)).genes
    assert [(g.id, g.start, g.end, g.chosen.id) for g in genes] == [
        ("A", 10, 40, "unknown_transcript_1"),
        ("B", 100, 110, "unknown_transcript_1"),
        ("C", 200, 230, "C"),
        ("D", 300, 310, "D"),
    ]


def test_gtf_of_augustus_with_bare_ids_of_genes_and_transcripts(tmp_path):
    text = (
        "1\tAUGUSTUS\tgene\t11\t60\t.\t+\t.\tg1\n1\tAUGUSTUS\ttranscript\t11\t60\t.\t+\t.\tg1.t1\n"
        '1\tAUGUSTUS\texon\t11\t20\t.\t+\t.\ttranscript_id "g1.t1"; gene_id "g1";\n'
        '1\tAUGUSTUS\texon\t41\t60\t.\t+\t.\ttranscript_id "g1.t1"; gene_id "g1";\n'
    )
    (gene,) = load_annotation(write(tmp_path, text)).genes
    assert (gene.id, gene.chosen.id, gene.sites()) == ("g1", "g1.t1", ({40}, {19}))


@pytest.mark.parametrize("bare", ['exon_id "E1";', 'note "Parent=x; y";', ""])
@pytest.mark.parametrize("at", range(4))
def test_an_exon_without_ids_may_stand_anywhere(tmp_path, bare, at):
    """Also first, where the format is not plain yet."""
    for ids in (T1, "ID=E;Parent=G"):
        rows = gtf_rows("exon", CHAIN, ids)
        annotation = found(tmp_path, [*rows[:at], *gtf_rows("exon", [(1, 9)], bare), *rows[at:]])
        assert places(annotation) == [("G", list(CHAIN))]
        assert annotation.notes == ("1 exons without a gene or transcript are left out (1:1-9)",)


def test_gff3_of_ncbi_style_with_tags_and_escapes(tmp_path):
    text = (
        "##gff-version 3\n"
        "chr1\tx\tgene\t11\t60\t.\t+\t.\tID=gene-A%2CB;Name=A%2CB;gene=A%2CB\n"
        "chr1\tx\tmRNA\t11\t60\t.\t+\t.\tID=rna-N1;Parent=gene-A%2CB;transcript_id=N1.1;tag=MANE "
        "Select\n"
        "chr1\tx\texon\t11\t20\t.\t+\t.\tID=e1;Parent=rna-N1\n"
        "chr1\tx\texon\t41\t60\t.\t+\t.\tID=e2;Parent=rna-N1\n"
        "chr1\tx\tCDS\t15\t20\t.\t+\t0\tID=c1;Parent=rna-N1\n"
    )
    (gene,) = load_annotation(write(tmp_path, text)).genes
    assert (gene.id, gene.symbol, gene.chosen.id, gene.chosen.rank, gene.chosen.cds_length) == (
        "A,B",
        "A,B",
        "N1.1",
        Rank.MANE_SELECT,
        6,
    )
    assert gene.sites() == ({40}, {19})


def test_gff3_contigs_have_escapes(tmp_path):
    """GFF3: letters that a column may not hold are percent-encoded, in column 1 as elsewhere."""
    rows = gtf_rows("gene", [(401, 2188)], "ID=G;Name=x%3By", "a%2Cb%25")
    rows += gtf_rows("mRNA", [(401, 2188)], "ID=T%2C1;Parent=G", "a%2Cb%25")
    rows += gtf_rows("exon", CHAIN[:2], "Parent=T%2C1", "a%2Cb%25")
    rows += gtf_rows("exon", CHAIN[2:], "Parent=T%2c1", "a,b%25")
    (gene,) = found(tmp_path, rows).genes
    assert (gene.contig, gene.symbol, gene.chosen.id) == ("a,b%", "x;y", "T,1")
    assert places(found(tmp_path, rows)) == [("G", list(CHAIN))]
    gtf = gtf_rows("exon", CHAIN, T1, "a%2Cb")  # GTF has none
    assert found(tmp_path, gtf).genes[0].contig == "a%2Cb"


def test_gff3_exon_with_two_parents_before_their_transcript(tmp_path):
    text = (
        "1\tx\texon\t11\t20\t.\t+\t.\tParent=T1,T2\n"
        "1\tx\tmRNA\t11\t20\t.\t+\t.\tID=T1;Parent=G\n"
        "1\tx\tmRNA\t11\t20\t.\t+\t.\tID=T2;Parent=G\n"
        "1\tx\tgene\t11\t20\t.\t+\t.\tID=G;Name=sym\n"
    )
    (gene,) = load_annotation(write(tmp_path, text)).genes
    assert {t.id for t in gene.transcripts} == {"T1", "T2"} and gene.symbol == "sym"


def test_lines_of_one_gene_in_spliceais_table_are_one_gene(tmp_path):
    table = "#NAME\tCHROM\tSTRAND\tTX_START\tTX_END\tEXON_START\tEXON_END\n"
    table += "A\t1\t+\t10\t90\t10,70,\t20,90,\nA\t1\t+\t10\t60\t10,40,\t20,60,\n"
    table += "A\t1\t+\t500\t560\t500,\t560,\n"
    near, far = load_annotation(write(tmp_path, table)).genes
    assert (near.start, near.end, len(near.transcripts), far.start) == (10, 90, 2, 500)
    assert near.sites() == ({40, 70}, {19})


@pytest.mark.parametrize(
    "better, worse",
    [
        (
            Transcript("z", ((0, 9),), rank=Rank.MANE_SELECT),
            Transcript("a", ((0, 99),), 0, 90, rank=Rank.MANE_CLINICAL),
        ),
        (
            Transcript("z", ((0, 9),), rank=Rank.MANE_CLINICAL),
            Transcript("a", ((0, 99),), 0, 90, rank=Rank.CANONICAL),
        ),
        (
            Transcript("z", ((0, 9),), rank=Rank.CANONICAL),
            Transcript("a", ((0, 99),), 0, 90),
        ),
        (Transcript("z", ((0, 9),), 0, 9), Transcript("a", ((0, 99),), 0, 3)),  # longest coding
        (Transcript("z", ((0, 99),)), Transcript("a", ((0, 9), (50, 90)))),  # longest spliced
        (Transcript("a", ((0, 9),)), Transcript("z", ((0, 9),))),
    ],
)  # smallest id
def test_the_chosen_transcript(better, worse):
    assert min((worse, better), key=Transcript.preference) is better


def test_bed12_spliceai_and_canonical_agree(tmp_path):
    bed = "chr1\t10\t60\tN1\t0\t+\t10\t60\t0\t2\t10,20,\t0,30,\tSYM\n"
    spliceai = "#NAME\tCHROM\tSTRAND\tTX_START\tTX_END\tEXON_START\tEXON_END\n"
    spliceai += "SYM\t1\t+\t10\t60\t10,40,\t20,60,\n"
    canonical = (
        "gene\thas_paralog\tchrom\tstrand\ttx_start1\ttx_end1\texon_ends1\texon_starts1\n"
        "SYM\t1\tchr1\t+\t11\t60\t20,\t41,\n"
    )
    genes = [load_annotation(write(tmp_path, t)).genes[0] for t in (bed, spliceai, canonical)]
    for gene in genes:
        assert gene.symbol == "SYM" and gene.chosen.exons == ((10, 20), (40, 60))
        assert gene.sites() == ({40}, {19})
    assert [g.paralog for g in genes] == [None, None, True]
    assert genes[2].origin == "chr1"


@pytest.mark.parametrize("thick", [".\t.", "10\t.", ".\t60", "10\t10"])
def test_bed12_without_thick_part_is_not_coding(tmp_path, thick):
    text = f"chr1\t10\t60\tN1\t0\t+\t{thick}\t0\t2\t10,20,\t0,30,\tSYM\n"
    (gene,) = load_annotation(write(tmp_path, text)).genes
    assert gene.chosen.exons == ((10, 20), (40, 60)) and not gene.chosen.coding


@pytest.mark.parametrize(
    "ids",
    [
        "gene_id 'G'; transcript_id 'T';",
        "gene_id \"G\"; transcript_id 'T';",
        'gene_id "G" transcript_id "T"',
        'gene_id "G"; transcript_id "T" exon_number 2;',
        'gene_id "G; transcript_id "T";',
    ],
)
def test_gtf_ids_not_in_double_quotes_before_a_semicolon_are_refused(tmp_path, ids):
    with pytest.raises(AnnotationError, match="line 1: (gene|transcript)_id is not in double"):
        found(tmp_path, gtf_rows("exon", CHAIN, ids))
    with pytest.raises(AnnotationError, match="line 4: "):
        found(tmp_path, gtf_rows("exon", CHAIN, T1) + gtf_rows("exon", CHAIN, ids))


def test_overlap_by_interval_and_alias(tmp_path):
    annotation = load_annotation(write(tmp_path, GTF))
    hits = lambda *where: [g.start for g in annotation.overlapping(*where)]  # noqa: E731
    assert hits("chr1", 89, 90) == [10] and hits("1", 90, 91) == []
    assert hits("1", 9, 10) == [] and hits("1", 5, 11) == [10]
    assert (
        hits("1", 10, 10) == [] and hits("1", 11, 11) == [10] and hits("1", 90, 90) == []
    )  # insertions
    assert hits("2", 10, 20) == []
    assert hits("1", 0, 10_000_000) == [10, 500]


def test_gff3_features_belong_to_their_topmost_parent_and_orphans_to_the_named_one(tmp_path):
    text = (
        "1\tx\tgene\t11\t90\t.\t+\t.\tID=gene-MIR1;gene=MIR1\n"
        "1\tx\tprimary_transcript\t11\t90\t.\t+\t.\tID=rna-P;Parent=gene-MIR1\n"
        "1\tx\texon\t11\t90\t.\t+\t.\tID=e1;Parent=rna-P\n"
        "1\tx\tmiRNA\t31\t50\t.\t+\t.\tID=rna-M;Parent=rna-P\n"
        "\n"
        "1\tx\texon\t31\t50\t.\t+\t.\tID=e2;Parent=rna-M\n"
        "1\tx\tmRNA\t201\t300\t.\t+\t.\tID=transcript:T1;Parent=gene:G1\n"
        "1\tx\texon\t201\t300\t.\t+\t.\tParent=transcript:T1\n"
        "1\tx\tmRNA\t201\t250\t.\t+\t.\tID=transcript:T2;Parent=gene:G1\n"
        "1\tx\texon\t201\t250\t.\t+\t.\tParent=transcript:T2\n"
    )
    genes = load_annotation(write(tmp_path, text)).genes
    assert [(g.id, g.symbol, len(g.transcripts)) for g in genes] == [
        ("MIR1", "MIR1", 2),
        ("G1", "G1", 2),
    ]


def test_a_gene_of_unknown_strand_is_left_out(tmp_path):
    rows = [f"chr1\t10\t60\tN{s}\t0\t{s}\t10\t60\t0\t1\t50,\t0,\tS{s}\n" for s in "+."]
    assert [
        g.symbol for g in load_annotation(write(tmp_path, "track name=x\n" + "".join(rows))).genes
    ] == ["S+"]


@pytest.mark.parametrize(
    "text", ["", "hello\n", ">chr1\nACGT\n", '1\tx\tgene\t1\t9\t.\t+\t.\tgene_id "G";\n']
)
def test_what_is_no_annotation_is_refused(tmp_path, text):
    with pytest.raises(AnnotationError):
        load_annotation(write(tmp_path, text))


TABLE = "#NAME\tCHROM\tSTRAND\tTX_START\tTX_END\tEXON_START\tEXON_END\nA\t1\t+\t10\t90\t10,70,\t"
CANONICAL = (
    "gene\thas_paralog\tchrom\tstrand\ttx_start1\ttx_end1\texon_ends1\texon_starts1\n"
    "A\t1\t1\t+\t11\t90\t"
)


@pytest.mark.parametrize(
    "text, why",
    [
        (TABLE + "20,\n", "2 starts and 1 ends of exons"),
        (TABLE + "20,60,\n", "ends before it starts"),
        (CANONICAL + "20,\t\n", "1 starts and 2 ends of exons"),
        (CANONICAL + "20,\t95,\n", "ends before it starts"),
        ("1\t10\t60\tA\t0\t+\t10\t60\t0\t2\t10,\t0,30,\n", "not blockCount"),
        ("1\t10\t60\tA\t0\t+\t10\t60\t0\t2\t10,20,30,\t0,30,60\n", "not blockCount"),
        ("1\t10\t60\tA\t0\t+\t10\t60\t0\t2\t10,-5,\t0,30,\n", "no whole number"),
        ("1\t10\t61\tA\t0\t+\t10\t60\t0\t2\t10,20,\t0,30,\n", "line 1: blocks from 10 to 60"),
        ("1\t10\t60\tA\t0\t+\t10\t60\t0\t2\t10,20,\t10,40,\n", "blocks from 20 to 70"),
        ("1\t10\t60\tA\t0\t+\t10\t60\t0\t1\t40,\t10,\n", "blocks from 20 to 60"),
        ('1\tA\texon\t60\t41\t.\t+\t.\tgene_id "A"; transcript_id "T";\n', "ends before it starts"),
        ("1\tA\texon\t60\t41\t.\t+\t.\tParent=A\n", "ends before it starts"),
    ],
)
def test_exons_that_are_not_whole_are_refused_by_their_line(tmp_path, text, why):
    with pytest.raises(AnnotationError, match=f"{why}.*: .*A.t"):
        load_annotation(write(tmp_path, text))


def test_missing_and_truncated_files_are_named(tmp_path):
    with pytest.raises(AnnotationError, match="not found"):
        load_annotation(str(tmp_path / "none"))
    path = tmp_path / "cut.gtf.gz"
    path.write_bytes(gzip.compress(GTF.encode())[:-20])
    with pytest.raises(AnnotationError, match="cannot read"):
        load_annotation(str(path))


@pytest.mark.slow
@pytest.mark.parametrize(
    "name, genes",
    [
        ("annotation/mane.chr22.hg38.gff3.gz", 423),
        ("annotation/canonical.hg19.tsv.gz", 18677),
        ("species/a_thaliana_1pct/1pct.gff3.gz", 387),
        ("species/d_melanogaster_1pct/1pct.gff3.gz", 126),
    ],
)
def test_real_annotations(shared, name, genes):
    annotation = load_annotation(shared(name))
    assert len(annotation.genes) == genes
    for g in annotation.genes:
        assert g.start <= g.chosen.start < g.chosen.end <= g.end
        assert all(s < e for s, e in g.chosen.exons)


@pytest.fixture
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr("samvar.formats.annotation.CACHED_FROM", 0)
    return tmp_path / "cache" / "samvar"


def test_kept_names_may_hold_anything(tmp_path, cache):
    path = tmp_path / "a.gff3"
    path.write_text(
        "c\t.\tgene\t1\t90\t.\t+\t.\tID=g;Name=A%0AB%09\n"
        "c\t.\tmRNA\t1\t90\t.\t+\t.\tID=t;Parent=g\n"
        "c\t.\texon\t1\t90\t.\t+\t.\tParent=t\n"
    )
    for _ in range(2):
        (gene,) = load_annotation(str(path), cache=True).genes
        assert gene.symbol == "A\nB\t"


def test_a_protein_is_no_gene_of_its_own(tmp_path):
    """As TAIR has it: CDS rows name the transcript, and the protein that derives from it."""
    rows = [
        "c\tx\tgene\t1\t300\t.\t+\t.\tID=G;Name=G\n",
        "c\tx\tmRNA\t1\t300\t.\t+\t.\tID=G.1;Parent=G;Name=G.1\n",
        "c\tx\tprotein\t50\t250\t.\t+\t.\tID=G.1-Protein;Name=G.1;Derives_from=G.1\n",
    ]
    for start, end, low, high in ((1, 100, 50, 100), (201, 300, 201, 250)):
        rows.append(f"c\tx\texon\t{start}\t{end}\t.\t+\t.\tParent=G.1\n")
        rows.append(f"c\tx\tCDS\t{low}\t{high}\t.\t+\t0\tParent=G.1,G.1-Protein;\n")
    path = tmp_path / "a.gff3"
    for text in (rows, rows[::-1]):
        path.write_text("".join(text))
        annotation = load_annotation(str(path))
        (gene,) = annotation.genes
        (transcript,) = gene.transcripts
        assert (gene.id, transcript.id, annotation.notes) == ("G", "G.1", ())
        assert list(transcript.exons) == [(0, 100), (200, 300)]
        assert (transcript.cds_start, transcript.cds_end) == (49, 250)


def test_a_line_that_is_no_gff_is_shown(tmp_path):
    path = tmp_path / "a.gff3"
    good = "c\t.\tmRNA\t1\t90\t.\t+\t.\tID=t\nc\t.\texon\t1\t90\t.\t+\t.\tParent=t\n"
    path.write_text(good + "c\t.\tregion\t.\t.\t.\t+\t.\tID=r\n")  # only exons need a place
    assert len(load_annotation(str(path)).genes) == 1
    path.write_text(good + ">c\nACGT\n")  # sequence without a ##FASTA line
    assert len(load_annotation(str(path)).genes) == 1
    path.write_text(good + "something else\n")
    with pytest.raises(AnnotationError, match="nine columns of GTF or GFF3: 'something else'"):
        load_annotation(str(path))


def test_parsed_genes_are_kept_by_content(tmp_path, cache):
    path = tmp_path / "a.tsv"
    path.write_text(
        "gene\thas_paralog\tchrom\tstrand\ttx_start1\ttx_end1\texon_ends1\texon_starts1\n"
        "A\t1\tchr1\t+\t11\t90\t20,40,\t31,61,\nB\t0\tchr2\t-\t5\t9\t\t\n"
    )
    parsed = load_annotation(str(path))
    assert not cache.exists()
    assert load_annotation(str(path), cache=True).genes == parsed.genes
    (kept,) = cache.iterdir()
    kept_again = load_annotation(str(path), cache=True)
    assert kept_again.genes == parsed.genes and kept_again.digest == parsed.digest
    assert kept_again.genes[0].chosen.exons == ((10, 20), (30, 40), (60, 90))
    path.write_text(path.read_text().replace("A\t1", "C\t1"))
    assert load_annotation(str(path), cache=True).genes[0].symbol == "C"
    assert len(list(cache.iterdir())) == 2


def test_a_damaged_or_unwritable_cache_does_no_harm(tmp_path, cache, monkeypatch):
    path = toy.gtf(tmp_path / "g.gtf", ("G", "c", "+", [(1, 5), (9, 12)]))
    genes = load_annotation(path, cache=True).genes
    (kept,) = cache.iterdir()
    for damage in (b"", kept.read_bytes()[:100], b"PK\x03\x04" + bytes(200)):
        kept.write_bytes(damage)
        assert load_annotation(path, cache=True).genes == genes
    assert len(list(cache.iterdir())) == 1
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    assert load_annotation(path, cache=True).genes == genes


def test_genes_of_chosen_transcripts_are_no_longer_than_these(tmp_path):
    path = tmp_path / "g.gtf"
    path.write_text(
        "".join(
            f'c\tx\texon\t{s}\t{e}\t.\t+\t.\tgene_id "G"; transcript_id "{t}";\n'
            for t, s, e in (
                ("long", 101, 200),
                ("long", 301, 400),
                ("wide", 50, 90),
                ("wide", 350, 390),
            )
        )
    )
    whole = load_annotation(str(path))
    (gene,) = whole.of_chosen_transcripts().genes
    assert (whole.genes[0].start, whole.genes[0].end, gene.start, gene.end) == (49, 400, 100, 400)
    assert gene.sites() == whole.genes[0].sites()


# ------------------------------------------------------------------ what real files leave out


CHAIN = (401, 540), (1182, 1303), (1960, 2188)
COPY = (4745, 4884), (6087, 6208), (6865, 7093)  # the same lengths
DIVERGED = (4745, 4890), (6087, 6208), (6865, 7080)  # nearly so


def gtf_rows(kind, intervals, ids, contig="1", strand="+"):
    return [f"{contig}\tx\t{kind}\t{s}\t{e}\t.\t{strand}\t.\t{ids}\n" for s, e in intervals]


def found(tmp_path, rows, name="a.txt"):
    return load_annotation(write(tmp_path, "".join(rows), name))


def places(annotation):
    return [(g.id, [(s + 1, e) for s, e in g.chosen.exons]) for g in annotation.genes]


T1 = 'gene_id "G"; transcript_id "T";'


@pytest.mark.parametrize("strand", "+-")
@pytest.mark.parametrize(
    "rows, copies",
    [
        (gtf_rows("exon", CHAIN + COPY, T1), 2),
        (gtf_rows("CDS", CHAIN + COPY, T1), 2),
        (gtf_rows("exon", CHAIN + DIVERGED, T1), 2),
        (gtf_rows("exon", CHAIN + DIVERGED[:2], T1), 1),
        (gtf_rows("exon", [(401, 540), (1182, 1303), (4745, 4890), (6087, 6208)], T1), 1),
        (gtf_rows("exon", [(i, i + 53 + i % 5) for i in range(1, 999, 202)], T1), 1),
        (
            gtf_rows("transcript", [(401, 2188), (2189, 7093)], T1)
            + gtf_rows("exon", (*CHAIN, (2189, 2300), (6865, 7093)), T1),
            2,
        ),
        (
            gtf_rows("gene", [(401, 2188), (2189, 7093)], 'gene_id "G";')
            + gtf_rows("exon", (*CHAIN, (2189, 2300), (6865, 7093)), T1),
            2,
        ),
        (
            gtf_rows("transcript", [(401, 2188), (401, 2188)], T1) + gtf_rows("exon", CHAIN, T1),
            1,
        ),
        (gtf_rows("transcript", [(401, 7093)], T1) + gtf_rows("exon", CHAIN + COPY, T1), 1),
        (gtf_rows("gene", [(401, 7093)], 'gene_id "G";') + gtf_rows("exon", CHAIN + COPY, T1), 1),
        (
            gtf_rows("transcript", [(401, 2188), (4745, 9000)], T1)
            + gtf_rows("exon", CHAIN + COPY + ((8000, 9000),), T1),
            2,
        ),
        (
            gtf_rows("gene", [(401, 2188), (4745, 7093)], 'gene_id "G";')
            + gtf_rows("exon", CHAIN + COPY[:2], T1),
            2,
        ),
        (gtf_rows("exon", CHAIN + ((3_000_001, 3_000_100),), T1), 2),
        (gtf_rows("exon", CHAIN + ((1_200_001, 1_200_100),), T1), 1),
        (gtf_rows("exon", [(i, i + 53) for i in range(1, 999, 200)], T1), 1),  # as collagen
        (gtf_rows("exon", CHAIN + CHAIN, T1), 1),  # said twice
    ],
)
def test_a_transcript_id_at_several_places_is_several_transcripts(tmp_path, rows, copies, strand):
    rows = [r.replace("\t+\t", f"\t{strand}\t") for r in rows]
    gff3 = [r.replace(T1, "Parent=T").replace('gene_id "G";', "ID=T") for r in rows]
    gff3 = [r.replace("Parent", "ID") if "\ttranscript\t" in r else r for r in gff3]
    for text in (rows, rows[::-1], gff3, gff3[::-1]):
        annotation = found(tmp_path, text)
        assert len(annotation.genes) == copies
        assert len(annotation.notes) == (copies > 1)
        if copies > 1:
            assert annotation.notes[0].startswith("1 ids of transcripts stand at several places")
            assert places(annotation)[0][1] == list(CHAIN)


@pytest.mark.parametrize(
    "exons, numbers, copies",
    [
        (CHAIN + COPY[:2], (1, 2, 3, 1, 2), 2),
        (CHAIN + COPY[:2], (3, 2, 1, 2, 1), 2),  # as most files number the minus strand
        (CHAIN[:2] + COPY, (2, 1, 3, 2, 1), 2),
        (CHAIN[:1] + COPY[:2], (1, 1, 2), 2),
        (CHAIN + COPY[:2], (1, 2, 3, 4, 5), 1),
        (CHAIN + COPY[:2], (1, 1, 1, 1, 1), 1),  # a number that says nothing
        (CHAIN + COPY[:2], (1, 2, 3, 2, 0), 1),
        (CHAIN + CHAIN, (1, 2, 3, 1, 2, 3), 1),  # said twice
    ],
)
def test_numbers_of_exons_that_start_again_are_copies(tmp_path, exons, numbers, copies):
    gtf = [
        gtf_rows("exon", [exon], f'{T1} exon_number "{n}";' if n else T1)[0]
        for exon, n in zip(exons, numbers)
    ]
    gff3 = [r.replace(T1, "Parent=T;").replace(' exon_number "', "exon_number=") for r in gtf]
    spanned = gtf_rows("transcript", [(401, 7093)], T1)
    for text in (gtf, gtf[::-1], gff3, gff3[::-1]):
        annotation = found(tmp_path, text)
        assert [len(g.chosen.exons) for g in annotation.genes] == (
            [len(set(exons))]
            if copies == 1
            else [len(set(exons) - set(COPY)), len(set(exons) - set(CHAIN))]
        )
        assert len(annotation.notes) == (copies > 1)
    assert len(found(tmp_path, gtf + spanned).genes) == 1


NESTED = (600, 650), (1000, 1100)  # in CHAIN's first intron


@pytest.mark.parametrize("strand", "+-")
def test_copies_whose_rows_overlap_are_parted_or_told(tmp_path, strand):
    def gtf(intervals):
        span = [(intervals[0][0], intervals[-1][1])]
        rows = gtf_rows("transcript", span, T1, strand=strand)
        rows += gtf_rows("exon", intervals[:: 1 if strand == "+" else -1], T1, strand=strand)
        return rows + gtf_rows("CDS", intervals[1:2], T1, strand=strand)

    def gff3(rows):
        return [r.replace(T1, "ID=T" if "\ttranscript\t" in r else "Parent=T") for r in rows]

    for rows in (gtf(CHAIN) + gtf(NESTED), gtf(NESTED) + gtf(CHAIN)):
        for text in (rows, gff3(rows)):
            annotation = found(tmp_path, text)
            (gene,) = annotation.genes
            parts = {tuple((s + 1, e) for s, e in t.exons): t.cds for t in gene.transcripts}
            assert parts == {CHAIN: [(1181, 1303)], NESTED: [(999, 1100)]}
            assert len(annotation.notes) == 1 and "at several places" in annotation.notes[0]
        for text in (sorted(rows), gff3(sorted(rows))):
            annotation = found(tmp_path, text)
            assert places(annotation)[0][1] == sorted(CHAIN + NESTED)
            assert annotation.notes == (
                "1 ids of transcripts have rows at places that overlap; they are joined: copies? "
                "(T)",
            )


@pytest.mark.parametrize("ids", [T1, "Parent=T"])
def test_exons_of_one_id_on_both_strands_are_told(tmp_path, ids):
    rows = gtf_rows("exon", CHAIN, ids)
    rows[1] = rows[1].replace("\t+\t", "\t-\t")
    annotation = found(tmp_path, rows)
    assert [(g.strand, len(g.chosen.exons)) for g in annotation.genes] == [("+", 2), ("-", 1)]
    assert annotation.notes == (
        "1 ids of transcripts have exons on both strands; each strand is a transcript (T)",
    )


def test_exons_of_one_transcript_that_overlap_are_joined_and_told(tmp_path):
    for ids in (T1, "Parent=T"):
        annotation = found(tmp_path, gtf_rows("exon", CHAIN + ((500, 700),), ids))
        assert places(annotation)[0][1] == [(401, 700), *CHAIN[1:]]
        assert annotation.notes == (
            "1 transcripts have exons that overlap, which are joined: copies under one id? (T)",
        )


@pytest.mark.parametrize("unknown", ".?")
def test_a_row_without_a_strand_has_that_of_its_transcript(tmp_path, unknown):
    other = gtf_rows("exon", [(5001, 5100)], 'gene_id "H"; transcript_id "U";', strand=unknown)
    for strand in "+-":
        rows = gtf_rows("exon", CHAIN, T1, strand=strand)
        bare = gtf_rows("exon", CHAIN, 'transcript_id "T";', strand=strand)
        for which in range(3):
            gtf = [
                r.replace(f"\t{strand}\t", f"\t{unknown}\t", i == which) for i, r in enumerate(rows)
            ]
            gff3 = [r.replace(T1, "Parent=T") for r in gtf]
            for text in (gtf, gtf[::-1], gff3, [*rows[:which], *gtf[which : which + 1], *bare]):
                annotation = found(tmp_path, [*text, *(other if "Parent" not in text[0] else ())])
                assert [(g.strand, places(annotation)[0][1]) for g in annotation.genes] == [
                    (strand, list(CHAIN))
                ]
                assert len(annotation.notes) == ("Parent" not in text[0])
    both = gtf_rows("exon", CHAIN[:1], T1) + gtf_rows("exon", CHAIN[2:], T1, strand="-")
    annotation = found(tmp_path, both + gtf_rows("exon", CHAIN[1:2], T1, strand=unknown))
    assert sorted(len(g.chosen.exons) for g in annotation.genes) == [1, 1]
    assert annotation.notes == (
        "1 genes, transcripts or their parts without a strand are left out (T)",
    )


def test_a_gene_row_without_a_strand_still_parts_copies(tmp_path):
    rows = gtf_rows("gene", [(401, 2188), (2189, 7093)], 'gene_id "G";', strand=".")
    rows += gtf_rows("exon", (*CHAIN, (2189, 2300), (6865, 7093)), T1)
    for text in (rows, [r.replace(T1, "Parent=G").replace('gene_id "G";', "ID=G") for r in rows]):
        assert len(found(tmp_path, text).genes) == 2


def test_one_id_on_two_contigs_or_strands_is_no_copy(tmp_path):
    rows = gtf_rows("exon", CHAIN, T1) + gtf_rows("exon", CHAIN, T1, "2")
    annotation = found(tmp_path, rows + gtf_rows("exon", CHAIN, T1, "2", "-"))
    assert len(annotation.genes) == 3 and not annotation.notes


def test_exons_are_cds_and_utr_rows_where_there_are_no_exon_rows(tmp_path):
    bare = 'gene_id "B"; transcript_id "B";'
    rows = (
        gtf_rows("five_prime_utr", [(401, 420)], T1)
        + gtf_rows("CDS", [(421, 540), (1182, 1300)], T1)
        + gtf_rows("stop_codon", [(1301, 1303)], T1)
        + gtf_rows("3UTR", [(1960, 2188)], T1)
        + gtf_rows("exon", CHAIN, 'gene_id "E"; transcript_id "E";')
        + gtf_rows("CDS", [(500, 540)], 'gene_id "E"; transcript_id "E";')
        + gtf_rows("transcript", [(1, 9)], bare)
        + gtf_rows("gene", [(1, 9)], 'gene_id "A";')
    )
    gff3 = [
        r.replace(T1, "Parent=T").replace('gene_id "E"; transcript_id "E";', "Parent=E")
        for r in rows[:-2]
    ]
    gff3 += gtf_rows("mRNA", [(1, 9)], "ID=B;Parent=C") + gtf_rows("gene", [(1, 9)], "ID=A")
    for text in (rows, gff3):
        annotation = found(tmp_path, text)
        cds = {g.chosen.id: g.chosen.cds_length for g in annotation.genes}
        assert {tuple(p) for _, p in places(annotation)} == {CHAIN}
        assert cds == {"T": 120 + 119 + 3, "E": 41}  # with the stop codon
        assert annotation.notes == (
            "2 genes or transcripts without exon, CDS or UTR rows are left out (A, ...)",
        )


@pytest.mark.parametrize("strand", "+-")
@pytest.mark.parametrize("kept", [(0,), (1,), (2,), (0, 2), (1, 2)])
def test_cds_and_utr_rows_where_no_exon_row_lies_are_exons(tmp_path, kept, strand):
    """As in a file that was cut off."""
    rows = (
        gtf_rows("exon", [CHAIN[i] for i in kept], T1)
        + gtf_rows("five_prime_utr", [(401, 420)], T1)
        + gtf_rows("CDS", [(421, 540), CHAIN[1], (1960, 2000)], T1)
        + gtf_rows("stop_codon", [(2001, 2003)], T1)
        + gtf_rows("three_prime_utr", [(2004, 2188)], T1)
    )
    rows = [r.replace("\t+\t", f"\t{strand}\t") for r in rows]
    gff3 = [r.replace(T1, "Parent=T") for r in rows]
    for text in (rows, rows[::-1], gff3):
        annotation = found(tmp_path, text)
        assert places(annotation)[0][1] == list(CHAIN)
        assert annotation.genes[0].chosen.cds_length == 120 + 122 + 44
        assert annotation.notes == (
            "1 transcripts have CDS or UTR rows where no exon row lies; these count as exons (T)",
        )


@pytest.mark.parametrize("kind", ["CDS", "stop_codon", "3UTR"])
def test_a_row_that_an_exon_row_meets_makes_no_exon_longer(tmp_path, kind):
    """Nor does one that touches such a row."""
    rows = gtf_rows("exon", CHAIN, T1) + gtf_rows("CDS", [CHAIN[0], (1250, 1310)], T1)
    annotation = found(tmp_path, rows + gtf_rows(kind, [(1311, 1313)], T1))
    assert places(annotation) == [("G", list(CHAIN))] and annotation.notes == ()


def test_cds_rows_of_a_gene_whose_transcripts_have_exons_are_no_transcript(tmp_path):
    text = gtf_rows("gene", [(401, 2188)], "ID=G") + gtf_rows(
        "mRNA", [(401, 2188)], "ID=T;Parent=G"
    )
    text += gtf_rows("exon", CHAIN, "Parent=T") + gtf_rows("CDS", CHAIN, "Parent=G")
    (gene,) = found(tmp_path, text).genes
    assert [t.id for t in gene.transcripts] == ["T"]


def test_what_a_row_leaves_out_other_rows_of_its_transcript_say(tmp_path):
    """Whatever the order of lines."""
    full = 'gene_id "G"; transcript_id "T"; gene_name "SYM"; tag "MANE_Select";'
    for least in ('transcript_id "T";', 'gene_id "G";', 'gene_id ""; transcript_id "T";'):
        for told in range(3):
            rows = [
                *(r for i, r in enumerate(gtf_rows("exon", CHAIN, least)) if i != told),
                *gtf_rows("exon", CHAIN[told : told + 1], full),
                *gtf_rows("CDS", CHAIN[:1], least),
            ]
            for text in (rows, rows[::-1], sorted(rows)):
                (gene,) = found(tmp_path, text).genes
                assert (gene.id, gene.symbol, len(gene.transcripts)) == ("G", "SYM", 1)
                assert (gene.chosen.id, gene.chosen.rank) == ("T", Rank.MANE_SELECT)
                assert [(s + 1, e) for s, e in gene.chosen.exons] == list(CHAIN)
                assert gene.chosen.cds_length == 140


@pytest.mark.parametrize(
    "news, id, symbol, rank",
    [
        ('exon_number {}; exon_id "E2"; ', "T", "SYM", Rank.NONE),
        ('exon_number {}; tag "MANE_Select"; exon_id "E2"; ', "T", "SYM", Rank.MANE_SELECT),
        ('exon_number {}; tag "Ensembl_canonical"; ', "T", "SYM", Rank.CANONICAL),
        ('exon_number {}; transcript_version "7"; ', "T.7", "SYM", Rank.NONE),
        ('exon_number {}; gene_name "ALSO"; exon_id "E2"; ', "T", "ALSO", Rank.NONE),
    ],
)
def test_a_row_may_say_more_than_the_like_one_before(tmp_path, news, id, symbol, rank):
    """Among the attributes of its exon, beside which the rows are the same."""
    begin, end = 'gene_id "G"; transcript_id "T"; ', 'level 2; tag "basic";'
    rows = [
        *gtf_rows("exon", CHAIN[:1], f'{begin}exon_number 1; gene_name "SYM"; {end}'),
        *gtf_rows("exon", CHAIN[1:2], begin + news.format(2) + end),
        *gtf_rows("exon", CHAIN[2:], begin + news.format(3) + end),
    ]
    for text in (rows, rows[::-1]):
        (gene,) = found(tmp_path, text).genes
        assert (gene.symbol, gene.chosen.id, gene.chosen.rank) == (symbol, id, rank)
        assert [(s + 1, e) for s, e in gene.chosen.exons] == list(CHAIN)


def test_bare_ids_that_begin_alike_are_two(tmp_path):
    """Where no semicolon ends the row."""
    rows = [
        *gtf_rows("exon", [(1, 9)], "gene_id G1; transcript_id T1"),
        *gtf_rows("exon", [(101, 109)], "gene_id G1; transcript_id T12"),
        *gtf_rows("exon", [(201, 209)], "transcript_id T1; gene_id G1"),
        *gtf_rows("exon", [(301, 309)], "transcript_id T1; gene_id G10"),
    ]
    annotation = found(tmp_path, rows)
    places = {(g.id, t.id): tuple(t.exons) for g in annotation.genes for t in g.transcripts}
    assert places == {
        ("G1", "T1"): ((0, 9), (200, 209)),
        ("G1", "T12"): ((100, 109),),
        ("G10", "T1"): ((300, 309),),
    }


def test_a_gene_row_gives_the_symbol(tmp_path):
    rows = gtf_rows("exon", CHAIN, T1) + gtf_rows(
        "gene", [(401, 2188)], 'gene_id "G"; gene_name "S";'
    )
    assert {found(tmp_path, r).genes[0].symbol for r in (rows, rows[::-1])} == {"S"}


@pytest.mark.parametrize("first", [0, 1])
@pytest.mark.parametrize(
    "start, end, why",
    [
        ("1x", "9", "must be whole numbers, not '1x' and '9'"),
        (".", "9", "must be whole numbers, not '.' and '9'"),
        (".", ".", "must be whole numbers"),
        ("-5", "9", "must be whole numbers"),
        ("1.0", "9", "must be whole numbers"),
        ("", "9", "must be whole numbers"),
        ("0", "9", "count from 1"),
        ("1", "99999999999", "no contig is 99999999999 bases"),
    ],
)
def test_a_bad_number_is_named_with_its_line(tmp_path, first, start, end, why):
    for ids in (T1, "Parent=T"):
        good = gtf_rows("exon", CHAIN, ids)[:first]
        with pytest.raises(AnnotationError, match=rf"a.txt, line {first + 1}: .*{why}"):
            found(tmp_path, [*good, f"1\tx\texon\t{start}\t{end}\t.\t+\t.\t{ids}\n"])


def test_marks_line_ends_and_quotes_of_table_programs(tmp_path):
    exons = gtf_rows("exon", CHAIN, T1)
    quoted = [r.replace(T1, '"' + T1.replace('"', '""') + '"') for r in exons]
    table = "#NAME\tCHROM\tSTRAND\tTX_START\tTX_END\tEXON_START\tEXON_END\n"
    table += 'G\t1\t+\t400\t2188\t"400,1181,1959,"\t"540,1303,2188,"\n'
    bed = "1\t400\t2188\tT\t0\t+\t400\t2188\t0\t3\t140,122,229,\t0,781,1559,\tG\n"
    gff3 = "".join(gtf_rows("exon", CHAIN, "Parent=G"))
    for text in ("".join(exons), "".join(quoted), table, bed, gff3):
        for marked in (text, "\ufeff" + text, "\ufeff\r\n\r\n" + text.replace("\n", "\r\n")):
            for content in (marked, marked.replace("\r\n", "\n").replace("\n", "\r")):
                assert places(found(tmp_path, [content])) == [("G", list(CHAIN))]


@pytest.mark.parametrize("first", [0, 2])
@pytest.mark.parametrize("ids", [T1, "Parent=T"])
def test_lines_in_quotes_are_refused_by_their_number(tmp_path, first, ids):
    """As a spreadsheet program leaves them that took each line for one cell."""
    rows = ["#!genome-build test\n", *gtf_rows("exon", CHAIN, ids)]
    quoted = ['"' + row[:-1].replace('"', '""') + '"\n' for row in rows[1 + first :]]
    with pytest.raises(AnnotationError, match=f"a.txt, line {first + 2} begins with a quote: .*sp"):
        found(tmp_path, [*rows[: 1 + first], *quoted])


def test_an_annotation_may_come_from_a_pipe(tmp_path):
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    content = gzip.compress(GTF.encode())
    writer = threading.Thread(target=pipe.write_bytes, args=(content,))
    writer.start()
    annotation = load_annotation(str(pipe))
    writer.join()
    assert len(annotation.genes) == 2 and annotation.digest == hashlib.sha256(content).hexdigest()


@pytest.mark.parametrize("error", [RuntimeError, KeyError, OSError])
def test_a_user_without_a_home_has_no_cache(tmp_path, monkeypatch, error):
    def none(*_, **__):
        raise error("no home")

    monkeypatch.setattr("samvar.formats.gene_cache.platformdirs.user_cache_dir", none)
    monkeypatch.setattr("samvar.formats.annotation.CACHED_FROM", 0)
    assert len(load_annotation(write(tmp_path, GTF), cache=True).genes) == 2


def test_notes_are_kept_with_the_genes(tmp_path, cache):
    path = write(tmp_path, "".join(gtf_rows("exon", CHAIN + COPY, T1)))
    notes = [load_annotation(path, cache=True).notes for _ in range(2)]
    assert notes[0] == notes[1] and len(notes[0]) == 1 and len(list(cache.iterdir())) == 1


# ------------------------------------------------- one transcript id in two genes


AAA, BBB = 'gene_id "g1"; gene_name "AAA"; ', 'gene_id "g2"; gene_name "BBB"; '
N = 'transcript_id "N";'


def gff3_of_two_genes(strand="+", copy_strand="+"):
    """Transcripts of one ID, each with an exon chain and a CDS, in two genes."""
    return [
        row
        for gene, name, chain, its_strand in (
            ("g1", "AAA", CHAIN, strand),
            ("g2", "BBB", COPY, copy_strand),
        )
        for kind, intervals, ids in (
            ("gene", [(chain[0][0], chain[-1][1])], f"ID={gene};Name={name}"),
            ("mRNA", [(chain[0][0], chain[-1][1])], f"ID=N;Parent={gene}"),
            ("exon", chain, "Parent=N"),
            ("CDS", chain[1:2], "Parent=N"),
        )
        for row in gtf_rows(kind, intervals, ids, strand=its_strand)
    ]


def gtf_of_two_genes(strand="+", copy_strand="+"):
    return [
        row
        for ids, chain, its_strand in ((AAA, CHAIN, strand), (BBB, COPY, copy_strand))
        for kind, intervals, own in (
            ("transcript", [(chain[0][0], chain[-1][1])], ids + N),
            ("exon", chain, N),
            ("CDS", chain[1:2], N),
        )
        for row in gtf_rows(kind, intervals, own, strand=its_strand)
    ]


@pytest.mark.parametrize("strands", ["++", "--", "+-", "-+"])
@pytest.mark.parametrize("rows_of", [gff3_of_two_genes, gtf_of_two_genes])
def test_an_exon_belongs_to_the_transcript_row_that_holds_it(tmp_path, rows_of, strands):
    rows = rows_of(*strands)
    by_place = sorted(rows, key=lambda row: int(row.split("\t")[3]))
    exons_first = sorted(rows, key=lambda row: row.split("\t")[2])
    for text in (rows, rows[::-1], by_place, by_place[::-1], exons_first):
        annotation = found(tmp_path, text)
        assert places(annotation) == [("g1", list(CHAIN)), ("g2", list(COPY))]
        names = [(g.symbol, g.strand, g.chosen.id) for g in annotation.genes]
        assert names == [("AAA", strands[0], "N"), ("BBB", strands[1], "N")]
        assert [g.chosen.cds_length for g in annotation.genes] == [122, 122]
        assert annotation.notes == ()


def test_what_shared_rows_say_of_their_transcript_holds_for_each(tmp_path):
    tagged = N + ' tag "MANE_Select"; transcript_version "3";'
    rows = [r.replace(N, tagged) if "\texon\t" in r else r for r in gtf_of_two_genes()]
    for gene in found(tmp_path, rows).genes:
        assert (gene.chosen.id, gene.chosen.rank) == ("N.3", Rank.MANE_SELECT)


def test_the_note_of_a_transcript_without_exons_gives_its_id(tmp_path):
    rows = [r for r in gff3_of_two_genes() if not ("\t4745\t" in r and "Parent=N" in r)]
    rows = [r for r in rows if r.split("\t")[3] not in ("6087", "6865")]
    annotation = found(tmp_path, rows)
    assert places(annotation) == [("g1", list(CHAIN))]
    assert annotation.notes == (
        "1 genes or transcripts without exon, CDS or UTR rows are left out (N)",
    )


def test_kept_transcripts_are_made_when_looked_at_and_travel_alone(tmp_path, monkeypatch):
    """A run looks at few genes of an annotation, and sends single ones to other processes."""
    monkeypatch.setattr("samvar.formats.annotation.CACHED_FROM", 0)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    genes = [(f"G{i}", "chr1", "+-"[i % 2], [(100 * i + 1, 100 * i + 40)]) for i in range(50)]
    path = toy.gtf(str(tmp_path / "g.gtf"), *genes)
    read = load_annotation(path, cache=True).genes
    made = []
    make = gene_cache.Columns.transcript
    monkeypatch.setattr(
        gene_cache.Columns, "transcript", lambda self, i: made.append(i) or make(self, i)
    )
    kept = load_annotation(path, cache=True).genes
    assert not made
    assert kept[3].chosen == read[3].chosen
    assert len(made) == 1
    travelled = pickle.dumps(kept[4])
    assert len(travelled) < 1000
    assert pickle.loads(travelled) == read[4] == kept[4]
    assert kept == read and [hash(g) for g in kept] == [hash(g) for g in read]
