"""VCF in and out, byte for byte but for INFO; BCF through htslib. No science."""

from __future__ import annotations

import gzip
import io
import os
import re
import struct
import subprocess
import sys
import tempfile
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from types import MappingProxyType
from typing import BinaryIO, NamedTuple

import pysam

from .errors import VcfError
from .files import STDOUT_CLOSED, complete_file
from .regions import Regions

BGZF_EOF = bytes.fromhex("1f8b08040000000000ff0600424302001b0003000000000000000000")
BCF_MAGIC = b"BCF\x02"
OWN_META = b"##samvar_"
LAST = (1 << 31) - 1  # position that an index can have


class Record(NamedTuple):
    """One data line: its bytes with line end, its number in the file (1-based; 0: not known), and the columns that
    matter."""

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


# -------------------------------------------------------------------------------------------------------- reading


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


_FEED = """
import os, signal, sys
signal.signal(signal.SIGINT, signal.SIG_DFL)
head, end, bgzf = sys.argv[1:]
data = tail = os.fdopen(int(head), "rb").read()
while data:
    sys.stdout.buffer.write(data)
    tail = (tail + data)[-28:]
    data = sys.stdin.buffer.read(65536)
sys.stdout.buffer.flush()
sys.exit(int(bgzf) > 0 and tail != bytes.fromhex(end))
"""


