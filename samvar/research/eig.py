"""Enhanced integrated gradients of a splice site: which core and motif sites, and which bases, make
the model call a base a splice site, and not one of the gene's strong decoys?

Jha et al., Genome Biology 21:149 (2020), with the bottleneck as latent space. Every way from a
baseline to the site is a chain of straight legs in the bottleneck: one leg; legs through the
nearest decoys; or legs between what the model detects in mixtures of both sequences. Along each leg
gradients are integrated (Sundararajan et al., ICML 2017), at more points until their sum is the
change of the prediction, so that

    prediction of the site = mean prediction of the baselines + sum of the attributions + residual
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from tqdm import tqdm

from ..annotate import genes_over
from ..errors import SamvarError
from ..genomics.genes import Annotation, Gene
from ..genomics.genome import UNKNOWN, Genome, decode
from ..genomics.window import Window
from ..model.bottleneck import Layout
from ..model.sam import DETECT_REACH, crop, one_hot, stack_reach
from ..scoring.arrays import Floats
from ..scoring.attribution import SAME
from ..scoring.knockout import KINDS, SEEN, region_window
from ..scoring.predictor import Predictor
from ..scoring.tiles import Reference, States
from .baselines import Point, chosen, way_of_neighbours

PATHS = ("bottleneck", "neighbours", "sequence")
SCALES = ("log-odds", "probability")
COMPLETE = 1e-3  # legs are halved until the parts sum to the whole as near as this,
ROUGHLY = 0.02  # ... or as this share of the change,
HALVINGS = 7  # ... or so often
MIXTURES = 8  # legs of the way through the sequences
MOST_DECOYS = 30
AROUND = 10_000  # bases on either side of the site that decoys are looked for in
LEAST = 1e-7  # probability that log-odds are taken of

Output = Callable[[torch.Tensor], torch.Tensor]  # bottlenecks (B, S, C, W) -> (B,)


class Target(NamedTuple):
    """A base (0-based; the FASTA's contig) that is explained as an acceptor (0) or donor (1)."""

    gene: Gene
    contig: str
    position: int
    kind: int


@dataclass(frozen=True, eq=False)
class Explained:
    """Why a base is a splice site, over the mean of baselines and seeds; columns in transcript
    orientation, the base itself in the middle.

    output, baseline  the prediction, and its mean over the baselines
    baselines         names of these
    attribution       (C, W): of each entry of the bottleneck
    agree             (C, W): share of the baselines by which it has that sign
    site, other       (C, W): the entries of the base, and their mean over the baselines
    bases             (2 B + 1,): what of the sites' attributions hangs on each base nearby
    sequence          the W bases
    """

    target: Target
    layout: Layout
    output: float
    baseline: float
    baselines: tuple[str, ...]
    attribution: Floats
    agree: Floats
    site: Floats
    other: Floats
    bases: Floats
    sequence: str

    @property
    def residual(self) -> float:
        """What of the difference no attribution accounts for."""
        return self.output - self.baseline - float(self.attribution.sum())

    @property
    def complete(self) -> bool:
        """Whether the attributions sum to the difference, but for what integrals may leave."""
        return abs(self.residual) <= 1.01 * max(
            COMPLETE, ROUGHLY * abs(self.output - self.baseline)
        )

    def position(self, column: int) -> int:
        """0-based, of a column."""
        offset = column - len(self.sequence) // 2
        return self.target.position + (offset if self.target.gene.strand == "+" else -offset)


# ---------------------------------------------------------------------------------------- the bases


def base_targets(
    genome: Genome,
    annotation: Annotation,
    predictor: Predictor,
    contig: str,
    position: int,
    kind: int | None = None,
) -> list[Target]:
    """A base (0-based, the FASTA's contig) as an acceptor (0) or donor (1): as the `kind` that is
    asked for in each of its genes; else as what it is annotated in any; else as the more likely one
    in each. Raises SamvarError where there is nothing to explain."""
    where = f"{contig}:{position + 1:,}"
    if genome.codes(contig, position, position + 1)[0] == UNKNOWN:
        raise SamvarError(f"the base at {where} is unknown (N) in {genome.path}")
    genes = genes_over(genome, annotation, contig, position, position + 1)
    if not genes:
        raise SamvarError(f"there is no gene at {where}: give a base of a gene of the annotation")
    annotated = [Target(g, contig, position, k) for g in genes for k in _as_annotated(g, position)]
    if kind is not None:
        return [Target(gene, contig, position, kind) for gene in genes]
    if annotated:
        return annotated
    likely = [_more_likely(genome, predictor, gene, contig, position) for gene in genes]
    return [Target(gene, contig, position, k) for gene, k in zip(genes, likely)]


def _as_annotated(gene: Gene, position: int) -> list[int]:
    return [k for k, sites in enumerate(gene.sites()) if position in sites]


def _more_likely(
    genome: Genome, predictor: Predictor, gene: Gene, contig: str, position: int
) -> int:
    window = region_window(genome, gene, contig, position, position + 1, predictor)
    u = point_of(predictor, window, position).bottleneck
    values = [_value(output_of(predictor, kind, "probability"), u) for kind in (0, 1)]
    return int(np.argmax(values))


def exon_targets(
    genome: Genome,
    annotation: Annotation,
    contig: str,
    exon: tuple[int, int],
    name: str,
    kind: int | None = None,
) -> list[Target]:
    """The splice sites, or those of a `kind`, of an exon [start, end) of a gene's chosen
    transcript. `name` begins with the gene's symbol or id. Raises SamvarError where it has none."""
    start, end = exon
    found, genes = [], genes_over(genome, annotation, contig, start, end)
    for gene in genes:
        if exon not in tuple(gene.chosen.exons) or not name.startswith((gene.symbol, gene.id)):
            continue
        ends = (start, end - 1) if gene.strand == "+" else (end - 1, start)
        sites = gene.sites((gene.chosen,))
        found += [Target(gene, contig, at, k) for k, at in enumerate(ends) if at in sites[k]]
    found = [target for target in found if kind in (None, target.kind)]
    if not found:
        what = "splice site" if kind is None else KINDS[kind]
        raise SamvarError(f"{name} has no {what}: it is the first or last exon, or the only one")
    return found


# ------------------------------------------------------------------------------ what the model says


def output_of(predictor: Predictor, kind: int, scale: str) -> Output:
    """What the models say of the base in the middle, differentiable: probability or log-odds of an
    acceptor (0) or donor (1), as `annotate` has them, mean of the seeds."""
    flank = predictor.bundle.flank

    def output(bottlenecks: torch.Tensor) -> torch.Tensor:
        of_seeds = bottlenecks.unbind(1)
        pairs = zip(predictor.references, of_seeds)
        p = torch.stack([_probability(reference, u, flank)[:, kind] for reference, u in pairs])
        if scale == "log-odds":
            p = p.clamp(LEAST, 1 - LEAST)
            p = torch.log(p) - torch.log1p(-p)
        return p.mean(0)

    return output


def _probability(reference: Reference, u: torch.Tensor, flank: int) -> torch.Tensor:
    """(B, C, W) -> (B, 2): acceptor and donor, of the base in the middle."""
    config, aggregator = reference.model.config, reference.model.aggregator
    gated = stack_reach(config.stack_widths) + config.attention_reach
    read = config.aggregate_reach + flank - config.attention_reach
    sites = aggregator.embed(*reference.layout.split(u))
    g = aggregator.gate(aggregator.first(sites), crop(sites, gated, gated))
    near = crop(u, read, read)
    return reference.read(States(aggregator.second(g)), near, everywhere=True)[..., 0]


def half_width(predictor: Predictor) -> int:
    """Columns of the bottleneck on either side of a base that it depends on."""
    return predictor.bundle.flank + predictor.models[0].config.aggregate_reach


def point_of(predictor: Predictor, window: Window, position: int) -> Point:
    """A base (0-based) with what lies around it. `window`: any of its gene."""
    at, half, (before, after) = _flipped(window, position), half_width(predictor), DETECT_REACH
    name = f"{window.variant.contig}:{position + 1}"
    codes = window.gene_codes(at - half - before, at + half + 1 + after)
    columns = at - half, at + half + 1
    found = [r.get(window, "bottleneck", *columns)[0] for r in predictor.references]
    return Point(name, one_hot(torch.from_numpy(codes[None]))[0], torch.stack(found).contiguous())


def empty_point(predictor: Predictor) -> Point:
    """Unknown bases: no site at all."""
    half = half_width(predictor)
    columns = 2 * half + 1
    like = next(predictor.models[0].parameters())
    empty = predictor.bundle.layout.empty_column(like).expand(-1, columns)
    sequence = torch.zeros(4, columns + sum(DETECT_REACH))
    return Point("no site", sequence, torch.stack([empty] * len(predictor.references)))


def decoys(predictor: Predictor, window: Window, target: Target) -> list[Point]:
    """The gene's decoys within AROUND bases: the MOST_DECOYS with the best core scores that are no
    annotated sites, but for those that the model calls one (SEEN)."""
    gene, kind = target.gene, target.kind
    start, end = max(target.position - AROUND, gene.start), min(target.position + AROUND, gene.end)
    first, last = sorted((_flipped(window, start), _flipped(window, end - 1)))
    cores = [
        r.get(window, "bottleneck", first, last + 1)[0, kind].numpy() for r in predictor.references
    ]
    core = window.to_genome(np.mean(cores, 0))
    possible = np.flatnonzero(core > predictor.bundle.layout.empty(kind))
    ranked = [start + int(i) for i in possible[np.argsort(-core[possible], kind="stable")]]
    sites = gene.sites()[kind] | {target.position}
    wanted = [p for p in ranked if p not in sites][:MOST_DECOYS]
    found = [point_of(predictor, window, p) for p in wanted]
    probability = output_of(predictor, kind, "probability")
    return [p for p in found if _value(probability, p.bottleneck) < SEEN]


def _flipped(window: Window, position: int) -> int:
    """A position (0-based), counted from the gene's first base in transcript orientation."""
    gene = window.gene
    return window.flipped(position - gene.start, gene.end - gene.start)


@torch.no_grad()
def _value(output: Output, bottleneck: torch.Tensor) -> float:
    return float(output(bottleneck[None])[0])


# ---------------------------------------------------------------------------------------- integrals


class Node(NamedTuple):
    """A bottleneck (S, C, W) on the way, the output there, and its gradient."""

    bottleneck: torch.Tensor
    value: float
    gradient: torch.Tensor

    @classmethod
    def at(cls, output: Output, bottleneck: torch.Tensor) -> Node:
        u = bottleneck.detach().clone().requires_grad_()
        value = output(u[None])[0]
        (gradient,) = torch.autograd.grad(value, u)
        return cls(bottleneck, float(value.detach()), gradient)


def integrated(output: Output, points: Sequence[torch.Tensor]) -> torch.Tensor:
    """(S, C, W): what each entry contributes to the change of the output on the way through the
    points, each (S, C, W). The contributions sum to it within COMPLETE or ROUGHLY, or come as near
    as legs halved so often do."""
    nodes = [Node.at(output, p) for p in points]
    whole = nodes[-1].value - nodes[0].value
    near = max(COMPLETE, ROUGHLY * abs(whole)) / (len(points) - 1)
    legs = [_leg(output, *ends, near, HALVINGS) for ends in zip(nodes, nodes[1:])]
    return torch.stack(legs).sum(0)


def _leg(output: Output, start: Node, end: Node, near: float, halvings: int) -> torch.Tensor:
    """(S, C, W): contributions along a straight leg by Simpson's rule, of either half where their
    sum is not `near` enough."""
    middle = Node.at(output, (start.bottleneck + end.bottleneck) / 2)
    gradient = (start.gradient + 4 * middle.gradient + end.gradient) / 6
    effects = gradient * (end.bottleneck - start.bottleneck)
    missing = end.value - start.value - float(effects.double().sum())
    if abs(missing) <= near or not halvings:
        return effects
    first = _leg(output, start, middle, near / 2, halvings - 1)
    return first + _leg(output, middle, end, near / 2, halvings - 1)


@torch.no_grad()
def way(
    path: str, predictor: Predictor, baseline: Point, site: Point, between: Sequence[Point]
) -> list[torch.Tensor]:
    """The bottlenecks (S, C, W) on one of the PATHS from a baseline to a site."""
    if path == "neighbours":
        points = [baseline, *(p for p in between if p is not baseline), site]
        order = way_of_neighbours(np.stack([p.vector for p in points]))
        return [points[i].bottleneck for i in order]
    if path == "sequence":
        share = torch.linspace(0, 1, MIXTURES + 1).view(-1, 1, 1)
        mixed = baseline.sequence + share * (site.sequence - baseline.sequence)
        layout = predictor.bundle.layout
        seeds = [layout.join(model.detect(mixed)) for model in predictor.models]
        return list(torch.stack(seeds, 1))
    return [baseline.bottleneck, site.bottleneck]


# -------------------------------------------------------------------------------------------- bases


@torch.no_grad()
def of_bases(predictor: Predictor, site: Point, attribution: torch.Tensor, around: int) -> Floats:
    """(2 around + 1,): the attributions (S, C, W) of the sites that there are, each divided among
    its bases by how much of it changes when one of them is hidden."""
    before, after = DETECT_REACH
    layout, width = predictor.bundle.layout, before + after
    bases = torch.arange(-around - width, around + width + 1) + site.bottleneck.shape[-1] // 2
    bases += 2 * width  # what lies around the site is padded with as many unknown bases
    sequence = F.pad(site.sequence, (2 * width, 2 * width))  # its base i + before is column i
    hidden = sequence[:, bases[:, None] + before + torch.arange(-width, width + 1)]
    hidden = hidden.transpose(0, 1).clone()  # (bases, 4, 2 width + 1)
    hidden[..., width] = 0
    reached = bases[:, None] + torch.arange(-after, before + 1)  # columns that a base is part of
    empty = layout.empty_column(site.bottleneck).expand(-1, 2 * width)
    total = np.zeros(len(bases))
    for model, u, own in zip(predictor.models, site.bottleneck, attribution):
        u, own = torch.cat((empty, u, empty), 1), F.pad(own, (2 * width, 2 * width))
        lost = (u[:, reached].transpose(0, 1) - layout.join(model.detect(hidden))).abs()
        lost[lost <= SAME] = 0
        of_all = torch.zeros_like(u)
        for row, columns in zip(lost, reached):
            of_all[:, columns] += row
        share = torch.where(u == empty[:, :1], 0, own / of_all.clamp(min=SAME))
        total += (lost * share[:, reached].transpose(0, 1)).sum((1, 2)).double().numpy()
    return total[width : len(total) - width]


# ------------------------------------------------------------------------------------------- a base


def _integrals(
    predictor: Predictor, output: Output, ways: Sequence[list[torch.Tensor]]
) -> list[torch.Tensor]:
    """`integrated` of each way, on the workers; an interrupted run does not wait for them."""
    interrupted = threading.Event()

    def unless_interrupted(bottlenecks: torch.Tensor) -> torch.Tensor:
        if interrupted.is_set():
            raise InterruptedError
        return output(bottlenecks)

    found = predictor.map(lambda way: integrated(unless_interrupted, way), ways)
    try:
        return list(tqdm(found, total=len(ways), disable=None, unit="baseline"))
    except BaseException:
        interrupted.set()
        raise


def explain(
    genome: Genome,
    predictor: Predictor,
    target: Target,
    kind: str,
    path: str,
    scale: str,
    n: int,
    around: int,
    seed: int,
) -> Explained:
    """A base explained against at most n baselines of a kind of BASELINES, on one of the PATHS, on
    one of the SCALES. Raises SamvarError where the gene has no decoys."""
    gene, at = target.gene, target.position
    window = region_window(genome, gene, target.contig, at, at + 1, predictor)
    site = point_of(predictor, window, at)
    output = output_of(predictor, target.kind, scale)
    none = kind == "encoded-zero"
    known = [] if none and path != "neighbours" else decoys(predictor, window, target)
    if not (none or known):
        raise SamvarError(
            f"{gene.symbol} has no {KINDS[target.kind]} decoy near {site.name} to hold it against: "
            "give --baseline encoded-zero"
        )
    rng = np.random.default_rng(seed)
    baselines = [empty_point(predictor)] if none else chosen(kind, known, site, n, rng)
    ways = [way(path, predictor, baseline, site, known) for baseline in baselines]
    each = torch.stack(_integrals(predictor, output, ways))  # (B, S, C, W)
    of_baselines = each.sum(1).double().numpy()
    mean = of_baselines.mean(0)
    middle, half = _flipped(window, at), half_width(predictor)
    return Explained(
        target,
        predictor.bundle.layout,
        _value(output, site.bottleneck),
        float(np.mean([_value(output, points[0]) for points in ways])),
        tuple(b.name for b in baselines),
        mean,
        (np.sign(of_baselines) == np.sign(mean)).mean(0),
        site.bottleneck.mean(0).double().numpy(),
        torch.stack([points[0] for points in ways]).mean((0, 1)).double().numpy(),
        of_bases(predictor, site, each.mean(0), min(around, half)),
        decode(window.gene_codes(middle - half, middle + half + 1)),
    )


# -------------------------------------------------------------------------------------------- table


COLUMNS = (
    "CHROM", "SITE", "SITE_POS", "STRAND", "SYMBOL", "ROW", "NAME", "POS", "OFFSET", "SEQUENCE",
    "VALUE", "BASELINE", "ATTRIBUTION", "AGREE",
)  # fmt: skip


def strongest(found: Explained, most: int) -> list[tuple[int, int]]:
    """(channel, column) of the `most` entries with the largest attributions that show in four
    decimals."""
    size = np.abs(found.attribution)
    order = np.argsort(-size, axis=None, kind="stable")[:most]
    places = [divmod(int(i), size.shape[1]) for i in order]
    return [place for place in places if round(size[place], 4) > 0]


def rows(found: Explained, most: int) -> Iterator[tuple[str, ...]]:
    """Rows of the table: the prediction and its mean over the baselines; the strongest core and
    motif sites, the sum of the others, the residual; the bases."""
    target = found.target
    start = (
        target.contig, KINDS[target.kind], str(target.position + 1), target.gene.strand,
        target.gene.symbol,
    )  # fmt: skip
    middle = len(found.sequence) // 2

    def total(row: str, value: float, name: str = ".") -> tuple[str, ...]:
        return (*start, row, name, *["."] * 5, _number(value), ".")

    yield total("output", found.output)
    yield total("baseline", found.baseline, ",".join(found.baselines))
    shown = strongest(found, most)
    for channel, column in shown:
        yield (
            *start,
            "core" if channel in found.layout.core_channels else "motif",
            found.layout.names[channel],
            str(found.position(column) + 1),
            str(column - middle),
            found.sequence[max(column - 5, 0) : column + 6],
            f"{found.site[channel, column]:.3f}",
            f"{found.other[channel, column]:.3f}",
            _number(found.attribution[channel, column]),
            f"{found.agree[channel, column]:.2f}",
        )
    yield total("other", found.attribution.sum() - sum(found.attribution[s] for s in shown))
    yield total("residual", found.residual)
    around = len(found.bases) // 2
    for offset, value in zip(range(-around, around + 1), found.bases):
        base = found.sequence[middle + offset]
        place = str(found.position(middle + offset) + 1), str(offset)
        yield (*start, "base", base, *place, *["."] * 3, _number(value), ".")


def _number(value: float) -> str:
    text = f"{value:.4f}"
    return text if float(text) else text.removeprefix("-")
