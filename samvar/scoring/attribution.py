"""Why: what each changed site of the bottleneck contributes to a delta, and what a knock-out says
of it.

Integrated gradients (Sundararajan et al., ICML 2017) of the splice site's probability, from the ref
allele's bottleneck to the alt allele's: the informed baseline and the latent path of Enhanced
Integrated Gradients (Jha et al., Genome Biology 21:149, 2020). Of an indel: (1) in the ref frame,
deleted columns are emptied; (2) spacing, the columns that are left are carried to the alt frame;
(3) in the alt frame, all else goes to what it is in alt. SNVs need only (3).

Where attention jumps from one site to another on the way, the probability is a step that no sum of
gradients can follow. Of such deltas each site's effect is the mean change when it is switched from
ref to alt, over several orders of switching (Shapley values, Lundberg & Lee, NeurIPS 2017): these
sum to the delta exactly.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch

from ..genomics.align import ABSENT
from ..genomics.window import Window
from ..model.bottleneck import LSSI_FLOOR
from .deltas import SIGN, SITE_OF, Deltas
from .predictor import Predictor, ScoredWindow
from .tiles import Detected, Haplotype, alternative

SAME = 1e-6  # a smaller change of an activation is rounding
STEPS = (4, 8, 16, 32)  # points of the integral, doubled until the parts sum to the whole
COMPLETE = 1e-3  # ... as near as this,
ROUGHLY = 0.05  # ... or, for many alleles, as this share of the delta
ORDERS = 8  # in which sites are switched where they do not; half of them reversed
BATCH = 8
CORE = ("LSSI_A", "LSSI_D")
SPACING, OTHER, RESIDUAL = "SPACING", "OTHER", "RESIDUAL"


class Part(NamedTuple):
    """What one changed site, or the spacing, contributes to a delta.

    rbp       name of the RBP; LSSI_A, LSSI_D for a core site; SPACING; OTHER and RESIDUAL where
              rows are cut short
    event     gain, loss, stronger, weaker; site_deleted, site_inserted when the delta's own base
              is; "" without a site
    position  0-based, genomic, the centre; `offset` > 0 within an insertion; None without a site
    site      11 bases in transcript orientation, of alt for gain and stronger, else of ref
    change    activation in alt less that in ref (LSSI: log-probability); None for a site deleted or
              inserted
    effect    share of the delta, probability; positive where it increases the delta
    knockout  what the delta loses when this site alone is put back to ref (a deleted one: is taken
              out of ref); None unless asked for
    agree     share of the seeds in which the effect has the sign it has on the whole
    """

    rbp: str
    event: str = ""
    position: int | None = None
    offset: int = 0
    site: str = ""
    change: float | None = None
    effect: float = 0.0
    knockout: float | None = None
    agree: float = 1.0

    @property
    def kind(self) -> str:
        return "lssi" if self.rbp in CORE else "spacing" if self.rbp == SPACING else "rbp"


class Attribution(NamedTuple):
    """One delta taken apart: the effects of `parts`, strongest first, and `residual` sum to
    `value`."""

    delta: int
    value: float
    parts: list[Part]
    residual: float

    def rows(self, most: int) -> list[Part]:
        """The `most` strongest sites that show in four decimals, spacing, the sum of the others,
        and the residual."""
        strongest = [p for p in self.parts if p.kind != "spacing" and _shows(p.effect)][:most]
        shown = [
            p for p in self.parts if p in strongest or (p.kind == "spacing" and _shows(p.effect))
        ]
        other = sum(p.effect for p in self.parts) - sum(p.effect for p in shown)
        rest = [Part(OTHER, effect=other), Part(RESIDUAL, effect=self.residual)]
        return shown + [p for p in rest if _shows(p.effect)]


def _shows(effect: float) -> bool:
    return round(abs(effect), 4) > 0


def attribute(
    predictor: Predictor,
    scored: ScoredWindow,
    deltas: Deltas,
    minimum: float,
    share: float = 0.0,
    knockouts: bool = False,
) -> list[Attribution]:
    """Every delta >= `minimum` (and above 0) taken apart, over the mean of the seeds, into parts
    that sum to it within `COMPLETE` or a `share` of it."""
    window = scored.window
    wanted = [d for d in range(4) if deltas.values[d] >= minimum and deltas.values[d] > 0]
    a, at = deltas.alignment, deltas.columns
    own = [d for d in wanted if ABSENT in (a.ref[at[d]], a.alt[at[d]])]
    found = [
        Attribution(d, float(deltas.values[d]), [_own_site(window, deltas, d)], 0.0) for d in own
    ]
    others = [d for d in wanted if d not in own]
    if others:
        exact = scored if scored.detected else predictor.exact(window)
        paths = [_Path.make(detected, window, deltas) for detected in exact.detected]
        found += _attributions(predictor, exact, deltas, paths, others, share, knockouts)
    return sorted(found)


def _own_site(window: Window, deltas: Deltas, d: int) -> Part:
    """The one part of a delta whose own base was deleted or inserted."""
    a, column = deltas.alignment, deltas.columns[d]
    deleted = a.alt[column] == ABSENT
    haplotype, index = (window.ref, a.ref[column]) if deleted else (window.alt, a.alt[column])
    value = float(deltas.values[d])
    return Part(
        CORE[SITE_OF[d]],
        "site_deleted" if deleted else "site_inserted",
        int(a.position[column]),
        int(a.offset[column]),
        window.site(haplotype, int(index)),
        None,
        value,
        value,
    )


@dataclass(frozen=True)
class _Path:
    """The way from ref to alt in one seed's bottleneck.

    start, end   (81, W): the alt frame's stretch as ref has it, inserted columns empty, and as alt
                 has it
    alt          what makes site probabilities of it
    gone         (81, G): ref's columns that are deleted; `ref` makes site probabilities of their
                 content
    empty        (81, 1): what the bottleneck holds where there is nothing: the floor in both LSSI
                 channels, else 0
    """

    alt: Haplotype
    start: torch.Tensor
    end: torch.Tensor
    ref: Haplotype
    gone: torch.Tensor
    empty: torch.Tensor

    @classmethod
    @torch.no_grad()
    def make(cls, detected: Detected, window: Window, deltas: Deltas) -> _Path:
        placed, reference = deltas.placed, detected.haplotype.reference
        if window.place(placed) != window.place(window.placed):
            detected = alternative(reference, window, placed)
        alt, stretch = detected
        first, last = window.place(placed)
        before = alt.unedited()[0]
        empty = torch.zeros_like(before[:, :1])
        empty[:2] = LSSI_FLOOR
        n = window.end - window.start + 2 * window.flank
        if alt.shift == 0:
            start, deleted = before, (first, first)
        else:
            left, right = before[:, : first - alt.first], before[:, last - alt.first :]
            start, deleted = (
                torch.cat((left, empty.expand(-1, len(placed.alt)), right), 1),
                (first, last),
            )
        gone = before[:, deleted[0] - alt.first : deleted[1] - alt.first]
        return cls(
            alt, start, stretch[0], Haplotype(reference, window, n, *deleted, 0), gone, empty
        )

    def legs(self) -> list[tuple[Haplotype, torch.Tensor, torch.Tensor, bool]]:
        """(frame, from, to, whether it is the ref frame) of the parts of the way along which
        something changes."""
        legs = [(self.alt, self.start, self.end, False)]
        if self.gone.shape[1]:
            legs.insert(0, (self.ref, self.gone, self.empty.expand_as(self.gone), True))
        return legs

    def ends(self, channel: int, in_ref: bool, column: int) -> tuple[float, float]:
        """What an entry of the ref or alt frame holds at either end of its leg."""
        frame, start, end = next(leg[:3] for leg in self.legs() if leg[3] == in_ref)
        at = channel, column - frame.first
        return float(start[at]), float(end[at])


def _attributions(predictor, scored, deltas, paths, wanted, share, knockouts) -> list[Attribution]:
    """What `attribute` returns, of deltas whose base both alleles have."""
    window = scored.window
    seeds, n = len(paths), len(wanted)
    near = np.maximum(COMPLETE, share * deltas.values[wanted])
    rows, columns = np.array(SITE_OF)[wanted], deltas.columns[wanted]
    p_ref = scored.ref[:, rows, deltas.alignment.ref[columns]].astype(float)
    p_alt = scored.alt[:, rows, deltas.alignment.alt[columns]].astype(float)
    entries: dict[
        tuple[int, bool, int], np.ndarray
    ] = {}  # (channel, in ref frame, column) -> (seeds, 2 n)
    spacing = np.zeros((seeds, n))
    for seed, path in enumerate(paths):
        emptied = started = p_ref[seed]
        if path.alt.shift:
            emptied = _at(
                path.ref,
                path.empty.expand_as(path.gone)[None],
                _sites(window, deltas, wanted, True),
            )[0]
            started = _at(path.alt, path.start[None], _sites(window, deltas, wanted, False))[0]
        spacing[seed] = started - emptied
        legs = path.legs()
        for frame, start, end, in_ref in legs:
            sites = _sites(window, deltas, wanted, in_ref)
            p_start, p_end = (p_ref[seed], emptied) if in_ref else (started, p_alt[seed])
            moved = torch.nonzero((end - start).abs() > SAME).tolist()
            effects = _integrate(frame, start, end, sites, p_end - p_start, near / len(legs))
            if effects is None:
                effects = _switch(frame, start, end, sites, moved)
            edits = (
                _edits(frame, start, end, sites, moved, p_start if in_ref else p_end, in_ref)
                if knockouts
                else None
            )
            for i, (channel, column) in enumerate(moved):
                key = channel, in_ref, column + frame.first
                row = entries.setdefault(key, np.zeros((seeds, 2 * n)))
                row[seed, :n] = effects[:, channel, column]
                if knockouts:
                    row[seed, n:] = edits[i]
    signs = SIGN[wanted]
    places = _places(window, deltas)
    found = []
    for j, d in enumerate(wanted):
        parts = []
        for (channel, in_ref, column), each in entries.items():
            before, after = np.mean([p.ends(channel, in_ref, column) for p in paths], 0)
            knocked = float(each[:, n + j].mean() * signs[j]) if knockouts else None
            parts.append(
                _part(
                    predictor,
                    window,
                    channel,
                    places[in_ref](column),
                    before,
                    after,
                    each[:, j] * signs[j],
                    knocked,
                )
            )
        if spacing.any():
            parts.append(
                Part(
                    SPACING,
                    effect=float(spacing[:, j].mean() * signs[j]),
                    agree=_agree(spacing[:, j]),
                )
            )
        parts.sort(key=lambda p: (-abs(p.effect), p.rbp, p.position or 0, p.offset))
        value = float(deltas.values[d])
        found.append(Attribution(d, value, parts, value - sum(p.effect for p in parts)))
    return found


def _sites(
    window: Window, deltas: Deltas, wanted: list[int], in_ref: bool
) -> tuple[np.ndarray, np.ndarray]:
    """Rows and columns of the wanted deltas' sites in the probabilities of one frame, in transcript
    orientation."""
    a = deltas.alignment
    index = (a.ref if in_ref else a.alt)[deltas.columns[wanted]]
    n = (
        window.end
        - window.start
        - (0 if in_ref else len(deltas.placed.ref) - len(deltas.placed.alt))
    )
    return np.array(SITE_OF)[wanted], index if window.gene.strand == "+" else n - 1 - index


@torch.no_grad()
def _at(frame: Haplotype, stretches: torch.Tensor, sites) -> np.ndarray:
    """(B, sites): probabilities of the sites with each of the stretches."""
    parts = [frame.probabilities(s)[:, sites[0], sites[1]] for s in stretches.split(BATCH)]
    return torch.cat(parts).double().cpu().numpy()


def _integrate(
    frame: Haplotype,
    start: torch.Tensor,
    end: torch.Tensor,
    sites,
    whole: np.ndarray,
    near: np.ndarray,
) -> np.ndarray | None:
    """(sites, 81, W): integrated gradients of each site's probability, Gauss-Legendre, to within
    `near` of `whole`; None when STEPS do not reach that."""
    change = end - start
    for steps in STEPS:
        nodes, weights = (
            torch.from_numpy(a).to(start) / 2 for a in np.polynomial.legendre.leggauss(steps)
        )
        total = torch.zeros(len(whole), *start.shape, device=start.device)
        for node, weight in zip((nodes + 0.5).split(BATCH), weights.split(BATCH)):
            u = (start + node.view(-1, 1, 1) * change).requires_grad_()
            p = frame.probabilities(u)
            for j, (row, column) in enumerate(zip(*sites)):
                last = j + 1 == len(whole)
                (gradient,) = torch.autograd.grad(
                    (p[:, row, column] * weight).sum(), u, retain_graph=not last
                )
                total[j] += gradient.sum(0)
        effects = (total * change).double()
        if (np.abs(effects.sum((1, 2)).cpu().numpy() - whole) <= near).all():
            return effects.cpu().numpy()
    return None


def _switch(
    frame: Haplotype, start: torch.Tensor, end: torch.Tensor, sites, moved: list[list[int]]
) -> np.ndarray:
    """(sites, 81, W): mean change of each site's probability when one entry after the other goes
    from `start` to `end`, over ORDERS orders."""
    rng = np.random.default_rng(0)
    effects = np.zeros((len(sites[0]), *start.shape))
    order = np.arange(len(moved))
    for i in range(ORDERS):
        order = order[::-1] if i % 2 else rng.permutation(len(moved))
        states = start.repeat(len(moved) + 1, 1, 1)
        for step, k in enumerate(order, 1):
            channel, column = moved[k]
            states[step:, channel, column] = end[channel, column]
        for step, k in zip(np.diff(_at(frame, states, sites), axis=0), order):
            effects[:, moved[k][0], moved[k][1]] += step / ORDERS
    return effects


def _edits(frame, start, end, sites, moved, p, in_ref) -> np.ndarray:
    """(moved, sites): what the delta loses, unsigned, when one entry is put back to `start` in alt;
    in the ref frame when one is taken out."""
    base, other, sign = (start, end, -1) if in_ref else (end, start, 1)
    out = np.zeros((len(moved), len(sites[0])))
    for i in range(0, len(moved), BATCH):
        some = moved[i : i + BATCH]
        edited = base.repeat(len(some), 1, 1)
        for k, (channel, column) in enumerate(some):
            edited[k, channel, column] = other[channel, column]
        out[i : i + BATCH] = sign * (p - _at(frame, edited, sites))
    return out


def _places(window: Window, deltas: Deltas):
    """{whether of the ref frame: function from a column of it, in transcript orientation, to
    (genomic position, offset within an insertion, its index in ref, in alt: as `Window.site` takes
    them)}."""
    placed = deltas.placed
    gone, added = len(placed.ref), len(placed.alt)
    n_ref = window.end - window.start + 2 * window.flank
    at = placed.start - window.start

    def ref(column):
        index = (column if window.gene.strand == "+" else n_ref - 1 - column) - window.flank
        return index + window.start, 0, index, index

    def alt(column):
        index = (
            column if window.gene.strand == "+" else n_ref - gone + added - 1 - column
        ) - window.flank
        if index < at or gone == added:
            return index + window.start, 0, index, index
        if index < at + added:
            return placed.start + gone - 1, index - at + 1, None, index
        return index + window.start + gone - added, 0, index + gone - added, index

    return {True: ref, False: alt}


def _part(predictor, window, channel, place, before, after, effects, knockout) -> Part:
    position, offset, in_ref, in_alt = place
    empty = LSSI_FLOOR if channel < 2 else 0.0
    if abs(before - empty) <= SAME:
        event = "gain"
    elif abs(after - empty) <= SAME:
        event = "loss"
    else:
        event = "stronger" if after > before else "weaker"
    shown = (
        window.site(window.alt, in_alt)
        if event in ("gain", "stronger")
        else window.site(window.ref, in_ref)
    )
    name = CORE[channel] if channel < 2 else predictor.bundle.rbps[channel - 2]
    return Part(
        name,
        event,
        position,
        offset,
        shown,
        float(after - before),
        float(effects.mean()),
        knockout,
        _agree(effects),
    )


def _agree(effects: np.ndarray) -> float:
    return float((np.sign(effects) == np.sign(effects.mean())).mean())