class VcfReader:
    """Header lines and records of a VCF: text, gzip, BGZF or BCF, `-` for stdin; the form is told by the content.

    `keys` are the INFO keys that the caller will write: a file that has one is refused, or, with `overwrite`, rid of
    every field of an earlier run; samvar's header lines of such a run are left out. `shared` are keys that other
    programs write, too, with what samvar's definition of each contains; those of other programs are never removed.
    `regions` selects records, through an index where `indexed` and there is one.
    `form` is v (text), z (compressed text) or b (BCF).
    Raises VcfError naming file and line when it is not a VCF, malformed or truncated.
    """

    def __init__(self, path: str, keys: Iterable[str] = (), overwrite: bool = False, regions: Regions | None = None,
                 indexed: bool = True, shared: Mapping[str, str] = MappingProxyType({})):
        self.path = "stdin" if path == "-" else path
        self._keys, self._overwrite, self._regions = frozenset(k.encode() for k in keys), overwrite, regions
        self._shared = {k.encode(): text.encode() for k, text in shared.items()}
        self._replaced: set[bytes] = set()
        if path == "-" and sys.stdin is None:
            raise VcfError("stdin is closed; give a VCF file, or pipe one into samvar")
        try:
            stream = sys.stdin.buffer if path == "-" else open(path, "rb")
        except OSError as e:
            raise VcfError(f"cannot open VCF {path}: {e.strerror}") from e
        self._stream, self._feeder = stream, None
        head = stream.read(18)
        self._bgzf = head[:2] == b"\x1f\x8b" and head[12:14] == b"BC"
        if self._bgzf:
            head += stream.read(1024)
        self._tail = _Tail(stream, head)
        self._streamed = path == "-" or not os.path.isfile(path)
        indexes = [path + suffix for suffix in (".csi", ".tbi") if os.path.exists(path + suffix)]
        self._index = indexes[0] if indexed and regions is not None and not self._streamed and indexes else None
        try:
            self.form = "z" if head[:2] == b"\x1f\x8b" else "v"
            if self._is_bcf(head):
                self.form = "b"
                self._open_bcf(head)
            else:
                buffered = io.BufferedReader(self._tail, 1 << 16)
                self._lines = self._numbered(gzip.GzipFile(fileobj=buffered) if self.form == "z" else buffered)
            self.header = self._read_header()
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Close the input; stdin stays open."""
        if self.path != "stdin":
            self._stream.close()
        if self._feeder:
            self._feeder.kill()
            self._feeder.wait()

    def __enter__(self) -> VcfReader:
        return self

    def __exit__(self, *_) -> None:
        self.close()

    def _is_bcf(self, head: bytes) -> bool:
        if not self._bgzf:
            return head.startswith(b"BCF")
        try:
            return zlib.decompressobj(31).decompress(head, 4) == BCF_MAGIC
        except zlib.error:
            return False

    def _numbered(self, stream: Iterable[bytes]) -> Iterator[tuple[int, bytes]]:
        number = 0
        try:
            for number, line in enumerate(stream, 1):
                yield number, line
        except (OSError, EOFError, zlib.error) as e:
            raise VcfError(f"{self.path} is truncated or damaged after line {number}: {e}") from e
        if self._bgzf and self._tail.last != BGZF_EOF:
            raise VcfError(f"{self.path} is truncated: it ends after line {number} without the BGZF end marker")

    def _open_bcf(self, head: bytes) -> None:
        """htslib turns BCF into text. What has been read of a pipe to tell its form has to be put before the rest."""
        import cyvcf2

        try:
            if self._streamed:
                with self._piped(head) as reading:
                    self._hts = cyvcf2.VCF(f"/dev/fd/{reading.fileno()}")
            else:
                self._hts = cyvcf2.VCF(self.path)
        except Exception as e:  # cyvcf2 raises a bare Exception
            raise VcfError(f"{self.path} is a truncated or damaged BCF: {e}") from e
        self._lines = iter([(0, line.encode() + b"\n") for line in self._hts.raw_header.split("\n") if line])

    def _piped(self, head: bytes) -> BinaryIO:
        """A pipe with `head` and all that follows on stdin; its process ends with 1 where the BGZF end marker lacks."""
        with tempfile.TemporaryFile() as start:
            start.write(head + self._stream.peek())
            start.seek(0)
            command = [sys.executable, "-c", _FEED, str(start.fileno()), BGZF_EOF.hex(), str(int(self._bgzf))]
            self._feeder = subprocess.Popen(command, stdin=self._stream.fileno(), stdout=subprocess.PIPE,
                                            pass_fds=[start.fileno()])
        return self._feeder.stdout

    def _bcf_lines(self) -> Iterator[tuple[int, bytes]]:
        number = 0
        try:
            for variant in self._hts:
                number += 1
                yield 0, _line(variant)
        except Exception as e:  # cyvcf2 raises a bare Exception
            raise VcfError(f"{self.path} is truncated or damaged after record {number}: {e}") from e
        if not (self._feeder.wait() == 0 if self._streamed else self._complete()):
            raise VcfError(f"{self.path} is truncated: it ends after record {number} without the BGZF end marker")

    def _complete(self) -> bool:
        """Whether a file that is BGZF ends with its end marker."""
        if self._bgzf:
            self._stream.seek(-len(BGZF_EOF), os.SEEK_END)
        return not self._bgzf or self._stream.read() == BGZF_EOF

    def _read_header(self) -> list[bytes]:
        header: list[bytes] = []
        for number, line in self._lines:
            if not line.startswith(b"#"):
                break
            if line.startswith(b"#CHROM"):
                if len(line.rstrip(b"\r\n").split(b"\t")) < 8:
                    raise VcfError(f"{self.path}, line {number}: the #CHROM line has fewer than 8 columns")
                defined = {k: h for h in header for k in declared([h], b"INFO")}
                if self._overwrite:
                    own = {k for k, text in self._shared.items() if text in defined.get(k, b"")}
                    self._replaced = (self._keys - self._shared.keys()) | own
                if self._keys:
                    header = [h for h in header
                              if not h.startswith(OWN_META) and self._replaced.isdisjoint(declared([h], b"INFO"))]
                self._watched = self._keys | self._replaced
                if taken := sorted(k.decode() for k in self._keys & defined.keys() - self._replaced):
                    raise VcfError(f"{self.path} already has {', '.join(taken)}; {self._remove()}")
                return [*header, line]
            header.append(line)
        raise VcfError(f"{self.path} is no VCF: it has no #CHROM header line. Put one before the records, "
                       "for example with: bcftools reheader")

    def _remove(self) -> str:
        keys = ",".join(f"INFO/{k.decode()}" for k in sorted(self._keys - self._replaced))
        if self._overwrite:
            return f"it is another program's. Do without it here, or remove it first: bcftools annotate -x {keys}"
        return f"replace what an earlier run left with --overwrite, or remove it first: bcftools annotate -x {keys}"

    @property
    def stale_index(self) -> str | None:
        """The index that is used, where the file has changed since it was made."""
        older = self._index and os.path.getmtime(self._index) < os.path.getmtime(self.path)
        return self._index if older else None

    @property
    def contigs(self) -> list[str]:
        """Names of the header's ##contig lines."""
        return [n.decode(errors="replace") for n in declared(self.header, b"contig")]

    def __iter__(self) -> Iterator[Record]:
        if self._index:
            yield from self._by_index()
            return
        for number, line in self._bcf_lines() if self.form == "b" else self._lines:
            if not line.strip():  # a blank line is passed on
                yield Record(line, number, "", 0, "", ())
                continue
            record = self._record(number, line)
            if self._regions is None or self._place(record) is not None:
                yield record

    def _by_index(self) -> Iterator[Record]:
        """Records of the regions, in file order, each once."""
        if not self._complete():
            raise VcfError(f"{self.path} is truncated: it ends without the BGZF end marker")
        file = None
        try:
            if self.form == "b":  # cyvcf2 takes any error for the end of a region
                file = pysam.VariantFile(self.path, index_filename=self._index)
                names, fetch = list(file.header.contigs), lambda *region: map(_line, file.fetch(*region))
            else:
                file = pysam.TabixFile(self.path, index=self._index, encoding="latin-1")
                names, fetch = file.contigs, lambda *region: (t.encode("latin-1") for t in file.fetch(*region))
            yield from self._fetched(names, fetch)
        except (OSError, ValueError) as e:
            raise VcfError(f"{self.path} or its index {self._index} is damaged ({e}): make the index anew with "
                           "bcftools index; where that fails, it is the file") from e
        finally:
            with suppress(OSError):  # of a damaged file
                if file:
                    file.close()

    def _fetched(self, names: Iterable[str], fetch: Callable[[str, int, int], Iterable[bytes]]) -> Iterator[Record]:
        end = b"\r\n" if self.header[-1].endswith(b"\r\n") else b"\n"
        for contig in names:
            for i, (start, stop) in enumerate(self._regions.on(contig)):
                for line in fetch(contig, start, min(stop, LAST)):
                    record = self._record(0, line.rstrip(b"\r\n") + end)
                    if self._place(record) == i:
                        yield record

    def _place(self, record: Record) -> int | None:
        info = record.line.split(b"\t", 8)[7]
        return self._regions.first(record.contig, record.pos, record.ref, record.alts, info)

    def _record(self, number: int, line: bytes) -> Record:
        fields = line.split(b"\t", 8)
        where = f"{self.path}, line {number}" if number else self.path
        if len(fields) < 8:
            raise VcfError(f"{where}: {len(fields)} columns, a VCF record has at least 8 (separated by tabs); "
                           "truncated?")
        if not re.fullmatch(rb"-?[0-9]{1,18}", fields[1]):
            raise VcfError(f"{where}: POS is no number: {fields[1].decode(errors='replace')}")
        if any(k in fields[7] for k in self._watched):
            before, entries, rest = split_info(line)
            key = lambda entry: entry.split(b"=")[0].strip()  # noqa: E731
            kept = [e for e in entries if key(e) not in self._replaced]
            if any(key(e) in self._keys for e in kept):
                raise VcfError(f"{where}: the record already has INFO keys that samvar writes; {self._remove()}")
            if len(kept) < len(entries):
                line = before + (b";".join(kept) or b".") + rest
        contig, ref, alt = (fields[i].decode(errors="replace") for i in (0, 3, 4))
        if not contig:
            raise VcfError(f"{where}: CHROM is empty")
        return Record(line, number, contig, int(fields[1]), ref, () if alt in (".", "") else tuple(alt.split(",")))


