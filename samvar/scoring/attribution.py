"""Why: what each changed site of the bottleneck contributes to a delta, and what a knock-out says
of it.

The splice site's probability goes from what it is with the ref allele's bottleneck to what it is
with the alt allele's: the informed baseline and the latent path of Enhanced Integrated Gradients
(Jha et al., Genome Biology 21:149, 2020). The way of an indel, or of several on one haplotype, has
three parts:

    1  a leg in the ref frame: the columns that are deleted are emptied
    2  SPACING: the columns that are left are carried to the alt frame
    3  a leg in the alt frame: every other column goes to what it is in alt

An SNV, or alleles of equal length, need the last leg alone.

A leg is shared out among the sites that change on it by how many they are:

    up to SOME  each one's mean change over all orders in which they may go from ref to alt (Shapley
                values, Lundberg & Lee, NeurIPS 2017): the mean of what it does as the first one to
                go and as the last one. That is exact where sites act alone or in pairs, and then
                sums to the change
    ... where it does not, sites act in threes or more: up to FEW, from all their combinations
    more        integrated gradients along the straight line (Sundararajan et al., ICML 2017): near
                the Shapley values, for fewer looks at the model
    ... where attention jumps from one site to another on the way, the probability is a step that no
                sum of gradients can follow, and more of them come no nearer: Shapley values over
                several orders drawn at random

Everything is done for each seed by itself. A site of the mean is what lies at the same place of the
same channel in any seed; where a seed has no change there, its effect is 0.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from functools import cached_property
from math import comb
from typing import NamedTuple

import numpy as np
import torch

from ..genomics.align import ABSENT
from ..genomics.window import Base, Window
from ..model.bottleneck import ACCEPTOR_CORE, DONOR_CORE, Entry, Layout
from .arrays import Bools, Floats, Ints
from .deltas import SIGN, SITE_OF, Deltas
from .predictor import Predictor, ScoredWindow
from .tiles import Detected, Haplotype, alternative, edited_probabilities

SAME = 1e-6  # a smaller change of an activation is rounding
SOME = 12  # sites that are looked at as the first and the last one to change
FEW = 6  # ... and in all their combinations, where that does not come near enough
STEPS = (4, 8, 16, 32)  # points of the integral, doubled until the parts sum to the whole
COMPLETE = 1e-3  # ... as near as this,
ROUGHLY = 0.05  # ... or, for many alleles, as this share of the delta
ORDERS = 8  # in which sites are switched where they never do; half of them reversed
BATCH = 8
SPACING, OTHER, RESIDUAL = "SPACING", "OTHER", "RESIDUAL"


# ------------------------------------------------------------------------------------------ results


class PartKind(Enum):
    """What a part of a delta comes from."""

    MOTIF = "rbp"  # a site of an RBP or learnt motif
    CORE = "lssi"  # a core site
    SPACING = "spacing"
    REST = "rest"  # OTHER, RESIDUAL: what no row names


class Part(NamedTuple):
    """What one changed site, or the spacing, contributes to a delta.

    rbp       name of the RBP or learnt motif; LSSI_A, LSSI_D for a core site; SPACING; OTHER and
              RESIDUAL where rows are cut short
    event     gain, loss, stronger, weaker; site_deleted, site_inserted when the delta's own base
              is; "" without a site
    position  0-based, genomic, the centre; `offset` > 0 within an insertion; None without a site
    site      11 bases in transcript orientation, of alt for gain and stronger, else of ref
    change    activation in alt less that in ref (core site: log-probability); None for a site
              deleted or inserted
    effect    share of the delta, probability; positive where it increases the delta
    knockout  what the delta loses when this site alone is put back to ref (a deleted one: is taken
              out of ref), probability; None unless asked for
    agree     share of the seeds in which the effect has the sign it has on the whole
    kind      what `rbp` names
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
    kind: PartKind = PartKind.MOTIF


class Attribution(NamedTuple):
    """One delta taken apart: the effects of `parts`, strongest first, and `residual` sum to
    `value` (probability). `delta`: index into deltas.NAMES."""

    delta: int
    value: float
    parts: Sequence[Part]
    residual: float

    def rows(self, most: int) -> list[Part]:
        """The `most` strongest sites that show in four decimals, spacing, the sum of the others,
        and the residual."""
        strongest = [p for p in self.parts if p.kind is not PartKind.SPACING and _shows(p.effect)][
            :most
        ]
        shown = [
            p
            for p in self.parts
            if p in strongest or (p.kind is PartKind.SPACING and _shows(p.effect))
        ]
        other = sum(p.effect for p in self.parts) - sum(p.effect for p in shown)
        rest = [
            Part(OTHER, effect=other, kind=PartKind.REST),
            Part(RESIDUAL, effect=self.residual, kind=PartKind.REST),
        ]
        return shown + [p for p in rest if _shows(p.effect)]


