"""Spliced alignments: SAM, BAM or CRAM in, the same records out, through htslib."""

from __future__ import annotations

import os
import select
import subprocess
import zlib
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any, NamedTuple

import pysam

from ..errors import JunctionError
from ..files import NO_ROOM, cannot_write, complete_file
from ..genomics.junction import STRANDS, Junction
from .vcf.bcf import feeder
from .vcf.bgzf import BGZF_EOF

MATCH, DELETION, INTRON, EQUAL, DIFFERENT = 0, 2, 3, 7, 8  # operations of a CIGAR
ON_REFERENCE = MATCH, DELETION, INTRON, EQUAL, DIFFERENT
SAM_HEADERS = (b"@HD\t", b"@SQ\t", b"@RG\t", b"@PG\t", b"@CO\t")
SAM_COLUMNS = 11
FLIPPED = {"+": "-", "-": "+"}


class Spliced(NamedTuple):
    """An alignment, as htslib has it, and its junctions."""

    record: Any
    junctions: tuple[Junction, ...]


def is_alignments(head: bytes, bgzf: bool) -> bool:
    """Whether a file that begins so, in BGZF or not, is SAM, BAM or CRAM."""
    if head.startswith(b"CRAM"):
        return True
    if bgzf:
        try:
            head = zlib.decompressobj(31).decompress(head, 1 << 16)
        except zlib.error:
            return False
    if head.startswith((b"BAM\1", *SAM_HEADERS)):
        return True
    fields = head.split(b"\n")[0].split(b"\t")
    return len(fields) >= SAM_COLUMNS and fields[1].isdigit() and fields[3].isdigit()


class AlignmentReader:
    """Alignments of a file, or of a stream of which `head` has been read; mapped or not, in order.

    Raises JunctionError where htslib cannot read them, or the file is truncated.
    """

    def __init__(self, stream: Any, head: bytes, bgzf: bool, path: str, fasta: str):
        self.path, self._bgzf, self._stream = path, bgzf, stream
        self._feeder: subprocess.Popen | None = None
        content: Any = path
        if path == "stdin" or not os.path.isfile(path):
            self._feeder = feeder(stream, head, bgzf)
            content = self._feeder.stdout
        try:
            self.file = pysam.AlignmentFile(
                content, "r", reference_filename=fasta, check_sq=False, threads=1
            )
        except (OSError, ValueError) as e:
            self.close()
            raise JunctionError(f"{path} cannot be read as SAM, BAM or CRAM: {e}") from e

    @property
    def contigs(self) -> tuple[str, ...]:
        return self.file.references

    def __iter__(self) -> Iterator[Spliced]:
        number = 0
        try:
            for record in self.file.fetch(until_eof=True):
                number += 1
                yield Spliced(record, junctions_of(record))
        except (OSError, ValueError) as e:
            raise JunctionError(
                f"{self.path} is truncated or damaged after record {number}: {e}"
            ) from e
        if not self._complete():
            raise JunctionError(
                f"{self.path} is truncated: it ends after record {number} without the BGZF end "
                "marker"
            )

    def _complete(self) -> bool:
        if self._feeder:
            return self._feeder.wait() == 0
        if not self._bgzf:
            return True
        self._stream.seek(-len(BGZF_EOF), os.SEEK_END)
        return self._stream.read() == BGZF_EOF

    def close(self) -> None:
        """End what feeds the reader from a pipe."""
        if self._feeder:
            self._feeder.kill()
            self._feeder.wait()


def junctions_of(record: Any) -> tuple[Junction, ...]:
    """The introns (N) of an alignment. Two with no base of the reference between them are one: an
    exon of no bases is none. The strand is that of the tag XS, or of minimap2's ts."""
    found: list[list[int]] = []
    at = record.reference_start
    for operation, n in record.cigartuples or ():
        if operation == INTRON and n:
            if found and found[-1][1] == at:
                found[-1][1] += n
            else:
                found.append([at, at + n])
        if operation in ON_REFERENCE:
            at += n
    if not found or record.reference_id < 0:
        return ()
    contig, strand = record.reference_name, strand_of(record)
    return tuple(Junction(contig, start, end, strand) for start, end in found)


def strand_of(record: Any) -> str:
    """+ or -, or . where no tag says."""
    if record.has_tag("XS") and (strand := record.get_tag("XS")) in STRANDS:
        return strand
    if record.has_tag("ts") and (strand := record.get_tag("ts")) in STRANDS:
        return FLIPPED[strand] if record.is_reverse else strand
    return "."


@contextmanager
def alignment_writer(path: str, like: AlignmentReader) -> Iterator[Any]:
    """A pysam file under a name that ends in .sam or .bam (- is stdout, as BAM), with the header of
    a reader, to `write` records to; it appears when it is complete. Raises OSError where it cannot
    be written, BrokenPipeError where nobody reads stdout any more."""
    mode = "w" if path.endswith(".sam") else "wb"
    name = path
    before = pysam.set_verbosity(0)  # htslib would say the same on stderr
    try:
        with ExitStack() as stack:
            if path != "-":
                name = stack.enter_context(complete_file(path))
            out = pysam.AlignmentFile(name, mode, template=like.file, add_sq_text=False)
            yield stack.enter_context(out)
    except OSError as e:
        if path == "-" and _reader_gone():
            raise BrokenPipeError from e
        if e.filename == name and e.errno in NO_ROOM:  # of the file's end
            raise OSError(cannot_write(path, e.errno)) from e
        if e.filename is None and "sam_write1" in str(e):
            raise OSError(f"cannot write {path}: {e}") from e
        raise
    finally:
        pysam.set_verbosity(before)


def _reader_gone() -> bool:
    """Whether stdout is a pipe whose other end is closed."""
    poll = select.poll()
    poll.register(1, 0)
    return any(event & select.POLLERR for _, event in poll.poll(0))
