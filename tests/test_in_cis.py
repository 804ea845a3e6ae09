"""Alleles of one haplotype scored together, with a model whose answers one can work out: a donor is
as strong as the six bases behind it are like GTAAGT, an acceptor is where TTTTCAG ends."""

import io
import json
import re

import numpy as np
import pytest
from click.testing import CliRunner

from samvar.annotate import Options, annotate
from samvar.cli import main
from samvar.errors import VcfError
from samvar.formats.annotation import load_annotation
from samvar.formats.vcf import VcfReader
from samvar.formats.vcf.genotypes import Call, genotypes
from samvar.formats.vcf.record import Record
from samvar.formats.vcf.text import TextWriter
from samvar.genomics.genome import Genome, decode
from samvar.genomics.haplotype import joined, overlapping
from samvar.genomics.variant import normalise
from samvar.haplotypes import MOST_HAPLOTYPES
from samvar.model.bundle import load_bundle
from samvar.scoring.predictor import Predictor, ScoredWindow

from . import toy

LENGTH = 3000
EXONS = ((300, 500), (900, 1000), (1500, 1700))  # 0-based, in transcript orientation
DONOR = {6: 0.95, 5: 0.9, 4: 0.1}
STRANDS = pytest.mark.parametrize("strand", "+-")
WEAKER = 1004, 1005, "A"  # GTAAGA -> GTAAAA: 0.9 to 0.1
STRONGER = 1005, 1006, "T"  # GTAAGA -> GTAAGT: 0.95; of GTAAAA it makes 0.9 again
SHORTER = 942, 947, ""  # GTCCCCCAACC -> GTAACC: 0.1
ONE_MORE = 949, 950, "G"  # GTCCCCCAAGC: nothing; of GTAACC it makes GTAAGC, 0.9


class ByRule(Predictor):
    def _together(self, alike):
        return [self._by_rule(w) for windows in alike for w in windows]

    def _by_rule(self, window):
        start = window.reach[0] + window.flank
        sides = []
        for codes in (window.ref, window.alt):
            bases, n = decode(codes), window.compared + len(codes) - len(window.ref)
            p = np.zeros((1, 2, n))
            for i in range(n):
                at = start + i
                behind = bases[at + 1 : at + 7]
                if bases[at - 7 : at] == "TTTTCAG":
                    p[0, 0, i] = 0.9
                if behind.startswith("GT"):
                    p[0, 1, i] = DONOR.get(sum(map(str.__eq__, behind, "GTAAGT")), 0.0)
            sides.append(window.to_genome(p))
        return ScoredWindow(window, *sides)


def gene_bases():
    bases = list("C" * LENGTH)
    for start, end in EXONS:
        bases[start - 7 : start] = "TTTTCAG"
        bases[end : end + 6] = "GTAAGA"
    bases[940:951] = "GTCCCCCAACC"
    return "".join(bases)


@pytest.fixture(scope="module")
def worlds(tmp_path_factory):
    """Of each strand bases, genome, annotation and predictor."""
    found = {}
    for strand in "+-":
        folder = tmp_path_factory.mktemp("world")
        bases, exons = gene_bases(), [(s + 1, e) for s, e in EXONS]
        if strand == "-":
            bases = toy.revcomp(bases)
            exons = sorted((LENGTH - e + 1, LENGTH - s + 1) for s, e in exons)
        fasta = toy.fasta(folder / "g.fa", c=bases)
        table = toy.gtf(folder / "g.gtf", ("G", "c", strand, exons))
        predictor = ByRule(load_bundle(toy.bundle(folder)))
        found[strand] = bases, Genome(fasta), load_annotation(table), predictor
    return found


def written(bases, strand, start, end, new):
    """An edit in transcript orientation as POS, REF and ALT."""
    if strand == "-":
        start, end, new = LENGTH - end, LENGTH - start, toy.revcomp(new)
    anchor = 0 if new and start < end else 1
    ref = bases[start - anchor : end]
    return start - anchor + 1, ref, ref[:anchor] + new