def _shows(effect: float) -> bool:
    return round(abs(effect), 4) > 0


def event_of(before: float, after: float, empty: float) -> str:
    """gain, loss, stronger or weaker. `empty`: what the channel holds where there is no site."""
    if abs(before - empty) <= SAME:
        return "gain"
    if abs(after - empty) <= SAME:
        return "loss"
    return "stronger" if after > before else "weaker"


# --------------------------------------------------------------------------------- taking one apart


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
    wanted = [d for d in range(4) if deltas.values[d] >= minimum and deltas.values[d] > 0]
    own = [d for d in wanted if _own_base_is_new_or_gone(deltas, d)]
    found = [_own_base(scored.window, deltas, d) for d in own]
    others = [d for d in wanted if d not in own]
    if others:
        exact = scored if scored.detected else predictor.exact(scored.window)
        found += _by_sites(predictor.bundle.layout, exact, deltas, others, share, knockouts)
    return sorted(found, key=lambda a: a.delta)


def _own_base_is_new_or_gone(deltas: Deltas, d: int) -> bool:
    column = deltas.columns[d]
    return ABSENT in (deltas.alignment.ref[column], deltas.alignment.alt[column])


def _own_base(window: Window, deltas: Deltas, d: int) -> Attribution:
    """A delta whose own base was deleted or inserted: that is the whole cause."""
    column, place, value = deltas.columns[d], deltas.places[d], float(deltas.values[d])
    in_ref, in_alt = int(deltas.alignment.ref[column]), int(deltas.alignment.alt[column])
    deleted = in_alt == ABSENT
    part = Part(
        (ACCEPTOR_CORE, DONOR_CORE)[SITE_OF[d]].name,
        "site_deleted" if deleted else "site_inserted",
        place.position,
        place.offset,
        window.site(window.ref, in_ref) if deleted else window.site(window.alt, in_alt),
        effect=value,
        knockout=value,
        kind=PartKind.CORE,
    )
    return Attribution(d, value, (part,), 0.0)


def _by_sites(
    layout: Layout,
    scored: ScoredWindow,
    deltas: Deltas,
    wanted: list[int],
    share: float,
    knockouts: bool,
) -> list[Attribution]:
    """Deltas whose base both alleles have."""
    near = np.maximum(COMPLETE, share * deltas.values[wanted])
    ways = [Way.of_seed(scored, seed, deltas, wanted) for seed in range(len(scored.detected))]
    seeds = [way.effects(near, knockouts) for way in ways]
    keys = dict.fromkeys(key for effects in seeds for key in effects)  # each once, in this order
    nothing = Effect(np.zeros(len(wanted)), np.zeros(len(wanted)))
    sites = [_site(layout, scored.window, deltas, ways, key) for key in keys]
    of_sites = [[effects.get(key, nothing) for effects in seeds] for key in keys]
    spacing = np.array([way.spacing for way in ways])
    found = []
    for target, d in enumerate(wanted):
        sign = SIGN[d]
        parts = []
        for site, effects in zip(sites, of_sites):
            each = np.array([e.effects[target] for e in effects]) * sign
            knocked = np.array([e.knockouts[target] for e in effects]) * sign
            knockout = float(knocked.mean()) if knockouts else None
            parts.append(
                site._replace(effect=float(each.mean()), knockout=knockout, agree=_agree(each))
            )
        if spacing.any():
            each = spacing[:, target] * sign
            parts.append(
                Part(SPACING, effect=float(each.mean()), agree=_agree(each), kind=PartKind.SPACING)
            )
        parts.sort(key=lambda p: (-abs(p.effect), p.rbp, p.position or 0, p.offset))
        value = float(deltas.values[d])
        residual = value - sum(p.effect for p in parts)
        found.append(Attribution(d, value, tuple(parts), residual))
    return found


def _agree(effects: Floats) -> float:
    """Share of the seeds whose effect has the sign of the mean."""
    return float((np.sign(effects) == np.sign(effects.mean())).mean())


