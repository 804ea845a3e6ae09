"""Rows of GTF and GFF3, in any order, joined into transcripts."""

from __future__ import annotations

import re
from array import array
from collections.abc import Iterable, Iterator
from operator import itemgetter

from ..genomics.genes import Exons, Rank, Transcript, without_version
from .loci import Notes, merge

MAX_INTRON = 2_000_000  # bases; what lies further apart without a row that spans it is two copies
LIMIT = 1 << 32  # bases of a contig
OTHER, SPAN, GENE, EXON, UTR, STOP, CODING, CODING_1, CODING_2 = range(9)
_CODING = {"1": CODING_1, "2": CODING_2}  # by the phase of the row, 0 or none but for these
_KINDS = {
    "exon": EXON,
    "cds": CODING,
    "gene": GENE,
    "transcript": SPAN,
    "mrna": SPAN,
    "stop_codon": STOP,
} | dict.fromkeys(
    ("utr", "5utr", "3utr", "utr5", "utr3", "5'-utr", "3'-utr", "five_prime_utr")
    + ("three_prime_utr", "start_codon", "coding_exon", "noncoding_exon", "pseudogenic_exon"),
    UTR,
)
CDS = CODING, CODING_1, CODING_2
PIECES = frozenset((EXON, UTR, STOP, *CDS))
STRANDS = frozenset("+-")


class _Kinds(dict):
    """Feature type -> kind, in any case."""

    def __missing__(self, name: str) -> int:
        return self.setdefault(name, _KINDS.get(name.lower(), OTHER))


Row = tuple[str, int, str, str, str, str, str]  # contig, kind, feature type, start, end, strand,
# attributes; plain tuples, for there are millions. Places are text: not every feature needs one


def rows(lines: Iterable[str]) -> Iterator[Row]:
    """The features of GTF or GFF3, up to a sequence. Raises ValueError at a line that is none."""
    kinds = _Kinds()
    for line in lines:
        if line[0] in "#>":
            if line.startswith(("##FASTA", ">")):
                return
            continue
        columns = line.split("\t", 9)
        if len(columns) < 9:
            raise ValueError("not the nine columns of GTF or GFF3")
        contig, _, name, start, end, _, strand, phase, text = columns[:9]
        if text[:1] == '"':  # a table program has quoted it
            text = text.strip()[1:-1].replace('""', '"')
        kind = kinds[name]
        if kind == CODING:
            kind = _CODING.get(phase, CODING)
        yield contig, kind, name, start, end, strand, text


def has_gtf_ids(attributes: str) -> bool:
    return bool(re.search(r'(gene_id|transcript_id)\s+"?[^=;]', attributes))


_RANKS = {
    "MANE_Select": Rank.MANE_SELECT,
    "MANE_Plus_Clinical": Rank.MANE_CLINICAL,
    "Ensembl_canonical": Rank.CANONICAL,
}


def rank_of(tags: Iterable[str]) -> Rank:
    """The best that the tags say, written with blanks (RefSeq) or without (Ensembl)."""
    return max((_RANKS.get(t.replace(" ", "_"), Rank.NONE) for t in tags), default=Rank.NONE)


_OTHER_LENGTH = re.compile(
    r"RefSeq transcript [^;\"]*(frameshift|indel|aligns at)[^;\"]* compared to this genomic"
)


def differs(notes: str) -> bool:
    """Whether RefSeq notes that a transcript's own sequence has more or fewer bases than the
    genome. Substitutions alone leave its positions where they are."""
    return "this genomic" in notes and bool(_OTHER_LENGTH.search(notes))


def with_version(name: str, version: str) -> str:
    """An id and the version that Ensembl gives beside it, unless the id tells one itself."""
    return name if not version or without_version(name) != name else f"{name}.{version}"


Intervals = tuple[tuple[int, int], ...]


