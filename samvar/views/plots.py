"""What the plots that matplotlib draws have in common: RNA maps and logos."""

from __future__ import annotations

import io
import re
from typing import TYPE_CHECKING

from .scene import need_matplotlib

if TYPE_CHECKING:
    from matplotlib.figure import Figure

INK, FAINT = (
    "#123456",
    "#8a8f98",
)  # INK stands for the page's text colour, so that the figure follows light and dark
SITE = ("#2f7fc1", "#e07b00")  # acceptor, donor
RISES, FALLS = "#0072b2", "#c44e00"


def style():
    """The context in which to draw. Raises SamvarError without matplotlib."""
    need_matplotlib()
    import matplotlib

    return matplotlib.rc_context(
        {
            "svg.fonttype": "none",
            "svg.hashsalt": "samvar",
            "font.size": 8,
            "font.family": "sans-serif",
            "text.color": INK,
            "axes.edgecolor": FAINT,
            "axes.labelcolor": INK,
            "xtick.color": INK,
            "ytick.color": INK,
        }
    )


def saved(figure: Figure, form: str) -> bytes:
    """A figure as the content of a file: svg or png."""
    out = io.BytesIO()
    figure.savefig(
        out,
        format=form,
        dpi=160,
        metadata={"Date": None} if form == "svg" else None,
        transparent=form == "svg",
    )
    return out.getvalue()


def own_ids(svg: str, salt: str) -> str:
    """Ids of a picture made unique within the page."""
    prefix = re.sub(r"\W", "_", salt)
    return re.sub(r'(\bid="|href="#|url\(#)', lambda m: m.group() + prefix, svg)
