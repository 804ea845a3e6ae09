#!/usr/bin/env python3
"""Runs side by side on all validation genes of the dataset they were trained on, to choose by.

    python train/evaluate/compare_runs.py DATASET RUN [RUN ...] --json OUT

RUN is the folder of an fm or am run; RUN+RUN+... stands for their mean probability. Of each: top-k
accuracy, density, and the negative log-likelihood in nats per 1,000 bases at temperature 1, which
is less noisy than the accuracy. Scored with bf16 autocast, as validation is during training.
"""

from __future__ import annotations

import argparse
import os

import torch
from common import calibration, save

from samvar.training.checkpoint import load_run
from samvar.training.dataset import VALIDATION, Dataset
from samvar.training.evaluate import score


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("dataset")
    parser.add_argument("runs", nargs="+")
    parser.add_argument("--json", required=True)
    parser.add_argument("--threads", type=int)
    args = parser.parse_args()
    if args.threads:
        torch.set_num_threads(args.threads)
    data, result = Dataset.load(args.dataset), {}
    for name in args.runs:
        models = [load_run(r)[0] for r in name.split("+")]
        found = score(models, data, data.genes(VALIDATION), torch.device("cpu"), precision="bf16")
        k = found.top_k()
        title = "+".join(os.path.basename(os.path.abspath(r)) for r in name.split("+"))
        result[title] = dict(
            topk_acceptor=k.acceptor,
            topk_donor=k.donor,
            topk_mean=k.mean,
            topk_interval=k.interval,
            density=found.density,
            nats_per_kilobase=1000 * calibration(found)["nats_per_base"],
        )
        print(title, result[title], flush=True)
    save(args.json, result)


if __name__ == "__main__":
    main()
