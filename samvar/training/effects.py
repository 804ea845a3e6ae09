"""What a teacher says of every substitution near splice sites, to first order: its gradient.

One pass back from the log-odds of a splice site tells the effect of all substitutions in reach at
once, where asking for single edits costs a pass each. Imports numpy only.
"""

from __future__ import annotations

import glob
import os
from dataclasses import dataclass, fields
from functools import cached_property

import numpy as np

from ..errors import DatasetError
from .dataset import load_windows, save_windows


@dataclass(frozen=True)
class SubstitutionEffects:
    """N unedited windows in transcript orientation, and S splice sites in them.

    codes        (N, left + W + right) uint8: 0-3 A C G T, 4 unknown
    site_window, site_kind, site_at   (S,): which window, ACCEPTOR or DONOR, 0-based position in the
                 W scored bases; sites of one window stand together
    effect       (S, 4, W) float16: change of the teacher's log-odds of the site where the base at a
                 position becomes A, C, G or T; 0 for its own, and where it is unknown
    left, right  bases of context before and after the scored ones
    """

    codes: np.ndarray
    site_window: np.ndarray
    site_kind: np.ndarray
    site_at: np.ndarray
    effect: np.ndarray
    left: int
    right: int

    @property
    def width(self) -> int:
        """W: scored bases of a window."""
        return self.codes.shape[1] - self.left - self.right

    @cached_property
    def first_site(self) -> np.ndarray:
        """(N + 1,): sites of window i are [first_site[i], first_site[i + 1])."""
        return np.searchsorted(self.site_window, np.arange(len(self.codes) + 1))

    def save(self, path: str) -> None:
        """Write a shard: 2 bits a base."""
        arrays = {f.name: getattr(self, f.name) for f in fields(self) if f.name != "codes"}
        save_windows(path, self.codes, arrays)

    @classmethod
    def load(cls, path: str) -> SubstitutionEffects:
        """One shard. Raises DatasetError where the file holds something else."""
        with np.load(path) as file:
            if "effect" not in file:
                raise DatasetError(
                    f"{path} holds soft labels, no effects: teach with effects = true"
                )
            codes = load_windows(file)
            window, kind, at = (file[f"site_{name}"] for name in ("window", "kind", "at"))
            left, right = int(file["left"]), int(file["right"])
            return cls(codes, window, kind, at, file["effect"], left, right)

    @classmethod
    def load_folder(cls, folder: str) -> SubstitutionEffects:
        """All shards of a folder that `samvar train teach` has written, finished or not. Raises
        DatasetError."""
        shards = [cls.load(path) for path in sorted(glob.glob(os.path.join(folder, "shard-*.npz")))]
        if not shards:
            raise DatasetError(
                f"{folder} holds no effects; make them with: samvar train teach (effects = true)"
            )
        windows = np.cumsum([0, *(len(s.codes) for s in shards)])
        return cls(
            np.concatenate([s.codes for s in shards]),
            np.concatenate([s.site_window + n for s, n in zip(shards, windows)]),
            np.concatenate([s.site_kind for s in shards]),
            np.concatenate([s.site_at for s in shards]),
            np.concatenate([s.effect for s in shards]),
            shards[0].left,
            shards[0].right,
        )
