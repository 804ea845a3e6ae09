#!/usr/bin/env python3
"""What `--transcript-extent` changes: scores with each gene's chosen transcript alone against the
union of all.

    python train/evaluate/extent.py DATA --json OUT [--model default] [--records 8000]

The first records of the 1000 Genomes chr20 file with RefSeq's genes; SAMVAR_MAX of the alleles that
both ways score.
"""

from __future__ import annotations

import argparse
import json
import os
from itertools import islice

import numpy as np
from common import save

from samvar.annotate import Options, alleles_of, score
from samvar.formats.annotation import load_annotation
from samvar.formats.vcf import VcfReader
from samvar.formats.vcf.record import Record
from samvar.genomics.genes import Annotation
from samvar.genomics.genome import Genome
from samvar.genomics.variant import SCORED
from samvar.model.bundle import load_bundle
from samvar.scoring.effects import ScoredAllele
from samvar.scoring.predictor import Predictor


def scored(
    genome: Genome,
    genes: Annotation,
    predictor: Predictor,
    records: list[Record],
    transcript_extent: bool,
) -> list[ScoredAllele]:
    options = Options(rbp_min=2.0, transcript_extent=transcript_extent)
    alleles = [a for r in records for a in alleles_of(r)]
    return list(score(genome, genes, predictor, alleles, options))


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("data")
    parser.add_argument("--json", required=True)
    parser.add_argument("--model", default="default")
    parser.add_argument("--records", type=int, default=8000)
    args = parser.parse_args()
    data = lambda *p: os.path.join(args.data, *p)  # noqa: E731
    bundle = load_bundle(args.model)
    predictor = Predictor(bundle, threads=os.cpu_count() or 1)
    genome = Genome(data("genome", "hg19.fa.gz"))
    genes = load_annotation(data("annotation", "refseq.hg19.bed12+gene.gz"))
    with VcfReader(data("vcf", "1kgp3_chr20_1-2Mb.hg19.vcf.gz"), []) as reader:
        records = list(islice(reader, args.records))
    union, alone = (scored(genome, genes, predictor, records, extent) for extent in (False, True))
    pairs = np.array(
        [(u.max, a.max) for u, a in zip(union, alone) if {u.status, a.status} <= SCORED]
    )
    if not len(pairs):
        raise SystemExit("none of these records lies in a gene: take more --records")
    off = np.abs(pairs[:, 0] - pairs[:, 1])
    in_union = sum(u.status in SCORED for u in union)
    result = dict(
        bundle=bundle.name,
        sha256=bundle.sha256,
        records=len(records),
        scored_with_union=in_union,
        scored_both=len(pairs),
        share_equal=float((off < 5e-5).mean()),
        mean_difference=float(off.mean()),
        percentile_99=float(np.percentile(off, 99)),
        largest=float(off.max()),
        correlation=float(np.corrcoef(pairs.T)[0, 1]),
    )
    save(args.json, result)
    print(json.dumps(result, indent=1))


if __name__ == "__main__":
    main()