def run(world, strand, *edits, phased=True, **options):
    """The edits, each with the samples' values, annotated: rows of SAMVAR_HAP by the edit's number,
    INFO of each record without them, and the counts."""
    bases, *parts = world[strand]
    lines = []
    for number, (edit, *values) in enumerate(edits):
        pos, ref, alt = written(bases, strand, *edit)
        fields = ["c", pos, number, ref, alt, ".", ".", ".", "GT:PS", *values]
        lines.append("\t".join(map(str, fields)))
    lines.sort(key=lambda line: int(line.split("\t")[1]))
    names = [f"S{i}" for i in range(1, len(edits[0]))]
    columns = "".join(f"\t{name}" for name in ("FORMAT", *names))
    chosen = Options(**({"rbp_min": 2.0, "phased": phased} | options))
    out = io.BytesIO()
    path = parts[0].path + ".vcf"
    with VcfReader(
        toy.vcf(path, *lines, columns=columns), [f.key for f in chosen.fields]
    ) as reader:
        stats = annotate(reader, TextWriter(out), *parts, chosen)
    told, others = {}, []
    for line in out.getvalue().decode().splitlines():
        if line.startswith("#"):
            continue
        fields = line.split("\t")
        others.append([e for e in fields[7].split(";") if not e.startswith("SAMVAR_HAP=")])
        rows = dict(e.split("=") for e in fields[7].split(";")).get("SAMVAR_HAP", "")
        told[int(fields[2])] = [row.split("|") for row in rows.split(",") if row]
    return told, others, stats.haplotypes


def deltas(row):
    """Values of AG, AL, DG, DL."""
    return [float(v) for v in row[5:9]]


@STRANDS
def test_a_lost_donor_is_rescued_by_a_second_variant(worlds, strand):
    told, _, counts = run(worlds, strand, (WEAKER, "0|1"), (STRONGER, "0|1"))
    for own, partner in ((0, 1), (1, 0)):
        (row,) = told[own]
        other = written(worlds[strand][0], strand, *(WEAKER, STRONGER)[partner])
        assert row[1:5] == ["G", "_".join(map(str, other)), "1", "S1"]
        assert deltas(row) == [0, 0, 0, 0]
        assert row[13:] == ["."] * 11  # no site changes
    assert counts.scored == 1  # once for both
    told, _, _ = run(worlds, strand, (WEAKER, "0|1"), (STRONGER, "0|1"), hap_min=0.81)
    assert told == {0: [], 1: []}  # 0.9 to 0.1, alone


@STRANDS
def test_a_deletion_and_an_snv_make_a_donor(worlds, strand):
    told, others, _ = run(worlds, strand, (SHORTER, "1|0"), (ONE_MORE, "1|0"))
    assert {e for entries in others for e in entries} >= {"SAMVAR_MAX=0.1000", "SAMVAR_MAX=0.0000"}
    pos, _, _ = written(worlds[strand][0], strand, *ONE_MORE)
    (row,) = told[1]
    assert deltas(row) == [0, 0, 0.9, 0]
    site = 940 if strand == "+" else LENGTH - 939  # 1-based
    assert row[11] == str(site - pos)
    assert row[13:18] == ["G.1", "partial_exon_deletion", "2", *row[16:18]]
    assert row[18] == "60" and {int(row[16]), int(row[17])} == (
        {941, 1000} if strand == "+" else {LENGTH - 999, LENGTH - 940}
    )


@STRANDS
@pytest.mark.parametrize(
    "first, second, copies",
    [
        ("0|1", "0|1", 1),
        ("1|0", "1|0", 1),
        ("0|1:7", "0|1:7", 1),
        ("1/1", "0|1", 1),  # on both haplotypes
        ("1/1", "1/1", 2),
        ("0/1", "1|1", 1),  # whichever it is, the other is there, too
        ("1", "1", 1),  # one haplotype
        ("0|1", "1|0", 0),
        ("0/1", "0/1", 0),
        ("0|1", "0/1", 0),
        ("0|1:7", "0|1:8", 0),
        ("0|1:7", "0|1", 0),
        (".|1", "0|.", 0),
        ("0|0", "0|1", 0),
    ],
)
def test_who_lies_on_one_haplotype(worlds, strand, first, second, copies):
    told, _, counts = run(worlds, strand, (WEAKER, first), (STRONGER, second))
    assert [row[3] for row in told[0] + told[1]] == [str(copies)] * 2 * bool(copies)
    assert counts.scored == bool(copies)


