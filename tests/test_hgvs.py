"""Variants and their HGVS descriptions: hand-made examples, round trips, messages, real names."""

import csv
import gzip
import json
import sys

import numpy as np
import pytest
from click.testing import CliRunner
from hypothesis import given, settings
from hypothesis import strategies as st

from samvar.cli import main
from samvar.errors import HgvsError
from samvar.formats.annotation import load_annotation
from samvar.genomics.genes import Annotation, Gene, Transcript
from samvar.genomics.genome import Genome, decode
from samvar.genomics.hgvs import Locator, hgvs_c, is_description
from samvar.genomics.transcript import TranscriptMap
from samvar.genomics.variant import normalise

from . import toy

pytest.importorskip("mutalyzer_hgvs_parser")

# A contig of 120 bases with a transcript on each strand, both of the same exons:
#   0-10 outside, 10-30 exon, 30-60 intron, 60-75 exon, 75-95 intron, 95-110 exon, 110-120 outside
BASES = (
    "GATTACAGGC"  # 0
    "CATGCCAAAGCTGACCTTAG"  # 10: exon
    "GTAAGTCTCCCCTTACGACAGGGTTTTCAG"  # 30
    "GCTGGCATCATCTAC"  # 60: exon
    "GTATGCCATTGACAGTTCAG"  # 75
    "CCTAACGTGGAAAAC"  # 95: exon
    "TTGACCAGAT"  # 110
)
EXONS = ((10, 30), (60, 75), (95, 110))
PLUS = TranscriptMap(Transcript("P.2", EXONS, 11, 100), "c", "+")  # ATG CCA ... CCC TAA
MINUS = TranscriptMap(Transcript("M.1", EXONS, 63, 107), "c", "-")
OTHER = TranscriptMap(Transcript("N.1", EXONS), "c", "-")


@pytest.fixture(scope="module")
def genome(tmp_path_factory):
    return Genome(toy.fasta(tmp_path_factory.mktemp("hgvs") / "g.fa", chrc=BASES, chrd=BASES))


def gene(transcript, symbol="SYM", contig="c"):
    t = transcript.transcript
    return Gene(symbol, symbol, contig, transcript.strand, t.start, t.end, (t,))


@pytest.fixture(scope="module")
def locator(genome):
    genes = [gene(PLUS, "PPP1"), gene(MINUS, "MMM1"), gene(OTHER, "NNN1")]
    return Locator(genome, Annotation(genes, "genes.gtf"))


def test_the_toy_is_what_its_comments_say():
    assert len(BASES) == 120 and BASES[11:14] == "ATG" and BASES[97:100] == "TAA"
    assert [BASES[s:e][:2] + BASES[s:e][-2:] for s, e in PLUS.introns] == ["GTAG"] * 2


# name, POS (1-based), REF, ALT, left-aligned; read off BASES by hand
KNOWN = [
    ("P.2:c.1A>G", 12, "A", "G"),
    ("P.2:c.-1C>G", 11, "C", "G"),
    ("P.2:c.3G>T", 14, "G", "T"),
    ("P.2:c.19G>A", 30, "G", "A"),  # last base of exon 1
    ("P.2:c.19+1G>A", 31, "G", "A"),
    ("P.2:c.19+15A>G", 45, "A", "G"),  # last base of the intron's first half
    ("P.2:c.20-15C>A", 46, "C", "A"),
    ("P.2:c.20-1G>C", 60, "G", "C"),
    ("P.2:c.20G>C", 61, "G", "C"),
    ("P.2:c.39A>T", 100, "A", "T"),  # last base of the stop codon
    ("P.2:c.*1C>T", 101, "C", "T"),
    ("P.2:c.*10C>T", 110, "C", "T"),
    ("P.2:c.8del", 16, "CA", "C"),  # one of AAA: the last
    ("P.2:c.8dup", 16, "C", "CA"),
    ("P.2:c.7_8insT", 18, "A", "AT"),
    ("P.2:c.4_6delinsTT", 15, "CCA", "TT"),
    ("P.2:c.4_8inv", 15, "CCAAA", "TTTGG"),
    ("P.2:c.19+11_19+12del", 38, "TCC", "T"),  # two of CCCC
    ("P.2:c.19_19+3del", 27, "TTAGG", "T"),  # across the donor: of tTAGGta the last
    ("P.2:c.29_31dup", 65, "G", "GCAT"),  # in CATCATC
    ("M.1:c.1T>C", 107, "A", "G"),
    ("M.1:c.-1T>C", 108, "A", "G"),
    ("M.1:c.-3G>C", 110, "C", "G"),
    ("M.1:c.12G>A", 96, "C", "T"),
    ("M.1:c.12+1C>G", 95, "G", "C"),
    ("M.1:c.13-1C>T", 76, "G", "A"),
    ("M.1:c.*1A>G", 63, "T", "C"),
    ("M.1:c.*3+1C>A", 60, "G", "T"),
    ("M.1:c.*4-1C>T", 31, "G", "A"),
    ("M.1:c.12+5_12+6insT", 90, "G", "GA"),
    ("N.1:n.1G>A", 110, "C", "T"),
    ("N.1:n.5del", 105, "GA", "G"),  # one of TTTT on the minus strand: the last
    ("N.1:n.5dup", 105, "G", "GA"),
    ("N.1:n.50G>T", 11, "C", "A"),
    ("N.1:n.15+1C>G", 95, "G", "C"),
]
MAPS = {t.id: t for t in (PLUS, MINUS, OTHER)}


