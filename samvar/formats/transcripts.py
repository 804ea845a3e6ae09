"""Rows of GTF and GFF3, in any order, joined into transcripts."""

from __future__ import annotations

import re
from array import array
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, MutableMapping, Sequence
from operator import itemgetter
from typing import Any, NamedTuple

from ..genomics.genes import Exons, Rank, Transcript, without_version
from .loci import Notes, merge

MAX_INTRON = 2_000_000  # bases; what lies further apart without a row that spans it is two copies
ALIKE = 0.1  # how much the lengths of an exon in two copies may differ, as a share
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
        columns = line.split("\t", 8)
        if len(columns) < 9:
            raise ValueError("not the nine columns of GTF or GFF3")
        contig, _, name, start, end, _, strand, phase, text = columns
        if "\t" in text:
            text = text[: text.index("\t")]
        if text[:1] == '"':  # a table program has quoted it
            text = text.strip()[1:-1].replace('""', '"')
        kind = kinds[name]
        if kind == CODING:
            kind = _CODING.get(phase, CODING)
        yield contig, kind, name, start, end, strand, text


def has_gtf_ids(attributes: str) -> bool:
    return bool(re.search(r'(gene_id|transcript_id)\s+"?[^=;]', attributes))


def has_gff3_ids(attributes: str) -> bool:
    return bool(re.search(r"(^|;)\s*(ID|Parent)=", attributes))


_RANKS = {
    "MANE_Select": Rank.MANE_SELECT,
    "MANE_Plus_Clinical": Rank.MANE_CLINICAL,
    "Ensembl_canonical": Rank.CANONICAL,
}


def rank_of(tags: Iterable[str]) -> Rank:
    """The best that the tags say, written with blanks (RefSeq) or without (Ensembl)."""
    return max([_RANKS.get(t.replace(" ", "_"), Rank.NONE) for t in tags], default=Rank.NONE)


_OTHER_LENGTH = re.compile(
    r"RefSeq transcript [^;\"]*(frameshift|indel|aligns at)[^;\"]* compared to this genomic"
)


def differs(notes: str) -> bool:
    """Whether RefSeq notes that a transcript's own sequence has more or fewer bases than the
    genome. Substitutions alone leave its positions where they are."""
    return "this genomic" in notes and bool(_OTHER_LENGTH.search(notes))


def with_version(name: str, version: str) -> str:
    """An id and the version that Ensembl gives beside it, unless the id has one itself."""
    return name if not version or without_version(name) != name else f"{name}.{version}"


_EXON_NUMBER = re.compile(r'[ ="]+([0-9]{1,8})')


def exon_number(attributes: str) -> int:
    """Which exon of its transcript a row is, in GTF or GFF3; 0 where it does not say."""
    at = attributes.find("exon_number")
    found = _EXON_NUMBER.match(attributes, at + len("exon_number")) if at >= 0 else None
    return int(found[1]) if found else 0


Interval = tuple[int, int]
Intervals = tuple[Interval, ...]
_KIND_BITS = 4  # of the number that packs a row's kind and, above it, its exon's number
_KIND = (1 << _KIND_BITS) - 1


