"""Alleles in cis: those of one haplotype that lie within one frame are scored together, too.

Records pass through in order. Each waits until no further record can lie in the frames of its
alleles; what an allele's haplotypes make of its genes is then scored on the workers, each set of
alleles once, and the record goes on.
"""

from __future__ import annotations

from collections import Counter, OrderedDict, deque
from collections.abc import Callable, Container, Iterable, Iterator, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from itertools import chain, pairwise
from typing import NamedTuple

import numpy as np

from .formats.vcf.genotypes import Call, genotypes
from .formats.vcf.record import Record
from .genomics.genes import Gene
from .genomics.haplotype import overlapping, place
from .genomics.variant import MOST_SHIFT, Variant
from .scoring.consequence import Kind
from .scoring.effects import GeneEffect, ScoredAllele

MOST_HAPLOTYPES = 5  # of an allele in a gene that are scored, those that most samples have
MOST_HELD = 1000  # records that wait for those after them
WAITING = 256  # records whose haplotypes are being scored
OWN = -1  # number of the record that others are partners of

Score = Callable[[Gene, Sequence[Variant]], Future[GeneEffect | None]]


class Part(NamedTuple):
    """An ALT of a record with a score; `number` as genotypes name it, from 1."""

    record: Record
    number: int
    scored: ScoredAllele

    @property
    def variant(self) -> Variant:
        return self.scored.genes[0].window.variant

    @property
    def name(self) -> str:
        """As the record has it."""
        return f"{self.record.pos}_{self.record.ref}_{self.scored.alt}"

    def effect_on(self, gene: Gene) -> GeneEffect | None:
        """Its effect on a gene, None where it does not lie in that."""
        return next((e for e in self.scored.genes if e.gene is gene), None)


class Joint(NamedTuple):
    """What an allele (of `alt`) and its `partners` on one haplotype do to a gene together.
    `copies`: how many haplotypes of the samples have just these, `sample` (number, from 0) the
    first."""

    alt: str
    partners: tuple[Part, ...]
    copies: int
    sample: int
    effect: GeneEffect


class InCis(NamedTuple):
    """A record with its alleles and what haplotypes make of them."""

    record: Record
    alleles: list[ScoredAllele]
    joint: tuple[Joint, ...] = ()


@dataclass
class Counts:
    """Of a run: sets of alleles of one haplotype that were scored together in a gene; those that
    were not since the alleles overlap, with the first pair that does; those beyond
    `MOST_HAPLOTYPES`; the records that could not wait for all after them; and those with a score
    that have not a genotype for each sample, with where the first stands."""

    scored: int = 0
    overlapping: int = 0
    first_overlapping: str = ""
    beyond: int = 0
    crowded: int = 0
    without_genotypes: int = 0
    first_without_genotypes: str = ""


