"""One variant or region in full: why each splice site changes, and the landscape of sites and
motifs around it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from ..annotate import Allele, Options, examine, genes_over, status_of, windows
from ..errors import SamvarError
from ..genomics.genes import Annotation, Gene
from ..genomics.genome import UNKNOWN, Genome, decode
from ..genomics.hgvs import hgvs_c
from ..genomics.transcript import TranscriptMap
from ..genomics.variant import Status
from ..genomics.window import Window
from ..model.bottleneck import ACCEPTOR_CORE, DONOR_CORE, NO_MOTIF, Entry
from ..model.bundle import Background
from ..scoring import attribution
from ..scoring import deltas as scoring
from ..scoring.consequence import Consequence, consequences
from ..scoring.knockout import SEEN, EditableAllele, region_window
from ..scoring.predictor import Predictor, ScoredWindow
from .sureness import Sureness, sureness
from .verdict import verdict

LONGEST_REGION = 2000  # bases that a landscape can show
# ratio of a site's probability with and without a motif site that counts as strong (the paper's
# 1.5, 2/3)
MOVES = 1.5
STIRS = 1.1  # ratio from which an influence is drawn at all
WHAT = dict(AG="acceptor gain", AL="acceptor loss", DG="donor gain", DL="donor loss")


@dataclass(frozen=True)
class Mark:
    """A motif site of the landscape: activation at a place (position 0-based; offset > 0 within an
    insertion)."""

    rbp: str
    position: int
    offset: int
    activation: float
    event: str  # gain, loss, stronger, weaker, unchanged


@dataclass(frozen=True)
class Influence:
    """Ratio of a site's probability as it is to that without one motif site; `mark` indexes
    Landscape.marks."""

    mark: int
    kind: int
    position: int
    offset: int
    ratio: float


@dataclass(frozen=True)
class Landscape:
    """One allele around the compared positions, columns in genome order.

    position, offset  (n,): 0-based genomic place of each column
    bases             of each column, of the transcript's strand
    probability       (2, n): acceptor, donor; mean of the seeds
    lssi              (2, n): their core scores, log-probability
    """

    position: np.ndarray
    offset: np.ndarray
    bases: str
    probability: np.ndarray
    lssi: np.ndarray
    marks: list[Mark]
    influences: list[Influence]

    def sites(self) -> Iterator[tuple[int, int]]:
        """(kind, column) of the predicted sites."""
        return ((int(k), int(c)) for k, c in np.argwhere(self.probability >= SEEN))


@dataclass(frozen=True)
class GeneView:
    """What there is to say of one gene: deltas and their causes are None for a region, which has no
    consequences."""

    window: Window
    ref: Landscape
    alt: Landscape | None = None
    deltas: scoring.Deltas | None = None
    causes: list[attribution.Attribution] | None = None
    consequences: tuple[Consequence, ...] = ()
    sureness: tuple[Sureness, ...] = ()

    @property
    def verdict(self) -> str:
        """What is predicted of the first transcript, in words; nothing for a region."""
        return verdict(self.deltas, self.causes or (), self.consequences) if self.deltas else ""

    @property
    def other_verdicts(self) -> list[tuple[str, str]]:
        """Ids of the further transcripts, with what is predicted of each."""
        return [
            (c.transcript.id, verdict(self.deltas, self.causes or (), (c,)))
            for c in self.consequences[1:]
            if self.deltas
        ]

    @property
    def gene(self) -> Gene:
        return self.window.gene

    @property
    def hgvs(self) -> str:
        """What the variant is called on the chosen transcript; empty for a region, or where it lies
        beyond that."""
        return hgvs_c(TranscriptMap.of(self.gene), self.window.variant, self.window.genome)


@dataclass(frozen=True)
class Explanation:
    """A variant (pos 1-based, ref, alt as given) or a region (ref, alt empty; [pos, end]) with a
    view of each gene."""

    contig: str
    pos: int
    end: int
    ref: str
    alt: str
    status: Status
    genes: list[GeneView]
    background: Background | None

    @property
    def title(self) -> str:
        return (
            f"{self.contig}:{self.pos} {self.ref}>{self.alt}"
            if self.alt
            else f"{self.contig}:{self.pos}-{self.end}"
        )

    @property
    def remark(self) -> str:
        """What the status says; empty where all is well."""
        return "" if self.status is Status.OK else f"{self.status.name}: {self.status.value}"


def explain(
    genome: Genome,
    annotation: Annotation,
    predictor: Predictor,
    contig: str,
    pos: int,
    ref: str,
    alt: str,
    options: Options,
) -> Explanation:
    """Everything about one allele. `pos` is 1-based. Deltas of at least `options.rbp_min` are taken
    apart, and always the largest."""
    change = examine(genome, annotation, Allele(contig, pos, ref, alt), options)
    if isinstance(change, Status):
        status, views = change, []
    else:
        shown = windows(genome, annotation, predictor, change, options)
        scored = [wait() for wait in predictor.ahead(shown, options.precision)]
        status = status_of(scored)
        views = [] if status is Status.NONFINITE else [_view(predictor, s, options) for s in scored]
    return Explanation(
        contig, pos, pos + len(ref) - 1, ref, alt, status, views, predictor.bundle.background
    )


def _view(predictor: Predictor, scored: ScoredWindow, options: Options) -> GeneView:
    """Deltas in one gene, why, and both alleles' landscapes."""
    window = scored.window
    found = scoring.compute(window, scored.ref, scored.alt, options.mask)
    least = min(options.rbp_min, float(found.values.max()))
    causes = attribution.attribute(predictor, scored, found, least, knockouts=True)
    sides = [EditableAllele.make(predictor, window, in_alt) for in_alt in (False, True)]
    ref, alt = (landscape(predictor, window, sides, found, in_alt) for in_alt in (False, True))
    transcripts = window.gene.selected(options.transcripts)
    outcomes = consequences(predictor, scored, found, transcripts, options.event_min)
    sure = tuple(sureness(predictor.bundle.evidence, window, found, outcomes))
    return GeneView(window, ref, alt, found, causes, outcomes, sure)


