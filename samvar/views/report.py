"""A page for a whole annotated VCF: what was scored and what not, how large the changes are, which
regulators recur, and the strongest alleles, each with its verdict and landscape."""

from __future__ import annotations

import heapq
import json
import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import count
from typing import NamedTuple
from urllib.parse import unquote

from .. import info
from ..annotate import LISTED, Allele, Options
from ..errors import SamvarError, VcfError
from ..formats.request import spelled_in_cis
from ..formats.vcf.record import Record, split_info
from ..genomics.genes import Annotation
from ..genomics.genome import Genome
from ..genomics.variant import Status
from ..info import place
from ..scoring.attribution import Attribution, Part, PartKind
from ..scoring.consequence import Kind
from ..scoring.deltas import NAMES, SIGN, Delta
from ..scoring.predictor import Predictor
from ..verify import options_of, parse
from .about import About
from .explanation import MOVED, WHAT, Explanation, GeneView, explain_all, shortened
from .figures import draw
from .html import STYLE, about_section, gene_section

NAMED_SHARE = 0.1  # of a delta, that an RBP must have to be named for it
EVENT_CELLS = "EVENT", "EXON", "START", "END"  # columns of SAMVAR_EVENT that tell what it is
TSV_COLUMNS = (
    *("CHROM", "POS", "ID", "REF", "ALT", "STATUS", "SYMBOL", "TRANSCRIPT", "STRAND"),
    *(f"DS_{n}" for n in NAMES), *(f"POS_{n}" for n in NAMES),
    *("EVENT_TRANSCRIPT", *EVENT_CELLS, "OTHER_EVENTS", "CAUSE", "CAUSE_EFFECT", "CAUSE_POS"),
    *("RBP", "RBP_EFFECT", "RBP_POS", "OTHER_RBPS", "VERDICT"),
)  # fmt: skip
NO_EVENT = dict.fromkeys(info.EVENT_COLUMNS, "") | dict(EVENT=Kind.NONE.value)
FORMULA = re.compile(r'[=+@"-]')  # how a cell begins that a spreadsheet does not take as it stands
NUMBER = re.compile(r"[+-]?([0-9]+(\.[0-9]+)?)?")  # ... but for these
MOST_UNSCORED = 1000  # alleles without a score that are listed
MOST_HAPLOTYPES = 200
BINS = (0.0, 0.01, 0.05, 0.1, 0.2, 0.5, 0.8)  # lower ends of the bars of the distribution
MOST_REGULATORS = 25


class Regulator(NamedTuple):
    """A motif over the file: in how many alleles it is a cause with a share worth naming, in how
    many of these it raises and lowers a splice site, and the sum of what it does (probability)."""

    name: str
    alleles: int
    raises: int
    lowers: int
    total: float


class Scored(NamedTuple):
    """An allele of the file and its largest delta; `name`: the ID of its record, or nothing."""

    largest: float
    allele: Allele
    name: str


class Unscored(NamedTuple):
    """An allele of the file that has no score; `name`: the ID of its record, or nothing."""

    allele: Allele
    name: str
    status: Status


class Together(NamedTuple):
    """What variants of one haplotype do together (SAMVAR_HAP): `request` as `samvar explain` takes
    them, `copies` of the haplotype among the samples, the `largest` delta, which one (`delta`) and
    the event."""

    request: str
    gene: str
    copies: int
    largest: float
    delta: str
    event: str


