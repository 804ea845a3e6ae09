import os

import numpy as np
import pysam
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from samvar.errors import GenomeError
from samvar.files import BGZF_EOF
from samvar.genomics import variant
from samvar.genomics.genome import ContigNames, Genome, decode, encode, reverse_complement
from samvar.genomics.variant import Status, allele_status, normalise

from . import toy

BASES = st.text(alphabet="ACGT", min_size=1, max_size=6)


def apply(genome, contig, variant):
    n = genome.lengths[contig]
    codes = genome.codes(contig, 0, n)
    return decode(
        np.concatenate(
            (codes[: variant.start], variant.alt, codes[variant.start + len(variant.ref) :])
        )
    )


@pytest.fixture(scope="module")
def genome(tmp_path_factory):
    # short repeats of every kind, so that indels can move
    path = tmp_path_factory.mktemp("genome") / "g.fa"
    return Genome(toy.fasta(path, c1="GATTTTTACACACACAGGCATCATCATGNNACGTacgtRYACGT", chr2="ACGT"))


def test_codes_are_case_blind_and_pad_beyond_the_contig(genome):
    assert decode(genome.codes("c1", -2, 3)) == "NNGAT"
    assert decode(genome.codes("c1", 28, 46)) == "NNACGTACGTNNACGTNN"


def test_reverse_complement_is_its_own_inverse():
    codes = encode("ACGTNACG")
    assert decode(reverse_complement(codes)) == "CGTNACGT"
    assert (reverse_complement(reverse_complement(codes)) == codes).all()


def test_contig_names_are_reconciled(genome):
    assert genome.contig("2") == "chr2"
    assert genome.contig("c1") == "c1"
    assert genome.contig("3") is None
    assert ContigNames({"chrM"}).find("MT") == "chrM"
    assert (
        ContigNames({"Chr1", "2"}).find("chr1") == "Chr1"
        and ContigNames({"Chr1"}).find("1") == "Chr1"
    )
    assert ContigNames({"1", "chr1"}).find("chr1") == "chr1"
    both = ContigNames({"chrM", "chrMT"})
    assert [both.find(n) for n in ("M", "MT", "chrM", "chrMT", "Mt")] == [
        "chrM",
        "chrMT",
        "chrM",
        "chrMT",
        "chrM",
    ]
    assert both.key("MT") == both.key("chrMT") != both.key("M")


@pytest.mark.parametrize(
    "other",
    [
        ">a\nACGTACGT\nACGT\n>b\nAC\n",
        ">a x\nACGTACGT\nAC\n>b\nACGT",
        ">a\nACGTACGT\nACG\n>c\nAC\n",
        ">a\nACGTACGT\nACG\n>b\nA",
        ">a\nACGTACGT\nACG\n>b\nAC\n>d\nA\n",
    ],
)
def test_index_of_another_version_of_the_fasta_is_refused(tmp_path, other):
    path = tmp_path / "x.fa"
    path.write_text(">a x\nACGTACGT\nACG\n>b\nAC\n")
    assert Genome(str(path)).lengths == {"a": 11, "b": 2}
    assert Genome(str(path)).lengths == {"a": 11, "b": 2}
    path.write_text(other)
    with pytest.raises(GenomeError, match="samtools faidx"):
        Genome(str(path))


@pytest.mark.parametrize("suffix", ["", ".gz"])
def test_what_htslib_reads_is_read(tmp_path, suffix):
    """Two sequences of one name, a blank before a name, an index in another order or of less."""
    a, b, c = (toy.random_bases(70_000, seed=i) for i in range(3))
    plain = tmp_path / "x.fa"
    plain.write_text(f"> a\n{a}\n>b title\n{b}\n>b\nACGT\n>c\n{c}\n>b\nAC\n\n")
    path = str(plain) + suffix
    if suffix:
        pysam.tabix_compress(str(plain), path)
    index = tmp_path / f"x.fa{suffix}.fai"
    assert list(Genome(path).lengths) == ["a", "b", "c"]
    rows = index.read_text().splitlines(True)
    for order in ((2, 0, 1), (1,), (0, 2)):
        index.write_text("".join(rows[i] for i in order))
        genome = Genome(path)
        assert list(genome.lengths) == ["abc"[i] for i in order]
        for i in order:
            assert decode(genome.codes("abc"[i], 0, 70_000)) == (a, b, c)[i]
    index.write_text(rows[0].replace("70000", "69999"))
    with pytest.raises(GenomeError, match=r"does not fit the FASTA \(a\)"):
        Genome(path)


