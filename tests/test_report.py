"""`samvar report`: the page says what the file says, and each row what `explain` says."""

import json
import re
import sys
from collections import Counter
from html import unescape

import pytest
from click.testing import CliRunner

from samvar.cli import main
from samvar.formats.vcf import VcfReader
from samvar.genomics.variant import Status
from samvar.views.report import Summary

from . import toy

pytestmark = pytest.mark.slow

BASES = toy.random_bases(2000, seed=21)
GENES = (("G1", "c", "+", [(301, 500), (701, 1200)]), ("G2", "c", "-", [(901, 1500), (1801, 1950)]))
OTHER = {"A": "C", "C": "G", "G": "T", "T": "A"}
LEAST = 0.02  # the toy changes hardly more


def invoke(*args, code=0):
    result = CliRunner().invoke(main, list(map(str, args)))
    assert result.exit_code == code, result.output
    return result


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    folder = tmp_path_factory.mktemp("report")
    (folder / "m").mkdir()
    return [
        "-f",
        toy.fasta(folder / "g.fa", c=BASES),
        "-a",
        toy.gtf(folder / "g.gtf", *GENES),
        "--model",
        toy.bundle(folder / "m"),
    ]


@pytest.fixture(scope="module")
def annotated(files, tmp_path_factory):
    """A file with scored alleles, in one gene or two, and some without a score."""
    folder = tmp_path_factory.mktemp("annotated")
    records = [("c", p, BASES[p - 1], OTHER[BASES[p - 1]]) for p in range(690, 1290, 60)]
    records += [
        ("c", 1290, BASES[1289], f"{BASES[1289]}GG,<DEL>"),
        ("c", 1300, OTHER[BASES[1299]], BASES[1299]),
        ("c", 1310, BASES[1309], "."),
    ]
    vcf, out = toy.vcf(folder / "x.vcf", *records), folder / "x <1>.vcf"
    invoke("annotate", vcf, *files, "--rbp-min", LEAST, "-o", out)
    return out


@pytest.fixture(scope="module")
def page(files, annotated, tmp_path_factory):
    out = tmp_path_factory.mktemp("page") / "r.html"
    invoke("report", annotated, *files, "--min", LEAST, "-o", out)
    return out.read_text()


def infos(path):
    """INFO of each record with ALT: key -> value."""
    lines = [x for x in path.read_text().splitlines() if not x.startswith("#")]
    rows = [line.split("\t") for line in lines]
    return [
        (row, dict(e.partition("=")[::2] for e in row[7].split(";")))
        for row in rows
        if row[4] != "."
    ]


def cells(page, table):
    body = re.search(rf'<table id="{table}">(.*?)</table>', page, re.S)[1]
    return [
        [unescape(re.sub("<[^>]+>", "", c)).strip() for c in re.findall("<td.*?>(.*?)</td>", row)]
        for row in re.findall("<tr.*?>(.*?)</tr>", body, re.S)
        if "<td" in row
    ]


def test_every_allele_is_counted_with_its_status_and_the_reason(page, annotated):
    expected = Counter(s for _, e in infos(annotated) for s in e["SAMVAR_STATUS"].split(","))
    told = {name: (int(n), why) for name, n, why in cells(page, "statuses")}
    assert {name: n for name, (n, _) in told.items()} == expected
    assert all(why == Status[name].value for name, (_, why) in told.items())
    assert {"SYMBOLIC", "REF_MISMATCH", "OK"} <= set(told)
    values = [v for _, e in infos(annotated) for v in e["SAMVAR_MAX"].split(",") if v != "."]
    bars = [(row[0], int(row[1])) for row in cells(page, "distribution")]
    assert sum(n for _, n in bars) == len(values) == expected["OK"]
    for text, n in bars:
        low, _, high = text.partition(" to ")
        assert n == sum(float(low) <= float(v) < float(high) for v in values)


def test_the_strongest_alleles_stand_in_order_each_with_its_landscape(page, annotated):
    values = [float(v) for _, e in infos(annotated) for v in e["SAMVAR_MAX"].split(",") if v != "."]
    rows = cells(page, "top")
    strongest = {}
    for variant, _, _, largest, *_ in rows:
        strongest[variant] = max(strongest.get(variant, 0.0), float(largest))
    assert len(strongest) == sum(v >= LEAST for v in values) > 3
    assert list(strongest.values()) == pytest.approx(
        sorted((v for v in values if v >= LEAST), reverse=True), abs=1e-4
    )
    details = re.findall(r'<template id="detail-\d+">(.*?)</template>', page, re.S)
    verdicts = re.findall(r'data-verdict="(.*?)"', page)
    assert len(details) == len(verdicts) == len(rows)
    for detail, verdict in zip(details, verdicts):
        assert detail.count("<svg") == 1 and f'<p class="verdict">{verdict}</p>' in detail


