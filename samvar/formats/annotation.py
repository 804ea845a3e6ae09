"""Genes from GTF, GFF3, BED12 + gene, the SpliceAI table or the canonical exon table.

Inside samvar every coordinate is 0-based and half-open; these readers are the only place that
converts.
"""

from __future__ import annotations

import hashlib
import io
import shutil
import string
import tempfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from itertools import chain

from ..errors import AnnotationError
from ..files import BUFFER, lines_of
from ..genomics.genes import Annotation, Gene
from . import gene_cache
from .gene_tables import read_bed12, read_canonical, read_spliceai
from .gff3 import read_gff3
from .gtf import read_gtf
from .loci import Notes
from .transcripts import PIECES, STRANDS, has_gff3_ids, has_gtf_ids, rows

CACHED_FROM = 10_000  # lines of an annotation that is worth keeping parsed
_USUAL = frozenset(string.ascii_letters + string.digits) - {"t", "b"}  # first letters of rows
Reader = Callable[[Iterable[str], Notes], Iterator[Gene]]


def load_annotation(path: str, cache: bool = False) -> Annotation:
    """Read a gene annotation, plain or gzipped, in any format; `cache`: keep the
    parsed genes in the user's cache folder, and take them from there next time.

    Raises AnnotationError when the file is unreadable, in no known form, or without a transcript.
    """
    try:
        with _open(path) as handle:
            digest = _sha256(handle)
            if cache and (kept := gene_cache.load(digest)):
                return Annotation(kept[0], path, digest, kept[1])
            reader = _reader(_Lines(handle, path))
            lines, notes = _Lines(handle, path), Notes()
            try:
                genes = list(reader(lines, notes))
            except ValueError as e:
                raise AnnotationError(
                    f"cannot parse annotation {path}, line {lines.number}: {e}: "
                    f"{lines.text[:100]!r}"
                ) from e
    except FileNotFoundError as e:
        raise AnnotationError(f"annotation file not found: {path}") from e
    except OSError as e:
        raise AnnotationError(f"cannot read annotation {path}: {e}") from e
    messages = notes.messages()
    if not genes:
        raise AnnotationError(
            f"annotation {path} holds no transcript with exons"
            + "".join(f"; {m}" for m in messages)
        )
    if cache and lines.number >= CACHED_FROM:
        gene_cache.save(digest, genes, messages)
    return Annotation(genes, path, digest, messages)


@contextmanager
def _open(path: str) -> Iterator[io.BufferedReader]:
    """The file, or what a pipe holds: it is read more than once."""
    with open(path, "rb") as handle:
        if handle.seekable():
            yield handle
            return
        with tempfile.TemporaryFile() as copy:
            shutil.copyfileobj(handle, copy, BUFFER)
            yield copy  # type: ignore[misc]  # a BufferedRandom reads like a BufferedReader


def _sha256(handle: io.BufferedReader) -> str:
    handle.seek(0)
    found = hashlib.sha256()
    while piece := handle.read(BUFFER):
        found.update(piece)
    return found.hexdigest()


class _Lines:
    """Lines that hold something; of the one read last the number (1-based) and text."""

    def __init__(self, handle: io.BufferedReader, path: str):
        self.path, self.number, self.text = path, 0, ""
        handle.seek(0)
        self._lines = lines_of(handle, path, lenient=True)

    def __iter__(self) -> Iterator[str]:
        for number, line in enumerate(self._lines, 1):
            self.number, self.text = number, line
            if line[:1] in _USUAL or self._holds_something(line):
                yield line

    def _holds_something(self, line: str) -> bool:
        """Not so a blank line or one of a browser's track. One in quotes is refused."""
        if line.startswith('"'):
            raise AnnotationError(
                f"annotation {self.path}, line {self.number} begins with a quote: a spreadsheet "
                "program has put its lines into quotes. Use the file as it was before"
            )
        return bool(line.strip()) and not line.startswith(("track ", "browser "))


def _reader(lines: _Lines) -> Reader:
    """What reads an annotation, by its first line that is no comment, or its header. GTF and GFF3
    differ in exons: AUGUSTUS has bare ids in other rows."""
    text = iter(lines)
    for line in text:
        fields = line.split("\t")
        if line.startswith("gene\thas_paralog\t"):
            return read_canonical
        if line.upper().startswith("#NAME\tCHROM\tSTRAND"):
            return read_spliceai
        if line.startswith("#"):
            continue
        # before GTF: a point for thickStart looks like its strand
        if len(fields) >= 12 and fields[5] in {*STRANDS, "."} and fields[9].isdecimal():
            return read_bed12
        if len(fields) >= 9 and fields[6] in {*STRANDS, ".", "?"}:
            return read_gtf if _is_gtf(line, text) else read_gff3
        raise AnnotationError(
            f"{lines.path} is neither GTF, GFF3, BED12 with a gene column, nor a SpliceAI or "
            f"canonical exon table: line {lines.number} is {line[:60]!r}"
        )
    raise AnnotationError(f"annotation {lines.path} is empty, or holds comments alone")


def _is_gtf(first: str, others: Iterator[str]) -> bool:
    """By the first exon, or part of one, that has an id; where none has, by the first row."""
    with suppress(ValueError):  # the reader names the line
        for _, kind, *_, text in rows(chain([first], others)):
            if kind in PIECES and ((is_gtf := has_gtf_ids(text)) or has_gff3_ids(text)):
                return is_gtf
    return has_gtf_ids(first)
