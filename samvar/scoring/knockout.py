"""In-silico knock-out: what splice sites would be without an RBP's motif sites, all of them or one
at a time."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from itertools import islice
from typing import NamedTuple, TypeVar

import numpy as np
import torch
from tqdm import tqdm

from ..errors import SamvarError
from ..formats.regions import Regions
from ..genomics.genes import Gene
from ..genomics.genome import UNKNOWN, Genome
from ..genomics.variant import Variant
from ..genomics.window import Window, make_window
from ..model.bottleneck import Entry, Layout
from .arrays import Floats, Ints
from .predictor import Predictor
from .tiles import Detected, Haplotype, haplotype

T = TypeVar("T")

KINDS = ("acceptor", "donor")
SEEN = 0.1  # probability from which a site is listed
BATCH = 16
STEP = 1000  # bases of a gene looked at together
AROUND = 200, 50  # bases of the intron and of the exon that an RNA map shows
BIN = 10
CHUNK = 64  # windows handed to the workers together


@dataclass(frozen=True)
class EditableAllele:
    """One allele's compared positions, to be edited: means of the seeds, in genome order.

    detected     of each seed the allele, and the bottleneck of all its compared positions and more
    bottleneck   (C, n): as `layout` has it
    probability  (2, n): acceptor, donor
    """

    window: Window
    layout: Layout
    detected: tuple[Detected, ...]
    bottleneck: Floats
    probability: Floats

    @classmethod
    @torch.no_grad()
    def make(cls, predictor: Predictor, window: Window, in_alt: bool = False) -> EditableAllele:
        margin = window.flank
        detected = tuple(
            haplotype(reference, (window,), margin, margin + window.compared, in_alt)
            for reference in predictor.references
        )

        def compared(allele: Haplotype) -> slice:
            return slice(margin - allele.first, allele.length - margin - allele.first)

        def mean(parts: list[torch.Tensor]) -> Floats:
            return window.to_genome(np.mean([p[0].cpu().numpy() for p in parts], 0))

        return cls(
            window,
            predictor.bundle.layout,
            detected,
            mean([d.bottleneck[..., compared(d.haplotype)] for d in detected]),
            mean([d.haplotype.probabilities(d.bottleneck) for d in detected]),
        )

    def without(self, entries: list[Entry]) -> Floats:
        """(entries, 2, n): probabilities with one entry of `bottleneck` emptied."""

        def empty(u: torch.Tensor, entry: Entry, first: int) -> None:
            channel, column = entry
            u[channel, first + self.window.flipped(column, self.compared)] = self.layout.empty(
                channel
            )

        return self._edited(entries, empty)

    def hidden(self, spans: list[tuple[int, int]]) -> Floats:
        """(spans, 2, n): probabilities with all entries in the columns [start, end) of `bottleneck`
        emptied."""

        def empty(u: torch.Tensor, span: tuple[int, int], first: int) -> None:
            one, other = (self.window.flipped(c, self.compared) for c in (span[0], span[1] - 1))
            low, high = sorted((one, other))
            u[:, first + low : first + high + 1] = self.layout.empty_column(u)

        return self._edited(spans, empty)

    @property
    def compared(self) -> int:
        return self.window.compared

    @torch.no_grad()
    def _edited(self, edits: list[T], apply: Callable[[torch.Tensor, T, int], None]) -> Floats:
        """(edits, 2, n): probabilities after each edit. `apply` makes it in a bottleneck (C, L), in
        transcript orientation, whose compared positions start at column `first`."""
        total = np.zeros((len(edits), *self.probability.shape))
        for detected in self.detected:
            allele, u = detected.haplotype, detected.bottleneck
            first = self.window.flank - allele.first
            for i in range(0, len(edits), BATCH):
                batch = edits[i : i + BATCH]
                edited = u.repeat(len(batch), 1, 1)
                for row, edit in zip(edited, batch):
                    apply(row, edit, first)
                p = allele.probabilities(edited).cpu().numpy()
                total[i : i + BATCH] += self.window.to_genome(p) / len(self.detected)
        return total


def region_window(
    genome: Genome, gene: Gene, contig: str, start: int, end: int, predictor: Predictor
) -> Window:
    """The window of [start, end), 0-based, in which nothing changes. `contig`: the FASTA's name."""
    codes = genome.codes(contig, start, end)
    return make_window(
        genome,
        gene,
        Variant(contig, start, codes, codes),
        0,
        predictor.bundle.flank,
        predictor.reach,
    )


