"""Windows -> site probabilities: batching and device."""

from __future__ import annotations

from collections import defaultdict

import numpy as np
import torch

from .bundle import Bundle
from .errors import SamvarError
from .model import SAM, Detection, one_hot
from .windows import Window

BATCH = 16  # rows of a model call


class Predictor:
    """Runs the models of a bundle. Raises SamvarError when the device is not there."""

    def __init__(self, bundle: Bundle, device: str = "cpu"):
        self.bundle = bundle
        try:
            self.device = torch.device(device)
            self.models: list[SAM] = [m.to(self.device).eval() for m in bundle.models]
        except (RuntimeError, AssertionError) as e:
            raise SamvarError(f"device {device!r} cannot be used: {e}") from e
        self.reach = self.models[0].config.reach

    @torch.inference_mode()
    def score(self, windows: list[Window]) -> list[tuple[np.ndarray, np.ndarray]]:
        """(p_ref (S, 2, n), p_alt (S, 2, m)) of each window: acceptor and donor probability, in genome order.

        Ref and alt of all windows run in batches of equal length.
        """
        by_length: dict[int, list[tuple[int, int]]] = defaultdict(list)
        codes = [(w.ref, w.alt) for w in windows]
        for i, pair in enumerate(codes):
            for allele, haplotype in enumerate(pair):
                by_length[len(haplotype)].append((i, allele))
        found: dict[tuple[int, int], np.ndarray] = {}
        for rows in by_length.values():
            for first in range(0, len(rows), BATCH):
                group = rows[first : first + BATCH]
                x = self.encode([codes[i][allele] for i, allele in group])
                p = torch.stack([m(x)[:, 1:].exp() for m in self.models], 1).cpu().numpy()  # (rows, S, 2, n)
                for row, (i, allele) in enumerate(group):
                    found[i, allele] = windows[i].to_genome(p[row])
        return [(found[i, 0], found[i, 1]) for i in range(len(windows))]

    def encode(self, haplotypes: list[np.ndarray]) -> torch.Tensor:
        """Base codes of equal length -> one-hot (N, 4, L) on the device."""
        return one_hot(torch.from_numpy(np.stack(haplotypes)).to(self.device))

    @torch.inference_mode()
    def detect(self, model: SAM, haplotype: np.ndarray) -> Detection:
        """The bottleneck of one haplotype, on the device, in transcript orientation, with the aggregator's reach."""
        return model.detect(self.encode([haplotype]))

    @torch.inference_mode()
    def aggregate(self, model: SAM, u: torch.Tensor) -> torch.Tensor:
        """Edited bottlenecks (N, 2 + 79, L), LSSI then motifs -> p (N, 2, n) of acceptor and donor, in transcript
        orientation."""
        return model.aggregate(Detection(u[:, :2], u[:, 2:]))[:, 1:].exp().cpu()
