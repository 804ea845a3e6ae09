"""Fewer channels within the residual units of a trained aggregator (`inner_channels`).

Unit by unit those channels are kept from which the second convolution can best give what it gave,
by least squares, and its weights are fitted anew: channel pruning (He et al.; Luo et al., "ThiNet";
both ICCV 2017). Each unit is given what the units before it, narrow already, make.
"""

from __future__ import annotations

import json
import os
from dataclasses import asdict, replace

import torch
import torch.nn.functional as F
from tqdm import tqdm

from ..errors import RecipeError
from ..files import write
from ..model.bundle import sha256_file
from ..model.sam import SAM, Stack, Unit, crop, one_hot
from .checkpoint import Checkpoint, load_run, refuse_finished, save_run, settings_of
from .dataset import TRAIN, Dataset
from .recipe import SamRecipe, recipe_from
from .sampling import Mixture, WindowSampler

BASES = 216_000  # scored, at least, of training windows that weights are fitted to
RIDGE = 1e-5  # of the channels' mean square
LEAST_RIDGE = 1e-12
STACKS = ("aggregator.first.units.", "aggregator.second.units.")


def narrow(run: str, data: Dataset, inner: int, folder: str, device: torch.device) -> None:
    """Write the model of a finished run with `inner` channels within its units, as a finished run,
    to `folder`. Core sites, motifs and all norms but those within the units stay as they are.

    Raises RecipeError where the run is no fm or am, was trained on another dataset, or has a cnn or
    no more channels than these.
    """
    refuse_finished(folder)
    if Checkpoint.exists(folder):
        raise RecipeError(f"{folder} holds a run: choose another folder")
    model, description = load_run(run)
    if not isinstance(model, SAM):
        raise RecipeError(f"{run} is a run of core sites; only fm and am runs can be narrowed")
    if description["data"] != data.digest():
        raise RecipeError(f"{run} was not trained on the dataset given with -d")
    config = model.config
    if config.cnn_channels:
        raise RecipeError(f"{run} has a cnn as aggregator: it has no units to narrow")
    if inner >= (within := config.inner_channels or config.channels):
        raise RecipeError(f"{run} has {within} channels within its units: --inner must be less")
    recipe = recipe_from(settings_of(run), SamRecipe)
    mixture = Mixture(recipe.batch_bases, recipe.windows, recipe.site_share)
    sampler = WindowSampler(data, TRAIN, config.reach, mixture, recipe.seed)
    codes = [sampler.batch(step)[0] for step in range(-(-BASES // recipe.batch_bases))]
    windows = [one_hot(torch.from_numpy(c)).to(device) for c in codes]
    small = narrowed(model.to(device), windows, inner)
    sha256 = sha256_file(os.path.join(run, "model.safetensors"))
    source = dict(name=os.path.basename(os.path.abspath(run)), sha256=sha256, inner=inner)
    os.makedirs(folder, exist_ok=True)
    settings = json.dumps(asdict(replace(recipe, inner_channels=inner)), indent=1)
    write(os.path.join(folder, "recipe.json"), settings)
    save_run(folder, small, description | dict(config=small.config.to_dict(), narrowed=source))


@torch.no_grad()
def narrowed(model: SAM, windows: list[torch.Tensor], inner: int) -> SAM:
    """A model (evaluation mode) with `inner` channels within its aggregator's units, that says what
    `model` does of `windows` (N, 4, L) each, as nearly as these channels can."""
    config = replace(model.config, inner_channels=inner)
    small = SAM(config, model.motifs.fixed).to(windows[0].device).eval()
    as_before = {k: v for k, v in model.state_dict().items() if not k.startswith(STACKS)}
    small.load_state_dict(as_before, strict=False)
    old, new = model.eval().aggregator, small.aggregator
    u = [old.embed(*model.detect(x)) for x in windows]
    v, new_v = _fit(old.first, new.first, u, u)
    inputs = []
    for of_stack in (v, new_v):
        edges = [(a.shape[-1] - b.shape[-1]) // 2 + config.attention_reach for a, b in zip(u, v)]
        inputs.append([old.gate(b, crop(a, e, e)) for a, b, e in zip(u, of_stack, edges)])
    _fit(old.second, new.second, *inputs)
    return small


def _fit(
    old: Stack, new: Stack, x: list[torch.Tensor], new_x: list[torch.Tensor]
) -> tuple[list[torch.Tensor], list[torch.Tensor]]:
    """Give the units of `new` the weights with which it makes of `new_x` what `old` makes of `x`;
    what both make."""

    def entered(stack: Stack, batches: list[torch.Tensor]) -> list[torch.Tensor]:
        return [stack.enter(b.unsqueeze(2).contiguous(memory_format=torch.channels_last))
                for b in batches]  # fmt: skip

    x, new_x = entered(old, x), entered(new, new_x)
    units = zip(old.units, new.units)
    for wide, unit in tqdm(units, total=len(new.units), disable=None, leave=False, unit="unit"):
        x = [wide(b) for b in x]
        _fit_unit(wide, unit, new_x, x)
        new_x = [unit(b) for b in new_x]
    return [old.leave(b).squeeze(2) for b in x], [new.leave(b).squeeze(2) for b in new_x]


def _fit_unit(wide: Unit, unit: Unit, x: list[torch.Tensor], y: list[torch.Tensor]) -> None:
    """Give `unit` the channels and weights with which it makes of `x` what `wide` should: `y`."""
    width, edge = unit.width, unit.width - 1
    n = wide.conv2.in_channels * width
    gram = torch.zeros(n + 1, n + 1, dtype=torch.float64)
    cross = torch.zeros(n + 1, unit.conv2.out_channels, dtype=torch.float64)
    for batch, made in zip(x, y):
        hidden = F.relu(wide.norm2(wide.conv1(F.relu(wide.norm1(batch)))))
        wanted = made - crop(batch, edge, edge)
        for of_row, wanted_of_row in zip(hidden[:, :, 0], wanted[:, :, 0]):
            seen = of_row.unfold(1, width, 1).transpose(0, 1).flatten(1)
            seen = F.pad(seen, (0, 1), value=1.0)  # for the bias
            gram += (seen.T @ seen).double().cpu()
            cross += (seen.T @ wanted_of_row.T).double().cpu()
    ridge = max(RIDGE * float(gram.diagonal()[:-1].mean()), LEAST_RIDGE * float(gram[-1, -1]))
    gram.diagonal()[:-1] += ridge
    kept = _most_useful(gram, cross, width, unit.conv2.in_channels)
    weights = torch.linalg.solve(*_of_channels(gram, cross, kept, width))
    unit.norm1.load_state_dict(wide.norm1.state_dict())
    of_channels = {key: t[kept] if t.dim() else t for key, t in wide.norm2.state_dict().items()}
    unit.norm2.load_state_dict(of_channels)
    unit.conv1.load_state_dict({key: t[kept] for key, t in wide.conv1.state_dict().items()})
    unit.conv2.weight.copy_(weights[:-1].T.reshape_as(unit.conv2.weight))
    unit.conv2.bias.copy_(weights[-1])


def _most_useful(gram: torch.Tensor, cross: torch.Tensor, width: int, most: int) -> list[int]:
    """Channels that are left when one after the other is dropped whose loss adds least to the
    squared error of the best weights (each has `width` rows of `gram` and `cross`)."""
    kept = list(range((len(gram) - 1) // width))
    while len(kept) > most:
        g, c = _of_channels(gram, cross, kept, width)
        inverse = torch.linalg.inv(g)
        weights = (inverse @ c)[:-1].view(len(kept), width, -1)
        blocks = inverse[:-1, :-1].view(len(kept), width, len(kept), width)
        own = torch.stack([blocks[i, :, i] for i in range(len(kept))])
        loss = (weights * torch.linalg.solve(own, weights)).sum((1, 2))
        del kept[int(loss.argmin())]
    return kept


def _of_channels(
    gram: torch.Tensor, cross: torch.Tensor, channels: list[int], width: int
) -> tuple[torch.Tensor, torch.Tensor]:
    """The rows (and columns) of these channels, and of the bias."""
    rows = [c * width + i for c in channels for i in range(width)] + [len(gram) - 1]
    return gram[rows][:, rows], cross[rows]