@dataclass
class Summary:
    """What a file holds, counted record by record.

    bins        alleles by their largest delta, between the `BINS`
    top         the strongest `most` alleles whose largest delta is `least` or more
    unscored    the first `MOST_UNSCORED` alleles without a score
    haplotypes  what variants do together, the first `MOST_HAPLOTYPES`
    transcripts those that the file has events of
    """

    most: int
    least: float
    records: int = 0
    without_alt: int = 0
    without_status: int = 0
    statuses: Counter[str] = field(default_factory=Counter)
    bins: list[int] = field(default_factory=lambda: [0] * len(BINS))
    top: list[tuple[float, int, Scored]] = field(default_factory=list)
    unscored: list[Unscored] = field(default_factory=list)
    haplotypes: dict[tuple[str, str], Together] = field(default_factory=dict)
    transcripts: set[str] = field(default_factory=set)
    alleles: Counter[str] = field(default_factory=Counter)
    raises: Counter[str] = field(default_factory=Counter)
    lowers: Counter[str] = field(default_factory=Counter)
    totals: Counter[str] = field(default_factory=Counter)

    @classmethod
    def of(
        cls, records: Iterable[Record], motifs: Sequence[str], most: int, least: float
    ) -> Summary:
        """`motifs`: names that count as regulators. Raises VcfError where a record's fields are not
        as they were written."""
        summary, order, names = cls(most, least), count(), frozenset(motifs)
        for record in records:
            if not record.contig:
                continue
            try:
                summary._add(record, order, names)
            except (ValueError, KeyError) as e:
                raise VcfError(
                    f"{record.contig}:{record.pos}: samvar did not write these SAMVAR fields "
                    f"({e}): was the file edited? Annotate it again with --overwrite"
                ) from e
        return summary

    def _add(self, record: Record, order: Iterator[int], motifs: frozenset[str]) -> None:
        self.records += 1
        self.without_alt += not record.alts
        entries = parse(split_info(record.line)[1])
        written = entries.get(info.STATUS.key)
        statuses = written.split(",") if written else []
        if len(statuses) != len(record.alts):
            self.without_status += len(record.alts)
            return
        self.statuses.update(statuses)
        name = record.line.split(b"\t", 3)[2].decode(errors="replace")
        name = "" if name == "." else name
        values = entries.get(info.MAX.key, "").split(",")
        for alt, status, value in zip(record.alts, statuses, values):
            allele = Allele(record.contig, record.pos, record.ref, alt)
            if value in ("", "."):
                if len(self.unscored) < MOST_UNSCORED:
                    self.unscored.append(Unscored(allele, name, Status[status]))
                continue
            largest = float(value)
            self.bins[sum(largest >= low for low in BINS) - 1] += 1
            if largest >= self.least:
                scored = Scored(largest, allele, name)
                heapq.heappush(self.top, (largest, -next(order), scored))
                if len(self.top) > self.most:
                    heapq.heappop(self.top)
        self.transcripts.update(row["TRANSCRIPT"] for row in _unpacked(info.EVENT, entries))
        for row in _unpacked(info.HAP, entries):
            together = _together(record, row)
            if len(self.haplotypes) < MOST_HAPLOTYPES:  # each stands with all of its variants
                self.haplotypes[together.request, together.gene] = together
        self._count_regulators(entries, motifs)

    def _count_regulators(self, entries: dict[str, str], motifs: frozenset[str]) -> None:
        deltas: dict[tuple[str, ...], float] = defaultdict(float)
        for row in _unpacked(info.SCORE, entries):
            for delta in NAMES:
                key = row["ALLELE"], row["SYMBOL"], delta
                deltas[key] = max(deltas[key], float(row[f"DS_{delta}"]))
        raises: set[tuple[str, str]] = set()  # ALT, name
        lowers: set[tuple[str, str]] = set()
        for row in _unpacked(info.RBP, entries):
            name, alt, delta = row["RBP"], row["ALLELE"], row["DELTA"]
            effect = float(row["EFFECT"]) * SIGN[NAMES.index(delta)]
            if name in motifs and abs(effect) >= NAMED_SHARE * deltas[alt, row["SYMBOL"], delta]:
                (raises if effect > 0 else lowers).add((alt, name))
                self.totals[name] += abs(effect)
        self.alleles.update(name for _, name in raises | lowers)
        self.raises.update(name for _, name in raises)
        self.lowers.update(name for _, name in lowers)

    @property
    def strongest(self) -> list[Scored]:
        """The top alleles, the strongest first, of equals the first in the file."""
        return [scored for _, _, scored in sorted(self.top, reverse=True)]

    @property
    def regulators(self) -> list[Regulator]:
        """Those that recur in most alleles."""
        ordered = sorted(self.alleles, key=lambda n: (-self.alleles[n], -self.totals[n], n))
        return [
            Regulator(n, self.alleles[n], self.raises[n], self.lowers[n], self.totals[n])
            for n in ordered[:MOST_REGULATORS]
        ]


def _unpacked(packed: info.Field, entries: dict[str, str]) -> Iterator[dict[str, str]]:
    """The rows of a packed field of a record, by column."""
    columns, rows = packed.columns(), entries.get(packed.key)
    for row in rows.split(",") if rows else ():
        yield dict(zip(columns, map(unquote, row.split("|"))))


def _together(record: Record, row: dict[str, str]) -> Together:
    """What a row of SAMVAR_HAP of a record says."""
    request = spelled_in_cis(record, row["ALLELE"], row["PARTNERS"])
    largest, delta = max((float(row[f"DS_{name}"]), WHAT[name]) for name in NAMES)
    event = row["EVENT"].replace("_", " ")
    return Together(request, row["SYMBOL"], int(row["COPIES"]), largest, delta, event)


class NamedCause(NamedTuple):
    """A cause of a delta, where it lies and what it does to the probability of the splice site;
    `name` "core site" for the splice site's own score or another's."""

    name: str
    effect: float
    pos: str


Told = Mapping[str, str]  # a row of SAMVAR_EVENT, by column


