"""The cnn in place of attention and LSTM, and aggregators that are trained alone."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from safetensors.torch import load_file

from samvar.cli import main
from samvar.errors import RecipeError
from samvar.model.bottleneck import LSSI_FLOOR, Detection
from samvar.model.growth import grow
from samvar.model.sam import SAM, Config, one_hot
from samvar.training.checkpoint import load_run
from samvar.training.dataset import Dataset
from samvar.training.recipe import SamRecipe
from samvar.training.sam import SamTask
from samvar.training.settle import settle

from . import toy
from .test_training import TINY, data, lssi, packed, source, toml, train  # noqa: F401

pytestmark = pytest.mark.slow


def test_a_cnn_sees_200_bases_on_either_side_and_the_core_score():
    torch.manual_seed(0)
    config = Config(cnn_channels=4, lssi_channels=8, effect_bumps=3, core_needed=True)
    model = SAM(config, toy.fixed_motifs()).eval()
    reach, n = model.config.aggregate_reach, 5
    torch.manual_seed(1)
    core = LSSI_FLOOR * torch.rand(1, 2, 2 * reach + n)
    motifs = torch.rand(1, 3, 2 * reach + n)
    before = model.aggregate(Detection(core, motifs.requires_grad_()))
    assert before.shape == (1, 3, n)
    torch.testing.assert_close(before.exp().sum(1), torch.ones(1, n))
    before[0, 0, 0].backward()  # of the first position that is scored
    seen = motifs.grad[0].abs().sum(0).nonzero()[:, 0]
    assert (seen[0], seen[-1]) == (reach - 200, reach + 200)
    with torch.no_grad():
        none = core.clone()
        none[0, :, reach + 2] = LSSI_FLOOR  # no splice site without a core score
        assert model.aggregate(Detection(none, motifs))[0, 1:, 2].max() < -15


@pytest.mark.parametrize("cnn_channels", [0, 4])
def test_an_aggregator_alone_starts_anew_and_leaves_the_rest(packed, lssi, cnn_channels, tmp_path):  # noqa: F811
    start = tmp_path / "start"
    train(
        "am", toml(tmp_path / "s.toml", steps=3, **TINY), "-d", packed, "--lssi", lssi, "-o", start
    )
    alone = TINY | dict(steps=4, aggregator_alone=True, cnn_channels=cnn_channels)
    recipe = toml(tmp_path / "r.toml", **alone)
    args = ["am", recipe, "-d", packed, "--start-from", start]
    train(*args, "-o", tmp_path / "once")
    train(*args, "-o", tmp_path / "twice", "--minutes", 1e-9)
    train(*args, "-o", tmp_path / "twice", "--resume")
    theirs, once, twice = (
        load_file(tmp_path / name / "model.safetensors") for name in ("start", "once", "twice")
    )
    assert all(torch.equal(value, twice[key]) for key, value in once.items())
    for key, value in once.items():
        if not key.startswith("aggregator."):
            assert torch.equal(value, theirs[key]), key
    if cnn_channels:
        assert "aggregator.net.enter.weight" in once and "aggregator.lstm.weight_ih_l0" not in once
    else:
        key = "aggregator.first.enter.weight"
        assert not torch.allclose(once[key], theirs[key], atol=0.05)
    model = load_run(str(tmp_path / "once"))[0]
    with torch.no_grad():
        codes = np.random.default_rng(0).integers(0, 4, (1, 700))
        p = model.eval()(one_hot(torch.from_numpy(codes))).exp()
    torch.testing.assert_close(p.sum(1), torch.ones_like(p[:, 0]))


def test_a_cnn_that_grows_says_what_it_did():
    torch.manual_seed(0)
    config = Config(cnn_channels=4, lssi_channels=8, effect_bumps=3)
    small = SAM(config, toy.fixed_motifs()).eval()
    large = SAM(replace(config, learnt_motifs=2), toy.fixed_motifs()).eval()
    grow(large, small, {i: i for i in range(3)})
    core, motifs = -torch.rand(1, 2, 600), torch.rand(1, 5, 600)
    with torch.no_grad():
        one, other = small.aggregator(core, motifs[:, :3]), large.aggregator(core, motifs)
    torch.testing.assert_close(one, other)
    assert [*dict(small.named_parameters())][-1] == "aggregator.effects.weight"
    attention = SAM(replace(config, cnn_channels=0), toy.fixed_motifs())
    assert [*dict(attention.named_parameters())][-1] == "aggregator.effects.weight"


def test_norms_of_a_cnn_are_measured_once_more(packed, lssi):  # noqa: F811
    """Each has the median of its batches' statistics, as those of the stacks do."""
    torch.manual_seed(0)
    shape = {key: tuple(v) if isinstance(v, list) else v for key, v in TINY.items()}
    recipe = SamRecipe(steps=5, cnn_channels=4, **shape)
    model = SAM(Config(cnn_channels=4, lssi_channels=8), toy.fixed_motifs())
    norms = [m for m in model.aggregator.modules() if isinstance(m, torch.nn.BatchNorm2d)]
    seen = []
    norms[0].register_forward_hook(lambda _, given, __: seen.append(given[0].mean((0, 2, 3))))
    settle(model, Dataset.load(packed), recipe, torch.device("cpu"))
    assert len(seen) == 5 and len(norms) > 2
    torch.testing.assert_close(norms[0].running_mean, torch.stack(seen).median(0).values)
    assert all(norm.momentum == torch.nn.BatchNorm2d(1).momentum for norm in norms)


