"""What becomes of the message: reading frame, premature stop and decay of a molecule, and its name
in HGVS."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from itertools import accumulate
from typing import NamedTuple

import numpy as np

from ..genomics.genome import encode
from ..genomics.hgvs import numbered
from ..genomics.transcript import TranscriptMap
from .line import Line, Span

STOPS = np.stack([encode(codon) for codon in ("TAA", "TAG", "TGA")])
NEAR_JUNCTION = 50  # bases; a stop so near before the last junction escapes decay
NEAR_START = 150  # bases from the start codon, within which a stop escapes
LONG_EXON = 400  # bases; a stop in a longer exon escapes
UNTOLD = "r.(?)"  # where an end of what changes lies within an insertion


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
    """Whether the bases that the coding sequence loses or gains are a multiple of three."""

    IN_FRAME = "in_frame"
    FRAMESHIFT = "frameshift"


class Decay(Enum):
    """Whether nonsense-mediated decay is to be expected of a premature stop: yes, or the exception
    that it falls under."""

    YES = "yes"
    LAST_EXON = "no_last_exon"
    LAST_JUNCTION = f"no_within_{NEAR_JUNCTION}_of_last_junction"
    START_PROXIMAL = "no_start_proximal"
    LONG_EXON = "no_long_exon"
    SINGLE_EXON = "no_single_exon"


class NoFrame(Enum):
    """Why there is nothing to say of the reading frame."""

    NONCODING = "noncoding"
    UTR5 = "utr5"
    UTR3 = "utr3"
    START_LOST = "start_lost"
    SAME = "unchanged"


class Message(NamedTuple):
    """What is read of a molecule.

    frame     None where `why` says that there is nothing to say of it
    stop      codon of the first premature stop, the start codon being 1; None without one
    decay     of a premature stop
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
    stops   columns of the stop codons in its frame, those for selenocysteine among them
    """

    line: Line
    transcript: TranscriptMap
    molecule: Molecule
    coding: Span | None
    before: Spliced
    stops: frozenset[int]

    @classmethod
    def of(cls, line: Line, transcript: TranscriptMap, molecule: Molecule) -> Reader:
        before = Spliced.of(line, molecule, in_alt=False)
        cds = transcript.transcript.cds
        if not cds:
            return cls(line, transcript, molecule, None, before, frozenset())
        first, last = sorted((line.column(cds[0][0]), line.column(cds[-1][1] - 1)))
        begin = before.find(first)
        assert begin is not None
        stops = before.stops(begin + transcript.transcript.phase)
        return cls(line, transcript, molecule, Span(first, last + 1), before, frozenset(stops))

    def read(self, molecule: Molecule) -> Message:
        """The message of a molecule of ALT, from the annotated start on."""
        coding, before = self.coding, self.before
        if molecule == self.molecule:
            return Message(why=NoFrame.SAME)
        if coding is None:
            return Message(why=NoFrame.NONCODING)
        changed = np.setxor1d(_columns(self.molecule), _columns(molecule))
        if changed.max() < coding.start:
            return Message(why=NoFrame.UTR5)
        if changed.min() >= coding.stop:
            return Message(why=NoFrame.UTR3)
        after = Spliced.of(self.line, molecule, in_alt=True)
        begin, start_codon = after.find(coding.start), before.codon(coding.start)
        if begin is None or not np.array_equal(after.codon(coding.start), start_codon):
            return Message(why=NoFrame.START_LOST)
        shifted = (after.bases_in(coding) - before.bases_in(coding)) % 3
        frame = Frame.FRAMESHIFT if shifted else Frame.IN_FRAME
        first_codon = begin + self.transcript.transcript.phase
        stop = self._premature(after.stops(first_codon))
        at = None if stop is None else after.find(stop)
        if at is None:
            return Message(frame)
        return Message(frame, (at - first_codon) // 3 + 1, _decay(after, begin, at))

    def _premature(self, stops: list[int]) -> int | None:
        """The first stop that REF does not have, unless the annotated end comes before it."""
        assert self.coding is not None
        for stop in stops:
            if stop >= self.coding.stop - 3:
                return None
            if stop not in self.stops:
                return stop
        return None

    def deletion(self, span: Span) -> str:
        """HGVS of a molecule without the bases of a span, whose ends are exonic."""
        ends = self._labels(span)
        return f"r.({ends}del)" if ends else UNTOLD

    def insertion(self, around: Span, span: Span) -> str:
        """HGVS of a molecule with the intronic bases of a span between the ends of `around`."""
        own, outer = self._labels(span), self._labels(around)
        return f"r.({outer}ins{own})" if own and outer else UNTOLD

    def _labels(self, span: Span) -> str:
        """The ends of a span in the numbering of the transcript; "" where they have no number."""
        ends = self.line.place(span.start), self.line.place(span.stop - 1)
        places = [self.transcript.place(end.position) for end in ends if not end.offset]
        names = [numbered(self.transcript, place) for place in places if place]
        return "_".join(dict.fromkeys(names)) if len(names) == 2 else ""


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
        """Columns of the three bases from that on."""
        at = np.searchsorted(self.columns, column)
        return self.columns[at : at + 3]

    def stops(self, begin: int) -> list[int]:
        """Columns of the first bases of all stop codons in the frame of base `begin`."""
        whole = (len(self.codes) - begin) // 3 * 3
        codons = self.codes[begin : begin + whole].reshape(-1, 3)
        ends = (codons[:, None] == STOPS).all(2).any(1)
        return [int(column) for column in self.columns[begin : begin + whole : 3][ends]]


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
