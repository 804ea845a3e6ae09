#!/usr/bin/env python3
"""How long samvar takes to start: one SNV from start to end, and where that time goes.

    python tests/benchmarks/startup.py DATA --json OUT [--rounds 7]

DATA holds genome/ and annotation/. Four commands in alternating rounds, each in a process of its
own: Python alone, Python that imports torch, `samvar --help`, and `samvar annotate` of one SNV with
a warm annotation cache and two threads. Medians of the wall-clock and of the CPU time (user and
system).
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from statistics import median

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from speed import machine, model  # noqa: E402

from samvar.files import write  # noqa: E402
from samvar.genomics.genome import Genome, decode  # noqa: E402

HEADER = "##fileformat=VCFv4.2\n#CHROM\tPOS\tID\tREF\tALT\tQUAL\tFILTER\tINFO\n"
CONTIG, POS = "chr20", 1098337  # in intron 1 of PSMF1


def cpu_seconds() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("data")
    parser.add_argument("--json", required=True)
    parser.add_argument("--rounds", type=int, default=7)
    args = parser.parse_args()
    fasta = os.path.join(args.data, "genome", "hg19.fa.gz")
    table = os.path.join(args.data, "annotation", "canonical.hg19.tsv.gz")
    samvar = [sys.executable, "-m", "samvar.cli"]
    with tempfile.TemporaryDirectory() as folder:
        vcf, out = os.path.join(folder, "one.vcf"), os.path.join(folder, "out.vcf")
        with open(vcf, "w") as f:
            ref = decode(Genome(fasta).codes(CONTIG, POS - 1, POS))
            alt = "A" if ref != "A" else "C"
            f.write(f"{HEADER}{CONTIG}\t{POS}\t.\t{ref}\t{alt}\t.\t.\t.\n")
        inputs = ["-f", fasta, "-a", table, "-o", out, "--overwrite", "--threads", "2"]
        commands = {
            "python": [sys.executable, "-c", "pass"],
            "import torch": [sys.executable, "-c", "import torch"],
            "samvar --help": [*samvar, "--help"],
            "one SNV": [*samvar, "annotate", vcf, *inputs],
        }
        wall: dict[str, list[float]] = {name: [] for name in commands}
        cpu: dict[str, list[float]] = {name: [] for name in commands}
        for round_number in range(args.rounds + 1):
            for name, command in commands.items():
                before, started = cpu_seconds(), time.monotonic()
                subprocess.run(command, check=True, capture_output=True)
                if round_number:  # the first one fills the caches
                    wall[name].append(time.monotonic() - started)
                    cpu[name].append(cpu_seconds() - before)
        with open(out) as f:
            assert "SAMVAR_STATUS=OK" in f.read()
    found = {
        name: dict(
            seconds=median(wall[name]), lowest=min(wall[name]), cpu_seconds=median(cpu[name])
        )
        for name in commands
    }
    result = dict(commands=found, rounds=args.rounds, machine=machine(), model=model())
    write(args.json, json.dumps(result, indent=1) + "\n")
    print(json.dumps(result, indent=1))


if __name__ == "__main__":
    main()
