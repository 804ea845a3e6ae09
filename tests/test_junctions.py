"""`samvar junctions`: files of junctions in, each with its sites' probabilities, and the files
without those that are doubted."""

import csv
import gzip
import io
import json
import os
import runpy
import subprocess
import sys

import numpy as np
import pysam
import pytest
import torch
from click.testing import CliRunner

from samvar.cli import main
from samvar.errors import GenomeError, JunctionError
from samvar.formats.alignments import junctions_of
from samvar.formats.annotation import load_annotation
from samvar.formats.junctions import bed_junctions, open_junctions, read_rows, sj_junctions
from samvar.genomics.genome import CircularGenome, Genome, encode
from samvar.genomics.junction import Junction, SpliceSite, dinucleotides, sites
from samvar.genomics.variant import Status
from samvar.model.bundle import calibration_of, load_bundle
from samvar.model.sam import ACCEPTOR, DONOR, one_hot
from samvar.research.junctions import Judge
from samvar.scoring.calibrated import calibrated
from samvar.scoring.predictor import Predictor
from samvar.scoring.sites import SiteScorer

from . import toy

pytestmark = pytest.mark.slow

BASES = toy.random_bases(900, seed=5)
EXONS = [(101, 200), (301, 400), (601, 700)]
INTRONS = [(200, 300), (400, 600)]  # 0-based, half-open


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    folder = tmp_path_factory.mktemp("junctions")
    unknown = BASES[:300] + "N" + BASES[301:]
    return dict(
        fasta=toy.fasta(folder / "g.fa", c=BASES, n=unknown),
        gtf=toy.gtf(folder / "g.gtf", ("G", "c", "+", EXONS), ("H", "c", "-", EXONS)),
        bundle=toy.bundle(folder, seeds=(0, 1)),
    )


@pytest.fixture(scope="module")
def predictor(files):
    with Predictor(load_bundle(files["bundle"])) as predictor:
        yield predictor


@pytest.fixture(scope="module")
def judge(files, predictor):
    return Judge(Genome(files["fasta"]), predictor, load_annotation(files["gtf"]))


def run(files, *args, annotation=True, **kwargs):
    command = ["junctions", *map(str, args), "-f", files["fasta"], "--model", files["bundle"]]
    command += ["-a", files["gtf"]] if annotation else []
    return CliRunner().invoke(main, command, **kwargs)


def table(result):
    assert result.exit_code == 0, result.output
    return list(csv.DictReader(io.StringIO(result.stdout), delimiter="\t"))


def by_hand(predictor, bases, position, kind):
    """Probability of a site: the whole model on the frame of this base alone, mean of the seeds."""
    flank, (before, after) = predictor.bundle.flank, predictor.reach
    padded = "N" * 1000 + bases + "N" * 1000
    at = position + 1000
    codes = encode(padded[at - flank - before : at + flank + after + 1])
    with torch.no_grad():
        x = one_hot(torch.from_numpy(codes[None].copy()))
        return float(np.mean([m(x)[0, kind, flank].exp().item() for m in predictor.models]))


# ------------------------------------------------------------------------------------------- forms


@pytest.mark.parametrize(
    "line, expected",
    [
        ("c 200 300", [(200, 300, ".")]),
        ("c 200 300 name 5 -", [(200, 300, "-")]),
        ("c 150 350 x 0 + 150 350 0 2 50,50 0,150", [(200, 300, "+")]),
        ("c 100 700 x 0 + 0 0 0 3 100,100,100, 0,200,500,", [(200, 300, "+"), (400, 600, "+")]),
        ("c 100 700 x 0 + 0 0 0 3 100,0,100, 0,300,500,", [(200, 600, "+")]),  # an empty exon
        ("c 100 700 x 0 + 0 0 0 1 600 0", []),
        ("c 200 200", []),
    ],
)
def test_introns_of_bed(line, expected):
    assert bed_junctions(line.split()) == tuple(Junction("c", *e) for e in expected)


