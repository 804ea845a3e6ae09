"""Training on the intensities of RNA probes (`model.probes`): set A is trained on, a share of it
validated on, set B tested.

What is normalised is so by the probes of set A that are trained on, and nothing of set B is seen
before the test.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import NamedTuple

import numpy as np
import torch

from ..errors import DatasetError
from ..formats.probes import ProbeTable
from ..model.probes import ProbeNet, ProbeShape
from ..model.sam import one_hot
from .checkpoint import save_run
from .loop import Stateless
from .recipe import ProbesRecipe

BATCH = 1024  # probes that are evaluated together
CEILING = 99.9  # percentile of the intensities at which they are clipped
RESAMPLES = 200


class Parts(NamedTuple):
    """Which probes (boolean, (n,)) are trained on, validated on and tested."""

    train: np.ndarray
    validation: np.ndarray
    test: np.ndarray


def parts_of(table: ProbeTable, recipe: ProbesRecipe) -> Parts:
    """A share of set A, drawn at random, is for validation. A probe of set A whose sequence is one
    of set B is in no part."""
    in_b = {codes.tobytes() for codes in table.codes[table.in_b]}
    own = np.array([codes.tobytes() not in in_b for codes in table.codes])
    drawn = np.random.default_rng(recipe.seed).random(len(table)) < recipe.held_out
    of_a = own & ~table.in_b
    return Parts(of_a & ~drawn, of_a & drawn, table.in_b)


def normalised(intensities: np.ndarray, train: np.ndarray, how: str) -> np.ndarray:
    """Intensities (n, E), clipped at the 99.9th percentile (`clip`) or as their logarithm (`log`:
    of the distance from the smallest, and 1), less the mean and by the standard deviation of the
    probes in `train`, of each experiment."""
    known = intensities[train]
    if how == "clip":
        values = np.minimum(intensities, np.nanpercentile(known, CEILING, axis=0))
    else:
        values = np.log1p(np.maximum(intensities - np.nanmin(known, axis=0), 0))
    mean, sd = np.nanmean(values[train], axis=0), np.nanstd(values[train], axis=0)
    scaled: np.ndarray = ((values - mean) / np.where(sd > 0, sd, 1)).astype(np.float32)
    return scaled


def chosen_experiments(table: ProbeTable, parts: Parts, recipe: ProbesRecipe) -> list[int]:
    """Columns of those that are asked for, or of all, that have `least` intensities in the train
    and the test probes, and not all of them the same. Raises DatasetError where there is none, or
    one that is asked for is not among them."""
    if unknown := sorted(set(recipe.experiments) - set(table.experiments)):
        raise DatasetError(f"{table.path} has no experiment {', '.join(unknown)}")
    known = ~np.isnan(table.intensities)
    enough = [(known[part].sum(0) >= recipe.least) for part in (parts.train, parts.test)]
    found = []
    for i, name in enumerate(table.experiments):
        asked = not recipe.experiments or name in recipe.experiments
        own = table.intensities[parts.train & known[:, i], i]
        usable = enough[0][i] and enough[1][i] and np.ptp(own) > 0
        if asked and usable:
            found.append(i)
        elif name in recipe.experiments:
            raise DatasetError(
                f"{name} has fewer than {recipe.least} intensities in one of the sets of "
                f"{table.path}, or all the same; see least"
            )
    if not found:
        raise DatasetError(
            f"no experiment of {table.path} has {recipe.least} intensities in both sets; see least"
        )
    return found


class ProbesTask(Stateless):
    """Fits a `ProbeNet` to the probes of set A."""

    def __init__(self, table: ProbeTable, recipe: ProbesRecipe, device: torch.device):
        torch.manual_seed(recipe.seed)
        self.recipe, self.device = recipe, device
        self.parts = parts_of(table, recipe)
        columns = chosen_experiments(table, self.parts, recipe)
        self.experiments = tuple(table.experiments[i] for i in columns)
        self.codes = table.codes
        intensities = table.intensities[:, columns]
        self.values = normalised(intensities, self.parts.train, recipe.normalise)
        r = recipe
        shape = ProbeShape(
            length=table.codes.shape[1],
            channels=r.channels,
            width=r.width,
            pool=r.pool,
            hidden=r.hidden,
            dropout=r.dropout,
        )
        if not shape.parts:
            raise DatasetError(
                f"the longest probe of {table.path} has {shape.length} bases: make width and pool "
                "smaller"
            )
        if shape.length < recipe.kmer:
            raise DatasetError(f"kmer must not be more than {shape.length}, the longest probe")
        self.model = ProbeNet(len(columns), shape).to(device)
        self.identity = dict(kind="probes", table=table.digest)
        self.rows = np.flatnonzero(self.parts.train)

    def start_step(self, step: int) -> None:
        torch.manual_seed(self.recipe.seed * 1_000_003 + step)  # for the dropout of this step

    def loss(self, step: int) -> torch.Tensor:
        """Squared error, mean over the intensities that are there."""
        rng = np.random.default_rng([self.recipe.seed, step])
        rows = rng.choice(self.rows, self.recipe.batch)
        values = torch.from_numpy(self.values[rows]).to(self.device)
        bases = one_hot(torch.from_numpy(self.codes[rows]).to(self.device))
        known = ~values.isnan()
        error = self.model(bases) - values.nan_to_num()
        return (error.square() * known).sum() / known.sum().clamp(min=1)

    def validate(self, step: int) -> dict[str, float]:
        """Mean over the experiments of Pearson's correlation with the validation probes."""
        if not self.parts.validation.any():
            return {}
        predicted = predict(self.model, self.codes[self.parts.validation], self.device)
        values = self.values[self.parts.validation]
        found = [pearson(p, v) for p, v in zip(predicted.T, values.T)]
        return dict(pearson=float(np.nanmean(found))) if np.isfinite(found).any() else {}

    def save_weights(self, folder: str, step: int) -> None:
        about = dict(
            experiments=self.experiments,
            shape=asdict(self.model.shape),
            step=step,
            steps=self.recipe.steps,
            recipe=asdict(self.recipe),
        )
        save_run(folder, self.model, self.identity | about)


