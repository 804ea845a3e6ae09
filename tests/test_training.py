"""Dataset, preparation, training loop, evaluation and bundles, on genes that the tests make."""

import json
import os
import socket
import subprocess
import sys
from contextlib import nullcontext
from dataclasses import replace

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from safetensors.torch import load_file

from samvar.cli import main
from samvar.errors import BundleError, DatasetError, RecipeError
from samvar.genomics.genes import Gene, Transcript
from samvar.genomics.genome import reverse_complement
from samvar.model.bundle import FOLDER, bundled, load_bundle, write_manifest
from samvar.model.sam import one_hot
from samvar.training import prepare as prep
from samvar.training.background import add_to_bundle
from samvar.training.card import card, card_of
from samvar.training.checkpoint import Checkpoint, load_run, plain
from samvar.training.dataset import (
    IGNORE,
    TRAIN,
    UNKNOWN,
    Dataset,
    Locus,
    TrainingGene,
    pack,
    unpack,
)
from samvar.training.evaluate import coarsest_rounding, evaluate, score, top_k
from samvar.training.genes import training_gene
from samvar.training.loop import Stateless, learning_rate
from samvar.training.loop import train as run
from samvar.training.motifs import read_folders
from samvar.training.recipe import (
    BindingRecipe,
    CnnRecipe,
    LssiRecipe,
    MotifRecipe,
    NfmRecipe,
    ProbesRecipe,
    Recipe,
    SamRecipe,
    TeachRecipe,
    load_recipe,
)
from samvar.training.sam import SamTask
from samvar.training.sampling import KEEP, Augmentation, Mixture, WindowSampler

from . import toy

pytestmark = pytest.mark.slow

ACCEPTOR, DONOR = "TTTTTTTTTTCAG", "GTAAGT"


def gene_bases(rng, introns=4):
    """A gene with clear splice sites, and its exons as 0-based half-open intervals."""
    bases, exons = "", []
    for i in range(introns + 1):
        start = len(bases)
        bases += "".join(rng.choice(list("ACG"), 60))
        exons.append((start, len(bases)))
        if i < introns:
            bases += DONOR + "".join(rng.choice(list("ACGT"), 80)) + ACCEPTOR
    return bases, exons


def make_genome(folder, name="g", genes=12, seed=0, shift=0):
    """FASTA with chrA (train), chr1 (validation), chr5 (test); genes on both strands."""
    rng = np.random.default_rng(seed)
    contigs = {"chrA": "", "chr1": "", "chr5": ""}
    rows = []
    for i in range(genes):
        contig = "chr1" if i % 6 == 4 else "chr5" if i % 6 == 5 else "chrA"
        bases, exons = gene_bases(rng)
        strand = "+-"[i % 2]
        n = len(bases)
        if strand == "-":
            bases, exons = toy.revcomp(bases), [(n - e, n - s) for s, e in reversed(exons)]
        contigs[contig] += "".join(rng.choice(list("ACGT"), 50))
        at = len(contigs[contig])
        contigs[contig] += bases
        rows.append(
            (f"{name}{i}", contig, strand, [(at + s + 1 + shift, at + e) for s, e in exons])
        )
    contigs = {k: v + "A" * 50 for k, v in contigs.items()}
    return toy.fasta(folder / f"{name}.fa", **contigs), toy.gtf(folder / f"{name}.gtf", *rows)


def motif_folder(folder):
    folder.mkdir(exist_ok=True)
    rng = np.random.default_rng(1)
    for name, widths in (("AAA1", (11, 10)), ("BBB2", (11,))):
        with open(folder / f"{name}.txt", "w") as f:
            for i, width in enumerate(widths):
                f.write(
                    f"# PSAM {i}\nPSAM  A0={0.5 / (i + 1)} n={width}\n#\tA\tC\tG\tU\tconsensus\n"
                )
                for row in rng.uniform(0.05, 1, (width, 4)):
                    f.write("\t".join(f"{v / row.max():.5f}" for v in row) + "\ta\n")
    return str(folder)


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    folder = tmp_path_factory.mktemp("source")
    return (*make_genome(folder), motif_folder(folder / "motifs"))


@pytest.fixture(scope="module")
def data(source):
    fasta, gtf, motifs = source
    return prep.prepare(
        [(fasta, gtf)],
        {"chr1"},
        {"chr5"},
        set(),
        read_folders([motifs]),
        report=lambda _: None,
    )


@pytest.fixture(scope="module")
def packed(data, tmp_path_factory):
    path = str(tmp_path_factory.mktemp("packed") / "data.npz")
    data.save(path)
    return path


# ------------------------------------------------------------------------------------------ dataset


def test_packing_is_exact():
    codes = np.random.default_rng(0).integers(0, 5, 1003).astype(np.uint8)
    packed, runs = pack(codes)
    assert packed.nbytes == 251
    assert (unpack(packed, runs, len(codes)) == codes).all()


def test_dataset_comes_back_from_disk(data, packed):
    again = Dataset.load(packed)
    for name in ("codes", "labels", "offsets", "names", "chroms", "splits", "paralogs"):
        assert (getattr(again, name) == getattr(data, name)).all()
    assert again.meta == data.meta and (again.motifs["psam"] == data.motifs["psam"]).all()


def test_what_is_no_dataset_is_refused(tmp_path):
    (tmp_path / "x.npz").write_text("no")
    for path in ("x.npz", "none.npz"):
        with pytest.raises(DatasetError, match="samvar train prepare"):
            Dataset.load(str(tmp_path / path))


def test_genes_are_in_transcript_orientation_and_split(data):
    assert set(data.splits) == {"train", "validation"}  # test genes are never packed
    assert set(data.chroms[data.genes("train")]) == {"chrA"} and set(
        data.chroms[data.genes("validation")]
    ) == {"chr1"}
    for g in range(len(data)):
        codes, labels = data.window(g, 0, int(data.offsets[g + 1] - data.offsets[g]))
        text = "".join("ACGTN"[c] for c in codes)
        acceptors, donors = np.flatnonzero(labels == 1), np.flatnonzero(labels == 2)
        assert len(acceptors) == len(donors) == 4
        assert all(text[a - 2 : a] == "AG" for a in acceptors) and all(
            text[d + 1 : d + 3] == "GT" for d in donors
        )


@pytest.mark.parametrize("strand", "+-")
def test_a_training_gene_is_its_chosen_transcript_in_its_own_orientation(strand):
    codes = np.random.default_rng(0).integers(0, 4, 300).astype(np.uint8)
    chosen = Transcript("T", ((110, 150), (180, 200), (260, 310)))
    other = Transcript("U", ((100, 120), (190, 400)))
    gene = Gene("G", "SYM", "1", strand, 100, 400, (chosen, other), origin="chr1", paralog=True)
    made = training_gene(gene, codes[10:210])
    assert made.locus == Locus("1", strand, 110, 310) and made.split == "test"
    assert (made.name, made.chrom, made.paralog) == ("SYM", "chr1", True)
    if strand == "+":
        assert made.acceptors.tolist() == [70, 150] and made.donors.tolist() == [39, 89]
        assert (made.codes == codes[10:210]).all()
    else:
        assert made.acceptors.tolist() == [110, 160] and made.donors.tolist() == [49, 129]
        assert (made.codes == 3 - codes[10:210][::-1]).all()
    dataset = Dataset.from_genes([made])
    assert np.flatnonzero(dataset.labels == 1).tolist() == made.acceptors.tolist()
    assert np.flatnonzero(dataset.labels == 2).tolist() == made.donors.tolist()


def test_a_dataset_may_be_without_genes():
    empty = Dataset.from_genes([])
    assert len(empty) == 0 and empty.codes.dtype == empty.labels.dtype == np.uint8


def test_windows_beyond_the_gene_are_unknown_and_not_scored(data):
    codes, labels = data.window(0, -3, 5, left=2, right=1)
    assert (codes[:5] == UNKNOWN).all() and codes[5] != UNKNOWN and len(codes) == 11
    assert (labels[:3] == IGNORE).all() and len(labels) == 8


def test_sampler_depends_on_seed_rank_and_step_alone(data):
    def make(**k):
        mixture = Mixture(400, (100, 50), 0.5)
        return WindowSampler(data, "train", (20, 10), mixture, **({"seed": 1} | k))

    a, b = make().batch(7), make().batch(7)
    assert all((x == y).all() for x, y in zip(a, b))
    assert not all(np.array_equal(x, y) for x, y in zip(a, make(rank=1).batch(7)))
    assert a[0].shape[1] == a[1].shape[1] + 30 and a[1].size == 400
    with pytest.raises(DatasetError):
        WindowSampler(data, "test", (20, 10), Mixture(400, (100,), 0.5), 1)


