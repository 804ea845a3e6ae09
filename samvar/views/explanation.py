"""One variant or region in full: why each splice site changes, and the landscape of sites and
motifs around it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from itertools import chain
from typing import NamedTuple

import numpy as np

from ..annotate import (
    Allele,
    Options,
    compared_near,
    examine,
    genes_at,
    genes_over,
    joint_window,
    status_of,
    windows,
)
from ..errors import RequestError, SamvarError
from ..genomics.align import Alignment, take
from ..genomics.genes import Annotation, Gene
from ..genomics.genome import UNKNOWN, Genome, decode
from ..genomics.haplotype import overlapping, place
from ..genomics.hgvs import hgvs_c
from ..genomics.transcript import TranscriptMap
from ..genomics.variant import Status, Variant
from ..genomics.window import Place, Window
from ..model.bottleneck import ACCEPTOR_CORE, DONOR_CORE, NO_MOTIF, Entry
from ..model.bundle import Background, Bundle, LearntMotif
from ..model.in_vivo import InVivo
from ..opinions import Opinions, Told
from ..scoring import attribution
from ..scoring import deltas as scoring
from ..scoring.consequence import (
    FLOOR,
    Consequence,
    Site,
    consequences,
    exons_removed,
    lost_elsewhere,
)
from ..scoring.deltas import SIGN, SITE_OF
from ..scoring.knockout import KINDS, SEEN, EditableAllele, region_window
from ..scoring.predictor import Predictor, ScoredWindow
from .sureness import Sureness, sureness
from .verdict import Around, sites_told, strongest_together, verdict

LONGEST_REGION = 2000  # bases that a landscape can show
STIRS = 1.1  # ratio of a site's probability with and without a motif site that is shown at all
MOVED = 0.005  # change of a site's probability that is shown
SHARE, IN_REGION = 0.04, 0.02  # of a delta; change of a probability: what has an arrow has as much
LONGEST_WRITTEN = 24  # bases of an allele in a title
MOST_OF_DELTA, MOST_TOGETHER, MOST_OF_REGION = 6, 12, 24  # arrows
MOST_NAMED = 4  # splice sites in the summary of a region
MOST_FAR = 4  # splice sites beyond the compared positions
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
    """What one motif site does to a splice site: the ratio of its probability as it is to that
    without the motif site, and the difference; `mark` indexes Landscape.marks."""

    mark: int
    kind: int
    position: int
    offset: int
    ratio: float
    effect: float


@dataclass(frozen=True)
class Landscape:
    """One allele around the compared positions, columns in genome order.

    position, offset  (n,): 0-based genomic place of each column
    bases             of each column, of the transcript's strand
    probability       (2, n): acceptor, donor; mean of the seeds
    lssi              (2, n): their core scores, log-probability
    cores             of each core channel, by its name, (n,): how far above its floor, in [0, 1]
    influences        of a region; of a variant's alleles the causes of its deltas are shown instead
    """

    position: np.ndarray
    offset: np.ndarray
    bases: str
    probability: np.ndarray
    lssi: np.ndarray
    cores: dict[str, np.ndarray]
    marks: list[Mark]
    influences: list[Influence]

    def sites(self) -> Iterator[tuple[int, int]]:
        """(kind, column) of the predicted sites."""
        return ((int(k), int(c)) for k, c in np.argwhere(self.probability >= SEEN))


class SpliceSite(NamedTuple):
    """A splice site that is shown: `kind` 0 acceptor, 1 donor, its probability in REF and in ALT
    (None in a region). `exon`: of the chosen transcript, from 1, where it is an end of one;
    `annotated` in any transcript of the gene."""

    kind: int
    place: Place
    ref: float
    alt: float | None = None
    exon: int | None = None
    annotated: bool = False

    @property
    def status(self) -> str:
        """annotated, cryptic (REF has it, the annotation has not) or new."""
        if self.annotated:
            return "annotated"
        return "cryptic" if self.ref >= FLOOR else "new"

    @property
    def name(self) -> str:
        """ "donor of exon 5", "acceptor, other transcript", "cryptic donor"."""
        kind = KINDS[self.kind]
        if self.exon is not None:
            return f"{kind} of exon {self.exon}"
        return f"{kind}, other transcript" if self.annotated else f"{self.status} {kind}"

    @property
    def change(self) -> float:
        """Probability in ALT less that in REF."""
        return 0.0 if self.alt is None else self.alt - self.ref

    @property
    def strength(self) -> float:
        """The larger of its probabilities."""
        return max(self.ref, self.alt or 0.0)


class Probabilities(NamedTuple):
    """What the model says of each compared position.

    places    (n,): in genome order
    ref, alt  (2, n): probability of an acceptor and of a donor, nan where the allele has no such
              base; alt None in a region
    """

    places: list[Place]
    ref: np.ndarray
    alt: np.ndarray | None


class Cause(NamedTuple):
    """What an arrow shows: a motif site or core site `name` at `place` that moves the probability
    of a splice site (`kind`, `target`) by `effect`; `event`: what the variant does to it, "" in a
    region."""

    name: str
    event: str
    place: Place
    kind: int
    target: Place
    effect: float
    core: bool = False


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
    learnt: Mapping[str, LearntMotif] = field(default_factory=dict)  # as `Bundle.learnt`
    in_vivo: Mapping[str, InVivo] = field(default_factory=dict)  # as `Bundle.in_vivo`
    told: Told | None = None  # second opinions on the causes, where they were asked for

    @property
    def verdict(self) -> str:
        """What is predicted of the first transcript, in words; nothing for a region."""
        return self._verdict(self.consequences) if self.deltas else ""

    @property
    def other_verdicts(self) -> list[tuple[str, str]]:
        """Ids of the further transcripts, with what is predicted of each."""
        return [
            (c.transcript.id, self._verdict((c,))) for c in self.consequences[1:] if self.deltas
        ]

    def _verdict(self, consequences: tuple[Consequence, ...]) -> str:
        assert self.deltas is not None
        elsewhere = lost_elsewhere(self.deltas, self.gene, consequences)
        of = consequences[0].transcript if consequences else self.gene.chosen
        around = self._around(self.deltas, TranscriptMap.of(self.gene, of))
        causes = self.causes or ()
        return verdict(self.deltas, causes, consequences, around, self.learnt, elsewhere)

    def _around(self, deltas: scoring.Deltas, transcript: TranscriptMap) -> Around:
        """What the verdict of one transcript tells of beside."""
        assert self.alt
        top, a = int(deltas.values.argmax()), self.columns
        kind, column, place = SITE_OF[top], int(deltas.columns[top]), deltas.places[top]
        ref, alt = (
            float(take(side.probability[kind], index, 0.0)[column])
            for side, index in ((self.ref, a.ref), (self.alt, a.alt))
        )
        on_reference = not place.offset
        exon = _exon_ends(transcript)[kind].get(place.position) if on_reference else None
        annotated = on_reference and place.position in self.gene.sites()[kind]
        within = self.window.variant.span[0] - self.window.start
        return Around(transcript, Site(kind, column, place, ref, alt, exon), annotated, within)

    @property
    def gene(self) -> Gene:
        return self.window.gene

    @cached_property
    def columns(self) -> Alignment:
        """The columns of both alleles in genome order; of a region its bases."""
        if self.deltas:
            return self.deltas.alignment
        n = len(self.ref.position)
        return Alignment(np.arange(n), np.arange(n), self.ref.position, self.ref.offset)

    @property
    def probabilities(self) -> Probabilities:
        """Of every compared position, in both alleles."""
        a = self.columns
        return Probabilities(
            [Place(int(p), int(o)) for p, o in zip(a.position, a.offset)],
            take(self.ref.probability, a.ref, np.nan),
            take(self.alt.probability, a.alt, np.nan) if self.alt else None,
        )

    @cached_property
    def splice_sites(self) -> list[SpliceSite]:
        """In genome order: those predicted in either allele, those of the chosen transcript, and
        those whose deltas are taken apart, however weak."""
        a = self.columns
        ref = take(self.ref.probability, a.ref, 0.0)
        alt = take(self.alt.probability, a.alt, 0.0) if self.alt else None
        shown = ref >= SEEN if alt is None else np.maximum(ref, alt) >= SEEN
        for cause in self.causes or ():
            assert self.deltas
            shown[SITE_OF[cause.delta], self.deltas.columns[cause.delta]] = True
        for site in self.sites_told:
            shown[site.kind] |= (a.position == site.place.position) & (
                a.offset == site.place.offset
            )
        annotated, own = self.gene.sites(), _exon_ends(TranscriptMap.of(self.gene))
        for kind, ends in enumerate(own):
            shown[kind] |= np.isin(a.position, list(ends)) & (a.offset == 0)
        sites = []
        for column, kind in np.argwhere(shown.T).tolist():
            place = Place(int(a.position[column]), int(a.offset[column]))
            on_reference = not place.offset
            sites.append(
                SpliceSite(
                    kind,
                    place,
                    float(ref[kind, column]),
                    None if alt is None else float(alt[kind, column]),
                    own[kind].get(place.position) if on_reference else None,
                    on_reference and place.position in annotated[kind],
                )
            )
        return sites

    @property
    def sites_told(self) -> list[Site]:
        """The splice sites that the verdict is about, the first ones those of its event."""
        if not (self.consequences and self.deltas):
            return []
        told = self.consequences[0]
        own = TranscriptMap.of(self.gene, told.transcript)
        return sites_told(told, exons_removed(self.deltas.gaps, own))

    @cached_property
    def far_sites(self) -> list[SpliceSite]:
        """Those that the verdict tells of and that lie beyond the compared positions: all of its
        event, of others no more than make MOST_FAR."""
        compared = set(zip(self.columns.position.tolist(), self.columns.offset.tolist()))
        annotated = self.gene.sites()
        far = [s for s in self.sites_told if s.place not in compared]
        of_event = self.consequences[0].outcomes[0].event.sites if far else ()
        far = far[: max(MOST_FAR, sum(s in of_event for s in far))]
        return [
            SpliceSite(s.kind, s.place, s.ref, s.alt, s.exon, s.place.position in annotated[s.kind])
            for s in far
        ]

    @cached_property
    def arrows(self) -> list[Cause]:
        """The strongest causes that have a place, weakest first: of each delta that is taken apart
        those with a share of `SHARE` or more, at most `MOST_OF_DELTA`, and of the strongest motif's
        those of `MOVED` or more, at most `MOST_TOGETHER`; of a region the motif sites that do most
        to its splice sites."""
        if self.deltas is None:
            moves = [_of_influence(self.ref, i) for i in self.ref.influences]
            moves = [c for c in moves if abs(c.effect) >= IN_REGION]
            return sorted(moves, key=lambda c: abs(c.effect))[-MOST_OF_REGION:]
        arrows = []
        for cause in self.causes or ():
            target, kind = self.deltas.places[cause.delta], SITE_OF[cause.delta]
            least, sign = max(SHARE * cause.value, MOVED), float(SIGN[cause.delta])
            placed = [p for p in cause.parts if p.position is not None]
            strong = [p for p in placed if abs(p.effect) >= least][:MOST_OF_DELTA]
            told = strongest_together(cause.parts)[:MOST_TOGETHER]
            for part in [p for p in placed if p in strong or (p in told and p.effect >= MOVED)]:
                assert part.position is not None
                place, core = (
                    Place(part.position, part.offset),
                    part.kind is attribution.PartKind.CORE,
                )
                effect = part.effect * sign
                arrows.append(Cause(part.rbp, part.event, place, kind, target, effect, core))
        return sorted(arrows, key=lambda c: abs(c.effect))

    @property
    def summary(self) -> str:
        """A region in one sentence."""
        sites = [site for site in self.splice_sites if site.strength >= SEEN]
        strongest = sorted(sites, key=lambda s: -s.strength)[:MOST_NAMED]
        named = [f"{s.name} at {s.place.pos:,} ({s.strength:.2f})" for s in strongest]
        named += [f"{len(sites) - MOST_NAMED} more"] * (len(sites) > MOST_NAMED)
        found = f"Splice sites of a probability of {SEEN:g} or more: {', '.join(named) or 'none'}"
        moves, motifs = self.ref.influences, len(self.ref.marks)
        told = f"{found}; {len({i.mark for i in moves})} of {motifs} motif sites move one of them"
        if not moves:
            return f"{told}."
        most = max(moves, key=lambda i: abs(i.effect))
        mark = self.ref.marks[most.mark]
        target = f"the {KINDS[most.kind]} at {most.position + 1:,} by {most.effect:+.3f}"
        return f"{told}, most of all {mark.rbp} at {mark.position + 1:,} {target}."

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
    model: str  # name and kind of the bundle
    partners: tuple[Allele, ...] = ()  # further variants of a haplotype that is explained

    @property
    def motif_notes(self) -> dict[str, str]:
        """What is known of the motifs among the causes, in words: of a learnt one what it looks
        like, of an RBP's whether the protein binds such sites in cells."""
        notes = {}
        for view in self.genes:
            names = sorted({part.rbp for cause in view.causes or [] for part in cause.parts})
            for name in names:
                if name in view.learnt:
                    notes[name] = view.learnt[name].text
                elif name in view.in_vivo and view.in_vivo[name].own:
                    notes[name] = view.in_vivo[name].text
        return notes

    @property
    def learnt_causes(self) -> dict[str, LearntMotif]:
        """The learnt motifs among the causes, as far as something is known of them."""
        return {
            name: view.learnt[name]
            for view in self.genes
            for name in self.motif_notes
            if name in view.learnt
        }

    @property
    def title(self) -> str:
        if not self.alt:
            return f"{self.contig}:{self.pos}-{self.end}"
        return " + ".join(f"{a.contig}:{a.pos} {a.ref}>{a.alt}" for a in self._alleles)

    @property
    def short_title(self) -> str:
        """The title with long alleles cut short."""
        if not self.alt:
            return self.title
        named = (f"{a.pos} {shortened(a.ref)}>{shortened(a.alt)}" for a in self._alleles)
        return f"{self.contig}:{' + '.join(named)}"

    @property
    def _alleles(self) -> tuple[Allele, ...]:
        """Of a variant, or of all on a haplotype."""
        return (Allele(self.contig, self.pos, self.ref, self.alt), *self.partners)

    @property
    def remark(self) -> str:
        """What the status says; empty where all is well."""
        return "" if self.status is Status.OK else f"{self.status.name}: {self.status.value}"


