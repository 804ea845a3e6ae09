"""VCF in and out, byte for byte but for INFO; BCF through htslib. No science."""

from __future__ import annotations

import gzip
import io
import os
import re
import sys
from collections.abc import Iterable, Iterator, Mapping, Set
from contextlib import ExitStack, contextmanager, suppress
from subprocess import Popen
from types import MappingProxyType
from typing import Any

from ...errors import VcfError
from ...files import (
    BGZF_EOF,
    CR_ALONE,
    STDOUT_CLOSED,
    Tail,
    complete_file,
    is_bgzf,
    new_file,
    writing,
)
from ..regions import Regions
from .bcf import BcfWriter, check_first_record, feeder, is_bcf, text_of
from .indexed import fetched, record_count, write_index
from .record import OWN_META, Record, declared, split_info
from .text import TextWriter, has_joined_lines, not_a_header, numbered, wrong_column


class VcfReader:
    """Header lines and records of a VCF: text, gzip, BGZF or BCF, `-` for stdin; the form is
    recognised by the content.

    `keys` are the INFO keys that the caller will write: a file that has one is refused, or, with
    `overwrite`, read without the fields of an earlier run; samvar's header lines of such a run are
    left out. `shared` are keys that other programs write, too, with what samvar's definition of
    each contains; those of other programs are never removed. `regions` selects records, through an
    index where `indexed` and there is one. `form` is v (text), z (compressed text) or b (BCF).
    Raises VcfError naming file and line when it is not a VCF, malformed or truncated.
    """

    def __init__(
        self,
        path: str,
        keys: Iterable[str] = (),
        overwrite: bool = False,
        regions: Regions | None = None,
        indexed: bool = True,
        shared: Mapping[str, str] = MappingProxyType({}),
    ):
        self.path = "stdin" if path == "-" else path
        self._keys, self._overwrite, self._regions = (
            frozenset(k.encode() for k in keys),
            overwrite,
            regions,
        )
        self._shared = {k.encode(): text.encode() for k, text in shared.items()}
        self._replaced: Set[bytes] = frozenset()
        if path == "-" and sys.stdin is None:
            raise VcfError("stdin is closed; give a VCF file, or pipe one into samvar")
        if path == "-" and sys.stdin.isatty():
            raise VcfError("stdin is a terminal; give a VCF file, or pipe one into samvar")
        try:
            stream = sys.stdin.buffer if path == "-" else open(path, "rb")
        except OSError as e:
            raise VcfError(f"cannot open VCF {path}: {e.strerror}") from e
        self._stream: Any = stream
        self._feeder: Popen[bytes] | None = None
        self._hts: Any = None  # pysam's reader of BCF
        head = stream.read(18)
        self._bgzf = is_bgzf(head)
        if self._bgzf:
            head += stream.read(1024)
        self._tail = Tail(stream, head)
        self._streamed = path == "-" or not os.path.isfile(path)
        indexes = [path + suffix for suffix in (".csi", ".tbi") if os.path.exists(path + suffix)]
        self._index = (
            indexes[0]
            if indexed and regions is not None and not self._streamed and indexes
            else None
        )
        try:
            self.form = "z" if head[:2] == b"\x1f\x8b" else "v"
            if is_bcf(head, self._bgzf):
                self.form = "b"
                self._open_bcf(head)
            else:
                buffered = io.BufferedReader(self._tail, 1 << 16)
                lines = gzip.GzipFile(fileobj=buffered) if self.form == "z" else buffered
                self._lines = numbered(lines, self.path, self._tail if self._bgzf else None)
            self.header = self._read_header()
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Close the input; stdin stays open."""
        if self._hts is not None:
            with suppress(
                OSError, TypeError, ValueError
            ):  # of a damaged end, which has been reported
                self._hts.close()
        if self.path != "stdin":
            self._stream.close()
        if self._feeder:
            self._feeder.kill()
            self._feeder.wait()

    def __enter__(self) -> VcfReader:
        return self

    def __exit__(self, *_) -> None:
        self.close()

    def _open_bcf(self, head: bytes) -> None:
        """htslib turns BCF into text. What has been read of a pipe to recognise its form has to be
        put before the rest."""
        import pysam

        try:
            if self._streamed:
                self._feeder = feeder(self._stream, head, self._bgzf)
                content = self._feeder.stdout
            else:
                content = open(self.path, "rb")
            with content:
                self._hts = pysam.VariantFile(content)
        except (OSError, ValueError) as e:
            raise VcfError(f"{self.path} is a truncated or damaged BCF: {e}") from e
        header = text_of(self._hts.header).split(b"\n")
        self._lines = iter([(0, line + b"\n") for line in header if line])

    def _bcf_lines(self) -> Iterator[tuple[int, bytes]]:
        number = 0
        try:
            for variant in self._hts:
                number += 1
                yield 0, text_of(variant)
        except (OSError, ValueError) as e:
            raise VcfError(f"{self.path} is truncated or damaged after record {number}: {e}") from e
        if not (self._feeder.wait() == 0 if self._streamed else self._complete()):
            raise VcfError(
                f"{self.path} is truncated: it ends after record {number} without the BGZF end "
                "marker"
            )

    def _complete(self) -> bool:
        """Whether a file that is BGZF ends with its end marker."""
        if self._bgzf:
            self._stream.seek(-len(BGZF_EOF), os.SEEK_END)
        return not self._bgzf or self._stream.read() == BGZF_EOF

    def _read_header(self) -> list[bytes]:
        header: list[bytes] = []
        for number, line in self._lines:
            if not line.startswith(b"#"):
                if header and not line.strip():  # kept, as blank lines among the records are
                    header.append(line)
                    continue
                raise VcfError(not_a_header(self.path, number, line, bool(header)))
            if has_joined_lines(line):
                raise VcfError(f"{self.path}, line {number}: {CR_ALONE}")
            if line.startswith(b"#CHROM"):
                if len(line.rstrip(b"\r\n").split(b"\t")) < 8:
                    raise VcfError(
                        f"{self.path}, line {number}: the #CHROM line has fewer than 8 columns "
                        "(separated by tabs)"
                    )
                if wrong := wrong_column(line):
                    raise VcfError(f"{self.path}, line {number}: {wrong}")
                defined = {k: h for h in header for k in declared([h], b"INFO")}
                if self._overwrite:
                    own = {k for k, text in self._shared.items() if text in defined.get(k, b"")}
                    self._replaced = (self._keys - self._shared.keys()) | own
                if self._keys:
                    header = [
                        h
                        for h in header
                        if not h.startswith(OWN_META)
                        and self._replaced.isdisjoint(declared([h], b"INFO"))
                    ]
                self._watched = self._keys | self._replaced
                if taken := sorted(
                    k.decode() for k in self._keys & defined.keys() - self._replaced
                ):
                    raise VcfError(f"{self.path} already has {', '.join(taken)}; {self._remove()}")
                return [*header, line]
            header.append(line)
        what = "its header has no #CHROM line, and no record follows" if header else "it is empty"
        raise VcfError(f"{self.path} is no VCF: {what}")

    def _remove(self) -> str:
        keys = ",".join(f"INFO/{k.decode()}" for k in sorted(self._keys - self._replaced))
        remove = f"or remove it first: bcftools annotate -x {keys}"
        if self._overwrite:
            return f"it is another program's. Do without it here, {remove}"
        return f"replace what an earlier run left with --overwrite, {remove}"

    @property
    def expected_records(self) -> int | None:
        """How many records will come, where an index says so and all are read."""
        return record_count(self.path) if self._regions is None and not self._streamed else None

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
        assert self._index is not None and self._regions is not None
        if not self._complete():
            raise VcfError(f"{self.path} is truncated: it ends without the BGZF end marker")
        end = b"\r\n" if self.header[-1].endswith(b"\r\n") else b"\n"
        for i, line in fetched(self.path, self._index, self.form == "b", self._regions):
            record = self._record(0, line.rstrip(b"\r\n") + end)
            if self._place(record) == i:
                yield record

    def _place(self, record: Record) -> int | None:
        info, *samples = record.line.rstrip(b"\r\n").split(b"\t", 8)[7:]
        return self._regions.first(
            record.contig, record.pos, record.ref, record.alts, info, b"".join(samples)
        )

    def _record(self, number: int, line: bytes) -> Record:
        fields = line.split(b"\t", 8)
        where = f"{self.path}, line {number}" if number else self.path
        if line.startswith(b"#"):
            raise VcfError(
                f"{where}: a header line after records: files were put one behind the other; join "
                "them with bcftools concat"
            )
        if len(fields) < 8:
            raise VcfError(
                f"{where}: {len(fields)} columns, a VCF record has at least 8 (separated by tabs); "
                "truncated?"
            )
        if not re.fullmatch(rb"-?[0-9]{1,18}", fields[1]):
            raise VcfError(f"{where}: POS is no number: {fields[1].decode(errors='replace')}")
        if any(k in fields[7] for k in self._watched):
            before, entries, rest = split_info(line)
            key = lambda entry: entry.split(b"=")[0].strip()  # noqa: E731
            kept = [e for e in entries if key(e) not in self._replaced]
            if any(key(e) in self._keys for e in kept):
                raise VcfError(
                    f"{where}: the record already has INFO keys that samvar writes; "
                    f"{self._remove()}"
                )
            if len(kept) < len(entries):
                line = before + (b";".join(kept) or b".") + rest
        contig, ref, alt = (fields[i].decode(errors="replace") for i in (0, 3, 4))
        if not contig:
            raise VcfError(f"{where}: CHROM is empty")
        if contig.startswith('"'):
            raise VcfError(
                f"{where}: the record stands in quotation marks, as a spreadsheet writes it: take "
                "them away"
            )
        if has_joined_lines(line):
            raise VcfError(f"{where}: {CR_ALONE}")
        return Record(
            line,
            number,
            contig,
            int(fields[1]),
            ref,
            () if alt in (".", "") else tuple(alt.split(",")),
        )


@contextmanager
def open_output(path: str, form: str, index: str | None = None) -> Iterator[TextWriter | BcfWriter]:
    """A writer of form v (text), z (BGZF), b (BCF) or u (uncompressed BCF); a file appears when it
    is complete, with its index ("tbi" or "csi") where asked for. `-` is stdout.

    Raises OSError when the path cannot be written.
    """
    if path == "-" and sys.stdout is None:
        raise OSError(STDOUT_CLOSED)
    if path == "-" and form != "v" and sys.stdout.isatty():
        what = "compressed VCF" if form == "z" else "BCF"
        raise OSError(f"stdout is a terminal, which {what} is not for; give -o FILE, or -O v")
    with writing(path), ExitStack() as stack:
        if path == "-":
            name, stream = path, sys.stdout.buffer
        else:
            stream = stack.enter_context(new_file(path, "wb"))
            name = stream.name
        writer: TextWriter | BcfWriter
        if form in "bu":
            writer = BcfWriter(stream, form, index)
            stack.callback(writer.close)
        else:
            writer = TextWriter(stream, form == "z", index)
        yield writer
        writer.finish()
        if isinstance(writer, BcfWriter) and os.path.isfile(name):
            check_first_record(name, writer.first)
        if index:
            part = stack.enter_context(complete_file(f"{path}.{index}"))
            write_index(name, part, index)
            with suppress(FileNotFoundError):  # of a file that had this name before
                os.unlink(f"{path}.{'csi' if index == 'tbi' else 'tbi'}")
