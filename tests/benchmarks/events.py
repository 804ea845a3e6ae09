#!/usr/bin/env python3
"""What the events (SAMVAR_EVENT) cost: `annotate` with and without them, side by side.

    python tests/benchmarks/events.py DATA --json OUT [--limit 2000] [--rounds 3]

DATA holds vcf/, genome/ and annotation/. About --limit records of the 1000 Genomes chr20 file that
lie in genes, blocks of 30 neighbours spread evenly over it, are annotated in one process, with one
thread, with and without events in turn, after a short run; causes are on, as by default. No option
of samvar leaves events out: without them `samvar.annotate.consequences`, which makes them, returns
nothing. Reading the model, the annotation and records outside of genes does not count, so that the
share of the events is rather more than that of a whole run. Given are medians over the rounds, of
the seconds and of the CPU time, and the ratio of these, which is to be at most 1.1.
"""

from __future__ import annotations

import argparse
import io
import json
import os
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from statistics import median

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from annotate_1kgp import VCF, records, write_gtf  # noqa: E402
from speed import machine, model  # noqa: E402

from samvar import annotate as spine  # noqa: E402
from samvar.files import write  # noqa: E402
from samvar.formats.annotation import load_annotation  # noqa: E402
from samvar.formats.vcf import VcfReader  # noqa: E402
from samvar.formats.vcf.text import TextWriter  # noqa: E402
from samvar.genomics.genome import Genome  # noqa: E402
from samvar.model.bundle import load_bundle  # noqa: E402
from samvar.scoring.predictor import Predictor  # noqa: E402

WARM_UP = 20  # records
BLOCK = 30  # neighbours, which share tensors of the reference as in a whole run


@contextmanager
def without_events() -> Iterator[None]:
    made = spine.consequences
    spine.consequences = lambda *_: ()
    try:
        yield
    finally:
        spine.consequences = made


def write_vcf(lines: list[list[str]], path: str) -> str:
    with open(path, "w") as f:
        f.write("##fileformat=VCFv4.2\n#CHROM\tPOS\tID\tREF\tALT\tQUAL\tFILTER\tINFO\n")
        f.writelines("\t".join([*line[:7], "."]) + "\n" for line in lines)
    return path


def spread(lines: list[list[str]], limit: int) -> list[list[str]]:
    """Blocks of neighbours from all over the file."""
    every = max(len(lines) // max(limit // BLOCK, 1), BLOCK)
    return [own for i in range(0, len(lines), every) for own in lines[i : i + BLOCK]][:limit]


def timed(path: str, *parts) -> tuple[float, float, int]:
    """Seconds, CPU seconds, and how many alleles have events or that there are none."""
    out = io.BytesIO()
    with VcfReader(path) as reader:
        wall, cpu = time.monotonic(), time.process_time()
        spine.annotate(reader, TextWriter(out), *parts)
        wall, cpu = time.monotonic() - wall, time.process_time() - cpu
    return wall, cpu, out.getvalue().count(b"SAMVAR_EVENT=")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("data")
    parser.add_argument("--json")
    parser.add_argument("--limit", type=int, default=2000)
    parser.add_argument("--rounds", type=int, default=3)
    args = parser.parse_args()
    path = lambda name: os.path.join(args.data, name)  # noqa: E731
    with tempfile.TemporaryDirectory() as folder:
        gtf = os.path.join(folder, "canonical.gtf")
        write_gtf(path("annotation/canonical.hg19.tsv.gz"), gtf)
        genome, annotation = Genome(path("genome/hg19.fa.gz")), load_annotation(gtf)
        in_genes = [
            line
            for line in records(path(VCF))
            if annotation.overlapping(genome.contig(line[0]), int(line[1]) - 1, int(line[1]))
        ]
        chosen = spread(in_genes, args.limit)
        vcf = write_vcf(chosen, os.path.join(folder, "in.vcf"))
        few = write_vcf(chosen[:WARM_UP], os.path.join(folder, "few.vcf"))
        runs: dict[str, list[tuple[float, float, int]]] = {"with": [], "without": []}
        with Predictor(load_bundle("default"), threads=1) as predictor:
            parts = genome, annotation, predictor
            timed(few, *parts)
            for i in range(args.rounds):
                order = ("with", "without") if i % 2 == 0 else ("without", "with")
                for name in order:
                    if name == "with":
                        runs[name].append(timed(vcf, *parts))
                    else:
                        with without_events():
                            runs[name].append(timed(vcf, *parts))
    assert all(events == 0 for *_, events in runs["without"])
    result: dict = dict(
        records=len(chosen),
        records_with_events_field=runs["with"][0][2],
        rounds=args.rounds,
        threads=1,
    )
    for i, unit in enumerate(("seconds", "cpu_seconds")):
        each = {name: [run[i] for run in own] for name, own in runs.items()}
        pairs = zip(each["with"], each["without"])
        result[unit] = {name: round(median(own), 2) for name, own in each.items()}
        result[f"{unit}_ratio"] = round(median(each["with"]) / median(each["without"]), 4)
        result[f"{unit}_ratio_of_each_round"] = [round(a / b, 4) for a, b in pairs]
    result |= dict(machine=machine(), model=model())
    print(json.dumps(result, indent=1))
    if args.json:
        write(args.json, json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
