"""What a model of probe intensities, or of bound reads, has learnt: the global importance of all
k-mers, and motifs. Such a model makes values (N, E) of one-hot bases (N, 4, L).

Koo et al. (2021), equations 1 and 2: the importance of a k-mer is the mean over backgrounds of what
is predicted with it embedded in the middle less what is predicted without. Backgrounds are probes
whose bases are shuffled: of the same length and composition.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
import torch.nn as nn
from tqdm import tqdm

from ..genomics.genome import UNKNOWN, encode
from ..model.sam import one_hot
from .binding import ConsensusMotif, consensus_motif
from .gia import kmers

ROWS = 2048  # sequences a call
SURE = 300  # probes that a motif is made of


class Importance(NamedTuple):
    """Of a k-mer (RNA letters): mean over the backgrounds, in standard deviations of the
    experiment's intensities or as log-odds, and the standard error of that mean."""

    kmer: str
    mean: float
    error: float


def shuffled_probes(codes: np.ndarray, n: int, seed: int) -> np.ndarray:
    """(n, L) of probes (m, L) drawn at random, each with its bases in another order; what is beyond
    its end stays there."""
    rng = np.random.default_rng(seed)
    drawn = codes[rng.integers(len(codes), size=n)].copy()
    for own in drawn:
        bases = own != UNKNOWN
        own[bases] = rng.permutation(own[bases])
    return drawn


@torch.inference_mode()
def global_importance(
    model: nn.Module, backgrounds: np.ndarray, patterns: np.ndarray, device: torch.device
) -> tuple[np.ndarray, np.ndarray]:
    """(mean, standard error), each (K, E), of patterns (K, k) over backgrounds (n, L)."""
    model.eval()

    def predicted(codes: np.ndarray) -> np.ndarray:
        bases = one_hot(torch.from_numpy(codes).to(device))
        values: np.ndarray = model(bases).double().cpu().numpy()
        return values

    n, length = backgrounds.shape
    start = (length - patterns.shape[1]) // 2
    plain = predicted(backgrounds)  # (n, E)
    means, errors = [], []
    at_once = max(ROWS // n, 1)
    steps = range(0, len(patterns), at_once)
    for first in tqdm(steps, "k-mers", disable=None, leave=False):
        chunk = patterns[first : first + at_once]
        codes = np.repeat(backgrounds[None], len(chunk), 0)  # (chunk, n, L)
        codes[:, :, start : start + patterns.shape[1]] = chunk[:, None]
        change = predicted(codes.reshape(-1, length)).reshape(len(chunk), n, -1) - plain
        means.append(change.mean(1))
        errors.append(change.std(1, ddof=1) / np.sqrt(n))
    return np.concatenate(means), np.concatenate(errors)


def top_kmers(
    model: nn.Module, backgrounds: np.ndarray, k: int, most: int, device: torch.device
) -> list[list[Importance]]:
    """Of each experiment the k-mers of the largest global importance, the largest first."""
    names = kmers(k)
    patterns = np.stack([encode(name) for name in names])
    means, errors = global_importance(model, backgrounds, patterns, device)
    return [
        [
            Importance(names[i].replace("T", "U"), float(mean[i]), float(error[i]))
            for i in np.argsort(-mean, kind="stable")[:most]
        ]
        for mean, error in zip(means.T, errors.T)
    ]


def probe_motifs(
    model: nn.Module, experiments: Sequence[str], codes: np.ndarray, predicted: np.ndarray
) -> list[ConsensusMotif]:
    """The consensus motif of each experiment, from the probes (n, L) of which most is predicted
    (n, E). The model must be on the CPU."""
    model.eval()
    found = []
    for i, name in enumerate(tqdm(experiments, "motifs", disable=None, leave=False)):
        sure = codes[np.argsort(-predicted[:, i], kind="stable")[:SURE]]
        no_regions = np.full_like(sure, UNKNOWN)
        found.append(consensus_motif(lambda bases, _: model(bases), name, i, sure, no_regions))
    return found
