"""What `samvar explain` takes a text for, where names hold colons and IDs look like places."""

import io

import pysam
import pytest

from samvar.errors import SamvarError
from samvar.formats.request import Description, Haplotype, Region, WrittenVariant, asked_for

from . import toy

HLA = "HLA-A*01:01:01:01"


def variant(contig, pos, ref, *alts):
    return [WrittenVariant(contig, pos, ref, alts)]


@pytest.mark.parametrize(
    "text, expected",
    [
        ("c:7:A:G", variant("c", 7, "A", "G")),
        ("c:1,207:A:G,T", variant("c", 1207, "A", "G", "T")),
        ("other:7:a:g", variant("other", 7, "a", "g")),
        ("c:7:A:<DUP:TANDEM>,<DEL>", variant("c", 7, "A", "<DUP:TANDEM>", "<DEL>")),
        ("c:7:A:A[c:20[,*", variant("c", 7, "A", "A[c:20[", "*")),
        ("c:7:A:]other:20]A", variant("c", 7, "A", "]other:20]A")),
        ("c:7:-:G", variant("c", 7, "-", "G")),
        (f"{HLA}:7:A:G", variant(HLA, 7, "A", "G")),
        ("x:5:A:C:7:G:T", variant("x:5:A:C", 7, "G", "T")),
        ("c:7-1,900", Region("c", 7, 1900)),
        ("other:7-19", Region("other", 7, 19)),
        (f"{HLA}:7-19", Region(HLA, 7, 19)),
        ("c:1-9:7-19", Region("c:1-9", 7, 19)),
        ("NM_1.2:c.-32-13T>G", Description("NM_1.2:c.-32-13T>G")),
        ("c:g.7_9del", Description("c:g.7_9del")),
        ("x:c.5:7:A:G", variant("x:c.5", 7, "A", "G")),
    ],
)
def test_variants_and_regions(text, expected):
    assert asked_for(text, ["c", HLA, "x:5:A:C", "c:1-9", "x:c.5"]) == expected


@pytest.mark.parametrize(
    "text", ["rs1", "c", "c:7", f"{HLA}:1304", HLA, "MantaINS:55:0:0:0:1:0", ":7:A:G", "c:7:A:", ""]
)
def test_what_needs_a_vcf_says_so(text):
    with pytest.raises(SamvarError, match="--vcf FILE"):
        asked_for(text, ["c", HLA])


ONE, TWO = WrittenVariant("c", 7, "A", ("G",)), WrittenVariant("c", 9, "CT", ("C",))


@pytest.mark.parametrize(
    "text, expected",
    [
        ("c:7:A:G+c:9:CT:C", (ONE, TWO)),
        ("c:7:A:G + c:9:CT:C", (ONE, TWO)),
        ("c:7:A:G+c:9:CT:C+c:7:A:G", (ONE, TWO, ONE)),
        ("NM_1.2:c.5+3A>G+c:9:CT:C", (Description("NM_1.2:c.5+3A>G"), TWO)),
        (
            "NM_1.2:c.5+3_5+9del+NM_1.2:c.7T>C (p.X)",
            (Description("NM_1.2:c.5+3_5+9del"), Description("NM_1.2:c.7T>C")),
        ),
    ],
)
def test_variants_of_a_haplotype(text, expected):
    assert asked_for(text, ["c"]) == Haplotype(expected)


@pytest.mark.parametrize("text", ["NM_1.2:c.5+3A>G", "c+d:7:A:G"])
def test_a_plus_may_be_part_of_one_variant(text):
    asked = asked_for(text, ["c", "c+d"])
    assert asked in (Description(text), [WrittenVariant("c+d", 7, "A", ("G",))])


@pytest.mark.parametrize("text", ["c:7:A:G+c:9-12", "c:7:A:G,T+c:9:CT:C"])
def test_a_haplotype_is_of_single_variants(text):
    with pytest.raises(SamvarError, match="must be one variant with one ALT"):
        asked_for(text, ["c"])


def test_a_haplotype_of_records(vcf):
    ids = asked_for("rs1+rs3", ["c"], vcf)
    assert ids == Haplotype((variant("c", 26, "A", "T")[0], variant("c", 27, "A", "T")[0]))
    mixed = asked_for("c:22+c:9:CT:C", ["c"], vcf)
    assert mixed == Haplotype((variant("c", 22, "A", "C")[0], TWO))


