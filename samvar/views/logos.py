"""What the fixed (FM) and the adjusted motif (AM) of an RBP select at equal density, and the
difference, as sequence logos (as in Figure 3 of the SAM paper)."""

from __future__ import annotations

import io
import os
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from html import escape
from typing import TYPE_CHECKING
from urllib.parse import quote

import numpy as np
import torch
from tqdm import tqdm

from .. import files
from ..errors import ContigMismatchError, SamvarError
from ..genomics.genes import Annotation, Gene
from ..genomics.genome import UNKNOWN, ContigNames, Genome, reverse_complement
from ..model.bottleneck import is_learnt
from ..model.bundle import LearntMotif
from ..model.sam import MOTIF_REACH, SAM, crop, one_hot
from ..scoring.knockout import channel_of
from ..scoring.predictor import Predictor
from . import plots
from .html import STYLE as PAGE_STYLE
from .plots import own_ids

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

WIDTH = 2 * MOTIF_REACH + 1  # bases around a site, its centre at index MOTIF_REACH
TILE = 8192
RANDOM_BASES = 100_000  # in which the sites of a listing are counted
FEW = 200  # sites below which a logo is mostly noise
LEAST = 0.008  # letters lower than this share of their panel are not drawn
COLOURS = dict(
    A="#009e73", C="#0072b2", G="#e69f00", T="#d55e00"
)  # Okabe and Ito's, which colour-blind readers can distinguish
ON_DARK = dict(A="#2fc79b", C="#56b4e9", G="#f0b83a", T="#f0794a")
GREY = "#7a808b"  # text that reads on light and on dark
COLUMNS = (
    "rbp",
    "sites",
    "density_percent",
    "density_exons_percent",
    "density_introns_percent",
    "shared_percent",
    "information_fm_bits",
    "information_am_bits",
    "distance_bits",
)


# --------------------------------------------------------------------------------------- collection


@dataclass(frozen=True)
class Premrna:
    """Genes end to end, in transcript orientation, `MOTIF_REACH` unknown bases at either end of
    each.

    codes   (n,) base codes
    usable  (n,) whether a site may lie here: the base and `MOTIF_REACH` more on either side are
            known
    exonic  (n,) whether in an exon of the chosen transcript
    """

    codes: np.ndarray
    usable: np.ndarray
    exonic: np.ndarray
    genes: int


@dataclass(frozen=True)
class Motif:
    """What an RBP's motifs select: as many FM as AM sites. A learnt motif has no fixed one.

    fm, am  (21, 4): counts of A C G T around the sites, in transcript orientation, the centre at
            index 10
    exonic  AM sites in exons; `shared` AM sites that are FM sites, too
    base    (4,): composition of the genes
    """

    rbp: str
    fm: np.ndarray
    am: np.ndarray
    exonic: int
    shared: int
    base: np.ndarray

    @property
    def sites(self) -> int:
        return int(self.am[0].sum())

    @property
    def has_both(self) -> bool:
        """Whether there are sites, and a fixed motif beside the adjusted one."""
        return self.sites > 0 and not is_learnt(self.rbp)

    @cached_property
    def difference(self) -> np.ndarray:
        """(21, 4): share among AM sites less share among FM sites."""
        return shares(self.am) - shares(self.fm)

    @cached_property
    def distance(self) -> float:
        """Jensen-Shannon divergence of FM and AM in bits, position by position and summed; nan
        without either."""
        fm, am = shares(self.fm), shares(self.am)
        middle = (fm + am) / 2
        return (
            float((relative_entropy(fm, middle) + relative_entropy(am, middle)).sum() / 2)
            if self.has_both
            else np.nan
        )

    def letters(self, which: str) -> np.ndarray:
        """(21, 4): heights of the letters of the logo "fm" or "am", which add up to the bits of
        each position."""
        p = shares(getattr(self, which))
        return p * relative_entropy(p, self.base)[:, None]

    def information(self, which: str) -> float:
        """Bits of the whole logo "fm" or "am"; nan without sites."""
        there = self.sites if which == "am" else self.has_both
        return float(self.letters(which).sum()) if there else np.nan


