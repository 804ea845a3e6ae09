"""Which motif sites and core sites a variant gains, loses or changes, and what each does to a delta."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch

from .align import ABSENT, align, take
from .deltas import NAMES, SIGN, SITE_OF, Deltas
from .model import LSSI_FLOOR, Detection
from .predict import Predictor
from .windows import Window

SAME = 1e-3  # a smaller change of an activation is rounding
CORE = ("LSSI_A", "LSSI_D")


def _empty(channels: int) -> np.ndarray:
    """What the bottleneck holds where there is nothing: the floor in both LSSI channels, else 0."""
    return np.where(np.arange(channels) < 2, LSSI_FLOOR, 0.0).astype(np.float32)


class Site(NamedTuple):
    """A changed site and its effect on one delta.

    rbp       name of the RBP, or LSSI_A, LSSI_D for a core site
    event     gain, loss, stronger, weaker; site_deleted, site_inserted when the delta's own base is
    position  0-based, genomic, the centre; `offset` > 0 within an insertion
    site      11 bases in transcript orientation, of alt for gain and stronger, else of ref
    change    activation in alt less that in ref (LSSI: log-probability); None for a site deleted or inserted
    effect    the part of the delta that goes when the site is put back to ref
    delta     AG, AL, DG or DL
    """

    rbp: str
    event: str
    position: int
    offset: int
    site: str
    change: float | None
    effect: float
    delta: str


def changed_sites(predictor: Predictor, window: Window, deltas: Deltas, minimum: float, most: int) -> list[Site]:
    """Sites that differ between ref and alt with their effect on each delta >= `minimum`; the `most` strongest.

    EFFECT is a knock-out: the delta less the delta with the ref activation put back into the alt bottleneck; a site
    whose base the variant deletes is taken out of the ref bottleneck instead. With several seeds changes and effects
    are means, a site absent in a seed counting 0.
    """
    wanted = [d for d in range(4) if deltas.values[d] >= minimum and deltas.values[d] > 0]
    rows = []
    for d in list(wanted):
        column = deltas.columns[d]
        if ABSENT in (deltas.alignment.ref[column], deltas.alignment.alt[column]):
            rows.append(_own_site(window, deltas, d))
            wanted.remove(d)
    if wanted:
        rows += _knocked_out(predictor, window, deltas, wanted)
    rows.sort(key=lambda s: (-abs(s.effect), s.rbp, s.position, s.offset, s.delta))
    return rows[:most]


def _own_site(window: Window, deltas: Deltas, d: int) -> Site:
    """The row of a delta whose own base was deleted or inserted."""
    a, column = deltas.alignment, deltas.columns[d]
    deleted = a.alt[column] == ABSENT
    haplotype, index = (window.ref, a.ref[column]) if deleted else (window.alt, a.alt[column])
    return Site(CORE[SITE_OF[d]], "site_deleted" if deleted else "site_inserted", int(a.position[column]),
                int(a.offset[column]), window.site(haplotype, int(index)), None, float(deltas.values[d]), NAMES[d])


def _knocked_out(predictor: Predictor, window: Window, deltas: Deltas, wanted: list[int]) -> list[Site]:
    reach = predictor.models[0].config.aggregate_reach
    full = align(window, deltas.placed, -reach)
    changes: dict[tuple[int, int], np.ndarray] = {}  # (channel, column) -> per seed: ref, alt, effect on each wanted
    for seed, model in enumerate(predictor.models):
        ref, alt = (predictor.detect(model, h) for h in (window.ref, window.alt))
        u_ref, u_alt = _columns(window, ref, full.ref, reach), _columns(window, alt, full.alt, reach)
        found = np.argwhere(np.abs(u_alt - u_ref) > SAME)
        effects = _effects(predictor, model, window, deltas, wanted, ref, alt, full, found, u_ref)
        for (channel, column), effect in zip(found.tolist(), effects):
            row = changes.setdefault((channel, column), np.zeros((len(predictor.models), 2 + len(wanted))))
            row[seed] = u_ref[channel, column], u_alt[channel, column], *effect
    rows = []
    for (channel, column), each in changes.items():
        ref, alt, *effects = each.mean(0)
        for d, effect in zip(wanted, effects):
            if round(abs(effect), 4) > 0:
                rows.append(_site(predictor, window, full, channel, column, ref, alt, effect, d))
    return rows


def _columns(window: Window, found: Detection, index: np.ndarray, reach: int) -> np.ndarray:
    """The bottleneck (81, columns) in genome order: LSSI acceptor, donor, then the motifs; absent bases are empty."""
    u = window.to_genome(torch.cat((found.lssi, found.motifs), 1)[0].cpu().numpy())
    return take(u, np.where(index == ABSENT, ABSENT, index + reach), _empty(len(u))[:, None])


def _effects(predictor, model, window, deltas, wanted, ref, alt, full, found, u_ref) -> np.ndarray:
    """(changes, wanted): what each delta loses when one entry of alt's bottleneck is put back to what it is in ref; of
    an entry that alt has no base for, what it gains when that entry is emptied in ref."""
    out = np.zeros((len(found), len(wanted)))
    reach, empty = model.config.aggregate_reach, _empty(len(u_ref))
    gone = full.alt[found[:, 1]] == ABSENT
    for detection, own, columns, sign, select in (
        (alt, full.alt, deltas.alignment.alt, 1, ~gone), (ref, full.ref, deltas.alignment.ref, -1, gone)
    ):
        if not select.any():
            continue
        entries = [(channel, own[column] + reach, empty[channel] if sign < 0 else u_ref[channel, column])
                   for channel, column in found[select].tolist()]
        places = [columns[deltas.columns[d]] for d in wanted]
        change = _knock_out(predictor, model, window, detection, entries)
        for j, (d, place) in enumerate(zip(wanted, places)):
            out[select, j] = sign * SIGN[d] * change[:, SITE_OF[d], place]
    return out


def _knock_out(predictor, model, window, detection, entries) -> np.ndarray:
    """(entries, 2, n): site probabilities less those with one (channel, index, value) of the bottleneck set, both in
    genome order."""
    whole = torch.cat((detection.lssi, detection.motifs), 1)
    n = whole.shape[-1]
    p = predictor.aggregate(model, whole)
    parts = [p[:0]]
    for channel, at, value in entries:
        edited = whole.clone()
        edited[0, channel, n - 1 - at if window.gene.strand == "-" else at] = float(value)
        parts.append(p - predictor.aggregate(model, edited))
    return window.to_genome(torch.cat(parts).numpy())


def _site(predictor, window, full, channel, column, ref, alt, effect, d) -> Site:
    empty = LSSI_FLOOR if channel < 2 else 0.0
    if abs(ref - empty) <= SAME:
        event = "gain"
    elif abs(alt - empty) <= SAME:
        event = "loss"
    else:
        event = "stronger" if alt > ref else "weaker"
    in_alt = event in ("gain", "stronger")
    haplotype, index = (window.alt, full.alt[column]) if in_alt else (window.ref, full.ref[column])
    name = CORE[channel] if channel < 2 else predictor.bundle.rbps[channel - 2]
    return Site(name, event, int(full.position[column]), int(full.offset[column]), window.site(haplotype, int(index)),
                float(alt - ref), float(effect), NAMES[d])
