#!/usr/bin/env python3
"""AUROC and AUPRC of samvar's scores on measured variants, which no training ever sees.

    python train/evaluate/variants.py DATA --bundle default --json OUT [--table OUT.tsv.gz]

Sets (dev halves): MFASS (change of exon inclusion <= -0.5), CI-SpliceAI functional (affects splicing), ClinVar intronic
(SNVs 3 to 50 bases from a canonical splice site, (likely) pathogenic against (likely) benign, no conflicts). Rows whose
reference sequence is out of reach are left out; rows that samvar cannot score are counted apart. Each set as a whole,
without BRCA1 and BRCA2, on validation and test chromosomes only, and by class: indels, SNVs within a core site (20
intronic and 3 exonic bases of an acceptor, 3 and 6 of a donor, of any transcript), other exonic and other intronic
SNVs. The score is SAMVAR_MAX, and for each set as a whole also that of --mask. Intervals: 95 % bootstrap over exons
(MFASS), transcripts (CI-SpliceAI) or genes (ClinVar), whose rows stay together. `--table`: every row with its class,
score and cluster. No training saw a variant, but most lie in genes of the train chromosomes.
"""

from __future__ import annotations

import argparse
import csv
import gzip
import json
import os
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from samvar import deltas
from samvar.annotate import Allele, Options, examine
from samvar.bundle import load_bundle
from samvar.gene_files import load_annotation
from samvar.genes import Annotation, Gene
from samvar.genome import Genome
from samvar.model import ACCEPTOR, DONOR, LSSI_SPAN
from samvar.predict import Predictor
from samvar.vcf import Record
from samvar.windows import make_window

HELD_OUT = ("chr1", "chr3", "chr5", "chr7")
PATHOGENIC, BENIGN = {"Pathogenic", "Likely_pathogenic"}, {"Benign", "Likely_benign"}
COLUMNS = ("set", "chrom", "pos", "ref", "alt", "class", "label", "SAMVAR_MAX", "cluster")
MIN_OF_EACH = 5  # positives and negatives that a subset needs for an area


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
    Set("MFASS <= -0.5", "variants/mfass.hg19.tsv.gz", "genome/hg19.fa.gz", "annotation/canonical.hg19.tsv.gz",
        lambda row: float(row["col10_delta"]) <= -0.5,
        lambda row, _: (row["chrom"], row["exon_start1"], row["exon_end1"])),
    Set("CI-SpliceAI functional", "variants/cispliceai_functional.hg38.tsv.gz", "genome/hg38.fa.gz",
        "annotation/refseq.hg38.bed12+gene.gz", lambda row: row["SpliceAffecting"] == "1",
        lambda row, _: row["ID"].split(":")[0].split(".")[0]),
    Set("ClinVar intronic 3-50", "variants/clinvar_201609.hg19.tsv.gz", "genome/hg19.fa.gz",
        "annotation/canonical.hg19.tsv.gz", clinical_significance,
        lambda _, genes: "+".join(sorted(g.symbol for g in genes)), canonical=True),
)


@dataclass
class Measured:
    """A variant with its label and what samvar says of it: (p_ref, p_alt) and the deltas in each gene."""

    row: dict[str, str]
    label: bool
    cluster: object
    allele: Allele
    kind: str
    scores: list[tuple[np.ndarray, np.ndarray]] = field(default_factory=list)

    @property
    def max(self) -> float | None:
        return max((float(d.values.max()) for d in self.allele.deltas), default=None)

    @property
    def masked(self) -> float:
        """SAMVAR_MAX under --mask."""
        return max(float(deltas.compute(w, *s, mask=True).values.max())
                   for w, s in zip(self.allele.windows, self.scores))


def in_reach(table: str) -> list[dict[str, str]]:
    """Rows whose reference sequence is there."""
    with gzip.open(table, "rt") as handle:
        return [r for r in csv.DictReader(handle, delimiter="\t") if r["ref_status"] == "match"]


def save(path: str, result: dict) -> None:
    """Write the result of a script as JSON."""
    with open(path, "w") as f:
        json.dump(result, f, indent=1)
        f.write("\n")


def offsets(gene: Gene, position: int) -> tuple[list[int], list[int]]:
    """Distances of a position (0-based) from the gene's acceptors and donors, positive downstream."""
    sign = 1 if gene.strand == "+" else -1
    return tuple([sign * (position - s) for s in sites] for sites in gene.sites())


def kind_of(allele: Allele, genes: list[Gene]) -> str:
    """indel, core site, exonic or intronic."""
    v = allele.variant
    if len(v.ref) != len(v.alt):
        return "indel"
    for gene in genes:
        for found, (left, right) in zip(offsets(gene, v.start), (LSSI_SPAN[ACCEPTOR], LSSI_SPAN[DONOR])):
            if any(-left <= d <= right for d in found):
                return "core site"
    return "exonic" if in_exon(v.start, genes) else "intronic"


def in_exon(position: int, genes: list[Gene]) -> bool:
    return any(start <= position < end for g in genes for t in g.transcripts for start, end in t.exons)


