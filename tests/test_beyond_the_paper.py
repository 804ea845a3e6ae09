# ruff: noqa: F811
"""What samvar's model may have that the paper's has not: sites at canonical dinucleotides alone,
branch points, learnt motifs, direct effects, growth from a smaller model; and a run that learns all
of it from a teacher."""

import json
import shutil

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from safetensors.torch import load_file, save_file

from samvar.cli import main
from samvar.model.bottleneck import LSSI_FLOOR
from samvar.model.bundle import LEARNT_MOTIFS, MOTIF_SITES, load_bundle
from samvar.model.growth import (
    READERS,
    forget_branch_points,
    grow,
    shared_motifs,
    with_silent_motifs,
)
from samvar.model.sam import LSSI, NO_SCORE, DirectEffects, FixedMotifs, LearntMotifs, one_hot
from samvar.training.branch_points import best_matches, guess_branch_points
from samvar.training.checkpoint import load_run
from samvar.training.dataset import Dataset, TrainingGene

from . import toy
from .test_teach import CONTEXT, TEACHER
from .test_training import data, lssi, packed, source, toml, train  # noqa: F401

pytestmark = pytest.mark.slow

EVERYTHING = dict(
    canonical=True, core_needed=True, branch_point=True, candidates=4.0, faint_candidates=1.0,
    learnt_motifs=2, effect_bumps=4,
)  # fmt: skip


def codes(bases):
    return torch.tensor([["ACGTN".index(b) for b in bases]])


# ------------------------------------------------------------------------------------- core sites


def test_canonical_scores_are_those_of_the_dense_model_where_they_may_be():
    torch.manual_seed(0)
    dense, canonical = LSSI(8), LSSI(8, canonical=True)
    canonical.load_state_dict(dense.state_dict())
    bases = toy.random_bases(400, seed=3)
    x = one_hot(codes(bases))
    with torch.no_grad():
        everywhere, found = dense.scores(x)[0], canonical.scores(x)[0]
    for at in range(20, len(bases) - 6):
        acceptor = bases[at - 2 : at] in ("AG", "AC")
        donor = bases[at + 1 : at + 3] in ("GT", "GC", "AT")
        for kind, possible in enumerate((acceptor, donor)):
            here = float(found[kind, at - 20])
            assert here == (pytest.approx(float(everywhere[kind, at - 20]), abs=1e-5)
                            if possible else NO_SCORE)  # fmt: skip


def test_no_digit_of_a_core_score_depends_on_other_rows():
    torch.manual_seed(0)
    core = LSSI(8, canonical=True, branch_point=True).eval()
    x = toy.sequence(5, 700, seed=2)
    with torch.no_grad():
        together = core.scores(x)
        for i in range(5):
            assert torch.equal(core.scores(x[i : i + 1])[0], together[i])
            assert torch.equal(core.scores(x[i : i + 1, :, 111:300])[0], together[i, :, 111:274])


def test_a_canonical_core_without_a_possible_site_is_at_its_floor():
    core = LSSI(8, canonical=True, branch_point=True)
    found = core.eval()(one_hot(codes("T" * 60)))
    assert found.shape == (1, 3, 34) and (found == LSSI_FLOOR).all()


@pytest.mark.parametrize("fallen", [0, 200])
def test_the_floor_of_branch_points_moves_to_their_share(fallen):
    """However low their log-odds have fallen."""
    torch.manual_seed(1)
    core = LSSI(8, canonical=True, branch_point=True).train()
    core.branch_density = 0.03
    with torch.no_grad():
        for p in core.branch_point.parameters():
            p.mul_(3)
        core.branch_point.net[-1].bias -= fallen
        for seed in range(160):
            core(toy.sequence(2, 2000, seed))
        above = core.eval()(toy.sequence(4, 5000, 999))[:, 2] > LSSI_FLOOR
    assert float(above.float().mean()) == pytest.approx(0.03, rel=0.3)
    assert not (above & (toy.sequence(4, 5000, 999)[:, 0, 20:-6] == 0)).any()  # at A alone