@pytest.mark.parametrize("suffix", ["", ".gz"])
def test_an_index_appears_only_when_it_is_complete(tmp_path, monkeypatch, suffix):
    path = toy.fasta(tmp_path / "x.fa", a="ACGT")
    if suffix:
        pysam.tabix_compress(path, path + suffix)
    made, faidx = [], pysam.faidx
    before = set(os.listdir(tmp_path))
    monkeypatch.setattr(
        "pysam.faidx",
        lambda *args, **more: made.append((faidx(*args, **more), os.listdir(tmp_path))),
    )
    Genome(path + suffix)
    ((_, files),) = made
    assert not [f for f in files if f.endswith((".fai", ".gzi"))]
    assert set(os.listdir(tmp_path)) - before == {f"x.fa{suffix}.fai"} | (
        {"x.fa.gz.gzi"} if suffix else set()
    )


def test_missing_index_is_made_and_missing_file_named(tmp_path):
    path = toy.fasta(tmp_path / "x.fa", a="ACGT")
    assert Genome(path).lengths == {"a": 4}
    assert (tmp_path / "x.fa.fai").exists()
    with pytest.raises(GenomeError, match="not found"):
        Genome(str(tmp_path / "none.fa"))


@pytest.mark.parametrize(
    "content, cause",
    [
        (b"\xef\xbb\xbf>a\nACGT\n", "byte order mark"),
        (b"", "is empty"),
        (b"ACGT\n", "does not begin with >"),
        (b"@r\nACGT\n+\nIIII\n", "begin with > and a name, but with b'@r"),
        (b">a\nACGT\nAC\nACGT\n", r"different lengths in the sequence 'a' \(line 4\)"),
        (b">b\nAC\n>a x\nACGT\nAC\n\nACGT\n", r"in the sequence 'a x' \(line 7\)"),
        (b">a\rACGT\rAC\r", "lines end in CR alone"),
        (b">a\nACGT\n>b\n", r"has no bases in the sequence 'b' \(before line 4\)"),
    ],
)
def test_what_is_no_fasta_is_told_by_its_beginning(tmp_path, content, cause):
    (tmp_path / "x.fa").write_bytes(content)
    with pytest.raises(GenomeError, match=cause):
        Genome(str(tmp_path / "x.fa"))


@pytest.mark.parametrize("index", [True, False])
def test_a_truncated_fasta_is_refused_before_an_index_is_made(tmp_path, index):
    """Also where it ends with a whole block."""
    path = str(tmp_path / "x.fa.gz")
    with pysam.BGZFile(path, "w") as f:
        f.write(b">a\n" + b"ACGT" * 50_000 + b"\n")
    if index:
        Genome(path)
    with open(path, "rb") as f:
        whole = f.read()
    with open(path, "wb") as f:
        f.write(whole.removesuffix(BGZF_EOF))
    with pytest.raises(GenomeError, match="x.fa.gz is truncated.*Copy it again"):
        Genome(path)
    assert os.path.exists(path + ".fai") == index


def test_an_index_that_ends_one_base_too_late_is_another_versions(tmp_path):
    """The last sequence lost a base after the index was made."""
    path = tmp_path / "x.fa"
    path.write_bytes(b">a\nACGT\nACGT\n")
    Genome(str(path))
    path.write_bytes(b">a\nACGT\nACG\n")
    with pytest.raises(GenomeError, match=r"does not fit the FASTA \(a\)"):
        Genome(str(path))


def test_gzip_that_is_not_bgzip_is_explained(tmp_path):
    import gzip

    path = tmp_path / "x.fa.gz"
    path.write_bytes(gzip.compress(b">a\nACGT\n"))
    with pytest.raises(GenomeError, match=r"gzip -dc .*x.fa.gz \| bgzip"):
        Genome(str(path))


