"""Explanations as one self-contained HTML page."""

from __future__ import annotations

import re
from html import escape

from ..info import EVENT_COLUMNS, event_values, place
from ..scoring.deltas import NAMES, Deltas
from .explanation import MOVES, WHAT, Explanation, GeneView, percentile
from .families import families
from .figures import INK, render

STYLE = """
:root { --ink: #1c2430; --paper: #ffffff; --faint: #667080; --line: #d8dde5;
  --up: #0f7a59; --down: #a82277 }
@media (prefers-color-scheme: dark) {
  :root { --ink: #e7eaf0; --paper: #14181f; --faint: #a4acba; --line: #343c49;
    --up: #3fcf9f; --down: #f27cc0 }
}
@media print {
  :root { --ink: #000; --paper: #fff; --faint: #444; --line: #bbb; --up: #0f7a59; --down: #a82277 }
}
body { color: var(--ink); background: var(--paper); font: 15px/1.5 system-ui, sans-serif;
  margin: 2rem auto; max-width: 70rem; padding: 0 1rem }
h1 { font-size: 1.4rem; overflow-wrap: anywhere } h2 { font-size: 1.15rem; margin-top: 2rem }
table { border-collapse: collapse; margin: .6rem 0; font-variant-numeric: tabular-nums;
  width: 100% }
th, td { text-align: left; padding: .2rem .7rem .2rem 0; border-bottom: 1px solid var(--line) }
th { color: var(--faint); font-weight: 500 } code { font-size: .92em } .note { color: var(--faint) }
.scroll { overflow-x: auto } figure { margin: 1rem 0 }
figure svg { width: 100%; height: auto; min-width: 40rem }
tr { break-inside: avoid }
.bar { display: inline-block; height: .7em; min-width: 1px; vertical-align: baseline }
"""

READING = f"""<p class="note">Upper row of each panel: predicted sites (probability; blue acceptors,
orange donors), below them the core scores. Lower row: motif sites, as high as they are active;
green: gained or stronger in ALT, pink: lost or weaker, grey: the same. An arrow from a motif to a
site: without the motif the site would be less probable; a bar at its end: more probable; solid from
{MOVES}-fold, dashed below. Tables: ? after an effect whose sign the model's seeds do not agree
on.</p>"""


def page(explanations: list[Explanation]) -> str:
    """One self-contained HTML page, light and dark, that prints; of an explanation without genes it
    has the status. Raises SamvarError without matplotlib, where there are genes."""
    title = ", ".join(e.title for e in explanations[:3])
    body = "\n".join(_section(e) for e in explanations)
    if any(e.genes for e in explanations):
        body += f"\n{READING}"
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        f"<title>samvar: {escape(title)}</title>"
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<style>{STYLE}</style></head>\n"
        f"<body>\n{body}\n</body></html>\n"
    )


def _section(e: Explanation) -> str:
    parts = [f"<h1>{escape(e.title)}</h1>"]
    if e.remark:
        parts.append(f"<p>{escape(e.remark)}</p>")
    for number, view in enumerate(e.genes):
        g = view.gene
        names = f"{escape(g.id)}, {escape(g.chosen.id)}, {g.strand} strand"
        parts.append(f"<h2>{escape(g.symbol)} <small>{names}</small></h2>")
        if view.hgvs:
            parts.append(f"<p><code>{escape(view.hgvs)}</code></p>")
        if view.deltas is not None:
            parts.append(f"<p><strong>{escape(view.verdict)}</strong></p>")
            parts += [
                f"<p><code>{escape(name)}</code>: {escape(said)}</p>"
                for name, said in view.other_verdicts
            ]
            parts += [f'<p class="note">How sure: {escape(s.text)}</p>' for s in view.sureness]
            parts.append(_delta_table(view.deltas))
            parts.append(_event_table(view))
        svg = render([(e, view)], "svg").decode()
        svg = svg[svg.index("<svg") :].replace(INK, "var(--ink)")
        parts.append(f'<figure class="scroll">{own_ids(svg, f"{e.title}{number}")}</figure>')
        parts += [_cause_table(view, c, e) for c in view.causes or []]
    return "\n".join(parts)


def own_ids(svg: str, salt: str) -> str:
    """Ids of a picture made unique within the page."""
    prefix = re.sub(r"\W", "_", salt)
    return re.sub(r'(\bid="|href="#|url\(#)', lambda m: m.group() + prefix, svg)


def _delta_table(deltas: Deltas) -> str:
    rows = "".join(f"<td>{d.value:.4f} at {place(*d.place)}</td>" for d in deltas.named)
    heads = "".join(f"<th>{WHAT[n]}</th>" for n in NAMES)
    return f'<div class="scroll"><table><tr>{heads}</tr><tr>{rows}</tr></table></div>'


def _event_table(view: GeneView) -> str:
    """The rows of SAMVAR_EVENT."""
    told = [values for c in view.consequences for values in event_values(c)]
    if not told:
        return ""
    heads = "".join(f"<th>{name.lower()}</th>" for name in EVENT_COLUMNS)
    rows = "".join(f"<tr>{''.join(f'<td>{escape(v)}</td>' for v in row)}</tr>" for row in told)
    return f'<div class="scroll"><table><tr>{heads}</tr>{rows}</table></div>'


def _cause_table(view: GeneView, cause, e: Explanation) -> str:
    rows = cause.rows(12)
    most = max((abs(p.effect) for p in rows), default=1) or 1
    cells = []
    for p in rows:
        colour = "var(--up)" if p.effect > 0 else "var(--down)"
        width = f"{6 * abs(p.effect) / most:.2f}em"
        bar = f'<span class="bar" style="width:{width};background:{colour}"></span>'
        share = percentile(p, cause, e.background)
        texts = [
            f"{p.effect:+.4f}{'?' * (p.agree < 1)} {bar}",
            escape(p.rbp),
            p.event.replace("_", " "),
            place(p.position, p.offset),
            f"<code>{p.site}</code>",
            "" if p.change is None else f"{p.change:+.2f}",
            "" if p.knockout is None else f"{p.knockout:+.4f}",
            "" if share is None else f"{share:.1f}",
        ]
        cells.append(f"<tr>{''.join(f'<td>{t}</td>' for t in texts)}</tr>")
    heads = "".join(
        f"<th>{h}</th>"
        for h in (
            "effect",
            "site of",
            "event",
            "position",
            "sequence",
            "change",
            "knock-out",
            "percentile",
        )
    )
    grouped = ", ".join(f"{escape(n)} {x:+.3f}" for n, x in families(cause)[:5] if abs(x) >= 0.0005)
    return (
        f"<h3>Why {WHAT[NAMES[cause.delta]]} {cause.value:.4f}</h3>"
        f'<div class="scroll"><table><tr>{heads}</tr>'
        f'{"".join(cells)}</table></div><p class="note">By family: {grouped}</p>'
    )
