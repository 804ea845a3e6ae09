"""The regulatory landscape of an explanation as a figure (as in Figure 5 of the SAM paper)."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

import numpy as np

from .. import files
from ..errors import SamvarError
from ..model.bottleneck import LSSI_FLOOR
from ..scoring.knockout import KINDS
from .explanation import MOVES, Explanation, GeneView, Landscape, Mark

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

INK, FAINT = (
    "#123456",
    "#8a8f98",
)  # INK stands for the page's text colour, so that the figure follows light and dark
SITE = ("#2f7fc1", "#e07b00")  # acceptor, donor
EVENT = dict(gain="#159d72", stronger="#159d72", loss="#d4369a", weaker="#d4369a", unchanged=FAINT)
MOTIFS, LABELS = -1.0, -1.06  # where the motif row and its labels stand; sites stand on 0
TALL = 0.34  # of the strongest motif site
LETTERS = 130  # columns up to which the sequence is written out

Drawn = tuple[Explanation, GeneView | None]  # None: no gene of it could be scored


def write(explanations: list[Explanation], svg: str | None, png: str | None) -> None:
    """Write the pictures that are asked for, each file whole or not at all; of an explanation
    without genes they show the status. Raises SamvarError without matplotlib."""
    drawn: list[Drawn] = []
    for e in explanations:
        drawn += [(e, view) for view in e.genes] or [(e, None)]
    for path, form in ((svg, "svg"), (png, "png")):
        if path:
            files.write(path, render(drawn, form))


def render(drawn: list[Drawn], form: str) -> bytes:
    """One picture, a row of panels for each gene."""
    with style():
        return saved(_figure(drawn), form)


def style():
    """The context in which to draw. Raises SamvarError without matplotlib."""
    try:
        import matplotlib
    except ImportError as e:
        raise SamvarError("drawing needs matplotlib: pip install 'samvar[plot]'") from e
    return matplotlib.rc_context(
        {
            "svg.fonttype": "none",
            "svg.hashsalt": "samvar",
            "font.size": 8,
            "font.family": "sans-serif",
            "text.color": INK,
            "axes.edgecolor": FAINT,
            "axes.labelcolor": INK,
            "xtick.color": INK,
            "ytick.color": INK,
        }
    )


def saved(figure: Figure, form: str) -> bytes:
    """A figure as the content of a file: svg or png."""
    out = io.BytesIO()
    figure.savefig(
        out,
        format=form,
        dpi=160,
        metadata={"Date": None} if form == "svg" else None,
        transparent=form == "svg",
    )
    return out.getvalue()


def _figure(drawn: list[Drawn]) -> Figure:
    from matplotlib.figure import Figure

    sides = [[s for s in (v.ref, v.alt) if s] if v else [] for _, v in drawn]
    heights = [h for some in sides for h in [*(2.6 for _ in some), 0.75]]
    figure = Figure((11, sum(heights) + 0.35 * len(drawn)), layout="constrained")
    grid = iter(
        figure.subplots(len(heights), 1, squeeze=False, gridspec_kw=dict(height_ratios=heights))[
            :, 0
        ]
    )
    for (e, view), some in zip(drawn, sides):
        if view is None:
            _remark(next(grid), e)
            continue
        limits = _limits(view)
        tallest = max([m.activation for s in some for m in s.marks], default=1.0)
        for side, name in zip(some, ("REF", "ALT") if len(some) == 2 else ("",)):
            axes = next(grid)
            _panel(axes, view, side, tallest)
            axes.set_ylabel(name, rotation=0, ha="right", fontsize=10)
            if side is some[0]:
                axes.set_title(
                    f"{e.title}   {view.gene.symbol} ({view.gene.strand} strand)",
                    loc="left",
                    fontsize=10,
                )
            axes.set_xlim(limits)
        _track(next(grid), e, view, limits)
    return figure


def _remark(axes: Axes, e: Explanation) -> None:
    """Title and status of an explanation that has no gene."""
    axes.set_axis_off()
    axes.set_title(e.title, loc="left", fontsize=10)
    axes.text(0, 0.5, e.remark, transform=axes.transAxes, va="center")


def _limits(view: GeneView) -> tuple[float, float]:
    low, high = view.window.start + 0.2, view.window.end + 0.8
    return (low, high) if view.gene.strand == "+" else (high, low)


def _x(side: Landscape, position: int, offset: int) -> float:
    """1-based place on the axis; inserted bases share the gap after their anchor."""
    inserted = int((side.offset > 0).sum())
    return position + 1 + offset / (inserted + 1)


def _panel(axes: Axes, view: GeneView, side: Landscape, tallest: float) -> None:
    axes.axhline(0, color=FAINT, lw=0.6)
    axes.axhline(MOTIFS, color=FAINT, lw=0.6)
    x = np.array([_x(side, p, o) for p, o in zip(side.position, side.offset)])
    for kind in (0, 1):
        core = (side.lssi[kind] - LSSI_FLOOR) / -LSSI_FLOOR * 0.25
        axes.vlines(x[core > 0], -0.04 - core[core > 0], -0.04, color=SITE[kind], lw=1, alpha=0.5)
    for kind, column in side.sites():
        p = float(side.probability[kind, column])
        axes.plot([x[column]] * 2, [0, p], color=SITE[kind], lw=2, marker="o", markevery=[1], ms=6)
        axes.annotate(
            _site_label(view, side, kind, column),
            (x[column], p),
            (6, 0),
            textcoords="offset points",
            va="center",
            fontsize=7.5,
            color=SITE[kind],
        )
    moving = {i.mark for i in side.influences}
    shown = [i for i, m in enumerate(side.marks) if m.event != "unchanged" or i in moving]
    for m in side.marks:
        changed = m.event != "unchanged"
        at = _x(side, m.position, m.offset)
        axes.plot(
            [at] * 2,
            [MOTIFS, MOTIFS + TALL * m.activation / tallest],
            color=EVENT[m.event],
            marker="o",
            markevery=[1],
            ms=4 if changed else 3,
            lw=1.3 if changed else 0.8,
            zorder=3 if changed else 2,
        )
    _labels(
        axes,
        [(_x(side, side.marks[i].position, side.marks[i].offset), side.marks[i]) for i in shown],
    )
    reading = 1 if view.gene.strand == "+" else -1
    for i in side.influences:
        m = side.marks[i.mark]
        rightward = (_x(side, i.position, i.offset) - _x(side, m.position, m.offset)) * reading > 0
        strong = max(i.ratio, 1 / i.ratio) >= MOVES
        axes.annotate(
            "",
            (_x(side, i.position, i.offset), -0.3),
            (_x(side, m.position, m.offset), MOTIFS + TALL * m.activation / tallest + 0.03),
            arrowprops=dict(
                arrowstyle="-|>" if i.ratio > 1 else "-[,widthB=0.25,lengthB=0",
                lw=0.9,
                ls="-" if strong else (0, (3, 2)),
                color=EVENT[m.event],
                alpha=0.9,
                shrinkA=0,
                shrinkB=0,
                connectionstyle=f"arc3,rad={-0.12 if rightward else 0.12}",
            ),
        )
    axes.set_ylim(MOTIFS - 0.62, 1.12)
    axes.set_yticks([0, 0.5, 1], ["0", "0.5", "1"])
    axes.set_xticks([])
    for edge in ("top", "right", "bottom"):
        axes.spines[edge].set_visible(False)
    axes.spines["left"].set_bounds(0, 1)


def _site_label(view: GeneView, side: Landscape, kind: int, column: int) -> str:
    """Kind and probability, in alt with what it was in ref."""
    p = float(side.probability[kind, column])
    text = f"{KINDS[kind]} {p:.2f}"
    if side is not view.alt:
        return text
    same = (
        (view.ref.position == side.position[column])
        & (view.ref.offset == 0)
        & (side.offset[column] == 0)
    )
    before = float(view.ref.probability[kind, same][0]) if same.any() else 0.0
    return text + (f" ({p - before:+.2f})" if abs(p - before) >= 0.005 else "")


def _labels(axes: Axes, marks: list[tuple[float, Mark]]) -> None:
    """Names under the motif row, pushed apart where they would lie over each other, each with a
    line to its site."""
    if not marks:
        return
    marks = sorted(marks, key=lambda m: m[0])
    low, high = (
        sorted(axes.get_xlim()) if axes.get_xlim() != (0.0, 1.0) else (marks[0][0], marks[-1][0])
    )
    span = max(high - low, 40)
    gap = span / 75
    at = np.array([x for x, _ in marks])
    for _ in range(200):  # neighbours that are too near share the push
        short = gap - np.diff(at)
        if (short <= 1e-9).all():
            break
        push = np.clip(short, 0, None) / 2
        at[:-1] -= push
        at[1:] += push
    for (x, m), to in zip(marks, at):
        axes.plot([x, to], [MOTIFS, LABELS - 0.03], color=EVENT[m.event], lw=0.5, clip_on=False)
        axes.text(
            to,
            LABELS - 0.05,
            m.rbp,
            rotation=90,
            ha="center",
            va="top",
            fontsize=6.5,
            color=EVENT[m.event] if m.event != "unchanged" else INK,
            clip_on=False,
        )


def _track(axes: Axes, e: Explanation, view: GeneView, limits: tuple[float, float]) -> None:
    """Exons of the chosen transcript, the variant, and the sequence where there is room."""
    from matplotlib.patches import Rectangle

    low, high = sorted(limits)
    gene, side = view.gene, view.ref
    written = len(side.bases) <= LETTERS
    if not written:
        axes.plot([max(low, gene.start + 1), min(high, gene.end)], [0, 0], color=INK, lw=0.8)
    for number, (start, end) in enumerate(gene.chosen.exons, 1):
        if start + 1 <= high and end >= low:
            axes.add_patch(
                Rectangle((start + 0.5, -0.3), end - start, 0.6, color=FAINT, alpha=0.5, lw=0)
            )
            count = number if gene.strand == "+" else len(gene.chosen.exons) + 1 - number
            middle = (max(start + 1, low) + min(end, high)) / 2
            axes.text(middle, -0.42, f"exon {count}", ha="center", va="top", fontsize=7)
    if view.alt:
        start, end = view.window.variant.span
        axes.axvspan(
            start + 0.5, max(end, start + 0.2) + 0.5, color=EVENT["loss"], alpha=0.25, lw=0
        )
    if written:
        for position, base in zip(side.position, side.bases):
            axes.text(
                position + 1, 0.0, base, ha="center", va="center", fontsize=6.5, family="monospace"
            )
    axes.set_xlim(limits)
    axes.set_ylim(-1, 0.5)
    axes.set_yticks([])
    axes.ticklabel_format(axis="x", useOffset=False, style="plain")
    axes.set_xlabel(f"{e.contig}, {view.gene.chosen.id} from 5' to 3'")
    for edge in ("top", "right", "left"):
        axes.spines[edge].set_visible(False)
