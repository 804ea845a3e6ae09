"""The figure of what a model of in-vivo binding looks for: a logo for each protein."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ..research.binding import ConsensusMotif
from .logos import letters, relative_entropy, shares, style
from .plots import write

COLUMNS = 6  # logos side by side
SIZE = 2.0, 1.15  # inches of each


def draw(motifs: Sequence[ConsensusMotif], path: str) -> None:
    """Write a picture, in the form of the suffix: letters as high as the bits that they tell,
    against equal shares of all bases. Raises SamvarError without logomaker or matplotlib."""
    rows = -(-len(motifs) // COLUMNS)
    with style():
        from matplotlib.figure import Figure

        figure = Figure((COLUMNS * SIZE[0], rows * SIZE[1]), layout="constrained")
        panels = figure.subplots(rows, COLUMNS, squeeze=False).ravel()
        for axes, motif in zip(panels, motifs):
            p = shares(motif.counts)
            heights = p * relative_entropy(p, np.full(4, 0.25))[:, None]
            letters(axes, heights, np.arange(1, len(p) + 1), (0, 2))
            axes.set_xticks([])
            axes.set_yticks([0, 2])
            axes.set_title(f"{motif.protein} ({motif.used}/{motif.windows})", fontsize=8)
        for axes in panels[len(motifs) :]:
            axes.set_axis_off()
        write(figure, path)
