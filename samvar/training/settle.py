"""Statistics of a trained model's norms and its thresholds, measured once more when its weights no
longer change."""

from __future__ import annotations

import torch
import torch.nn as nn
from tqdm import tqdm

from ..model.sam import SAM, one_hot
from .dataset import TRAIN, Dataset
from .recipe import SamRecipe
from .sampling import Mixture, WindowSampler

PASSES = 100  # batches, at most


@torch.no_grad()
def settle(
    model: SAM,
    data: Dataset,
    recipe: SamRecipe,
    device: torch.device,
    rank: int = 0,
    part: nn.Module | None = None,
) -> None:
    """Give every norm the median of mean and variance over batches of unchanged training windows,
    and let the thresholds of the sparse layers follow, at their present density; of a `part` of the
    model alone, where one is given.

    The median, not the mean: what passes the gate is rare, and now and then very large, so that a
    few batches carry the mean variance.
    """
    mixture = Mixture(recipe.batch_bases, recipe.windows, recipe.site_share)
    sampler = WindowSampler(data, TRAIN, model.config.reach, mixture, recipe.seed, rank)
    was_training, part = model.training, part or model
    norms = [m for m in part.modules() if isinstance(m, nn.BatchNorm2d)]
    seen: dict[nn.BatchNorm2d, list[torch.Tensor]] = {norm: [] for norm in norms}
    model.eval()
    part.train()
    momentum = {norm: norm.momentum for norm in seen}
    for norm in seen:
        norm.momentum = 1.0  # the running statistics are those of the last batch
    for step in tqdm(range(min(PASSES, recipe.steps)), disable=None, unit="batch", leave=False):
        codes, _ = sampler.batch(step)
        model(one_hot(torch.from_numpy(codes).to(device)))
        for norm, batches in seen.items():
            batches.append(torch.stack(_statistics(norm)))
    for norm, batches in seen.items():
        median = torch.stack(batches).sort(0).values[(len(batches) - 1) // 2]
        for kept, value in zip(_statistics(norm), median):
            kept.copy_(value)
        norm.momentum = momentum[norm]
    model.train(was_training)


def _statistics(norm: nn.BatchNorm2d) -> list[torch.Tensor]:
    mean, var = norm.running_mean, norm.running_var
    assert mean is not None and var is not None
    return [mean, var]
