"""`samvar knockout`: against the whole model run on an edited bottleneck."""

import csv
import json

import numpy as np
import pytest
import torch
from click.testing import CliRunner

from samvar.cli import main
from samvar.formats.annotation import load_annotation
from samvar.genomics.genome import Genome
from samvar.model.bottleneck import Detection
from samvar.model.bundle import MOTIF_SITES, load_bundle, write_manifest
from samvar.model.sam import one_hot
from samvar.scoring.knockout import AROUND, BIN, EditableAllele, emptied, region_window, rna_map
from samvar.scoring.predictor import Predictor

from . import toy

BASES = toy.random_bases(3000, seed=31)
GENES = (
    ("G1", "c", "+", [(101, 300), (601, 800), (1101, 1300), (1700, 1900)]),
    ("G2", "c", "-", [(1501, 1800), (2101, 2260), (2600, 2800)]),
)
CHANNEL = 2 + toy.RBPS.index("BBB2")


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    folder = tmp_path_factory.mktemp("knockout")
    (folder / "m").mkdir()
    return [
        "-f",
        toy.fasta(folder / "g.fa", c=BASES),
        "-a",
        toy.gtf(folder / "g.gtf", *GENES),
        "--model",
        toy.bundle(folder / "m", seeds=(0, 3)),
        "--allow-annotation-mismatch",  # random bases
    ]


@pytest.fixture(scope="module")
def parts(files):
    return (
        Genome(files[1]),
        load_annotation(files[3]).genes,
        Predictor(load_bundle(files[5]), threads=2),
    )


def edited(predictor, window, edit):
    """(2, n) in genome order: mean of the seeds, the whole window's bottleneck (channels, columns
    from `reach` before the frame, transcript order) after `edit`."""
    out = []
    for model in predictor.models:
        with torch.no_grad():
            u = torch.cat(model.detect(one_hot(torch.from_numpy(window.ref[None].copy()))), 1)
            edit(u, model.config.aggregate_reach + window.flank)
            p = model.aggregate(Detection(u[:, :2], u[:, 2:]))[0, 1:].exp().numpy()
        out.append(p[:, window.flank : p.shape[1] - window.flank])
    return window.to_genome(np.mean(out, 0))


@pytest.mark.slow
@pytest.mark.parametrize("strand", (0, 1))
def test_emptied_and_without_are_edits_of_the_bottleneck(parts, strand):
    genome, genes, predictor = parts
    gene = genes[strand]
    window = region_window(genome, gene, "c", gene.start + 550, gene.start + 700, predictor)
    before, after = emptied(predictor, window, CHANNEL)
    np.testing.assert_allclose(before, edited(predictor, window, lambda u, at: None), atol=1e-5)
    assert np.abs(before - after).max() > 1e-4

    def zero(u, at):
        u[0, CHANNEL] = 0

    np.testing.assert_allclose(after, edited(predictor, window, zero), atol=1e-5)
    allele = EditableAllele.make(predictor, window)
    np.testing.assert_allclose(allele.probability, before, atol=1e-5)
    columns = np.flatnonzero(allele.bottleneck[CHANNEL] > 0)
    assert len(columns) > 1
    for column, p in zip(columns, allele.without([(CHANNEL, int(c)) for c in columns])):

        def one(u, at, column=column):
            u[0, CHANNEL, at + (column if gene.strand == "+" else 149 - column)] = 0

        np.testing.assert_allclose(p, edited(predictor, window, one), atol=1e-5)


def table(path):
    with open(path) as handle:
        return list(csv.DictReader(handle, delimiter="\t"))


@pytest.mark.slow
def test_table_has_every_annotated_site_and_regions_select(files, tmp_path):
    out = tmp_path / "k.tsv"

    def run(*args):
        return CliRunner().invoke(main, ["knockout", "--rbp", "BBB2", *files, *map(str, args)])

    assert run("-o", out).exit_code == 0
    rows = table(out)
    found = {(r["gene"], r["kind"], int(r["position"])) for r in rows if r["annotated"] == "1"}
    assert found == {
        ("G1", "donor", 300),
        ("G1", "acceptor", 601),
        ("G1", "donor", 800),
        ("G1", "acceptor", 1101),
        ("G1", "donor", 1300),
        ("G1", "acceptor", 1700),
        ("G2", "donor", 2600),
        ("G2", "acceptor", 2260),
        ("G2", "donor", 2101),
        ("G2", "acceptor", 1800),
    }
    for r in rows:
        p, without = float(r["probability"]), float(r["without"])
        assert r["annotated"] == "1" or max(p, without) >= 0.0199
        assert p < 0.01 or float(r["log2_change"]) == pytest.approx(
            np.log2(max(p, 1e-6) / max(without, 1e-6)), abs=0.1
        )
    (tmp_path / "names").write_text("G2\n")
    assert run("-o", out, "-r", "c:2000-2200", "--genes", tmp_path / "names").exit_code == 0
    assert (
        table(out)
        == [r for r in rows if r["gene"] == "G2" and 2000 <= int(r["position"]) <= 2200]
        != []
    )
    (tmp_path / "names").write_text("nobody\n")
    assert "none of the genes" in run("--genes", tmp_path / "names").stderr


