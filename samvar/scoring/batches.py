"""Whole windows in large batches on a GPU."""

from __future__ import annotations

import copy
from collections import defaultdict
from typing import Any

import numpy as np
import torch

from ..genomics.genome import UNKNOWN
from ..genomics.window import Window
from ..model.sam import SAM, crop, one_hot

ROWS, RARE_ROWS = (
    256,
    16,
)  # haplotypes of a batch on a GPU: as long as an SNV's, and of any other length
BASES = 600_000  # of a batch at most


class Batches:
    """The models on a device, given whole haplotypes (`SAM.forward`) in batches of equal length.

    How many rows a batch has depends on the length alone, so that no digit depends on what else is
    scored; unknown bases fill it where fewer are left.
    """

    def __init__(self, models: list[SAM], device: torch.device):
        self.models = [copy.deepcopy(m).to(device) for m in models]
        self.device = device

    @torch.inference_mode()
    def score(
        self, windows: list[Window], precision: str = "fp32"
    ) -> list[tuple[np.ndarray, np.ndarray]]:
        """`ref` and `alt` of a `ScoredWindow`, of each window. `precision` "bf16" is that of the
        aggregator; what is found in the sequence stays fp32."""
        places: dict[tuple[int, int, int], list[tuple[int, int]]] = defaultdict(
            list
        )  # window and side
        for i, w in enumerate(windows):
            of_snv = len(w.ref) + 1 - (w.variant.span[1] - w.variant.span[0])
            for side, codes in enumerate((w.ref, w.alt)):
                n = min(ROWS if len(codes) == of_snv else RARE_ROWS, max(BASES // len(codes), 1))
                places[len(codes), w.flank, n].append((i, side))
        rows = [
            (
                some,
                self._run(
                    [(windows[i].ref, windows[i].alt)[side] for i, side in some],
                    flank,
                    n,
                    precision,
                ),
            )
            for (_, flank, n), at in places.items()
            for some in (at[k : k + n] for k in range(0, len(at), n))
        ]
        found: list[list[Any]] = [[None, None] for _ in windows]
        for some, p in rows:  # only here the host waits for the device
            for (i, side), row in zip(some, p.cpu().numpy()):
                found[i][side] = windows[i].to_genome(row)
        return [(ref, alt) for ref, alt in found]

    def _run(
        self, haplotypes: list[np.ndarray], flank: int, rows: int, precision: str = "fp32"
    ) -> torch.Tensor:
        """Codes of up to `rows` haplotypes -> (haplotypes, seeds, 2, compared positions)."""
        codes = np.full((rows, len(haplotypes[0])), UNKNOWN, np.uint8)
        codes[: len(haplotypes)] = haplotypes
        host = torch.from_numpy(codes)
        host = host.pin_memory() if self.device.type == "cuda" else host
        x = one_hot(host.to(self.device, non_blocking=True))
        p = []
        for model in self.models:
            found = model.detect(x)
            with torch.autocast(self.device.type, torch.bfloat16, enabled=precision == "bf16"):
                log_p = model.aggregate(found)
            p.append(crop(log_p[: len(haplotypes), 1:].float().exp(), flank, flank))
        return torch.stack(p, 1)
