"""Genes from GTF, GFF3, BED12 + gene, the SpliceAI table or the canonical exon table.

Inside samvar every coordinate is 0-based and half-open; these readers are the only place that
converts.
"""

from __future__ import annotations

import gzip
import hashlib
import zlib

from ..errors import AnnotationError
from ..genomics.genes import Annotation
from . import gene_cache
from .gene_tables import read_bed12, read_canonical, read_spliceai
from .gff import read_gff

CACHED_FROM = 1_000_000  # characters of an annotation that is worth keeping parsed


def load_annotation(path: str, cache: bool = False) -> Annotation:
    """Read a gene annotation, plain or gzipped, its dialect told by its content; `cache`: keep the
    parsed genes in the user's cache folder, and take them from there next time.

    Raises AnnotationError when the file is unreadable, in no known form, or without a transcript.
    """
    try:
        with open(path, "rb") as handle:
            data = handle.read()
        digest = hashlib.sha256(data).hexdigest()
        if cache and (genes := gene_cache.load(digest)):
            return Annotation(genes, path, digest)
        text = (gzip.decompress(data) if data[:2] == b"\x1f\x8b" else data).decode(errors="replace")
    except FileNotFoundError as e:
        raise AnnotationError(f"annotation file not found: {path}") from e
    except (OSError, EOFError, zlib.error) as e:
        raise AnnotationError(f"cannot read annotation {path}: {e}") from e
    lines = [
        x
        for x in (line.rstrip("\r") for line in text.split("\n"))
        if x.strip() and not x.startswith(("track ", "browser "))
    ]
    reader = _sniff(lines)
    if reader is None:
        raise AnnotationError(
            f"{path} is neither GTF, GFF3, BED12 with a gene column, nor a SpliceAI or canonical "
            "exon table"
        )
    try:
        genes = list(reader(lines))
    except ValueError as e:
        raise AnnotationError(f"cannot parse annotation {path}: {e}") from e
    except (IndexError, KeyError) as e:
        raise AnnotationError(f"cannot parse annotation {path}: {type(e).__name__}: {e}") from e
    if not genes:
        raise AnnotationError(f"annotation {path} holds no transcript with exons")
    if cache and len(text) >= CACHED_FROM:
        gene_cache.save(digest, genes)
    return Annotation(genes, path, digest)


def _sniff(lines: list[str]):
    for line in lines:
        fields = line.split("\t")
        if line.startswith("gene\thas_paralog\t"):
            return read_canonical
        if line.upper().startswith("#NAME\tCHROM\tSTRAND"):
            return read_spliceai
        if line.startswith("#"):
            continue
        if len(fields) >= 9 and fields[3].isdigit() and fields[4].isdigit() and fields[6] in "+-.?":
            return read_gff
        if len(fields) >= 12 and fields[1].isdigit() and fields[9].isdigit():
            return read_bed12
        return None
    return None
