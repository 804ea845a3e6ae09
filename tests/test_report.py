"""`samvar report`: the page says what the file says, and each row what `explain` says."""

import json
import re
import shutil
import subprocess
import sys
from collections import Counter
from html import unescape

import pytest
from click.testing import CliRunner

from samvar.annotate import Allele
from samvar.cli import main
from samvar.formats.vcf import VcfReader
from samvar.genomics.variant import Status
from samvar.genomics.window import Place
from samvar.info import EVENT_COLUMNS
from samvar.scoring.deltas import NAMES, Delta
from samvar.views import report
from samvar.views.about import About
from samvar.views.report import NamedCause, Row, Summary, Unscored

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


def rows_of(page):
    """The table of the strongest as it is downloaded: a dict for each row."""
    heads = unescape(re.search(r'data-columns="(.*?)"', page)[1]).split("\t")
    rows = [unescape(x).split("\t") for x in re.findall(r'data-tsv="(.*?)"', page)]
    assert all(len(row) == len(heads) for row in rows)
    return [dict(zip(heads, row)) for row in rows]


def largest(row):
    return max(float(row[f"DS_{delta}"]) for delta in NAMES)


def test_the_strongest_alleles_stand_in_order_each_with_its_landscape(page, annotated):
    """Each in the gene that it changes most first; genes below --min after all of these."""
    expected = {}
    for row, entries in infos(annotated):
        for text in filter(None, entries.get("SAMVAR", "").split(",")):
            alt, symbol, *_ = text.split("|")
            deltas = [float(value) for value in text.split("|")[5:9]]
            expected[row[1], alt, symbol] = deltas
    rows = [row for row in rows_of(page) if row["DS_AG"]]
    strongest = {}
    for (pos, alt, _), deltas in expected.items():
        strongest[pos, alt] = max(strongest.get((pos, alt), 0.0), *deltas)
    kept = {key for key in expected if strongest[key[:2]] >= LEAST}
    assert {(r["POS"], r["ALT"], r["SYMBOL"]) for r in rows} == kept
    for row in rows:
        told = [float(row[f"DS_{delta}"]) for delta in NAMES]
        assert told == pytest.approx(expected[row["POS"], row["ALT"], row["SYMBOL"]], abs=2e-4)
    order = [
        (largest(r) < LEAST, -strongest[r["POS"], r["ALT"]], int(r["POS"]), -largest(r))
        for r in rows
    ]
    assert order == sorted(order)
    shared = [r for r in rows if r["POS"] == "930"]
    assert [r["SYMBOL"] for r in shared] == ["G1", "G2"]
    assert {"1170", "990"} <= {r["POS"] for r in rows if r["SYMBOL"] == "G2"}
    details = re.findall(r'<template id="detail-\d+">(.*?)</template>', page, re.S)
    assert len(details) == len(rows) > 10
    for detail, row in zip(details, rows):
        told = unescape(re.search(r'<p class="verdict">(.*?)</p>', detail)[1])
        assert detail.count("<svg") == 1 and told == row["VERDICT"]


def test_the_strongest_cause_may_be_the_core_site(page):
    """Its effect is on the probability of the splice site, as in the detail; no RBP is named that
    has less than a tenth of the delta."""
    rows = [row for row in rows_of(page) if row["CAUSE"]]
    assert {row["CAUSE"] for row in rows} == {"core site"}
    assert {row["RBP"] for row in rows} == {""}  # AAA1 has 0.0001 of 0.0426 in one
    gains = 0
    for row in rows:
        top = max(NAMES, key=lambda delta: float(row[f"DS_{delta}"]))
        assert (float(row["CAUSE_EFFECT"]) > 0) == top.endswith("G")
        gains += top.endswith("G")
    assert 0 < gains < len(rows)


def test_alleles_without_a_score_are_listed_with_the_reason(page, files, annotated, monkeypatch):
    told = [(r["POS"], r["ALT"], r["STATUS"], r["VERDICT"]) for r in rows_of(page)]
    reason = Status.SYMBOLIC.value, Status.REF_MISMATCH.value
    assert told[-2:] == [
        ("1290", "<DEL>", "SYMBOLIC", f"SYMBOLIC: {reason[0]}"),
        ("1300", BASES[1299], "REF_MISMATCH", f"REF_MISMATCH: {reason[1]}"),
    ]
    choices = re.search(r'<select id="by-status">(.*?)</select>', page, re.S)[1]
    assert re.findall("<option>(.*?)</option>", choices) == ["OK", "REF_MISMATCH", "SYMBOLIC"]
    monkeypatch.setattr("samvar.views.report.MOST_UNSCORED", 1)
    with VcfReader(str(annotated)) as reader:
        summary = Summary.of(reader, toy.RBPS, 9, 0.0)
    assert [u.status for u in summary.unscored] == [Status.SYMBOLIC]


