"""RBP motifs from files: affinities (RBPamp) and base probabilities (RNAcompete, CisBP-RNA) in one
frame of 11 bases, and the panel that says which files count under which name.

Affinities. A PSAM gives, per position, the affinity of each base relative to the best one, and A0
is the affinity of its best sequence. RBPamp writes both.

Probabilities. A row of a probability matrix is divided by its largest entry. That is the relative
affinity if the sequences it was counted from are bound in proportion to their affinity, against a
background of equal bases (Berg and von Hippel 1987). Such a file has no A0. Its A0 is set to the
inverse of its mean affinity over random sequence, so that the matrices of one RBP add up to the
same on random sequence, and a vague one does not drown a precise one. Only the ratios of A0 within
an RBP count, and those of the two kinds of file have no common scale: an RBP has files of one kind.

Frame. A matrix of width w covers p - (w - 1) // 2 .. p + w // 2: 11 is p-5 .. p+5, 10 is
p-4 .. p+5, 7 is p-3 .. p+3. Columns that are not there hold 1. Of a wider one the 11 consecutive
columns with most information are kept, the first such where several have as much.
"""

from __future__ import annotations

import glob
import os
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from ..errors import DatasetError
from ..files import text_lines

FRAME = 11  # bases
BASES = "ACGU"
PANEL_COLUMNS = ("name", "family", "source", "files")
NAME = "[A-Za-z0-9][A-Za-z0-9_.-]*"  # names stand in INFO fields
FAMILY = f"{NAME}(/{NAME})*"
MAX_ROUNDING = 0.01  # how far the four probabilities of a row may be from 1 together


@dataclass(frozen=True, eq=False)
class MatrixFile:
    """psams (K, 11, 4): affinities relative to the best base, columns A C G U; a0 (K,)."""

    psams: np.ndarray
    a0: np.ndarray
    from_probabilities: bool


@dataclass(frozen=True, eq=False)
class Motif:
    """What one RBP binds: a mixture of PSAMs.

    psams   (K, 11, 4) at p-5 .. p+5: affinities relative to the best base, columns A C G U
    a0      (K,): affinity of each PSAM's best sequence; only ratios count
    family  the proteins it stands for, NAME or NAME/NAME/..: their motifs are nearly the same
    source  where the motif comes from, in a word
    files   names below the folders of motifs, FILE or, for one PSAM alone, FILE#NUMBER
    """

    name: str
    psams: np.ndarray
    a0: np.ndarray
    family: str
    source: str
    files: tuple[str, ...]


def read_folders(folders: Sequence[str]) -> list[Motif]:
    """Every NAME.txt of the folders but README.txt as one RBP, sorted by name, each its own family.

    Raises DatasetError where a folder holds none, a file is no motif file, or two have one name.
    """
    motifs = []
    for folder in folders:
        paths = sorted(glob.glob(os.path.join(glob.escape(folder), "*.txt")))
        paths = [path for path in paths if os.path.basename(path).upper() != "README.TXT"]
        if not paths:
            raise DatasetError(f"no motif files (*.txt) in {folder}")
        for path in paths:
            file = os.path.basename(path)
            name = file.removesuffix(".txt")
            source = os.path.basename(os.path.abspath(folder))
            motifs.append(_motif(name, name, source, [file], [read_matrices(path)], path))
    return _distinct(motifs, "choose with --panel which file counts")


def read_panel(path: str, folders: Sequence[str]) -> list[Motif]:
    """The RBPs of a panel, sorted by name.

    A panel is a tab-separated table with a header. Its columns `name`, `family` (empty: the name),
    `source` and `files` are read; lines that start with `#` are not. `files`: comma-separated
    names below one of the folders, FILE or FILE#NUMBER for one of its PSAMs, the first being 0.

    Raises DatasetError, with file and line, where a row is incomplete or a file is not there.
    """
    rows = (
        (number, [field.strip() for field in line.split("\t")])
        for number, line in enumerate(text_lines(path), 1)
        if line.strip() and not line.startswith("#")
    )
    number, columns = next(rows, (1, []))
    if missing := [column for column in PANEL_COLUMNS if column not in columns]:
        raise DatasetError(
            f"{path}, line {number}: the header has no column {missing[0]!r}; a panel has "
            f"{', '.join(PANEL_COLUMNS)}, tab-separated"
        )
    motifs = []
    for number, fields in rows:
        where = f"{path}, line {number}"
        row = dict(zip(columns, fields))
        if len(fields) != len(columns):
            raise DatasetError(f"{where}: {len(fields)} columns, the header has {len(columns)}")
        files = [file.strip() for file in row["files"].split(",")]
        if not all(files) or len(set(files)) < len(files):
            raise DatasetError(f"{where}: {row['files']!r} is no list of files, each named once")
        matrices = [_matrices(file, folders, where) for file in files]
        motifs.append(_motif(row["name"], row["family"], row["source"], files, matrices, where))
    if not motifs:
        raise DatasetError(f"{path} names no RBP")
    return _distinct(motifs, f"give each RBP of {path} one row, with all its files")


