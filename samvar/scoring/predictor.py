"""Haplotypes -> site probabilities: workers on the CPU, whole windows in large batches on a GPU."""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from typing import TypeVar

import numpy as np
import torch

from ..genomics.window import Window
from ..model.bundle import Bundle
from ..model.device import device_of
from ..model.sam import SAM
from .batches import Batches
from .tiles import Reference, alternative, read

T, R = TypeVar("T"), TypeVar("R")
M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3  # malloc.h


class Predictor:
    """Runs the models of a bundle, one window a call, on `threads` workers of one intra-op thread
    each: no digit depends on what else is scored. On a GPU windows announced by `ahead` are scored
    in `Batches`, while the workers take deltas apart. As a context manager it drops at the end what
    no worker has begun. Raises SamvarError when the device is not there.
    """

    def __init__(
        self, bundle: Bundle, device: str = "cpu", threads: int = 1, precision: str = "fp32"
    ):
        self.bundle = bundle
        _return_memory()
        self.models: list[SAM] = [m.eval().requires_grad_(False) for m in bundle.models]
        self.references = [Reference(m) for m in self.models]
        self.reach = self.models[0].config.reach
        self._workers = ThreadPoolExecutor(threads, "samvar", torch.set_num_threads, (1,))
        where = device_of(device)
        self.batches = Batches(self.models, where, precision) if where.type != "cpu" else None
        self._feeder = ThreadPoolExecutor(1, "samvar-device")
        self._waiting: dict[int, tuple[Future, int]] = {}

    def __enter__(self) -> Predictor:
        return self

    def __exit__(self, *_) -> None:
        self._feeder.shutdown(cancel_futures=True)
        self._workers.shutdown(cancel_futures=True)

    def map(self, function: Callable[[T], R], items: Iterable[T]) -> Iterator[R]:
        """function(item) of every item, in order, on the workers, which start at once."""
        return self._workers.map(function, items)

    def ahead(self, windows: list[Window]) -> None:
        """With a GPU, have it score these windows from now on; `score` waits for its own."""
        if self.batches:
            scores = self._feeder.submit(self.batches.score, windows)
            self._waiting.update({id(w): (scores, i) for i, w in enumerate(windows)})

    def score(self, window: Window) -> tuple[np.ndarray, np.ndarray]:
        """(p_ref (S, 2, n), p_alt (S, 2, m)) of the S seeds: acceptor and donor probability of the
        compared positions, in genome order."""
        if self.batches:
            scores, i = self._waiting.pop(id(window), (None, 0))
            return scores.result()[i] if scores else self.batches.score([window])[0]
        return self.exact(window)

    def exact(self, window: Window) -> tuple[np.ndarray, np.ndarray]:
        """What `score` gives, whatever the device: on the CPU and in fp32, as deltas are taken
        apart."""
        pairs = [self._score(reference, window) for reference in self.references]
        ref, alt = (np.concatenate([p.cpu().numpy() for p in side]) for side in zip(*pairs))
        return window.to_genome(ref), window.to_genome(alt)

    @torch.no_grad()
    def _score(self, reference: Reference, window: Window) -> tuple[torch.Tensor, torch.Tensor]:
        model, margin = reference.model, window.flank
        n = window.end - window.start + 2 * margin
        h = reference.get(window, "h", window.origin, window.origin + n)
        lssi = reference.get(
            window, "bottleneck", window.origin + margin, window.origin + n - margin
        )[:, :2]
        alt, stretch = alternative(reference, window)
        if alt.shift == 0 and torch.equal(stretch, alt.unedited()):
            p = read(model, h, lssi)
            return p, p
        h_alt, lssi_alt = alt.states(stretch)
        if alt.shift:
            return read(model, h, lssi), read(model, h_alt, lssi_alt)
        both = read(model, torch.cat((h, h_alt)), torch.cat((lssi, lssi_alt)), alt.unreached)
        return both[:1], both[1:]


def _return_memory() -> None:
    """Have glibc give large temporaries back to the system: it would keep more the longer it
    runs."""
    with suppress(OSError, AttributeError):
        allocator = ctypes.CDLL(None)
        allocator.mallopt(M_MMAP_THRESHOLD, 1 << 20)
        allocator.mallopt(M_TRIM_THRESHOLD, 1 << 25)
