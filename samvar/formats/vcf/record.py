"""A record of a VCF, its header lines, and the order that an index needs. Bytes are kept as they
are."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import NamedTuple

from ...errors import VcfError

OWN_META = b"##samvar_"


class Record(NamedTuple):
    """One data line: its bytes with line end, its number in the file (1-based; 0: not known), and
    the columns that matter."""

    line: bytes
    number: int
    contig: str
    pos: int  # 1-based
    ref: str
    alts: tuple[str, ...]  # empty where ALT is "."

    def with_info(self, added: list[str]) -> bytes:
        """The line with entries appended to INFO; every other byte is the input's."""
        if not added:
            return self.line
        before, own, after = split_info(self.line)
        return before + b";".join(own + [a.encode() for a in added]) + after


def split_info(line: bytes) -> tuple[bytes, list[bytes], bytes]:
    """A line before INFO, the entries of INFO, and the rest of the line."""
    fields = line.split(b"\t", 8)
    info, rest = fields[7], b"\t" + fields[8] if len(fields) > 8 else b""
    if not rest:
        info = info.rstrip(b"\r\n")
        rest = fields[7][len(info) :]
    own = [] if info in (b".", b"") else info.removesuffix(b";").split(b";")
    return b"\t".join(fields[:7]) + b"\t", own, rest


_PAIR = rb"[^,=<>\"]+=(?:\"(?:[^\"\\]|\\.)*\"|[^,>\"]*),"


def declared(header: Iterable[bytes], kind: bytes) -> list[bytes]:
    """IDs of the header's lines of a kind: contig, INFO, FORMAT, FILTER. What ends an ID is > or
    the next key, so that it may hold commas."""
    pattern = re.compile(
        rb"##%b=<(?:%b)*?\s*ID=(\"[^\"]*\"|.*?)\s*(?:,\s*[A-Za-z_][\w.]*=|>)" % (kind, _PAIR)
    )
    return [found[1].strip(b'"') for line in header if (found := pattern.match(line))]


def insert_header(header: list[bytes], added: list[str]) -> list[bytes]:
    """`added` just before #CHROM, with the line end that #CHROM has."""
    *meta, columns = header
    end = b"\r\n" if columns.endswith(b"\r\n") else b"\n"
    return [*meta, *(a.encode("utf-8", "backslashreplace") + end for a in added), columns]


class Order:
    """Whether records come sorted, as an index needs them."""

    def __init__(self):
        self._seen: set[str] = set()
        self._contig, self._pos = "", 0

    def check(self, record: Record) -> None:
        if not record.contig:
            return
        new = record.contig != self._contig
        if (record.contig in self._seen) if new else record.pos < self._pos:
            raise VcfError(
                f"{record.contig}:{record.pos} is out of order, so that the output cannot be "
                "indexed (-W): "
                "sort the input first, with bcftools sort"
            )
        self._seen.add(record.contig)
        self._contig, self._pos = record.contig, record.pos
