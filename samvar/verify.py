"""Whether an annotated VCF is what its header says: the files it was made with, and the scores of a
sample."""

from __future__ import annotations

import random
import re
import sys
from bisect import bisect_right
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import fields, replace
from itertools import islice
from typing import Any, NamedTuple
from urllib.parse import unquote

from tqdm import tqdm

from . import annotate as spine
from . import info
from .annotate import Options
from .errors import VcfError
from .formats.loci import merge
from .formats.vcf import VcfReader
from .formats.vcf.genotypes import genotypes, samples
from .formats.vcf.record import Record, split_info
from .genomics.genes import Annotation, Choice
from .genomics.genome import Genome
from .genomics.haplotype import overlapping, place
from .genomics.variant import MOST_SHIFT, Variant
from .model.bundle import Bundle
from .opinions import Opinions, Source
from .scoring.attribution import ROUGHLY
from .scoring.predictor import Predictor

TOLERANCE = {"fp32": 2e-4, "bf16": 0.02}  # of a score: rounding, by the precision it was made with
OF_BINDING = 2e-3  # of BIND: rounding
CAUSE = "ALLELE", "SYMBOL", "RBP", "POS", "DELTA"  # the columns of SAMVAR_RBP that say which cause
OPTIONS = {info.BIND: "--binding", info.PEAK: "--peaks"}  # that give what is needed to compare them
SUM_SHOWN = 12  # digits of a sha256 that are told
NOTHING = "none"  # where a header does not tell
NO_CAUSES = 2.0  # as --rbp-min: no delta is as large


class Report(NamedTuple):
    """Problems found, a line each, how many records were scored again, and what could not be
    compared, a line each."""

    problems: list[str]
    rescored: int
    left_out: list[str]


def provenance(reader: VcfReader) -> dict[str, str]:
    """Text of samvar's header lines: model, reference, annotation, params. Raises VcfError where
    one is missing."""
    found = {}
    for line in reader.header:
        if m := re.match(rb"##samvar_(\w+)=(.*)", line.rstrip()):
            found[m[1].decode()] = m[2].decode(errors="replace")
    if missing := [k for k in ("model", "reference", "annotation", "params") if k not in found]:
        raise VcfError(
            f"{reader.path} has no ##samvar_{missing[0]} header line: it is no output of samvar "
            "annotate, "
            "or a later tool dropped it"
        )
    return found


def attribute(text: str, key: str) -> str:
    """Value of a key in <Key=Value,...>."""
    found = re.search(rf'[<,]{key}=(?:"((?:[^"\\]|\\.)*)"|([^,>]*))', text)
    return (found[1] if found[1] is not None else found[2]) if found else ""


def options_of(params: str) -> Options:
    """The options that a ##samvar_params line records."""
    kinds: dict[str, Any] = {f.name: type(f.default) for f in fields(Options)}
    given = dict(part.partition("=")[::2] for part in params.split(","))
    try:
        values: dict[str, Any] = {
            k: v == "True" if kinds[k] is bool else kinds[k](v) for k, v in given.items()
        }
        return Options(**values)
    except (KeyError, ValueError) as e:
        raise VcfError(
            f"##samvar_params={params} is not understood ({e}): from another version of samvar?"
        ) from e