def explain_region(
    genome: Genome, annotation: Annotation, predictor: Predictor, contig: str, start: int, end: int
) -> Explanation:
    """The landscape of [start, end], 1-based; its status is NO_GENE or REF_N where there is none.
    Raises SamvarError when the region is not in the FASTA, or too long to be shown."""
    name = genome.contig(contig)
    if name is None or not 1 <= start <= end <= genome.lengths[name]:
        raise SamvarError(f"{contig}:{start}-{end} is not in {genome.path}")
    if end - start >= LONGEST_REGION:
        raise SamvarError(
            f"{contig}:{start}-{end} is longer than the {LONGEST_REGION} bases that can be shown"
        )
    codes = genome.codes(name, start - 1, end)
    genes = genes_over(genome, annotation, name, start - 1, end)
    status = Status.OK if genes else Status.NO_GENE
    if (codes == UNKNOWN).all():
        status, genes = Status.REF_N, []
    windows = [region_window(genome, gene, name, start - 1, end, predictor) for gene in genes]
    views = [
        GeneView(w, landscape(predictor, w, [EditableAllele.make(predictor, w)])) for w in windows
    ]
    return Explanation(contig, start, end, "", "", status, views, predictor.bundle.background)


# ---------------------------------------------------------------------------------------- landscape


def landscape(
    predictor: Predictor,
    window: Window,
    alleles: list[EditableAllele],
    found: scoring.Deltas | None = None,
    in_alt: bool = False,
) -> Landscape:
    """Sites, core scores and motif sites of one of the alleles (ref, and alt unless it is a region)
    at the compared positions, and which moves which."""
    own = alleles[in_alt]
    n = own.bottleneck.shape[1]
    position, offset = window.start + np.arange(n), np.zeros(n, int)
    partner = np.arange(n)  # column of the other allele
    if found:
        a = found.alignment
        mine, other = (a.alt, a.ref) if in_alt else (a.ref, a.alt)
        present = mine >= 0
        position, offset, partner = a.position[present], a.offset[present], other[present]
    marks, entries = [], []
    layout = predictor.bundle.layout
    motifs = own.bottleneck[layout.motif_channels]
    for row, column in np.argwhere(motifs > 0).tolist():
        channel, activation = layout.motif_channels[row], float(motifs[row, column])
        event = "unchanged"
        if found:
            at = partner[column]
            partners = alleles[not in_alt].bottleneck
            before = float(partners[channel, at]) if at >= 0 else layout.empty(channel)
            event = _event(before, activation) if in_alt else _event(activation, before)
        name = layout.names[channel]
        marks.append(Mark(name, int(position[column]), int(offset[column]), activation, event))
        entries.append(Entry(channel, column))
    probability = own.probability
    sites = np.argwhere(probability >= SEEN)
    influences = []
    for i, p in enumerate(own.without(entries)):
        for kind, column in sites.tolist():
            ratio = float(probability[kind, column] / max(p[kind, column], 1e-6))
            if max(ratio, 1 / ratio) >= STIRS:
                influences.append(
                    Influence(i, kind, int(position[column]), int(offset[column]), ratio)
                )
    haplotype = window.alt if in_alt else window.ref
    start = window.reach[0] + window.flank
    return Landscape(
        position,
        offset,
        decode(window.to_genome(haplotype[start : start + n])),
        probability,
        own.bottleneck[[layout.channel(c.name) for c in (ACCEPTOR_CORE, DONOR_CORE)]],
        marks,
        influences,
    )


def _event(before: float, after: float) -> str:
    if abs(after - before) <= attribution.SAME:
        return "unchanged"
    return attribution.event_of(before, after, NO_MOTIF)


def percentile(
    p: attribution.Part, cause: attribution.Attribution, background: Background | None
) -> float | None:
    """Where the effect stands among those of random variants, None without such a scale or below
    its start."""
    return (
        background.percentile(p.rbp, p.effect, cause.value)
        if background and p.position is not None
        else None
    )
