"""The scripts behind the numbers, on small inputs: areas against their definition, whole runs on
toy genes."""

import csv
import glob
import gzip
import json
import os
import re
import runpy
import shutil
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pysam
import pytest
import torch

from samvar.formats.annotation import load_annotation
from samvar.genomics.genome import encode
from samvar.model.bundle import write_manifest
from samvar.model.sam import ACCEPTOR, DONOR, LSSI, BandedAttention, one_hot
from samvar.training.card import IN_ONE_TABLE
from samvar.training.checkpoint import save_run
from samvar.training.cnn import GROUPS, DilatedResNet
from samvar.training.dataset import IGNORE, TRAIN, VALIDATION, Dataset, TrainingGene
from samvar.training.sampling import Mixture

from . import toy
from .test_teach import as_openspliceai
from .test_training import make_genome

pytestmark = pytest.mark.slow

ROOT = os.path.normpath(os.path.join(os.path.dirname(__file__), ".."))
SCRIPTS = sorted(
    os.path.relpath(p, ROOT)
    for pattern in ("train/evaluate/*.py", "train/paper/*.py", "tests/benchmarks/*.py")
    for p in glob.glob(os.path.join(ROOT, pattern))
    if os.path.basename(p) != "common.py"
)


@pytest.fixture(autouse=True)
def beside(monkeypatch):
    """Scripts import their neighbours."""
    for folder in ("train/evaluate", "train/paper", "tests/benchmarks"):
        monkeypatch.syspath_prepend(os.path.join(ROOT, folder))


def run(monkeypatch, script, *args):
    monkeypatch.setattr(sys, "argv", [script, *map(str, args)])
    runpy.run_path(os.path.join(ROOT, script), run_name="__main__")


@pytest.mark.parametrize("script", SCRIPTS)
def test_every_script_says_what_it_does(script, monkeypatch, capsys):
    with pytest.raises(SystemExit) as end:
        run(monkeypatch, script, "--help")
    assert end.value.code == 0 and f"python {script}" in capsys.readouterr().out


@pytest.mark.parametrize(
    "case",
    [
        ("bound", "nowhere.npz", "default"),
        ("exons", "nowhere", "no-bundle"),
        ("variants", "nowhere", "--model", "no-bundle"),
        ("yardstick", "nowhere", "default"),
    ],
    ids=lambda case: case[0],
)
def test_what_is_not_there_is_told_in_one_line(case, tmp_path, monkeypatch):
    script, *args = case
    with pytest.raises(SystemExit) as end:
        run(monkeypatch, f"train/evaluate/{script}.py", *args, "--json", tmp_path / "x.json")
    assert re.fullmatch("[^\n]*no(where|-bundle)[^\n]*", end.value.code)


BUNDLES = "default", "large", "paper"


def test_the_cards_have_the_results_in_one_table(tmp_path, monkeypatch):
    """As committed: made again it is the same."""
    monkeypatch.chdir(ROOT)
    for name in BUNDLES:
        shutil.copytree(f"weights/{name}", tmp_path / name)
    script, folders = "train/evaluate/in_one_table.py", [tmp_path / name for name in BUNDLES]
    run(monkeypatch, script, *folders)
    with open("train/default/results/beside.json") as handle:
        measured = json.load(handle)["MaPSy: exonic"]
    for name, folder in zip(BUNDLES, folders):
        for file in ("metrics.json", "CARD.md", "manifest.json"):
            with open(f"weights/{name}/{file}") as handle:
                assert (folder / file).read_text() == handle.read()
        table = json.loads((folder / "metrics.json").read_text())[IN_ONE_TABLE]
        (row,) = (row for row in table["rows"] if row["measure"] == "MaPSy: exonic: AUROC")
        assert row["of"] == {who: of["auroc"] for who, of in measured.items()}
        value, low, high = measured[name]["auroc"]
        assert f"{value:.2f} ({low:.2f}-{high:.2f})" in (folder / "CARD.md").read_text()