def channel_of(predictor: Predictor, rbp: str) -> int:
    """Channel of an RBP, in upper or lower case, in the bottleneck. Raises SamvarError when the
    model has no such RBP."""
    layout = predictor.bundle.layout
    return layout.channel(rbp_named(rbp, layout.motifs, predictor.bundle.families))


def rbp_named(name: str, rbps: Sequence[str], families: Mapping[str, str]) -> str:
    """The one of `rbps` that is meant by a name in upper or lower case. Raises SamvarError when
    there is none: with the RBP that stands for it (`Bundle.families`), or else with the names that
    are most like it."""
    if name in rbps:
        return name
    by_upper = {rbp.upper(): rbp for rbp in rbps}
    if found := by_upper.get(name.upper()):
        return found
    for rbp, family in families.items():
        if rbp in rbps and name.upper() in family.upper().split("/"):
            raise SamvarError(
                f"the model has no RBP {name!r} of its own: give {rbp}, which stands for {family}, "
                "whose motifs are nearly the same"
            )
    near = [by_upper[n] for n in get_close_matches(name.upper(), by_upper, 3, 0.5)]
    question = f"did you mean {' or '.join(near)}? " if near else ""
    raise SamvarError(
        f"the model has no RBP {name!r}: {question}List the {len(rbps)} that it has with: "
        "samvar motifs --list"
    )


# ------------------------------------------------------------------------ a motif zeroed everywhere


class Change(NamedTuple):
    """A splice site (position 0-based) with and without an RBP's motif sites, nan where its base is
    unknown; `annotated` in any transcript."""

    contig: str
    position: int
    strand: str
    gene: str
    kind: str
    annotated: bool
    probability: float
    without: float


@torch.no_grad()
def emptied(predictor: Predictor, window: Window, channel: int) -> tuple[Floats, Floats]:
    """(2, n) twice, in genome order: site probabilities as they are, and with a channel of the
    bottleneck emptied in the whole frame and all that reaches into it; means of the seeds."""
    n, layout = window.frame_length, predictor.bundle.layout
    pairs = []
    for reference in predictor.references:
        reach = reference.model.config.aggregate_reach
        u = reference.get(window, "bottleneck", window.origin - reach, window.origin + n + reach)
        edited = u.clone()
        edited[:, channel] = layout.empty(channel)
        pairs.append(
            Haplotype(reference, (window,), n, -reach, n + reach, 0).probabilities(
                torch.cat((u, edited))
            )
        )
    p = window.to_genome(torch.stack(pairs).mean(0).cpu().numpy())
    return p[0], p[1]


def changes(
    genome: Genome,
    genes: Iterable[Gene],
    predictor: Predictor,
    rbp: str,
    regions: Regions | None = None,
) -> Iterator[Change]:
    """Every site that is annotated, or has a probability of `SEEN` with or without the RBP's motif,
    in order."""
    channel = channel_of(predictor, rbp)
    genes = list(genes)
    total = sum(1 for _ in _pieces(genome, genes, regions))
    pieces = tqdm(_pieces(genome, genes, regions), total=total, disable=None, unit="kb")
    windows = (
        region_window(genome, gene, contig, start, end, predictor)
        for gene, contig, start, end in pieces
        if (genome.codes(contig, start, end) != UNKNOWN).any()
    )
    for window, (p, without) in _mapped(
        predictor, lambda w: emptied(predictor, w, channel), windows
    ):
        gene, start = window.gene, window.start
        unknown = genome.codes(window.variant.contig, start, window.end) == UNKNOWN
        p[:, unknown] = without[:, unknown] = np.nan
        sites = gene.sites()
        wanted = [(0, window.end)] if regions is None else regions.on(gene.contig)
        for at in (
            i for low, high in wanted for i in range(max(low, start), min(high, window.end))
        ):
            for kind, annotated in enumerate(sites):
                before, after = float(p[kind, at - start]), float(without[kind, at - start])
                if at in annotated or max(before, after) >= SEEN:
                    yield Change(
                        gene.contig,
                        at,
                        gene.strand,
                        gene.symbol,
                        KINDS[kind],
                        at in annotated,
                        before,
                        after,
                    )