def test_site_windows_hold_a_site(data):
    sampler = WindowSampler(data, "train", (0, 0), Mixture(5000, (50,), 1.0), seed=0)
    _, labels = sampler.batch(0)
    assert ((labels == 1) | (labels == 2)).any(1).all()


def test_decoy_windows_hold_the_strongest_of_some_decoys_of_the_split(data):
    asked = []

    def strength(kind, at):
        asked.append((kind, at))
        return -at  # the first one in the data is the strongest

    sampler = WindowSampler(
        data, "train", (0, 0), Mixture(20, (1,), decoy_share=1.0), seed=0, strength=strength
    )
    codes, labels = sampler.batch(0)
    assert (labels == 0).all() and len(asked) == 20 and {kind for kind, _ in asked} == {1, 2}
    for code, (kind, at) in zip(codes[:, 0], asked):
        assert code == data.codes[at.min()]
        gene = np.searchsorted(data.offsets, at, "right") - 1
        assert set(data.splits[gene]) == {"train"} and (data.labels[at] == 0).all()
        core = (
            [data.codes[at - 2], data.codes[at - 1]]
            if kind == 1
            else [data.codes[at + 1], data.codes[at + 2]]
        )
        assert (core[0] == (0 if kind == 1 else 2)).all() and (
            core[1] == (2 if kind == 1 else 3)
        ).all()


@pytest.mark.parametrize(
    "mutate,indels,moved", [(0.3, 0.0, 0.0), (0.0, 1.0, 0.0), (0.0, 0.0, 1.0), (0.3, 1.0, 1.0)]
)
def test_changed_windows_keep_their_sites(mutate, indels, moved):
    rng = np.random.default_rng(0)
    lengths, changes = set(), 0
    for _ in range(50):
        codes, labels = rng.integers(0, 4, 3000).astype(np.uint8), np.zeros(3000, np.uint8)
        labels[[700, 1500, 1600]], labels[2000:2010], codes[2000:2010] = (1, 2, 1), IGNORE, UNKNOWN
        changes_of = Augmentation(mutate, indels, moved)
        new, kinds = changes_of.apply(rng, codes, labels, lambda n: np.full(n, 3, np.uint8))
        lengths.add(len(new))
        assert len(new) == len(kinds)
        before, after = (
            np.flatnonzero((labels > 0) & (labels < 3)),
            np.flatnonzero((kinds > 0) & (kinds < 3)),
        )
        assert (labels[before] == kinds[after]).all() and (
            (new == UNKNOWN) == (kinds == IGNORE)
        ).all()
        for a, b in zip(before, after):
            assert (codes[a - KEEP : a + KEEP + 1] == new[b - KEEP : b + KEEP + 1]).all()
        assert after[2] - after[1] == 100  # nothing is put between sites so near to each other
        if mutate and not indels:
            assert 0.1 < (new != codes).mean() < 0.3
        if moved and not (mutate or indels):
            assert (np.bincount(new) == np.bincount(codes)).all()
            changes += not np.array_equal(new, codes)
    assert len(lengths) > 10 if indels else lengths == {3000}
    assert changes > 40 or mutate or indels


def test_augmented_windows_have_the_shape_of_plain_ones(data):
    mixture = Mixture(400, (100,), 1.0)
    augmentation = Augmentation(mutate=0.1, indels=1.0)
    sampler = WindowSampler(data, "train", (20, 10), mixture, seed=3, augmentation=augmentation)
    codes, labels = sampler.batch(0)
    assert codes.shape == (4, 130) and labels.shape == (4, 100)
    assert all((x == y).all() for x, y in zip((codes, labels), sampler.batch(0)))
    plain = WindowSampler(data, "train", (20, 10), mixture, seed=3).batch(0)
    assert not np.array_equal(codes, plain[0])


# ------------------------------------------------------------------------------------------ prepare


def test_annotation_that_is_off_by_one_is_refused(tmp_path, source):
    fasta, gtf = make_genome(tmp_path, shift=1)
    with pytest.raises(DatasetError, match="GT-AG"):
        prep.prepare([(fasta, gtf)], {"chr1"}, {"chr5"}, set(), report=lambda _: None)


def test_chromosomes_are_known_by_either_name(tmp_path):
    fasta, gtf = make_genome(tmp_path)
    for path in (fasta, gtf):
        with open(path) as handle:
            text = handle.read().replace("chr1", "1").replace("chr5", "5").replace("chrA", "A")
        with open(path, "w") as handle:
            handle.write(text)
    os.path.exists(fasta + ".fai") and os.unlink(fasta + ".fai")
    data = prep.prepare([(fasta, gtf)], {"chr1"}, {"chr5"}, set(), report=lambda _: None)
    assert set(data.chroms[data.genes("train")]) == {"A"} and set(
        data.chroms[data.genes("validation")]
    ) == {"1"}
    with pytest.raises(DatasetError, match="no validation gene"):
        prep.prepare([(fasta, gtf)], {"chr3"}, {"chr5"}, set(), report=lambda _: None)
    said: list[str] = []
    prep.prepare([(fasta, gtf)], {"chr1", "chr3"}, {"chr5"}, set(), report=said.append)
    assert [line for line in said if "chr3" in line] == [
        "no gene of the annotation lies on chr3 (--validation)"
    ]


def test_chromosomes_are_left_out_altogether(tmp_path, source):
    fasta, gtf, _ = source
    said: list[str] = []
    data = prep.prepare(
        [(fasta, gtf)], {"chr1"}, set(), set(), report=said.append, leave_out={"chr5"}
    )
    assert set(data.chroms) == {"chrA", "chr1"} and data.meta["left_out"] == ["chr5"]
    config = dict(name="x", kinds={}, flank=60, data=data.meta | dict(train=data.extent(TRAIN)))
    storage = dict(precision="fp16", windows=1, largest_error=0)
    text = card(config, dict(storage=storage))
    assert "no gene of chr1, chr5, none of" in text
    assert f"{len(data.genes(TRAIN))} genes, " in text
    assert any(line.startswith("chr5: 2 genes, left out") for line in said)
    for arguments in (dict(test={"chrA", "chr5"}), dict(test={"chr5"}, leave_out={"chrA"})):
        with pytest.raises(DatasetError, match="no train gene is left"):
            prep.prepare([(fasta, gtf)], {"chr1"}, held_out=set(), report=said.append, **arguments)


def test_the_extent_of_a_split(data):
    train, labels = data.genes(TRAIN), data.labels
    introns = sum((labels[data.offsets[g] : data.offsets[g + 1]] == 2).sum() for g in train)
    bases = sum(data.offsets[g + 1] - data.offsets[g] for g in train)
    assert data.extent(TRAIN) == dict(genes=len(train), bases=bases, introns=introns)
    assert data.extent("test") == dict(genes=0, bases=0, introns=0)


DEVIATIONS = (
    "sampled positions",
    "do not exclude",
    "falls geometrically",
    "of width 1",
    "core channels, too",
    "temperature",
    "counted over all channels",
    "split",
    "k is the number",
    "Module substitution",
    "eCLIP",
)


@pytest.mark.parametrize("name", bundled())
def test_shipped_cards_are_those_of_what_their_bundles_hold(name):
    folder = os.path.join(FOLDER, name)
    text = card_of(folder)
    with open(os.path.join(folder, "CARD.md")) as handle:
        assert handle.read() == text, f"make it again: samvar train card {name}"
    _, _, deviations = text.partition("## Deviations from the paper")
    assert not [words for words in DEVIATIONS if words not in deviations]