@dataclass(frozen=True)
class Logos:
    """Motifs over `positions` usable bases of `genes` genes, `exonic` of them in exons. `model`
    names the bundle; `learnt` as `Bundle.learnt`."""

    motifs: list[Motif]
    positions: int
    exonic: int
    genes: int
    model: str
    learnt: Mapping[str, LearntMotif]

    def density(self, motif: Motif) -> tuple[float, float, float]:
        """AM sites in percent of the positions: of all, of exons, of introns; nan where there are
        none."""
        sites = motif.sites, motif.exonic, motif.sites - motif.exonic
        places = self.positions, self.exonic, self.positions - self.exonic
        everywhere, exons, introns = (100 * s / n if n else np.nan for s, n in zip(sites, places))
        return everywhere, exons, introns


def shares(counts: np.ndarray) -> np.ndarray:
    """Counts (n, 4) -> shares of each position, 0 where nothing was counted."""
    return counts / np.maximum(counts.sum(-1, keepdims=True), 1)


def relative_entropy(p: np.ndarray, q: np.ndarray) -> np.ndarray:
    """Bits (n,) of p (n, 4) against q (4,) or (n, 4); 0 log 0 is 0."""
    ratio = np.divide(p, q, out=np.ones_like(p), where=p > 0)
    return np.maximum((p * np.log2(ratio)).sum(-1), 0)


def collect(
    genome: Genome,
    annotation: Annotation,
    predictor: Predictor,
    rbps: Iterable[str] = (),
    chroms: Iterable[str] = (),
    max_bases: int = 2_000_000,
) -> Logos:
    """FM and AM sites of `rbps` (none named: all motifs, learnt ones too), over the pre-mRNA of the
    genes on `chroms` (none named: all).

    Pre-mRNA is the extent of a gene's chosen transcript, everything around it unknown to the model;
    genes come in the annotation's order until `max_bases` positions are used. AM sites are those of
    the bundle's first seed; FM sites are as many positions, those with the highest affinity of its
    fixed motif, of equal ones the first.

    Raises SamvarError for a model without AM, an RBP that it does not have, and when no known
    sequence is left.
    """
    bundle = predictor.bundle
    if bundle.kind != "am":
        raise SamvarError(
            f"bundle {bundle.name}:{bundle.kind} has fixed motifs alone; give a model with "
            "adjusted ones, as --model default"
        )
    first = bundle.layout.motif_channels.start
    names = bundle.layout.motifs
    channels = [channel_of(predictor, name) - first for name in dict.fromkeys(rbps)] or range(
        len(names)
    )
    rna = premrna(genome, _selected(annotation, chroms), max_bases)
    if not rna.usable.any():
        raise ContigMismatchError(
            f"the genes hold no known sequence: FASTA {genome.name} and annotation "
            f"{annotation.name} must belong together, and the FASTA must have these chromosomes"
        )
    channel, position, affinity, adjusted = candidates(predictor.models[0], rna.codes, rna.usable)
    base = shares(np.bincount(rna.codes, minlength=5)[:4])
    motifs = []
    for c in channels:
        own = channel == c
        at, f = position[own], affinity[own]
        am = at[adjusted[own]]
        fm = at[np.argsort(-f, kind="stable")[: len(am) if c < len(bundle.rbps) else 0]]
        motifs.append(
            Motif(
                names[c],
                counts(rna.codes, fm),
                counts(rna.codes, am),
                int(rna.exonic[am].sum()),
                len(np.intersect1d(am, fm, assume_unique=True)),
                base,
            )
        )
    return Logos(
        motifs,
        int(rna.usable.sum()),
        int((rna.usable & rna.exonic).sum()),
        rna.genes,
        f"{bundle.name}, seed {bundle.seeds[0]}",
        bundle.learnt,
    )


def _selected(annotation: Annotation, chroms: Iterable[str]) -> list[Gene]:
    names = ContigNames(chroms)
    found = [g for g in annotation.genes if not names.names or names.find(g.origin or g.contig)]
    if not found:
        raise SamvarError(
            f"annotation {annotation.name} has no gene on {', '.join(sorted(names.names))}; "
            f"it has contigs such as {', '.join(sorted(annotation.contigs.names)[:5])}"
        )
    return found


