"""The spine: read -> normalise -> genes -> windows -> model -> align -> deltas -> causes -> encode
-> write."""

from __future__ import annotations

import hashlib
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from functools import partial
from itertools import chain, islice
from numbers import Integral
from typing import NamedTuple, TextIO, TypeVar, get_args

from tqdm import tqdm

from . import __version__, info
from .errors import ContigMismatchError, SamvarError, VcfError, WrongBuildError
from .formats.vcf import VcfReader
from .formats.vcf.bcf import BcfWriter
from .formats.vcf.genotypes import samples
from .formats.vcf.record import Record, insert_header
from .formats.vcf.text import TextWriter
from .genomics.genes import Annotation, Choice, Gene, WellKnown
from .genomics.genome import Genome
from .genomics.haplotype import joined
from .genomics.variant import Status, Variant, allele_status, normalise
from .genomics.window import Window, make_window
from .haplotypes import Counts as HaplotypeCounts
from .haplotypes import Haplotypes, InCis, Joint
from .lookup import LookedUp, Scores, identity
from .opinions import Opinions
from .scoring import deltas
from .scoring.attribution import COMPLETE, ROUGHLY, attribute
from .scoring.consequence import Consequence, consequences
from .scoring.deltas import Deltas
from .scoring.effects import GeneEffect, ScoredAllele
from .scoring.predictor import ROWS, Predictor, ScoredWindow, begin_worker
from .workers import Workers, can_fork

CHUNK, CHUNK_BYTES = (
    1000,
    1 << 24,
)  # records, or bytes of records, that are read, scored and written together
CHECKED, MIN_CHECKED = 1000, 10  # REFs that the wrong-build check looks at, at most and at least
LOW_CONTEXT = 0.9
SHOWN = Status.NONFINITE, Status.LOW_CONTEXT, Status.OK  # of alleles that the models have seen
REF_MATCHES = (Status.NO_GENE, Status.TOO_LONG, Status.NONFINITE, Status.LOW_CONTEXT, Status.OK)
PRECISIONS = ("fp32", "bf16")
PIECE, FEW = 256, 32  # alleles that a process is given together: at most, and of many at least
LISTED = "listed:"  # before the checksum of the transcripts that a file names

T = TypeVar("T")
Table = Callable[[Record, list[ScoredAllele]], None]  # takes a record with its alleles
Change = Variant | Status  # what an ALT changes, or why there is nothing to be scored
Judged = tuple[Status, tuple[GeneEffect, ...]]  # of an allele: on the gene of each of its windows
Spread = Callable[[Callable, Iterable], Iterator]  # `map`, or that of a predictor's threads


@dataclass(frozen=True)
class Options:
    """What a run can choose; see the command line's help. Every one of them acts wherever it is
    given. Raises ValueError where one cannot be."""

    distance: int = 50
    max_allele: int = 1000
    mask: bool = False
    rbp_min: float = 0.1
    rbp_max: int = 10
    allow_ref_mismatch: bool = False
    spliceai_compat: bool = False
    transcript_extent: bool = False
    hgvs_out: bool = False
    transcripts: Choice = "chosen"  # whose events and HGVS are written
    event_min: float = 0.2
    phased: bool = False
    hap_min: float = 0.1
    precision: str = "fp32"  # of the aggregator on a GPU; a CPU has fp32 alone

    def __post_init__(self) -> None:
        for name in ("distance", "max_allele", "rbp_min", "rbp_max", "event_min", "hap_min"):
            if not getattr(self, name) >= 0:
                raise ValueError(f"{name} is {getattr(self, name)}: it must be 0 or more")
        for name in ("distance", "max_allele", "rbp_max"):
            if not isinstance(getattr(self, name), Integral):
                raise ValueError(f"{name} is {getattr(self, name)}: it must be a whole number")
        if not isinstance(self.transcripts, str):
            object.__setattr__(self, "transcripts", frozenset(self.transcripts))
        elif self.transcripts not in get_args(WellKnown) and not self.transcripts.startswith(
            LISTED
        ):
            raise ValueError(
                f"transcripts is {self.transcripts!r}: it must be chosen, mane, all or a set of ids"
            )
        if self.precision not in PRECISIONS:
            raise ValueError(f"precision is {self.precision!r}: it must be fp32 or bf16")

    @property
    def fields(self) -> tuple[info.Field, ...]:
        """The INFO fields that are written."""
        optional = (info.HGVS,) * self.hgvs_out + (info.HAP,) * self.phased
        return info.FIELDS + optional + (info.SPLICEAI,) * self.spliceai_compat

    def text(self) -> str:
        """As the header has them; what is of phased files alone only where it acts. Listed
        transcripts by a checksum of their ids."""
        told = dict(vars(self))
        told["transcripts"] = transcripts_text(self.transcripts)
        unused = () if self.phased else ("phased", "hap_min")
        return ",".join(f"{k}={v}" for k, v in told.items() if k not in unused)