class Haplotypes:
    """`within`: bases on either side of an allele's span that its frame has. `score`: has the
    effect of variants on one haplotype on a gene found, None where there is none. `samples`: how
    many the header names. A joint effect is reported where
    a delta, or the strength of an event, differs by more than `least` from the largest that one of
    the alleles has alone; events below `event_min` count as that strong."""

    def __init__(
        self,
        score: Score,
        within: int,
        samples: int,
        least: float,
        event_min: float,
    ):
        self.counts = Counts()
        self._score = score
        self._within, self._samples = within, samples
        self._least, self._event_min = least, event_min
        self._place = "", 0  # contig and POS of the record that came last
        self._open: deque[_Held] = deque()  # in order
        self._past: deque[_Held] = deque(maxlen=MOST_HELD)  # may be partners of those
        self._waiting: deque[_Started] = deque()
        self._known: OrderedDict[tuple, Future[GeneEffect | None] | None] = OrderedDict()

    def of(self, scored: Iterable[tuple[Record, list[ScoredAllele]]]) -> Iterator[InCis]:
        """All records, in order; those that are not sorted have no partners."""
        for record, alleles in scored:
            if record.contig:
                self._start_before(record)
            self._open.append(self._held(record, alleles))
            yield from self._done(WAITING)
        self._start_all()
        yield from self._done(0)

    def _held(self, record: Record, alleles: list[ScoredAllele]) -> _Held:
        parts = [Part(record, i, a) for i, a in enumerate(alleles, 1) if a.genes]
        if not parts:
            return _Held(record, alleles, [], {})
        found = genotypes(record, self._samples)
        if not found.complete:
            counts = self.counts
            counts.without_genotypes += 1
            counts.first_without_genotypes = counts.first_without_genotypes or record.where
        return _Held(record, alleles, parts, found.calls)

    def _start_before(self, coming: Record) -> None:
        """Score the haplotypes of the records in whose frames no other from this one on lies."""
        contig, pos = self._place
        if coming.contig != contig or coming.pos < pos:
            self._start_all()
            self._past.clear()
        self._place = coming.contig, coming.pos
        while self._open and self._open[0].last + self._within < coming.pos - 1:
            self._start()
        if len(self._open) >= MOST_HELD:
            self.counts.crowded += 1
            self._start()
        first = self._open[0].record if self._open else coming
        while self._past and self._past[0].last + self._within + MOST_SHIFT < first.pos - 1:
            self._past.popleft()

    def _start_all(self) -> None:
        while self._open:
            self._start()

    def _start(self) -> None:
        """Score the haplotypes of the first open record."""
        held = self._open.popleft()
        jobs = [
            _Job(own, effect.gene, chosen, future)
            for own in held.parts
            if (near := self._near(own))
            for effect in own.scored.genes
            for chosen in self._most_frequent(held, own, effect.gene, near)
            if (future := self._future(effect.gene, (own, *chosen.partners)))
        ]
        self._waiting.append(_Started(held.record, held.alleles, jobs))
        self._past.append(held)

    def _done(self, most: int) -> Iterator[InCis]:
        """The first of the records that wait, until there are no more than so many."""
        while len(self._waiting) > most:
            yield self._waiting.popleft().finished(self._differs)

    def _near(self, own: Part) -> list[_Held]:
        """Other records with alleles that lie in the frame of a part."""
        others = chain(self._past, self._open)
        return [h for h in others if any(self._in_frame(own, p) for p in h.parts)]

    def _in_frame(self, own: Part, other: Part) -> bool:
        low, high = own.variant.span
        start, end = other.variant.span
        return low - self._within <= start and end <= high + self._within

    def _most_frequent(
        self, held: _Held, own: Part, gene: Gene, near: list[_Held]
    ) -> list[_Chosen]:
        """Partners of a part on the haplotypes of all samples, as far as they lie in the gene."""
        copies: Counter[tuple[_Allele, ...]] = Counter()
        samples: dict[tuple[_Allele, ...], int] = {}
        found: dict[_Allele, Part] = {}
        for i, h in enumerate(near):
            for p in h.parts:
                if p.effect_on(gene) and self._in_frame(own, p):
                    found[_Allele(i, p.number)] = p
        for sample, call in held.calls.items():
            others = [(i, h.calls[sample]) for i, h in enumerate(near) if sample in h.calls]
            for key, n in _partners(call, own.number, others, found).items():
                if key:
                    copies[key] += n
                    samples.setdefault(key, sample)
        ranked = copies.most_common()
        self.counts.beyond += max(len(ranked) - MOST_HAPLOTYPES, 0)
        return [
            _Chosen(tuple(found[p] for p in key), n, samples[key])
            for key, n in ranked[:MOST_HAPLOTYPES]
        ]

    def _future(self, gene: Gene, parts: tuple[Part, ...]) -> Future[GeneEffect | None] | None:
        """The effect of parts on a gene, to come; None where they can't be scored together."""
        ordered = sorted(parts, key=lambda p: place(p.variant))
        changes = (
            (v.start, v.ref.tobytes(), v.alt.tobytes()) for v in (p.variant for p in ordered)
        )
        key = id(gene), *changes  # the annotation keeps its genes
        if key not in self._known:
            self._known[key] = self._submitted(gene, ordered)
            if len(self._known) > WAITING:
                self._known.popitem(last=False)
        return self._known[key]

    def _submitted(self, gene: Gene, parts: list[Part]) -> Future[GeneEffect | None] | None:
        variants = [p.variant for p in parts]
        if overlapping(variants):
            self.counts.overlapping += 1
            pairs = (p for p in pairwise(parts) if overlapping([one.variant for one in p]))
            one, other = next(pairs)
            where = f"{one.record.contig}:{one.name} and {other.name}"
            self.counts.first_overlapping = self.counts.first_overlapping or where
            return None
        self.counts.scored += 1
        return self._score(gene, variants)

    def _differs(self, joint: GeneEffect, singles: Sequence[GeneEffect]) -> bool:
        """Whether alleles do together what none of them does alone."""
        alone = np.max([e.deltas.values for e in singles], axis=0)
        if np.abs(joint.deltas.values - alone).max() > self._least:
            return True
        together, *each = map(_strengths, (joint, *singles))
        least = self._event_min
        return any(
            abs(together.get(key, least) - max(one.get(key, least) for one in each)) > self._least
            for key in set(together).union(*each)
        )