def _line(record: object) -> bytes:
    """htslib's record as text, byte for byte where that is no UTF-8, too."""
    try:
        return str(record).encode()
    except UnicodeDecodeError as e:
        return e.object


def declared(header: Iterable[bytes], kind: bytes) -> list[bytes]:
    """IDs of the header's lines of a kind: contig, INFO, FORMAT, FILTER."""
    pattern = re.compile(rb"##" + kind + rb"=<(?:[^\"]*,)?ID=([^,>]*)")
    return [found[1].strip() for line in header if (found := pattern.match(line))]


def insert_header(header: list[bytes], added: list[str]) -> list[bytes]:
    """`added` just before #CHROM, with the line end that #CHROM has."""
    *meta, columns = header
    end = b"\r\n" if columns.endswith(b"\r\n") else b"\n"
    return [*meta, *(a.encode("utf-8", "backslashreplace") + end for a in added), columns]


# -------------------------------------------------------------------------------------------------------- writing


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


class TextWriter:
    """Lines to a binary stream, compressed or not. With `sorted_only` a record out of order raises VcfError."""

    def __init__(self, stream: BinaryIO, compress: bool = False, sorted_only: bool = False):
        self._stream, self._sink = stream, _Bgzf(stream) if compress else stream
        self._order = _Order() if sorted_only else None

    def start(self, header: list[bytes]) -> None:
        self._sink.write(b"".join(header))

    def write(self, record: Record, added: list[str]) -> None:
        if self._order:
            self._order.check(record)
        self._sink.write(record.with_info(added))

    def finish(self) -> None:
        if isinstance(self._sink, _Bgzf):
            self._sink.finish()
        self._stream.flush()


