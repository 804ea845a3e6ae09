"""A teacher's effects of substitutions, and the motifs that are learnt from them."""

import json
import os
import subprocess
import sys
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from click.testing import CliRunner

from samvar.cli import main
from samvar.errors import DatasetError, RecipeError
from samvar.model.bottleneck import LSSI_FLOOR
from samvar.model.bundle import learnt_of
from samvar.model.growth import grow
from samvar.model.in_vivo import Bound, InVivo
from samvar.model.sam import ACCEPTOR, DONOR, LSSI_SPAN, SAM, one_hot
from samvar.training import likeness
from samvar.training.card import card
from samvar.training.checkpoint import load_run
from samvar.training.edits import FamilySampler, Site
from samvar.training.effects import SubstitutionEffects
from samvar.training.learnt import (
    SIDE,
    BranchPointsTask,
    LearntMotifsTask,
    LocalBranchPoints,
    LocalMotifs,
    give_branch_points,
    give_learnt_motifs,
    load_local_model,
)
from samvar.training.likeness import consensus
from samvar.training.recipe import BranchPointRecipe, MotifRecipe, TeachRecipe
from samvar.training.soft_labels import SoftLabels
from samvar.training.teach import load_teacher, teach
from samvar.training.yardstick import single_edits

from . import toy
from .test_teach import CONTEXT, TEACHER, data  # noqa: F401 (a fixture)

pytestmark = pytest.mark.slow

CPU = torch.device("cpu")


def recipe(**more):
    settings = dict(families=12, width=300, jitter=10, shard=5, effects=True, versions=0)
    return TeachRecipe(**(settings | more))


def motif_recipe(**more):
    settings = dict(
        steps=6, motifs=2, channels=8, bumps=4, places=40, held_out=0.3, density_end=0.1
    )
    return MotifRecipe(**(settings | more))


@pytest.fixture(scope="module")
def teacher():
    return load_teacher([TEACHER], CPU, CONTEXT)


@pytest.fixture(scope="module")
def effects(data, teacher, tmp_path_factory):  # noqa: F811
    folder = str(tmp_path_factory.mktemp("effects") / "labels")
    assert teach(data, recipe(), teacher, folder, CPU, report=lambda _: None)
    return folder


# --------------------------------------------------------------------------------- the teacher's


def test_effects_are_slopes_of_the_log_odds(teacher):
    rng = np.random.default_rng(1)
    codes = rng.integers(0, 4, 2 * CONTEXT + 100).astype(np.uint8)
    codes[CONTEXT + 37 : CONTEXT + 40] = 1, 0, 2  # CAG before an acceptor at 40
    codes[CONTEXT + 60] = 4
    site = Site(ACCEPTOR, 40)
    effect = teacher.effects(codes, [site], CPU)[0]
    assert effect.shape == (4, 100) and not effect[:, 60].any()
    own = codes[CONTEXT : CONTEXT + 100]
    known = own < 4
    assert not effect[own[known], np.flatnonzero(known)].any()

    def log_odds(x):
        p = teacher.networks[0](x)[0, ACCEPTOR, 40].exp()
        return float(torch.logit(p))

    x = one_hot(torch.from_numpy(codes[None])).double()
    for at, base in ((45, 0), (45, 3), (50, 2), (38, 1), (70, 0)):
        moved, step = x.clone(), 1e-5
        moved[0, base, CONTEXT + at] += step
        moved[0, own[at], CONTEXT + at] -= step
        slope = (log_odds(moved) - log_odds(x)) / step
        assert effect[base, at] == pytest.approx(slope, abs=2e-3)
    assert abs(effect[:, 45]).max() > 0.01