@torch.inference_mode()
def predict(model: ProbeNet, codes: np.ndarray, device: torch.device) -> np.ndarray:
    """Normalised intensities (n, E) of probes (n, L)."""
    model.eval()
    parts = [codes[start : start + BATCH] for start in range(0, len(codes), BATCH)]
    bases = (one_hot(torch.from_numpy(part).to(device)) for part in parts)
    return np.concatenate([model(part).float().cpu().numpy() for part in bases])


def pearson(predicted: np.ndarray, measured: np.ndarray) -> float:
    """Over the probes whose intensity is there; nan where that, or what is predicted, is the same
    of all."""
    known = ~np.isnan(measured)
    x, y = predicted[known].astype(float), measured[known].astype(float)
    if len(x) < 2 or not np.ptp(x) or not np.ptp(y):
        return float("nan")
    return float(np.corrcoef(x, y)[0, 1])


class Correlation(NamedTuple):
    """Of an experiment's intensities with what is predicted, on set B; `low`, `high`: 95 %,
    bootstrap over probes."""

    experiment: str
    trained: int
    tested: int
    pearson: float
    low: float
    high: float


def tested(task: ProbesTask) -> list[Correlation]:
    """How well each experiment is predicted on set B."""
    test = task.parts.test
    predicted = predict(task.model, task.codes[test], task.device)
    measured = task.values[test]
    known_train = (~np.isnan(task.values[task.parts.train])).sum(0)
    found = []
    for i, name in enumerate(task.experiments):
        known = np.flatnonzero(~np.isnan(measured[:, i]))
        p, v = predicted[known, i], measured[known, i]
        rng = np.random.default_rng(0)
        drawn = (rng.integers(len(known), size=len(known)) for _ in range(RESAMPLES))
        low, high = np.percentile([pearson(p[rows], v[rows]) for rows in drawn], [2.5, 97.5])
        counts = int(known_train[i]), len(known)
        found.append(Correlation(name, *counts, pearson(p, v), float(low), float(high)))
    return found


def mean_pearson(found: Sequence[Correlation]) -> float:
    """Over the experiments that have one; nan where none has."""
    known = [one.pearson for one in found if not np.isnan(one.pearson)]
    return float(np.mean(known)) if known else float("nan")
