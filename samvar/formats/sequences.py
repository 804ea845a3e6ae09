"""Sequences of a FASTA, read as a stream and handed on in pieces with what lies around them."""

from __future__ import annotations

import gzip
import io
import sys
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from typing import BinaryIO, NamedTuple

import numpy as np

from ..errors import SequenceError
from ..files import BYTE_ORDER_MARK, CR_ALONE, GZIP
from ..genomics.genome import UNKNOWN, encode

BLOCK = 1 << 16  # bytes of a line, and bases of a sequence, that are held together at most
LETTERS = b"ACGTUNRYSWKMBDHVacgtunryswkmbdhv"
_MARK = BYTE_ORDER_MARK.encode()
_DNA = bytes.maketrans(b"uU", b"tT")


class Piece(NamedTuple):
    """Bases [start, start + n) of a sequence, 0-based.

    record  number of the sequence in the file, from 1
    codes   of these bases, with as many more on either side as were asked for, unknown beyond the
            ends of the sequence
    n       how many; 0 of a sequence without bases
    """

    record: int
    name: str
    start: int
    codes: np.ndarray
    n: int


class _Block(NamedTuple):
    """What follows in a file: a sequence begins (its name), or more bases of it."""

    name: str | None
    bases: bytes


@contextmanager
def open_sequences(path: str) -> Iterator[BinaryIO]:
    """A FASTA, plain or gzipped, or stdin (-), as bytes. Raises SequenceError where it cannot be
    read."""
    if path == "-" and (sys.stdin is None or sys.stdin.isatty()):
        raise SequenceError("stdin is closed or a terminal; give a FASTA, or pipe one into samvar")
    try:
        handle = sys.stdin.buffer if path == "-" else open(path, "rb")
    except OSError as e:
        raise SequenceError(f"cannot read {path}: {e.strerror or e}") from e
    buffered = io.BufferedReader(handle)  # type: ignore[type-var]
    try:
        packed = buffered.peek(2)[:2] == GZIP
        yield io.BufferedReader(gzip.GzipFile(fileobj=buffered)) if packed else buffered
    finally:
        buffered.detach()  # stdin stays open
        if path != "-":
            handle.close()


def read_pieces(lines: BinaryIO, path: str, size: int, margin: int) -> Iterator[Piece]:
    """Every sequence in pieces of `size` bases from its start, the last one shorter, each with
    `margin` bases on either side. U counts as T, IUPAC letters as unknown.

    Raises SequenceError, with file and line, where this is no FASTA of nucleotides, or damaged.
    """
    cutter: _Cutter | None = None
    record = 0
    for name, bases in _blocks(lines, path):
        if name is not None:
            if cutter:
                yield from cutter.end()
            record += 1
            cutter = _Cutter(record, name, size, margin)
        elif cutter:
            yield from cutter.add(encode(bases.decode("ascii")))
    if cutter is None:
        raise SequenceError(f"{path} holds no sequence")
    yield from cutter.end()


def lengths(lines: BinaryIO, path: str) -> list[tuple[str, int]]:
    """Name and number of bases of every sequence. Raises SequenceError as `read_pieces` does."""
    names: list[str] = []
    bases: list[int] = []
    for name, block in _blocks(lines, path):
        if name is not None:
            names.append(name)
            bases.append(0)
        bases[-1] += len(block)
    return list(zip(names, bases))


class _Cutter:
    """Cuts one sequence into pieces as its bases come; holds no more than these need."""

    def __init__(self, record: int, name: str, size: int, margin: int):
        self._record, self._name, self._size, self._margin = record, name, size, margin
        self._start = 0
        self._held = np.full(margin, UNKNOWN, np.uint8)  # from `margin` bases before the start on

    def add(self, codes: np.ndarray) -> Iterator[Piece]:
        self._held = np.concatenate((self._held, codes))
        while len(self._held) >= self._size + 2 * self._margin:
            yield self._piece(self._size)

    def end(self) -> Iterator[Piece]:
        left = len(self._held) - self._margin
        if self._start == left == 0:
            yield Piece(self._record, self._name, 0, self._held[:0], 0)
        after = np.full(self._margin, UNKNOWN, np.uint8)
        self._held = np.concatenate((self._held, after))
        while left > 0:
            n = min(self._size, left)
            yield self._piece(n)
            left -= n

    def _piece(self, n: int) -> Piece:
        codes = self._held[: n + 2 * self._margin]
        piece = Piece(self._record, self._name, self._start, codes, n)
        self._held = self._held[n:]
        self._start += n
        return piece


def _blocks(lines: BinaryIO, path: str) -> Iterator[_Block]:
    """The sequences' names and bases; a long line comes in several blocks, short ones together."""
    number, begun, waiting, line_ended = 0, False, bytearray(), True
    try:
        while text := lines.readline(BLOCK):
            number += line_ended
            starts_line, line_ended = line_ended, text.endswith(b"\n")
            text = text.removeprefix(_MARK) if starts_line else text
            if b"\r" in text.rstrip():
                raise SequenceError(f"{path}, line {number}: {CR_ALONE}")
            if starts_line and text.startswith(b">"):
                if waiting:
                    yield _Block(None, bytes(waiting))
                    waiting.clear()
                title = text
                while not line_ended:
                    line_ended = (rest := lines.readline(BLOCK)).endswith(b"\n") or not rest
                name = (title[1:].split() or [b""])[0].decode(errors="replace")
                if not name:
                    raise SequenceError(f"{path}, line {number}: a sequence needs a name after >")
                begun = True
                yield _Block(name, b"")
                continue
            bases = text.translate(_DNA).strip()
            if bases and not begun:
                raise SequenceError(
                    f"{path}, line {number}: a FASTA begins with > and a name, not with "
                    f"{text[:30].decode(errors='replace').rstrip()!r}"
                )
            if wrong := bases.translate(None, LETTERS):
                raise SequenceError(
                    f"{path}, line {number}: {chr(wrong[0])!r} is no letter of a nucleotide"
                )
            waiting += bases
            if len(waiting) >= BLOCK:
                yield _Block(None, bytes(waiting))
                waiting.clear()
        if waiting:
            yield _Block(None, bytes(waiting))
    except (EOFError, zlib.error, gzip.BadGzipFile) as e:
        raise SequenceError(f"{path} is truncated or damaged after line {number}: {e}") from e