def _mapped(
    predictor: Predictor, function: Callable[[Window], T], windows: Iterable[Window]
) -> Iterator[tuple[Window, T]]:
    """(window, function(window)) of each, on the workers."""
    windows = iter(windows)
    while some := list(islice(windows, CHUNK)):
        yield from zip(some, predictor.map(function, some))


def table(found: Iterable[Change]) -> Iterator[str]:
    """Lines of the table of sites, without line ends; positions 1-based."""
    yield "\t".join(("contig", "position", *Change._fields[2:], "log2_change"))
    for c in found:
        log2 = np.log2(np.maximum(c.probability, 1e-6) / np.maximum(c.without, 1e-6))
        yield "\t".join(
            (
                c.contig,
                str(c.position + 1),
                c.strand,
                c.gene,
                c.kind,
                str(int(c.annotated)),
                _number(c.probability, 4),
                _number(c.without, 4),
                _number(log2, 3),
            )
        )


def _number(value: float, digits: int) -> str:
    return "." if np.isnan(value) else f"{value:.{digits}f}"


def _pieces(
    genome: Genome, genes: Iterable[Gene], regions: Regions | None
) -> Iterator[tuple[Gene, str, int, int]]:
    """(gene, the FASTA's contig, start, end) of what of the genes touches the regions, in pieces of
    STEP bases from the gene's start on, wherever the regions begin."""
    for gene in genes:
        contig = genome.contig(gene.contig)
        if contig is None:
            continue
        wanted = [(gene.start, gene.end)] if regions is None else regions.on(gene.contig)
        for start in range(gene.start, gene.end, STEP):
            end = min(start + STEP, gene.end)
            if any(low < end and start < high for low, high in wanted):
                yield gene, contig, start, end


# ----------------------------------------------------------------------------------------- RNA maps


@dataclass(frozen=True)
class RnaMap:
    """An RBP's sites around internal exons (the paper's Figure 7), in bins of `BIN` bases, of two
    halves, each of which ends where the exon does.

    edges    (2, bins): first base of each bin relative to the acceptor (first half) and the donor
             (second half)
    exons    how many
    sites    (2, bins): sites per exon and base, of the exons that reach there; nan where none does
    effects  (2, bins): mean over the sites of log2(p / p without the site), of the exon's acceptor
             and donor together
    counts   (2, bins): sites
    shown    how many sites that are; those of short exons lie in both halves
    """

    rbp: str
    edges: Ints
    exons: int
    sites: Floats
    effects: Floats
    counts: Ints
    shown: int


