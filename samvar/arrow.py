"""Alleles in Arrow record batches, scored: the unit of work of Ray, Spark and other engines, and
what `samvar annotate --parquet` writes."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from functools import lru_cache

import pyarrow as pa
import pyarrow.parquet as pq

from . import info
from .annotate import CHUNK, Options, Table
from .errors import SamvarError
from .formats.vcf.record import Record
from .opinions import Opinions, Told
from .scorer import Scorer, load
from .scoring.attribution import Part
from .scoring.deltas import NAMES
from .scoring.effects import GeneEffect, ScoredAllele

ALLELE = ("CHROM", "POS", "REF", "ALT")  # the columns that a batch must have; POS is 1-based
CAUSE = (
    ("DELTA", pa.string()),
    ("RBP", pa.string()),
    ("EVENT", pa.string()),
    ("POS", pa.int64()),
    ("SITE", pa.string()),
    ("DACT", pa.float64()),
    ("EFFECT", pa.float64()),
)
OPINIONS = {info.BIND: pa.float64(), info.PEAK: pa.list_(pa.string())}


def schema_with(columns: Sequence[info.Column] = ()) -> pa.Schema:
    """The columns of a batch, CAUSES with those of second opinions at their end: BIND, null for a
    protein that the model does not know; PEAK, the cell lines, of which there may be none, null for
    a protein without any peak."""
    more = [(column.name, OPINIONS[column]) for column in columns]
    return pa.schema(
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
            ("CAUSES", pa.list_(pa.struct([*CAUSE, *more]))),
        ]
    )


SCHEMA = schema_with()


def score_batch(
    batch: pa.RecordBatch,
    fasta: str,
    annotation: str,
    model: str = "default",
    options: Options | None = None,
    device: str = "cpu",
    threads: int = 1,
    binding: str | None = None,
    peaks: str | None = None,
) -> pa.RecordBatch:
    """Score the alleles of a batch: columns CHROM, POS (1-based), REF, ALT and, where there is one,
    ID. Other columns are not passed on.

    Gives a batch of `SCHEMA`: a row for each allele and gene, in the order of the batch; one row,
    null from SYMBOL on, for an allele without a score. DS are probabilities; DP are bases from POS
    (of a site within an insertion: the base before that); EVENTS are rows of SAMVAR_EVENT, CAUSES
    those of SAMVAR_RBP, POS 1-based, with BIND where `binding` and PEAK where `peaks` is given
    (`schema_with`).

    Keeps no state but a `Scorer` for each process, made at the first call with these arguments
    (see `samvar.load`). Batches that hold one region each are fastest. Raises SamvarError where a
    column is missing or a row holds no allele.
    """
    files = fasta, annotation, model, options, device, threads, binding, peaks
    scorer = _scorer(os.getpid(), *files)
    alleles = list(_alleles(batch))
    ids = batch.column("ID").to_pylist() if "ID" in batch.schema.names else [None] * len(alleles)
    scored = scorer.score_all(alleles)
    rows = [
        row
        for allele, name, found in zip(alleles, ids, scored)
        for row in rows_of(*allele[:3], found, name, scorer.options, scorer.opinions)
    ]
    return batch_of(rows, _schema(scorer.opinions))


def _schema(opinions: Opinions | None) -> pa.Schema:
    return schema_with(opinions.columns) if opinions else SCHEMA


@lru_cache(maxsize=4)
def _scorer(
    _process: int,  # a fork needs one of its own
    fasta: str,
    annotation: str,
    model: str,
    options: Options | None,
    device: str,
    threads: int,
    binding: str | None,
    peaks: str | None,
) -> Scorer:
    return load(fasta, annotation, model, options, device, threads, binding=binding, peaks=peaks)


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
    for row, pos in enumerate(columns[ALLELE.index("POS")]):
        if pos < 1:
            raise SamvarError(f"row {row} of the batch (from 0): POS must be 1 or more, not {pos}")
    return zip(*columns)


def rows_of(
    contig: str,
    pos: int,
    ref: str,
    found: ScoredAllele,
    name: str | None,
    options: Options,
    opinions: Opinions | None = None,
) -> Iterable[dict]:
    """The rows of one allele, as `schema_with` the columns of the opinions has them."""
    start = dict(CHROM=contig, POS=pos, ID=name, REF=ref, ALT=found.alt, STATUS=found.status.name)
    if not found.genes:
        return [start]
    return [start | _effect(gene, found.alt, pos, options, opinions) for gene in found.genes]


def _effect(
    effect: GeneEffect, alt: str, pos: int, options: Options, opinions: Opinions | None
) -> dict:
    gene, deltas = effect.gene, effect.deltas
    shown = [(cause.delta, p) for cause in effect.causes for p in cause.rows(options.rbp_max)]
    told = opinions.of(effect.window, [part for _, part in shown]) if opinions else None
    return dict(
        SYMBOL=gene.symbol,
        GENE_ID=gene.id,
        TRANSCRIPT=gene.chosen.id,
        STRAND=gene.strand,
        SD=deltas.sd,
        EVENTS=[row for c in effect.consequences for row in info.event_rows(alt, gene, c)],
        CAUSES=[
            dict(
                DELTA=NAMES[delta],
                RBP=part.rbp,
                EVENT=part.event or None,
                POS=None if part.position is None else part.position + 1,
                SITE=part.site or None,
                DACT=part.change,
                EFFECT=part.effect,
                **(_opinion(told, part) if told else {}),
            )
            for delta, part in shown
        ],
        **{f"DS_{d.name}": d.value for d in deltas.named},
        **{f"DP_{d.name}": d.place.position + 1 - pos for d in deltas.named},
    )


def _opinion(told: Told, part: Part) -> dict:
    """Of a cause, the columns that were not asked for among them; a batch takes its own."""
    opinion = told.on(part)
    return {info.BIND.name: opinion.binding, info.PEAK.name: opinion.peak}


def batch_of(rows: list[dict], schema: pa.Schema) -> pa.RecordBatch:
    """Rows -> a batch."""
    return pa.RecordBatch.from_pylist(rows, schema=schema)


@contextmanager
def parquet_table(path: str, options: Options, opinions: Opinions | None = None) -> Iterator[Table]:
    """A Parquet file that `annotate` fills, record by record; `opinions`: those to be asked about
    causes."""
    waiting: list[dict] = []
    schema = _schema(opinions)
    with pq.ParquetWriter(path, schema) as writer:

        def add(record: Record, alleles: list[ScoredAllele]) -> None:
            name = record.line.split(b"\t", 3)[2].decode(errors="replace")
            known = None if name == "." else name
            for allele in alleles:
                waiting.extend(
                    rows_of(record.contig, record.pos, record.ref, allele, known, options, opinions)
                )
            if len(waiting) >= CHUNK:
                writer.write_batch(batch_of(waiting, schema))
                waiting.clear()

        yield add
        writer.write_batch(batch_of(waiting, schema))