@pytest.mark.parametrize("line", [b"c\t200\t300", b"c\t201\t300\t1\t1\t1\t10\t0\t30"])
def test_a_byte_order_mark_is_no_part_of_a_contigs_name(line):
    lines = ["\ufeff".encode() + line + b"\r\n", line.replace(b"300", b"400") + b"\n"]
    rows = list(read_rows(lines, "x"))
    assert [row.line for row in rows] == lines
    assert [(j.contig, j.end) for row in rows for j in row.junctions] == [("c", 300), ("c", 400)]


@pytest.mark.parametrize("pack", [bytes, gzip.compress])
@pytest.mark.parametrize(
    "line", [b"c\t200\t300", b"c\t201\t300\t1\t1\t1\t10\t0\t30", b"@HD\tVN:1.6"]
)
def test_lines_that_end_in_cr_alone_are_named_as_the_cause(tmp_path, line, pack):
    path = tmp_path / "x"
    path.write_bytes(pack(line + b"\r" + line + b"\r"))
    with pytest.raises(JunctionError, match="x.*: lines end in CR alone"):
        with open_junctions(str(path), "g.fa") as rows:
            list(rows)


@pytest.mark.parametrize(
    "line, message",
    [
        ("c 200", "three columns"),
        ("c x 300", "start must be a whole number, not 'x'"),
        ("c 300 200", "ends before it starts"),
        ("c 1 2 x 0 ?", "strand must be"),
        ("c 100 700 x 0 + 0 0 0 3 100,100 0,200", "3 blocks"),
        ("c 100 700 x 0 + 0 0 0 2 100,100 0,50", "not overlap"),
        ("c 100 700 x 0 + 0 0 0 2 100,100 0,550", "within the interval"),
    ],
)
def test_what_is_no_bed_is_refused_with_its_line(line, message):
    lines = [b"track name=x\n", line.replace(" ", "\t").encode()]
    with pytest.raises(JunctionError, match="^x.bed, line 2") as error:
        list(read_rows(lines, "x.bed"))
    assert message in str(error.value)


def test_a_line_that_is_no_text_stays_as_it_is():
    line = b"\xff\t200\t300\t\xfe\n"
    (row,) = read_rows([line], "x.bed")
    assert row.line == line and row.junctions == (Junction("\ufffd", 200, 300, "."),)


def test_introns_of_star_count_from_one():
    fields = "c 201 300 2 1 0 5 0 30".split()
    assert sj_junctions(fields) == (Junction("c", 200, 300, "-"),)
    (row,) = read_rows(["\t".join(fields).encode()], "SJ.out.tab")
    assert row.junctions == (Junction("c", 200, 300, "-"),)
    with pytest.raises(JunctionError, match="line 2.*not after its end"):
        list(read_rows([b"c\t201\t300\t0\t0\t0\t5\t0\t3", b"c\t301\t300\t0\t0\t0\t5\t0\t3"], "x"))


def alignment(cigar, start=100, name="r", flag=0, **tags):
    header = pysam.AlignmentHeader.from_references(["c"], [len(BASES)])
    record = pysam.AlignedSegment(header)
    record.query_name, record.flag, record.reference_id = name, flag, 0
    record.reference_start, record.mapping_quality, record.cigarstring = start, 60, cigar
    n = sum(k for op, k in record.cigartuples if op in (0, 1, 4, 7, 8))
    record.query_sequence = "A" * n
    record.query_qualities = pysam.qualitystring_to_array("I" * n)
    for tag, value in tags.items():
        record.set_tag(tag, value, "A" if isinstance(value, str) else "i")
    return record


