"""The figure of a scan: what every change of a region, or every hidden window, does."""

from __future__ import annotations

import math

import numpy as np

from .. import files
from ..genomics.genes import Annotation, Gene
from ..genomics.genome import Genome, decode
from ..genomics.transcript import TranscriptMap
from .explanation import WHAT
from .plots import FAINT, saved, style
from .scan import Hidden, Place, Scored
from .scene import Letters, Scene, picture, svg, text_width, wrapped

NARROW, WIDE = 1000.0, 3840.0  # pixels
COLUMN = 8.0  # pixels of a base, where the picture need not be wider than WIDE
LEFT, RIGHT = 60.0, 18.0  # margins
CELL, LETTER = 22.0, 5.6  # height of a row; width from which a base is written out
MOST_HIGH = 800.0  # pixels of all rows
SMALL = 10.0
SHOWN = 0.005  # change (probability) from which a cell is coloured
SAMPLES = 0.1, 0.25, 0.5, 1.0  # of the legend

# ------------------------------------------------------------------------------------ every change


def write(
    genome: Genome, annotation: Annotation, place: Place, scanned: list[Scored], path: str
) -> None:
    """The heat map as an SVG or PNG file, by the suffix. Raises SamvarError where matplotlib is
    needed and missing."""
    width = min(max(NARROW, COLUMN * (place.end - place.start)), WIDE)
    scene = draw(genome, annotation, place, scanned, width)
    if path.endswith(".png"):
        files.write(path, picture(scene, "png", 160))
    else:
        files.write(path, svg(scene, label=_title(place, _sizes(scanned))) + "\n")


def draw(
    genome: Genome,
    annotation: Annotation,
    place: Place,
    scanned: list[Scored],
    width: float = NARROW,
    headline: bool = True,
) -> Scene:
    """SNVs and deletions as a heat map: a column for each base, or for the first base that is
    deleted, a row for each ALT and each size, the largest raised or lowered site of each by colour;
    exons and positions below. It runs along the genome. `headline`: with a title above."""
    sizes = _sizes(scanned)
    scene = Scene(width)
    bases = decode(genome.codes(place.contig, place.start, place.end))
    step = (width - LEFT - RIGHT) / len(bases)
    y = 12.0
    if headline:
        scene.text(12, 20, _title(place, sizes), size=14, bold=True, name="title")
        y = 38.0
    cell = min(CELL, MOST_HIGH / (4 + len(sizes)))
    _cells(scene, y, step, cell, place, bases, sizes, scanned)
    y += (4 + len(sizes)) * cell + 6
    if step >= LETTER:
        xs = tuple(LEFT + step * (i + 0.5) for i in range(len(bases)))
        scene.items.append(Letters(xs, y + 9, bases, min(step * 1.45, 11.0), name="bases"))
        scene.text(LEFT - 6, y + 9, "REF", size=SMALL, anchor="end", bold=True)
        y += 14
    for gene in annotation.overlapping(place.contig, place.start, place.end):
        _transcript(scene, y + 10, step, place, gene)
        y += 22
    y = _axis(scene, y + 4, step, place)
    scene.height = _legend(scene, y) + 8
    return scene


def _title(place: Place, sizes: list[int]) -> str:
    most = ""
    if sizes:
        how_many = f"{sizes[0]} to {sizes[-1]}" if len(sizes) > 1 else f"{sizes[0]}"
        most = f" and deletion of {how_many} base{'s' * (sizes[-1] > 1)}"
    return f"{place.contig}:{place.start + 1}-{place.end}, every SNV{most}"


def _deleted(scored: Scored) -> int:
    """How many bases are deleted."""
    return len(scored.allele.ref) - len(scored.allele.alt)


def _sizes(scanned: list[Scored]) -> list[int]:
    """Of the deletions."""
    return sorted({_deleted(s) for s in scanned} - {0})


