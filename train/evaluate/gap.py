#!/usr/bin/env python3
"""How much better a run knows the train genes than the validation genes: top-k on both, on genes of
like length.

    python train/evaluate/gap.py DATASET RUN --json OUT [--bases 1500000] [--longest 60000]

DATASET is the packed dataset that the run was trained on; genes up to --longest bases in a fixed
random order until --bases are reached. Scored with bf16 autocast, as validation is during training.
"""

from __future__ import annotations

import argparse

import numpy as np
import torch
from common import save

from samvar.training.checkpoint import load_run
from samvar.training.dataset import TRAIN, VALIDATION, Dataset
from samvar.training.evaluate import score


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("dataset")
    parser.add_argument("run")
    parser.add_argument("--json", required=True)
    parser.add_argument("--bases", type=int, default=1_500_000)
    parser.add_argument("--longest", type=int, default=60_000)
    args = parser.parse_args()
    result = {}
    data, (model, _) = Dataset.load(args.dataset), load_run(args.run)
    lengths = np.diff(data.offsets)
    for split in (VALIDATION, TRAIN):
        genes = np.random.default_rng(1).permutation(data.genes(split))
        genes = genes[lengths[genes] < args.longest]
        genes = np.sort(genes[: int(np.searchsorted(np.cumsum(lengths[genes]), args.bases))])
        found = score([model], data, genes, torch.device("cpu"), precision="bf16").top_k(
            resamples=200
        )
        result[split] = dict(
            genes=len(genes),
            topk_acceptor=found.acceptor,
            topk_donor=found.donor,
            topk_mean=found.mean,
            topk_interval=found.interval,
        )
        print(split, result[split], flush=True)
    save(args.json, result)


if __name__ == "__main__":
    main()