@pytest.mark.parametrize(
    "cigar, expected",
    [
        ("50M100N50M", [(150, 250)]),
        ("5S50M2I3D100N50M", [(153, 253)]),
        ("50M10N0M20N50M", [(150, 180)]),  # an exon of no bases
        ("50M10N2I20N50M", [(150, 180)]),
        ("50M10N1M20N50M", [(150, 160), (161, 181)]),
        ("50M10N3D20N50M", [(150, 160), (163, 183)]),
        ("50=10N50X", [(150, 160)]),
        ("100M", []),
    ],
)
def test_introns_of_a_cigar(cigar, expected):
    found = junctions_of(alignment(cigar))
    assert found == tuple(Junction("c", *e, ".") for e in expected)


@pytest.mark.parametrize(
    "flag, tags, strand",
    [
        (16, dict(XS="+"), "+"),
        (0, dict(XS="-"), "-"),
        (0, dict(ts="-"), "-"),
        (16, dict(ts="+"), "-"),
        (16, dict(ts="-"), "+"),
        (0, dict(XS="?"), "."),
        (0, {}, "."),
    ],
)
def test_strands_are_those_of_tags(flag, tags, strand):
    (junction,) = junctions_of(alignment("50M100N50M", flag=flag, **tags))
    assert junction.strand == strand


# ------------------------------------------------------------------------------------------ scores


@pytest.mark.parametrize("start, end", INTRONS)
def test_sites_have_the_probability_of_the_model_on_either_strand(judge, predictor, start, end):
    plus, minus = (Junction("chrc", start, end, strand) for strand in "+-")
    found = judge.judge([plus, minus])
    assert found[plus].donor == pytest.approx(by_hand(predictor, BASES, start - 1, DONOR), abs=1e-6)
    assert found[plus].acceptor == pytest.approx(by_hand(predictor, BASES, end, ACCEPTOR), abs=1e-6)
    turned, n = toy.revcomp(BASES), len(BASES)
    donor = by_hand(predictor, turned, n - 1 - end, DONOR)
    acceptor = by_hand(predictor, turned, n - start, ACCEPTOR)
    assert found[minus].donor == pytest.approx(donor, abs=1e-6)
    assert found[minus].acceptor == pytest.approx(acceptor, abs=1e-6)
    assert found[plus].motif == f"{BASES[start : start + 2]}-{BASES[end - 2 : end]}"
    assert found[minus].motif == "-".join(
        (turned[n - end : n - end + 2], turned[n - start - 2 : n - start])
    )
    for judged in found.values():
        assert judged.score == min(judged.donor, judged.acceptor) and judged.status is Status.OK


def test_no_digit_depends_on_what_else_is_scored(files, predictor):
    many = [Junction("c", a, b, s) for a in range(60, 300, 40) for b in (400, 777) for s in "+-"]
    together = Judge(Genome(files["fasta"]), predictor).judge(many)
    for junction in many[::5]:
        alone = Judge(Genome(files["fasta"]), predictor).judge([junction])
        assert alone[junction] == together[junction]


def test_an_unknown_strand_is_the_better_one(judge):
    plus, minus, unknown = (Junction("c", 200, 300, strand) for strand in "+-.")
    found = judge.judge([plus, minus, unknown])
    better = max((found[plus], found[minus]), key=lambda j: j.score)
    assert found[unknown] == better and better.junction.strand in "+-"


@pytest.mark.parametrize(
    "junction, status",
    [
        (Junction("zz", 200, 300, "+"), Status.NO_CONTIG),
        (Junction("c", 200, 900, "+"), Status.CONTIG_END),
        (Junction("c", 0, 300, "-"), Status.CONTIG_END),
        (Junction("c", 200, 899, "+"), Status.OK),
        (Junction("n", 200, 300, "+"), Status.REF_N),
        (Junction("n", 200, 302, "."), Status.REF_N),
        (Junction("c", 200, 5000, "."), Status.CONTIG_END),
    ],
)
def test_what_cannot_be_scored_says_why(judge, junction, status):
    found = judge.judge([junction])[junction]
    assert found.status is status and (found.score is None) == (status is not Status.OK)
    assert found.score is not None or found.junction.strand == junction.strand


