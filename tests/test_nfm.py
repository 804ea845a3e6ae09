"""Neural motifs from bound reads: the formats of reads, what is made of them by hand, and made-up
reads with a planted motif and without."""

import gzip
import importlib.util
import math
import os

import numpy as np
import pytest
import torch
import torch.nn as nn
from click.testing import CliRunner

from samvar.cli import main
from samvar.errors import DatasetError, RecipeError
from samvar.formats.reads import Reads, read_reads
from samvar.genomics.genome import decode, encode
from samvar.model.nfm import START, NeuralMotif
from samvar.model.sam import one_hot
from samvar.training.checkpoint import load_run
from samvar.training.motifs import read_folders
from samvar.training.nfm import NfmTask, affinities, kmer_shares, parts_of, predict, together
from samvar.training.recipe import NfmRecipe, load_recipe, recipe_from

CPU = torch.device("cpu")
PAGE = os.path.join(os.path.dirname(__file__), "..", "train", "reads")

FASTQ = "@r1\nACGT\n+\nIIII\n\n@r2\nggN\n+r2\n@@@\n@r3\nUU\n+\nII\n"
FASTA = ">r1\nAC\nGT\n\n>r2 text\nggN\n>r3\nUU\n"
LINES = "ACGT\nggN\n\nUU\n"


@pytest.mark.parametrize("text", [FASTQ, FASTA, LINES, LINES.replace("\n", "\r\n")])
@pytest.mark.parametrize("name", ["r.txt", "r.gz"])
def test_reads_are_read(tmp_path, text, name):
    path = tmp_path / name
    path.write_bytes(gzip.compress(text.encode()) if name.endswith("gz") else text.encode())
    found = read_reads(str(path), 10)
    assert [decode(own) for own in found.codes] == ["ACGT", "GGNN", "TTNN"] and len(found) == 3
    assert [decode(own) for own in read_reads(str(path), 1).codes] == ["ACGT"]


@pytest.mark.parametrize(
    "text, message",
    [
        ("", "holds no read"),
        ("\n\n", "holds no read"),
        ("ACGT\nACXT\n", "line 2: 'ACXT' is no sequence"),
        (">r1\n>r2\nAC\n", "line 1: '' is no sequence"),
        ("@r1\nAC\n+\n", "line 1: no FASTQ record"),
        ("@r1\nAC\nAC\nII\n", "line 1: no FASTQ record"),
        ("@r1\nAC\n+\nII\nr2\nAC\n+\nII\n", "line 5: no FASTQ record"),
    ],
)
def test_faults_have_file_and_line(tmp_path, text, message):
    path = tmp_path / "r.txt"
    path.write_text(text)
    with pytest.raises(DatasetError, match=f"r.txt.*{message}"):
        read_reads(str(path), 10)
    with pytest.raises(DatasetError, match="cannot read reads"):
        read_reads(str(tmp_path / "none.txt"), 10)


def by_hand(**columns):
    """A motif whose site has, at these places of the frame (`at3`), log-affinities of A C G T."""
    model = NeuralMotif(1)
    model.site = nn.Conv1d(4, 1, 11)
    with torch.no_grad():
        model.site.weight.zero_()
        model.site.bias.fill_(-START)
        for place, own in columns.items():
            model.site.weight[0, :, int(place[2:])] = torch.tensor(own).log()
    return model.eval()


def test_affinities_of_all_sites_of_a_read_add_up():
    """A base has affinity 1, a G 5: 1 of what is not specific and 1 + 5 + 5; N has none."""
    model = by_hand(at5=[1.0, 1, 5, 1])
    codes = np.stack([encode(s) for s in ("AGGN", "NNNN")])
    assert predict(model, codes, CPU) == pytest.approx([math.log(12), 0], abs=1e-5)
    with torch.no_grad():
        sites = model.sites(one_hot(torch.from_numpy(codes)))
    assert sites[0, :3].exp().tolist() == pytest.approx([1, 5, 5], rel=1e-5)
    assert torch.isneginf(sites[0, 3]) and torch.isneginf(sites[1]).all()


def test_substitutions_of_the_strongest_site_are_its_psam():
    """Columns 3 and 5 tell something, the one between nothing, and 9 less than LEAST."""
    first, second, vague = [0.1, 0.2, 0.02, 1.0], [0.01, 1.0, 0.05, 0.5], [1.0, 0.9, 0.8, 0.7]
    model = by_hand(at3=first, at5=second, at9=vague)
    reads = np.random.default_rng(0).integers(0, 4, (3, 20)).astype(np.uint8)
    found = affinities(model, reads, CPU)
    assert found == pytest.approx(np.array([first, [1.0] * 4, second]), rel=1e-4)
    assert affinities(by_hand(), reads, CPU) == pytest.approx(np.ones((11, 4)))


def test_equal_reads_are_in_one_part():
    codes = np.random.default_rng(0).integers(0, 4, (300, 12)).astype(np.uint8)
    found = parts_of(np.concatenate([codes, codes[::-1]]), NfmRecipe(steps=1, held_out=0.2))
    assert (found[:300] == found[300:][::-1]).all()
    assert np.bincount(found[:300]) == pytest.approx([180, 60, 60], abs=25)
    longer = together(codes, codes[:, :10])
    assert longer.shape == (600, 12) and (longer[300:, 10:] == 4).all()