def premrna(genome: Genome, genes: Iterable[Gene], max_bases: int) -> Premrna:
    """The genes that have usable positions, in order, until there are `max_bases` of these."""
    parts, used = [], 0
    for gene in genes:
        if used == max_bases:
            break
        contig, (start, end) = genome.contig(gene.contig), (gene.chosen.start, gene.chosen.end)
        if contig is None:
            continue
        codes, exonic = genome.codes(contig, start, end), np.zeros(end - start, bool)
        for first, last in gene.chosen.exons:
            exonic[first - start : last - start] = True
        if gene.strand == "-":
            codes, exonic = reverse_complement(codes), exonic[::-1]
        codes, exonic = (
            np.pad(codes, MOTIF_REACH, constant_values=UNKNOWN),
            np.pad(exonic, MOTIF_REACH),
        )
        unknown = np.cumsum(np.pad(codes == UNKNOWN, (1, 0)))
        usable = np.pad(unknown[WIDTH:] == unknown[:-WIDTH], MOTIF_REACH)
        usable &= np.cumsum(usable) <= max_bases - used
        if usable.any():
            parts.append((codes, usable, exonic))
            used += int(usable.sum())
    if not parts:
        return Premrna(np.zeros(0, np.uint8), np.zeros(0, bool), np.zeros(0, bool), 0)
    codes, usable, exonic = (np.concatenate(column) for column in zip(*parts))
    return Premrna(codes, usable, exonic, len(parts))


@torch.inference_mode()
def candidates(model: SAM, codes: np.ndarray, usable: np.ndarray) -> tuple[np.ndarray, ...]:
    """Channel, position, affinity and whether it is an AM site, of every usable position that an AM
    may select; of each channel in order of position. `codes` and `usable` (n,) as in `Premrna`; a
    position is an index into them.

    These are the positions of highest affinity of a channel, all above one threshold, and more than
    its AM sites: the best FM sites, as many as there are AM sites, are among them. Of a learnt
    motif they are its sites, of no affinity.
    """
    motifs, found = model.motifs, []
    starts = range(MOTIF_REACH, len(codes) - MOTIF_REACH, TILE)
    for start in tqdm(starts, disable=None, unit="tile", leave=False):
        end = min(start + TILE, len(codes) - MOTIF_REACH)
        if not usable[start:end].any():
            continue
        x = one_hot(torch.from_numpy(codes[None, start - MOTIF_REACH : end + MOTIF_REACH]))
        f = motifs.fixed(crop(x, MOTIF_REACH - 5, MOTIF_REACH - 5))
        candidate = motifs.pre(f, crop(x, MOTIF_REACH, MOTIF_REACH).sum(1, keepdim=True)) > 0
        adjusted = (motifs(x) > 0)[0].cpu().numpy()
        learnt = adjusted[len(f[0]) :]
        candidate = np.concatenate([candidate[0].cpu().numpy(), learnt])
        affinity = np.concatenate([f[0].cpu().numpy(), np.zeros(learnt.shape, np.float32)])
        channel, at = np.nonzero(candidate & usable[start:end])
        found.append((channel, start + at, affinity[channel, at], adjusted[channel, at]))
    return tuple(np.concatenate(column) for column in zip(*found))


def counts(codes: np.ndarray, positions: np.ndarray) -> np.ndarray:
    """(21, 4): how often A C G T stand around the positions, all known."""
    windows = np.lib.stride_tricks.sliding_window_view(codes, WIDTH)[positions - MOTIF_REACH]
    return np.stack([(windows == code).sum(0) for code in range(4)], 1)


# ------------------------------------------------------------------------------------------- output


def table(logos: Logos) -> list[str]:
    """Tab-separated lines with a header, a row for each RBP; unknown is "."."""
    return [
        "\t".join(COLUMNS),
        *("\t".join([m.rbp, str(m.sites), *_numbers(logos, m)]) for m in logos.motifs),
    ]


def _numbers(logos: Logos, m: Motif) -> list[str]:
    shared = 100 * m.shared / m.sites if m.has_both else np.nan
    values = [*logos.density(m), shared, m.information("fm"), m.information("am"), m.distance]
    return ["." if np.isnan(v) else f"{v:.{d}f}" for v, d in zip(values, (4, 4, 4, 1, 3, 3, 4))]