def test_single_scores_do_not_change(worlds):
    edits = (SHORTER, "1|0"), (ONE_MORE, "1|0"), (WEAKER, "0|1"), (STRONGER, "0|1")
    told, others, _ = run(worlds, "+", *edits)
    assert all(told.values())
    assert others == run(worlds, "+", *edits, phased=False)[1]


def test_the_haplotypes_of_all_samples_are_counted(worlds):
    told, _, _ = run(
        worlds,
        "+",
        (SHORTER, "1|0", "0|1", "0|0", "1|0", "1|0"),
        (ONE_MORE, "0|1", "0|1", "0|1", "1|0", "1|0"),
        (WEAKER, "0|1", "0|1", "1|0", "0|1", "1|0"),
    )
    of_shorter = {tuple(row[2].split("+")): row[3:5] for row in told[0]}
    more, weaker = (
        "_".join(map(str, written(worlds["+"][0], "+", *e))) for e in (ONE_MORE, WEAKER)
    )
    assert of_shorter == {(more, weaker): ["2", "S2"], (more,): ["1", "S4"]}
    # S1 has the first alone; with WEAKER alone, in S1 and S3 none, nothing differs from the larger


@pytest.mark.parametrize(
    "first, second, copies",
    [
        ("0|1:7", "0|1:8", {"": 1, "X": 1, "Y": 1}),  # which of the two sets' haplotypes are one?
        ("0|1:7", "0/1", {"": 1, "X": 1, "Y": 1}),
        ("0|1:7", "0|1:7", {"": 1, "XY": 1}),
        ("0|1:7", "1|0:7", {"X": 1, "Y": 1}),
        ("0|1:7", "1|1:8", {"Y": 1, "XY": 1}),
        ("0|0:7", "0|0:8", {"": 2}),
    ],
)
def test_a_haplotype_is_counted_once_in_several_phase_sets(worlds, first, second, copies):
    """On both haplotypes WEAKER and STRONGER, which rescues it, with or without two SNVs."""
    snvs = {"X": (1010, 1011, "G"), "Y": (1012, 1013, "G")}
    edits = (WEAKER, "1/1"), (STRONGER, "1/1"), (snvs["X"], first), (snvs["Y"], second)
    told, _, _ = run(worlds, "+", *edits)
    rescuer, *names = (
        "_".join(map(str, written(worlds["+"][0], "+", *e))) for e in (STRONGER, *snvs.values())
    )
    named = dict(zip(names, snvs))
    found = {}
    for row in told[0]:
        assert rescuer in row[2]
        others = [p for p in row[2].split("+") if p != rescuer]
        found["".join(named[p] for p in others)] = int(row[3])
    assert found == copies


def test_only_the_most_frequent_haplotypes_are_scored(worlds):
    edits = [((1010 + 2 * i, 1011 + 2 * i, "G"), *["0|0"] * 8) for i in range(8)]
    for i, edit in enumerate(edits):
        edits[i] = (edit[0], *("0|1" if j == i else "0|0" for j in range(8)))
    _, _, counts = run(worlds, "+", (WEAKER, *["0|1"] * 8), *edits)
    assert counts.beyond == 8 - MOST_HAPLOTYPES


def test_variants_that_overlap_are_left_out_and_told(worlds):
    inside = (944, 945, "A")
    told, _, counts = run(worlds, "+", (SHORTER, "1|0"), (inside, "1|0"))
    assert told == {0: [], 1: []} and counts.overlapping == 1
    assert counts.first_overlapping == "c:942_TCCCCC_T and 945_C_A"