@pytest.mark.parametrize("name, pos, ref, alt", KNOWN)
def test_known_names(genome, locator, name, pos, ref, alt):
    assert BASES[pos - 1 :].startswith(ref)
    variant = normalise(genome, "chrc", pos, ref, alt)
    assert hgvs_c(MAPS[name.split(":")[0]], variant, genome) == name
    found = locator.locate(name)
    assert found == ("chrc", pos, ref, alt, ())


@pytest.mark.parametrize(
    "name, same",
    [
        ("P.2:c.6del", "P.2:c.8del"),
        ("P.2:c.8delA", "P.2:c.8del"),
        ("P.2:c.7_8insA", "P.2:c.8dup"),
        ("P.2:c.6dupA", "P.2:c.8dup"),
        ("P.2:c.7_8del2", "P.2:c.7_8delAA"),
        ("P.2:c.4_6delCCAinsTT", "P.2:c.4_6delinsTT"),
        ("P.2:c.4_5delinsCT", "P.2:c.5C>T"),
        ("P.2(PPP1):c.3G>T", "P.2:c.3G>T"),
        ("PPP1(P.2):c.3G>T", "P.2:c.3G>T"),
        ("chrc(P.2):c.3G>T", "P.2:c.3G>T"),
        ("c:g.14G>T", "P.2:c.3G>T"),
        (" chrc:g.14G>T\r", "P.2:c.3G>T"),
        ("P.2:n.4G>T", "P.2:c.3G>T"),
        ("P.2:n.20+1G>A", "P.2:c.19+1G>A"),
        ("P.2:c.20-29T>A", "P.2:c.19+2T>A"),  # from the farther end of the intron
        ("c:g.14_15insC", "P.2:c.3_4insC"),
        ("P.2(PPP1):c.3G>T (p.Met1Ile)", "P.2:c.3G>T"),
        ("P.2:c.3G>T (p.Met1?)\n", "P.2:c.3G>T"),
    ],
)
def test_other_ways_to_write_them(locator, name, same):
    assert locator.locate(name) == locator.locate(same)


def test_a_name_that_leaves_something_open_is_told(locator):
    assert locator.locate("P:c.3G>T").notes == ("P is taken for P.2, as the annotation names it",)
    assert locator.locate("PPP1:c.3G>T").notes == ("PPP1 is taken for its transcript P.2",)
    assert locator.locate("P.2:c.3G>T").notes == ()


def test_an_annotation_without_versions(genome):
    bare = Transcript("P", EXONS, 11, 100)
    located = Locator(genome, Annotation([gene(TranscriptMap(bare, "c", "+"))])).locate(
        "P.7:c.3G>T"
    )
    assert located.pos == 14 and located.notes == (
        "P.7 is taken for P, as the annotation names it",
    )


