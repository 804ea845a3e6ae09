#!/usr/bin/env python3
"""A bundle's RNA maps beside those of ENCODE: do sites of a protein help exons where it binds exons
that are lost without it?

    python train/evaluate/encode_maps.py DATA --model paper --json OUT [--exons 300] [--figure FILE]

ENCODE (tables/encode_rna_maps.excluded.csv.gz; Van Nostrand 2020, Yee 2019): eCLIP signal around
exons that are excluded upon knock-down of the protein, 1,400 values: 50 exonic and 300 intronic
bases at the donor of the exon before, the acceptor and the donor of the exon itself, and the
acceptor of the exon after. (The table has no header; this is the layout of RBP-Maps, and where
SRSF1, RBFOX2 and PRPF8 bind agrees with it.) Used are the two of the exon itself, in 14 bins of 50
bases; replicates, then cell lines are averaged. Experiments without values are left out. The other
half, exons included upon knock-down, is not there.

Model: as `rna_maps.py`, of sites in the exon and up to 300 bases around it: binary sites, each
taken out alone, effects scaled to the 99th percentile of their size by protein. A bin holds the sum
of the effects of its sites over all exons: of the exon the first and the last 50 bases, a site less
than 50 bases from both in both.

Per protein: Spearman correlation of its two maps over the bins (95 %: bootstrap over exons). On the
whole: mean over proteins (95 %: bootstrap over proteins), the mean of each model map with the maps
of the other proteins, and p: the share of PERMUTED assignments of model maps to ENCODE's, the right
one with them, whose mean is at least as large. Signs: proteins whose sites help the exon on the
whole (sum over the two exonic bins above 0) where ENCODE's signal there is above 0, or hinder it
where it is below (95 %: bootstrap over exons).
"""

from __future__ import annotations

import argparse
import gzip
import os
from collections import defaultdict

import numpy as np
import torch
from common import save
from exon_classes import interval
from rna_maps import LEAST_SITES, Effect, Exon, effects, internal_exons, scaled
from topk import SETS, mean_strength, read

from samvar.model.bundle import load_bundle
from samvar.training.dataset import Dataset