def verify(
    reader: VcfReader,
    genome: Genome,
    annotation: Annotation,
    predictor: Predictor,
    sample: int = 100,
    opinions: Opinions | None = None,
    transcripts: Choice | None = None,
) -> Report:
    """Compare hashes, the bases of contigs whose MD5 the header has, and score a random sample of
    the annotated records again. Records may have been split since, or have lost rows of other
    alleles; every row about a record's own ALT is compared (of a file made with bf16, where the
    sites of small deltas differ, its largest delta alone). `opinions`: what the file was made with,
    if its BIND and PEAK shall be compared, too, in all rows that both have. `transcripts`: those
    that the file was made with. Of haplotypes the genotypes are read once more, in a second pass
    over the file."""
    header = provenance(reader)
    options = options_of(header["params"])
    scoring = options if predictor.batches else replace(options, precision="fp32")
    exact = options.precision == "fp32"
    compared = [f.key for f in (options.fields if exact else (info.MAX, info.STATUS))]
    columns = told_columns(header)
    left_out = _not_compared(columns, opinions, exact)
    problems = _of_files(header, reader, genome, annotation, predictor)
    asked = opinions.sources if opinions else []
    problems += [p for source in asked if (p := _of_source(header.get(source.key), source))]
    made_with = str(options.transcripts)
    given = made_with if transcripts is None else spine.transcripts_text(transcripts)
    if given != made_with:
        problems.append(f"transcripts: the file was made with {made_with}, these are {given}")
    if transcripts is not None and given == made_with:
        options, scoring = (replace(o, transcripts=transcripts) for o in (options, scoring))
    elif made_with.startswith(spine.LISTED):
        options, scoring = (replace(o, transcripts="chosen") for o in (options, scoring))
        of_transcripts = info.EVENT.key, info.HGVS.key, info.HAP.key
        unknown = [key for key in compared if key in of_transcripts]
        compared = [key for key in compared if key not in of_transcripts]
        left_out.append(
            f"{', '.join(unknown)}, which are of the transcripts that a file lists (--transcripts)"
        )
    drawn = _Sample(reader, sample)
    problems += [
        f"{r.contig}:{r.pos}: no {info.STATUS.key} for {','.join(r.alts)}"
        for r in drawn.without_status
    ]
    for _, record, before in tqdm(drawn.records, "scored again", disable=None, unit="record"):
        alleles = list(
            spine.score(genome, annotation, predictor, spine.alleles_of(record), scoring)
        )
        now = spine.encode(record, alleles, options, opinions=opinions)
        after = parse(e.encode() for e in now)
        if told := _own(info.HAP.key, before.get(info.HAP.key, ""), record):
            again = _in_cis(told, record, genome, annotation, predictor, scoring)
            after[info.HAP.key] = ",".join(_matched(told, again, options))
        problems += _of_record(record, before, after, compared, options)
        if opinions and exact:
            rows = [_opinions(e, own) for e, own in ((before, columns), (after, opinions.columns))]
            problems += _of_opinions(record, *rows)
    if info.HAP.key in compared:
        wrong, unclear = _of_genotypes(
            reader, drawn.records, genome, annotation, predictor, scoring
        )
        problems += wrong
        left_out += unclear
    return Report(problems, len(drawn.records), left_out)


def _not_compared(
    columns: Sequence[info.Column], opinions: Opinions | None, exact: bool
) -> list[str]:
    """What a file has, and cannot be compared as things are."""
    asked = opinions.columns if opinions else ()
    left_out = [
        f"{c.name}: give {OPTIONS[c]}, as the file was made with" for c in columns if c not in asked
    ]
    if not exact:
        left_out.append(f"all but {info.MAX.key} and {info.STATUS.key}, as it was made with bf16")
    return left_out


def _in_cis(
    told: str,
    record: Record,
    genome: Genome,
    annotation: Annotation,
    predictor: Predictor,
    options: Options,
) -> dict[str, list[str]]:
    """What rows of SAMVAR_HAP begin with -> those rows scored again, with the partners that each
    names: one for every gene of its symbol. None where the partners can't be scored together, or
    the gene is not there."""
    again: dict[str, list[str]] = {}
    for about in map(_about, told.split(",")):
        if about in again:
            continue
        again[about] = []
        try:
            alt, symbol, partners, copies, sample = map(unquote, about.split("|"))
            others = [_spelled(p) for p in partners.split(info.PARTNER)]
            count = int(copies)
        except ValueError:  # not written by samvar
            continue
        alleles = [
            spine.Allele(record.contig, *s) for s in ((record.pos, record.ref, alt), *others)
        ]
        changes = [spine.examine(genome, annotation, a, options) for a in alleles]
        variants = sorted((c for c in changes if isinstance(c, Variant)), key=place)
        if len(variants) < len(changes) or overlapping(variants):
            continue
        names = ["_".join(map(str, s)) for s in others]
        for gene in spine.genes_at(genome, annotation, variants[0], options):
            effect = gene.symbol == symbol and spine.joint_effect(
                genome, predictor, gene, variants, options
            )
            if effect:
                row = info.hap_row(alt, names, count, sample, effect, record.pos)
                again[about].append(row)
    return again