def transcripts_text(choice: Choice) -> str:
    """A choice of transcripts as the header has it: listed ones by a checksum of their ids."""
    if isinstance(choice, str):
        return choice
    return LISTED + hashlib.sha256("\n".join(sorted(choice)).encode()).hexdigest()[:12]


class Allele(NamedTuple):
    """One ALT as it is written in a VCF: the contig by any of its names, `pos` 1-based."""

    contig: str
    pos: int
    ref: str
    alt: str


@dataclass
class Stats:
    """Counts of a run: records, records without ALT, each status over all ALT alleles, those whose
    deltas were taken apart, and of these those with more than `attribution.COMPLETE` left over;
    those that were looked up, and those that the models were shown; those on each contig that the
    FASTA lacks, and the contigs of all records; of a phased run those of its haplotypes."""

    records: int = 0
    without_alt: int = 0
    attributed: int = 0
    incomplete: int = 0
    looked_up: int = 0
    computed: int = 0
    strange: Counter[str] = field(default_factory=Counter)
    contigs: set[str] = field(default_factory=set)
    statuses: Counter = field(default_factory=lambda: Counter({s.name: 0 for s in Status}))
    haplotypes: HaplotypeCounts | None = None

    def add(self, record: Record, alleles: list[ScoredAllele]) -> None:
        self.records += bool(record.contig)
        self.contigs.add(record.contig)
        self.without_alt += bool(record.contig) and not alleles
        for allele in alleles:
            self.statuses[allele.status.name] += 1
            self.strange[record.contig] += allele.status is Status.NO_CONTIG
            self.looked_up += isinstance(allele, LookedUp)
            self.computed += allele.status in SHOWN and not isinstance(allele, LookedUp)
            residuals = [abs(cause.residual) for gene in allele.genes for cause in gene.causes]
            self.attributed += bool(residuals)
            self.incomplete += max(residuals, default=0.0) > COMPLETE

    def all_strange(self, genome: Genome) -> bool:
        """Whether alleles lie on contigs that the FASTA lacks, and no record on one that it has."""
        return self.statuses["NO_CONTIG"] > 0 and not any(map(genome.contig, self.contigs))

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
    tables: Sequence[Table] = (),
    md5: bool = False,
    scores: Scores | None = None,
    opinions: Opinions | None = None,
    workers: Workers | None = None,
) -> Stats:
    """Write the reader's header and every record, in order, with samvar's INFO added. `command`:
    the command line for the header, None to leave out what changes from run to run; `tables`
    are given each record with its alleles; `md5`: the header has the MD5 of every contig that has
    genes; `scores`: alleles are looked up there, and only others scored, for INFO and `tsv_table`;
    `opinions`: rows of SAMVAR_RBP have their columns, too, of which `scores` have none; `workers`
    (`forked`) score instead of the predictor's threads.

    Raises VcfError on a malformed input, or a phased run without samples, ContigMismatchError and
    WrongBuildError when the files do not belong together, SamvarError where the scores were made
    with others, or do not have what is asked for.
    """
    check_annotation(genome, annotation)
    if scores:
        if options.phased or options.spliceai_compat or predictor.batches:
            raise SamvarError("no haplotypes, SpliceAI fields or a GPU's digits can be looked up")
        if opinions:
            raise SamvarError("BIND and PEAK can't be told of alleles that are looked up")
        scores.check(identity(genome, annotation, predictor, options.text()))
    known = [c for c in genome.lengths if annotation.contigs.find(c)] if md5 else []
    hashed = {contig: genome.md5(contig) for contig in known}
    names = samples(reader.header[-1])
    if options.phased and not names:
        raise VcfError(f"{reader.path} has no samples, whose haplotypes --phased is about")
    stats = Stats()
    lines = header_lines(genome, annotation, predictor, options, command, hashed, opinions)
    header = insert_header(reader.header, lines)
    started = False
    scored = scored_records(
        start_chunks(reader, genome, annotation, predictor, options, scores, workers)
    )
    if options.phased:
        in_cis = cis(genome, predictor, options, len(names), workers)
        stats.haplotypes, stream = in_cis.counts, in_cis.of(scored)
    else:
        stream = (InCis(record, alleles) for record, alleles in scored)
    with tqdm(total=reader.expected_records, disable=None, unit="record") as bar:
        for record, alleles, joint in stream:
            if not started:
                writer.start(header)
                started = True
            writer.write(record, encode(record, alleles, options, joint, names, opinions))
            for add in tables:
                add(record, alleles)
            stats.add(record, alleles)
            bar.update()
    if not started:
        writer.start(header)
    return stats