def test_labels_are_the_teachers_effects(data, teacher, effects):  # noqa: F811
    found = SubstitutionEffects.load_folder(effects)
    sampler = FamilySampler(data, recipe(), CONTEXT)
    plain = [sampler.family(i).versions[0] for i in range(12)]
    inside = range(CONTEXT + 20, CONTEXT + 280)
    wanted = [(v, [s for s in v.sites if s.at in inside]) for v in plain]
    wanted = [(v, sites) for v, sites in wanted if sites]
    assert len(found.codes) == len(wanted) and found.width == 300
    for i, (version, sites) in enumerate(wanted):
        own = slice(found.first_site[i], found.first_site[i + 1])
        assert [(s.kind, s.at - CONTEXT) for s in sites] == list(
            zip(found.site_kind[own].tolist(), found.site_at[own].tolist())
        )
        near = [Site(s.kind, s.at - CONTEXT) for s in sites]
        expected = teacher.effects(version.codes[: 2 * CONTEXT + 300], near, CPU)
        np.testing.assert_allclose(found.effect[own], expected, atol=2e-2)
        assert np.array_equal(
            found.codes[i], version.codes[CONTEXT - found.left : CONTEXT + 300 + found.right]
        )


def test_labelling_effects_goes_on_where_it_stopped(data, teacher, effects, tmp_path):  # noqa: F811
    folder = str(tmp_path / "labels")
    assert not teach(data, recipe(), teacher, folder, CPU, minutes=0, report=lambda _: None)
    assert teach(data, recipe(), teacher, folder, CPU, resume=True, report=lambda _: None)
    once, again = (SubstitutionEffects.load_folder(f) for f in (effects, folder))
    assert np.array_equal(once.effect, again.effect) and np.array_equal(once.codes, again.codes)


def test_effects_and_soft_labels_are_told_apart(data, teacher, effects, tmp_path):  # noqa: F811
    with pytest.raises(DatasetError, match="holds effects, no soft labels"):
        SoftLabels.load_folder(effects)
    plain = TeachRecipe(families=2, width=300, jitter=10)
    teach(data, plain, teacher, str(tmp_path), CPU, report=lambda _: None)
    with pytest.raises(DatasetError, match="holds soft labels, no effects"):
        SubstitutionEffects.load_folder(str(tmp_path))
    with pytest.raises(DatasetError, match="effects = true"):
        SubstitutionEffects.load_folder(str(tmp_path / "nothing"))


@pytest.mark.parametrize("more", [dict(versions=2), dict(single=True)])
def test_effects_are_of_unedited_windows(more):
    with pytest.raises(RecipeError, match="versions must be 0"):
        recipe(**more)


# ------------------------------------------------------------------------------------- the motifs


def local_model(reach):
    torch.manual_seed(3)
    local = LocalMotifs(3, 8, 4, reach)
    torch.nn.init.normal_(local.effects.weight)
    local.learnt.sparse.threshold.fill_(0.3)
    return local.eval()


@pytest.mark.parametrize(
    "kind, distance", [(ACCEPTOR, 0), (DONOR, -7), (ACCEPTOR, 198), (DONOR, 3)]
)
def test_a_substitution_does_what_the_whole_sequence_says(kind, distance):
    reach = 200
    local = local_model(reach)
    codes = torch.randint(0, 4, (1, 2 * reach + 2 * SIDE + 1), dtype=torch.uint8)
    at = reach + SIDE + distance  # the site stands in the middle
    codes = torch.nn.functional.pad(codes, (SIDE, SIDE), value=4)
    at += SIDE

    def whole(base):
        changed = codes.clone()
        changed[0, at] = base
        x = one_hot(changed)
        sites = local.learnt(x, x[..., SIDE:-SIDE].sum(1, keepdim=True))
        middle = (sites.shape[-1] - 1) // 2
        around = sites[..., middle - reach : middle + reach + 1]
        return local.effects(around)[0, kind - 1, 0]

    window = codes[:, at - 2 * SIDE : at + 2 * SIDE + 1]
    found = local(window, torch.tensor([distance]), torch.tensor([kind]))[0]
    expected = torch.stack([whole(b) - whole(int(codes[0, at])) for b in range(4)])
    torch.testing.assert_close(found, expected, atol=1e-4, rtol=1e-4)


def fit(task):
    """All steps of its recipe, at its learning rate."""
    optimizer = torch.optim.Adam(task.model.parameters(), task.recipe.lr)
    for step in range(task.recipe.steps):
        task.start_step(step)
        task.model.train()
        optimizer.zero_grad()
        task.loss(step).backward()
        optimizer.step()