class Row(NamedTuple):
    """An allele, of the strongest in one gene: a line of the table, and what opens below it (HTML).
    Where it has no score its `remark` says why, and that is all.

    deltas  all four, in the order of NAMES; `delta`: the largest, in words
    events  of every transcript, the first of them in the first one; at least one, which may be none
    cause   the strongest of the largest delta; `rbp`: the strongest motif among its causes
    rbps    every motif that is named as a cause of any delta, those of the largest first
    """

    allele: Allele
    variant: str
    name: str
    status: str
    remark: str
    gene: str = ""
    transcript: str = ""
    strand: str = ""
    deltas: tuple[Delta, ...] = ()
    delta: str = ""
    events: tuple[Told, ...] = ()
    cause: NamedCause | None = None
    rbp: NamedCause | None = None
    rbps: tuple[str, ...] = ()
    verdict: str = ""
    detail: str = ""

    @property
    def largest(self) -> float:
        """As SAMVAR_MAX is written."""
        return round(max((d.value for d in self.deltas), default=0.0), 4)

    @property
    def kinds(self) -> list[str]:
        """What happens, that to the first transcript first; none is told of that one alone."""
        kinds = dict.fromkeys(_in_words(event) for event in self.events)
        return [kind for i, kind in enumerate(kinds) if not i or kind != Kind.NONE.value]

    @property
    def other_rbps(self) -> list[str]:
        """But for the strongest."""
        return [name for name in self.rbps if self.rbp is None or name != self.rbp.name]

    @property
    def tsv(self) -> str:
        """The values of TSV_COLUMNS, between tabs."""
        contig, pos, ref, alt = self.allele
        told = {
            **dict(CHROM=contig, POS=str(pos), ID=self.name, REF=ref, ALT=alt, STATUS=self.status),
            **dict(SYMBOL=self.gene, TRANSCRIPT=self.transcript, STRAND=self.strand),
            **{f"DS_{d.name}": f"{d.value:.4f}" for d in self.deltas},
            **{f"POS_{d.name}": place(*d.place) for d in self.deltas},
            **self._event_cells(),
            **_cause_cells("CAUSE", self.cause),
            **_cause_cells("RBP", self.rbp),
            **dict(OTHER_RBPS="; ".join(self.other_rbps), VERDICT=self.verdict or self.remark),
        }
        return "\t".join(_cell(told.get(column, "")) for column in TSV_COLUMNS)

    def _event_cells(self) -> dict[str, str]:
        if not self.events:
            return {}
        first, *others = self.events
        told = {column: first[column] for column in EVENT_CELLS} | dict(EVENT=_in_words(first))
        rest = "; ".join(_located(e) for e in others if _in_words(e) != Kind.NONE.value)
        return told | dict(EVENT_TRANSCRIPT=first["TRANSCRIPT"], OTHER_EVENTS=rest)


def _in_words(event: Told) -> str:
    return event["EVENT"].replace("_", " ")


def _located(event: Told) -> str:
    """An event, of which transcript it is and where."""
    where = "-".join(filter(None, (event["START"], event["END"])))
    return f"{event['TRANSCRIPT']}: {' '.join((_in_words(event), event['EXON'], where)).strip()}"


def _cause_cells(column: str, cause: NamedCause | None) -> dict[str, str]:
    if cause is None:
        return {}
    effect = f"{cause.effect:.4f}"
    return {column: cause.name, f"{column}_EFFECT": effect, f"{column}_POS": cause.pos}


def _cell(text: str) -> str:
    """A cell of the TSV, in one line. A text that a spreadsheet would run as a formula stands
    behind an apostrophe; numbers and signs are none."""
    text = " ".join(text.split())
    return f"'{text}" if FORMULA.match(text) and not NUMBER.fullmatch(text) else text


def options_from(params: str, transcripts: Iterable[str]) -> Options:
    """The options that the file was made with. `transcripts` that it has events of are those whose
    verdicts are shown where a list chose them, which is not here."""
    options = options_of(params)
    if str(options.transcripts).startswith(LISTED):
        options = replace(options, transcripts=frozenset(transcripts))
    return replace(options, precision="fp32")


def rows(
    genome: Genome,
    annotation: Annotation,
    predictor: Predictor,
    top: Sequence[Scored],
    options: Options,
) -> Iterator[Row]:
    """The top alleles explained, on the workers, in their order, each in the genes that it changes
    most first. They are worked on along the genome: neighbours share tensors of the reference."""
    order = sorted(range(len(top)), key=lambda i: top[i].allele[:2])
    alleles = [top[i].allele for i in order]
    explained = explain_all(genome, annotation, predictor, alleles, options)
    done = {i: [_row(top[i], e, view) for view in e.genes] for i, e in zip(order, explained)}
    for i in range(len(top)):
        yield from sorted(done[i], key=lambda row: -row.largest)