class Draft:
    """What the rows of one transcript say so far: kind (and number of the exon), start, end
    (0-based, half-open) of each, one after the other."""

    __slots__ = "rank", "version", "differs", "placed", "numbers"

    def __init__(self) -> None:
        self.rank, self.version, self.differs = Rank.NONE, "", False
        self.placed = False  # by a row of its own; then the numbers of its exons say nothing more
        self.numbers = array("I")

    def add(self, kind: int, start: str, end: str, attributes: str = "") -> None:
        """A row's place, and the number of its exon, if its attributes say one and it may matter.
        Raises ValueError where that is no place."""
        if not (start.isdecimal() and end.isdecimal()):
            raise ValueError(f"start and end must be whole numbers, not {start!r} and {end!r}")
        first, last = int(start), int(end)
        if not 0 < first <= last < LIMIT:
            raise ValueError(_not_a_place(first, last))
        exon = exon_number(attributes) if kind == EXON and not self.placed else 0
        self.numbers.fromlist([kind | exon << _KIND_BITS, first - 1, last])

    def add_span(self, start: str, end: str) -> None:
        """The place of the transcript itself, which may stand without one."""
        if not start == end == ".":
            self.add(SPAN, start, end)
            self.placed = True

    def join(self, other: Draft) -> None:
        self.rank, self.version = max(self.rank, other.rank), self.version or other.version
        self.differs |= other.differs
        self.placed |= other.placed
        self.numbers.extend(other.numbers)

    def share(self, owners: Iterable[Draft]) -> None:
        """Each piece goes to that of the `owners` (this draft may be among them) whose own row is
        nearest to it, with what is known of the transcript. Where no owner has a row, all stay."""
        spans = sorted(
            ((*span, owner) for owner in owners for span in owner.places(SPAN)),
            key=itemgetter(0, 1),
        )
        if not spans:
            return
        known = Draft()
        known.rank, known.version, known.differs = self.rank, self.version, self.differs
        rows = list(self._rows())
        self.numbers = array("I")
        for packed, start, end in rows:
            is_piece = packed & _KIND in PIECES
            owner = spans[_nearest(start, end, spans)][-1] if is_piece else self
            owner.numbers.extend((packed, start, end))
            owner.join(known)

    def _rows(self) -> Iterator[tuple[int, int, int]]:
        """(kind and number of the exon, packed; start; end) of each row."""
        numbers = iter(self.numbers)
        return zip(*[numbers] * 3)

    def places(self, *kinds: int) -> list[Interval]:
        return [(start, end) for packed, start, end in self._rows() if packed & _KIND in kinds]

    @property
    def kinds(self) -> set[int]:
        """The kinds of the rows."""
        return {packed & _KIND for packed in self.numbers[::3]}

    def transcripts(
        self, name: str, strand: str, gene_spans: list[Interval], notes: Notes
    ) -> list[Transcript]:
        """The transcript, once for each place it has. Exons are those of exon rows, and CDS and UTR
        rows joined where no exon row lies."""
        own = self._pieces()
        if _overlap(sorted(set(own.spans))):
            if drafts := self._in_turn():
                notes.add(Notes.SPLIT, name)
                return [t for draft in drafts for t in draft.transcripts(name, strand, [], notes)]
            notes.add(Notes.JOINED, name)
        numbers = own.exons
        if others := _without_exon(own.utrs + [c[:2] for c in own.coding], numbers):
            if numbers:
                notes.add(Notes.FEW_EXONS, name)
            numbers |= dict.fromkeys(others, 0)
        parts = _copies(numbers, merge(own.spans or gene_spans, touching=False))
        if len(parts) > 1:
            notes.add(Notes.SPLIT, name)
        copies = [merge(part) for part in parts]
        if any(len(copy) < len(part) and _overlap(part) for copy, part in zip(copies, parts)):
            notes.add(Notes.OVERLAP, name)
        return [
            Transcript(
                with_version(name, self.version),
                Exons(copy),
                *_cds(own.coding, copy[0][0], copy[-1][1], strand),
                self.rank,
                self.differs,
            )
            for copy in copies
        ]

    def _in_turn(self) -> list[Draft]:
        """Copies told one after the other: the row of each, and then its pieces, which begin and
        end where it does. None, where that is not so."""
        copies = [Draft()]
        for packed, start, end in self._rows():
            if packed & _KIND == SPAN:
                copies.append(Draft())
                copies[-1].rank, copies[-1].version = self.rank, self.version
                copies[-1].differs = self.differs
            copies[-1].numbers.extend((packed, start, end))
        before, *copies = copies
        whole = all(_around(copy.places(*PIECES)) == copy.places(SPAN) for copy in copies)
        return copies if whole and not before.numbers else []

    def _pieces(self) -> _Pieces:
        pieces = _Pieces({}, [], [], [])
        for packed, start, end in self._rows():
            kind = packed & _KIND
            if kind == EXON:
                pieces.exons[start, end] = packed >> _KIND_BITS
            elif kind == SPAN:
                pieces.spans.append((start, end))
            elif kind == UTR:
                pieces.utrs.append((start, end))
            else:
                pieces.coding.append((start, end, kind))
        return pieces


class _Pieces(NamedTuple):
    """The rows of a transcript by kind: exons (each place once) with their numbers, stop codons
    among the coding rows."""

    exons: dict[Interval, int]
    coding: list[tuple[int, int, int]]  # start, end, kind
    utrs: list[Interval]
    spans: list[Interval]


def _without_exon(pieces: list[Interval], exons: Collection[Interval]) -> list[Interval]:
    """CDS and UTR rows, joined, that overlap no exon row."""
    ends = dict(pieces)
    if all(_meets(start, ends[start], exons) for start in ends.keys() - dict(exons).keys()):
        return []  # quick, for there are many transcripts
    return [run for run in merge(pieces) if not _meets(*run, exons)]


def _meets(start: int, end: int, exons: Iterable[Interval]) -> bool:
    for first, last in exons:  # quicker than any()
        if first < end and start < last:
            return True
    return False


def _cds(
    coding: list[tuple[int, int, int]], first: int, last: int, strand: str
) -> tuple[int, int, int]:
    """Start, end and phase of what is coding in exons from `first` to `last`. GTF has a row of its
    own for the stop codon, or for each part of it where an intron splits it."""
    rows = sorted(row for row in coding if row[0] < last and first < row[1])
    with_phase = [row for row in rows if row[2] != STOP]
    if not with_phase:
        return 0, 0, 0
    end = max(row[1] for row in rows)
    kind = with_phase[0][2] if strand == "+" else max(with_phase, key=itemgetter(1))[2]
    return max(rows[0][0], first), min(end, last), kind - CODING


def _around(pieces: list[Interval]) -> list[Interval]:
    """From the first to the last of them."""
    return [(min(pieces)[0], max(end for _, end in pieces))] if pieces else []


def _overlap(exons: list[Interval]) -> bool:
    return any(start < end for (_, end), (start, _) in zip(exons, exons[1:]))


