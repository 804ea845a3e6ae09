"""Haplotypes -> site probabilities: device, and workers."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import numpy as np
import torch

from .bundle import Bundle
from .errors import SamvarError
from .model import SAM, Detection, one_hot
from .windows import Window

T, R = TypeVar("T"), TypeVar("R")


class Predictor:
    """Runs the models of a bundle, one haplotype a call, on `threads` workers of one intra-op thread each: no digit
    depends on what else is scored. Raises SamvarError when the device is not there.
    """

    def __init__(self, bundle: Bundle, device: str = "cpu", threads: int = 1):
        self.bundle = bundle
        try:
            self.device = torch.device(device)
            self.models: list[SAM] = [m.to(self.device).eval() for m in bundle.models]
        except (RuntimeError, AssertionError) as e:
            raise SamvarError(f"device {device!r} cannot be used: {e}") from e
        self.reach = self.models[0].config.reach
        self._workers = ThreadPoolExecutor(threads, "samvar", torch.set_num_threads, (1,))

    def map(self, function: Callable[[T], R], items: Iterable[T]) -> Iterator[R]:
        """function(item) of every item, in order, on the workers."""
        return self._workers.map(function, items)

    @torch.inference_mode()
    def score(self, window: Window) -> tuple[np.ndarray, np.ndarray]:
        """(p_ref (S, 2, n), p_alt (S, 2, m)) of the S seeds: acceptor and donor probability, in genome order."""
        pair = []
        for haplotype in (window.ref, window.alt):
            x = self.encode(haplotype)
            p = torch.cat([m(x)[:, 1:].exp() for m in self.models])
            pair.append(window.to_genome(p.cpu().numpy()))
        return pair[0], pair[1]

    def encode(self, haplotype: np.ndarray) -> torch.Tensor:
        """Base codes (L,) -> one-hot (1, 4, L) on the device."""
        return one_hot(torch.from_numpy(haplotype[None]).to(self.device))

    @torch.inference_mode()
    def detect(self, model: SAM, haplotype: np.ndarray) -> Detection:
        """The bottleneck of one haplotype, on the device, in transcript orientation, with the aggregator's reach."""
        return model.detect(self.encode(haplotype))

    @torch.inference_mode()
    def aggregate(self, model: SAM, u: torch.Tensor) -> torch.Tensor:
        """An edited bottleneck (1, 2 + 79, L), LSSI then motifs -> p (1, 2, n) of acceptor and donor, in transcript
        orientation."""
        return model.aggregate(Detection(u[:, :2], u[:, 2:]))[:, 1:].exp().cpu()