def test_little_known_sequence_is_told(tmp_path, predictor):
    bases = "N" * 300 + BASES[300:340] + "N" * 300
    genome = Genome(toy.fasta(tmp_path / "g.fa", c=bases))
    junction = Junction("c", 305, 330, "+")
    found = Judge(genome, predictor).judge([junction])[junction]
    assert found.status is Status.LOW_CONTEXT and found.score is not None


@pytest.mark.parametrize(
    "start, end, strand, known",
    [
        (200, 300, "+", "DA"),
        (200, 600, "+", "NDA"),
        (200, 500, "+", "D"),
        (250, 600, "+", "A"),
        (250, 600, "-", "D"),
        (250, 500, "-", "N"),
        (700, 800, "+", "N"),  # beyond the last exon
    ],
)
def test_what_the_annotation_knows(judge, start, end, strand, known):
    junction = Junction("c", start, end, strand)
    assert judge.judge([junction])[junction].known == known


def test_on_a_circle_the_last_base_is_before_the_first(tmp_path, predictor):
    """A contig cut open elsewhere has the same sites; the frame reaches round a small one."""
    bases, cut = BASES[:400], 150
    turned = bases[cut:] + bases[:cut]
    genome = CircularGenome(toy.fasta(tmp_path / "g.fa", c=bases, t=turned), ["c", "chrt"])
    judge = Judge(genome, predictor)
    for strand in "+-":
        over = Junction("t", 200, 300, strand)  # over the place where c is cut open
        same = Junction("c", 350, 450, strand)
        found = judge.judge([over, same])
        assert found[over].donor == pytest.approx(found[same].donor, abs=1e-6)
        assert found[over].acceptor == pytest.approx(found[same].acceptor, abs=1e-6)
        assert found[over].motif == found[same].motif and "N" not in found[same].motif
        wound = by_hand(predictor, bases * 5, 2 * 400 + 349, DONOR)
        if strand == "+":
            assert found[same].donor == pytest.approx(wound, abs=1e-6)
    linear = Judge(Genome(genome.path), predictor)
    assert linear.judge([same])[same].status is Status.CONTIG_END
    with pytest.raises(GenomeError, match="no contig zz"):
        CircularGenome(genome.path, ["zz"])


def test_codes_of_a_circle_go_round(tmp_path):
    genome = CircularGenome(toy.fasta(tmp_path / "g.fa", c="ACGTA", d="ACGTA"), ["c"])
    assert genome.codes("c", -7, 9).tolist() == encode("TAACGTAACGTAACGT").tolist()
    assert genome.codes("c", 6, 8).tolist() == encode("CG").tolist()
    assert genome.codes("c", 3, 3).tolist() == []
    assert genome.codes("d", -1, 6).tolist() == encode("NACGTAN").tolist()
    assert dinucleotides(genome, Junction("c", 4, 8, "+")) == "AA-CG"


def test_a_junction_has_its_sites_in_exons():
    assert sites(Junction("c", 10, 20, "+")) == (
        SpliceSite("c", 9, "+", DONOR),
        SpliceSite("c", 20, "+", ACCEPTOR),
    )
    assert sites(Junction("c", 10, 20, "-")) == (
        SpliceSite("c", 20, "-", DONOR),
        SpliceSite("c", 9, "-", ACCEPTOR),
    )


def test_the_scorer_keeps_a_limited_number(files, predictor, monkeypatch):
    monkeypatch.setattr("samvar.scoring.sites.KEPT", 3)
    scorer = SiteScorer(Genome(files["fasta"]), predictor)
    wanted = [SpliceSite("c", at, "+", DONOR) for at in range(100, 106)]
    found = scorer.score(wanted)
    assert len(found) == 6 and len(scorer._kept) == 3
    assert scorer.score(wanted) == found


