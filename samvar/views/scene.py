"""Drawings: a few kinds of shapes at places in pixels, written as SVG, or by matplotlib as PNG or
PDF. Colours are roles, so that a page can give each another value for light, dark and print."""

from __future__ import annotations

import io
from dataclasses import dataclass, field
from html import escape
from typing import NamedTuple

from ..errors import SamvarError

PER_INCH = 96  # pixels, as in CSS
COLOURS = {  # of a picture that stands alone, on white; safe for colour-blind readers (Okabe & Ito)
    "ink": "#1c2430",
    "faint": "#5f6876",
    "line": "#cfd5dd",
    "paper": "#ffffff",
    "raises": "#0072b2",
    "lowers": "#c44e00",
    "change": "#f8f1d6",
    "exon": "#aab4c2",
}
SANS = "Helvetica, Arial, 'DejaVu Sans', sans-serif"
MONO = "'DejaVu Sans Mono', Menlo, Consolas, monospace"
FORMS = ("svg", "png", "pdf")

Point = tuple[float, float]


class Shape(NamedTuple):
    """A line through points, or a filled area where `fill` is a role, of this `opacity`; curved:
    two ends and the two points between them that a cubic curve is drawn to."""

    points: tuple[Point, ...]
    stroke: str = ""
    fill: str = ""
    width: float = 1.0
    dashed: bool = False
    curved: bool = False
    name: str = ""
    tip: str = ""
    opacity: float = 1.0


class Text(NamedTuple):
    """Text on its base line at a point. `anchor`: which end of it stands there; `turned`: it reads
    upward."""

    x: float
    y: float
    text: str
    size: float = 10
    anchor: str = "start"
    colour: str = "ink"
    bold: bool = False
    turned: bool = False
    name: str = ""


class Letters(NamedTuple):
    """Letters of equal width, each with its middle at its own x."""

    xs: tuple[float, ...]
    y: float
    text: str
    size: float
    colour: str = "ink"
    name: str = ""


@dataclass
class Scene:
    """What is drawn, in order, on `width` x `height` pixels; y runs downward. `focus`: x of what is
    to be seen first where not all is; `titles`: right and lower end of where the rows' titles are,
    which should stay in sight."""

    width: float
    height: float = 0.0
    items: list[Shape | Text | Letters] = field(default_factory=list)
    focus: float | None = None
    titles: Point = (0.0, 0.0)

    def line(self, *points: Point, colour: str = "ink", **more) -> None:
        self.items.append(Shape(points, stroke=colour, **more))

    def area(self, *points: Point, colour: str, **more) -> None:
        self.items.append(Shape(points, fill=colour, **more))

    def box(self, x: float, y: float, width: float, height: float, colour: str, **more) -> None:
        right, below = x + width, y + height
        self.area((x, y), (right, y), (right, below), (x, below), colour=colour, **more)

    def text(self, x: float, y: float, text: str, **more) -> None:
        self.items.append(Text(x, y, text, **more))

    def scaled(self, by: float) -> Scene:
        """The same, so many times as large."""
        return Scene(self.width * by, self.height * by, [_scaled(item, by) for item in self.items])


def _scaled(item: Shape | Text | Letters, by: float) -> Shape | Text | Letters:
    if isinstance(item, Shape):
        points = tuple((x * by, y * by) for x, y in item.points)
        return item._replace(points=points, width=item.width * by)
    item = item._replace(y=item.y * by, size=item.size * by)
    if isinstance(item, Letters):
        return item._replace(xs=tuple(x * by for x in item.xs))
    return item._replace(x=item.x * by)


def text_width(text: str, size: float, bold: bool = False) -> float:
    """Pixels that a text takes in the widest of the fonts it may be shown in."""
    return size * sum(map(_em, text)) * (1.08 if bold else 1.0)


def _em(letter: str) -> float:
    """Width of a letter in DejaVu Sans, or a little more."""
    if letter in "iljtfI.,:;|'()[] /-":
        return 0.4
    if letter in "mW%@":
        return 1.0
    if letter in "wM→▲▼+=<>~^#×−&":
        return 0.87
    return 0.79 if letter.isupper() else 0.64


def wrapped(text: str, size: float, width: float, bold: bool = False) -> list[str]:
    """Lines of a text, each at most `width` pixels; a word that is longer is cut."""
    lines = [""]
    for word in text.split(" "):
        while text_width(word, size, bold) > width:
            fits = next(
                n for n in range(len(word), 0, -1) if text_width(word[:n], size, bold) <= width
            )
            lines += [word[:fits]] if lines[-1] else []
            lines[-1], word = word[:fits], word[fits:]
            lines.append("")
        longer = f"{lines[-1]} {word}" if lines[-1] else word
        if text_width(longer, size, bold) <= width:
            lines[-1] = longer
        else:
            lines.append(word)
    return lines


# ------------------------------------------------------------------------------------------- as SVG


