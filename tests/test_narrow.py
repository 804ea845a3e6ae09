"""Fewer channels within the residual units of an aggregator."""

import copy
import json
from dataclasses import replace

import pytest
import torch
from click.testing import CliRunner
from safetensors.torch import load_file

from samvar.cli import main
from samvar.errors import RecipeError
from samvar.model.bundle import Bundle
from samvar.model.device import SMALL_ROW
from samvar.model.growth import grow
from samvar.model.sam import SAM, FoldedUnit, Unit, for_scoring
from samvar.scoring.predictor import ROWS, Predictor
from samvar.training.checkpoint import load_run
from samvar.training.dataset import Dataset
from samvar.training.narrow import _most_useful, narrowed
from samvar.training.recipe import SamRecipe
from samvar.training.sam import SamTask

from . import toy
from .test_training import TINY, data, lssi, packed, source, toml, train  # noqa: F401

AGGREGATOR = [
    f"aggregator.{stack}.units.{unit}." for stack in ("first", "second") for unit in (0, 1)
]


@pytest.fixture(autouse=True)
def few_windows(monkeypatch):
    monkeypatch.setattr("samvar.training.narrow.BASES", 3000)


@pytest.fixture(scope="module")
def redundant():
    """A model within whose units each channel is there twice, in halves."""
    model = toy.model("am", inner_channels=8)
    with torch.no_grad():
        for stack in (model.aggregator.first, model.aggregator.second):
            for unit in stack.units:
                for part in (unit.conv1, unit.norm2):
                    for tensor in part.state_dict().values():
                        if tensor.dim():
                            tensor[4:] = tensor[:4]
    return model.eval()


def test_inner_channels_are_those_within_the_units_of_the_aggregator():
    model = toy.model("am", inner_channels=4)
    for stack in (model.aggregator.first, model.aggregator.second):
        for unit in stack.units:
            assert unit.conv1.weight.shape == (4, 8, 1, 3)
            assert unit.conv2.weight.shape == (8, 4, 1, 3)
    assert model.motifs.adjust.units[0].conv1.weight.shape == (8, 8, 1, 3)
    x = toy.sequence(2, sum(model.config.reach) + 50, seed=0)
    with torch.no_grad():
        torch.testing.assert_close(for_scoring(model)(x), model(x))


