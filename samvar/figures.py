"""The regulatory landscape of an explanation as a figure (as in Figure 5 of the SAM paper), and as one HTML page."""

from __future__ import annotations

import io
import re
from html import escape
from typing import TYPE_CHECKING

import numpy as np

from . import files
from .deltas import NAMES
from .errors import SamvarError
from .explain import (
    MOVES,
    WHAT,
    Explanation,
    GeneView,
    Landscape,
    families,
    percentile,
)
from .info import place
from .knockout import BIN, KINDS, RnaMap
from .model import LSSI_FLOOR
from .variant import Status

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

INK, FAINT = "#123456", "#8a8f98"  # INK stands for the page's text colour, so that the figure follows light and dark
SITE = ("#2f7fc1", "#e07b00")  # acceptor, donor
EVENT = dict(gain="#159d72", stronger="#159d72", loss="#d4369a", weaker="#d4369a", unchanged=FAINT)
MOTIFS, LABELS = -1.0, -1.06  # where the motif row and its labels stand; sites stand on 0
TALL = 0.34  # of the strongest motif site
LETTERS = 130  # columns up to which the sequence is written out


def write(explanations: list[Explanation], svg: str | None, png: str | None, html: str | None) -> None:
    """Write what is asked for, each file whole or not at all. Raises SamvarError without matplotlib, or when there is
    no gene to draw, or more than one variant for one picture."""
    drawn = [(e, v) for e in explanations for v in e.genes]
    if (svg or png) and not drawn:
        raise SamvarError("there is nothing to draw: no allele of it could be scored in a gene")
    for path, form in ((svg, "svg"), (png, "png")):
        if path:
            files.write(path, render(drawn, form))
    if html:
        files.write(html, page(explanations))


def render(drawn: list[tuple[Explanation, GeneView]], form: str) -> bytes:
    """One picture, a row of panels for each gene."""
    with style():
        return _bytes(_figure(drawn), form)


def style():
    """The context in which to draw. Raises SamvarError without matplotlib."""
    try:
        import matplotlib
    except ImportError as e:
        raise SamvarError("drawing needs matplotlib: pip install 'samvar[plot]'") from e
    return matplotlib.rc_context({
        "svg.fonttype": "none", "svg.hashsalt": "samvar", "font.size": 8, "font.family": "sans-serif",
        "text.color": INK, "axes.edgecolor": FAINT, "axes.labelcolor": INK, "xtick.color": INK, "ytick.color": INK})


def _bytes(figure: Figure, form: str) -> bytes:
    out = io.BytesIO()
    figure.savefig(out, format=form, dpi=160, metadata={"Date": None} if form == "svg" else None,
                   transparent=form == "svg")
    return out.getvalue()


def _figure(drawn: list[tuple[Explanation, GeneView]]) -> Figure:
    from matplotlib.figure import Figure

    sides = [[s for s in (v.ref, v.alt) if s] for _, v in drawn]
    heights = [h for some in sides for h in [*(2.6 for _ in some), 0.75]]
    figure = Figure((11, sum(heights) + 0.35 * len(drawn)), layout="constrained")
    grid = iter(figure.subplots(len(heights), 1, squeeze=False, gridspec_kw=dict(height_ratios=heights))[:, 0])
    for (e, view), some in zip(drawn, sides):
        limits = _limits(view)
        tallest = max([m.activation for s in some for m in s.marks], default=1.0)
        for side, name in zip(some, ("REF", "ALT") if len(some) == 2 else ("",)):
            axes = next(grid)
            _panel(axes, view, side, tallest)
            axes.set_ylabel(name, rotation=0, ha="right", fontsize=10)
            if side is some[0]:
                axes.set_title(f"{e.title}   {view.gene.symbol} ({view.gene.strand} strand)", loc="left", fontsize=10)
            axes.set_xlim(limits)
        _track(next(grid), e, view, limits)
    return figure


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
        axes.annotate(_site_label(view, side, kind, column), (x[column], p), (6, 0), textcoords="offset points",
                      va="center", fontsize=7.5, color=SITE[kind])
    moving = {i.mark for i in side.influences}
    shown = [i for i, m in enumerate(side.marks) if m.event != "unchanged" or i in moving]
    for m in side.marks:
        changed = m.event != "unchanged"
        at = _x(side, m.position, m.offset)
        axes.plot([at] * 2, [MOTIFS, MOTIFS + TALL * m.activation / tallest], color=EVENT[m.event], marker="o",
                  markevery=[1], ms=4 if changed else 3, lw=1.3 if changed else 0.8, zorder=3 if changed else 2)
    _labels(axes, [(_x(side, side.marks[i].position, side.marks[i].offset), side.marks[i]) for i in shown])
    reading = 1 if view.gene.strand == "+" else -1
    for i in side.influences:
        m = side.marks[i.mark]
        rightward = (_x(side, i.position, i.offset) - _x(side, m.position, m.offset)) * reading > 0
        strong = max(i.ratio, 1 / i.ratio) >= MOVES
        axes.annotate("", (_x(side, i.position, i.offset), -0.3),
                      (_x(side, m.position, m.offset), MOTIFS + TALL * m.activation / tallest + 0.03),
                      arrowprops=dict(arrowstyle="-|>" if i.ratio > 1 else "-[,widthB=0.25,lengthB=0", lw=0.9,
                                      ls="-" if strong else (0, (3, 2)), color=EVENT[m.event], alpha=0.9,
                                      shrinkA=0, shrinkB=0, connectionstyle=f"arc3,rad={-0.12 if rightward else 0.12}"))
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
    same = (view.ref.position == side.position[column]) & (view.ref.offset == 0) & (side.offset[column] == 0)
    before = float(view.ref.probability[kind, same][0]) if same.any() else 0.0
    return text + (f" ({p - before:+.2f})" if abs(p - before) >= 0.005 else "")