def scored_records(
    started: Iterator[tuple[list[Record], Iterator[ScoredAllele]]],
) -> Iterator[tuple[Record, list[ScoredAllele]]]:
    """Each record with its alleles; while those of a chunk come out, the next one is scored."""
    for records, scored in one_ahead(started):
        for record in records:
            yield record, list(islice(scored, len(record.alts)))


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
    scores: Scores | None = None,
    workers: Workers | None = None,
) -> Iterator[tuple[list[Record], Iterator[ScoredAllele]]]:
    """(records, all their ALTs in order): the workers score a chunk from when it is made."""
    compared: Counter = Counter()
    in_header = set(reader.contigs)
    header_fits = any(map(genome.contig, in_header))
    known, strange = False, Counter[str]()
    for records in chunks(reader, CHUNK):
        changes = [
            [examine(genome, annotation, a, options) for a in alleles_of(r)] for r in records
        ]
        if not known:
            strange.update(r.contig for r in records if r.contig)
            known = any(genome.contig(c) or (header_fits and c in in_header) for c in strange)
        if not options.allow_ref_mismatch:
            check_build(genome, reader, compared, changes)
        examined = [
            (allele, change)
            for record, row in zip(records, changes)
            for allele, change in zip(alleles_of(record), row)
        ]
        told = look_up(scores, genome, annotation, examined, options) if scores else examined
        named = [(allele.alt, change) for allele, change in told]
        yield records, start(genome, annotation, predictor, named, options, workers=workers)
    if header_fits:  # a few records on a contig of their own say nothing of the files
        known = known or strange.total() < MIN_CHECKED
    if not known and (strange or in_header):
        raise ContigMismatchError(
            f"VCF {reader.path} ({_few(strange or in_header)}) and FASTA {genome.path} "
            f"({_few(genome.lengths)}) share no contig"
        )