def near_intronic(allele: Allele, genes: list[Gene]) -> bool:
    """An intronic SNV 3 to 50 bases from a site."""
    v = allele.variant
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
    options, found = Options(), []
    for row in in_reach(os.path.join(data, chosen.table)):
        label = chosen.label(row)
        record = Record(b"", 0, row["chrom"], int(row["pos"]), row["ref"], (row["alt"],))
        allele = examine(genome, annotation, record, row["alt"], options)
        genes = _genes(annotation, allele)
        if label is None or (chosen.canonical and not (genes and near_intronic(allele, genes))):
            continue
        allele.windows = [make_window(genome, g, allele.variant, options.distance, predictor.bundle.flank,
                                      predictor.reach) for g in genes]
        kind = kind_of(allele, genes) if genes else "none"
        found.append(Measured(row, label, chosen.cluster(row, genes), allele, kind))
    for m, scores in zip(found, predictor.map(lambda m: [predictor.score(w) for w in m.allele.windows], found)):
        m.scores = scores
        m.allele.deltas = [deltas.compute(w, *s) for w, s in zip(m.allele.windows, scores)]
    return found


def _genes(annotation: Annotation, allele: Allele) -> list[Gene]:
    v = allele.variant
    return annotation.overlapping(v.contig, *v.span) if v and allele.status is None else []


def auroc(label: np.ndarray, value: np.ndarray) -> float:
    """Chance that a positive scores above a negative, ties one half."""
    order = np.sort(value)
    rank = (np.searchsorted(order, value, "left") + np.searchsorted(order, value, "right") + 1) / 2
    p, n = label.sum(), (~label).sum()
    return float((rank[label].sum() - p * (p + 1) / 2) / (p * n))


def auprc(label: np.ndarray, value: np.ndarray) -> float:
    """Average precision; rows of equal score enter together."""
    order = np.argsort(-value, kind="stable")
    hits = np.cumsum(label[order])
    last = np.append(np.diff(value[order]) != 0, True)
    precision, recall = hits[last] / (np.flatnonzero(last) + 1), hits[last] / label.sum()
    return float(np.sum(np.diff(recall, prepend=0) * precision))


def bootstrap(measure, label: np.ndarray, value: np.ndarray, cluster: list, resamples: int = 1000) -> list[float]:
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


def subsets(rows: list[Measured]) -> dict[str, list[Measured]]:
    """All rows, and the parts that are reported."""
    symbols = lambda m: {w.gene.symbol for w in m.allele.windows}  # noqa: E731
    parts = {
        "all": rows,
        "without BRCA1, BRCA2": [m for m in rows if not symbols(m) & {"BRCA1", "BRCA2"}],
        "validation and test chromosomes": [m for m in rows if m.row["chrom"] in HELD_OUT],
    }
    return parts | {k: [m for m in rows if m.kind == k] for k in ("core site", "exonic", "intronic", "indel")}


def areas(rows: list[Measured], value: np.ndarray, about: dict) -> dict[str, dict]:
    """Both areas of `value` (one a row) for every subset that has enough of both labels."""
    of = {id(m): v for m, v in zip(rows, value)}
    found = {}
    for part, some in subsets(rows).items():
        label = np.array([m.label for m in some], bool)
        if min(label.sum(), (~label).sum()) >= MIN_OF_EACH and (part == "all" or len(some) < len(rows)):
            v, cluster = np.array([of[id(m)] for m in some]), [m.cluster for m in some]
            found[part] = about | dict(n=len(some), positive=int(label.sum()), clusters=len(set(cluster)),
                                       auroc=bootstrap(auroc, label, v, cluster),
                                       auprc=bootstrap(auprc, label, v, cluster))
    return found


def _named(cluster: object) -> str:
    return ":".join(cluster) if isinstance(cluster, tuple) else str(cluster)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", help="folder with genome/, annotation/ and variants/")
    parser.add_argument("--bundle", default="default")
    parser.add_argument("--json", required=True)
    parser.add_argument("--table", help="TSV.gz of every row")
    args = parser.parse_args()
    bundle = load_bundle(args.bundle)
    about = dict(bundle=bundle.name, kind=bundle.kind, sha256=bundle.sha256, score="SAMVAR_MAX")
    result, lines = {}, []
    with Predictor(bundle, threads=os.cpu_count() or 1) as predictor:
        for chosen in SETS:
            rows = measure(args.data, chosen, predictor)
            scored = [m for m in rows if m.max is not None]
            counts = Counter(m.allele.status.name for m in rows if m.allele.status)
            value = np.array([m.max for m in scored])
            for part, numbers in areas(scored, value, about).items():
                extra = dict(not_scored=len(rows) - len(scored), statuses=counts) if part == "all" else {}
                result[f"{chosen.title}{'' if part == 'all' else ': ' + part}"] = numbers | extra
                print(chosen.title, part, numbers["n"], numbers["positive"], numbers["auroc"], numbers["auprc"])
            masked = areas(scored, np.array([m.masked for m in scored]), about | dict(score="SAMVAR_MAX, --mask"))
            result[f"{chosen.title}: --mask"] = masked["all"]
            print(chosen.title, "--mask", masked["all"]["auroc"], masked["all"]["auprc"])
            lines += [[chosen.title, *(m.row[k] for k in ("chrom", "pos", "ref", "alt")), m.kind, int(m.label),
                       "." if m.max is None else f"{m.max:.4f}", _named(m.cluster)] for m in rows]
    save(args.json, result)
    if args.table:
        with gzip.open(args.table, "wt") as f:
            for line in [[*COLUMNS], *lines]:
                f.write("\t".join(map(str, line)) + "\n")


if __name__ == "__main__":
    main()
