#!/usr/bin/env python3
"""How sure is a score? Likelihood ratios of SAMVAR_MAX and PROB, written into a bundle.

    python train/evaluate/calibration.py DATA --model BUNDLE

Functionally tested clinical variants (CI-SpliceAI, dev half) that do or do not change splicing;
rows whose reference sequence is out of reach are left out. A range's likelihood ratio is how much
likelier a value in it is of a variant that changes splicing. SNVs in a core site, exonic, other
intronic SNVs and indels are apart. The ranges are the same for every bundle. They were joined once
after the numbers had been seen: finer ones (SAMVAR_MAX 0.02 and 0.05, PROB 0.05 and 0.5 as further
bounds) contradicted their neighbours. With those, of the core sites of `paper`, SAMVAR_MAX from
0.5 reached moderate (at least 4.36), PROB from 0.2 to 0.5 moderate and from 0.5 none, and below 0.1
a single range reached supporting against. The constants of the events were chosen on the same rows,
so that the ratios of PROB are too good.

Every gene counts as one, however many variants it has: more than four fifths of the rows are of
BRCA1 and BRCA2. The share of each outcome's variants in a range is the mean of the genes' own, with
half a gene more in each range, so that an empty one has a ratio. Intervals: 95 % bootstrap over
genes, with their variants of both outcomes. A level of Tavtigian's scale (2.08, 4.33, 18.7 and
their inverses) is reached where the whole interval is beyond it, and only where five genes have
variants of either outcome; otherwise the data cannot carry one.

PROB is the strength of the strongest event of the chosen transcript, listed or not, 0 where no site
changes by 0.05. The result, evidence.json of the bundle's folder, is read by `samvar explain` and
`samvar annotate` as long as the bundle has these models; the manifest is written again. Other kinds
of models in the file are kept.
"""

from __future__ import annotations

import argparse
import json
import os
from collections import defaultdict
from collections.abc import Iterable
from typing import NamedTuple

import numpy as np
from common import allele_of, in_reach

from samvar import files
from samvar.annotate import Options, score
from samvar.formats.annotation import load_annotation
from samvar.genomics.genome import Genome
from samvar.model.bundle import Bundle, load_bundle, write_manifest
from samvar.model.evidence import FILE, Evidence, Group, Measure, Range, Ranges, to_dict
from samvar.scoring.effects import ScoredAllele
from samvar.scoring.groups import group_of
from samvar.scoring.predictor import Predictor

TABLE = "variants/cispliceai_functional.hg38.tsv.gz"
BOUNDS = {
    Measure.MAX: (0.0, 0.1, 0.2, 0.5, 1.0),
    Measure.PROB: (0.0, 0.1, 0.2, 1.0),
}
RESAMPLES = 4000
HALF = 0.5  # genes that each range has more


class Tested(NamedTuple):
    """A variant that was tested."""

    gene: str
    group: Group
    changes: bool
    values: dict[Measure, float]


def tested(row: dict[str, str], allele: ScoredAllele) -> Tested | None:
    """What is said of a row; None where it has no score."""
    own = [e for e in allele.genes if e.gene.strand == row["strand"]]
    if not own or allele.max is None:
        return None
    effect = max(own, key=lambda e: e.largest)
    strongest = max((c.strongest for e in own for c in e.consequences), default=0.0)
    values = {Measure.MAX: allele.max, Measure.PROB: strongest}
    group = group_of(effect.window.variant, [e.gene for e in own])
    return Tested(effect.gene.symbol, group, row["SpliceAffecting"] == "1", values)


def ranges_of(variants: list[Tested], measure: Measure) -> Ranges:
    """Likelihood ratios of the ranges of a measure."""
    bounds = np.array(BOUNDS[measure])
    numbers: dict[str, np.ndarray] = defaultdict(lambda: np.zeros((2, len(bounds) - 1)))
    for v in variants:
        at = min(int(np.searchsorted(bounds, v.values[measure], "right")) - 1, len(bounds) - 2)
        numbers[v.gene][int(v.changes), at] += 1
    counts = np.array([numbers[gene] for gene in sorted(numbers)])  # gene, outcome, range
    totals = counts.sum(2, keepdims=True)
    shares = np.divide(counts, totals, out=np.zeros_like(counts), where=totals > 0)
    there = totals[..., 0] > 0  # gene, outcome
    point = ratios(shares, there)
    drawn = np.random.default_rng(0).integers(len(counts), size=(RESAMPLES, len(counts)))
    found = [ratios(shares[i], there[i]) for i in drawn if there[i].any(0).all()]
    lower, upper = np.percentile(found, [2.5, 97.5], axis=0)
    others, changing = counts.sum(0).astype(int)
    genes_others, genes_changing = there.sum(0)
    columns = zip(bounds, bounds[1:], point, lower, upper, changing, others)
    made = [
        Range(*(float(f"{x:.4g}") for x in column[:5]), *map(int, column[5:])) for column in columns
    ]
    return Ranges(tuple(made), int(genes_changing), int(genes_others))


def ratios(shares: np.ndarray, there: np.ndarray) -> np.ndarray:
    """Shares (genes, outcome, range) and which genes have an outcome (genes, outcome) -> likelihood
    ratio of each range."""
    genes = there.sum(0)[:, None]
    others, changing = (shares.sum(0) + HALF) / (genes + HALF * shares.shape[2])
    found: np.ndarray = changing / others
    return found


def evidence(variants: Iterable[Tested]) -> Evidence:
    """Of every measure and group that has variants of both outcomes."""
    groups: dict[Group, list[Tested]] = defaultdict(list)
    for v in variants:
        groups[v.group].append(v)
    both = {g: vs for g, vs in groups.items() if {v.changes for v in vs} == {True, False}}
    found = {(m, g): ranges_of(both[g], m) for m in Measure for g in Group if g in both}
    return Evidence(sum(map(len, groups.values())), found)


def measured(data: str, bundle: Bundle) -> list[Tested]:
    """The rows of the table that have a score."""
    genome = Genome(os.path.join(data, "genome", "hg38.fa.gz"))
    table = os.path.join(data, "annotation", "refseq.hg38.bed12+gene.gz")
    rows = in_reach(os.path.join(data, TABLE))
    with Predictor(bundle) as predictor:
        annotation, options = load_annotation(table, cache=True), Options(rbp_min=2.0)
        alleles = score(genome, annotation, predictor, map(allele_of, rows), options)
        return [t for row, allele in zip(rows, alleles) if (t := tested(row, allele))]


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("data", help="folder with genome/, annotation/ and variants/")
    parser.add_argument("--model", default="default")
    args = parser.parse_args()
    bundle = load_bundle(args.model)
    found = evidence(measured(args.data, bundle))
    path = os.path.join(bundle.folder, FILE)
    content = files.read_json(path) | {bundle.kind: to_dict(found, bundle.sha256)}
    files.write(path, json.dumps(content, indent=1) + "\n")
    write_manifest(bundle.folder)
    for (measure, group), own in found.ranges.items():
        print(measure.value, group.value, own.genes_changing, own.genes_others)
        for r in own.ranges:
            print("  ", *r, own.level(r))


if __name__ == "__main__":
    main()
