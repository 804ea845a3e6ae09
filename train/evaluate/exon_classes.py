#!/usr/bin/env python3
"""Canonical, alternative and new exons, found at one threshold: one k for the union of their sites.

    python train/evaluate/exon_classes.py DATA --model paper --json OUT [--chroms chr1,chr3]

Genes without paralogs on chromosomes that no training saw (chr1 and chr3); in bf16. Of each site
type k is the number of all sites, those of the annotation and of the SAM paper's alternative and
evolutionarily new exons; the k best-scored bases count as found. Of each class the share of its
sites that are found, in percent, mean of acceptor and donor, for the core sites alone, FM and AM. A
site of several classes counts in each. 95 % intervals: bootstrap over genes, the threshold with
them.

The paper has, on its larger sets: alternative LSSI 18, FM 50, AM 60; new 10.2, 14.6, 13.5.
"""

from __future__ import annotations

import argparse
import os

import numpy as np
import torch
from common import save
from topk import CPU, EXONS, SETS, place_exons, read, read_exons

from samvar.model.bundle import load_bundle
from samvar.model.sam import ACCEPTOR, DONOR
from samvar.training.dataset import IGNORE, Dataset
from samvar.training.evaluate import score

CANONICAL = "canonical exons"
RESAMPLES = 1000
Sites = dict[str, tuple[np.ndarray, np.ndarray]]  # class -> bases of its acceptors and donors


def sites_of(labels: np.ndarray, placed: dict[str, list[tuple[int, int]]]) -> Sites:
    """Of each class, canonical ones first. `labels` (B,) of the annotation; `placed`: (acceptor,
    donor) of the exons of other classes."""
    found = {CANONICAL: tuple(np.flatnonzero(labels == kind) for kind in (ACCEPTOR, DONOR))}
    for name, exons in placed.items():
        found[name] = tuple(np.unique([at[i] for at in exons]).astype(int) for i in (0, 1))
    return found


def found_at_one_k(
    scores: np.ndarray, sites: Sites, gene: np.ndarray, n_genes: int, resamples: int = RESAMPLES
) -> dict[str, np.ndarray]:
    """Percent found of each class (1 + resamples,): of all genes, then of genes drawn. `scores`
    (2, B) of acceptor and donor, `gene` (B,) of each base; the same genes are drawn in every
    call."""
    ones = np.ones((1, n_genes), int)
    drawn = np.random.default_rng(0).multinomial(n_genes, ones[0] / n_genes, resamples)
    weights = np.concatenate((ones, drawn))
    shares: dict[str, list[np.ndarray]] = {name: [] for name in sites}
    for kind in (0, 1):
        union = np.unique(np.concatenate([own[kind] for own in sites.values()]))
        kept = min(20 * len(union) + 1000, scores.shape[1])
        best = np.argpartition(-scores[kind], kept - 1)[:kept]
        best = best[np.argsort(-scores[kind][best], kind="stable")]
        rank = np.full(scores.shape[1], kept)
        rank[best] = np.arange(kept)
        before = np.cumsum(weights[:, gene[best]], 1) - weights[:, gene[best]]
        k = weights[:, gene[union]].sum(1)
        count = (before < k[:, None]).sum(1)  # so many of the best are found
        for name, own in sites.items():
            at = own[kind]
            weight = weights[:, gene[at]]
            found = weight * (rank[at] < count[:, None])
            with np.errstate(invalid="ignore"):
                shares[name].append(100 * found.sum(1) / weight.sum(1))
    return {name: np.mean(both, 0) for name, both in shares.items()}


def interval(values: np.ndarray) -> list[float]:
    """[value, lower, upper] of the first and of the others, which are resamples."""
    known = values[1:][~np.isnan(values[1:])]
    low, high = np.percentile(known, [2.5, 97.5]) if len(known) else (np.nan, np.nan)
    return [float(values[0]), float(low), float(high)]


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("data", help="folder with genome/, annotation/ and exons/")
    parser.add_argument("--model", default="paper")
    parser.add_argument("--chroms", default=",".join(SETS["validation"]))
    parser.add_argument("--json", required=True)
    args = parser.parse_args()
    torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS", os.cpu_count() or 1)))
    genes = read(args.data, tuple(args.chroms.split(",")), paralog=False)
    data = Dataset.from_genes(genes)
    placed = {
        title: place_exons(read_exons(os.path.join(args.data, path)), genes, data)
        for title, path in EXONS.items()
    }
    sites = sites_of(data.labels[data.labels != IGNORE], placed)
    result: dict = dict(
        chroms=args.chroms,
        genes=len(genes),
        sites={name: [len(own) for own in pair] for name, pair in sites.items()},
    )
    for kind in ("fm", "am"):
        bundle = load_bundle(f"{args.model}:{kind}")
        scores = score([bundle.models[0]], data, data.genes(), CPU, precision="bf16")
        shown = {kind: scores.model} | ({"lssi": scores.lssi} if kind == "fm" else {})
        for name, values in shown.items():
            found = found_at_one_k(values, sites, scores.gene, scores.n_genes)
            result[name] = dict(
                bundle=bundle.name,
                sha256=bundle.sha256,
                found={title: interval(own) for title, own in found.items()},
            )
            print(name, result[name]["found"], flush=True)
        save(args.json, result)  # with what there is so far


if __name__ == "__main__":
    main()
