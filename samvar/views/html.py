"""Explanations as one self-contained HTML page."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from html import escape
from itertools import groupby

import numpy as np

from ..annotate import Allele
from ..info import EVENT_COLUMNS, event_values, place
from ..opinions import Told
from ..scoring.attribution import Attribution, Part
from ..scoring.deltas import NAMES, SIGN, SITE_OF
from ..scoring.knockout import KINDS
from .about import About
from .explanation import STIRS, WHAT, Explanation, GeneView, percentile, signed
from .families import families
from .figures import WIDTH, draw_together, event_words, site_name
from .scan import Largest, Place, Scored
from .scene import Scene, Text, svg
from .sureness import in_words

MOST = 12  # rows of a table of causes
MAY_BE_EMPTY = "knock-out", "percentile"  # columns of it that are left out then
BESIDE = 720.0  # pixels of a figure that stands beside another one
MOST_MOTIFS = 60  # rows of the motif table of a region
MOST_SNVS = 30  # rows of the table of a scan
SCAN_COLUMNS = "SNV", "gene", "largest change", "of the site at", "strongest cause"

STYLE = """
:root { color-scheme: light dark; --ink: #1c2430; --paper: #ffffff; --faint: #5f6876;
  --line: #cfd5dd; --raises: #0072b2; --lowers: #b84700; --change: #f8f1d6; --exon: #aab4c2 }
@media (prefers-color-scheme: dark) {
  :root { --ink: #e7eaf0; --paper: #14181f; --faint: #a4acba; --line: #3a4250;
    --raises: #5cb8f0; --lowers: #ff9a5c; --change: #3b3623; --exon: #4b5666 }
}
@media print {
  :root { color-scheme: light; --ink: #000; --paper: #fff; --faint: #444; --line: #bbb;
    --raises: #0072b2; --lowers: #b84700; --change: #f4ecc9; --exon: #aab4c2 }
}
body { color: var(--ink); background: var(--paper); font: 15px/1.5 system-ui, sans-serif;
  margin: 2rem auto; max-width: 72rem; padding: 0 1rem }
body.wide { max-width: 130rem }
h1 { font-size: 1.4rem; overflow-wrap: anywhere } h2 { font-size: 1.15rem; margin-top: 2rem }
h3 { font-size: 1rem; margin-bottom: .2rem }
.verdict { font-size: 1.05rem; font-weight: 600; max-width: 60rem }
table { border-collapse: collapse; margin: .6rem 0; font-variant-numeric: tabular-nums }
th, td { text-align: left; padding: .2rem .9rem .2rem 0; border-bottom: 1px solid var(--line);
  white-space: nowrap }
th { color: var(--faint); font-weight: 500 } code { font-size: .92em; overflow-wrap: anywhere }
.note { color: var(--faint) }
.scroll { overflow-x: auto } figure { margin: 1rem 0 }
.frame { position: relative; display: grid; min-width: 52rem; max-width: 72rem }
.frame > * { grid-area: 1 / 1 }
.frame svg { display: block; width: 100%; height: auto }
figure.scroll { scroll-snap-type: x mandatory }
.here { position: absolute; top: 0; width: 1px; height: 1px; animation: here 1s }
@keyframes here { from, to { scroll-snap-align: center } }
.titles { display: none }
.beside { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(41rem, 100%), 1fr));
  gap: 0 1.5rem }
.beside > * { min-width: 0; display: grid; grid-template-rows: subgrid; grid-row: span 2 }
.beside > * > * { min-width: 0 } .beside .frame { min-width: 41rem }
tr { break-inside: avoid } figure { break-inside: avoid }
dt { font-weight: 600; float: left; clear: left; min-width: 7.5rem; padding-right: .6rem }
dd { margin: 0 0 .2rem 8.1rem }
.raises { color: var(--raises) } .lowers { color: var(--lowers) }
.bar { display: inline-block; height: .7em; min-width: 1px; background: currentColor }
summary { cursor: pointer; color: var(--faint) }
@media screen and (max-width: 54rem) {
  figure.scroll { scroll-padding-left: 6rem }
  figure.scroll::before { content: "The figure goes on to the sides."; color: var(--faint);
    position: sticky; left: 0 }
  .titles { display: block; position: sticky; left: 0; align-self: start; font-size: 52rem;
    background: var(--paper) }
  .beside .titles { font-size: 41rem }
  .titles span { position: absolute; white-space: nowrap; line-height: 1.15 }
}
@media print {
  body { margin: 0; max-width: none; font-size: 11px } .scroll { overflow: visible }
  .frame, .beside .frame { min-width: 0 } th, td { padding-right: .5rem }
  .bar { print-color-adjust: exact }
  details:not(.probabilities)::details-content { content-visibility: visible }
}
"""

COLUMNS = {
    "effect": "what the site does to the probability of the splice site, below 0 where it lowers "
    "it, as in the figure; the effects and the residual add up to the change. ? after it: the "
    "model's seeds do not agree on the sign. SAMVAR_RBP, JSON and the text count the effect on the "
    "delta: of a loss with the other sign",
    "does": "whether it raises or lowers the probability of the splice site",
    "site of": "protein whose motif it is, or a splice site by its core score (LSSI), or SPACING, "
    "of sites that stand closer or farther apart; OTHER and RESIDUAL complete the sum",
    "event": "what the variant does to it",
    "position": "on the genome, 1-based, its centre; +n: the n-th inserted base",
    "sequence": "11 bases in the transcript's direction, of the allele that has more of it",
    "change": "of its activation, ALT less REF",
    "knock-out": "the same, by putting this site alone back to REF",
    "percentile": "of real variants whose strongest site of this protein does less; empty where "
    "too small to be counted",
}
MODEL_KINDS = {
    "AM": "motifs adjusted in training",
    "FM": "motifs fixed as they were measured",
}
REGION_COLUMNS = {
    "motif of": "protein whose motif it is, or a learnt motif (MOTIF_01, ...)",
    "position": "on the genome, 1-based, its centre",
    "activation": "how strong the site is by the model, above 0",
    "what it does to splice sites": "what the site adds to the probability of a splice site, below "
    "0 where it lowers it, of the three that it does most to; empty where it changes none by a "
    f"factor of {STIRS:g} or more",
}
READ = (
    "REF stands above ALT, base by base. Triangles are splice sites, as high as they are "
    "probable; a dashed ghost is the same site in the other allele. Arrows lead from the "
    "strongest causes to the splice sites that they move: with a head where they raise a site, "
    "with a bar where they lower it, as thick as the effect. The verdict looks farther around "
    "than the figure: sites that it tells of and that lie beyond stand behind a break of the "
    "axis. They are not among the deltas, so that no causes are told of them."
)
READ_REGION = (
    "Triangles are splice sites, as high as they are probable. Arrows lead from the motif sites "
    "that do most to the splice sites that they move: with a head where they raise a site, with a "
    "bar where they lower it, as thick as the effect. Each effect is what changes when the motif "
    "site alone is taken away."
)


def page(
    explanations: Sequence[Explanation], abouts: Sequence[About], notes: Sequence[str] = ()
) -> str:
    """One self-contained HTML page, light and dark, that prints; of an explanation without genes it
    has the status. Explanations of one variant by several models stand together, then side by
    side. `abouts`: of each model; `notes`: what the asked name left open."""
    title = ", ".join(e.short_title for e in explanations[:3])
    groups = [list(same) for _, same in groupby(explanations, key=lambda e: e.title)]
    body = [f'<p class="note">{escape(note)}</p>' for note in notes]
    body += [_section(group) for group in groups]
    body.append(about_section(abouts, cases=explanations))
    return _document(title, body, wide=len(abouts) > 1)


def _document(title: str, body: Sequence[str], wide: bool = False) -> str:
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        f"<title>samvar: {escape(title)}</title>"
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<style>{STYLE}</style></head>\n"
        f"<body{' class=wide' if wide else ''}>\n" + "\n".join(body) + "\n</body></html>\n"
    )


def scan_page(where: Place, scanned: Sequence[Scored], heat_map: Scene, about: About) -> str:
    """One self-contained HTML page of every SNV of a region: heat map, and those that do most."""
    title = f"{where.contig}:{where.start + 1}-{where.end}: every SNV"
    statuses = Counter(row["STATUS"] for s in scanned for row in s.rows)
    counted = ", ".join(f"{status} {n}" for status, n in statuses.items())
    changes = [(s.allele, s.largest) for s in scanned if s.largest]
    strongest = sorted(changes, key=lambda change: -change[1].delta.value)[:MOST_SNVS]
    left = len(scanned) - len(strongest)
    body = [
        f"<section><h1>{escape(title)}</h1>",
        f'<p class="note">{len(scanned)} SNVs, as <code>samvar scan</code> scores them; rows by '
        f"status: {counted}.</p>",
        _figure(heat_map, title),
        "<h2>The SNVs that do most</h2>",
        table(SCAN_COLUMNS, [_scan_row(*change) for change in strongest]),
        f'<p class="note">{left} more do less, or have no score.</p>' if left else "",
        "</section>",
        f'<section class="about">{_trust([about], ())}<h2>Origin</h2>{_origin([about])}</section>',
    ]
    return _document(title, body)


def _scan_row(allele: Allele, largest: Largest) -> list[str]:
    """Cells of SCAN_COLUMNS."""
    (name, value, at), row = largest
    does = "raises" if name.endswith("G") else "lowers"
    cause = ""
    if "CAUSE" in row:
        event = str(row["CAUSE_EVENT"]).replace("_", " ")
        effect = float(row["CAUSE_EFFECT"] or 0) * SIGN[NAMES.index(str(row["CAUSE_OF"]))]
        cause = f"{row['CAUSE']} {event} at {row['CAUSE_POS']}, {effect:+.4f}"
    return [
        f'<code class="variant">{escape(":".join(map(str, allele)))}</code>',
        escape(str(row["SYMBOL"])),
        f'<span class="{does}">{WHAT[name]} {value:.4f}</span>',
        place(*at),
        escape(cause),
    ]


def _section(group: list[Explanation]) -> str:
    """One variant or region, by each of the models."""
    first = group[0]
    parts = [f"<h1>{escape(first.short_title)}</h1>"]
    if first.remark:
        parts.append(f"<p>{escape(first.remark)}</p>")
    for views in zip(*(e.genes for e in group)):
        view, gene = views[0], views[0].gene
        names = f"{escape(gene.id)}, {escape(gene.chosen.id)}, {gene.strand} strand"
        parts.append(f"<h2>{escape(gene.symbol)} <small>{names}</small></h2>")
        if view.hgvs:
            parts.append(f"<p><code>{escape(view.hgvs)}</code></p>")
        several = len(group) > 1
        shown = list(zip(group, views))
        scenes = draw_together(shown, BESIDE if several else WIDTH, headline=False)
        own = [gene_section(e, v, scene, several) for (e, v), scene in zip(shown, scenes)]
        parts.append(f'<div class="beside">{"".join(own)}</div>' if several else own[0])
        if view.deltas:
            parts.append(_delta_table([(e.model, v) for e, v in shown]))
        parts += [_probability_table(e.model, v) for e, v in shown]
    return "\n".join(parts)


def gene_section(e: Explanation, view: GeneView, scene: Scene, titled: bool = False) -> str:
    """Verdict, figure (`scene`) and causes in one gene. `titled`: with the model's name above."""
    words = [f"<h3>{escape(e.model)}</h3>"] if titled else []
    if view.deltas:
        words.append(f'<p class="verdict">{escape(view.verdict)}</p>')
        words += [
            f"<p><code>{escape(name)}</code>: {escape(said)}</p>"
            for name, said in view.other_verdicts
        ]
        if sure := in_words(view.sureness):
            words.append(f'<p class="note">How sure: {escape(sure)}</p>')
    else:
        words.append(f'<p class="verdict">{escape(view.summary)}</p>')
    shown = [_figure(scene, e.short_title)]
    shown += [_cause_table(c, e, view.told) for c in view.causes or []]
    shown.append(_event_table(view) if view.deltas else _motif_table(view))
    return f"<div><div>{''.join(words)}</div><div>{''.join(shown)}</div></div>"


def _figure(scene: Scene, label: str) -> str:
    """A picture that is as wide as the page, or can be scrolled; then it shows its focus at first,
    and the titles of its rows stay."""
    here = ""
    if scene.focus is not None:
        here = f'<span class="here" style="left:{100 * scene.focus / scene.width:.1f}%"></span>'
    picture = svg(scene, on_page=True, label=label) + _row_titles(scene)
    return f'<figure class="scroll"><div class="frame">{picture}{here}</div></figure>'


def _row_titles(scene: Scene) -> str:
    """Once more the texts at the left, to lie over what is scrolled."""
    right, foot = scene.titles
    spans = []
    for item in scene.items:
        if isinstance(item, Text) and item.x < right and item.y < foot:
            side, away = ("right", right - item.x) if item.anchor == "end" else ("left", item.x)
            style = (
                f"top:{100 * (item.y - item.size) / foot:.1f}%;{side}:{100 * away / right:.1f}%;"
                f"font-size:{item.size / scene.width:.4f}em;color:var(--{item.colour})"
            )
            style += ";font-weight:bold" * item.bold
            spans.append(f'<span style="{style}">{escape(item.text)}</span>')
    if not spans:
        return ""
    size = f"width:{100 * right / scene.width:.1f}%;aspect-ratio:{right:.0f}/{foot:.0f}"
    return f'<div class="titles" aria-hidden="true" style="{size}">{"".join(spans)}</div>'


def table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """An HTML table; cells are HTML."""
    head = "".join(f"<th>{h}</th>" for h in heads)
    body = "".join(f"<tr>{''.join(f'<td>{cell}</td>' for cell in row)}</tr>" for row in rows)
    return f'<div class="scroll"><table><tr>{head}</tr>{body}</table></div>'


def _delta_table(views: list[tuple[str, GeneView]]) -> str:
    rows = [
        [escape(model)] + [f"{d.value:.4f} at {place(*d.place)}" for d in view.deltas.named]
        for model, view in views
        if view.deltas
    ]
    return table(["model", *(WHAT[n] for n in NAMES)], rows)


def _probability_table(model: str, view: GeneView) -> str:
    """What the model says of every compared position, to be opened."""
    found = view.probabilities
    sides = [(name, p) for name, p in (("REF", found.ref), ("ALT", found.alt)) if p is not None]
    columns = [(kind, side, values[k]) for k, kind in enumerate(KINDS) for side, values in sides]
    rows = [
        [place(*at)] + ["" if np.isnan(v[i]) else f"{v[i]:.6f}" for _, _, v in columns]
        for i, at in enumerate(found.places)
    ]
    heads = ["position", *(f"{kind} in {side}" for kind, side, _ in columns)]
    return (
        f'<details class="probabilities"><summary>Probabilities of all {len(rows)} positions, by '
        f"{escape(model)}</summary>{table(heads, rows)}</details>"
    )


def _event_table(view: GeneView) -> str:
    """The rows of SAMVAR_EVENT."""
    told = [values for c in view.consequences for values in event_values(c)]
    if not told:
        return ""
    rows = [list(map(escape, values)) for values in told]
    return f"<h3>Events</h3>{table([name.lower() for name in EVENT_COLUMNS], rows)}"


def _cause_table(cause: Attribution, e: Explanation, told: Told | None) -> str:
    rows, sign = cause.rows(MOST), float(SIGN[cause.delta])
    most = max((abs(p.effect) for p in rows), default=1) or 1
    cells = []
    for p in rows:
        does = "raises" if p.effect * sign > 0 else "lowers"
        way = "&#9650;" if does == "raises" else "&#9660;"
        bar = f'<span class="bar" style="width:{6 * abs(p.effect) / most:.2f}em"></span>'
        share = percentile(p, cause, e.background)
        cells.append(
            [
                signed(p.effect * sign, 4) + "?" * (p.agree < 1),
                f'<span class="{does}">{way} {does} {bar}</span>',
                escape(_part_name(p)),
                event_words(p.event),
                place(p.position, p.offset),
                f"<code>{p.site}</code>",
                "" if p.change is None else signed(p.change, 2),
                "" if p.knockout is None else signed(p.knockout * sign, 4),
                "" if share is None else f"{share:.1f}",
                *map(escape, told.cells(p) if told else ()),
            ]
        )
    heads = [*COLUMNS, *(column.name for column in told.columns)] if told else list(COLUMNS)
    for name in MAY_BE_EMPTY:
        at = heads.index(name)
        if not any(row[at] for row in cells):
            heads, cells = heads[:at] + heads[at + 1 :], [c[:at] + c[at + 1 :] for c in cells]
    grouped = ", ".join(
        f"{escape(n)} {x * sign:+.3f}" for n, x in families(cause)[:5] if abs(x) >= 0.0005
    )
    kind = KINDS[SITE_OF[cause.delta]]
    return (
        f"<h3>Why {WHAT[NAMES[cause.delta]]} {cause.value:.4f}</h3>"
        f'<p class="note">effects on the probability of the {kind}, which changes by '
        f"{cause.value * sign:+.4f}</p>"
        f'{table(heads, cells)}<p class="note">By family: {grouped}</p>{_notes(e, rows)}'
    )


def _part_name(part: Part) -> str:
    """As in the figure, a core site with the name of its score, too."""
    name = site_name(part.rbp)
    return name if name == part.rbp else f"{name} ({part.rbp})"


def _notes(e: Explanation, rows: Sequence[Part]) -> str:
    """What is known of the motifs among the rows."""
    shown = {p.rbp for p in rows}
    told = [f"{escape(n)}: {escape(note)}" for n, note in e.motif_notes.items() if n in shown]
    return f'<p class="note">{"<br>".join(told)}</p>' if told else ""


def _motif_table(view: GeneView) -> str:
    """The motif sites of a region, those first that do most to its splice sites."""
    side = view.ref
    moved: dict[int, list] = {}
    for i in side.influences:
        moved.setdefault(i.mark, []).append(i)
    most = {m: max(abs(i.effect) for i in own) for m, own in moved.items()}
    order = sorted(
        range(len(side.marks)), key=lambda m: (-most.get(m, 0.0), -side.marks[m].activation)
    )
    rows = []
    for m in order[:MOST_MOTIFS]:
        mark = side.marks[m]
        strongest = sorted(moved.get(m, []), key=lambda i: -abs(i.effect))[:3]
        does = ", ".join(
            f'<span class="{"raises" if i.effect > 0 else "lowers"}">'
            f"{'&#9650;' if i.effect > 0 else '&#9660;'} {KINDS[i.kind]} at "
            f"{place(i.position, i.offset)} {signed(i.effect, 3)}</span>"
            for i in strongest
        )
        where = place(mark.position, mark.offset)
        rows.append([escape(mark.rbp), where, f"{mark.activation:.2f}", does])
    left = len(side.marks) - len(rows)
    note = f'<p class="note">{left} more motif sites are not listed.</p>' if left else ""
    return f"<h3>Motif sites</h3>{table(list(REGION_COLUMNS), rows)}{note}"


# ----------------------------------------------------------------------------------- about the page


def about_section(abouts: Sequence[About], cases: Sequence[Explanation] = ()) -> str:
    """Where the page comes from, what it shows, and how far it can be trusted. `cases`: what is
    known against their explanations is shown."""
    told = [view.told for e in cases for view in e.genes if view.told]
    asked = {
        column.name: escape(column.description) for column in (told[0].columns if told else ())
    }
    region = bool(cases) and not cases[0].alt
    described = REGION_COLUMNS if region else COLUMNS | asked
    columns = "".join(f"<dt>{name}</dt><dd>{what}</dd>" for name, what in described.items())
    return (
        f'<section class="about"><h2>How to read this</h2><p>{READ_REGION if region else READ}</p>'
        f"<h3>Columns</h3><dl>{columns}</dl>"
        f"{_trust(abouts, cases)}<h2>Origin</h2>{_origin(abouts)}</section>"
    )


def _origin(abouts: Sequence[About]) -> str:
    a = abouts[0]
    models = "; ".join(map(_model, abouts))
    return (
        f"<dl><dt>samvar</dt><dd>{a.version}, {a.date}</dd><dt>model</dt><dd>{models}</dd>"
        f"<dt>reference</dt><dd>{escape(a.reference)}</dd>"
        f"<dt>annotation</dt><dd>{escape(a.annotation)}</dd></dl>"
    )


def _model(a: About) -> str:
    """Its name, what the kind means, how many seeds it has, and its checksum."""
    kind = MODEL_KINDS[a.model.rpartition(" ")[2]]
    runs = len(a.seeds)
    trained = f"mean of {runs} training runs (seeds)" if runs > 1 else "one training run"
    return f"{escape(a.model)} ({kind}), {trained}, sha256 {a.sha256[:12]}"


def _trust(abouts: Sequence[About], cases: Sequence[Explanation]) -> str:
    """How far the model can be trusted, by its card, and what is known against the cases."""
    parts = ["<h2>How far to trust it</h2>"]
    against = dict.fromkeys(f"{e.short_title}: {e.remark}" for e in cases if e.remark)
    parts += [f"<p><strong>{escape(remark)}</strong></p>" for remark in against]
    parts.append(
        "<p>Read the names as hypotheses: each is the protein whose affinity in the test tube a "
        "motif was fitted to, and related proteins share motifs.</p>"
    )
    for a in abouts:
        parts += _of_model(a)
    return "".join(parts)


def _of_model(a: About) -> list[str]:
    """What the card of one model says."""
    parts = []
    if a.accuracy:
        whole, without = a.accuracy
        parts.append(
            f"<p>{escape(a.model)}: in genes that it was not trained on it finds {whole:.0f} % of "
            f"the splice sites, and {without:.0f} % where its motif sites are hidden from it.</p>"
        )
    if a.limits:
        parts.append(f"<ul>{''.join(f'<li>{escape(point)}</li>' for point in a.limits)}</ul>")
    if a.trials:
        rows = [
            [
                escape(t.name),
                f"{t.n}",
                f"{t.positive}",
                f"{t.auroc:.2f} ({t.interval[0]:.2f}-{t.interval[1]:.2f})",
            ]
            for t in a.trials
        ]
        heads = ["tested on", "variants", "with an effect", "AUROC (95 % interval)"]
        parts.append(
            f"<details><summary>Variants that {escape(a.model)} was tested on; 1 would be perfect, "
            f"0.5 is chance</summary>{table(heads, rows)}</details>"
        )
    parts.append(
        f"<details><summary>The {len(a.names)} motifs and core scores that {escape(a.model)} can "
        "name; no other protein can be a cause here</summary>"
        f"<p>{escape(', '.join(a.names))}</p></details>"
    )
    return parts
