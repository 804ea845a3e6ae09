"""What the scripts of this folder share: sets of measured variants with their scores, areas under
curves, calibration, JSON."""

from __future__ import annotations

import csv
import gzip
import json
import os
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from samvar.annotate import Allele, Change, Options, examine, status_of, windows
from samvar.errors import SamvarError
from samvar.formats.annotation import load_annotation
from samvar.genomics.genes import Annotation, Gene
from samvar.genomics.genome import Genome
from samvar.genomics.variant import Status, Variant
from samvar.model.sam import ACCEPTOR, DONOR
from samvar.scoring import deltas
from samvar.scoring.calibrated import calibrated
from samvar.scoring.deltas import Deltas
from samvar.scoring.groups import group_of, in_exon, offsets
from samvar.scoring.predictor import Predictor, ScoredWindow
from samvar.training.areas import auprc, auroc  # noqa: F401  # the scripts take them from here
from samvar.training.evaluate import Scores

HELD_OUT = ("chr1", "chr3", "chr5", "chr7")
PATHOGENIC, BENIGN = {"Pathogenic", "Likely_pathogenic"}, {"Benign", "Likely_benign"}
MIN_OF_EACH = 5  # positives and negatives that a subset needs for an area
TEMPERATURES = np.geomspace(0.2, 2.0, 101)
BINS = np.array([0, 0.001, 0.01, 0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0])


@dataclass(frozen=True)
class Set:
    """A table of measured variants, below DATA."""

    title: str
    table: str
    fasta: str
    annotation: str
    label: Callable[[dict[str, str]], bool | None]  # None: the row is not used
    cluster: Callable[[dict[str, str], list[Gene]], object]
    canonical: bool = False  # only intronic SNVs 3 to 50 bases from a site of the annotation


def clinical_significance(row: dict[str, str]) -> bool | None:
    """True (likely) pathogenic, False (likely) benign, None anything else or conflicting."""
    said = set(row["clinsig"].split("|")) - {"not_provided"}
    if not said or row["conflicted"] == "1" or not (said <= PATHOGENIC or said <= BENIGN):
        return None
    return said <= PATHOGENIC


SETS = (
    Set(
        "MFASS <= -0.5",
        "variants/mfass.hg19.tsv.gz",
        "genome/hg19.fa.gz",
        "annotation/canonical.hg19.tsv.gz",
        lambda row: float(row["col10_delta"]) <= -0.5,
        lambda row, _: (row["chrom"], row["exon_start1"], row["exon_end1"]),
    ),
    Set(
        "CI-SpliceAI functional",
        "variants/cispliceai_functional.hg38.tsv.gz",
        "genome/hg38.fa.gz",
        "annotation/refseq.hg38.bed12+gene.gz",
        lambda row: row["SpliceAffecting"] == "1",
        lambda row, _: row["ID"].split(":")[0].split(".")[0],
    ),
    Set(
        "ClinVar intronic 3-50",
        "variants/clinvar_201609.hg19.tsv.gz",
        "genome/hg19.fa.gz",
        "annotation/canonical.hg19.tsv.gz",
        clinical_significance,
        lambda _, genes: "+".join(sorted(g.symbol for g in genes)),
        canonical=True,
    ),
)


@dataclass(frozen=True, eq=False)
class Measured:
    """A variant with its label and what samvar says of it in each gene."""

    row: dict[str, str]
    label: bool
    cluster: object
    kind: str
    status: Status
    scores: list[ScoredWindow]
    deltas: list[Deltas]

    @property
    def max(self) -> float | None:
        return max((float(d.values.max()) for d in self.deltas), default=None)

    @property
    def symbols(self) -> set[str]:
        return {s.window.gene.symbol for s in self.scores}

    @property
    def masked(self) -> float:
        """SAMVAR_MAX under --mask."""
        return max(
            float(deltas.compute(s.window, s.ref, s.alt, mask=True).values.max())
            for s in self.scores
        )


def in_reach(table: str) -> list[dict[str, str]]:
    """Rows whose reference sequence is there."""
    with gzip.open(table, "rt") as handle:
        return [r for r in csv.DictReader(handle, delimiter="\t") if r["ref_status"] == "match"]


def in_words(main: Callable[[], None]) -> None:
    """Run a script: what is wrong with its inputs is told in one line on stderr, with exit 1."""
    try:
        main()
    except SamvarError as e:
        raise SystemExit(str(e)) from e


def save(path: str, result: dict) -> None:
    """Write the result of a script as JSON."""
    with open(path, "w") as f:
        json.dump(result, f, indent=1)
        f.write("\n")


