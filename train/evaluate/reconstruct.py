#!/usr/bin/env python3
"""How much of the sequence can be read back from the motif sites (the paper: 59 % of the bases).

    python train/evaluate/reconstruct.py DATASET --model default --json OUT

A decoder (three convolutions, 15 bases to either side) is trained on the train genes of a packed
dataset to predict every base from the activations of the motif sites alone, and is measured on
whole validation genes. Beside it: always the commonest base, and what the entropy bound of the
sites would allow at most (Fano's inequality).
"""

from __future__ import annotations

import argparse
import math
import os

import numpy as np
import torch
import torch.nn as nn
import torch.nn.functional as F
from common import save
from tqdm import tqdm

from samvar.model.bundle import load_bundle
from samvar.model.sam import SAM, one_hot
from samvar.training.dataset import TRAIN, UNKNOWN, VALIDATION, Dataset
from samvar.training.evaluate import NOMINAL_ETA, entropy_bound, tiles
from samvar.training.sampling import Mixture, WindowSampler

REACH, WIDTH, BATCH = (
    15,
    2000,
    10,
)  # bases a decoded base sees on either side; window and windows a step


def decoder(motifs: int, channels: int) -> nn.Module:
    """(N, motifs, L + 2 REACH) -> logits of A, C, G, T (N, 4, L)."""
    return nn.Sequential(
        nn.Conv1d(motifs, channels, 11),
        nn.ReLU(),
        nn.Conv1d(channels, channels, 11),
        nn.ReLU(),
        nn.Conv1d(channels, 4, 11),
    )


@torch.no_grad()
def sites(model: SAM, codes: np.ndarray) -> torch.Tensor:
    """Activations over codes (N, L + the reach of `detect`), compressed to log(1 + x)."""
    return model.detect(one_hot(torch.from_numpy(codes))).motifs.log1p()


def truth(codes: np.ndarray, before: int, after: int) -> torch.Tensor:
    """The bases that are decoded, -100 where unknown."""
    inner = codes[:, before : codes.shape[1] - after].astype(np.int64)
    return torch.from_numpy(np.where(inner == UNKNOWN, -100, inner))


def most_by_fano(bits: float) -> float:
    """The largest share of bases that sites of so many bits per base can predict, the sequence
    having two per base."""
    shares = np.linspace(0.25, 1, 100_001)[:-1]
    errors = 1 - shares
    missing = -(errors * np.log2(errors) + shares * np.log2(shares)) + errors * math.log2(3)
    fits = shares[missing >= 2 - bits]
    return float(fits.max()) if len(fits) else 0.25


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("dataset", help="packed dataset of `samvar train prepare`")
    parser.add_argument("--model", default="default")
    parser.add_argument("--steps", type=int, default=800)
    parser.add_argument("--channels", type=int, default=64)
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--json", required=True)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    torch.manual_seed(0)
    data, bundle = Dataset.load(args.dataset), load_bundle(args.model)
    model = bundle.models[0]
    before, after = 20 + REACH, 10 + REACH
    motifs = model.motifs.channels  # of RBPs, and learnt ones
    net = decoder(motifs, args.channels)
    optimizer = torch.optim.AdamW(net.parameters(), lr=2e-3)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 2e-3, total_steps=args.steps)
    mixture = Mixture(WIDTH * BATCH, lengths=(WIDTH,))
    sampler = WindowSampler(data, TRAIN, (before, after), mixture, seed=0)
    for step in tqdm(range(args.steps), disable=None, unit="step"):
        codes, _ = sampler.batch(step)
        loss = F.cross_entropy(net(sites(model, codes)), truth(codes, before, after))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
    right = known = 0
    counts, nats, nonzero = np.zeros(4, int), 0.0, 0
    with torch.inference_mode():
        for _, _, _, codes in tiles(data, data.genes(VALIDATION), (before, after)):
            bases, found = truth(codes[None], before, after), sites(model, codes[None])
            logits = net(found)
            here = bases >= 0
            right += int((logits.argmax(1) == bases)[here].sum())
            nats += float(F.cross_entropy(logits, bases, reduction="sum"))
            known += int(here.sum())
            counts += np.bincount(bases[here].numpy(), minlength=4)
            nonzero += int((found[..., REACH:-REACH] > 0).sum())
    bits = entropy_bound(motifs, nonzero / known / motifs, NOMINAL_ETA)
    result = dict(
        bundle=bundle.name,
        kind=bundle.kind,
        sha256=bundle.sha256,
        steps=args.steps,
        n=known,
        reconstructed=right / known,
        commonest_base=counts.max() / known,
        bits_told=2 - nats / known / math.log(2),
        entropy_bound=bits,
        most_by_fano=most_by_fano(bits),
    )
    save(args.json, {"sites read back": result})
    print(result)


if __name__ == "__main__":
    main()
