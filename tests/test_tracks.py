"""`samvar precompute --bed` and `--bigwig`: site probabilities of the reference."""

import os
import sys

import numpy as np
import pytest
import torch
from click.testing import CliRunner

from samvar.annotate import Options
from samvar.cli import main
from samvar.formats.annotation import load_annotation
from samvar.genomics.genome import Genome
from samvar.model.bundle import load_bundle
from samvar.model.sam import one_hot
from samvar.precompute import Place, places
from samvar.scoring.predictor import Predictor
from samvar.views import tracks

from . import toy

BASES = toy.random_bases(700, seed=5)


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    folder = tmp_path_factory.mktemp("tracks")
    genes = toy.gtf(
        folder / "g.gtf",
        ("F", "2", "+", [(201, 290), (341, 420)]),
        ("G", "2", "+", [(401, 500)]),
        ("B", "2", "-", [(281, 330), (381, 560)]),
    )
    fasta = toy.fasta(folder / "g.fa", chr2=BASES, chr10=BASES)
    return fasta, genes, toy.bundle(folder, seeds=(0, 1))


@pytest.fixture(scope="module")
def setting(files):
    with Predictor(load_bundle(files[2])) as predictor:
        yield Genome(files[0]), load_annotation(files[1]), predictor


def plain(predictor, start, end, strand, first, last):
    """(2, last - first) by the whole model, of a gene [start, end)."""
    inside = "N" * 200 + "".join(
        b if start <= i < end else "N" for i, b in enumerate(BASES)
    ) + "N" * 200  # fmt: skip
    flank, (before, after) = predictor.bundle.flank, predictor.reach
    if strand == "-":
        before, after = after, before
    piece = inside[200 + first - flank - before : 200 + last + flank + after]
    piece = piece if strand == "+" else toy.revcomp(piece)
    codes = torch.tensor([["ACGTN".index(b) for b in piece]])
    with torch.no_grad():
        p = np.mean([m(one_hot(codes))[0, 1:].exp().numpy() for m in predictor.bundle.models], 0)
    p = p if strand == "+" else p[:, ::-1]
    return p[:, flank : p.shape[1] - flank]


@pytest.fixture
def short(monkeypatch):
    monkeypatch.setattr(tracks, "STEP", 100)


def test_probabilities_are_those_of_the_genes_of_each_strand(setting, short):
    genome, genes, predictor = setting
    place = Place("chr2", 350, 500)
    found = list(tracks.site_probabilities(genome, genes, predictor, [place], Options()))
    assert [f.place for f in found] == [Place("chr2", 350, 400), Place("chr2", 400, 500)]
    backward = plain(predictor, 280, 560, "-", 400, 500)
    np.testing.assert_allclose(found[1].of["-"], backward, atol=1e-4)
    forward = plain(predictor, 400, 500, "+", 400, 500)
    forward[:, :20] = np.maximum(forward[:, :20], plain(predictor, 200, 420, "+", 400, 420))
    np.testing.assert_allclose(found[1].of["+"], forward, atol=1e-4)
    assert found[1].of["+"].max() > 0.01


def test_no_digit_depends_on_what_is_asked_for(setting, short):
    genome, genes, predictor = setting

    def of(start, end):
        place = Place("chr2", start, end)
        found = tracks.site_probabilities(genome, genes, predictor, [place], Options())
        return np.concatenate([np.concatenate([f.of["+"], f.of["-"]]) for f in found], 1)

    assert np.array_equal(of(330, 470)[:, 20:60], of(350, 390))


def test_bases_outside_genes_have_none(setting, short):
    genome, genes, predictor = setting
    (whole,) = places(genome, genes, Options())
    found = list(tracks.site_probabilities(genome, genes, predictor, [whole], Options()))
    first, last = found[0], found[-1]
    assert first.place == Place("chr2", 199, 200) and last.place == Place("chr2", 500, 560)
    assert not any(p.any() for p in first.of.values())
    assert not last.of["+"].any() and last.of["-"].any()


def test_bed_lists_sites_and_bigwig_every_base(setting, files, tmp_path, short, monkeypatch):
    pyBigWig = pytest.importorskip("pyBigWig")
    monkeypatch.setattr(tracks, "SEEN", 0.02)
    fasta, genes, bundle = files
    bed, name = tmp_path / "s.bed", tmp_path / "s"
    inputs = ["-f", fasta, "-a", genes, "--model", bundle, "--allow-annotation-mismatch"]
    command = ["precompute", *inputs, "--bed", str(bed), "--bigwig", str(name)]
    result = CliRunner().invoke(main, command)
    assert result.exit_code == 0, result.output
    assert sorted(os.listdir(tmp_path)) == [
        "s.acceptor.minus.bw",
        "s.acceptor.plus.bw",
        "s.bed",
        "s.donor.minus.bw",
        "s.donor.plus.bw",
    ]
    genome, annotation, predictor = setting
    whole = places(genome, annotation, Options())
    found = list(tracks.site_probabilities(genome, annotation, predictor, whole, Options()))
    expected = []
    for strand, suffix in (("+", "plus"), ("-", "minus")):
        for kind, site in enumerate(("acceptor", "donor")):
            p = np.concatenate([f.of[strand][kind] for f in found])
            own = {199 + i: float(v) for i, v in enumerate(p) if v}
            with pyBigWig.open(f"{name}.{site}.{suffix}.bw") as track:
                assert track.chroms()["chr2"] == len(BASES)
                intervals = track.intervals("chr2") or ()
            assert {a: v for a, _, v in intervals} == pytest.approx(own)
            listed = [(at, v) for at, v in own.items() if v >= 0.02]
            expected += [(at, site, f"{1000 * v:.0f}", strand) for at, v in listed]
    lines = [line.split("\t") for line in bed.read_text().splitlines()]
    assert all(int(f[2]) == int(f[1]) + 1 and f[0] == "chr2" for f in lines)
    assert [int(f[1]) for f in lines] == sorted(int(f[1]) for f in lines) and lines
    assert sorted((int(f[1]), f[3], f[4], f[5]) for f in lines) == sorted(expected)


def test_a_missing_library_is_named_before_any_work(files, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "pyBigWig", None)
    command = ["precompute", "-f", files[0], "-a", files[1], "--bigwig", str(tmp_path / "s")]
    result = CliRunner().invoke(main, command)
    assert result.exit_code == 1 and "pip install 'samvar[bigwig]'" in result.stderr
    assert not os.listdir(tmp_path)


def test_without_an_output_there_is_nothing_to_do(files):
    result = CliRunner().invoke(main, ["precompute", "-f", files[0], "-a", files[1]])
    assert result.exit_code == 2 and "give -o, --bed or --bigwig" in result.stderr
