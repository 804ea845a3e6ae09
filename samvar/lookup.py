"""Scores that `samvar precompute` has written, looked up."""

from __future__ import annotations

import os
import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import KW_ONLY, dataclass
from functools import cached_property
from typing import NamedTuple
from urllib.parse import unquote

import pysam

from . import __version__, info
from .errors import SamvarError, VcfError
from .files import ends_whole
from .formats.vcf.record import split_info
from .genomics.genes import Annotation, Choice, Gene
from .genomics.genome import Genome, decode
from .genomics.hgvs import hgvs_c
from .genomics.transcript import TranscriptMap
from .genomics.variant import Status, Variant
from .scoring.effects import ScoredAllele
from .scoring.predictor import Predictor

MARK = (
    f"##samvar_scores=<ID=scores,Version={__version__},Description="
    '"All SNVs, and all insertions and deletions of one base, in genes; for annotate --scores">'
)
INDEXES = ("csi", "tbi")  # the first is the finer one
NEAR = 1 << 9  # bases between alleles that are read in one go
ROWS = {f.key: f for f in (info.SCORE, info.EVENT, info.RBP)}  # what is packed, by its key
PLACES = slice(9, 13)  # columns of SAMVAR that are relative to POS
OTHER_OPTIONS = (  # that change no score of a short allele
    "max_allele",
    "allow_ref_mismatch",
    "spliceai_compat",
    "hgvs_out",
    "phased",
    "hap_min",
)

Cells = list[str]  # the columns of a row, as they are written


class Spelled(NamedTuple):
    """A change of one base as a file of scores has it: the FASTA's contig, POS (1-based) of the
    left-most place, REF, ALT."""

    contig: str
    pos: int
    ref: str
    alt: str


def spelled(genome: Genome, variant: Variant) -> Spelled | None:
    """A variant as a file of scores has it, None where it has no such variants."""
    gone, new = len(variant.ref), len(variant.alt)
    if gone == new == 1:
        return Spelled(variant.contig, variant.start + 1, decode(variant.ref), decode(variant.alt))
    if gone + new != 1:
        return None
    placed = variant.placed(variant.start - variant.left)
    before = decode(genome.codes(variant.contig, placed.start - 1, placed.start))
    ref, alt = before + decode(placed.ref), before + decode(placed.alt)
    return Spelled(variant.contig, placed.start, ref, alt)


class Entry(NamedTuple):
    """A record of a file of scores: POS (1-based), SAMVAR_STATUS, SAMVAR_MAX, and the rows of the
    packed fields."""

    pos: int
    status: Status
    max: float | None
    rows: dict[str, list[Cells]]

    @classmethod
    def of(cls, pos: int, line: str) -> Entry:
        _, entries, _ = split_info(line.encode())
        values = dict(e.decode().partition("=")[::2] for e in entries)
        largest = values[info.MAX.key]
        rows = {key: values[key].split(",") if key in values else [] for key in ROWS}
        return cls(
            pos,
            Status[values[info.STATUS.key]],
            None if largest == "." else float(largest),
            {key: [row.split("|") for row in own] for key, own in rows.items()},
        )


@dataclass(frozen=True, eq=False)
class LookedUp(ScoredAllele):
    """An ALT whose rows are known, but not what they were made of: it has no `genes`.

    pos      of the record (1-based), which may spell the allele otherwise than `entry`
    variant  what it changes
    loci     the genes that it lies in, in the order of the rows of SAMVAR
    """

    _: KW_ONLY
    entry: Entry
    pos: int
    genome: Genome
    variant: Variant
    loci: tuple[Gene, ...]

    @property
    def max(self) -> float | None:
        return self.entry.max

    def rows(self) -> dict[info.Field, list[str]]:
        """The rows of SAMVAR, SAMVAR_EVENT and SAMVAR_RBP for the record."""
        return {f: ["|".join(cells) for cells in self._cells[key]] for key, f in ROWS.items()}

    def hgvs_rows(self, transcripts: Choice) -> list[str]:
        """The rows of SAMVAR_HGVS."""
        named = [
            (gene, transcript, TranscriptMap.of(gene, transcript))
            for gene, _ in zip(self.loci, self._cells[info.SCORE.key])
            for transcript in gene.selected(transcripts)
        ]
        return [
            info.hgvs_row(self.alt, gene, transcript, hgvs_c(own, self.variant, self.genome))
            for gene, transcript, own in named
        ]

    def table(self) -> list[tuple[Cells, list[Cells]]]:
        """Of each gene the columns of SAMVAR, and those of its events from TRANSCRIPT on."""
        events: dict[int, list[Cells]] = defaultdict(list)
        for _, symbol, *cells in map(_plain, self._cells[info.EVENT.key]):
            owner = next(
                i
                for i, gene in enumerate(self.loci)
                if gene.symbol == symbol and any(t.id == cells[0] for t in gene.transcripts)
            )
            events[owner].append(cells)
        scores = self._cells[info.SCORE.key]
        return [(_plain(cells), events[i]) for i, cells in enumerate(scores)]

    @cached_property
    def _cells(self) -> dict[str, list[Cells]]:
        """The rows with the record's own ALT, and places relative to its own POS."""
        alt, shift = info.escape(self.alt), self.entry.pos - self.pos
        own = {key: [[alt, *cells[1:]] for cells in rows] for key, rows in self.entry.rows.items()}
        for cells in own[info.SCORE.key]:
            cells[PLACES] = [_moved(place, shift) for place in cells[PLACES]]
        return own