def _labels(axes: Axes, marks: list[tuple[float, object]]) -> None:
    """Names under the motif row, pushed apart where they would lie over each other, each with a line to its site."""
    if not marks:
        return
    marks = sorted(marks, key=lambda m: m[0])
    low, high = sorted(axes.get_xlim()) if axes.get_xlim() != (0.0, 1.0) else (marks[0][0], marks[-1][0])
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
        axes.text(to, LABELS - 0.05, m.rbp, rotation=90, ha="center", va="top", fontsize=6.5,
                  color=EVENT[m.event] if m.event != "unchanged" else INK, clip_on=False)


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
            axes.add_patch(Rectangle((start + 0.5, -0.3), end - start, 0.6, color=FAINT, alpha=0.5, lw=0))
            count = number if gene.strand == "+" else len(gene.chosen.exons) + 1 - number
            middle = (max(start + 1, low) + min(end, high)) / 2
            axes.text(middle, -0.42, f"exon {count}", ha="center", va="top", fontsize=7)
    if view.alt:
        start, end = view.window.variant.span
        axes.axvspan(start + 0.5, max(end, start + 0.2) + 0.5, color=EVENT["loss"], alpha=0.25, lw=0)
    if written:
        for position, base in zip(side.position, side.bases):
            axes.text(position + 1, 0.0, base, ha="center", va="center", fontsize=6.5, family="monospace")
    axes.set_xlim(limits)
    axes.set_ylim(-1, 0.5)
    axes.set_yticks([])
    axes.ticklabel_format(axis="x", useOffset=False, style="plain")
    axes.set_xlabel(f"{e.contig}, {view.gene.chosen.id} from 5' to 3'")
    for edge in ("top", "right", "left"):
        axes.spines[edge].set_visible(False)


def draw_map(m: RnaMap, path: str) -> None:
    """An RNA map: where an RBP's sites lie around internal exons, and what each does to its exon."""
    with style():
        from matplotlib.figure import Figure

        figure = Figure((9, 4.2), layout="constrained")
        grid = figure.subplots(2, 2, sharex="col", sharey="row")
        for half, title in enumerate(("from the acceptor", "from the donor")):
            middle = m.edges[half] + (BIN - 1) / 2
            top, bottom = grid[0][half], grid[1][half]
            top.bar(middle, 1000 * np.nan_to_num(m.sites[half]), BIN * 0.9, color=FAINT)
            effect = np.nan_to_num(m.effects[half])
            bottom.bar(middle, effect, BIN * 0.9, color=np.where(effect > 0, EVENT["gain"], EVENT["loss"]))
            bottom.axhline(0, color=INK, lw=0.6)
            bottom.set_xlabel(f"bases {title}")
            exon = (0, 50) if half == 0 else (-49.5, 0.5)
            for axes in (top, bottom):
                axes.axvspan(*exon, color=SITE[half], alpha=0.12, lw=0)
                axes.spines[["top", "right"]].set_visible(False)
        grid[0][0].set_ylabel("sites per exon\nand 1,000 bases")
        grid[1][0].set_ylabel("mean log2 change of\nthe exon's sites")
        figure.suptitle(f"{m.rbp}: {m.shown} sites around {m.exons} internal exons (shaded)", fontsize=10)
        files.write(path, _bytes(figure, "png" if path.endswith(".png") else "svg"))


# ---------------------------------------------------------------------------------------------------------------- HTML