def test_effects_of_a_known_kind_are_learnt(data, effects):  # noqa: F811
    """The toy teacher likes purines among the 20 bases of an exon's end, and most bases of the
    windows have no effect: motifs that see purines come to rank those that have one."""
    settings = motif_recipe(
        steps=150, lr=1e-2, warmup=5, places=200, clip=0.0, density_start=0.3, density_end=0.2
    )
    task = LearntMotifsTask(data, settings, CPU, effects)
    before = task.validate(0)["spearman"]
    fit(task)
    after = task.validate(settings.steps)["spearman"]
    assert after > 0.2 > 0.1 > abs(before)


def test_motifs_may_be_learnt_on_the_exons_side_alone(data, effects):  # noqa: F811
    task = LearntMotifsTask(data, motif_recipe(exonic=True), CPU, effects)
    distance = task._distance(task.places)
    of_donor = task.labels.site_kind[task.places.site] == DONOR
    assert of_donor.any() and (distance[of_donor] < -2).all() and (distance[~of_donor] > 2).all()


def test_a_model_says_of_given_motifs_what_they_do():
    model = toy.model(learnt_motifs=3, learnt_channels=8, effect_bumps=4)
    local = local_model(model.config.attention_reach)
    plain = {name: v.clone() for name, v in model.state_dict().items()}
    with torch.no_grad():
        model.aggregator.effects.weight.zero_()
    give_learnt_motifs(model, local)
    own = model.motifs.channels - 3 + len(model.core)
    torch.testing.assert_close(model.aggregator.effects.weight[:, own:], local.effects.weight)
    assert not model.aggregator.effects.weight[:, :own].any()
    x = toy.sequence(1, 60, 0)
    known = x[..., 10:-10].sum(1, keepdim=True)
    inner = x[..., 5:-5]
    assert torch.equal(model.motifs.learnt(inner, known), local.learnt(inner, known))
    untouched = [n for n in plain if "learnt" not in n and "effects" not in n]
    assert all(torch.equal(plain[n], model.state_dict()[n]) for n in untouched)


@pytest.mark.parametrize(
    "shape",
    [dict(learnt_motifs=0), dict(learnt_motifs=2), dict(effect_bumps=0), dict(effect_bumps=5)],
)
def test_motifs_for_another_shape_are_refused(shape):
    settings = dict(learnt_motifs=3, learnt_channels=8, effect_bumps=4) | shape
    model: SAM = toy.model(**settings)
    needed = "learnt_motifs = 3, learnt_channels = 8 and effect_bumps = 4"
    with pytest.raises(RecipeError, match=needed):
        give_learnt_motifs(model, local_model(model.config.attention_reach))


def test_given_motifs_may_stand_after_those_of_the_start():
    start = toy.model(learnt_motifs=2, learnt_channels=4, effect_bumps=4)
    local = local_model(start.config.attention_reach)
    local.learnt.sparse.threshold.fill_(-0.1)
    model = toy.model(seed=1, learnt_motifs=5, learnt_channels=12, effect_bumps=4)
    grow(model, start, {i: i for i in range(len(start.motifs.fixed.mix))})
    start.motifs.learnt.sparse.threshold.fill_(0.1)
    model.motifs.learnt.sparse.threshold.fill_(0.1)
    x = toy.sequence(1, 60, 0)
    inner, known = x[..., 5:-5], x[..., 10:-10].sum(1, keepdim=True)
    of_start = start.eval().motifs.learnt(inner, known)
    grown = model.eval().motifs.learnt(inner, known)[:, :2]  # a wider network says the same
    torch.testing.assert_close(grown, of_start)
    give_learnt_motifs(model, local, start.motifs.learnt)
    found = model.motifs.learnt(inner, known)
    torch.testing.assert_close(found[:, :2], of_start)
    torch.testing.assert_close(found[:, 2:], local.learnt(inner, known))
    assert (found[:, :2] > 0).any() and (found[:, 2:] > 0).any()
    maps, before = model.aggregator.effects.weight, start.aggregator.effects.weight
    assert torch.equal(maps[:, :-3], before) and torch.equal(maps[:, -3:], local.effects.weight)
    for layer in (model.aggregator.first.enter, model.aggregator.second.enter):
        assert not layer.weight[:, -3:].any() and layer.weight[:, :-3].any()
    other = toy.model(learnt_motifs=4, learnt_channels=12, effect_bumps=4)
    with pytest.raises(RecipeError, match="learnt_motifs = 5, learnt_channels = 12"):
        give_learnt_motifs(other, local, start.motifs.learnt)