TABLE = "tables/encode_rna_maps.excluded.csv.gz"
BIN = 50
INTRON = 300
EDGE = 400  # bases of intron on either side that are scored
REGION = INTRON + BIN
BINS = 2 * REGION // BIN
EXONIC = slice(INTRON // BIN, INTRON // BIN + 2)  # the bins that lie in the exon
RESAMPLES = 1000
PERMUTED = 10_000


def read_maps(path: str) -> dict[str, np.ndarray]:
    """Protein -> (BINS,) mean signal."""
    by_experiment = defaultdict(list)
    with gzip.open(path, "rt") as handle:
        for line in handle:
            experiment, _, *values = line.rstrip("\n").split("\t")
            signal = np.array(values, float)
            if not np.isnan(signal).any():
                own = signal[REGION : 3 * REGION]
                by_experiment[experiment].append(own.reshape(BINS, BIN).mean(1))
    by_protein = defaultdict(list)
    for experiment, rows in by_experiment.items():
        by_protein[experiment.split(" ")[0]].append(np.mean(rows, 0))
    return {protein: np.mean(maps, 0) for protein, maps in by_protein.items()}


def bins_of(at: int, length: int) -> list[int]:
    """Of a site `at` bases after the first of an exon of `length` bases."""
    found = []
    if -INTRON <= at < min(BIN, length):
        found.append((at + INTRON) // BIN)
    if max(length - BIN, 0) <= at < length + INTRON:
        found.append((at - length + BIN) // BIN + BINS // 2)
    return found


def model_map(own: list[Effect], exons: list[Exon], weights: np.ndarray) -> np.ndarray:
    """Sum of scaled effects (1 + R, BINS) with exons counted as `weights` (1 + R, exons) say."""
    total = np.zeros((len(weights), BINS))
    for effect, value in zip(own, scaled(np.array([e.value for e in own]))):
        exon = exons[effect.exon]
        for b in bins_of(effect.at, exon.last - exon.first + 1):
            total[:, b] += weights[:, effect.exon] * value
    return total


def ranks(values: np.ndarray) -> np.ndarray:
    """Of the last axis, from 0, ties shared; centred, of length 1."""
    below = (values[..., None, :] < values[..., None]).sum(-1)
    same = (values[..., None, :] == values[..., None]).sum(-1)
    centred = below + (same - 1) / 2 - (values.shape[-1] - 1) / 2
    size = np.sqrt((centred**2).sum(-1, keepdims=True))
    shown: np.ndarray = np.divide(centred, size, out=np.zeros_like(centred), where=size > 0)
    return shown


def spearman(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Over the last axis."""
    found: np.ndarray = (ranks(a) * ranks(b)).sum(-1)
    return found


def compare(
    model: dict[str, np.ndarray], encode: dict[str, np.ndarray], resamples: int = RESAMPLES
) -> dict:
    """What the JSON says. `model`: protein -> (1 + R, BINS), of all exons and of exons drawn."""
    names = sorted(model)
    rng = np.random.default_rng(0)
    proteins, agree = {}, []
    for name in names:
        theirs = encode[name]
        own = spearman(model[name], theirs)
        signs = np.sign(model[name][:, EXONIC].sum(1)) == np.sign(theirs[EXONIC].sum())
        agree.append(signs)
        proteins[name] = dict(
            spearman=interval(own),
            same_sign=bool(signs[0]),
            model=model[name][0].tolist(),
            encode=theirs.tolist(),
        )
    n = len(names)
    table = (
        ranks(np.stack([model[k][0] for k in names]))
        @ ranks(np.stack([encode[k] for k in names])).T
    )  # (model map, ENCODE map)
    own = np.diag(table)
    drawn = own[rng.integers(n, size=(resamples, n))].mean(1)
    permuted = [table[np.arange(n), rng.permutation(n)].mean() for _ in range(PERMUTED)]
    at_least = sum(p >= own.mean() - 1e-12 for p in permuted)
    return dict(
        n=n,
        spearman=interval(np.append(own.mean(), drawn)),
        of_others=float((table.sum() - own.sum()) / max(n * (n - 1), 1)),
        p=float((1 + at_least) / (1 + PERMUTED)),
        same_sign=interval(np.sum(agree, 0)),
        proteins=proteins,
    )


def draw(result: dict, path: str) -> None:
    """Both maps of each protein side by side, each scaled to its largest value."""
    from matplotlib.figure import Figure

    names = list(result["proteins"])
    figure = Figure((8, 0.3 * len(names) + 1.4), layout="constrained")
    for axes, (key, title) in zip(
        figure.subplots(1, 2, sharey=True),
        (("model", "model: sites help the exon"), ("encode", "ENCODE: bound where lost without")),
    ):
        values = np.array([result["proteins"][n][key] for n in names])
        values /= np.abs(values).max(1, keepdims=True)
        picture = axes.imshow(values, cmap="RdBu_r", vmin=-1, vmax=1, aspect="auto")
        axes.set_yticks(range(len(names)), names, fontsize=7)
        edges = (EXONIC.start - 0.5, EXONIC.stop - 0.5)
        axes.set_xticks(
            [-0.5, edges[0], edges[1], BINS - 0.5],
            [f"-{INTRON}", "acceptor", "donor", f"+{INTRON}"],
            fontsize=7,
        )
        for edge in edges:
            axes.axvline(edge, color="black", linewidth=0.8)
        axes.set_title(title, fontsize=8)
    bar = figure.colorbar(picture)
    bar.set_label("by the protein's largest value", fontsize=7)
    bar.ax.tick_params(labelsize=7)
    figure.savefig(path, dpi=150)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("data", help="folder with genome/, annotation/ and tables/")
    parser.add_argument("--model", default="paper")
    parser.add_argument("--exons", type=int, default=300, help="how many at most")
    parser.add_argument("--figure", help="draw the maps of the AM")
    parser.add_argument("--json", required=True)
    args = parser.parse_args()
    torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS", os.cpu_count() or 1)))
    encode = read_maps(os.path.join(args.data, TABLE))
    data = Dataset.from_genes(read(args.data, SETS["validation"], paralog=False))
    every = list(internal_exons(data, EDGE))
    picked = np.sort(np.random.default_rng(0).permutation(len(every))[: args.exons])
    exons = [every[i] for i in picked]
    n = len(exons)
    drawn = np.random.default_rng(0).multinomial(n, np.ones(n) / n, RESAMPLES)
    weights = np.concatenate((np.ones((1, n), int), drawn))
    result: dict = dict(exons=n, of_exons=len(every))
    for kind in ("am", "fm"):
        bundle = load_bundle(f"{args.model}:{kind}")
        model = bundle.models[0]
        strength = mean_strength(model, data, data.genes()[::10])
        channels = [i for i, name in enumerate(bundle.rbps) if name in encode]
        found = effects(model, data, exons, strength, channels, EDGE, INTRON)
        maps = {
            bundle.rbps[channel]: model_map(own, exons, weights)
            for channel, own in found.items()
            if len(own) >= LEAST_SITES
        }
        result[kind] = dict(sha256=bundle.sha256, **compare(maps, encode))
        for channel, own in found.items():
            if bundle.rbps[channel] in maps:
                result[kind]["proteins"][bundle.rbps[channel]]["sites"] = len(own)
        told = result[kind]
        print(kind, {k: told[k] for k in ("n", "spearman", "of_others", "p", "same_sign")})
        if args.figure and kind == "am":
            draw(told, args.figure)
        save(args.json, result)  # with what there is so far


if __name__ == "__main__":
    main()