def test_a_card_is_made_anew(tmp_path):
    (tmp_path / "toy").mkdir()
    folder = toy.bundle(tmp_path / "toy")
    refused = CliRunner().invoke(main, ["train", "card", folder])
    assert refused.exit_code == 1 and "metrics.json" in refused.stderr
    with open(os.path.join(FOLDER, "paper", "config.json")) as handle:
        config = json.load(handle)
    numbers = dict(storage=dict(precision="fp32", windows=1, largest_error=0.0))
    (tmp_path / "toy" / "metrics.json").write_text(json.dumps(numbers))
    with open(tmp_path / "toy" / "config.json") as handle:
        own = json.load(handle)
    for members in own["kinds"].values():
        for member in members:
            member["recipe"] = config["kinds"]["fm"][0]["recipe"]
    for origin, said in ((dict(), "bundle the runs again"), (config["data"], None)):
        (tmp_path / "toy" / "config.json").write_text(json.dumps(own | dict(data=origin)))
        write_manifest(folder)
        before = load_bundle(folder).sha256
        result = CliRunner().invoke(main, ["train", "card", folder])
        assert result.exit_code == bool(said) and (not said or said in result.stderr)
    assert load_bundle(folder).sha256 == before
    assert "1016 genes" in (tmp_path / "toy" / "CARD.md").read_text()
    (tmp_path / "toy" / "metrics.json").write_text("{}")  # what was damaged is not blessed
    assert "manifest" in CliRunner().invoke(main, ["train", "card", folder]).stderr


def test_genes_too_short_for_indels_are_an_error(data):
    rng = np.random.default_rng(0)
    codes = rng.integers(0, 4, 90).astype(np.uint8)
    crowded = TrainingGene("g", "c", codes, acceptors=[*range(0, 90, 4)], donors=[1], split=TRAIN)
    mixture, augmentation = Mixture(60, (60,), 0.5), Augmentation(indels=1.0)
    sampler = WindowSampler(
        Dataset.from_genes([crowded]), "train", (5, 5), mixture, 1, augmentation=augmentation
    )
    with pytest.raises(DatasetError, match="indels"):
        sampler._stretch(rng, 100)


def test_a_model_starts_from_motifs_of_the_same_name_and_matrices(packed, lssi, source, tmp_path):
    recipe = toml(tmp_path / "r.toml", steps=1, **TINY)
    train("fm", recipe, "-d", packed, "--lssi", lssi, "-o", tmp_path / "fm")
    folder = motif_folder(tmp_path / "other")
    os.rename(f"{folder}/BBB2.txt", f"{folder}/AAA0.txt")  # the same matrices in another order
    fasta, gtf, _ = source
    made = CliRunner().invoke(
        main,
        [
            "train",
            "prepare",
            "-f",
            fasta,
            "-a",
            gtf,
            "--validation",
            "chr1",
            "--test",
            "chr5",
            "--motifs",
            folder,
            "-o",
            str(tmp_path / "d.npz"),
        ],
    )
    assert made.exit_code == 0, made.stderr
    train(
        "lssi",
        toml(tmp_path / "l.toml", steps=1, channels=16, sites=8, decoys=8, others=8),
        "-d",
        tmp_path / "d.npz",
        "-o",
        tmp_path / "lssi",
    )
    for kind in ("am", "fm"):
        started = CliRunner().invoke(
            main,
            [
                "train",
                kind,
                recipe,
                "-d",
                str(tmp_path / "d.npz"),
                "--lssi",
                str(tmp_path / "lssi"),
                "--start-from",
                str(tmp_path / "fm"),
                "-o",
                str(tmp_path / "x"),
            ],
        )
        if kind == "am":  # which takes all of an FM's motifs, or none
            assert started.exit_code == 1 and "other motifs" in started.stderr
        else:  # takes the one that has the same name and matrices
            assert started.exit_code == 0, started.stderr


def test_runs_are_not_written_over(packed, lssi, tmp_path):
    recipe = toml(tmp_path / "r.toml", steps=1, **TINY)
    for name in "ab":
        train("fm", recipe, "-d", packed, "--lssi", lssi, "-o", tmp_path / name)
    before = (tmp_path / "a" / "model.safetensors").read_bytes()
    a, b = str(tmp_path / "a"), str(tmp_path / "b")
    for command in (
        ["bundle", "--name", "x", "--fm", a, "-d", packed, "-o", a],
        ["average", b, "-d", packed, "-o", a],
    ):
        refused = CliRunner().invoke(main, ["train", *command])
        assert refused.exit_code == 1 and "choose another folder" in refused.stderr
        assert (tmp_path / "a" / "model.safetensors").read_bytes() == before
    mean = str(tmp_path / "mean")
    average = ["train", "average", a, b, "-d", packed, "-o", mean]
    assert CliRunner().invoke(main, average).exit_code == 0
    for command in (
        average,
        ["train", "fm", recipe, "-d", packed, "--lssi", str(lssi), "-o", mean],
    ):
        refused = CliRunner().invoke(main, command)
        assert refused.exit_code == 1 and "choose another folder" in refused.stderr
    assert "averaged" in json.loads((tmp_path / "mean" / "model.json").read_text())
    out = tmp_path / "bundle"
    bundle = ["train", "bundle", "--name", "x", "-d", packed, "-o", str(out), "--fm", a]
    assert (
        CliRunner().invoke(main, [*bundle, "--fm", b]).exit_code == 0
        and (out / "fm.2.safetensors").exists()
    )
    assert (
        CliRunner().invoke(main, bundle).exit_code == 0 and not (out / "fm.2.safetensors").exists()
    )
    scale = dict(
        kind="fm",
        sha256=load_bundle(str(out)).sha256,
        n=1,
        effects={},
        least_effect=0.0005,
        least_delta=0.05,
    )
    add_to_bundle(str(out), scale)
    add_to_bundle(str(out), scale | dict(kind="am"))
    assert CliRunner().invoke(main, bundle).exit_code == 0
    assert load_bundle(str(out)).background.n == 1 and not (out / "background.am.json").exists()
    (out / "mine.safetensors").write_text("")
    assert CliRunner().invoke(main, bundle).exit_code == 1 and (out / "mine.safetensors").exists()


def test_a_dataset_without_validation_genes_can_be_used_to_the_end(source, tmp_path):
    fasta, gtf, motifs = source
    packed, run = str(tmp_path / "d.npz"), str(tmp_path / "fm")
    made = CliRunner().invoke(
        main,
        [
            "train",
            "prepare",
            "-f",
            fasta,
            "-a",
            gtf,
            "--validation",
            "",
            "--test",
            "chr5",
            "--motifs",
            motifs,
            "-o",
            packed,
        ],
    )
    assert made.exit_code == 0, made.stderr
    core = toml(tmp_path / "l.toml", steps=1, channels=16, sites=8, decoys=8, others=8)
    train("lssi", core, "-d", packed, "-o", tmp_path / "lssi")
    train(
        "fm",
        toml(tmp_path / "r.toml", steps=1, **TINY),
        "-d",
        packed,
        "--lssi",
        tmp_path / "lssi",
        "-o",
        run,
    )
    made = CliRunner().invoke(
        main,
        ["train", "bundle", "--name", "x", "--fm", run, "-d", packed, "-o", str(tmp_path / "b")],
    )
    assert made.exit_code == 0, made.stderr
    assert load_bundle(str(tmp_path / "b")).kind == "fm"


def test_unfinished_runs_are_not_bundled(packed, lssi, tmp_path):
    recipe = toml(tmp_path / "r.toml", steps=3, **TINY)
    train("fm", recipe, "-d", packed, "--lssi", lssi, "-o", tmp_path / "fm", "--minutes", "1e-9")
    bundle = [
        "train",
        "bundle",
        "--name",
        "x",
        "-d",
        packed,
        "-o",
        str(tmp_path / "b"),
        "--fm",
        str(tmp_path / "fm"),
    ]
    refused = CliRunner().invoke(main, bundle)
    assert refused.exit_code == 1 and "step 1 of 3" in refused.stderr
    refused = CliRunner().invoke(
        main,
        [
            "train",
            "am",
            recipe,
            "-d",
            packed,
            "--start-from",
            str(tmp_path / "fm"),
            "-o",
            str(tmp_path / "am"),
        ],
    )
    assert refused.exit_code == 1 and "step 1 of 3" in refused.stderr
    train("fm", recipe, "-d", packed, "--lssi", lssi, "-o", tmp_path / "fm", "--resume")
    assert CliRunner().invoke(main, bundle).exit_code == 0
    twice = CliRunner().invoke(main, [*bundle, "--fm", str(tmp_path / "fm")])
    assert twice.exit_code == 1 and "given twice" in twice.stderr
    assert load_bundle(str(tmp_path / "b")).kind == "fm"  # what was there is whole