@pytest.mark.parametrize(
    "name, why",
    [
        ("P.3:c.3G>T", "genes.gtf has P.2, not P.3"),
        ("Q.3:c.3G>T", "no transcript Q.3 .its names are such as"),
        ("P.2(MMM1):c.3G>T", "P.2 is of PPP1 on c"),
        ("P.2(QQQ1):c.3G>T", "genes.gtf has no gene QQQ1; .* has no contig QQQ1"),
        ("PPP1(Q.2):c.3G>T", "genes.gtf has no transcript Q.2"),
        ("chrd(P.2):c.3G>T", "P.2 is of PPP1 on c"),
        ("P.2:c.3A>T", r"the reference has G there \(chrc:14\), not A"),
        ("M.1:c.1A>T", r"the reference has T there \(chrc:107, minus strand\), not A"),
        ("P.2:c.6_8delCAA", r"the reference has AAA there \(chrc:17-19\), not CAA"),
        ("P.2:c.6_8del2", "3 bases apart, not 2"),
        ("P.2:c.40G>T", "39 bases of coding sequence, 1 before and 10 after"),
        ("P.2:c.*11G>T", "39 bases of coding sequence, 1 before and 10 after"),
        ("P.2:c.-2G>T", "39 bases of coding sequence, 1 before and 10 after"),
        ("P.2:n.51G>T", "has 50 bases"),
        ("P.2:n.-1G>T", "no - or"),
        ("P.2:c.18+1G>T", "no intron after"),
        ("P.2:c.18-1G>T", "no intron before"),
        ("P.2:c.20+1G>T", "no intron after"),
        ("P.2:c.19+31G>T", "intron 1 of P.2 has 30 bases"),
        ("N.1:c.3G>T", "N.1 is not coding in the annotation"),
        ("P.2:c.8_6del", "first position comes after its last"),
        ("P.2:c.6_8insA", "two neighbouring bases"),
        ("P.2:c.19_20insA", "two neighbouring bases"),
        ("P.2:c.6insA", "two neighbouring bases"),
        ("P.2:c.6_7ins3", "does not spell out"),
        ("P.2:c.6_7insN", "other letters"),
        ("P.2:c.6_7ins", "bases after ins are missing|which bases"),
        ("P.2:c.(6_8)del", "not exact"),
        ("P.2:c.6+?_8del", "not exact"),
        ("P.2:c.?del", "not exact"),
        ("P.2:c.6=", "= says that nothing changes here"),
        ("P.2:c.3G > T", "no blanks within"),
        ("P.2:c.3G>T P.2:c.6del", "no blanks within"),
        ("P.2:c.6A[4]", "no repeat"),
        ("P.2:c.[3G>T;6del]", "one change at a time"),
        ("P.2:p.Arg3Gly", "c., n. and g., not p"),
        ("P.2:r.3g>u", "c., n. and g., not r"),
        (
            "P.2:3G>T",
            "c., n. or g. is missing after the colon. Write such as NM_000059.4:c.8165C>G",
        ),
        ("P.2:c3G>T", "c., n. or g. is missing after the colon"),
        ("P.2:c.3G", "does not say what G becomes: write such as P.2:c.3G>A$"),
        ("P.2:c.19+1A", "does not say what A becomes: write such as P.2:c.19.1A>G$"),
        ("P.2:c.3_4GG", "does not say what GG becomes: write such as NM_"),
        ("P.2:c.8", "does not say what changes: write such as P.2:c.8del or P.2:c.8A>G$"),
        ("foo", "a colon, then c., n. or g. with position and change, are missing. Write"),
        ("P.2:", "c., n. or g. with position and change are missing after the colon"),
        ("P.2:c.", "position and change are missing"),
        ("P.2:c.3G/T", "no HGVS description: unexpected character '/' at position 9"),
        ("P.2:c.pterA>T", "not exact"),
        ("P.2:c.29_qterdup", "not exact"),
        ("P.2:c.5_6insP.2:c.123*4", "another description within it"),
        ("P.2:c.3G>", "the base after > is missing"),
        ("c.3G>T", "a transcript, gene or contig and a colon are missing before it"),
        ("P.2:c.3_4GG>TT", "one base for one"),
        ("P.2:c.3delinsG", "changes nothing"),
        ("chrq:g.14G>T", "no contig chrq"),
        ("c:g.121G>T", "chrc has 120 bases"),
        ("c:g.0G>T", "chrc has 120 bases"),
        ("c:g.14+1G>T", "whole number"),
        ("NC_000013.11:g.14G>T", "no contig 13"),
        ("NC_000013:g.14G>T", "needs the version"),
        ("NC_000013.9:g.14G>T", "needs the version"),
    ],
)
def test_what_cannot_be_mapped_says_why(locator, name, why):
    with pytest.raises(HgvsError, match=why) as e:
        locator.locate(name)
    assert str(e.value).startswith(f"{name}: ")


