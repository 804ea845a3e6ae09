"""All alleles of a place scored together, each with the digits that it gets alone.

Alleles of one place share a frame: what of it lies before and after the change is read once, and so
is REF. What is their own is given to the models as rows of one batch, or one after the other along
the sequence, which costs less than as many calls.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Hashable, Sequence
from dataclasses import replace
from functools import partial
from typing import NamedTuple

import numpy as np
import torch

from ..genomics.window import Window
from ..model.sam import DETECT_REACH
from .predictor import Predictor, ScoredWindow
from .tiles import Detected, Reference, alternative

Rows = Callable[..., torch.Tensor]  # of tensors (B, ...) -> (B, ...)


class _Pair(NamedTuple):
    """Probabilities of acceptor and donor in transcript orientation: ref (1, 2, n), alt (1, 2,
    m)."""

    ref: torch.Tensor
    alt: torch.Tensor


class Dense:
    """Scores windows with what those of one place have in common computed once. Safe to share
    between threads.

    In which order a kernel adds up may depend on the shape it is given. Whether rows get the same
    digits together as alone is tried out once for each shape, on random numbers; where they do not
    they are computed one by one.
    """

    def __init__(self, predictor: Predictor):
        self._references = predictor.references
        self._tried: dict[Hashable, bool] = {}

    @torch.no_grad()
    def score(self, windows: Sequence[Window]) -> list[ScoredWindow]:
        """Each window as `Predictor.exact` gives it, to the last digit."""
        seeds = [self._of_seed(reference, windows) for reference in self._references]
        scored = []
        for window, *found in zip(windows, *seeds):
            ref = np.concatenate([pair.ref.cpu().numpy() for _, pair in found])
            alt = np.concatenate([pair.alt.cpu().numpy() for _, pair in found])
            detected = tuple(own for own, _ in found)
            scored.append(
                ScoredWindow(window, window.to_genome(ref), window.to_genome(alt), detected)
            )
        return scored

    def _of_seed(
        self, reference: Reference, windows: Sequence[Window]
    ) -> list[tuple[Detected, _Pair]]:
        together = _Together(reference, self._tried)
        together.detect_all([_edited(window) for window in windows])
        detected = [_of(reference, alternative(together, window)) for window in windows]
        groups = defaultdict(list)
        for i, window in enumerate(windows):
            groups[_frame(window)].append(i)
        pairs: dict[int, _Pair] = {}
        for members in groups.values():
            found = together.read_all(windows[members[0]], [detected[i] for i in members])
            pairs.update(zip(members, found))
        return [(own, pairs[i]) for i, own in enumerate(detected)]


def _frame(window: Window) -> Hashable:
    """The same for windows whose alleles differ in nothing but the bases that are put in."""
    placed = window.placed
    place = window.start, window.end, placed.start, len(placed.ref), len(placed.alt)
    return id(window.gene), placed.contig, place


def _edited(window: Window) -> np.ndarray:
    """Codes of alt from which the stretch is detected that the change can reach."""
    start, end = window.replaced(window.placed)
    end += len(window.placed.alt) - len(window.placed.ref)
    reach, at = sum(DETECT_REACH), window.reach[0]
    return window.alt[at + start - reach : at + end + reach]


def _of(reference: Reference, detected: Detected) -> Detected:
    return detected._replace(haplotype=replace(detected.haplotype, reference=reference))


class _Together(Reference):
    """A reference, whose tensors it shares, that runs rows together where their digits stay."""

    def __init__(self, reference: Reference, tried: dict[Hashable, bool]):
        vars(self).update(vars(reference))
        self._alone, self._tried = reference, tried
        self._detected: dict[bytes, torch.Tensor] = {}

    def detect_all(self, haplotypes: list[np.ndarray]) -> None:
        """Detect in all of these codes, for `detect` to find; those of one length as one
        sequence."""
        unique = {codes.tobytes(): codes for codes in haplotypes}
        by_length = defaultdict(list)
        for codes in unique.values():
            by_length[len(codes)].append(torch.from_numpy(codes))
        for same in by_length.values():
            rows = self._rows("detect", self._detect_rows, (torch.stack(same),))
            self._detected |= {c.numpy().tobytes(): row[None] for c, row in zip(same, rows)}

    def detect(self, codes: np.ndarray) -> torch.Tensor:
        found = self._detected.get(codes.tobytes())
        return self._alone.detect(codes) if found is None else found

    def _detect_rows(self, codes: torch.Tensor) -> torch.Tensor:
        """Codes (B, L) -> bottleneck (B, C, L - 30), by way of one sequence."""
        b, length = codes.shape
        whole = self._alone.detect(codes.flatten().numpy())
        n = length - sum(DETECT_REACH)
        return _stacked([whole[..., i * length : i * length + n] for i in range(b)])

    def first_stack(self, bottleneck: torch.Tensor) -> torch.Tensor:
        return self._rows("first", self._alone.first_stack, (bottleneck,))

    def gate(self, v: torch.Tensor, bottleneck: torch.Tensor) -> torch.Tensor:
        return self._rows("gate", self._alone.gate, (v, bottleneck))

    def second_stack(self, g: torch.Tensor) -> torch.Tensor:
        return self._rows("second", self._alone.second_stack, (g,))

    def read_all(self, window: Window, detected: list[Detected]) -> list[_Pair]:
        """Probabilities of alleles whose windows have the same `_frame`."""
        reference, haplotype = self._alone, detected[0].haplotype
        end = window.origin + window.frame_length
        beyond = window.flank - reference.model.config.attention_reach
        h = reference.get(window, "h", window.origin, end)
        near = reference.get(window, "bottleneck", window.origin + beyond, end - beyond)
        unedited = None if haplotype.shift else haplotype.unedited()
        changed = [
            i
            for i, own in enumerate(detected)
            if unedited is None or not torch.equal(own.bottleneck, unedited)
        ]
        pairs: list[_Pair | None] = [None] * len(detected)
        if changed:
            stretches = _stacked([detected[i].bottleneck for i in changed])
            h_alt, near_alt = replace(haplotype, reference=self).states(stretches)
            if haplotype.shift:
                ref = reference.read(h, near)
                alts = self._rows("read", reference.read, (h_alt, near_alt))
                found = [_Pair(ref, alt[None]) for alt in alts]
            else:
                read = partial(self._read_beside, h, near, haplotype.unreached)
                both = self._rows(("beside", haplotype.unreached), read, (h_alt, near_alt))
                found = [_Pair(ref[None], alt[None]) for ref, alt in both]
            for i, pair in zip(changed, found):
                pairs[i] = pair
        if len(changed) < len(detected):
            alone = reference.read(h, near)
        return [pair or _Pair(alone, alone) for pair in pairs]

    def _read_beside(
        self,
        h: torch.Tensor,
        near: torch.Tensor,
        same: tuple[int, int],
        h_alt: torch.Tensor,
        near_alt: torch.Tensor,
    ) -> torch.Tensor:
        """Rows of alt, (B, ...), read beside the one of ref -> probabilities (B, 2, 2, n), of ref
        and of alt."""
        p = self._alone.read(torch.cat((h, h_alt)), torch.cat((near, near_alt)), same)
        return torch.stack((p[:1].expand(len(h_alt), -1, -1), p[1:]), 1)

    def _rows(self, name: Hashable, function: Rows, rows: Sequence[torch.Tensor]) -> torch.Tensor:
        """function(*rows), all rows at once if each gets the digits that it gets alone."""
        if len(rows[0]) == 1:
            return function(*rows)
        key = name, *(row.shape for row in rows)
        if key not in self._tried:
            noise = [_noise(r) for r in rows]
            self._tried[key] = torch.equal(function(*noise), _one_by_one(function, noise))
        return function(*rows) if self._tried[key] else _one_by_one(function, rows)


def _one_by_one(function: Rows, rows: Sequence[torch.Tensor]) -> torch.Tensor:
    """Each row by itself, in memory of its own: how a kernel adds up may depend on where a row
    begins, too."""
    each = zip(*(torch.split(r, 1) for r in rows))
    return _stacked([function(*(part.clone() for part in row)) for row in each])


def _stacked(rows: Sequence[torch.Tensor]) -> torch.Tensor:
    """Rows (1, C, L, ...) in one batch. As in each of them the channels of a base lie together in
    memory, on which it depends how a kernel adds up."""
    return torch.cat([row.transpose(1, 2) for row in rows]).transpose(1, 2)


def _noise(like: torch.Tensor) -> torch.Tensor:
    """Random numbers, or base codes, of that shape."""
    noise, generator = torch.empty_like(like), torch.Generator().manual_seed(0)
    if noise.is_floating_point():
        return noise.uniform_(generator=generator)
    return noise.random_(0, 4, generator=generator)
