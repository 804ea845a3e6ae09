"""How well a model ranks the effects of single edits, held against its teacher's: no variant set is
touched."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import torch
from tqdm import tqdm

from ..errors import DatasetError
from ..model.bottleneck import LSSI_FLOOR
from ..model.sam import SAM, crop, one_hot
from .distil import MOST_LOG_ODDS, divergence, log_odds
from .edits import REGIONS
from .evaluate import NOMINAL_ETA, entropy_bound
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
    1,000 bases; shares of bases with a core score; density of motif sites; bits a base by the
    paper's bound, of the core channels, too. Numbers ready for JSON; of several models (seeds)
    those of their mean probability, all at temperature 1.

    Raises DatasetError where `labels` holds no single edits (`single = true` in the recipe).
    """
    if not (labels.edit_region >= 0).any():
        raise DatasetError("the soft labels hold no single edits: teach with single = true")
    temperatures = [model.aggregator.temperature for model in models]
    for model in models:
        model.eval()
        model.aggregator.temperature = 1.0
    count = min(families or len(labels.families) - 1, len(labels.families) - 1)
    columns, nats, bases = [], 0.0, 0
    shares, density = [], []  # of bases with a site, of each channel
    for first in tqdm(range(0, count, BATCH), disable=None, unit="family", leave=False):
        versions = labels.versions_of(np.arange(first, min(first + BATCH, count)))
        x = one_hot(torch.from_numpy(labels.codes[versions]).to(device))
        p = []
        for model in models:
            before, after = model.config.reach
            found = model.detect(crop(x, labels.left - before, labels.right - after))
            p.append(model.aggregate(found).float().exp())
            shares.append((found.core > LSSI_FLOOR + 1e-3).float().mean((0, 2)).cpu().numpy())
            density.append((found.motifs > 0).float().mean((0, 2)).cpu().numpy())
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
        bits=sum(
            entropy_bound(1, share, NOMINAL_ETA)
            for share in np.concatenate((np.mean(shares, 0), np.mean(density, 0))).tolist()
        ),
    )


class SingleEdit(NamedTuple):
    """A single substitution and a followed site within NEAR of it.

    row, plain  index of the edited version and of its unedited one, among those asked about
    name        of the site (`FollowedSites.name`), `kind` and 0-based position `site` of it
    at, base    position of the edit, 0-based in the scored bases, and the new base
    region      index into REGIONS
    theirs      the teacher's change of the site's log-odds
    family      of both versions
    """

    row: int
    plain: int
    name: int
    kind: int
    site: int
    at: int
    base: int
    region: int
    theirs: float
    family: int


def single_edits(labels: SoftLabels, versions: np.ndarray) -> Iterator[SingleEdit]:
    """Those in these versions of whole families."""
    sites = labels.sites(versions)
    theirs = {
        (int(row), int(name)): float(np.clip(value, -MOST_LOG_ODDS, MOST_LOG_ODDS))
        for row, name, value in zip(sites.row, sites.name, sites.log_odds)
    }
    first_of = {int(f): row for row, f in reversed(list(enumerate(labels.family[versions])))}
    for row, kind, site, name in zip(*(column.tolist() for column in sites[:4])):
        version = versions[row]
        family, region = int(labels.family[version]), int(labels.edit_region[version])
        plain = first_of[family]
        if region < 0 or (plain, name) not in theirs:
            continue
        codes = labels.codes[version]
        index = int(np.flatnonzero(codes != labels.codes[versions[plain]])[0])
        at = index - labels.left
        if abs(at - site) <= NEAR:
            change = theirs[row, name] - theirs[plain, name]
            yield SingleEdit(
                row, plain, name, kind, site, at, int(codes[index]), region, change, family
            )


def _changes(labels: SoftLabels, versions: np.ndarray, log_p: torch.Tensor) -> tuple:
    """Columns of `SiteChanges` of these whole families."""
    sites = labels.sites(versions)
    values = log_odds(log_p, sites).cpu().numpy().clip(-MOST_LOG_ODDS, MOST_LOG_ODDS)
    ours = dict(zip(zip(sites.row.tolist(), sites.name.tolist()), values.tolist()))
    rows = [
        (e.region, ours[e.row, e.name] - ours[e.plain, e.name], e.theirs, e.family)
        for e in single_edits(labels, versions)
    ]
    return _columns(rows)


def _columns(rows: list[tuple[int, float, float, int]]) -> tuple:
    region, ours, theirs, family = np.array(rows, float).reshape(-1, 4).T
    return region.astype(int), ours, theirs, family.astype(int)


def changes_said(
    labels: SoftLabels, say: Callable[[int, SingleEdit], float | None], families: int | None = None
) -> SiteChanges:
    """Changes by something else than a SAM: `say` is given the index in `labels` of the unedited
    version and an edit of it; what it says nothing of (None) is left out."""
    count = min(families or len(labels.families) - 1, len(labels.families) - 1)
    versions = labels.versions_of(np.arange(count))
    rows = []
    for edit in single_edits(labels, versions):
        ours = say(int(versions[edit.plain]), edit)
        if ours is not None:
            rows.append((edit.region, ours, edit.theirs, edit.family))
    return SiteChanges(*_columns(rows))