def shortened(allele: str) -> str:
    """The bases, or the ends of a long allele."""
    if len(allele) <= LONGEST_WRITTEN:
        return allele
    return f"{allele[:6]}...{allele[-6:]} ({len(allele)} bases)"


def explain(
    genome: Genome,
    annotation: Annotation,
    predictor: Predictor,
    contig: str,
    pos: int,
    ref: str,
    alt: str,
    options: Options,
    thorough: bool = True,
    opinions: Opinions | None = None,
) -> Explanation:
    """Everything about one allele. `pos` is 1-based. Deltas of at least `options.rbp_min` are taken
    apart, and always the largest: `thorough`, with each site also put back alone, or as `annotate`
    does. `opinions`: those to be asked about causes. Raises RequestError where ALT is REF."""
    allele = Allele(contig, pos, ref, alt)
    _check_changes(allele)
    change = examine(genome, annotation, allele, options)
    if isinstance(change, Status):
        return _explanation(predictor, allele, change, [])
    shown = windows(genome, annotation, predictor, change, options)
    (job,) = predictor.ahead([shown], options.precision)
    (scored,) = job()
    status, views = _views(predictor, scored, options, thorough)
    if opinions:
        views = [replace(view, told=_told(opinions, view)) for view in views]
    return _explanation(predictor, allele, status, views)


