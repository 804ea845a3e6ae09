"""Haplotypes -> site probabilities: workers on the CPU, whole windows in large batches on a GPU."""

from __future__ import annotations

import ctypes
import os
from bisect import bisect_right
from collections import defaultdict
from collections.abc import Callable, Hashable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import cached_property, partial
from itertools import chain
from math import inf
from typing import NamedTuple, TypeVar

import numpy as np
import torch

from ..errors import SamvarError
from ..genomics.window import Window
from ..model.bundle import Bundle
from ..model.device import SMALL_ROW, device_of, same_anywhere
from ..model.sam import SAM, for_scoring
from .arrays import Floats
from .batches import Batches
from .tiles import (
    TILE,
    Detected,
    Reference,
    Rows,
    alternatives,
    inputs_of_lstm,
    probabilities,
)

ROWS = 8  # windows that the models are shown together
GAP = 200  # bases between frames; where there are fewer the reference is computed in one stretch
SHORT = 2000  # bases; windows of longer frames are shown one by one,
SMALL = 64  # ... and, as they would make all others longer, those of changes over more bases
SHORT_SUM = 384  # products, which MKL adds up one after the other
WIDE = 16  # channels; of narrower models a row's last digits depend on where in a call it stands

T = TypeVar("T")
R = TypeVar("R")
M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3  # malloc.h
KERNELS = 128  # that oneDNN keeps, each for one shape; by itself it keeps 1,024


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


Scoring = Callable[[], list[list[ScoredWindow]]]