_COPY = """
import shutil, sys
try:
    shutil.copyfileobj(sys.stdin.buffer, sys.stdout.buffer)
    sys.stdout.buffer.flush()
except OSError as e:
    import os
    os._exit(e.errno)
"""


class BcfWriter:
    """Records to BCF through htslib; what a record uses must be declared in the header, or VcfError is raised.

    cyvcf2 tells nobody of a failed write, so that its output goes through a process that does, in a session of its own:
    a terminal's Ctrl-C is for samvar alone.
    """

    def __init__(self, stream: BinaryIO, mode: str, sorted_only: bool = False):
        self._copy = subprocess.Popen([sys.executable, "-c", _COPY], stdin=subprocess.PIPE, stdout=stream.fileno(),
                                      start_new_session=True)
        self._mode, self._writer = mode, None
        self._order = _Order() if sorted_only else None

    def start(self, header: list[bytes]) -> None:
        import cyvcf2

        self._known = {kind: set(declared(header, kind)) for kind in (b"contig", b"INFO", b"FORMAT", b"FILTER")}
        self._known[b"FILTER"] |= {b"PASS", b"."}
        self._columns = header[-1].count(b"\t")
        text = b"".join(header).replace(b"\r\n", b"\n")
        try:
            self._writer = cyvcf2.Writer.from_string(f"/dev/fd/{self._copy.stdin.fileno()}", text, self._mode)
        except Exception as e:  # cyvcf2 raises a bare Exception
            raise VcfError("htslib refuses the header (two samples of one name?): mend it, or write text (-O v or -O z)"
                           ) from e
        self._writer.write_header()

    def write(self, record: Record, added: list[str]) -> None:
        if not record.contig:
            return
        if self._order:
            self._order.check(record)
        line = record.with_info(added).rstrip(b"\r\n")
        refused = f"the record at {record.contig}:{record.pos} cannot be written as BCF"
        if (columns := line.count(b"\t")) != self._columns:
            raise VcfError(f"{refused}: it has {columns + 1} columns, the header {self._columns + 1}")
        self._check_declared(line)
        if self._copy.poll():
            self._failed()
        try:
            self._writer.write_record(self._writer.variant_from_string(line.decode()))
        except UnicodeDecodeError as e:
            raise VcfError(f"{refused}: it is no UTF-8. Convert the input with iconv, or write text (-O v or "
                           "-O z)") from e
        except Exception as e:  # cyvcf2 raises a bare Exception
            raise VcfError(f"{refused}: htslib refuses it, as it says above. Write text (-O v or -O z)") from e

    def _check_declared(self, line: bytes) -> None:
        f = line.split(b"\t", 9)
        used = ((b"contig", f[:1]), (b"FILTER", f[6].split(b";")),
                (b"INFO", [e.split(b"=")[0] for e in f[7].split(b";") if e not in (b".", b"")]),
                (b"FORMAT", f[8].split(b":") if len(f) > 8 and f[8] != b"." else []))
        for kind, names in used:
            for name in names:
                if name not in self._known[kind]:
                    raise VcfError(f"{kind.decode()} {name.decode(errors='replace')} is not declared in the header, "
                                   "which BCF needs: declare it, or write text (-O v or -O z)")

    def finish(self) -> None:
        if self._writer:
            self._writer.close()
        self._copy.stdin.close()
        if self._copy.wait():
            self._failed()

    def close(self) -> None:
        """End the copying, finished or not."""
        self._copy.stdin.close()
        self._copy.kill()
        self._copy.wait()

    def _failed(self) -> None:
        raise OSError(self._copy.returncode, f"cannot write BCF: {os.strerror(self._copy.returncode)}")