def look_up(
    scores: Scores,
    genome: Genome,
    annotation: Annotation,
    examined: Sequence[tuple[Allele, Change]],
    options: Options,
) -> list[tuple[Allele, Change | LookedUp]]:
    """Those that the scores have, looked up; the others as they are."""
    variants = [change for _, change in examined if isinstance(change, Variant)]
    entries = iter(scores.find(genome, variants))
    told: list[tuple[Allele, Change | LookedUp]] = []
    for allele, change in examined:
        found: Change | LookedUp = change
        if isinstance(change, Variant) and (entry := next(entries)):
            genes = tuple(genes_at(genome, annotation, change, options))
            found = LookedUp(
                allele.alt,
                entry.status,
                entry=entry,
                pos=allele.pos,
                genome=genome,
                variant=change,
                loci=genes,
            )
        told.append((allele, found))
    return told


def alleles_of(record: Record) -> list[Allele]:
    """The ALTs of a record."""
    return [Allele(record.contig, record.pos, record.ref, alt) for alt in record.alts]


def examine(genome: Genome, annotation: Annotation, allele: Allele, options: Options) -> Change:
    """What an allele changes, or its status where that is known without the model and leaves
    nothing to be scored."""
    contig = genome.contig(allele.contig)
    status = allele_status(genome, contig, allele.pos, allele.ref, allele.alt)
    if contig is None or status is not None:
        return status or Status.NO_CONTIG
    variant = normalise(genome, contig, allele.pos, allele.ref, allele.alt)
    if not genes_at(genome, annotation, variant, options):
        return Status.NO_GENE
    if max(len(variant.ref), len(variant.alt)) > options.max_allele:
        return Status.TOO_LONG
    return variant


def genes_at(
    genome: Genome, annotation: Annotation, variant: Variant, options: Options
) -> list[Gene]:
    """The genes that a variant lies in, as far as `options.transcript_extent` lets them reach."""
    genes = annotation.of_chosen_transcripts() if options.transcript_extent else annotation
    return genes_over(genome, genes, variant.contig, *variant.span)


def windows(
    genome: Genome,
    annotation: Annotation,
    predictor: Predictor,
    variant: Variant,
    options: Options,
) -> list[Window]:
    """What the models are shown of a variant: one window for each gene that it lies in."""
    return [
        make_window(
            genome, gene, variant, options.distance, predictor.bundle.flank, predictor.reach
        )
        for gene in genes_at(genome, annotation, variant, options)
    ]


def genes_over(
    genome: Genome, annotation: Annotation, contig: str, start: int, end: int
) -> list[Gene]:
    """Genes over [start, end) (0-based) of a contig of the FASTA; where that has chrM and chrMT,
    genes on MT are on the second alone."""
    found = annotation.overlapping(contig, start, end)
    return [g for g in found if genome.contig(g.contig) == contig]


def score(
    genome: Genome,
    annotation: Annotation,
    predictor: Predictor,
    alleles: Iterable[Allele],
    options: Options,
    on_worker: bool = False,
) -> Iterator[ScoredAllele]:
    """Every allele with its status and effects, in order; the workers start at once, or `on_worker`
    the one that calls does it all. Raises SamvarError where the predictor cannot score in
    `options.precision`."""
    examined = [(a.alt, examine(genome, annotation, a, options)) for a in alleles]
    return start(genome, annotation, predictor, examined, options, on_worker)


def start(
    genome: Genome,
    annotation: Annotation,
    predictor: Predictor,
    examined: Sequence[tuple[str, Change | LookedUp]],
    options: Options,
    on_worker: bool = False,
    workers: Workers | None = None,
) -> Iterator[ScoredAllele]:
    """Have the workers score the ALTs that change something, but for those that have been looked
    up; all of them, in order. Those are processes where `workers` are given, else the predictor's
    threads. `on_worker`: as in `score`."""
    variants = [change for _, change in examined if isinstance(change, Variant)]
    judge = partial(_judge, genome, annotation, predictor, options)
    if workers:
        near = 2 * (options.distance + predictor.bundle.flank + max(predictor.reach))
        pieces = _pieces(variants, workers.n, near)
        judge_all = partial(_in_a_list, judge)
        found: Iterator[Judged] = chain.from_iterable(workers.map(judge_all, pieces))
    else:
        found = judge(variants, map if on_worker else predictor.map)

    def told(alt: str, change: Change | LookedUp) -> ScoredAllele:
        if isinstance(change, LookedUp):
            return change
        if isinstance(change, Variant):
            return ScoredAllele(alt, *next(found))
        return ScoredAllele(alt, change)

    return (told(alt, change) for alt, change in examined)


