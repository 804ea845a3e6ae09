"""Lines of a VCF as text, compressed or not."""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Iterator
from typing import BinaryIO

from ...errors import VcfError
from .bgzf import BGZF_EOF, Bgzf, Tail
from .record import Order, Record


class TextWriter:
    """Lines to a binary stream, compressed or not. With `sorted_only` a record out of order raises
    VcfError."""

    def __init__(self, stream: BinaryIO, compress: bool = False, sorted_only: bool = False):
        self._stream, self._sink = stream, Bgzf(stream) if compress else stream
        self._order = Order() if sorted_only else None

    def start(self, header: list[bytes]) -> None:
        self._sink.write(b"".join(header))

    def write(self, record: Record, added: list[str]) -> None:
        if self._order:
            self._order.check(record)
        self._sink.write(record.with_info(added))

    def finish(self) -> None:
        if isinstance(self._sink, Bgzf):
            self._sink.finish()
        self._stream.flush()


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