class _Order:
    """Whether records come sorted, as an index needs them."""

    def __init__(self):
        self._seen: set[str] = set()
        self._contig, self._pos = "", 0

    def check(self, record: Record) -> None:
        if not record.contig:
            return
        new = record.contig != self._contig
        if (record.contig in self._seen) if new else record.pos < self._pos:
            raise VcfError(f"{record.contig}:{record.pos} is out of order, so that the output cannot be indexed (-W): "
                           "sort the input first, with bcftools sort")
        self._seen.add(record.contig)
        self._contig, self._pos = record.contig, record.pos


@contextmanager
def open_output(path: str, form: str, index: str | None = None) -> Iterator[TextWriter | BcfWriter]:
    """A writer of form v (text), z (BGZF), b (BCF) or u (uncompressed BCF); a file appears when it is complete, with
    its index ("tbi" or "csi") where asked for. `-` is stdout.

    Raises OSError when the path cannot be written.
    """
    with ExitStack() as stack:
        if path == "-" and sys.stdout is None:
            raise OSError(STDOUT_CLOSED)
        name = "-" if path == "-" else stack.enter_context(complete_file(path))
        stream = sys.stdout.buffer if name == "-" else stack.enter_context(open(name, "wb"))
        writer: TextWriter | BcfWriter
        if form in "bu":
            writer = BcfWriter(stream, "wb" if form == "b" else "wbu", bool(index))
            stack.callback(writer.close)
        else:
            writer = TextWriter(stream, form == "z", bool(index))
        yield writer
        writer.finish()
        if index:
            part = stack.enter_context(complete_file(f"{path}.{index}"))
            _index(name, part, index)
            with suppress(FileNotFoundError):  # of a file that had this name before
                os.unlink(f"{path}.{'csi' if index == 'tbi' else 'tbi'}")


def _index(path: str, index_path: str, kind: str) -> None:
    import pysam.bcftools

    try:
        pysam.bcftools.index("-f", "-t" if kind == "tbi" else "-c", "-o", index_path, path, catch_stdout=False)
    except pysam.utils.SamtoolsError as e:
        raise VcfError(f"cannot index the output: {e}") from e
