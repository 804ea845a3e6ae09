"""The INFO fields: one table defines, documents and formats them."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import NamedTuple

from . import __version__
from .formats.vcf.record import Record
from .genomics.genes import Gene, Transcript
from .genomics.variant import Status
from .model.evidence import Evidence
from .scoring.attribution import Part
from .scoring.consequence import Consequence, Event, Kind, Outcome
from .scoring.deltas import NAMES, Deltas
from .scoring.effects import GeneEffect


class Field(NamedTuple):
    key: str
    number: str
    type: str
    description: str

    def columns(self) -> list[str]:
        """Names of a packed field's parts."""
        return self.description.rpartition("Format: ")[2].split("|")

    def header(self) -> str:
        what = f'Type={self.type},Description="{self.description}"'
        return f"##INFO=<ID={self.key},Number={self.number},{what}>"


MAX = Field(
    "SAMVAR_MAX", "A", "Float", "Largest of the four splice deltas over all genes; . if not scored"
)
STATUS = Field(
    "SAMVAR_STATUS",
    "A",
    "String",
    "Why the allele has a score or none, one of " + " ".join(s.name for s in Status),
)
SCORE = Field(
    "SAMVAR",
    ".",
    "String",
    "Splice deltas, one row per ALT and gene: acceptor/donor gain/loss DS (probability), their "
    "positions DP relative "
    "to POS, SD over seeds. Format: "
    "ALLELE|SYMBOL|GENE_ID|TRANSCRIPT|STRAND|DS_AG|DS_AL|DS_DG|DS_DL|DP_AG|DP_AL|DP_DG|DP_DL|SD",
)
RBP = Field(
    "SAMVAR_RBP",
    ".",
    "String",
    "Causes of each delta: RBP and core sites that differ between REF and ALT with EVENT, genomic "
    "POS, SITE, change of "
    "activation DACT, and EFFECT, the share of the named DELTA by Shapley values or, where many "
    "sites differ, integrated gradients; SPACING, OTHER and RESIDUAL complete the sum. Format: "
    "ALLELE|SYMBOL|RBP|EVENT|POS|SITE|DACT|EFFECT|DELTA",
)


NEAR_PEAK = 50  # bases; that far a site may lie from where it was crosslinked, a peak's 5' end


class Column(NamedTuple):
    """A column that rows of SAMVAR_RBP have at their end when it is asked for."""

    name: str
    description: str


BIND = Column(
    "BIND",
    "change, ALT less REF, of the log-odds (natural logarithm) that the RBP binds the bases around "
    "the site by the model of ##samvar_binding, . where that does not know the RBP",
)
PEAK = Column(
    "PEAK",
    f"cell lines, joined by +, with a peak of the RBP within {NEAR_PEAK} bases of the site by "
    "##samvar_peaks, no where there is none, . where these do not know the RBP",
)


def with_columns(columns: Sequence[Column]) -> Field:
    """SAMVAR_RBP with these columns at the end of its rows."""
    text, _, packed_columns = RBP.description.rpartition(" Format: ")
    told = "".join(f" {column.name}: {column.description}." for column in columns)
    names = "|".join((packed_columns, *(column.name for column in columns)))
    return RBP._replace(description=f"{text}{told} Format: {names}")