@dataclass(eq=False)
class _Held:
    """A record that may be in the frame of others."""

    record: Record
    alleles: list[ScoredAllele]
    parts: list[Part]
    calls: dict[int, Call]

    @property
    def last(self) -> int:
        """0-based end of what its alleles change; 0 where there is nothing to be scored."""
        return max((p.variant.span[1] for p in self.parts), default=0)


class _Allele(NamedTuple):
    """An ALT of one of the records in a frame."""

    record: int
    number: int


class _Chosen(NamedTuple):
    partners: tuple[Part, ...]
    copies: int
    sample: int


class _Job(NamedTuple):
    own: Part
    gene: Gene
    chosen: _Chosen
    future: Future[GeneEffect | None]


class _Started(NamedTuple):
    record: Record
    alleles: list[ScoredAllele]
    jobs: list[_Job]

    def finished(self, differs: Callable[[GeneEffect, Sequence[GeneEffect]], bool]) -> InCis:
        told = []
        for own, gene, chosen, future in self.jobs:
            joint = future.result()
            alone = [e for p in (own, *chosen.partners) if (e := p.effect_on(gene))]
            if joint and differs(joint, alone):
                told.append(Joint(own.scored.alt, *chosen, joint))
        return InCis(self.record, self.alleles, tuple(told))


def _partners(
    call: Call, allele: int, others: list[tuple[int, Call]], counted: Container[_Allele]
) -> Counter[tuple[_Allele, ...]]:
    """What lies on the haplotypes of a sample that have an allele: the partners among `counted`,
    and on how many haplotypes. `others`: calls of the sample, with the numbers of the records.

    What all haplotypes have lies on each of them. Else a phase set says so, which must be that of
    the allele; an allele on all haplotypes is in every set. A call without a phase is a set of its
    own. Nothing says which haplotypes of two sets are one: each set then tells its own partners,
    and a haplotype with none of them is one that no set gives any.
    """

    def lying(phase_set: str | int | None, haplotype: int) -> tuple[_Allele, ...]:
        told = ((at, _on(c, at, phase_set, haplotype)) for at, c in others)
        alleles = (_Allele(at, number) for at, number in told if number)
        return tuple(own for own in alleles if own in counted)

    if call.alike != allele:
        own_set = _set(call, OWN)
        return Counter(lying(own_set, i) for i, own in enumerate(call.alleles) if own == allele)
    on_all = lying(None, 0)
    with_no_more = len(call.alleles)
    found: Counter[tuple[_Allele, ...]] = Counter()
    for phase_set, n in {
        _set(c, at): len(c.alleles) for at, c in others if c.alike is None
    }.items():
        of_set = Counter(lying(phase_set, i) for i in range(n))
        with_no_more = min(with_no_more, of_set.pop(on_all, 0))
        found.update(of_set)
    found[on_all] = with_no_more
    return +found


def _set(call: Call, at: int) -> str | int:
    """What calls whose haplotypes belong together have in common; `at`: number of the record."""
    return call.phase_set if call.phase_set is not None else at


def _on(call: Call, at: int, phase_set: str | int | None, haplotype: int) -> int | None:
    """The allele of a haplotype of a set (None: of none), None where a call does not tell."""
    if call.alike is not None:
        return call.alike
    told = _set(call, at) == phase_set and haplotype < len(call.alleles)
    return call.alleles[haplotype] if told else None


def _strengths(effect: GeneEffect) -> dict[tuple[str, Kind, object, object], float]:
    """The events of each transcript."""
    return {
        (c.transcript.id, o.event.kind, o.first, o.last): o.event.strength
        for c in effect.consequences
        for o in c.outcomes
    }