# ------------------------------------------------------------------------------------- calibration


def test_calibrated_probabilities_are_those_of_logits_divided():
    logits = np.log(np.array([[0.7, 0.5], [0.2, 0.3], [0.1, 0.2]]))
    p = np.exp(logits)[1:]
    np.testing.assert_allclose(calibrated(p, 1.0), p, atol=1e-9)
    sharp = np.exp(2 * logits) / np.exp(2 * logits).sum(0)
    np.testing.assert_allclose(calibrated(p, 0.5), sharp[1:], atol=1e-9)
    assert calibrated(p, None) is p


def test_a_calibration_is_of_these_models_alone():
    metrics = {"calibration, am": dict(temperature=0.4, sha256="a")}
    assert calibration_of(metrics, "am", "a") == 0.4
    assert calibration_of(metrics, "am", "b") is calibration_of(metrics, "fm", "a") is None
    assert load_bundle("paper").calibration == pytest.approx(0.372, abs=0.001)


# ----------------------------------------------------------------------------------------- command


def bed(path, *lines):
    with gzip.open(path, "wb") if str(path).endswith(".gz") else open(path, "wb") as f:
        f.write(b"".join(lines))
    return path


LINES = (
    b"track name=x\r\n",
    b"# a comment\n",
    b"c\t200\t300\ta\t0\t+\n",
    b"\n",
    b"c\t200\t250\tb\t0\t+\textra\r\n",
    b"zz\t200\t300\tc\t0\t+\n",
    b"c\t250\t500\td\t0\t-",
)


@pytest.mark.parametrize("suffix", ["", ".gz"])
def test_a_cleaned_bed_has_the_lines_that_stay_as_they_were(files, tmp_path, suffix):
    given = bed(tmp_path / f"in.bed{suffix}", *LINES)
    rows = table(run(files, given))
    assert [r["STATUS"] for r in rows] == ["OK", "OK", "NO_CONTIG", "OK"]
    assert [(r["START"], r["END"], r["STRAND"]) for r in rows[:2]] == [
        ("201", "300", "+"),
        ("201", "250", "+"),
    ]
    assert rows[2]["SCORE"] == "." and {r["READS"] for r in rows} == {"."}
    scores = [float(r["SCORE"]) for r in rows if r["SCORE"] != "."]
    least = (min(scores) + max(scores)) / 2
    out = tmp_path / f"out.bed{suffix}"
    result = run(files, given, "--clean", out, "--min-score", least, "-o", tmp_path / "t")
    assert result.exit_code == 0 and "4 records" in result.stderr
    below = [s < least for s in scores]
    doubted = [line for line, b in zip((LINES[2], LINES[4], LINES[6]), below) if b]
    assert 1 <= len(doubted) < 3
    content = gzip.open(out).read() if suffix else out.read_bytes()
    assert content == b"".join(line for line in LINES if line not in doubted)


def test_annotated_introns_stay_where_asked_for(files, tmp_path):
    given = bed(tmp_path / "in.bed", *LINES)
    out = tmp_path / "out.bed"
    args = (given, "--clean", out, "--min-score", 1, "-o", tmp_path / "t")
    assert run(files, *args).exit_code == 0
    assert out.read_bytes() == b"".join((*LINES[:2], LINES[3], LINES[5]))
    assert run(files, *args, "--keep-annotated").exit_code == 0
    assert out.read_bytes() == b"".join((*LINES[:4], LINES[5]))
    result = run(files, *args, "--keep-annotated", annotation=False)
    assert result.exit_code == 2 and "needs the annotation" in result.stderr