def test_regulators_are_counted_over_the_file(page, annotated):
    alleles, rows = {}, Counter()
    for row, entries in infos(annotated):
        for text in entries.get("SAMVAR_RBP", "").split(","):
            if text and text.split("|")[2] in toy.RBPS:
                alt, _, rbp, *_ = text.split("|")
                alleles.setdefault(rbp, set()).add((row[1], alt))
                rows[rbp] += 1
    told = cells(page, "regulators")
    assert {r[0]: int(r[1]) for r in told} == {rbp: len(found) for rbp, found in alleles.items()}
    arrows = {r[0]: int(r[2].split()[1]) + int(r[3].split()[1]) for r in told}
    assert arrows == rows and rows


def test_the_page_is_one_file_and_escapes_what_it_shows(page):
    assert not re.search(r'(src|href)="(?!#)', page)
    assert "http" not in page.replace("http://www.w3.org/2000/svg", "")
    assert "x &lt;1&gt;.vcf" in page and "x <1>" not in page
    assert "prefers-color-scheme: dark" in page and "Download as TSV" in page


def test_the_top_is_cut_and_a_file_without_changes_says_so(files, annotated, tmp_path):
    with VcfReader(str(annotated)) as reader:
        summary = Summary.of(reader, toy.RBPS, 2, 0.0)
    values = sorted((s.largest for s in summary.strongest), reverse=True)
    assert [s.largest for s in summary.strongest] == values and len(values) == 2
    out = tmp_path / "r.html"
    invoke("report", annotated, *files, "--min", 0.99, "-o", out)
    assert "No allele changes a splice site by 0.99 or more" in out.read_text()


def test_alleles_without_a_status_are_counted_apart(annotated, tmp_path):
    """Of records with one ALT and with several, as of a file that was merged with another."""
    text = re.sub(r"SAMVAR_STATUS=[^;\t\n]+", "X=1", annotated.read_text())
    (tmp_path / "merged.vcf").write_text(text)
    with VcfReader(str(tmp_path / "merged.vcf")) as reader:
        summary = Summary.of(reader, toy.RBPS, 9, 0.0)
    alts = [len(row[4].split(",")) for row, _ in infos(annotated)]
    assert {1, 2} == set(alts) and summary.without_status == sum(alts)
    assert not summary.statuses and not summary.top


def test_multiqc_gets_the_statuses(files, annotated, tmp_path):
    stats = tmp_path / "x_mqc.json"
    invoke("report", annotated, *files, "--top", 0, "-o", tmp_path / "r.html", "--stats", stats)
    content = json.loads(stats.read_text())
    assert content["plot_type"] == "bargraph" and content["id"]
    expected = Counter(s for _, e in infos(annotated) for s in e["SAMVAR_STATUS"].split(","))
    assert content["data"] == {annotated.name: expected}


def test_what_cannot_be_is_told(files, annotated, tmp_path, monkeypatch):
    out = tmp_path / "r.html"
    plain = toy.vcf(tmp_path / "p.vcf", ("c", 700, BASES[699], OTHER[BASES[699]]))
    assert "no output of samvar" in invoke("report", plain, *files, "-o", out, code=1).output
    stats = ["--stats", tmp_path / "x.json"]
    assert "_mqc.json" in invoke("report", annotated, *files, "-o", out, *stats, code=2).output
    assert "is an input" in invoke("report", annotated, *files, "-o", annotated, code=2).output
    monkeypatch.setitem(sys.modules, "jinja2", None)
    refused = invoke("report", annotated, *files, "-o", out, code=1)
    assert "samvar[report]" in refused.output and not out.exists()


@pytest.mark.parametrize(
    "field, edited",
    [(r"SAMVAR_MAX=[0-9.]+", "SAMVAR_MAX=abc"), (r"SAMVAR_RBP=[^;\t\n]+", "SAMVAR_RBP=A|B")],
)
def test_edited_fields_are_told_with_their_record(files, annotated, tmp_path, field, edited):
    with open(annotated) as f:
        text = re.sub(field, edited, f.read())
    (tmp_path / "e.vcf").write_text(text)
    result = invoke("report", tmp_path / "e.vcf", *files, "-o", tmp_path / "e.html", code=1)
    assert not (tmp_path / "e.html").exists()
    assert "samvar did not write these SAMVAR fields" in result.stderr
    assert "internal error" not in result.stderr and re.search(r": \w+:\d+: ", result.stderr)
