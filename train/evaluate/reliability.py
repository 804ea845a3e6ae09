#!/usr/bin/env python3
"""Reliability of site probabilities on validation genes: as `annotate` has them, and at the second
temperature, at which `samvar predict` and `junctions` give them.

    python train/evaluate/reliability.py DATA --model default --json OUT [--genes N --longest BASES]

The temperature is the bundle's own (`topk.py` fitted it); the genes may be a part of those that it
was fitted on. Shares of true sites in bins of probability, and nats per base at both.
"""

from __future__ import annotations

import argparse

import numpy as np
import torch
from common import reliability, save
from topk import CPU, read

from samvar.model.bundle import load_bundle
from samvar.model.sam import NONE
from samvar.scoring.calibrated import calibrated
from samvar.training.dataset import Dataset
from samvar.training.evaluate import score

VALIDATION = ("chr1", "chr3")


def nats_per_base(p: np.ndarray, labels: np.ndarray) -> float:
    """Mean negative log-likelihood; `p` (2, B) of acceptor and donor."""
    every = np.vstack([1 - p.sum(0), p]).clip(1e-12, 1)
    return float(-np.log(every[labels - NONE, np.arange(len(labels))]).mean())


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("data", help="folder with genome/ and annotation/")
    parser.add_argument("--model", default="default")
    parser.add_argument("--genes", type=int, help="so many genes only, drawn once [default: all]")
    parser.add_argument("--longest", type=int, default=10**9, help="bases of a gene at most")
    parser.add_argument("--json", required=True)
    args = parser.parse_args()
    torch.set_num_threads(1)
    bundle = load_bundle(args.model)
    if bundle.calibration is None:
        raise SystemExit(f"{args.model} has no calibration in its metrics.json")
    genes = [g for g in read(args.data, VALIDATION, paralog=False) if len(g.codes) <= args.longest]
    rng = np.random.default_rng(1)
    if args.genes is not None and args.genes < len(genes):
        genes = [genes[i] for i in sorted(rng.choice(len(genes), args.genes, replace=False))]
    data = Dataset.from_genes(genes)
    scores = score(bundle.models, data, data.genes(), CPU)
    p = np.exp(scores.model.astype(np.float64))
    both = {"as annotate has them": p, "calibrated": calibrated(p, bundle.calibration)}
    result: dict = dict(
        bundle=bundle.name,
        sha256=bundle.sha256,
        temperature=bundle.calibration,
        genes=len(genes),
        bases=len(scores.labels),
    )
    for title, values in both.items():
        result[title] = dict(
            nats_per_base=nats_per_base(values, scores.labels),
            reliability=reliability(values, scores.labels),
        )
        print(title, result[title], flush=True)
    save(args.json, result)


if __name__ == "__main__":
    main()