def _cells(
    scene: Scene,
    top: float,
    step: float,
    cell: float,
    place: Place,
    bases: str,
    sizes: list[int],
    scanned: list[Scored],
) -> None:
    rows = [*"ACGT", *(f"del {size}" for size in sizes)]
    every = math.ceil(SMALL / cell)  # rows that low have no room for a name each
    for row, name in enumerate(rows):
        y = top + cell * row
        if row % every == 0:
            scene.text(LEFT - 6, y + cell / 2 + 4, name, size=SMALL, anchor="end", bold=True)
        scene.line((LEFT, y), (scene.width - RIGHT, y), colour="line", width=0.6)
    foot = top + len(rows) * cell
    scene.line((LEFT, foot), (scene.width - RIGHT, foot), colour="line")
    scene.text(12, top + 2 * cell + 4, "ALT", size=SMALL, colour="faint")
    for i, base in enumerate(bases):
        if base in "ACGT":
            x, y = LEFT + step * (i + 0.5), top + cell * ("ACGT".index(base) + 0.5)
            r = min(step / 3, 1.2)
            scene.box(x - r, y - r, 2 * r, 2 * r, "faint", name="reference")
    for one in scanned:
        (_, pos, ref, alt), _, largest = one
        if largest and largest.delta.value >= SHOWN:
            name, value, at = largest.delta
            size = _deleted(one)
            scene.box(
                LEFT + step * (pos - 1 - place.start + bool(size)),
                top + cell * rows.index(f"del {size}" if size else alt),
                step,
                cell,
                "raises" if name.endswith("G") else "lowers",
                name="cell",
                tip=f"{pos} {ref}>{alt}: {WHAT[name]} {value:.4f} at {at.pos}",
                opacity=min(value, 1.0),
            )


def _transcript(scene: Scene, middle: float, step: float, place: Place, gene: Gene) -> None:
    """Exons and introns of the gene's chosen transcript, numbered, as far as they lie in the
    place."""
    transcript = TranscriptMap.of(gene)
    name = f"{gene.symbol} {'→' if gene.strand == '+' else '←'}"
    while text_width(name, SMALL) > LEFT - 10 and len(name) > 5:
        name = f"{name[:-4].rstrip('.')}..{name[-2:]}"
    scene.text(LEFT - 6, middle + 3, name, size=SMALL, anchor="end", name="gene")
    for title, parts, half in (("intron", transcript.introns, 0), ("exon", transcript.exons, 7)):
        for number, (start, end) in enumerate(parts, 1):
            first, last = max(start, place.start), min(end, place.end)
            if first >= last:
                continue
            low, high = (LEFT + step * (at - place.start) for at in (first, last))
            if half:
                scene.box(low, middle - half, high - low, 2 * half, "exon", name=title)
            else:
                scene.line((low, middle), (high, middle), colour="faint", name=title)
            text = next(
                (
                    t
                    for t in (f"{title} {number}", f"{number}")
                    if text_width(t, SMALL) < high - low
                ),
                "",
            )
            y = middle + 3 if half else middle - 3
            scene.text((low + high) / 2, y, text, size=SMALL, anchor="middle", name="track")


def _axis(scene: Scene, y: float, step: float, place: Place) -> float:
    """Positions on the genome; returns where the next line of text stands."""
    scene.line((LEFT, y), (scene.width - RIGHT, y), colour="faint")
    room = text_width(f"{place.end}", SMALL) + 16
    spacing = next(
        m * 10**power for power in range(12) for m in (1, 2, 5) if m * 10**power * step >= room
    )
    for position in range(place.start + 1, place.end + 1):
        x = LEFT + step * (position - place.start - 0.5)
        half = text_width(f"{position}", SMALL) / 2
        if position % spacing == 0 and half <= x <= scene.width - half - 2:
            scene.line((x, y), (x, y + 4), colour="faint")
            scene.text(x, y + 14, f"{position}", size=SMALL, anchor="middle", name="tick")
    title = f"position on {place.contig}, along the genome; bases are those of the + strand"
    y += 28
    for line in wrapped(title, SMALL, scene.width - LEFT - 4):
        scene.text(LEFT, y, line, size=SMALL, colour="faint", name="axis-title")
        y += 14
    return y