def test_an_rbp_in_any_case_and_the_nearest_name(files):
    args = [*files, "-r", "c:2000-2200"]
    upper, lower = (
        CliRunner().invoke(main, ["knockout", "--rbp", name, *args]) for name in ("BBB2", "bBb2")
    )
    assert upper.exit_code == lower.exit_code == 0 and upper.stdout == lower.stdout
    assert upper.stdout.count("\n") > 1
    for name, question in (("bbb", "did you mean BBB2? List"), ("XYZ", "'XYZ': List")):
        wrong = CliRunner().invoke(main, ["knockout", "--rbp", name, *files])
        assert wrong.exit_code == 1 and f"the model has no RBP {name!r}" in wrong.stderr
        assert question in wrong.stderr and "samvar motifs --list" in wrong.stderr


def test_it_is_told_that_a_motif_has_hardly_any_sites(files, tmp_path):
    model = toy.bundle(tmp_path)
    density = {name: 0.0 if name == "BBB2" else 0.01 for name in toy.RBPS}
    (tmp_path / "metrics.json").write_text(json.dumps({MOTIF_SITES: {"am": {"density": density}}}))
    write_manifest(model)
    args = [*files[:4], "--model", model, files[-1], "-r", "c:2000-2200"]
    for name, told in (("BBB2", True), ("AAA1", False)):
        result = CliRunner().invoke(main, ["knockout", "--rbp", name, *args])
        assert result.exit_code == 0, result.stderr
        assert ("hardly any sites in genes" in result.stderr) == told


def test_an_rbp_that_shares_anothers_channel_is_named(files, tmp_path):
    folder = toy.bundle(tmp_path)
    with open(f"{folder}/config.json") as handle:
        config = json.load(handle)
    config["data"] = dict(motifs=[dict(name="BBB2", family="BBB1/BBB2/BBB3")])
    with open(f"{folder}/config.json", "w") as handle:
        json.dump(config, handle)
    write_manifest(folder)
    given = [*files, "--model", folder]
    for name in ("BBB3", "bbb1"):
        for command in (["knockout"], ["motifs"]):
            wrong = CliRunner().invoke(main, [*command, "--rbp", name, *given])
            assert wrong.exit_code == 1, wrong.stderr
            assert f"no RBP {name!r} of its own: give BBB2, which stands for BBB1" in wrong.stderr
    right = CliRunner().invoke(main, ["knockout", "--rbp", "BBB2", "-r", "c:2000-2200", *given])
    assert right.exit_code == 0, right.stderr


@pytest.mark.parametrize("options", [["-o"], ["--map"], ["--figure"], ["--map", "m", "-o"]])
def test_an_output_that_cannot_be_written_is_refused_before_the_work(
    files, tmp_path, monkeypatch, options
):
    monkeypatch.setattr("samvar.model.bundle.load_bundle", None)
    out = tmp_path / "nowhere" / "x.svg"
    refused = CliRunner().invoke(main, ["knockout", "--rbp", "BBB2", *files, *options, str(out)])
    assert refused.exit_code == 1 and "there is no folder" in refused.stderr


def test_a_site_whose_base_is_unknown_has_no_probability(files, tmp_path):
    fasta = toy.fasta(tmp_path / "n.fa", c=BASES[:800] + "N" * 400 + BASES[1200:])
    result = CliRunner().invoke(
        main,
        [
            "knockout",
            "--rbp",
            "BBB2",
            *files,
            "-f",
            fasta,
            "-r",
            "c:601-1300",
            "-o",
            str(tmp_path / "k.tsv"),
        ],
    )
    assert result.exit_code == 0
    found = {int(r["position"]): r for r in table(tmp_path / "k.tsv") if r["annotated"] == "1"}
    assert {
        p for p, r in found.items() if r["probability"] == r["without"] == r["log2_change"] == "."
    } == {1101}
    assert set(found) == {601, 800, 1101, 1300} and "nan" not in (tmp_path / "k.tsv").read_text()