def explain_haplotype(
    genome: Genome,
    annotation: Annotation,
    predictor: Predictor,
    alleles: Sequence[Allele],
    options: Options,
    opinions: Opinions | None = None,
) -> Explanation:
    """Everything about what alleles do together that lie on one haplotype, as `annotate --phased`
    scores them: in each gene those that lie in it. How sure a score is was measured on single
    variants, and is not told. Raises SamvarError where one of them has no
    score, they overlap, or do not lie within one frame."""
    changes: list[Variant] = []
    for allele in alleles:
        _check_changes(allele)
        change = examine(genome, annotation, allele, options)
        if isinstance(change, Status):
            raise SamvarError(f"{_short(allele)} has no score: {change.name}, {change.value}")
        changes.append(change)
    changes.sort(key=place)
    first, last, within = changes[0], changes[-1], options.distance + predictor.bundle.flank
    apart = any(c.contig != first.contig for c in changes)
    if apart or last.span[1] - first.span[1] > within:
        raise SamvarError(f"variants of a haplotype must lie within {within} bases of each other")
    if overlapping(changes):
        raise SamvarError("variants of a haplotype must not overlap, or be the same")
    views, scored = [], []
    parts_of: dict[int, tuple[Gene, list[Variant]]] = {}
    for change in changes:
        for gene in genes_at(genome, annotation, change, options):
            parts_of.setdefault(id(gene), (gene, []))[1].append(change)
    for gene, parts in parts_of.values():
        window = joint_window(genome, predictor, gene, parts, options)
        scored.append((predictor.exact(window), compared_near(parts, options)))
    status = status_of([s for s, _ in scored])
    if status is not Status.NONFINITE:
        views = [_view(predictor, s, options, True, near) for s, near in scored]
        views = [replace(view, sureness=()) for view in views]
    if opinions:
        views = [replace(view, told=_told(opinions, view)) for view in views]
    own = _explanation(predictor, alleles[0], status, views)
    return replace(own, partners=tuple(alleles[1:]))