def _legend(scene: Scene, y: float) -> float:
    """What the colours mean; returns where it ends."""
    x = LEFT
    for does in ("raises", "lowers"):
        text = f"{does} a splice site by"
        scene.text(x, y + 9, text, size=SMALL, colour="faint", name="legend")
        x += text_width(text, SMALL) + 6
        for value in SAMPLES:
            scene.box(x, y, 14, 12, does, opacity=value, name="sample")
            scene.text(x + 18, y + 9, f"{value:g}", size=SMALL, colour="faint", name="legend")
            x += 50
        x += 14
    scene.box(x + 4, y + 5, 2.4, 2.4, "faint")
    scene.text(x + 14, y + 9, "base of REF", size=SMALL, colour="faint", name="legend")
    return y + 14


# ---------------------------------------------------------------------------------- hidden windows


def draw_walk(annotation: Annotation, place: Place, hidden: list[Hidden], path: str) -> None:
    """Hidden windows: for each annotated or changed site a line, its probability against the middle
    of the window; a panel for each gene and width, the exons below."""
    with style():
        from matplotlib.figure import Figure

        n = place.end - place.start
        size = (min(max(8.0, n / 20), 40.0), 1.8 * len(hidden) + 1.2)
        figure = Figure(size, layout="constrained")
        *panels, bottom = figure.subplots(
            len(hidden) + 1, 1, sharex=True, height_ratios=[4] * len(hidden) + [1]
        )
        for axes, h in zip(panels, hidden):
            middle = np.array(h.starts) + 1 + (h.width - 1) / 2
            for (kind, at, annotated), before, after in zip(h.sites, h.plain, h.probability.T):
                label = f"{kind} {at + 1:,}{'' if annotated else ' (not annotated)'}"
                (line,) = axes.plot(
                    middle, after, ls="-" if kind == "donor" else "--", lw=1.2, label=label
                )
                axes.axhline(before, color=line.get_color(), lw=0.5, alpha=0.5)
            axes.set_ylim(-0.03, 1.03)
            axes.set_ylabel("probability")
            axes.set_title(f"{h.gene.symbol}, {h.width} bases hidden at a time", fontsize=9)
            axes.legend(fontsize=6, frameon=False, loc="upper left", bbox_to_anchor=(1.0, 1.0))
            axes.spines[["top", "right"]].set_visible(False)
        _exons(bottom, annotation, place)
        bottom.set_xlabel(f"middle of the hidden window, position on {place.contig}")
        files.write(path, saved(figure, "png" if path.endswith(".png") else "svg"))


def _exons(axes, annotation: Annotation, place: Place) -> None:
    """The chosen transcripts of the genes over the place: exons as boxes, numbered."""
    genes = annotation.overlapping(place.contig, place.start, place.end)
    for gene in genes:
        exons = list(gene.chosen.exons)
        axes.plot((gene.start + 1, gene.end), (0.5, 0.5), color=FAINT, lw=0.8)
        for i, (start, end) in enumerate(exons):
            if start < place.end and place.start < end:
                number = i + 1 if gene.strand == "+" else len(exons) - i
                axes.axvspan(start + 0.5, end + 0.5, 0.1, 0.6, color=FAINT, alpha=0.5, lw=0)
                middle = (max(start, place.start) + min(end, place.end)) / 2 + 0.5
                axes.text(middle, 0.5, f"exon {number}", ha="center", va="center", fontsize=7)
    axes.set_xlim(place.start + 0.5, place.end + 0.5)
    axes.set_ylim(0, 2)
    axes.set_yticks([])
    axes.spines[["top", "right", "left"]].set_visible(False)
    axes.ticklabel_format(useOffset=False, style="plain", axis="x")