def _row(scored: Scored, e: Explanation, view: GeneView) -> Row:
    assert view.deltas
    top = max(view.deltas.named, key=lambda d: d.value)
    causes = sorted(view.causes or (), key=lambda c: NAMES[c.delta] != top.name)
    shown = [p for c in causes if NAMES[c.delta] == top.name for p in _worth_naming(c, MOVED)]
    everywhere = [p for c in causes for p in _worth_naming(c)]
    sign = float(SIGN[NAMES.index(top.name)])

    def named(parts: Iterable[Part]) -> NamedCause | None:
        for part in parts:
            name = "core site" if part.kind is PartKind.CORE else part.rbp
            return NamedCause(name, part.effect * sign, place(part.position, part.offset))
        return None

    told = [values for c in view.consequences for values in info.event_values(c)]
    return Row(
        scored.allele,
        e.short_title,
        scored.name,
        e.status.name,
        e.remark,
        view.gene.symbol,
        view.gene.chosen.id,
        view.gene.strand,
        view.deltas.named,
        WHAT[top.name],
        tuple(dict(zip(info.EVENT_COLUMNS, values)) for values in told) or (NO_EVENT,),
        named(shown),
        named(p for p in shown if p.kind is PartKind.MOTIF),
        tuple(dict.fromkeys(p.rbp for p in everywhere if p.kind is PartKind.MOTIF)),
        view.verdict,
        gene_section(e, view, draw(e, view, headline=False)),
    )


def _worth_naming(cause: Attribution, least: float = 0.0) -> list[Part]:
    """The motif sites and core sites that have a share of a delta worth naming, and as much as
    `least`."""
    least = max(least, NAMED_SHARE * cause.value)
    sites = (p for p in cause.parts if p.kind in (PartKind.MOTIF, PartKind.CORE))
    return [p for p in sites if abs(p.effect) >= least]


def unscored_rows(summary: Summary) -> Iterator[Row]:
    """The alleles without a score that are listed."""
    for allele, name, status in summary.unscored:
        variant = f"{allele.contig}:{allele.pos} {shortened(allele.ref)}>{shortened(allele.alt)}"
        yield Row(allele, variant, name, status.name, f"{status.name}: {status.value}")


def page(
    name: str, summary: Summary, table: Sequence[Row], about: About, differ: Sequence[str] = ()
) -> str:
    """The report as one self-contained HTML page. `name` of the file; `differ`: what is not what
    the file was made with. Raises SamvarError without jinja2."""
    environment = _environment()
    template = environment.get_template("report.html.j2")
    statuses = [(s.name, summary.statuses[s.name], s.value) for s in Status]
    most = max([*summary.bins, 1])
    ends = [f"{low:g} to {high:g}" for low, high in zip(BINS, (*BINS[1:], 1))]
    weak = [row for row in table if row.largest < summary.least]
    rows = [row for row in table if row.largest >= summary.least] + weak
    scored = sum(summary.bins)
    of_rbp = Counter(name for _, name in {(r.allele, name) for r in rows for name in r.rbps})
    return template.render(
        name=name,
        style=STYLE,
        differ=differ,
        summary=summary,
        statuses=[row for row in statuses if row[1]],
        bars=[(text, n, 100 * n / most) for text, n in zip(ends, summary.bins)],
        rows=[*rows, *unscored_rows(summary)],
        regulators=[(r, of_rbp[r.name]) for r in summary.regulators],
        strong=len(rows),
        weak=len(weak),
        most_haplotypes=MOST_HAPLOTYPES,
        left=summary.statuses.total() - scored - len(summary.unscored),
        share=NAMED_SHARE,
        columns="\t".join(TSV_COLUMNS),
        choices=dict(
            gene=sorted({r.gene for r in rows}),
            event=sorted({kind for r in rows for kind in r.kinds}),
            RBP=sorted(of_rbp),
            status=sorted({r.status for r in rows} | {u.status.name for u in summary.unscored}),
        ),
        about=about_section([about]),
    )


def need_jinja() -> None:
    """Raises SamvarError where jinja2 is not installed."""
    try:
        import jinja2  # noqa: F401
    except ImportError as e:
        raise SamvarError("a report needs jinja2: pip install 'samvar[report]'") from e


def _environment():
    need_jinja()
    from jinja2 import Environment, PackageLoader, StrictUndefined

    return Environment(
        loader=PackageLoader("samvar.views", "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )


def multiqc(name: str, summary: Summary) -> str:
    """The counts of statuses as custom content of MultiQC: a file whose name ends in _mqc.json."""
    content = dict(
        id="samvar_status",
        section_name="samvar",
        description="ALT alleles by samvar's status: why each has a score of splicing, or none.",
        plot_type="bargraph",
        pconfig=dict(id="samvar_status_plot", title="samvar: ALT alleles", ylab="ALT alleles"),
        data={name: {s: n for s, n in summary.statuses.items() if n}},
    )
    return json.dumps(content, indent=1) + "\n"