def rna_map(
    genome: Genome,
    genes: Iterable[Gene],
    predictor: Predictor,
    rbp: str,
    most: int = 1000,
    regions: Regions | None = None,
) -> RnaMap:
    """Every site of the RBP around internal exons (the first `most` that touch the regions) of the
    genes' chosen transcripts, knocked out one at a time.

    Raises SamvarError when there is no such exon with known sequence.
    """
    channel = channel_of(predictor, rbp)
    intron, exon = AROUND
    edges = np.stack((np.arange(-intron, exon, BIN), np.arange(-exon + 1, intron + 1, BIN)))
    counts, bases = np.zeros(edges.shape, int), np.zeros(edges.shape, int)
    total, exons, shown = np.zeros(edges.shape), 0, 0
    genes = list(genes)
    expected = min(most, sum(1 for _ in _internal_exons(genome, genes, regions)))
    windows = tqdm(
        islice(_exons(genome, genes, predictor, regions), most),
        total=expected,
        disable=None,
        unit="exon",
    )
    for window, (positions, effect) in _mapped(
        predictor, lambda w: _exon_effects(predictor, w, channel), windows
    ):
        length = window.compared - 2 * intron
        exons += 1
        bases += np.stack((length - edges[0], length + edges[1] + BIN - 1)).clip(0, BIN)
        bins = (positions - edges[:, :1]) // BIN
        inside = (
            (bins >= 0)
            & (bins < edges.shape[1])
            & np.stack((positions[0] < length, positions[1] > -length))
        )
        shown += int(inside.any(0).sum())
        for half in (0, 1):
            np.add.at(counts[half], bins[half, inside[half]], 1)
            np.add.at(total[half], bins[half, inside[half]], effect[inside[half]])
    if not exons:
        raise SamvarError("no internal exon that was asked for has known sequence")
    with np.errstate(invalid="ignore"):
        sites, effects = counts / bases, total / counts
    name = predictor.bundle.layout.names[channel]
    return RnaMap(name, edges, exons, sites, effects, counts, shown)


def _exons(
    genome: Genome, genes: Iterable[Gene], predictor: Predictor, regions: Regions | None
) -> Iterator[Window]:
    """Windows of the internal exons, known throughout, with AROUND[0] bases of intron on either
    side."""
    for gene, contig, start, end in _internal_exons(genome, genes, regions):
        low, high = start - AROUND[0], end + AROUND[0]
        if not (genome.codes(contig, low, high) == UNKNOWN).any():
            yield region_window(genome, gene, contig, low, high, predictor)


def _internal_exons(
    genome: Genome, genes: Iterable[Gene], regions: Regions | None
) -> Iterator[tuple[Gene, str, int, int]]:
    """(gene, the FASTA's contig, start, end) of the chosen transcripts' internal exons of at most
    STEP bases that touch the regions."""
    for gene in genes:
        contig = genome.contig(gene.contig)
        if contig is None:
            continue
        for start, end in gene.chosen.exons[1:-1]:
            if regions and not any(a < end and start < b for a, b in regions.on(gene.contig)):
                continue
            if end - start <= STEP:
                yield gene, contig, start, end


def _exon_effects(predictor: Predictor, window: Window, channel: int) -> tuple[Ints, Floats]:
    """Positions (2, sites) of a channel's sites relative to the exon's acceptor and donor, 5' to
    3', and what each does: log2 of p / p without it, mean of acceptor and donor."""
    sign = window.direction
    sites = sorted((window.start + AROUND[0], window.end - AROUND[0] - 1), key=lambda p: sign * p)
    allele = EditableAllele.make(predictor, window)
    columns = np.flatnonzero(allele.bottleneck[channel] > 0)
    without = allele.without([Entry(channel, int(c)) for c in columns])
    effect = np.mean(
        [
            np.log2(
                allele.probability[kind, at - window.start] / without[:, kind, at - window.start]
            )
            for kind, at in enumerate(sites)
        ],
        0,
    )
    return np.stack([sign * (columns + window.start - at) for at in sites]), effect


def map_rows(m: RnaMap) -> Iterator[tuple[str | int, ...]]:
    """Rows of the table: rbp, anchor, first base relative to it, exons, sites, sites per exon and
    base, effect."""
    for half, anchor in enumerate(KINDS):
        for i, edge in enumerate(m.edges[half]):
            yield (
                m.rbp,
                anchor,
                int(edge),
                m.exons,
                int(m.counts[half, i]),
                _number(m.sites[half, i], 6),
                _number(m.effects[half, i], 4),
            )


MAP_COLUMNS = (
    "rbp",
    "anchor",
    "position",
    "exons",
    "sites",
    "sites_per_exon_and_base",
    "mean_log2_change",
)
