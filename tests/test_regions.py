import gzip
import os
import threading

import pysam
import pytest

from samvar.errors import RegionError
from samvar.formats.regions import Regions, span_end


def first(regions, pos, ref="A", alts=("C",), info=b".", contig="1"):
    return regions.first(contig, pos, ref, alts, info)


def test_forms_of_a_region_and_merging():
    r = Regions.parse("chr1:1,000-2,000,chr1:1500-2500,2:7,X:5-,HLA-A*01:01:01,1:3000")
    assert r.on("1") == [(999, 2500), (2999, 3000)]
    assert r.on("chr2") == [(6, 7)] and r.on("X")[0][0] == 4 and r.on("HLA-A*01:01")[0] == (0, 1)
    assert r.on("3") == []
    assert Regions.parse("MT").on("chrM")[0][0] == 0


def test_a_known_contig_may_have_colons(tmp_path):
    names = ["HLA-A*01:01", "chr7"]
    r = Regions.parse("HLA-A*01:01,HLA-A*01:01:5-9,HLA-B*02:03", names=names)
    assert (
        r.on("HLA-A*01:01")[0][0] == 0
        and r.on("HLA-A*01:01")[0][1] > 9
        and r.on("HLA-B*02") == [(2, 3)]
    )
    assert Regions.parse("HLA-A*01:01:5-9", names=names).on("HLA-A*01:01") == [(4, 9)]
    path = tmp_path / "r.txt"
    path.write_text("HLA-A*01:01\n")
    assert Regions.read(str(path), names=names).on("HLA-A*01:01") == r.on("HLA-A*01:01")
    assert r.unknown(names) == ["HLA-B*02"] and Regions.parse("7:1-5").unknown(names) == []


def test_commas_of_known_contigs_separate_nothing():
    names = ["BCAT1,_pyridoxal", "a", "b", "a,b,c"]
    r = Regions.parse(
        "a:5,BCAT1,_pyridoxal:2-9,a,b,c,b:7,BCAT1,_pyridoxal:1,000-1,001", names=names
    )
    assert r.contigs == ["a", "BCAT1,_pyridoxal", "a,b,c", "b"] and r.unknown(names) == []
    assert r.on("BCAT1,_pyridoxal") == [(1, 9), (999, 1001)] and r.on("b") == [(6, 7)]


def test_exclusion_is_refused():
    for read in (Regions.parse, Regions.read):
        with pytest.raises(RegionError, match=r"a leading \^"):
            read("^chr1:5-9")


@pytest.mark.parametrize("text", ["", "1:a-b", "1:0-5", "1:9-5", "1:"])
def test_bad_regions_are_named(text):
    with pytest.raises(RegionError):
        Regions.parse(text)


@pytest.mark.parametrize("overlap, selected", [("pos", False), ("record", True), ("variant", True)])
def test_a_deletion_from_before_the_region(overlap, selected):
    r = Regions.parse("1:11-20", overlap)
    assert (first(r, 9, "ACGT", ("A",)) is not None) == selected
    assert first(r, 9, "AC", ("A",)) is None
    assert first(r, 20) == 0 and first(r, 21) is None and first(r, 11) == 0


def test_variant_leaves_out_what_all_alts_share_with_ref():
    r = Regions.parse("1:10-10", "variant")
    assert first(r, 10, "AC", ("A",)) is None and first(r, 10, "AC", ("A", "T")) == 0
    assert (
        first(r, 9, "A", ("AT",)) is None and first(r, 10, "A", ("AT",)) is None
    )  # an insertion lies between two
    assert first(Regions.parse("1:2-3,1:9-10", "variant"), 9, "A", ("AT",)) == 1


def test_end_in_info_counts_as_the_records():
    r = Regions.parse("1:15-20")
    assert first(r, 10, "A", ("<DEL>",), b"X=1;END=15") == 0
    assert first(r, 10, "A", ("<DEL>",), b"X=1;CIEND=15") is None


SPANS = [  # alts, INFO, FORMAT and samples, last base of a record at 100 with REF ACG
    ("<DEL>", "SVLEN=50", "", 150),
    ("<DEL>", "SVLEN=-50", "", 150),
    ("<DUP:TANDEM>", "X;SVLEN=50", "", 150),
    ("<CNV:TR>,<INV>", "SVLEN=50,70", "", 170),
    ("<INS>,<DEL>", "SVLEN=70,50", "", 150),
    ("G,<DEL>", "SVLEN=.,50", "", 150),
    ("<DEL>", "SVLEN=50;END=200", "", 200),
    ("<DEL>", "END=120;SVLEN=50", "", 150),
    ("<INS>", "SVLEN=50", "", 102),
    ("<DELX>", "SVLEN=50", "", 102),
    ("<DEL>", "SVLEN=.", "", 102),
    ("<DEL>", "XSVLEN=50;CIEND=190", "", 102),
    ("G", "SVLEN=50", "", 102),
    ("<*>", ".", "GT:LEN\t0/0:50", 149),
    ("G,<*>", ".", "GT:LEN\t0/0:50\t0/0\t0/0:70", 169),
    ("<NON_REF>", "END=150", "GT:LEN\t0/0:.", 150),
    ("G", ".", "GT:LEN\t0/0:50", 102),
]


