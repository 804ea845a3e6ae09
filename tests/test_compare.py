"""`samvar compare`: tests of significance whose answers can be worked out, and two groups that were
made up."""

import csv
import io
import math
import os

import numpy as np
import pytest
from click.testing import CliRunner

from samvar.cli import main
from samvar.research import compare

from . import toy

pytestmark = pytest.mark.slow

PARAMS = "distance=50,rbp_min=0.1,rbp_max=10"


def header(sha="abc", params=PARAMS, reference="r"):
    return (
        "##fileformat=VCFv4.2",
        f'##samvar_model=<ID=toy,Name="toy",Kind=am,Seeds=0,Sha256={sha}>',
        f'##samvar_reference=<ID=g,File="g.fa",Sha256={reference}>',
        '##samvar_annotation=<ID=a,File="a.gtf",Sha256=a>',
        f"##samvar_params={params}",
    )


def line(pos, *causes, alt="T", status="OK"):
    """A record with causes (RBP, EFFECT, DELTA)."""
    rows = ",".join(f"{alt}|G|{r}|loss|9|AAAAAAAAAAA|-1.000|{e}|{d}" for r, e, d in causes)
    maxima = ",".join("0.5" if s in ("OK", "LOW_CONTEXT") else "." for s in status.split(","))
    info = f"SAMVAR_MAX={maxima};SAMVAR_STATUS={status}" + (f";SAMVAR_RBP={rows}" if rows else "")
    return f"c\t{pos}\t.\tA\t{alt}\t.\t.\t{info}"


def group(path, *records, **about):
    return toy.vcf(path, *records, header=header(**about))


def run(*args):
    return CliRunner().invoke(main, ["compare", *map(str, args)])


def table(result):
    assert result.exit_code == 0, result.output
    rows = csv.DictReader(io.StringIO(result.stdout), delimiter="\t")
    return {(r["LEVEL"], r["NAME"]): r for r in rows}


@pytest.fixture
def two(tmp_path):
    """Effects of SRSF1 of 0.5 and 0.3 against 0.3 and 0.1; FUS in a control alone."""
    cases = group(
        tmp_path / "cases.vcf",
        line(1, ("SRSF1", 0.5, "AL")),
        line(2, ("SRSF1", -0.3, "DG"), ("LSSI_A", 0.2, "AL"), ("OTHER", 0.1, "AL")),
        line(3, status="NO_GENE"),
    )
    controls = group(
        tmp_path / "controls.vcf",
        line(1, ("SRSF1", 0.3, "AL"), ("RESIDUAL", 0.01, "AL")),
        line(2, ("SRSF1", 0.1, "AL"), ("FUS", 0.2, "AL"), status="LOW_CONTEXT"),
    )
    return cases, controls


# -------------------------------------------------------------------------------------------- tests


def moments(values):
    found = compare.Moments()
    for value in values:
        found.add(value)
    return found


def test_moments_are_those_of_the_values_and_zeros():
    values = np.random.default_rng(0).random(50) + 1e6
    found = moments(values)
    assert found.mean == pytest.approx(values.mean())
    assert found.variance == pytest.approx(values.var(ddof=1) / 50, rel=1e-6)
    more = moments([0.2, 0.4]).among(5)
    assert (more.n, more.mean) == (5, pytest.approx(0.12))
    assert more.error == pytest.approx(np.std([0.2, 0.4, 0, 0, 0], ddof=1) / np.sqrt(5))
    none = compare.Moments().among(3)
    assert (none.n, none.mean, none.squares) == (3, 0, 0)


@pytest.mark.parametrize("t", [-3.0, -0.5, 0.0, 0.1, 1.0, 7.0, 400.0])
def test_students_t_where_it_has_a_closed_form(t):
    closed = {
        1: 0.5 - math.atan(t) / math.pi,
        2: 0.5 - t / (2 * math.sqrt(2 + t * t)),
        4: 0.5 - t * (t * t + 6) / (2 * (t * t + 4) ** 1.5),
    }
    for freedom, expected in closed.items():
        assert compare.t_above(t, freedom) == pytest.approx(expected, abs=1e-13)
    normal = math.erfc(t / math.sqrt(2)) / 2
    assert compare.t_above(t, 1e8) == pytest.approx(normal, abs=1e-8)


def test_tables_of_students_t():
    """Critical values of textbooks."""
    for freedom, t, p in [
        (5, 2.015, 0.05),
        (10, 2.764, 0.01),
        (17, 1.740, 0.05),
        (30, 3.385, 0.001),
    ]:
        assert compare.t_above(t, freedom) == pytest.approx(p, rel=2e-3)
    assert compare.t_above(60.0, 50) < 1e-45  # not lost in 1 - p