def _matched(told: str, again: dict[str, list[str]], options: Options) -> Iterator[str]:
    """For each row that was told one that was scored again: where several genes have its symbol,
    the one that is like it. Each is taken once."""
    for row in told.split(","):
        left = again[_about(row)]
        if left:
            alike = [other for other in left if agree(info.HAP.key, row, other, options)]
            chosen = (alike or left)[0]
            left.remove(chosen)
            yield chosen


def _about(row: str) -> str:
    """What a row of SAMVAR_HAP is about: up to SAMPLE."""
    return "|".join(row.split("|")[:5])


def _spelled(partner: str) -> tuple[int, str, str]:
    """POS_REF_ALT."""
    pos, ref, alt = partner.split("_")
    return int(pos), ref, alt


def _of_genotypes(
    reader: VcfReader,
    drawn: list[_Drawn],
    genome: Genome,
    annotation: Annotation,
    predictor: Predictor,
    options: Options,
) -> tuple[list[str], list[str]]:
    """Which rows of SAMVAR_HAP the drawn records have, or have not, against what the genotypes of
    the file give: PARTNERS, COPIES, SAMPLE. And what could not be compared."""
    names = samples(reader.header[-1])
    told = {d.number: _abouts(d.before, d.record) for d in drawn}
    known = set(map(info.escape, names))
    strange = {about.rpartition("|")[2] for own in told.values() for about in own} - known
    if not names or strange or reader.path == "stdin":
        why = f"the file has no sample {', '.join(sorted(strange))}" if strange else ""
        why = why or ("it has no samples" if not names else "stdin cannot be read twice")
        return [], [f"{info.HAP.key} with the genotypes: {why}"]
    near = _Near(reader.path, drawn, options.distance + predictor.bundle.flank, len(names))

    def given(least: float) -> dict[int, Counter[str]]:
        chosen = replace(options, hap_min=max(least, 0.0), rbp_min=NO_CAUSES)
        every = [allele for _, r in near.records for allele in spine.alleles_of(r)]
        scored = spine.score(genome, annotation, predictor, every, chosen)
        stream = ((r, list(islice(scored, len(r.alts)))) for _, r in near.records)
        found = spine.cis(genome, predictor, chosen, len(names)).of(stream)
        return {
            number: _abouts(parse(e.encode() for e in spine.encode(*own, names=names)), own[0])
            for (number, _), own in zip(
                near.records, ((r, alleles, chosen, joint) for r, alleles, joint in found)
            )
        }

    tolerance = TOLERANCE[options.precision]
    most, fewest = (given(options.hap_min + t) for t in (-tolerance, tolerance))
    problems = []
    for number, record, _ in drawn:
        own, nothing = told[number], Counter[str]()
        wrong = [a for a in own - most.get(number, nothing) if near.has_partners(record, a)]
        missing = fewest.get(number, nothing) - own
        where = f"{record.contig}:{record.pos} {record.ref} {','.join(record.alts)}"
        by = "by the genotypes of the file"
        problems += [f"{where}: {info.HAP.key} has {a}, which is none {by}" for a in wrong]
        problems += [f"{where}: {info.HAP.key} lacks {a}, which is one {by}" for a in missing]
    return problems, []


def _abouts(entries: dict[str, str], record: Record) -> Counter[str]:
    """What the rows of SAMVAR_HAP of a record's own ALTs are about."""
    rows = _own(info.HAP.key, entries.get(info.HAP.key, ""), record)
    return Counter(_about(row) for row in rows.split(",") if row)


