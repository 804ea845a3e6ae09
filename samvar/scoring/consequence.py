"""What happens to a transcript: the sites' probabilities in REF and ALT -> events.

Everything stands on the line of both alleles (`line`), in transcript orientation. A transcript is a
`Molecule`, its exons one after the other; an event makes another molecule of it. How strong an
event is follows from the probability that moves, in this order:

    new sites       what a site that the transcript does not use rises by, and, where it was there
                    before, the share of what the annotated site beside it loses
    pseudoexons     an acceptor and a donor that rise together in an intron; what they have is no
                    longer there for an exon that ends elsewhere
    exon ends       each other new site moves the exon's end that is nearest: less of the exon, or
                    more of an intron
    what is lost    what an annotated site loses and no new site takes over; the exon is skipped,
                    its two ends together, or the intron stays: where the exon is the first or the
                    last one, and a short intron also where the exon's other end stays
    several exons   neighbours that are skipped together
    more of it      an exon whose two sites rise

Events that leave the same bases, since the variant deletes in which they differ, are one.
A site that has not been scored is taken to be used by both alleles.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Iterator, Sequence
from enum import Enum
from typing import NamedTuple

import numpy as np

from ..genomics.genes import Gene, Transcript
from ..genomics.transcript import TranscriptMap
from ..genomics.variant import Gap
from ..genomics.window import Place, make_window
from .deltas import NAMES, SIGN, SITE_OF, Deltas
from .line import Line, Span
from .message import Message, Molecule, Reader
from .predictor import Predictor, ScoredWindow

REACH = 500  # bases on either side of the variant in which sites are looked for
FLOOR = 0.05  # an allele that changes no site by as much has no events
CLEAR = 0.1  # below, sites further away than the compared ones are not looked at: that takes time
FAINT = 0.05  # probability from which a site that the transcript does not use is looked at
MOST_SITES = 60  # of an allele that are looked at, the most probable ones
PSEUDOEXON = range(25, 501)  # bases
SHORT_INTRON = 300  # bases; a longer one is not retained where the exon can be skipped
STAYS = 0.1  # share of what one end of an exon loses, below which its other end stays
LONGEST_RETAINED = 5000  # bases
TOGETHER = 0.5  # exons that are skipped at this share of each other's strength go together
KNOWN = 2.0  # by which the odds of an annotated site are higher than the models say
THERE = 0.1  # probability from which a site can take over from one that is lost
ACCEPTOR, DONOR = 0, 1  # rows of the probabilities


class Kind(Enum):
    """The events, as they are written."""

    EXON_SKIPPING = "exon_skipping"
    MULTI_EXON_SKIPPING = "multi_exon_skipping"
    PSEUDOEXON = "pseudoexon"
    PARTIAL_EXON_DELETION = "partial_exon_deletion"
    PARTIAL_INTRON_RETENTION = "partial_intron_retention"
    WHOLE_INTRON_RETENTION = "whole_intron_retention"
    INCREASED_EXON_INCLUSION = "increased_exon_inclusion"
    NONE = "none"


class Use(NamedTuple):
    """How much a site is used, in [0, 1]."""

    ref: float
    alt: float


def known(probability: float) -> float:
    """Use of a site that is annotated: its odds are `KNOWN` times those that the models, which do
    not see the annotation, give it."""
    return KNOWN * probability / (KNOWN * probability + 1 - probability)


class Site(NamedTuple):
    """A splice site: `kind` ACCEPTOR or DONOR, its column, place, probability in REF and in ALT.
    `exon`: number of the exon, from 1, whose annotated end it is; None where it is none. One that
    is not `scored` is taken to be used by both alleles."""

    kind: int
    column: int
    place: Place
    ref: float
    alt: float
    exon: int | None = None
    scored: bool = True

    @property
    def use(self) -> Use:
        """How much it is used in REF and in ALT."""
        if self.exon is None:
            return Use(self.ref, self.alt)
        return Use(known(self.ref), known(self.alt))

    @property
    def lost(self) -> float:
        """Use that it loses."""
        return max(self.use.ref - self.use.alt, 0.0)

    @property
    def gained(self) -> float:
        """Use that it gains."""
        return max(self.use.alt - self.use.ref, 0.0)


class Event(NamedTuple):
    """Something that happens to a transcript.

    strength  of the event, in [0, 1]: see `strength`
    exons     numbers of the first and the last exon that it concerns, from 1; of an event within an
              intron those on either side
    span      the columns that are skipped, or included
    size      bases: of REF where they are skipped, of ALT where they are included
    sites     what changes, the cause first
    molecule  the exons that are left
    beside    of an exon's end that moves: bases that the variant inserts, less those that it
              deletes, in what is left of the exon
    """

    kind: Kind
    strength: float
    exons: tuple[int, int]
    span: Span
    size: int
    sites: tuple[Site, ...]
    molecule: Molecule
    beside: int = 0

    @property
    def in_intron(self) -> bool:
        """Whether what it adds is of an intron."""
        return self.kind in _OF_INTRONS


_OF_INTRONS = (Kind.PSEUDOEXON, Kind.PARTIAL_INTRON_RETENTION, Kind.WHOLE_INTRON_RETENTION)


class Outcome(NamedTuple):
    """An event with its first and last base on the genome (`first` <= `last`), what it does to the
    message, and the molecule in HGVS, in parentheses since it is predicted; "" where it is not
    another one."""

    event: Event
    first: Place
    last: Place
    message: Message
    rna: str


class Consequence(NamedTuple):
    """What an allele does to one transcript: the outcomes that are strong enough, strongest first,
    the strength of the strongest event whether it is or not, and the sites that the transcript
    does not use and that ALT has, as far as `searched` bases from the variant."""

    transcript: Transcript
    outcomes: tuple[Outcome, ...]
    strongest: float
    cryptic: tuple[Site, ...]
    searched: int


class LostElsewhere(NamedTuple):
    """A splice site is lost that a `transcript` does not have, but its `users`."""

    transcript: Transcript
    users: tuple[Transcript, ...]


def lost_elsewhere(
    deltas: Deltas, gene: Gene, consequences: Sequence[Consequence]
) -> LostElsewhere | None:
    """Where the largest delta is the loss of a site of other transcripts than the first that was
    looked at (the chosen one where none was), and no event of that one is told."""
    top = max(deltas.named, key=lambda d: d.value)
    kind = NAMES.index(top.name)
    if top.value < FLOOR or SIGN[kind] > 0 or (consequences and consequences[0].outcomes):
        return None
    transcript = consequences[0].transcript if consequences else gene.chosen
    users = gene.with_site(SITE_OF[kind], top.place.position) if not top.place.offset else ()
    return LostElsewhere(transcript, users) if users and transcript not in users else None


def exons_removed(gaps: Iterable[Gap], transcript: TranscriptMap) -> tuple[int, ...]:
    """Numbers of the exons that a variant with these gaps deletes as a whole."""
    gaps = tuple(gaps)
    return tuple(
        number
        for number, (start, end) in enumerate(transcript.exons, 1)
        if any(gap.start <= start and end <= gap.end for gap in gaps)
    )


def strength(moved: float) -> float:
    """Probability that moves -> strength of the event, in [0, 1], monotone. The one place for a
    calibration."""
    return min(max(moved, 0.0), 1.0)


def consequences(
    predictor: Predictor,
    scored: ScoredWindow,
    deltas: Deltas,
    transcripts: Iterable[Transcript],
    minimum: float,
) -> tuple[Consequence, ...]:
    """What an allele does to those of its gene's `transcripts` that it touches, as far as the
    events reach a strength of `minimum`; nothing where it changes no site by `FLOOR`. `deltas`:
    those of its window. Where they reach `CLEAR` the models are run once more, over `REACH` bases
    on either side, for the sites beyond the compared positions."""
    window, largest = scored.window, deltas.values.max()
    start, end = window.variant.span
    touched = [t for t in transcripts if t.start <= end and start <= t.end]
    if not touched or largest < FLOOR:
        return ()
    if largest >= CLEAR and start - window.start < REACH:
        wide = make_window(
            window.genome, window.gene, window.variant, REACH, window.flank, window.reach
        )
        scored = _overlaid(predictor.widened(scored, wide), scored)
    line = Line.of(scored, deltas.gaps)
    return tuple(consequence(line, t, minimum) for t in touched)


def _overlaid(wide: ScoredWindow, compared: ScoredWindow) -> ScoredWindow:
    """A wider window of the same variant, but where `compared` has probabilities, of which the
    deltas are, with these: the context of the two is not the same."""
    at = compared.window.start - wide.window.start
    ref, alt = wide.ref.copy(), wide.alt.copy()
    for whole, own in ((ref, compared.ref), (alt, compared.alt)):
        whole[..., at : at + own.shape[-1]] = own
    return ScoredWindow(wide.window, ref, alt)


def consequence(line: Line, transcript: Transcript, minimum: float) -> Consequence:
    """What the alleles of a line do to one transcript."""
    own = TranscriptMap.of(line.window.gene, transcript)
    molecule = molecule_of(line, own)
    sites = _Sites.of(line, molecule)
    events = _merged(line, _events(line, sites))
    events.sort(key=lambda e: (-e.strength, e.span, e.kind.value))
    strongest = events[0].strength if events else 0.0
    shown = [e for e in events if e.strength >= minimum]
    outcomes: list[Outcome] = []
    if shown:
        reader = Reader.of(line, own, molecule)
        outcomes = [_outcome(reader, event) for event in shown]
    cryptic = tuple(c.site for c in sites.cryptic)
    window = line.window
    searched = window.variant.span[0] - window.start
    return Consequence(transcript, tuple(outcomes), strongest, cryptic, searched)


def molecule_of(line: Line, transcript: TranscriptMap) -> Molecule:
    """The exons of a transcript on a line."""
    ends = [sorted((line.column(s), line.column(e - 1))) for s, e in transcript.exons]
    return Molecule(tuple(Span(first, last + 1) for first, last in ends))


def _outcome(reader: Reader, event: Event) -> Outcome:
    line = reader.line
    more = event.kind is Kind.INCREASED_EXON_INCLUSION
    there = line.bases(event.span, in_alt=event.in_intron or more).columns
    first, last = sorted(line.place(int(column)) for column in there[[0, -1]])
    rna = "" if more else reader.name(event.molecule, event.span)
    return Outcome(event, first, last, reader.read(event.molecule), rna)


# -------------------------------------------------------------------------------------------- sites


class _Cryptic(NamedTuple):
    """A site that the transcript does not use, and the exon (index) whose end it would move."""

    site: Site
    exon: int
    inside: bool  # the exon; else it lies in the intron beside it


class _Sites(NamedTuple):
    """The sites of a transcript: of each exon the acceptor and the donor (None at the ends of the
    transcript), and those that it does not use."""

    molecule: Molecule
    acceptors: tuple[Site | None, ...]
    donors: tuple[Site | None, ...]
    cryptic: tuple[_Cryptic, ...]

    @classmethod
    def of(cls, line: Line, molecule: Molecule) -> _Sites:
        exons = molecule.exons
        acceptors: list[Site | None] = [None]
        acceptors += [_site(line, ACCEPTOR, e.start, n) for n, e in enumerate(exons[1:], 2)]
        donors: list[Site | None] = [
            _site(line, DONOR, e.stop - 1, n) for n, e in enumerate(exons[:-1], 1)
        ]
        return cls(
            molecule, tuple(acceptors), (*donors, None), tuple(_cryptic_sites(line, molecule))
        )

    def annotated(self, kind: int, exon: int) -> Site | None:
        """An annotated end of an exon (index)."""
        return (self.acceptors, self.donors)[kind][exon]


def _site(line: Line, kind: int, column: int, exon: int | None = None) -> Site:
    if not line.scored(column):
        return Site(kind, column, line.place(column), 1.0, 1.0, exon, scored=False)
    at = kind, column - line.first
    ref, alt = float(line.ref_sites[at]), float(line.alt_sites[at])
    return Site(kind, column, line.place(column), ref, alt, exon)


def _cryptic_sites(line: Line, molecule: Molecule) -> Iterator[_Cryptic]:
    """Of the `MOST_SITES` most probable sites in ALT those that could end an exon of the transcript
    elsewhere."""
    exons = molecule.exons
    starts = [e.start for e in exons]
    annotated = {(ACCEPTOR, e.start) for e in exons} | {(DONOR, e.stop - 1) for e in exons}
    found = np.argwhere(line.alt_sites >= FAINT)
    strongest = np.argsort(-line.alt_sites[tuple(found.T)], kind="stable")[:MOST_SITES]
    for kind, at in found[np.sort(strongest)].tolist():
        column = line.first + at
        exon = bisect_right(starts, column) - 1
        if (kind, column) in annotated or exon < 0:
            continue
        inside = column < exons[exon].stop
        if exon == len(exons) - 1 and not (inside and kind == ACCEPTOR):
            continue
        if kind == ACCEPTOR and not inside:
            exon += 1
        if kind == DONOR or exon > 0:
            yield _Cryptic(_site(line, kind, column), exon, inside)


# ------------------------------------------------------------------------------------------- events


def _events(line: Line, sites: _Sites) -> Iterator[Event]:
    """Every event, in any order; each with some strength."""
    moved = {c.site: _moved(sites, c) for c in sites.cryptic}
    pseudoexons = list(_pseudoexons(line, sites))
    for event in pseudoexons:
        for site in event.sites:
            moved[site] = max(moved[site] - event.strength, 0.0)
    found = [*pseudoexons, *_moved_ends(line, sites, moved), *_lost(line, sites, moved)]
    found += _risen(line, sites)
    yield from (e for e in found if e.strength >= FAINT)


def _merged(line: Line, events: Iterable[Event]) -> list[Event]:
    """Those that leave the same bases of ALT as one event: the one of most exons, as strong as all
    together. Without deleted bases no two events do."""
    found = list(events)
    if len(found) < 2 or not line.deletes:
        return found
    alike: dict[object, list[Event]] = {}
    for event in found:
        left = [line.bases(exon, in_alt=True).columns for exon in event.molecule.exons]
        more = event.kind is Kind.INCREASED_EXON_INCLUSION  # whose molecule is the transcript
        alike.setdefault(event if more else np.concatenate(left).tobytes(), []).append(event)
    return [_together(same) for same in alike.values()]


def _together(events: Sequence[Event]) -> Event:
    widest = max(events, key=lambda e: (e.exons[1] - e.exons[0], e.strength))
    return widest._replace(strength=strength(sum(e.strength for e in events)))


def _moved(sites: _Sites, cryptic: _Cryptic) -> float:
    """Use that moves to a site which the transcript does not use."""
    site, beside = cryptic.site, sites.annotated(cryptic.site.kind, cryptic.exon)
    there = min(site.use)
    freed = beside.lost if beside else 0.0
    return site.gained + (freed * there if there >= THERE else 0.0)


def _pseudoexons(line: Line, sites: _Sites) -> Iterator[Event]:
    """Pairs of sites in an intron that rise together, the strongest first; a site is of one."""
    within = [c for c in sites.cryptic if not c.inside]
    pairs = []
    for a in within:
        for d in within:
            span = Span(a.site.column, d.site.column + 1)
            if (a.site.kind, d.site.kind, a.exon) != (ACCEPTOR, DONOR, d.exon + 1):
                continue
            rise = min(a.site.use.alt, d.site.use.alt) - min(a.site.use.ref, d.site.use.ref)
            if line.length(span, in_alt=True) in PSEUDOEXON and rise >= FAINT:
                pairs.append((rise, span, a, d))
    taken: set[Site] = set()
    for rise, span, a, d in sorted(pairs, key=lambda p: (-p[0], p[1])):
        if taken.isdisjoint({a.site, d.site}):
            taken |= {a.site, d.site}
            causes = sorted((a.site, d.site), key=lambda s: -s.gained)
            molecule = sites.molecule.including(d.exon, span)
            size = line.length(span, in_alt=True)
            exons = d.exon + 1, a.exon + 1
            yield Event(Kind.PSEUDOEXON, strength(rise), exons, span, size, tuple(causes), molecule)


def _moved_ends(line: Line, sites: _Sites, moved: dict[Site, float]) -> Iterator[Event]:
    """Exons that end at another site: `moved` is what each has for it."""
    for site, index, inside in sites.cryptic:
        exon = sites.molecule.exons[index]
        beside = sites.annotated(site.kind, index)
        if beside is None:
            continue
        if site.kind == ACCEPTOR:
            span = Span(exon.start, site.column) if inside else Span(site.column, exon.start)
            moved_exon = Span(site.column, exon.stop)
            intron = index, index + 1
        else:
            end = site.column + 1
            span = Span(end, exon.stop) if inside else Span(exon.stop, end)
            moved_exon = Span(exon.start, end)
            intron = index + 1, index + 2
        size = line.length(span, in_alt=not inside)
        if inside:
            kind, exons = Kind.PARTIAL_EXON_DELETION, (index + 1, index + 1)
        else:
            kind, exons = Kind.PARTIAL_INTRON_RETENTION, intron
        changed = (site, beside) if site.gained >= beside.lost else (beside, site)
        molecule = sites.molecule.replacing(index, moved_exon)
        grown = line.length(moved_exon, in_alt=True) - line.length(moved_exon, in_alt=False)
        moves = strength(moved[site])
        yield Event(kind, moves, exons, span, size, changed, molecule, grown * inside)


def _lost(line: Line, sites: _Sites, moved: dict[Site, float]) -> Iterator[Event]:
    """What follows where sites are lost that no other takes over: skipped exons, retained
    introns."""
    exons = sites.molecule.exons
    left: dict[Site, float] = {s: s.lost for s in (*sites.acceptors, *sites.donors) if s}
    for c in sites.cryptic:
        beside = sites.annotated(c.site.kind, c.exon)
        if beside is not None:
            left[beside] = max(left[beside] - moved[c.site], 0.0)
    skipped = [0.0] * len(exons)
    for i in range(1, len(exons) - 1):
        skipped[i] = max(left[s] for s in (sites.acceptors[i], sites.donors[i]) if s)
    for i, (donor, acceptor) in enumerate(zip(sites.donors, sites.acceptors[1:])):
        assert donor is not None and acceptor is not None
        span = Span(exons[i].stop, exons[i + 1].start)
        size = line.length(span, in_alt=True)
        kept = _retained(sites, left, i, size)
        if kept:
            for j in (i, i + 1):
                skipped[j] = max(skipped[j] - kept, 0.0)
        if kept and size:  # where the variant deletes the intron, nothing of it can stay
            changed = tuple(sorted((donor, acceptor), key=lambda s: -s.lost))
            yield Event(
                Kind.WHOLE_INTRON_RETENTION,
                strength(kept),
                (i + 1, i + 2),
                span,
                size,
                changed,
                sites.molecule.joining(i),
            )
    yield from _skipped(line, sites, skipped)


def _retained(sites: _Sites, left: dict[Site, float], intron: int, size: int) -> float:
    """Probability with which an intron (index of the exon before it) stays."""
    donor, acceptor = sites.donors[intron], sites.acceptors[intron + 1]
    assert donor is not None and acceptor is not None
    kept = 0.0
    for own, other_end in (
        (donor, sites.acceptors[intron]),
        (acceptor, sites.donors[intron + 1]),
    ):
        if other_end is None:  # the first or the last exon, which cannot be skipped
            stays = size <= LONGEST_RETAINED
        else:
            stays = size <= SHORT_INTRON and other_end.lost < STAYS * own.lost
        if stays:
            kept = max(kept, left[own])
    return kept


def _skipped(line: Line, sites: _Sites, skipped: list[float]) -> Iterator[Event]:
    """Each exon that is skipped alone, and runs of them."""
    alone = list(skipped)
    for first, last in _runs(skipped):
        together = min(skipped[first : last + 1])
        for i in range(first, last + 1):
            alone[i] -= together
        yield _skipping(line, sites, first, last, together)
    for i, lost in enumerate(alone):
        if lost > 0:
            yield _skipping(line, sites, i, i, lost)


def _runs(skipped: list[float]) -> Iterator[tuple[int, int]]:
    """First and last index of neighbours that are skipped at about the same strength."""
    first = 0
    for i in range(1, len(skipped) + 1):
        joined = i < len(skipped) and _similar(skipped[i - 1], skipped[i])
        if not joined:
            if i - 1 > first:
                yield first, i - 1
            first = i


def _similar(a: float, b: float) -> bool:
    return min(a, b) >= max(FAINT, TOGETHER * max(a, b))


def _skipping(line: Line, sites: _Sites, first: int, last: int, lost: float) -> Event:
    exons = sites.molecule.exons[first : last + 1]
    ends = sites.acceptors[first : last + 1] + sites.donors[first : last + 1]
    changed = sorted((s for s in ends if s is not None), key=lambda s: -s.lost)
    return Event(
        Kind.EXON_SKIPPING if first == last else Kind.MULTI_EXON_SKIPPING,
        strength(lost),
        (first + 1, last + 1),
        Span(exons[0].start, exons[-1].stop),
        sum(line.length(e, in_alt=False) for e in exons),
        tuple(changed),
        sites.molecule.without(first, last),
    )


def _risen(line: Line, sites: _Sites) -> Iterator[Event]:
    """Exons of which more is included."""
    for i in range(1, len(sites.molecule.exons) - 1):
        acceptor, donor = sites.acceptors[i], sites.donors[i]
        assert acceptor is not None and donor is not None
        rise = min(acceptor.use.alt, donor.use.alt) - min(acceptor.use.ref, donor.use.ref)
        if rise > 0:
            span = sites.molecule.exons[i]
            changed = tuple(sorted((acceptor, donor), key=lambda s: -s.gained))
            yield Event(
                Kind.INCREASED_EXON_INCLUSION,
                strength(rise),
                (i + 1, i + 1),
                span,
                line.length(span, in_alt=True),
                changed,
                sites.molecule,
            )