def test_a_record_tells_its_haplotypes(tmp_path):
    rows = "G|S|9_CT_C+12_A_T|1|X|0.1,G|S|9_CT_C+12_A_T|2|Y|0.1,T|S|9_CT_C|1|X|0.3,"
    rows += "C|S|9_CT_C|1|X|0.3,"  # of an ALT that has a record of its own now
    rows += "G|S|elsewhere|1|X|0.3,G"  # not written by samvar
    path = toy.vcf(tmp_path / "x.vcf", f"c\t7\trs1\tA\tG,T\t.\t.\tDP=3;SAMVAR_HAP={rows}")
    ((*_, haplotypes),) = asked_for("rs1", ["c"], path)
    assert haplotypes == ("c:7:A:G+c:9:CT:C+c:12:A:T", "c:7:A:T+c:9:CT:C")
    assert all(asked_for(h, ["c"]).variants for h in haplotypes)


@pytest.mark.parametrize("text", ["c:9-3", "c:0-3"])
def test_a_region_that_is_none(text):
    with pytest.raises(SamvarError, match="positions count from 1"):
        asked_for(text, ["c"])


RECORDS = {  # ID -> record
    "MantaINS:55:0:0:0:1:0": ("c", 20, "G", "GTT"),
    "MantaDEL:1:2:2:0:0:0": ("c", 21, "GTA", "G"),
    "c:21-30": ("c", 22, "A", "C"),
    "c:7:A:G": ("c", 23, "A", "T"),
    "c:20": ("c", 24, "A", "T"),
    HLA: ("c", 25, "A", "T"),
    "rs1;rs2": ("c", 26, "A", "T"),
    "c:27-28;rs3": ("c", 27, "A", "T"),
    "c": ("c", 28, "A", "T"),
    "7": (HLA, 1304, "A", "T,<DEL>"),
    "NM_1:c.5A>T": ("c", 31, "A", "T"),
}


@pytest.fixture(params=["plain", "with contigs"])
def vcf(tmp_path, request):
    lines = ["\t".join([c, str(p), i, r, a, ".\t.\t."]) for i, (c, p, r, a) in RECORDS.items()]
    lines += ["chrc\t20\t.\tA\tC\t.\t.\t.", "c\t30\tnone\tA\t.\t.\t.\t."]
    contigs = [f"##contig=<ID={name}>" for name in ("c", HLA)] * (request.param != "plain")
    header = ("##fileformat=VCFv4.3", *contigs)
    return toy.vcf(tmp_path / "x.vcf", *lines, header=header)


@pytest.mark.parametrize("text", [*RECORDS, "rs1", "rs2", "rs3", "c:27-28"])
def test_an_id_of_the_vcf_comes_first(vcf, text):
    (contig, pos, ref, alts) = next(r for i, r in RECORDS.items() if text in (i, *i.split(";")))
    assert asked_for(text, ["c", HLA], vcf) == variant(contig, pos, ref, *alts.split(","))


@pytest.mark.parametrize("contigs", [["c", HLA], ["c"], ["else"]])
def test_then_a_place_on_a_known_contig(vcf, contigs):
    assert asked_for(f"{HLA}:1,304", contigs, vcf) == variant(HLA, 1304, "A", "T", "<DEL>")
    assert asked_for("c:22", contigs, vcf) == variant("c", 22, "A", "C")
    assert asked_for("chr_c:21:T:A", contigs, vcf) == variant("chr_c", 21, "T", "A")
    assert asked_for("c:21-29", contigs, vcf) == Region("c", 21, 29)


def test_the_contig_of_exactly_this_name_goes_before_its_alias(vcf):
    assert asked_for("chrc:20", ["c"], vcf) == variant("chrc", 20, "A", "C")
    assert asked_for("chrc:22", ["c"], vcf) == variant("c", 22, "A", "C")


@pytest.mark.parametrize("text", ["rs9", "c:29", "c:30", "none", ".", "rs1;rs3", "MantaINS:55"])
def test_what_the_vcf_does_not_have(vcf, text):
    with pytest.raises(SamvarError, match="x.vcf has no record .* with an ALT"):
        asked_for(text, ["c", HLA], vcf)


class Terminal(io.StringIO):
    def isatty(self):
        return True


@pytest.mark.parametrize("end", ["vcf", "vcf.gz"])
def test_progress_shows_on_a_terminal_alone_with_the_total_that_an_index_has(
    tmp_path, monkeypatch, end
):
    path = toy.vcf(tmp_path / "x.vcf", *(("c", pos, "A", "C") for pos in (3, 5, 7)))
    if end == "vcf.gz":
        path = pysam.tabix_index(path, preset="vcf")
    for stream, shown in ((Terminal(), True), (io.StringIO(), False)):
        monkeypatch.setattr("sys.stderr", stream)
        assert asked_for("c:5", ["c"], path) == variant("c", 5, "A", "C")
        assert bool(stream.getvalue()) == shown
        if shown:
            assert ("3/3" if end == "vcf.gz" else "3record") in stream.getvalue()