class _Near:
    """The records of a file that may be partners of those drawn, which are among them: with an ALT
    of one of the `count` samples that has one of theirs, and `within` bases away. With their
    numbers, in order."""

    def __init__(self, path: str, drawn: list[_Drawn], within: int, count: int):
        reach = within + MOST_SHIFT
        self.records: list[tuple[int, Record]] = []
        self._names: set[tuple[str, str]] = set()
        frames: dict[str, list[tuple[int, int]]] = defaultdict(list)
        carriers: dict[str, set[int]] = defaultdict(set)  # of all that were drawn on a contig
        for _, record, _ in drawn:
            frames[record.contig].append((record.pos - reach, _end(record) + reach))
            carriers[record.contig] |= genotypes(record, count).calls.keys()
        merged = {contig: merge(spans) for contig, spans in frames.items()}
        with VcfReader(path) as reader:
            for number, record in enumerate(reader):
                spans = merged.get(record.contig, ()) if record.alts else ()
                at = bisect_right(spans, (record.pos, sys.maxsize)) - 1
                if at < 0 or record.pos > spans[at][1]:
                    continue
                self._names |= {(record.contig, _name(record, alt)) for alt in record.alts}
                if not carriers[record.contig].isdisjoint(genotypes(record, count).calls):
                    self.records.append((number, record))

    def has_partners(self, record: Record, about: str) -> bool:
        """Whether the file has all the partners that a row names."""
        partners = unquote(about.split("|")[2]).split(info.PARTNER)
        return all((record.contig, partner) in self._names for partner in partners)


def _end(record: Record) -> int:
    return record.pos + len(record.ref)


def _name(record: Record, alt: str) -> str:
    """An ALT as PARTNERS has it."""
    return f"{record.pos}_{record.ref}_{alt}"


class Differing(NamedTuple):
    """A file of another content: `what` it is, and name and content of the one that the header
    tells of and of the `own` one, in words."""

    what: str
    told: str
    own: str

    @property
    def text(self) -> str:
        return f"the file was made with {self.told}, this one is {self.own}"


def differing(
    header: dict[str, str], bundle: Bundle, genome: Genome, annotation: Annotation
) -> list[Differing]:
    """Which of model, reference and annotation are not those of a file's `provenance`."""
    found = [
        Differing(what, _named(attribute(header[what], name), told), _named(own_name, own))
        for what, name, own_name, own in (
            ("model", "Name", bundle.name, bundle.sha256),
            ("reference", "File", genome.name, genome.digest()),
            ("annotation", "File", annotation.name, annotation.digest),
        )
        if (told := attribute(header[what], "Sha256")) != own
    ]
    kind = attribute(header["model"], "Kind")
    return found + [Differing("model", kind or NOTHING, bundle.kind)] * (kind != bundle.kind)


def _named(name: str, sha256: str) -> str:
    """A file, by its name and the beginning of its sum."""
    return f"{name or NOTHING} (sha256 {sha256[:SUM_SHOWN] or NOTHING})"


def _of_files(
    header: dict[str, str],
    reader: VcfReader,
    genome: Genome,
    annotation: Annotation,
    predictor: Predictor,
) -> list[str]:
    """What of model, reference and annotation is not what the header says."""
    problems = [
        f"{d.what}: {d.text}" for d in differing(header, predictor.bundle, genome, annotation)
    ]
    contigs = [line.decode() for line in reader.header if line.startswith(b"##samvar_contig=")]
    return problems + [
        f"reference: {name} is not the sequence that the file was made with (MD5)"
        for line in contigs
        if (name := attribute(line, "ID")) in genome.lengths
        and genome.md5(name) != attribute(line, "Md5")
    ]


def told_columns(header: dict[str, str]) -> list[info.Column]:
    """What the rows of SAMVAR_RBP of a file with this `provenance` have more."""
    return [c for key, c in (("binding", info.BIND), ("peaks", info.PEAK)) if key in header]


def _of_source(told: str | None, source: Source) -> str | None:
    """How what is asked differs from what the header says was asked."""
    if told is None:
        return f"{source.key}: the file was made without"
    before = attribute(told, "Sha256")
    if before == source.sha256:
        return None
    return f"{source.key}: the file was made with {before}, this one is {source.sha256}"


ToldOf = dict[tuple[str, ...], dict[str, str]]  # a cause, by CAUSE -> its columns


def _opinions(entries: dict[str, str], columns: Sequence[info.Column]) -> ToldOf:
    """What the rows of SAMVAR_RBP have in these columns, which are their last ones."""
    names = [*info.RBP.columns(), *(column.name for column in columns)]
    rows = [row.split("|") for row in entries.get(info.RBP.key, "").split(",") if row]
    cells = [dict(zip(names, row)) for row in rows]
    return {
        tuple(c.get(name, "") for name in CAUSE): {
            column.name: c[column.name] for column in columns if column.name in c
        }
        for c in cells
    }


