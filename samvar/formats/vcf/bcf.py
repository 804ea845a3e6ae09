"""BCF in and out, through htslib."""

from __future__ import annotations

import errno
import io
import os
import re
import subprocess
import sys
import tempfile
import zlib
from collections import Counter
from contextlib import suppress
from typing import BinaryIO

from ...errors import VcfError
from ...files import BGZF_EOF
from .genotypes import samples
from .record import Order, Record, declared

BCF_MAGIC = b"BCF\x02"
LAST_POS = (1 << 31) - 1  # POS is a number of 32 bits
KINDS = b"contig", b"INFO", b"FORMAT", b"FILTER"
NUMBERED = re.compile(rb",IDX=[0-9]+(?=>$)", re.MULTILINE)  # of a BCF; htslib gives its own


def is_bcf(head: bytes, bgzf: bool) -> bool:
    """Whether a file that begins so, in BGZF or not, is BCF."""
    if not bgzf:
        return head.startswith(b"BCF")
    try:
        return zlib.decompressobj(31).decompress(head, 4) == BCF_MAGIC
    except zlib.error:
        return False


_FEED = """
import os, signal, sys
signal.signal(signal.SIGPIPE, signal.SIG_DFL)
head, end, bgzf = sys.argv[1:]
data = tail = os.fdopen(int(head), "rb").read()
while data:
    sys.stdout.buffer.write(data)
    tail = (tail + data)[-28:]
    data = sys.stdin.buffer.read(65536)
sys.stdout.buffer.flush()
sys.exit(int(bgzf) > 0 and tail != bytes.fromhex(end))
"""


def feeder(stream: io.BufferedReader, head: bytes, bgzf: bool) -> subprocess.Popen:
    """A process whose stdout is `head`, which was read of a stream, and all that follows; it ends
    with 1 where the BGZF end marker is missing. In a session of its own: a terminal's Ctrl-C must
    not end it before its reader."""
    with tempfile.TemporaryFile() as start:
        start.write(head + stream.peek())
        start.seek(0)
        command = [sys.executable, "-c", _FEED, str(start.fileno()), BGZF_EOF.hex(), str(int(bgzf))]
        return subprocess.Popen(
            command,
            stdin=stream.fileno(),
            stdout=subprocess.PIPE,
            pass_fds=[start.fileno()],
            start_new_session=True,
        )


def text_of(record: object) -> bytes:
    """htslib's record as text, byte for byte where that is no UTF-8, too."""
    try:
        return str(record).encode()
    except UnicodeDecodeError as e:
        return e.object


_WRITE = """
import errno, os, sys
import pysam, pysam.bcftools
try:
    pysam.bcftools.view("--no-version", "-I", "-O", sys.argv[1], "-", catch_stdout=False)
except pysam.SamtoolsError as error:
    if "parse error" in str(error):
        os._exit(255)
    try:
        os.write(1, b"0")  # fails as htslib did, with the cause
    except OSError as e:
        os._exit(e.errno)
    os._exit(errno.EIO)
"""


QUALITY = re.compile(rb"\.|[-+]?([0-9]+\.?[0-9]*|\.[0-9]+)(e[-+]?[0-9]+)?|[-+]?(inf|nan)", re.I)