def test_an_inversion_that_changes_nothing(locator):
    """AGCT is its own reverse complement."""
    assert BASES[18:22] == "AGCT"
    with pytest.raises(HgvsError, match="changes nothing"):
        locator.locate("c:g.19_22inv")


def test_a_symbol_or_id_at_two_places_is_not_clear(genome):
    there = Annotation([gene(PLUS), gene(PLUS, contig="d")])
    both = Locator(genome, there)
    with pytest.raises(HgvsError, match=r"2 genes are named SYM \(c:11-110, d:11-110\)"):
        both.locate("SYM:c.3G>T")
    with pytest.raises(HgvsError, match="2 places have a transcript P.2"):
        both.locate("P.2:c.3G>T")
    assert both.locate("chrd(P.2):c.3G>T").contig == "chrd"


def test_two_versions_are_not_clear(genome):
    newer = TranscriptMap(Transcript("P.3", EXONS, 11, 100), "c", "+")
    both = Locator(genome, Annotation([gene(PLUS), gene(newer)], "genes.gtf"))
    with pytest.raises(HgvsError, match="genes.gtf has P.2 and P.3, not P$"):
        both.locate("P:c.3G>T")
    assert both.locate("P.3:c.3G>T").pos == 14


@pytest.mark.parametrize(
    "exons, cds, why",
    [
        (((10, 30), (33, 110)), (11, 100), "more or fewer bases than the genome"),
        (EXONS, (12, 100), "stop codon within its reading frame .codon 6"),
    ],
)
def test_a_transcript_that_is_not_the_genomes(genome, exons, cds, why):
    odd = TranscriptMap(Transcript("P.2", exons, *cds), "c", "+")
    with pytest.raises(HgvsError, match=why):
        Locator(genome, Annotation([gene(odd)])).locate("P.2:c.2A>T")


def test_a_transcript_of_which_refseq_notes_that_it_differs(genome):
    odd = TranscriptMap(Transcript("P.2", EXONS, 11, 100, differs=True), "c", "+")
    with pytest.raises(HgvsError, match="by g.gff, P.2 has more or fewer bases"):
        Locator(genome, Annotation([gene(odd)], "g.gff")).locate("P.2:c.2T>A")
    assert hgvs_c(odd, normalise(genome, "chrc", 13, "T", "A"), genome) == ""


def test_n_in_the_fasta(tmp_path):
    """In the coding sequence the transcript cannot be checked; in an intron only that base is
    missing."""
    for where, name, why in (
        (65, "P.2:c.3G>T", "cannot be checked"),
        (35, "P.2:c.19+6C>T", "is N"),
    ):
        bases = BASES[:where] + "N" + BASES[where + 1 :]
        hidden = Genome(toy.fasta(tmp_path / f"{where}.fa", c=bases))
        with pytest.raises(HgvsError, match=why):
            Locator(hidden, Annotation([gene(PLUS)])).locate(name)


def test_refseqs_names_of_chromosomes(tmp_path, monkeypatch):
    genome = Genome(toy.fasta(tmp_path / "g.fa", chr13=BASES))
    monkeypatch.setattr("samvar.genomics.hgvs._CHROMOSOMES", {"13": (10, 120, 110)})
    locate = Locator(genome, Annotation([gene(PLUS, contig="13")])).locate
    assert locate("NC_000013.10:g.14G>T").contig == "chr13"
    assert locate("NC_000013.10(P.2):c.3G>T").pos == 14
    with pytest.raises(HgvsError, match="GRCh38, 110 bases long; chr13 of .* has 120"):
        locate("NC_000013.11:g.14G>T")


def test_without_the_parser_the_extra_is_named(genome, monkeypatch):
    monkeypatch.setitem(sys.modules, "mutalyzer_hgvs_parser", None)
    with pytest.raises(HgvsError, match=r"pip install 'samvar\[hgvs\]'"):
        Locator(genome, Annotation([gene(PLUS)]))
    assert hgvs_c(PLUS, normalise(genome, "chrc", 14, "G", "T"), genome) == "P.2:c.3G>T"


