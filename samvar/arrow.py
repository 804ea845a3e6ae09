"""Alleles in Arrow record batches, scored: the unit of work of Ray, Spark and other engines, and
what `samvar annotate --parquet` writes."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from functools import lru_cache

import pyarrow as pa
import pyarrow.parquet as pq

from . import info
from .annotate import CHUNK, Options, Table
from .errors import SamvarError
from .formats.vcf.record import Record
from .scorer import Scorer, load
from .scoring.deltas import NAMES
from .scoring.effects import GeneEffect, ScoredAllele

ALLELE = ("CHROM", "POS", "REF", "ALT")  # the columns that a batch must have; POS is 1-based
CAUSE = pa.struct(
    [
        ("DELTA", pa.string()),
        ("RBP", pa.string()),
        ("EVENT", pa.string()),
        ("POS", pa.int64()),
        ("SITE", pa.string()),
        ("DACT", pa.float64()),
        ("EFFECT", pa.float64()),
    ]
)
SCHEMA = pa.schema(
    [
        ("CHROM", pa.string()),
        ("POS", pa.int64()),
        ("ID", pa.string()),
        ("REF", pa.string()),
        ("ALT", pa.string()),
        ("STATUS", pa.string()),
        ("SYMBOL", pa.string()),
        ("GENE_ID", pa.string()),
        ("TRANSCRIPT", pa.string()),
        ("STRAND", pa.string()),
        *((f"DS_{name}", pa.float64()) for name in NAMES),
        *((f"DP_{name}", pa.int64()) for name in NAMES),
        ("SD", pa.float64()),
        ("EVENTS", pa.list_(pa.string())),
        ("CAUSES", pa.list_(CAUSE)),
    ]
)


def score_batch(
    batch: pa.RecordBatch,
    fasta: str,
    annotation: str,
    model: str = "default",
    options: Options | None = None,
    device: str = "cpu",
    threads: int = 1,
) -> pa.RecordBatch:
    """Score the alleles of a batch: columns CHROM, POS (1-based), REF, ALT and, where there is one,
    ID. Other columns are not passed on.

    Gives a batch of `SCHEMA`: a row for each allele and gene, in the order of the batch; one row,
    null from SYMBOL on, for an allele without a score. DS are probabilities; DP are bases from POS
    (of a site within an insertion: the base before that); EVENTS are rows of SAMVAR_EVENT, CAUSES
    those of SAMVAR_RBP, POS 1-based.

    Keeps no state but a `Scorer` for each process, made at the first call with these arguments
    (see `samvar.load`). Batches that hold one region each are fastest. Raises SamvarError where a
    column is missing or a row holds no allele.
    """
    scorer = _scorer(os.getpid(), fasta, annotation, model, options, device, threads)
    alleles = list(_alleles(batch))
    ids = batch.column("ID").to_pylist() if "ID" in batch.schema.names else [None] * len(alleles)
    scored = scorer.score_all(alleles)
    rows = [
        row
        for allele, name, found in zip(alleles, ids, scored)
        for row in rows_of(*allele[:3], found, name, scorer.options)
    ]
    return batch_of(rows)


@lru_cache(maxsize=4)
def _scorer(
    _process: int,  # a fork needs one of its own
    fasta: str,
    annotation: str,
    model: str,
    options: Options | None,
    device: str,
    threads: int,
) -> Scorer:
    return load(fasta, annotation, model, options, device, threads)


def _alleles(batch: pa.RecordBatch) -> Iterator[tuple[str, int, str, str]]:
    if missing := [name for name in ALLELE if name not in batch.schema.names]:
        raise SamvarError(
            f"the batch has no column {', '.join(missing)}: it needs {', '.join(ALLELE)}"
        )
    columns = []
    for name in ALLELE:
        try:
            column = batch.column(name).cast(SCHEMA.field(name).type)
        except pa.ArrowInvalid as e:
            raise SamvarError(f"column {name} of the batch: {e}") from e
        if column.null_count:
            row = column.is_null().index(True).as_py()
            raise SamvarError(f"row {row} of the batch (from 0) has no {name}")
        columns.append(column.to_pylist())
    return zip(*columns)


def rows_of(
    contig: str,
    pos: int,
    ref: str,
    found: ScoredAllele,
    name: str | None,
    options: Options,
) -> Iterable[dict]:
    """The rows of one allele, as `SCHEMA` has them."""
    start = dict(CHROM=contig, POS=pos, ID=name, REF=ref, ALT=found.alt, STATUS=found.status.name)
    if not found.genes:
        return [start]
    return [start | _effect(gene, found.alt, pos, options) for gene in found.genes]


def _effect(effect: GeneEffect, alt: str, pos: int, options: Options) -> dict:
    gene, deltas = effect.gene, effect.deltas
    return dict(
        SYMBOL=gene.symbol,
        GENE_ID=gene.id,
        TRANSCRIPT=gene.chosen.id,
        STRAND=gene.strand,
        SD=deltas.sd,
        EVENTS=[row for c in effect.consequences for row in info.event_rows(alt, gene, c)],
        CAUSES=[
            dict(
                DELTA=NAMES[cause.delta],
                RBP=part.rbp,
                EVENT=part.event or None,
                POS=None if part.position is None else part.position + 1,
                SITE=part.site or None,
                DACT=part.change,
                EFFECT=part.effect,
            )
            for cause in effect.causes
            for part in cause.rows(options.rbp_max)
        ],
        **{f"DS_{d.name}": d.value for d in deltas.named},
        **{f"DP_{d.name}": d.place.position + 1 - pos for d in deltas.named},
    )


def batch_of(rows: list[dict]) -> pa.RecordBatch:
    """Rows -> a batch of `SCHEMA`."""
    return pa.RecordBatch.from_pylist(rows, schema=SCHEMA)


@contextmanager
def parquet_table(path: str, options: Options) -> Iterator[Table]:
    """A Parquet file of `SCHEMA` that `annotate` fills, record by record."""
    waiting: list[dict] = []
    with pq.ParquetWriter(path, SCHEMA) as writer:

        def add(record: Record, alleles: list[ScoredAllele]) -> None:
            name = record.line.split(b"\t", 3)[2].decode(errors="replace")
            known = None if name == "." else name
            for allele in alleles:
                waiting.extend(
                    rows_of(record.contig, record.pos, record.ref, allele, known, options)
                )
            if len(waiting) >= CHUNK:
                writer.write_batch(batch_of(waiting))
                waiting.clear()

        yield add
        writer.write_batch(batch_of(waiting))
