"""Exon numbers, places and reading frames of hand-made transcripts; what readers say of them."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from samvar.errors import AnnotationError
from samvar.formats.annotation import load_annotation
from samvar.genomics.genes import Gene, Rank, Transcript, without_version
from samvar.genomics.genome import Genome, decode
from samvar.genomics.transcript import SHORTEST_INTRON, TranscriptMap, TranscriptPlace

from . import toy

EXONS = ((10, 20), (30, 35), (45, 60))  # 10, 5 and 15 bases; introns of 10
PLUS = TranscriptMap(Transcript("T.1", EXONS, 12, 50), "c", "+")
MINUS = TranscriptMap(Transcript("T.1", EXONS, 12, 50), "c", "-")


def test_exons_and_introns_are_numbered_as_they_are_transcribed():
    assert [PLUS.exon_of(p) for p in (9, 10, 19, 20, 34, 59, 60)] == [None, 1, 1, None, 2, 3, None]
    assert [MINUS.exon_of(p) for p in (10, 34, 59)] == [3, 2, 1]
    assert [PLUS.intron_of(p) for p in (19, 20, 29, 30, 44, 60)] == [None, 1, 1, None, 2, None]
    assert [MINUS.intron_of(p) for p in (20, 44)] == [2, 1]
    assert PLUS.exons == MINUS.exons[::-1] == list(EXONS)
    assert PLUS.introns == MINUS.introns[::-1] == [(20, 30), (35, 45)]
    assert (PLUS.length, PLUS.exon_starts, MINUS.exon_starts) == (
        30,
        [0, 10, 15, 30],
        [0, 15, 20, 30],
    )
    assert [PLUS.exon_of_base(b) for b in (0, 9, 10, 14, 15, 29)] == [1, 1, 2, 2, 3, 3]


@pytest.mark.parametrize("strand", "+-")
def test_blocks_that_a_few_bases_part_are_one_exon(strand):
    blocks = (10, 20), (29, 35), (45, 60)
    found = TranscriptMap(Transcript("T", blocks, 12, 50), "c", strand)
    assert sorted(found.exons) == [(10, 35), (45, 60)] and found.introns == [(35, 45)]
    assert found.gapped and not PLUS.gapped
    assert found.length == 40 and found.cds in ((2, 30), (10, 38))


@pytest.mark.parametrize(
    "strand, position, place",
    [
        ("+", 10, TranscriptPlace(0)),
        ("+", 19, TranscriptPlace(9)),
        ("+", 20, TranscriptPlace(9, 1)),
        ("+", 24, TranscriptPlace(9, 5)),
        ("+", 25, TranscriptPlace(10, -5)),
        ("+", 29, TranscriptPlace(10, -1)),
        ("+", 30, TranscriptPlace(10)),
        ("+", 59, TranscriptPlace(29)),
        ("+", 60, None),
        ("-", 59, TranscriptPlace(0)),
        ("-", 45, TranscriptPlace(14)),
        ("-", 44, TranscriptPlace(14, 1)),
        ("-", 35, TranscriptPlace(15, -1)),
        ("-", 10, TranscriptPlace(29)),
        ("-", 9, None),
    ],
)
def test_places(strand, position, place):
    found = TranscriptMap(Transcript("T", EXONS), "c", strand)
    assert found.place(position) == place
    if place:
        assert found.position(place) == position


def test_the_middle_base_of_an_intron_belongs_to_the_exon_before():
    for strand in "+-":
        odd = TranscriptMap(Transcript("T", ((0, 5), (16, 21))), "c", strand)
        assert odd.place(10) == TranscriptPlace(4, 6)


@pytest.mark.parametrize(
    "place, why",
    [
        (TranscriptPlace(30), "has 30 bases"),
        (TranscriptPlace(-1), "has 30 bases"),
        (TranscriptPlace(8, 1), "no intron"),
        (TranscriptPlace(9, -1), "no intron"),
        (TranscriptPlace(10, 1), "no intron"),
        (TranscriptPlace(29, 1), "no intron"),
        (TranscriptPlace(0, -1), "no intron"),
        (TranscriptPlace(9, 11), "intron 1 of T has 10 bases"),
        (TranscriptPlace(15, -11), "intron 2 of T has 10 bases"),
    ],
)
def test_places_that_are_not(place, why):
    with pytest.raises(ValueError, match=why):
        TranscriptMap(Transcript("T", EXONS), "c", "+").position(place)


@st.composite
def transcripts(draw):
    sizes = [draw(st.integers(1, 30))]
    for _ in range(draw(st.integers(0, 4))):
        sizes += [draw(st.integers(SHORTEST_INTRON, 40)), draw(st.integers(1, 30))]
    bounds = np.cumsum([draw(st.integers(0, 50)), *sizes]).tolist()
    exons = tuple(zip(bounds[::2], bounds[1::2]))
    cds = sorted(draw(st.tuples(*[st.integers(bounds[0], bounds[-1])] * 2)))
    transcript = Transcript("T", exons, *cds, draw(st.integers(0, 2)))
    return TranscriptMap(transcript, "c", draw(st.sampled_from("+-")))


@given(transcripts())
def test_every_base_of_the_genome_has_one_place(transcript):
    inside = range(transcript.transcript.start, transcript.transcript.end)
    places = [transcript.place(p) for p in inside]
    assert [transcript.position(place) for place in places] == list(inside)
    assert len(set(places)) == len(places)
    exonic = [place.base for place in places if not place.offset]
    assert sorted(exonic) == list(range(transcript.length))
    for position, place in zip(inside, places):
        if not place.offset:
            assert transcript.exon_of(position) == transcript.exon_of_base(place.base)


@given(transcripts())
def test_the_coding_sequence_is_one_stretch_of_the_spliced_transcript(transcript):
    cds = transcript.cds
    coding = [p for start, end in transcript.transcript.cds for p in range(start, end)]
    assert sorted(transcript.place(p).base for p in coding) == (list(range(*cds)) if cds else [])
    assert transcript.transcript.cds_length == len(coding)


def test_codons():
    """CDS: bases 12-19 of exon 1, all five of exon 2, 45-49 of exon 3."""
    assert PLUS.cds == (2, 20) and MINUS.cds == (10, 28)
    assert [PLUS.codon_of(b) for b in (1, 2, 4, 5, 19, 20)] == [
        None,
        (1, 0),
        (1, 2),
        (2, 0),
        (6, 2),
        None,
    ]
    late = TranscriptMap(Transcript("T", EXONS, 12, 50, phase=1), "c", "+")
    assert [late.codon_of(b) for b in (2, 3, 5, 6)] == [(0, 2), (1, 0), (1, 2), (2, 0)]
    assert TranscriptMap(Transcript("T", EXONS), "c", "+").codon_of(5) is None


def test_the_spliced_sequence(tmp_path):
    bases = toy.random_bases(100)
    genome = Genome(toy.fasta(tmp_path / "g.fa", chrc=bases))
    spliced = "".join(bases[s:e] for s, e in EXONS)
    assert decode(PLUS.sequence(genome)) == spliced
    assert decode(MINUS.sequence(genome)) == toy.revcomp(spliced)
    with pytest.raises(AnnotationError, match="T is on d"):
        TranscriptMap(Transcript("T", EXONS), "d", "+").sequence(genome)


# ---------------------------------------------------------------------------- what the readers say


def gene_of(tmp_path, rows, form="gtf"):
    """Rows as (type, start, end, phase) of one transcript on the minus strand, 1-based."""
    ids = dict(gtf='gene_id "G"; transcript_id "T.2";', gff3="Parent=T.2")[form]
    path = tmp_path / "a"
    path.write_text(
        "".join(f"1\tx\t{k}\t{s}\t{e}\t.\t-\t{phase}\t{ids}\n" for k, s, e, phase in rows)
    )
    (gene,) = load_annotation(str(path)).genes
    return gene


ROWS = [
    ("exon", 81, 100, "."),
    ("exon", 41, 60, "."),
    ("exon", 11, 20, "."),
    ("CDS", 81, 90, 0),
    ("CDS", 41, 60, 2),
]


@pytest.mark.parametrize("form", ["gtf", "gff3"])
@pytest.mark.parametrize("reverse", [False, True])
def test_the_stop_codon_is_coding(tmp_path, form, reverse):
    """GTF has a row of its own for it, and it may be split by an intron."""
    for stops, start in (([], 40), ([("stop_codon", 19, 20, 0), ("stop_codon", 41, 41, 0)], 18)):
        rows = [r if r[1:3] != (41, 60) else ("CDS", 42, 60, 2) if stops else r for r in ROWS]
        rows += stops
        chosen = gene_of(tmp_path, rows[::-1] if reverse else rows, form).chosen
        assert (chosen.cds_start, chosen.cds_end, chosen.phase) == (start, 90, 0)
        assert chosen.id == "T.2" and chosen.coding


def test_the_phase_of_a_beginning_that_is_missing(tmp_path):
    for phase in range(3):
        rows = [(*r[:3], phase if r[:2] == ("CDS", 81) else r[3]) for r in ROWS]
        assert gene_of(tmp_path, rows).chosen.phase == phase


def test_a_transcript_without_cds_rows_is_not_coding(tmp_path):
    chosen = gene_of(tmp_path, ROWS[:3]).chosen
    assert not chosen.coding and chosen.cds == [] and chosen.cds_length == 0


def test_all_of_a_transcript_is_kept(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr("samvar.formats.annotation.CACHED_FROM", 0)
    note = "The RefSeq transcript has 1 frameshift compared to this genomic sequence"
    ids = f'gene_id "G"; transcript_id "T.2"; tag "MANE_Plus_Clinical"; note "{note}";'
    path = tmp_path / "a.gtf"
    path.write_text(f"1\tx\texon\t11\t30\t.\t+\t.\t{ids}\n1\tx\tCDS\t15\t30\t.\t+\t2\t{ids}\n")
    parsed, kept = (load_annotation(str(path), cache=True).genes for _ in range(2))
    assert parsed == kept and list((tmp_path / "cache" / "samvar").iterdir())
    assert kept[0].chosen == Transcript("T.2", ((10, 30),), 14, 30, 2, Rank.MANE_CLINICAL, True)
    assert isinstance(kept[0].chosen.rank, Rank)


@pytest.mark.parametrize(
    "note, differs",
    [
        ("The RefSeq transcript has 1 substitution compared to this genomic sequence", False),
        ("The RefSeq transcript has 1 frameshift compared to this genomic sequence", True),
        (
            "The RefSeq transcript has 2 substitutions%2C 1 non-frameshifting indel compared to "
            "this genomic sequence",
            True,
        ),
        ("The RefSeq transcript aligns at 83%25 coverage compared to this genomic sequence", True),
        ("The RefSeq protein has 1 frameshift compared to this genomic sequence", False),
        ("frameshift", False),
    ],
)
def test_what_refseq_notes_of_the_sequence(tmp_path, note, differs):
    gff3 = f"1\tx\tmRNA\t11\t20\t.\t+\t.\tID=T;Note={note};gbkey=mRNA\n"
    gff3 += "1\tx\texon\t11\t20\t.\t+\t.\tParent=T\n"
    gtf = f'1\tx\ttranscript\t11\t20\t.\t+\t.\tgene_id "G"; transcript_id "T"; note "{note}";\n'
    gtf += '1\tx\texon\t11\t20\t.\t+\t.\tgene_id "G"; transcript_id "T";\n'
    for text in (gff3, gtf):
        (tmp_path / "a").write_text(text)
        (gene,) = load_annotation(str(tmp_path / "a")).genes
        assert gene.chosen.differs is differs


def test_thick_parts_of_bed12(tmp_path):
    row = "1\t10\t60\t{}\t0\t+\t{}\t{}\t0\t2\t10,20,\t0,30,\tG\n"
    path = tmp_path / "a.bed"
    path.write_text(row.format("A", 15, 45) + row.format("B", 60, 60))
    (gene,) = load_annotation(str(path)).genes
    assert {t.id: t.cds for t in gene.transcripts} == {"A": [(15, 20), (40, 45)], "B": []}


TAGS = {
    'tag "basic"; tag "MANE_Select"; tag "Ensembl_canonical"': Rank.MANE_SELECT,
    'tag "MANE_Plus_Clinical"; tag "basic"': Rank.MANE_CLINICAL,
    'tag "MANE Plus Clinical"': Rank.MANE_CLINICAL,
    'tag "Ensembl_canonical"': Rank.CANONICAL,
    'tag "basic"': Rank.NONE,
    'note "MANE_Select"': Rank.NONE,
}


def test_ranks_and_versions_of_gtf(tmp_path):
    for i, (tags, rank) in enumerate(TAGS.items()):
        ids = f'gene_id "G"; transcript_id "ENST1"; transcript_version "{i}"; {tags};'
        path = tmp_path / f"{i}.gtf"
        path.write_text(f"1\tx\texon\t11\t20\t.\t+\t.\t{ids}\n")
        (gene,) = load_annotation(str(path)).genes
        assert (gene.chosen.id, gene.chosen.rank) == (f"ENST1.{i}", rank)


def test_ranks_and_versions_of_gff3(tmp_path):
    path = tmp_path / "a.gff3"
    path.write_text(
        "1\tx\tmRNA\t11\t20\t.\t+\t.\tID=transcript:ENST1;Parent=G;transcript_id=ENST1;version=7;"
        "tag=basic,Ensembl_canonical,MANE_Select\n"
        "1\tx\texon\t11\t20\t.\t+\t.\tParent=transcript:ENST1\n"
        "1\tx\tmRNA\t11\t20\t.\t+\t.\tID=rna-NM_1.3;Parent=G;transcript_id=NM_1.3;"
        "tag=MANE Plus Clinical\n"
        "1\tx\texon\t11\t20\t.\t+\t.\tParent=rna-NM_1.3\n"
    )
    (gene,) = load_annotation(str(path)).genes
    found = [(t.id, t.rank) for t in gene.transcripts]
    assert found == [("ENST1.7", Rank.MANE_SELECT), ("NM_1.3", Rank.MANE_CLINICAL)]


def test_selected_transcripts():
    ranks = [Rank.MANE_SELECT, Rank.MANE_CLINICAL, Rank.CANONICAL, Rank.NONE]
    all_four = tuple(Transcript(f"T{i}.{i}", EXONS, rank=r) for i, r in enumerate(ranks))
    gene = Gene("G", "G", "c", "+", 10, 60, all_four)
    assert gene.selected("chosen") == all_four[:1]
    assert gene.selected("mane") == all_four[:2]
    assert gene.selected("all") == all_four
    assert gene.selected(frozenset(["T1", "T2.2", "T3.9", "U"])) == all_four[1:3]
    assert Gene("G", "G", "c", "+", 10, 60, all_four[3:]).selected("mane") == ()


@pytest.mark.parametrize(
    "name, stem", [("NM_1.23", "NM_1"), ("NM_1", "NM_1"), ("a.b", "a.b"), ("T.1.2", "T.1")]
)
def test_without_version(name, stem):
    assert without_version(name) == stem
