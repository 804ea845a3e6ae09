#!/usr/bin/env python3
"""Module substitution with an aggregator that has learnt to read binary sites.

    python train/evaluate/substitution.py DATASET --model paper --json OUT [--steps 150] [--bases N]

DATASET: the packed one that the bundle was trained on. Every motif site is as strong as the mean
site of its protein in the FM. The FM's aggregator goes on training on the FM's own binary sites for
`--steps`, all else frozen, and is settled; then it reads, in turn, the FM's and the AM's binary
sites of validation genes (`--bases` of them at most), which nothing was trained on. Top-k accuracy
of each and the difference, before and after the training; 95 %: bootstrap over genes, the same ones
for both. (The paper trains an aggregator on binary FM sites from the start: AM 71.2, FM 67.6.)
"""

from __future__ import annotations

import argparse
import os

import numpy as np
import torch
import torch.nn as nn
from common import save
from exon_classes import CANONICAL, found_at_one_k, interval, sites_of
from topk import CPU, Substituted, mean_strength
from tqdm import tqdm

from samvar.model.bundle import load_bundle
from samvar.model.sam import SAM, one_hot
from samvar.training.dataset import IGNORE, TRAIN, Dataset
from samvar.training.evaluate import Scores, score
from samvar.training.loop import learning_rate
from samvar.training.recipe import SamRecipe
from samvar.training.sam import validation_genes
from samvar.training.sampling import Mixture, WindowSampler
from samvar.training.settle import settle


class Reader(Substituted):
    """Binary sites, read by an aggregator that alone is trained."""

    def __init__(self, sites: SAM, reader: SAM, strength: torch.Tensor):
        super().__init__(sites, reader, strength)
        self.requires_grad_(False)
        self.reader.aggregator.requires_grad_(True)

    def train(self, mode: bool = True) -> Reader:
        super().train(False)
        self.reader.aggregator.train(mode)
        self.training = mode
        return self

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.aggregate(self.detect(x))


def fit(reader: Reader, data: Dataset, recipe: SamRecipe) -> list[float]:
    """Train it; the loss of each step in nats per 1,000 bases."""
    mixture = Mixture(recipe.batch_bases, recipe.windows, recipe.site_share)
    sampler = WindowSampler(data, TRAIN, reader.config.reach, mixture, recipe.seed)
    weights = [p for p in reader.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(weights, lr=recipe.lr, weight_decay=recipe.weight_decay)
    losses = []
    reader.train()
    for step in tqdm(range(recipe.steps), disable=None):
        for group in optimizer.param_groups:
            group["lr"] = learning_rate(recipe, step)
        codes, labels = sampler.batch(step)
        with torch.autocast("cpu", torch.bfloat16, enabled=recipe.precision == "bf16"):
            log_p = reader(one_hot(torch.from_numpy(codes)))
        target = torch.from_numpy(labels).long().flatten()
        flat = log_p.float().transpose(1, 2).flatten(0, 1)
        known = max(int((labels != IGNORE).sum()), 1)
        loss = (
            1000
            / known
            * nn.functional.nll_loss(flat, target, ignore_index=IGNORE, reduction="sum")
        )
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_(weights, recipe.clip)
        optimizer.step()
        losses.append(loss.item())
    settle(reader, data, recipe, CPU)  # type: ignore[arg-type]
    reader.eval()
    return losses


def accuracy(scores: Scores) -> np.ndarray:
    """Top-k (1 + R,), of all genes and of genes drawn."""
    sites = sites_of(scores.labels, {})
    return found_at_one_k(scores.model, sites, scores.gene, scores.n_genes)[CANONICAL]


def read_by(
    reader: SAM, sites: dict[str, SAM], strength: torch.Tensor, data: Dataset, genes: np.ndarray
) -> dict:
    """Top-k and density of each model's binary sites, and the difference of the second's from the
    first's."""
    result: dict = {}
    values = []
    for name, own in sites.items():
        shown = Substituted(own, reader, strength).eval()
        scores = score([shown], data, genes, CPU, precision="bf16")  # type: ignore[list-item]
        values.append(accuracy(scores))
        result[name] = dict(topk=interval(values[-1]), density=scores.density)
    result["difference"] = interval(values[1] - values[0])
    return result


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("dataset")
    parser.add_argument("--model", default="paper")
    parser.add_argument("--steps", type=int, default=150)
    parser.add_argument("--bases", type=int, default=10**9, help="of validation genes")
    parser.add_argument("--json", required=True)
    args = parser.parse_args()
    torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS", os.cpu_count() or 1)))
    data = Dataset.load(args.dataset)
    fm, am = (load_bundle(f"{args.model}:{kind}").models[0] for kind in ("fm", "am"))
    genes = validation_genes(data, args.bases)
    strength = mean_strength(fm, data, genes[::5])
    recipe = SamRecipe(
        steps=args.steps,
        lr=5e-4,
        weight_decay=0.03,
        warmup=20,
        clip=5.0,
        precision="bf16",
        batch_bases=13_500,
        seed=5,
    )
    sites = dict(fm=fm, am=am)
    result: dict = dict(model=args.model, steps=args.steps, genes=len(genes))
    result["before"] = read_by(fm, sites, strength, data, genes)
    print("before", result["before"], flush=True)
    losses = fit(Reader(fm, fm, strength), data, recipe)
    tenth = max(len(losses) // 10, 1)
    result["loss"] = [float(np.mean(part)) for part in (losses[:tenth], losses[-tenth:])]
    result["after"] = read_by(fm, sites, strength, data, genes)
    print("after", result["after"], "loss", result["loss"], flush=True)
    save(args.json, result)


if __name__ == "__main__":
    main()