@pytest.mark.parametrize(
    "pos, ref, alt",
    [(5, "A", "C"), (9, "GCC", "G"), (115, "C", "T"), (110, "C", "CA"), (14, "G", "G")],
)
def test_beyond_the_transcript_there_is_no_name(genome, pos, ref, alt):
    for transcript in MAPS.values():
        assert hgvs_c(transcript, normalise(genome, "chrc", pos, ref, alt), genome) == ""


def test_a_placement_within_the_transcript_is_taken(genome):
    """TT at the 3' end, of which the second is outside: the first is named."""
    short = TranscriptMap(Transcript("S", ((10, 111),)), "c", "+")
    assert BASES[110:112] == "TT"
    for ref, alt, name in (("CT", "C", "S:n.101del"), ("C", "CT", "S:n.101dup")):
        assert hgvs_c(short, normalise(genome, "chrc", 110, ref, alt), genome) == name


@pytest.mark.parametrize("strand", "+-")
def test_a_repeat_that_begins_before_the_transcript_is_an_insertion(tmp_path, strand):
    """GC after CG|C: what it repeats is not all on the transcript, which begins at |."""
    bases, variant = "CG" + "C" * 18, (3, "C", "CGC")
    if strand == "-":
        bases, variant = toy.revcomp(bases), (18, "G", "GCG")
    genome = Genome(toy.fasta(tmp_path / "g.fa", c=bases))
    exon = (2, 20) if strand == "+" else (0, 18)
    short = TranscriptMap(Transcript("S", (exon,)), "c", strand)
    assert hgvs_c(short, normalise(genome, "c", *variant), genome) == "S:n.1_2insGC"


@pytest.mark.parametrize(
    "text, expected",
    [
        ("NM_000059.4:c.8165C>G", True),
        ("NM_000059.4(BRCA2):c.-32-13T>G", True),
        ("x:q.whatever", True),
        ("chr1:7:A:G", False),
        ("chr1:7-19", False),
        ("rs1", False),
        ("c.3G>T", False),
    ],
)
def test_form(text, expected):
    assert is_description(text) == expected


# -------------------------------------------------------------------------------------- round trips


def haplotype(bases, pos, ref, alt):
    assert bases[pos - 1 :].startswith(ref)
    return bases[: pos - 1] + alt + bases[pos - 1 + len(ref) :]


@st.composite
def changes(draw):
    """A transcript of three exons, its genome of two or three letters (which have no stop codon),
    and a change of it."""
    strand = draw(st.sampled_from("+-"))
    letters = draw(st.sampled_from(["AC", "CG", "ACG"]))
    letters = letters if strand == "+" else toy.revcomp(letters)
    n = [draw(st.integers(2, 15)), *(draw(st.integers(10, 20)) for _ in range(5)), 10]
    bounds = np.cumsum(n).tolist()
    bases = draw(st.text(letters, min_size=bounds[-1], max_size=bounds[-1]))
    exons = tuple(zip(bounds[0:6:2], bounds[1:6:2]))
    cds = sorted(draw(st.tuples(*[st.integers(bounds[0], bounds[5])] * 2)))
    transcript = TranscriptMap(Transcript("T.1", exons, *cds), "c", strand)
    start = draw(st.integers(0, len(bases) - 1))
    ref = bases[start : start + draw(st.integers(0, 6))]
    alt = draw(st.text("ACGT", max_size=6) | st.text(letters, max_size=6))
    return bases, transcript, start + 1, ref, alt


