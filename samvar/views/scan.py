"""Every change of a region: all SNVs and short deletions scored, or windows hidden from all binding
one after the other, as an antisense oligonucleotide hides them."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from typing import NamedTuple

import numpy as np

from ..annotate import CHUNK, Allele, Options, genes_over, one_ahead, score
from ..errors import SamvarError
from ..genomics.genes import Annotation, Gene
from ..genomics.genome import Genome, decode
from ..scoring.arrays import Floats
from ..scoring.deltas import NAMES, Delta
from ..scoring.effects import GeneEffect, ScoredAllele
from ..scoring.knockout import KINDS, SEEN, EditableAllele, region_window
from ..scoring.predictor import Predictor

MOST = 10_000  # bases of a region

_NUMBER = "([0-9][0-9,]{0,999})"  # int() refuses numbers of some thousand digits
_EXON = re.compile(r"(.+?)[: ]\s*exon\s*([0-9]{1,999})", re.IGNORECASE)
_REGION = re.compile(f"(.+):{_NUMBER}-{_NUMBER}")


class Place(NamedTuple):
    """What is scanned: bases start to end of a contig (0-based, half-open; the FASTA's name)."""

    contig: str
    start: int
    end: int


Value = str | int | float | None


Row = dict[str, Value]  # by column


class Largest(NamedTuple):
    """The largest delta of all genes, and the row of its gene."""

    delta: Delta
    row: Row


class Scored(NamedTuple):
    """A changed allele, and what is said of it.

    rows     of the table, one for each gene; one without a gene where it has no score
    largest  None without a score
    """

    allele: Allele
    rows: tuple[Row, ...]
    largest: Largest | None

    @classmethod
    def of(cls, allele: Allele, found: ScoredAllele) -> Scored:
        rows = tuple(_rows(allele, found))
        deltas = [
            Largest(delta, row)
            for effect, row in zip(found.genes, rows)
            for delta in effect.deltas.named
        ]
        return cls(allele, rows, max(deltas, key=lambda d: d.delta.value, default=None))


# ---------------------------------------------------------------------------------------- the place


def place_of(text: str, genome: Genome, annotation: Annotation, around: int) -> Place:
    """CHR:START-END (1-based, both included), or GENE:exon N: an exon of the gene's chosen
    transcript with `around` bases on either side. Raises SamvarError where there is no such place,
    or it is longer than MOST."""
    place = _region(text, genome) or exon_place(text, genome, annotation, around)
    if place is None:
        raise SamvarError(f"{text!r} is neither CHR:START-END nor GENE:exon N, as in BRCA1:exon 5")
    if place.end - place.start > MOST:
        raise SamvarError(f"{text} has more than {MOST:,} bases: scan it in pieces")
    return place


def _region(text: str, genome: Genome) -> Place | None:
    written = _REGION.fullmatch(text)
    if written is None:
        return None
    contig = genome.contig(written[1])
    if contig is None:
        raise SamvarError(f"{genome.name} has no contig {written[1]}")
    start, end = (int(written[i].replace(",", "")) for i in (2, 3))
    length = genome.lengths[contig]
    if start < 1:
        raise SamvarError(f"region {text}: positions count from 1")
    if end < start:
        raise SamvarError(f"region {text}: END is before START")
    if end > length:
        raise SamvarError(f"region {text}: END is beyond {contig}, which has {length:,} bases")
    return Place(contig, start - 1, end)


def exon_place(text: str, genome: Genome, annotation: Annotation, around: int) -> Place | None:
    """The place of GENE:exon N as in `place_of`, however long; None for a text of another form.
    Raises SamvarError where there is no such exon."""
    written = _EXON.fullmatch(text)
    if written is None:
        return None
    name, number = written[1], int(written[2])
    known = ((genome.contig(g.contig), g) for g in annotation.genes)
    genes = [(contig, gene) for contig, gene in known if contig]
    found = [(contig, gene) for contig, gene in genes if name in (gene.symbol, gene.id)]
    if len(found) != 1:
        many = "several genes" if found else "no gene"
        told = f"the annotation has {many} {name} on contigs of the FASTA"
        raise SamvarError(told + ("" if found else _other_case(name, genes)))
    contig, gene = found[0]
    exons = list(gene.chosen.exons)[:: 1 if gene.strand == "+" else -1]
    if not 1 <= number <= len(exons):
        raise SamvarError(f"{gene.chosen.id} of {name} has exons 1 to {len(exons)}, not {number}")
    start, end = exons[number - 1]
    return Place(contig, max(start - around, 0), min(end + around, genome.lengths[contig]))


def _other_case(name: str, genes: Iterable[tuple[str, Gene]]) -> str:
    """A hint at the symbol or id that is this one but for its case; nothing without one."""
    known = (own for _, gene in genes for own in (gene.symbol, gene.id))
    meant = next((own for own in known if own.casefold() == name.casefold()), None)
    return f": is {meant} meant?" if meant else ""


# ------------------------------------------------------------------------------------- every change


def changes(genome: Genome, place: Place, deletions: Iterable[int] = ()) -> Iterator[Allele]:
    """All SNVs, and all deletions of these sizes, within the place, by position; no unknown bases
    are changed."""
    first = max(place.start - 1, 0)  # a deletion is written with the base before
    bases = decode(genome.codes(place.contig, first, place.end))
    sizes = sorted(set(deletions))
    for at in range(place.start, place.end):
        i = at - first
        if bases[i] not in "ACGT":
            continue
        for alt in "ACGT".replace(bases[i], ""):
            yield Allele(place.contig, at + 1, bases[i], alt)
        for size in sizes:
            gone = bases[i - 1 : i + size] if i else ""
            if len(gone) == size + 1 and "N" not in gone:
                yield Allele(place.contig, at, gone, gone[0])


def scan(
    genome: Genome,
    annotation: Annotation,
    predictor: Predictor,
    place: Place,
    deletions: Iterable[int],
    options: Options,
) -> Iterator[Scored]:
    """Every one of `changes`, scored."""
    wanted = changes(genome, place, deletions)
    chunks = iter(lambda: list(islice(wanted, CHUNK)), [])
    started = ((c, score(genome, annotation, predictor, c, options)) for c in chunks)
    for alleles, found in one_ahead(started):
        yield from map(Scored.of, alleles, found)


def scan_on_worker(
    genome: Genome, annotation: Annotation, predictor: Predictor, place: Place, options: Options
) -> list[Scored]:
    """Every SNV of the place, scored by the worker that calls this."""
    alleles = list(changes(genome, place))
    found = score(genome, annotation, predictor, alleles, options, on_worker=True)
    return list(map(Scored.of, alleles, found))


COLUMNS: tuple[str, ...] = (
    "CHROM", "POS", "REF", "ALT", "STATUS", "SYMBOL", *(f"DS_{n}" for n in NAMES),
    *(f"DP_{n}" for n in NAMES), "CAUSE_OF", "CAUSE", "CAUSE_EVENT", "CAUSE_POS", "CAUSE_EFFECT",
)  # fmt: skip


def cells(row: Row) -> tuple[str, ...]:
    """A row as it is written to a table: probabilities with four decimals, "." for what there is
    not."""
    values = (row.get(column) for column in COLUMNS)
    return tuple(
        "." if v is None else f"{v:.4f}" if isinstance(v, float) else str(v) for v in values
    )


def _rows(allele: Allele, found: ScoredAllele) -> Iterator[Row]:
    """One for each gene: deltas, and the strongest cause of the largest."""
    contig, pos, ref, alt = allele
    start: Row = dict(CHROM=contig, POS=pos, REF=ref, ALT=alt, STATUS=found.status.name)
    if not found.genes:
        yield start
    for effect in found.genes:
        named = effect.deltas.named
        yield (
            start
            | dict(SYMBOL=effect.gene.symbol)
            | {f"DS_{d.name}": round(d.value, 4) for d in named}
            | {f"DP_{d.name}": d.place.pos - pos for d in named}
            | _cause(effect)
        )


def _cause(effect: GeneEffect) -> Row:
    """Delta, name, event, position (1-based) and effect of the strongest site that is named."""
    for cause in sorted(effect.causes, key=lambda c: -c.value)[:1]:
        sites = [(p, p.position) for p in cause.parts if p.position is not None]
        if sites:
            part, position = sites[0]
            return dict(
                CAUSE_OF=NAMES[cause.delta],
                CAUSE=part.rbp,
                CAUSE_EVENT=part.event,
                CAUSE_POS=position + 1,
                CAUSE_EFFECT=round(part.effect, 4),
            )
    return {}


# ------------------------------------------------------------------------------ hidden from binding


class HiddenSite(NamedTuple):
    """A splice site of which hidden windows are told; `position` 0-based."""

    kind: str
    position: int
    annotated: bool


@dataclass(frozen=True)
class Hidden:
    """Sites of a gene while windows are hidden.

    starts       first base (0-based) of each window
    width        bases of a window
    sites        those shown
    plain        (sites,): probability with nothing hidden
    probability  (windows, sites)
    """

    gene: Gene
    contig: str
    starts: tuple[int, ...]
    width: int
    sites: tuple[HiddenSite, ...]
    plain: Floats
    probability: Floats


def without_windows(genome: Genome, annotation: Annotation, place: Place, width: int) -> list[Gene]:
    """The genes over the place in whose part of it no window of so many bases lies. Raises
    SamvarError where that is so of all of them, or there is none."""
    genes = genes_over(genome, annotation, place.contig, place.start, place.end)
    where = f"{place.contig}:{place.start + 1:,}-{place.end:,}"
    if not genes:
        raise SamvarError(f"there is no gene at {where}")
    parts = [(g, min(place.end, g.end) - max(place.start, g.start)) for g in genes]
    if max(length for _, length in parts) < width:
        raise SamvarError(f"no window of {width} bases lies in {where} and a gene there")
    return [gene for gene, length in parts if length < width]


def walk(
    genome: Genome,
    annotation: Annotation,
    predictor: Predictor,
    place: Place,
    widths: Iterable[int],
) -> Iterator[Hidden]:
    """Each gene over the place, for each width that fits into its part of it: every window hidden,
    one after the other. A core or motif site is hidden when its centre is. The sites shown are
    annotated ones in the place, and others that reach SEEN with or without a window hidden."""
    for gene in genes_over(genome, annotation, place.contig, place.start, place.end):
        start, end = max(place.start, gene.start), min(place.end, gene.end)
        window = region_window(genome, gene, place.contig, start, end, predictor)
        allele = EditableAllele.make(predictor, window)
        annotated = gene.sites()
        for width in (w for w in widths if w <= end - start):
            starts = tuple(range(start, end - width + 1))
            found = allele.hidden([(s - start, s - start + width) for s in starts])
            largest = np.maximum(allele.probability, found.max(0, initial=0))
            shown = [
                (kind, at)
                for kind in range(len(KINDS))
                for at in range(start, end)
                if at in annotated[kind] or largest[kind, at - start] >= SEEN
            ]
            kinds, columns = [k for k, _ in shown], [at - start for _, at in shown]
            yield Hidden(
                gene,
                place.contig,
                starts,
                width,
                tuple(HiddenSite(KINDS[k], at, at in annotated[k]) for k, at in shown),
                allele.probability[kinds, columns],
                found[:, kinds, columns],
            )


WALK_COLUMNS: tuple[str, ...] = (
    "CHROM", "START", "END", "WIDTH", "SYMBOL", "SITE", "SITE_POS", "ANNOTATED", "PROBABILITY",
    "HIDDEN", "CHANGE",
)  # fmt: skip


def walk_rows(h: Hidden) -> Iterator[tuple[str, ...]]:
    """Rows of the table: a window (1-based, both ends included) and a site."""
    for start, row in zip(h.starts, h.probability):
        for (kind, at, annotated), before, after in zip(h.sites, h.plain, row):
            yield (
                h.contig,
                str(start + 1),
                str(start + h.width),
                str(h.width),
                h.gene.symbol,
                kind,
                str(at + 1),
                str(int(annotated)),
                f"{before:.4f}",
                f"{after:.4f}",
                f"{after - before:.4f}",
            )
