#!/usr/bin/env python3
"""Training throughput: windows and bases a second of FM and AM steps, and their share of the
machine's matrix rate.

    python tests/benchmarks/training.py DATASET [--device cpu] [--channels 64] [--precisions fp32
    bf16] [--compile]

DATASET is a packed dataset of `samvar train prepare` (its windows are drawn as in training). A step
is the loss, its gradients and AdamW, at random weights; settings alternate from round to round, the
median counts. Operations: 2 per multiply-add of convolutions and matrix products, forward and
backward, as they run; the rate is that of 2048 x 2048 matrix products at the same precision.
`--compile` adds steps through torch.compile, with the time until the first one.
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
import time

import numpy as np
import torch
from speed import processor
from torch.utils.flop_counter import FlopCounterMode

from samvar.model.sam import LSSI
from samvar.training.checkpoint import save_run
from samvar.training.dataset import Dataset
from samvar.training.recipe import SamRecipe
from samvar.training.sam import SamTask


def synchronize(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def matrix_rate(device: torch.device, precision: str) -> float:
    """Operations a second of large products."""
    kind = torch.bfloat16 if precision == "bf16" else torch.float32
    n = 8192 if device.type == "cuda" else 2048
    a, b = (torch.randn(n, n, device=device, dtype=kind) for _ in range(2))
    best = np.inf
    for _ in range(20):
        synchronize(device)
        started = time.perf_counter()
        a @ b
        synchronize(device)
        best = min(best, time.perf_counter() - started)
    return 2 * n**3 / best


class Steps:
    """Training steps of one setting."""

    def __init__(
        self,
        kind: str,
        data: Dataset,
        lssi: str,
        device: torch.device,
        args,
        precision: str,
        compiled: bool,
    ):
        recipe = SamRecipe(
            steps=10**6,
            channels=args.channels,
            batch_bases=args.batch_bases,
            windows=(args.window,),
            precision=precision,
            density_start=0.0017,
        )
        self.task, self.device, self.precision = (
            SamTask(kind, data, recipe, device, lssi),
            device,
            precision,
        )
        params = [p for p in self.task.model.parameters() if p.requires_grad]
        self.optimizer = torch.optim.AdamW(params, lr=1e-4)
        self.loss = torch.compile(self.task.loss) if compiled else self.task.loss
        self.step, self.seconds = 0, []

    def run(self, counted: bool = True) -> None:
        self.task.model.train()
        self.task.start_step(self.step)
        started = time.perf_counter()
        self.optimizer.zero_grad(set_to_none=True)
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.precision == "bf16"):
            loss = self.loss(self.step)
        loss.backward()
        self.optimizer.step()
        synchronize(self.device)
        self.step += 1
        if counted:
            self.seconds.append(time.perf_counter() - started)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("dataset")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--channels", type=int, default=64)
    parser.add_argument("--batch-bases", type=int, default=13500)
    parser.add_argument("--window", type=int, default=1125)
    parser.add_argument(
        "--precisions", nargs="+", default=["fp32", "bf16"], choices=["fp32", "bf16"]
    )
    parser.add_argument("--kinds", nargs="+", default=["fm", "am"], choices=["fm", "am"])
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--compile", action="store_true")
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--json")
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    device, data = torch.device(args.device), Dataset.load(args.dataset)
    found = dict(
        machine=processor(),
        device=torch.cuda.get_device_name(device) if device.type == "cuda" else "cpu",
        torch=torch.__version__,
        threads=args.threads,
        channels=args.channels,
        batch_bases=args.batch_bases,
        window=args.window,
        rows=[],
    )
    with tempfile.TemporaryDirectory() as lssi:
        save_run(lssi, LSSI(), dict(kind="lssi", channels=100, step=1, steps=1))
        settings = {
            (k, p, c): Steps(k, data, lssi, device, args, p, c)
            for k in args.kinds
            for p in args.precisions
            for c in ((False, True) if args.compile else (False,))
        }
        operations, first = {}, {}
        for key, steps in settings.items():
            started = time.perf_counter()
            steps.run(counted=False)
            first[key] = time.perf_counter() - started
            if not key[2]:
                with FlopCounterMode(display=False) as counter:
                    steps.run(counted=False)
                operations[key[:2]] = counter.get_total_flops()
        for _ in range(args.rounds):
            for steps in settings.values():
                steps.run()
        for (kind, precision, compiled), steps in settings.items():
            seconds = float(np.median(steps.seconds))
            rate = operations[kind, precision] / seconds
            windows = args.batch_bases // args.window / seconds
            found["rows"].append(
                dict(
                    kind=kind,
                    precision=precision,
                    compiled=compiled,
                    windows_per_second=windows,
                    bases_per_second=windows * args.window,
                    first_step_seconds=first[kind, precision, compiled],
                    gigaflop_per_step=operations[kind, precision] / 1e9,
                    gigaflop_per_second=rate / 1e9,
                    share_of_matrix_rate=rate / matrix_rate(device, precision),
                )
            )
    print(json.dumps(found, indent=1))
    if args.json:
        with open(args.json, "w") as f:
            json.dump(found, f, indent=1)
            f.write("\n")


if __name__ == "__main__":
    main()
