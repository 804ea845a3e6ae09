"""The figure of a scan: what every change of a region, or every hidden window, does."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from .. import files
from ..genomics.genes import Annotation, Gene
from ..genomics.genome import Genome, decode
from ..genomics.transcript import TranscriptMap
from ..scoring.arrays import Floats
from .explanation import WHAT
from .scan import Hidden, HiddenSite, Place, Scored
from .scene import Letters, Scene, picture, svg, text_width, wrapped

NARROW, WIDE = 1000.0, 3840.0  # pixels
COLUMN = 8.0  # pixels of a base, where the picture need not be wider than WIDE
LEFT, RIGHT = 96.0, 18.0  # margins; the left one has room for a gene's symbol of nine letters
CELL, LETTER = 22.0, 5.6  # height of a row; width from which a base is written out
MOST_HIGH = 800.0  # pixels of all rows
SMALL = 10.0
SHOWN = 0.005  # change (probability) from which a cell is coloured
PANEL = 130.0  # height of the lines of hidden windows
APART = 14.0  # pixels between the numbers of two lines
SITE_COLUMNS = 34.0, 184.0, 280.0, 350.0, 620.0  # where the columns of their sites begin
LEAST_TOLD = 0.0001  # change that they show
SAMPLES = 0.1, 0.25, 0.5, 1.0  # of the legend

# ------------------------------------------------------------------------------------ every change


def write(
    genome: Genome, annotation: Annotation, place: Place, scanned: list[Scored], path: str
) -> None:
    """The heat map as an SVG or PNG file, by the suffix. Raises SamvarError where matplotlib is
    needed and missing."""
    width = min(max(NARROW, COLUMN * (place.end - place.start)), WIDE)
    scene = draw(genome, annotation, place, scanned, width)
    _save(scene, path, _title(place, _sizes(scanned)))


def _save(scene: Scene, path: str, label: str) -> None:
    if path.endswith(".png"):
        files.write(path, picture(scene, "png", 160))
    else:
        files.write(path, svg(scene, label=label) + "\n")


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
    what = f"position on {place.contig}, along the genome; bases are those of the + strand"
    y = _axis(scene, y + 4, step, place, what)
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
    scene.text(LEFT - 50, top + 2 * cell + 4, "ALT", size=SMALL, anchor="end", colour="faint")
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


def _axis(scene: Scene, y: float, step: float, place: Place, title: str) -> float:
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


def write_walk(place: Place, hidden: list[Hidden], path: str) -> None:
    """What hidden windows do as an SVG or PNG file, by the suffix. Raises SamvarError where
    matplotlib is needed and missing."""
    _save(draw_walk(place, hidden), path, _walk_title(place))


def draw_walk(place: Place, hidden: list[Hidden]) -> Scene:
    """A panel for each gene and width: for each annotated or changed site a line, its probability
    against the middle of the window; exons, positions, and what each site does at most below. It
    runs along the genome. A line's style tells its kind of site: colours say what is raised and
    what is lowered."""
    scene = Scene(NARROW)
    scene.text(12, 20, _walk_title(place), size=14, bold=True, name="title")
    y = 38.0
    for h in hidden:
        y = _panel(scene, y, place, h) + 16
    scene.height = y
    return scene


def _walk_title(place: Place) -> str:
    return f"{place.contig}:{place.start + 1}-{place.end}, windows hidden from all binding"


def _panel(scene: Scene, y: float, place: Place, h: Hidden) -> float:
    """One gene and width; returns where it ends."""
    step = (scene.width - LEFT - RIGHT) / (place.end - place.start)
    name = f"{h.gene.symbol}: {h.width} bases hidden at a time"
    scene.text(LEFT, y + 10, name, size=12, bold=True, name="panel")
    top = y + 20
    for value in (0.0, 0.5, 1.0):
        level = top + PANEL * (1 - value)
        scene.line((LEFT, level), (scene.width - RIGHT, level), colour="line", width=0.6)
        scene.text(LEFT - 6, level + 4, f"{value:g}", size=SMALL, anchor="end", name="tick")
    middle = top + PANEL / 2
    words = dict(size=SMALL, colour="faint", anchor="middle", turned=True)
    scene.text(LEFT - 34, middle, "probability", name="axis-title", **words)
    _curves(scene, top, step, place, h)
    y = top + PANEL + 22
    _transcript(scene, y, step, place, h.gene)
    what = f"middle of the hidden window, position on {place.contig}, along the genome"
    return _sites(scene, _axis(scene, y + 14, step, place, what) + 4, h)


def _curves(scene: Scene, top: float, step: float, place: Place, h: Hidden) -> None:
    """Each site's line, numbered where it changes most and there is room."""
    xs = [LEFT + step * (start - place.start + h.width / 2) for start in h.starts]
    named: list[tuple[float, float]] = []  # where numbers stand
    for number, (site, before, after) in enumerate(zip(h.sites, h.plain, h.probability.T), 1):
        level = top + PANEL * (1 - before)
        scene.line((xs[0], level), (xs[-1], level), colour="faint", width=0.5, name="before")
        ys = top + PANEL * (1 - after)
        scene.line(*zip(xs, map(float, ys)), name="site", **_line_of(site))
        places = [(xs[i], float(ys[i])) for i in np.argsort(-np.abs(after - before))]
        free = (p for p in places if all(math.dist(p, other) >= APART for other in named))
        x, y = next(free, places[0])
        named.append((x, y))
        y += -4 if y <= level else 11
        scene.text(x, y, f"{number}", size=SMALL, anchor="middle", bold=True, name="number")


def _line_of(site: HiddenSite) -> dict[str, Any]:
    """How the line of a site is drawn."""
    kind, _, annotated = site
    return dict(colour="ink" if annotated else "faint", dashed=kind == "acceptor", width=1.4)


def _sites(scene: Scene, y: float, h: Hidden) -> float:
    """What each site is as it is, and its largest rise and fall; returns where it ends."""

    def row(cells: Sequence[str], colours: Sequence[str]) -> None:
        for x, text, colour in zip(SITE_COLUMNS, cells, colours):
            scene.text(LEFT + x, y + 9, text, size=SMALL, colour=colour, name="legend")

    heads = "site", "", "as it is", "largest rise, window hidden", "largest fall, window hidden"
    row(heads, ["faint"] * 5)
    for number, (site, before, after) in enumerate(zip(h.sites, h.plain, h.probability.T), 1):
        y += 15
        scene.line((LEFT, y + 5), (LEFT + 26, y + 5), name="sample", **_line_of(site))
        kind, at, annotated = site
        row(
            [
                f"{number}  {kind} {at + 1}",
                "annotated" if annotated else "not annotated",
                f"{before:.4f}",
                _most(h, before, after, int(after.argmax()), 1),
                _most(h, before, after, int(after.argmin()), -1),
            ],
            ["ink", "ink", "ink", "raises", "lowers"],
        )
    return y + 14


def _most(h: Hidden, before: float, after: Floats, window: int, sign: int) -> str:
    """The largest change of a site in one direction, and the window (1-based, both ends included)
    that does it; nothing where none does."""
    change = float(after[window] - before)
    if sign * change < LEAST_TOLD:
        return "none"
    start = h.starts[window] + 1
    where = f"{start}-{start + h.width - 1}"
    return f"{'▲' if sign > 0 else '▼'} {change:+.4f} to {after[window]:.4f}, {where}"
