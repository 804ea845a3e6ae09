"""What is predicted of an allele in one gene, in plain words: what happens, by which cause, how
strongly, and what speaks against it. It never says that an allele is harmless."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import NamedTuple

from ..genomics.transcript import TranscriptMap
from ..genomics.window import Place
from ..model.bottleneck import BRANCH_POINT_CORE, is_learnt
from ..model.bundle import LearntMotif
from ..scoring.attribution import Attribution, Part, PartKind
from ..scoring.consequence import (
    FLOOR,
    Consequence,
    Event,
    Kind,
    LostElsewhere,
    Outcome,
    Site,
    exons_removed,
)
from ..scoring.deltas import SIGN, SITE_OF, Deltas
from ..scoring.message import Decay, Frame, Message, NoFrame

KEEPS = 0.3  # probability in ALT from which a site that an event gives up speaks against it
MOST_NAMED = 4  # transcripts
NAME = "acceptor", "donor"
_DECAY = {
    Decay.YES: "nonsense-mediated decay expected",
    Decay.LAST_EXON: "no decay expected: in the last exon",
    Decay.LAST_JUNCTION: "no decay expected: close to the last junction",
    Decay.START_PROXIMAL: "no decay expected: close to the start",
    Decay.LONG_EXON: "no decay expected: in a long exon",
    Decay.SINGLE_EXON: "no decay expected: a single exon",
    Decay.NO_STOP: "no stop codon up to the end",
}
_FRAME = {
    Frame.IN_FRAME: "in frame",
    Frame.FRAMESHIFT: "frameshift",
    Frame.STOP_LOST: "stop codon lost",
}
_NO_FRAME = {
    NoFrame.NONCODING: "the transcript has no coding sequence in the annotation",
    NoFrame.DIFFERS: "the transcript's sequence is not that of the genome",
    NoFrame.UTR5: "in the 5' UTR",
    NoFrame.UTR3: "in the 3' UTR",
    NoFrame.START_LOST: "start codon lost",
    NoFrame.SAME: "message unchanged",
}
_SKIPPING = (Kind.EXON_SKIPPING, Kind.MULTI_EXON_SKIPPING)
_OF_PARTS = {
    "gain": "gained",
    "loss": "lost",
    "stronger": "stronger",
    "weaker": "weaker",
}


class Around(NamedTuple):
    """What a verdict tells of beside deltas, causes and events.

    transcript  that it is of
    largest     the site of the largest delta, its `exon` that of this transcript
    annotated   whether any transcript of the gene has this site
    within      bases on either side of the variant in which sites are compared
    """

    transcript: TranscriptMap
    largest: Site
    annotated: bool
    within: int


def verdict(
    deltas: Deltas,
    causes: Iterable[Attribution],
    consequences: Sequence[Consequence],
    around: Around,
    learnt: Mapping[str, LearntMotif] = MappingProxyType({}),
    elsewhere: LostElsewhere | None = None,
) -> str:
    """One statement of an allele in one gene, of the first of its transcripts. `learnt`: as
    `Bundle.learnt`; `elsewhere`: as `lost_elsewhere` finds it."""
    removed = exons_removed(deltas.gaps, around.transcript)
    removal = _removal(removed, around.transcript) if removed else ""
    first_of_all = [f"{removal}."] * bool(removed)
    causes = list(causes)
    outcomes = consequences[0].outcomes if consequences else ()
    if deltas.values.max() < FLOOR:
        sentences = [*first_of_all, _no_statement(around)]
    elif not outcomes:
        change = _change_alone(around, elsewhere)
        sentences = [*first_of_all, change, *_cause(causes, None, deltas, learnt)]
    elif is_removal(outcomes[0].event, removed):
        event = outcomes[0].event
        sentences = [
            f"{removal}: {_reading(outcomes[0].message)}.",
            f"Strength {event.strength:.2f}: how much REF uses the splice sites.",
            *_also(outcomes[1:], removed),
        ]
    else:
        event = outcomes[0].event
        first = event.sites[0]
        sentences = [
            *first_of_all,
            f"{_change(first, _subject(first))}: {_what(event)}, {_reading(outcomes[0].message)}.",
            f"Strength {event.strength:.2f}.",
            *_cause(causes, first, deltas, learnt),
            *_against(event, consequences[0]),
            *_also(outcomes[1:], removed),
        ]
    return " ".join(sentences)


def _no_statement(around: Around) -> str:
    return (
        f"No predicted effect on splicing above {FLOOR:g} within {around.within:,} bases of the "
        "variant; that does not rule one out."
    )


def is_removal(event: Event, removed: Sequence[int]) -> bool:
    """Whether all exons that an event skips are deleted by the variant itself (`removed`)."""
    first, last = event.exons
    return event.kind in _SKIPPING and all(n in removed for n in range(first, last + 1))


def _removal(removed: Sequence[int], transcript: TranscriptMap) -> str:
    """That the variant itself deletes whole exons."""
    *before, last = removed
    if not before:
        exons = f"exon {last}"
    elif last - before[0] == len(before):
        exons = f"exons {before[0]} to {last}"
    else:
        exons = f"exons {', '.join(map(str, before))} and {last}"
    ends = (transcript.exons[number - 1] for number in removed)
    size = sum(end - start for start, end in ends)
    return f"The variant itself removes {exons} from the DNA, {_bases(size)}"


def _change_alone(around: Around, elsewhere: LostElsewhere | None) -> str:
    """The largest delta, where no event follows from it."""
    site = around.largest
    of_another = " of another transcript" * (elsewhere is None)
    subject = (
        NAME[site.kind].capitalize() + of_another if _is_of_another(around) else _subject(site)
    )
    change = _change(site, f"{subject}{_inside(around)} at {_at(site.place)}")
    if elsewhere is None:
        return f"{change}: no event that is strong enough to be named."
    names = [t.id for t in elsewhere.users]
    more = [f"{len(names) - MOST_NAMED} more"] if len(names) > MOST_NAMED else []
    *first, last = names[:MOST_NAMED] + more
    users = f"{', '.join(first)} and {last}" if first else last
    return f"{change}. It is no splice site of {elsewhere.transcript.id}, but one of {users}."


def _is_of_another(around: Around) -> bool:
    """Whether other transcripts have the site, and this one has not."""
    return around.annotated and around.largest.exon is None


def _inside(around: Around) -> str:
    """Of a site that is no end of an exon " in intron 4"; nothing of one outside the transcript."""
    site, own = around.largest, around.transcript
    if site.exon is not None:
        return ""
    if exon := own.exon_of(site.place.position):
        return f" in exon {exon}"
    intron = own.intron_of(site.place.position)
    return f" in intron {intron}" if intron else ""


def _at(place: Place) -> str:
    return f"{place.pos:,}" + (f"+{place.offset}" if place.offset else "")


def _subject(site: Site) -> str:
    """What a site is called."""
    name = NAME[site.kind]
    if site.exon is not None:
        return f"{name.capitalize()} of exon {site.exon}"
    return f"New {name}" if site.ref < FLOOR else f"Cryptic {name}"


def _change(site: Site, subject: str) -> str:
    """What a site does: "Donor of exon 23 lost (0.91 to 0.04)"."""
    if site.alt < site.ref:
        what = " lost" if site.alt < site.ref / 2 else " weaker"
    else:
        what = "" if site.exon is None and site.ref < FLOOR else " stronger"
    return f"{subject}{what} ({site.ref:.2f} to {site.alt:.2f})"


def _bases(count: int) -> str:
    return f"{count} base" + "s" * (count != 1)


def _what(event: Event) -> str:
    """What happens to the transcript."""
    first, last = event.exons
    bases = _bases(event.size)
    return {
        Kind.EXON_SKIPPING: f"exon {first} skipped, {bases}",
        Kind.MULTI_EXON_SKIPPING: f"exons {first} to {last} skipped, {bases}",
        Kind.PSEUDOEXON: f"a new exon of {bases} in intron {first}",
        Kind.PARTIAL_EXON_DELETION: _shorter_exon(event),
        Kind.PARTIAL_INTRON_RETENTION: f"{bases} of intron {first} retained",
        Kind.WHOLE_INTRON_RETENTION: f"intron {first} retained, {bases}",
        Kind.INCREASED_EXON_INCLUSION: f"exon {first} included more",
    }[event.kind]


def _shorter_exon(event: Event) -> str:
    """The variant may insert other bases of the exon, or delete some."""
    exon, bases = event.exons[0], _bases(event.size)
    if event.beside > 0:
        return f"exon {exon} without {bases} of its own, with {event.beside} more by the variant"
    less = f", and by {-event.beside} more by the variant itself" if event.beside else ""
    return f"exon {exon} shorter by {bases}{less}"


def _reading(message: Message) -> str:
    if message.why:
        return _NO_FRAME[message.why]
    parts = [_FRAME[message.frame]] if message.frame else []
    if message.stop:
        which = "the next one" if message.frame is Frame.STOP_LOST else "stop"
        parts.append(f"{which} in codon {message.stop}")
    if message.decay:
        parts.append(_DECAY[message.decay])
    return ", ".join(parts)


def _cause(
    causes: list[Attribution],
    site: Site | None,
    deltas: Deltas,
    learnt: Mapping[str, LearntMotif],
) -> Iterator[str]:
    """The strongest cause of the delta of a site, or of the largest delta where the site has none
    or there is no site. Sites of one motif that change in one way are one cause."""
    if not causes:
        return

    def is_of_site(cause: Attribution) -> bool:
        return (
            site is not None
            and deltas.places[cause.delta] == site.place
            and SITE_OF[cause.delta] == site.kind
            and (SIGN[cause.delta] > 0) == (site.alt > site.ref)
        )

    cause = max(causes, key=lambda c: (is_of_site(c), c.value))
    together = strongest_together(cause.parts)
    effect = sum(part.effect for part in together)
    if effect <= 0:
        return
    part, own = together[0], deltas.places[cause.delta]
    at_site = (part.position, part.offset) == own
    doubt = "" if part.agree == 1 else ", on whose sign the model's seeds do not agree"
    share = min(effect / cause.value, 1.0)
    named = _named(part, len(together), at_site, learnt)
    told = f"{named} ({share:.0%} of the change){doubt}."
    if site is None or is_of_site(cause):
        yield f"Cause: {told}"
    else:
        yield f"Cause of the largest delta, {_other_site(cause, own)}: {told}"


def strongest_together(parts: Sequence[Part]) -> list[Part]:
    """The parts that matter most together, strongest first: all sites of a motif with the same
    event that raise the delta, or a single part of another kind."""
    groups: dict[object, list[Part]] = {}
    for i, part in enumerate(parts):
        if part.effect > 0 and part.kind is not PartKind.REST:
            motif = part.kind is PartKind.MOTIF
            groups.setdefault((part.rbp, part.event) if motif else i, []).append(part)
    return max(groups.values(), key=lambda group: sum(part.effect for part in group), default=[])


def _other_site(cause: Attribution, place: Place) -> str:
    """What a delta is of: "the loss of the acceptor at 1500 (0.31)"."""
    what = "gain" if SIGN[cause.delta] > 0 else "loss"
    return f"the {what} of the {NAME[SITE_OF[cause.delta]]} at {_at(place)} ({cause.value:.2f})"


def _named(part: Part, sites: int, at_site: bool, learnt: Mapping[str, LearntMotif]) -> str:
    if part.kind is PartKind.SPACING:
        return "the spacing of the sites around"
    happened = _OF_PARTS.get(part.event, part.event)
    if part.rbp == BRANCH_POINT_CORE.name:
        return f"a branch point {happened}"
    if part.kind is PartKind.CORE:
        return "the splice site itself" if at_site else "another splice site nearby"
    some = "a site" if sites == 1 else f"{sites} sites"
    if not is_learnt(part.rbp):
        return f"{some} of {part.rbp} {happened}"
    if part.rbp not in learnt:
        return f"{some} of the learnt motif {part.rbp} {happened}"
    motif = learnt[part.rbp]
    like = f"like those of {' and '.join(name for name, _ in motif.nearest[:2])}"
    if motif.bound:
        like += f"; in cells {motif.bound[0].protein} binds such sites"
    return f"{some} of the learnt motif {part.rbp} ({like}) {happened}"


def _against(event: Event, consequence: Consequence) -> Iterator[str]:
    """What speaks against an event."""
    site = _given_up(event)
    if site is None:
        return
    name = NAME[site.kind]
    if site.alt >= KEEPS:
        yield f"Against it: the {name} of exon {site.exon} keeps {site.alt:.2f}."
    if not _may_be_replaced(event, site):
        return
    best = _rival(event, consequence, site)
    if best is None:
        gains = " gains by it" * bool(_others(event, consequence, site))
        yield f"No cryptic {name} within {consequence.searched} bases of the variant{gains}."
        return
    away = abs(best.column - site.column)
    where = "downstream" if best.column > site.column else "upstream"
    what = "new" if best.ref < FLOOR else "cryptic"
    yield (
        f"Against it: a {what} {name} {_bases(away)} {where} ({best.ref:.2f} to {best.alt:.2f})."
    )


def _may_be_replaced(event: Event, given_up: Site) -> bool:
    """Whether another site could take over from the one that is the event's cause."""
    return given_up in event.sites[:1] and event.kind is not Kind.PARTIAL_EXON_DELETION