def _check_changes(allele: Allele) -> None:
    """Raises RequestError where ALT is REF: of no change there is nothing to explain."""
    if allele.ref.upper() == allele.alt.upper():
        raise RequestError(f"{_short(allele)} is no variant: ALT is the same as REF")


def _short(allele: Allele) -> str:
    return f"{allele.contig}:{allele.pos} {shortened(allele.ref)}>{shortened(allele.alt)}"


def _told(opinions: Opinions, view: GeneView) -> Told:
    return opinions.of(view.window, [p for cause in view.causes or () for p in cause.parts])


def explain_all(
    genome: Genome,
    annotation: Annotation,
    predictor: Predictor,
    alleles: Sequence[Allele],
    options: Options,
) -> Iterator[Explanation]:
    """What `explain` says of each, in order, not thorough; the models are shown several at once, on
    the workers, which start at once."""
    examined = [(a, examine(genome, annotation, a, options)) for a in alleles]
    shown = [
        windows(genome, annotation, predictor, change, options)
        for _, change in examined
        if isinstance(change, Variant)
    ]
    jobs = predictor.ahead(shown, options.precision)
    found = chain.from_iterable(
        predictor.map(lambda job: [_views(predictor, s, options, False) for s in job()], jobs)
    )
    return (
        _explanation(predictor, allele, *((c, []) if isinstance(c, Status) else next(found)))
        for allele, c in examined
    )


