#!/usr/bin/env python3
"""Peak memory of `samvar annotate` against the number of records, on a synthetic genome.

    python tests/benchmarks/memory.py [--quick]

Two pairs of runs: mostly intergenic records (200 are scored), and records that are all scored, the
fewer of which are enough to fill what each process keeps of the reference and of kernels. The peak
of the longer run of a pair must be within 10 % of the shorter one's. `--quick` runs the first pair
alone, with a tenth of the records.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
from itertools import pairwise

import numpy as np

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from speed import machine, measured, model  # noqa: E402

GENE, SPACE, LENGTH = 2_000, 5_000, 4_000_000  # the genes lie in the contig's last quarter
GENES_FROM = 3_000_000
EXONS = (0, 200), (899, 1100), (1799, GENE)  # of a gene, 0-based
ALLOWED = 1.10


def make_inputs(folder: str) -> tuple[str, str, np.ndarray]:
    bases = np.frombuffer(b"ACGT", np.uint8)[np.random.default_rng(1).integers(0, 4, LENGTH)]
    starts = np.arange(GENES_FROM, LENGTH - GENE, SPACE)
    for i, start in enumerate(starts):
        for (_, first), (last, _) in pairwise(EXONS):  # introns begin and end as those of genes do
            begin, end = (b"GT", b"AG") if i % 2 == 0 else (b"CT", b"AC")
            bases[start + first : start + first + 2] = np.frombuffer(begin, np.uint8)
            bases[start + last - 2 : start + last] = np.frombuffer(end, np.uint8)
    fasta, gtf = os.path.join(folder, "g.fa"), os.path.join(folder, "g.gtf")
    with open(fasta, "wb") as f:
        f.write(
            b">c\n"
            + b"\n".join(bases[i : i + 100].tobytes() for i in range(0, LENGTH, 100))
            + b"\n"
        )
    with open(gtf, "w") as f:
        for i, start in enumerate(starts):
            for first, last in EXONS:
                f.write(
                    f"c\tx\texon\t{start + first + 1}\t{start + last}\t.\t{'+-'[i % 2]}\t.\t"
                    f'gene_id "g{i}"; transcript_id "t{i}";\n'
                )
    return fasta, gtf, bases


def write_vcf(path: str, bases: np.ndarray, records: int, scored: int) -> None:
    """`scored` records within genes, evenly over them, after `records - scored` outside."""
    rng = np.random.default_rng(2)
    outside = np.sort(rng.integers(0, GENES_FROM - 10_000, records - scored))
    starts = np.arange(GENES_FROM, LENGTH - GENE, SPACE)
    inside = np.sort(starts[np.arange(scored) % len(starts)] + rng.integers(10, GENE - 10, scored))
    with open(path, "w") as f:
        f.write(
            f"##fileformat=VCFv4.2\n##contig=<ID=c,length={LENGTH}>\n"
            "#CHROM\tPOS\tID\tREF\tALT\tQUAL\tFILTER\tINFO\n"
        )
        for at in np.concatenate((outside, inside)):
            ref = chr(bases[at])
            f.write(f"c\t{at + 1}\t.\t{ref}\t{'CGTA'['ACGT'.index(ref)]}\t.\t.\tDP=100\n")


def peak(fasta: str, gtf: str, vcf: str) -> float:
    """Peak resident memory of one run, in MB."""
    return measured(
        [
            sys.executable,
            "-m",
            "samvar.cli",
            "annotate",
            vcf,
            "-f",
            fasta,
            "-a",
            gtf,
            "--no-cache",
            "-o",
            vcf + ".out.vcf",
        ]
    )[1]


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--quick", action="store_true")
    quick = parser.parse_args().quick
    pairs = {
        "mostly intergenic": ((10_000, 200), (1_000_000, 200)),
        "all scored": ((4_000, 4_000), (20_000, 20_000)),
    }
    if quick:
        pairs = {"mostly intergenic": ((1_000, 20), (100_000, 20))}
    results = []
    with tempfile.TemporaryDirectory() as folder:
        fasta, gtf, bases = make_inputs(folder)
        for name, sizes in pairs.items():
            peaks = []
            for records, scored in sizes:
                vcf = os.path.join(folder, "in.vcf")
                write_vcf(vcf, bases, records, scored)
                peaks.append(peak(fasta, gtf, vcf))
                results.append(
                    dict(kind=name, records=records, scored=scored, peak_mb=round(peaks[-1]))
                )
                print(results[-1], file=sys.stderr)
            results.append(
                dict(kind=name, ratio=peaks[1] / peaks[0], within=peaks[1] <= ALLOWED * peaks[0])
            )
    print(json.dumps(dict(machine=machine(), model=model(), results=results), indent=1))
    if not all(r.get("within", True) for r in results):
        raise SystemExit("peak memory grows with the number of records")


if __name__ == "__main__":
    main()
