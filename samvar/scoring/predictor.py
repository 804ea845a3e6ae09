"""Haplotypes -> site probabilities: workers on the CPU, whole windows in large batches on a GPU."""

from __future__ import annotations

import ctypes
import os
from bisect import bisect_right
from collections import defaultdict
from collections.abc import Callable, Hashable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial
from itertools import chain
from math import inf
from typing import NamedTuple, TypeVar

import numpy as np
import torch

from ..errors import SamvarError
from ..genomics.window import Window
from ..model.bundle import Bundle
from ..model.device import device_of, same_anywhere
from ..model.sam import for_scoring
from .arrays import Floats
from .batches import Batches
from .tiles import TILE, Detected, Reference, alternative, rows_together

ROWS = 8  # SNVs that the models are shown together
GAP = 200  # bases between frames; where there are fewer the reference is computed in one stretch
SHORT = 2000  # bases; SNVs of longer frames are shown one by one
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
    """Runs the models of a bundle on `threads` workers of one intra-op thread each, always `ROWS`
    SNVs a call, or one other window: no digit depends on what else is scored. On a GPU windows
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
        self._rows = ROWS if all(m.config.channels >= WIDE for m in self.models) else 1
        self._workers = ThreadPoolExecutor(threads, "samvar", _begin)
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
            return [partial(self._exact_of, group) for group in _groups(alleles, self._rows)]
        groups = list(_groups(alleles, self._rows))
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
        (scored,) = self._alike([window])
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
        (wide,) = self._read([window], [d.widened(window) for d in scored.detected])
        return wide

    def _exact_of(self, group: list[list[Window]]) -> list[list[ScoredWindow]]:
        """The windows of each allele, those of SNVs together."""
        snvs, n = [w for own in group for w in own if _of_snv(w)], self._rows
        scored = iter([s for i in range(0, len(snvs), n) for s in self._filled(snvs[i : i + n])])
        return [[next(scored) if _of_snv(w) else self.exact(w) for w in own] for own in group]

    def _filled(self, windows: list[Window]) -> list[ScoredWindow]:
        """Up to so many windows as a call has, which lie alike: the last one fills the call."""
        rows = windows + windows[-1:] * (self._rows - len(windows))
        return self._alike(rows)[: len(windows)]

    def _alike(self, windows: list[Window]) -> list[ScoredWindow]:
        """Windows that lie alike (`Haplotype`), in one call."""
        with torch.no_grad():
            detected = [alternative(reference, *windows) for reference in self.references]
        return self._read(windows, detected)

    @torch.no_grad()
    def _read(self, windows: list[Window], detected: Iterable[Detected]) -> list[ScoredWindow]:
        """Windows that lie alike, and their alternative alleles under each model."""
        of_seeds = [_probabilities(d) for d in detected]
        ref = torch.stack([of_seed.ref for of_seed in of_seeds], 1).cpu().numpy()
        alt = torch.stack([of_seed.alt for of_seed in of_seeds], 1).cpu().numpy()
        made = [of_seed.detected for of_seed in of_seeds]
        return [
            ScoredWindow(w, w.to_genome(r), w.to_genome(a), tuple(d.of(i) for d in made))
            for i, (w, r, a) in enumerate(zip(windows, ref, alt))
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


def _groups(alleles: list[list[Window]], rows: int) -> Iterator[list[list[Window]]]:
    """Alleles for a worker: as many as have `rows` windows of SNVs, or one; few in any case."""
    group: list[list[Window]] = []
    filled = 0
    for own in alleles:
        more = sum(map(_of_snv, own))
        if group and (filled + more > rows or len(group) == 2 * rows):
            yield group
            group, filled = [], 0
        group.append(own)
        filled += more
    if group:
        yield group


def _of_snv(window: Window) -> bool:
    """Whether the window lies alike with all others of which that is true."""
    first, *others = window.placed
    one = len(first.ref) == len(first.alt) == 1 and not others
    return one and window.frame_length <= SHORT


class _OfSeed(NamedTuple):
    """Probabilities (windows, 2, n) of ref and (windows, 2, m) of alt, in transcript orientation,
    and what they are of, with `h` where it has been made."""

    ref: torch.Tensor
    alt: torch.Tensor
    detected: Detected


def _probabilities(detected: Detected) -> _OfSeed:
    """By one model."""
    alt, stretch, h_alt = detected
    reference, ref, n = alt.reference, alt.of_reference(), len(stretch)
    h, near = ref.h_and_near()
    same = stretch.new_zeros(n, dtype=torch.bool)
    if not alt.shift:
        same = (stretch == alt.unedited()).flatten(1).all(1)
    if n == 1 and same:  # nothing to compute
        p = reference.read(ref.states(h), near)
        return _OfSeed(p, p, detected)
    if h_alt is None:
        h_alt = alt.h(stretch)
    near_alt, made = alt.near(stretch), detected._replace(h=h_alt)
    if alt.shift:
        p = reference.read(ref.states(h), near)
        return _OfSeed(p, reference.read(alt.states(h_alt), near_alt), made)
    own = alt.frames()
    states = ref.states(rows_together(h, h_alt), torch.tensor([*range(len(h)), *own]))
    both = reference.read(states, torch.cat((near, near_alt)))
    p = both[own]
    return _OfSeed(p, torch.where(same[:, None, None], p, both[len(h) :]), made)


def _begin() -> None:
    """Prepare a worker: one thread for each operation, and 0 where a number is too small for fp32
    to hold well, as weights of far bases in attention often are: a CPU takes ten times as long for
    those."""
    torch.set_num_threads(1)
    torch.set_flush_denormal(True)


def _return_memory() -> None:
    """Have glibc give large temporaries back to the system, and oneDNN keep few kernels, unless the
    user says how many: both would keep more the longer they run."""
    os.environ.setdefault("ONEDNN_PRIMITIVE_CACHE_CAPACITY", str(KERNELS))
    with suppress(OSError, AttributeError):
        allocator = ctypes.CDLL(None)
        allocator.mallopt(M_MMAP_THRESHOLD, 1 << 20)
        allocator.mallopt(M_TRIM_THRESHOLD, 1 << 25)