def test_shares_of_kmers_by_hand():
    """AC, CA and AC; one more of each of 16."""
    found = kmer_shares(encode("ACACN")[None], 2)
    assert found[[1, 4, 0]] * 19 == pytest.approx([3, 2, 1]) and found.sum() == pytest.approx(1)


def test_what_cannot_be_trained_is_refused(tmp_path):
    with pytest.raises(RecipeError, match="held_out must lie"):
        recipe_from(dict(steps=1, held_out=0.5), NfmRecipe)
    assert load_recipe(os.path.join(PAGE, "rbns.toml"), NfmRecipe).channels == 32

    def task(n, length):
        codes = np.random.default_rng(0).integers(0, 4, (2 * n, length)).astype(np.uint8)
        reads = (Reads("r", "", own) for own in (codes[:n], codes[n:]))
        return NfmTask(*reads, NfmRecipe(steps=1), CPU)

    with pytest.raises(DatasetError, match="fewer than 11 bases"):
        task(100, 10)
    with pytest.raises(DatasetError, match="too few reads"):
        task(2, 11)
    assert task(100, 11).train.sum() > 100
    reads = tmp_path / "r.txt"
    reads.write_text("ACGT\n")
    said = train(tmp_path / "x", reads, reads, "--name", "A/B", code=2)
    assert "--name A/B: letters" in said and not (tmp_path / "x").exists()
    assert "fewer than 11 bases" in train(tmp_path / "x", reads, reads, code=1)


@pytest.fixture(scope="module")
def made_up(tmp_path_factory):
    """The reads of the page."""
    folder = tmp_path_factory.mktemp("reads")
    spec = importlib.util.spec_from_file_location("made_up", os.path.join(PAGE, "made_up.py"))
    script = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(script)
    script.write(str(folder))
    return folder


def train(out, bound, inputs, *more, code=0):
    """With the recipe of the page."""
    args = ["train", "nfm", os.path.join(PAGE, "made_up.toml"), "--bound", bound, "--input", inputs]
    result = CliRunner().invoke(main, [*map(str, [*args, "-o", out, "--threads", 1, *more])])
    assert result.exit_code == code, result.stderr
    return result.stderr


def tsv(path):
    head, *rows = (line.split("\t") for line in path.read_text().splitlines())
    return [dict(zip(head, row)) for row in rows]


@pytest.mark.slow
def test_a_planted_motif_is_found_and_without_one_nothing(made_up, tmp_path):
    """A half of the reads has the motif: the area can be 0.75 or a little more. One in four of
    these has one of the three other bases before GCAUG: these are bound 1/9 as well as U."""
    bound, none, inputs = (made_up / f"{name}.fastq.gz" for name in ("fox", "none", "input"))
    out = tmp_path / "fox"
    train(out, bound, inputs, "--name", "FOX", "--motifs", tmp_path / "m.svg")
    (row,) = tsv(out / "results.tsv")
    assert 0.72 < float(row["AUROC"]) < 0.78 and "UGCAUG" in row["CONSENSUS"]
    assert tsv(out / "kmers.tsv")[0]["KMER"] == row["TOP"] == "UGCAUG"
    (motif,) = read_folders([str(out / "motifs")])
    psam = motif.psams[0]
    assert motif.name == "FOX" and "".join("ACGU"[i] for i in psam.argmax(1)[3:9]) == "UGCAUG"
    assert psam[3, :3] == pytest.approx(1 / 9, abs=0.07) and psam[[0, 1, 2, 9, 10]].min() == 1
    assert np.sort(psam[4:9], 1)[:, :3].max() < 0.05
    assert "FOX (" in (tmp_path / "m.svg").read_text()
    with pytest.raises(RecipeError, match="prepare --motifs"):
        load_run(str(out))

    parts = tmp_path / "parts"
    said = train(parts, bound, inputs, "--name", "FOX", "--minutes", 1e-9)
    assert "go on with --resume" in said and not (parts / "results.tsv").exists()
    train(parts, bound, inputs, "--name", "FOX", "--resume")
    for name in ("model.safetensors", "results.tsv", "kmers.tsv", "motifs/FOX.txt"):
        assert (parts / name).read_bytes() == (out / name).read_bytes()

    said = train(tmp_path / "none", none, inputs)
    (row,) = tsv(tmp_path / "none" / "results.tsv")
    assert "no motif" in said and float(row["LOW"]) < 0.5 < float(row["HIGH"])
    assert row["CONSENSUS"] == "." and not (tmp_path / "none" / "motifs").exists()


def test_the_page_says_what_the_results_say():
    with open(os.path.join(PAGE, "README.md")) as handle:
        page = handle.read()
    for name in ("FOX", "NONE"):
        with open(os.path.join(PAGE, "results", f"{name}.results.tsv")) as handle:
            head, cells = (line.rstrip("\n").split("\t") for line in handle)
        row = dict(zip(head, cells))
        with open(os.path.join(PAGE, "results", f"{name}.kmers.tsv")) as handle:
            first = handle.read().splitlines()[1].split("\t")
        area = "{:.3f} ({:.3f} to {:.3f})".format(
            *(float(row[k]) for k in ("AUROC", "LOW", "HIGH"))
        )
        assert (
            f"| {name} | {area} | `{first[1]}` {float(first[2]):.2f}, {float(first[4]):.2f} |"
            in page
        )
    with open(os.path.join(PAGE, "results", "FOX.txt")) as handle:
        assert all(f"{float(v):.2f}" in page for v in handle.read().splitlines()[2].split()[:3])