def test_no_bundle_is_made_of_a_cnn(packed, lssi, tmp_path):  # noqa: F811
    recipe = toml(tmp_path / "r.toml", steps=1, cnn_channels=4, **TINY)
    train("am", recipe, "-d", packed, "--lssi", lssi, "-o", tmp_path / "cnn")
    args = ["--name", "x", "--am", tmp_path / "cnn", "-d", packed, "-o", tmp_path / "b"]
    refused = CliRunner().invoke(main, ["train", "bundle", *map(str, args)])
    assert refused.exit_code == 1 and "a cnn as aggregator, for comparison" in refused.stderr


def test_recipes_that_make_no_sense(packed, lssi, tmp_path):  # noqa: F811
    shape = {key: tuple(v) if isinstance(v, list) else v for key, v in TINY.items()}
    recipe = SamRecipe(steps=1, aggregator_alone=True, **shape)
    cpu, dataset = torch.device("cpu"), Dataset.load(packed)
    start = tmp_path / "start"
    train(
        "am", toml(tmp_path / "s.toml", steps=1, **TINY), "-d", packed, "--lssi", lssi, "-o", start
    )
    for lssi_too in (None, str(lssi)):
        with pytest.raises(RecipeError, match="aggregator_alone needs --start-from"):
            SamTask("am", dataset, recipe, cpu, lssi_too, lssi_too and str(start))
    for other in (dict(channels=4), dict(canonical=True), dict(learnt_motifs=2)):
        with pytest.raises(RecipeError, match=f"as it is: {next(iter(other))} must be as there"):
            SamTask("am", dataset, replace(recipe, **other), cpu, start_from=str(start))
    with pytest.raises(RecipeError, match="branch_points_alone trains no motifs"):
        alone = dict(branch_point=True, branch_points_alone=True, train_core=True)
        SamRecipe(steps=1, bound_weight=1.0, weight_decay=0.0, **alone)
    for more in (dict(train_core=True), dict(bound_weight=1.0)):
        with pytest.raises(RecipeError, match="aggregator_alone trains no core sites"):
            SamRecipe(steps=1, aggregator_alone=True, **more)
    with pytest.raises(RecipeError, match="cnn_channels"):
        SamRecipe(steps=1, cnn_channels=-1)