def test_regulators_are_counted_in_alleles_where_they_have_a_share(tmp_path):
    """Not in sites, deltas or genes."""
    deltas = "C|G1|G1|G1.1|+|0.5|0.4|0|0|1|1|1|1|.,C|G2|G2|G2.1|-|0.3|0|0|0|1|1|1|1|."
    causes = [
        *("C|G1|AAA1|gain|9|A|1|0.3|AG", "C|G1|AAA1|gain|8|A|1|0.1|AG"),
        *("C|G2|AAA1|gain|7|A|1|0.1|AG", "C|G1|AAA1|loss|6|A|1|0.2|AL"),
        *("C|G1|BBB2|loss|5|A|1|0.049|AG", "C|G2|BBB2|loss|5|A|1|-0.031|AG"),
        "C|G1|LSSI_A|stronger|5|A|1|0.5|AG",
    ]
    told = f"SAMVAR_MAX=0.5;SAMVAR_STATUS=OK;SAMVAR={deltas};SAMVAR_RBP={','.join(causes)}"
    vcf = tmp_path / "x.vcf"
    vcf.write_text(
        "##fileformat=VCFv4.2\n##contig=<ID=c>\n#CHROM\tPOS\tID\tREF\tALT\tQUAL\tFILTER\tINFO\n"
        + "".join(f"c\t{pos}\t.\tA\tC\t.\t.\t{told}\n" for pos in (5, 6))
    )
    with VcfReader(str(vcf)) as reader:
        summary = Summary.of(reader, toy.RBPS, 9, 0.0)
    assert summary.regulators == [
        ("AAA1", 2, 2, 2, pytest.approx(1.4)),
        ("BBB2", 2, 0, 2, pytest.approx(0.062)),
    ]


def test_other_files_than_those_of_the_vcf_are_refused(files, annotated, tmp_path):
    shifted = [("G1", "c", "+", [(301, 500), (705, 1200)]), GENES[1]]
    other = [*files[:3], toy.gtf(tmp_path / "other.gtf", *shifted), *files[4:]]
    out = tmp_path / "r.html"
    args = "report", annotated, *other, "--min", LEAST, "-o", out
    refused = invoke(*args, code=1).stderr
    assert "made with another annotation" in refused and not out.exists()
    told = re.search(
        r"made with g.gtf \(sha256 (\w+)\), this one is other.gtf \(sha256 (\w+)\)", refused
    )
    assert told and {len(told[1]), len(told[2])} == {12}
    told = invoke(*args, "--allow-other-files").stderr
    assert "another annotation" in told and "another reference" not in told
    assert "made with other files than the VCF" in out.read_text()


@pytest.mark.parametrize("chosen", ["all", "mane", "list"])
def test_verdicts_are_of_the_transcripts_that_the_file_has_events_of(tmp_path, chosen):
    (tmp_path / "m").mkdir()
    exons = [(301, 500), (701, 1200)], [(301, 500), (691, 760), (801, 1100)]
    gtf = toy.gtf(tmp_path / "g.gtf", *((name, "c", "+", own) for name, own in zip("ab", exons)))
    names = {'"a"': '"G1"', '"b"': '"G1"', '"a.1"': '"G1.1"', '"b.1"': '"G1.2"'}
    with open(gtf) as f:
        text = re.sub(r'"[\w.]+"', lambda m: names[m[0]], f.read())
    with open(gtf, "w") as f:
        f.write(text)
    files = ["-f", toy.fasta(tmp_path / "g.fa", c=BASES), "-a", gtf]
    files += ["--model", toy.bundle(tmp_path / "m")]
    if chosen == "list":
        (tmp_path / "list").write_text("G1.2\n")
    vcf = toy.vcf(tmp_path / "x.vcf", ("c", 700, BASES[699], OTHER[BASES[699]]))
    out, page = tmp_path / "out.vcf", tmp_path / "r.html"
    listed = tmp_path / "list" if chosen == "list" else chosen
    invoke("annotate", vcf, *files, "--transcripts", listed, "-o", out)
    ((_, entries),) = infos(out)
    of_file = [x.split("|")[2] for x in entries.get("SAMVAR_EVENT", "").split(",") if x]
    invoke("report", out, *files, "--min", 0, "-o", page)
    detail = re.search(r"<template.*?</template>", page.read_text(), re.S)[0]
    events = detail.partition("<h3>Events</h3>")[2]
    assert re.findall(r"<td>(G1\.\d)</td>", events) == of_file
    assert {"all": {"G1.1", "G1.2"}, "mane": set(), "list": {"G1.2"}}[chosen] == set(of_file)
    (row,) = rows_of(page.read_text())
    assert row["EVENT_TRANSCRIPT"] == (of_file or [""])[0]


