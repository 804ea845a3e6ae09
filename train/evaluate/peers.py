#!/usr/bin/env python3
"""SpliceAI 1.3.1 beside samvar on the same measured variants.

    python train/evaluate/peers.py DATA TABLE --scores FOLDER --json OUT [--sets TITLE ...] [--peers
    FOLDER]

TABLE is what `variants.py --table` has written: the rows of its sets with class, label and
SAMVAR_MAX. SpliceAI scores those of each set (about one variant a second) with its own annotation
and defaults (-D 50, no mask, two decimals, the largest of the four deltas over its genes); its
output stays in the folder of the scores and is read from there the next time. It is installed from
PyPI into the other folder (an environment of its own; needs Python 3.9 to 3.11). Both areas of
either on the rows that both score, and samvar's minus SpliceAI's: all, by class, and on chromosomes
that neither was trained on; intervals as in `variants.py`. SpliceAI was trained on genes of all
chromosomes but 1, 3, 5, 7 and 9, BRCA1 and BRCA2 among them, which samvar has not seen.
"""

from __future__ import annotations

import argparse
import csv
import gzip
import os
import shutil
import subprocess
import sys
import tempfile

import numpy as np
from common import HELD_OUT, MIN_OF_EACH, SETS, auprc, auroc, bootstrap, save

from samvar.genomics.genome import Genome

sys.path.append(os.path.join(os.path.dirname(__file__), "..", "..", "tests", "benchmarks"))
from speed import install  # noqa: E402

PARTS = {
    "all": lambda row: True,
    "validation and test chromosomes": lambda row: row["chrom"] in HELD_OUT,
} | {
    kind: (lambda row, k=kind: row["class"] == k)
    for kind in ("core site", "exonic", "intronic", "indel")
}


def spliceai(program: str, fasta: str, rows: list[dict[str, str]], out: str) -> None:
    """Write SpliceAI's scores of the rows (ID: their number) to `out`."""
    with tempfile.TemporaryDirectory() as folder:
        plain, vcf = os.path.join(folder, "genome.fa"), os.path.join(folder, "in.vcf")
        with gzip.open(fasta) as source, open(plain, "wb") as f:
            shutil.copyfileobj(source, f, 1 << 24)
        contigs = Genome(fasta).lengths
        with open(vcf, "w") as f:
            f.write(
                "##fileformat=VCFv4.2\n"
                + "".join(f"##contig=<ID={c},length={n}>\n" for c, n in contigs.items())
            )
            f.write("#CHROM\tPOS\tID\tREF\tALT\tQUAL\tFILTER\tINFO\n")
            f.writelines(
                f"{r['chrom']}\t{r['pos']}\t{i}\t{r['ref']}\t{r['alt']}\t.\t.\t.\n"
                for i, r in enumerate(rows)
            )
        build = "grch38" if "hg38" in os.path.basename(fasta) else "grch37"
        subprocess.run(
            [program, "-I", vcf, "-O", out + ".part", "-R", plain, "-A", build], check=True
        )
    os.replace(out + ".part", out)


def largest(path: str) -> dict[int, float]:
    """Row number -> largest delta over SpliceAI's genes; rows that it does not score are not
    there."""
    found: dict[int, float] = {}
    with open(path) as f:
        for line in f:
            if line[0] == "#":
                continue
            columns = line.rstrip("\n").split("\t")
            for field in columns[7].split(";"):
                if field.startswith("SpliceAI="):
                    deltas = [
                        d for a in field[9:].split(",") for d in a.split("|")[2:6] if d != "."
                    ]
                    if deltas:
                        found[int(columns[2])] = max(map(float, deltas))
    return found


def side_by_side(rows: list[dict[str, str]], theirs: np.ndarray) -> dict:
    label = np.array([r["label"] == "1" for r in rows])
    ours, cluster = np.array([float(r["SAMVAR_MAX"]) for r in rows]), [r["cluster"] for r in rows]
    both = np.stack([ours, theirs], 1)
    minus = {area: (lambda y, v, a=area: a(y, v[:, 0]) - a(y, v[:, 1])) for area in (auroc, auprc)}
    return dict(n=len(rows), positive=int(label.sum()), clusters=len(set(cluster))) | {
        name: {area.__name__: bootstrap(of(area), label, value, cluster) for area in (auroc, auprc)}
        for name, value, of in (
            ("samvar", ours, lambda a: a),
            ("SpliceAI", theirs, lambda a: a),
            ("samvar - SpliceAI", both, minus.get),
        )
    }


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("data", help="folder with genome/")
    parser.add_argument("table")
    parser.add_argument("--scores", required=True)
    parser.add_argument("--json", required=True)
    parser.add_argument(
        "--sets", nargs="+", default=[s.title for s in SETS], choices=[s.title for s in SETS]
    )
    parser.add_argument("--peers", default="peers")
    args = parser.parse_args()
    with gzip.open(args.table, "rt") as f:
        table = list(csv.DictReader(f, delimiter="\t"))
    os.makedirs(args.scores, exist_ok=True)
    result = {}
    for chosen in (s for s in SETS if s.title in args.sets):
        rows = [r for r in table if r["set"] == chosen.title]
        scores = os.path.join(args.scores, os.path.basename(chosen.table).split(".")[0] + ".vcf")
        if not os.path.exists(scores):
            spliceai(install(args.peers), os.path.join(args.data, chosen.fasta), rows, scores)
        theirs = largest(scores)
        both = [i for i, r in enumerate(rows) if i in theirs and r["SAMVAR_MAX"] != "."]
        found = result[chosen.title] = dict(
            rows=len(rows), scored_by_both=len(both), not_by_spliceai=len(rows) - len(theirs)
        )
        for part, belongs in PARTS.items():
            some = [i for i in both if belongs(rows[i])]
            positive = sum(rows[i]["label"] == "1" for i in some)
            if min(positive, len(some) - positive) >= MIN_OF_EACH:
                found[part] = side_by_side(
                    [rows[i] for i in some], np.array([theirs[i] for i in some])
                )
                print(chosen.title, part, found[part])
    save(args.json, result)


if __name__ == "__main__":
    main()
