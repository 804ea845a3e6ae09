"""VCF text in and out, byte for byte but for INFO. No science."""

from __future__ import annotations

import gzip
import io
import os
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import BinaryIO, NamedTuple

import pysam

from .errors import VcfError

BGZF_EOF = bytes.fromhex("1f8b08040000000000ff0600424302001b0003000000000000000000")
KEYS = (b"SAMVAR=", b"SAMVAR_")


class Record(NamedTuple):
    """One data line: its bytes with line end, its number in the file (1-based), and the columns that matter."""

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
        fields = self.line.split(b"\t", 8)
        info, end = fields[7], b""
        if len(fields) == 8:
            body = info.rstrip(b"\r\n")
            info, end = body, info[len(body) :]
        own = [] if info in (b".", b"") else [info]
        fields[7] = b";".join(own + [a.encode() for a in added]) + end
        return b"\t".join(fields)


class _Tail(io.RawIOBase):
    """Reads through to a stream and remembers its last bytes, to tell a truncated BGZF."""

    def __init__(self, stream: BinaryIO, head: bytes):
        self._stream, self._head, self.last = stream, head, b""

    def readable(self) -> bool:
        return True

    def readinto(self, buffer) -> int:
        data = self._head[: len(buffer)] or self._stream.read(len(buffer)) or b""
        self._head = self._head[len(data) :] if self._head else b""
        self.last = (self.last + data)[-len(BGZF_EOF) :]
        buffer[: len(data)] = data
        return len(data)


class VcfReader:
    """Header lines and records of a VCF: text, gzip or BGZF, `-` for stdin; the form is told by the content.

    Raises VcfError naming file and line when it is not a VCF, malformed or truncated.
    """

    def __init__(self, path: str):
        self.path = "stdin" if path == "-" else path
        try:
            stream = sys.stdin.buffer if path == "-" else open(path, "rb")
        except OSError as e:
            raise VcfError(f"cannot open VCF {path}: {e.strerror}") from e
        self._stream = stream
        head = stream.read(18)
        self._tail = _Tail(stream, head)
        self._bgzf = head[:2] == b"\x1f\x8b" and head[12:14] == b"BC"
        self.compressed = head[:2] == b"\x1f\x8b"
        buffered = io.BufferedReader(self._tail, 1 << 16)
        self._lines = self._numbered(gzip.GzipFile(fileobj=buffered) if self.compressed else buffered)
        self.header: list[bytes] = []
        try:
            self._read_header()
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Close the input; stdin stays open."""
        if self._stream is not sys.stdin.buffer:
            self._stream.close()

    def __enter__(self) -> VcfReader:
        return self

    def __exit__(self, *_) -> None:
        self.close()

    def _numbered(self, stream: Iterable[bytes]) -> Iterator[tuple[int, bytes]]:
        number = 0
        try:
            for number, line in enumerate(stream, 1):
                yield number, line
        except (OSError, EOFError) as e:
            raise VcfError(f"{self.path} is truncated or damaged after line {number}: {e}") from e
        if self._bgzf and self._tail.last != BGZF_EOF:
            raise VcfError(f"{self.path} is truncated: it ends after line {number} without the BGZF end marker")

    def _read_header(self) -> None:
        for number, line in self._lines:
            if number == 1 and line.startswith(b"BCF"):
                raise VcfError(f"{self.path} is BCF; give samvar text, for example: bcftools view {self.path} | samvar")
            if not line.startswith(b"#"):
                break
            self.header.append(line)
            if line.startswith(b"#CHROM"):
                if len(line.rstrip(b"\r\n").split(b"\t")) < 8:
                    raise VcfError(f"{self.path}, line {number}: the #CHROM line has fewer than 8 columns")
                return
        raise VcfError(f"{self.path} is no VCF: it has no #CHROM header line. Put one before the records, "
                       "for example with: bcftools reheader")

    @property
    def annotated(self) -> bool:
        """Whether the header already declares samvar's fields."""
        return any(line.startswith(tuple(b"##INFO=<ID=" + k[:-1] for k in KEYS)) for line in self.header)

    @property
    def contigs(self) -> list[str]:
        """Names of the header's ##contig lines."""
        names = []
        for line in self.header:
            if line.startswith(b"##contig=<") and b"ID=" in line:
                names.append(line.split(b"ID=", 1)[1].split(b",")[0].split(b">")[0].strip().decode(errors="replace"))
        return names

    def __iter__(self) -> Iterator[Record]:
        for number, line in self._lines:
            if not line.strip():
                raise VcfError(f"{self.path}, line {number}: empty line among the records")
            fields = line.split(b"\t", 8)
            if len(fields) < 8:
                raise VcfError(f"{self.path}, line {number}: {len(fields)} columns, a VCF record has at least 8 "
                               "(separated by tabs); truncated?")
            try:
                contig, pos, ref = fields[0].decode(), int(fields[1]), fields[3].decode()
                alt = fields[4].decode()
            except ValueError as e:
                raise VcfError(f"{self.path}, line {number}: {e}") from e
            alts = () if alt in (".", "") else tuple(alt.split(","))
            yield Record(line, number, contig, pos, ref, alts)


def insert_header(header: list[bytes], added: list[str]) -> list[bytes]:
    """`added` just before #CHROM, with the line end that #CHROM has."""
    *meta, columns = header
    end = b"\r\n" if columns.endswith(b"\r\n") else b"\n"
    return [*meta, *(a.encode() + end for a in added), columns]


@contextmanager
def open_output(path: str, compress: bool) -> Iterator[BinaryIO]:
    """A stream to write to; a file takes its name only when it is complete. `-` is stdout."""
    if path == "-":
        stream = pysam.BGZFile("-", "wb") if compress else sys.stdout.buffer
        yield stream
        stream.close() if compress else stream.flush()
        return
    part = f"{path}.part{os.getpid()}"
    try:
        with pysam.BGZFile(part, "wb") if compress else open(part, "wb") as stream:
            yield stream
        os.replace(part, path)
    finally:
        if os.path.exists(part):
            os.unlink(part)