def as_arrays(motifs: Sequence[Motif]) -> dict[str, np.ndarray]:
    """What a packed dataset holds of them: psam (K, 11, 4), a0 (K,), rbp (K,) the index of each
    PSAM's RBP, names (R,)."""
    return dict(
        psam=np.concatenate([motif.psams for motif in motifs]).astype(np.float32),
        a0=np.concatenate([motif.a0 for motif in motifs]).astype(np.float32),
        rbp=np.repeat(np.arange(len(motifs)), [len(motif.psams) for motif in motifs]),
        names=np.array([motif.name for motif in motifs]),
    )


def describe(motifs: Iterable[Motif]) -> list[dict]:
    """Name, family, source and files of each, for the dataset's `meta` and the bundle's config."""
    return [
        dict(name=m.name, family=m.family, source=m.source, files=list(m.files)) for m in motifs
    ]


def read_matrices(path: str) -> MatrixFile:
    """The matrices of an RBPamp file (lines `PSAM A0=...`, then rows of affinities) or of a
    probability file (`Pos A C G U`, then a row per position).

    Raises DatasetError, with file and line, where it is neither.
    """
    lines = list(enumerate(text_lines(path), 1))
    for number, line in lines:
        if line.startswith("PSAM"):
            return _affinity_matrices(path, lines)
        if line.split()[:1] == ["Pos"]:
            return _probability_matrix(path, number, line, lines[number:])
        if line.strip() and not line.startswith("#"):
            break
    raise DatasetError(
        f"{path} is no motif file: neither a PSAM of RBPamp nor a table `Pos A C G U`"
    )


def in_frame(columns: np.ndarray) -> np.ndarray:
    """A matrix (w, 4) of any width as (11, 4), see the module's text."""
    width = len(columns)
    if width > FRAME:
        per_column = information(columns)
        sums = [per_column[i : i + FRAME].sum() for i in range(width - FRAME + 1)]
        start = int(np.argmax(np.round(sums, 9)))
        return columns[start : start + FRAME]
    frame = np.ones((FRAME, 4))
    start = FRAME // 2 - (width - 1) // 2
    frame[start : start + width] = columns
    return frame


def information(columns: np.ndarray) -> np.ndarray:
    """Bits per column (w, 4) -> (w,): 2 minus the entropy of the affinities as shares."""
    shares = columns / columns.sum(1, keepdims=True)
    return 2 + (shares * np.log2(np.where(shares > 0, shares, 1))).sum(1)


def _affinity_matrices(path: str, lines: list[tuple[int, str]]) -> MatrixFile:
    psams: list[list[list[float]]] = []
    a0 = []
    for number, line in lines:
        if line.startswith("PSAM"):
            if psams and not psams[-1]:
                raise DatasetError(f"{path}, line {number}: the PSAM before has no rows")
            a0.append(_a0(path, number, line))
            psams.append([])
        elif line.strip() and not line.startswith("#"):
            psams[-1].append(_four_numbers(path, number, line, line.split()[:4]))
    if not psams[-1]:
        raise DatasetError(f"{path}: its last PSAM has no rows")
    frames = np.stack([in_frame(np.array(psam)) for psam in psams])
    return MatrixFile(frames, np.array(a0), from_probabilities=False)


def _a0(path: str, number: int, line: str) -> float:
    texts = [field.removeprefix("A0=") for field in line.split() if field.startswith("A0=")]
    try:
        (a0,) = map(float, texts)
    except ValueError:
        a0 = 0.0
    if not 0 < a0 < np.inf:
        raise DatasetError(f"{path}, line {number}: a PSAM needs one A0=, greater than 0")
    return a0


