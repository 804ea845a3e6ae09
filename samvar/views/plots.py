"""What the plots that matplotlib draws have in common: RNA maps and logos."""

from __future__ import annotations

import io
import re
from typing import TYPE_CHECKING

from .. import files
from .scene import need_matplotlib

if TYPE_CHECKING:
    from matplotlib.figure import Figure

INK, FAINT = (
    "#123456",
    "#8a8f98",
)  # INK stands for the page's text colour, so that the figure follows light and dark
SITE = ("#2f7fc1", "#e07b00")  # acceptor, donor
RISES, FALLS = "#0072b2", "#c44e00"
ON_DARK = "#e6e8eb"  # the text colour where the ground is dark


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


def write(figure: Figure, path: str) -> None:
    """A figure as a file, PNG or else SVG, by the suffix of its name. An SVG has no ground, and its
    text follows light and dark."""
    if path.endswith(".png"):
        files.write(path, saved(figure, "png"))
        return
    text = saved(figure, "svg").decode().replace(INK, "currentColor")
    dark = f"@media (prefers-color-scheme: dark) {{ svg {{ color: {ON_DARK} }} }}"
    colours = f"<style>svg {{ color: {INK} }} {dark}</style>"
    files.write(path, text.replace("<defs>", f"{colours}\n <defs>", 1))


def own_ids(svg: str, salt: str) -> str:
    """Ids of a picture made unique within the page."""
    prefix = re.sub(r"\W", "_", salt)
    return re.sub(r'(\bid="|href="#|url\(#)', lambda m: m.group() + prefix, svg)