def near_intronic(v: Variant, genes: list[Gene]) -> bool:
    """An intronic SNV 3 to 50 bases from a site."""
    if len(v.ref) != 1 or len(v.alt) != 1 or in_exon(v.start, genes):
        return False
    # intronic bases lie before an acceptor (first exonic base) and after a donor (last exonic base)
    distances = [(-a, d) for g in genes for a, d in [map(_nearest, offsets(g, v.start))]]
    return any(3 <= x <= 50 for pair in distances for x in pair)


def _nearest(found: list[int]) -> float:
    return min(found, key=abs, default=np.inf)


def measure(data: str, chosen: Set, predictor: Predictor) -> list[Measured]:
    """The rows of a set with their scores, in the order of the table."""
    genome = Genome(os.path.join(data, chosen.fasta))
    annotation = load_annotation(os.path.join(data, chosen.annotation))
    options, rows = Options(), []
    for row in in_reach(os.path.join(data, chosen.table)):
        label = chosen.label(row)
        change = examine(genome, annotation, allele_of(row), options)
        genes = _genes(annotation, change)
        if label is None or (chosen.canonical and not (genes and near_intronic(change, genes))):
            continue
        kind = group_of(change, genes).value if genes else "none"
        shown = windows(genome, annotation, predictor, change, options) if genes else []
        rows.append(((row, label, chosen.cluster(row, genes), kind), change, shown))
    scores = predictor.map(lambda r: [predictor.score(w) for w in r[-1]], rows)
    return [
        Measured(
            *about,
            change if isinstance(change, Status) else status_of(found),
            found,
            [deltas.compute(s.window, s.ref, s.alt) for s in found],
        )
        for (about, change, _), found in zip(rows, scores)
    ]


def allele_of(row: dict[str, str]) -> Allele:
    """The variant of a table's row."""
    return Allele(row["chrom"], int(row["pos"]), row["ref"], row["alt"])


def _genes(annotation: Annotation, change: Change) -> list[Gene]:
    if not isinstance(change, Variant):
        return []
    return annotation.overlapping(change.contig, *change.span)


def bootstrap(
    measure, label: np.ndarray, value: np.ndarray, cluster: list, resamples: int = 1000
) -> list[float]:
    """[value, lower, upper]: clusters are drawn, with all their rows."""
    groups: dict = {}
    for i, c in enumerate(cluster):
        groups.setdefault(c, []).append(i)
    members = [np.array(g) for g in groups.values()]
    rng = np.random.default_rng(0)
    found = []
    for _ in range(resamples):
        i = np.concatenate([members[j] for j in rng.integers(len(members), size=len(members))])
        if 0 < label[i].sum() < len(i):
            found.append(measure(label[i], value[i]))
    return [measure(label, value), *map(float, np.percentile(found, [2.5, 97.5]))]


def calibration(scores: Scores) -> dict:
    """Temperature with the smallest negative log-likelihood per base, and the reliability of the
    probabilities as they are and at that temperature: in bins of the predicted probability (both
    site types together), their mean and the share of true sites."""
    p = np.exp(scores.model.astype(np.float64))
    log_p = np.log(np.clip(np.vstack([1 - p.sum(0), p]), 1e-12, 1))
    own = log_p[scores.labels, np.arange(len(scores.labels))]

    def loss(t: float) -> float:
        return float((np.logaddexp.reduce(log_p / t) - own / t).mean())

    losses = [loss(t) for t in TEMPERATURES]
    best = float(TEMPERATURES[int(np.argmin(losses))])
    return dict(
        temperature=best,
        nats_per_base=loss(1.0),
        nats_per_base_at_temperature=min(losses),
        reliability=reliability(p, scores.labels),
        reliability_at_temperature=reliability(calibrated(p, best), scores.labels),
    )


def reliability(p: np.ndarray, labels: np.ndarray) -> list[dict]:
    """Of probabilities (2, B) of acceptor and donor, by bin."""
    predicted, true = p.ravel(), np.concatenate([labels == ACCEPTOR, labels == DONOR])
    which = np.clip(np.searchsorted(BINS, predicted, "right") - 1, 0, len(BINS) - 2)
    return [
        dict(
            low=float(BINS[i]),
            high=float(BINS[i + 1]),
            n=int((which == i).sum()),
            predicted=float(predicted[which == i].mean()),
            observed=float(true[which == i].mean()),
        )
        for i in np.unique(which)
    ]
