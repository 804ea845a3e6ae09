"""The spine: read -> normalise -> genes -> windows -> model -> align -> deltas -> motifs -> encode
-> write."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from itertools import islice
from typing import Any, TextIO, TypeVar

import numpy as np
from tqdm import tqdm

from . import __version__, info
from .errors import ContigMismatchError, WrongBuildError
from .formats.vcf import VcfReader
from .formats.vcf.bcf import BcfWriter
from .formats.vcf.record import Record, insert_header
from .formats.vcf.text import TextWriter
from .genomics.genes import Annotation
from .genomics.genome import Genome
from .genomics.variant import Status, Variant, allele_status, normalise
from .genomics.window import Window, make_window
from .scoring import attribution, deltas
from .scoring.predictor import Predictor

CHUNK, CHUNK_BYTES = (
    1000,
    1 << 24,
)  # records, or bytes of records, that are read, scored and written together
CHECKED, MIN_CHECKED = 1000, 10  # REFs that the wrong-build check looks at, at most and at least
LOW_CONTEXT = 0.9
REF_MATCHES = (Status.NO_GENE, Status.TOO_LONG, Status.NONFINITE, Status.LOW_CONTEXT, Status.OK)


@dataclass(frozen=True)
class Options:
    """What a run can choose; see the command line's help."""

    distance: int = 50
    max_allele: int = 1000
    mask: bool = False
    rbp_min: float = 0.1
    rbp_max: int = 10
    allow_ref_mismatch: bool = False
    spliceai_compat: bool = False
    transcript_extent: bool = False
    precision: str = "fp32"  # of the aggregator on a GPU

    @property
    def fields(self) -> tuple[info.Field, ...]:
        """The INFO fields that are written."""
        return info.FIELDS + (info.SPLICEAI,) * self.spliceai_compat

    def text(self) -> str:
        return ",".join(f"{k}={v}" for k, v in vars(self).items())


@dataclass
class Allele:
    """One ALT of a record on its way through."""

    alt: str
    status: Status | None
    variant: Variant | None = None
    windows: list[Window] = field(default_factory=list)
    deltas: list[deltas.Deltas] = field(default_factory=list)
    causes: list[list[attribution.Attribution]] = field(default_factory=list)


T = TypeVar("T")
Scores = Iterator[tuple[Allele, Any]]  # with what `score_allele` gives of each


@dataclass
class Stats:
    """Counts of a run: records, records without ALT, each status over all ALT alleles, those whose
    deltas were taken apart, and of these those with more than `attribution.COMPLETE` left over."""

    records: int = 0
    without_alt: int = 0
    attributed: int = 0
    incomplete: int = 0
    statuses: Counter = field(default_factory=lambda: Counter({s.name: 0 for s in Status}))

    def add(self, record: Record, alleles: list[Allele]) -> None:
        self.records += bool(record.contig)
        self.without_alt += bool(record.contig) and not alleles
        self.statuses.update(a.status.name for a in alleles)
        residuals = [
            max(residual)
            for a in alleles
            if (residual := [abs(c.residual) for w in a.causes for c in w])
        ]
        self.attributed += len(residuals)
        self.incomplete += sum(r > attribution.COMPLETE for r in residuals)

    @property
    def mismatch_share(self) -> float:
        """Share of REF_MISMATCH among the alleles whose REF could be compared."""
        mismatched = self.statuses["REF_MISMATCH"]
        compared = mismatched + sum(self.statuses[s.name] for s in Status if s in REF_MATCHES)
        return mismatched / compared if compared else 0.0


def annotate(
    reader: VcfReader,
    writer: TextWriter | BcfWriter,
    genome: Genome,
    annotation: Annotation,
    predictor: Predictor,
    options: Options = Options(),
    command: str | None = None,
    table: TextIO | None = None,
    md5: bool = False,
) -> Stats:
    """Write the reader's header and every record, in order, with samvar's INFO added. `command`:
    the command line for the header, None to leave out what changes from run to run; `table`
    receives the scores as lines of TSV; `md5`: the header tells the MD5 of every contig that has
    genes.

    Raises VcfError on a malformed input, ContigMismatchError and WrongBuildError when the files do
    not belong together.
    """
    check_contigs(genome, annotation, reader)
    stats = Stats()
    header = insert_header(
        reader.header, header_lines(genome, annotation, predictor, options, command, md5)
    )
    started = False
    with tqdm(disable=None, unit="record") as bar:
        for records, alleles, scores in one_ahead(
            start_chunks(reader, genome, annotation, predictor, options)
        ):
            if not started:
                writer.start(header)
                started = True
            finish(scores)
            for record, row in zip(records, alleles):
                writer.write(record, encode(record, row, options))
                if table:
                    table.write("".join(map(tsv(record), row)))
                stats.add(record, row)
            bar.update(len(records))
    if not started:
        writer.start(header)
    return stats


