"""A page for a whole annotated VCF: what was scored and what not, how large the changes are, which
regulators recur, and the strongest alleles, each with its verdict and landscape."""

from __future__ import annotations

import heapq
import json
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import count
from typing import NamedTuple
from urllib.parse import unquote

from .. import info
from ..annotate import Allele, Options
from ..errors import SamvarError, VcfError
from ..formats.vcf.record import Record, split_info
from ..genomics.genes import Annotation
from ..genomics.genome import Genome
from ..genomics.variant import Status
from ..scoring.attribution import PartKind
from ..scoring.deltas import NAMES, SIGN
from ..scoring.predictor import Predictor
from ..verify import options_of, parse
from .about import About
from .explanation import MOVED, WHAT, Explanation, GeneView, explain_all
from .html import STYLE, about_section, gene_section

BINS = (0.0, 0.01, 0.05, 0.1, 0.2, 0.5, 0.8)  # lower ends of the bars of the distribution
MOST_REGULATORS = 25


class Regulator(NamedTuple):
    """A motif over the file: in how many alleles it is a cause, how often it raises and lowers a
    splice site there, and the sum of what it does (probability)."""

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


@dataclass
class Summary:
    """What a file holds, counted record by record.

    bins        alleles by their largest delta, between the `BINS`
    top         the strongest `most` alleles whose largest delta is `least` or more
    """

    most: int
    least: float
    records: int = 0
    without_alt: int = 0
    without_status: int = 0
    statuses: Counter[str] = field(default_factory=Counter)
    bins: list[int] = field(default_factory=lambda: [0] * len(BINS))
    top: list[tuple[float, int, Scored]] = field(default_factory=list)
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
        for alt, value in zip(record.alts, entries.get(info.MAX.key, "").split(",")):
            if value in ("", "."):
                continue
            largest = float(value)
            self.bins[sum(largest >= low for low in BINS) - 1] += 1
            if largest >= self.least:
                allele = Allele(record.contig, record.pos, record.ref, alt)
                scored = Scored(largest, allele, "" if name == "." else name)
                heapq.heappush(self.top, (largest, -next(order), scored))
                if len(self.top) > self.most:
                    heapq.heappop(self.top)
        self._count_regulators(entries.get(info.RBP.key, ""), motifs)

    def _count_regulators(self, rows: str, motifs: frozenset[str]) -> None:
        columns = info.RBP.columns()
        seen = set()
        for row in rows.split(",") if rows else ():
            values = dict(zip(columns, map(unquote, row.split("|"))))
            name = values["RBP"]
            if name not in motifs:
                continue
            effect = float(values["EFFECT"]) * SIGN[NAMES.index(values["DELTA"])]
            seen.add((values["ALLELE"], name))
            (self.raises if effect > 0 else self.lowers)[name] += 1
            self.totals[name] += abs(effect)
        self.alleles.update(name for _, name in seen)

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


class Row(NamedTuple):
    """A top allele in one gene: a line of the table, and what opens below it (HTML)."""

    variant: str
    name: str
    gene: str
    largest: float
    delta: str
    event: str
    rbp: str
    effect: float | None
    status: str
    verdict: str
    detail: str


def options_from(params: str) -> Options:
    """The options that the file was made with; the table says what happens to each gene's chosen
    transcript."""
    return replace(options_of(params), precision="fp32", transcripts="chosen")


def rows(
    genome: Genome,
    annotation: Annotation,
    predictor: Predictor,
    top: Sequence[Scored],
    options: Options,
) -> Iterator[Row]:
    """The top alleles explained, on the workers, in their order. They are worked on along the
    genome: neighbours share tensors of the reference."""
    order = sorted(range(len(top)), key=lambda i: top[i].allele[:2])
    alleles = [top[i].allele for i in order]
    explained = explain_all(genome, annotation, predictor, alleles, options)
    done = {i: [_row(top[i], e, view) for view in e.genes] for i, e in zip(order, explained)}
    for i in range(len(top)):
        yield from done[i]


def _row(scored: Scored, e: Explanation, view: GeneView) -> Row:
    assert view.deltas
    top = max(view.deltas.named, key=lambda d: d.value)
    outcomes = view.consequences[0].outcomes if view.consequences else ()
    own = [c for c in view.causes or () if NAMES[c.delta] == top.name]
    parts = [p for c in own for p in c.parts if p.kind is PartKind.MOTIF and abs(p.effect) >= MOVED]
    part = parts[0] if parts else None
    sign = float(SIGN[NAMES.index(top.name)])
    return Row(
        e.short_title,
        scored.name,
        view.gene.symbol,
        top.value,
        WHAT[top.name],
        outcomes[0].event.kind.value.replace("_", " ") if outcomes else "none",
        part.rbp if part else "",
        part.effect * sign if part else None,
        e.status.name,
        view.verdict,
        gene_section(e, view),
    )


def page(name: str, summary: Summary, table: Sequence[Row], about: About) -> str:
    """The report as one self-contained HTML page. `name` of the file. Raises SamvarError without
    jinja2."""
    environment = _environment()
    template = environment.get_template("report.html.j2")
    statuses = [(s.name, summary.statuses[s.name], s.value) for s in Status]
    most = max([*summary.bins, 1])
    ends = [f"{low:g} to {high:g}" for low, high in zip(BINS, (*BINS[1:], 1))]
    return template.render(
        name=name,
        style=STYLE,
        summary=summary,
        statuses=[row for row in statuses if row[1]],
        bars=[(text, n, 100 * n / most) for text, n in zip(ends, summary.bins)],
        rows=table,
        choices={key: sorted({getattr(r, key) for r in table}) for key in CHOICES},
        about=about_section([about]),
    )


CHOICES = ("gene", "event", "rbp", "status")  # columns that the table can be filtered by


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