def test_leaking_genes_are_told_from_repeats():
    rng = np.random.default_rng(0)
    bases, _ = gene_bases(rng)
    codes = np.array(["ACGT".index(b) for b in bases], np.uint8)
    held = [TrainingGene("H", "chr5", codes, acceptors=[159], donors=[59])]
    fresh = rng.integers(0, 4, 600).astype(np.uint8)
    copies = [codes[100:300], reverse_complement(codes[100:300]), fresh]
    train = [
        TrainingGene(str(i), "c", np.concatenate((fresh[100 * i : 100 * i + 50], c)), [], [])
        for i, c in enumerate(copies)
    ]
    leaking = prep.leaks(train, held)
    assert list(leaking) == train[:2] and {other.name for other, _ in leaking.values()} == {"H"}
    assert prep.leaks([train[0]] * 2, held) == {}  # in three genes: a repeat
    assert prep.leaks(train[2:], held) == {}
    assert prep.leaks(train, []) == {}


def test_words_differ_where_sequences_differ():
    rng = np.random.default_rng(0)
    a = rng.integers(0, 4, 400).astype(np.uint8)
    b = a.copy()
    b[200] = (b[200] + 1) % 4
    assert len(prep.words(a)) == 301
    assert len(np.intersect1d(prep.words(a), prep.words(b))) == 201
    b[200] = UNKNOWN
    assert len(prep.words(b)) == 201


# ------------------------------------------------------------------------------------------ recipes


def test_recipe_errors_name_the_key(tmp_path):
    path = tmp_path / "r.toml"
    for text, message in (
        ("steps = 1\nlearning = 2", "learning"),
        ("steps = 'x'", "steps"),
        ("lr = 1.0", "missing"),
        ("steps = [", "TOML"),
        ("steps = 1\nprecision = 'fp8'", "precision"),
        ("steps = 1\ndensity_end = 0.5\ndensity_start = 0.1", "density"),
        ("steps = 1\ntrain_core = 1", "train_core"),
        ("steps = true", "steps"),
        ("steps = 1\nwindows = [1.5]", "windows"),
        ("steps = 1\nwindows = ['a']", "windows"),
        ("steps = 1\ndensity_until = 2", "density_until"),
        ("steps = 1\nreduction = 1.0", "reduction"),
        *((f"steps = 1\n{key} = -1", key) for key in ("seed", "lr", "weight_decay", "clip")),
        *((f"steps = 1\n{key} = 0", key) for key in ("channels", "attention_dim", "batch_bases")),
    ):
        path.write_text(text)
        with pytest.raises(RecipeError, match=message):
            load_recipe(str(path), SamRecipe)
    path.write_text("steps = 1\ndecoys = 0")
    with pytest.raises(RecipeError, match="decoys"):
        load_recipe(str(path), LssiRecipe)
    with pytest.raises(RecipeError, match="cannot read"):
        load_recipe(str(tmp_path / "none.toml"), LssiRecipe)


def test_shipped_recipes_are_valid():
    folder = os.path.join(os.path.dirname(__file__), "..", "train")
    for root, _, files in os.walk(folder):
        for name in files:
            if name.endswith(".toml"):
                kind = {
                    "windows.toml": TeachRecipe,
                    "windows-2.toml": TeachRecipe,
                    "windows-3.toml": TeachRecipe,
                    "windows-4.toml": TeachRecipe,
                    "effects.toml": TeachRecipe,
                    "yardstick.toml": TeachRecipe,
                    "yardstick-effects.toml": TeachRecipe,
                    "yardstick-train.toml": TeachRecipe,
                    "motifs.toml": MotifRecipe,
                    "motifs-2.toml": MotifRecipe,
                    "cnn.toml": CnnRecipe,
                    "cnn-plain.toml": CnnRecipe,
                }.get(name, LssiRecipe if "lssi" in name else SamRecipe)
                of_folder = {
                    "binding": BindingRecipe,
                    "probes": ProbesRecipe,
                    "reads": NfmRecipe,
                    "aggregator": SamRecipe,
                }
                kind = of_folder.get(os.path.basename(root), kind)
                load_recipe(os.path.join(root, name), kind)


# ----------------------------------------------------------------------------------------- training


TINY = dict(
    channels=8,
    attention_dim=4,
    batch_bases=400,
    windows=[100, 200],
    density_start=0.3,
    density_end=0.1,
    validate_every=5,
    validate_bases=700,
    checkpoint_every=5,
    lr=1e-3,
    warmup=2,
)


def toml(path, **values):
    path.write_text("".join(f"{k} = {json.dumps(v)}\n" for k, v in values.items()))
    return str(path)


def train(*args):
    result = CliRunner().invoke(main, ["train", *map(str, args), "--threads", "1"])
    assert result.exit_code == 0, result.stderr
    return result.stderr


@pytest.fixture(scope="module")
def lssi(packed, tmp_path_factory):
    folder = tmp_path_factory.mktemp("lssi")
    recipe = toml(
        folder / "r.toml",
        steps=200,
        channels=16,
        sites=16,
        decoys=64,
        others=64,
        lr=0.01,
        warmup=10,
        validate_every=100,
        checkpoint_every=100,
    )
    train("lssi", recipe, "-d", packed, "-o", folder / "run")
    return folder / "run"


def test_lssi_learns_the_sites(lssi):
    with open(lssi / "metrics.tsv") as handle:
        header, *rows = (line.split("\t") for line in handle.read().splitlines())
    assert float(rows[-1][header.index("topk_mean")]) > 80


def states(folder):
    model = load_file(folder / "model.safetensors")
    saved = torch.load(folder / "checkpoint.pt", weights_only=True)
    return model, saved


@pytest.mark.parametrize(
    "kind, schedule, core", [("fm", "geometric", False), ("am", "accuracy", True)]
)
def test_resumed_training_is_bit_identical(packed, lssi, tmp_path, kind, schedule, core):
    recipe = toml(
        tmp_path / "r.toml",
        steps=20,
        density_schedule=schedule,
        target=1.0,
        train_core=core,
        motif_dropout=0.3 * core,
        mean_from=0.2 if core else 1.0,
        **TINY,
    )
    common = [kind, recipe, "-d", packed, "--lssi", lssi]
    train(*common, "-o", tmp_path / "whole")
    said = train(*common, "-o", tmp_path / "parts", "--minutes", "1e-9")
    while "stopped after" in said:
        said = train(*common, "-o", tmp_path / "parts", "--resume", "--minutes", "0.005")
    a, b = states(tmp_path / "whole"), states(tmp_path / "parts")
    assert a[1]["step"] == b[1]["step"] == 20
    for key, value in a[0].items():
        assert torch.equal(value, b[0][key]), key
    for key, slot in a[1]["optimizer"]["state"].items():
        for name, value in slot.items():
            assert torch.equal(value, b[1]["optimizer"]["state"][key][name])
    rows = [(tmp_path / d / "metrics.tsv").read_text().splitlines() for d in ("whole", "parts")]

    def drop(lines):
        return [line.split("\t")[:1] + line.split("\t")[4:] for line in lines]

    assert (
        drop(rows[0]) == drop(rows[1]) and len(rows[0]) == 5
    )  # but for time and the loss averaged since the start


class Weights(Stateless):
    """A task that keeps the weights that each step starts with."""

    identity = dict(kind="toy")

    def __init__(self):
        torch.manual_seed(1)
        self.model, self.seen, self.finished = torch.nn.Linear(3, 1), [], False

    def weights(self):
        return self.model.weight.detach().clone()

    def start_step(self, step):
        self.seen.append(self.weights())

    def loss(self, step):
        return self.model(torch.tensor([1.0, step, -2.0])).square().sum()

    def validate(self, step):
        return {}

    def finish(self):
        self.finished = self.weights()

    def save_weights(self, folder, step):
        pass


def test_a_run_ends_with_the_mean_of_its_last_steps(tmp_path):
    settings = dict(warmup=0, lr=0.1, validate_every=6)
    plain, mean = Weights(), Weights()
    run(plain, Recipe(steps=6, **settings), str(tmp_path / "plain"), torch.device("cpu"))
    recipe = Recipe(steps=6, mean_from=0.5, **settings)
    run(mean, recipe, str(tmp_path / "mean"), torch.device("cpu"))
    assert all(torch.equal(a, b) for a, b in zip(plain.seen, mean.seen))  # a step starts as without
    of_steps = torch.stack([*plain.seen[4:], plain.weights()])
    torch.testing.assert_close(mean.finished, of_steps.mean(0))
    assert torch.equal(mean.weights(), mean.finished) and of_steps.std(0).min() > 1e-4


