"""Haplotypes -> site probabilities: workers on the CPU, whole windows in large batches on a GPU."""

from __future__ import annotations

import copy
import ctypes
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from typing import TypeVar

import numpy as np
import torch

from .bundle import Bundle, device_of
from .genome import UNKNOWN
from .model import SAM, crop, one_hot
from .reference import Reference, alternative, read
from .windows import Window

T, R = TypeVar("T"), TypeVar("R")
M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3  # malloc.h
ROWS, RARE_ROWS = 256, 16  # haplotypes of a batch on a GPU: as long as an SNV's, and of any other length
BASES = 600_000  # of a batch at most


class Predictor:
    """Runs the models of a bundle, one window a call, on `threads` workers of one intra-op thread each: no digit
    depends on what else is scored. On a GPU windows announced by `ahead` are scored in `Batches`, while the workers
    take deltas apart. As a context manager it drops at the end what no worker has begun. Raises SamvarError when the
    device is not there.
    """

    def __init__(self, bundle: Bundle, device: str = "cpu", threads: int = 1, precision: str = "fp32"):
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
        """(p_ref (S, 2, n), p_alt (S, 2, m)) of the S seeds: acceptor and donor probability of the compared positions,
        in genome order."""
        if self.batches:
            scores, i = self._waiting.pop(id(window), (None, 0))
            return scores.result()[i] if scores else self.batches.score([window])[0]
        return self.exact(window)

    def exact(self, window: Window) -> tuple[np.ndarray, np.ndarray]:
        """What `score` gives, whatever the device: on the CPU and in fp32, as deltas are taken apart."""
        pairs = [self._score(reference, window) for reference in self.references]
        ref, alt = (np.concatenate([p.cpu().numpy() for p in side]) for side in zip(*pairs))
        return window.to_genome(ref), window.to_genome(alt)

    @torch.no_grad()
    def _score(self, reference: Reference, window: Window) -> tuple[torch.Tensor, torch.Tensor]:
        model, margin = reference.model, window.flank
        n = window.end - window.start + 2 * margin
        h = reference.get(window, "h", window.origin, window.origin + n)
        lssi = reference.get(window, "bottleneck", window.origin + margin, window.origin + n - margin)[:, :2]
        alt, stretch = alternative(reference, window)
        if alt.shift == 0 and torch.equal(stretch, alt.unedited()):
            p = read(model, h, lssi)
            return p, p
        h_alt, lssi_alt = alt.states(stretch)
        if alt.shift:
            return read(model, h, lssi), read(model, h_alt, lssi_alt)
        both = read(model, torch.cat((h, h_alt)), torch.cat((lssi, lssi_alt)), alt.unreached)
        return both[:1], both[1:]


class Batches:
    """The models on a device, given whole haplotypes (`SAM.forward`) in batches of equal length.

    How many rows a batch has depends on the length alone, so that no digit depends on what else is scored; unknown
    bases fill it where fewer are left.
    `precision` "bf16" is that of the aggregator; what is found in the sequence stays fp32.
    """

    def __init__(self, models: list[SAM], device: torch.device, precision: str = "fp32"):
        self.models = [copy.deepcopy(m).to(device) for m in models]
        self.device, self.precision = device, precision

    @torch.inference_mode()
    def score(self, windows: list[Window]) -> list[tuple[np.ndarray, np.ndarray]]:
        """What `Predictor.score` gives, of each window."""
        places: dict[tuple[int, int, int], list[tuple[int, int]]] = defaultdict(list)  # window and side
        for i, w in enumerate(windows):
            of_snv = len(w.ref) + 1 - (w.variant.span[1] - w.variant.span[0])
            for side, codes in enumerate((w.ref, w.alt)):
                n = min(ROWS if len(codes) == of_snv else RARE_ROWS, max(BASES // len(codes), 1))
                places[len(codes), w.flank, n].append((i, side))
        rows = [(some, self._run([(windows[i].ref, windows[i].alt)[side] for i, side in some], flank, n))
                for (_, flank, n), at in places.items() for some in (at[k : k + n] for k in range(0, len(at), n))]
        found: list[list] = [[None, None] for _ in windows]
        for some, p in rows:  # only here the host waits for the device
            for (i, side), row in zip(some, p.cpu().numpy()):
                found[i][side] = windows[i].to_genome(row)
        return [(ref, alt) for ref, alt in found]

    def _run(self, haplotypes: list[np.ndarray], flank: int, rows: int) -> torch.Tensor:
        """Codes of up to `rows` haplotypes -> (haplotypes, seeds, 2, compared positions)."""
        codes = np.full((rows, len(haplotypes[0])), UNKNOWN, np.uint8)
        codes[: len(haplotypes)] = haplotypes
        host = torch.from_numpy(codes)
        host = host.pin_memory() if self.device.type == "cuda" else host
        x = one_hot(host.to(self.device, non_blocking=True))
        p = []
        for model in self.models:
            found = model.detect(x)
            with torch.autocast(self.device.type, torch.bfloat16, enabled=self.precision == "bf16"):
                log_p = model.aggregate(found)
            p.append(crop(log_p[: len(haplotypes), 1:].float().exp(), flank, flank))
        return torch.stack(p, 1)


def _return_memory() -> None:
    """Have glibc give large temporaries back to the system: it would keep more the longer it runs."""
    with suppress(OSError, AttributeError):
        allocator = ctypes.CDLL(None)
        allocator.mallopt(M_MMAP_THRESHOLD, 1 << 20)
        allocator.mallopt(M_TRIM_THRESHOLD, 1 << 25)