def chunks(records: Iterable[Record], size: int) -> Iterator[list[Record]]:
    """`size` records each, or as many as reach `CHUNK_BYTES`."""
    group, weight = [], 0
    for record in records:
        group.append(record)
        weight += len(record.line)
        if len(group) == size or weight >= CHUNK_BYTES:
            yield group
            group, weight = [], 0
    if group:
        yield group


def one_ahead(items: Iterator[T]) -> Iterator[T]:
    """The items, each once the next one is there: what that has started runs on meanwhile."""
    held = list(islice(items, 1))
    for item in items:
        held.append(item)
        yield held.pop(0)
    yield from held


def start_chunks(
    reader: VcfReader,
    genome: Genome,
    annotation: Annotation,
    predictor: Predictor,
    options: Options,
) -> Iterator[tuple[list[Record], list[list[Allele]], Scores]]:
    """(records, their alleles, what `finish` takes): the workers score a chunk from when it is
    made."""
    compared: Counter = Counter()
    known, strange = bool(reader.contigs), set()
    for records in chunks(reader, CHUNK):
        alleles = [
            [examine(genome, annotation, r, alt, options) for alt in r.alts] for r in records
        ]
        if not known:
            strange |= {r.contig for r in records if r.contig}
            known = any(genome.contig(c) for c in strange)
        if not options.allow_ref_mismatch:
            check_build(genome, reader, compared, alleles)
        yield (
            records,
            alleles,
            start(genome, annotation, predictor, [a for row in alleles for a in row], options),
        )
    if strange and not known:
        raise ContigMismatchError(
            f"VCF {reader.path} ({_few(strange)}) and FASTA {genome.path} "
            f"({_few(genome.lengths)}) share no contig"
        )


def examine(
    genome: Genome, annotation: Annotation, record: Record, alt: str, options: Options
) -> Allele:
    """Status of an allele as far as it can be told without the model, and its change."""
    contig = genome.contig(record.contig)
    status = allele_status(genome, contig, record.pos, record.ref, alt)
    if status is not None:
        return Allele(alt, status)
    variant = normalise(genome, contig, record.pos, record.ref, alt)
    if not annotation.overlapping(contig, *variant.span):
        return Allele(alt, Status.NO_GENE)
    if max(len(variant.ref), len(variant.alt)) > options.max_allele:
        return Allele(alt, Status.TOO_LONG)
    return Allele(alt, None, variant)


def score(
    genome: Genome,
    annotation: Annotation,
    predictor: Predictor,
    alleles: list[Allele],
    options: Options,
) -> None:
    """Fill in deltas, causes and status of the alleles that have none yet."""
    finish(start(genome, annotation, predictor, alleles, options))


def start(
    genome: Genome,
    annotation: Annotation,
    predictor: Predictor,
    alleles: list[Allele],
    options: Options,
) -> Scores:
    """Have the workers score the alleles that have no status yet."""
    open_alleles = [a for a in alleles if a.status is None]
    for a in open_alleles:
        genes = annotation.overlapping(a.variant.contig, *a.variant.span)
        a.windows = [
            make_window(
                genome, g, a.variant, options.distance, predictor.bundle.flank, predictor.reach
            )
            for g in genes
        ]
    predictor.ahead([w for a in open_alleles for w in a.windows])
    return zip(
        open_alleles, predictor.map(lambda a: score_allele(predictor, a, options), open_alleles)
    )


def finish(scores: Scores) -> None:
    """Fill in deltas, causes and status of what `start` has started."""
    for a, parts in scores:
        if parts is None:
            a.status, a.windows = Status.NONFINITE, []
            continue
        low = any(w.known < LOW_CONTEXT for w in a.windows)
        a.status = Status.LOW_CONTEXT if low else Status.OK
        a.deltas, a.causes = [list(x) for x in zip(*parts)]


def score_allele(
    predictor: Predictor, allele: Allele, options: Options
) -> list[tuple[deltas.Deltas, list[attribution.Attribution]]] | None:
    """Deltas and their causes in each window; None where the model gave no finite number. Runs on a
    worker."""
    pairs = [predictor.score(w) for w in allele.windows]
    if not all(np.isfinite(p).all() for pair in pairs for p in pair):
        return None
    out = []
    for w, scores in zip(allele.windows, pairs):
        found = deltas.compute(w, *scores, options.mask)
        out.append(
            (
                found,
                attribution.attribute(
                    predictor, w, scores, found, options.rbp_min, attribution.ROUGHLY
                ),
            )
        )
    return out


