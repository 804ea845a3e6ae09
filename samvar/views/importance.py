"""The figure of a global importance analysis."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from .. import files
from ..research.gia import Importance
from .plots import FAINT, FALLS, INK, RISES, saved, style

if TYPE_CHECKING:
    from matplotlib.axes import Axes

MOST_BARS = 40  # half of them the largest, half of them the smallest
MOST_LINES = 8


class Axis(NamedTuple):
    """What differs between the rows of a pattern: its name, and the value of a row."""

    title: str
    values: list[float | str]


def draw(found: Mapping[str, Sequence[Importance]], path: str, measured: str) -> None:
    """Importances of each background, with their standard errors: by place, number of copies,
    spacing, or group of sequences where these differ, else a bar for each pattern. `measured`: what
    changes."""
    rows = [(kind, row) for kind, some in found.items() for row in some]
    axis = _axis(rows)
    with style():
        from matplotlib.figure import Figure
        from matplotlib.ticker import MaxNLocator

        figure = Figure((8, 3.6), layout="constrained")
        axes = figure.subplots()
        axes.axhline(0, color=INK, lw=0.6)
        axes.spines[["top", "right"]].set_visible(False)
        if axis is None:
            _bars(axes, [row for _, row in rows])
        else:
            _lines(axes, [row for _, row in rows], axis)
            axes.set_xlabel(axis.title)
            if not isinstance(axis.values[0], str):
                axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        n = max(row.n for _, row in rows)
        axes.set_ylabel(f"mean {measured}\n(up to {n} sequences, bars: SE)")
        axes.set_title(f"global importance, background: {', '.join(found)}", fontsize=9)
        files.write(path, saved(figure, "png" if path.endswith(".png") else "svg"))


def _axis(rows: list[tuple[str, Importance]]) -> Axis | None:
    designs = [row.design for _, row in rows]
    first = designs[0].parts[0].anchor
    origin = "the middle of the exon" if first == "middle" else f"the {first}"
    candidates = (
        Axis("bases between the two patterns", [d.spacing or 0 for d in designs]),
        Axis("copies", [d.copies for d in designs]),
        Axis(f"bases from {origin}", [d.parts[0].at for d in designs]),
        Axis(
            "sequences",
            [kind if row.group == "all" else f"{kind} {row.group}" for kind, row in rows],
        ),
    )
    return next((c for c in candidates if len(set(c.values)) > 1), None)


def _lines(axes: Axes, rows: list[Importance], axis: Axis) -> None:
    """A line for each pattern, of the strongest MOST_LINES; and for a pair what it does beyond the
    sum."""
    from matplotlib import colormaps

    patterns = dict.fromkeys(row.design.pattern for row in rows)
    largest = {
        p: max((abs(r.mean) for r in rows if r.design.pattern == p and r.n), default=0.0)
        for p in patterns
    }
    shown = sorted(patterns, key=lambda p: -largest[p])[:MOST_LINES]
    for i, pattern in enumerate(p for p in patterns if p in shown):
        own = [(x, r) for x, r in zip(axis.values, rows) if r.design.pattern == pattern]
        places, colour = [x for x, _ in own], colormaps["tab10"](i)
        mean, error = ([getattr(r, name) for _, r in own] for name in ("mean", "error"))
        axes.errorbar(places, mean, error, color=colour, marker="o", ms=3, lw=1, label=pattern)
        if own[0][1].synergy is not None:
            beyond, error = (
                [getattr(r, name) for _, r in own] for name in ("synergy", "synergy_error")
            )
            label = f"{pattern}, beyond the sum"
            axes.errorbar(
                places, beyond, error, color=colour, ls=":", marker="s", ms=3, label=label
            )
    axes.legend(frameon=False, fontsize=7, loc="center left", bbox_to_anchor=(1, 0.5))


def _bars(axes: Axes, rows: list[Importance]) -> None:
    ordered = sorted((row for row in rows if row.n), key=lambda row: -row.mean)
    gap = len(ordered) > MOST_BARS
    if gap:
        ordered = ordered[: MOST_BARS // 2] + ordered[-MOST_BARS // 2 :]
    mean = np.array([row.mean for row in ordered])
    error = [row.error for row in ordered]
    colours = np.where(mean > 0, RISES, FALLS)
    axes.bar(range(len(ordered)), mean, 0.8, yerr=error, color=colours, ecolor=FAINT)
    names = [row.design.pattern for row in ordered]
    axes.set_xticks(range(len(ordered)), names, rotation=90, fontsize=6, family="monospace")
    axes.set_xlabel("patterns" + (": the strongest of either sign" if gap else ""))
