"""The library: `samvar.load`, and what its Scorer says."""

import os
import pathlib
import pickle
import re
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from itertools import islice

import numpy as np
import pytest
import torch

import samvar
from samvar.annotate import annotate
from samvar.model.binding import BindingNet, BindingShape, save_binding
from samvar.scoring.attribution import PartKind

from . import toy

BASES = toy.random_bases(1500, seed=11)
OTHER = dict(zip("ACGT", "CGTA"))
POSITIONS = (850, 1100, 1010, 700)


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    folder = tmp_path_factory.mktemp("api")
    return (
        toy.fasta(folder / "g.fa", c=BASES),
        toy.gtf(folder / "g.gtf", ("G", "c", "-", [(501, 700), (801, 900), (1001, 1400)])),
        toy.bundle(folder),
    )


@pytest.fixture(scope="module")
def scorer(files):
    with samvar.load(*files, samvar.Options(rbp_min=0.0)) as scorer:
        yield scorer


def snv(pos, contig="c"):
    return contig, pos, BASES[pos - 1], OTHER[BASES[pos - 1]]


def digits(allele):
    return [
        (e.gene.id, e.deltas.named, [(c.delta, c.value, c.parts, c.residual) for c in e.causes])
        for e in allele.genes
    ]


def test_a_score_is_what_the_command_writes(scorer, files, tmp_path):
    from click.testing import CliRunner

    from samvar.cli import main

    path = toy.vcf(tmp_path / "x.vcf", snv(850))
    command = ["annotate", path, "-f", files[0], "-a", files[1], "--model", files[2]]
    line = CliRunner().invoke(main, command).stdout.splitlines()[-1]
    allele = scorer.score("chrc", *snv(850)[1:])
    (effect,) = allele.genes
    assert allele.status is samvar.Status.OK and f"SAMVAR_MAX={allele.max:.4f};" in line
    row = line.partition("SAMVAR=")[2].partition(";")[0].split("|")
    assert row[5:9] == [f"{d.value:.4f}" for d in effect.deltas.named]
    assert row[9:13] == [str(d.place.pos - 850) for d in effect.deltas.named]
    assert [d.name for d in effect.deltas.named] == ["AG", "AL", "DG", "DL"]
    assert sum(p.effect for p in effect.causes[0].parts) == pytest.approx(
        effect.causes[0].value, abs=0.06
    )


def test_what_cannot_be_scored_says_why(scorer):
    none = scorer.score(*snv(50))
    assert none.status is samvar.Status.NO_GENE and none.genes == () and none.max is None
    assert scorer.score("zz", 1, "A", "C").status is samvar.Status.NO_CONTIG
    assert scorer.explain(*snv(50)).status is samvar.Status.NO_GENE


@pytest.mark.parametrize(
    "pos", ["850", 850.0, True, np.bool_(True), None, 0, -5, b"850", np.array([850])]
)
def test_a_position_that_is_no_whole_number_is_an_error(scorer, pos):
    contig, _, ref, alt = snv(850)
    for ask in (scorer.score, scorer.explain):
        with pytest.raises(samvar.SamvarError, match="pos must be a whole number from 1 on, not "):
            ask(contig, pos, ref, alt)
    several = scorer.score_all([snv(850), (contig, pos, ref, alt)])
    with pytest.raises(samvar.SamvarError, match="whole number"):
        list(several)


def test_integers_of_other_kinds_are_positions(scorer):
    contig, pos, ref, alt = snv(850)
    for whole in (np.int64(pos), np.array([pos], np.uint32)[0]):
        assert digits(scorer.score(contig, whole, ref, alt)) == digits(scorer.score(*snv(850)))
        assert scorer.explain(np.str_(contig), whole, ref, alt).pos == pos


