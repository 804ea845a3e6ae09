"""Junctions as text: BED, and STAR's SJ.out.tab; lines as they stand."""

from __future__ import annotations

import gzip
import io
import sys
import zlib
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from typing import NamedTuple

from ..errors import JunctionError
from ..files import BGZF_EOF, BYTE_ORDER_MARK, CR_ALONE, GZIP, Tail, new_file, writing
from ..genomics.junction import STRANDS, Junction
from .alignments import AlignmentReader, is_alignments
from .vcf.bgzf import Bgzf

BLOCKS = 12  # columns of a BED with blocks
SJ_COLUMNS = 9
SJ_STRANDS = {"0": ".", "1": "+", "2": "-"}
BED_HEADERS = ("#", "track", "browser")


class Row(NamedTuple):
    """A line, its end included, and the junctions that it names; of a comment, a header or a
    record without an intron there are none."""

    line: bytes
    junctions: tuple[Junction, ...]


Parser = Callable[[list[str]], tuple[Junction, ...]]


@contextmanager
def open_junctions(path: str, fasta: str) -> Iterator[AlignmentReader | Iterator[Row]]:
    """Alignments, or rows of a text that may be gzipped: the content of a file, or stdin (-), says
    which. `fasta`: the reference that CRAM needs. Raises JunctionError where it cannot be read,
    now or later."""
    name = "stdin" if path == "-" else path
    if path == "-" and (sys.stdin is None or sys.stdin.isatty()):
        raise JunctionError("stdin is closed or a terminal; give a file, or pipe one into samvar")
    with ExitStack() as stack:
        try:
            stream = sys.stdin.buffer if path == "-" else stack.enter_context(open(path, "rb"))
            head = stream.read(1 << 16)
        except OSError as e:
            raise JunctionError(f"cannot read {name}: {e.strerror or e}") from e
        if not head:
            raise JunctionError(f"{name} is empty")
        if head[:2] != GZIP and b"\0" not in head and _cr_alone(head):
            raise JunctionError(f"{name}: {CR_ALONE}")
        bgzf = head[:2] == GZIP and head[12:14] == b"BC"
        if is_alignments(head, bgzf):
            reader = AlignmentReader(stream, head, bgzf, name, fasta)
            stack.callback(reader.close)
            yield reader
            return
        tail = Tail(stream, head)
        lines = io.BufferedReader(tail, 1 << 16)
        packed = gzip.GzipFile(fileobj=lines) if head[:2] == GZIP else lines
        yield read_rows(packed, name, tail if bgzf else None)


@contextmanager
def open_text(path: str) -> Iterator[Callable[[bytes], object]]:
    """A function that writes bytes to a file that appears when it is complete, compressed (BGZF)
    where its name ends in .gz; - is stdout."""
    if path == "-":
        with writing(path):
            yield sys.stdout.buffer.write
            sys.stdout.buffer.flush()
        return
    with new_file(path, "wb") as handle:
        if path.endswith(".gz"):
            packed = Bgzf(handle)
            yield packed.write
            packed.finish()
        else:
            yield handle.write


def read_rows(lines: Iterable[bytes], path: str, tail: Tail | None = None) -> Iterator[Row]:
    """Rows of BED or SJ.out.tab, which of them the first record tells.

    A BED line with twelve columns has an intron between each block and the next one (a block of no
    bases is none); any other BED line is an intron. `tail`: of a BGZF file, which must end with its
    end marker. Raises JunctionError, with file and line, where it is neither, or damaged.
    """
    parse: Parser | None = None
    number = 0
    try:
        for number, line in enumerate(lines, 1):
            text = line.decode(errors="replace").rstrip("\r\n").lstrip(BYTE_ORDER_MARK)
            if "\r" in text:
                raise JunctionError(f"{path}, line {number}: {CR_ALONE}")
            if not text.strip() or text.startswith(BED_HEADERS):
                yield Row(line, ())
                continue
            fields = text.split("\t") if "\t" in text else text.split()
            first = parse is None
            if parse is None:
                parse = sj_junctions if _is_sj(fields) else bed_junctions
            try:
                yield Row(line, parse(fields))
            except ValueError as e:
                asked = "; is this BED, SJ.out.tab, SAM, BAM or CRAM?" if first else ""
                raise JunctionError(f"{path}, line {number}: {e}: {text[:100]!r}{asked}") from e
    except (EOFError, zlib.error, gzip.BadGzipFile) as e:
        raise JunctionError(f"{path} is truncated or damaged after line {number}: {e}") from e
    if tail and tail.last != BGZF_EOF:
        raise JunctionError(f"{path} is truncated: it ends without the BGZF end marker")


def _cr_alone(head: bytes) -> bool:
    """Whether a text that begins so has lines, and no LF at their ends."""
    return b"\n" not in head and b"\r" in head


def _is_sj(fields: list[str]) -> bool:
    numbers = fields[1:SJ_COLUMNS]
    return (
        len(numbers) == SJ_COLUMNS - 1 and all(map(_is_number, numbers)) and fields[3] in SJ_STRANDS
    )


def _is_number(text: str) -> bool:
    return text.isascii() and text.isdigit()


def _number(text: str, what: str) -> int:
    if not _is_number(text):
        raise ValueError(f"{what} must be a whole number, not {text!r}")
    return int(text)


def sj_junctions(fields: list[str]) -> tuple[Junction, ...]:
    """Of a line of SJ.out.tab, whose introns are 1-based, both ends included. Raises ValueError
    where it is none."""
    if len(fields) < 4 or fields[3] not in SJ_STRANDS:
        raise ValueError("nine columns of SJ.out.tab expected, with strand 0, 1 or 2 in the fourth")
    first, last = _number(fields[1], "first base"), _number(fields[2], "last base")
    if not 1 <= first <= last:
        raise ValueError("an intron begins at base 1 or later, and not after its end")
    return (Junction(fields[0], first - 1, last, SJ_STRANDS[fields[3]]),)


def bed_junctions(fields: list[str]) -> tuple[Junction, ...]:
    """Of a line of BED. Raises ValueError where it is none."""
    if len(fields) < 3:
        raise ValueError("BED has three columns or more: contig, start and end")
    contig, start, end = fields[0], _number(fields[1], "start"), _number(fields[2], "end")
    if end < start:
        raise ValueError("the interval ends before it starts")
    strand = fields[5] if len(fields) > 5 else "."
    if strand not in (*STRANDS, "."):
        raise ValueError(f"the strand must be +, - or ., not {strand!r}")
    if len(fields) >= BLOCKS:
        gaps = _gaps(fields, start, end)
    else:
        gaps = [(start, end)] if start < end else []
    return tuple(Junction(contig, s, e, strand) for s, e in gaps)


def _gaps(fields: list[str], start: int, end: int) -> list[tuple[int, int]]:
    """Between the blocks of a line of BED12."""
    count = _number(fields[9], "the number of blocks")
    sizes, starts = (
        [_number(x, "a block") for x in column.rstrip(",").split(",") if column.strip(",")]
        for column in fields[10:12]
    )
    if not len(sizes) == len(starts) == count:
        raise ValueError(f"{count} blocks with as many sizes and starts expected")
    blocks = [(start + s, start + s + size) for s, size in zip(starts, sizes) if size]
    if any(e > end for _, e in blocks) or any(s < e for (_, e), (s, _) in zip(blocks, blocks[1:])):
        raise ValueError("blocks must lie within the interval, in order, and not overlap")
    return [(e, s) for (_, e), (s, _) in zip(blocks, blocks[1:]) if e < s]