class BcfWriter:
    """Records to BCF through htslib; what a record uses must be declared in the header as htslib
    has read it, or VcfError is raised.

    htslib works in a process of its own, which reads text; in a session of its own, too: a
    terminal's Ctrl-C is for samvar alone.
    """

    REFUSED = 255  # exit code of the process: htslib could not read a record

    def __init__(self, stream: BinaryIO, mode: str, index: str | None = None):
        self._stream, self._mode = stream, mode
        self._process: subprocess.Popen | None = None
        self._index = index
        self._order: Order | None = None
        self.first: Record | None = None

    def start(self, header: list[bytes]) -> None:
        text = b"".join(line for line in header if line.strip()).replace(b"\r\n", b"\n")
        text = NUMBERED.sub(b"", text)
        if not text.startswith(b"##fileformat="):
            text = b"##fileformat=VCFv4.2\n" + text
        if not text.startswith(b"##fileformat=VCF"):
            first = ascii(text.partition(b"\n")[0].decode(errors="replace"))
            raise VcfError(
                f"line 1 of the header is {first}, by which htslib does not know a VCF: make it "
                "##fileformat=VCFv4.2, or write text (-O v or -O z)"
            )
        self._declared = {kind: set(declared(header, kind)) for kind in KINDS}
        self._known = known_to_htslib(text)
        self._known[b"FILTER"] |= {b"PASS", b"."}
        self._columns = header[-1].count(b"\t")
        if self._index:
            self._order = Order(self._index, True, header)
        self._process = subprocess.Popen(
            [sys.executable, "-c", _WRITE, self._mode],
            stdin=subprocess.PIPE,
            stdout=self._stream.fileno(),
            start_new_session=True,
        )
        self._send(text)

    def write(self, record: Record, added: list[str]) -> None:
        if not record.contig:
            return
        if self._order:
            self._order.check(record)
        line = record.with_info(added).rstrip(b"\r\n")
        refused = f"the record at {record.where} cannot be written as BCF"
        if not 0 <= record.pos <= LAST_POS:
            raise VcfError(
                f"{refused}: POS must be 0 to {LAST_POS:,} there. Correct the record, or write "
                "text (-O v or -O z)"
            )
        if (columns := line.count(b"\t")) != self._columns:
            raise VcfError(
                f"{refused}: it has {columns + 1} columns, the header {self._columns + 1}"
            )
        _, _, _, ref, alt, quality, filters, _ = line.split(b"\t", 8)[:8]
        empty = [n for n, v in ((b"REF", ref), (b"ALT", alt), (b"FILTER", filters)) if not v]
        if empty:
            raise VcfError(f"{refused}: its {empty[0].decode()} is empty")
        if not QUALITY.fullmatch(quality):
            raise VcfError(
                f"{refused}: QUAL is {quality.decode(errors='replace')!r}, no number and not ."
            )
        self._check_declared(line)
        try:
            line.decode()
        except UnicodeDecodeError as e:
            raise VcfError(
                f"{refused}: it is no UTF-8. Convert the input with iconv, or write text (-O v or "
                "-O z)"
            ) from e
        self.first = self.first or record
        self._send(line + b"\n")

    def _send(self, text: bytes) -> None:
        try:
            self._process.stdin.write(text)
        except BrokenPipeError:
            self._failed(self._process.wait())

    def _check_declared(self, line: bytes) -> None:
        f = line.split(b"\t", 9)
        used = (
            (b"contig", f[:1]),
            (b"FILTER", f[6].split(b";")),
            (b"INFO", [e.split(b"=")[0] for e in f[7].split(b";") if e not in (b".", b"")]),
            (b"FORMAT", f[8].split(b":") if len(f) > 8 and f[8] != b"." else []),
        )
        for kind, names in used:
            for name in names:
                if name not in self._known[kind]:
                    what = f"{kind.decode()} {name.decode(errors='replace')} is not declared"
                    if name in self._declared[kind]:
                        what += f" so that htslib understands it (see its ##{kind.decode()} line)"
                    raise VcfError(
                        f"{what} in the header, which BCF needs: declare it, or write text (-O v "
                        "or -O z)"
                    )

    def finish(self) -> None:
        if not self._process:
            return
        with suppress(BrokenPipeError):
            self._process.stdin.close()
        if code := self._process.wait():
            self._failed(code)

    def close(self) -> None:
        """End the process, finished or not."""
        if not self._process:
            return
        self._process.kill()
        self._process.wait()
        with suppress(BrokenPipeError):
            self._process.stdin.close()

    def _failed(self, code: int) -> None:
        if code != self.REFUSED:
            code = code if code > 0 else errno.EIO
            raise OSError(code, os.strerror(code))
        raise VcfError(
            "a record cannot be written as BCF: htslib refuses it, as it says above. Write text "
            "(-O v or -O z)"
        )


def known_to_htslib(header: bytes) -> dict[bytes, set[bytes]]:
    """Names of contigs, INFO, FORMAT and FILTER that htslib keeps of a header (text, with LF as
    line end); of what it cannot read it keeps nothing. Raises VcfError where it refuses all."""
    import pysam

    with tempfile.TemporaryFile() as file:
        file.write(header)
        file.seek(0)
        try:
            with pysam.VariantFile(file) as read:
                names = read.header
                kept = (names.contigs, names.info, names.formats, names.filters)
                return {k: {n.encode() for n in own} for k, own in zip(KINDS, kept)}
        except (OSError, ValueError) as e:
            names = samples(header.rstrip(b"\n").rpartition(b"\n")[2])
            twice = [name for name, n in Counter(names).items() if n > 1]
            cause = f"two samples are called {twice[0]!r}" if twice else "it says above why"
            raise VcfError(
                f"htslib refuses the header ({cause}): correct it, or write text (-O v or -O z)"
            ) from e


def check_first_record(path: str, first: Record | None) -> None:
    """Raises VcfError when the first record of a BCF is not the one that was written."""
    import pysam

    try:
        with open(path, "rb") as file, pysam.VariantFile(file) as read:
            found = next(read, None)
            place = found and (found.contig, found.pos, found.ref, found.alts or ())
    except (OSError, ValueError) as e:
        raise VcfError(f"the BCF that was written cannot be read back ({e})") from e
    if place != (first and (first.contig, first.pos, first.ref, first.alts)):
        raise VcfError(f"the BCF that was written does not begin with its first record: {place}")
