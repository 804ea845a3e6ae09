"""The figure of an RNA map: where an RBP's sites lie around internal exons."""

from __future__ import annotations

import numpy as np

from .. import files
from ..scoring.knockout import BIN, RnaMap
from .plots import FAINT, FALLS, INK, RISES, SITE, saved, style


def draw(m: RnaMap, path: str) -> None:
    """An RNA map: where an RBP's sites lie around internal exons, and what each does to its
    exon."""
    with style():
        from matplotlib.figure import Figure

        figure = Figure((9, 4.2), layout="constrained")
        grid = figure.subplots(2, 2, sharex="col", sharey="row")
        for half, title in enumerate(("from the acceptor", "from the donor")):
            middle = m.edges[half] + (BIN - 1) / 2
            top, bottom = grid[0][half], grid[1][half]
            top.bar(middle, 1000 * np.nan_to_num(m.sites[half]), BIN * 0.9, color=FAINT)
            effect = np.nan_to_num(m.effects[half])
            bottom.bar(middle, effect, BIN * 0.9, color=np.where(effect > 0, RISES, FALLS))
            bottom.axhline(0, color=INK, lw=0.6)
            bottom.set_xlabel(f"bases {title}")
            exon = (0, 50) if half == 0 else (-49.5, 0.5)
            for axes in (top, bottom):
                axes.axvspan(*exon, color=SITE[half], alpha=0.12, lw=0)
                axes.spines[["top", "right"]].set_visible(False)
        grid[0][0].set_ylabel("sites per exon\nand 1,000 bases")
        grid[1][0].set_ylabel("mean log2 change of\nthe exon's sites")
        figure.suptitle(
            f"{m.rbp}: {m.shown} sites around {m.exons} internal exons (shaded)", fontsize=10
        )
        files.write(path, saved(figure, "png" if path.endswith(".png") else "svg"))