def test_norms_are_those_of_the_mean(tmp_path):
    class Normed(Weights):
        def __init__(self):
            super().__init__()
            self.model = torch.nn.Sequential(torch.nn.Linear(3, 2), torch.nn.BatchNorm1d(2))

        def weights(self):
            return self.model[0].weight.detach().clone()

        def loss(self, step):
            x = torch.from_numpy(np.random.default_rng(step).normal(1, 1, (64, 3))).float()
            return (self.model(x) - x[:, :2]).square().mean()

    task = Normed()
    recipe = Recipe(steps=40, mean_from=0.5, warmup=0, lr=0.2, lr_end=0.2, validate_every=40)
    run(task, recipe, str(tmp_path / "run"), torch.device("cpu"))
    linear, norm = task.model
    with torch.no_grad():
        seen = linear(torch.ones(1, 3))[0]  # the mean of what comes in
        spread = linear.weight.square().sum(1)
    torch.testing.assert_close(norm.running_mean, seen, atol=0.1, rtol=0.1)
    torch.testing.assert_close(norm.running_var, spread, atol=0.05, rtol=0.1)
    assert norm.momentum == 0.1


def test_the_learning_rate_ends_where_the_recipe_says():
    recipe = Recipe(steps=11, warmup=0, lr=4.0, lr_end=2.0)
    rates = [learning_rate(recipe, step) for step in (0, 5, 10)]
    assert rates[0] == 4 and 2 < rates[2] < rates[1] < 4 and learning_rate(recipe, 11) == 2
    for wrong in (dict(lr_end=-1.0), dict(mean_from=1.5), dict(mean_from=-0.1)):
        with pytest.raises(RecipeError, match=next(iter(wrong))):
            Recipe(steps=1, **wrong)


def test_a_folder_with_a_checkpoint_needs_resume_and_the_same_recipe(packed, lssi, tmp_path):
    recipe = toml(tmp_path / "r.toml", steps=2, **TINY)
    args = [
        "train",
        "fm",
        recipe,
        "-d",
        packed,
        "--lssi",
        str(lssi),
        "-o",
        str(tmp_path / "run"),
        "--threads",
        "1",
    ]
    assert CliRunner().invoke(main, args).exit_code == 0
    again = CliRunner().invoke(main, args)
    assert again.exit_code == 1 and "--resume" in again.stderr
    toml(tmp_path / "r.toml", steps=3, **TINY)
    other = CliRunner().invoke(main, [*args, "--resume"])
    assert other.exit_code == 1 and "another recipe" in other.stderr
    path = tmp_path / "run" / "checkpoint.pt"
    for damaged in (path.read_bytes()[:500], b"", b"no checkpoint"):
        path.write_bytes(damaged)
        refused = CliRunner().invoke(main, [*args, "--resume"])
        assert refused.exit_code == 1 and "no readable checkpoint" in refused.stderr


def test_the_accuracy_schedule_needs_validation_genes_and_tells_where_it_ended(
    data, packed, lssi, tmp_path
):
    recipe = SamRecipe(
        **TINY | dict(steps=5, density_schedule="accuracy", density_end=0.01, target=0.0)
    )
    train(
        "fm",
        toml(tmp_path / "r.toml", **{k: v for k, v in vars(recipe).items() if k != "seed"}),
        "-d",
        packed,
        "--lssi",
        lssi,
        "-o",
        tmp_path / "fm",
    )
    density = load_run(str(tmp_path / "fm"))[1]["density"]
    assert (
        density == pytest.approx(recipe.density_start * recipe.reduction)
        and density > recipe.density_end
    )
    made = CliRunner().invoke(
        main, ["train", "average", str(tmp_path / "fm"), "-d", packed, "-o", str(tmp_path / "a")]
    )
    assert made.exit_code == 0 and load_run(str(tmp_path / "a"))[1]["density"] == density
    without = replace(data, splits=np.full_like(data.splits, TRAIN))
    with pytest.raises(RecipeError, match="validation genes"):
        SamTask("fm", without, recipe, torch.device("cpu"), str(lssi))


def test_a_checkpoint_knows_the_run_it_is_of(tmp_path):
    weights = dict(w=torch.arange(3.0))
    recipe = SamRecipe(**TINY | dict(steps=9))
    known = {k: v for k, v in plain(recipe).items() if k != "motif_dropout"}  # of an older samvar
    identity = dict(kind="fm", data="d")
    saved = Checkpoint(3, 1.5, 2.0, 4, known, identity, weights, dict(state={}), dict(density=0.1))
    folder = str(tmp_path)
    assert not Checkpoint.exists(folder)
    saved.save(folder)
    again = Checkpoint.load(folder)
    assert Checkpoint.exists(folder) and torch.equal(again.model.pop("w"), weights.pop("w"))
    assert again == saved and os.listdir(folder) == ["checkpoint.pt"]
    again.check(folder, recipe, identity | dict(ranks=2))
    with pytest.raises(RecipeError, match="another recipe"):
        again.check(folder, replace(recipe, motif_dropout=0.1), identity)
    with pytest.raises(RecipeError, match="differs in its data:"):
        again.check(folder, recipe, dict(kind="fm", data="e"))


def test_a_run_goes_on_only_from_the_same_start(packed, lssi, tmp_path):
    recipe = toml(tmp_path / "r.toml", steps=2, **TINY)
    shape = dict(steps=1, channels=16, sites=8, decoys=8, others=8)
    train("lssi", toml(tmp_path / "l.toml", **shape), "-d", packed, "-o", tmp_path / "lssi")
    train("fm", recipe, "-d", packed, "--lssi", lssi, "-o", tmp_path / "fm")
    own = ["--lssi", lssi, "--start-from", tmp_path / "fm"]
    am = ["am", recipe, "-d", packed, "-o", tmp_path / "am"]
    train(*am, *own, "--minutes", "1e-9")
    for options, differs in (
        (["--lssi", tmp_path / "lssi", *own[2:]], "lssi"),
        (own[:2], "start_from"),
    ):
        refused = CliRunner().invoke(main, ["train", *map(str, am), *map(str, options), "--resume"])
        assert refused.exit_code == 1 and f"differs in its {differs}:" in refused.stderr
    train(*am, *own, "--resume")
    assert load_run(str(tmp_path / "am"))[1]["started_from"]["name"] == "fm"


def test_core_sites_start_from_those_of_another_run(packed, lssi, tmp_path):
    shape = dict(steps=1, lr=1e-12, sites=8, decoys=8, others=8)
    same = toml(tmp_path / "l.toml", channels=16, **shape)
    train(
        "fm",
        toml(tmp_path / "r.toml", steps=1, **TINY),
        "-d",
        packed,
        "--lssi",
        lssi,
        "-o",
        tmp_path / "fm",
    )
    for name, start in (("a", lssi), ("b", tmp_path / "fm")):
        train("lssi", same, "-d", packed, "--start-from", start, "-o", tmp_path / name)
        assert load_run(str(tmp_path / name))[1]["started_from"]["kind"] == (
            "lssi" if start is lssi else "fm"
        )
        theirs, ours = (
            load_file(lssi / "model.safetensors"),
            load_file(tmp_path / name / "model.safetensors"),
        )
        for key, value in theirs.items():
            torch.testing.assert_close(ours[key], value)
    refused = CliRunner().invoke(
        main,
        [
            "train",
            "lssi",
            toml(tmp_path / "m.toml", channels=8, **shape),
            "-d",
            packed,
            "--start-from",
            str(lssi),
            "-o",
            str(tmp_path / "c"),
        ],
    )
    assert refused.exit_code == 1 and "channels" in refused.stderr


def test_am_starts_from_fm_and_keeps_the_core_sites(packed, lssi, tmp_path):
    recipe = toml(tmp_path / "r.toml", steps=5, **TINY)
    train("fm", recipe, "-d", packed, "--lssi", lssi, "-o", tmp_path / "fm")
    recipe = toml(tmp_path / "a.toml", steps=1, **(TINY | {"lr": 1e-9}))
    train(
        "am",
        recipe,
        "-d",
        packed,
        "--lssi",
        lssi,
        "-o",
        tmp_path / "am",
        "--start-from",
        tmp_path / "fm",
    )
    fm, am = (load_file(tmp_path / kind / "model.safetensors") for kind in ("fm", "am"))
    core = load_file(lssi / "model.safetensors")
    for key, value in core.items():
        assert torch.equal(am[f"lssi.{key}"], value)
    for key, value in fm.items():
        if key.startswith("aggregator") and "running" not in key and "num_batches" not in key:
            torch.testing.assert_close(am[key], value, atol=1e-6, rtol=0)