def _probability_matrix(
    path: str, number: int, header: str, lines: list[tuple[int, str]]
) -> MatrixFile:
    order = header.upper().replace("T", "U").split()[1:]
    if sorted(order) != list(BASES):
        raise DatasetError(f"{path}, line {number}: the columns are not Pos A C G U")
    rows: list[list[float]] = []
    for number, line in lines:
        if not line.strip():
            continue
        position, *texts = line.split()
        row = _four_numbers(path, number, line, texts)
        if position != str(len(rows) + 1):
            raise DatasetError(
                f"{path}, line {number}: position {position[:20]} instead of {len(rows) + 1}"
            )
        if abs(sum(row) - 1) > MAX_ROUNDING:
            raise DatasetError(
                f"{path}, line {number}: the probabilities add up to {sum(row):.3g} instead of 1"
            )
        rows.append([row[order.index(base)] for base in BASES])
    if not rows:
        raise DatasetError(f"{path} holds no matrix: no row follows its header")
    probabilities = np.array(rows)
    psam = in_frame(probabilities / probabilities.max(1, keepdims=True))
    mean_affinity = psam.mean(1).prod()  # over random sequence
    return MatrixFile(psam[None], np.array([1 / mean_affinity]), from_probabilities=True)


def _four_numbers(path: str, number: int, line: str, texts: list[str]) -> list[float]:
    try:
        a, c, g, u = map(float, texts)
    except ValueError:
        raise DatasetError(
            f"{path}, line {number}: {line.strip()[:40]!r} is no row of four numbers"
        ) from None
    row = [a, c, g, u]
    if not (all(0 <= value < np.inf for value in row) and any(row)):
        raise DatasetError(
            f"{path}, line {number}: {line.strip()[:40]!r}: none may be negative, one must be "
            "greater than 0"
        )
    return row


def _matrices(file: str, folders: Sequence[str], where: str) -> MatrixFile:
    """Of FILE or FILE#NUMBER below one of the folders."""
    file, _, number = file.partition("#")
    paths = [os.path.join(folder, file) for folder in folders]
    paths = [path for path in paths if os.path.isfile(path)]
    if not paths:
        raise DatasetError(f"{where}: there is no {file} in {', '.join(folders)}")
    if len(paths) > 1:
        raise DatasetError(f"{where}: {paths[0]} and {paths[1]} are both there; which one counts?")
    matrices = read_matrices(paths[0])
    if not number:
        return matrices
    numbers = [str(i) for i in range(len(matrices.a0))]
    if number not in numbers:
        raise DatasetError(f"{where}: {file} has no PSAM {number}, only {', '.join(numbers)}")
    one = slice(int(number), int(number) + 1)
    return MatrixFile(matrices.psams[one], matrices.a0[one], matrices.from_probabilities)


def _motif(
    name: str,
    family: str,
    source: str,
    files: list[str],
    matrices: list[MatrixFile],
    where: str,
) -> Motif:
    if not re.fullmatch(NAME, name):
        raise DatasetError(
            f"{where}: {name!r} is no name of an RBP: letters, digits, '_', '.' and '-' only"
        )
    if family and not re.fullmatch(FAMILY, family):
        raise DatasetError(f"{where}: {family!r} is no family, names with '/' between them")
    if len({m.from_probabilities for m in matrices}) > 1:
        raise DatasetError(
            f"{where}: {name} has files of affinities and files of probabilities, whose A0 have no "
            "common scale; choose one kind"
        )
    return Motif(
        name,
        np.concatenate([m.psams for m in matrices]),
        np.concatenate([m.a0 for m in matrices]),
        family or name,
        source,
        tuple(files),
    )


def _distinct(motifs: list[Motif], remedy: str) -> list[Motif]:
    """Sorted by name. Raises DatasetError if two have the same name in any case."""
    first: dict[str, Motif] = {}
    for motif in motifs:
        other = first.setdefault(motif.name.lower(), motif)
        if other is not motif:
            raise DatasetError(
                f"{other.name} ({other.source}) and {motif.name} ({motif.source}) have one name; "
                f"{remedy}"
            )
    return sorted(motifs, key=lambda motif: motif.name)