@pytest.fixture
def bam(tmp_path):
    records = [
        alignment("50M100N50M", 150, "good", XS="+"),
        alignment("50M100N50M", 150, "again", XS="+", NM=3),
        alignment("100M", 150, "whole"),
        alignment("50M50N50M", 150, "other", XS="+"),
        alignment("50M100N100M200N50M", 150, "both", XS="+"),
        alignment("100M", 151, "mate", flag=4),
    ]
    path = tmp_path / "in.bam"
    header = {
        "HD": {"VN": "1.6", "SO": "coordinate"},
        "SQ": [{"SN": "c", "LN": len(BASES)}],
        "PG": [{"ID": "aligner", "CL": "align -x"}],
        "CO": ["a comment"],
    }
    with pysam.AlignmentFile(path, "wb", header=header) as out:
        for record in records:
            out.write(record)
    return path


def test_alignments_have_a_row_for_each_junction(files, bam):
    rows = table(run(files, bam))
    assert [(r["START"], r["END"], r["READS"]) for r in rows] == [
        ("201", "250", "1"),
        ("201", "300", "3"),
        ("401", "600", "1"),
    ]
    assert [r["KNOWN"] for r in rows] == ["D", "DA", "DA"]


def test_cram_is_read_with_its_reference(files, bam, tmp_path):
    cram = tmp_path / "in.cram"
    cram.write_bytes(pysam.view("-C", "-T", files["fasta"], str(bam)))
    assert table(run(files, cram)) == table(run(files, bam))


def test_a_bam_of_which_all_stays_is_the_same_to_the_byte(files, bam, tmp_path):
    out = tmp_path / "out.bam"
    assert run(files, bam, "--clean", out, "--min-score", 0, "-o", tmp_path / "t").exit_code == 0
    assert gzip.open(out).read() == gzip.open(bam).read()


def test_doubted_reads_go_and_the_others_stay_in_order(files, bam, tmp_path):
    scores = {(r["START"], r["END"]): float(r["SCORE"]) for r in table(run(files, bam))}
    introns = {
        "good": [("201", "300")],
        "again": [("201", "300")],
        "whole": [],
        "other": [("201", "250")],
        "both": [("201", "300"), ("401", "600")],
        "mate": [],
    }
    for least in [*(s + 1e-4 for s in sorted(set(scores.values()))), 1]:
        for name, mode in (("out.bam", "rb"), ("out.sam", "r")):
            out = tmp_path / name
            result = run(files, bam, "--clean", out, "--min-score", least, "-o", tmp_path / "t")
            with pysam.AlignmentFile(out, mode) as cleaned:
                kept = [r.query_name for r in cleaned.fetch(until_eof=True)]
                assert cleaned.header["HD"]["SO"] == "coordinate"
            expected = [n for n, js in introns.items() if all(scores[j] >= least for j in js)]
            assert kept == expected
            assert f"6 records: {len(kept)} kept, {6 - len(kept)} removed" in result.stderr


def test_chunks_change_nothing(files, bam, monkeypatch):
    whole = run(files, bam).stdout
    monkeypatch.setattr("samvar.research.junctions.CHUNK", 2)
    assert run(files, bam).stdout == whole


def piped(files, args, content):
    command = [sys.executable, "-m", "samvar.cli", "junctions", *map(str, args)]
    command += ["-f", files["fasta"], "--model", files["bundle"]]
    return subprocess.run(command, input=content, capture_output=True)


@pytest.mark.parametrize("form", ["bam", "sam", "bed"])
def test_stdin_is_read_whatever_it_holds(files, bam, tmp_path, form):
    given = {
        "bam": bam.read_bytes(),
        "sam": pysam.view("-h", "--no-PG", str(bam)).encode(),
        "bed": b"".join(LINES),
    }[form]
    path = tmp_path / f"x.{form}"
    path.write_bytes(given)
    result = piped(files, ["-"], given)
    assert result.returncode == 0, result.stderr
    assert result.stdout.decode() == run(files, path, annotation=False).stdout
    cleaned = piped(files, ["-", "--clean", "-", "-o", tmp_path / "t", "--min-score", 0], given)
    if form == "bed":
        assert cleaned.stdout == given
    else:
        (tmp_path / "out.bam").write_bytes(cleaned.stdout)
        as_text = [pysam.view("-h", "--no-PG", str(p)) for p in (bam, tmp_path / "out.bam")]
        assert as_text[0] == as_text[1]


