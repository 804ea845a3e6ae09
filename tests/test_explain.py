"""`samvar explain`: what it says is what `annotate` says, the sums hold, and the figures are
well-formed."""

import json
import re
import shutil
import sys
import xml.etree.ElementTree as ElementTree
from html import escape
from html.parser import HTMLParser

import numpy as np
import pytest
import torch
from click.testing import CliRunner

from samvar.annotate import Allele, Options, examine, windows
from samvar.cli import main
from samvar.formats.annotation import load_annotation
from samvar.genomics.genome import Genome
from samvar.genomics.variant import Status
from samvar.model.bottleneck import Detection
from samvar.model.bundle import Background, load_bundle, write_manifest
from samvar.model.sam import one_hot
from samvar.scoring.attribution import attribute
from samvar.scoring.knockout import EditableAllele
from samvar.scoring.predictor import Predictor
from samvar.training.background import LEAST_DELTA, LEAST_EFFECT
from samvar.views import explanation, families

from . import toy

BASES = toy.random_bases(2000, seed=21)
GENES = (("G1", "c", "+", [(301, 500), (701, 1200)]), ("G2", "c", "-", [(901, 1500), (1801, 1950)]))
OTHER = {"A": "C", "C": "G", "G": "T", "T": "A"}
CASES = {
    "snv": (1000, BASES[999], OTHER[BASES[999]]),
    "insertion": (1000, BASES[999], BASES[999] + "GGATCCTT"),
    "deletion": (1000, BASES[999:1006], BASES[999]),
    "no gene": (100, BASES[99], OTHER[BASES[99]]),
}


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    folder = tmp_path_factory.mktemp("explain")
    (folder / "m").mkdir()
    return [
        "-f",
        toy.fasta(folder / "g.fa", c=BASES),
        "-a",
        toy.gtf(folder / "g.gtf", *GENES),
        "--model",
        toy.bundle(folder / "m", seeds=(0, 3)),
    ]


@pytest.fixture(scope="module")
def parts(files):
    return Genome(files[1]), load_annotation(files[3]), Predictor(load_bundle(files[5]))


def run(*args, code=0):
    result = CliRunner().invoke(main, ["explain", *map(str, args)])
    assert result.exit_code == code, result.output
    return result


def variant(name):
    pos, ref, alt = CASES[name]
    return f"c:{pos}:{ref}:{alt}"


@pytest.mark.slow
def test_the_verdict_is_the_same_in_every_view(files, tmp_path):
    page = tmp_path / "v.html"
    text = run(variant("insertion"), *files).stdout
    told = json.loads(run(variant("insertion"), *files, "--json", "-", "--html", page).stdout)
    assert [g["symbol"] for g in told["genes"]] == ["G1", "G2"]
    for gene in told["genes"]:
        assert gene["verdict"].endswith(".")
        assert gene["verdict"] in text and escape(gene["verdict"]) in page.read_text()
        assert all(set(event) >= {"event", "size", "rna", "strength"} for event in gene["events"])


@pytest.mark.slow
@pytest.mark.parametrize("name", ["snv", "insertion", "deletion"])
def test_json_agrees_with_annotate_and_sums(files, tmp_path, name):
    found = json.loads(run(variant(name), *files, "--json", "-").stdout)
    pos, ref, alt = CASES[name]
    vcf = toy.vcf(tmp_path / "x.vcf", ("c", pos, ref, alt))
    text = CliRunner().invoke(main, ["annotate", vcf, *files]).stdout
    rows = [r.split("|") for r in re.search(r"SAMVAR=([^;\s]+)", text)[1].split(",")]
    assert found["status"] == "OK" and [g["symbol"] for g in found["genes"]] == [
        r[1] for r in rows
    ] == ["G1", "G2"]
    for gene, row in zip(found["genes"], rows):
        assert [f"{d['value']:.4f}" for d in gene["deltas"].values()] == row[5:9]
        for d, relative in zip(gene["deltas"].values(), row[9:13]):
            anchor, _, offset = relative.partition("+")
            there = int(anchor) + pos
            assert d["pos"] == (f"{there}+{offset}" if offset else there)
        assert gene["sd"] is not None
        largest = max(gene["deltas"], key=lambda n: gene["deltas"][n]["value"])
        assert largest in [a["delta"] for a in gene["attributed"]]
        for a in gene["attributed"]:
            assert a["value"] == gene["deltas"][a["delta"]]["value"]
            assert sum(p["effect"] for p in a["parts"]) + a["residual"] == pytest.approx(
                a["value"], abs=1e-6
            )
            assert sum(f["effect"] for f in a["families"]) == pytest.approx(
                a["value"] - a["residual"], abs=1e-6
            )
            for p in a["parts"]:
                assert p["kind"] in ("lssi", "rbp", "spacing") and (p["kind"] == "spacing") == (
                    p["pos"] is None
                )
                assert p["kind"] == "spacing" or (
                    p["knockout"] is not None and len(p["site"]) == 11
                )
                assert p["percentile"] is None  # the toy has no background


