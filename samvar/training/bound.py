"""What motifs learn from binding in cells: bins of genes in and outside CLIP peaks, packed, and how
little a motif's sites prefer the former.

Imports no genomics library; `training.prepare_bound` makes the bins.
"""

from __future__ import annotations

import hashlib
import json
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch

from ..errors import DatasetError
from ..model.sam import Motifs
from .dataset import load_windows, save_windows

SOFTNESS = 2.0  # activation at which a site counts by sigmoid(1)
FEW = 0.05  # sites added to both sides, so that their ratio stays finite


@dataclass(frozen=True)
class BoundBins:
    """Bins of genes, in transcript orientation, ordered by motif and stratum; each bound one has
    controls.

    codes    (n, bin + 2 MOTIF_REACH) uint8: 0-3 A C G T, 4 unknown
    motif    (n,): index into `names`
    stratum  (n,)
    bound    (n,): whether bound, or a control
    names    of the motifs, as the dataset has them
    meta     where it came from
    """

    codes: np.ndarray
    motif: np.ndarray
    stratum: np.ndarray
    bound: np.ndarray
    names: tuple[str, ...]
    meta: dict

    def counts(self) -> dict[str, int]:
        """Motif -> bound bins, of those that have any."""
        n = np.bincount(self.motif[self.bound], minlength=len(self.names))
        return {name: int(k) for name, k in zip(self.names, n) if k}

    def digest(self) -> str:
        """Checksum of all that a run learns from."""
        found = hashlib.sha256(json.dumps(self.names).encode())
        for column in (self.codes, self.motif, self.stratum, self.bound):
            found.update(np.ascontiguousarray(column).tobytes())
        return found.hexdigest()

    def save(self, path: str) -> None:
        """Write them to a file, 2 bits a base."""
        arrays = dict(motif=self.motif, stratum=self.stratum, bound=self.bound)
        texts = dict(names=json.dumps(self.names), meta=json.dumps(self.meta))
        save_windows(path, self.codes, arrays | texts)

    @classmethod
    def load(cls, path: str) -> BoundBins:
        """Raises DatasetError where the file is none of `save`."""
        try:
            with open(path, "rb") as handle, np.load(handle) as file:
                names, meta = (json.loads(str(file[key])) for key in ("names", "meta"))
                motif, stratum, bound = (file[key] for key in ("motif", "stratum", "bound"))
                return cls(load_windows(file), motif, stratum, bound, tuple(names), meta)
        except (OSError, EOFError, ValueError, KeyError, TypeError, zipfile.BadZipFile) as e:
            raise DatasetError(
                f"{path} holds no bound bins; make it with: samvar train bound ({e})"
            ) from e


def learnt_of_binding(*abouts: dict | None) -> dict | None:
    """What models with weights of all of these have learnt of binding: the first that is anything,
    with the contigs that all of them left out."""
    known = [about for about in abouts if about]
    if not known:
        return None
    left_out = [c for c in known[0]["left_out"] if all(c in about["left_out"] for about in known)]
    return known[0] | dict(left_out=left_out)


class BoundBatch(NamedTuple):
    """Bins that are bound, and a control of each: codes (2 n, bin + 2 MOTIF_REACH), the bound ones
    first; their motif (n,), an index into those of the model."""

    codes: np.ndarray
    motif: np.ndarray


class BoundSampler:
    """Batches: of each motif so many bound bins, each with a control of its stratum. A batch
    depends on (seed, rank, step) alone."""

    def __init__(self, path: str, names: Sequence[str], pairs: int, seed: int, rank: int):
        self.bins = BoundBins.load(path)
        if "left_out" not in self.bins.meta:
            raise DatasetError(f"{path} was made with --only, to measure on, not to learn from")
        if strangers := sorted(set(self.bins.counts()) - set(names)):
            raise DatasetError(f"{path} has motifs that the dataset has not: {strangers[0]}, ...")
        self.pairs, self.seed, self.rank = pairs, seed, rank
        self.about = self.bins.meta | dict(digest=self.bins.digest())
        self.place = np.array([names.index(n) if n in names else -1 for n in self.bins.names])
        self.group = self.bins.motif * (self.bins.stratum.max() + 1) + self.bins.stratum
        self.bound = [
            np.flatnonzero(self.bins.bound & (self.bins.motif == m))
            for m in np.unique(self.bins.motif)
        ]
        self.free = np.flatnonzero(~self.bins.bound)

    def batch(self, step: int) -> BoundBatch:
        rng = np.random.default_rng([self.seed, self.rank, step, 3])
        bound = np.concatenate([rng.choice(own, self.pairs) for own in self.bound])
        group = self.group[bound]
        of_free = self.group[self.free]
        first, last = (np.searchsorted(of_free, group, side) for side in ("left", "right"))
        control = self.free[first + (rng.random(len(group)) * (last - first)).astype(int)]
        rows = np.concatenate((bound, control))
        return BoundBatch(self.bins.codes[rows], self.place[self.bins.motif[bound]])


def missed_binding(motifs: Motifs, x: torch.Tensor, motif: torch.Tensor) -> torch.Tensor:
    """How little a motif's sites prefer bins that its protein binds: log(1 + sites in controls /
    sites in bound bins), mean over the motifs of a batch; log 2 where there is no difference.

    A site counts by a sigmoid of how far it stands above the threshold, a candidate below it a
    little. Norms and thresholds are taken as they are, and do not follow these bins.

    x      (2 n, 4, bin + 2 MOTIF_REACH): one-hot, the bound bins first
    motif  (n,)
    """
    training = motifs.training
    above, candidates = motifs.eval().above(x)
    motifs.train(training)
    row = torch.arange(len(x), device=x.device)
    own = motif.repeat(2)
    sites = (torch.sigmoid(above[row, own] / SOFTNESS) * candidates[row, own]).sum(1)
    _, group = torch.unique(motif, return_inverse=True)
    n = int(group.max()) + 1
    inside, outside = (
        torch.zeros(n, device=x.device).index_add(0, group, part) + FEW for part in sites.chunk(2)
    )
    return torch.log1p(outside / inside).mean()
