"""The figure of two groups of variants compared: mean effects of RBPs and families in either."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from ..research.compare import LEVELS, Compared, Moments
from .plots import FAINT, FALLS, INK, RISES, style, write

if TYPE_CHECKING:
    from matplotlib.axes import Axes

LEAST = 4  # rows of a panel that there is room for
MOST = 25  # features of a level, those with the smallest p
SIGNIFICANT = 0.05  # false discovery rate
ROW, REST = 0.19, 1.5  # inches of a feature, and of what stands around them
NOTHING = Moments(2)
TITLES = {"rbp": "RBPs", "family": "families", "core": "core sites"}


def draw(found: Sequence[Compared], names: tuple[str, str], path: str) -> None:
    """A panel for each level with features; a row for each of these, with the mean effect and its
    standard error in both groups. `names` of the groups."""
    panels = {level: [c for c in found if c.feature.level == level][:MOST] for level in LEVELS}
    panels = {level: own for level, own in panels.items() if own} or {"rbp": []}
    most = max(LEAST, *map(len, panels.values()))
    with style():
        from matplotlib.figure import Figure

        size = 3.4 * len(panels) + 0.6, ROW * most + REST
        figure = Figure(size, layout="constrained")
        for axes, (level, own) in zip(
            figure.subplots(1, len(panels), squeeze=False)[0], panels.items()
        ):
            _panel(axes, own, names, most)
            axes.set_title(TITLES[level], fontsize=9)
        handles, labels = axes.get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside lower center", ncols=2, frameon=False)
        figure.suptitle(
            f"Effects on splice sites (* larger in {names[0]}, false discovery rate {SIGNIFICANT})",
            fontsize=9,
        )
        write(figure, path)


def _panel(axes: Axes, own: Sequence[Compared], names: tuple[str, str], most: int) -> None:
    rows = np.arange(len(own))
    for shift, name, colour, side in (
        (-0.15, names[0], FALLS, "cases"),
        (0.15, names[1], RISES, "controls"),
    ):
        moments = [getattr(c, side) for c in own] or [NOTHING]
        axes.errorbar(
            [m.mean for m in moments],
            rows + shift if own else [np.nan],
            xerr=[m.error for m in moments],
            fmt="o",
            ms=3,
            lw=1,
            color=colour,
            label=f"{name} (bars: SE)",
        )
    axes.set_yticks(rows, [_label(c) for c in own])
    axes.set_ylim(most - 0.5, -0.5)
    axes.axvline(0, color=INK, lw=0.6)
    axes.grid(axis="y", color=FAINT, lw=0.3, alpha=0.5)
    axes.spines[["top", "right", "left"]].set_visible(False)
    axes.tick_params(axis="y", length=0)
    axes.set_xlabel("mean effect (probability)")


def _label(c: Compared) -> str:
    q = c.benjamini_hochberg
    return f"{c.feature.name} *" if not math.isnan(q) and q <= SIGNIFICANT else c.feature.name
