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
from collections.abc import Callable, Hashable, Iterable, Iterator, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, replace
from itertools import groupby
from typing import Any, NamedTuple

import numpy as np
import torch
import torch.nn.functional as F

from ..genomics.genome import UNKNOWN
from ..genomics.variant import Gap
from ..genomics.window import Window
from ..model.bottleneck import Layout
from ..model.device import same_anywhere
from ..model.sam import DETECT_REACH, SAM, one_hot, stack_reach

TILE = 1024  # bases: fewer take longer for each base, of more many are never used
STEP = 16  # bases: of so many lengths only oneDNN makes kernels, which takes as long as their use
KEPT, MOST_KEPT = 96, 256  # tensors of up to 2 TILE bases; at most, where genes overlap


class Reference:
    """The reference's tensors under one model, in tiles. No digit depends on who asks: a column of
    them is the same in whichever tile it is computed, or else windows have no stretch, and tiles a
    fixed place and size (`Predictor.ahead`). Safe to share between threads. The latest KEPT tensors
    are kept, and one more each time that one is wanted again too late, up to MOST_KEPT."""

    def __init__(self, model: SAM, layout: Layout):
        self.model, self.layout = model, layout
        self._room = KEPT
        self._dropped: OrderedDict[Hashable, None] = OrderedDict()
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
            self._keep(key, future)
        if kept is None:
            try:
                compute = getattr(self, f"_{stage}")
                future.set_result(set_apart(compute(window, start, end)))
            except BaseException as e:
                future.set_exception(e)
                raise
        return future.result()

    def _keep(self, key: Hashable, tile: Future[torch.Tensor]) -> None:
        if key not in self._kept and key in self._dropped:
            self._room = min(self._room + 1, MOST_KEPT)
        self._kept[key] = tile
        self._kept.move_to_end(key)
        while len(self._kept) > self._room:
            oldest, _ = self._kept.popitem(last=False)
            self._dropped[oldest] = None
            self._dropped.move_to_end(oldest)
        while len(self._dropped) > MOST_KEPT:
            self._dropped.popitem(last=False)

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

    def read(self, states: States, *near: torch.Tensor, everywhere: bool = False) -> torch.Tensor:
        """What the LSTM reads of B rows, and the bottleneck (B, C, n + 2 reach of attention) around
        the n positions, of as many rows at a time as have equal n -> probabilities (B, 2, n) of
        acceptor and donor, with more columns where n is less than the largest. `everywhere`: with
        gradients also of direct effects of entries that hold nothing."""
        reach = self.model.config.attention_reach
        aggregator = self._aggregator
        direct = aggregator.direct if everywhere else aggregator.direct_of_sites
        core = [self.layout.split(u[..., reach : u.shape[-1] - reach]).core for u in near]
        effects = [direct(self._embed(u)) for u in near]
        h, *beside = states
        n = max(c.shape[-1] for c in core)
        if states.lengths is not None:
            n += h.shape[-1] - int(states.lengths.max())
        known = None if effects[0] is None else padded(effects, n)
        log_p: torch.Tensor = aggregator.read(h, padded(core, n), known, *beside)
        return log_p[:, 1:].exp()

    def _embed(self, bottleneck: torch.Tensor) -> torch.Tensor:
        out: torch.Tensor = self._aggregator.embed(*self.layout.split(bottleneck))
        return out


class States(NamedTuple):
    """The input of the LSTM, as `Aggregator.read` takes it: h (B, 80, L) of each row, what lies
    before and after these columns in frames that several rows share, and how long rows are."""

    h: torch.Tensor
    before: torch.Tensor | None = None
    after: torch.Tensor | None = None
    like: torch.Tensor | None = None
    lengths: torch.Tensor | None = None


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