@pytest.mark.slow
@settings(max_examples=400, deadline=None)
@given(changes())
def test_a_name_leads_back_to_its_variant(tmp_path_factory, change):
    """In every region and on both strands; however the variant was written."""
    bases, transcript, pos, ref, alt = change
    genome = Genome(toy.fasta(tmp_path_factory.mktemp("g") / "g.fa", c=bases))
    variant = normalise(genome, "c", pos, ref, alt)
    name = hgvs_c(transcript, variant, genome)
    changed = haplotype(bases, pos, ref, alt)
    if changed == bases:
        assert name == ""
        return
    t = transcript.transcript
    inside = t.start < variant.start and variant.start + len(variant.ref) < t.end
    assert bool(name) or not inside
    for start in range(variant.start - variant.left, variant.start + variant.right + 1):
        moved = variant.placed(start)
        before, after = bases[max(start - 2, 0) : start], bases[start + len(moved.ref) :][:2]
        spelled = normalise(
            genome,
            "c",
            start - len(before) + 1,
            before + decode(moved.ref) + after,
            before + decode(moved.alt) + after,
        )
        assert hgvs_c(transcript, spelled, genome) == name
    if not name:
        return
    found = Locator(genome, Annotation([gene(transcript)])).locate(name)
    assert haplotype(bases, *found[1:4]) == changed
    again = normalise(genome, "c", *found[1:4])
    assert hgvs_c(transcript, again, genome) == name
    if inside and not len(variant.ref):
        repeats = variant.left + variant.right >= len(variant.alt)
        assert name.endswith("dup") or not repeats or touches(variant.span, t)


def touches(span, transcript):
    """Whether a change can be placed where the transcript ends."""
    return span[0] <= transcript.start or span[1] >= transcript.end


@pytest.mark.slow
@settings(max_examples=200, deadline=None)
@given(changes())
def test_the_last_placement_is_named(tmp_path_factory, change):
    """No other way to take as many bases away, further on in the transcript, does the same."""
    bases, transcript, pos, ref, _ = change
    genome = Genome(toy.fasta(tmp_path_factory.mktemp("g") / "g.fa", c=bases))
    name = hgvs_c(transcript, normalise(genome, "c", pos, ref, ""), genome)
    if not name:
        return
    step = 1 if transcript.strand == "+" else -1
    places = [transcript.place(i) for i in range(len(bases))]
    start = pos - 1
    same = [
        i
        for i in range(len(bases) - len(ref) + 1)
        if bases[:i] + bases[i + len(ref) :] == bases[:start] + bases[start + len(ref) :]
        and all(places[i : i + len(ref)])
    ]
    last = max(same, key=lambda i: i * step)
    ends = [last, last + len(ref) - 1][::step]
    numbers = [number(transcript, places[i]) for i in ends]
    text = numbers[0] if len(ref) == 1 else "_".join(numbers)
    assert name.split(":")[1][2:] == f"{text}del"


def number(transcript, place):
    first, end = transcript.cds or (0, transcript.length)
    numbers = [f"-{n}" for n in range(first, 0, -1)]
    numbers += [str(n) for n in range(1, end - first + 1)]
    numbers += [f"*{n}" for n in range(1, transcript.length - end + 1)]
    return numbers[place.base] + (f"{place.offset:+}" if place.offset else "")


# ------------------------------------------------------------------------------------- the commands

GENES = """\
c\tx\tmRNA\t11\t110\t.\t+\t.\tID=P.2;Parent=PPP1
c\tx\texon\t11\t30\t.\t+\t.\tParent=P.2
c\tx\texon\t61\t75\t.\t+\t.\tParent=P.2
c\tx\texon\t96\t110\t.\t+\t.\tParent=P.2
c\tx\tCDS\t12\t100\t.\t+\t0\tParent=P.2
"""


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    folder = tmp_path_factory.mktemp("commands")
    (folder / "m").mkdir()
    (folder / "g.gff3").write_text(GENES)
    fasta = toy.fasta(folder / "g.fa", chrd=BASES, chrc=BASES)
    model = toy.bundle(folder / "m")
    return ["-f", fasta, "-a", str(folder / "g.gff3"), "--model", model]


def run(*args, code=0):
    result = CliRunner().invoke(main, list(map(str, args)))
    assert result.exit_code == code, result.output
    return result


def records(text):
    return [line.split("\t") for line in text.splitlines() if not line.startswith("#")]


def test_explain_takes_a_description_and_names_the_variant(files, tmp_path):
    by_name = run("explain", "P.2:c.6del", "--json", tmp_path / "a.json", *files)
    by_place = run("explain", "c:16:CA:C", "--json", tmp_path / "b.json", *files)
    assert by_name.stdout.replace("chrc:", "c:") == by_place.stdout
    assert "\n  P.2:c.8del\n" in by_name.stdout
    (shown,) = json.loads((tmp_path / "a.json").read_text())["genes"]
    assert shown["hgvsc"] == "P.2:c.8del"
    told = run("explain", "PPP1:c.3G>T", *files)
    assert "samvar: PPP1 is taken for its transcript P.2\n" in told.stderr
    run("explain", "c:30-40", "--json", tmp_path / "c.json", *files)
    (region,) = json.loads((tmp_path / "c.json").read_text())["genes"]
    assert region["hgvsc"] is None


