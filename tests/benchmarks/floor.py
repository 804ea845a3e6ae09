#!/usr/bin/env python3
"""How far from the floor: the arithmetic of one SNV against the machine's matrix rate, and the time
it takes.

    python tests/benchmarks/floor.py DATA [--model default] [--snvs 300]

DATA holds vcf/, genome/ and annotation/. SNVs of the 1000 Genomes chr20 file, one thread, as
many a call as `annotate` has.
Operations: 2 per multiply-add, of what is computed again for an allele whose reference is known
(convolutions and matrix products counted as they run, the LSTM by its shape). The rate is that of
512 x 512 matrix products, the floor operations / rate.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time

import numpy as np
import torch
from torch.utils.flop_counter import FlopCounterMode

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from speed import machine, real_variants  # noqa: E402

from samvar.formats.annotation import load_annotation  # noqa: E402
from samvar.genomics.genome import Genome  # noqa: E402
from samvar.genomics.variant import normalise  # noqa: E402
from samvar.genomics.window import make_window  # noqa: E402
from samvar.model.bundle import load_bundle  # noqa: E402
from samvar.model.sam import Aggregator  # noqa: E402
from samvar.scoring.predictor import ROWS, Predictor  # noqa: E402


def gemm_rate(n: int = 512) -> float:
    """Operations a second of one thread."""
    a, b = torch.randn(n, n), torch.randn(n, n)
    best = np.inf
    for _ in range(50):
        started = time.thread_time()
        a @ b
        best = min(best, time.thread_time() - started)
    return 2 * n**3 / best


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("data")
    parser.add_argument("--model", default="default")
    parser.add_argument("--snvs", type=int, default=300)
    args = parser.parse_args()
    data = lambda *p: os.path.join(args.data, *p)  # noqa: E731
    torch.set_num_threads(1)
    genome, table = (
        Genome(data("genome", "hg19.fa.gz")),
        data("annotation", "canonical.hg19.tsv.gz"),
    )
    genes, bundle = load_annotation(table), load_bundle(args.model)
    predictor = Predictor(bundle)
    windows = []
    for pos, ref, alt in real_variants(data("vcf", "1kgp3_chr20_1-2Mb.hg19.vcf.gz"), table)["snv"][
        : args.snvs
    ]:
        variant = normalise(genome, "chr20", pos, ref, alt)
        windows += [
            make_window(genome, g, variant, 50, bundle.flank, predictor.reach)
            for g in genes.overlapping("chr20", *variant.span)
        ]
    steps = []  # rows times positions that the LSTM goes through, in either direction
    direction = Aggregator._direction

    def counted(self, suffix, shared, h, like):
        steps.append(len(shared) * shared.shape[1] + len(h) * h.shape[1])
        return direction(self, suffix, shared, h, like)

    full = len(windows) // ROWS * ROWS  # calls that are filled
    seconds, operations = [], []
    for group in (windows[i : i + ROWS] for i in range(0, full, ROWS)):
        for job in predictor.ahead([[w] for w in group]):
            job()  # the reference's tensors are there from now on
            started = time.thread_time()
            job()
            seconds.append((time.thread_time() - started) / len(group))
    Aggregator._direction = counted
    for job in predictor.ahead([[w] for w in windows[: min(5 * ROWS, full)]]):
        with FlopCounterMode(display=False) as counter:
            job()
        operations.append(counter.get_total_flops() / ROWS)
    units = bundle.models[0].config.lstm_units
    lstm = 2 * np.sum(steps) / len(operations) / ROWS * 4 * units * (2 * units + units)
    total, rate = np.mean(operations) + lstm, gemm_rate()
    print(
        json.dumps(
            dict(
                machine=machine(),
                model=dict(name=bundle.name, kind=bundle.kind, sha256=bundle.sha256),
                snvs=full,
                megaflop=total / 1e6,
                megaflop_lstm=lstm / 1e6,
                gigaflop_per_second_of_a_thread=rate / 1e9,
                floor_milliseconds=1e3 * total / rate,
                milliseconds=1e3 * np.median(seconds),
                times_the_floor=np.median(seconds) * rate / total,
            ),
            indent=1,
        )
    )


if __name__ == "__main__":
    main()