def test_no_splice_site_without_a_core_score():
    """Where `core_needed`, whatever else a model says of a base; and all but nothing changes where
    the core score is high."""
    plain, strict = toy.model(canonical=True), toy.model(canonical=True, core_needed=True)
    for model in (plain, strict):
        model.aggregator.classes.bias.data[:] = torch.tensor([0.0, 12.0, 12.0])
    strict.load_state_dict(plain.state_dict())
    reach = plain.config.aggregate_reach
    with torch.no_grad():
        found = plain.detect(toy.sequence(1, 400, 4))
        found.core[0, 0, reach + 30] = -0.1
        p, q = (m.aggregate(found)[0, 1:].exp() for m in (plain, strict))
    core = found.core[0, :, reach:-reach]
    absent = core == LSSI_FLOOR
    assert absent[:, :60].any() and not absent.all()
    assert (p[absent] > 0.1).any() and (q[absent] < 1e-7).all()
    assert float(q[0, 30]) == pytest.approx(float(p[0, 30]), rel=0.01)


def test_the_shipped_default_has_splice_sites_where_they_can_be():
    """In random sequence, too: beside AG or AC, GT, GC or AT alone."""
    model = load_bundle("default").models[0].eval()
    before, after = model.config.reach
    bases = toy.random_bases(before + 3000 + after, seed=8)
    with torch.no_grad():
        x = one_hot(codes(bases))
        p = model(x)[0, 1:].exp()
        core = model.lssi(x)[0, :2] > LSSI_FLOOR
    for at in range(3000):
        left, right = (bases[before + at + d : before + at + d + 2] for d in (-2, 1))
        assert left in ("AG", "AC") or p[0, at] < 1e-3
        assert right in ("GT", "GC", "AT") or p[1, at] < 1e-3
    assert core.any(1).all() and float(p.max()) > 1e-3


def test_branch_points_are_guessed_before_acceptors(monkeypatch):
    """TACTAAC 30 bases before every acceptor is what the first guess finds."""
    rng = np.random.default_rng(0)
    bases, acceptors, donors = [], [], []
    for _ in range(40):
        donors.append(len(bases) - 1 if bases else 19)
        bases += rng.integers(0, 4, 20 if not bases else 0).tolist()
        intron = rng.integers(0, 4, 200)
        intron[-35:-28] = [3, 0, 1, 3, 0, 0, 1]  # T A C T A A C, its branch A at -30
        bases += intron.tolist()
        acceptors.append(len(bases))
        bases += rng.integers(0, 4, 50).tolist()
    genes = [TrainingGene("g", "1", np.array(bases, np.uint8), acceptors, donors, split="train")]
    small = Dataset.from_genes(genes)
    found = best_matches(small)
    assert len(set(found.tolist()) & {a - 30 for a in acceptors}) >= 35
    monkeypatch.setattr("samvar.training.branch_points.STEPS", 150)
    torch.manual_seed(0)
    core = LSSI(8, canonical=True, branch_point=True)
    core.branch_density = 0.05
    guess_branch_points(core, small, torch.device("cpu"))
    x = one_hot(torch.from_numpy(small.codes[None].astype(np.int64)))
    with torch.no_grad():
        score = core.eval()(x)[0, 2]
    best = set((score.topk(40).indices + 20).tolist())
    assert len(best & set(found.tolist())) >= 20  # by chance: none
    assert all(p.grad is None for p in core.parameters())


# ----------------------------------------------------------------- learnt motifs, direct effects