def test_welch_by_hand():
    """0.5 and 0.3 against 0.3 and 0.1: variances of the means 0.01, so t is 0.2 / sqrt(0.02), of 2
    degrees of freedom, p = (1 - 1 / sqrt 2) / 2."""
    t, freedom, p = compare.welch(moments([0.5, 0.3]), moments([0.3, 0.1]))
    assert (t, freedom) == (pytest.approx(math.sqrt(2)), pytest.approx(2))
    assert p == pytest.approx((1 - 1 / math.sqrt(2)) / 2)
    # unequal variances: of the means 1/300 and 1/1200, 3 degrees each
    t, freedom, _ = compare.welch(moments([0.4, 0.4, 0.2, 0.2]), moments([0, 0, 0.1, 0.1]))
    assert (t, freedom) == (pytest.approx(math.sqrt(15)), pytest.approx(75 / 17))
    assert all(map(math.isnan, compare.welch(moments([1, 1]), moments([1, 1]))))


def test_p_values_are_corrected_as_by_hand():
    p = np.array([0.01, 0.04, 0.03, 0.005, 0.9])
    assert compare.bonferroni(p).tolist() == pytest.approx([0.05, 0.2, 0.15, 0.025, 1.0])
    assert compare.benjamini_hochberg(p).tolist() == pytest.approx([0.025, 0.05, 0.05, 0.025, 0.9])
    assert compare.benjamini_hochberg(np.array([])).tolist() == []


# ------------------------------------------------------------------------------------------- groups


def test_two_groups_are_compared_as_by_hand(two):
    result = run(*two)
    rows = table(result)
    assert tuple(next(iter(rows.values()))) == compare.COLUMNS
    assert list(rows) == [
        ("rbp", "SRSF1"), ("rbp", "FUS"), ("family", "SR"), ("family", "FET"), ("core", "LSSI_A"),
    ]  # fmt: skip
    first = rows["rbp", "SRSF1"]
    assert (first["CASES"], first["CONTROLS"]) == ("2", "2")
    assert (first["MEAN_CASES"], first["MEAN_CONTROLS"]) == ("0.400000", "0.200000")
    assert (first["T"], first["DF"], first["P"]) == ("1.414", "2.0", "0.146")
    assert (first["BONFERRONI"], first["BH"]) == ("0.293", "0.293")
    # 0 and 0 against 0 and 0.2: t = -1 with one degree of freedom, p = 3/4
    fus = rows["rbp", "FUS"]
    assert (fus["T"], fus["DF"], fus["P"], fus["BH"]) == ("-1.000", "1.0", "0.75", "0.75")
    assert (fus["LISTED_IN_CASES"], fus["LISTED_IN_CONTROLS"]) == ("0", "1")
    assert rows["core", "LSSI_A"]["BONFERRONI"] == "0.25"  # one core site, one test
    assert "cases.vcf: 2 scored alleles; left out: 1 NO_GENE" in result.stderr
    assert "controls.vcf: 2 scored alleles; left out: none" in result.stderr


def test_an_allele_has_the_largest_sum_over_its_sites(tmp_path):
    """Two sites of one delta add up, deltas do not; of a family all RBPs of a delta do."""
    one = line(1, ("SRSF1", 0.2, "AL"), ("SRSF1", 0.1, "AL"), ("SRSF4", -0.4, "AL"),
               ("SRSF1", -0.25, "DL"))  # fmt: skip
    first = group(tmp_path / "a.vcf", one, line(2), line(3))
    second = group(tmp_path / "b.vcf", line(1), line(2))
    rows = table(run(first, second))
    means = {key: float(row["MEAN_CASES"]) * 3 for key, row in rows.items()}
    expected = {("rbp", "SRSF1"): 0.3, ("rbp", "SRSF4"): 0.4, ("family", "SR"): 0.25}
    assert means == pytest.approx(expected, abs=5e-6)


def test_alleles_of_a_record_are_kept_apart(tmp_path):
    rows = "T|G|FUS|loss|9|A|-1|0.4|AL,C|G|FUS|loss|9|A|-1|0.2|AL,G|G|FUS|gain|9|A|1|0.9|AL"
    record = f"c\t5\t.\tA\tT,C\t.\t.\tSAMVAR_STATUS=OK,REF_N;SAMVAR_RBP={rows}"
    first = group(tmp_path / "a.vcf", record, line(6), "c\t7\t.\tA\t.\t.\t.\t.")
    second = group(tmp_path / "b.vcf", line(1), line(2), "c\t9\t.\tA\tT\t.\t.\t.")
    result = run(first, second)
    row = table(result)["rbp", "FUS"]  # G is no allele of the record, C has no score
    assert (row["CASES"], row["MEAN_CASES"]) == ("2", "0.200000")
    assert "left out: 1 REF_N" in result.stderr
    assert "left out: 1 without SAMVAR_STATUS" in result.stderr