STYLE = """
:root { --ink: #1c2430; --paper: #ffffff; --faint: #667080; --line: #d8dde5; --up: #0f7a59; --down: #a82277 }
@media (prefers-color-scheme: dark) {
  :root { --ink: #e7eaf0; --paper: #14181f; --faint: #a4acba; --line: #343c49; --up: #3fcf9f; --down: #f27cc0 }
}
@media print { :root { --ink: #000; --paper: #fff; --faint: #444; --line: #bbb; --up: #0f7a59; --down: #a82277 } }
body { color: var(--ink); background: var(--paper); font: 15px/1.5 system-ui, sans-serif; margin: 2rem auto;
  max-width: 70rem; padding: 0 1rem }
h1 { font-size: 1.4rem; overflow-wrap: anywhere } h2 { font-size: 1.15rem; margin-top: 2rem }
table { border-collapse: collapse; margin: .6rem 0; font-variant-numeric: tabular-nums; width: 100% }
th, td { text-align: left; padding: .2rem .7rem .2rem 0; border-bottom: 1px solid var(--line) }
th { color: var(--faint); font-weight: 500 } code { font-size: .92em } .note { color: var(--faint) }
.scroll { overflow-x: auto } figure { margin: 1rem 0 } figure svg { width: 100%; height: auto; min-width: 40rem }
tr { break-inside: avoid } .bar { display: inline-block; height: .7em; min-width: 1px; vertical-align: baseline }
"""

READING = f"""<p class="note">Upper row of each panel: predicted sites (probability; blue acceptors, orange donors),
below them the core scores. Lower row: motif sites, as high as they are active; green: gained or stronger in ALT, pink:
lost or weaker, grey: the same. An arrow from a motif to a site: without the motif the site would be less probable; a
bar at its end: more probable; solid from {MOVES}-fold, dashed below. Tables: ? after an effect whose sign the model's
seeds do not agree on.</p>"""


def page(explanations: list[Explanation]) -> str:
    """One self-contained HTML page, light and dark, that prints."""
    title = ", ".join(e.title for e in explanations[:3])
    body = "\n".join(_section(e) for e in explanations)
    return (f'<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><title>samvar: {escape(title)}</title>'
            f'<meta name="viewport" content="width=device-width, initial-scale=1"><style>{STYLE}</style></head>\n'
            f"<body>\n{body}\n{READING}\n</body></html>\n")


def _section(e: Explanation) -> str:
    parts = [f"<h1>{escape(e.title)}</h1>"]
    if e.status is not Status.OK:
        parts.append(f"<p>{e.status.name}: {escape(e.status.value)}</p>")
    for number, view in enumerate(e.genes):
        g = view.gene
        names = f"{escape(g.id)}, {escape(g.chosen.id)}, {g.strand} strand"
        parts.append(f"<h2>{escape(g.symbol)} <small>{names}</small></h2>")
        if view.deltas is not None:
            parts.append(_delta_table(view))
        svg = render([(e, view)], "svg").decode()
        svg = svg[svg.index("<svg") :].replace(INK, "var(--ink)")
        parts.append(f'<figure class="scroll">{own_ids(svg, f"{e.title}{number}")}</figure>')
        parts += [_cause_table(view, c, e) for c in view.causes or []]
    return "\n".join(parts)


def own_ids(svg: str, salt: str) -> str:
    """Ids of a picture made unique within the page."""
    prefix = re.sub(r"\W", "_", salt)
    return re.sub(r'(\bid="|href="#|url\(#)', lambda m: m.group() + prefix, svg)


def _delta_table(view: GeneView) -> str:
    d = view.deltas
    rows = "".join(f"<td>{v:.4f} at {place(int(d.alignment.position[c]), int(d.alignment.offset[c]))}</td>"
                   for v, c in zip(d.values, d.columns))
    heads = "".join(f"<th>{WHAT[n]}</th>" for n in NAMES)
    return f'<div class="scroll"><table><tr>{heads}</tr><tr>{rows}</tr></table></div>'


def _cause_table(view: GeneView, cause, e: Explanation) -> str:
    rows = cause.rows(12)
    most = max((abs(p.effect) for p in rows), default=1) or 1
    cells = []
    for p in rows:
        colour = "var(--up)" if p.effect > 0 else "var(--down)"
        bar = f'<span class="bar" style="width:{6 * abs(p.effect) / most:.2f}em;background:{colour}"></span>'
        share = percentile(p, cause, e.background)
        texts = [f"{p.effect:+.4f}{'?' * (p.agree < 1)} {bar}", escape(p.rbp), p.event.replace("_", " "),
                 place(p.position, p.offset), f"<code>{p.site}</code>", "" if p.change is None else f"{p.change:+.2f}",
                 "" if p.knockout is None else f"{p.knockout:+.4f}", "" if share is None else f"{share:.1f}"]
        cells.append(f"<tr>{''.join(f'<td>{t}</td>' for t in texts)}</tr>")
    heads = "".join(f"<th>{h}</th>" for h in ("effect", "site of", "event", "position", "sequence", "change",
                                              "knock-out", "percentile"))
    grouped = ", ".join(f"{escape(n)} {x:+.3f}" for n, x in families(cause)[:5] if abs(x) >= 0.0005)
    return (f"<h3>Why {WHAT[NAMES[cause.delta]]} {cause.value:.4f}</h3><div class=\"scroll\"><table><tr>{heads}</tr>"
            f"{''.join(cells)}</table></div><p class=\"note\">By family: {grouped}</p>")