def _pieces(variants: Sequence[Variant], workers: int, near: int) -> Iterator[list[Variant]]:
    """Variants in order, as many together as a call of the models has, and more as long as the next
    one lies within `near` bases, so that their frames share the reference: up to half a worker's
    equal share of what is left, lest one has much to do when the others are done, though FEW where
    there are many, and never more than PIECE."""
    least = FEW if len(variants) > 2 * workers * FEW else ROWS
    piece: list[Variant] = []
    most = 0
    for i, v in enumerate(variants):
        if piece:
            last = piece[-1]
            apart = v.contig != last.contig or abs(v.start - last.start) > near
            if len(piece) == most or (apart and len(piece) >= ROWS):
                yield piece
                piece = []
        if not piece:
            share = (len(variants) - i) // (2 * workers) // ROWS * ROWS
            most = min(max(share, least), PIECE)
        piece.append(v)
    if piece:
        yield piece


def _judge(
    genome: Genome,
    annotation: Annotation,
    predictor: Predictor,
    options: Options,
    variants: Sequence[Variant],
    spread: Spread = map,
) -> Iterator[Judged]:
    """`judged` of each variant, in order; at once, where `spread` is that of a predictor's
    threads."""
    shown = [windows(genome, annotation, predictor, v, options) for v in variants]
    jobs = predictor.ahead(shown, options.precision)
    return chain.from_iterable(
        spread(lambda job: [judged(predictor, s, options) for s in job()], jobs)
    )


def _in_a_list(
    judge: Callable[[Sequence[Variant]], Iterator[Judged]], variants: Sequence[Variant]
) -> list[Judged]:
    """As a process can send it."""
    return list(judge(variants))


def forked(
    genome: Genome, annotation: Annotation, predictor: Predictor, options: Options, n: int
) -> Workers | None:
    """`n` processes that score with these options, to be closed; None for one, on a GPU, and where
    there can be no forks: the predictor's threads are to score then. See `Workers` for when they
    can be made."""
    if n < 2 or predictor.batches or not can_fork():
        return None
    genes = annotation.of_chosen_transcripts() if options.transcript_extent else annotation

    def begin() -> None:
        begin_worker()
        genome.reopen()

    return Workers(n, [genome, annotation, predictor, options, *genes.genes], begin)


def judged(predictor: Predictor, scored: list[ScoredWindow], options: Options) -> Judged:
    """Status of an allele, and its effect on the gene of each of its windows. Runs on a worker."""
    status = status_of(scored)
    if status is Status.NONFINITE:
        return status, ()
    return status, tuple(effect(predictor, s, options) for s in scored)


def status_of(scored: list[ScoredWindow]) -> Status:
    """Status of an allele that the models have been shown."""
    if not all(s.finite for s in scored):
        return Status.NONFINITE
    low = any(s.window.known < LOW_CONTEXT for s in scored)
    return Status.LOW_CONTEXT if low else Status.OK


def effect(predictor: Predictor, scored: ScoredWindow, options: Options) -> GeneEffect:
    """Deltas in one gene, the causes of those of at least `options.rbp_min`, and what happens to
    the transcripts."""
    found = deltas.compute(scored.window, scored.ref, scored.alt, options.mask)
    causes = attribute(predictor, scored, found, options.rbp_min, ROUGHLY)
    outcomes = _outcomes(predictor, scored, found, options)
    return GeneEffect(scored.window, found, tuple(causes), outcomes)


def _outcomes(
    predictor: Predictor, scored: ScoredWindow, found: Deltas, options: Options
) -> tuple[Consequence, ...]:
    transcripts = scored.window.gene.selected(options.transcripts)
    return consequences(predictor, scored, found, transcripts, options.event_min)