# ------------------------------------------------------------------------- terms of the way


class Frame(Enum):
    """Whose columns are meant."""

    REF = "ref"
    ALT = "alt"


class Key(NamedTuple):
    """A site that changes on the way: an entry of the bottleneck in one of the frames, in
    transcript orientation."""

    frame: Frame
    channel: int
    column: int


class Effect(NamedTuple):
    """What a site does to the probability of each of the targets, in one seed: `effects` (T,) on
    the way, `knockouts` (T,) when it alone is put back; 0 where that was not asked for."""

    effects: Floats
    knockouts: Floats


class Targets(NamedTuple):
    """The wanted deltas' own bases, in one frame: `kinds` (T,) 0 acceptor, 1 donor; `columns` (T,)
    among the compared positions, in transcript orientation."""

    kinds: Ints
    columns: Ints

    @classmethod
    def of(cls, window: Window, deltas: Deltas, wanted: list[int], frame: Frame) -> Targets:
        index, length = deltas.alignment.ref, window.compared
        if frame is Frame.ALT:
            index = deltas.alignment.alt
            length += window.variant.growth
        columns = window.flipped(index[deltas.columns[wanted]], length)
        return cls(np.array(SITE_OF)[wanted], columns)

    def among(self, p: torch.Tensor) -> Floats:
        """(B, 2, n) probabilities of the compared positions -> (B, T) of the targets."""
        found: Floats = p[:, self.kinds, self.columns].double().cpu().numpy()
        return found


@torch.no_grad()
def _probabilities(haplotype: Haplotype, stretches: torch.Tensor, targets: Targets) -> Floats:
    """(B, T): probabilities of the targets with each of the stretches (B, C, W)."""
    parts = [targets.among(haplotype.probabilities(some)) for some in torch.split(stretches, BATCH)]
    return np.concatenate(parts)


# ------------------------------------------------------------------------------------------ the way


@dataclass(frozen=True, eq=False)
class Way:
    """From ref's bottleneck to alt's, in one seed.

    legs     the parts along which sites change, in order
    spacing  (T,): what the targets' probabilities change between them
    """

    legs: tuple[Leg, ...]
    spacing: Floats

    @classmethod
    @torch.no_grad()
    def of_seed(cls, scored: ScoredWindow, seed: int, deltas: Deltas, wanted: list[int]) -> Way:
        """The way between the alleles' probabilities, where they are aligned with `deltas.gaps`."""
        window, gaps = scored.window, deltas.gaps
        placed = _alternative_at(scored.detected[seed], window, deltas)
        alt, after = placed.haplotype, placed.bottleneck
        before = alt.unedited()[0]
        in_ref = Targets.of(window, deltas, wanted, Frame.REF)
        in_alt = Targets.of(window, deltas, wanted, Frame.ALT)
        columns = deltas.columns[wanted]
        p_ref = scored.ref[seed, in_ref.kinds, deltas.alignment.ref[columns]].astype(float)
        p_alt = scored.alt[seed, in_alt.kinds, deltas.alignment.alt[columns]].astype(float)
        if not gaps:
            leg = Leg(Frame.ALT, alt, before, after[0], in_alt, p_ref, p_alt)
            return cls((leg,), np.zeros(len(wanted)))

        first, last = window.in_frame(gaps[0].start, gaps[-1].end)
        start, stop = first - alt.first, last - alt.first
        empty = alt.reference.layout.empty_column(before)
        emptied, carried, done = [], [before[:, :start]], start
        for gap in gaps[:: window.direction]:
            at, end = (c - alt.first for c in window.in_frame(gap.start, gap.end))
            shared = before[:, done:at]
            emptied += [shared, empty.expand(-1, gap.gone)]
            carried += [shared, empty.expand(-1, gap.new)]
            done = end
        carried.append(before[:, stop:])
        in_ref_frame, in_alt_frame = torch.cat(emptied, 1), torch.cat(carried, 1)
        ref = Haplotype(alt.reference, (window,), window.frame_length, first, last, 0)
        edited = [(ref, in_ref_frame[None]), (alt, in_alt_frame[None])]
        between = edited_probabilities(edited)
        p_emptied, p_carried = in_ref.among(between[0])[0], in_alt.among(between[1])[0]
        legs = [Leg(Frame.ALT, alt, in_alt_frame, after[0], in_alt, p_carried, p_alt)]
        if any(gap.gone for gap in gaps):
            given = before[:, start:stop]
            legs.insert(0, Leg(Frame.REF, ref, given, in_ref_frame, in_ref, p_ref, p_emptied))
        return cls(tuple(legs), p_carried - p_emptied)

    def effects(self, near: Floats, knockouts: bool) -> dict[Key, Effect]:
        """Of every site that changes. `near` (T,): how near the effects on each target must come
        to what it changes by, before sites are switched instead."""
        found = {}
        for leg in self.legs:
            effects = leg.effects(near / len(self.legs))
            knocked = leg.knockouts() if knockouts else np.zeros_like(effects)
            for i, (channel, column) in enumerate(leg.moved):
                key = Key(leg.frame, channel, column + leg.haplotype.first)
                found[key] = Effect(effects[:, i], knocked[:, i])
        return found

    def ends(self, key: Key) -> tuple[float, float]:
        """What a site holds at either end of its leg."""
        (leg,) = (leg for leg in self.legs if leg.frame is key.frame)
        at = key.channel, key.column - leg.haplotype.first
        return float(leg.start[at]), float(leg.end[at])