def _explanation(
    predictor: Predictor, allele: Allele, status: Status, views: list[GeneView]
) -> Explanation:
    bundle, end = predictor.bundle, allele.pos + len(allele.ref) - 1
    contig, pos, ref, alt = allele
    label = model_label(bundle)
    return Explanation(contig, pos, end, ref, alt, status, views, bundle.background, label)


def _views(
    predictor: Predictor, scored: list[ScoredWindow], options: Options, thorough: bool
) -> tuple[Status, list[GeneView]]:
    """Status of an allele, and its view of the gene of each of its windows."""
    status = status_of(scored)
    finite = scored if status is not Status.NONFINITE else []
    return status, [_view(predictor, s, options, thorough) for s in finite]


def model_label(bundle: Bundle) -> str:
    """Name and kind of a bundle, as in a title."""
    return f"{bundle.name} {bundle.kind.upper()}"


def _view(
    predictor: Predictor,
    scored: ScoredWindow,
    options: Options,
    thorough: bool,
    near: Sequence[tuple[int, int]] = (),
) -> GeneView:
    """Deltas in one gene, why, and both alleles' landscapes. `near`: as `deltas.compute`."""
    window = scored.window
    found = scoring.compute(window, scored.ref, scored.alt, options.mask, near)
    least = min(options.rbp_min, float(found.values.max()))
    share = 0.0 if thorough else attribution.ROUGHLY
    causes = attribution.attribute(predictor, scored, found, least, share, knockouts=thorough)
    sides = [EditableAllele.make(predictor, window, in_alt) for in_alt in (False, True)]
    ref, alt = (landscape(predictor, window, sides, found, in_alt) for in_alt in (False, True))
    transcripts = window.gene.selected(options.transcripts)
    outcomes = consequences(predictor, scored, found, transcripts, options.event_min)
    sure = tuple(sureness(predictor.bundle.evidence, window, found, outcomes))
    known = predictor.bundle.learnt, predictor.bundle.in_vivo
    return GeneView(window, ref, alt, found, causes, outcomes, sure, *known)


