"""One variant or region in full: why each splice site changes, and the landscape of sites and motifs around it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np

from . import deltas as scoring
from . import motifs
from .annotate import Options, examine, score
from .bundle import Background
from .errors import SamvarError
from .genes import Annotation, Gene
from .genome import UNKNOWN, Genome, decode
from .info import place
from .knockout import KINDS, SEEN, EditableAllele, region_window
from .predict import Predictor
from .regions import Regions
from .variant import Status
from .vcf import Record, VcfReader
from .windows import Window

LONGEST_REGION = 2000  # bases that a landscape can show
MOVES = 1.5  # ratio of a site's probability with and without a motif site that counts as strong (the paper's 1.5, 2/3)
STIRS = 1.1  # ratio from which an influence is drawn at all
WHAT = dict(AG="acceptor gain", AL="acceptor loss", DG="donor gain", DL="donor loss")
FAMILIES = {  # of related proteins; others: the name up to its first digit
    "HNRNPA0": "HNRNPA", "HNRNPA1": "HNRNPA", "HNRNPA2B1": "HNRNPA", "HNRNPC": "HNRNPC", "HNRNPCL1": "HNRNPC",
    "RALY": "HNRNPC", "HNRNPD": "HNRNPD", "HNRNPDL": "HNRNPD", "HNRNPF": "HNRNPF/H", "HNRNPH2": "HNRNPF/H",
    "HNRNPK": "PCBP/HNRNPK", "PCBP1": "PCBP/HNRNPK", "PCBP2": "PCBP/HNRNPK", "PCBP4": "PCBP/HNRNPK",
    "FUBP1": "KHSRP/FUBP", "FUBP3": "KHSRP/FUBP", "KHSRP": "KHSRP/FUBP", "TRA2A": "SR", "EWSR1": "FET", "FUS": "FET",
    "TAF15": "FET", "RBM4": "RBM4", "RBM4B": "RBM4", "RBM15B": "RBM15", "BOLL": "DAZ", "DAZ3": "DAZ",
}


def family(rbp: str) -> str:
    """Name of the group of related proteins, whose motifs are alike."""
    if rbp in FAMILIES:
        return FAMILIES[rbp]
    if rbp.startswith("SRSF"):
        return "SR"
    return rbp if re.fullmatch(r"RBM\d+|ZNF\d+", rbp) else re.match(r"[A-Z]+?(?=\d|$)|.*", rbp).group()


@dataclass(frozen=True)
class Mark:
    """A motif site of the landscape: activation at a place (position 0-based; offset > 0 within an insertion)."""

    rbp: str
    position: int
    offset: int
    activation: float
    event: str  # gain, loss, stronger, weaker, unchanged


@dataclass(frozen=True)
class Influence:
    """Ratio of a site's probability as it is to that without one motif site; `mark` indexes Landscape.marks."""

    mark: int
    kind: int
    position: int
    offset: int
    ratio: float


@dataclass(frozen=True)
class Landscape:
    """One allele around the compared positions, columns in genome order.

    position, offset  (n,): 0-based genomic place of each column
    bases             of each column, of the transcript's strand
    probability       (2, n): acceptor, donor; mean of the seeds
    lssi              (2, n): their core scores, log-probability
    """

    position: np.ndarray
    offset: np.ndarray
    bases: str
    probability: np.ndarray
    lssi: np.ndarray
    marks: list[Mark]
    influences: list[Influence]

    def sites(self) -> Iterator[tuple[int, int]]:
        """(kind, column) of the predicted sites."""
        return ((int(k), int(c)) for k, c in np.argwhere(self.probability >= SEEN))


@dataclass(frozen=True)
class GeneView:
    """What there is to say of one gene: deltas and their causes are None for a region."""

    window: Window
    ref: Landscape
    alt: Landscape | None = None
    deltas: scoring.Deltas | None = None
    causes: list[motifs.Attribution] | None = None

    @property
    def gene(self) -> Gene:
        return self.window.gene


@dataclass(frozen=True)
class Explanation:
    """A variant (pos 1-based, ref, alt as given) or a region (ref, alt empty; [pos, end]) with a view of each gene."""

    contig: str
    pos: int
    end: int
    ref: str
    alt: str
    status: Status
    genes: list[GeneView]
    background: Background | None

    @property
    def title(self) -> str:
        return f"{self.contig}:{self.pos} {self.ref}>{self.alt}" if self.alt else f"{self.contig}:{self.pos}-{self.end}"