def _alternative_at(detected: Detected, window: Window, deltas: Deltas) -> Detected:
    """The alternative allele, with the stretch that the change reaches where it is placed."""
    gaps = deltas.gaps
    if not gaps or (gaps[0].start, gaps[-1].end) == window.replaced:
        return detected
    return alternative(detected.haplotype.reference, window, gaps=gaps)


def _site(layout: Layout, window: Window, deltas: Deltas, ways: list[Way], key: Key) -> Part:
    """A changed site, its effect aside: the mean of the seeds."""
    before, after = np.mean([way.ends(key) for way in ways], 0)
    event = event_of(before, after, layout.empty(key.channel))
    if key.frame is Frame.REF:
        base = window.base_gone(key.column)
    else:
        base = window.base_of_alt(key.column, deltas.gaps)
    return Part(
        layout.names[key.channel],
        event,
        base.place.position,
        base.place.offset,
        _bases(window, base, event),
        float(after - before),
        kind=PartKind.CORE if key.channel in layout.core_channels else PartKind.MOTIF,
    )


def _bases(window: Window, base: Base, event: str) -> str:
    """The bases around a site, of the allele that has it, or has more of it."""
    haplotypes = [(window.ref, base.in_ref), (window.alt, base.in_alt)]
    if event in ("gain", "stronger"):
        haplotypes.reverse()
    return next(window.site(bases, index) for bases, index in haplotypes if index is not None)