def test_the_landscape_is_the_models(parts):
    """Sites are the scores of `Predictor.score`, marks the motif sites of each allele."""
    genome, annotation, predictor = parts
    pos, ref, alt = CASES["deletion"]
    e = explanation.explain(genome, annotation, predictor, "c", pos, ref, alt, Options())
    for view in e.genes:
        scored = predictor.score(view.window)
        p_ref, p_alt = scored.ref.mean(0), scored.alt.mean(0)
        np.testing.assert_allclose(view.ref.probability, p_ref, atol=1e-6)
        np.testing.assert_allclose(view.alt.probability, p_alt, atol=1e-6)
        assert len(view.ref.position) - len(view.alt.position) == 6
        strand = BASES[view.window.start : view.window.end]
        assert view.ref.bases == (
            strand if view.gene.strand == "+" else strand.translate(toy.REVERSE)
        )
        assert {m.event for m in view.ref.marks} <= {"unchanged", "loss", "stronger", "weaker"}
        assert {m.event for m in view.alt.marks} <= {"unchanged", "gain", "stronger", "weaker"}
        assert any(m.event != "unchanged" for side in (view.ref, view.alt) for m in side.marks)
        for side, in_alt in ((view.ref, False), (view.alt, True)):
            sites = EditableAllele.make(predictor, view.window, in_alt).bottleneck[2:] > 0
            assert sites.sum() == len(side.marks) > 5


@pytest.mark.parametrize("name", ["snv", "insertion", "deletion"])
def test_the_landscape_has_what_the_change_does_to_bases_that_are_not_compared(parts, name):
    genome, annotation, predictor = parts
    for view in explanation.explain(
        genome, annotation, predictor, "c", *CASES[name], Options(distance=1)
    ).genes:
        exact = predictor.exact(view.window)
        for side, p in ((view.ref, exact.ref), (view.alt, exact.alt)):
            np.testing.assert_allclose(side.probability, p.mean(0), atol=1e-6)


@pytest.mark.parametrize("name", ["snv", "insertion", "deletion"])
def test_probabilities_of_every_position_are_the_models(parts, files, tmp_path, name):
    """In JSON and on the page; a base that an allele has not has none."""
    genome, annotation, predictor = parts
    pos, ref, alt = CASES[name]
    options = Options()
    change = examine(genome, annotation, Allele("c", pos, ref, alt), options)
    paths = tmp_path / "e.json", tmp_path / "e.html"
    run(variant(name), *files, "--json", paths[0], "--html", paths[1])
    told = [gene["probabilities"] for gene in json.loads(paths[0].read_text())["genes"]]
    tables = paths[1].read_text().split('<details class="probabilities">')[1:]
    shown = windows(genome, annotation, predictor, change, options)
    assert len(told) == len(tables) == len(shown) == 2
    for window, found, table in zip(shown, told, tables):
        sides = zip(("ref", "alt"), toy.plain_scores(predictor.bundle.models, window), (ref, alt))
        for side, plain, allele in sides:
            for kind, expected in zip(("acceptor", "donor"), plain.mean(0)):
                there = [p for p in found[side][kind] if p is not None]
                assert there == pytest.approx(list(expected), abs=1e-6)
            absent = [p for p, x in zip(found["pos"], found[side]["donor"]) if x is None]
            assert len(absent) == len(max(ref, alt, key=len)) - len(allele)
            assert all(isinstance(p, str) == (side == "ref") for p in absent)
        rows = re.findall("<tr>(<td>.*?)</tr>", table.partition("</table>")[0])
        cells = [re.findall("<td>(.*?)</td>", row) for row in rows]
        columns = [found[side][kind] for kind in ("acceptor", "donor") for side in ("ref", "alt")]
        assert cells == [
            [str(p), *("" if x is None else f"{x:.6f}" for x in values)]
            for p, *values in zip(found["pos"], *columns)
        ]