ORIGIN = About("toy AM", (1,), "0f", "g.fa", "g.gtf", "0.1", "2026-01-01", (), None, (), ("AAA1",))


def row_of(pos, kinds, rbps, name=""):
    """An allele with these events, each of its own transcript, and named motifs; the site of the
    first of these is the strongest."""
    untold = dict.fromkeys(EVENT_COLUMNS, "")
    events = (untold | dict(TRANSCRIPT=f"T{i}", EVENT=k) for i, k in enumerate(kinds))
    deltas = tuple(Delta(n, 0.5, Place(pos - 1)) for n in NAMES)
    return Row(
        Allele("c", pos, "A", "C"), f"c:{pos} A>C", name, "OK", "", "G", "T0", "+", deltas,
        "donor loss", tuple(events), NamedCause("core site", -0.4, "7"),
        NamedCause(rbps[0], 0.1, "9+2") if rbps else None, tuple(rbps), "verdict", "<p>detail</p>",
    )  # fmt: skip


@pytest.fixture(scope="module")
def filtered(tmp_path_factory):
    """Address of a page of three alleles with a score and two without, and of what recurs."""
    summary = Summary(9, 0.1, bins=[0, 0, 0, 0, 0, 3, 0])
    for name, alleles in (("BBB2", 5), ("AAA1", 2), ("CCC3", 1)):
        summary.alleles[name] = alleles
    summary.unscored = [Unscored(Allele("c", p, "A", "<DEL>"), "", Status.SYMBOLIC) for p in (5, 6)]
    summary.statuses.update(["OK"] * 3 + ["SYMBOLIC"] * 2)
    table = [
        row_of(10, ["exon_skipping", "none", "pseudoexon"], ["AAA1", "BBB2"]),
        row_of(20, ["none", "none"], []),
        row_of(30, ["none", "exon_skipping"], ["BBB2"]),
    ]
    path = tmp_path_factory.mktemp("filtered") / "r.html"
    path.write_text(report.page("x.vcf", summary, table, ORIGIN))
    return path.as_uri()


@pytest.fixture
def tab(browser, filtered):
    tab = browser.new_page(viewport=dict(width=900, height=400))
    tab.goto(filtered)
    yield tab
    tab.close()


def shown(tab):
    """Positions of the alleles that are listed, and the line that counts them."""
    rows = tab.locator("#top tr.allele:visible td.variant").all_inner_texts()
    return [int(re.search(r":(\d+)", text)[1]) for text in rows], tab.inner_text("#shown")


def test_filters_find_every_event_and_every_named_rbp(tab):
    for key, value, positions in (
        ("rbp", "BBB2", [10, 30]),
        ("rbp", "AAA1", [10]),
        ("event", "pseudoexon", [10]),
        ("event", "exon skipping", [10, 30]),
        ("event", "none", [20, 30]),
    ):
        tab.select_option(f"#by-{key}", value)
        n = len(positions)
        assert shown(tab) == (
            positions, f"{n} of 3 scored rows, 0 of 2 alleles without a score shown"
        )  # fmt: skip
        tab.select_option(f"#by-{key}", "")
    assert "also pseudoexon" in tab.inner_text("#top") and "also BBB2" in tab.inner_text("#top")


def test_a_regulator_that_recurs_leads_to_its_alleles(tab):
    tab.select_option("#by-event", "pseudoexon")
    tab.fill("#by-text", "nothing")
    rows = tab.locator("#regulators tr").all_inner_texts()[1:]
    assert [row.split()[:3] for row in rows] == [
        *(["BBB2", "5", "2"], ["AAA1", "2", "1"], ["CCC3", "1", "0"])
    ]
    assert tab.locator("#regulators button").all_inner_texts() == ["BBB2", "AAA1"]
    tab.locator("#regulators button").first.click()
    assert shown(tab)[0] == [10, 30] and tab.locator("#by-rbp").input_value() == "BBB2"
    assert 0 <= tab.locator("#by-rbp").bounding_box()["y"] < 400