class Draft:
    """What the rows of one transcript say so far: kind, start, end (0-based, half-open) of each,
    one after the other."""

    __slots__ = "rank", "version", "differs", "numbers"

    def __init__(self):
        self.rank, self.version, self.differs = Rank.NONE, "", False
        self.numbers = array("I")

    def add(self, kind: int, start: str, end: str) -> None:
        """A row's place. Raises ValueError where that is none."""
        if not (start.isdecimal() and end.isdecimal()):
            raise ValueError(f"start and end must be whole numbers, not {start!r} and {end!r}")
        first, last = int(start), int(end)
        if not 0 < first <= last < LIMIT:
            raise ValueError(_not_a_place(first, last))
        self.numbers.extend((kind, first - 1, last))

    def add_span(self, start: str, end: str) -> None:
        """The place of the transcript itself, which may stand without one."""
        if not start == end == ".":
            self.add(SPAN, start, end)

    def join(self, other: Draft) -> None:
        self.rank, self.version = max(self.rank, other.rank), self.version or other.version
        self.differs |= other.differs
        self.numbers.extend(other.numbers)

    def places(self, *kinds: int) -> list[tuple[int, int]]:
        numbers = iter(self.numbers)
        return [(start, end) for kind, start, end in zip(*[numbers] * 3) if kind in kinds]

    @property
    def kinds(self) -> set[int]:
        """The kinds of the rows."""
        return set(self.numbers[::3])

    def transcripts(
        self, name: str, strand: str, gene_spans: list[tuple[int, int]], notes: Notes
    ) -> list[Transcript]:
        """The transcript, once for each place it has. Exons are those of exon rows, else CDS and
        UTR rows joined."""
        exons = merge(self.places(EXON) or self.places(UTR, STOP, *CDS))
        copies = _copies(exons, merge(self.places(SPAN) or gene_spans))
        if len(copies) > 1:
            notes.add(Notes.SPLIT, name)
        return [
            Transcript(
                with_version(name, self.version),
                Exons(copy),
                *self._cds(copy, strand),
                self.rank,
                self.differs,
            )
            for copy in copies
        ]

    def _cds(self, exons: Intervals, strand: str) -> tuple[int, int, int]:
        """Start, end and phase of what is coding in these exons. GTF tells the stop codon, or what
        an intron leaves of it on either side, apart."""
        first, last = exons[0][0], exons[-1][1]
        numbers = iter(self.numbers)
        rows = [
            (start, end, kind)
            for kind, start, end in zip(*[numbers] * 3)
            if kind >= STOP and start < last and first < end
        ]
        coding = [row for row in rows if row[2] != STOP]
        if not coding:
            return 0, 0, 0
        start, end = max(min(rows)[0], first), min(max(row[1] for row in rows), last)
        kind = min(coding)[2] if strand == "+" else max(coding, key=itemgetter(1))[2]
        return start, end, kind - CODING


def _not_a_place(first: int, last: int) -> str:
    if first < 1:
        return f"positions count from 1, not {first}"
    if last < first:
        return "an exon ends before it starts"
    return f"no contig is {last} bases long"


def _copies(exons: Intervals, spans: Intervals) -> list[Intervals]:
    """Exons of one id, taken apart where the id stands at several places: by the disjoint `spans`
    of its rows; where there are none, at gaps beyond `MAX_INTRON`, and where the lengths of the
    exons repeat as a whole."""
    if len(spans) == 1:
        return [exons]
    if spans:
        nearest: dict[int, list[tuple[int, int]]] = {}
        for start, end in exons:
            away = [max(s - end, start - e, 0) for s, e in spans]
            nearest.setdefault(away.index(min(away)), []).append((start, end))
        return [tuple(nearest[i]) for i in sorted(nearest)]
    copies: list[list[tuple[int, int]]] = []
    for exon in exons:
        if copies and exon[0] - copies[-1][-1][1] <= MAX_INTRON:
            copies[-1].append(exon)
        else:
            copies.append([exon])
    return [tuple(copy) for near in copies for copy in _repeats(near)]


def _repeats(exons: list[tuple[int, int]]) -> list[list[tuple[int, int]]]:
    """Two or more equal chains of exons, apart. Exons that are all of one length repeat in true
    genes, too (collagen)."""
    lengths = [end - start for start, end in exons]
    for n in range(2, len(exons) // 2 + 1):
        unit = lengths[:n]
        if len(set(unit)) > 1 and unit * (len(exons) // n) == lengths:
            return [exons[i : i + n] for i in range(0, len(exons), n)]
    return [exons]