def test_a_run_starts_from_one_of_its_kind_with_other_core_sites(packed, lssi, tmp_path):
    slow = TINY | {"lr": 1e-12}
    recipe = toml(tmp_path / "r.toml", steps=1, **slow)
    train("am", recipe, "-d", packed, "--lssi", lssi, "-o", tmp_path / "a")
    other = toml(tmp_path / "l.toml", steps=1, channels=16, sites=8, decoys=8, others=8)
    train("lssi", other, "-d", packed, "-o", tmp_path / "lssi")
    train(
        "am",
        recipe,
        "-d",
        packed,
        "--lssi",
        tmp_path / "lssi",
        "-o",
        tmp_path / "b",
        "--start-from",
        tmp_path / "a",
    )
    a, b, core = (load_file(tmp_path / d / "model.safetensors") for d in ("a", "b", "lssi"))
    assert torch.equal(b["lssi.acceptor.net.0.weight"], core["acceptor.net.0.weight"])
    torch.testing.assert_close(
        b["aggregator.first.enter.weight"], a["aggregator.first.enter.weight"]
    )
    torch.testing.assert_close(b["motifs.adjust.enter.weight"], a["motifs.adjust.enter.weight"])
    refused = CliRunner().invoke(
        main,
        [
            "train",
            "fm",
            recipe,
            "-d",
            packed,
            "--lssi",
            str(lssi),
            "-o",
            str(tmp_path / "c"),
            "--start-from",
            str(tmp_path / "a"),
        ],
    )
    assert refused.exit_code == 1 and "start from" in refused.stderr


def test_core_sites_are_trained_along_and_taken_on(packed, lssi, tmp_path):
    own = toml(tmp_path / "r.toml", steps=3, train_core=True, **TINY)
    train("am", own, "-d", packed, "--lssi", lssi, "-o", tmp_path / "a")
    train(
        "am",
        toml(tmp_path / "s.toml", steps=3, seed=2, train_core=True, **TINY),
        "-d",
        packed,
        "--start-from",
        tmp_path / "a",
        "-o",
        tmp_path / "b",
    )
    frozen = toml(tmp_path / "f.toml", steps=1, **TINY)
    train("am", frozen, "-d", packed, "--start-from", tmp_path / "b", "-o", tmp_path / "c")
    core, a, b, c = (
        load_file(p / "model.safetensors") for p in (lssi, *(tmp_path / x for x in "abc"))
    )
    name = "acceptor.net.0.weight"
    assert not torch.equal(core[name], a["lssi." + name]) and not torch.equal(
        a["lssi." + name], b["lssi." + name]
    )
    assert torch.equal(b["lssi." + name], c["lssi." + name])
    made = CliRunner().invoke(
        main,
        [
            "train",
            "average",
            str(tmp_path / "a"),
            str(tmp_path / "b"),
            "-d",
            packed,
            "-o",
            str(tmp_path / "mean"),
        ],
    )
    assert made.exit_code == 0, made.stderr
    mean = load_file(tmp_path / "mean" / "model.safetensors")
    torch.testing.assert_close(mean["lssi." + name], (a["lssi." + name] + b["lssi." + name]) / 2)
    made = CliRunner().invoke(
        main,
        [
            "train",
            "bundle",
            "--name",
            "x",
            "--am",
            str(tmp_path / "mean"),
            "-d",
            packed,
            "-o",
            str(tmp_path / "bundle"),
        ],
    )
    assert (
        made.exit_code == 0
        and "core sites trained along" in (tmp_path / "bundle" / "CARD.md").read_text()
    )
    nothing = CliRunner().invoke(
        main, ["train", "am", frozen, "-d", packed, "-o", str(tmp_path / "d")]
    )
    assert nothing.exit_code == 1 and "--lssi" in nothing.stderr


@pytest.mark.filterwarnings("ignore:.*meta parameter")
@pytest.mark.parametrize("kind", ["fm", "am"])
def test_a_step_stays_on_its_device(data, lssi, monkeypatch, kind):
    """PyTorch's device without memory stands in for a GPU: there, too, sums of tensors on two are
    errors."""
    monkeypatch.setattr(
        torch, "autocast", lambda *_, **__: nullcontext()
    )  # which knows no such device
    monkeypatch.setattr(  # the known values: no fixed number
        "samvar.model.sam.quantile", lambda z, known, share, otherwise: otherwise + z.amax()
    )
    recipe = SamRecipe(steps=1, motif_dropout=0.5, train_core=True, **TINY)
    task = SamTask(kind, data, recipe, torch.device("meta"), str(lssi))
    task.start_step(0)
    task.model.train()
    task.loss(0).backward()
    assert all(p.grad.device.type == "meta" for p in task.model.parameters())


@pytest.mark.parametrize("kind", ["lssi", "am"])
def test_two_ranks_end_with_the_same_weights(packed, lssi, tmp_path, kind):
    shape = dict(channels=8, sites=8, decoys=8, others=8) if kind == "lssi" else TINY
    recipe = toml(
        tmp_path / "r.toml", **(shape | dict(steps=4, validate_every=4, checkpoint_every=4))
    )
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        port = s.getsockname()[1]
    code = (
        "import sys, os, torch, torch.distributed as d\n"
        "from samvar.cli import main\n"
        "import samvar.training.loop as loop\n"
        "kept = loop.train\n"
        "def train(task, *a, **k):\n"
        "    kept(task, *a, **k)\n"
        "    own = torch.cat([v.float().flatten() for v in task.model.state_dict().values()])\n"
        "    other = own.clone(); d.broadcast(other, 0)\n"
        "    assert torch.equal(own, other), (own - other).abs().max()\n"
        "    print('equal', d.get_world_size())\n"
        "loop.train = train\n"
        "main(sys.argv[1:])\n"
    )
    args = ["train", kind, recipe, "-d", packed, "-o", tmp_path / "run", "--threads", "1"]
    args += ["--lssi", lssi] if kind == "am" else []
    workers = [
        subprocess.Popen(
            [sys.executable, "-c", code, *map(str, args)],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=os.environ
            | dict(
                RANK=str(r),
                WORLD_SIZE="2",
                LOCAL_RANK=str(r),
                MASTER_ADDR="127.0.0.1",
                MASTER_PORT=str(port),
            ),
        )
        for r in range(2)
    ]
    for worker in workers:
        out, err = worker.communicate(timeout=120)
        assert worker.returncode == 0, err.decode()
        assert b"equal 2" in out


# --------------------------------------------------------------------------------------- evaluation


def test_top_k_by_hand():
    """Two genes, three acceptors, one donor; two of the three best acceptor scores are
    acceptors."""
    labels = np.array([1, 0, 1, 0, 2, 1])
    gene = np.array([0, 0, 0, 1, 1, 1])
    acceptor = np.array([0.9, 0.8, 0.7, 0.1, 0.0, 0.2])
    donor = np.array([0.0, 0.0, 0.0, 0.0, 1.0, 0.5])
    found = top_k(np.stack([acceptor, donor]), labels, gene, 2, resamples=200)
    assert (found.acceptor, found.donor) == (pytest.approx(200 / 3), 100)
    assert (found.n_acceptor, found.n_donor, found.n_genes) == (3, 1, 2)
    assert found.mean == pytest.approx((200 / 3 + 100) / 2)
    # gene 1 drawn twice: 100; gene 0 drawn twice: no donor, left out; each once: the mean above
    assert found.interval == (pytest.approx(found.mean), pytest.approx(100))


def test_density_and_entropy_of_the_evaluation(data):
    model = toy.model("fm")
    genes = data.genes("validation")
    scores = score([model], data, genes, torch.device("cpu"))
    g = genes[0]
    n = int(data.offsets[g + 1] - data.offsets[g])
    codes, _ = data.window(g, 0, n, *model.config.reach)
    edge = model.config.aggregate_reach
    one = model.detect(
        torch.nn.functional.one_hot(torch.from_numpy(codes[None]).long(), 5)[..., :4].mT.float()
    )
    own = one.motifs[0, :, edge : edge + n]
    assert scores.known == sum(data.offsets[genes + 1] - data.offsets[genes])
    assert len(genes) == 2 and 0 < scores.density < 0.3
    alone = score([model], data, genes[:1], torch.device("cpu"))
    assert (alone.nonzero == (own > 0).sum(1).numpy()).all()
    d = 0.001
    alone.nonzero, alone.known = np.array([1.0] * 79), 1000
    assert alone.density == pytest.approx(d)
    assert alone.entropy_bound(2.8) == pytest.approx(
        79 * (-d * np.log2(d) - (1 - d) * np.log2(1 - d) + d * 2.8)
    )


