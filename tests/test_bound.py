"""What motifs learn from binding in cells: bins, batches, and what a motif misses."""

import importlib
import os
import sys
from dataclasses import replace

import numpy as np
import pytest
import torch
from click.testing import CliRunner

from samvar.cli import main
from samvar.errors import DatasetError, RecipeError
from samvar.formats.peaks import Peak, Peaks
from samvar.genomics.genes import Annotation, Gene, Transcript
from samvar.genomics.genome import Genome, decode, reverse_complement
from samvar.model.bundle import load_bundle
from samvar.model.sam import MOTIF_REACH, one_hot
from samvar.training import prepare_bound
from samvar.training.ahead import Ahead
from samvar.training.bound import (
    BoundBins,
    BoundSampler,
    learnt_of_binding,
    missed_binding,
)
from samvar.training.checkpoint import load_run
from samvar.training.dataset import Dataset
from samvar.training.prepare_bound import BIN, STRATA, bound_bins, strata
from samvar.training.recipe import SamRecipe
from samvar.training.sam import SamTask

from . import toy
from .test_training import (  # noqa: F401
    TINY,
    data,
    lssi,
    packed,
    source,
    toml,
    train,
)

pytestmark = pytest.mark.slow

PROTEINS = {"A": ("A", "A2"), "B": ("B",)}


def gene(start, end, strand="+", symbol="G", contig="c"):
    exons = ((start, start + 200), (end - 200, end))
    transcript = Transcript(symbol, exons, start + 5, end - 5)
    return Gene(symbol, symbol, contig, strand, start, end, (transcript,), contig)


@pytest.fixture
def genome(tmp_path):
    rng = np.random.default_rng(3)
    with open(tmp_path / "g.fa", "w") as handle:
        for name in ("c", "d"):
            handle.write(f">{name}\n{''.join(rng.choice(list('ACGT'), 9000))}\n")
    return Genome(str(tmp_path / "g.fa"))


def annotation(*genes):
    return Annotation(list(genes))


def test_strata_are_place_and_share_of_g_and_c():
    own = gene(0, 3000)
    codes = np.zeros(3000, np.uint8)
    codes[1300:1700] = 1
    found = strata(own, codes)
    place, gc = np.divmod(found, len(prepare_bound.GC) + 1)
    ends = {place[at] for at in (0, 199)}, {place[at] for at in (200, 249)}, {place[250]}
    assert ends == ({0}, {1}, {2})
    assert place[299] == 2 and place[300] == 3 and place[400] == 4 and place[700] == 5
    assert (place == place[::-1]).all()
    assert gc[0] == 0 and gc[1500] == len(prepare_bound.GC) and found.max() < STRATA


