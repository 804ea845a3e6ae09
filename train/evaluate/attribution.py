#!/usr/bin/env python3
"""Do the parts of a delta sum to it, and do they say what knocking the sites out says?

    python train/evaluate/attribution.py DATA --json OUT [--model default] [--least 0.1]

Over the measured variants in reach (dev halves; no label is looked at), every delta of at least
--least: completeness of the parts as `samvar explain` finds them and as `samvar annotate` does;
and, of the single sites, correlation and agreement in sign of the effect with the
knock-out, and how often the strongest part is the strongest knock-out.
"""

from __future__ import annotations

import argparse
import json
import os

import numpy as np
from common import allele_of, in_reach, save
from tqdm import tqdm

from samvar.annotate import Options, examine, windows
from samvar.formats.annotation import load_annotation
from samvar.genomics.genome import Genome
from samvar.genomics.variant import Variant
from samvar.model.bundle import load_bundle
from samvar.scoring import attribution, deltas
from samvar.scoring.attribution import Attribution, PartKind
from samvar.scoring.predictor import Predictor

SETS = {
    "MFASS": ("mfass.hg19.tsv.gz", "hg19.fa.gz", "canonical.hg19.tsv.gz"),
    "CI-SpliceAI functional": (
        "cispliceai_functional.hg38.tsv.gz",
        "hg38.fa.gz",
        "refseq.hg38.bed12+gene.gz",
    ),
}
SHOWS = 0.0005  # effects below are left out of the comparison with knock-outs


def attributed(predictor: Predictor, window, least: float) -> list[tuple[Attribution, Attribution]]:
    """(as explain, as annotate) of each delta."""
    scored = predictor.score(window)
    found = deltas.compute(window, scored.ref, scored.alt)
    fine = attribution.attribute(predictor, scored, found, least, knockouts=True)
    rough = attribution.attribute(predictor, scored, found, least, attribution.ROUGHLY)
    return list(zip(fine, rough))


def completeness(causes: list[Attribution]) -> dict:
    residual = np.abs([c.residual for c in causes])
    relative = residual / [c.value for c in causes]
    return dict(
        largest=float(residual.max()),
        percentile_99=float(np.percentile(residual, 99)),
        share_above_0_001=float((residual > attribution.COMPLETE).mean()),
        largest_share_of_delta=float(relative.max()),
    )


def against_knockouts(causes: list[Attribution]) -> dict:
    """Of parts that are single sites with an effect or knock-out of at least `SHOWS`."""
    several = [c for c in causes if len(c.parts) > 1]
    parts = [
        p
        for c in several
        for p in c.parts
        if p.kind is not PartKind.SPACING and max(abs(p.effect), abs(p.knockout)) >= SHOWS
    ]
    x, y = np.array([(p.effect, p.knockout) for p in parts]).T
    ranks = [np.argsort(np.argsort(v)) for v in (x, y)]

    def strongest(c: Attribution, key):
        return max(
            (p for p in c.parts if p.kind is not PartKind.SPACING), key=lambda p: abs(key(p))
        )

    same = [strongest(c, lambda p: p.effect) is strongest(c, lambda p: p.knockout) for c in several]
    return dict(
        deltas=len(several),
        sites=len(parts),
        pearson=float(np.corrcoef(x, y)[0, 1]),
        spearman=float(np.corrcoef(*ranks)[0, 1]),
        same_sign=float((np.sign(x) == np.sign(y)).mean()),
        strongest_is_strongest_knockout=float(np.mean(same)),
    )


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("data")
    parser.add_argument("--json", required=True)
    parser.add_argument("--model", default="default")
    parser.add_argument("--least", type=float, default=Options.rbp_min)
    args = parser.parse_args()
    bundle = load_bundle(args.model)
    predictor = Predictor(bundle, threads=os.cpu_count() or 1)
    pairs = []
    for name, (table, fasta, annotation) in SETS.items():
        genome = Genome(os.path.join(args.data, "genome", fasta))
        genes = load_annotation(os.path.join(args.data, "annotation", annotation))
        shown = []
        for row in in_reach(os.path.join(args.data, "variants", table)):
            change = examine(genome, genes, allele_of(row), Options())
            if isinstance(change, Variant):
                shown += windows(genome, genes, predictor, change, Options())
        results = predictor.map(lambda w: attributed(predictor, w, args.least), shown)
        pairs += [p for found in tqdm(results, name, len(shown), disable=None) for p in found]
    fine, rough = (list(side) for side in zip(*pairs))
    rbps = [c._replace(parts=[p for p in c.parts if p.kind is PartKind.MOTIF]) for c in fine]
    result = dict(
        bundle=bundle.name,
        sha256=bundle.sha256,
        least=args.least,
        deltas=len(fine),
        explain=completeness(fine),
        annotate=completeness(rough),
        knockouts=against_knockouts(fine),
        knockouts_rbp_alone=against_knockouts(rbps),
    )
    save(args.json, result)
    print(json.dumps(result, indent=1))


if __name__ == "__main__":
    main()