# --------------------------------------------------------------------------------------------------- what is asked for


def variants(text: str, vcf: str | None = None) -> list[tuple[str, int, str, str]]:
    """CHR:POS:REF:ALT, or with a VCF CHR:POS or an ID of it -> (contig, pos, ref, alt) of each ALT.

    Raises SamvarError when it is neither, or not there.
    """
    if found := re.fullmatch(r"(.+):(\d+):([^:]+):([^:]+)", text):
        return [(found[1], int(found[2]), found[3], alt) for alt in found[4].split(",")]
    if vcf is None:
        raise SamvarError(f"{text!r} is no variant CHR:POS:REF:ALT and no region CHR:START-END; "
                          "to look up CHR:POS or an ID, give its VCF: --vcf FILE")
    place = re.fullmatch(r"(.+):(\d+)", text)
    chosen = Regions([(place[1], int(place[2]) - 1, int(place[2]))], "pos") if place else None
    with VcfReader(vcf, [], regions=chosen, indexed=place is not None) as reader:
        found = [(r.contig, r.pos, r.ref, alt) for r in reader for alt in r.alts if place or text in _ids(r)]
    if not found:
        raise SamvarError(f"{vcf} has no record {text} with an ALT")
    return found


def _ids(record: Record) -> list[str]:
    return record.line.split(b"\t", 3)[2].decode(errors="replace").split(";")


def region(text: str) -> tuple[str, int, int] | None:
    """CHR:START-END, 1-based -> (contig, start, end), or None when it is no region."""
    found = re.fullmatch(r"(.+):(\d[\d,]*)-(\d[\d,]*)", text)
    if not found:
        return None
    start, end = (int(found[i].replace(",", "")) for i in (2, 3))
    if not 1 <= start <= end:
        raise SamvarError(f"region {text!r}: positions count from 1, and END is not before START")
    return found[1], start, end


def explain(genome: Genome, annotation: Annotation, predictor: Predictor, contig: str, pos: int, ref: str, alt: str,
            options: Options) -> Explanation:
    """Everything about one allele. `pos` is 1-based. Deltas of at least `options.rbp_min` are taken apart, and always
    the largest."""
    record = Record(b"", 0, contig, pos, ref, (alt,))
    allele = examine(genome, annotation, record, alt, options)
    score(genome, annotation, predictor, [allele], replace(options, rbp_min=np.inf))
    views = []
    for window, found in zip(allele.windows, allele.deltas):
        least = min(options.rbp_min, float(found.values.max()))
        causes = motifs.attribute(predictor, window, predictor.score(window), found, least, knockouts=True)
        sides = [EditableAllele.make(predictor, window, in_alt) for in_alt in (False, True)]
        ref_view, alt_view = (landscape(predictor, window, sides, found, in_alt) for in_alt in (False, True))
        views.append(GeneView(window, ref_view, alt_view, found, causes))
    return Explanation(contig, pos, pos + len(ref) - 1, ref, alt, allele.status, views, predictor.bundle.background)


def explain_region(genome: Genome, annotation: Annotation, predictor: Predictor, contig: str, start: int,
                   end: int) -> Explanation:
    """The landscape of [start, end], 1-based. Raises SamvarError when there is nothing to show."""
    name = genome.contig(contig)
    if name is None or not 1 <= start <= end <= genome.lengths[name]:
        raise SamvarError(f"{contig}:{start}-{end} is not in {genome.path}")
    if end - start >= LONGEST_REGION:
        raise SamvarError(f"{contig}:{start}-{end} is longer than the {LONGEST_REGION} bases that can be shown")
    codes = genome.codes(name, start - 1, end)
    genes = annotation.overlapping(name, start - 1, end)
    if not genes:
        raise SamvarError(f"no gene of {annotation.path} lies in {contig}:{start}-{end}")
    if (codes == UNKNOWN).all():
        raise SamvarError(f"{contig}:{start}-{end} is N throughout in {genome.path}")
    windows = [region_window(genome, gene, name, start - 1, end, predictor) for gene in genes]
    views = [GeneView(w, landscape(predictor, w, [EditableAllele.make(predictor, w)])) for w in windows]
    return Explanation(contig, start, end, "", "", Status.OK, views, predictor.bundle.background)


