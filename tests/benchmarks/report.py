#!/usr/bin/env python3
"""`samvar report`: time and size of a page with 200 landscapes.

    python tests/benchmarks/report.py --data ../shared/data [--beside "what else runs"]

The first records of the 1000 Genomes chr20 file are annotated, which is not timed; then the report
shows the 200 strongest alleles, however weak. It must take less than a minute on two cores with
nothing else to do, and 15 MB.
"""

from __future__ import annotations

import argparse
import gzip
import json
import os
import re
import resource
import subprocess
import sys
import tempfile
import time
from itertools import islice

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from speed import machine, model  # noqa: E402

VCF = "vcf/1kgp3_chr20_1-2Mb.hg19.vcf.gz"
FASTA, GENES = "genome/hg19.fa.gz", "annotation/canonical.hg19.tsv.gz"
SECONDS, MEGABYTES = 60, 15


def cpu() -> float:
    """CPU seconds of the processes that have ended."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def run(*arguments: str) -> None:
    command = [sys.executable, "-m", "samvar.cli", *arguments]
    subprocess.run(command, check=True, stderr=subprocess.DEVNULL)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", required=True, help="the folder with genome, annotation and vcf")
    parser.add_argument("--records", type=int, default=4000)
    parser.add_argument("--top", type=int, default=200)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--beside", default="nothing", help="what else runs on the machine")
    results = os.path.join(os.path.dirname(os.path.abspath(__file__)), "results", "report.json")
    parser.add_argument("--json", default=results)
    arguments = parser.parse_args()
    data, threads = arguments.data, ["--threads", str(arguments.threads)]
    files = ["-f", os.path.join(data, FASTA), "-a", os.path.join(data, GENES), *threads]
    with tempfile.TemporaryDirectory() as folder:
        few, out = os.path.join(folder, "few.vcf"), os.path.join(folder, "out.vcf")
        page = os.path.join(folder, "report.html")
        with gzip.open(os.path.join(data, VCF), "rt") as whole, open(few, "w") as part:
            lines = (line for line in whole)
            for line in lines:
                part.write(line)
                if line.startswith("#CHROM"):
                    break
            part.writelines(islice(lines, arguments.records))
        run("annotate", few, *files, "-o", out)
        start, before = time.monotonic(), cpu()
        top = ["--top", str(arguments.top), "--min", "0"]
        run("report", out, *files, *top, "-o", page)
        seconds, used = time.monotonic() - start, cpu() - before
        size = os.path.getsize(page) / 1e6
        with open(page) as f:
            rows = len(re.findall(r'<template id="detail-', f.read()))
    result = dict(
        machine=machine(),
        beside=arguments.beside,
        model=model(),
        threads=arguments.threads,
        alleles=arguments.top,
        rows=rows,
        seconds=round(seconds, 1),
        cpu_seconds=round(used, 1),
        megabytes=round(size, 2),
        within=seconds < SECONDS and size < MEGABYTES,
    )
    text = json.dumps(result, indent=1)
    print(text)
    with open(arguments.json, "w") as f:
        f.write(text + "\n")
    sys.exit(not result["within"])


if __name__ == "__main__":
    main()