def test_a_closed_pipe_ends_quietly(files, tmp_path):
    path = tmp_path / "in.bam"
    with pysam.AlignmentFile(path, "wb", header=alignment("100M").header) as out:
        for i in range(5_000):
            record = alignment("800M", 50)
            record.query_sequence = toy.random_bases(800, seed=i)
            out.write(record)
    command = f"{sys.executable} -m samvar.cli junctions {path} -f {files['fasta']} --clean - "
    command += f"--model {files['bundle']} -o {tmp_path / 't'} | head -c 10"
    result = subprocess.run(["bash", "-c", f"set -o pipefail; {command}"], capture_output=True)
    assert result.returncode == 141 and len(result.stdout) == 10 and result.stderr == b""
    assert not (tmp_path / "t").exists()


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="no device that is always full")
def test_a_full_disk_is_told_for_alignments(files, bam, tmp_path):
    result = run(files, bam, "--clean", "/dev/full", "--min-score", 0, "-o", tmp_path / "t")
    assert result.exit_code == 1
    assert "cannot write /dev/full: No space left on device" in result.stderr


def test_a_damaged_file_leaves_no_output(files, bam, tmp_path):
    whole = bam.read_bytes()
    (tmp_path / "cut.bam").write_bytes(whole[:-28])  # no end marker
    for name in ("cut.bam",):
        args = (tmp_path / name, "--clean", tmp_path / "out.bam", "-o", tmp_path / "t")
        result = run(files, *args)
        assert result.exit_code == 1 and "truncated" in result.stderr
    assert not (tmp_path / "out.bam").exists() and not (tmp_path / "t").exists()


@pytest.mark.parametrize(
    "content, message",
    [
        (b"", "is empty"),
        (b"c\t1\n", "line 1: BED has three columns"),
        (b"zz\t200\t300\n", "no junction of"),
        (b"\x1f\x8b\x08\x00broken", "damaged"),
        (b"CRAM\x03\x00nothing", "cannot be read as SAM, BAM or CRAM"),
    ],
)
def test_what_is_no_file_of_junctions_is_refused(files, tmp_path, content, message):
    (tmp_path / "x").write_bytes(content)
    result = run(files, tmp_path / "x")
    assert result.exit_code == 1 and message in result.stderr, result.stderr
    assert "internal error" not in result.stderr


def test_outputs_that_meet_are_refused(files, tmp_path):
    given = bed(tmp_path / "in.bed", *LINES)
    assert "taken by the table" in run(files, given, "--clean", "-").stderr
    assert "is an input" in run(files, given, "--clean", given).stderr
    missing = run(files, tmp_path / "none.bed")
    assert missing.exit_code == 1 and "cannot read" in missing.stderr


def test_another_build_is_told(files, tmp_path):
    lines = [f"c\t{a}\t{b}\n".encode() for a in range(101, 131, 3) for b in (500, 601)]
    result = run(files, bed(tmp_path / "in.bed", *lines))
    assert result.exit_code == 0 and "of their genome build?" in result.stderr


# ---------------------------------------------------------------------------------------- accuracy

SCRIPTS = os.path.join(os.path.dirname(__file__), "..", "train", "evaluate")