def _of_opinions(record: Record, before: ToldOf, after: ToldOf) -> list[str]:
    """Which second opinions differ, of the rows and columns that both have."""
    return [
        f"{record.contig}:{record.pos} {info.RBP.key} {'|'.join(cause)}: {name} is {value}, asked "
        f"again {after[cause][name]}"
        for cause, told in before.items()
        if cause in after
        for name, value in told.items()
        if name in after[cause] and not _same(value, after[cause][name], OF_BINDING)
    ]


def _of_record(
    record: Record,
    before: dict[str, str],
    after: dict[str, str],
    compared: list[str],
    options: Options,
) -> list[str]:
    """Which of the compared INFO fields of a record differ."""
    problems = []
    for key in compared:
        a, b = (_own(key, entries.get(key, ""), record) for entries in (before, after))
        if not agree(key, a, b, options):
            problems.append(
                f"{record.contig}:{record.pos} {record.ref} {','.join(record.alts)}: {key} is {a}, "
                f"scored again {b}"
            )
    return problems


class _Drawn(NamedTuple):
    """The record of this number, from 0, with what its INFO had."""

    number: int
    record: Record
    before: dict[str, str]


class _Sample:
    """`size` annotated records, each as likely; and up to ten that have an ALT but no status."""

    def __init__(self, reader: VcfReader, size: int):
        rng = random.Random(0)
        self.records: list[_Drawn] = []
        self.without_status: list[Record] = []
        seen = 0
        records = tqdm(reader, "read", total=reader.expected_records, disable=None, unit="record")
        for number, record in enumerate(records):
            if not record.alts:
                continue
            entries = parse(split_info(record.line)[1])
            if info.STATUS.key not in entries:
                self.without_status = [*self.without_status, record][:10]
                continue
            seen += 1
            at = len(self.records) if len(self.records) < size else rng.randrange(seen)
            if at < size:
                self.records[at : at + 1] = [_Drawn(number, record, entries)]


def parse(entries) -> dict[str, str]:
    """INFO entries -> values by key."""
    return dict(e.decode(errors="replace").partition("=")[::2] for e in entries)


def _own(key: str, value: str, record: Record) -> str:
    """What of an entry is about the record's own ALTs."""
    if key in (info.MAX.key, info.STATUS.key):
        return value
    alts = {info.escape(a) for a in record.alts}
    return ",".join(row for row in value.split(",") if row.split("|")[0] in alts)


def agree(key: str, a: str, b: str, options: Options) -> bool:
    """Whether what an entry says and what was scored again is the same, but for rounding. Of causes
    the first is compared, since the integral may stop a step earlier or later on another
    machine."""
    tolerance = TOLERANCE[options.precision]
    if key == info.RBP.key:
        return _same(_first_cause(a), _first_cause(b), ROUGHLY)
    if key == info.EVENT.key:
        return _same_events(a, b, options.event_min, tolerance)
    return _same(a, b, tolerance)


def _first_cause(rows: str) -> str:
    """The first row, without the columns of second opinions."""
    return "|".join(rows.partition(",")[0].split("|")[: len(info.RBP.columns())])


def _same_events(a: str, b: str, least: float, tolerance: float) -> bool:
    """All rows, in any order, since two may be as strong; one that is hardly strong enough to be
    listed may be missing on either side, where then "none" may stand."""
    one, other = (_strengths(rows) for rows in (a, b))
    found = one | other
    return all(
        abs(one[row] - other[row]) <= tolerance
        if row in one and row in other
        else strength <= least + tolerance
        for row, strength in found.items()
    )


def _strengths(rows: str) -> dict[tuple[str, ...], float]:
    """Row without its PROB -> that."""
    at = info.EVENT.columns().index("PROB")
    cells = [row.split("|") for row in rows.split(",") if row]
    return {(*c[:at], *c[at + 1 :]): float(c[at]) for c in cells}


def _same(a: str, b: str, tolerance: float) -> bool:
    parts = [re.split(r"[,|]", text) for text in (a, b)]
    return len(parts[0]) == len(parts[1]) and all(
        x == y or _close(x, y, tolerance) for x, y in zip(*parts)
    )


def _close(x: str, y: str, tolerance: float) -> bool:
    try:
        return abs(float(x) - float(y)) <= tolerance
    except ValueError:
        return False