@pytest.mark.slow
@pytest.mark.parametrize("gene", [0, 1])
def test_influences_are_what_emptying_a_motif_site_does(parts, monkeypatch, gene):
    """On the plain path: the whole model run on the whole haplotype, one entry of its bottleneck
    zero."""
    genome, annotation, predictor = parts
    monkeypatch.setattr(explanation, "SEEN", 0.02)  # the toy predicts no site more surely
    monkeypatch.setattr(explanation, "STIRS", 1.001)
    view = explanation.explain_region(genome, annotation, predictor, "c", 960, 1060).genes[gene]
    window, side = view.window, view.ref
    assert len(side.influences) > 5
    column = {place: i for i, place in enumerate(side.position.tolist())}

    def probability(mark=None):
        found = []
        for model in predictor.models:
            x = one_hot(torch.from_numpy(window.ref[None].copy()))
            with torch.no_grad():
                lssi, motifs = model.detect(x)
                if mark is not None:
                    at = column[mark.position]
                    at = len(side.position) - 1 - at if window.gene.strand == "-" else at
                    at += model.config.aggregate_reach + window.flank
                    motifs[0, toy.RBPS.index(mark.rbp), at] = 0
                p = model.aggregate(Detection(lssi, motifs))[0, 1:].exp().numpy()
            found.append(p[:, window.flank : p.shape[1] - window.flank])
        return window.to_genome(np.mean(found, 0))

    whole = probability()
    for i in side.influences[:: max(len(side.influences) // 20, 1)]:
        at = i.kind, column[i.position]
        without = probability(side.marks[i.mark])[at]
        assert i.ratio == pytest.approx(whole[at] / without, rel=1e-3)
        assert i.effect == pytest.approx(whole[at] - without, abs=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize("name", CASES)
def test_text_svg_png_and_html(files, tmp_path, name):
    out = [tmp_path / f"e.{form}" for form in ("svg", "png", "html")]
    options = [x for o in out for x in (f"--{o.suffix[1:]}", o)]
    if name == "no gene":
        remark = f"NO_GENE: {Status.NO_GENE.value}"
        assert (
            run(variant(name), *files, *options).stdout
            == f"c:100 {BASES[99]}>{OTHER[BASES[99]]}  {remark}\n"
        )
        assert remark in out[0].read_text() and remark in out[2].read_text()
        assert out[1].read_bytes().startswith(b"\x89PNG")
        assert "<svg" not in out[2].read_text()
        return
    result = run(variant(name), *files, "--explain-check", *options)
    assert re.search(r"^G1 \(G1, G1.1, \+ strand\)$", result.stdout, re.M)
    assert (
        "Why " in result.stdout and "knock-out" in result.stdout and "by family:" in result.stdout
    )
    svg = ElementTree.parse(out[0])
    words = {"".join(t.itertext()) for t in svg.iter("{http://www.w3.org/2000/svg}text")}
    assert {"REF", "ALT"} <= words
    tips = {"".join(t.itertext()) for t in svg.iter("{http://www.w3.org/2000/svg}title")}
    assert all(any(tip.startswith(rbp) for tip in tips) for rbp in toy.RBPS)
    assert out[1].read_bytes().startswith(b"\x89PNG")
    page = out[2].read_text()
    unsure = re.findall(r"^ +([+-]0\.\d{4})\?", result.stdout, re.M)
    told = re.findall(r"<td>[+-](0\.\d{4})\?", page)
    assert told == [x[1:] for x in unsure] and (unsure or name != "snv")
    assert "<script" not in page and not re.search(
        r'(src|href)="(?!#)', page.replace('xmlns:xlink="', "")
    )
    assert (
        "prefers-color-scheme: dark" in page and "@media print" in page and page.count("<svg") == 2
    )

    class Tags(HTMLParser):
        open_tags, ids = [], []

        def handle_starttag(self, tag, attrs):
            self.ids += [v for k, v in attrs if k == "id"]
            if tag not in ("meta", "link", "br"):
                self.open_tags.append(tag)

        def handle_startendtag(self, tag, attrs):
            self.ids += [v for k, v in attrs if k == "id"]

        def handle_endtag(self, tag):
            assert self.open_tags.pop() == tag

    reader = Tags()
    reader.feed(page)
    assert not reader.open_tags and len(reader.ids) == len(set(reader.ids))


@pytest.mark.slow
@pytest.mark.parametrize("name", ["snv", "deletion"])
def test_effects_on_the_page_are_on_the_site_as_in_the_figure(files, tmp_path, name):
    """Below 0 where they lower it, and they add up to what the probability changes by."""
    page = tmp_path / "e.html"
    run(variant(name), *files, "--rbp-min", 0, "--html", page)
    seen = set()
    why = r"<h3>Why (\w+ \w+) ([\d.]+)</h3><p.*?changes by ([+-][\d.]+)</p>.*?<table>(.*?)</table>"
    for kind, value, change, table in re.findall(why, page.read_text()):
        sign = -1 if kind.endswith("loss") else 1
        assert float(change) == pytest.approx(sign * float(value))
        rows = re.findall(r'<td>([+-][\d.]+)\??</td><td><span class="(raises|lowers)">', table)
        assert all((float(effect) > 0) == (way == "raises") for effect, way in rows)
        assert sum(float(effect) for effect, _ in rows) == pytest.approx(float(change), abs=2e-3)
        seen.add(kind.split()[1])
    assert seen == {"gain", "loss"}


def test_region_form(files, tmp_path):
    result = run("c:690-760", *files, "--svg", tmp_path / "r.svg", "--json", tmp_path / "r.json")
    assert "c:690-760" in result.stdout and "G1" in result.stdout
    found = json.loads((tmp_path / "r.json").read_text())
    (gene,) = found["genes"]
    assert "deltas" not in gene and set(gene["landscape"]) == {"ref"}
    assert "  Splice sites of a probability of 0.1 or more: " in result.stdout
    assert all(690 <= m["pos"] <= 760 for m in gene["landscape"]["ref"]["motifs"])
    for text, why in (
        ("c:1-5000", "not in"),
        ("x:1-50", "not in"),
        ("c:50-1", "END is not before START"),
    ):
        assert why in run(text, *files, code=1).stderr


def test_a_region_without_genes_or_bases_says_so(files, tmp_path):
    assert run("c:1-50", *files).stdout == f"c:1-50  NO_GENE: {Status.NO_GENE.value}\n"
    fasta = toy.fasta(tmp_path / "n.fa", c=BASES[:690] + "N" * 80 + BASES[770:])
    page = tmp_path / "n.html"
    unknown = run("c:700-760", "-f", fasta, *files[2:], "--html", page, "--json", "-").stdout
    assert json.loads(unknown)["status"] == "REF_N" and json.loads(unknown)["genes"] == []
    assert f"REF_N: {Status.REF_N.value}" in page.read_text()


@pytest.mark.slow
def test_a_picture_of_several_alleles_shows_those_without_a_score_too(files, tmp_path):
    pos, ref, alt = CASES["snv"]
    picture = tmp_path / "e.svg"
    run(f"c:{pos}:{ref}:{alt},<DEL>", *files, "--svg", picture)
    text = picture.read_text()
    assert f"c:{pos} {ref}&gt;{alt}" in text and "SYMBOLIC: symbolic allele" in text


@pytest.mark.parametrize("option", ["--json", "--svg", "--png", "--html"])
def test_an_output_that_cannot_be_written_is_refused_before_the_work(
    files, tmp_path, monkeypatch, option
):
    def work(*_):
        raise AssertionError("the model was loaded")

    monkeypatch.setattr("samvar.model.bundle.load_bundle", work)
    refused = run(variant("snv"), *files, option, tmp_path / "nowhere" / "x", code=1)
    assert "there is no folder" in refused.stderr
    refused = run(variant("snv"), *files, option, tmp_path, code=1)
    assert "it is a folder" in refused.stderr


@pytest.mark.parametrize("option", [("--png", "x"), ("--figure", "x.pdf")])
def test_missing_matplotlib_is_told_before_the_work(files, tmp_path, monkeypatch, option):
    def work(*_):
        raise AssertionError("the model was loaded")

    monkeypatch.setattr("samvar.model.bundle.load_bundle", work)
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    name, path = option[0], tmp_path / option[1]
    refused = run(variant("snv"), *files, name, path, code=1)
    assert "pip install 'samvar[plot]'" in refused.stderr and not path.exists()


@pytest.mark.slow
def test_the_status_is_that_of_annotate(files, tmp_path):
    bases = BASES[:1020] + "N" * 600 + BASES[1620:]
    fasta = toy.fasta(tmp_path / "n.fa", c=bases)
    page = tmp_path / "n.html"
    found = json.loads(
        run(variant("snv"), "-f", fasta, *files[2:], "--json", "-", "--html", page).stdout
    )
    assert found["status"] == "LOW_CONTEXT" and found["genes"]
    assert f"LOW_CONTEXT: {escape(Status.LOW_CONTEXT.value)}" in page.read_text()
    assert json.loads(run(variant("no gene"), *files, "--json", "-").stdout)["status"] == "NO_GENE"


def test_messages_name_what_the_user_can_do(files):
    long = run(f"c:700:{BASES[699]}:{'A' * 1002}", *files).stdout
    assert "1,000 bases by default" in long and "--max-allele" not in long
    options = [*files[:4], "--compare", "fm"]
    assert "--model paper" in run(variant("snv"), *options, code=1).stderr
    assert "--model paper --compare fm" in " ".join(run("--help").output.split())


def test_an_allele_that_is_ref_is_refused(files):
    base = BASES[704]
    told = "is no variant: ALT is the same as REF"
    for what in (f"c:705:{base}:{base}", f"c:705:{base.lower()}:{base}"):
        assert (
            f"error: c:705 {what[6:].replace(':', '>')} {told}" in run(what, *files, code=1).stderr
        )
    other = OTHER[BASES[709]]
    both = f"c:705:{base}:{base}+c:710:{BASES[709]}:{other}"
    assert told in run(both, *files, code=1).stderr


def test_files_without_a_common_contig_are_named(files, tmp_path):
    other = toy.fasta(tmp_path / "o.fa", zz=toy.random_bases(2000))
    refused = CliRunner().invoke(main, ["explain", "zz:10:A:C", "-f", other, *files[2:]])
    assert refused.exit_code == 1 and "share no contig" in refused.stderr
    refused = CliRunner().invoke(
        main, ["explain", "zz:10:A:C", "-f", other, *files[2:], "--json", other]
    )
    assert refused.exit_code == 2 and "is an input" in refused.stderr


@pytest.mark.slow
def test_look_up_in_a_vcf(files, tmp_path):
    pos, ref, alt = CASES["snv"]
    line = f"c\t{pos}\trs1;other\t{ref}\t{alt},{ref}T\t.\t.\t."
    vcf = toy.vcf(tmp_path / "x.vcf", line, f"c\t1100\trs2\t{BASES[1099]}\t.\t.\t.\t.")
    assert run(f"c:{pos}", *files, "--vcf", vcf).stdout.count(f"c:{pos} {ref}>") == 2
    assert run(f"c:{pos}:{ref}:{alt},{ref}T", *files).stdout.count(f"c:{pos} {ref}>") == 2
    assert f"c:{pos} {ref}>{alt}" in run("rs1", *files, "--vcf", vcf).stdout
    assert "no record rs9" in run("rs9", *files, "--vcf", vcf, code=1).stderr
    assert "no record rs2" in run("rs2", *files, "--vcf", vcf, code=1).stderr
    assert "--vcf" in run("rs1", *files, code=1).stderr


def test_a_haplotype_is_explained_as_annotate_scores_it(files, tmp_path):
    """A deletion and an SNV, which an annotated file names for each other."""
    ref, deleted = BASES[999:1004], BASES[999]
    other = 1010, BASES[1009], OTHER[BASES[1009]]
    lines = [
        "\t".join(["c", str(pos), name, r, a, ".", ".", ".", "GT", "0|1"])
        for name, (pos, r, a) in (("rs1", (1000, ref, deleted)), ("rs2", other))
    ]
    vcf, out = toy.vcf(tmp_path / "x.vcf", *lines, columns="\tFORMAT\tS"), tmp_path / "out.vcf"
    args = ["annotate", vcf, *files, "-o", str(out), "--phased", "--hap-min", "0"]
    assert CliRunner().invoke(main, args).exit_code == 0
    rows = re.search("SAMVAR_HAP=([^;\t]+)", out.read_text())[1].split(",")
    haplotype = f"c:1000:{ref}:{deleted}+c:1010:{other[1]}:{other[2]}"
    assert f"samvar explain {haplotype} -f " in run("rs1", *files, "--vcf", out).stderr
    page, figure = tmp_path / "h.html", tmp_path / "h.svg"
    written = ["--json", "-", "--html", page, "--svg", figure]
    told = json.loads(run(haplotype, *files, "-D", "50", *written).stdout)
    genes = {g["symbol"]: g for g in told["genes"]}
    assert rows and len(told["in_cis"]) == 1
    for row in rows:
        _, symbol, _, _, _, *values = row.split("|")
        deltas = genes[symbol]["deltas"].values()
        assert [d["value"] for d in deltas] == pytest.approx([*map(float, values[:4])], abs=1e-3)
        assert genes[symbol]["evidence"] == []
        for cause in genes[symbol]["attributed"]:
            parts = sum(p["effect"] for p in cause["parts"])
            assert parts + cause["residual"] == pytest.approx(cause["value"], abs=1e-3)
    title = f"c:1000 {ref}>{deleted} + c:1010 {other[1]}>{other[2]}"
    assert title in run(haplotype, *files).stdout
    short = escape(f"c:1000 {ref}>{deleted} + 1010 {other[1]}>{other[2]}")
    assert short in page.read_text() and short in figure.read_text()
    assert title in run("rs1+rs2", *files, "--vcf", vcf).stdout


@pytest.mark.parametrize(
    "second, why",
    [
        (f"c:1002:{BASES[1001]}:{OTHER[BASES[1001]]}", "must not overlap"),
        (f"c:100:{BASES[99]}:{OTHER[BASES[99]]}", "has no score: NO_GENE"),
        (f"c:1400:{BASES[1399]}:{OTHER[BASES[1399]]}", "within 80 bases of each other"),
    ],
)
def test_what_is_no_haplotype_says_why(files, second, why):
    first = f"c:1000:{BASES[999:1004]}:{BASES[999]}"
    assert why in run(f"{first}+{second}", *files, "-D", "50", code=1).stderr


def test_families_group_related_proteins():
    names = {name for bundle in ("default", "paper") for name in load_bundle(bundle).layout.motifs}
    groups = {}
    for name in sorted(names):
        groups.setdefault(families.family(name), []).append(name)
    assert groups["RBFOX"] == ["RBFOX2", "RBFOX3"] and set(groups["SR"]) >= {
        "SRSF2",
        "SRSF10",
        "TRA2A",
        "TRA2B",
    }
    assert groups["TIA"] == ["TIA1", "TIAL1"] and groups["U2AF"] == ["U2AF2"]
    assert groups["MOTIF_02"] == ["MOTIF_02"]
    assert {"PCBP1", "PCBP2", "PCBP4", "HNRNPK"} == set(groups["PCBP/HNRNPK"])
    assert groups["RBM24"] == ["RBM24"] and groups["RBMS"] == ["RBMS2", "RBMS3"]


def test_percentiles_are_shares_of_random_variants():
    background = Background(10, {"X": [0.5, 0.2, 0.2]}, least_effect=0.01, least_delta=0.05)
    assert background.percentile("X", 0.6, 0.05) == 100
    assert background.percentile("X", -0.2, 0.3) == pytest.approx(70)
    assert background.percentile("X", -0.01, 0.3) == pytest.approx(70)
    assert background.percentile("Y", 0.01, 0.3) == 100
    assert (
        background.percentile("X", -0.009, 0.3) is None
        and background.percentile("X", 0.6, 0.049) is None
    )


def test_library_attributes_what_the_command_shows(parts):
    genome, annotation, predictor = parts
    e = explanation.explain(genome, annotation, predictor, "c", *CASES["snv"], Options(rbp_min=2.0))
    for view in e.genes:
        scored = predictor.score(view.window)
        (own,) = attribute(predictor, scored, view.deltas, view.deltas.values.max())
        (shown,) = view.causes  # the largest alone
        assert own.delta == shown.delta and own.value == shown.value
        assert [p.effect for p in own.parts] == [p.effect for p in shown.parts]


@pytest.mark.slow
def test_background_of_random_variants_gives_percentiles(files, tmp_path):
    """The strongest effect of each RBP in each allele and gene, counted again from what `annotate`
    lists."""
    folder = tmp_path / "bundle"
    shutil.copytree(files[5], folder)
    records = [("c", p, BASES[p - 1], OTHER[BASES[p - 1]]) for p in range(320, 1490, 45)]
    vcf = toy.vcf(tmp_path / "x.vcf", *records)
    made = CliRunner().invoke(
        main, ["train", "background", vcf, *files[:4], "--model", f"{folder}:am"]
    )
    assert made.exit_code == 0, made.output
    background = load_bundle(str(folder)).background
    listed = (
        CliRunner()
        .invoke(
            main,
            [
                "annotate",
                vcf,
                *files[:4],
                "--model",
                str(folder),
                "--rbp-min",
                "0.05",
                "--rbp-max",
                "1000",
            ],
        )
        .stdout
    )
    lines = [line for line in listed.splitlines() if not line.startswith("#")]
    assert background.n == sum(
        len(re.search(r"SAMVAR=([^;\s]+)", line)[1].split(",")) for line in lines
    )
    expected, clear_of_rounding = (
        {},
        0.0007,
    )  # the least, printed with four digits, may stand on either side
    for line in lines:
        strongest = {}
        for row in (
            re.search(r"SAMVAR_RBP=([^;\s]+)|$", line)[1].split(",") if "SAMVAR_RBP" in line else ()
        ):
            _, symbol, rbp, _, place, _, _, effect, _ = row.split("|")
            if place != "." and abs(float(effect)) > clear_of_rounding:
                strongest[symbol, rbp] = max(strongest.get((symbol, rbp), 0), abs(float(effect)))
        for (_, rbp), effect in strongest.items():
            expected.setdefault(rbp, []).append(effect)
    for rbp, effects in background.effects.items():
        found = [e for e in effects if e > clear_of_rounding]
        assert found == pytest.approx(sorted(expected.get(rbp, []), reverse=True), abs=1e-4)
    assert expected
    _, pos, _, ref, alt, *_ = max(
        lines, key=lambda x: float(re.search(r"SAMVAR_MAX=([^;\s]+)", x)[1])
    ).split("\t")
    found = json.loads(
        run(f"c:{pos}:{ref}:{alt}", *files[:4], "--model", folder, "--json", "-").stdout
    )
    parts = [(a["value"], p) for g in found["genes"] for a in g["attributed"] for p in a["parts"]]
    shown = [
        p["percentile"]
        for delta, p in parts
        if delta >= LEAST_DELTA and abs(p["effect"]) >= LEAST_EFFECT
    ]
    assert shown and all(0 <= share <= 100 for share in shown)
    assert sum(p["percentile"] is not None for _, p in parts) == len(shown) < len(parts)
    assert "percentile" in run(variant("snv"), *files[:4], "--model", folder).stdout
    content = json.loads((folder / "background.am.json").read_text())
    (folder / "background.am.json").write_text(json.dumps(content | {"sha256": "of another model"}))
    write_manifest(str(folder))
    assert load_bundle(str(folder)).background is None
    wrong = CliRunner().invoke(
        main, ["train", "background", vcf, vcf, *files[:4], "--model", str(folder)]
    )
    assert wrong.exit_code == 2 and "for every VCF" in wrong.output