def test_a_run_of_motifs_resumes_and_a_model_starts_with_it(data, effects, tmp_path):  # noqa: F811
    packed = tmp_path / "data.npz"
    data.save(str(packed))
    settings = tmp_path / "motifs.toml"
    settings.write_text(
        "steps = 6\nwarmup = 1\nmotifs = 2\nbumps = 12\nplaces = 40\nheld_out = 0.3\n"
        "density_end = 0.1\nvalidate_every = 3\ncheckpoint_every = 3\n"
    )
    args = ["train", "motifs", str(settings), "-d", str(packed), "--effects", effects]

    def run(*more):
        return CliRunner().invoke(main, [*args, *map(str, more)])

    assert run("-o", tmp_path / "once").exit_code == 0
    assert run("-o", tmp_path / "twice", "--minutes", 1e-9).exit_code == 0
    assert run("-o", tmp_path / "twice", "--resume").exit_code == 0
    once, twice = (load_local_model(str(tmp_path / name))[0] for name in ("once", "twice"))
    assert all(torch.equal(v, twice.state_dict()[k]) for k, v in once.state_dict().items())
    description = json.loads((tmp_path / "once" / "model.json").read_text())
    assert description["kind"] == "motifs" and description["effects"]
    assert "spearman" in (tmp_path / "once" / "metrics.tsv").read_text()
    with pytest.raises(RecipeError, match="--learnt-motifs"):
        load_run(str(tmp_path / "once"))

    (tmp_path / "lssi.toml").write_text(
        "steps = 2\nchannels = 8\nsites = 8\ndecoys = 8\nothers = 8\n"
    )
    lssi = ["train", "lssi", str(tmp_path / "lssi.toml"), "-d", str(packed)]
    assert CliRunner().invoke(main, [*lssi, "-o", str(tmp_path / "lssi")]).exit_code == 0
    (tmp_path / "am.toml").write_text(
        "steps = 1\nwarmup = 1\nchannels = 8\nattention_dim = 4\nlstm_units = 4\n"
        "stack_widths = [3, 3]\nbatch_bases = 600\nwindows = [200]\nvalidate_every = 1\n"
        "learnt_motifs = 2\neffect_bumps = 12\nlr = 0.0\nweight_decay = 0.0\n"
    )
    am = ["train", "am", str(tmp_path / "am.toml"), "-d", str(packed), "--lssi",
          str(tmp_path / "lssi"), "--learnt-motifs", str(tmp_path / "once"),
          "-o", str(tmp_path / "am")]  # fmt: skip
    done = CliRunner().invoke(main, am)
    assert done.exit_code == 0, done.output
    model, about = load_run(str(tmp_path / "am"))
    assert about["learnt_motifs"]
    torch.testing.assert_close(model.aggregator.effects.weight[:, -2:], once.effects.weight)
    refused = CliRunner().invoke(main, [*am[:-1], str(tmp_path / "x"), "--learnt-motifs",
                                        str(tmp_path / "lssi")])  # fmt: skip
    assert refused.exit_code == 1 and "not motifs" in refused.output


# ------------------------------------------------------------------------------ the branch points


def branch_points(reach=200):
    torch.manual_seed(4)
    local = LocalBranchPoints(8, 12, reach)
    torch.nn.init.normal_(local.effects.weight[0])
    local.train().lssi.branch_density = 0.2
    for _ in range(60):
        local.count(torch.randint(0, 4, (4, 300)))
    return local.eval()


@pytest.mark.parametrize("distance", [-24, -16, -40])
def test_a_branch_point_does_what_the_whole_sequence_says(distance):
    local, reach = branch_points(), 200
    at, site = 300, 300 - distance
    codes = torch.randint(0, 4, (1, 700), dtype=torch.uint8)

    def whole(base):
        changed = codes.clone()
        changed[0, at] = base
        found = local.lssi(one_hot(changed))[:, 2:] - LSSI_FLOOR
        first = site - LSSI_SPAN[ACCEPTOR][0] - reach  # scores begin at the 21st base
        return local.effects(found[..., first : first + 2 * reach + 1])[0, :, 0]

    assert (local.lssi(one_hot(codes))[:, 2] > LSSI_FLOOR).float().mean() > 0.1
    window = codes[:, at - local.side : at + local.side + 1]
    for kind in (ACCEPTOR, DONOR):
        found = local(window, torch.tensor([distance]), torch.tensor([kind]))[0]
        own = whole(int(codes[0, at]))
        expected = torch.stack([whole(b) - own for b in range(4)])[:, kind - 1]
        torch.testing.assert_close(found, expected, atol=1e-4, rtol=1e-4)
        assert bool(found.any()) == (kind == ACCEPTOR)