def cis(
    genome: Genome,
    predictor: Predictor,
    options: Options,
    samples: int,
    workers: Workers | None = None,
) -> Haplotypes:
    """What scores the alleles of a haplotype together, as far as they lie in one frame. `samples`:
    how many the header names."""
    submit = (workers or predictor).submit

    def joint(gene: Gene, parts: Sequence[Variant]) -> Future[GeneEffect | None]:
        return submit(partial(joint_effect, genome, predictor, gene, parts, options))

    within = options.distance + predictor.bundle.flank
    return Haplotypes(joint, within, samples, options.hap_min, options.event_min)


def joint_effect(
    genome: Genome, predictor: Predictor, gene: Gene, parts: Sequence[Variant], options: Options
) -> GeneEffect | None:
    """What variants do to a gene together, which do not overlap and are in order of `place`; None
    where the model gives no finite number."""
    window = joint_window(genome, predictor, gene, parts, options)
    scored = predictor.exact(window)
    if not scored.finite:
        return None
    near = compared_near(parts, options)
    found = deltas.compute(window, scored.ref, scored.alt, options.mask, near)
    return GeneEffect(window, found, (), _outcomes(predictor, scored, found, options))


def joint_window(
    genome: Genome, predictor: Predictor, gene: Gene, parts: Sequence[Variant], options: Options
) -> Window:
    """What the models are shown of variants on one haplotype, which do not overlap and are in order
    of `place`."""
    variant, flank = joined(genome, parts), predictor.bundle.flank
    return make_window(genome, gene, variant, options.distance, flank, predictor.reach)


def compared_near(parts: Sequence[Variant], options: Options) -> list[tuple[int, int]]:
    """[start, end) around each of the variants in which sites are compared."""
    distance = options.distance
    return [(p.span[0] - distance, p.span[1] + distance) for p in parts]


def encode(
    record: Record,
    alleles: list[ScoredAllele],
    options: Options,
    joint: Sequence[Joint] = (),
    names: Sequence[str] = (),
    opinions: Opinions | None = None,
) -> list[str]:
    """The INFO entries of a record; none where it has no ALT. `joint`: what its alleles do with
    others; `names` of the samples; `opinions`: those to be asked about causes."""
    if not alleles:
        return []
    each = [rows_of(a, record.pos, options, opinions) for a in alleles]
    rows = {f: [row for own in each for row in own.get(f, ())] for f in options.fields}
    rows[info.HAP] = [
        info.hap_row(
            j.alt, [p.name for p in j.partners], j.copies, names[j.sample], j.effect, record.pos
        )
        for j in joint
    ]
    return info.entries(
        [info.max_value(a.max) for a in alleles],
        [a.status for a in alleles],
        {f: rows[f] for f in options.fields},
    )


def rows_of(
    allele: ScoredAllele, pos: int, options: Options, opinions: Opinions | None = None
) -> dict[info.Field, list[str]]:
    """An allele's rows of the packed fields. `pos`: the record's POS, 1-based."""
    if isinstance(allele, LookedUp):
        hgvs = allele.hgvs_rows(options.transcripts) if options.hgvs_out else []
        return allele.rows() | {info.HGVS: hgvs}
    alt, effects = allele.alt, allele.genes
    return {
        info.SCORE: [info.packed(info.score_values(alt, e.gene, e.deltas, pos)) for e in effects],
        info.EVENT: [
            row for e in effects for c in e.consequences for row in info.event_rows(alt, e.gene, c)
        ],
        info.RBP: [row for e in effects for row in _cause_rows(alt, e, options, opinions)],
        info.HGVS: [
            info.hgvs_row(alt, e.gene, transcript, e.hgvs(transcript))
            for e in effects * options.hgvs_out
            for transcript in e.gene.selected(options.transcripts)
        ],
        info.SPLICEAI: [info.spliceai_row(alt, e.gene, e.deltas, pos) for e in effects],
    }