@dataclass(frozen=True, eq=False)
class Leg:
    """A part of the way along which sites change, in one frame.

    haplotype       makes site probabilities of a stretch of the bottleneck
    start, end      (C, W): that stretch at either end
    targets         the bases whose probabilities count
    p_start, p_end  (T,): their probabilities at either end
    """

    frame: Frame
    haplotype: Haplotype
    start: torch.Tensor
    end: torch.Tensor
    targets: Targets
    p_start: Floats
    p_end: Floats

    @cached_property
    def moved(self) -> list[Entry]:
        """The entries that change, M of them."""
        return [
            Entry(channel, column)
            for channel, column in torch.nonzero((self.end - self.start).abs() > SAME).tolist()
        ]

    def effects(self, near: Floats) -> Floats:
        """(T, M): what each entry that changes contributes to the change of each target's
        probability; they sum to that within `near` (T,)."""
        m = len(self.moved)
        if 3 < m <= SOME:  # of fewer these are all combinations
            first, last = self.first_and_last
            effects = (first + last) / 2
            if (self._left(effects) <= near).all():
                return effects
        if m <= FEW:
            return self.combined()
        integrated = self.integrated(near)
        return self.switched() if integrated is None else integrated

    def _left(self, effects: Floats) -> Floats:
        """(T,): how far the sum of effects (T, M) is from what each target changes by."""
        left: Floats = np.abs(effects.sum(1) - (self.p_end - self.p_start))
        return left

    def at(self, at_end: Bools) -> Floats:
        """(N, T): probabilities where of the entries those of `at_end` (N, M) are at end, all
        others at start; each combination is computed once."""
        missing = {row.tobytes(): row for row in at_end if row.tobytes() not in self._known}
        if missing:
            channels, columns = np.array(self.moved).T
            states = self.start.repeat(len(missing), 1, 1)
            states[:, channels, columns] = torch.where(
                torch.from_numpy(np.stack([*missing.values()])).to(states.device),
                self.end[channels, columns],
                self.start[channels, columns],
            )
            made = _probabilities(self.haplotype, states, self.targets)
            self._known.update(zip(missing, made))
        return np.stack([self._known[row.tobytes()] for row in at_end])

    @cached_property
    def _known(self) -> dict[bytes, Floats]:
        """(T,) of each combination of entries at end."""
        none = np.zeros(len(self.moved), bool)
        return {none.tobytes(): self.p_start, (~none).tobytes(): self.p_end}

    @cached_property
    def first_and_last(self) -> tuple[Floats, Floats]:
        """(T, M) each: what each entry does when it goes from start to end while all others are at
        start, and when all others are at end."""
        m = len(self.moved)
        if not m:
            return np.zeros((len(self.p_start), 0)), np.zeros((len(self.p_start), 0))
        alone = np.eye(m, dtype=bool)
        p = self.at(np.concatenate((alone, ~alone))).T
        return p[:, :m] - self.p_start[:, None], self.p_end[:, None] - p[:, m:]

    def combined(self) -> Floats:
        """(T, M): Shapley values, from all combinations of entries at start and entries at end."""
        m = len(self.moved)
        combinations = np.arange(2**m)
        at_end = (combinations[:, None] >> np.arange(m) & 1).astype(bool)
        p = self.at(at_end)
        # By how many others are at end already: the share of all orders in which just these are
        share = np.array([1 / (m * comb(m - 1, others)) for others in range(m)])
        effects = np.zeros((len(self.p_start), m))
        for i in range(m):
            before = combinations[~at_end[:, i]]
            after = before + 2**i
            effects[:, i] = share[at_end[before].sum(1)] @ (p[after] - p[before])
        return effects

    def integrated(self, near: Floats) -> Floats | None:
        """Integrated gradients, Gauss-Legendre; None where STEPS do not come near enough, or twice
        as many come no nearer by half: there is a jump on the way."""
        change = self.end - self.start
        left = np.full(1, np.inf)
        for steps in STEPS:
            nodes, weights = (
                torch.from_numpy(a).to(self.start) / 2
                for a in np.polynomial.legendre.leggauss(steps)
            )
            total = torch.zeros(len(self.p_start), *change.shape, device=change.device)
            for node, weight in zip(torch.split(nodes + 0.5, BATCH), torch.split(weights, BATCH)):
                total += self._gradients(node, weight)
            effects = self._of_moved((total * change).double().cpu().numpy())
            before, left = left, self._left(effects)
            if (left <= near).all():
                return effects
            if left.max() > before.max() / 2:
                return None
        return None

    def _gradients(self, nodes: torch.Tensor, weights: torch.Tensor) -> torch.Tensor:
        """(T, C, W): gradients of each target's probability with respect to the stretch, summed
        over points of the way (each in 0 to 1) with their weights."""
        between = self.start + nodes.view(-1, 1, 1) * (self.end - self.start)
        between.requires_grad_()
        p = self.haplotype.probabilities(between)[:, self.targets.kinds, self.targets.columns]
        gradients = []
        for target in range(p.shape[1]):
            more = target + 1 < p.shape[1]
            (g,) = torch.autograd.grad((p[:, target] * weights).sum(), between, retain_graph=more)
            gradients.append(g.sum(0))
        return torch.stack(gradients)

    def switched(self) -> Floats:
        """(T, M): mean change when one entry after the other goes from start to end, over ORDERS
        orders."""
        rng = np.random.default_rng(0)
        effects = np.zeros((len(self.p_start), len(self.moved)))
        order = np.arange(len(self.moved))
        for i in range(ORDERS):
            order = order[::-1] if i % 2 else rng.permutation(len(self.moved))
            steps = np.tri(len(order) + 1, len(order), -1, bool)  # from none at end to all
            p = self.at(steps[:, np.argsort(order)])
            effects[:, order] += np.diff(p, axis=0).T / ORDERS
        return effects

    def knockouts(self) -> Floats:
        """(T, M): what each target's change loses when one entry alone is put back: in alt to what
        it is in ref; a deleted one is taken out of ref."""
        first, last = self.first_and_last
        return last if self.frame is Frame.ALT else first

    def _of_moved(self, values: Floats) -> Floats:
        """(T, C, W) -> (T, M)."""
        channels, columns = np.array(self.moved, int).reshape(-1, 2).T
        return values[:, channels, columns]