def _others(event: Event, consequence: Consequence, given_up: Site) -> list[Site]:
    """The sites of its kind that the transcript does not use, nor the event."""
    return [c for c in consequence.cryptic if c.kind == given_up.kind and c not in event.sites]


def _rival(event: Event, consequence: Consequence, given_up: Site) -> Site | None:
    """The most probable site in ALT that gains, so that it could take over."""
    gaining = [c for c in _others(event, consequence, given_up) if c.alt - c.ref >= FLOOR]
    return max(gaining, key=lambda c: (c.alt, -abs(c.column - given_up.column)), default=None)


def sites_told(consequence: Consequence, removed: Sequence[int] = ()) -> list[Site]:
    """The splice sites that the verdict is about, in its order: those of its event, the one that
    speaks against it, those of weaker events. Those that were not scored are left out. `removed`:
    numbers of the exons that the variant itself deletes."""
    if not consequence.outcomes:
        return []
    event = consequence.outcomes[0].event
    given_up = None if is_removal(event, removed) else _given_up(event)
    sites = list(event.sites)
    if given_up and _may_be_replaced(event, given_up):
        rival = _rival(event, consequence, given_up)
        sites += [rival] if rival else []
    sites += [site for outcome in consequence.outcomes[1:] for site in outcome.event.sites]
    return [site for site in dict.fromkeys(sites) if site.scored]


def _given_up(event: Event) -> Site | None:
    """The first annotated site that loses by an event."""
    if event.kind is Kind.INCREASED_EXON_INCLUSION:
        return None
    return next((s for s in event.sites if s.exon is not None and s.alt < s.ref), None)


def _also(outcomes: Sequence[Outcome], removed: Sequence[int]) -> Iterator[str]:
    """Weaker events; what the variant itself removes has been told."""
    named = [
        f"{_what(o.event)} ({o.event.strength:.2f})"
        for o in outcomes
        if not is_removal(o.event, removed)
    ]
    if named:
        yield f"Also: {'; '.join(named)}."