def test_the_frame_is_the_limit(worlds):
    """50 compared bases and 30 of the toy's flank."""
    for away, scored in ((79, 1), (80, 1), (81, 0)):
        edit = 1004 - away, 1005 - away, "G"
        _, _, counts = run(worlds, "+", (WEAKER, "0|1"), (edit, "0|1"))
        assert counts.scored == scored


def test_a_partner_is_kept_as_long_as_an_open_record_needs_it(worlds, monkeypatch):
    """A long deletion on the other haplotype holds up the second record until one far behind
    comes."""
    monkeypatch.setattr("samvar.haplotypes.MOST_SHIFT", 5)
    far = 1675, 1676, "A" if worlds["+"][0][1675] != "A" else "C"
    edits = (SHORTER, "0|1"), ((948, 1600, ""), "1|0"), (ONE_MORE, "0|1")
    told, _, _ = run(worlds, "+", *edits, (far, "0|0"), hap_min=0.0)
    alone, _, _ = run(worlds, "+", *edits, hap_min=0.0)
    assert told[0] and told[2] and told == alone | {3: []}


def test_sites_beyond_the_distance_are_not_compared(worlds):
    """Both new donors lie within 12 bases of a variant, the lost one is further from either."""
    early, late = (960, 966, "GTAAGT"), (1016, 1022, "GTAAGT")
    told, _, _ = run(worlds, "+", (early, "0|1"), (late, "0|1"), distance=12, hap_min=0.0)
    assert told == {0: [], 1: []}


def test_records_come_out_in_order_whatever_their_place(worlds):
    bases, *parts = worlds["+"]
    rng = np.random.default_rng(0)
    positions = np.sort(rng.integers(310, 1690, 600))
    lines = [f"c\t{p}\t{i}\t{bases[p - 1]}\tA\t.\t.\t.\tGT\t0|1" for i, p in enumerate(positions)]
    lines.insert(300, lines.pop(5))  # not sorted
    lines.insert(200, "c\t1000\tx\tC\t<DEL>\t.\t.\t.\tGT\t0|1")
    path = toy.vcf(parts[0].path + ".many.vcf", *lines, columns="\tFORMAT\tS")
    chosen, out = Options(rbp_min=2.0, phased=True), io.BytesIO()
    with VcfReader(path) as reader:
        annotate(reader, TextWriter(out), *parts, chosen)
    after = [x for x in out.getvalue().decode().splitlines() if not x.startswith("#")]
    assert [x.split("\t")[:5] for x in after] == [x.split("\t")[:5] for x in lines]


@pytest.mark.slow
def test_a_haplotype_is_scored_as_one_variant_that_spells_it_out(tmp_path):
    """SNVs, with a model of random weights, on both strands: the deltas and the event."""
    bases = toy.random_bases(1500, seed=8)
    fasta = toy.fasta(tmp_path / "g.fa", c=bases)
    table = toy.gtf(
        tmp_path / "g.gtf",
        ("F", "c", "+", [(101, 400), (701, 1400)]),
        ("R", "c", "-", [(151, 500), (601, 1450)]),
    )
    genome, annotation = Genome(fasta), load_annotation(table)
    predictor = Predictor(load_bundle(toy.bundle(tmp_path)))
    rng, compared = np.random.default_rng(1), 0
    for trial in range(12):
        start, gap = int(rng.integers(350, 750)), int(rng.integers(1, 60))
        ref, other = bases[start - 1], start + gap
        snv = "ACGT"["CGTA".index(bases[other - 1])]
        alt = "ACGT"["CGTA".index(ref)]
        between = bases[start : other - 1]
        whole = start, ref + between + bases[other - 1], alt + between + snv
        parts = (start, ref, alt), (other, bases[other - 1], snv)
        options = Options(rbp_min=2.0, event_min=0.0, hap_min=0.0, phased=True)
        found = []
        for records in (parts, [whole]):
            lines = ["\t".join(("c", str(p), ".", r, a, ".", ".", ".", "GT", "1|0"))
                     for p, r, a in records]  # fmt: skip
            path, out = toy.vcf(tmp_path / "x.vcf", *lines, columns="\tFORMAT\tS"), io.BytesIO()
            with VcfReader(path) as reader:
                annotate(reader, TextWriter(out), genome, annotation, predictor, options)
            found.append(out.getvalue().decode().splitlines()[-len(records)].split("\t")[7])
        joint, single = (dict(e.split("=") for e in text.split(";")) for text in found)
        of_whole = {}
        for row in single["SAMVAR"].split(","):
            columns = row.split("|")
            of_whole[columns[1]] = columns[5:13]
        for row in joint.get("SAMVAR_HAP", "").split(","):
            columns = row.split("|")
            if row:
                assert columns[5:13] == of_whole[columns[1]], (trial, parts)
                compared += 1
    assert compared > 12


