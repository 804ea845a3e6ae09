"""An explanation as text for a terminal, and as JSON."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..info import BIND, EVENT_COLUMNS, PEAK, event_values, numbers, place
from ..model.bundle import Background
from ..opinions import Told
from ..scoring import attribution
from ..scoring import deltas as scoring
from ..scoring.consequence import Consequence, Outcome
from ..scoring.knockout import KINDS
from .explanation import WHAT, Explanation, GeneView, Landscape, percentile, signed
from .families import families, family
from .sureness import in_words, to_dicts


def to_dict(e: Explanation) -> dict:
    """What --json writes; positions are 1-based, strings where they lie within an insertion
    (anchor+offset)."""
    return dict(
        contig=e.contig,
        pos=e.pos,
        ref=e.ref,
        alt=e.alt,
        end=e.end,
        in_cis=[a._asdict() for a in e.partners],
        status=e.status.name,
        model=e.model,
        motif_notes=e.motif_notes,
        genes=[_gene_dict(v, e.background) for v in e.genes],
        learnt_motifs={
            name: dict(
                consensus=m.consensus,
                nearest=[dict(rbp=r, auroc=a) for r, a in m.nearest],
                bound_in_cells=[b._asdict() for b in m.bound],
            )
            for name, m in e.learnt_causes.items()
        },
    )


def _gene_dict(view: GeneView, background: Background | None) -> dict:
    g = view.gene
    out: dict[str, Any] = dict(
        symbol=g.symbol,
        gene_id=g.id,
        transcript=g.chosen.id,
        strand=g.strand,
        hgvsc=view.hgvs or None,
    )
    if view.deltas is not None:
        d = view.deltas
        where = [_number_place(*place) for place in d.places]
        out["deltas"] = {
            name: dict(value=float(v), pos=p) for name, v, p in zip(scoring.NAMES, d.values, where)
        }
        out["sd"] = d.sd
        out["verdict"] = view.verdict
        out["other_verdicts"] = [
            dict(transcript=name, verdict=said) for name, said in view.other_verdicts
        ]
        out["evidence"] = to_dicts(view.sureness)
        out["events"] = [_event_dict(c, o) for c in view.consequences for o in c.outcomes]
        out["attributed"] = [
            dict(
                delta=scoring.NAMES[c.delta],
                value=c.value,
                pos=where[c.delta],
                residual=c.residual,
                parts=[_part_dict(p, c, background) | _opinion_dict(view.told, p) for p in c.parts],
                families=[dict(family=f, effect=x) for f, x in families(c)],
            )
            for c in view.causes or []
        ]
    out["landscape"] = {
        name: _landscape_dict(side, region=view.deltas is None)
        for name, side in (("ref", view.ref), ("alt", view.alt))
        if side
    }
    out["probabilities"] = _probabilities_dict(view)
    return out


def _probabilities_dict(view: GeneView) -> dict:
    """Lists in genome order, a place for each compared position; None where the allele has no such
    base."""
    found = view.probabilities
    told: dict[str, Any] = dict(pos=[_number_place(*place) for place in found.places])
    for name, side in (("ref", found.ref), ("alt", found.alt)):
        if side is not None:
            told[name] = {
                kind: [None if np.isnan(p) else float(p) for p in values]
                for kind, values in zip(KINDS, side)
            }
    return told


def _event_dict(consequence: Consequence, outcome: Outcome) -> dict:
    event, message = outcome.event, outcome.message
    return dict(
        transcript=consequence.transcript.id,
        event=event.kind.value,
        exon=numbers(event),
        start=_number_place(*outcome.first),
        end=_number_place(*outcome.last),
        size=event.size,
        frame=message.frame.value if message.frame else None,
        stop=message.stop,
        nmd=message.decay.value if message.decay else None,
        no_frame=message.why.value if message.why else None,
        strength=event.strength,
        rna=outcome.rna or None,
        sites=[
            dict(
                kind=KINDS[s.kind],
                exon=s.exon,
                pos=_number_place(*s.place),
                ref=s.ref,
                alt=s.alt,
            )
            for s in event.sites
        ],
    )


def _number_place(position, offset) -> int | str:
    return place(int(position), int(offset)) if offset else int(position) + 1


def _part_dict(
    p: attribution.Part, cause: attribution.Attribution, background: Background | None
) -> dict:
    return dict(
        kind=p.kind.value,
        rbp=p.rbp,
        family=family(p.rbp) if p.kind is attribution.PartKind.MOTIF else None,
        event=p.event or None,
        pos=None if p.position is None else _number_place(p.position, p.offset),
        site=p.site or None,
        change=p.change,
        effect=p.effect,
        knockout=p.knockout,
        seeds_agree=p.agree == 1.0,
        percentile=percentile(p, cause, background),
    )


def _opinion_dict(told: Told | None, p: attribution.Part) -> dict:
    """Second opinions on a cause; nothing where none were asked for."""
    if told is None:
        return {}
    opinion = told.on(p)
    values = {BIND: opinion.binding, PEAK: opinion.peak}
    return {column.name.lower(): values[column] for column in told.columns}


def _landscape_dict(side: Landscape, region: bool) -> dict:
    sites = [
        dict(
            kind=KINDS[k],
            pos=_number_place(side.position[c], side.offset[c]),
            probability=float(side.probability[k, c]),
            lssi=float(side.lssi[k, c]),
        )
        for k, c in side.sites()
    ]
    marks = [
        dict(
            rbp=m.rbp,
            pos=_number_place(m.position, m.offset),
            activation=m.activation,
            event=m.event,
        )
        for m in side.marks
    ]
    moves = [
        dict(
            rbp=side.marks[i.mark].rbp,
            motif=marks[i.mark]["pos"],
            kind=KINDS[i.kind],
            pos=_number_place(i.position, i.offset),
            ratio=i.ratio,
            effect=i.effect,
        )
        for i in side.influences
    ]
    told = dict(sites=sites, motifs=marks)
    return told | dict(influences=moves) if region else told


def to_text(e: Explanation, check: bool = False, most: int = 12, named: bool = False) -> str:
    """A report for a terminal. `check` adds the knock-out of each site, `named` the model."""
    lines = [f"{e.title}  {e.remark}".rstrip()] + [f"by {e.model}"] * named
    for view in e.genes:
        g = view.gene
        lines += ["", f"{g.symbol} ({g.id}, {g.chosen.id}, {g.strand} strand)"]
        lines += [f"  {view.hgvs}"] * bool(view.hgvs)
        lines += (
            _sites_text(view)
            if view.deltas is None
            else _causes_text(view, view.deltas, e.background, check, most)
        )
    if e.motif_notes:
        lines += ["", *(f"{name}: {told}" for name, told in e.motif_notes.items())]
    return "\n".join(lines) + "\n"


def _sites_text(view: GeneView) -> list[str]:
    lines = [f"  {view.summary}"]
    for kind, column in view.ref.sites():
        at = view.ref.position[column]
        moved = [i for i in view.ref.influences if (i.kind, i.position) == (kind, at)]
        moved.sort(key=lambda i: -abs(i.effect))
        marks = view.ref.marks
        by = ", ".join(
            f"{marks[i.mark].rbp} at {marks[i.mark].position + 1} {i.effect:+.3f}"
            for i in moved[:5]
        )
        lines.append(
            f"  {KINDS[kind]:8} {at + 1}  p {view.ref.probability[kind, column]:.3f}  core score "
            f"{view.ref.lssi[kind, column]:.1f}" + (f"  moved by {by}" if by else "")
        )
    return lines


def _causes_text(
    view: GeneView, deltas: scoring.Deltas, background: Background | None, check: bool, most: int
) -> list[str]:
    named = (f"{WHAT[d.name]} {d.value:.4f} at {place(*d.place)}" for d in deltas.named)
    lines = [f"  {view.verdict}", "  " + ", ".join(named)]
    lines += [f"  {name}: {said}" for name, said in view.other_verdicts]
    lines += [f"  How sure: {sure}" for sure in [in_words(view.sureness)] if sure]
    lines += _events_text(view)
    for c in view.causes or []:
        lines.append(f"  Why {WHAT[scoring.NAMES[c.delta]]} {c.value:.4f}:")
        titles = ["effect", "site of", "event", "position", "sequence", "change"]
        titles += ["percentile"] * bool(background) + ["knock-out"] * check
        titles += [column.name for column in view.told.columns] if view.told else []
        rows = [titles] + [_row(p, c, background, check, view.told) for p in c.rows(most)]
        lines += _in_columns(rows)
        grouped = [f"{name} {x:+.3f}" for name, x in families(c)[:5] if abs(x) >= 0.0005]
        lines.append("    by family: " + ", ".join(grouped))
    return lines or ["  no change"]


def _events_text(view: GeneView) -> list[str]:
    """The rows of SAMVAR_EVENT, in columns."""
    told = [values for c in view.consequences for values in event_values(c)]
    if not told:
        return []
    rows = [[name.lower() for name in EVENT_COLUMNS], *told]
    return ["  Events:", *_in_columns([[cell or "." for cell in row] for row in rows])]


def _in_columns(rows: list[list[str]]) -> list[str]:
    widths = [max(map(len, column)) for column in zip(*rows)]
    return ["    " + "  ".join(t.ljust(w) for t, w in zip(row, widths)).rstrip() for row in rows]


def _row(
    p: attribution.Part,
    cause: attribution.Attribution,
    background: Background | None,
    check: bool,
    told: Told | None,
) -> list[str]:
    """Cells of one part; a sign on which the seeds disagree is marked with ?."""
    number = lambda x, digits: "" if x is None else signed(x, digits)  # noqa: E731
    cells = [
        number(p.effect, 4) + "?" * (p.agree < 1),
        p.rbp,
        p.event,
        place(p.position, p.offset),
        p.site,
        number(p.change, 2),
    ]
    share = percentile(p, cause, background)
    return (
        cells
        + ["" if share is None else f"{share:.1f}"] * bool(background)
        + [number(p.knockout, 4)] * check
        + (told.cells(p) if told else [])
    )