def listing(predictor: Predictor) -> list[str]:
    """Tab-separated lines with a header, a row for each RBP in the order of the alphabet: its
    number of PSAMs, of its sites per 100 random bases (the mean over the bundle's models), the
    proteins it stands for, and whether it has hardly any sites in genes."""
    codes = np.random.default_rng(0).integers(0, 4, RANDOM_BASES + 2 * MOTIF_REACH)
    bundle = predictor.bundle
    names = bundle.layout.motifs
    sites = np.zeros(len(names))
    with torch.inference_mode():
        for start in range(0, RANDOM_BASES, TILE):
            tile = codes[None, start : start + TILE + 2 * MOTIF_REACH].astype(np.uint8)
            x = one_hot(torch.from_numpy(tile))
            sites += sum((m.motifs(x) > 0)[0].sum(1).numpy() for m in predictor.models)
    sites *= 100 / RANDOM_BASES / len(predictor.models)
    psams = (predictor.models[0].motifs.fixed.mix > 0).sum(1).tolist()
    psams += [0] * (len(names) - len(psams))  # of learnt motifs
    lines = ["rbp\tpsams\tpercent_of_random_bases\tfamily\tremark"]
    for rbp, n, density in sorted(zip(names, psams, sites)):
        in_cells = bundle.in_vivo[rbp].text if rbp in bundle.in_vivo else ""
        looks = bundle.learnt[rbp].text if rbp in bundle.learnt else in_cells
        remark = "; ".join([looks] * bool(looks) + ["nearly silent"] * (rbp in bundle.silent))
        lines.append(f"{rbp}\t{n}\t{density:.4f}\t{bundle.families.get(rbp, rbp)}\t{remark}")
    return lines


def write(
    logos: Logos, table_file: str | None = None, svg: str | None = None, html: str | None = None
) -> None:
    """Write what is asked for, each file whole or not at all; `svg` is a folder, which gets a
    picture for each RBP."""
    if table_file:
        files.write(table_file, "\n".join([*table(logos), ""]))
    if svg:
        os.makedirs(svg, exist_ok=True)
        for motif in logos.motifs:
            picture = _svg(motif).replace(plots.INK, GREY)
            files.write(os.path.join(svg, f"{quote(motif.rbp, safe='')}.svg"), picture)
    if html:
        files.write(html, page(logos))


def style():
    """The context in which to draw. Raises SamvarError without logomaker or matplotlib."""
    try:
        import logomaker  # noqa: F401
    except ImportError as e:
        raise SamvarError(
            "drawing logos needs logomaker and matplotlib: pip install 'samvar[plot]'"
        ) from e
    return plots.style()


def draw(motif: Motif) -> Figure:
    """FM and AM on one scale, and AM - FM; of a learnt motif its own logo alone."""
    with style():
        from matplotlib.figure import Figure

        fixed, adjusted = motif.letters("fm"), motif.letters("am")
        tall = max(0.2, 1.1 * fixed.sum(1).max(), 1.1 * adjusted.sum(1).max())
        figure = Figure((10, 1.9), layout="constrained")
        fm, am, change = figure.subplots(1, 3)
        if is_learnt(motif.rbp):
            _logo(fm, adjusted, (0, tall), "bits")
            am.set_axis_off()
            change.set_axis_off()
            return figure
        deep = max(0.05, 1.1 * motif.difference.clip(0).sum(1).max())  # as much below zero as above
        _logo(fm, fixed, (0, tall), "FM (bits)")
        _logo(am, adjusted, (0, tall), "AM (bits)")
        _logo(change, motif.difference, (-deep, deep), "AM - FM (share)")
    return figure


def _logo(axes: Axes, values: np.ndarray, limits: tuple[float, float], label: str) -> None:
    places = np.arange(-MOTIF_REACH, MOTIF_REACH + 1)
    letters(axes, values, places, limits)
    axes.set_xticks([-10, -5, 0, 5, 10])
    axes.set_ylabel(label)


def letters(
    axes: Axes, values: np.ndarray, places: np.ndarray, limits: tuple[float, float]
) -> None:
    """Draw letters A C G T of these heights (n, 4) at their places (n,); those below zero hang."""
    import logomaker
    import pandas

    drawn = np.where(np.abs(values) < LEAST * (limits[1] - limits[0]), 0, values)
    if drawn.any():
        logomaker.Logo(
            pandas.DataFrame(drawn, index=places, columns=list("ACGT")),
            ax=axes,
            color_scheme=COLOURS,
            font_name="DejaVu Sans",
            flip_below=False,
            edgecolor="none",
            baseline_width=0,
        )
    axes.axhline(0, color=plots.FAINT, lw=0.6, zorder=-1)
    axes.set_xlim(places[0] - 0.7, places[-1] + 0.7)
    axes.set_ylim(limits)
    axes.spines[["top", "right", "bottom"]].set_visible(False)


def _svg(motif: Motif) -> str:
    """The drawing as one small <svg> element, its text in `plots.INK`, its ids unique to the
    RBP."""
    figure, out = draw(motif), io.BytesIO()
    with style():
        figure.savefig(out, format="svg", metadata={"Date": None}, transparent=True)
    text = out.getvalue().decode()
    text = text[text.index("<svg") :].replace("\n", "")
    for pattern, shorter in (
        (r"<metadata>.*?</metadata>", ""),
        (r">\s+<", "><"),
        (r'<g id="[^"]*">', "<g>"),
        (r' clip-path="[^"]*"', ""),
        (r"(\.\d\d)\d+(?=[^<>]*>)", r"\1"),
    ):
        text = re.sub(pattern, shorter, text)
    return own_ids(text, _anchor(motif))