def test_explain_tells_what_is_wrong_with_a_description(files):
    assert run("explain", "P.3:c.6del", *files, code=1).stderr == (
        "samvar: error: P.3:c.6del: g.gff3 has P.2, not P.3\n"
    )


def test_annotate_a_list(files, tmp_path):
    names = ["d:g.3T>G", "P.2:c.29_31dup", "P.2:c.3G>T", "P.2:c.19+1G>A"]
    for mark in ("", "\ufeff"):
        path = tmp_path / f"list{len(mark)}.txt"
        path.write_text(f"{mark}# variants\n\n {names[1]}\r\n" + "\n".join(names[::2] + names[3:]))
        result = run("annotate", "--hgvs", path, "--hgvs-out", "--no-version", *files)
        rows = records(result.stdout)
        assert [(r[2], r[0], r[1], r[3], r[4]) for r in rows] == [
            (names[0], "chrd", "3", "T", "G"),  # the FASTA begins with it
            (names[2], "chrc", "14", "G", "T"),
            (names[3], "chrc", "31", "G", "A"),
            (names[1], "chrc", "65", "G", "GCAT"),
        ]
        fields = [dict(e.split("=", 1) for e in r[7].split(";")) for r in rows]
        assert [f["SAMVAR_STATUS"] for f in fields] == ["NO_GENE", "OK", "OK", "OK"]
        assert [f.get("SAMVAR_HGVS") for f in fields] == [
            None,
            "T|PPP1|P.2|c.3G>T",
            "A|PPP1|P.2|c.19+1G>A",
            "GCAT|PPP1|P.2|c.29_31dup",
        ]


def test_a_list_has_titles_of_clinvar_and_no_genotypes(files, tmp_path):
    listed = tmp_path / "names"
    listed.write_text("P.2(PPP1):c.3G>T (p.Met1Ile)\nP.2:c.6A > T\n")
    result = CliRunner().invoke(main, ["annotate", "--hgvs", str(listed), *files])
    assert result.exit_code == 3 and "line 2: P.2:c.6A > T: a description has no" in result.stderr
    (line,) = records(result.stdout)
    assert line[2] == "P.2(PPP1):c.3G>T"
    phased = CliRunner().invoke(main, ["annotate", "--hgvs", str(listed), *files, "--phased"])
    assert phased.exit_code == 2 and "genotypes of a VCF" in phased.stderr


def test_names_on_the_transcripts_asked_for(files, tmp_path):
    shorter = "c\tx\tmRNA\t11\t30\t.\t+\t.\tID=S.1;Parent=PPP1\n"
    shorter += "c\tx\texon\t11\t30\t.\t+\t.\tParent=S.1\n"
    genes, path, ids = tmp_path / "g.gff3", tmp_path / "list.txt", tmp_path / "ids.txt"
    genes.write_text(GENES + shorter)
    path.write_text("P.2:c.3G>T\nP.2:c.20G>C\n")
    ids.write_text("S\n")
    files = [*files[:3], str(genes), *files[4:]]
    for choice, named in (
        ("chosen", [["T|PPP1|P.2|c.3G>T"], ["C|PPP1|P.2|c.20G>C"]]),
        (ids, [["T|PPP1|S.1|n.4G>T"], ["C|PPP1|S.1|."]]),
        (
            "all",
            [["T|PPP1|P.2|c.3G>T", "T|PPP1|S.1|n.4G>T"], ["C|PPP1|P.2|c.20G>C", "C|PPP1|S.1|."]],
        ),
        ("mane", [None, None]),
    ):
        out = tmp_path / "o.vcf"
        run("annotate", "--hgvs", path, "--hgvs-out", "--transcripts", choice, "-o", out, *files)
        fields = [dict(e.split("=", 1) for e in r[7].split(";")) for r in records(out.read_text())]
        found = [f.get("SAMVAR_HGVS") for f in fields]
        assert [f and f.split(",") for f in found] == named
        assert run("verify", out, *files)


