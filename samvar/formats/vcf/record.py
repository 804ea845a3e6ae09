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

    @property
    def where(self) -> str:
        """Its place on the genome and, where known, its line: for messages."""
        place = f"{self.contig}:{self.pos}"
        return f"{place} (line {self.number})" if self.number else place

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


_LENGTH = re.compile(rb"[<,]\s*length=([0-9]+)\s*[,>]")


def last_in_index(index: str, bcf: bool, header: Iterable[bytes]) -> int:
    """The last position (1-based) that an index ("tbi" or "csi") can have, as htslib makes it: its
    lowest level has bins of 2^14 bases, each level above bins 8 times as long. A tbi has five
    levels; a csi has as many as the longest contig of the header needs, for text at least six."""
    contigs = [line for line in header if line.startswith(b"##contig")]
    lengths = [int(length) for line in contigs for length in _LENGTH.findall(line)]
    longest = max(lengths, default=1 << 31) if bcf else max([1 << 31, *lengths])
    last = 1 << (29 if index == "tbi" else 14)
    while index == "csi" and last < longest + 256:
        last <<= 3
    return last


class Order:
    """Whether records come as an index ("tbi" or "csi") needs them: sorted, and none beyond the
    last position that it can have."""

    def __init__(self, index: str, bcf: bool, header: Iterable[bytes]):
        self._index, self._last = index, last_in_index(index, bcf, header)
        self._seen: set[str] = set()
        self._contig, self._pos = "", 0

    def check(self, record: Record) -> None:
        if not record.contig:
            return
        if record.pos > self._last:
            other = " use -W=csi," if self._index == "tbi" else ""
            raise VcfError(
                f"{record.where}: the index of the output (-W) cannot hold positions beyond "
                f"{self._last:,}. Correct the record,{other} or leave out -W"
            )
        new = record.contig != self._contig
        if (record.contig in self._seen) if new else record.pos < self._pos:
            raise VcfError(
                f"{record.where} is out of order, so that the output cannot be indexed (-W): "
                "sort the input first, with bcftools sort"
            )
        self._seen.add(record.contig)
        self._contig, self._pos = record.contig, record.pos
