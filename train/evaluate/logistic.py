#!/usr/bin/env python3
"""Do AM sites tell splice sites from decoys better than FM sites, when a logistic classifier reads
both?

    python train/evaluate/logistic.py DATASET --model paper --json OUT [--bases 8000000]

The plainest form of such a test: the paper's own classifier is not known here. DATASET: the packed
one that the bundle was trained on. Sites: acceptors and donors whose core score (of the FM's core
model, for both) is above the floor. Decoys: for each site DECOYS other bases of the nearest core
score, each taken once; sites without so many within CALIPER nats are left out. So the core score
tells nothing, and what is around must. Features: the number of sites of each protein, strength left
out, in BINS bins of BIN bases around the base; `apart`: without those up to NEAR bases from it,
whose motifs can see bases of the core site. Logistic regression for acceptors and donors apart,
with a penalty on squared weights chosen among PENALTIES by FOLDS-fold cross-validation, whole genes
in a fold. Trained on train genes, drawn until `--bases` are reached; AUROC on all validation genes,
mean of acceptors and donors too; 95 %: bootstrap over genes, the same ones for both. The AM's
motifs were adjusted on the train genes, so that its sites are more telling there than on others:
that can only hurt it.
"""

from __future__ import annotations

import argparse
import os
from typing import NamedTuple

import numpy as np
import torch
from common import auroc, save
from exon_classes import interval
from tqdm import tqdm

from samvar.model.bottleneck import LSSI_FLOOR
from samvar.model.bundle import load_bundle
from samvar.model.sam import ACCEPTOR, DONOR, SAM, crop, one_hot
from samvar.training.dataset import IGNORE, TRAIN, VALIDATION, Dataset
from samvar.training.evaluate import tiles

BIN, BINS = 50, 8  # bases; half of the bins lie on either side
NEAR = 30  # bases: 20 of an acceptor's core site and 10 of an adjusted motif
DECOYS = 3
CALIPER = 0.25
PENALTIES = (0.001, 0.003, 0.01, 0.03, 0.1, 0.3)
FOLDS = 5
RESAMPLES = 1000
TYPES = {"acceptors": ACCEPTOR, "donors": DONOR}


class Seen(NamedTuple):
    """Of genes end to end: core scores (2, B), labels (B,), index of the gene (B,), and of each
    model its sites by position: (positions, channels)."""

    core: np.ndarray
    labels: np.ndarray
    gene: np.ndarray
    sites: dict[str, tuple[np.ndarray, np.ndarray]]


class Examples(NamedTuple):
    """Bases (N,) counted as in `Seen`, whether each is a site, and its gene."""

    at: np.ndarray
    true: np.ndarray
    gene: np.ndarray


@torch.inference_mode()
def look(models: dict[str, SAM], data: Dataset, genes: np.ndarray) -> Seen:
    """What the models see of these genes; core scores are the first's."""
    lengths = (data.offsets[1:] - data.offsets[:-1])[genes]
    starts = np.concatenate(([0], np.cumsum(lengths)))
    core = np.full((2, starts[-1]), LSSI_FLOOR, np.float32)
    first = next(iter(models.values())).config
    places: dict[str, list] = {name: [] for name in models}
    for i, start, end, codes in tqdm(tiles(data, genes, first.reach), disable=None, leave=False):
        x = one_hot(torch.from_numpy(codes[None]))
        for number, (name, model) in enumerate(models.items()):
            found = model.detect(x)
            reach = model.config.aggregate_reach
            if number == 0:
                own = crop(found.core, reach, reach)[0, :2]
                core[:, starts[i] + start : starts[i] + end] = own.numpy()
            at, channel = crop(found.motifs, reach, reach)[0].T.nonzero().numpy().T
            places[name].append((at + starts[i] + start, channel))
    labels = np.concatenate([data.labels[data.offsets[g] : data.offsets[g + 1]] for g in genes])
    sites = {
        name: (np.concatenate([p for p, _ in own]), np.concatenate([c for _, c in own]))
        for name, own in places.items()
    }
    return Seen(core, labels, np.repeat(np.arange(len(genes)), lengths), sites)


def matched(core: np.ndarray, labels: np.ndarray, kind: int) -> tuple[np.ndarray, np.ndarray]:
    """Sites and decoys (N,), (N, DECOYS): bases of `core` (B,) and `labels` (B,)."""
    above = core > LSSI_FLOOR + 1e-3
    sites = np.flatnonzero(above & (labels == kind))
    others = np.flatnonzero(above & (labels != kind) & (labels != IGNORE))
    others = others[np.argsort(core[others], kind="stable")]
    score = core[others]
    free = np.ones(len(others), bool)
    kept, decoys = [], []
    for site in np.random.default_rng(0).permutation(sites):
        low, high = np.searchsorted(score, core[site] + np.array([-CALIPER, CALIPER]))
        near = low + np.flatnonzero(free[low:high])
        if len(near) >= DECOYS:
            best = near[np.argsort(np.abs(score[near] - core[site]), kind="stable")[:DECOYS]]
            free[best] = False
            kept.append(site)
            decoys.append(others[best])
    return np.array(kept, int), np.array(decoys, int).reshape(-1, DECOYS)


def examples(seen: Seen, kind: int) -> Examples:
    """Sites of a type with their decoys."""
    sites, decoys = matched(seen.core[kind - 1], seen.labels, kind)
    at = np.concatenate((sites, decoys.ravel()))
    return Examples(at, np.arange(len(at)) < len(sites), seen.gene[at])


