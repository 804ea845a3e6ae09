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
from ..model.sam import SAM, Stack, Unit, crop, one_hot
from .checkpoint import Checkpoint, load_run, refuse_finished, save_run
from .dataset import TRAIN, Dataset
from .recipe import SamRecipe, recipe_from
from .sampling import Mixture, WindowSampler

BATCHES = 12  # of training windows, of the recipe's size, that weights are fitted to
RIDGE = 1e-5  # of the channels' mean square
ROWS = 20_000  # positions whose products are summed at once


def narrow(run: str, data: Dataset, inner: int, folder: str, device: torch.device) -> None:
    """Write the model of a finished run with `inner` channels within its units, as a finished run,
    to `folder`. Core sites, motifs and all norms but those within the units stay as they are.

    Raises RecipeError where the run is no fm or am, was trained on another dataset, or has no such
    units to narrow.
    """
    refuse_finished(folder)
    if Checkpoint.exists(folder):
        raise RecipeError(f"{folder} holds a run: choose another folder")
    model, description = load_run(run)
    if not isinstance(model, SAM) or description["data"] != data.digest():
        raise RecipeError(f"{run} is no fm or am run on the dataset given with -d")
    config = model.config
    if config.cnn_channels or not 0 < inner < (config.inner_channels or config.channels):
        raise RecipeError(f"the units of {run} cannot be narrowed to {inner} channels")
    with open(os.path.join(run, "recipe.json")) as handle:
        recipe = recipe_from(json.load(handle), SamRecipe)
    mixture = Mixture(recipe.batch_bases, recipe.windows, recipe.site_share)
    sampler = WindowSampler(data, TRAIN, config.reach, mixture, recipe.seed)
    codes = [sampler.batch(step)[0] for step in range(BATCHES)]
    windows = [one_hot(torch.from_numpy(c)).to(device) for c in codes]
    small = narrowed(model.to(device), windows, inner)
    os.makedirs(folder, exist_ok=True)
    settings = json.dumps(asdict(replace(recipe, inner_channels=inner)), indent=1)
    write(os.path.join(folder, "recipe.json"), settings)
    of_run = dict(config=small.config.to_dict(), narrowed_to=inner)
    save_run(folder, small, description | of_run)


@torch.no_grad()
def narrowed(model: SAM, windows: list[torch.Tensor], inner: int) -> SAM:
    """A model (evaluation mode) with `inner` channels within its aggregator's units, that says what
    `model` does of `windows` (N, 4, L) each, as nearly as these channels can."""
    config = replace(model.config, inner_channels=inner)
    small = SAM(config, model.motifs.fixed).to(windows[0].device).eval()
    as_before = {k: v for k, v in model.state_dict().items() if not k.startswith(_STACKS)}
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


_STACKS = ("aggregator.first.units.", "aggregator.second.units.")


def _fit(
    old: Stack, new: Stack, x: list[torch.Tensor], new_x: list[torch.Tensor]
) -> tuple[list[torch.Tensor], list[torch.Tensor]]:
    """Give the units of `new` the weights with which it makes of `new_x` what `old` makes of `x`;
    what both make."""

    def entered(stack: Stack, batches: list[torch.Tensor]) -> list[torch.Tensor]:
        return [stack.enter(b.unsqueeze(2).contiguous(memory_format=torch.channels_last))
                for b in batches]  # fmt: skip

    x, new_x = entered(old, x), entered(new, new_x)
    for wide, unit in tqdm(zip(old.units, new.units), disable=None, leave=False, unit="unit"):
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
        seen = hidden[:, :, 0].unfold(2, width, 1).permute(0, 2, 1, 3).flatten(0, 1).flatten(1)
        wanted = (made - crop(batch, edge, edge))[:, :, 0].transpose(1, 2).flatten(0, 1)
        seen = F.pad(seen, (0, 1), value=1.0)  # for the bias
        for a, b in zip(seen.split(ROWS), wanted.split(ROWS)):
            gram += (a.T @ a).double().cpu()
            cross += (a.T @ b).double().cpu()
    gram.diagonal()[:-1] += RIDGE * gram.diagonal()[:-1].mean()
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
    kept = list(range(len(gram) // width))
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
