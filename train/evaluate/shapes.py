#!/usr/bin/env python3
"""Models of other shapes, each trained from scratch by one short recipe and scored on validation
genes.

    python train/evaluate/shapes.py DATASET --lssi RUN --out FOLDER --json OUT [NAME ...]

Of each: top-k accuracy and density, the negative log-likelihood in nats per 1,000 bases, parameters
without those of the core sites, million multiply-adds per base of convolutions and attention. `fm`
and `fm again` differ by their seed alone: what lies between them is noise. A stopped run goes on
when the command is given again.
"""

from __future__ import annotations

import argparse
import json
import os
from collections.abc import Callable
from dataclasses import dataclass, field, replace

import torch
import torch.nn as nn
from common import calibration, save
from torch.utils.flop_counter import FlopCounterMode

from samvar.model.sam import BandedAttention, Sparse, quantile
from samvar.training.checkpoint import Checkpoint
from samvar.training.dataset import Dataset
from samvar.training.evaluate import score
from samvar.training.loop import train
from samvar.training.recipe import SamRecipe
from samvar.training.sam import SamTask, validation_genes

CPU = torch.device("cpu")
RECIPE = SamRecipe(
    steps=400,
    lr=1.5e-3,
    clip=5.0,
    precision="bf16",
    batch_bases=13_500,
    density_end=0.0016,
    validate_every=400,
    validate_bases=1_000_000,
    checkpoint_every=50,
    site_share=0.65,
    train_core=True,
)
FRAME = 1_500  # scored bases of the window whose operations are counted


class Heads(nn.Module):
    """Several attention heads, each for its share of the channels."""

    def __init__(self, one: BandedAttention, heads: int):
        super().__init__()
        channels, dim = one.query.in_channels, one.query.out_channels
        self.heads = nn.ModuleList(BandedAttention(channels, dim, one.reach) for _ in range(heads))
        self.reach = one.reach
        self.register_buffer("head", torch.arange(channels) % heads)

    def forward(self, v):
        return sum(
            head(v) * (self.head == i)[:, None].to(v.dtype) for i, head in enumerate(self.heads)
        )


class SparsePerRBP(Sparse):
    """A threshold for each RBP, so that all have the same density."""

    def __init__(self, channels: int, affine: bool):
        super().__init__(channels, affine)
        self.register_buffer("threshold", torch.zeros(channels, 1))

    def _quantile(self, z, known):
        return quantile(z, known, self.density, self.threshold)


def two_heads(task: SamTask) -> None:
    task.model.aggregator.attention = Heads(task.model.aggregator.attention, 2)


def threshold_per_rbp(task: SamTask) -> None:
    task.model.motifs.main = SparsePerRBP(task.model.motifs.main.norm.num_features, affine=True)
    task.status = dict


def candidates(times: float) -> Callable[[SamTask], None]:
    """The AM's sites are chosen among `times` as many of the FM's, not twice as many."""

    def edit(task: SamTask) -> None:
        motifs = task.model.motifs

        def set_density(density: float, learnt: float | None = None) -> None:
            motifs.main.density, motifs.pre.density = density, min(times * density, 1.0)

        motifs.set_density = set_density

    return edit


@dataclass(frozen=True)
class Shape:
    kind: str = "fm"
    recipe: dict = field(default_factory=dict)
    edit: Callable[[SamTask], None] = lambda task: None
    start: str | None = None  # the shape it goes on from


HALF = dict(steps=RECIPE.steps // 2, validate_every=RECIPE.steps // 2)
SHAPES = {
    "fm": Shape(),
    "fm again": Shape(recipe=dict(seed=2)),
    "96 channels": Shape(recipe=dict(channels=96)),
    "three units": Shape(recipe=dict(stack_widths=(7, 7, 7))),
    "LSTM of 80": Shape(recipe=dict(lstm_units=80)),
    "two heads": Shape(edit=two_heads),
    "threshold per RBP": Shape(edit=threshold_per_rbp),
    "am": Shape("am"),
    "am, 4 times the candidates": Shape("am", edit=candidates(4)),
    "fm, half the steps": Shape(recipe=HALF),
    "am from fm, half the steps each": Shape("am", HALF, start="fm, half the steps"),
}


def folder_of(out: str, name: str) -> str:
    return os.path.join(out, name.replace(",", "").replace(" ", "-"))


def run(name: str, data: Dataset, lssi: str, out: str) -> dict:
    """Train one shape, or go on with it, and score it."""
    shape, folder = SHAPES[name], folder_of(out, name)
    recipe = replace(RECIPE, **shape.recipe)
    fresh = not Checkpoint.exists(folder)
    start = folder_of(out, shape.start) if shape.start else None
    task = SamTask(shape.kind, data, recipe, CPU, lssi, start, fresh=fresh)
    shape.edit(task)
    train(task, recipe, folder, CPU, resume=True)
    model = task.model.eval()
    found = score(
        [model], data, validation_genes(data, recipe.validate_bases), CPU, precision="bf16"
    )
    k = found.top_k()
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        model(torch.zeros(1, 4, FRAME + sum(model.config.reach)))
    return dict(
        topk_mean=k.mean,
        topk_interval=k.interval,
        density=found.density,
        nats_per_kilobase=1000 * calibration(found)["nats_per_base"],
        parameters=sum(p.numel() for p in model.parameters())
        - sum(p.numel() for p in model.lssi.parameters()),
        megamacs_per_base=counter.get_total_flops() / 2e6 / FRAME,
    )


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("dataset")
    parser.add_argument(
        "names", nargs="*", metavar="NAME", help=f"of {', '.join(map(repr, SHAPES))} [all]"
    )
    parser.add_argument("--lssi", required=True)
    parser.add_argument("--out", required=True)
    parser.add_argument("--json", required=True)
    parser.add_argument("--threads", type=int)
    args = parser.parse_args()
    if unknown := set(args.names) - set(SHAPES):
        parser.error(f"no such shape: {', '.join(sorted(unknown))}")
    if args.threads:
        torch.set_num_threads(args.threads)
    data, result = Dataset.load(args.dataset), {}
    if os.path.exists(args.json):
        with open(args.json) as handle:
            result = json.load(handle)
    for name in args.names or SHAPES:
        if name not in result:
            result[name] = run(name, data, args.lssi, args.out)
            print(name, result[name], flush=True)
            save(args.json, result)


if __name__ == "__main__":
    main()
