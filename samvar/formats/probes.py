"""Tables of probe intensities in the format of RNAcompete (Ray et al., Nature 499:172, 2013):
tab-separated text, plain or gzipped, with a header; a row for each probe.

Columns, by their name in any case, with or without blanks and underscores: the sequence (RNA_Seq,
Sequence, Seq, ...), the set of the probe (Probe_Set, Set: A or B, SetA, Set_B, ...), names of
probes, which are not read (Probe_ID, Bait, or a column without a name); every other column is an
experiment. An intensity that is not there is empty, NA, NaN, null, none, `.` or `-`.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from ..errors import DatasetError
from ..files import text_lines
from ..genomics.genome import UNKNOWN, encode
from ..model.bundle import sha256_file

SEQUENCE = "rnaseq", "sequence", "seq", "rna", "rnasequence", "probesequence", "probeseq"
SET = "probeset", "set", "setid", "fold", "foldid"
NAMES = "", "probeid", "probename", "probe", "bait", "baitid", "id", "name", "eventid", "row"
MISSING = "", "na", "n/a", "nan", "null", "none", ".", "-"
IN_SET = re.compile(r"(?:probe)?[ _-]*(?:set)?[ _-]*([ab])", re.IGNORECASE)
LETTERS = frozenset("ACGTUNRYSWKMBDHV")


@dataclass(frozen=True, eq=False)
class ProbeTable:
    """What a file says of its probes; `digest`: its sha256.

    experiments  their names
    codes        (n, longest): 0-3 A C G T, 4 unknown, and beyond a probe's 3' end
    in_b         (n,): whether a probe is of set B
    intensities  (n, E): nan where there is none
    """

    path: str
    digest: str
    experiments: tuple[str, ...]
    codes: np.ndarray
    in_b: np.ndarray
    intensities: np.ndarray

    def __len__(self) -> int:
        return len(self.codes)


class _Columns(NamedTuple):
    """Indices of the columns that are read, the experiments' names, and how many columns there
    are."""

    sequence: int
    set: int
    experiments: tuple[int, ...]
    names: tuple[str, ...]
    width: int


class _Row(NamedTuple):
    codes: np.ndarray
    in_b: bool
    intensities: np.ndarray


def read_probes(path: str) -> ProbeTable:
    """Raises DatasetError, with file and line, where the file is no such table."""
    try:
        lines = text_lines(path)
        header = next(lines, "")
        columns = _columns(header.split("\t"), path)
        rows = [
            _row(line.split("\t"), columns, f"{path}, line {number}")
            for number, line in enumerate(lines, 2)
            if line.strip()
        ]
        digest = sha256_file(path)
    except OSError as e:
        raise DatasetError(f"cannot read probes {path}: {e}") from e
    if not rows:
        raise DatasetError(f"{path} has a header and no probe")
    codes = np.full((len(rows), max(len(row.codes) for row in rows)), UNKNOWN, np.uint8)
    for own, row in zip(codes, rows):
        own[: len(row.codes)] = row.codes
    in_b = np.array([row.in_b for row in rows])
    for name, there in (("A", ~in_b), ("B", in_b)):
        if not there.any():
            raise DatasetError(f"{path} has no probe of set {name}: one is trained on, one tested")
    intensities = np.stack([row.intensities for row in rows])
    return ProbeTable(path, digest, columns.names, codes, in_b, intensities)


def _columns(header: Sequence[str], path: str) -> _Columns:
    """Raises DatasetError where one that is needed is not there, or one is there twice."""
    plain = [re.sub(r"[\s_.-]", "", name).lower() for name in header]
    sequence = _only(plain, header, SEQUENCE, f"{path}, line 1: no column of sequences (RNA_Seq)")
    of_set = _only(plain, header, SET, f"{path}, line 1: no column of sets (Probe_Set)")
    chosen = [
        i for i, name in enumerate(plain) if i not in (sequence, of_set) and name not in NAMES
    ]
    names = tuple(header[i].strip() for i in chosen)
    if not names:
        raise DatasetError(f"{path}, line 1: no column of intensities beside {', '.join(header)}")
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise DatasetError(f"{path}, line 1: column {twice[0]!r} is there twice")
    return _Columns(sequence, of_set, tuple(chosen), names, len(header))


def _only(plain: Sequence[str], header: Sequence[str], known: Sequence[str], missing: str) -> int:
    """Index of the one column that has one of these names."""
    found = [i for i, name in enumerate(plain) if name in known]
    if not found:
        there = ", ".join(header[:4]) or "nothing"
        raise DatasetError(f"{missing}; the header, tab-separated, begins with {there}")
    if len(found) > 1:
        raise DatasetError(
            f"{missing.partition(': ')[0]}: {header[found[0]]} and {header[found[1]]} say the same"
        )
    return found[0]


def _row(cells: Sequence[str], columns: _Columns, where: str) -> _Row:
    """Raises DatasetError where a cell is not what its column has."""
    if len(cells) != columns.width:
        raise DatasetError(f"{where}: {len(cells)} columns, where the header has {columns.width}")
    sequence = cells[columns.sequence].strip().upper()
    if not sequence or not LETTERS.issuperset(sequence):
        raise DatasetError(f"{where}: {sequence[:50]!r} is no sequence of RNA")
    of_set = IN_SET.fullmatch(cells[columns.set].strip())
    if not of_set:
        raise DatasetError(f"{where}: the set must be A or B, not {cells[columns.set]!r}")
    values = np.array([_intensity(cells[i]) for i in columns.experiments], np.float32)
    if np.isinf(values).any():
        wrong = int(np.isinf(values).argmax())
        cell = cells[columns.experiments[wrong]]
        raise DatasetError(f"{where}: {columns.names[wrong]} is {cell!r}, which is no intensity")
    return _Row(encode(sequence.replace("U", "T")), of_set[1] in "bB", values)


def _intensity(cell: str) -> float:
    """nan where there is none, infinite where the cell is no number."""
    try:
        return float(cell)
    except ValueError:
        return math.nan if cell.strip().lower() in MISSING else math.inf