class Predictor:
    """Runs the models of a bundle on `threads` workers of one intra-op thread each, up to `ROWS`
    windows a call, where digits do not depend on how many there are, else always `ROWS` SNVs, or
    one other window: no digit depends on what else is scored. On a GPU windows
    announced by `ahead` are scored in `Batches`, while the workers take deltas apart. As a context
    manager it drops at the end what no worker has begun. Raises SamvarError when the device is not
    there, and where work is asked for once it is closed.
    """

    def __init__(self, bundle: Bundle, device: str = "cpu", threads: int = 1):
        self.bundle = bundle
        _return_memory()
        self.models = [for_scoring(m) for m in bundle.models]
        self.references = [Reference(m, bundle.layout) for m in self.models]
        self.reach = self.models[0].config.reach
        self._rows = ROWS if all(_narrowest(m) >= WIDE for m in self.models) else 1
        self._workers = ThreadPoolExecutor(threads, "samvar", begin_worker)
        where = device_of(device)
        self.batches = Batches(self.models, where) if where.type != "cpu" else None
        self._feeder = ThreadPoolExecutor(1, "samvar-device")
        self._closed = False

    def __enter__(self) -> Predictor:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """End the workers; what none of them has begun is dropped."""
        self._closed = True
        self._feeder.shutdown(cancel_futures=True)
        self._workers.shutdown(cancel_futures=True)

    def _check_open(self) -> None:
        if self._closed:
            raise SamvarError("the models are closed, and score no more: load them again")

    def map(self, function: Callable[[T], R], items: Iterable[T]) -> Iterator[R]:
        """function(item) of every item, in order, on the workers, which start at once."""
        self._check_open()
        return self._workers.map(function, items)

    def run(self, function: Callable[[], R]) -> R:
        """What a function returns, run on a worker."""
        return self.submit(function).result()

    def submit(self, function: Callable[[], R]) -> Future[R]:
        """Have a worker run a function."""
        self._check_open()
        return self._workers.submit(function)

    def ahead(self, alleles: list[list[Window]], precision: str = "fp32") -> list[Scoring]:
        """Functions, each to be called once, on a worker: the windows of some of the alleles,
        scored; those of all, in order, one function after the other. A GPU starts on all of them
        now, and the functions wait for it. `precision` of the aggregator: "fp32", or on a GPU
        "bf16". Raises SamvarError for bf16 on the CPU."""
        if self.batches is None:
            if precision != "fp32":
                raise SamvarError(f"precision {precision} is for a GPU: the CPU scores in fp32")
            if self._rows > 1 and same_anywhere():
                alleles = in_stretches(alleles)
            return [partial(self._exact_of, group) for group in self._groups(alleles)]
        groups = list(self._groups(alleles))
        windows = [w for own in alleles for w in own]
        self._check_open()
        batch = self._feeder.submit(self.batches.score, windows, precision)
        numbers = iter(range(len(windows)))

        def wait(group: list[list[tuple[int, Window]]]) -> list[list[ScoredWindow]]:
            found = batch.result()
            return [[ScoredWindow(w, *found[i]) for i, w in own] for own in group]

        return [
            partial(wait, [[(next(numbers), w) for w in own] for own in group]) for group in groups
        ]

    def score(self, window: Window) -> ScoredWindow:
        """One window, on the device."""
        if self.batches is None:
            return self.exact(window)
        return ScoredWindow(window, *self.batches.score([window])[0])

    def exact(self, window: Window) -> ScoredWindow:
        """One window, on the CPU and in fp32 whatever the device: as deltas are taken apart."""
        (scored,) = self._together([[window]])
        return scored

    def widened(self, scored: ScoredWindow, window: Window) -> ScoredWindow:
        """`window`, which has more compared positions of a scored one, as `exact` scores it: in the
        stretch of that one, where it lies within, else in fixed tiles."""
        if not scored.detected:
            return self.exact(window)
        if known := scored.window.stretch:
            start, end = known
            if start <= window.origin and window.origin + window.frame_length <= end:
                window = replace(window, stretch=known)
        (wide,) = self._read([[d.widened(window)] for d in scored.detected])
        return wide

    @cached_property
    def _mixed(self) -> bool:
        """Whether a call may have any windows in any number, and no digit depends on which."""
        alone_as_among_others = partial(_alone_as_among_others, self.bundle.flank)
        return self._rows > 1 and same_anywhere() and all(map(alone_as_among_others, self.models))

    def _fits(self, window: Window) -> bool:
        """Whether the window may be shown together with all others of which that is true."""
        if window.frame_length > SHORT:
            return False
        return _of_snv(window) or (window.changed <= SMALL and self._mixed)

    def _groups(self, alleles: list[list[Window]]) -> Iterator[list[list[Window]]]:
        """Alleles for a worker: as many as have the windows of a call, or one; few in any case."""
        group: list[list[Window]] = []
        filled = 0
        for own in alleles:
            more = sum(map(self._fits, own))
            if group and (filled + more > self._rows or len(group) == 2 * self._rows):
                yield group
                group, filled = [], 0
            group.append(own)
            filled += more
        if group:
            yield group

    def _exact_of(self, group: list[list[Window]]) -> list[list[ScoredWindow]]:
        """The windows of each allele, as many together as may be. They are told apart by identity:
        two may be alike."""
        some, n = [w for own in group for w in own if self._fits(w)], self._rows
        calls = [self._alike(some[i : i + n]) for i in range(0, len(some), n)]
        scored = {s.window: s for call in calls for s in self._together(call)}
        return [[scored[w] if w in scored else self.exact(w) for w in own] for own in group]

    def _alike(self, windows: list[Window]) -> list[list[Window]]:
        """Windows of a call, by groups of those that lie alike (`Haplotype`). Where calls are not
        mixed they are SNVs, of which the last one fills it."""
        if not self._mixed:
            return [windows + windows[-1:] * (self._rows - len(windows))]
        groups: dict[Hashable, list[Window]] = defaultdict(list)
        for w in windows:
            groups[w.in_frame(*w.replaced), w.variant.growth, w.frame_length, w.reach].append(w)
        return list(groups.values())

    @torch.no_grad()
    def _together(self, alike: list[list[Window]]) -> list[ScoredWindow]:
        """Windows in one call, by groups of those that lie alike."""
        return self._read([alternatives(r, alike) for r in self.references])

    @torch.no_grad()
    def _read(self, detected: list[list[Detected]]) -> list[ScoredWindow]:
        """Of alternative alleles, the same ones under each model."""
        return [
            scored
            for of_seeds in zip(*map(_probabilities, detected))
            for scored in _scored(of_seeds)
        ]


def in_stretches(alleles: list[list[Window]]) -> list[list[Window]]:
    """The windows, told the stretch of their gene that they lie in with others (`Window.stretch`):
    so of the reference little more is computed than they need, be they far apart or near. Of short
    frames that touch no other, whose digits would depend on it, fixed tiles are computed."""
    frames: dict[Hashable, list[tuple[int, int]]] = defaultdict(list)
    for w in chain.from_iterable(alleles):
        frames[w.locus].append((w.origin, w.origin + w.frame_length))
    stretches = {locus: _joined(of_locus) for locus, of_locus in frames.items()}

    def told(w: Window) -> Window:
        of_locus = stretches[w.locus]
        start, end = of_locus[bisect_right(of_locus, (w.origin, inf)) - 1]
        return replace(w, stretch=(start, end)) if end - start >= TILE else w

    return [[told(w) for w in own] for own in alleles]