def test_a_row_has_the_digits_alone_that_it_has_beside_another(monkeypatch):
    monkeypatch.setattr("samvar.model.sam.same_anywhere", lambda: True)
    torch.manual_seed(0)
    unit = Unit(64, 7, 8).eval()
    unit.norm1.running_mean.normal_()
    unit.norm2.running_var.uniform_(0.5, 2.0)
    folded = FoldedUnit(unit)
    x = torch.randn(2, 64, 1, SMALL_ROW // 32).contiguous(memory_format=torch.channels_last)
    with torch.no_grad():
        together = folded(x)
        assert torch.equal(folded(x[:1]), together[:1]) and torch.equal(folded(x[1:]), together[1:])
        torch.testing.assert_close(together, unit(x), atol=1e-5, rtol=1e-4)
    x.requires_grad_()
    torch.testing.assert_close(
        torch.autograd.grad(folded(x[:1]).sum(), x)[0], torch.autograd.grad(unit(x[:1]).sum(), x)[0]
    )


@pytest.mark.parametrize(
    "channels, inner, rows", [(16, 0, ROWS), (32, 16, ROWS), (32, 8, 1), (8, 0, 1)]
)
def test_windows_share_a_call_where_units_are_wide_enough(channels, inner, rows):
    """Else a row's last digits depend on where in a call it stands."""
    model = toy.model("am", channels=channels, inner_channels=inner).eval()
    wide = toy.model("am", channels=16).eval()
    for models in ([model], [wide, model]):
        bundle = Bundle("narrow", "am", models, [*range(len(models))], toy.RBPS, 30, "", "")
        with Predictor(bundle) as predictor:
            assert predictor._rows == rows


def test_the_channels_are_kept_that_say_most():
    """Of five, the third is as good as the sum of the first two, and the last is of no use."""
    torch.manual_seed(0)
    h = torch.randn(500, 5, 2)  # positions, channels, width
    h[:, 2] = h[:, 0] + h[:, 1]
    y = (h[:, 0] + h[:, 1]) @ torch.randn(2, 3) + 0.5 * h[:, 3] @ torch.randn(2, 3)
    a = torch.cat([h.flatten(1), torch.ones(500, 1)], 1).double()
    gram, cross = a.T @ a + 1e-6 * torch.eye(11), a.T @ y.double()
    assert _most_useful(gram, cross, 2, 2) == [2, 3]
    assert _most_useful(gram, cross, 2, 1) == [2]
    a = torch.cat([h[:, :, 0], torch.ones(500, 1)], 1).double()  # of width 1
    assert _most_useful(a.T @ a + 1e-6 * torch.eye(6), a.T @ y.double(), 1, 1) == [2]


def test_what_is_there_twice_is_kept_once(redundant):
    torch.manual_seed(1)
    windows = [toy.sequence(3, sum(redundant.config.reach) + 100) for _ in range(3)]
    small = narrowed(redundant, windows, 4)
    assert small.config == replace(redundant.config, inner_channels=4)
    x = toy.sequence(2, sum(redundant.config.reach) + 60)
    with torch.no_grad():
        torch.testing.assert_close(small(x), redundant(x), atol=1e-3, rtol=1e-3)
        less = narrowed(redundant, windows, 1)(x)
    assert (less - redundant(x)).abs().max() > 1e-3  # the test can tell
    for key, tensor in small.state_dict().items():
        if not key.startswith(tuple(AGGREGATOR)):
            assert torch.equal(tensor, redundant.state_dict()[key]), key


def test_units_whose_channels_are_all_silent_are_narrowed_too(redundant):
    silent = copy.deepcopy(redundant)
    with torch.no_grad():
        for unit in silent.aggregator.first.units:
            unit.norm2.weight.zero_()
            unit.norm2.bias.fill_(-1.0)
    torch.manual_seed(1)
    windows = [toy.sequence(3, sum(silent.config.reach) + 100)]
    small = narrowed(silent, windows, 4)
    x = toy.sequence(2, sum(silent.config.reach) + 60)
    with torch.no_grad():
        torch.testing.assert_close(small(x), silent(x), atol=1e-2, rtol=1e-2)


def test_other_units_start_anew(redundant):
    config = replace(redundant.config, inner_channels=3, learnt_motifs=2)
    model = SAM(config, toy.fixed_motifs())
    before = {key: tensor.clone() for key, tensor in model.state_dict().items()}
    grow(model, redundant, {i: i for i in range(3)})
    after, theirs = model.state_dict(), redundant.state_dict()
    for key in AGGREGATOR:
        assert torch.equal(after[key + "conv1.weight"], before[key + "conv1.weight"])
    for key in ("motifs.adjust.units.0.conv1.weight", "aggregator.lstm.weight_hh_l0"):
        assert torch.equal(after[key], theirs[key])


@pytest.mark.slow
def test_a_narrow_run_is_trained_on_and_bundled(packed, lssi, tmp_path):  # noqa: F811
    start, small, on = (tmp_path / name for name in ("start", "small", "on"))
    of_am = ["-d", packed, "--lssi", lssi, "-o", start]
    train("am", toml(tmp_path / "s.toml", steps=3, **TINY), *of_am)
    narrow = ["narrow", start, "-d", packed, "--inner", 2]
    train(*narrow, "-o", small)
    train(*narrow, "-o", tmp_path / "again")
    theirs, ours = (load_file(f / "model.safetensors") for f in (start, small))
    again = load_file(tmp_path / "again" / "model.safetensors")
    assert all(torch.equal(again[key], tensor) for key, tensor in ours.items())
    for key, tensor in ours.items():
        if ".units." not in key or "motifs" in key:
            assert torch.equal(tensor, theirs[key]), key
    model, description = load_run(str(small), "am")
    assert model.config.inner_channels == description["config"]["inner_channels"] == 2
    assert json.loads((small / "recipe.json").read_text())["inner_channels"] == 2

    more = TINY | dict(steps=4, aggregator_alone=True, keep_norms=True, inner_channels=2)
    recipe = toml(tmp_path / "m.toml", **more)
    args = ["am", recipe, "-d", packed, "--start-from", small]
    train(*args, "-o", on)
    train(*args, "-o", tmp_path / "twice", "--minutes", 1e-9)
    train(*args, "-o", tmp_path / "twice", "--resume")
    trained, twice = (load_file(f / "model.safetensors") for f in (on, tmp_path / "twice"))
    assert all(torch.equal(twice[key], tensor) for key, tensor in trained.items())
    moved = {key for key, tensor in trained.items() if not torch.equal(tensor, ours[key])}
    assert moved and all(key.startswith("aggregator.") for key in moved)
    weight = "aggregator.first.enter.weight"  # it goes on from the start's weights
    assert (trained[weight] - ours[weight]).abs().max() < 0.05
    assert not any("running" in key for key in moved)

    bundle = ["bundle", "--name", "mine", "--am", on, "-d", packed, "-o", tmp_path / "bundle"]
    train(*bundle)
    card = (tmp_path / "bundle" / "CARD.md").read_text()
    assert "2 channels within the aggregator's residual units" in card

    wide = json.loads((small / "model.json").read_text())["narrowed"]
    assert (wide["name"], wide["inner"]) == ("start", 2)
    assert f"narrowed from start ({wide['sha256'][:8]})" in card

    of_shape = {key: tuple(v) if isinstance(v, list) else v for key, v in TINY.items()}
    for inner in (0, 3):
        recipe = SamRecipe(**of_shape, steps=1, inner_channels=inner)
        with pytest.raises(RecipeError, match="has inner_channels = 2, which the recipe needs"):
            start_from = str(small)
            SamTask("am", Dataset.load(packed), recipe, torch.device("cpu"), start_from=start_from)
    for wrong in (dict(inner_channels=8, channels=8), dict(inner_channels=2, cnn_channels=4)):
        with pytest.raises(RecipeError, match="inner_channels must be less than channels"):
            SamRecipe(steps=1, **wrong)


@pytest.mark.slow
def test_what_cannot_be_narrowed_is_refused(packed, lssi, tmp_path):  # noqa: F811
    start = tmp_path / "start"
    of_am = ["-d", packed, "--lssi", lssi, "-o", start]
    train("am", toml(tmp_path / "s.toml", steps=1, **TINY | dict(stack_widths=[3, 1])), *of_am)
    train("narrow", start, "-d", packed, "--inner", 2, "-o", tmp_path / "of_width_1")

    def refused(*args, of=packed):
        command = ["train", "narrow", *map(str, args), "-d", of]
        result = CliRunner().invoke(main, command)
        assert result.exit_code == 1, result.output
        return result.stderr

    out = tmp_path / "out"
    channels = TINY["channels"]
    assert "--inner must be less" in refused(start, "--inner", channels, "-o", out)
    assert "only fm and am runs" in refused(lssi, "--inner", 2, "-o", out)
    assert "choose another folder" in refused(start, "--inner", 2, "-o", start)
    assert not out.exists()
    other = Dataset.load(packed)
    other.codes[:100] = 0
    other.save(str(tmp_path / "other.npz"))
    told = refused(start, "--inner", 2, "-o", out, of=str(tmp_path / "other.npz"))
    assert "was not trained on the dataset given with -d" in told
    cnn = tmp_path / "cnn"
    recipe = toml(tmp_path / "c.toml", steps=1, cnn_channels=4, **TINY)
    train("am", recipe, "-d", packed, "--lssi", lssi, "-o", cnn)
    assert "has a cnn as aggregator" in refused(cnn, "--inner", 2, "-o", out)
    (start / "recipe.json").unlink()
    assert "recipe.json, which belongs to the run" in refused(start, "--inner", 2, "-o", out)
    assert not out.exists()
