#!/usr/bin/env python3
"""Time and memory of `samvar annotate` against the number of records, dense (exome-like) and sparse
(genome-like).

    python tests/benchmarks/growth.py DATA --json OUT [--records 1000 10000 100000] [--options
    "--threads 1"]

DATA holds genome/ and annotation/. SNVs in the known sequence of genes, one per 40 bases (dense) or
per 1,000 (sparse), gene after gene; sizes for which there is not sequence enough are left out and
said. OUT is written after each run, and rows that it holds already, of the same model, are kept.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from speed import machine, measured, model  # noqa: E402

from samvar.formats.annotation import load_annotation  # noqa: E402
from samvar.genomics.genome import Genome, decode  # noqa: E402

APART = dict(dense=40, sparse=1000)  # bases of gene per SNV


def snvs(genome: Genome, annotation: str, n: int, apart: int) -> list[tuple[str, int, str, str]]:
    """At most n SNVs (contig, POS, REF, ALT) in genes that do not overlap earlier ones, sorted."""
    found, seen = [], {}
    for g in sorted(load_annotation(annotation).genes, key=lambda g: (g.contig, g.start)):
        contig = genome.contig(g.contig)
        if contig is None or g.start < seen.get(contig, 0) or len(found) >= n:
            continue
        seen[contig] = g.end
        bases = decode(genome.codes(contig, g.start, g.end))
        found += [
            (contig, g.start + i + 1, bases[i], "CGTA"["ACGT".index(bases[i])])
            for i in range(0, len(bases), apart)
            if bases[i] in "ACGT"
        ]
    return found[:n]


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("data")
    parser.add_argument("--json", required=True)
    parser.add_argument("--records", type=int, nargs="+", default=[1_000, 10_000, 100_000])
    parser.add_argument("--options", default="", help="for samvar, in one word")
    args = parser.parse_args()
    data = lambda *p: os.path.join(args.data, *p)  # noqa: E731
    annotation, fasta = data("annotation", "canonical.hg19.tsv.gz"), data("genome", "hg19.fa.gz")
    genome, rows, weights = Genome(fasta), {}, model(args.options)
    if os.path.exists(args.json):
        with open(args.json) as f:
            before = json.load(f)
        rows = before["rows"] if before.get("model") == weights else {}
    for n in args.records:
        for kind, apart in APART.items():
            records = snvs(genome, annotation, n, apart)
            if len(records) < n or f"{kind} {n}" in rows:
                print(f"{kind} {n}: {len(records)} such places", file=sys.stderr)
                continue
            with tempfile.TemporaryDirectory() as folder:
                vcf = os.path.join(folder, "in.vcf")
                with open(vcf, "w") as f:
                    f.write("##fileformat=VCFv4.2\n#CHROM\tPOS\tID\tREF\tALT\tQUAL\tFILTER\tINFO\n")
                    f.writelines(f"{c}\t{p}\t.\t{a}\t{b}\t.\t.\t.\n" for c, p, a, b in records)
                seconds, peak, cpu = measured(
                    [
                        sys.executable,
                        "-m",
                        "samvar.cli",
                        "annotate",
                        vcf,
                        "-f",
                        fasta,
                        "-a",
                        annotation,
                        "-o",
                        os.path.join(folder, "out.vcf"),
                        *args.options.split(),
                    ]
                )
            rows[f"{kind} {n}"] = dict(
                seconds=round(seconds, 1), cpu_seconds=round(cpu, 1), peak_mb=round(peak)
            )
            print(kind, n, rows[f"{kind} {n}"], file=sys.stderr)
            with open(args.json, "w") as f:
                json.dump(
                    dict(machine=machine(), model=weights, options=args.options, rows=rows),
                    f,
                    indent=1,
                )
                f.write("\n")


if __name__ == "__main__":
    main()
