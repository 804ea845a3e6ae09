"""How well a model ranks the effects of single edits, held against its teacher's: no variant set is
touched."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from tqdm import tqdm

from ..errors import DatasetError
from ..model.bottleneck import LSSI_FLOOR
from ..model.sam import SAM, crop, one_hot
from .distil import MOST_LOG_ODDS, divergence, log_odds
from .edits import REGIONS
from .soft_labels import SoftLabels

NEAR = 200  # bases from an edit within which sites are compared
BATCH = 2  # families scored together


@dataclass(frozen=True)
class SiteChanges:
    """Changes of log-odds of followed sites by single edits; all (n,).

    region   index into REGIONS of the edit
    ours     mean over the seeds of the model's change
    theirs   the teacher's
    family   of the edit: the unit that is resampled
    """

    region: np.ndarray
    ours: np.ndarray
    theirs: np.ndarray
    family: np.ndarray

    def agreement(self, among: np.ndarray) -> dict[str, float]:
        """Spearman, its 95 % bootstrap interval over families, and squared Pearson, of a subset."""
        ours, theirs, family = self.ours[among], self.theirs[among], self.family[among]
        if len(ours) < 3:
            return dict(n=len(ours))
        rng = np.random.default_rng(0)
        _, owner = np.unique(family, return_inverse=True)
        members = np.split(np.argsort(owner, kind="stable"), np.cumsum(np.bincount(owner))[:-1])
        resampled = []
        for _ in range(200):
            drawn = np.concatenate(
                [members[i] for i in rng.integers(len(members), size=len(members))]
            )
            resampled.append(spearman(ours[drawn], theirs[drawn]))
        resampled = [rho for rho in resampled if not math.isnan(rho)]
        low, high = np.percentile(resampled, [2.5, 97.5]) if resampled else (math.nan, math.nan)
        return dict[str, Any](
            n=len(ours),
            spearman=spearman(ours, theirs),
            interval=(float(low), float(high)),
            r2=pearson(ours, theirs) ** 2,
        )

    def by_region(self) -> dict[str, dict[str, float]]:
        """`agreement` of all changes, and of each region's."""
        found = {"all": self.agreement(np.ones(len(self.region), bool))}
        for number, name in enumerate(REGIONS):
            found[name] = self.agreement(self.region == number)
        return found


def spearman(x: np.ndarray, y: np.ndarray) -> float:
    """Spearman's rank correlation; ties have their mean rank, nan where one side is constant."""
    return pearson(ranks(x), ranks(y))


def pearson(x: np.ndarray, y: np.ndarray) -> float:
    """Pearson's correlation; nan where one side is constant."""
    if x.min() == x.max() or y.min() == y.max():
        return math.nan
    return float(np.corrcoef(x, y)[0, 1])


def ranks(values: np.ndarray) -> np.ndarray:
    """Ranks from 0; ties have their mean."""
    _, inverse, counts = np.unique(values, return_inverse=True, return_counts=True)
    last = np.cumsum(counts)
    return (last - (counts + 1) / 2)[inverse]


@torch.inference_mode()
def yardstick(
    models: list[SAM], labels: SoftLabels, device: torch.device, families: int | None = None
) -> dict:
    """Agreement with the teacher on the single edits of `labels`, by region; divergence in nats per
    1,000 bases; shares of bases with a core score; density of motif sites. Numbers ready for JSON;
    of several models (seeds) those of their mean probability, all at temperature 1.

    Raises DatasetError where `labels` holds no single edits (`single = true` in the recipe).
    """
    if not (labels.edit_region >= 0).any():
        raise DatasetError("the soft labels hold no single edits: teach with single = true")
    temperatures = [model.aggregator.temperature for model in models]
    for model in models:
        model.eval()
        model.aggregator.temperature = 1.0
    count = min(families or len(labels.families) - 1, len(labels.families) - 1)
    columns, nats, bases, shares, density = [], 0.0, 0, [], []
    for first in tqdm(range(0, count, BATCH), disable=None, unit="family", leave=False):
        versions = labels.versions_of(np.arange(first, min(first + BATCH, count)))
        x = one_hot(torch.from_numpy(labels.codes[versions]).to(device))
        p = []
        for model in models:
            before, after = model.config.reach
            found = model.detect(crop(x, labels.left - before, labels.right - after))
            p.append(model.aggregate(found).float().exp())
            shares.append((found.core > LSSI_FLOOR + 1e-3).float().mean((0, 2)).cpu().numpy())
            density.append(float((found.motifs > 0).float().mean()))
        log_p = torch.stack(p).mean(0).log()
        target = torch.from_numpy(labels.probabilities(versions)).to(device)
        known = crop(x, labels.left, labels.right).sum(1)
        nats += float(divergence(log_p, target, known)) * float(known.sum()) / 1000
        bases += int(known.sum())
        columns.append(_changes(labels, versions, log_p))
    for model, temperature in zip(models, temperatures):
        model.aggregator.temperature = temperature
    changes = SiteChanges(*(np.concatenate(c) for c in zip(*columns)))
    return dict(
        changes=changes.by_region(),
        divergence=1000 * nats / max(bases, 1),
        core_share=np.mean(shares, 0).tolist(),
        density=float(np.mean(density)),
    )


def _changes(labels: SoftLabels, versions: np.ndarray, log_p: torch.Tensor) -> tuple:
    """Columns of `SiteChanges` of these whole families."""
    sites = labels.sites(versions)
    ours = log_odds(log_p, sites).cpu().numpy()
    value = {}
    for row, name, at, mine, theirs in zip(sites.row, sites.name, sites.at, ours, sites.log_odds):
        limited = np.clip((mine, theirs), -MOST_LOG_ODDS, MOST_LOG_ODDS)
        value[int(row), int(name)] = int(at), limited
    first_of = {int(f): row for row, f in reversed(list(enumerate(labels.family[versions])))}
    rows = []
    for (row, name), (at, limited) in value.items():
        region = int(labels.edit_region[versions[row]])
        family = int(labels.family[versions[row]])
        plain = first_of[family]
        if region < 0 or (plain, name) not in value:
            continue
        codes = labels.codes[versions[row]] != labels.codes[versions[plain]]
        if abs(int(np.flatnonzero(codes)[0]) - labels.left - at) <= NEAR:
            change = limited - value[plain, name][1]
            rows.append((region, *change, family))
    region, ours, theirs, family = np.array(rows, float).reshape(-1, 4).T
    return region.astype(int), ours, theirs, family.astype(int)