HGVS = Field(
    "SAMVAR_HGVS",
    ".",
    "String",
    "HGVS of each ALT on each transcript asked for, as far to its 3' end as can be; . beyond it. "
    "Format: ALLELE|SYMBOL|TRANSCRIPT|HGVSC",
)
EVENT = Field(
    "SAMVAR_EVENT",
    ".",
    "String",
    "What happens to the transcript, where a site changes by 0.05 or more, strongest first: EVENT, "
    + " ".join(k.value for k in Kind)
    + "; EXON or intron, bases START to END, SIZE; FRAME; codon of a STOP that is not the "
    "annotated one; NMD, yes, or no and the exception, or why there is no FRAME; PROB, strength of "
    "the event from 0 to 1, no probability of it; predicted RNA. "
    "Format: ALLELE|SYMBOL|TRANSCRIPT|EVENT|EXON|START|END|SIZE|FRAME|STOP|NMD|PROB|RNA",
)
HAP = Field(
    "SAMVAR_HAP",
    ".",
    "String",
    "What an ALT and its PARTNERS (POS_REF_ALT, joined by +) on one haplotype do together, where "
    "it differs from the largest that each does alone; COPIES of the haplotype among the samples, "
    "the first SAMPLE that has it; deltas as in SAMVAR, the strongest event as in SAMVAR_EVENT. "
    "Format: "
    + "|".join(
        ("ALLELE|SYMBOL|PARTNERS|COPIES|SAMPLE", *SCORE.columns()[5:13], *EVENT.columns()[2:])
    ),
)
PARTNER = "+"  # between the partners of SAMVAR_HAP
FIELDS = (MAX, STATUS, SCORE, EVENT, RBP)
OWN_SPLICEAI = "Splice deltas of samvar "  # distinguishes it from the field of SpliceAI itself
SPLICEAI = Field(
    "SpliceAI",
    ".",
    "String",
    f"{OWN_SPLICEAI}{__version__}, not of SpliceAI, in SpliceAI's layout. Format: "
    "ALLELE|SYMBOL|DS_AG|DS_AL|DS_DG|DS_DL|DP_AG|DP_AL|DP_DG|DP_DL",
)
EVENT_COLUMNS = EVENT.columns()[2:]  # of a transcript
TSV_COLUMNS = (
    *("CHROM", "POS", "ID", "REF", "ALT", "STATUS"),
    *SCORE.columns()[1:],
    *("EVENT_TRANSCRIPT", *EVENT_COLUMNS[1:]),
)

_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
_ESCAPED = re.compile(r"[%,;=|&:\s\x00-\x1f\x7f]")


def escape(text: str) -> str:
    """Percent-encode what has a meaning in INFO, blanks and controls; '.' for nothing."""
    return _ESCAPED.sub(lambda m: "".join(f"%{b:02X}" for b in m.group().encode()), text) or "."


def _number(value: float | None, digits: int) -> str:
    if value is None:
        return "."
    text = f"{value:.{digits}f}"
    return text if float(text) else text.removeprefix("-")


def place(position: int | None, offset: int = 0, origin: int = 0) -> str:
    """A 1-based position, or one relative to POS; anchor+offset within an insertion; nothing for
    None."""
    return "" if position is None else f"{position + 1 - origin}" + (f"+{offset}" if offset else "")


def score_values(alt: str, gene: Gene, deltas: Deltas, pos: int) -> list[str]:
    """The columns of a row of SAMVAR. `pos` is the record's POS, 1-based."""
    return [
        alt,
        gene.symbol,
        gene.id,
        gene.chosen.id,
        gene.strand,
        *_delta_values(deltas, pos),
        _number(deltas.sd, 4),
    ]


def _delta_values(deltas: Deltas, pos: int) -> list[str]:
    """The four deltas and where they stand."""
    places = [place(*p, origin=pos) for p in deltas.places]
    return [_number(float(v), 4) for v in deltas.values] + places


def event_rows(alt: str, gene: Gene, consequence: Consequence) -> list[str]:
    """The rows of SAMVAR_EVENT of an allele and a transcript: one for each event, or that there is
    none."""
    return [packed([alt, gene.symbol, *values]) for values in event_values(consequence)]


def event_values(consequence: Consequence) -> list[list[str]]:
    """The columns from TRANSCRIPT on, of each event or of none."""
    name = consequence.transcript.id
    nothing = [name, Kind.NONE.value, *[""] * 7, _number(consequence.strongest, 4), ""]
    return [[name, *_event_values(outcome)] for outcome in consequence.outcomes] or [nothing]


def hap_row(
    alt: str, partners: Sequence[str], copies: int, sample: str, effect: GeneEffect, pos: int
) -> str:
    """One row of SAMVAR_HAP. `pos` is the record's POS, 1-based; the event is that of the first
    transcript."""
    events = [event_values(c)[0] for c in effect.consequences[:1]]
    (event,) = events or [[""] * len(EVENT_COLUMNS)]
    about = [alt, effect.gene.symbol, PARTNER.join(partners), str(copies), sample]
    return packed(about + _delta_values(effect.deltas, pos) + event)


def _event_values(outcome: Outcome) -> list[str]:
    event, message = outcome.event, outcome.message
    said = message.decay or message.why
    return [
        event.kind.value,
        numbers(event),
        place(*outcome.first),
        place(*outcome.last),
        str(event.size),
        message.frame.value if message.frame else "",
        str(message.stop or ""),
        said.value if said else "",
        _number(event.strength, 4),
        outcome.rna,
    ]