def test_alleles_without_a_score_are_listed_when_that_is_asked_for(tab):
    assert shown(tab)[0] == [10, 20, 30]
    tab.get_by_label("alleles without a score").check()
    assert shown(tab) == (
        [10, 20, 30, 5, 6], "3 of 3 scored rows, 2 of 2 alleles without a score shown"
    )  # fmt: skip
    tab.get_by_label("alleles without a score").uncheck()
    tab.select_option("#by-status", "SYMBOLIC")
    assert shown(tab)[0] == [5, 6]


def test_print_has_no_controls_and_no_alleles_without_a_score(tab):
    tab.emulate_media(media="print")
    assert shown(tab)[0] == [10, 20, 30]
    controls = tab.locator("select:visible, input:visible, #download:visible")
    assert controls.count() == 0 and tab.locator(".on-screen:visible").count() == 0


@pytest.mark.parametrize(
    "name, cell",
    [
        *(("=1+1", "'=1+1"), ("@SUM(A1)", "'@SUM(A1)"), ("-1+cmd", "'-1+cmd"), ("+A1", "'+A1")),
        *(('"=1', "'\"=1"), (" =1", "'=1"), ("rs1", "rs1"), ("-5", "-5"), ("-", "-")),
    ],
)
def test_no_cell_is_a_formula_and_numbers_stay_numbers(name, cell):
    values = row_of(10, ["none"], ["AAA1", "BBB2"], name).tsv.split("\t")
    row = dict(zip(report.TSV_COLUMNS, values, strict=True))
    assert (row["ID"], row["CAUSE_EFFECT"], row["STRAND"]) == (cell, "-0.4000", "+")


def test_a_row_can_be_followed_up():
    values = row_of(10, ["exon_skipping", "pseudoexon"], ["AAA1", "BBB2"]).tsv.split("\t")
    row = dict(zip(report.TSV_COLUMNS, values, strict=True))
    assert [row[f"POS_{n}"] for n in NAMES] == ["10"] * 4
    assert (row["TRANSCRIPT"], row["CAUSE_POS"]) == ("T0", "7")
    assert (row["EVENT_TRANSCRIPT"], row["EVENT"]) == ("T0", "exon skipping")
    assert row["OTHER_EVENTS"] == "T1: pseudoexon"
    assert (row["RBP"], row["RBP_POS"], row["OTHER_RBPS"]) == ("AAA1", "9+2", "BBB2")


def test_haplotypes_are_listed_once_each_as_explain_takes_them(files, tmp_path):
    pairs = [(p, BASES[p - 1], OTHER[BASES[p - 1]]) for p in (695, 699, 1180, 1186)]
    lines = [f"c\t{p}\t.\t{ref}\t{alt}\t.\t.\t.\tGT\t0|1" for p, ref, alt in pairs]
    vcf, out, html = (tmp_path / name for name in ("x.vcf", "out.vcf", "r.html"))
    columns = "CHROM POS ID REF ALT QUAL FILTER INFO FORMAT S".split()
    vcf.write_text("\n".join(["##fileformat=VCFv4.2", "#" + "\t".join(columns), *lines]) + "\n")
    invoke("annotate", vcf, *files, "--phased", "--hap-min", 1e-4, "-o", out)
    told = [
        dict(zip(("ALLELE", "SYMBOL", "PARTNERS"), row.split("|")))
        for _, own in infos(out)
        for row in own.get("SAMVAR_HAP", "").split(",")
        if row
    ]
    assert told
    invoke("report", out, *files, "--min", LEAST, "-o", html)
    found = cells(html.read_text(), "haplotypes")
    assert len(found) < len(told) and len({tuple(row[:2]) for row in found}) == len(found)
    assert {row[1] for row in found} == {row["SYMBOL"] for row in told}
    for request, gene, copies, largest, _ in found:
        assert copies == "1"
        invoke("explain", request, *files, "--json", tmp_path / "own.json")
        own = json.loads((tmp_path / "own.json").read_text())
        (view,) = (g for g in own["genes"] if g["symbol"] == gene)
        deltas = [d["value"] for d in view["deltas"].values()]
        assert float(largest.split()[0]) == pytest.approx(max(deltas), abs=1e-4)


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


@pytest.mark.skipif(not shutil.which("multiqc"), reason="multiqc is not installed")
def test_multiqc_shows_the_statuses(files, annotated, tmp_path):
    stats = tmp_path / "x_mqc.json"
    invoke("report", annotated, *files, "--top", 0, "-o", tmp_path / "r.html", "--stats", stats)
    of_report = json.loads(stats.read_text())
    done = subprocess.run(
        ["multiqc", tmp_path, "-o", tmp_path / "out", "--no-version-check"],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert of_report["id"] in (tmp_path / "out" / "multiqc_report.html").read_text()


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