def test_learnt_motifs_see_eleven_bases_and_keep_their_density():
    torch.manual_seed(0)
    learnt = LearntMotifs(3, 8).train()
    learnt.sparse.density = 0.02
    with torch.no_grad():
        for seed in range(60):
            x = toy.sequence(2, 1000, seed)
            learnt(x, x[:, :1, 5:-5] * 0 + 1)
        learnt.eval()
        x = toy.sequence(1, 2000, 77)
        y = learnt(x, torch.ones(1, 1, 1990))
        assert 0.004 < float((y > 0).float().mean()) < 0.04
        changed = x.clone()
        changed[:, :, 1000] = torch.roll(x[:, :, 1000], 1, 1)
        differs = (learnt(changed, torch.ones(1, 1, 1990)) != y).any(1)[0].nonzero().ravel() + 5
    assert len(differs) and differs.min() >= 995 and differs.max() <= 1005
    assert (learnt(x, torch.zeros(1, 1, 1990)) == 0).all()


def test_direct_effects_by_hand():
    effects = DirectEffects(core=1, motifs=1, bumps=3, reach=12)
    assert effects.bumps.shape == (6, 25)
    # peaks at 0, 3 and 12 bases; on either side triangles that sum to one
    np.testing.assert_allclose(effects.bumps[:3, :12].sum(0), 1, atol=1e-6)
    np.testing.assert_allclose(effects.bumps[3:, 13:].sum(0), 1, atol=1e-6)
    with torch.no_grad():
        effects.weight[0, 1, 4] = 2.0  # acceptor, motif, three bases downstream
        u = torch.zeros(1, 2, 324)
        u[0, 1, 150] = np.e - 1  # counts log(1 + activation) = 1
        out = effects(u)[0]
    at = {d: float(out[0, 150 - 12 - d]) for d in (0, 1, 3, 6, 12, -3)}
    assert at == pytest.approx({0: 0, 1: 2 / 3, 3: 2, 6: 4 / 3, 12: 0, -3: 0}, abs=1e-5)
    assert (out[1] == 0).all() and out.shape == (2, 300)


