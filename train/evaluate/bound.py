#!/usr/bin/env python3
"""How much more often a motif's sites lie in bins that its protein binds than in like ones.

    samvar train bound -d DATASET -f hg38.fa.gz -a genes.gz --peaks eclip/ --only chr1,chr3 -o BINS
    python train/evaluate/bound.py BINS default runs/am ... --json OUT

BINS must be of genes that the models have not learnt from (`samvar train am --bound`). Of each
bundle or run: sites in bound bins, divided by those expected, which are as many a bin as in the
controls of the same motif and stratum (`samvar.training.prepare_bound`); of each motif, and of all
together in exons and in introns. 95 % by bootstrap over bins, the controls as they are. A bundle's
models count together.
"""

from __future__ import annotations

import argparse
import os

import numpy as np
import torch
from common import in_words, save
from yardstick import models_of

from samvar.model.bundle import load_bundle
from samvar.model.sam import one_hot
from samvar.training.bound import BoundBins
from samvar.training.checkpoint import read_run
from samvar.training.prepare_bound import GC

BATCH = 1024
RESAMPLES = 1000


def names_of(place: str) -> list[str]:
    """RBPs of a run or a bundle, in the order of its channels."""
    if os.path.exists(os.path.join(place, "model.json")):
        return read_run(place, unfinished=True)[0]["rbps"]
    return load_bundle(place).rbps


@torch.inference_mode()
def sites(place: str, bins: BoundBins) -> np.ndarray:
    """(n,): sites of its own motif in each bin, all models together; nan where they lack it."""
    names = names_of(place)
    channel = np.array([names.index(n) if n in names else -1 for n in bins.names])[bins.motif]
    found = np.zeros(len(channel))
    for model in models_of(place):
        for start in range(0, len(channel), BATCH):
            some = slice(start, start + BATCH)
            active = model.eval().motifs(one_hot(torch.from_numpy(bins.codes[some]))) > 0
            found[some] += active.sum(2).numpy()[np.arange(len(active)), channel[some]]
    found[channel < 0] = np.nan
    return found


def expected(found: np.ndarray, bins: BoundBins) -> np.ndarray:
    """(bound bins,): sites in a control of the same motif and stratum, on average."""
    group = bins.motif * (bins.stratum.max() + 1) + bins.stratum
    free, n = ~bins.bound, group.max() + 1
    controls = np.bincount(group[free], minlength=n)
    return (np.bincount(group[free], found[free], n) / np.maximum(controls, 1))[group[bins.bound]]


def measure(place: str, bins: BoundBins) -> dict:
    """Of a bundle or run: `motifs`, name -> [ratio, lower, upper, sites in bound bins], and
    `exons`, `introns`, `all` likewise; the ratio is None where no site is expected."""
    found = sites(place, bins)
    inside, like = found[bins.bound], expected(found, bins)
    motif, exonic = bins.motif[bins.bound], bins.stratum[bins.bound] <= len(GC)

    def ratio(chosen: np.ndarray) -> list[float | None]:
        seen, of = inside[chosen], like[chosen]
        if not of.any():
            return [None, None, None, int(seen.sum())]
        drawn = np.random.default_rng(0).integers(0, len(seen), (RESAMPLES, len(seen)))
        with np.errstate(divide="ignore", invalid="ignore"):
            resampled = seen[drawn].sum(1) / of[drawn].sum(1)
            whole = seen.sum() / of.sum()
        low, high = np.nanpercentile(resampled, [2.5, 97.5])
        told = [float(v) if np.isfinite(v) else None for v in (whole, low, high)]
        return [*told, int(seen.sum())]

    known = ~np.isnan(inside)
    return dict(
        exons=ratio(known & exonic),
        introns=ratio(known & ~exonic),
        all=ratio(known),
        motifs={bins.names[m]: ratio(motif == m) for m in np.unique(motif[known])},
    )


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("bins", help="file of samvar train bound")
    parser.add_argument("places", nargs="+", help="bundles, or folders of runs")
    parser.add_argument("--json", required=True)
    args = parser.parse_args()
    torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS", os.cpu_count() or 1)))
    bins = BoundBins.load(args.bins)
    if "contigs" not in bins.meta:
        parser.error(f"{args.bins} is for training: make one with samvar train bound --only")
    result = {}
    for place in args.places:
        name = os.path.basename(os.path.normpath(place))
        result[name] = measure(place, bins)
        ratios = {k: v[0] for k, v in result[name].items() if k != "motifs"}
        told = (f"{k} {'.' if v is None else f'{v:.2f}'}" for k, v in ratios.items())
        print(f"{name}: {', '.join(told)}", flush=True)
    save(args.json, dict(bins=bins.counts(), meta=bins.meta, places=result))


if __name__ == "__main__":
    in_words(main)