def test_lines_that_cannot_be_mapped_are_told_and_counted(files, tmp_path):
    path = tmp_path / "list.txt"
    path.write_text("P.2:c.3G>T\nP.3:c.3G>T\n\nP.2:c.3A>T\n")
    result = run("annotate", "--hgvs", path, *files, code=3)
    assert len(records(result.stdout)) == 1
    assert f"samvar: {path}, line 2: P.3:c.3G>T: g.gff3 has P.2, not P.3\n" in result.stderr
    assert f"samvar: {path}, line 4: P.2:c.3A>T: the reference has G there" in result.stderr
    assert f"samvar: 2 of 3 descriptions in {path} are left out\n" in result.stderr
    path.write_text("P.3:c.3G>T\n")
    result = run("annotate", "--hgvs", path, *files, code=1)
    assert "holds no description that can be mapped; the first: " in result.stderr
    path.write_text("# none\n")
    assert (
        "holds no description that can be mapped\n"
        in run("annotate", "--hgvs", path, *files, code=1).stderr
    )
    run("annotate", "x.vcf", "--hgvs", path, *files, code=2)


def test_a_list_can_be_indexed_and_verified(files, tmp_path):
    path, out = tmp_path / "list.txt", tmp_path / "o.vcf.gz"
    path.write_text("P.2:c.20G>C\nP.2:c.3G>T\n")
    run("annotate", "--hgvs", path, "--hgvs-out", "-o", out, "-W", *files)
    assert (tmp_path / "o.vcf.gz.csi").exists()
    assert run("verify", out, *files)


# --------------------------------------------------------------------------------------- real names


@pytest.mark.slow
def test_names_of_tested_variants(shared):
    """BRCA1 (minus strand) and BRCA2 in hg38, by the names that their sources give them."""
    genome = Genome(shared("genome/hg38.fa.gz"))
    annotation = load_annotation(shared("annotation/refseq.hg38.bed12+gene.gz"))
    own = [g for g in annotation.genes if g.symbol in ("BRCA1", "BRCA2")]
    locator = Locator(genome, Annotation(own))
    maps = {t.id: TranscriptMap.of(g, t) for g in own for t in g.transcripts}
    with gzip.open(shared("variants/cispliceai_functional.hg38.tsv.gz"), "rt") as f:
        rows = [r for r in csv.DictReader(f, delimiter="\t") if r["ID"][:9] in maps]
    named = 0
    for row in rows:
        found = locator.locate(row["ID"])
        variant = normalise(genome, row["chrom"], int(row["pos"]), row["ref"], row["alt"])
        again = normalise(genome, *found[:4])
        assert (variant.span, decode(variant.alt)) == (again.span, decode(again.alt)), row["ID"]
        name = hgvs_c(maps[row["ID"][:9]], variant, genome)
        named += name.split(":")[1] == row["ID"].split(":")[1]
    assert len(rows) > 500 and named > 0.95 * len(rows)  # some spell out what they delete


PUBLISHED = {  # GRCh38, as ClinVar has them
    "NM_000059:c.8165C>G": ("chr13", 32363367, "C", "G"),
    "NM_000152:c.-32-13T>G": ("chr17", 80104542, "T", "G"),
    "NM_000492:c.1521_1523del": ("chr7", 117559590, "ATCT", "A"),
    "NM_000492:c.3717+12191C>T": ("chr7", 117639961, "C", "T"),
    "NM_170707:c.1824C>T": ("chr1", 156138613, "C", "T"),
    "NC_000013.11:g.32363367C>G": ("chr13", 32363367, "C", "G"),
}


@pytest.mark.slow
def test_published_places(shared):
    genome = Genome(shared("genome/hg38.fa.gz"))
    annotation = load_annotation(shared("annotation/refseq.hg38.bed12+gene.gz"))
    own = [g for g in annotation.genes if g.symbol in ("BRCA2", "CFTR", "GAA", "LMNA")]
    locator = Locator(genome, Annotation(own))
    for name, place in PUBLISHED.items():
        assert locator.locate(name)[:4] == place
    with pytest.raises(HgvsError, match="GRCh37, 115169878 bases long; chr13 of .* has 114364328"):
        locator.locate("NC_000013.10:g.32363367C>G")