def test_what_does_not_vary_has_no_p(tmp_path):
    groups = [
        group(tmp_path / name, *(line(i, ("FUS", 0.3, "AL")) for i in (1, 2)))
        for name in ("a.vcf", "b.vcf")
    ]
    row = table(run(*groups))["rbp", "FUS"]
    assert [row[k] for k in ("T", "DF", "P", "BONFERRONI", "BH")] == ["."] * 5


def test_groups_without_causes_have_an_empty_table(tmp_path):
    groups = [group(tmp_path / name, line(1), line(2)) for name in ("a.vcf", "b.vcf")]
    result = run(*groups, "--figure", tmp_path / "x.svg")
    assert result.exit_code == 0 and result.stdout == "\t".join(compare.COLUMNS) + "\n"
    assert (tmp_path / "x.svg").exists()


@pytest.mark.parametrize("form", ["svg", "png"])
def test_figures_are_drawn(two, tmp_path, form):
    out = tmp_path / f"x.{form}"
    assert run(*two, "--figure", out, "-o", tmp_path / "x.tsv").exit_code == 0
    if form == "svg":
        text = out.read_text()
        assert all(name in text for name in ("SRSF1", "FET", "LSSI_A", "cases.vcf", "controls.vcf"))
        assert "prefers-color-scheme: dark" in text
    else:
        assert out.read_bytes().startswith(b"\x89PNG")


# ---------------------------------------------------------------------------------------- bad input


@pytest.mark.parametrize(
    "about, message",
    [
        (dict(sha="other"), "different models, toy:am (abc) and toy:am (other)"),
        (dict(params=PARAMS.replace("0.1", "0.2")), "different options (rbp_min)"),
    ],
)
def test_files_that_cannot_be_compared_are_refused(tmp_path, about, message):
    first = group(tmp_path / "a.vcf", line(1), line(2))
    second = group(tmp_path / "b.vcf", line(1), line(2), **about)
    result = run(first, second)
    assert result.exit_code == 1 and message in result.stderr and not result.stdout
    assert result.stderr.count("\n") == 1


def test_another_reference_is_told(tmp_path):
    first = group(tmp_path / "a.vcf", line(1), line(2))
    second = group(tmp_path / "b.vcf", line(1), line(2), reference="hg38")
    result = run(first, second)
    assert result.exit_code == 0 and "different files of the reference" in result.stderr


@pytest.mark.parametrize(
    "records, about, message",
    [
        ([], {}, "has 0 scored alleles: a comparison needs two or more"),
        ([line(1), line(2, status="NO_GENE")], {}, "has 1 scored alleles"),
        ([line(1, ("FUS", "x", "AL"))], {}, "b.vcf, c:1 (line 7): SAMVAR_RBP="),
        ([line(1).replace("OK", "OK;SAMVAR_RBP=T|G")], {}, "annotate the file again"),
        ([line(1)], dict(params="distance=50,rbp_min=2.0,rbp_max=10"), "without causes"),
        ([line(1)], dict(params="distance=50,rbp_min=0.1,rbp_max=0"), "without causes"),
    ],
)
def test_groups_that_say_nothing_are_refused(tmp_path, records, about, message):
    first = group(tmp_path / "a.vcf", line(1), line(2), **about)
    result = run(first, group(tmp_path / "b.vcf", *records, **about))
    assert result.exit_code == 1 and message in result.stderr and not result.stdout


def test_a_vcf_that_is_not_annotated_is_refused(tmp_path):
    first = group(tmp_path / "a.vcf", line(1), line(2))
    result = run(first, toy.vcf(tmp_path / "b.vcf", ("c", 1, "A", "T")))
    assert result.exit_code == 1 and "it is no output of samvar annotate" in result.stderr
    result = run(first, tmp_path / "none.vcf")
    assert result.exit_code == 1 and "cannot open VCF" in result.stderr
    result = run(first, first)
    assert result.exit_code == 2 and "give two files" in result.stderr
    result = run(first, tmp_path / "b.vcf", "-o", first)
    assert result.exit_code == 2 and "is an input" in result.stderr


def test_the_page_shows_the_committed_table(examples):
    results = os.path.join(examples(".."), "train", "paper", "results", "compare.tsv")
    with open(results) as f:
        rows = {r["NAME"]: r for r in csv.DictReader(f, delimiter="\t")}
    with open(examples("compare.md")) as f:
        lines = [[c.strip() for c in row.strip("| \n").split("|")] for row in f if row[:2] == "| "]
    columns = ("NAME", "CASES", "CONTROLS", "MEAN_CASES", "MEAN_CONTROLS", "P", "BH")
    first = lines.index(list(columns)) + 1
    assert len(lines[first:]) == 5
    for cells in lines[first:]:
        assert cells == [rows[cells[0]][c] for c in columns]
    assert [r["NAME"] for r in rows.values() if float(r["BH"]) <= 0.05] == ["LSSI_D"]