@pytest.mark.parametrize("strand", ["+", "-"])
def test_bins_are_bound_or_controls_of_their_stratum(genome, strand, monkeypatch):
    """Two genes with peaks of A; of the second A2 binds, which is the same motif."""
    monkeypatch.setattr(prepare_bound, "LEAST_BOUND", 1)
    genes = gene(1000, 5000, strand), gene(1000, 5000, strand, "H", "d")

    def peak(contig, start, end, protein):  # in transcript orientation
        span = (1000 + start, 1000 + end) if strand == "+" else (5000 - end, 5000 - start)
        return Peak(contig, *span, strand, protein, "x")

    # With 50 bases more at its 5' end the first holds bins 40 to 42, and touches 43
    peaks = Peaks(
        [peak("c", 2050, 2160, "A"), peak("d", 2050, 2150, "A2"), peak("c", 1050, 1060, "B")]
    )
    found = bound_bins(genome, annotation(*genes), peaks, PROTEINS)
    assert found.names == ("A", "B") and found.codes.shape[1] == BIN + 2 * MOTIF_REACH
    assert found.counts() == {"A": 6, "B": 1}
    place = {}
    for g in genes:
        codes = genome.codes(g.contig, 1000, 5000)
        text = decode(codes if strand == "+" else reverse_complement(codes))
        of_base = strata(g, codes)
        of_base = of_base if strand == "+" else of_base[::-1]
        for b in range(80):
            place[text[b * BIN : (b + 1) * BIN]] = g.contig, b, of_base[b * BIN + BIN // 2]
    seen = {"A": set(), "B": set()}
    for codes, motif, stratum, bound in zip(found.codes, found.motif, found.stratum, found.bound):
        contig, b, expected = place[decode(codes[MOTIF_REACH:-MOTIF_REACH])]
        assert stratum == expected
        name = found.names[motif]
        inside = {"A": (40, 41, 42), "B": (20,)}[name]
        assert bound == (b in inside)
        assert (name, contig, b) not in {("A", "c", 43), ("B", "c", 21)}
        if name == "B":
            assert contig == "c"  # the other gene may not be transcribed where B was looked for
        seen[name].add((contig, b))
    for m in range(len(found.names)):  # each bound bin has controls, not too many
        own = found.motif == m
        assert set(found.stratum[own & found.bound]) == set(found.stratum[own & ~found.bound])
        assert (own & ~found.bound).sum() <= 4 * (own & found.bound).sum()
    assert len({c for c, _ in seen["A"]}) == 2


def test_contigs_and_genes_that_are_left_out(genome, monkeypatch):
    monkeypatch.setattr(prepare_bound, "LEAST_BOUND", 1)
    both = annotation(gene(1000, 5000), gene(1000, 5000, "+", "H", "d"))
    peaks = Peaks([Peak(c, 2050, 2160, "+", "A", "x") for c in "cd"])
    bound = lambda **more: bound_bins(genome, both, peaks, PROTEINS, **more).counts()["A"]  # noqa: E731
    assert bound() == 6 and bound(contigs=["chrd"]) == 3 and bound(symbols=["H"]) == 3
    assert bound(contigs=["chrd"], only=True) == 3
    with pytest.raises(DatasetError, match="no peak"):
        bound(contigs=["c", "d"])
    monkeypatch.setattr(prepare_bound, "LEAST_BOUND", 7)
    with pytest.raises(DatasetError, match="no motif has 7 bound bins"):
        bound()


def planted(n=200, seed=0, names=("AAA1", "BBB2")):
    """Bins that are bound by the first motif where they hold a run of A, the second's at random."""
    rng = np.random.default_rng(seed)
    codes = rng.integers(0, 4, (4 * n, BIN + 2 * MOTIF_REACH)).astype(np.uint8)
    codes[:n, 25:40] = 0
    motif, stratum = np.repeat([0, 1], 2 * n), np.tile(np.repeat([3, 7], n // 2), 4)
    bound = np.tile(np.repeat([True, False], n), 2)
    order = np.lexsort((~bound, stratum, motif))
    columns = (column[order] for column in (codes, motif, stratum, bound))
    return BoundBins(
        *columns, names=tuple(names), meta=dict(peaks=f"{seed}abc", left_out=["chr1", "chr5"])
    )


def test_bins_come_back_and_batches_are_pairs_of_a_stratum(tmp_path):
    bins, path = planted(), str(tmp_path / "b.npz")
    bins.save(path)
    again = BoundBins.load(path)
    for column in ("codes", "motif", "stratum", "bound"):
        assert (getattr(again, column) == getattr(bins, column)).all()
    assert (again.names, again.meta, again.counts()) == (bins.names, bins.meta, bins.counts())
    sampler = BoundSampler(path, ["CCC3", "BBB2", "AAA1"], 5, 1, 0)
    of = {codes.tobytes(): row for row, codes in enumerate(bins.codes)}
    batch = sampler.batch(3)
    assert batch.motif.tolist() == [2] * 5 + [1] * 5
    rows = np.array([of[codes.tobytes()] for codes in batch.codes])
    bound, control = rows[:10], rows[10:]
    assert bins.bound[bound].all() and not bins.bound[control].any()
    assert (bins.motif[bound] == bins.motif[control]).all()
    assert (bins.stratum[bound] == bins.stratum[control]).all()
    assert (sampler.batch(3).codes == batch.codes).all()
    assert (sampler.batch(4).codes != batch.codes).any()
    with pytest.raises(DatasetError, match="has motifs that the dataset has not: AAA1"):
        BoundSampler(path, ["BBB2"], 5, 1, 0)
    (tmp_path / "empty.npz").write_bytes(b"")
    (tmp_path / "cut.npz").write_bytes((tmp_path / "b.npz").read_bytes()[:200])
    for damaged in (__file__, tmp_path / "empty.npz", tmp_path / "cut.npz"):
        with pytest.raises(DatasetError, match="holds no bound bins"):
            BoundBins.load(str(damaged))


def test_what_several_models_have_learnt_of_binding():
    one, other = (dict(peaks=p, left_out=c) for p, c in (("a", ["1", "3"]), ("b", ["3", "5"])))
    assert learnt_of_binding(None, None) is None
    assert learnt_of_binding(None, one) == one
    assert learnt_of_binding(one, other) == dict(peaks="a", left_out=["3"])


@pytest.mark.parametrize("each", [False, True])
def test_candidates_above_the_threshold_are_the_sites(each):
    model = toy.model(candidates_each=each, least_share=0.2 * each, faint_candidates=1.0 * each)
    x = toy.sequence(3, 120, 1)
    with torch.no_grad():
        above, chosen = model.motifs.above(x)
        assert torch.equal(above.clamp(min=0) * chosen, model.motifs(x))
    assert (above * chosen > 0).any() and (above * chosen < 0).any()


def test_what_is_missed_is_log_2_without_a_difference_and_falls_with_sites_in_bound_bins():
    model = toy.model()
    x = toy.sequence(40, BIN + 2 * MOTIF_REACH, 1)
    motif = torch.arange(40) % 3
    state = {k: v.clone() for k, v in model.state_dict().items()}
    model.train()
    both = torch.cat((x, x))
    assert missed_binding(model.motifs, both, motif).item() == pytest.approx(np.log(2), abs=1e-5)
    assert model.motifs.training
    assert all(torch.equal(v, state[k]) for k, v in model.state_dict().items())
    empty = torch.cat((x, torch.zeros_like(x)))  # nothing is known: no site
    assert missed_binding(model.motifs, empty, motif) < 0.2
    assert missed_binding(model.motifs, torch.cat(empty.chunk(2)[::-1]), motif) > 1
    missed_binding(model.motifs, both, motif).backward()
    assert model.motifs.adjust.leave.weight.grad.abs().sum() > 0


def test_motifs_learn_where_they_are_bound(packed, lssi, tmp_path):  # noqa: F811
    """A resumed run is the same, and a card says what was learnt from."""
    planted().save(str(tmp_path / "b.npz"))
    recipe = toml(
        tmp_path / "r.toml",
        **(TINY | dict(steps=100, validate_every=100, checkpoint_every=50, lr=1e-2)),
        bound_weight=300.0,
        bound_pairs=40,
        candidates=10.0,
    )
    args = ["am", recipe, "-d", packed, "--lssi", lssi, "--bound", tmp_path / "b.npz"]
    train(*args, "-o", tmp_path / "once")
    train(*args, "-o", tmp_path / "twice", "--minutes", 1e-9)
    train(*args, "-o", tmp_path / "twice", "--resume")
    once, twice = (load_run(str(tmp_path / name))[0] for name in ("once", "twice"))
    for key, value in once.state_dict().items():
        assert torch.equal(value, twice.state_dict()[key])
    bundle = ["--name", "b", "--am", tmp_path / "once", "-d", packed, "-o", tmp_path / "bundle"]
    train("bundle", *bundle)
    card = (tmp_path / "bundle" / "CARD.md").read_text()
    assert "binding in cells, weight 300 (peaks 0abc, without chr1, chr5)" in card
    later = toml(tmp_path / "later.toml", **(TINY | dict(steps=1, candidates=10.0)))
    train("am", later, "-d", packed, "--start-from", tmp_path / "once", "-o", tmp_path / "later")
    train("bundle", "--name", "l", "--am", tmp_path / "later", "-d", packed, "-o", tmp_path / "lb")
    assert "binding in cells, by its start (peaks" in (tmp_path / "lb" / "CARD.md").read_text()
    unseen = planted(seed=1)
    missed = []
    for m in range(2):
        of = [unseen.codes[(unseen.motif == m) & (unseen.bound == kind)] for kind in (True, False)]
        x = one_hot(torch.from_numpy(np.concatenate(of)))
        with torch.no_grad():
            missed.append(
                missed_binding(once.eval().motifs, x, torch.full((len(of[0]),), m)).item()
            )
    assert missed[0] < 0.6 and missed[0] < missed[1] - 0.1, missed


@pytest.mark.parametrize("pace", [0.0, 1.0])
def test_the_adjustment_may_go_ahead_alone(packed, lssi, tmp_path, pace):  # noqa: F811
    """At a pace of 0 nothing else moves, but for statistics and thresholds."""
    train("am", toml(tmp_path / "a.toml", **(TINY | dict(steps=1))), "-d", packed, "--lssi", lssi,
          "-o", tmp_path / "start")  # fmt: skip
    recipe = toml(tmp_path / "r.toml", **(TINY | dict(steps=2)), pace_of_rest=pace, train_core=True)
    args = ["am", recipe, "-d", packed, "--start-from", tmp_path / "start", "-o", tmp_path / "run"]
    train(*args, "--minutes", 1e-9)
    train(*args, "--resume")
    before, after = (load_run(str(tmp_path / name))[0] for name in ("start", "run"))
    moved = {
        name.split(".")[1] if name.startswith("motifs") else name.split(".")[0]
        for (name, old), new in zip(before.named_parameters(), after.parameters())
        if not torch.equal(old, new)
    }
    all_of_it = {"adjust", "main", "aggregator", "lssi"}
    assert moved == ({"adjust"} if pace == 0 else all_of_it)


def test_bins_and_their_weight_go_together(packed, lssi, tmp_path):  # noqa: F811
    planted().save(str(tmp_path / "b.npz"))
    dataset, path = Dataset.load(packed), str(tmp_path / "b.npz")
    shape = {key: tuple(v) if isinstance(v, list) else v for key, v in TINY.items()}
    task = lambda kind, bound, **more: SamTask(  # noqa: E731
        kind, dataset, SamRecipe(steps=1, **shape, **more), torch.device("cpu"), str(lssi),
        bound=bound,
    )  # fmt: skip
    for bound, weight in ((path, 0.0), (None, 1.0)):
        with pytest.raises(RecipeError, match="go together"):
            task("am", bound, bound_weight=weight)
    replace(planted(), meta=dict(left_out=["1"])).save(str(tmp_path / "c.npz"))
    with pytest.raises(RecipeError, match="holds genes of 5, which the dataset keeps"):
        task("am", str(tmp_path / "c.npz"), bound_weight=1.0)
    with pytest.raises(RecipeError, match="adjusted motifs"):
        task("fm", path, bound_weight=1.0)
    one, other = (task("am", bound, bound_weight=1.0 * bool(bound)) for bound in (path, None))
    digest = planted().digest()
    assert one.identity["bound"] == planted().meta | dict(digest=digest)
    assert planted(seed=1).digest() != digest and "bound" not in other.identity
    with pytest.raises(RecipeError, match="bound_weight"):
        SamRecipe(steps=1, bound_weight=-1.0)


def test_the_command_packs_what_a_run_takes(packed, source, tmp_path, monkeypatch):  # noqa: F811
    monkeypatch.setattr(prepare_bound, "LEAST_BOUND", 5)
    fasta, gtf, _ = source
    genome = Genome(str(fasta))
    names = Dataset.load(packed).proteins_of_motifs()
    protein = next(iter(names))
    length = genome.lengths["chrA"]
    rows = [f"chrA\t{s}\t{s + 30}\t{protein}_K562\t0\t+" for s in range(60, length - 100, 200)]
    (tmp_path / "peaks.bed").write_text("\n".join(rows) + "\n")
    out = tmp_path / "b.npz"
    command = ["bound", "-d", packed, "-f", fasta, "-a", gtf, "--peaks", tmp_path / "peaks.bed"]
    made = run(*command, "-o", out)
    assert f"{protein} " in made
    bins = BoundBins.load(str(out))
    assert set(bins.counts()) == {protein} and bins.names == tuple(names)
    assert bins.meta["left_out"] == ["chr1", "chr3", "chr5", "chr7", "chr9"]
    for wrong in (["--only", "chr1", "--leave-out", "chr1"], ["--only", ","]):
        refused = CliRunner().invoke(main, ["train", *map(str, command), "-o", str(out), *wrong])
        assert refused.exit_code == 2
    run(*command, "--only", " chrA", "-o", out)
    assert BoundBins.load(str(out)).counts() == bins.counts()
    with pytest.raises(DatasetError, match="to measure on"):
        BoundSampler(str(out), list(names), 1, 1, 0)


def run(*args):
    result = CliRunner().invoke(main, ["train", *map(str, args)])
    assert result.exit_code == 0, result.stderr
    return result.stderr


def test_a_run_starts_from_one_of_another_width(packed, lssi, tmp_path):  # noqa: F811
    wide = toml(tmp_path / "w.toml", steps=2, **TINY)
    train("am", wide, "-d", packed, "--lssi", lssi, "-o", tmp_path / "wide")
    slow = TINY | dict(channels=4, lr=1e-12)
    narrow = toml(tmp_path / "n.toml", steps=1, **slow)
    train("am", narrow, "-d", packed, "--start-from", tmp_path / "wide", "-o", tmp_path / "narrow")
    one, other = (load_run(str(tmp_path / name))[0] for name in ("wide", "narrow"))
    assert (one.config.channels, other.config.channels) == (8, 4)
    for name in ("attention.query.weight", "lstm.weight_ih_l0", "classes.weight"):
        ours, theirs = (m.state_dict()[f"aggregator.{name}"] for m in (other, one))
        torch.testing.assert_close(ours, theirs)


def test_batches_are_made_ahead_in_any_order():
    made = []

    def make(step):
        made.append(step)
        return step * 10

    ahead = Ahead(make)
    assert [ahead(step) for step in (0, 1, 2, 7, 8)] == [0, 10, 20, 70, 80]
    assert {0, 1, 2, 3, 7, 8} <= set(made) and made.count(2) == made.count(8) == 1


def test_sites_are_held_against_those_in_controls_of_their_stratum(monkeypatch, tmp_path):
    """By hand: of motif 0, two bound bins with three sites and one, where controls of the one's
    stratum have one site each, of the other's half a site."""
    root = os.path.join(os.path.dirname(__file__), "..", "train", "evaluate")
    monkeypatch.syspath_prepend(root)
    script = importlib.import_module("bound")
    for name in ("bound", "yardstick", "common"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    bound = np.array([True, False, True, False, False])
    stratum, codes = np.array([0, 0, 20, 20, 20]), np.zeros((5, BIN + 2 * MOTIF_REACH), np.uint8)
    bins = BoundBins(codes, np.zeros(5, int), stratum, bound, ("A",), {})
    monkeypatch.setattr(script, "sites", lambda *_: np.array([3.0, 1.0, 1.0, 1.0, 0.0]))
    found = script.measure("x", bins)
    assert found["exons"][0] == 3 and found["introns"][0] == 2
    assert found["all"][0] == pytest.approx(4 / 1.5) and found["motifs"]["A"][3] == 4
    monkeypatch.undo()
    toy.bundle(tmp_path)
    bins = planted(names=("CCC3", "unknown"))
    found = script.sites(str(tmp_path), bins)
    model = load_bundle(str(tmp_path)).models[0]
    with torch.no_grad():
        expected = (model.motifs(one_hot(torch.from_numpy(bins.codes)))[:, 2] > 0).sum(1)
    assert (found[bins.motif == 0] == expected.numpy()[bins.motif == 0]).all()
    assert np.isnan(found[bins.motif == 1]).all()