def svg(scene: Scene, on_page: bool = False, label: str = "") -> str:
    """The scene as an SVG element. On a page its colours are the page's (`--ink` and so on) and it
    has no ground; else it is a picture of its own, on paper."""
    width, height = _number(scene.width), _number(scene.height)
    size = "" if on_page else f' width="{width}" height="{height}"'
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg"{size} viewBox="0 0 {width} {height}" '
        f'role="img" aria-label="{escape(label)}" font-family="{SANS}">'
    ]
    if not on_page:
        parts.append(f'<rect width="100%" height="100%" fill="{COLOURS["paper"]}"/>')
    parts += [_element(item, on_page) for item in scene.items]
    return "\n".join([*parts, "</svg>"])


def _element(item: Shape | Text | Letters, on_page: bool) -> str:
    def colour(role: str) -> str:
        return (f"var(--{role})" if on_page else COLOURS[role]) if role else "none"

    name = f' class="{item.name}"' if item.name else ""
    if isinstance(item, Letters):
        xs = " ".join(map(_number, item.xs))
        return (
            f'<text{name} x="{xs}" y="{_number(item.y)}" font-size="{_number(item.size)}" '
            f'font-family="{MONO}" text-anchor="middle" fill="{colour(item.colour)}">'
            f"{escape(item.text)}</text>"
        )
    if isinstance(item, Text):
        x, y = _number(item.x), _number(item.y)
        more = ' font-weight="bold"' if item.bold else ""
        more += f' transform="rotate(-90 {x} {y})"' if item.turned else ""
        more += f' text-anchor="{item.anchor}"' if item.anchor != "start" else ""
        return (
            f'<text{name} x="{x}" y="{y}" font-size="{_number(item.size)}"{more} '
            f'fill="{colour(item.colour)}">{escape(item.text)}</text>'
        )
    places = [f"{_number(x)} {_number(y)}" for x, y in item.points]
    if item.curved:
        d = f"M{places[0]}C{' '.join(places[1:])}"
    else:
        d = f"M{'L'.join(places)}" + "Z" * bool(item.fill)
    dash = ' stroke-dasharray="3 2"' if item.dashed else ""
    stroke = (
        f' stroke="{colour(item.stroke)}" stroke-width="{_number(item.width)}"{dash}'
        if item.stroke
        else ""
    )
    faint = f' fill-opacity="{item.opacity:.3f}"' if item.opacity < 1 else ""
    tip = f"<title>{escape(item.tip)}</title>" if item.tip else ""
    return f'<path{name} d="{d}" fill="{colour(item.fill)}"{faint}{stroke}>{tip}</path>'


def _number(value: float) -> str:
    return f"{value:.1f}".removesuffix(".0")


# ------------------------------------------------------------------------------------ by matplotlib


def need_matplotlib() -> None:
    """Raises SamvarError where it is not installed."""
    try:
        import matplotlib  # noqa: F401
    except ImportError as e:
        raise SamvarError("drawing needs matplotlib: pip install 'samvar[plot]'") from e


def picture(scene: Scene, form: str, dpi: int) -> bytes:
    """The scene as the content of a PNG or PDF file. Raises SamvarError without matplotlib."""
    need_matplotlib()
    from matplotlib import rc_context
    from matplotlib.figure import Figure

    with rc_context({"font.family": "sans-serif", "pdf.fonttype": 42}):
        figure = Figure((scene.width / PER_INCH, scene.height / PER_INCH), facecolor="white")
        axes = figure.add_axes((0, 0, 1, 1))
        axes.set_axis_off()
        axes.set_xlim(0, scene.width)
        axes.set_ylim(scene.height, 0)
        for order, item in enumerate(scene.items):
            _draw(axes, item, order)
        out = io.BytesIO()
        dates = {"CreationDate": None} if form == "pdf" else None
        figure.savefig(out, format=form, dpi=dpi, metadata=dates)
    return out.getvalue()


def _draw(axes, item: Shape | Text | Letters, order: int) -> None:
    from matplotlib.patches import PathPatch
    from matplotlib.path import Path

    points = 72 / PER_INCH  # in a pixel
    if isinstance(item, Shape):
        codes = [Path.MOVETO, *[Path.CURVE4 if item.curved else Path.LINETO] * (len(item.points))]
        corners = [*item.points, item.points[0]] if item.fill else list(item.points)
        axes.add_patch(
            PathPatch(
                Path(corners, codes[: len(corners)]),
                facecolor=(COLOURS[item.fill], item.opacity) if item.fill else "none",
                edgecolor=COLOURS[item.stroke] if item.stroke else "none",
                linewidth=item.width * points if item.stroke else 0,
                linestyle=(0, (3, 2)) if item.dashed else "-",
                capstyle="butt",
                zorder=order,
            )
        )
        return
    style = dict(color=COLOURS[item.colour], fontsize=item.size * points, zorder=order)
    if isinstance(item, Letters):
        for x, letter in zip(item.xs, item.text):
            axes.text(x, item.y, letter, ha="center", va="baseline", family="monospace", **style)
        return
    axes.text(
        item.x,
        item.y,
        item.text,
        ha={"start": "left", "middle": "center", "end": "right"}[item.anchor],
        va="baseline",
        rotation=90 if item.turned else 0,
        rotation_mode="anchor",
        weight="bold" if item.bold else "normal",
        **style,
    )