def _cause_rows(
    alt: str, effect: GeneEffect, options: Options, opinions: Opinions | None
) -> list[str]:
    """The rows of SAMVAR_RBP of an allele and a gene."""
    shown = [(c.delta, part) for c in effect.causes for part in c.rows(options.rbp_max)]
    if not opinions:
        return [info.rbp_row(alt, effect.gene, delta, part) for delta, part in shown]
    told = opinions.of(effect.window, [part for _, part in shown])
    return [info.rbp_row(alt, effect.gene, delta, part, told.cells(part)) for delta, part in shown]


def tsv_table(handle: TextIO) -> Table:
    """The flat table of `--tsv`, with its header."""
    handle.write("\t".join(info.TSV_COLUMNS) + "\n")

    def add(record: Record, alleles: list[ScoredAllele]) -> None:
        handle.write("".join(map(tsv(record), alleles)))

    return add


def tsv(record: Record) -> Callable[[ScoredAllele], str]:
    """Allele -> its lines of the flat table."""

    def lines(a: ScoredAllele) -> str:
        if isinstance(a, LookedUp):
            return info.tsv_rows(record, a.alt, a.status, a.table())
        scores = [
            (
                info.score_values(a.alt, g.gene, g.deltas, record.pos),
                [values for c in g.consequences for values in info.event_values(c)],
            )
            for g in a.genes
        ]
        return info.tsv_rows(record, a.alt, a.status, scores)

    return lines


# ----------------------------------------------------------------------- header and start-up checks


def header_lines(
    genome: Genome,
    annotation: Annotation,
    predictor: Predictor,
    options: Options,
    command: str | None,
    hashed: Mapping[str, str],
    opinions: Opinions | None = None,
) -> list[str]:
    """Provenance and the definition of the fields. `hashed`: MD5 of contigs."""
    b = predictor.bundle
    rbp = info.with_columns(opinions.columns) if opinions else info.RBP
    seeds = "+".join(map(str, b.seeds))
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
        *(f"##samvar_contig=<ID={contig},Md5={md5}>" for contig, md5 in hashed.items()),
        f"##samvar_annotation=<ID={_id(annotation.name)},File={_quoted(annotation.name)},"
        f"Sha256={annotation.digest}>",
        *(
            f"##samvar_{s.key}=<ID={_id(s.name)},Name={_quoted(s.name)},Sha256={s.sha256}>"
            for s in (opinions.sources if opinions else ())
        ),
        f"##samvar_params={options.text()}",
        *info.evidence_lines(b.evidence),
        *((rbp if f is info.RBP else f).header() for f in options.fields),
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


def check_annotation(genome: Genome, annotation: Annotation) -> None:
    """FASTA and annotation must have a contig in common."""
    if not any(annotation.contigs.find(c) for c in genome.lengths):
        raise ContigMismatchError(
            f"FASTA {genome.path} ({_few(genome.lengths)}) and annotation {annotation.path} "
            f"({_few(annotation.contigs.names)}) share no contig"
        )


def check_build(
    genome: Genome, reader: VcfReader, compared: Counter, changes: list[list[Change]]
) -> None:
    """More than half of the first `CHECKED` REFs that can be compared differ: another build.
    `compared` counts from call to call whether they differed."""
    for row in changes:
        differ = [
            change is Status.REF_MISMATCH
            for change in row
            if isinstance(change, Variant) or change in (Status.REF_MISMATCH, *REF_MATCHES)
        ]
        if differ and compared.total() < CHECKED:
            compared[differ[0]] += 1
    if compared.total() >= MIN_CHECKED and compared[True] > compared[False]:
        raise WrongBuildError(
            f"{compared[True]} of the first {compared.total()} REF alleles of {reader.path} differ "
            f"from {genome.path}: "
            "the VCF is most likely on another genome build. Give the FASTA that it was called on, "
            "or continue with --allow-ref-mismatch"
        )