SHORT = (
    ("S1", "c", "+", [(101, 300), (601, 610), (1101, 1160), (1700, 1900)]),
    ("S2", "c", "-", [(1501, 1800), (2101, 2135), (2600, 2800)]),
)


@pytest.mark.slow
@pytest.mark.parametrize("exons", (GENES, SHORT))
def test_rna_map_counts_sites_where_they_are(parts, tmp_path, exons):
    """Counted again from the whole model's sites: the first gene has two internal exons, the second
    one. Neither half goes beyond an exon's other end."""
    genome, _, predictor = parts
    genes = load_annotation(toy.gtf(tmp_path / "g.gtf", *exons)).genes
    m = rna_map(genome, genes, predictor, "BBB2")
    assert m.exons == 3
    counts, bases, shown = np.zeros(m.edges.shape, int), np.zeros(m.edges.shape, int), 0
    for gene in genes:
        for start, end in gene.chosen.exons[1:-1]:
            window = region_window(genome, gene, "c", start - AROUND[0], end + AROUND[0], predictor)
            active = EditableAllele.make(predictor, window).bottleneck[CHANNEL] > 0
            for position, site in enumerate(active, window.start):
                to_acceptor = position - start if gene.strand == "+" else end - 1 - position
                to_donor = position - (end - 1) if gene.strand == "+" else start - position
                within = to_acceptor < end - start, to_donor > start - end
                halves = [
                    (half, (distance - m.edges[half, 0]) // BIN)
                    for half, distance in enumerate((to_acceptor, to_donor))
                    if within[half] and m.edges[half, 0] <= distance < m.edges[half, -1] + BIN
                ]
                for place in halves:
                    bases[place] += 1
                    counts[place] += site
                shown += bool(site and halves)
    assert counts.sum() > 20 and (m.counts == counts).all()
    np.testing.assert_allclose(m.sites, counts / bases)
    assert m.shown == shown < counts.sum() + (exons is GENES)
    assert (np.isnan(m.effects) == (counts == 0)).all()


@pytest.mark.slow
def test_map_table_and_figure(files, tmp_path):
    result = CliRunner().invoke(
        main,
        [
            "knockout",
            "--rbp",
            "AAA1",
            *files,
            "--map",
            str(tmp_path / "m.tsv"),
            "--figure",
            str(tmp_path / "m.svg"),
        ],
    )
    assert result.exit_code == 0 and not result.stdout
    rows = table(tmp_path / "m.tsv")
    assert len(rows) == 50 and {r["exons"] for r in rows} == {"3"}
    assert (tmp_path / "m.svg").read_text().count("<svg") == 1
    both = CliRunner().invoke(
        main, ["knockout", "--rbp", "AAA1", *files, "--map", str(tmp_path / "m.tsv"), "-o", "-"]
    )
    assert both.exit_code == 0 and both.stdout.count("\n") > 3
    for wrong, message in (
        (["--map", "-"], "cannot go to stdout"),
        (["--figure", "m.pdf"], ".svg or .png"),
        (["--map", "x.tsv", "--figure", "./x.tsv"], "two outputs have the same name"),
    ):
        refused = CliRunner().invoke(main, ["knockout", "--rbp", "AAA1", *files, *wrong])
        assert refused.exit_code == 2 and message in refused.stderr

    def run(*more):
        return CliRunner().invoke(main, ["knockout", "--rbp", "AAA1", *files, *map(str, more)])

    elsewhere = run("--map", tmp_path / "m.tsv", "-r", "c:2150-2200,chrZ")
    assert elsewhere.exit_code == 0 and "g.fa: chrZ" in elsewhere.stderr
    assert {r["exons"] for r in table(tmp_path / "m.tsv")} == {"1"}
    for wrong, message in (
        (["-r", "c:9-3"], "positions count from 1"),
        (["-r", "d"], "no internal exon"),
        (["--genes", files[1] + ".gz"], ".gz, after line 0"),
    ):
        (tmp_path / "x").unlink(missing_ok=True)
        with open(files[1] + ".gz", "wb") as f:
            f.write(b"\x1f\x8b\xff")
        result = run("--map", tmp_path / "x", *wrong)
        assert result.exit_code == 1 and message in result.stderr and not (tmp_path / "x").exists()
    assert "there is no folder" in run("--map", tmp_path / "nowhere" / "x").stderr
    other = toy.fasta(tmp_path / "other.fa", zz="ACGT" * 100)
    assert (
        "share no contig"
        in CliRunner().invoke(main, ["knockout", "--rbp", "AAA1", "-f", other, *files[2:]]).stderr
    )