def test_direct_effects_are_the_same_wherever_they_are_computed():
    torch.manual_seed(0)
    effects = DirectEffects(core=2, motifs=3, bumps=4, reach=12)
    effects.weight.data.normal_()
    u = torch.rand(1, 5, 500)
    with torch.no_grad():
        whole, part = effects(u), effects(u[..., 37:261])
    torch.testing.assert_close(whole[..., 37 : 37 + 200], part, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("n", [1, 101, 300])
def test_direct_effects_of_sites_are_those_of_all_entries(n):
    """Their gradients, too; and other rows change no digit."""
    torch.manual_seed(0)
    effects = DirectEffects(core=2, motifs=3, bumps=4, reach=12)
    effects.weight.data.normal_()
    u = torch.randn(4, 5, n + 24) * (torch.rand(4, 5, n + 24) < 0.1)
    u[:, 2:].abs_()
    u[2] = 0  # a row without any site
    one, other = (u.clone().requires_grad_() for _ in range(2))
    dense, sparse = effects(one), effects.of_sites(other)
    torch.testing.assert_close(sparse, dense, atol=1e-5, rtol=1e-5)
    weight = torch.randn_like(dense)
    (dense * weight).sum().backward()
    (sparse * weight).sum().backward()
    there = u != 0
    torch.testing.assert_close(other.grad[there], one.grad[there], atol=1e-5, rtol=1e-5)
    for i in range(4):
        assert torch.equal(effects.of_sites(u[i : i + 1])[0], sparse[i])


# ----------------------------------------------------------------------------------------- growth


def reordered(fixed, order):
    """The same motifs in another order."""
    return FixedMotifs(fixed.log_psam, fixed.mix[order])


def test_motifs_are_shared_by_name_and_affinities():
    fixed = toy.fixed_motifs()
    other = reordered(fixed, [2, 0, 1])
    assert shared_motifs(other, ["CCC3", "AAA1", "BBB2"], fixed, toy.RBPS) == {0: 1, 1: 2, 2: 0}
    assert shared_motifs(fixed, ["AAA1", "X", "CCC3"], fixed, toy.RBPS) == {0: 0, 2: 2}
    assert shared_motifs(toy.fixed_motifs(1), toy.RBPS, fixed, toy.RBPS) == {}


def test_a_grown_model_says_the_same():
    """New channels change nothing, whatever sites they have."""
    small, big = toy.model(), toy.model(seed=5, learnt_motifs=2, effect_bumps=3, branch_point=True)
    grow(big, small, {0: 0, 1: 1, 2: 2})
    big.lssi.load_state_dict(small.lssi.state_dict(), strict=False)
    with torch.no_grad():
        x = toy.sequence(1, 300, 4)
        found = big.detect(x)
        assert (found.core[:, 2] > LSSI_FLOOR).any() and (found.motifs[:, 3:] > 0).any()
        torch.testing.assert_close(big(x), small(x), atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("change", [dict(candidates_each=True), dict(least_share=0.3)])
def test_where_candidates_are_counted_otherwise_the_rest_is_taken_over(change):
    small, big = toy.model(seed=1), toy.model(seed=2, **change)
    grow(big, small, {0: 0, 1: 1, 2: 2})
    ours, theirs = big.state_dict(), small.state_dict()
    assert torch.equal(ours["aggregator.classes.weight"], theirs["aggregator.classes.weight"])
    assert torch.equal(ours["motifs.adjust.leave.weight"], theirs["motifs.adjust.leave.weight"])
    if "least_share" in change:
        assert (ours["motifs.main.threshold"] == theirs["motifs.main.threshold"]).all()
    again = toy.model(seed=3)
    grow(again, big, {0: 0, 1: 1, 2: 2})
    assert again.motifs.main.threshold.dim() == 0


def test_silent_learnt_motifs_change_nothing():
    model = toy.model()
    wide = with_silent_motifs(model, 3)
    with torch.no_grad():
        x = toy.sequence(1, 300, 4)
        assert wide.detect(x).motifs.shape[1] == 6
        assert not wide.detect(x).motifs[:, 3:].any()
        torch.testing.assert_close(wide(x), model(x), atol=1e-6, rtol=1e-6)
    again = with_silent_motifs(model, 3).state_dict()
    assert all(torch.equal(tensor, again[name]) for name, tensor in wide.state_dict().items())


def test_dead_branch_points_are_forgotten_and_nothing_reads_new_ones():
    model = toy.model(effect_bumps=3, branch_point=True)
    aggregator, x = model.aggregator, toy.sequence(1, 300, 4)
    alive = float(model.lssi.branch_floor)
    with torch.no_grad():
        aggregator.lssi_in.weight.add_(0.3 * torch.randn(3, 3))
        aggregator.second.enter.weight[:, 2] = 0  # what passes the gate is lost
        model.lssi.branch_floor.fill_(1e9)
        before = model(x)
        forget_branch_points(model)
        assert (model.detect(x).core[:, 2] == LSSI_FLOOR).all()
        torch.testing.assert_close(model(x), before, atol=1e-5, rtol=1e-5)
        model.lssi.branch_floor.fill_(alive)
        assert (model.detect(x).core[:, 2] > LSSI_FLOOR).any()
        torch.testing.assert_close(model(x), before, atol=1e-5, rtol=1e-5)


# ----------------------------------------------------------------------------------------- a run


@pytest.fixture(scope="module")
def taught(packed, tmp_path_factory):
    folder = tmp_path_factory.mktemp("taught")
    recipe = toml(folder / "t.toml", families=12, width=200, jitter=5, shard=6)
    train("teach", recipe, "-d", packed, "-o", folder / "soft", "--teacher", TEACHER,
          "--context", CONTEXT)  # fmt: skip
    return folder / "soft"


RUN = dict(
    steps=6, warmup=1, channels=8, attention_dim=4, lstm_units=4, stack_widths=[3, 3],
    validate_every=3, checkpoint_every=3, density_start=0.05, density_end=0.02,
    learnt_density_start=0.1, learnt_density_end=0.05, branch_density_end=0.04,
    train_core=True, label_weight=0.0, soft_families=1, soft_windows=1, soft_width=160,
    core_share=0.02,
)  # fmt: skip


def test_a_run_grows_learns_from_a_teacher_and_resumes(
    packed,
    lssi,
    taught,
    tmp_path,
    monkeypatch,
):
    monkeypatch.setattr("samvar.training.branch_points.STEPS", 5)
    plain = toml(tmp_path / "plain.toml", **RUN | dict(label_weight=1.0, batch_bases=600,
                                                       windows=[200]))  # fmt: skip
    start = tmp_path / "plain"
    train("am", plain, "-d", packed, "-o", start, "--lssi", lssi)
    recipe = toml(tmp_path / "r.toml", **RUN, **EVERYTHING)
    args = ["am", recipe, "-d", packed, "--start-from", start, "--soft-labels", taught]
    train(*args, "-o", tmp_path / "once")
    train(*args, "-o", tmp_path / "twice", "--minutes", 1e-9)
    train(*args, "-o", tmp_path / "twice", "--resume")
    once, twice = (load_run(str(tmp_path / name))[0].state_dict() for name in ("once", "twice"))
    assert once.keys() == twice.keys()
    assert all(torch.equal(v, twice[k]) for k, v in once.items())
    model, description = load_run(str(tmp_path / "once"))
    assert model.config.learnt_motifs == 2 and [c.name for c in model.core][2] == "BP"
    assert description["soft_labels"]
    dead = load_file(tmp_path / "once" / "model.safetensors")
    dead["lssi.branch_floor"] += 1e4  # above all scores: a run that starts from it guesses anew
    shutil.copytree(tmp_path / "once", tmp_path / "dead")
    save_file(dead, tmp_path / "dead" / "model.safetensors")
    train(*args[:4], "--start-from", tmp_path / "dead", *args[6:], "-o", tmp_path / "revived")
    revived = load_run(str(tmp_path / "revived"))[0]
    with torch.no_grad():
        assert (revived.lssi.eval()(toy.sequence(4, 5000, 1))[:, 2] > LSSI_FLOOR).any()
    finer = toml(tmp_path / "f.toml", **RUN | EVERYTHING | dict(effect_bumps=6))
    refused = CliRunner().invoke(main, ["train", "am", finer, *map(str, args[2:4]), "--start-from",
                                        str(tmp_path / "once"), *map(str, args[6:]), "-o",
                                        str(tmp_path / "finer")])  # fmt: skip
    assert refused.exit_code == 1 and "effect_bumps" in refused.stderr
    alone = toml(tmp_path / "a.toml", **RUN | EVERYTHING
                 | dict(branch_points_alone=True, weight_decay=0.0))  # fmt: skip
    train(args[0], alone, *args[2:4], "--start-from", tmp_path / "once", *args[6:], "-o",
          tmp_path / "alone")  # fmt: skip
    for name, tensor in load_run(str(tmp_path / "alone"))[0].state_dict().items():
        before = once[name]
        if name in READERS:
            others = [c for c in range(tensor.shape[1]) if c != 2]
            assert not torch.equal(tensor[:, 2], before[:, 2])
            assert torch.equal(tensor[:, others], before[:, others])
        elif not name.startswith("lssi.branch"):
            assert torch.equal(tensor, before)
    other = toml(tmp_path / "o.toml", families=3, width=200, jitter=5, seed=3)
    train("teach", other, "-d", packed, "-o", tmp_path / "soft", "--teacher", TEACHER,
          "--context", CONTEXT)  # fmt: skip
    refused = CliRunner().invoke(main, ["train", *map(str, args[:-1]), str(tmp_path / "soft"),
                                        "-o", str(tmp_path / "once"), "--resume"])  # fmt: skip
    assert refused.exit_code == 1 and "soft_labels" in refused.stderr


def test_runs_with_and_without_learnt_motifs_make_one_bundle(packed, lssi, tmp_path):
    """Of two that have other numbers of them it cannot be made."""
    plain = RUN | dict(steps=2, label_weight=1.0, batch_bases=600, windows=[200])
    plain |= dict(candidates_each=True, least_share=0.2, candidates=8.0)
    for learnt in (0, 1, 2):
        recipe = toml(tmp_path / f"{learnt}.toml", **plain, learnt_motifs=learnt, seed=learnt + 1)
        train("am", recipe, "-d", packed, "-o", tmp_path / str(learnt), "--lssi", lssi)

    def bundle(*runs):
        runs = (option for run in runs for option in ("--am", str(tmp_path / str(run))))
        return CliRunner().invoke(main, ["train", "bundle", "--name", "x", *runs, "-d", str(packed),
                                         "-o", str(tmp_path / "x")])  # fmt: skip

    refused = bundle(0, 1, 2)
    assert refused.exit_code == 1 and "learnt_motifs must be one number" in refused.stderr
    made = bundle(0, 2)
    assert made.exit_code == 0, made.stderr
    silent, other = load_bundle(str(tmp_path / "x")).models
    metrics = json.loads((tmp_path / "x" / "metrics.json").read_text())
    assert metrics[MOTIF_SITES]["am"]["density"]["MOTIF_01"] > 0
    assert metrics[LEARNT_MOTIFS]["am"]["MOTIF_01"]["sites"] > 0
    card = (tmp_path / "x" / "CARD.md").read_text()
    assert "am.2: 2 motifs learnt" in card and "am.1: 2 motifs" not in card
    alone = load_run(str(tmp_path / "0"))[0]
    with torch.no_grad():
        x = toy.sequence(2, 1400, 4)
        assert silent.motifs(x).shape == other.motifs(x).shape
        torch.testing.assert_close(silent(x).exp(), alone(x).exp(), atol=2e-3, rtol=0)  # fp16


def test_an_am_with_candidates_of_each_rbp_starts_from_no_fm(packed, lssi, tmp_path):
    """Whose sites are chosen on another scale."""
    plain = RUN | dict(steps=2, label_weight=1.0, batch_bases=600, windows=[200])
    recipe = toml(tmp_path / "r.toml", **plain, candidates_each=True)
    train("fm", recipe, "-d", packed, "-o", tmp_path / "fm", "--lssi", lssi)
    paths = "-d", packed, "--start-from", tmp_path / "fm", "-o", tmp_path / "am"
    refused = CliRunner().invoke(main, ["train", "am", recipe, *map(str, paths)])
    assert refused.exit_code == 1 and "candidates_each starts from no fm" in refused.stderr


def test_branch_points_alone_leave_candidates_as_they_are(packed, lssi, tmp_path, monkeypatch):
    monkeypatch.setattr("samvar.training.branch_points.STEPS", 2)
    plain = RUN | dict(steps=2, label_weight=1.0, batch_bases=600, windows=[200])
    recipe = toml(tmp_path / "r.toml", **plain)
    train("am", recipe, "-d", packed, "-o", tmp_path / "start", "--lssi", lssi)
    alone = dict(branch_point=True, branch_points_alone=True, weight_decay=0.0)
    recipe = toml(tmp_path / "a.toml", **plain, **alone, candidates_each=True)
    paths = "-d", packed, "--start-from", tmp_path / "start", "-o", tmp_path / "alone"
    refused = CliRunner().invoke(main, ["train", "am", recipe, *map(str, paths)])
    assert refused.exit_code == 1 and "keeps candidates_each" in refused.stderr


def test_without_labels_there_is_nothing_to_learn(packed, lssi, tmp_path):
    recipe = toml(tmp_path / "r.toml", **RUN)
    refused = CliRunner().invoke(main, ["train", "am", recipe, "-d", str(packed), "--lssi",
                                        str(lssi), "-o", str(tmp_path / "run")])  # fmt: skip
    assert refused.exit_code == 1 and "--soft-labels" in refused.stderr
