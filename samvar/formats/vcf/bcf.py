"""BCF in and out, through htslib."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import zlib
from typing import BinaryIO

from ...errors import VcfError
from .bgzf import BGZF_EOF
from .record import Order, Record, declared

BCF_MAGIC = b"BCF\x02"


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


def feeder(stream: BinaryIO, head: bytes, bgzf: bool) -> subprocess.Popen:
    """A process whose stdout is `head`, which was read of a stream, and all that follows; it ends
    with 1 where the BGZF end marker lacks."""
    with tempfile.TemporaryFile() as start:
        start.write(head + stream.peek())
        start.seek(0)
        command = [sys.executable, "-c", _FEED, str(start.fileno()), BGZF_EOF.hex(), str(int(bgzf))]
        return subprocess.Popen(
            command, stdin=stream.fileno(), stdout=subprocess.PIPE, pass_fds=[start.fileno()]
        )


def text_of(record: object) -> bytes:
    """htslib's record as text, byte for byte where that is no UTF-8, too."""
    try:
        return str(record).encode()
    except UnicodeDecodeError as e:
        return e.object


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
    """Records to BCF through htslib; what a record uses must be declared in the header, or VcfError
    is raised.

    cyvcf2 tells nobody of a failed write, so that its output goes through a process that does, in a
    session of its own: a terminal's Ctrl-C is for samvar alone.
    """

    def __init__(self, stream: BinaryIO, mode: str, sorted_only: bool = False):
        self._copy = subprocess.Popen(
            [sys.executable, "-c", _COPY],
            stdin=subprocess.PIPE,
            stdout=stream.fileno(),
            start_new_session=True,
        )
        self._mode, self._writer = mode, None
        self._order = Order() if sorted_only else None

    def start(self, header: list[bytes]) -> None:
        import cyvcf2

        self._known = {
            kind: set(declared(header, kind)) for kind in (b"contig", b"INFO", b"FORMAT", b"FILTER")
        }
        self._known[b"FILTER"] |= {b"PASS", b"."}
        self._columns = header[-1].count(b"\t")
        text = b"".join(header).replace(b"\r\n", b"\n")
        try:
            self._writer = cyvcf2.Writer.from_string(
                f"/dev/fd/{self._copy.stdin.fileno()}", text, self._mode
            )
        except Exception as e:  # cyvcf2 raises a bare Exception
            raise VcfError(
                "htslib refuses the header (two samples of one name?): mend it, or write text (-O "
                "v or -O z)"
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
            raise VcfError(
                f"{refused}: it has {columns + 1} columns, the header {self._columns + 1}"
            )
        self._check_declared(line)
        if self._copy.poll():
            self._failed()
        try:
            self._writer.write_record(self._writer.variant_from_string(line.decode()))
        except UnicodeDecodeError as e:
            raise VcfError(
                f"{refused}: it is no UTF-8. Convert the input with iconv, or write text (-O v or "
                "-O z)"
            ) from e
        except Exception as e:  # cyvcf2 raises a bare Exception
            raise VcfError(
                f"{refused}: htslib refuses it, as it says above. Write text (-O v or -O z)"
            ) from e

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
                    raise VcfError(
                        f"{kind.decode()} {name.decode(errors='replace')} is not declared in the "
                        "header, "
                        "which BCF needs: declare it, or write text (-O v or -O z)"
                    )

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
        raise OSError(
            self._copy.returncode, f"cannot write BCF: {os.strerror(self._copy.returncode)}"
        )