def _joined(frames: list[tuple[int, int]]) -> list[tuple[int, int]]:
    """Stretches [start, end) of frames that touch, or nearly so; in order."""
    found: list[tuple[int, int]] = []
    for start, end in sorted(frames):
        if found and start < found[-1][1] + GAP:
            start, end = found[-1][0], max(found.pop()[1], end)
        found.append((start, end))
    return found


def _narrowest(model: SAM) -> int:
    """Fewest channels of its residual units."""
    return min(model.config.channels, model.config.inner_channels or model.config.channels)


def _alone_as_among_others(flank: int, model: SAM) -> bool:
    """Whether a row of `detect` or the second stack has the same digits alone and among others:
    PyTorch convolves single rows that are small in another way, which sums as the usual one does
    up to some length."""
    config = model.config
    least = config.channels * 2 * min(config.aggregate_reach, flank)
    longest = config.channels * max(config.adjust_widths)
    return least > SMALL_ROW and longest <= SHORT_SUM


def _of_snv(window: Window) -> bool:
    """Whether the window lies alike with all others of which that is true."""
    first, *others = window.placed
    return len(first.ref) == len(first.alt) == 1 and not others


class _OfSeed(NamedTuple):
    """Probabilities (windows, 2, n) of ref and (windows, 2, m) of alt, in transcript orientation,
    and what they are of, with `h` where it has been made."""

    ref: torch.Tensor
    alt: torch.Tensor
    detected: Detected


def _scored(of_seeds: Sequence[_OfSeed]) -> list[ScoredWindow]:
    """Windows that lie alike, as each seed has them."""
    ref = torch.stack([of_seed.ref for of_seed in of_seeds], 1).cpu().numpy()
    alt = torch.stack([of_seed.alt for of_seed in of_seeds], 1).cpu().numpy()
    made = [of_seed.detected for of_seed in of_seeds]
    return [
        ScoredWindow(w, w.to_genome(r), w.to_genome(a), tuple(d.of(i) for d in made))
        for i, (w, r, a) in enumerate(zip(made[0].haplotype.windows, ref, alt))
    ]


def _probabilities(detected: list[Detected]) -> list[_OfSeed]:
    """By one model, in one call."""
    same = [_unchanged(d) for d in detected]
    nothing = [bool(each.all()) for each in same]  # to compute
    changed = [d for d, none in zip(detected, nothing) if not none]
    missing = [(d.haplotype, d.bottleneck) for d in changed if d.h is None]
    made = iter(inputs_of_lstm(missing) if missing else ())
    alts = [
        Rows(d.haplotype, next(made) if d.h is None else d.h, d.haplotype.near(d.bottleneck))
        for d in changed
    ]
    refs = [d.haplotype.of_reference().rows() for d in detected]
    p = probabilities([*refs, *alts])
    of_alts = iter(zip(alts, p[len(refs) :]))
    found = []
    for d, each, none, frames in zip(detected, same, nothing, p):
        ref = frames[d.haplotype.frames()]
        if none:
            found.append(_OfSeed(ref, ref, d))
            continue
        rows, alt = next(of_alts)
        if not d.haplotype.shift:
            alt = torch.where(each[:, None, None], ref, alt)
        found.append(_OfSeed(ref, alt, d._replace(h=rows.h)))
    return found


def _unchanged(detected: Detected) -> torch.Tensor:
    """(windows,): whether the alternative allele holds what the reference does."""
    alt, stretch = detected.haplotype, detected.bottleneck
    if alt.shift:
        return stretch.new_zeros(len(stretch), dtype=torch.bool)
    return (stretch == alt.unedited()).flatten(1).all(1)


def begin_worker() -> None:
    """Prepare a worker: one thread for each operation, and 0 where a number is too small for fp32
    to hold well, as weights of far bases in attention often are: a CPU takes ten times as long for
    those. Temporaries of all but the largest calls come from the heap: pages that are mapped anew
    for each have to be cleared."""
    torch.set_num_threads(1)
    torch.set_flush_denormal(True)
    _set_allocator(M_MMAP_THRESHOLD, 1 << 25)


def _return_memory() -> None:
    """Have glibc give what is free back to the system, and oneDNN keep few kernels, unless the user
    says how many: both would keep more the longer they run."""
    os.environ.setdefault("ONEDNN_PRIMITIVE_CACHE_CAPACITY", str(KERNELS))
    _set_allocator(M_MMAP_THRESHOLD, 1 << 20)
    _set_allocator(M_TRIM_THRESHOLD, 1 << 25)


def _set_allocator(parameter: int, size: int) -> None:
    """glibc's own, for this process; elsewhere nothing happens."""
    with suppress(OSError, AttributeError):
        ctypes.CDLL(None).mallopt(parameter, size)
