"""Haplotypes -> site probabilities: workers on the CPU, whole windows in large batches on a GPU."""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import TypeVar

import numpy as np
import torch

from ..errors import SamvarError
from ..genomics.window import Window
from ..model.bundle import Bundle
from ..model.device import device_of
from ..model.sam import SAM
from .arrays import Floats
from .batches import Batches
from .tiles import Detected, Reference, alternative

T = TypeVar("T")
R = TypeVar("R")
M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3  # malloc.h


@dataclass(frozen=True, eq=False)
class ScoredWindow:
    """What the models say of a window: the probability, at the bundle's temperature, that each of
    the compared positions is an acceptor or a donor.

    ref       (S, 2, n): by each of the S seeds; acceptor and donor; in genome order
    alt       (S, 2, m): the same of the alternative allele
    detected  of each seed, the alternative allele's own stretch of the bottleneck; of none where a
              GPU has scored whole windows, whose numbers are not those of the CPU to the last digit
    """

    window: Window
    ref: Floats
    alt: Floats
    detected: tuple[Detected, ...] = ()

    @property
    def finite(self) -> bool:
        """Whether the models gave numbers."""
        return bool(np.isfinite(self.ref).all() and np.isfinite(self.alt).all())


class Predictor:
    """Runs the models of a bundle, one window a call, on `threads` workers of one intra-op thread
    each: no digit depends on what else is scored. On a GPU windows announced by `ahead` are scored
    in `Batches`, while the workers take deltas apart. As a context manager it drops at the end what
    no worker has begun. Raises SamvarError when the device is not there.
    """

    def __init__(self, bundle: Bundle, device: str = "cpu", threads: int = 1):
        self.bundle = bundle
        _return_memory()
        self.models: list[SAM] = [m.eval().requires_grad_(False) for m in bundle.models]
        self.references = [Reference(m, bundle.layout) for m in self.models]
        self.reach = self.models[0].config.reach
        self._workers = ThreadPoolExecutor(threads, "samvar", torch.set_num_threads, (1,))
        where = device_of(device)
        self.batches = Batches(self.models, where) if where.type != "cpu" else None
        self._feeder = ThreadPoolExecutor(1, "samvar-device")

    def __enter__(self) -> Predictor:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """End the workers; what none of them has begun is dropped."""
        self._feeder.shutdown(cancel_futures=True)
        self._workers.shutdown(cancel_futures=True)

    def map(self, function: Callable[[T], R], items: Iterable[T]) -> Iterator[R]:
        """function(item) of every item, in order, on the workers, which start at once."""
        return self._workers.map(function, items)

    def run(self, function: Callable[[], R]) -> R:
        """What a function returns, run on a worker."""
        return self.submit(function).result()

    def submit(self, function: Callable[[], R]) -> Future[R]:
        """Have a worker run a function."""
        return self._workers.submit(function)

    def ahead(
        self, windows: list[Window], precision: str = "fp32"
    ) -> list[Callable[[], ScoredWindow]]:
        """For each window a function that returns it scored, to be called once, on a worker. A GPU
        starts on all of them now, and the function waits for it. `precision` of the aggregator:
        "fp32", or on a GPU "bf16". Raises SamvarError for bf16 on the CPU."""
        if self.batches is None:
            if precision != "fp32":
                raise SamvarError(f"precision {precision} is for a GPU: the CPU scores in fp32")
            return [partial(self.exact, w) for w in windows]
        batch = self._feeder.submit(self.batches.score, windows, precision)

        def one(i: int) -> ScoredWindow:
            return ScoredWindow(windows[i], *batch.result()[i])

        return [partial(one, i) for i in range(len(windows))]

    def score(self, window: Window) -> ScoredWindow:
        """One window, on the device."""
        if self.batches is None:
            return self.exact(window)
        return ScoredWindow(window, *self.batches.score([window])[0])

    @torch.no_grad()
    def exact(self, window: Window) -> ScoredWindow:
        """One window, on the CPU and in fp32 whatever the device: as deltas are taken apart."""
        detected = tuple(alternative(reference, window) for reference in self.references)
        pairs = [self._probabilities(window, d) for d in detected]
        ref, alt = (np.concatenate([p.cpu().numpy() for p in side]) for side in zip(*pairs))
        return ScoredWindow(window, window.to_genome(ref), window.to_genome(alt), detected)

    @staticmethod
    def _probabilities(window: Window, detected: Detected) -> tuple[torch.Tensor, torch.Tensor]:
        """(1, 2, n) of ref and (1, 2, m) of alt, in transcript orientation."""
        alt, stretch = detected
        reference, end = alt.reference, window.origin + window.frame_length
        h = reference.get(window, "h", window.origin, end)
        beyond = window.flank - reference.model.config.attention_reach
        near = reference.get(window, "bottleneck", window.origin + beyond, end - beyond)
        if alt.shift == 0 and torch.equal(stretch, alt.unedited()):
            p = reference.read(h, near)
            return p, p
        h_alt, near_alt = alt.states(stretch)
        if alt.shift:
            return reference.read(h, near), reference.read(h_alt, near_alt)
        both = reference.read(torch.cat((h, h_alt)), torch.cat((near, near_alt)), alt.unreached)
        return both[:1], both[1:]


def _return_memory() -> None:
    """Have glibc give large temporaries back to the system: it would keep more the longer it
    runs."""
    with suppress(OSError, AttributeError):
        allocator = ctypes.CDLL(None)
        allocator.mallopt(M_MMAP_THRESHOLD, 1 << 20)
        allocator.mallopt(M_TRIM_THRESHOLD, 1 << 25)