def numbers(event: Event) -> str:
    """The exon or exons of an event, or its intron."""
    first, last = event.exons
    if event.in_intron:
        return f"intron{first}"
    return str(first) if first == last else f"{first}-{last}"


def packed(values: list[str]) -> str:
    """Columns -> one row of an INFO field."""
    return "|".join(map(escape, values))


def hgvs_row(alt: str, gene: Gene, transcript: Transcript, name: str) -> str:
    """One row of SAMVAR_HGVS. `name`: as genomics.hgvs.hgvs_c writes it."""
    return packed([alt, gene.symbol, transcript.id, name.rpartition(":")[2]])


def spliceai_row(alt: str, gene: Gene, deltas: Deltas, pos: int) -> str:
    """One row in SpliceAI's layout: two decimals, and no more than the anchor of a position within
    an insertion."""
    places = [str(p.position + 1 - pos) for p in deltas.places]
    return packed([alt, gene.symbol, *(_number(float(v), 2) for v in deltas.values), *places])


def tsv_rows(
    record: Record, alt: str, status: Status, scores: list[tuple[list[str], list[list[str]]]]
) -> str:
    """Lines of the flat table: of each gene (a row of SAMVAR, and those of SAMVAR_EVENT) one for
    each event, or for there being none; without genes one with the status alone."""
    record_id = record.line.split(b"\t", 3)[2].decode(errors="replace")
    start = [record.contig, str(record.pos), record_id, record.ref, alt, status.name]
    untold = [""] * len(EVENT_COLUMNS)
    rows = [start + score[1:] + event for score, events in scores for event in events or [untold]]
    rows = rows or [start + [""] * (len(TSV_COLUMNS) - len(start))]
    return "".join("\t".join(_CONTROL.sub(" ", c) or "." for c in row) + "\n" for row in rows)


def binding_value(change: float | None) -> str:
    """What BIND says; . for nothing."""
    return _number(change, 3)


def peak_value(cell_lines: Sequence[str] | None) -> str:
    """What PEAK says; . for nothing."""
    return "." if cell_lines is None else "+".join(cell_lines) or "no"


def rbp_row(alt: str, gene: Gene, delta: int, part: Part, more: Sequence[str] = ()) -> str:
    """One row of SAMVAR_RBP. `delta`: index into deltas.NAMES; `more`: of second opinions."""
    return packed(
        [
            alt,
            gene.symbol,
            part.rbp,
            part.event,
            place(part.position, part.offset),
            part.site,
            _number(part.change, 3),
            _number(part.effect, 4),
            NAMES[delta],
            *more,
        ]
    )


def max_value(largest: float | None) -> str:
    """SAMVAR_MAX of one ALT, None where it has no score."""
    return _number(largest, 4)


def entries(maxima: list[str], statuses: list[Status], rows: dict[Field, list[str]]) -> list[str]:
    """The INFO entries of one record."""
    out = [f"{MAX.key}={','.join(maxima)}", f"{STATUS.key}={','.join(s.name for s in statuses)}"]
    return out + [f"{field.key}={','.join(r)}" for field, r in rows.items() if r]


def evidence_lines(evidence: Evidence | None) -> list[str]:
    """Header lines that tell how sure a score is: a range's likelihood ratio of an effect on
    splicing, with its interval and the level that this reaches."""
    lines = []
    for (measure, group), own in evidence.ranges.items() if evidence else ():
        ranges = [
            f"{r.low:g}-{r.high:g} {r.ratio:.2g} ({r.lower:.2g}-{r.upper:.2g}) {own.level(r)}"
            if r.measured
            else f"{r.low:g}-{r.high:g} no variants were measured"
            for r in own.ranges
        ]
        told = "; ".join(text.rstrip() for text in ranges)
        note = "" if any(map(own.level, own.ranges)) else "no level of evidence is reached"
        genes = f"GenesWith={own.genes_changing},GenesWithout={own.genes_others}"
        lines.append(
            f"##samvar_evidence=<ID={measure.value}_{group.name},{genes},"
            f'LikelihoodRatios="{told}",Note="{note if own.enough else own.too_few}">'
        )
    return lines
