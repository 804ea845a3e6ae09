"""The figure of enhanced integrated gradients: which sites, and which bases, make a base a splice
site."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from ..research.eig import Explained, strongest
from ..scoring.knockout import KINDS
from .plots import FAINT, FALLS, INK, RISES, SITE, style, write

if TYPE_CHECKING:
    from matplotlib.axes import Axes

WIDTH = 9.0  # inches
NAMED = 14  # sites that are named
GAP = 0.016  # from one upright name to the next, as a share of the axes
LEAST_REACH = 60  # bases that are shown on either side


def draw(found: Sequence[Explained], path: str, scale: str) -> None:
    """For each explained base the attributions of the strongest sites where they lie, and below
    them those of the bases nearby."""
    with style():
        from matplotlib.figure import Figure

        figure = Figure((WIDTH, 3.9 * len(found)), layout="constrained")
        panels = figure.subplots(
            2 * len(found), 1, squeeze=False, height_ratios=[2, 1] * len(found)
        )
        for i, one in enumerate(found):
            sites, bases = panels[2 * i, 0], panels[2 * i + 1, 0]
            _sites(sites, one)
            _bases(bases, one)
            sites.set_title(_title(one, scale), fontsize=9)
            for axes in (sites, bases):
                axes.axhline(0, color=INK, lw=0.6)
                axes.spines[["top", "right"]].set_visible(False)
        write(figure, path)


def _title(one: Explained, scale: str) -> str:
    target = one.target
    return (
        f"{target.gene.symbol}, {KINDS[target.kind]} {target.contig}:{target.position + 1:,} "
        f"({target.gene.strand}): {scale} {one.output:.2f}, of the baseline {one.baseline:.2f}"
    )


def _sites(axes: Axes, one: Explained) -> None:
    """A stem for each of the strongest sites, their names above."""
    middle = len(one.sequence) // 2
    shown = sorted(strongest(one, NAMED), key=lambda place: place[1])
    offsets = np.array([column - middle for _, column in shown], int)
    values = np.array([one.attribution[place] for place in shown])
    reach = max(LEAST_REACH, int(np.abs(offsets).max(initial=0) * 1.1))
    low, high = min(values.min(initial=0), 0), max(values.max(initial=0), 0)
    tall = (high - low) or 1.0
    axes.axvline(0, color=SITE[one.target.kind], lw=6, alpha=0.2)
    axes.vlines(offsets, 0, values, color=np.where(values > 0, RISES, FALLS), lw=1.6)
    bend, names = high + 0.08 * tall, high + 0.22 * tall
    for (channel, _), offset, value, at in zip(shown, offsets, values, spread(offsets, reach)):
        axes.plot((offset, offset, at), (max(value, 0), bend, names), color=FAINT, lw=0.5)
        axes.text(
            at,
            names + 0.02 * tall,
            one.layout.names[channel],
            rotation=90,
            ha="center",
            va="bottom",
            fontsize=7,
            color=INK,
        )
    axes.set_xlim(-reach, reach)
    axes.set_ylim(low - 0.08 * tall, names + 0.65 * tall)
    axes.set_ylabel("attribution of\ncore and motif sites")


def spread(offsets: np.ndarray, reach: int) -> np.ndarray:
    """Ascending places as near to ascending offsets (least squares) as lines of text that stand
    upright on an axis from -reach to reach can be."""
    gap = GAP * 2 * reach
    steps = gap * np.arange(len(offsets))
    blocks: list[list[float]] = []  # of names side by side
    for wanted in offsets - steps:
        blocks.append([float(wanted)])
        while len(blocks) > 1 and np.mean(blocks[-2]) >= np.mean(blocks[-1]):
            blocks[-2:] = [blocks[-2] + blocks[-1]]
    level = np.array([np.mean(block) for block in blocks for _ in block])
    return level.clip(-reach + gap / 2, reach - gap / 2 - gap * max(len(offsets) - 1, 0)) + steps


def _bases(axes: Axes, one: Explained) -> None:
    around = len(one.bases) // 2
    offsets = range(-around, around + 1)
    axes.bar(offsets, one.bases, 0.85, color=np.where(one.bases > 0, RISES, FALLS))
    low, high = min(one.bases.min(), 0), max(one.bases.max(), 0)
    tall = (high - low) or 1.0
    axes.set_ylim(low - 0.3 * tall, high + 0.05 * tall)
    middle = len(one.sequence) // 2
    size = min(7.0, 440 / len(offsets))
    if size >= 3:
        for offset in offsets:
            base = one.sequence[middle + offset]
            axes.text(
                offset, low - 0.06 * tall, base, ha="center", va="top", fontsize=size, color=INK
            )
    axes.set_xlim(-around - 0.6, around + 0.6)
    axes.set_ylabel("of bases")
    axes.set_xlabel(f"bases from the {KINDS[one.target.kind]}, in transcript orientation")