def test_as_many_bases_as_wanted_are_branch_points(data, effects):  # noqa: F811
    settings = BranchPointRecipe(
        steps=60, channels=8, places=40, held_out=0.3, density_end=0.05, lr=1e-3, warmup=1
    )
    task = BranchPointsTask(data, settings, CPU, effects)
    assert len(task.places.at) and (task.labels.site_kind[task.places.site] == ACCEPTOR).all()
    distance = task._distance(task.places)
    assert distance.min() == -60 and distance.max() == -16
    before = task.model.effects.weight.clone()
    fit(task)
    moved = (task.model.effects.weight != before)[:, 0]
    assert moved[0].equal(task.model.inside.bool()) and not moved[1].any()
    x = one_hot(torch.from_numpy(task.labels.codes))
    there = task.model.eval().lssi(x)[:, 2] > LSSI_FLOOR
    assert 0.02 < there.float().mean() < 0.1


def test_a_model_reads_given_branch_points_by_their_distance_alone():
    model = toy.model(branch_point=True, effect_bumps=12, canonical=True, lssi_channels=8)
    local = branch_points(model.config.attention_reach)
    give_branch_points(model, local)
    x = toy.sequence(1, 400, 0)
    found = model.eval().detect(x)
    assert (found.core[:, 2] > LSSI_FLOOR).any()
    u = model.aggregator.embed(*found)
    torch.testing.assert_close(u[:, 2], found.core[:, 2] - LSSI_FLOOR)
    without = found._replace(core=found.core.clone())
    without.core[:, 2] = LSSI_FLOOR
    maps = model.aggregator.effects.weight
    torch.testing.assert_close(maps[:, 2], local.effects.weight[:, 0])
    assert not model.aggregate(found).equal(model.aggregate(without))
    with torch.no_grad():
        maps[:, 2] = 0
    assert model.aggregate(found).equal(model.aggregate(without))


@pytest.mark.parametrize(
    "shape", [dict(branch_point=False), dict(effect_bumps=5), dict(lssi_channels=6)]
)
def test_branch_points_for_another_shape_are_refused(shape):
    settings = dict(branch_point=True, effect_bumps=12, canonical=True, lssi_channels=8) | shape
    model: SAM = toy.model(**settings)
    with pytest.raises(RecipeError, match="8 channels and effect_bumps = 12"):
        give_branch_points(model, branch_points(model.config.attention_reach))


def test_a_run_of_branch_points_resumes_and_a_model_starts_with_it(data, effects, tmp_path):  # noqa: F811
    packed = str(tmp_path / "data.npz")
    data.save(packed)

    def train(*args, code=0):
        done = CliRunner().invoke(main, ["train", *map(str, args)])
        assert done.exit_code == code, done.output
        return done.output

    def toml(name, text):
        (tmp_path / f"{name}.toml").write_text(text)
        return tmp_path / f"{name}.toml"

    settings = toml("bp", "steps = 6\nwarmup = 1\nchannels = 8\nplaces = 40\nheld_out = 0.3\n"
                    "density_end = 0.1\nvalidate_every = 3\ncheckpoint_every = 3\n")  # fmt: skip
    args = ["branch-points", settings, "-d", packed, "--effects", effects]
    train(*args, "-o", tmp_path / "once")
    train(*args, "-o", tmp_path / "twice", "--minutes", 1e-9)
    train(*args, "-o", tmp_path / "twice", "--resume")
    once, twice = (load_local_model(str(tmp_path / name))[0] for name in ("once", "twice"))
    assert all(torch.equal(v, twice.state_dict()[k]) for k, v in once.state_dict().items())
    with pytest.raises(RecipeError, match="--branch-points"):
        load_run(str(tmp_path / "once"))
    sites = toml("lssi", "steps = 2\nchannels = 8\nsites = 8\ndecoys = 8\nothers = 8\n")
    train("lssi", sites, "-d", packed, "-o", tmp_path / "lssi")
    am = toml("am", "steps = 1\nwarmup = 1\nchannels = 8\nattention_dim = 4\nlstm_units = 4\n"
              "stack_widths = [3, 3]\nbatch_bases = 600\nwindows = [200]\nvalidate_every = 1\n"
              "branch_point = true\ncanonical = true\neffect_bumps = 12\nlr = 0.0\n"
              "weight_decay = 0.0\n")  # fmt: skip
    args = ["am", am, "-d", packed, "--lssi", tmp_path / "lssi"]
    train(*args, "--branch-points", tmp_path / "once", "-o", tmp_path / "am")
    model, about = load_run(str(tmp_path / "am"))
    assert about["branch_points"]
    torch.testing.assert_close(model.aggregator.effects.weight[:, 2], once.effects.weight[:, 0])
    for key, value in once.lssi.branch_point.state_dict().items():
        assert torch.equal(model.lssi.branch_point.state_dict()[key], value)
    refused = [*args, "--branch-points", tmp_path / "lssi", "-o", tmp_path / "x"]
    assert "not branch_points" in train(*refused, code=1)