def explain_region(
    genome: Genome, annotation: Annotation, predictor: Predictor, contig: str, start: int, end: int
) -> Explanation:
    """The landscape of [start, end], 1-based; its status is NO_GENE or REF_N where there is none.
    Raises SamvarError when the region is not in the FASTA, or too long to be shown."""
    name = genome.contig(contig)
    if name is None:
        raise SamvarError(f"{contig}:{start}-{end} is not in {genome.path}: it has no such contig")
    if not 1 <= start <= end <= genome.lengths[name]:
        raise SamvarError(
            f"{contig}:{start}-{end} is not in {genome.path}: {name} has bases 1 to "
            f"{genome.lengths[name]:,}"
        )
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
    bundle = predictor.bundle
    model = model_label(bundle)
    return Explanation(contig, start, end, "", "", status, views, bundle.background, model)


# ---------------------------------------------------------------------------------------- landscape


def landscape(
    predictor: Predictor,
    window: Window,
    alleles: list[EditableAllele],
    found: scoring.Deltas | None = None,
    in_alt: bool = False,
) -> Landscape:
    """Sites, core scores and motif sites of one of the alleles (ref, and alt unless it is a region)
    at the compared positions; of a region also which moves which."""
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
    haplotype = window.alt if in_alt else window.ref
    start = window.reach[0] + window.flank
    return Landscape(
        position,
        offset,
        decode(window.to_genome(haplotype[start : start + n])),
        own.probability,
        own.bottleneck[[layout.channel(c.name) for c in (ACCEPTOR_CORE, DONOR_CORE)]],
        {c.name: 1 - own.bottleneck[i] / c.empty for i, c in enumerate(layout.core)},
        marks,
        [] if found else _influences(own, position, entries),
    )


def _influences(
    allele: EditableAllele, position: np.ndarray, entries: list[Entry]
) -> list[Influence]:
    """What each entry does to each predicted site; `position` (n,) of the columns."""
    sites = np.argwhere(allele.probability >= SEEN)
    influences = []
    for i, without in enumerate(allele.without(entries)):
        for kind, column in sites.tolist():
            here, then = float(allele.probability[kind, column]), float(without[kind, column])
            ratio = here / max(then, 1e-6)
            if max(ratio, 1 / ratio) >= STIRS:
                at = int(position[column])
                influences.append(Influence(i, kind, at, 0, ratio, here - then))
    return influences


def _of_influence(side: Landscape, influence: Influence) -> Cause:
    """The arrow of a motif site in a region."""
    mark = side.marks[influence.mark]
    place = Place(mark.position, mark.offset)
    target = Place(influence.position, influence.offset)
    return Cause(mark.rbp, "", place, influence.kind, target, influence.effect)


def _exon_ends(transcript: TranscriptMap) -> tuple[dict[int, int], dict[int, int]]:
    """Positions (0-based) of the acceptors and of the donors of a transcript -> number of the
    exon."""
    exons = transcript.exons
    first, last = (0, -1) if transcript.strand == "+" else (-1, 0)
    edges = [(start, end - 1) for start, end in exons]
    acceptors = {edge[first]: number for number, edge in enumerate(edges, 1) if number > 1}
    donors = {edge[last]: number for number, edge in enumerate(edges, 1) if number < len(edges)}
    return acceptors, donors


def _event(before: float, after: float) -> str:
    if abs(after - before) <= attribution.SAME:
        return "unchanged"
    return attribution.event_of(before, after, NO_MOTIF)


def signed(value: float, digits: int) -> str:
    """With + or -; 0 where it would have no other digit."""
    text = f"{value:+.{digits}f}"
    return text if float(text) else "0"


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