def _moved(place: str, shift: int) -> str:
    position, plus, offset = place.partition("+")
    return f"{int(position) + shift}{plus}{offset}"


def _plain(cells: Cells) -> Cells:
    """Without what `info.escape` does."""
    return ["" if cell == "." else unquote(cell) for cell in cells]


def identity(
    genome: Genome, annotation: Annotation, predictor: Predictor, params: str
) -> dict[str, str]:
    """All that scores depend on, by name: version, checksums, options. `params`: as in a
    header."""
    return dict(
        version=__version__,
        model=predictor.bundle.sha256,
        reference=genome.digest(),
        annotation=annotation.digest,
        **_values(params),
    )


def _values(params: str) -> dict[str, str]:
    given = dict(part.partition("=")[::2] for part in params.split(","))
    return {key: value for key, value in given.items() if key not in OTHER_OPTIONS}


class Scores:
    """A file of scores. Raises SamvarError where it is none, or damaged."""

    def __init__(self, path: str):
        self.path = path
        if not os.path.isfile(path):
            raise SamvarError(f"cannot read scores {path}: there is no such file")
        indexes = [f"{path}.{kind}" for kind in INDEXES if os.path.exists(f"{path}.{kind}")]
        if not indexes:
            raise SamvarError(f"{path} has no index: make one with bcftools index -m 9 {path}")
        try:
            if not ends_whole(path):
                raise SamvarError(f"{path} is truncated, or not compressed by bgzip")
            self._file = pysam.TabixFile(path, index=indexes[0])
            self._header = list(self._file.header)
            contigs = set(self._file.contigs)
        except (OSError, ValueError) as e:
            raise SamvarError(f"cannot read scores {path}: {e}") from e
        if not self._meta("scores"):
            raise SamvarError(f"{path} is no file of samvar precompute")
        md5 = [re.match(r"<ID=(.*),Md5=(\w+)>", line) for line in self._meta("contig")]
        self._md5 = {found[1]: found[2] for found in md5 if found and found[1] in contigs}
        self._checked: set[str] = set()

    def _meta(self, key: str) -> list[str]:
        start = f"##samvar_{key}="
        return [line.removeprefix(start) for line in self._header if line.startswith(start)]

    def check(self, identity: dict[str, str]) -> None:
        """Raises SamvarError where the scores were not made with what has this `identity`."""
        (mark, *_), (params, *_) = self._meta("scores"), self._meta("params") or [""]
        own = dict(version=_value(mark, "Version"), **_values(params))
        for key in ("model", "reference", "annotation"):
            own[key] = _value("".join(self._meta(key)), "Sha256")
        differ = [
            f"{key} ({own.get(key) or 'none'}, here {identity.get(key, 'none')})"
            for key in dict.fromkeys([*identity, *own])
            if own.get(key) != identity.get(key)
        ]
        if differ:
            raise SamvarError(
                f"{self.path} was made with another {', another '.join(differ)}: give what it was "
                "made with, or make it again with samvar precompute"
            )

    def find(self, genome: Genome, variants: Sequence[Variant]) -> list[Entry | None]:
        """What the file has of each. Raises SamvarError where the sequence of a contig is not that
        which the scores were made with."""
        wanted = [spelled(genome, variant) for variant in variants]
        contigs: dict[str, set[Spelled]] = defaultdict(set)
        for allele in wanted:
            if allele and allele.contig in self._md5:
                contigs[allele.contig].add(allele)
        found: dict[Spelled, Entry] = {}
        for contig, alleles in contigs.items():
            self._check_bases(genome, contig)
            found |= self._read(contig, alleles)
        return [allele and found.get(allele) for allele in wanted]

    def _check_bases(self, genome: Genome, contig: str) -> None:
        if contig not in self._checked and genome.md5(contig) != self._md5[contig]:
            raise SamvarError(
                f"{self.path} was made with other bases of {contig} than {genome.path} has (MD5)"
            )
        self._checked.add(contig)

    def _read(self, contig: str, alleles: set[Spelled]) -> Iterator[tuple[Spelled, Entry]]:
        try:
            for first, last in _stretches({allele.pos for allele in alleles}):
                for line in self._file.fetch(contig, first - 1, last):
                    _, pos, _, ref, alt, _ = line.split("\t", 5)
                    allele = Spelled(contig, int(pos), ref, alt)
                    if allele in alleles:
                        yield allele, Entry.of(allele.pos, line)
        except (OSError, ValueError, KeyError) as e:
            raise VcfError(f"{self.path} or its index is damaged, or edited: {e!r}") from e


def _value(line: str, key: str) -> str:
    found = re.search(rf"{key}=([^,>]*)", line)
    return found[1] if found else ""


def _stretches(positions: Iterable[int]) -> Iterator[tuple[int, int]]:
    """First and last of positions that are NEAR each other, ascending."""
    first = last = 0
    for pos in sorted(positions):
        if first and pos - last > NEAR:
            yield first, last
            first = 0
        first, last = first or pos, pos
    yield first, last
