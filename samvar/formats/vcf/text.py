"""Lines of a VCF as text, compressed or not, and messages about text that is not VCF."""

from __future__ import annotations

import re
import shlex
import zlib
from collections.abc import Iterable, Iterator
from typing import BinaryIO

from ...errors import VcfError
from ...files import BGZF_EOF, Tail
from .bgzf import Bgzf
from .record import Order, Record


class TextWriter:
    """Lines to a binary stream, compressed or not. With `index` ("tbi" or "csi") a record that such
    an index cannot have raises VcfError."""

    def __init__(self, stream: BinaryIO, compress: bool = False, index: str | None = None):
        self._stream, self._sink = stream, Bgzf(stream) if compress else stream
        self._index = index
        self._order: Order | None = None

    def start(self, header: list[bytes]) -> None:
        if self._index:
            self._order = Order(self._index, False, header)
        self._sink.write(b"".join(header))

    def write(self, record: Record, added: list[str]) -> None:
        if self._order:
            self._order.check(record)
        self._sink.write(record.with_info(added))

    def finish(self) -> None:
        if isinstance(self._sink, Bgzf):
            self._sink.finish()
        self._stream.flush()


_JOINED = re.compile(rb"\r(?:#|[^\t\r\n]+\t[0-9]+\t)")
_COLUMNS = "#CHROM POS ID REF ALT QUAL FILTER INFO FORMAT".split()


def has_joined_lines(line: bytes) -> bool:
    """Whether a line holds another header line or record, after a CR without LF."""
    return b"\r" in line and bool(_JOINED.search(line))


def wrong_column(line: bytes) -> str | None:
    """Which of the eight columns that every #CHROM line names has another name; None where none."""
    names = line.rstrip(b"\r\n").decode(errors="replace").split("\t")
    for number, (name, expected) in enumerate(zip(names, _COLUMNS[:8]), 1):
        if name != expected:
            return (
                f"column {number} of the #CHROM line is {name!r}, where a VCF has {expected}: the "
                f"order is {' '.join(_COLUMNS[:8])}"
            )
    return None


def not_a_header(path: str, number: int, line: bytes, begun: bool) -> str:
    """The message about a line before #CHROM that is not a header line. `begun`: header lines stand
    before it."""
    where = f"{path}, line {number}"
    if line.startswith(b"\xef\xbb\xbf"):
        remove = r"sed '1s/^\xEF\xBB\xBF//'"
        return f"{where} starts with a byte order mark, which no VCF has. Remove it: {remove}"
    if line.startswith((b"\xff\xfe", b"\xfe\xff")):
        return f"{where}: the file is UTF-16. Convert it: iconv -f UTF-16 -t UTF-8"
    if not line.strip():
        return f"{where} is blank; a VCF begins with ##fileformat. Remove the blank line"
    if line.lstrip(b"\"' \t").startswith(b"#"):
        return (
            f"{where} does not begin with #, but with {_shown(line, 12)}: a spreadsheet has put "
            "quotes or blanks there. Use the file as it was before"
        )
    columns = line.count(b"\t") + 1
    if columns < 8:
        return f"{where} does not begin with #, and is no record: is this a VCF? {_shown(line, 60)}"
    names = _COLUMNS[: min(columns, 9)] + [f"S{i}" for i in range(1, columns - 8)]
    header = ("" if begun else r"##fileformat=VCFv4.2\n") + r"\t".join(names)
    text = "gzip -dcf" + ("" if path == "stdin" else f" {shlex.quote(path)}")
    return (
        f"{where} does not begin with #: it is a record, before any #CHROM line. Put such a line "
        f"there: {text} | awk 'NR == {number} {{print \"{header}\"}} {{print}}' > with_header.vcf"
    )


def _shown(line: bytes, length: int) -> str:
    text = line.rstrip(b"\r\n").decode(errors="replace")
    return repr(text[:length])


def numbered(lines: Iterable[bytes], path: str, tail: Tail | None) -> Iterator[tuple[int, bytes]]:
    """Lines with their numbers, from 1. `tail`: of a BGZF file, which must end with its end marker.

    Raises VcfError when the file is truncated or damaged.
    """
    number = 0
    try:
        for number, line in enumerate(lines, 1):
            yield number, line
    except (OSError, EOFError, zlib.error) as e:
        raise VcfError(f"{path} is truncated or damaged after line {number}: {e}") from e
    if tail and tail.last != BGZF_EOF:
        raise VcfError(
            f"{path} is truncated: it ends after line {number} without the BGZF end marker"
        )