# ------------------------------------------------------------------------------------- the pieces


def record(values, form="GT:PS", alts=("A",)):
    line = "\t".join(["c", "5", ".", "C", ",".join(alts), ".", ".", ".", form, *values]) + "\r\n"
    return Record(line.encode(), 1, "c", 5, "C", tuple(alts))


@pytest.mark.parametrize(
    "value, call",
    [
        ("0|1:12", Call((0, 1), "12")),
        ("0|1:.", Call((0, 1), ".")),
        ("0|1", Call((0, 1), ".")),
        ("0/1:12", Call((0, 1), None)),
        ("1|.", Call((1, None), ".")),
        ("1", Call((1,), None)),
        ("|0|1", Call((0, 1), ".")),
        ("0|1/1", Call((0, 1, 1), None)),
        ("0|0", None),
        ("./.", None),
        (".", None),
        ("", None),
    ],
)
def test_calls(value, call):
    found = genotypes(record(["0|0", value, "0/1"]), 3).calls
    assert found.get(1) == call and found[2] == Call((0, 1), None) and 0 not in found


@pytest.mark.parametrize(
    "values, complete",
    [
        (["0|1", "./.", "0"], True),
        (["0|1", ".", "|0|1:7"], True),
        (["0|1", "0|1"], False),
        (["0|1"] * 4, False),
        (["0|1", "0|0", ""], False),
        (["0|1", "0|0", "0|3"], False),  # the record has one ALT
        (["0|1", "0|0", "0|x"], False),
        (["0|1", "0|0", "0|"], False),
    ],
)
def test_what_is_no_genotype_is_told_and_the_others_are_read(values, complete):
    found = genotypes(record(values), 3)
    assert found.complete == complete and found.calls[0] == Call((0, 1), ".")
    assert set(found.calls) <= {0, 1, 2}


def test_calls_without_genotypes():
    without = Record(b"c\t5\t.\tC\tA\t.\t.\t.\n", 1, "c", 5, "C", ("A",))
    for r in (record(["3"], "DP"), without):
        assert genotypes(r, 1) == ({}, False)


def test_joined_variants_make_their_haplotype(tmp_path):
    bases = toy.random_bases(300, seed=4)
    genome = Genome(toy.fasta(tmp_path / "g.fa", c=bases))
    edits = [(50, "G"), (51, "TT"), (60, ""), (71, "ACGT")]
    ends = [51, 51, 64, 71]  # an SNV or none, insertions, a deletion
    variants, haplotype, done = [], "", 0
    for (start, new), end in zip(edits, ends):
        anchored = start - 1
        ref = bases[anchored:end]
        variants.append(normalise(genome, "c", anchored + 1, ref, ref[0] + new))
        haplotype += bases[done:start] + new
        done = end
    haplotype += bases[done:]
    together = joined(genome, variants)
    made = bases[: together.start] + decode(together.alt)
    made += bases[together.start + len(together.ref) :]
    assert not overlapping(variants) and made == haplotype


