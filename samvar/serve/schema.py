"""What the API answers, as its description at /docs has it. What `samvar explain --json` writes is
described here alone; the tests compare answers with it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from ..genomics.variant import Status
from ..scoring.attribution import PartKind
from ..scoring.consequence import Kind
from ..scoring.deltas import NAMES
from ..scoring.message import Decay, Frame, NoFrame
from ..views.about import About as Origin
from .lookup import Bounds as OwnBounds


def _one_of(values: Iterable[str]) -> Any:
    return Field(json_schema_extra=dict(enum=list(values)))


Place = Annotated[
    int | str,
    Field(description="On the genome, from 1; anchor+offset within an insertion."),
]
Site = Literal["acceptor", "donor"]
DeltaName = Annotated[str, _one_of(NAMES)]
StatusName = Annotated[str, _one_of(s.name for s in Status)]
EventOfSite = Annotated[
    str,
    Field(
        description="What the variant does to the site: gain, loss, stronger, weaker, unchanged; "
        "site_deleted or site_inserted where the splice site's own base is."
    ),
]


class Model(BaseModel):
    """Descriptions of fields stand below them."""

    model_config = ConfigDict(use_attribute_docstrings=True)


# ----------------------------------------------------------------------------------------- a gene


class Delta(Model):
    """A gain or loss."""

    value: float
    """Change of the site's probability, 0 to 1."""
    pos: Place


class Deltas(Model):
    """Acceptor gain and loss, donor gain and loss."""

    AG: Delta
    AL: Delta
    DG: Delta
    DL: Delta


class OtherVerdict(Model):
    """The verdict of a further transcript."""

    transcript: str
    verdict: str


class Evidence(Model):
    """How sure a value is: measured variants of the same group whose value lies in the same
    range."""

    measure: str
    """SAMVAR_MAX, the largest delta, or PROB, the strength of the strongest event."""
    group: str
    value: float
    low: float
    """The range begins here."""
    high: float
    """The range ends here."""
    ratio: float | None
    """Likelihood ratio of an effect on splicing; null where no variants were measured."""
    lower: float | None
    """Lower end of its interval."""
    upper: float | None
    """Upper end of its interval."""
    changing: int
    """Measured variants with an effect on splicing."""
    others: int
    """Measured variants without one."""
    level: str | None
    """Level of evidence that the whole interval reaches; null for none."""


class EventSite(Model):
    """A splice site of an event."""

    kind: Site
    exon: int | None
    """Whose annotated end it is; null for none."""
    pos: Place
    ref: float
    """Probability in REF."""
    alt: float
    """Probability in ALT."""


class Event(Model):
    """What happens to a transcript."""

    transcript: str
    event: Kind
    exon: str
    """Its number, first-last of several, or intronN."""
    start: Place
    end: Place
    size: int
    """Bases."""
    frame: Frame | None
    stop: int | None
    """Codon of a stop that is not the annotated one."""
    nmd: Decay | None
    no_frame: NoFrame | None
    """Why there is no frame."""
    strength: float
    """0 to 1; no probability of the event."""
    rna: str | None
    """Predicted RNA, as HGVS writes it."""
    sites: list[EventSite]


class Part(Model):
    """What one changed site contributes to a delta."""

    kind: PartKind
    """rbp: a motif site; lssi: a core site; spacing: of sites; rest: all that is left."""
    rbp: str
    """Of a motif site the protein or learnt motif, of a core site LSSI_A or LSSI_D."""
    family: str | None
    event: EventOfSite | None
    pos: Place | None
    site: str | None
    """11 bases in the transcript's direction, of the allele that has more of the site."""
    change: float | None
    """Of its activation, ALT less REF."""
    effect: float
    """Share of the delta; positive where it increases the delta, of a loss, too."""
    knockout: float | None
    """What the delta loses when this site alone is put back; null unless asked for."""
    seeds_agree: bool
    """Whether all seeds of the model give the effect this sign."""
    percentile: float | None
    """Of real variants whose strongest site of this protein does less; null if not counted."""


class Family(Model):
    """Related proteins, whose motifs are alike."""

    family: str
    effect: float


class Attributed(Model):
    """A delta taken apart: effects and residual sum to its value."""

    delta: DeltaName
    value: float
    pos: Place
    residual: float
    parts: list[Part]
    families: list[Family]


class SpliceSite(Model):
    """A predicted splice site."""

    kind: Site
    pos: Place
    probability: float
    lssi: float
    """Its core score, a log-probability."""


class Motif(Model):
    """A motif site."""

    rbp: str
    pos: Place
    activation: float
    event: EventOfSite


class Influence(Model):
    """What a motif site of a region does to a splice site."""

    rbp: str
    motif: Place
    """Where the motif site lies."""
    kind: Site
    pos: Place
    ratio: float
    """Of the splice site's probability to that without the motif site."""
    effect: float
    """Their difference."""


class Landscape(Model):
    """Splice sites and motif sites of one allele around the variant."""

    sites: list[SpliceSite]
    motifs: list[Motif]
    influences: list[Influence] | None = None
    """Of a region alone."""


class Landscapes(Model):
    ref: Landscape
    alt: Landscape | None = None
    """Absent in a region."""


class Side(Model):
    """Of one allele, a value for each position; null where it has no such base."""

    acceptor: list[float | None]
    donor: list[float | None]


class Probabilities(Model):
    """What the model says of every compared position."""

    pos: list[Place]
    ref: Side
    alt: Side | None = None
    """Absent in a region."""