def features(
    at: np.ndarray,
    gene: np.ndarray,
    sites: tuple[np.ndarray, np.ndarray],
    channels: int,
    near: int = -1,
) -> np.ndarray:
    """Number of sites (N, channels * BINS) around bases, more than `near` bases from them; `gene`
    (B,) keeps those of others out."""
    half = BIN * BINS // 2
    place, channel = sites
    found = np.zeros((len(at), channels * BINS), np.float32)
    first, last = np.searchsorted(place, at - half), np.searchsorted(place, at + half)
    for row, (base, low, high) in enumerate(zip(at, first, last)):
        distance = place[low:high] - base
        own = (gene[place[low:high]] == gene[base]) & (np.abs(distance) > near)
        column = channel[low:high] * BINS + (distance + half) // BIN
        np.add.at(found[row], column[own], 1)
    return found


def fit(x: np.ndarray, true: np.ndarray, penalty: float) -> tuple[np.ndarray, float]:
    """Weights and bias of a logistic regression of columns of like variance."""
    spread = x.std(0) + 1e-9
    columns = torch.from_numpy((x / spread).astype(np.float64))
    label = torch.from_numpy(true.astype(np.float64))
    weight = torch.zeros(x.shape[1], dtype=torch.float64, requires_grad=True)
    bias = torch.zeros((), dtype=torch.float64, requires_grad=True)
    optimizer = torch.optim.LBFGS([weight, bias], max_iter=200, line_search_fn="strong_wolfe")

    def loss() -> torch.Tensor:
        optimizer.zero_grad()
        value = torch.nn.functional.binary_cross_entropy_with_logits(columns @ weight + bias, label)
        value = value + penalty / 2 * (weight**2).sum()
        value.backward()
        return value

    optimizer.step(loss)
    return weight.detach().numpy() / spread, bias.item()


def best_penalty(x: np.ndarray, own: Examples) -> float:
    """By the mean AUROC of genes left out."""
    fold = own.gene % FOLDS

    def held_out(penalty: float) -> float:
        areas = []
        for f in np.unique(fold):
            weight, _ = fit(x[fold != f], own.true[fold != f], penalty)
            areas.append(auroc(own.true[fold == f], x[fold == f] @ weight))
        return float(np.mean(areas))

    return max(PENALTIES, key=held_out)


def areas(own: Examples, value: np.ndarray, drawn: np.ndarray) -> np.ndarray:
    """AUROC (1 + R,) of all examples, then of those of the genes `drawn` (R, genes)."""
    members = [np.flatnonzero(own.gene == g) for g in range(drawn.shape[1])]
    rows = [np.arange(len(value)), *(np.concatenate([members[g] for g in d]) for d in drawn)]
    return np.array([auroc(own.true[i], value[i]) for i in rows])


def told(about: dict, found: dict[str, np.ndarray]) -> None:
    """Add the areas of each and the difference."""
    for name, values in found.items():
        about[name] = interval(values)
    about["am - fm"] = interval(found["am"] - found["fm"])


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("dataset")
    parser.add_argument("--model", default="paper")
    parser.add_argument("--bases", type=int, default=8_000_000, help="of train genes")
    parser.add_argument("--json", required=True)
    args = parser.parse_args()
    torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS", os.cpu_count() or 1)))
    data = Dataset.load(args.dataset)
    bundles = {kind: load_bundle(f"{args.model}:{kind}") for kind in ("fm", "am")}
    models = {kind: bundle.models[0] for kind, bundle in bundles.items()}
    channels = len(bundles["fm"].rbps)
    order = np.random.default_rng(0).permutation(data.genes(TRAIN))
    total = np.cumsum((data.offsets[1:] - data.offsets[:-1])[order])
    train = look(models, data, np.sort(order[: 1 + int(np.searchsorted(total, args.bases))]))
    test = look(models, data, data.genes(VALIDATION))
    result: dict = dict(sha256={kind: b.sha256 for kind, b in bundles.items()})
    n = int(test.gene.max()) + 1
    drawn = np.random.default_rng(0).integers(n, size=(RESAMPLES, n))
    for setting, near in (("all", -1), ("apart", NEAR)):
        result[setting] = {}
        found: dict[str, list[np.ndarray]] = {name: [] for name in (*models, "core")}
        for title, kind in TYPES.items():
            learn, own = examples(train, kind), examples(test, kind)
            about = result[setting][title] = dict(
                train=[int(learn.true.sum()), int((~learn.true).sum())],
                validation=[int(own.true.sum()), int((~own.true).sum())],
                genes=len(np.unique(own.gene)),
                of_sites=int((test.labels == kind).sum()),
            )
            found["core"].append(areas(own, test.core[kind - 1, own.at], drawn))
            for name in models:
                x = features(learn.at, train.gene, train.sites[name], channels, near)
                penalty = best_penalty(x, learn)
                weight, _ = fit(x, learn.true, penalty)
                y = features(own.at, test.gene, test.sites[name], channels, near)
                found[name].append(areas(own, y @ weight, drawn))
                about[f"{name}_penalty"] = penalty
            told(about, {name: own[-1] for name, own in found.items()})
            print(setting, title, about, flush=True)
        result[setting]["mean"] = {}
        told(result[setting]["mean"], {name: np.mean(both, 0) for name, both in found.items()})
        print(setting, result[setting]["mean"], flush=True)
    save(args.json, result)


if __name__ == "__main__":
    main()