@pytest.mark.parametrize("which, name", [(0, "contig"), (2, "ref"), (3, "alt")])
@pytest.mark.parametrize("value", [None, 7, b"A", ["A"]])
def test_names_and_bases_must_be_text(scorer, which, name, value):
    allele = list(snv(850))
    allele[which] = value
    with pytest.raises(samvar.SamvarError, match=f"{name} must be a str, not "):
        scorer.score(*allele)
    with pytest.raises(samvar.SamvarError, match="give contig, pos, ref and alt"):
        list(scorer.score_all([allele[:3]]))


def test_many_at_once_come_in_order_and_are_the_same(scorer):
    alone = [scorer.score(*snv(pos)) for pos in POSITIONS]
    together = list(scorer.score_all(snv(pos) for pos in POSITIONS))
    assert [digits(a) for a in alone] == [digits(a) for a in together]
    with ThreadPoolExecutor(4) as threads:
        found = list(threads.map(lambda pos: scorer.score(*snv(pos)), POSITIONS))
    assert [digits(a) for a in found] == [digits(a) for a in alone]


def test_a_stream_without_end_is_read_piece_by_piece(scorer, monkeypatch):
    monkeypatch.setattr("samvar.annotate.CHUNK", 2)

    def endless():
        while True:
            yield snv(850)

    assert [a.status for a in islice(scorer.score_all(endless()), 5)] == [samvar.Status.OK] * 5


def test_an_explanation_has_the_same_deltas_and_knock_outs(scorer):
    explained, scored = scorer.explain(*snv(850)), scorer.score(*snv(850))
    (view,), (effect,) = explained.genes, scored.genes
    assert view.deltas.named == effect.deltas.named
    assert all(
        p.knockout is not None for c in view.causes for p in c.parts if p.kind is PartKind.MOTIF
    )
    assert view.ref.probability.shape == view.alt.probability.shape == (2, 101)


@pytest.mark.slow
def test_results_travel_to_another_process(scorer, files, tmp_path):
    """Also where the FASTA is not."""
    results = scorer.score(*snv(850)), scorer.explain(*snv(850))
    content = pickle.dumps(results)
    assert len(content) < 60_000
    allele, explained = pickle.loads(content)
    assert digits(allele) == digits(results[0]) and explained.title == results[1].title
    assert allele.genes[0].window.genome.lengths == {"c": 1500}  # opened again
    (tmp_path / "r.pickle").write_bytes(content.replace(b"g.fa", b"x.fa"))
    read = (
        "import pickle; a, e = pickle.load(open('r.pickle', 'rb'));"
        "print(a.status.name, a.max, e.genes[0].gene.symbol)"
    )
    said = subprocess.run(
        [sys.executable, "-c", read], cwd=tmp_path, capture_output=True, text=True
    )
    assert said.stdout.split() == ["OK", str(results[0].max), "G"], said.stderr


@pytest.fixture(scope="module")
def asked(tmp_path_factory):
    """A model of binding that knows AAA1, of random weights, and a peak of it about G."""
    folder = tmp_path_factory.mktemp("asked")
    torch.manual_seed(0)
    shape = BindingShape(channels=4, region_channels=2, hidden=4)
    net = BindingNet(1, shape).eval()
    save_binding(str(folder), net, ("AAA1",), dict(kind="binding", step=1, steps=1))
    (folder / "peaks.bed").write_text("c\t500\t1400\tAAA1_K562\t0\t-\n")
    return dict(binding=str(folder), peaks=str(folder / "peaks.bed"))


