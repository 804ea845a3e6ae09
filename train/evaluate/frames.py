#!/usr/bin/env python3
"""How far must the LSTM see? Deltas of random SNVs against F, the bases it sees beyond the compared
positions.

    python train/evaluate/frames.py DATA --json OUT [--model default] [--variants 600]

SNVs in validation genes (chr1, chr3) of the canonical table, half of them within 50 bases of an
annotated splice site. For each F: |delta(F) - delta(5,000)|, over the four deltas of all variants,
and of those variants with a delta of 0.05 or more at 5,000 the relative difference of the largest.
"""

from __future__ import annotations

import argparse
import json
import os

import numpy as np
from common import save
from tqdm import tqdm

from samvar.formats.annotation import load_annotation
from samvar.genomics.genome import Genome
from samvar.genomics.variant import normalise
from samvar.genomics.window import make_window
from samvar.model.bundle import load_bundle
from samvar.scoring import deltas
from samvar.scoring.predictor import Predictor

FLANKS = (128, 256, 512, 1024, 2048, 5000)
VALIDATION = ("chr1", "chr3")
NEAR = 50
SEEN = 0.05


def random_snvs(genome: Genome, genes: list, n: int, rng: np.random.Generator):
    """(gene, variant): SNVs at known bases, every other one within NEAR bases of a splice site of
    its gene."""
    found = []
    while len(found) < n:
        gene = genes[rng.integers(len(genes))]
        sites = [p for kind in gene.sites() for p in kind]
        if len(found) % 2 and sites:
            position = sites[rng.integers(len(sites))] + int(rng.integers(-NEAR, NEAR + 1))
        else:
            position = int(rng.integers(gene.start, gene.end))
        code = int(genome.codes(gene.contig, position, position + 1)[0])
        if gene.start <= position < gene.end and code < 4:
            ref, alt = "ACGT"[code], "ACGT"[(code + rng.integers(1, 4)) % 4]
            found.append((gene, normalise(genome, gene.contig, position + 1, ref, alt)))
    return found


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("data")
    parser.add_argument("--json", required=True)
    parser.add_argument("--model", default="default")
    parser.add_argument("--variants", type=int, default=600)
    args = parser.parse_args()
    bundle = load_bundle(args.model)
    predictor = Predictor(bundle, threads=os.cpu_count() or 1)
    genome = Genome(os.path.join(args.data, "genome", "hg19.fa.gz"))
    genes = load_annotation(os.path.join(args.data, "annotation", "canonical.hg19.tsv.gz")).genes
    genes = [g for g in genes if g.contig in VALIDATION and genome.contig(g.contig)]
    chosen = random_snvs(genome, genes, args.variants, np.random.default_rng(0))

    def values(item) -> np.ndarray:  # (flanks, 4)
        gene, variant = item
        windows = [make_window(genome, gene, variant, NEAR, f, predictor.reach) for f in FLANKS]
        scored = [predictor.score(w) for w in windows]
        return np.array([deltas.compute(s.window, s.ref, s.alt).values for s in scored])

    all_values = np.array(
        list(tqdm(predictor.map(values, chosen), total=len(chosen), disable=None))
    )
    off = np.abs(all_values - all_values[:, -1:])
    largest = all_values.max(2)
    big = largest[:, -1] >= SEEN
    rows = {
        str(f): dict(
            mean=float(off[:, i].mean()),
            percentile_99=float(np.percentile(off[:, i], 99)),
            largest=float(off[:, i].max()),
            median_relative=float(np.median(np.abs(largest[big, i] / largest[big, -1] - 1))),
            correlation=float(np.corrcoef(largest[:, i], largest[:, -1])[0, 1]),
        )
        for i, f in enumerate(FLANKS[:-1])
    }
    result = dict(
        bundle=bundle.name,
        sha256=bundle.sha256,
        variants=len(chosen),
        with_a_delta=int(big.sum()),
        flanks=rows,
    )
    save(args.json, result)
    print(json.dumps(result, indent=1))


if __name__ == "__main__":
    main()