# ------------------------------------------------------------------------------------ the yardstick


@pytest.fixture(scope="module")
def pairs(data, teacher, tmp_path_factory):  # noqa: F811
    """Single edits of validation genes, and the teacher's effects on the same windows."""
    folder = tmp_path_factory.mktemp("pairs")
    shared = dict(families=6, split="validation", anywhere=0.0, antisense=0.0)
    single = recipe(single=True, effects=False, versions=5, **shared)
    teach(data, single, teacher, str(folder / "pairs"), CPU, report=lambda _: None)
    teach(data, recipe(**shared), teacher, str(folder / "effects"), CPU, report=lambda _: None)
    return folder


def test_single_edits_are_those_of_the_windows(pairs):
    labels = SoftLabels.load_folder(str(pairs / "pairs"))
    versions = np.arange(len(labels.codes))
    found = list(single_edits(labels, versions))
    assert len({e.row for e in found}) == (labels.edit_region >= 0).sum()
    for e in found:
        plain, edited = labels.codes[e.plain], labels.codes[e.row]
        assert np.flatnonzero(plain != edited).tolist() == [e.at + labels.left]
        assert edited[e.at + labels.left] == e.base
        log_odds = {
            row: float(labels.site_log_odds[i])
            for row in (e.plain, e.row)
            for i in np.flatnonzero(labels.site_version == row)
            if (labels.site_kind[i], labels.site_at[i]) == (e.kind, e.site)
        }
        assert e.theirs == pytest.approx(log_odds[e.row] - log_odds[e.plain], abs=1e-5)


def test_a_smooth_teachers_gradients_rank_its_single_edits(pairs, tmp_path):
    sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "train", "evaluate"))
    try:
        import yardstick as script
    finally:
        sys.path.pop(0)
    labels = SoftLabels.load_folder(str(pairs / "pairs"))
    effects = SubstitutionEffects.load_folder(str(pairs / "effects"))
    found = script.first_order(effects, labels, None)["changes"]
    assert found["exonic"]["n"] > 10 and found["exonic"]["spearman"] > 0.95
    elsewhere = replace(effects, codes=(effects.codes + 1) % 4)
    assert script.first_order(elsewhere, labels, None)["changes"]["all"]["n"] == 0


def test_a_wrong_place_is_told_in_one_line_before_anything_is_measured(pairs, tmp_path):
    script = os.path.join(os.path.dirname(__file__), "..", "train", "evaluate", "yardstick.py")
    args = str(pairs / "pairs"), "paper:fm", "nowhere", "--json", str(tmp_path / "y.json")
    done = subprocess.run([sys.executable, script, *args], capture_output=True, text=True)
    assert done.returncode == 1 and done.stdout == "" and not (tmp_path / "y.json").exists()
    assert len(done.stderr.splitlines()) == 1 and "no weight bundle 'nowhere'" in done.stderr


# ------------------------------------------------------------------------------ what they look like


