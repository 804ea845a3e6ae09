"""Windows drawn from the training genes, plain or with changes that leave the splice sites as they
are."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from ..errors import DatasetError
from ..model.sam import ACCEPTOR, DONOR
from .dataset import CORE, IGNORE, UNKNOWN, Dataset, core_bases

DECOYS = 200  # AGs or GTs of which a decoy window takes the strongest
KEEP = 60  # bases on either side of a splice site that are never changed
TRIES = 10_000  # of finding a stretch without a site
STRETCH = 120  # longest stretch deleted, inserted or moved


class WindowSampler:
    """Windows of the genes of a split: a share of them around a random site, another around a
    strong decoy, the rest anywhere ("tiles").

    A decoy is the one with the best core score among DECOYS random AGs or GTs that are no sites;
    `strength(kind, positions in data.codes)` gives these scores. `mutate`, `indels`, `moved`: see
    `changed`. The windows of a step depend on (seed, rank, step) alone, those around decoys on
    `strength`, too: a resumed run sees what an uninterrupted one would.
    """

    def __init__(
        self,
        data: Dataset,
        split: str,
        reach: tuple[int, int],
        batch_bases: int,
        windows: tuple[int, ...],
        site_share: float,
        seed: int,
        rank: int = 0,
        decoy_share: float = 0.0,
        strength: Callable[[int, np.ndarray], np.ndarray] | None = None,
        mutate: float = 0.0,
        indels: float = 0.0,
        moved: float = 0.0,
    ):
        self.data, self.reach, self.batch_bases, self.lengths = data, reach, batch_bases, windows
        self.site_share, self.decoy_share, self.strength = site_share, decoy_share, strength
        self.mutate, self.indels, self.moved, self.seed, self.rank = (
            mutate,
            indels,
            moved,
            seed,
            rank,
        )
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
            if decoy_share
        }

    def _of_split(self, mask: np.ndarray) -> np.ndarray:
        """Positions in `data.codes` where `mask` holds, in genes of the split."""
        found = np.flatnonzero(mask)
        return found[np.isin(np.searchsorted(self.data.offsets, found, "right") - 1, self.genes)]

    def batch(self, step: int) -> tuple[np.ndarray, np.ndarray]:
        """(codes (N, left + W + right), labels (N, W)), uint8; W is one of `windows`, N =
        batch_bases // W."""
        rng = np.random.default_rng([self.seed, self.rank, step])
        width = int(rng.choice(self.lengths))
        drawn = [self._draw(rng, width) for _ in range(max(self.batch_bases // width, 1))]
        return np.stack([c for c, _ in drawn]), np.stack([y for _, y in drawn])

    def _draw(self, rng: np.random.Generator, width: int) -> tuple[np.ndarray, np.ndarray]:
        gene, at = self._held(rng)
        start, (left, right) = at - int(rng.integers(width)), self.reach
        if not (self.mutate or self.indels or self.moved):
            return self.data.window(gene, start, start + width, left, right)
        longer = self.data.window(gene, start - left, start + width + right + STRETCH)
        codes, labels = changed(
            rng, *longer, self.mutate, self.indels, self.moved, lambda n: self._stretch(rng, n)
        )
        return codes[: left + width + right], labels[left : left + width]

    def _held(self, rng: np.random.Generator) -> tuple[int, int]:
        """(gene, position in it) that the next window holds."""
        which = rng.random()
        if which < self.site_share:
            return self._locate(self.sites[rng.integers(len(self.sites))])
        if which < self.site_share + self.decoy_share:
            kind = ACCEPTOR if rng.random() < 0.5 else DONOR
            some = rng.choice(self.decoys[kind], DECOYS)
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
            "too "
            "short for indels; set indels = 0"
        )


def changed(
    rng: np.random.Generator,
    codes: np.ndarray,
    labels: np.ndarray,
    mutate: float,
    indels: float,
    moved: float,
    stretch: Callable[[int], np.ndarray],
) -> tuple[np.ndarray, np.ndarray]:
    """Codes and labels of a window, changed more than KEEP bases away from sites (after EvoAug, Lee
    et al. 2023): with probability `indels` 1 to STRETCH bases are deleted, with the same
    probability as many, `stretch(n)`, are inserted, with probability `moved` as many of the
    window's own stand elsewhere in it, and a share `mutate` of the bases is drawn anew. Up to
    STRETCH bases shorter or longer than before."""
    if rng.random() < indels:
        n = int(rng.integers(1, STRETCH + 1))
        if len(free := _free(labels, n)):
            gone = slice(at := rng.choice(free), at + n)
            codes, labels = np.delete(codes, gone), np.delete(labels, gone)
    if rng.random() < indels:
        n = int(rng.integers(1, STRETCH + 1))
        if len(free := _known(labels)):
            at = rng.choice(free)
            codes, labels = (
                np.insert(codes, at, stretch(n)),
                np.insert(labels, at, np.zeros(n, labels.dtype)),
            )
    if moved and rng.random() < moved:
        n = int(rng.integers(1, STRETCH + 1))
        if len(free := _free(labels, n)):
            gone = slice(at := rng.choice(free), at + n)
            own = codes[gone], labels[gone]
            codes, labels = np.delete(codes, gone), np.delete(labels, gone)
            to = rng.choice(free) if len(free := _known(labels)) else at
            codes, labels = np.insert(codes, to, own[0]), np.insert(labels, to, own[1])
    at = _free(labels, 1)
    at = at[(rng.random(len(at)) < mutate) & (codes[at] != UNKNOWN)]
    codes = codes.copy()
    codes[at] = rng.integers(0, 4, len(at))
    return codes, labels


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
