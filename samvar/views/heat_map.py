"""The figure of a scan: what every change of a region, or every hidden window, does."""

from __future__ import annotations

import numpy as np

from .. import files
from ..genomics.genes import Annotation
from ..genomics.genome import Genome, decode
from .plots import FAINT, INK, saved, style
from .scan import Hidden, Place, Scored, strongest

COLOURS = "PuOr_r"  # safe for the colour-blind: orange a gain, purple a loss
NARROW, WIDE = 8.0, 40.0  # inches
LETTERS = 150  # bases up to which the sequence is written out


def draw(
    genome: Genome, annotation: Annotation, place: Place, scanned: list[Scored], path: str
) -> None:
    """SNVs as a heat map: a column for each base, a row for each ALT; the largest gain (up) or loss
    (down) of a site by the change, and the exons below."""
    n = place.end - place.start
    value = np.full((4, n), np.nan)
    for (_, pos, ref, alt), found in scanned:
        largest = strongest(found)
        if largest and len(ref) == len(alt) == 1:
            sign = 1 if largest.name.endswith("G") else -1
            value["ACGT".index(alt), pos - 1 - place.start] = sign * largest.value
    with style():
        from matplotlib.figure import Figure

        figure = Figure((min(max(NARROW, n / 12), WIDE), 2.6), layout="constrained")
        top, bottom = figure.subplots(2, 1, sharex=True, height_ratios=(4, 1))
        extent = (place.start + 0.5, place.end + 0.5, 3.5, -0.5)
        image = top.imshow(
            value, cmap=COLOURS, vmin=-1, vmax=1, aspect="auto", extent=extent, interpolation="none"
        )
        bases = decode(genome.codes(place.contig, place.start, place.end))
        for i, base in enumerate(bases):
            if base in "ACGT":
                top.plot(place.start + 1 + i, "ACGT".index(base), ".", color=FAINT, ms=2)
        top.set_yticks(range(4), list("ACGT"))
        top.set_ylabel("ALT")
        colours = figure.colorbar(image, ax=top, pad=0.01)
        colours.set_label("largest loss / gain\nof a splice site")
        _exons(bottom, annotation, place)
        if n <= LETTERS:
            for i, base in enumerate(bases):
                bottom.text(place.start + 1 + i, 1.25, base, ha="center", fontsize=5, color=INK)
        bottom.set_xlabel(f"position on {place.contig}")
        top.set_title(f"{place.contig}:{place.start + 1:,}-{place.end:,}, every SNV", fontsize=10)
        _write(figure, path)


def draw_walk(annotation: Annotation, place: Place, hidden: list[Hidden], path: str) -> None:
    """Hidden windows: for each annotated or changed site a line, its probability against the middle
    of the window; a panel for each gene and width, the exons below."""
    with style():
        from matplotlib.figure import Figure

        n = place.end - place.start
        size = (min(max(NARROW, n / 20), WIDE), 1.8 * len(hidden) + 1.2)
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
        _write(figure, path)


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


def _write(figure, path: str) -> None:
    files.write(path, saved(figure, "png" if path.endswith(".png") else "svg"))