@pytest.mark.parametrize(
    "rows, letters",
    [
        (["ACGT", "ACGT", "ACGT"], "ACGT"),
        (["CACGC", "GACGG", "TATGT", "AATGA"], "AYG"),  # no base at the ends
        (["AC", "GG", "CT", "TA"], ""),
    ],
)
def test_consensus(rows, letters):
    windows = np.array([["ACGT".index(b) for b in row] for row in rows])
    assert consensus(windows) == letters


class PlantedSites(torch.nn.Module):
    """Sites of one protein at TGCATG, of one learnt motif at GAAGA and of one nowhere."""

    class Fixed(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.mix = torch.zeros(2, 1)

        def forward(self, x):  # (N, 4, L) -> (N, 2, L - 10)
            return torch.stack([where(x, "TGCATG"), where(x, "GAAGA")], 1)[..., 5:-5]

    def __init__(self):
        super().__init__()
        self.fixed = self.Fixed()

    def forward(self, x):  # (N, 4, L) -> (N, 4, L - 20)
        known, learnt = where(x, "TGCATG"), where(x, "GAAGA")
        return torch.stack([known, learnt, learnt, 0 * learnt], 1)[..., 10:-10]


def where(x, word):
    """1 at the third base of each place where a word stands."""
    hits = torch.stack([x[:, "ACGT".index(b), i : x.shape[-1] - 7 + i] for i, b in enumerate(word)])
    return torch.nn.functional.pad(hits.prod(0), (2, 5))


def test_a_learnt_motif_is_told_by_its_sites_and_its_nearest_proteins():
    rng = np.random.default_rng(0)
    tiles = []
    for _ in range(6):
        codes = rng.integers(0, 4, 400).astype(np.uint8)
        for at in range(30, 360, 30):
            codes[at : at + 5] = ["ACGT".index(b) for b in "GAAGA"]
        tiles.append(codes)
    names = ["RBFOX2", "TRA2A", "MOTIF_01", "MOTIF_02"]
    model = SimpleNamespace(motifs=PlantedSites())
    found = likeness.learnt_motifs(model, names, tiles)
    assert set(found) == {"MOTIF_01"}  # the other has no site
    motif = found["MOTIF_01"]
    assert "GAAGA" in motif["consensus"] and motif["sites"] >= 66
    (best, area), (other, chance) = motif["nearest"]
    assert (best, other) == ("TRA2A", "RBFOX2")
    assert area > 0.8 and abs(chance - 0.5) < 0.05


def test_a_bundle_a_card_and_the_list_tell_what_learnt_motifs_look_like(tmp_path):
    metrics = {
        "learnt motifs": {
            "am": {"MOTIF_01": dict(sites=50, consensus="YTAAC", nearest=[["SF1", 0.88]])}
        }
    }
    motif = learnt_of(metrics, "am", {})["MOTIF_01"]
    assert motif.text == "learnt, no known protein; sites YTAAC; most like SF1 (0.88)"
    assert learnt_of(metrics, "fm", {}) == {}
    config = dict(
        name="x", kinds={}, flank=5, data=dict(train=dict(genes=1, bases=2, introns=3)),
        lesson=dict(teacher="T (GPL)", networks=2, windows=1500, edited=1000, digest="abcdef01"),
    )  # fmt: skip
    storage = dict(precision="fp32", windows=1, largest_error=0.0)
    text = card(config, metrics | dict(storage=storage))
    assert "| MOTIF_01 | YTAAC | SF1 (0.88) |  |" in text
    assert (
        "T (GPL): the mean of 2 networks. Its outputs alone were used, on 1,500 windows of "
        "sequence for training, 1,000 of them edited versions of another (soft labels abcdef01)."
        in text
    )
    qki, none = Bound("QKI", 647, 3.57, 3.1, 4.0), Bound("SRSF9", 12, 1.1, 0.6, 1.7)
    in_vivo = {"am": {"MOTIF_01": InVivo((qki,), ()), "SRSF9": InVivo((), (none,))}}
    text = card(config, metrics | dict(storage=storage), in_vivo)
    assert "| MOTIF_01 | YTAAC | SF1 (0.88) | QKI (3.6) |" in text
    assert "| SRSF9 (am) | SRSF9 | 12 | 1.10 (0.60-1.70) |" in text
