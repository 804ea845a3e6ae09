"""Sequencing reads: FASTA, FASTQ or a sequence on each line, plain or gzipped."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain, islice

import numpy as np

from ..errors import DatasetError
from ..files import text_lines
from ..genomics.genome import UNKNOWN, encode
from ..model.bundle import sha256_file

LETTERS = frozenset("ACGTUNRYSWKMBDHV.")


@dataclass(frozen=True, eq=False)
class Reads:
    """codes (n, longest): 0-3 A C G T, 4 unknown and beyond a read's end; `digest`: the file's
    sha256."""

    path: str
    digest: str
    codes: np.ndarray

    def __len__(self) -> int:
        return len(self.codes)


def read_reads(path: str, most: int) -> Reads:
    """The first `most` reads of a file. Raises DatasetError, with file and line, where it holds no
    reads."""
    try:
        found = [
            _codes(text, f"{path}, line {number}")
            for number, text in islice(_sequences(path), most)
        ]
        digest = sha256_file(path)
    except OSError as e:
        raise DatasetError(f"cannot read reads {path}: {e}") from e
    if not found:
        raise DatasetError(f"{path} holds no read")
    codes = np.full((len(found), max(map(len, found))), UNKNOWN, np.uint8)
    for row, own in zip(codes, found):
        row[: len(own)] = own
    return Reads(path, digest, codes)


def _sequences(path: str) -> Iterator[tuple[int, str]]:
    """(line, bases) of each read."""
    lines = ((number, line) for number, line in enumerate(text_lines(path), 1) if line.strip())
    first = next(lines, None)
    if first is None:
        return
    again = chain([first], lines)
    if first[1].startswith("@"):
        yield from _of_fastq(again, path)
    elif first[1].startswith(">"):
        yield from _of_fasta(again)
    else:
        yield from ((number, line.strip()) for number, line in again)


def _of_fastq(lines: Iterator[tuple[int, str]], path: str) -> Iterator[tuple[int, str]]:
    for number, name in lines:
        record = list(islice(lines, 3))
        if not name.startswith("@") or len(record) < 3 or not record[1][1].startswith("+"):
            raise DatasetError(f"{path}, line {number}: no FASTQ record of four lines")
        yield record[0][0], record[0][1].strip()


def _of_fasta(lines: Iterator[tuple[int, str]]) -> Iterator[tuple[int, str]]:
    at, parts = 0, list[str]()
    for number, line in lines:
        if line.startswith(">"):
            if at:
                yield at, "".join(parts)
            at, parts = number, []
        else:
            parts.append(line.strip())
    yield at, "".join(parts)


def _codes(text: str, where: str) -> np.ndarray:
    bases = text.upper()
    if not bases or not LETTERS.issuperset(bases):
        raise DatasetError(f"{where}: {text[:50]!r} is no sequence of a read")
    return encode(bases.replace("U", "T"))
