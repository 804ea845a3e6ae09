"""The regulatory landscape of an explanation as a picture: REF above ALT, column by column, and
from each of the strongest causes an arrow to the splice site that it moves (after Figures 5 and 6
of the SAM paper).

Everything runs from the 5' to the 3' end of the transcript. From above:

    labels    of the splice sites, with the probability in REF and in ALT
    REF       probability of the splice sites; its motif sites and core scores
    ALT       the same; between the two an arrow for each cause
    labels    of the causes
    bases     of both alleles, an insertion as a gap in REF, a deletion as a gap in ALT
    track     exons and introns, positions, legend

Splice sites of the verdict that lie beyond stand to the sides, where the axis is broken.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import groupby, product
from math import ceil
from typing import NamedTuple

import numpy as np

from .. import files
from ..errors import SamvarError
from ..genomics.align import ABSENT
from ..genomics.transcript import TranscriptMap
from ..genomics.window import Place
from ..model.bottleneck import ACCEPTOR_CORE, DONOR_CORE
from ..scoring.attribution import PartKind
from ..scoring.knockout import KINDS
from .explanation import Cause, Explanation, GeneView, Landscape, Mark, SpliceSite, signed
from .families import family
from .scene import PER_INCH, Letters, Scene, picture, svg, text_width, wrapped

WIDTH = 1000.0  # pixels, unless asked otherwise
LEFT, RIGHT, MOST_RIGHT = 108.0, 18.0, 210.0  # margins; the right one grows with the labels there,
WIDEST_RIGHT = 0.35  # up to MOST_RIGHT or this share of the width
SITES, EFFECTS, LANE, CORES = 84.0, 92.0, 34.0, 9.0  # heights of the panels
BESIDE = 4.0  # pixels by which the line of a label stands beside another one
ROW = 14.0  # height of a row of labels
LETTER = 5.6  # pixels of a column from which its base is written out
WIDEST_FAN = 36.0  # pixels that the arrows to one site take
NEAR = 15  # columns within which the sites of one family are one label
MOST_LABELS = 18  # of splice sites
TOLD = 0.02  # change of a probability from which a site has a ghost of the other allele
SMALL = 10.0
READABLE = 20 / 3  # pixels of the smallest text in a picture that is made smaller: 5 points
FAR = 0.08  # of the columns, that each site beyond a break of the axis takes
GROUND = "grid", "intron", "exon"  # names of the shapes that a break of the axis interrupts
_OF_EVENT = {
    "gain": "gained",
    "loss": "lost",
    "site_deleted": "deleted",
    "site_inserted": "inserted",
}


def write(
    explanations: list[Explanation],
    path: str,
    form: str,
    width: float | None = None,
    height: float | None = None,
    dpi: int = 160,
) -> float:
    """Write one picture, a landscape below the other, whole or not at all; of an explanation
    without genes it shows the status. `form`: svg, png or pdf; `width` and `height` in pixels of
    CSS; what needs more height is drawn on a wider sheet and made smaller. Returns by how much, 1
    where it is not. Raises SamvarError where matplotlib is needed and missing, and where the text
    would be smaller than READABLE."""

    alike = [list(same) for _, same in groupby(explanations, key=lambda e: e.title)]

    def sheet(across: float) -> Scene:
        scenes = [scene for group in alike for scene in _landscapes(group, across)]
        return stacked(scenes, height and height * across / (width or WIDTH))

    def fits(scale: float) -> bool:
        return not height or sheet((width or WIDTH) / scale).height * scale <= height + 1e-6

    least = READABLE / SMALL
    if not fits(least):
        sides = (width or WIDTH), sheet((width or WIDTH) / least).height * least
        across, down = (ceil(10 * side / PER_INCH) / 10 for side in sides)
        raise SamvarError(
            f"{path}: its text would be too small to be read; at this width give --size "
            f"{across:g}x{down:g} or higher, or leave the height to the content: --size {across:g}"
        )
    scale, too_large = (1.0, 1.0) if fits(1.0) else (least, 1.0)
    for _ in range(6 * (scale < too_large)):
        middle = (scale + too_large) / 2
        scale, too_large = (middle, too_large) if fits(middle) else (scale, middle)
    whole = sheet((width or WIDTH) / scale).scaled(scale)
    if form == "svg":
        files.write(path, svg(whole, label=", ".join(e.short_title for e in explanations)) + "\n")
    else:
        files.write(path, picture(whole, form, dpi))
    return scale


def stacked(scenes: list[Scene], height: float | None = None) -> Scene:
    """One scene of several, each below the other, with what is left of `height` between them."""
    whole = Scene(max(s.width for s in scenes))
    left_over = max((height or 0) - sum(s.height for s in scenes), 0) / len(scenes)
    for scene in scenes:
        whole.items += [_lowered(item, whole.height) for item in scene.items]
        whole.height += scene.height + left_over
    return whole


def _lowered(item, by: float):
    if hasattr(item, "points"):
        return item._replace(points=tuple((x, y + by) for x, y in item.points))
    return item._replace(y=item.y + by)


def remark(e: Explanation, width: float = WIDTH) -> Scene:
    """Title and status of an explanation that has no gene."""
    scene = Scene(width)
    y = _paragraph(scene, 24, e.short_title, 14, bold=True, name="title")
    scene.height = _paragraph(scene, y + 4, e.remark, 11) + 8
    return scene


def _landscapes(group: list[Explanation], width: float) -> list[Scene]:
    """Of one variant or region, by each model in turn; gene by gene on one axis."""
    by_gene = [
        draw_together(list(zip(group, views)), width) for views in zip(*(e.genes for e in group))
    ]
    by_model = [scene for scenes in zip(*by_gene) for scene in scenes]
    return by_model or [remark(e, width) for e in group]


def draw(e: Explanation, view: GeneView, width: float = WIDTH, headline: bool = True) -> Scene:
    """The landscape of one gene. `headline`: with title and verdict above."""
    (scene,) = draw_together([(e, view)], width, headline)
    return scene


def draw_together(
    shown: Sequence[tuple[Explanation, GeneView]], width: float = WIDTH, headline: bool = True
) -> list[Scene]:
    """Landscapes of one gene by several models, on one axis where they compare the same bases:
    what stands at one place in one of them stands there in all."""
    views = [view for _, view in shown]
    alike = len({tuple(_places(view)) for view in views}) == 1
    drawings = [_Drawing(e, view, width, views if alike else [view]) for e, view in shown]
    if alike:
        right = max(drawing.right for drawing in drawings)
        for drawing in drawings:
            drawing.right = right
    return [drawing.drawn(headline) for drawing in drawings]


def _places(view: GeneView) -> list[Place]:
    """Of the columns, from the 5' to the 3' end."""
    a, way = view.columns, view.window.direction
    return [Place(*p) for p in zip(a.position[::way].tolist(), a.offset[::way].tolist())]


def _paragraph(scene: Scene, y: float, text: str, size: float, bold: bool = False, **more) -> float:
    """Lines of text from the base line `y` on; the base line of the next."""
    for line in wrapped(text, size, scene.width - 24, bold):
        scene.text(12, y, line, size=size, bold=bold, **more)
        y += size * 1.35
    return y


# ------------------------------------------------------------------------------------------- labels


class Label(NamedTuple):
    """A text that belongs to the place `x` of the axis."""

    x: float
    text: str
    colour: str = "ink"
    bold: bool = False

    @property
    def width(self) -> float:
        return text_width(self.text, SMALL, self.bold) + 8


def rows_of(labels: list[Label]) -> list[tuple[Label, int]]:
    """Each label with its row, 0 next to the panel, so that no label lies over another one or over
    the line that leads to another one: each starts at its line and goes to the right."""
    placed: list[tuple[Label, int]] = []
    for label in sorted(labels, key=lambda each: -each.x):
        crossed = [row for other, row in placed if other.x < label.x + label.width]
        placed.append((label, max(crossed, default=-1) + 1))
    return placed


# -------------------------------------------------------------------------------------- one drawing


class _Drawing:
    """A landscape while it is drawn: `scene`, and `y`, down to where that is done. The axis is that
    of all `views` together, which have the same columns."""

    def __init__(self, e: Explanation, view: GeneView, width: float, views: Sequence[GeneView]):
        self.explanation, self.view = e, view
        self.scene, self.y = Scene(width), 8.0
        places = _places(view)
        self.before, self.after = self._far(views, places[0].position)
        self.apart = max(round(FAR * len(places)), 1)
        self.first = self.apart * len(self.before)
        self.last = self.first + len(places) - 1
        self.total = self.last + 1 + self.apart * len(self.after)
        self.column = {place: i for i, place in enumerate(places, self.first)}
        half = self.apart // 2
        for i, site in enumerate(self.before):
            self.column[site.place] = i * self.apart + half
        for i, site in enumerate(self.after):
            self.column[site.place] = self.last + 1 + i * self.apart + half
        self.changed = self._changed_columns()
        self.right, self.most_right = RIGHT, max(MOST_RIGHT, WIDEST_RIGHT * width)
        self.sites = [*view.splice_sites, *view.far_sites]
        self.arrows = [c for c in view.arrows if c.place in self.column and c.target in self.column]
        most = max([abs(c.effect) for c in self.arrows], default=0.0)
        self.thickest, self.thin = most or 1.0, 1.0
        fans = [sum(w for _, w in self._fan(target)) for target in {c.target for c in self.arrows}]
        self.thin = min(1.0, WIDEST_FAN / max(fans, default=WIDEST_FAN))
        self.tallest = max(
            [m.activation for side in self._sides() for m in side.marks], default=1.0
        )
        self._make_room()

    def drawn(self, headline: bool) -> Scene:
        """The whole. `headline`: with title and verdict above."""
        if headline:
            self._headline()
        self._draw()
        return self.scene

    def _sides(self) -> list[Landscape]:
        return [self.view.ref] + ([self.view.alt] if self.view.alt else [])

    def _far(
        self, views: Sequence[GeneView], first: int
    ) -> tuple[list[SpliceSite], list[SpliceSite]]:
        """The sites of any view beyond the columns, of which the first is at this position: those
        before and those after them, as they are read."""
        way = self.view.window.direction
        found = {(s.kind, s.place): s for view in views for s in view.far_sites}
        far = sorted(found.values(), key=lambda s: s.place.position * way)
        early = [s for s in far if s.place.position * way < first * way]
        return early, far[len(early) :]

    def _changed_columns(self) -> tuple[int, int] | None:
        """First and last column that differ between the alleles, None in a region."""
        if not (self.view.alt and self.view.deltas):
            return None
        a = self.view.columns
        gap = (a.ref == ABSENT) | (a.alt == ABSENT)
        if not gap.any():
            start, stop = self.view.window.variant.span
            gap = (a.position >= start) & (a.position < stop)
        else:
            full = self.view.window.variant
            own = (a.position >= full.start) & (a.position < full.start + len(full.ref))
            gap |= own & (len(full.alt) > 0)
        at = np.flatnonzero(gap[:: self.view.window.direction])
        return (self.first + int(at[0]), self.first + int(at[-1])) if len(at) else None

    # ------------------------------------------------------------------------------------ the axis

    @property
    def step(self) -> float:
        """Pixels of a column."""
        return (self.scene.width - LEFT - self.right) / self.total

    def x(self, place: Place) -> float:
        """Middle of a column."""
        return self.edge(self.column[place]) + self.step / 2

    def edge(self, column: float) -> float:
        """Where a column begins."""
        return LEFT + self.step * column

    @property
    def end(self) -> float:
        """Where the last column ends."""
        return self.scene.width - self.right

    def _make_room(self) -> None:
        """The right margin that the labels near it need."""
        n, whole = self.total, self.scene.width
        for labels in (self._site_labels, self._cause_labels):
            for label in labels():
                share = (label.x - LEFT) / (whole - LEFT - RIGHT)
                room = (whole - 4 - label.width - LEFT) / max(share, 0.5 / n)
                self.right = max(self.right, min(whole - LEFT - room, self.most_right))

    # ------------------------------------------------------------------------------------- headline

    def _headline(self) -> None:
        g = self.view.gene
        where = f"{g.symbol} ({g.strand} strand, {g.chosen.id})"
        title = f"{self.explanation.short_title} in {where}, {self.explanation.model}"
        self.y = _paragraph(self.scene, self.y + 14, title, 14, bold=True, name="title")
        if self.view.verdict:
            self.y = _paragraph(self.scene, self.y, self.view.verdict, 11, name="verdict")
        self.y += 2

    # --------------------------------------------------------------------------------------- panels

    def _draw(self) -> None:
        labels = rows_of(self._site_labels())
        self.y += ROW * (max((row for _, row in labels), default=0) + 1)
        top = self.y
        self._labels(labels, top, upward=True)
        band = len(self.scene.items)
        alleles = [("REF", self.view.ref)] + ([("ALT", self.view.alt)] if self.view.alt else [])
        for name, side in alleles:
            last = side is alleles[-1][1]
            foot = self._sites_panel(name if self.view.alt else "", side)
            if last and self.arrows:
                self.y += EFFECTS
                self._side_title(foot + EFFECTS / 2, "effect on", "the site")
            lane = self._lane(side)
            if last:
                self._arrows(foot, lane)
            self.y += 10
        panels = self.y - 8
        labels = rows_of(self._cause_labels())
        self._labels(labels, panels, upward=False)
        self.y += ROW * (max((row for _, row in labels), default=-1) + 1)
        self._without_place()
        bases = self.y
        self._bases()
        self._track()
        self.scene.titles = LEFT, self.y
        self.scene.focus = self._focus()
        self._breaks([(top, panels), (bases, self.y + 1)], band)
        self._band(top, self.y, band)
        self._axis()
        self._legend()
        self.scene.height = self.y + 8

    def _focus(self) -> float | None:
        """Where the first site of the verdict stands, that of the largest delta where it tells of
        none; None in a region."""
        if not self.view.deltas:
            return None
        largest = self.view.deltas.places[int(self.view.deltas.values.argmax())]
        places = [*(site.place for site in self.view.sites_told), largest]
        return next(self.x(place) for place in places if place in self.column)

    def _band(self, top: float, bottom: float, index: int) -> None:
        """The changed columns, below everything that is drawn from item `index` on."""
        if self.changed is None:
            return
        first, last = self.changed
        drawn, self.scene.items = self.scene.items, []
        x, width = self.edge(first), max(self.step * (last + 1 - first), 2.0)
        self.scene.box(x, top, width, bottom - top, "change", name="changed")
        self.scene.items = drawn[:index] + self.scene.items + drawn[index:]

    def _side_title(self, middle: float, *lines: str) -> None:
        y = middle - 6 * (len(lines) - 1) + 3
        for line in lines:
            self.scene.text(LEFT - 34, y, line, size=SMALL, anchor="end", colour="faint")
            y += 12

    def _sites_panel(self, name: str, side: Landscape) -> float:
        """Probabilities of the splice sites of an allele; returns where its foot is."""
        top, foot = self.y + 6, self.y + 6 + SITES
        for value in (0, 0.5, 1):
            y = foot - SITES * value
            self.scene.line((LEFT, y), (self.end, y), colour="line", width=0.8, name="grid")
            self.scene.text(LEFT - 6, y + 3, f"{value:g}", size=SMALL, anchor="end", colour="faint")
        if name:
            self.scene.text(12, top + 10, name, size=14, bold=True, name="allele")
        self._side_title((top + foot) / 2 + 6, "probability", "of a", "splice site")
        present = set(zip(side.position.tolist(), side.offset.tolist()))
        present.update((s.place.position, s.place.offset) for s in (*self.before, *self.after))
        for site in self.sites:
            self._site(site, foot, side is self.view.alt, tuple(site.place) in present)
        self.y = foot
        return foot

    def _site(self, site: SpliceSite, foot: float, in_alt: bool, present: bool) -> None:
        """A site in one allele; where that is less than in the other one, also a ghost of the
        other. `present`: the allele has this base."""
        x = self.x(site.place)
        own, other = (site.alt, site.ref) if in_alt else (site.ref, site.alt)
        own, other = own or 0.0, other or 0.0
        tip = f"{site.name} at {_position(site.place)}: {_probabilities(site)}"
        if other - own >= TOLD:
            y = foot - SITES * other
            self.scene.line(
                (x, foot - SITES * own),
                (x, y),
                colour="faint",
                width=1.2,
                dashed=True,
                name="ghost",
            )
            self._head(site, x, y, ghost=True, tip=tip)
        if not present:
            return
        y = foot - SITES * own
        self.scene.line((x, foot), (x, y), width=2.2, name="site")
        self._head(site, x, y, ghost=False, tip=tip)

    def _head(self, site: SpliceSite, x: float, y: float, ghost: bool, tip: str = "") -> None:
        """Head of a site: a triangle that points into the exon; filled where it is annotated, and
        with a dot where it is new."""
        way = 5.0 if site.kind == 0 else -5.0
        corners = (x - way, y - 5), (x - way, y + 5), (x + way, y)
        colour = "faint" if ghost else "ink"
        fill = colour if site.status == "annotated" and not ghost else "paper"
        self.scene.area(
            *corners, colour=fill, stroke=colour, width=1.2, dashed=ghost, name="head", tip=tip
        )
        if site.status == "new" and not ghost:
            self.scene.box(x - way / 3 - 1.3, y - 1.3, 2.6, 2.6, "ink")

    def _lane(self, side: Landscape) -> float:
        """Motif sites of an allele, with ghosts of those that the other one has, and its core
        scores below; returns where its foot is."""
        foot = self.y + 8 + LANE
        self.scene.line((LEFT, foot), (self.end, foot), colour="line", name="grid")
        self._side_title(foot - LANE / 2 + 8, "motif sites", "core scores")
        colours = self._colours()
        ghosts = self.view.alt.marks if side is self.view.ref and self.view.alt else []
        ghosts = self.view.ref.marks if side is self.view.alt else ghosts
        gone = "gain" if side is self.view.ref else "loss"
        ordered = sorted(side.marks, key=lambda m: m.event != "unchanged")
        for mark in ordered:
            self._mark(mark, foot, colours)
        for mark in (m for m in ghosts if m.event == gone):
            self._mark(mark, foot, colours, ghost=True)
        self._cores(side, foot, colours)
        self.y = foot + CORES
        return foot

    def _mark(
        self, mark: Mark, foot: float, colours: dict[tuple[str, Place], str], ghost: bool = False
    ) -> None:
        place = Place(mark.position, mark.offset)
        if place not in self.column:
            return
        x, y = self.x(place), foot - LANE * mark.activation / self.tallest
        moved = colours.get((mark.rbp, place), "")
        colour = moved or ("faint" if mark.event == "unchanged" else "ink")
        event = "" if mark.event == "unchanged" else f",{_event(mark.event)}"
        tip = f"{mark.rbp} at {_position(place)}{event}, activation {mark.activation:.2f}"
        strong = bool(moved) or mark.event != "unchanged"
        self.scene.line(
            (x, foot),
            (x, y),
            colour=colour,
            width=2.0 if moved else 1.0,
            dashed=ghost,
            name="ghost-motif" if ghost else f"motif-{mark.event}",
            tip=tip,
        )
        r = 2.6 if strong else 1.5
        fill = "paper" if ghost else colour
        corners = (x - r, y), (x, y - r), (x + r, y), (x, y + r)
        self.scene.area(*corners, colour=fill, stroke=colour, width=1.0, tip=tip)

    def _cores(self, side: Landscape, foot: float, colours: dict[tuple[str, Place], str]) -> None:
        """Core scores as ticks below the lane, as long as they are above their floor."""
        places = [Place(*p) for p in zip(side.position.tolist(), side.offset.tolist())]
        for name, share in side.cores.items():
            for i in np.flatnonzero(share > 0).tolist():
                colour = colours.get((name, places[i]), "faint")
                x, depth = self.x(places[i]), CORES * float(share[i])
                width = 2.0 if colour != "faint" else 1.0
                tip = f"{name} at {_position(places[i])}"
                ends = (x, foot + 1), (x, foot + 1 + depth)
                self.scene.line(*ends, colour=colour, width=width, name="core", tip=tip)

    def _colours(self) -> dict[tuple[str, Place], str]:
        """Of each cause, what it does to the site that it moves most."""
        return {(c.name, c.place): _colour(c.effect) for c in self.arrows}

    # --------------------------------------------------------------------------------------- arrows

    def _arrows(self, foot: float, lane: float) -> None:
        """From each cause, at its top in the lane, to the foot of the site: with a head where it
        raises the site, with a bar across where it lowers it."""
        heights = {
            (m.rbp, Place(m.position, m.offset)): LANE * m.activation / self.tallest
            for side in self._sides()
            for m in side.marks
        }
        ends = self._ends()
        for cause in self.arrows:
            top = lane - heights.get((cause.name, cause.place), 0.0) - 5
            start, end = self.x(cause.place), ends[cause]
            width = self._thickness(cause.effect)
            name = "arrow " + _colour(cause.effect)
            tip = f"{cause.name}{_event(cause.event)} at {_position(cause.place)} " + (
                f"{_colour(cause.effect)} the {KINDS[cause.kind]} at {_position(cause.target)} by "
                f"{abs(cause.effect):.3f}"
            )
            self._arrow((start, top), (end, foot + 5), cause.effect, width, name, tip)

    def _ends(self) -> dict[Cause, float]:
        """Where each arrow ends: those to one site side by side, as they come."""
        ends = {}
        for target in {c.target for c in self.arrows}:
            fan = self._fan(target)
            x = self.x(target) - sum(width for _, width in fan) / 2
            for cause, width in fan:
                ends[cause] = x + width / 2
                x += width
        return ends

    def _fan(self, target: Place) -> list[tuple[Cause, float]]:
        """The causes with an arrow to a site, as they come, with the pixels that each takes."""
        own = sorted(
            (c for c in self.arrows if c.target == target), key=lambda c: self.column[c.place]
        )
        return [(c, self._thickness(c.effect) + 4 * self.thin) for c in own]

    def _thickness(self, effect: float) -> float:
        """Pixels of an arrow: fewer where many lead to one site."""
        return self.thin * (1.0 + 5.0 * abs(effect) / self.thickest)

    def _arrow(
        self, start: tuple, end: tuple, effect: float, width: float, name: str, tip: str = ""
    ) -> None:
        colour, (x, y) = _colour(effect), end
        half = 2.5 * self.thin + width
        length = 2 * half if effect > 0 else 1.6
        foot, up = (x, y + length), (start[1] - y) * 0.45
        bends = (start[0], start[1] - up), (x, foot[1] + up)
        self.scene.line(
            start, *bends, foot, colour=colour, width=width, curved=True, name=name, tip=tip
        )
        if effect > 0:
            self.scene.area((x, y), (x - half, y + length), (x + half, y + length), colour=colour)
        else:
            half += self.thin
            self.scene.line((x - half, y), (x + half, y), colour=colour, width=2.6)

    def _without_place(self) -> None:
        """Effects that are at no one place."""
        for cause in self.view.causes or ():
            assert self.view.deltas
            place = self.view.deltas.places[cause.delta]
            kind, sign = cause.delta // 2, 1 if cause.delta % 2 == 0 else -1
            for part in cause.parts:
                if part.kind is PartKind.SPACING and abs(part.effect) >= TOLD:
                    effect = part.effect * sign
                    self.scene.text(
                        LEFT,
                        self.y + 8,
                        f"{part.rbp} (the sites stand closer or farther apart) {_colour(effect)} "
                        f"the {KINDS[kind]} at {_position(place)} by {abs(effect):.2f}",
                        size=SMALL,
                        colour=_colour(effect),
                        name="spacing",
                    )
                    self.y += ROW

    # --------------------------------------------------------------------------------------- labels

    def _labels(self, labels: list[tuple[Label, int]], y: float, upward: bool) -> None:
        for label, row in labels:
            to = y - ROW * row if upward else y + ROW * row
            end = to - 8 if upward else to + 12
            colour = "line" if label.colour == "ink" else label.colour
            self.scene.line((label.x, y), (label.x, end), colour=colour, width=0.7, name="leader")
            self.scene.text(
                label.x + 3,
                to - 3 if upward else to + 12,
                label.text,
                size=SMALL,
                colour=label.colour,
                bold=label.bold,
                name="label",
            )

    def _site_labels(self) -> list[Label]:
        """Of the splice sites that change most, then of the strongest."""
        ordered = sorted(self.sites, key=lambda s: (-abs(s.change) >= -TOLD, -s.strength))
        return [
            Label(
                self.x(site.place),
                f"{site.name} {_probabilities(site)}",
                bold=abs(site.change) >= TOLD,
            )
            for site in ordered[:MOST_LABELS]
        ]

    def _cause_labels(self) -> list[Label]:
        """Of the causes; those of one family that stand together are one label with their
        number. The weaker of two at one place stands a little beside, so that its line is seen."""
        groups = clusters(self.arrows, self.column)
        groups.sort(key=lambda causes: -sum(abs(c.effect) for c in causes))
        labels: list[Label] = []
        for causes in groups:
            label = self._cause_label(causes)
            beside = BESIDE * sum(abs(label.x - other.x) < BESIDE / 2 for other in labels)
            labels.append(label._replace(x=label.x + beside))
        return labels

    def _cause_label(self, causes: list[Cause]) -> Label:
        places = {c.place for c in causes}
        names = sorted({c.name for c in causes})
        name = names[0] if len(names) == 1 else f"{family(names[0])} family"
        strongest = max(causes, key=lambda c: abs(c.effect))
        kind, target = strongest.kind, strongest.target
        effect = sum(c.effect for c in causes if (c.kind, c.target) == (kind, target))
        count = f"{len(places)} " if len(places) > 1 else ""
        middle = sorted(map(self.x, places))[len(places) // 2]
        what = f"{count}{site_name(name)}{_event(causes[0].event)}"
        label = Label(middle, f"{what} {signed(effect, 2)}", _colour(effect))
        longer = label._replace(text=f"{what}{self._target_name(strongest)} {signed(effect, 2)}")
        return longer if longer.width <= self.most_right else label

    def _target_name(self, cause: Cause) -> str:
        """ " → new acceptor" of a core site that moves another splice site than its own."""
        if not cause.core or cause.place == cause.target:
            return ""
        own = next(s for s in self.sites if (s.kind, s.place) == (cause.kind, cause.target))
        return f" → {own.name}"

    # ------------------------------------------------------------------------------ bases and track

    def _bases(self) -> None:
        """The bases of each allele, or bars where there is no room for letters."""
        a = self.view.columns
        alleles = [("REF" if self.view.alt else "bases", self.view.ref, a.ref)]
        if self.view.alt:
            alleles.append(("ALT", self.view.alt, a.alt))
        self.y += 6
        for name, side, index in alleles:
            present = index[:: self.view.window.direction] != ABSENT
            y = self.y + 10
            style = dict(bold=True) if self.view.alt else dict(colour="faint")
            self.scene.text(LEFT - 6, y, name, size=SMALL, anchor="end", **style)
            if self.step >= LETTER:
                bases = iter(side.bases[:: self.view.window.direction])
                letters = "".join(next(bases) if there else "-" for there in present)
                middle = self.first + 0.5
                xs = tuple(self.edge(middle + i) for i in range(len(letters)))
                size = min(self.step * 1.45, 11.0)
                self.scene.items.append(Letters(xs, y, letters, size, name="bases"))
            else:
                self._bars(present, y - 3)
            self.y += 14

    def _bars(self, present: np.ndarray, y: float) -> None:
        """A line where an allele has bases, a dashed one where it has none."""
        for there, some in groupby(range(len(present)), key=lambda i: bool(present[i])):
            columns = list(some)
            start, stop = self.first + columns[0], self.first + columns[-1] + 1
            ends = (self.edge(start), y), (self.edge(stop), y)
            width, name = (4.0, "bases") if there else (1.0, "gap")
            self.scene.line(*ends, width=width, dashed=not there, name=name)

    def _track(self) -> None:
        """Exons and introns of the chosen transcript, numbered."""
        middle = self.y + 12
        transcript = TranscriptMap.of(self.view.gene)
        for title, parts, half in (
            ("intron", transcript.introns, 0.0),
            ("exon", transcript.exons, 7.0),
        ):
            for number, (start, end) in enumerate(parts, 1):
                inside = [i for p, i in self._drawn() if start <= p.position < end]
                if not inside:
                    continue
                low, high = self.edge(min(inside)), self.edge(max(inside) + 1)
                if half:
                    self.scene.box(low, middle - half, high - low, 2 * half, "exon", name=title)
                else:
                    self.scene.line((low, middle), (high, middle), colour="faint", name=title)
                text = f"{title} {number}"
                if text_width(text, SMALL) > high - low:
                    text = f"{number}" if text_width(f"{number}", SMALL) <= high - low else ""
                if text:
                    y = middle + 3 if half else middle - 3
                    x = (low + high) / 2
                    self.scene.text(x, y, text, size=SMALL, anchor="middle", name="track")
        for site in (*self.before, *self.after):
            self._stub(site, transcript, middle)
        self.scene.text(
            LEFT - 6, middle + 3, "transcript", size=SMALL, anchor="end", colour="faint"
        )
        self.y = middle + 12

    def _stub(self, site: SpliceSite, transcript: TranscriptMap, middle: float) -> None:
        """What the transcript has on either side of a site beyond a break of the axis."""
        way = self.view.window.direction
        inside = site.place.position
        beyond = inside - way if site.kind == 0 else inside + way  # out of the exon it would end
        x, width = self.x(site.place), 0.4 * self.apart * self.step
        left, right = (beyond, inside) if site.kind == 0 else (inside, beyond)
        for position, start in ((left, x - width), (right, x)):
            if any(first <= position < last for first, last in transcript.exons):
                self.scene.box(start, middle - 7, width, 14, "exon", name="exon")
            elif any(first <= position < last for first, last in transcript.introns):
                ends = (start, middle), (start + width, middle)
                self.scene.line(*ends, colour="faint", name="intron")

    def _drawn(self) -> list[tuple[Place, int]]:
        """The compared places with their columns."""
        return [(p, i) for p, i in self.column.items() if self.first <= i <= self.last]

    def _breaks(self, parts: list[tuple[float, float]], index: int) -> None:
        """Gaps of the axis, beside each site that stands beyond one, in parts of the height: over
        the ground of what is drawn from item `index` on, and below all else."""
        drawn = self.scene.items[index:]
        ground = [item for item in drawn if item.name in GROUND]
        self.scene.items[index:] = ground
        left = [self.edge((i + 1) * self.apart) - 4 for i in range(len(self.before))]
        right = [self.edge(self.last + 1 + i * self.apart) + 4 for i in range(len(self.after))]
        for x, (top, foot) in product((*left, *right), parts):
            self.scene.box(x - 3, top, 6, foot - top, "paper", name="break")
            for side in (x - 3, x + 3):
                self.scene.line((side, top), (side, foot), colour="faint", dashed=True)
        self.scene.items += [item for item in drawn if item.name not in GROUND]

    def _axis(self) -> None:
        """Positions on the genome, and what they are."""
        y = self.y
        self.scene.line((LEFT, y), (self.end, y), colour="faint")
        last = -100.0
        for position in self._ticks():
            x = self.x(Place(position))
            text = f"{position + 1}"
            half = text_width(text, SMALL) / 2
            if x - half < max(last + 8, 0) or x + half > self.scene.width - 2:
                continue
            self.scene.line((x, y), (x, y + 4), colour="faint")
            self.scene.text(x, y + 14, text, size=SMALL, anchor="middle", name="tick")
            last = x + half
        title = f"position on {self.explanation.contig}, from the 5' to the 3' end of "
        title += self.view.gene.chosen.id
        self.y = y + 28
        for line in wrapped(title, SMALL, self.scene.width - LEFT - 4):
            self.scene.text(LEFT, self.y, line, size=SMALL, colour="faint", name="axis-title")
            self.y += ROW
        self.y -= 8

    def _ticks(self) -> list[int]:
        """Round positions (0-based) in the order in which they stand."""
        positions = [p.position for p, _ in self._drawn() if not p.offset]
        count = (self.end - LEFT) / 90
        rough = (max(positions) - min(positions)) / max(count, 1)
        magnitude = 10 ** int(np.floor(np.log10(max(rough, 1))))
        spacing = next(m for m in (1, 2, 5, 10) if m * magnitude >= rough) * magnitude
        drawn = [p for p in positions if (p + 1) % spacing == 0]
        before, after = ([s.place.position for s in far] for far in (self.before, self.after))
        return [*before, *drawn, *after]

    # --------------------------------------------------------------------------------------- legend

    def _legend(self) -> None:
        """What the shapes mean, in rows."""
        self.y += 6
        x = 12.0
        for name, text, sample in self._legend_items():
            width = 26 + text_width(text, SMALL) + 16
            if x + width > self.scene.width and x > 12:
                x, self.y = 12.0, self.y + 17
            sample(x + 10, self.y + 6)
            self.scene.text(x + 26, self.y + 9, text, size=SMALL, colour="faint", name=name)
            x += width
        self.y += 17

    def _legend_items(self) -> Iterable[tuple]:
        def head(kind: int, ref: float, annotated: bool, ghost: bool = False):
            site = SpliceSite(kind, Place(0), ref, annotated=annotated)
            return lambda x, y: self._head(site, x, y, ghost)

        def arrow(sign: float):
            return lambda x, y: self._arrow((x, y + 9), (x, y - 7), sign, 2.0, "legend-arrow")

        def dot(colour: str, ghost: bool = False):
            def sample(x: float, y: float) -> None:
                self.scene.line((x, y + 6), (x, y - 3), colour=colour, dashed=ghost)
                corners = (x - 2.6, y - 3), (x, y - 5.6), (x + 2.6, y - 3), (x, y - 0.4)
                fill = "paper" if ghost else colour
                self.scene.area(*corners, colour=fill, stroke=colour)

            return sample

        yield "legend", "acceptor", head(0, 1, True)
        yield "legend", "donor", head(1, 1, True)
        yield "legend", "not annotated", head(0, 1, False)
        if self.view.alt:
            yield "legend", "new in ALT", head(0, 0, False)
            yield "legend", "in the other allele", head(0, 1, True, ghost=True)
        if self.arrows:
            yield "legend", "raises the site", arrow(1.0)
            yield "legend", "lowers the site", arrow(-1.0)
            width = self._thickness(self.thickest)
            bar = lambda x, y: self.scene.line((x - 8, y), (x + 8, y), width=width)  # noqa: E731
            yield "legend", f"this thick: an effect of {self.thickest:.2f}", bar
        if self.view.alt:
            yield "legend", "motif site that changes", dot("ink")
            yield "legend", "in the other allele", dot("ink", ghost=True)
        yield "legend", "motif site", dot("faint")
        tick = lambda x, y: self.scene.line((x, y - 4), (x, y + 5), colour="faint")  # noqa: E731
        yield "legend", f"core score ({', '.join(self.view.ref.cores)})", tick
        if self.view.alt:
            box = lambda x, y: self.scene.box(x - 7, y - 6, 14, 12, "change")  # noqa: E731
            yield "legend", "changed bases", box
        if self.before or self.after:
            gap = lambda x, y: self.scene.line((x, y - 6), (x, y + 6), dashed=True)  # noqa: E731
            yield "legend", "the axis is broken: causes are not told of sites beyond", gap


def clusters(causes: list[Cause], column: dict[Place, int]) -> list[list[Cause]]:
    """Causes of one family and event whose places lie within `NEAR` columns of each other; a core
    site stands by itself."""

    def kind(cause: Cause) -> tuple[str, int, str, bool]:
        name, apart = family(cause.name), -1
        if cause.core:
            name, apart = cause.name, column[cause.place]
        return name, apart, cause.event, cause.effect > 0

    found: list[list[Cause]] = []
    ordered = sorted(causes, key=lambda c: (kind(c), column[c.place]))
    for _, some in groupby(ordered, key=kind):
        of_kind: list[list[Cause]] = []
        for cause in some:
            near = of_kind and column[cause.place] - column[of_kind[-1][0].place] <= NEAR
            if near:
                of_kind[-1].append(cause)
            else:
                of_kind.append([cause])
        found += of_kind
    return found


# -------------------------------------------------------------------------------------------- words


def _colour(effect: float) -> str:
    return "raises" if effect > 0 else "lowers"


def event_words(event: str) -> str:
    """ "lost" of "loss"."""
    return _OF_EVENT.get(event, event)


def site_name(name: str) -> str:
    """What a motif site or core site is called: "splice site" by the score of its core."""
    return "splice site" if name in (ACCEPTOR_CORE.name, DONOR_CORE.name) else name


def _event(event: str) -> str:
    return f" {event_words(event)}" if event else ""


def _position(place: Place) -> str:
    return f"{place.pos}" + (f"+{place.offset}" if place.offset else "")


def _probabilities(site: SpliceSite) -> str:
    if site.alt is None or round(site.ref, 2) == round(site.alt, 2):
        return f"{site.ref:.2f}"
    return f"{site.ref:.2f} → {site.alt:.2f}"
