"""What the local layers make of the reference, computed once; and of an edited stretch, spliced
into it.

Everything before the LSTM is local and the same wherever it stands, so the tensors of a gene are
kept in tiles and shared by all variants there, and for an allele only what its change can reach is
computed again.
"""

from __future__ import annotations

import copy
import mmap
import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable, Iterator, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np
import torch

from ..genomics.variant import Gap
from ..genomics.window import Window
from ..model.bottleneck import Layout
from ..model.sam import DETECT_REACH, SAM, one_hot, stack_reach

TILE = 1024  # bases: fewer take longer for each base, of more many are never used
KEPT = 256  # tensors of a tile, of up to twice so many bases: one for each of four stages


class Reference:
    """The reference's tensors under one model, in tiles. No digit depends on who asks: a column of
    them is the same in whichever tile it is computed, or else windows have no stretch, and tiles a
    fixed place and size (`Predictor.ahead`). Safe to share between threads."""

    def __init__(self, model: SAM, layout: Layout):
        self.model, self.layout = model, layout
        self._aggregator: Any = model.aggregator  # a module of torch, whose calls have no types
        self._exact_attention = copy.deepcopy(self._aggregator.attention).double()
        self._kept: OrderedDict[Hashable, Future[torch.Tensor]] = OrderedDict()
        self._lock = threading.Lock()

    def get(self, window: Window, stage: str, first: int, last: int) -> torch.Tensor:
        """(1, C, last - first): bases [first, last) of the window's gene, in transcript
        orientation, after `stage`.

        bottleneck  core and motif sites (as `layout` has them)
        v           the first stack (as many)
        g           what passes the gate (as many)
        h           the second stack: the input of the LSTM (80)
        """
        return join(self.pieces(window, stage, first, last))

    def pieces(self, window: Window, stage: str, first: int, last: int) -> list[torch.Tensor]:
        """As `get`, in pieces, one after the other."""
        return [
            self._tile(window, stage, start, end)[..., max(first - start, 0) : last - start]
            for start, end in self._tiles(window, stage, first, last)
        ]

    def _tiles(
        self, window: Window, stage: str, first: int, last: int
    ) -> Iterator[tuple[int, int]]:
        """Tiles [start, end) that bases [first, last) lie in: of equal size (TILE or up to twice as
        much) in what the frames of the window's stretch need, else of fixed place."""
        low, high = first // TILE * TILE, -(-last // TILE) * TILE
        if window.stretch is not None:
            start, end = self._needed(window.stretch, stage)
            if start <= first and last <= end:
                low, high = start, end
        n = max((high - low) // TILE, 1)
        start, i = low, (first - low) * n // (high - low)
        while start < last:
            start, end = (low + (high - low) * edge // n for edge in (i, i + 1))
            if end > first:
                yield start, end
            start, i = end, i + 1

    def _needed(self, stretch: tuple[int, int], stage: str) -> tuple[int, int]:
        """Bases [start, end) of the gene that are wanted after `stage` for `h` in a stretch."""
        config = self.model.config
        near, far = stack_reach(config.stack_widths), config.attention_reach
        more = dict(h=0, g=near, v=near + far, bottleneck=near + far + near)[stage]
        return stretch[0] - more, stretch[1] + more

    def _tile(self, window: Window, stage: str, start: int, end: int) -> torch.Tensor:
        key = window.locus, stage, start, end
        with self._lock:
            kept = self._kept.get(key)
            future: Future[torch.Tensor] = Future() if kept is None else kept
            self._kept[key] = future
            self._kept.move_to_end(key)
            if len(self._kept) > KEPT:
                self._kept.popitem(last=False)
        if kept is None:
            try:
                compute = getattr(self, f"_{stage}")
                future.set_result(set_apart(compute(window, start, end)))
            except BaseException as e:
                future.set_exception(e)
                raise
        return future.result()

    @torch.no_grad()
    def _bottleneck(self, window: Window, first: int, last: int) -> torch.Tensor:
        before, after = DETECT_REACH
        return self.detect(window.gene_codes(first - before, last + after)[None])

    @torch.no_grad()
    def _v(self, window: Window, first: int, last: int) -> torch.Tensor:
        reach = stack_reach(self.model.config.stack_widths)
        return self.first_stack(self.get(window, "bottleneck", first - reach, last + reach))

    @torch.no_grad()
    def _g(self, window: Window, first: int, last: int) -> torch.Tensor:
        reach = self.model.config.attention_reach
        v = self.get(window, "v", first - reach, last + reach)
        u = self._embed(self.get(window, "bottleneck", first, last))
        # Rounded from fp64: in fp32 a column's last digits depend on which others are computed
        g = self._aggregator.gate_at_sites(v.double(), u.double(), self._exact_attention)
        rounded: torch.Tensor = g.float()
        return rounded

    @torch.no_grad()
    def _h(self, window: Window, first: int, last: int) -> torch.Tensor:
        reach = stack_reach(self.model.config.stack_widths)
        return self.second_stack(self.get(window, "g", first - reach, last + reach))

    def detect(self, codes: np.ndarray) -> torch.Tensor:
        """Base codes (B, L) of bases, `DETECT_REACH` more than are returned -> bottleneck (B, C, L
        - 30)."""
        x = one_hot(torch.from_numpy(codes).to(next(self.model.parameters()).device))
        return self.layout.join(self.model.detect(x))

    def first_stack(self, bottleneck: torch.Tensor) -> torch.Tensor:
        """(B, C, L) -> v (B, C, L - 2 reach of a stack)."""
        out: torch.Tensor = self._aggregator.first(self._embed(bottleneck))
        return out

    def gate(self, v: torch.Tensor, bottleneck: torch.Tensor) -> torch.Tensor:
        """v (B, C, L), bottleneck (B, C, L - 2 reach of attention) -> g, as long as the latter."""
        out: torch.Tensor = self._aggregator.gate_at_sites(v, self._embed(bottleneck))
        return out

    def second_stack(self, g: torch.Tensor) -> torch.Tensor:
        """(B, C, L) -> h (B, 80, L - 2 reach of a stack)."""
        out: torch.Tensor = self._aggregator.second(g)
        return out

    def read(self, states: States, near: torch.Tensor, everywhere: bool = False) -> torch.Tensor:
        """What the LSTM reads of B rows, and the bottleneck (B, C, n + 2 reach of attention) around
        the n positions -> probabilities (B, 2, n) of acceptor and donor. `everywhere`: with
        gradients also of direct effects of entries that hold nothing."""
        reach = self.model.config.attention_reach
        core = self.layout.split(near[..., reach : near.shape[-1] - reach]).core
        aggregator = self._aggregator
        direct = aggregator.direct if everywhere else aggregator.direct_of_sites
        h, *beside = states
        log_p: torch.Tensor = aggregator.read(h, core, direct(self._embed(near)), *beside)
        return log_p[:, 1:].exp()

    def _embed(self, bottleneck: torch.Tensor) -> torch.Tensor:
        out: torch.Tensor = self._aggregator.embed(*self.layout.split(bottleneck))
        return out


class States(NamedTuple):
    """The input of the LSTM, as `Aggregator.read` takes it: h (B, 80, L) of each row, and what lies
    before and after these columns in frames that several rows share."""

    h: torch.Tensor
    before: torch.Tensor | None = None
    after: torch.Tensor | None = None
    like: torch.Tensor | None = None


def set_apart(tile: torch.Tensor) -> torch.Tensor:
    """A copy (1, C, L) in memory of its own. On the heap, what is kept for long would stand between
    temporaries and break up the room that they leave: a server would grow with every answer."""
    if tile.device.type != "cpu":
        return tile
    n, channels, length = tile.shape
    memory = torch.frombuffer(mmap.mmap(-1, tile.nbytes), dtype=tile.dtype)
    return memory.view(n, length, channels).mT.copy_(tile)


def join(parts: list[torch.Tensor]) -> torch.Tensor:
    """(N, C, ...) one after the other; the channels of a base lie together in memory, as
    convolutions like it."""
    return parts[0] if len(parts) == 1 else torch.cat([p.mT for p in parts], 1).mT


def rows_together(*rows: torch.Tensor) -> torch.Tensor:
    """(N, C, L) each -> (all N, C, L); the rows of a column lie together in memory, as the LSTM
    reads them."""
    return torch.cat([r.permute(2, 0, 1) for r in rows], 1).permute(1, 2, 0)


@dataclass(frozen=True)
class Haplotype:
    """Frames that are the reference but for one stretch of their bottleneck.

    windows  one, whose frame all rows of a stretch are edits of; or one for each row, whose frames
             and stretches lie alike, as those of SNVs do
    Frames are `length` bases long. Columns [first, last) hold what is given; those before are the
    reference's, those after the reference's `shift` bases further on.
    """

    reference: Reference
    windows: tuple[Window, ...]
    length: int
    first: int
    last: int
    shift: int

    def probabilities(self, stretch: torch.Tensor) -> torch.Tensor:
        """Bottleneck (B, C, last - first) of the stretch -> probabilities (B, 2, length - 2 flank)
        of acceptor and donor, in transcript orientation; differentiable."""
        return self.reference.read(self.states(self.h(stretch)), self.near(stretch))

    def states(self, h: torch.Tensor, like: torch.Tensor | None = None) -> States:
        """`h` of rows, with what lies beside it in the frames: in that of `like[i]` for row i, by
        default each in its own, or all in the one there is."""
        if like is None and len(self.windows) > 1:
            like = torch.arange(len(self.windows))
        start, end = self.middle
        before = self._reference("h", 0, start) if start else None
        after = None
        if end < self.length:
            after = self._reference("h", end + self.shift, self.length + self.shift)
        return States(h, before, after, like)

    @property
    def reached(self) -> tuple[int, int]:
        """Columns of the frame whose LSTM input depends on the stretch."""
        reach = self.reference.model.config.aggregate_reach
        return max(self.first - reach, 0), min(self.last + reach, self.length)

    @property
    def middle(self) -> tuple[int, int]:
        """Those, and all between them and the compared ones: each row has its own."""
        flank = self.windows[0].flank
        return min(self.reached[0], flank), max(self.reached[1], self.length - flank)

    def h(self, stretch: torch.Tensor) -> torch.Tensor:
        """(B, 80, n): the input of the LSTM in the `middle`."""
        reference = self.reference
        config = reference.model.config
        near, far = stack_reach(config.stack_widths), config.attention_reach
        # Bases of each stage's output that the next one needs and that the change can reach
        h = self.reached
        g = max(self.first - far - near, h[0] - near), min(self.last + far + near, h[1] + near)
        v = max(self.first - near, g[0] - far), min(self.last + near, g[1] + far)
        u = self.spliced("bottleneck", stretch, (self.first, self.last))
        new_v = reference.first_stack(u(v[0] - near, v[1] + near))
        new_g = reference.gate(self.spliced("v", new_v, v)(g[0] - far, g[1] + far), u(*g))
        new_h = reference.second_stack(self.spliced("g", new_g, g)(h[0] - near, h[1] + near))
        return self.spliced("h", new_h, h)(*self.middle)

    def near(self, stretch: torch.Tensor) -> torch.Tensor:
        """(B, C, n + 2 reach of attention): the bottleneck around the n compared positions."""
        beyond = self.windows[0].flank - self.reference.model.config.attention_reach
        u = self.spliced("bottleneck", stretch, (self.first, self.last))
        return u(beyond, self.length - beyond)

    def frames(self) -> list[int]:
        """Which of the reference's frames is each window's: those of alleles of one place are one.
        In the order in which they come, from 0."""
        seen: dict[Hashable, int] = {}
        return [seen.setdefault((w.locus, w.origin), len(seen)) for w in self.windows]

    def of_reference(self) -> Haplotype:
        """The reference in the same place, each of its frames once."""
        own = self.frames()
        return replace(
            self,
            windows=tuple(self.windows[own.index(i)] for i in sorted({*own})),
            length=self.length + self.shift,
            last=self.last + self.shift,
            shift=0,
        )

    def h_and_near(self) -> tuple[torch.Tensor, torch.Tensor]:
        """`h` and `near` of frames that are the reference throughout (`of_reference`)."""
        beyond = self.windows[0].flank - self.reference.model.config.attention_reach
        near = self._reference("bottleneck", beyond, self.length - beyond)
        return self._reference("h", *self.middle), near

    def unedited(self) -> torch.Tensor:
        """(windows, C, last - first + shift): what the reference holds in place of the stretch."""
        return self._reference("bottleneck", self.first, self.last + self.shift)

    def spliced(
        self, stage: str, new: torch.Tensor, place: tuple[int, int]
    ) -> Callable[[int, int], torch.Tensor]:
        """Function (first, last) -> columns of the frame after `stage`, those at `place` being
        `new`."""

        def columns(first: int, last: int) -> torch.Tensor:
            start, end = place
            parts = [new[..., max(first - start, 0) : max(last - start, 0)]]
            if first < start:
                parts.insert(0, self._reference(stage, first, min(start, last)))
            if end < last:
                parts.append(
                    self._reference(stage, max(end, first) + self.shift, last + self.shift)
                )
            return join([p.expand(len(new), -1, -1) for p in parts])

        return columns

    def _reference(self, stage: str, first: int, last: int) -> torch.Tensor:
        """(windows, C, last - first): columns of the frames of the reference."""
        pieces = [
            piece[0].mT
            for w in self.windows
            for piece in self.reference.pieces(w, stage, w.origin + first, w.origin + last)
        ]
        columns = pieces[0] if len(pieces) == 1 else torch.cat(pieces)
        return columns.reshape(len(self.windows), last - first, columns.shape[1]).mT


class Detected(NamedTuple):
    """Haplotypes that lie alike, the bottleneck (windows, C, last - first) of the stretch that is
    their own, and, where it has been made, the LSTM's input `h` (windows, 80, n) in their
    `Haplotype.middle`."""

    haplotype: Haplotype
    bottleneck: torch.Tensor
    h: torch.Tensor | None = None

    def of(self, row: int) -> Detected:
        """One of them."""
        own = slice(row, row + 1)
        alone = replace(self.haplotype, windows=self.haplotype.windows[own])
        return Detected(alone, self.bottleneck[own], None if self.h is None else self.h[own])

    def widened(self, window: Window) -> Detected:
        """The same in `window`, which has more compared positions of the one here; nothing that
        the change reaches is made again, unless it reaches beyond the frame here."""
        own, (narrow,) = self.haplotype, self.haplotype.windows
        more = narrow.origin - window.origin  # columns before the frame here
        wide = replace(
            own,
            windows=(window,),
            length=own.length + window.frame_length - narrow.frame_length,
            first=own.first + more,
            last=own.last + more,
        )
        reach = own.reference.model.config.aggregate_reach
        if self.h is None or own.first < reach or own.length < own.last + reach:
            return Detected(wide, self.bottleneck)
        start, end = own.middle
        h = wide.spliced("h", self.h, (more + start, more + end))(*wide.middle)
        return Detected(wide, self.bottleneck, h)


def alternative(reference: Reference, *windows: Window, gaps: Sequence[Gap] = ()) -> Detected:
    """The alternative alleles of windows that lie alike, with the stretch that the change can
    reach, whichever of its `gaps` describes it."""
    window = windows[0]
    start, end = window.replaced
    start, end = min([start, *(g.start for g in gaps)]), max([end, *(g.end for g in gaps)])
    return haplotype(reference, windows, *window.in_frame(start, end))


def haplotype(
    reference: Reference, windows: tuple[Window, ...], start: int, end: int, in_alt: bool = True
) -> Detected:
    """One of the alleles of windows that lie alike, with the stretch that bases [start, end) of the
    ref frame, the change among them, can reach."""
    window = windows[0]
    before, after = DETECT_REACH
    shift = -window.variant.growth if in_alt else 0
    first, last = start - after, end - shift + before
    at, length = window.reach[0], window.frame_length - shift
    codes = np.stack([w.alt if in_alt else w.ref for w in windows])
    stretch = reference.detect(codes[:, at + first - before : at + last + after])
    return Detected(Haplotype(reference, windows, length, first, last, shift), stretch)