@pytest.mark.parametrize(
    "first, second, overlap",
    [
        ((10, 11), (11, 12), False),
        ((10, 13), (12, 13), True),
        ((10, 13), (13, 13), False),  # an insertion behind a deletion
        ((10, 13), (11, 11), True),  # within it
        ((10, 10), (10, 11), False),  # before a base that changes
        ((10, 10), (10, 10), True),
    ],
)
def test_which_overlap(first, second, overlap):
    from samvar.genomics.variant import Variant

    codes = np.zeros(1, np.uint8)
    pair = [Variant("c", s, np.zeros(e - s, np.uint8), codes) for s, e in (first, second)]
    assert overlapping(pair) == overlap


# ------------------------------------------------------------------------------- the command line


def check_verified(args, text, folder):
    """`samvar verify` accepts the rows of SAMVAR_HAP, and none that says something else; nor that
    one is missing."""
    rows = re.findall(r"SAMVAR_HAP=([^;\t\n]+)", text)
    assert len(rows) == 2
    cells = rows[0].split("|")
    cells[5] = f"{(float(cells[5]) + 0.5) % 1:.4f}"
    other_partner = rows[0].replace(f"|{rows[0].split('|')[2]}|", "|7_C_A|")
    out = folder / "out.vcf"

    def verified(entry):
        out.write_text(text.replace(f"SAMVAR_HAP={rows[0]}", entry, 1))
        return CliRunner().invoke(main, ["verify", str(out), *args[2:-1]])

    assert "|1|S|" in rows[0]
    for told, code, says in (
        (rows[0], 0, " verified: "),
        ("|".join(cells), 1, "SAMVAR_HAP is"),
        (other_partner, 1, "SAMVAR_HAP is"),
        (rows[0].replace("_", "-"), 1, "SAMVAR_HAP is"),
        (rows[0].replace("|1|S|", "|2|S|"), 1, "none by the genotypes"),
        (rows[0].replace("|1|S|", "|1|X|"), 0, "not compared: SAMVAR_HAP with the genotypes"),
    ):
        result = verified(f"SAMVAR_HAP={told}")
        assert result.exit_code == code, result.stderr
        assert says in result.stderr
        assert ("not compared" in result.stderr) == ("|X|" in told)
    without = verified("X=1")
    assert without.exit_code == 1 and "SAMVAR_HAP lacks" in without.stderr


def test_rows_of_genes_with_one_symbol_are_verified(worlds, tmp_path):
    """Two genes of both strands that overlap, as with another id in another source."""
    bases, genome, _, predictor = worlds["+"]
    table = tmp_path / "g.gtf"
    with open(genome.path.replace("g.fa", "g.gtf")) as f:
        own = f.read()
    table.write_text(
        "".join(
            own.replace("\t+\t", f"\t{strand}\t").replace('gene_id "G"', f'gene_id "{name}"')
            .replace("G.1", f"{name}.1").replace(";\n", '; gene_name "S";\n')
            for name, strand in (("G", "+"), ("H", "-"), ("I", "+"))
        )
    )  # fmt: skip
    lines = []
    for edit in (WEAKER, STRONGER):
        pos, ref, alt = written(bases, "+", *edit)
        lines.append(f"c\t{pos}\t.\t{ref}\t{alt}\t.\t.\t.\tGT\t0|1")
    vcf = toy.vcf(tmp_path / "in.vcf", *lines, columns="\tFORMAT\tS")
    files = ["-f", genome.path, "-a", str(table), "--model", predictor.bundle.folder]
    result = CliRunner().invoke(main, ["annotate", vcf, *files, "--phased", "--hap-min", "0"])
    rows = re.search("SAMVAR_HAP=([^;\t\n]+)", result.stdout)[1].split(",")
    assert len(rows) >= 2 and len(set(rows)) > 1  # the strands differ
    out = tmp_path / "out.vcf"

    def verified(told):
        out.write_text(result.stdout.replace(",".join(rows), ",".join(told), 1))
        return CliRunner().invoke(main, ["verify", str(out), *files]).exit_code

    assert verified(rows) == 0
    assert verified([rows[0], *rows]) == 1
    edited = rows[-1].split("|")
    edited[5] = f"{(float(edited[5]) + 0.5) % 1:.4f}"
    assert verified([*rows[:-1], "|".join(edited)]) == 1