@pytest.mark.parametrize(
    "pos, ref, alt, expected",
    [
        (1, "G", "*", Status.STAR),
        (1, "G", "G]c1:5]", Status.BND),
        (1, "G", ".A", Status.BND),
        (1, "G", "<DEL>", Status.SYMBOLIC),
        (1, "G", "<NON_REF>", Status.SYMBOLIC),
        (1, "G", "R", Status.NON_ACGT),
        (40, "G", "A", Status.REF_N),
        (44, "TA", "T", Status.CONTIG_END),
        (99, "G", "A", Status.CONTIG_END),
        (0, "G", "A", Status.CONTIG_END),
        (29, "N", "A", Status.REF_N),
        (1, "N", "A", Status.REF_N),
        (1, "GAn", "A", Status.REF_N),
        (1, "A", "C", Status.REF_MISMATCH),
        (1, "g", "t", None),
    ],
)
def test_status(genome, pos, ref, alt, expected):
    assert allele_status(genome, "c1", pos, ref, alt) is expected


def test_status_without_contig(genome):
    assert allele_status(genome, None, 1, "G", "A") is Status.NO_CONTIG


def test_trimming_and_span(genome):
    v = normalise(genome, "c1", 3, "TTT", "TT")  # one T of five
    assert (v.span, len(v.ref), len(v.alt)) == ((2, 7), 1, 0)
    v = normalise(genome, "c1", 8, "ACAC", "AC")  # one of four AC, the A of TTTTTA before it
    assert v.span == (7, 16)
    v = normalise(genome, "c1", 1, "GAT", "GCT")
    assert (v.start, decode(v.ref), decode(v.alt), v.span) == (1, "A", "C", (1, 2))
    v = normalise(genome, "c1", 1, "GAT", "GCCT")  # delins
    assert (v.start, decode(v.ref), decode(v.alt)) == (1, "A", "CC")


@settings(max_examples=300, deadline=None)
@given(start=st.integers(0, 26), n=st.integers(0, 5), alt=BASES)
def test_every_placement_makes_the_same_haplotype_and_the_same_normal_form(genome, start, n, alt):
    whole = decode(genome.codes("c1", 0, genome.lengths["c1"]))
    ref = whole[start : start + n + 1]
    v = normalise(genome, "c1", start + 1, ref, alt)
    expected = whole[:start] + alt + whole[start + n + 1 :]
    for at in range(v.span[0], v.start + v.right + 1):
        placed = v.placed(at)
        assert apply(genome, "c1", placed) == expected
        if len(placed.ref) != len(placed.alt) and 0 in (len(placed.ref), len(placed.alt)):
            before = whole[at - 1] if at else None
            if before:  # written as VCF writes it, at this placement
                again = normalise(
                    genome, "c1", at, before + decode(placed.ref), before + decode(placed.alt)
                )
                assert again.span == v.span
    with pytest.raises(ValueError):
        v.placed(v.start + v.right + 1)


def test_a_long_perfect_repeat_is_bounded_for_every_spelling(tmp_path):
    """An indel in 5,000 bases of AC stands at its left-most place, wherever it was written."""
    bases = "GATTG" + "AC" * 2500 + "TGCA"
    genome = Genome(toy.fasta(tmp_path / "r.fa", c=bases))
    whole = None
    for pos in (5, 500, 4998):
        ref = bases[pos - 1 : pos + 2]
        v = normalise(genome, "c", pos, ref, ref[0])
        assert (v.start, v.left, v.right) == (5, 0, variant.MOST_SHIFT)
        assert apply(genome, "c", v) == bases[:5] + bases[7:]
        whole = whole or v
        assert v.span == whole.span and decode(v.ref) == decode(whole.ref) == "AC"
    shorter = "GATTG" + "AC" * 400 + "TGCA"
    short = Genome(toy.fasta(tmp_path / "s.fa", c=shorter))
    v = normalise(short, "c", 205, shorter[204:207], shorter[204])
    assert v.left + v.right == 798