LIGHT, DARK = (
    "; ".join(f"--{base}: {c}" for base, c in some.items()) for some in (COLOURS, ON_DARK)
)
STYLE = (
    PAGE_STYLE
    + f"""
:root {{ {LIGHT} }}
@media (prefers-color-scheme: dark) {{ :root {{ {DARK} }} }}
@media print {{ :root {{ {LIGHT} }} }}
section {{ border-top: 1px solid var(--line); break-inside: avoid; margin-top: 1.5rem }}
a {{ color: inherit }}
td.n, th.n {{ text-align: right }}
"""
)

HEADS = (
    "RBP",
    "sites",
    "density %",
    "in exons %",
    "in introns %",
    "shared %",
    "FM bits",
    "AM bits",
    "distance",
)


def page(logos: Logos) -> str:
    """One self-contained HTML page, light and dark, that prints: a card for each RBP, those that
    differ most first, those with few sites last."""
    order = sorted(
        logos.motifs, key=lambda m: (m.sites < FEW, -m.distance if m.has_both else 1, m.rbp)
    )
    rows = "".join(_row(logos, m) for m in order)
    heads = "".join(
        f'<th class="n">{h}</th>' if i else f"<th>{h}</th>" for i, h in enumerate(HEADS)
    )
    cards = "\n".join(_card(logos, m) for m in order)
    return f"""<!DOCTYPE html>
<html lang="en"><head><meta charset="utf-8" /><title>samvar: motifs of {escape(logos.model)}</title>
<meta name="viewport" content="width=device-width, initial-scale=1" /><style>{STYLE}</style></head>
<body><h1>Fixed and adjusted motifs</h1>
<p>Model {escape(logos.model)}; {logos.positions:,} bases of {logos.genes} genes, of which
{logos.exonic:,} in exons. The adjusted motif (AM) is what the model uses; the fixed motif (FM) is
shown at as many sites, those of highest affinity.</p>
<p class="note">Logos: information against the base composition of the same genes, centre of the
site at 0, from 5' to 3' of the transcript; AM - FM: difference of the shares of each base. Density:
AM sites per 100 bases. Shared: AM sites that are FM sites, too. Bits: information of the whole
logo. Distance: Jensen-Shannon divergence of FM and AM in bits, summed over the positions. A learnt
motif (MOTIF_01, ...) has no protein and no FM. With less
than {FEW} sites (*) logos and distances are mostly noise: these RBPs come last.</p>
<div class="scroll"><table><thead><tr>{heads}</tr></thead><tbody>{rows}</tbody></table></div>
{cards}
</body></html>
"""


def _anchor(motif: Motif) -> str:
    return "rbp-" + re.sub(r"\W", "_", motif.rbp)


def _row(logos: Logos, m: Motif) -> str:
    few = "*" if m.sites < FEW else ""
    cells = "".join(f'<td class="n">{n}</td>' for n in (f"{m.sites:,}{few}", *_numbers(logos, m)))
    return f'<tr><td><a href="#{_anchor(m)}">{escape(m.rbp)}</a></td>{cells}</tr>'


def _card(logos: Logos, m: Motif) -> str:
    density, exons, introns, shared, fm, am, distance = _numbers(logos, m)
    svg = _svg(m).replace(plots.INK, "var(--ink)").replace(plots.FAINT, "var(--faint)")
    for base, colour in COLOURS.items():
        svg = svg.replace(colour, f"var(--{base})")
    few = ", few" if m.sites < FEW else ""
    sites = f"{m.sites:,} sites{few} ({density} % of bases; exons {exons} %, introns {introns} %)"
    if is_learnt(m.rbp):
        looks = f"; {escape(logos.learnt[m.rbp].text)}" if m.rbp in logos.learnt else ""
        told = f"{sites}, {am} bits{looks}"
    else:
        told = f"distance {distance} bits; {sites}, {shared} % shared; FM {fm} bits, AM {am} bits"
    return (
        f'<section id="{_anchor(m)}"><h2>{escape(m.rbp)}</h2><p class="note">{told}</p>'
        f'<figure class="scroll"><div class="frame">{svg}</div></figure></section>'
    )
