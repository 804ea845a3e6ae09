"""What a model of in-vivo binding looks at: integrated gradients of each base, and the consensus
motif of each protein.

A protein's motif comes from the bound bins that the model is surest of. In each of them the stretch
of `SEED` bases with the largest attribution is looked up, with its surroundings (a seqlet). The
word of `SEED` bases that most seqlets have is the seed; each seqlet that has it, or one that
differs in one base, is laid on it, and the bases are counted.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
import torch

from ..genomics.genome import UNKNOWN, decode
from ..model.sam import one_hot

# One-hot bases (N, 4, W) and region types (N, 4, W) -> what is predicted of each protein (N, P)
Predicted = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]

STEPS = 16  # points of the integral
ROWS = 64  # windows a call
SEED, SIDE = 6, 4  # bases of a seed, and on either side of it that a motif has
SEQLET = 14  # bases
BASELINE = 0.25  # of each base: nothing is known of the sequence


def integrated_gradients(
    net: Predicted, bases: torch.Tensor, regions: torch.Tensor, protein: int, steps: int = STEPS
) -> np.ndarray:
    """What each base (N, W) adds to what is predicted of a protein (its index), log-odds or an
    intensity, against equal shares of all four bases; region types (N, 4, W) stay as they are. The
    sum over a window is, but for the steps of the integral, the prediction less that of the
    baseline (Sundararajan et al., 2017)."""
    baseline = BASELINE * bases.sum(1, keepdim=True).expand_as(bases)  # 0 where unknown
    change = bases - baseline
    total = torch.zeros_like(bases)
    for k in range(steps):
        shown = (baseline + (k + 0.5) / steps * change).requires_grad_()
        (gradient,) = torch.autograd.grad(net(shown, regions)[:, protein].sum(), shown)
        total += gradient / steps
    return (total * change).sum(1).numpy()


class ConsensusMotif(NamedTuple):
    """What a protein's surest sites have in common.

    counts    (SEED + 2 SIDE, 4): how often A C G T stand at each place of the seqlets with the seed
    windows   that were looked at; `used`: those with the seed
    """

    protein: str
    counts: np.ndarray
    windows: int
    used: int

    @property
    def consensus(self) -> str:
        """The base that most seqlets have, in capitals where it is more than half of them."""
        shares = self.counts / np.maximum(self.counts.sum(1, keepdims=True), 1)
        best = "".join("ACGU"[i] for i in shares.argmax(1))
        return "".join(b if s > 0.5 else b.lower() for b, s in zip(best, shares.max(1)))


def consensus_motif(
    net: Predicted, protein: str, column: int, codes: np.ndarray, regions: np.ndarray
) -> ConsensusMotif:
    """Of windows (N, W) that the model is sure of; `column`: the protein's."""
    parts = []
    for start in range(0, len(codes), ROWS):
        rows = slice(start, start + ROWS)
        bases, kinds = (one_hot(torch.from_numpy(v[rows])) for v in (codes, regions))
        parts.append(integrated_gradients(net, bases, kinds, column))
    seqlets = [_seqlet(*pair) for pair in zip(codes, np.concatenate(parts))]
    return ConsensusMotif(protein, *_counted(seqlets))


def _seqlet(codes: np.ndarray, attribution: np.ndarray) -> np.ndarray:
    """The bases about the stretch with the largest attribution."""
    sums = np.convolve(attribution, np.ones(SEED), "valid")
    start = int(sums.argmax()) - (SEQLET - SEED) // 2 - SIDE
    padded = np.pad(codes, SEQLET, constant_values=UNKNOWN)
    return padded[start + SEQLET : start + 2 * SEQLET + 2 * SIDE]


def _counted(seqlets: Sequence[np.ndarray]) -> tuple[np.ndarray, int, int]:
    """(counts, seqlets, seqlets with the seed)."""
    inner = [decode(s[SIDE : SIDE + SEQLET]) for s in seqlets]
    words = [{text[i : i + SEED] for i in range(SEQLET - SEED + 1)} for text in inner]
    known = Counter(word for own in words for word in sorted(own) if "N" not in word)
    counts, used = np.zeros((SEED + 2 * SIDE, 4), int), 0
    if not known:
        return counts, len(seqlets), 0
    seed = max(known, key=lambda word: (known[word], word))
    for seqlet, text in zip(seqlets, inner):
        differ = [_differences(text[i : i + SEED], seed) for i in range(SEQLET - SEED + 1)]
        if min(differ) <= 1:
            at = int(np.argmin(differ))
            laid = seqlet[at : at + SEED + 2 * SIDE]
            counts[np.flatnonzero(laid < UNKNOWN), laid[laid < UNKNOWN]] += 1
            used += 1
    return counts, len(seqlets), used


def _differences(word: str, other: str) -> int:
    return sum(a != b for a, b in zip(word, other))
