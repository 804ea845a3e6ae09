"""What a query is answered with: explanations of a variant, a region or an exon, and scans of
regions, within bounds."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from contextlib import suppress
from functools import cached_property
from typing import NamedTuple

from ..errors import HgvsError, RequestError, SamvarError, WrongBuildError
from ..formats.request import Description, Haplotype, Region, WrittenVariant, asked_for
from ..genomics.genome import decode
from ..genomics.hgvs import Locator
from ..genomics.variant import Status
from ..scorer import Scorer
from ..views.about import About, today
from ..views.explanation import Explanation, explain, explain_region, shortened
from ..views.heat_map import draw
from ..views.html import page, scan_page
from ..views.scan import COLUMNS, Place, Scored, exon_place, scan_on_worker
from ..views.text import to_dict

OTHER_SPELLINGS = (  # of CHR:POS:REF:ALT: CHR:POS REF>ALT, CHR-POS-REF-ALT, a line of a VCF
    re.compile(r"(\S+):([0-9,]+)\s+([A-Za-z]+)>([A-Za-z,]+)"),
    re.compile(r"([^\s:-]+)-([0-9]+)-([A-Za-z]+)-([A-Za-z,]+)"),
    re.compile(r"(\S+)\s+([0-9]+)\s+\S+\s+([A-Za-z]+)\s+([^\s>]+|<\S+>)(?:\s.*)?"),
)
PIECE = 20  # bases that are scanned before others have their turn
AROUND = 50  # bases on either side of an exon that belong to it, as in `samvar scan`
FORMS = (
    "a variant CHR:POS:REF:ALT (or CHR:POS REF>ALT, CHR-POS-REF-ALT, a line of a VCF) or in HGVS "
    "(NM_000059.4:c.8165C>G), a region CHR:START-END, or an "
    "exon GENE:exon N, as in BRCA1:exon 5"
)
NO_VARIANT = frozenset(  # of this genome: an error of whoever asks
    {Status.NON_ACGT, Status.NO_CONTIG, Status.CONTIG_END, Status.REF_MISMATCH}
)


class Bounds(NamedTuple):
    """How much is answered: `characters` of a query, `alts` of a variant, bases of a `region`;
    `lines` and bytes (`body`) of a batch; `requests` that are worked on or wait."""

    characters: int = 4000
    alts: int = 10
    region: int = 1000
    lines: int = 100
    body: int = 1 << 18
    requests: int = 64


BOUNDS = Bounds()


class Answer(NamedTuple):
    """Explanations of what was `asked` for, word for word; `query`: the same without blanks around
    it, a variant as CHR:POS:REF:ALT; `notes`: what an HGVS name left open."""

    asked: str
    query: str
    notes: tuple[str, ...]
    explanations: Sequence[Explanation]

    def to_dict(self) -> dict:
        """The explanations as `samvar explain --json` writes them, each with what its status
        says."""
        told = [to_dict(e) | dict(title=e.short_title, remark=e.remark) for e in self.explanations]
        asked = dict(asked=self.asked, query=self.query)
        return asked | dict(notes=list(self.notes), explanations=told)


def pieces(place: Place) -> Iterator[Place]:
    """The place in pieces that are scanned one after the other."""
    for start in range(place.start, place.end, PIECE):
        yield place._replace(start=start, end=min(start + PIECE, place.end))


class Scan(NamedTuple):
    """Every SNV of a region that was `asked` for, word for word, scored."""

    asked: str
    place: Place
    scanned: list[Scored]

    def to_dict(self) -> dict:
        """The rows of `samvar scan`, with null for what there is not."""
        rows = [dict.fromkeys(COLUMNS) | row for s in self.scanned for row in s.rows]
        contig, start, end = self.place
        asked = dict(asked=self.asked, query=self.asked.strip())
        return asked | dict(contig=contig, start=start + 1, end=end, rows=rows)


class Lookup:
    """Answers queries with one genome, one annotation and one model. Its methods are to be called
    on the scorer's workers."""

    def __init__(self, scorer: Scorer, bounds: Bounds = BOUNDS):
        self.scorer, self.bounds = scorer, bounds
        self.about = About.of(scorer.predictor.bundle, scorer.genome, scorer.annotation)
        with suppress(HgvsError):  # whoever asks for HGVS is told
            _ = self._locator

    @cached_property
    def _locator(self) -> Locator:
        return Locator(self.scorer.genome, self.scorer.annotation)

    def answer(self, written: str, knockouts: bool = False) -> Answer:
        """Explanations of each ALT, or of a region. `knockouts`: with each site also put back
        alone, as in `samvar explain`; else deltas are divided as `samvar annotate` does. Raises
        SamvarError where the query cannot be read, is beyond the bounds, or is no variant or
        region of this genome."""
        query = self._checked(written)
        asked = self._exon(query) or self._asked_for(query)
        if isinstance(asked, Region):
            contig, start, end = self._place(query, asked)
            s = self.scorer
            found = explain_region(s.genome, s.annotation, s.predictor, contig, start + 1, end)
            return Answer(written, query, (), [found])
        notes: tuple[str, ...] = ()
        if isinstance(asked, Description):
            located = self._locator.locate(asked.text)
            variant = WrittenVariant(located.contig, located.pos, located.ref, (located.alt,))
            notes = located.notes
        else:
            (variant,) = asked
        return Answer(written, query, notes, self._alleles(variant, knockouts))

    def page(self, answer: Answer) -> str:
        """The page of `samvar explain --html`."""
        about = self.about._replace(date=today())
        return page(answer.explanations, [about], answer.notes)

    def place(self, query: str) -> Place:
        """The region or exon whose SNVs are to be scored. Raises SamvarError where the query is
        none of this genome, or beyond the bounds."""
        query = self._checked(query)
        asked = self._exon(query) or self._asked_for(query)
        if not isinstance(asked, Region):
            raise RequestError(
                f"{query!r} is a variant: every SNV is scored of a region CHR:START-END or an exon "
                "GENE:exon N"
            )
        return self._place(query, asked)

    def scan(self, place: Place) -> list[Scored]:
        """Every SNV of the place, as `samvar scan` scores it."""
        s = self.scorer
        return scan_on_worker(s.genome, s.annotation, s.predictor, place, s.options)

    def scan_page(self, scan: Scan) -> str:
        """Heat map and table of a scan, as a page."""
        s = self.scorer
        picture = draw(s.genome, s.annotation, scan.place, scan.scanned, headline=False)
        return scan_page(scan.place, scan.scanned, picture, self.about._replace(date=today()))

    def _checked(self, query: str) -> str:
        """The query without blanks around it, a variant as CHR:POS:REF:ALT. Raises RequestError
        where it is empty or too long."""
        query = query.strip()
        if not query:
            raise RequestError(f"nothing is asked for: give {FORMS}")
        if len(query) > self.bounds.characters:
            raise RequestError(
                f"the query has {len(query):,} characters; {self.bounds.characters:,} are allowed"
            )
        spellings = (form.fullmatch(query) for form in OTHER_SPELLINGS)
        return next((":".join(m.groups()) for m in spellings if m), query)

    def _exon(self, query: str) -> Region | None:
        place = exon_place(query, self.scorer.genome, self.scorer.annotation, AROUND)
        return Region(place.contig, place.start + 1, place.end) if place else None

    def _asked_for(self, query: str) -> Region | Description | list[WrittenVariant]:
        try:
            asked = asked_for(query, self.scorer.genome.lengths)
        except RequestError as e:
            raise RequestError(f"{query!r} is none of these: {FORMS}") from e
        if isinstance(asked, Haplotype):
            raise RequestError(f"{query!r}: haplotypes are for `samvar explain`")
        return asked

    def _place(self, query: str, region: Region) -> Place:
        """Raises SamvarError where the region is not in the FASTA, or longer than is allowed."""
        genome, most = self.scorer.genome, self.bounds.region
        contig = genome.contig(region.contig)
        if contig is None:
            raise SamvarError(f"{query}: {genome.name} has no contig {region.contig}")
        length = genome.lengths[contig]
        if region.end > length:
            raise SamvarError(f"{query}: {contig} of {genome.name} has {length:,} bases")
        asked = region.end - region.start + 1
        if asked > most:
            where = f"{contig}:{region.start}-{region.end}"
            named = "" if query == where else f" ({where})"
            part = f"{contig}:{region.start}-{region.start + most - 1}"
            raise RequestError(
                f"{query}{named} has {asked:,} bases; {most:,} are allowed: ask for a part of it, "
                f"such as {part}"
            )
        return Place(contig, region.start - 1, region.end)

    def _alleles(self, variant: WrittenVariant, knockouts: bool) -> list[Explanation]:
        if len(variant.alts) > self.bounds.alts:
            raise RequestError(f"{len(variant.alts)} ALTs; {self.bounds.alts} are allowed")
        s = self.scorer
        explained = [
            explain(
                s.genome,
                s.annotation,
                s.predictor,
                variant.contig,
                variant.pos,
                variant.ref,
                alt,
                s.options,
                thorough=knockouts,
            )
            for alt in variant.alts
        ]
        if all(e.status in NO_VARIANT for e in explained):
            raise self._refusal(explained[0])
        return explained

    def _refusal(self, e: Explanation) -> SamvarError:
        genome = self.scorer.genome
        if e.status is not Status.REF_MISMATCH:
            return RequestError(f"{e.short_title}: {e.status.value} ({genome.name})")
        contig = genome.contig(e.contig)
        assert contig
        there = decode(genome.codes(contig, e.pos - 1, e.end))
        return WrongBuildError(
            f"{e.short_title}: {genome.name} has {shortened(there)} there: is the variant of "
            "another genome build?"
        )
