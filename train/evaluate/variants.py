#!/usr/bin/env python3
"""AUROC and AUPRC of samvar's scores on measured variants, which no training ever sees.

    python train/evaluate/variants.py mfass    mfass.hg19.tsv.gz -f hg19.fa.gz -a canonical.hg19.tsv.gz --json OUT
    python train/evaluate/variants.py clinical cispliceai_functional.hg38.tsv.gz -f hg38.fa.gz -a GENES --json OUT

Rows whose reference sequence is out of reach are left out. The score is SAMVAR_MAX; rows that samvar cannot score are
counted apart. Intervals: 95 % bootstrap over exons (mfass) or transcripts (clinical), whose rows stay together.
"""

from __future__ import annotations

import argparse
import csv
import gzip
import json
import os
import tempfile
from collections import Counter

import numpy as np

from samvar.annotate import Options, annotate
from samvar.bundle import load_bundle
from samvar.gene_files import load_annotation
from samvar.genome import Genome
from samvar.predict import Predictor
from samvar.vcf import VcfReader, open_output

POSITIVE = {
    "mfass": lambda row: float(row["col10_delta"]) <= -0.5,
    "clinical": lambda row: row["SpliceAffecting"] == "1",
}

CLUSTER = {
    "mfass": lambda row: (row["chrom"], row["exon_start1"], row["exon_end1"]),
    "clinical": lambda row: row["ID"].split(":")[0].split(".")[0],
}


def in_reach(table: str) -> list[dict[str, str]]:
    """Rows whose reference sequence is there."""
    with gzip.open(table, "rt") as handle:
        return [r for r in csv.DictReader(handle, delimiter="\t") if r["ref_status"] == "match"]


def save(path: str, result: dict) -> None:
    """Write the result of a script as JSON."""
    with open(path, "w") as f:
        json.dump(result, f, indent=1)
        f.write("\n")


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
    members = list({c: np.flatnonzero([c == d for d in cluster]) for c in cluster}.values())
    rng = np.random.default_rng(0)
    found = []
    for _ in range(resamples):
        i = np.concatenate([members[j] for j in rng.integers(len(members), size=len(members))])
        if 0 < label[i].sum() < len(i):
            found.append(measure(label[i], value[i]))
    return [measure(label, value), *map(float, np.percentile(found, [2.5, 97.5]))]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("set", choices=POSITIVE)
    parser.add_argument("table")
    parser.add_argument("-f", "--fasta", required=True)
    parser.add_argument("-a", "--annotation", required=True)
    parser.add_argument("--model", default="default")
    parser.add_argument("--json", required=True)
    args = parser.parse_args()
    rows = in_reach(args.table)
    bundle = load_bundle(args.model)
    with tempfile.TemporaryDirectory() as folder:
        vcf, out = os.path.join(folder, "in.vcf"), os.path.join(folder, "out.vcf")
        with open(vcf, "w") as f:
            f.write("##fileformat=VCFv4.2\n#CHROM\tPOS\tID\tREF\tALT\tQUAL\tFILTER\tINFO\n")
            f.writelines(f"{r['chrom']}\t{r['pos']}\t.\t{r['ref']}\t{r['alt']}\t.\t.\t.\n" for r in rows)
        with VcfReader(vcf) as reader, open_output(out, "v") as writer:
            predictor = Predictor(bundle, threads=os.cpu_count() or 1)
            annotate(reader, writer, Genome(args.fasta), load_annotation(args.annotation), predictor,
                     Options(rbp_min=2.0))
        with open(out) as f:
            info = [dict(e.partition("=")[::2] for e in line.split("\t")[7].strip().split(";"))
                    for line in f if not line.startswith("#")]
    scored = np.array([i["SAMVAR_MAX"] != "." for i in info])
    label = np.array([POSITIVE[args.set](r) for r in rows])[scored]
    value = np.array([float(i["SAMVAR_MAX"]) for i, s in zip(info, scored) if s])
    cluster = [CLUSTER[args.set](r) for r, s in zip(rows, scored) if s]
    result = dict(
        bundle=bundle.name, kind=bundle.kind, sha256=bundle.sha256, score="SAMVAR_MAX", n=int(scored.sum()),
        positive=int(label.sum()), not_scored=int((~scored).sum()), statuses=Counter(i["SAMVAR_STATUS"] for i in info),
        clusters=len(set(cluster)), auroc=bootstrap(auroc, label, value, cluster),
        auprc=bootstrap(auprc, label, value, cluster),
    )
    save(args.json, result)
    print(json.dumps(result))


if __name__ == "__main__":
    main()