def test_evaluation_reports_the_numbers_it_promises(data):
    result = evaluate([toy.model("am")], data, data.genes("validation"), torch.device("cpu"))
    for key in (
        "topk_acceptor",
        "topk_donor",
        "topk_mean",
        "n_acceptor",
        "n_donor",
        "n_genes",
        "density",
        "entropy_bits_per_base",
    ):
        assert np.isfinite(result[key])
    assert result["n_acceptor"] == 8 and result["n_genes"] == 2
    assert result["lssi"]["topk_mean"] <= 100
    json.dumps(result)


@pytest.mark.parametrize("limit, expected", [(5.0, 4.0), (0.3, 0.25), (0.0, None)])
def test_coarsest_rounding_that_keeps_the_accuracy(limit, expected):
    """Up to `limit` a rounding costs nothing, beyond it 10 points."""

    class Rounded:
        def __init__(self, r):
            self.r, self.eta = r, 3 - np.log2(r) / 10

        def top_k(self, resamples):
            return type("T", (), dict(mean=60.0 if self.r <= limit else 50.0))

    eta, r = coarsest_rounding(Rounded, 60.0, 1.0)
    assert (r == expected and eta == Rounded(expected).eta) if expected else np.isnan(r)


def test_an_evaluated_ensemble_is_the_mean_of_its_seeds(data):
    models = [toy.model("fm", seed) for seed in (0, 1)]
    genes = data.genes("validation")
    each = [score([m], data, genes, torch.device("cpu")) for m in models]
    both = score(models, data, genes, torch.device("cpu"))
    np.testing.assert_allclose(
        np.exp(both.model), np.mean([np.exp(e.model) for e in each], 0), atol=1e-6
    )
    assert both.density == pytest.approx(np.mean([e.density for e in each]))


def test_a_model_without_active_motifs_is_evaluated(data):
    model = toy.model("fm")
    model.motifs.main.threshold.fill_(1e9)
    result = evaluate([model], data, data.genes("validation"), torch.device("cpu"))
    assert result["density"] == result["entropy_bits_per_base"] == 0


def test_scores_do_not_depend_on_the_batch(data):
    model = toy.model("am")
    a, b = (score([model], data, data.genes(), torch.device("cpu"), batch=n) for n in (1, 3))
    np.testing.assert_allclose(a.model, b.model, atol=1e-4)


# ------------------------------------------------------------------------------------------- bundle


def test_from_training_to_a_bundle_that_annotates(source, packed, lssi, tmp_path):
    fasta, gtf, _ = source
    recipe = toml(tmp_path / "r.toml", steps=5, **TINY)
    train("fm", recipe, "-d", packed, "--lssi", lssi, "-o", tmp_path / "fm")
    result = CliRunner().invoke(
        main,
        [
            "train",
            "evaluate",
            "-f",
            fasta,
            "-a",
            gtf,
            "--run",
            str(tmp_path / "fm"),
            "--chroms",
            "chr5",
            "--json",
            str(tmp_path / "e.json"),
            "--threads",
            "1",
        ],
    )
    assert result.exit_code == 0, result.stderr
    numbers = json.loads((tmp_path / "e.json").read_text())
    assert numbers["n_genes"] == 2 and numbers["kind"] == "fm"
    refused = CliRunner().invoke(
        main,
        [
            "train",
            "evaluate",
            "-f",
            fasta,
            "-a",
            gtf,
            "--run",
            str(tmp_path / "fm"),
            "--no-paralogs",
            "--json",
            "-",
        ],
    )
    assert refused.exit_code == 1 and "has_paralog" in refused.stderr
    core = CliRunner().invoke(
        main, ["train", "evaluate", "-f", fasta, "-a", gtf, "--run", str(lssi), "--json", "-"]
    )
    assert core.exit_code == 1 and "run of core sites" in core.stderr
    out = str(tmp_path / "bundle")
    made = CliRunner().invoke(
        main,
        [
            "train",
            "bundle",
            "--name",
            "mine",
            "--fm",
            str(tmp_path / "fm"),
            "--flank",
            "60",
            "-d",
            packed,
            "--evaluation",
            f"test={tmp_path / 'e.json'}",
            "-o",
            out,
        ],
    )
    assert made.exit_code == 0, made.stderr
    bundle = load_bundle(out)
    assert (bundle.name, bundle.kind, bundle.flank, bundle.rbps) == (
        "mine",
        "fm",
        60,
        ["AAA1", "BBB2"],
    )
    metrics = json.loads((tmp_path / "bundle" / "metrics.json").read_text())
    assert metrics["storage"]["largest_error"] < 0.02
    card = (tmp_path / "bundle" / "CARD.md").read_text()
    assert f"{numbers['topk_mean']:.1f}" in card
    model, _ = load_run(str(tmp_path / "fm"))
    x = toy.sequence(1, 700, seed=1)
    torch.testing.assert_close(bundle.models[0](x).exp(), model(x).exp(), atol=0.02, rtol=0)
    with pytest.raises(BundleError, match="no am model"):
        load_bundle(out + ":am")

    several = tmp_path / "several.json"
    several.write_text(json.dumps({"title A": numbers, "exons": dict(n=7, acceptors=3, donors=4)}))
    options = [
        "train",
        "bundle",
        "--name",
        "soft",
        "-d",
        packed,
        "--temperature",
        "2",
        "--evaluation",
        str(several),
        "-o",
        str(tmp_path / "soft"),
        "--fm",
        str(tmp_path / "fm"),
    ]
    assert CliRunner().invoke(main, options).exit_code == 0
    soft = load_bundle(str(tmp_path / "soft")).models[0]
    torch.testing.assert_close(
        soft(x), torch.log_softmax(bundle.models[0](x) / 2, 1), atol=1e-5, rtol=0
    )
    card = (tmp_path / "soft" / "CARD.md").read_text()
    assert "| title A | fm |" in card and "| exons | 7 | 3 | 4 |" in card

    slow = toml(tmp_path / "slow.toml", steps=1, **TINY | {"lr": 1e-12})
    train(
        "fm",
        slow,
        "-d",
        packed,
        "--lssi",
        lssi,
        "--start-from",
        f"{tmp_path / 'soft'}:fm",
        "-o",
        tmp_path / "on",
    )
    on, description = load_run(str(tmp_path / "on"))
    torch.testing.assert_close(on.aggregator.classes.weight, soft.aggregator.classes.weight)
    assert on.config.temperature == 1 and description["started_from"]["name"] == "soft:fm"
    nowhere = CliRunner().invoke(
        main,
        [
            "train",
            "fm",
            slow,
            "-d",
            packed,
            "--lssi",
            str(lssi),
            "--start-from",
            "nothing",
            "-o",
            str(tmp_path / "c"),
        ],
    )
    assert (
        nowhere.exit_code == 1
        and "neither the folder of a samvar train run nor a bundle" in nowhere.stderr
    )
    twice = CliRunner().invoke(main, [*options, "--fm", str(tmp_path / "fm")])
    assert twice.exit_code == 1 and "given twice" in twice.stderr
    untitled = CliRunner().invoke(main, [*options, "--evaluation", str(tmp_path / "e.json")])
    assert untitled.exit_code == 2 and "TITLE=FILE" in untitled.stderr
    several.write_text("[1]")
    no_results = CliRunner().invoke(main, options)
    assert no_results.exit_code == 1 and "holds no results" in no_results.stderr