def test_numbers_of_other_weights_are_not_in_the_table(tmp_path, monkeypatch):
    monkeypatch.chdir(ROOT)
    for name in BUNDLES:
        shutil.copytree(f"weights/{name}", tmp_path / name)
    config = json.loads((tmp_path / "large" / "config.json").read_text())
    config["kinds"]["am"][0]["sha256"] = "0" * 64
    (tmp_path / "large" / "config.json").write_text(json.dumps(config))
    folder = tmp_path / "default"
    run(monkeypatch, "train/evaluate/in_one_table.py", folder, "--weights", tmp_path)
    rows = json.loads((folder / "metrics.json").read_text())[IN_ONE_TABLE]["rows"]
    told = {row["measure"]: row["of"] for row in rows}
    for measure in ("top-k, test genes, %", "published cases whose direction is right"):
        assert "default" in told[measure] and "large" not in told[measure]


def topk_of(shares):
    """A topk.json: core sites alone, and models with these shares of acceptor and donor scores."""
    models = {title: dict(core_share=share) for title, share in shares.items()}
    return {"validation, LSSI of the am alone": dict(topk_mean=50.0), **models}


FEW, MANY = [0.015, 0.014], [0.011, 0.021]


@pytest.mark.parametrize(
    "rows, told",
    [
        ({"validation, am": FEW, "test, am": FEW}, ""),
        ({"validation, am": MANY}, "validation, am: 2.1%"),
        (
            {"validation, am, model 1": FEW, "validation, am, model 2": MANY},
            "validation, am, model 2: 2.1%",
        ),
        ({"validation, am": FEW, "validation, fm": MANY}, "validation, fm: 2.1%"),
        ({"validation, am": FEW, "test, am": MANY}, "test, am: 2.1%"),
    ],
)
def test_every_model_is_looked_at_for_its_core_scores(rows, told):
    from core_share import excess

    assert excess(topk_of(rows)) == told and not excess(topk_of(rows), most=0.03)


def test_a_table_without_core_scores_passes_nothing(tmp_path, monkeypatch):
    (tmp_path / "k.json").write_text(json.dumps(topk_of({})))
    for place, message in (("k.json", "does not say"), ("none.json", "No such file")):
        with pytest.raises(SystemExit, match=message):
            run(monkeypatch, "train/evaluate/core_share.py", tmp_path / place)


@pytest.mark.parametrize("any_core", ["", "1"])
def test_the_suite_refuses_before_the_long_evaluations(any_core, tmp_path):
    """Scripts that only tell their names stand in for those of the suite, but for the check."""
    table = json.dumps(topk_of({"validation, am, model 2": MANY}))
    python = tmp_path / "python"
    python.write_text(
        f"""#!/usr/bin/env bash
        name=$(basename "$1")
        if [ "$name" = core_share.py ]; then exec "{sys.executable}" "$@"; fi
        echo "$name" >> "{tmp_path}/done"
        if [ "$name" = topk.py ]; then echo '{table}' > "{tmp_path}/out/topk.json"; fi
        """
    )
    python.chmod(0o755)
    path = f"{tmp_path}{os.pathsep}{os.environ['PATH']}"
    suite = os.path.join(ROOT, "train", "evaluate", "suite.sh")
    ended = subprocess.run(
        ["bash", suite, "DATA", "d.npz", "BUNDLE", tmp_path / "out"],
        env=dict(os.environ, PATH=path, ANY_CORE=any_core),
        stderr=subprocess.PIPE,
        text=True,
    )
    told = (tmp_path / "done").read_text().split()
    if any_core:
        assert ended.returncode == 0 and told[:2] == ["topk.py", "variants.py"]
    else:
        assert ended.returncode == 1 and told == ["topk.py"]
        assert "validation, am, model 2: 2.1%" in ended.stderr


def test_the_shipped_bundles_are_checked_right_after_their_top_k():
    with open(os.path.join(ROOT, "train", "default", "commands.sh")) as handle:
        lines = handle.read().splitlines()
    after = [b for a, b in zip(lines, lines[1:]) if " topk " in a and "--sets validation" in a]
    check = 'python train/evaluate/core_share.py "$out/{}.json"'
    assert after == [check.format("topk"), check.format("large.topk")]