@pytest.mark.parametrize("strand", "+-")
def test_decoys_are_gt_ag_pairs_of_like_length_that_are_no_introns(
    tmp_path, predictor, monkeypatch, strand
):
    monkeypatch.syspath_prepend(SCRIPTS)
    from junctions import LIKE, Strand, cases_of

    bases = toy.random_bases(6000, seed=9)
    exons = [(501, 700), (1501, 1600), (3001, 3100), (5001, 5200)]
    genome = Genome(toy.fasta(tmp_path / "g.fa", c=bases))
    annotation = load_annotation(toy.gtf(tmp_path / "g.gtf", ("G", "c", strand, exons)))
    other = load_annotation(
        toy.gtf(tmp_path / "o.gtf", ("O", "c", strand, [(601, 900), (1101, 1300)]))
    )
    (gene,) = annotation.genes
    cases = cases_of(Strand(genome, gene, predictor, other), np.random.default_rng(0))
    true = [c.junction for c in cases if c.kind == "true"]
    assert {(j.start, j.end) for j in true} == gene.introns() and len(true) == 3
    known = [a | b for a, b in zip(gene.sites(), other.genes[0].sites())]
    lengths = [j.end - j.start for j in true]
    counts = {kind: sum(c.kind == kind for c in cases) for kind in ("both", "half")}
    assert all(3 <= n <= 6 for n in counts.values())
    for junction, kind, _ in cases:
        if kind == "true":
            continue
        donor, acceptor = sites(junction)
        false = (donor.position not in known[1]) + (acceptor.position not in known[0])
        assert false == (2 if kind == "both" else 1)
        motif = dinucleotides(genome, junction)
        assert motif[:2] == "GT" or donor.position in known[1]
        assert motif[3:] == "AG" or acceptor.position in known[0]
        length = junction.end - junction.start
        assert any(abs(length - n) <= LIKE * n + 1 for n in lengths)


def test_the_script_measures_areas(tmp_path, monkeypatch, examples):
    """On the genes of the example, as a table of canonical transcripts."""
    folder = tmp_path / "annotation"
    folder.mkdir()
    (tmp_path / "genome").mkdir()
    genes = load_annotation(examples("minigenes.gtf")).genes
    head = "gene\thas_paralog\tchrom\tstrand\ttx_start1\ttx_end1\texon_ends1\texon_starts1\n"
    rows, beds = [head], []
    for g in genes:
        ends, starts = (
            "".join(f"{x}," for x in values)
            for values in (
                [e for _, e in g.chosen.exons[:-1]],
                [s + 1 for s, _ in g.chosen.exons[1:]],
            )
        )
        about = (g.symbol, "0", "mini", g.strand, str(g.start + 1), str(g.end), ends, starts)
        rows.append("\t".join(about) + "\n")
        sizes = ",".join(str(e - s) for s, e in g.chosen.exons)
        offsets = ",".join(str(s - g.start) for s, _ in g.chosen.exons)
        bed = (
            "mini",
            g.start,
            g.end,
            g.id,
            0,
            g.strand,
            0,
            0,
            0,
            len(g.chosen.exons),
            sizes,
            offsets,
        )
        beds.append("\t".join(map(str, (*bed, g.symbol))) + "\n")
    for name, lines in (("canonical.hg19.tsv.gz", rows), ("refseq.hg19.bed12+gene.gz", beds)):
        with gzip.open(folder / name, "wt") as f:
            f.writelines(lines)
    pysam.tabix_compress(examples("minigenes.fa"), str(tmp_path / "genome" / "hg19.fa.gz"))
    monkeypatch.syspath_prepend(SCRIPTS)
    out = tmp_path / "out.json"
    args = ["junctions.py", tmp_path, "--chroms", "mini", "--genes", 2, "--json", out]
    monkeypatch.setattr(sys, "argv", list(map(str, args)))
    runpy.run_path(os.path.join(SCRIPTS, "junctions.py"), run_name="__main__")
    found = json.loads(out.read_text())
    areas = found["default"]["all decoys"]
    assert areas["genes"] == 2 and areas["true"] == 4 and areas["n"] > areas["true"]
    assert areas["auroc"][0] > 0.8 and 0 <= areas["decoys_kept"] <= 1
    assert set(found["LSSI alone"]) == set(found["default"])