# ----------------------------------------------------------------------------------------------------------- landscape


def landscape(predictor: Predictor, window: Window, alleles: list[EditableAllele], found: scoring.Deltas | None = None,
              in_alt: bool = False) -> Landscape:
    """Sites, core scores and motif sites of one of the alleles (ref, and alt unless it is a region) at the compared
    positions, and which moves which."""
    own = alleles[in_alt]
    n = own.bottleneck.shape[1]
    position, offset = window.start + np.arange(n), np.zeros(n, int)
    partner = np.arange(n)  # column of the other allele
    if found:
        a = found.alignment
        mine, other = (a.alt, a.ref) if in_alt else (a.ref, a.alt)
        present = mine >= 0
        position, offset, partner = a.position[present], a.offset[present], other[present]
    marks, entries = [], []
    for channel, column in np.argwhere(own.bottleneck[2:] > 0).tolist():
        activation = float(own.bottleneck[2 + channel, column])
        event = "unchanged"
        if found:
            at = partner[column]
            before = float(alleles[not in_alt].bottleneck[2 + channel, at]) if at >= 0 else 0.0
            event = _event(before, activation) if in_alt else _event(activation, before)
        name = predictor.bundle.rbps[channel]
        marks.append(Mark(name, int(position[column]), int(offset[column]), activation, event))
        entries.append((2 + channel, column))
    probability = own.probability
    sites = np.argwhere(probability >= SEEN)
    influences = []
    for i, p in enumerate(own.without(entries)):
        for kind, column in sites.tolist():
            ratio = float(probability[kind, column] / max(p[kind, column], 1e-6))
            if max(ratio, 1 / ratio) >= STIRS:
                influences.append(Influence(i, kind, int(position[column]), int(offset[column]), ratio))
    haplotype = window.alt if in_alt else window.ref
    start = window.reach[0] + window.flank
    return Landscape(position, offset, decode(window.to_genome(haplotype[start : start + n])), probability,
                     own.bottleneck[:2], marks, influences)


def _event(before: float, after: float) -> str:
    if abs(after - before) <= motifs.SAME:
        return "unchanged"
    if before == 0 or after == 0:
        return "gain" if before == 0 else "loss"
    return "stronger" if after > before else "weaker"


# ------------------------------------------------------------------------------------------------------- JSON and text


def to_dict(e: Explanation) -> dict:
    """What --json writes; positions are 1-based, strings where they lie within an insertion (anchor+offset)."""
    return dict(contig=e.contig, pos=e.pos, ref=e.ref, alt=e.alt, end=e.end, status=e.status.name,
                genes=[_gene_dict(v, e.background) for v in e.genes])


def _gene_dict(view: GeneView, background: Background | None) -> dict:
    g = view.gene
    out = dict(symbol=g.symbol, gene_id=g.id, transcript=g.chosen.id, strand=g.strand)
    if view.deltas is not None:
        d = view.deltas
        where = [_number_place(d.alignment.position[c], d.alignment.offset[c]) for c in d.columns]
        out["deltas"] = {name: dict(value=float(v), pos=p) for name, v, p in zip(scoring.NAMES, d.values, where)}
        out["sd"] = d.sd
        out["attributed"] = [
            dict(delta=scoring.NAMES[c.delta], value=c.value, pos=where[c.delta], residual=c.residual,
                 parts=[_part_dict(p, c, background) for p in c.parts],
                 families=[dict(family=f, effect=x) for f, x in families(c)])
            for c in view.causes
        ]
    out["landscape"] = {name: _landscape_dict(side) for name, side in (("ref", view.ref), ("alt", view.alt)) if side}
    return out


def _number_place(position, offset) -> int | str:
    return place(int(position), int(offset)) if offset else int(position) + 1


def _part_dict(p: motifs.Part, cause: motifs.Attribution, background: Background | None) -> dict:
    return dict(kind=p.kind, rbp=p.rbp, family=family(p.rbp) if p.kind == "rbp" else None, event=p.event or None,
                pos=None if p.position is None else _number_place(p.position, p.offset), site=p.site or None,
                change=p.change, effect=p.effect, knockout=p.knockout, seeds_agree=p.agree == 1.0,
                percentile=percentile(p, cause, background))


def percentile(p: motifs.Part, cause: motifs.Attribution, background: Background | None) -> float | None:
    """Where the effect stands among those of random variants, None without such a scale or below its start."""
    return background.percentile(p.rbp, p.effect, cause.value) if background and p.position is not None else None