def test_second_opinions_are_those_of_the_command(files, scorer, asked, tmp_path):
    from click.testing import CliRunner

    from samvar.cli import main

    options = samvar.Options(rbp_min=0.0)
    with samvar.load(*files, options, **asked) as asking:
        (effect,) = asking.score(*snv(1010)).genes
        told = asking.told(effect)
        (view,) = asking.explain(*snv(1010)).genes
    shown = [p for c in effect.causes for p in c.rows(options.rbp_max)]
    (site,) = (p for p in shown if p.rbp == "AAA1")
    core = next(p for p in shown if p.rbp == "LSSI_A")
    assert told.on(site).binding and told.on(site).peak == ["K562"]
    assert told.on(core) == (None, None) and view.told.on(site) == told.on(site)
    assert scorer.told(effect).on(site) == (None, None) and scorer.told(effect).columns == ()
    path = toy.vcf(tmp_path / "x.vcf", snv(1010))
    command = ["annotate", path, "-f", files[0], "-a", files[1], "--model", files[2]]
    more = ["--rbp-min", "0", "--binding", asked["binding"], "--peaks", asked["peaks"]]
    line = CliRunner().invoke(main, [*command, *more]).stdout.splitlines()[-1]
    (rows,) = re.findall(r"SAMVAR_RBP=(\S*)", line)
    (row,) = (r.split("|") for r in rows.split(",") if "|AAA1|" in r)
    assert row[9:] == told.cells(site) and row[10] == "K562"


def test_no_opinions_are_told_of_what_is_looked_up(scorer):
    with pytest.raises(samvar.SamvarError, match="BIND and PEAK can't be told"):
        annotate(
            None,
            None,
            scorer.genome,
            scorer.annotation,
            scorer.predictor,
            scores=object(),
            opinions=object(),
        )


def test_the_wrong_files_are_named(files, tmp_path):
    with pytest.raises(samvar.SamvarError, match="share no contig"):
        samvar.load(toy.fasta(tmp_path / "o.fa", other=BASES), files[1], files[2])
    with pytest.raises(samvar.SamvarError, match="no weight bundle"):
        samvar.load(files[0], files[1], "nonesuch")


def test_files_may_be_paths(files):
    with samvar.load(*map(pathlib.Path, files)) as scorer:
        assert scorer.score(*snv(850)).status is samvar.Status.OK


def test_what_load_cannot_use_is_told_at_once(files):
    with pytest.raises(samvar.SamvarError, match=r"options must be samvar.Options.*'distance': 50"):
        samvar.load(*files, options={"distance": 50})
    with pytest.raises(samvar.SamvarError, match="threads is 0: it must be 1 or more"):
        samvar.load(*files, threads=0)


def test_a_scorer_that_is_closed_says_so(files):
    with samvar.load(*files) as scorer:
        pass
    for ask in (scorer.score, scorer.explain):
        with pytest.raises(samvar.SamvarError, match="closed"):
            ask(*snv(850))


def test_options_reach_the_models(files):
    with samvar.load(*files, samvar.Options(distance=9, rbp_min=np.inf)) as scorer:
        (effect,) = scorer.score(*snv(850)).genes
    assert effect.window.end - effect.window.start == 19 and effect.causes == ()


@pytest.mark.slow
def test_torch_is_imported_when_it_is_needed():
    look = "import sys, samvar, samvar.cli; print('torch' in sys.modules, 'numpy' in sys.modules);"
    look += "samvar.load; print('torch' in sys.modules)"
    said = subprocess.run([sys.executable, "-c", look], capture_output=True, text=True)
    assert said.stdout.split() == ["False", "False", "True"], said.stderr


def test_the_names_of_the_library_are_there():
    assert set(samvar.__all__) <= set(dir(samvar))
    assert all(getattr(samvar, name).__doc__ for name in samvar.__all__)
    with pytest.raises(AttributeError, match="no attribute 'nonesuch'"):
        _ = samvar.nonesuch


def test_the_readme_says_what_it_does(monkeypatch, capsys):
    root = os.path.join(os.path.dirname(__file__), "..")
    monkeypatch.chdir(root)
    with open("README.md") as f:
        (block,) = re.findall(r"```python\n(.*?)```", f.read(), re.S)
    exec(block, {})
    said = capsys.readouterr().out.splitlines()
    promised = re.findall(r"print\(.*\)  # (.*)", block)
    assert len(promised) == 2 and [said[0], said[2]] == promised
    assert "('AL', 0.2167, 3563)" in said[1]