def encode(record: Record, alleles: list[Allele], options: Options) -> list[str]:
    """The INFO entries of a record; none where it has no ALT."""
    if not alleles:
        return []
    scored = [(a.alt, w.gene, d, record.pos) for a in alleles for w, d in zip(a.windows, a.deltas)]
    causes = [
        (a.alt, w.gene, c) for a in alleles for w, found in zip(a.windows, a.causes) for c in found
    ]
    rows = {
        info.SCORE: [info.packed(info.score_values(*s)) for s in scored],
        info.RBP: [
            info.rbp_row(alt, gene, c.delta, p)
            for alt, gene, c in causes
            for p in c.rows(options.rbp_max)
        ],
        info.SPLICEAI: [info.spliceai_row(*s) for s in scored],
    }
    return info.entries(
        [info.max_value(a.deltas) for a in alleles],
        [a.status for a in alleles],
        {f: rows[f] for f in options.fields if f in rows},
    )


def tsv(record: Record) -> Callable[[Allele], str]:
    """Allele -> its lines of the flat table."""
    return lambda a: info.tsv_rows(
        record,
        a.alt,
        a.status,
        [info.score_values(a.alt, w.gene, d, record.pos) for w, d in zip(a.windows, a.deltas)],
    )


# ----------------------------------------------------------------------- header and start-up checks


def header_lines(
    genome: Genome,
    annotation: Annotation,
    predictor: Predictor,
    options: Options,
    command: str | None,
    md5: bool,
) -> list[str]:
    """Provenance and the definition of the fields."""
    b = predictor.bundle
    seeds = "+".join(map(str, b.seeds))
    hashed = [c for c in genome.lengths if annotation.contigs.find(c)] if md5 else []
    run = (
        []
        if command is None
        else [f"##samvar_version={__version__}", f"##samvar_command={_printable(command)}"]
    )
    return [
        *run,
        f"##samvar_model=<ID={_id(b.name)},Name={_quoted(b.name)},Kind={b.kind},"
        f"Seeds={seeds},Sha256={b.sha256}>",
        f"##samvar_reference=<ID={_id(genome.name)},File={_quoted(genome.name)},"
        f"Sha256={genome.digest()}>",
        *(f"##samvar_contig=<ID={c},Md5={genome.md5(c)}>" for c in hashed),
        f"##samvar_annotation=<ID={_id(annotation.name)},File={_quoted(annotation.name)},"
        f"Sha256={annotation.digest}>",
        f"##samvar_params={options.text()}",
        *(f.header() for f in options.fields),
    ]


def _printable(text: str) -> str:
    return "".join(c if c.isprintable() else f"\\x{ord(c):02x}" for c in text)


def _id(text: str) -> str:
    """What VCF 4.3 wants in every structured line, and htslib needs to merge headers."""
    return re.sub(r"[^\w.+-]", "_", text)


def _quoted(text: str) -> str:
    return '"' + _printable(text).replace("\\", "\\\\").replace('"', '\\"') + '"'


def _few(names: Iterable[str]) -> str:
    names = sorted(names)
    return ", ".join(names[:3]) + (", ..." if len(names) > 3 else "")


def check_contigs(genome: Genome, annotation: Annotation, reader: VcfReader) -> None:
    """FASTA and annotation, and the contigs that the VCF's header declares, must have one in
    common."""
    check_annotation(genome, annotation)
    if reader.contigs and not any(genome.contig(c) for c in reader.contigs):
        raise ContigMismatchError(
            f"VCF {reader.path} ({_few(reader.contigs)}) and FASTA {genome.path} "
            f"({_few(genome.lengths)}) share no contig"
        )


def check_annotation(genome: Genome, annotation: Annotation) -> None:
    """FASTA and annotation must have a contig in common."""
    if not any(annotation.contigs.find(c) for c in genome.lengths):
        raise ContigMismatchError(
            f"FASTA {genome.path} ({_few(genome.lengths)}) and annotation {annotation.path} "
            f"({_few(annotation.contigs.names)}) share no contig"
        )


def check_build(
    genome: Genome, reader: VcfReader, compared: Counter, alleles: list[list[Allele]]
) -> None:
    """More than half of the first `CHECKED` REFs that can be compared differ: another build.
    `compared` counts from call to call whether they differed."""
    for row in alleles:
        differ = [
            a.status is Status.REF_MISMATCH
            for a in row
            if a.status in (None, Status.REF_MISMATCH, *REF_MATCHES)
        ]
        if differ and compared.total() < CHECKED:
            compared[differ[0]] += 1
    if compared.total() >= MIN_CHECKED and compared[True] > compared[False]:
        raise WrongBuildError(
            f"{compared[True]} of the first {compared.total()} REF alleles of {reader.path} differ "
            f"from {genome.path}: "
            "most likely the VCF is on another genome build. Give the FASTA it was called on (or "
            "--allow-ref-mismatch "
            "to go on)"
        )