def test_averaged_runs_are_one_finished_run(packed, lssi, tmp_path):
    recipe = toml(tmp_path / "r.toml", steps=4, **TINY)
    train("fm", recipe, "-d", packed, "--lssi", lssi, "-o", tmp_path / "start")
    for seed in (2, 3):
        recipe = toml(tmp_path / f"{seed}.toml", steps=4, seed=seed, **TINY)
        train(
            "fm",
            recipe,
            "-d",
            packed,
            "--lssi",
            lssi,
            "--start-from",
            tmp_path / "start",
            "-o",
            tmp_path / str(seed),
        )
    description = json.loads((tmp_path / "start" / "model.json").read_text())
    description["config"]["temperature"] = (
        2.5  # as in a bundle; a start is recognised by its shape alone
    )
    (tmp_path / "start" / "model.json").write_text(json.dumps(description))
    train(
        "fm",
        recipe,
        "-d",
        packed,
        "--lssi",
        lssi,
        "--start-from",
        tmp_path / "start",
        "-o",
        tmp_path / "4",
    )
    runs = [str(tmp_path / name) for name in "23"]
    options = ["train", "average", *runs, "-d", packed, "--threads", "1", "-o"]
    for out in ("mean", "again"):
        made = CliRunner().invoke(main, [*options, str(tmp_path / out)])
        assert made.exit_code == 0, made.stderr
    a, b, mean, again = (
        load_file(f"{tmp_path / d}/model.safetensors") for d in (*"23", "mean", "again")
    )
    weight = "aggregator.second.units.0.conv1.weight"
    assert not torch.equal(a[weight], b[weight])
    torch.testing.assert_close(mean[weight], (a[weight] + b[weight]) / 2)
    assert all(torch.equal(mean[k], again[k]) for k in mean) and mean["motifs.main.threshold"] > 0
    model, description = load_run(str(tmp_path / "mean"), "fm")
    assert [r["recipe"]["seed"] for r in description["averaged"]] == [2, 3]
    assert {r["started_from"]["name"] for r in description["averaged"]} == {"start"}
    assert model.motifs.main.norm.running_var.isfinite().all()
    made = CliRunner().invoke(
        main,
        [
            "train",
            "bundle",
            "--name",
            "mine",
            "--fm",
            str(tmp_path / "mean"),
            "-d",
            packed,
            "-o",
            str(tmp_path / "bundle"),
        ],
    )
    card = (tmp_path / "bundle" / "CARD.md").read_text()
    assert (
        made.exit_code == 0
        and "fm, one of 2 averaged at 0.1 |" in card
        and ", from start (" in card
    )
    for wrong in ([runs[0], runs[0]], [runs[0], lssi], [lssi]):
        refused = CliRunner().invoke(
            main, ["train", "average", *wrong, "-d", packed, "-o", str(tmp_path / "x")]
        )
        assert refused.exit_code == 1 and not (tmp_path / "x").exists()


def test_the_mean_of_runs_that_kept_their_norms_keeps_them(packed, lssi, tmp_path):
    recipe = toml(tmp_path / "r.toml", steps=4, **TINY)
    train("fm", recipe, "-d", packed, "--lssi", lssi, "-o", tmp_path / "start")
    for seed in (2, 3):
        recipe = toml(tmp_path / f"{seed}.toml", steps=4, seed=seed, keep_norms=True, **TINY)
        start = "--start-from", tmp_path / "start"
        train("fm", recipe, "-d", packed, "--lssi", lssi, *start, "-o", tmp_path / str(seed))
    runs = [str(tmp_path / name) for name in "23"]
    told = tmp_path / "3" / "model.json"
    told.write_text(json.dumps(json.loads(told.read_text()) | dict(soft_labels="a teacher's")))
    options = ["train", "average", *runs, "-d", packed, "--threads", "1"]
    made = CliRunner().invoke(main, [*options, "-o", str(tmp_path / "mean")])
    assert made.exit_code == 0, made.stderr
    names = ("start", *"23", "mean")
    start, a, b, mean = (load_file(f"{tmp_path / d}/model.safetensors") for d in names)
    averaged = json.loads((tmp_path / "mean" / "model.json").read_text())["averaged"]
    assert [run.get("soft_labels") for run in averaged] == [None, "a teacher's"]
    assert {run["started_from"]["name"] for run in averaged} == {"start"}
    statistics = [k for k in mean if "running_" in k]
    assert statistics and all(torch.equal(mean[k], start[k]) for k in statistics)
    threshold = "motifs.main.threshold"
    torch.testing.assert_close(mean[threshold], (a[threshold] + b[threshold]) / 2)
    weight = "aggregator.second.units.0.conv1.weight"
    assert not torch.equal(a[weight], b[weight])
    torch.testing.assert_close(mean[weight], (a[weight] + b[weight]) / 2)


def test_a_finished_run_has_the_norms_of_most_batches(data, packed, lssi, tmp_path):
    recipe = toml(tmp_path / "r.toml", steps=7, **TINY)
    train("fm", recipe, "-d", packed, "--lssi", lssi, "-o", tmp_path / "fm")
    model, _ = load_run(str(tmp_path / "fm"))
    r = load_recipe(recipe, SamRecipe)
    mixture = Mixture(r.batch_bases, r.windows, r.site_share)
    sampler = WindowSampler(data, "train", model.config.reach, mixture, r.seed)
    means = []
    for step in range(7):
        x = one_hot(torch.from_numpy(sampler.batch(step)[0]))
        known = x[..., 10:-10].sum(1, keepdim=True)
        means.append((model.motifs.fixed(x[..., 5:-5]) * known).sum((0, 2)) / known.sum())
    norm = model.motifs.main.norm
    torch.testing.assert_close(norm.running_mean, torch.stack(means).median(0).values)
    assert not torch.allclose(norm.running_mean, torch.stack(means).mean(0))


def test_a_run_may_keep_the_norms_of_its_start(packed, lssi, tmp_path):
    """All else moves, thresholds as slowly as the recipe says."""
    start = toml(tmp_path / "s.toml", steps=2, **TINY)
    train("am", start, "-d", packed, "--lssi", lssi, "-o", tmp_path / "start")
    kept = TINY | dict(keep_norms=True, steps=2, train_core=True)
    runs = {}
    for follow in (0.1, 1e-6):
        name = f"follow-{follow}"
        args = ["am", toml(tmp_path / f"{name}.toml", **kept, follow=follow), "-d", packed,
                "--start-from", tmp_path / "start", "-o", tmp_path / name]  # fmt: skip
        train(*args, "--minutes", 1e-9)
        train(*args, "--resume")
        runs[follow] = load_run(str(tmp_path / name))[0]
    before = load_run(str(tmp_path / "start"))[0]
    for model in runs.values():
        weights = zip(before.named_parameters(), model.parameters())
        assert not [name for (name, old), new in weights if torch.equal(old, new)]
        measured = [(old, new) for (name, old), new in zip(before.named_buffers(), model.buffers())
                    if "running" in name or "batches" in name]  # fmt: skip
        assert len(measured) > 10 and all(torch.equal(*pair) for pair in measured)
    moved = {f: (model.motifs.main.threshold - before.motifs.main.threshold).abs().item()
             for f, model in runs.items()}  # fmt: skip
    assert 0 < moved[1e-6] < 1e-4 < moved[0.1]
    recipe = SamRecipe(steps=1, keep_norms=True)
    with pytest.raises(RecipeError, match="keep_norms needs --start-from"):
        SamTask("am", Dataset.load(packed), recipe, torch.device("cpu"), str(lssi))
    shape = {key: tuple(v) if isinstance(v, list) else v for key, v in kept.items()}
    for other in (
        dict(channels=4),
        dict(candidates_each=True),
        dict(cnn_channels=4),
        dict(learnt_motifs=2),
        dict(branch_point=True),
    ):
        recipe = SamRecipe(**(shape | other))
        with pytest.raises(RecipeError, match=f"keep_norms needs {next(iter(other))} as the start"):
            start_from = str(tmp_path / "start")
            SamTask("am", Dataset.load(packed), recipe, torch.device("cpu"), start_from=start_from)
    fm = toml(tmp_path / "fm.toml", steps=1, **TINY)
    train("fm", fm, "-d", packed, "--lssi", lssi, "-o", tmp_path / "fm")
    with pytest.raises(RecipeError, match="keep_norms needs a start of the same kind"):
        of_fm = str(tmp_path / "fm")
        SamTask(
            "am", Dataset.load(packed), SamRecipe(**shape), torch.device("cpu"), start_from=of_fm
        )
    with pytest.raises(RecipeError, match="follow must lie between 0 and 1"):
        SamRecipe(steps=1, follow=0.0)


def test_training_imports_no_genomics_library():
    code = (
        "import sys, samvar.training.sam, samvar.training.lssi, samvar.training.loop\n"
        "assert not {'pysam', 'cyvcf2', 'pyfaidx'} & set(sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0
