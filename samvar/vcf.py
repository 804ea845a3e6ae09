"""VCF text in and out, byte for byte but for INFO. No science."""

from __future__ import annotations

import gzip
import io
import os
import re
import struct
import sys
import zlib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import BinaryIO, NamedTuple

from .errors import VcfError

BGZF_EOF = bytes.fromhex("1f8b08040000000000ff0600424302001b0003000000000000000000")
REMOVE = ("remove them first: bcftools annotate -x "
          "INFO/SAMVAR,INFO/SAMVAR_MAX,INFO/SAMVAR_STATUS,INFO/SAMVAR_RBP")
KEYS = (b"SAMVAR", b"SAMVAR_MAX", b"SAMVAR_STATUS", b"SAMVAR_RBP")


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
        own = [] if info in (b".", b"") else [info.removesuffix(b";")]
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
        if path == "-" and sys.stdin is None:
            raise VcfError("stdin is closed; give a VCF file, or pipe one into samvar")
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
        if self.path != "stdin":
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
        except (OSError, EOFError, zlib.error) as e:
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
        return any(line.startswith(tuple(b"##INFO=<ID=" + k + b"," for k in KEYS)) for line in self.header)

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
            if not line.strip():  # a blank line is passed on
                yield Record(line, number, "", 0, "", ())
                continue
            fields = line.split(b"\t", 8)
            if len(fields) < 8:
                raise VcfError(f"{self.path}, line {number}: {len(fields)} columns, a VCF record has at least 8 "
                               "(separated by tabs); truncated?")
            if not re.fullmatch(rb"-?[0-9]+", fields[1]):
                raise VcfError(f"{self.path}, line {number}: POS is no number: {fields[1].decode(errors='replace')}")
            if b"SAMVAR" in fields[7] and any(e.split(b"=")[0].strip() in KEYS for e in fields[7].split(b";")):
                raise VcfError(f"{self.path}, line {number}: the record already has SAMVAR fields in INFO; {REMOVE}")
            contig, ref, alt = (fields[i].decode(errors="replace") for i in (0, 3, 4))
            yield Record(line, number, contig, int(fields[1]), ref, () if alt in (".", "") else tuple(alt.split(",")))


def insert_header(header: list[bytes], added: list[str]) -> list[bytes]:
    """`added` just before #CHROM, with the line end that #CHROM has."""
    *meta, columns = header
    end = b"\r\n" if columns.endswith(b"\r\n") else b"\n"
    return [*meta, *(a.encode("utf-8", "backslashreplace") + end for a in added), columns]


class _Bgzf:
    """Writes BGZF; unlike a library's file object it leaves out the end marker when the run fails."""

    BLOCK = 0xFF00

    def __init__(self, stream: BinaryIO):
        self._stream, self._waiting = stream, bytearray()

    def write(self, data: bytes) -> None:
        self._waiting += data
        while len(self._waiting) >= self.BLOCK:
            self._block(bytes(self._waiting[: self.BLOCK]))
            del self._waiting[: self.BLOCK]

    def _block(self, data: bytes) -> None:
        deflate = zlib.compressobj(6, zlib.DEFLATED, -15)
        body = deflate.compress(data) + deflate.flush()
        self._stream.write(BGZF_EOF[:16] + struct.pack("<H", len(body) + 25) + body)
        self._stream.write(struct.pack("<II", zlib.crc32(data), len(data)))

    def finish(self) -> None:
        if self._waiting:
            self._block(bytes(self._waiting))
        self._stream.write(BGZF_EOF)


@contextmanager
def open_output(path: str, compress: bool) -> Iterator[BinaryIO]:
    """A stream to write to. A file takes its name only when it is complete; `-`, pipes and devices are written as is.

    Raises OSError when the path cannot be written.
    """
    if os.path.isdir(path):
        raise IsADirectoryError(f"cannot write {path}: it is a folder")
    direct = path == "-" or (os.path.exists(path) and not os.path.isfile(path))
    final = path if direct else os.path.realpath(path)
    part = f"{final}.part{os.getpid()}"
    stream = sys.stdout.buffer if path == "-" else open(final if direct else part, "wb")
    try:
        sink = _Bgzf(stream) if compress else stream
        yield sink
        if compress:
            sink.finish()
        stream.flush()
        if not direct:
            stream.close()
            os.replace(part, final)
    finally:
        if path != "-":
            stream.close()
        if not direct and os.path.exists(part):
            os.unlink(part)