def _not_a_place(first: int, last: int) -> str:
    if first < 1:
        return f"positions count from 1, not {first}"
    if last < first:
        return "an exon ends before it starts"
    return f"no contig is {last} bases long"


def _copies(numbers: dict[Interval, int], spans: Intervals) -> list[list[Interval]]:
    """Exons (ascending) of one id, taken apart where the id stands at several places: by the
    disjoint `spans` of its rows; where there are none, at gaps beyond `MAX_INTRON`, and where the
    `numbers` of the exons (0 where there are none) start again or the chain of exons repeats."""
    exons = sorted(numbers)
    if len(spans) == 1:
        return [exons]
    if spans:
        nearest: dict[int, list[Interval]] = {}
        for start, end in exons:
            nearest.setdefault(_nearest(start, end, spans), []).append((start, end))
        return [nearest[i] for i in sorted(nearest)]
    near: list[list[Interval]] = []
    for exon in exons:
        if near and exon[0] - near[-1][-1][1] <= MAX_INTRON:
            near[-1].append(exon)
        else:
            near.append([exon])
    numbered = [part for own in near for part in _by_number(own, [numbers[e] for e in own])]
    return [copy for part in numbered for copy in _repeats(part)]


def _nearest(start: int, end: int, spans: Sequence[tuple]) -> int:
    """Which of the spans (start, end, ...) is nearest, or reaches furthest over the interval."""
    away = [max(s - end, start - e) for s, e, *_ in spans]  # below 0: they overlap
    return away.index(min(away))


def _by_number(exons: list[Interval], numbers: list[int]) -> list[list[Interval]]:
    """Chains of exons, split where the exons' numbers start again. Along the genome they rise; on
    the minus strand of most files they fall."""
    if len(set(numbers)) == 1 or len(set(numbers)) == len(numbers) or 0 in numbers:
        return [exons]
    steps = [b - a for a, b in zip(numbers, numbers[1:])]
    falling = sum(s < 0 for s in steps) > sum(s > 0 for s in steps)
    direction = -1 if falling else 1
    starts = [i for i, step in enumerate(steps, 1) if step * direction <= 0]
    return [exons[i:j] for i, j in zip([0, *starts], [*starts, len(exons)])]


def _repeats(exons: list[Interval]) -> list[list[Interval]]:
    """Exons split into two or more chains of the same lengths, if they are such."""
    lengths = [end - start for start, end in exons]
    for n in range(2, len(exons) // 2 + 1):
        if len(exons) % n == 0 and _alike([lengths[i : i + n] for i in range(0, len(exons), n)]):
            return [exons[i : i + n] for i in range(0, len(exons), n)]
    return [exons]


def _alike(chains: list[list[int]]) -> bool:
    """Whether chains of exons, by their lengths, are copies: `ALIKE` for three exons or more, the
    same for two. Exons that are all of one length repeat in true genes, too (collagen)."""
    slack = ALIKE if len(chains[0]) > 2 else 0
    alike = all(max(own) - min(own) <= slack * min(own) for own in zip(*chains))
    return alike and max(chains[0]) - min(chains[0]) > 2 * slack * max(chains[0])


def inherit_strands(
    drafts: MutableMapping[Any, Draft], others: Iterable[tuple[str, ...]], notes: Notes
) -> None:
    """Give rows without a strand that of the other rows of their transcript (or gene, where they
    name none), if it is one; else they go. Keys of `drafts`, and of the `others` with a strand,
    are (names..., contig, strand)."""
    without = [key for key in drafts if key[-1] not in STRANDS]
    if not without:
        return
    strands: dict[tuple[str, str], set[str]] = defaultdict(set)
    for *names, contig, strand in others:
        if strand in STRANDS:
            for name in names:
                strands[name, contig].add(strand)
    for key in without:
        draft = drafts.pop(key)
        name = next(filter(None, key[:-2]))
        of_others = strands.get((name, key[-2]), ())
        if len(of_others) == 1:
            put(drafts, (*key[:-1], *of_others), draft)
        elif not PIECES.isdisjoint(draft.kinds):
            notes.add(Notes.NO_STRAND, name)


def tell_both_strands(drafts: Mapping[Any, Draft], notes: Notes) -> None:
    """Of one id, exons on a strand that lie among those on the other one, and meet none of them: no
    copies. Keys of `drafts` are (names..., contig, strand)."""
    for key, draft in drafts.items():
        if key[-1] == "+" and (other := drafts.get((*key[:-1], "-"))):
            one, two = draft.places(*PIECES), other.places(*PIECES)
            among = _overlap(sorted(_around(one) + _around(two)))
            if among and not any(_meets(*piece, two) for piece in one):
                notes.add(Notes.BOTH_STRANDS, next(filter(None, key)))


def put(drafts: MutableMapping[Any, Draft], key: tuple[str, ...], draft: Draft) -> None:
    """A draft under this key, joined to what is there."""
    if key in drafts:
        drafts[key].join(draft)
    else:
        drafts[key] = draft