class Gene(Model):
    """What there is to say of one gene. A region has no deltas, nor what follows from them."""

    symbol: str
    gene_id: str
    transcript: str
    strand: Literal["+", "-"]
    hgvsc: str | None
    deltas: Deltas | None = None
    sd: float | None = None
    """Standard deviation of the largest delta over the model's seeds."""
    verdict: str | None = None
    """What is predicted, in words."""
    other_verdicts: list[OtherVerdict] | None = None
    evidence: list[Evidence] | None = None
    events: list[Event] | None = None
    attributed: list[Attributed] | None = None
    """The causes of the deltas."""
    landscape: Landscapes
    probabilities: Probabilities


# --------------------------------------------------------------------------------------- an answer


class Allele(Model):
    contig: str
    pos: int
    ref: str
    alt: str


class Nearest(Model):
    rbp: str
    auroc: float
    """How well the protein's affinities tell the motif's sites from any sequence; 1 is perfect."""


class Bound(Model):
    """A protein that binds a learnt motif's sites in cells."""

    protein: str
    sites: int
    enrichment: float
    """How many times as many as are expected."""
    lower: float
    """Lower end of the 95 % interval."""
    upper: float
    """Upper end of the 95 % interval."""


class LearntMotif(Model):
    consensus: str
    nearest: list[Nearest]
    bound_in_cells: list[Bound]


class Explanation(Model):
    """A variant or region, as `samvar explain --json` writes it."""

    title: str
    remark: str
    """Why there is no score, in words, or what else its status says."""
    contig: str
    pos: int
    """First base, from 1."""
    ref: str
    """Empty of a region."""
    alt: str
    """Empty of a region."""
    end: int
    """Last base."""
    in_cis: list[Allele]
    status: StatusName
    model: str
    motif_notes: dict[str, str]
    """What is known of the motifs among the causes, by name."""
    genes: list[Gene]
    learnt_motifs: dict[str, LearntMotif]
    """The learnt motifs among the causes, by name."""


class Asked(Model):
    asked: str
    """The query, word for word, to be joined on."""
    query: str
    """The query without blanks around it, a variant as CHR:POS:REF:ALT."""


class Answer(Asked):
    notes: list[str]
    """What an HGVS name left open."""
    explanations: list[Explanation]
    """One for each ALT, or that of the region."""


class Error(Model):
    error: str
    """What is wrong, in words."""


class Line(Asked):
    """What is said of a line of a batch: `answer` or `error`."""

    line: int
    """Its number, from 1; empty lines count."""
    answer: Answer | None = None
    error: str | None = None


class ScanRow(Model):
    """An SNV in a gene; null for what there is not."""

    CHROM: str
    POS: int
    REF: str
    ALT: str
    STATUS: StatusName
    SYMBOL: str | None
    DS_AG: float | None
    """Acceptor gain: change of the probability, 0 to 1."""
    DS_AL: float | None
    """Acceptor loss."""
    DS_DG: float | None
    """Donor gain."""
    DS_DL: float | None
    """Donor loss."""
    DP_AG: int | None
    """Where that is, relative to POS."""
    DP_AL: int | None
    DP_DG: int | None
    DP_DL: int | None
    CAUSE_OF: DeltaName | None
    """The largest delta."""
    CAUSE: str | None
    """Its strongest cause: a protein or learnt motif, or LSSI_A, LSSI_D for a core site."""
    CAUSE_EVENT: EventOfSite | None
    CAUSE_POS: int | None
    CAUSE_EFFECT: float | None
    """Share of the delta; positive where it increases the delta."""


class Scan(Asked):
    """Every SNV of a region."""

    contig: str
    start: int
    """First base, from 1."""
    end: int
    """Last base."""
    rows: list[ScanRow]


# -------------------------------------------------------------------------------------- the origin


class Accuracy(Model):
    """Splice sites of genes that the model was not trained on."""

    found_percent: float
    """Of them are found."""
    found_without_motifs_percent: float
    """Of them are found where the motif sites are hidden."""


class Interval(Model):
    lower: float
    upper: float


class Trial(Model):
    """Variants that the model was tested on."""

    name: str
    variants: int
    with_effect: int
    auroc: float
    """Area under the ROC curve; 1 is perfect, 0.5 is chance."""
    auroc_interval: Interval
    """95 %."""


class Bounds(Model):
    """How much is answered."""

    characters: int
    """Of a query."""
    alts: int
    """Of a variant."""
    region: int
    """Bases of a region."""
    lines: int
    """Of a batch."""
    body: int
    """Bytes of a batch."""
    requests: int
    """That are worked on or wait."""


class About(Model):
    """What answers come from, and how far the model can be trusted."""

    version: str
    model: str
    seeds: list[int]
    """Of the trained models whose mean it is."""
    sha256: str
    """Of its weights."""
    reference: str
    annotation: str
    date: str
    """When the server was started."""
    limits: list[str]
    accuracy: Accuracy | None
    trials: list[Trial]
    names: list[str]
    """All that can be named as a cause: motifs and core sites."""
    bounds: Bounds

    @classmethod
    def of(cls, origin: Origin, bounds: OwnBounds) -> About:
        told = origin._asdict()
        if origin.accuracy:
            found, without = origin.accuracy
            told["accuracy"] = Accuracy(found_percent=found, found_without_motifs_percent=without)
        told["trials"] = [
            Trial(
                name=t.name,
                variants=t.n,
                with_effect=t.positive,
                auroc=t.auroc,
                auroc_interval=Interval(lower=t.interval[0], upper=t.interval[1]),
            )
            for t in origin.trials
        ]
        return cls(**told, bounds=Bounds(**bounds._asdict()))