def test_areas_are_those_of_their_definition():
    from common import auprc, auroc

    rng = np.random.default_rng(0)
    for _ in range(50):
        label, value = rng.random(30) < 0.3, rng.integers(0, 8, 30) / 8
        label[:2] = True, False
        above = [(p > n) + 0.5 * (p == n) for p in value[label] for n in value[~label]]
        assert auroc(label, value) == pytest.approx(np.mean(above))
        expected, before = 0.0, 0.0
        for threshold in np.unique(value)[::-1]:
            called = value >= threshold
            recall = label[called].sum() / label.sum()
            expected += (recall - before) * label[called].mean()
            before = recall
        assert auprc(label, value) == pytest.approx(expected)


def test_a_bootstrap_draws_whole_clusters():
    from common import auroc, bootstrap

    label, value = np.array([True, False] * 20), np.array([0.9, 0.1] * 19 + [0.1, 0.9])
    together = bootstrap(auroc, label, value, [i // 2 for i in range(40)])
    assert (
        together[0] == pytest.approx(auroc(label, value))
        and together[1] < together[0] < together[2] == 1.0
    )
    assert bootstrap(auroc, label, value, ["one"] * 40) == [together[0]] * 3


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """A folder laid out as the real data: genes of two genomes, their tables, and variants measured
    in them."""
    folder = tmp_path_factory.mktemp("data")
    for name in ("genome", "annotation", "variants", "exons"):
        (folder / name).mkdir()
    rng = np.random.default_rng(5)
    variants = {"mfass.hg19": [], "clinvar_201609.hg19": [], "cispliceai_functional.hg38": []}
    for build, names in (
        ("hg19", ["mfass.hg19", "clinvar_201609.hg19"]),
        ("hg38", ["cispliceai_functional.hg38"]),
        ("extra", []),
    ):
        fasta, gtf = make_genome(folder, name=f"{build}g", genes=24, seed=len(build))
        pysam.tabix_compress(fasta, str(folder / "genome" / f"{build}.fa.gz"))
        genes = load_annotation(gtf).genes
        if build == "hg38":
            with gzip.open(folder / "annotation" / "refseq.hg38.bed12+gene.gz", "wt") as f:
                for g in genes:
                    start, end, exons = g.start, g.end, sorted(g.chosen.exons)
                    row = [
                        g.contig,
                        start,
                        end,
                        f"{g.symbol}.1",
                        0,
                        g.strand,
                        end,
                        end,
                        0,
                        len(exons),
                        ",".join(str(e - s) for s, e in exons),
                        ",".join(str(s - start) for s, _ in exons),
                        g.symbol,
                    ]
                    f.write("\t".join(map(str, row)) + "\n")
        else:
            name = "canonical.hg19.tsv.gz" if build == "hg19" else "extra.tsv.gz"
            with gzip.open(folder / "annotation" / name, "wt") as f:
                origin = ["chrom"] if build == "extra" else []
                f.write(
                    "\t".join(
                        [
                            "gene",
                            "has_paralog",
                            "contig" if origin else "chrom",
                            "strand",
                            "tx_start1",
                            "tx_end1",
                            "exon_ends1",
                            "exon_starts1",
                            *origin,
                        ]
                    )
                    + "\n"
                )
                for i, g in enumerate(genes):
                    exons = sorted(g.chosen.exons)
                    row = [
                        g.symbol,
                        i % 4 // 3,
                        g.contig,
                        g.strand,
                        g.start + 1,
                        g.end,
                        "".join(f"{e}," for _, e in exons[:-1]),
                        "".join(f"{s + 1}," for s, _ in exons[1:]),
                    ]
                    f.write("\t".join(map(str, row + [g.contig] * len(origin))) + "\n")
        bases = pysam.FastaFile(fasta)
        for table in names:
            for g in genes:
                for s, e in sorted(g.chosen.exons)[1:-1]:
                    for at in (s - 10, s - 5, s + 20, e, e + 8):
                        ref = bases.fetch(g.contig, at, at + 1)
                        variants[table].append(
                            (g, at, ref, toy.revcomp(ref), s, e, bool(rng.random() < 0.4))
                        )
    for table, rows in variants.items():
        with gzip.open(folder / "variants" / f"{table}.tsv.gz", "wt") as f:
            out = None
            for i, (g, at, ref, alt, s, e, hit) in enumerate(rows):
                row = dict(
                    ID=f"{g.symbol}.1:c.{i}",
                    chrom=g.contig,
                    pos=at + 1,
                    ref=ref,
                    alt=alt,
                    strand=g.strand,
                    ref_status="match" if i % 50 else "uncovered",
                    SpliceAffecting=int(hit),
                    symbol=g.symbol,
                    clinsig=["Benign", "Pathogenic"][hit],
                    conflicted=0,
                    exon_start1=s + 1,
                    exon_end1=e,
                    psi_ref=0.9,
                    col10_delta=-0.8 if hit else 0.0,
                )
                out = out or csv.DictWriter(f, row, delimiter="\t")
                if not i:
                    out.writeheader()
                out.writerow(row)
    for name in ("alt_all.txt", "evo_all.txt"):
        (folder / "exons" / name).write_text("")
    return folder


def test_measured_variants_are_scored_row_by_row(data, tmp_path, monkeypatch):
    out, table = tmp_path / "v.json", tmp_path / "v.tsv.gz"
    (tmp_path / "toy").mkdir()
    bundle = toy.bundle(tmp_path / "toy")
    run(
        monkeypatch,
        "train/evaluate/variants.py",
        data,
        "--model",
        bundle,
        "--json",
        out,
        "--table",
        table,
    )
    result = json.loads(out.read_text())
    with gzip.open(table, "rt") as f:
        rows = list(csv.DictReader(f, delimiter="\t"))
    for title, of in (
        ("MFASS <= -0.5", "mfass.hg19"),
        ("CI-SpliceAI functional", "cispliceai_functional.hg38"),
    ):
        with gzip.open(data / "variants" / f"{of}.tsv.gz", "rt") as f:
            there = sum(r["ref_status"] == "match" for r in csv.DictReader(f, delimiter="\t"))
        mine = [r for r in rows if r["set"] == title]
        assert len(mine) == there == result[title]["n"] and result[title]["not_scored"] == 0
        assert sum(r["label"] == "1" for r in mine) == result[title]["positive"]
    kinds = {r["class"] for r in rows}
    assert kinds == {"core site", "exonic", "intronic"}
    clinvar = [r for r in rows if r["set"].startswith("ClinVar")]
    assert clinvar and "exonic" not in {r["class"] for r in clinvar}
    low, high = result["CI-SpliceAI functional"]["auroc"][1:]
    assert 0 <= low <= high <= 1


def test_the_teacher_scores_the_same_rows(data, tmp_path, monkeypatch):
    torch.manual_seed(0)
    net = DilatedResNet(4, GROUPS[:1]).eval()
    torch.save(as_openspliceai(net), tmp_path / "net.pt")
    run(
        monkeypatch,
        "train/evaluate/variants.py",
        data,
        "--teacher",
        tmp_path / "net.pt",
        "--json",
        tmp_path / "v.json",
        "--table",
        tmp_path / "v.tsv.gz",
    )
    with gzip.open(tmp_path / "v.tsv.gz", "rt") as f:
        rows = [r for r in csv.DictReader(f, delimiter="\t") if r["set"].startswith("MFASS")]
    genes = load_annotation(str(data / "annotation" / "canonical.hg19.tsv.gz"))
    bases = pysam.FastaFile(str(data / "genome" / "hg19.fa.gz"))
    inner = [
        r
        for r in rows
        for g in genes.overlapping(r["chrom"], int(r["pos"]) - 1, int(r["pos"]))
        if g.start + 100 < int(r["pos"]) < g.end - 100
    ]
    for row in inner[:8]:
        (gene,) = genes.overlapping(row["chrom"], int(row["pos"]) - 1, int(row["pos"]))
        at = int(row["pos"]) - 1
        ref = bases.fetch(row["chrom"], at - 90, at + 91)
        alt = ref[:90] + row["alt"] + ref[91:]
        if gene.strand == "-":
            ref, alt = toy.revcomp(ref), toy.revcomp(alt)
        x = one_hot(torch.from_numpy(np.stack([encode(ref), encode(alt)])))
        with torch.no_grad():
            p = net(x).exp()[:, [ACCEPTOR, DONOR]]
        assert p.shape[-1] == 101
        assert float(row["SAMVAR_MAX"]) == pytest.approx(float((p[1] - p[0]).abs().max()), rel=1e-4)


def test_what_a_model_takes_of_its_teachers_lead(tmp_path, monkeypatch):
    """The base has half of the positives on top, a model three quarters, the teacher all."""
    said = dict(paper=20, default=30, teacher=40)
    for name, found in said.items():
        with gzip.open(tmp_path / f"{name}.tsv.gz", "wt") as f:
            columns = "set chrom pos ref alt class label SAMVAR_MAX cluster"
            print(*columns.split(), sep="\t", file=f)
            for i in range(80):
                score = "." if (i, name) == (79, "default") else float(i < found)
                print("S", "chr2", i, "A", "C", "exonic", int(i < 40), score, i, sep="\t", file=f)
    tables = [f"{name}={tmp_path / name}.tsv.gz" for name in said]
    run(monkeypatch, "train/evaluate/leads.py", *tables, "--json", tmp_path / "l.json")
    found = json.loads((tmp_path / "l.json").read_text())
    assert set(found) == {"S: all", "S: exonic"} and found["S: all"]["n"] == 79
    of = found["S: all"]
    assert of["auroc"]["paper"][0] == 0.75 and of["auroc"]["teacher"][0] == 1
    assert of["auroc: lead"][0] == 0.25
    assert of["auroc: share"]["default"][0] == pytest.approx(0.5)
    two = [*tables[:2], "--of", "default", "--over", "paper", "--json", tmp_path / "two.json"]
    run(monkeypatch, "train/evaluate/leads.py", *two)
    of = json.loads((tmp_path / "two.json").read_text())["S: all"]
    assert of["auroc: lead"][0] == pytest.approx(of["auroc"]["default"][0] - 0.75)


def test_a_peer_is_compared_on_the_rows_that_both_score(tmp_path, monkeypatch):
    rows = [
        ("chr2", label, ours, theirs)
        for label, ours, theirs in [
            (1, 0.9, 0.8),
            (1, 0.4, 0.9),
            (1, 0.6, None),
            (0, 0.5, 0.1),
            (0, 0.1, 0.2),
            (0, None, 0.9),
        ]
        * 5
    ]
    rows += [("chr1", 1, 0.1, 0.6), ("chr1", 0, 0.2, 0.3)] * 5
    (tmp_path / "scores").mkdir()
    with (
        gzip.open(tmp_path / "table.tsv.gz", "wt") as table,
        open(tmp_path / "scores" / "mfass.vcf", "w") as vcf,
    ):
        print(
            "set",
            "chrom",
            "pos",
            "ref",
            "alt",
            "class",
            "label",
            "SAMVAR_MAX",
            "cluster",
            sep="\t",
            file=table,
        )
        print("##fileformat=VCFv4.2", file=vcf)
        for i, (chrom, label, ours, theirs) in enumerate(rows):
            print(
                "MFASS <= -0.5",
                chrom,
                i,
                "A",
                "C",
                "intronic",
                label,
                ours or ".",
                i,
                sep="\t",
                file=table,
            )
            scores = (
                f"SpliceAI=C|X|0.00|{theirs}|0.00|0.00|1|2|3|4,C|Y|.|.|.|.|.|.|.|."
                if theirs
                else "DP=1"
            )
            print(chrom, i, i, "A", "C", ".", ".", scores, sep="\t", file=vcf)
    run(
        monkeypatch,
        "train/evaluate/peers.py",
        tmp_path,
        tmp_path / "table.tsv.gz",
        "--scores",
        tmp_path / "scores",
        "--sets",
        "MFASS <= -0.5",
        "--json",
        tmp_path / "out.json",
    )
    with open(tmp_path / "out.json") as f:
        found = json.load(f)["MFASS <= -0.5"]
    assert (found["rows"], found["scored_by_both"], found["not_by_spliceai"]) == (40, 30, 5)
    both, apart = found["all"], found["validation and test chromosomes"]
    assert (both["n"], both["positive"]) == (30, 15) and (apart["n"], apart["positive"]) == (10, 5)
    assert both["SpliceAI"]["auroc"][0] == 1 and both["samvar"]["auroc"][0] == pytest.approx(
        5.5 / 9
    )
    assert both["samvar - SpliceAI"]["auroc"][0] == pytest.approx(5.5 / 9 - 1)
    assert apart["samvar"]["auroc"][0] == 0 and "core site" not in found


def test_accuracy_of_a_bundle_is_measured(data, tmp_path, monkeypatch):
    out = tmp_path / "k.json"
    (tmp_path / "toy").mkdir()
    bundle = toy.bundle(tmp_path / "toy", seeds=(0, 1))
    run(
        monkeypatch,
        "train/evaluate/topk.py",
        data,
        "--model",
        bundle,
        "--single",
        "--threads",
        1,
        "--json",
        out,
    )
    result = json.loads(out.read_text())
    single = [result[f"validation, am, model {i}"]["topk_mean"] for i in (1, 2)]
    assert all(
        0 <= k <= 100 for k in [*single, result["validation, am, mean of the seeds"]["topk_mean"]]
    )
    assert {k.split(",")[0] for k in result} == {"validation", "test"}


def bundle_of_both(folder):
    """A bundle of a tiny FM and a tiny AM."""
    folder.mkdir()
    toy.bundle(folder, "fm")
    kinds = json.loads((folder / "config.json").read_text())["kinds"]
    toy.bundle(folder, "am")
    config = json.loads((folder / "config.json").read_text())
    config["kinds"] |= kinds
    (folder / "config.json").write_text(json.dumps(config))
    write_manifest(str(folder))
    return str(folder)


def test_a_larger_model_and_a_bundle_are_measured_on_the_same_genes(data, tmp_path, monkeypatch):
    torch.manual_seed(0)
    net = DilatedResNet(4, GROUPS[:2]).eval()
    (tmp_path / "200nt").mkdir()
    for seed in (1, 2):
        torch.save(as_openspliceai(net), tmp_path / "200nt" / f"rs{seed}.pt")
    monkeypatch.setattr("samvar.training.teach.check_convention", lambda *_: None)
    run(
        monkeypatch,
        "train/evaluate/openspliceai.py",
        data,
        tmp_path / "200nt",
        "--model",
        bundle_of_both(tmp_path / "toy"),
        "--json",
        tmp_path / "o.json",
    )
    result = json.loads((tmp_path / "o.json").read_text())
    topk = result["topk"]
    assert set(topk) == {"fm", "lssi", "am", "200nt", "200nt - am"} and result["genes"] > 2
    assert topk["200nt - am"][0] == pytest.approx(topk["200nt"][0] - topk["am"][0])
    assert all(low <= value <= high for value, low, high in topk.values())
    assert len(result["sha256"]["200nt"]) == 2


def test_alleles_and_exons_out_of_reach_are_left_out(data, tmp_path, monkeypatch):
    (data / "tables").mkdir(exist_ok=True)
    with open(data / "tables" / "asb_exons.csv", "w") as f:
        print("RBP,samp,dPSI,chr,start,end,strand,asb_Coordinate", end=",", file=f)
        print("asb_Major allele,asb_Minor allele", file=f)
        print("AAA1,ASB,-3.0,chr9,100,200,+,150,A,C", file=f)
    out = tmp_path / "b.json"
    bundle = bundle_of_both(tmp_path / "toy")
    script = "train/evaluate/bound_alleles.py"
    run(monkeypatch, script, data, "--model", bundle, "--json", out)
    result = json.loads(out.read_text())
    assert result["of_rows"] == 1 and result["am"]["rows"] == []
    assert result["am"]["ASB"] == dict(rows=0, with_sign=0, snvs=0, same_sign=0)


def test_models_are_as_they_were_after_each_measurement(data, tmp_path, monkeypatch):
    """Sites read by another model are as many as by their own; without sites, core scores are all
    there is."""
    (tmp_path / "toy").mkdir()
    kinds = {}
    for kind in ("fm", "am"):
        bundle = toy.bundle(tmp_path / "toy", kind=kind)
        with open(tmp_path / "toy" / "config.json") as f:
            config = json.load(f)
        kinds |= config["kinds"]
    (tmp_path / "toy" / "config.json").write_text(json.dumps(config | dict(kinds=kinds)))
    write_manifest(bundle)
    out = tmp_path / "k.json"
    run(
        monkeypatch,
        "train/evaluate/topk.py",
        data,
        "--model",
        bundle,
        "--sets",
        "validation",
        "--threads",
        1,
        "--json",
        out,
    )
    result = json.loads(out.read_text())
    for kind in ("fm", "am"):
        own, read = (
            result[f"validation, {kind}"],
            result[f"validation, binarised {kind.upper()} sites read by the FM"],
        )
        assert 0 < own["density"] == read["density"] < 0.5
        without = result[f"validation, {kind} without motif sites"]
        assert without["n_acceptor"] == own["n_acceptor"] and len(own["core_share"]) == 2


def test_sites_of_learnt_motifs_are_of_no_protein(data):
    import eclip

    from samvar.genomics.genome import Genome

    genome = Genome(str(data / "genome" / "hg38.fa.gz"))
    genes = eclip.read_genes(genome, str(data / "annotation" / "refseq.hg38.bed12+gene.gz"))[:3]
    model, (one, *_) = toy.model(learnt_motifs=2), toy.RBPS
    peaks = {(g.contig, g.strand): [(one, 0, 10**9)] for g in genes}
    found, known, covered = eclip.scan(model, toy.RBPS, [one], genome, genes, peaks)
    assert found["active"].any() and set(found["rbp"]) == {0} and found["hit"].all()
    assert (covered[:, 0] == known).all()


def two_genes():
    rng = np.random.default_rng(0)
    return [
        TrainingGene(
            f"g{i}",
            "c",
            rng.integers(0, 4, 4000).astype(np.uint8),
            acceptors=[1000, 2000],
            donors=[900, 1100],
            split=split,
        )
        for i, split in enumerate((TRAIN, VALIDATION))
    ]


def test_every_motif_has_a_mean_strength():
    from topk import mean_strength

    data = Dataset.from_genes(two_genes())
    for learnt in (0, 2):
        strength = mean_strength(toy.model(learnt_motifs=learnt), data, data.genes())
        assert len(strength) == len(toy.RBPS) + learnt and (strength > 0).all()


def test_the_sequence_is_read_back_from_all_motifs(tmp_path, monkeypatch):
    Dataset.from_genes(two_genes()).save(str(tmp_path / "d.npz"))
    (tmp_path / "toy").mkdir()
    bundle = toy.bundle(tmp_path / "toy", learnt_motifs=2)
    out = tmp_path / "r.json"
    run(
        monkeypatch,
        "train/evaluate/reconstruct.py",
        tmp_path / "d.npz",
        "--model",
        bundle,
        "--steps",
        20,
        "--channels",
        8,
        "--threads",
        1,
        "--json",
        out,
    )
    found = json.loads(out.read_text())["sites read back"]
    assert found["n"] == 4000 and 0.2 < found["reconstructed"] < found["most_by_fano"]


def test_growth_is_measured_on_as_many_records_as_asked_for(data, tmp_path, monkeypatch, capsys):
    from growth import snvs

    from samvar.genomics.genome import Genome

    fasta, table = (
        str(data / "genome" / "hg19.fa.gz"),
        str(data / "annotation" / "canonical.hg19.tsv.gz"),
    )
    found = snvs(Genome(fasta), table, 50, 40)
    assert len(set(found)) == 50 and found == sorted(found)
    bases = pysam.FastaFile(fasta)
    assert all(bases.fetch(c, p - 1, p) == ref != alt for c, p, ref, alt in found)
    out = tmp_path / "g.json"
    run(
        monkeypatch,
        "tests/benchmarks/growth.py",
        data,
        "--json",
        out,
        "--records",
        3,
        10**6,
        "--options=--no-cache",
    )
    rows = json.loads(out.read_text())["rows"]
    assert set(rows) == {"dense 3", "sparse 3"} and all(r["seconds"] > 0 for r in rows.values())
    assert "dense 1000000" in capsys.readouterr().err  # said to be left out


def test_changed_windows_of_the_experiments():
    import experiments

    rng = np.random.default_rng(0)
    codes = rng.integers(0, 4, 4000).astype(np.uint8)
    gene = TrainingGene("g", "c", codes, [1000, 2000], [900, 1100], split=TRAIN)
    data = Dataset.from_genes([gene])
    reverse = experiments.Reverse(data, TRAIN, (12, 8), Mixture(800, (400,), 0.5), seed=1)
    reversed_ = 0
    for step in range(100):
        for one, labels in zip(*reverse.batch(step)):
            turned = (3 - one[one < 4])[::-1].tobytes() in codes.tobytes()
            reversed_ += turned
            assert not turned or not set(labels) & {ACCEPTOR, DONOR}
            assert ((labels == IGNORE) == (one[12:-8] == 4)).all()
    assert 5 < reversed_ < 50


def test_shapes_are_what_they_are_called():
    import shapes

    torch.manual_seed(0)
    v = torch.randn(1, 6, 40)
    heads = shapes.Heads(BandedAttention(6, 4, 5), 2)
    first, second = (head(v) for head in heads.heads)
    assert torch.equal(heads(v)[:, ::2], first[:, ::2]) and torch.equal(
        heads(v)[:, 1::2], second[:, 1::2]
    )
    sparse = shapes.SparsePerRBP(3, affine=True)
    sparse.density = 0.1
    x = (
        torch.randn(4, 3, 4000) * torch.tensor([1.0, 5.0, 0.2])[:, None]
        + torch.tensor([0.0, 9.0, -3.0])[:, None]
    )
    with torch.no_grad():
        sparse.norm.bias[2] = -4  # one threshold would leave it none
        for _ in range(100):
            sparse(x, torch.ones(4, 1, 4000))
    share = (sparse.eval()(x, torch.ones(4, 1, 4000)) > 0).float().mean((0, 2))
    assert share == pytest.approx([0.1] * 3, abs=0.01)


def test_shapes_are_trained_and_scored(tmp_path, monkeypatch):
    import shapes

    rng = np.random.default_rng(0)
    genes = [
        TrainingGene(
            f"g{i}",
            "c",
            rng.integers(0, 4, 3000).astype(np.uint8),
            acceptors=[1000, 2000],
            donors=[900, 1100],
            split=split,
        )
        for i, split in enumerate((TRAIN, VALIDATION))
    ]
    motifs = dict(
        psam=rng.uniform(0.1, 1, (4, 11, 4)).astype(np.float32),
        a0=np.ones(4, np.float32),
        rbp=np.array([0, 0, 1, 2]),
        names=np.array(["A", "B", "C"]),
    )
    data = Dataset.from_genes(genes, motifs)
    (tmp_path / "lssi").mkdir()
    save_run(str(tmp_path / "lssi"), LSSI(8), dict(kind="lssi", channels=8, step=1, steps=1))
    monkeypatch.setattr(
        shapes,
        "RECIPE",
        replace(
            shapes.RECIPE,
            steps=2,
            channels=8,
            batch_bases=1200,
            validate_every=2,
            windows=(600,),
            density_end=0.05,
        ),
    )
    found = {
        name: shapes.run(name, data, str(tmp_path / "lssi"), str(tmp_path / "out"))
        for name in (
            "fm",
            "two heads",
            "threshold per RBP",
            "am, 4 times the candidates",
            "LSTM of 80",
        )
    }
    assert all(r["nats_per_kilobase"] > 0 and 0 <= r["topk_mean"] <= 100 for r in found.values())
    assert (
        found["two heads"]["parameters"]
        > found["fm"]["parameters"]
        == found["threshold per RBP"]["parameters"]
    )
    assert found["LSTM of 80"]["megamacs_per_base"] > 0
    again = shapes.run("fm", data, str(tmp_path / "lssi"), str(tmp_path / "out"))
    assert again == found["fm"]


def test_curves_are_of_the_committed_runs(monkeypatch, capsys, tmp_path):
    teach = os.path.join(ROOT, "train", "teach")
    run(monkeypatch, "train/evaluate/curves.py", teach, "-o", tmp_path / "curves.svg")
    rows = [line.split("\t") for line in capsys.readouterr().out.splitlines()]
    (am_8,) = [r for r in rows if r[0] == "am-8"]
    assert am_8[1] == "250" and "'windows seen': 711610.0" in am_8[2]  # am-3 to am-8
    assert {r[1] for r in rows} == {"60", "250"}
    assert "<svg" in (tmp_path / "curves.svg").read_text()