@pytest.mark.parametrize("alts, info, samples, end", SPANS)
def test_the_span_of_a_record_is_htslibs(tmp_path, alts, info, samples, end):
    found = span_end(100, "ACG", tuple(alts.split(",")), info.encode(), samples.encode() + b"\n")
    assert found == end
    lines = [
        "##fileformat=VCFv4.5",
        "##contig=<ID=c,length=999>",
        '##INFO=<ID=SVLEN,Number=A,Type=Integer,Description="x">',
        '##INFO=<ID=END,Number=1,Type=Integer,Description="x">',
        *(f'##INFO=<ID={k},Number=1,Type=String,Description="x">' for k in ("XSVLEN", "CIEND")),
        '##INFO=<ID=X,Number=0,Type=Flag,Description="x">',
        '##FORMAT=<ID=GT,Number=1,Type=String,Description="x">',
        '##FORMAT=<ID=LEN,Number=1,Type=Integer,Description="x">',
        "#CHROM\tPOS\tID\tREF\tALT\tQUAL\tFILTER\tINFO"
        + "".join(f"\t{name}" for name in ("FORMAT", "s", "t", "u")[: len(samples.split("\t"))])
        * bool(samples),
        f"c\t100\t.\tACG\t{alts}\t.\t.\t{info}" + f"\t{samples}" * bool(samples),
    ]
    (tmp_path / "x.vcf").write_text("\n".join(lines) + "\n")
    with pysam.VariantFile(str(tmp_path / "x.vcf")) as file:
        assert next(file).stop == end


def test_spans_select_records():
    record, pos = Regions.parse("1:120-130"), Regions.parse("1:120-130", "pos")
    for alts, info, samples in ((("<DEL>",), b"SVLEN=50", b""), (("<*>",), b".", b"LEN\t50")):
        assert record.first("1", 100, "A", alts, info, samples) == 0
        assert pos.first("1", 100, "A", alts, info, samples) is None
    assert record.first("1", 100, "A", ("<DEL>",), b"SVLEN=19") is None


def test_two_contigs_of_one_alias_are_told_apart_where_the_fasta_has_both():
    both = Regions.parse("MT:5-9", names=["chrM", "chrMT"])
    assert both.on("chrMT") == both.on("MT") == [(4, 9)] and both.on("chrM") == []
    assert Regions.parse("MT:5-9", names=["chrM"]).on("chrM") == [(4, 9)]
    assert Regions.parse("1:5-9", names=["1", "chr1"]).on("chr1") == []


def test_first_of_several_intervals():
    r = Regions.parse("1:1-5,1:8-9,1:20-30")
    assert [first(r, p) for p in (1, 6, 8, 19, 25)] == [0, None, 1, None, 2]
    assert first(r, 4, "ACGTACGT", ("A",)) == 0 and first(r, 6, "ACGTACGT", ("A",)) == 1


def test_files_of_regions(tmp_path):
    table, bed = tmp_path / "r.tsv", tmp_path / "r.bed.gz"
    table.write_text("# comment\n1\t10\t20\nchr2\t5\n3\n")
    bed.write_bytes(gzip.compress(b"track x\n1\t9\t20\tname\n"))
    r = Regions.read(str(table))
    assert r.on("1") == [(9, 20)] and r.on("2") == [(4, 5)] and r.on("3")[0][0] == 0
    assert Regions.read(str(bed)).on("chr1") == [(9, 20)]
    table.write_text("1\tx\n")
    with pytest.raises(RegionError, match="line 1"):
        Regions.read(str(table))
    table.write_text('1\t3\t5\n"1"\t10\t15\n')
    with pytest.raises(RegionError, match="line 2: take the quotation marks away"):
        Regions.read(str(table))
    table.write_text("1\t10\t5\n")
    with pytest.raises(RegionError, match="line 1: the interval ends before"):
        Regions.read(str(table))
    bed.write_bytes(gzip.compress(b"1\t9\t9\n1\t30\t31\n"))
    assert Regions.read(str(bed)).on("1") == [(30, 31)]
    with pytest.raises(RegionError, match="cannot read"):
        Regions.read(str(tmp_path / "none"))
    table.write_text("# nothing\n")
    with pytest.raises(RegionError, match="holds no region"):
        Regions.read(str(table))


@pytest.mark.parametrize("last, info", [(5, b"."), (8, b"END=8")])
def test_without_an_alt_the_variant_lies_behind_the_record(last, info):
    """As bcftools has it, for which ALT `.` changes nothing of its bases."""
    record = "1", 5, "A", (), info
    for text, selected in ((f"1:{last}-{last}", False), (f"1:{last}-{last + 1}", True)):
        assert (Regions.parse(text, "variant").first(*record) == 0) == selected
        assert Regions.parse(text, "record").first(*record) == 0


def test_regions_from_a_pipe(tmp_path):
    for data in (b"1\t10\t20\n", gzip.compress(b"1\t10\t20\n")):
        pipe = tmp_path / "pipe"
        os.mkfifo(pipe)
        writer = threading.Thread(target=pipe.write_bytes, args=(data,))
        writer.start()
        assert Regions.read(str(pipe)).on("1") == [(9, 20)]
        writer.join()
        pipe.unlink()