def _landscape_dict(side: Landscape) -> dict:
    sites = [dict(kind=KINDS[k], pos=_number_place(side.position[c], side.offset[c]),
                  probability=float(side.probability[k, c]), lssi=float(side.lssi[k, c])) for k, c in side.sites()]
    marks = [dict(rbp=m.rbp, pos=_number_place(m.position, m.offset), activation=m.activation, event=m.event)
             for m in side.marks]
    moves = [dict(rbp=side.marks[i.mark].rbp, motif=marks[i.mark]["pos"], kind=KINDS[i.kind],
                  pos=_number_place(i.position, i.offset), ratio=i.ratio) for i in side.influences]
    return dict(sites=sites, motifs=marks, influences=moves)


def families(cause: motifs.Attribution) -> list[tuple[str, float]]:
    """Effects summed over related proteins, strongest first."""
    total: dict[str, float] = {}
    for p in cause.parts:
        name = family(p.rbp) if p.kind == "rbp" else p.rbp
        total[name] = total.get(name, 0.0) + p.effect
    return sorted(total.items(), key=lambda item: -abs(item[1]))


def to_text(e: Explanation, check: bool = False, most: int = 12) -> str:
    """A report for a terminal. `check` adds the knock-out of each site."""
    lines = [e.title + (f"  {e.status.name}: {e.status.value}" if e.status != Status.OK else "")]
    for view in e.genes:
        g = view.gene
        lines += ["", f"{g.symbol} ({g.id}, {g.chosen.id}, {g.strand} strand)"]
        lines += _sites_text(view) if view.deltas is None else _causes_text(view, e.background, check, most)
    return "\n".join(lines) + "\n"


def _sites_text(view: GeneView) -> list[str]:
    lines = []
    for kind, column in view.ref.sites():
        at = view.ref.position[column]
        moved = [i for i in view.ref.influences if (i.kind, i.position) == (kind, at)]
        moved.sort(key=lambda i: -abs(np.log(i.ratio)))
        by = ", ".join(f"{view.ref.marks[i.mark].rbp} at {view.ref.marks[i.mark].position + 1} x{i.ratio:.2g}"
                       for i in moved[:5])
        lines.append(f"  {KINDS[kind]:8} {at + 1}  p {view.ref.probability[kind, column]:.3f}  core score "
                     f"{view.ref.lssi[kind, column]:.1f}" + (f"  moved by {by}" if by else ""))
    return lines or [f"  no position has a probability of {SEEN} or more"]


def _causes_text(view: GeneView, background: Background | None, check: bool, most: int) -> list[str]:
    d = view.deltas
    lines = ["  " + ", ".join(f"{WHAT[n]} {v:.4f} at {place(int(d.alignment.position[c]), int(d.alignment.offset[c]))}"
                              for n, v, c in zip(scoring.NAMES, d.values, d.columns))]
    for c in view.causes:
        lines.append(f"  Why {WHAT[scoring.NAMES[c.delta]]} {c.value:.4f}:")
        titles = ["effect", "site of", "event", "position", "sequence", "change"]
        titles += ["percentile"] * bool(background) + ["knock-out"] * check
        rows = [titles] + [_row(p, c, background, check) for p in c.rows(most)]
        widths = [max(len(r[i]) for r in rows) for i in range(len(titles))]
        lines += ["    " + "  ".join(t.ljust(w) for t, w in zip(r, widths)).rstrip() for r in rows]
        grouped = [f"{name} {x:+.3f}" for name, x in families(c)[:5] if abs(x) >= 0.0005]
        lines.append("    by family: " + ", ".join(grouped))
    return lines or ["  no change"]


def _row(p: motifs.Part, cause: motifs.Attribution, background: Background | None, check: bool) -> list[str]:
    """Cells of one part; a sign on which the seeds disagree is marked with ?."""
    number = lambda x, digits: "" if x is None else f"{x:+.{digits}f}"  # noqa: E731
    cells = [number(p.effect, 4) + "?" * (p.agree < 1), p.rbp, p.event, place(p.position, p.offset), p.site,
             number(p.change, 2)]
    share = percentile(p, cause, background)
    return cells + ["" if share is None else f"{share:.1f}"] * bool(background) + [number(p.knockout, 4)] * check


