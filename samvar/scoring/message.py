"""What becomes of the message: reading frame, premature stop and decay of a molecule, and its name
in HGVS."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from itertools import accumulate
from typing import NamedTuple

import numpy as np

from ..genomics.genome import decode, encode
from ..genomics.hgvs import numbered
from ..genomics.transcript import TranscriptMap
from .line import Line, Span

START = encode("ATG")
STOPS = np.stack([encode(codon) for codon in ("TAA", "TAG", "TGA")])
NEAR_JUNCTION = 50  # bases; a stop so near before the last junction escapes decay
NEAR_START = 150  # bases from the start codon, within which a stop escapes
LONG_EXON = 400  # bases; a stop in a longer exon escapes
COMPARED = 30  # bases at a start codon and beside it, by which it is known again
MOST_OTHER = 3  # ... of which so many may be others
UNTOLD = "r.(?)"  # where what changes reaches an end of the transcript, or its bases are not known


class Molecule(NamedTuple):
    """The exons of a transcript, spans of a line in transcript orientation."""

    exons: tuple[Span, ...]

    def replacing(self, index: int, exon: Span) -> Molecule:
        """One exon with other ends."""
        return Molecule((*self.exons[:index], exon, *self.exons[index + 1 :]))

    def including(self, index: int, exon: Span) -> Molecule:
        """One more exon, after that at `index`."""
        return Molecule((*self.exons[: index + 1], exon, *self.exons[index + 1 :]))

    def without(self, first: int, last: int) -> Molecule:
        """Without the exons from index `first` to `last`."""
        return Molecule((*self.exons[:first], *self.exons[last + 1 :]))

    def joining(self, index: int) -> Molecule:
        """The exon at `index` and the next one as one, with the intron between them."""
        joined = Span(self.exons[index].start, self.exons[index + 1].stop)
        return Molecule((*self.exons[:index], joined, *self.exons[index + 2 :]))


class Frame(Enum):
    """Whether the bases that the coding sequence loses or gains are a multiple of three; or that
    reading goes on to where the annotated stop codon was, and that is gone."""

    IN_FRAME = "in_frame"
    FRAMESHIFT = "frameshift"
    STOP_LOST = "stop_lost"


class Decay(Enum):
    """Whether nonsense-mediated decay is to be expected of a stop that is not the annotated one:
    yes, or the exception that it falls under."""

    YES = "yes"
    LAST_EXON = "no_last_exon"
    LAST_JUNCTION = f"no_within_{NEAR_JUNCTION}_of_last_junction"
    START_PROXIMAL = "no_start_proximal"
    LONG_EXON = "no_long_exon"
    SINGLE_EXON = "no_single_exon"
    NO_STOP = "no_stop"


class NoFrame(Enum):
    """Why there is nothing to say of the reading frame."""

    NONCODING = "noncoding"
    DIFFERS = "differs"
    UTR5 = "utr5"
    UTR3 = "utr3"
    START_LOST = "start_lost"
    SAME = "unchanged"


class Message(NamedTuple):
    """What is read of a molecule.

    frame     None where `why` says that there is nothing to say of it
    stop      codon in which reading ends, the start codon being 1; None where that is the
              annotated stop, or there is none
    decay     of that stop
    why       there is no frame
    """

    frame: Frame | None = None
    stop: int | None = None
    decay: Decay | None = None
    why: NoFrame | None = None


@dataclass(frozen=True, eq=False)
class Reader:
    """Reads the molecules that ALT makes of a transcript, and compares them with its own in REF.

    coding  from the first base of the start codon to the last of the stop codon; None without
    before  the bases of `molecule` in REF
    end     column of the first base of the annotated stop codon; None where REF has none there
    stops   columns of the stop codons before it in its frame: those for selenocysteine
    """

    line: Line
    transcript: TranscriptMap
    molecule: Molecule
    coding: Span | None
    before: Spliced
    end: int | None
    stops: frozenset[int]

    @classmethod
    def of(cls, line: Line, transcript: TranscriptMap, molecule: Molecule) -> Reader:
        before = Spliced.of(line, molecule, in_alt=False)
        cds = transcript.transcript.cds
        if not cds:
            return cls(line, transcript, molecule, None, before, None, frozenset())
        first, last = sorted((line.column(cds[0][0]), line.column(cds[-1][1] - 1)))
        begin, final = before.find(first), before.find(last)
        assert begin is not None and final is not None
        end = int(before.columns[final - 2])
        stops = before.stops(begin + transcript.transcript.phase)
        earlier = frozenset(stop for stop in stops if stop < end)
        coding = Span(first, last + 1)
        return cls(
            line, transcript, molecule, coding, before, end if end in stops else None, earlier
        )

    def read(self, molecule: Molecule) -> Message:
        """The message of a molecule of ALT, from the annotated start on."""
        coding, before = self.coding, self.before
        if molecule == self.molecule:
            return Message(why=NoFrame.SAME)
        if coding is None:
            return Message(why=NoFrame.NONCODING)
        if self.transcript.gapped:
            return Message(why=NoFrame.DIFFERS)
        after = Spliced.of(self.line, molecule, in_alt=True)
        changed = np.setxor1d(_columns(self.molecule), _columns(molecule))
        begin = self._start_of(after, molecule)
        if begin is None:
            return Message(why=NoFrame.START_LOST)
        first_codon = begin + self.transcript.transcript.phase
        stops = after.stops(first_codon)
        stop = next((s for s in stops if s not in self.stops), None)
        if self.end is None or stop == self.end:  # the variant itself may change what is read
            if changed.max() < coding.start:
                return Message(why=NoFrame.UTR5)
            if changed.min() >= coding.stop:
                return Message(why=NoFrame.UTR3)
        coded = int(np.searchsorted(after.columns, coding.stop)) - begin
        shifted = (coded - before.bases_in(coding)) % 3
        frame = Frame.FRAMESHIFT if shifted else Frame.IN_FRAME
        if self.end is None:  # an annotation that ends before its stop codon
            if stop is None or stop >= coding.stop - 3:
                return Message(frame)
        elif stop == self.end:
            return Message(frame)
        elif (stop is None or stop > self.end) and self._stop_lost(after, first_codon):
            frame = Frame.STOP_LOST
        at = None if stop is None else after.find(stop)
        if at is None:
            return Message(frame, decay=Decay.NO_STOP)
        return Message(frame, (at - first_codon) // 3 + 1, _decay(after, begin, at))

    def _start_of(self, after: Spliced, molecule: Molecule) -> int | None:
        """Where the bases of a molecule of ALT have the annotated start codon. Other first codons
        than ATG, which an annotation may begin with, are known by where they stand. A gap that cuts
        ATG may have another placement that leaves it whole: ATG then stands where all that is
        gained or lost lies behind it, or before it, with the bases of REF on its other side."""
        assert self.coding is not None
        column = self.coding.start
        begin = after.find(column)
        if self.transcript.transcript.phase or not _same(self.before.codon(column), START):
            stays = _same(after.codon_columns(column), self.before.codon_columns(column))
            return begin if stays else None
        if begin is not None and _same(after.codon(column), START):
            return begin
        own = Spliced.of(self.line, molecule, in_alt=False)
        at = own.find(column)
        if at is None:
            return None
        later = at + len(START)
        first = max(later - COMPARED, 0)
        moved = max(at + len(after.codes) - len(own.codes), 0)
        gap_behind = _alike(after.codes[first:], own.codes[first:later])
        gap_before = _alike(after.codes[moved:], own.codes[at : at + COMPARED])
        for place, possible in ((at, gap_behind), (moved, gap_before)):
            if possible and _same(after.codes[place : place + len(START)], START):
                return place
        return None

    def _stop_lost(self, after: Spliced, first_codon: int) -> bool:
        """Whether a molecule has nothing of the annotated stop codon, or other bases there in its
        frame."""
        assert self.end is not None
        at = after.find(self.end)
        return at is None or (at - first_codon) % 3 == 0

    def name(self, molecule: Molecule, span: Span) -> str:
        """HGVS of a molecule of ALT that differs from the transcript in the bases of a span. What
        the variant changes within it is repeated, also what it deletes or inserts right beside;
        what it changes elsewhere is not."""
        if self.transcript.gapped:
            return UNTOLD
        after = Spliced.of(self.line, molecule, in_alt=True)
        columns = np.union1d(self.before.columns, after.columns)
        of_ref = np.isin(columns, self.before.columns, assume_unique=True)
        of_alt = np.isin(columns, after.columns, assume_unique=True)
        shared = np.flatnonzero(of_ref & of_alt)
        following = int(np.searchsorted(columns[shared], span.start))
        around = shared[max(following - 1, 0) : following + 1]
        if not 0 < following < len(shared):
            return UNTOLD
        run = slice(around[0] + 1, around[1])
        gone, new = columns[run][of_ref[run]], columns[run][of_alt[run]]
        bases = f"ins{self._inserted(after, new)}" if len(new) else ""
        if len(gone):
            return f"r.({self._label(gone[0], gone[-1])}del{bases})"
        return f"r.({self._label(*columns[around])}{bases})"

    def _inserted(self, after: Spliced, columns: np.ndarray) -> str:
        """Bases that a molecule has and the transcript has not: those of the genome by their
        places, those that the variant brings, inserted or in place of others, by their letters."""
        brought = self.line.brought(columns)
        breaks = (np.diff(columns) != 1) | (brought[1:] != brought[:-1])
        first = np.concatenate(([0], np.flatnonzero(breaks) + 1))
        pieces = [
            decode(after.bases(piece)).lower().replace("t", "u")
            if of_alt
            else self._label(piece[0], piece[-1])
            for piece, of_alt in zip(np.split(columns, first[1:]), brought[first])
        ]
        return pieces[0] if len(pieces) == 1 else f"[{';'.join(pieces)}]"

    def _label(self, first: int, last: int) -> str:
        """Bases of the genome from one column to another, in the numbering of the transcript."""
        places = [self.transcript.place(self.line.place(int(c)).position) for c in (first, last)]
        names = [numbered(self.transcript, place) for place in places if place]
        return "_".join(dict.fromkeys(names))


class Spliced(NamedTuple):
    """The bases of a molecule: the column and the code of each (n,), and where its exons end."""

    columns: np.ndarray
    codes: np.ndarray
    ends: tuple[int, ...]

    @classmethod
    def of(cls, line: Line, molecule: Molecule, in_alt: bool) -> Spliced:
        parts = [line.bases(exon, in_alt) for exon in molecule.exons]
        return cls(
            np.concatenate([p.columns for p in parts]),
            np.concatenate([p.codes for p in parts]),
            tuple(accumulate(len(p.columns) for p in parts)),
        )

    def find(self, column: int) -> int | None:
        """Where a column stands; None where it does not."""
        at = int(np.searchsorted(self.columns, column))
        return at if at < len(self.columns) and self.columns[at] == column else None

    def bases_in(self, span: Span) -> int:
        """Bases in a span."""
        first, last = np.searchsorted(self.columns, span)
        return int(last - first)

    def codon(self, column: int) -> np.ndarray:
        """Codes of the three bases from that on."""
        at = np.searchsorted(self.columns, column)
        return self.codes[at : at + 3]

    def codon_columns(self, column: int) -> np.ndarray:
        """Columns of the three bases from that on."""
        at = np.searchsorted(self.columns, column)
        return self.columns[at : at + 3]

    def bases(self, columns: np.ndarray) -> np.ndarray:
        """Codes of the bases of columns that it has."""
        return self.codes[np.searchsorted(self.columns, columns)]

    def stops(self, begin: int) -> list[int]:
        """Columns of the first bases of all stop codons in the frame of base `begin`."""
        whole = (len(self.codes) - begin) // 3 * 3
        codons = self.codes[begin : begin + whole].reshape(-1, 3)
        ends = (codons[:, None] == STOPS).all(2).any(1)
        return [int(column) for column in self.columns[begin : begin + whole : 3][ends]]


def _same(some: np.ndarray, other: np.ndarray) -> bool:
    return np.array_equal(some, other)


def _alike(codes: np.ndarray, expected: np.ndarray) -> bool:
    """Whether bases begin as is expected, but for a few single ones."""
    given = codes[: len(expected)]
    return len(given) == len(expected) and int((given != expected).sum()) <= MOST_OTHER


def _columns(molecule: Molecule) -> np.ndarray:
    return np.concatenate([np.arange(*exon) for exon in molecule.exons])


def _decay(alt: Spliced, begin: int, stop: int) -> Decay:
    """What becomes of a molecule whose stop codon starts at base `stop`, the start codon at
    `begin`."""
    if len(alt.ends) == 1:
        return Decay.SINGLE_EXON
    last_junction = alt.ends[-2]
    if stop >= last_junction:
        return Decay.LAST_EXON
    if last_junction - (stop + 3) < NEAR_JUNCTION:
        return Decay.LAST_JUNCTION
    if stop + 3 - begin < NEAR_START:
        return Decay.START_PROXIMAL
    exon = next(i for i, end in enumerate(alt.ends) if stop < end)
    length = alt.ends[exon] - (alt.ends[exon - 1] if exon else 0)
    return Decay.LONG_EXON if length > LONG_EXON else Decay.YES
