"""Peaks of in-vivo binding (CLIP): a file of narrowPeak or BED, plain or gzipped, or a folder of
such files with ENCODE's metadata.tsv or without.

Columns: contig, start, end (0-based, half-open), name, score, strand; more are not read. Protein
and cell line come from metadata.tsv, by the file's name up to the first point ("File accession",
"Experiment target", "Biosample term name"); where that has no such file from the column of names,
PROTEIN_CELL or PROTEIN_CELL_..., of which PROTEIN alone leaves the cell line unsaid.
"""

from __future__ import annotations

import csv
import hashlib
import os
from bisect import bisect_left
from collections import defaultdict
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from ..errors import PeakError
from ..files import text_lines
from ..genomics.genome import ContigNames, Genome
from ..model.bundle import sha256_file
from .transcripts import STRANDS

METADATA = "metadata.tsv"
SUFFIXES = (".bed", ".bed.gz", ".narrowPeak", ".narrowPeak.gz")
ACCESSION, TARGET, CELL = "File accession", "Experiment target", "Biosample term name"
UNSAID = "yes"  # the cell line of a peak whose name is that of a protein alone


class Peak(NamedTuple):
    """[start, end), 0-based, of a contig's strand, where a protein was found in a cell line."""

    contig: str
    start: int
    end: int
    strand: str
    protein: str
    cell_line: str

    def reaching(self, extend5: int) -> tuple[int, int]:
        """[start, end) with so many bases more at the 5' end, where the crosslink is."""
        if self.strand == "+":
            return self.start - extend5, self.end
        return self.start, self.end + extend5


class Peaks:
    """All peaks, with a look-up by interval; `name` and `digest` (sha256) say what was read."""

    def __init__(self, peaks: Iterable[Peak], path: str = "", digest: str = ""):
        self.path, self.digest = path, digest
        self.name = os.path.basename(os.path.normpath(path))
        self._sorted: dict[tuple[str, str], list[Peak]] = defaultdict(list)
        for peak in peaks:
            self._sorted[peak.contig, peak.strand].append(peak)
        for own in self._sorted.values():
            own.sort(key=lambda peak: (peak.start, peak.end))
        self._contigs = ContigNames(contig for contig, _ in self._sorted)
        self._longest = {
            key: max(peak.end - peak.start for peak in own) for key, own in self._sorted.items()
        }
        self.proteins = frozenset(p.protein for own in self._sorted.values() for p in own)

    def overlapping(self, contig: str, strand: str, start: int, end: int) -> list[Peak]:
        """Those that have a base in [start, end), 0-based, of a strand; in order of their start.
        The contig by any of its names."""
        key = self._contigs.find(contig) or "", strand
        own = self._sorted.get(key, [])
        first = bisect_left(own, start - self._longest.get(key, 0), key=lambda peak: peak.start)
        last = bisect_left(own, end, key=lambda peak: peak.start)
        return [peak for peak in own[first:last] if start < peak.end]

    def cell_lines(
        self, protein: str, contig: str, strand: str, position: int, near: int
    ) -> list[str] | None:
        """In which of them, sorted, a peak of the protein holds a base (0-based) or lies within
        `near` bases of it; None where there is no peak of the protein anywhere."""
        if protein not in self.proteins:
            return None
        found = self.overlapping(contig, strand, position - near, position + near + 1)
        return sorted({peak.cell_line for peak in found if peak.protein == protein})

    def check(self, genome: Genome) -> None:
        """Raises PeakError where the peaks can't be of this genome's build: they share no contig,
        or one reaches beyond a contig's end."""
        lengths = {contig: genome.contig(contig) for contig, _ in self._sorted}
        if not any(lengths.values()):
            raise PeakError(
                f"peaks {self.path} ({', '.join(sorted(lengths)[:3])}) and FASTA {genome.path} "
                "share no contig"
            )
        for (contig, _), own in self._sorted.items():
            name = lengths[contig]
            if name and max(peak.end for peak in own) > genome.lengths[name]:
                raise PeakError(
                    f"peaks {self.path} reach beyond the end of {name} in {genome.path}: they are "
                    "of another genome build. Give peaks of the same build as the FASTA"
                )


def read_peaks(path: str) -> Peaks:
    """The peaks of a file, or of all files of a folder with one of `SUFFIXES`.

    Raises PeakError, with file and line, where one cannot be read or is no such file, or where
    there is none.
    """
    about, files = {}, [path]
    if os.path.isdir(path):
        names = sorted(name for name in os.listdir(path) if name.endswith(SUFFIXES))
        files = [os.path.join(path, name) for name in names]
        if not files:
            raise PeakError(f"no peaks in {path}: no file there ends in {', '.join(SUFFIXES)}")
        about = _metadata(os.path.join(path, METADATA))
    try:
        peaks = [peak for file in files for peak in _peaks_of(file, about)]
        told = "".join(sha256_file(file) for file in files) + repr(sorted(about.items()))
    except OSError as e:
        raise PeakError(f"cannot read peaks {path}: {e}") from e
    if not peaks:
        raise PeakError(f"{path} holds no peak")
    return Peaks(peaks, path, hashlib.sha256(told.encode()).hexdigest())


def _accession(path: str) -> str:
    return os.path.basename(path).partition(".")[0]


def _metadata(path: str) -> dict[str, tuple[str, str]]:
    """Accession of a file -> protein and cell line; nothing where there is no metadata."""
    if not os.path.exists(path):
        return {}
    try:
        rows = csv.DictReader(text_lines(path), delimiter="\t")
        if missing := {ACCESSION, TARGET, CELL} - set(rows.fieldnames or ()):
            raise PeakError(f"{path} has no column {', '.join(sorted(missing))}")
        return {
            row[ACCESSION]: (row[TARGET].removesuffix("-human"), row[CELL].replace(" ", "_"))
            for row in rows
        }
    except OSError as e:
        raise PeakError(f"cannot read {path}: {e}") from e


def _peaks_of(path: str, about: dict[str, tuple[str, str]]) -> Iterator[Peak]:
    told = about.get(_accession(path))
    for number, line in enumerate(text_lines(path), 1):
        if not line.strip() or line.startswith(("#", "track", "browser")):
            continue
        try:
            yield _peak(line.split("\t"), told)
        except ValueError as e:
            raise PeakError(f"{path}, line {number}: {e}") from e


def _peak(fields: list[str], told: tuple[str, str] | None) -> Peak:
    """Raises ValueError where a line is none."""
    if len(fields) < 6:
        raise ValueError("six columns are needed: contig, start, end, name, score, strand")
    contig, start, end, name, _, strand = (field.strip() for field in fields[:6])
    if not (start.isdecimal() and end.isdecimal() and int(start) < int(end)):
        raise ValueError(f"{start}-{end} is no interval")
    if strand not in STRANDS:
        raise ValueError(f"the strand must be + or -, not {strand!r}")
    protein, cell_line = told or _named(name)
    return Peak(contig, int(start), int(end), strand, protein, cell_line)


def _named(name: str) -> tuple[str, str]:
    protein, _, rest = name.partition("_")
    if protein in ("", "."):
        raise ValueError(
            f"the name {name!r} is not PROTEIN_CELL, and {METADATA} does not have the file"
        )
    return protein, rest.partition("_")[0] or UNSAID