def rounded(lengths: Iterable[int]) -> int:
    """The length of parts that have one, else a length that none exceeds, one of few."""
    longest, *shorter = sorted({*lengths}, reverse=True)
    return -(-longest // STEP) * STEP if shorter else longest


def longer(x: torch.Tensor, n: int) -> torch.Tensor:
    """(N, C, L) -> (N, C, n), 0 after what there is."""
    more = n - x.shape[-1]
    return F.pad(x.mT, (0, 0, 0, more)).mT if more else x


def padded(parts: Sequence[torch.Tensor], n: int) -> torch.Tensor:
    """(N, C, L) each -> (all N, C, n); the channels of a base lie together in memory."""
    parts = [longer(p, n) for p in parts]
    return parts[0] if len(parts) == 1 else torch.cat([p.mT for p in parts]).mT


def rows_together(parts: Sequence[torch.Tensor], n: int) -> torch.Tensor:
    """As `padded`, but the rows of a column lie together, as the LSTM reads them."""
    return torch.cat([longer(p, n).permute(2, 0, 1) for p in parts], 1).permute(1, 2, 0)


def side_by_side(
    layers: Callable[[torch.Tensor], torch.Tensor],
    parts: Sequence[torch.Tensor],
    accompanied: bool = False,
) -> list[torch.Tensor]:
    """What local layers make of each of the parts (N, C, L), in one call. `accompanied`: a row that
    is alone stands beside a copy of its own, as its last digits would be others without."""
    n = rounded(p.shape[-1] for p in parts)
    x = padded(parts, n)
    made = layers(torch.cat([x, x]) if accompanied and len(x) == 1 else x)
    lost = n - made.shape[-1]
    rows = made[: len(x)].split([len(p) for p in parts])
    return [r[..., : p.shape[-1] - lost] for r, p in zip(rows, parts)]


class Places(NamedTuple):
    """Columns [first, last) of the output of each stage."""

    v: tuple[int, int]
    g: tuple[int, int]
    h: tuple[int, int]


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
        (p,) = edited_probabilities([(self, stretch)])
        return p

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

    @property
    def places(self) -> Places:
        """Columns of each stage's output that the next one needs and that the stretch can reach."""
        config = self.reference.model.config
        near, far = stack_reach(config.stack_widths), config.attention_reach
        h = self.reached
        g = max(self.first - far - near, h[0] - near), min(self.last + far + near, h[1] + near)
        v = max(self.first - near, g[0] - far), min(self.last + near, g[1] + far)
        return Places(v, g, h)

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

    def rows(self) -> Rows:
        """Of frames that are the reference throughout (`of_reference`)."""
        beyond = self.windows[0].flank - self.reference.model.config.attention_reach
        near = self._reference("bottleneck", beyond, self.length - beyond)
        return Rows(self, self._reference("h", *self.middle), near)

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


class Rows(NamedTuple):
    """Rows of a haplotype, as what comes after the stacks reads them.

    h     (B, 80, n): the input of the LSTM in the haplotype's `middle`
    near  (B, C, n + 2 reach of attention): the bottleneck around the n compared positions
    """

    haplotype: Haplotype
    h: torch.Tensor
    near: torch.Tensor


def inputs_of_lstm(edited: Sequence[tuple[Haplotype, torch.Tensor]]) -> list[torch.Tensor]:
    """Haplotypes under one model, each with the bottleneck (B, C, last - first) of its stretch ->
    `Rows.h` of each."""
    reference = edited[0][0].reference
    config = reference.model.config
    near, far = stack_reach(config.stack_widths), config.attention_reach
    u = [a.spliced("bottleneck", stretch, (a.first, a.last)) for a, stretch in edited]
    places = [a.places for a, _ in edited]
    new_v = side_by_side(
        reference.first_stack,
        [of(p.v[0] - near, p.v[1] + near) for of, p in zip(u, places)],
        accompanied=same_anywhere(),
    )
    v = [a.spliced("v", new, p.v) for (a, _), new, p in zip(edited, new_v, places)]
    new_g = [
        reference.gate(of_v(p.g[0] - far, p.g[1] + far), of_u(*p.g))
        for of_v, of_u, p in zip(v, u, places)
    ]
    g = [a.spliced("g", new, p.g) for (a, _), new, p in zip(edited, new_g, places)]
    new_h = side_by_side(
        reference.second_stack,
        [of(p.h[0] - near, p.h[1] + near) for of, p in zip(g, places)],
    )
    return [a.spliced("h", new, p.h)(*a.middle) for (a, _), new, p in zip(edited, new_h, places)]


def edited_probabilities(
    edited: Sequence[tuple[Haplotype, torch.Tensor]],
) -> list[torch.Tensor]:
    """`Haplotype.probabilities` of each with its stretch, in one call."""
    h = inputs_of_lstm(edited)
    return probabilities([Rows(a, own, a.near(u)) for (a, u), own in zip(edited, h)])


def probabilities(parts: Sequence[Rows]) -> list[torch.Tensor]:
    """Rows under one model -> probabilities (B, 2, n) of acceptor and donor of each part."""
    reference = parts[0].haplotype.reference
    beyond = 2 * reference.model.config.attention_reach
    widths = [p.near.shape[-1] for p in parts]
    order = sorted(range(len(parts)), key=lambda i: widths[i])
    near = [
        torch.cat([parts[i].near for i in alike])
        for _, alike in groupby(order, key=lambda i: widths[i])
    ]
    p = reference.read(_states([parts[i] for i in order]), *near)
    rows = dict(zip(order, p.split([len(parts[i].h) for i in order])))
    return [rows[i][..., : width - beyond] for i, width in enumerate(widths)]


def _states(parts: Sequence[Rows]) -> States:
    """The rows from the first to the last column that any of them has of its own, and what lies
    beside these in their frames, each of which is there once."""
    reference = parts[0].haplotype.reference
    start = min(p.haplotype.middle[0] for p in parts) // STEP * STEP
    beyond = min(p.haplotype.length - p.haplotype.middle[1] for p in parts) // STEP * STEP
    h = [
        p.haplotype.spliced("h", p.h, p.haplotype.middle)(start, p.haplotype.length - beyond)
        for p in parts
    ]
    windows = [
        w for p in parts for w in p.haplotype.windows * (len(p.h) // len(p.haplotype.windows))
    ]
    frames = {(w.locus, w.origin, w.frame_length): w for w in windows}
    at = {frame: i for i, frame in enumerate(frames)}

    def beside(place: Callable[[Window], tuple[int, int]]) -> torch.Tensor:
        return torch.cat([reference.get(w, "h", *place(w)).mT for w in frames.values()]).mT

    before = after = lengths = None
    if start:
        before = beside(lambda w: (w.origin, w.origin + start))
    if beyond:
        after = beside(lambda w: (w.origin + w.frame_length - beyond, w.origin + w.frame_length))
    like = torch.tensor([at[w.locus, w.origin, w.frame_length] for w in windows])
    n = rounded(x.shape[-1] for x in h)
    if any(x.shape[-1] < n for x in h):
        lengths = torch.tensor([x.shape[-1] for x in h for _ in range(len(x))])
    return States(rows_together(h, n), before, after, like, lengths)


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
    start, end = windows[0].replaced
    start, end = min([start, *(g.start for g in gaps)]), max([end, *(g.end for g in gaps)])
    return haplotype(reference, windows, *windows[0].in_frame(start, end))


def alternatives(reference: Reference, alike: Sequence[Sequence[Window]]) -> list[Detected]:
    """`alternative` of each of some groups of windows, all in one call."""
    placed = [_placed(reference, tuple(own), *own[0].in_frame(*own[0].replaced)) for own in alike]
    return _detected(placed)


def haplotype(
    reference: Reference, windows: tuple[Window, ...], start: int, end: int, in_alt: bool = True
) -> Detected:
    """One of the alleles of windows that lie alike, with the stretch that bases [start, end) of the
    ref frame, the change among them, can reach."""
    (found,) = _detected([_placed(reference, windows, start, end, in_alt)])
    return found


def _placed(
    reference: Reference, windows: tuple[Window, ...], start: int, end: int, in_alt: bool = True
) -> tuple[Haplotype, np.ndarray]:
    """What `haplotype` gives, and the codes (windows, L) that its stretch is found in."""
    window = windows[0]
    before, after = DETECT_REACH
    shift = -window.variant.growth if in_alt else 0
    first, last = start - after, end - shift + before
    at, length = window.reach[0], window.frame_length - shift
    codes = np.stack([w.alt if in_alt else w.ref for w in windows])
    own = codes[:, at + first - before : at + last + after]
    return Haplotype(reference, windows, length, first, last, shift), own


def _detected(placed: Sequence[tuple[Haplotype, np.ndarray]]) -> list[Detected]:
    """Haplotypes under one model with their stretches."""
    n = rounded(codes.shape[1] for _, codes in placed)
    rows = [
        np.pad(codes, ((0, 0), (0, n - codes.shape[1])), constant_values=UNKNOWN)
        for _, codes in placed
    ]
    found = placed[0][0].reference.detect(np.concatenate(rows)).split([len(r) for r in rows])
    return [Detected(a, u[..., : a.last - a.first]) for (a, _), u in zip(placed, found)]