def test_columns_that_do_not_fit_the_samples_are_told(worlds, tmp_path):
    """The records are passed on as they are; what is there counts."""
    bases, genome, _, predictor = worlds["+"]
    edits = WEAKER, STRONGER, (1010, 1011, "G"), (1012, 1013, "G"), (1014, 1015, "G")
    columns = "\tGT\t0|1", "\tGT\t0|1\t0|1\t0|1", "\tGT", "", "\tGT\t0|1\t0|0"
    lines = []
    for edit, of_samples in zip(edits, columns):
        pos, ref, alt = written(bases, "+", *edit)
        lines.append(f"c\t{pos}\t.\t{ref}\t{alt}\t.\t.\t.{of_samples}")
    vcf = toy.vcf(tmp_path / "in.vcf", *lines, columns="\tFORMAT\tS\tT")
    files = ["-f", genome.path, "-a", genome.path.replace("g.fa", "g.gtf")]
    args = ["annotate", vcf, *files, "--model", predictor.bundle.folder, "--no-cache"]
    stats = tmp_path / "stats.json"
    result = CliRunner().invoke(
        main, [*args, "--phased", "--hap-min", "0", "--stats", str(stats), "--no-version"]
    )
    assert result.exit_code == 0, result.stderr
    assert "4 records with scores have not a genotype (GT)" in result.stderr
    assert f"(c:{lines[0].split(chr(9))[1]} (line 3), ...)" in result.stderr
    assert json.loads(stats.read_text())["haplotypes"]["without_genotypes"] == 4
    out = [x.split("\t") for x in result.stdout.splitlines() if x[0] != "#"]
    assert [x[:7] + x[8:] for x in out] == [x.split("\t")[:7] + x.split("\t")[8:] for x in lines]
    rows = [row.split("|") for row in re.findall(r"SAMVAR_HAP=([^;\t]+)", result.stdout)]
    assert {row[4] for row in rows} == {"S"}
    plain = CliRunner().invoke(main, args)
    assert plain.exit_code == 0 and "genotype" not in plain.stderr


@pytest.mark.parametrize("edits", [(WEAKER, STRONGER), (SHORTER, (1010, 1010, "GA"))])
def test_on_the_command_line(worlds, tmp_path, edits):
    bases, genome, _, predictor = worlds["+"]
    table = genome.path.replace("g.fa", "g.gtf")
    model = predictor.bundle.folder
    lines = []
    for edit in edits:
        pos, ref, alt = written(bases, "+", *edit)
        lines.append(f"c\t{pos}\t.\t{ref}\t{alt}\t.\t.\t.\tGT\t0|1")
    vcf = toy.vcf(tmp_path / "in.vcf", *lines, columns="\tFORMAT\tS")
    args = ["annotate", vcf, "-f", genome.path, "-a", table, "--model", model, "--no-cache"]
    result = CliRunner().invoke(main, [*args, "--phased", "--hap-min", "0"])
    assert result.exit_code == 0, result.stderr
    assert "1 sets of alleles on one haplotype scored together" in result.stderr
    assert "phased=True,hap_min=0.0" in result.stdout
    assert "##INFO=<ID=SAMVAR_HAP," in result.stdout
    check_verified(args, result.stdout, tmp_path)
    plain = CliRunner().invoke(main, args).stdout
    assert "hap" not in re.search("##samvar_params=.*", plain)[0] and "SAMVAR_HAP" not in plain
    alone = toy.vcf(tmp_path / "alone.vcf", ("c", 1000, bases[999], "A"))
    args[1] = alone
    result = CliRunner().invoke(main, [*args, "--phased"])
    assert result.exit_code == 1 and "has no samples" in result.stderr
    with pytest.raises(VcfError, match="no samples"), VcfReader(alone) as reader:
        annotate(reader, TextWriter(io.BytesIO()), genome, load_annotation(table), predictor,
                 Options(phased=True))  # fmt: skip
