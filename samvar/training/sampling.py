"""Windows drawn from the training genes, plain or with changes that leave the splice sites as they
are."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from ..errors import DatasetError
from ..model.sam import ACCEPTOR, DONOR
from .dataset import CORE, IGNORE, UNKNOWN, Dataset, core_bases

DECOYS = 200  # AGs or GTs of which a decoy window takes the strongest
KEEP = 60  # bases on either side of a splice site that are never changed
TRIES = 10_000  # of finding a stretch without a site
STRETCH = 120  # longest stretch deleted, inserted or moved


@dataclass(frozen=True)
class Augmentation:
    """Changes of a window more than KEEP bases away from its sites (after EvoAug, Lee et al. 2023).

    mutate  share of the bases replaced at random
    indels  probability that 1 to STRETCH bases are deleted, and that as many are inserted
    moved   probability that 1 to STRETCH bases stand elsewhere in the window
    """

    mutate: float = 0.0
    indels: float = 0.0
    moved: float = 0.0

    def __bool__(self) -> bool:
        return self != Augmentation()

    def apply(
        self,
        rng: np.random.Generator,
        codes: np.ndarray,
        labels: np.ndarray,
        stretch: Callable[[int], np.ndarray],
    ) -> tuple[np.ndarray, np.ndarray]:
        """Codes and labels (L,) of a window, changed; up to STRETCH bases shorter or longer than
        before. `stretch(n)`: the codes of n bases to insert."""
        if rng.random() < self.indels:
            codes, labels, _ = _cut_out(rng, codes, labels)
        if rng.random() < self.indels:
            n = int(rng.integers(1, STRETCH + 1))
            if len(places := _known(labels)):
                at = rng.choice(places)
                codes = np.insert(codes, at, stretch(n))
                labels = np.insert(labels, at, np.zeros(n, labels.dtype))
        if self.moved and rng.random() < self.moved:
            codes, labels, own = _cut_out(rng, codes, labels)
            if own is not None:
                to = rng.choice(places) if len(places := _known(labels)) else own.at
                codes = np.insert(codes, to, own.codes)
                labels = np.insert(labels, to, own.labels)
        return self._mutated(rng, codes, labels), labels

    def _mutated(
        self, rng: np.random.Generator, codes: np.ndarray, labels: np.ndarray
    ) -> np.ndarray:
        at = _free(labels, 1)
        at = at[(rng.random(len(at)) < self.mutate) & (codes[at] != UNKNOWN)]
        codes = codes.copy()
        codes[at] = rng.integers(0, 4, len(at))
        return codes


class _Stretch(NamedTuple):
    """Bases cut out of a window before position `at` of what is left."""

    at: int
    codes: np.ndarray
    labels: np.ndarray


def _cut_out(
    rng: np.random.Generator, codes: np.ndarray, labels: np.ndarray
) -> tuple[np.ndarray, np.ndarray, _Stretch | None]:
    """(codes and labels without 1 to STRETCH random bases away from sites, these bases); None where
    no place is free."""
    n = int(rng.integers(1, STRETCH + 1))
    if not len(places := _free(labels, n)):
        return codes, labels, None
    at = rng.choice(places)
    gone = slice(at, at + n)
    stretch = _Stretch(at, codes[gone], labels[gone])
    return np.delete(codes, gone), np.delete(labels, gone), stretch


@dataclass(frozen=True)
class Mixture:
    """What the windows of a step are.

    batch_bases  scored bases of a step (and rank)
    lengths      scored bases of a window, one of these a step
    site_share   share of the windows around a random site
    decoy_share  share of the windows around a strong decoy; the rest lies anywhere ("tiles")
    """

    batch_bases: int
    lengths: tuple[int, ...]
    site_share: float = 0.0
    decoy_share: float = 0.0


class WindowSampler:
    """Windows of the genes of a split, with `reach` bases before and after the scored ones.

    A decoy is the one with the best core score among DECOYS random AGs or GTs that are no sites;
    `strength(kind, positions in data.codes)` gives these scores. The windows of a step depend on
    (seed, rank, step) alone, those around decoys on `strength`, too: a resumed run sees what an
    uninterrupted one would.
    """

    def __init__(
        self,
        data: Dataset,
        split: str,
        reach: tuple[int, int],
        mixture: Mixture,
        seed: int,
        rank: int = 0,
        strength: Callable[[int, np.ndarray], np.ndarray] | None = None,
        augmentation: Augmentation = Augmentation(),
    ):
        self.data, self.reach, self.mixture, self.strength = data, reach, mixture, strength
        self.augmentation, self.seed, self.rank = augmentation, seed, rank
        self.genes = data.genes(split)
        if not len(self.genes):
            raise DatasetError(f"the dataset has no {split} genes")
        self.cumulative = np.cumsum(np.diff(data.offsets)[self.genes])
        self.sites = self._of_split((data.labels == ACCEPTOR) | (data.labels == DONOR))
        if not len(self.sites):
            raise DatasetError(f"the {split} genes of the dataset have no splice site")
        self.decoys = {
            kind: self._of_split(core_bases(data.codes, kind) & (data.labels == 0))
            for kind in CORE
            if mixture.decoy_share
        }

    def _of_split(self, mask: np.ndarray) -> np.ndarray:
        """Positions in `data.codes` where `mask` holds, in genes of the split."""
        found = np.flatnonzero(mask)
        return found[np.isin(np.searchsorted(self.data.offsets, found, "right") - 1, self.genes)]

    def batch(self, step: int) -> tuple[np.ndarray, np.ndarray]:
        """(codes (N, left + W + right), labels (N, W)), uint8; W is one of the lengths,
        N = batch_bases // W."""
        rng = np.random.default_rng([self.seed, self.rank, step])
        width = int(rng.choice(self.mixture.lengths))
        n = max(self.mixture.batch_bases // width, 1)
        codes, labels = zip(*(self._draw(rng, width) for _ in range(n)))
        return np.stack(codes), np.stack(labels)

    def _draw(self, rng: np.random.Generator, width: int) -> tuple[np.ndarray, np.ndarray]:
        gene, at = self._held(rng)
        start, (left, right) = at - int(rng.integers(width)), self.reach
        if not self.augmentation:
            return self.data.window(gene, start, start + width, left, right)
        longer = self.data.window(gene, start - left, start + width + right + STRETCH)
        codes, labels = self.augmentation.apply(rng, *longer, lambda n: self._stretch(rng, n))
        return codes[: left + width + right], labels[left : left + width]

    def _held(self, rng: np.random.Generator) -> tuple[int, int]:
        """(gene, position in it) that the next window holds."""
        which = rng.random()
        if which < self.mixture.site_share:
            return self._locate(self.sites[rng.integers(len(self.sites))])
        if which < self.mixture.site_share + self.mixture.decoy_share:
            kind = ACCEPTOR if rng.random() < 0.5 else DONOR
            some = rng.choice(self.decoys[kind], DECOYS)
            assert self.strength, "decoys need a strength"
            return self._locate(some[np.argmax(self.strength(kind, some))])
        return self._anywhere(rng)

    def _anywhere(self, rng: np.random.Generator) -> tuple[int, int]:
        at = rng.integers(self.cumulative[-1])
        i = np.searchsorted(self.cumulative, at, "right")
        return self.genes[i], int(at - (self.cumulative[i - 1] if i else 0))

    def _locate(self, at: int) -> tuple[int, int]:
        gene = int(np.searchsorted(self.data.offsets, at, "right")) - 1
        return gene, int(at - self.data.offsets[gene])

    def _stretch(self, rng: np.random.Generator, n: int) -> np.ndarray:
        """Codes of n bases without a site, from anywhere in the split's genes."""
        for _ in range(TRIES):
            gene, at = self._anywhere(rng)
            codes, labels = self.data.window(gene, at, at + n)
            if not labels.any():
                return codes
        raise DatasetError(
            f"none of {TRIES} random stretches of {n} bases lies between two sites: the genes are "
            "too short for indels; set indels = 0"
        )


def _known(labels: np.ndarray) -> np.ndarray:
    """Known bases before which a stretch can be inserted."""
    free = _free(labels, 0)
    return free[np.append(labels, IGNORE)[free] != IGNORE]


def _free(labels: np.ndarray, n: int) -> np.ndarray:
    """Starts of stretches of n bases with no site in them nor within KEEP bases."""
    sites = np.concatenate(([0], np.cumsum((labels == ACCEPTOR) | (labels == DONOR))))
    start = np.arange(len(labels) - n + 1)
    return start[
        sites[np.minimum(start + n + KEEP, len(labels))] == sites[np.maximum(start - KEEP, 0)]
    ]
