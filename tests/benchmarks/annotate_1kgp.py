#!/usr/bin/env python3
"""Annotate a real call set and count what comes back.

    python tests/benchmarks/annotate_1kgp.py DATA [--threads 2]

DATA holds vcf/, genome/ and annotation/. A GTF is made from the canonical exon table; the run must
return every record of 1kgp3_chr20_1-2Mb.hg19.vcf.gz, unchanged but for INFO, with a status for
every ALT. Another run, without attribution, measures what attribution costs.
"""

from __future__ import annotations

import argparse
import gzip
import json
import os
import subprocess
import sys
import tempfile
import time
from collections import Counter

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from speed import machine, model  # noqa: E402

from samvar.formats.annotation import load_annotation  # noqa: E402

VCF = "vcf/1kgp3_chr20_1-2Mb.hg19.vcf.gz"


def write_gtf(table: str, path: str) -> None:
    with open(path, "w") as f:
        for g in load_annotation(table).genes:
            ids = f'gene_id "{g.id}"; transcript_id "{g.chosen.id}"; gene_name "{g.symbol}";'
            for start, end in g.chosen.exons:
                f.write(
                    f"{g.contig}\tcanonical\texon\t{start + 1}\t{end}\t.\t{g.strand}\t.\t{ids}\n"
                )


def records(path: str) -> list[list[str]]:
    with (gzip.open if path.endswith("gz") else open)(path, "rt") as f:
        return [line.rstrip("\n").split("\t") for line in f if not line.startswith("#")]


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("data")
    parser.add_argument("--threads", default="2")
    args = parser.parse_args()
    path = lambda name: os.path.join(args.data, name)  # noqa: E731
    with tempfile.TemporaryDirectory() as folder:
        gtf, out = os.path.join(folder, "canonical.gtf"), os.path.join(folder, "out.vcf")
        write_gtf(path("annotation/canonical.hg19.tsv.gz"), gtf)
        seconds = {}
        for name, options in (("without", ["--rbp-min", "2"]), ("with", [])):
            started = time.monotonic()
            subprocess.run(
                [
                    sys.executable,
                    "-m",
                    "samvar.cli",
                    "annotate",
                    path(VCF),
                    "-f",
                    path("genome/hg19.fa.gz"),
                    "-a",
                    gtf,
                    "-o",
                    out,
                    "--threads",
                    args.threads,
                    "--no-cache",
                    *options,
                ],
                check=True,
            )
            seconds[name] = time.monotonic() - started
        before, after = records(path(VCF)), records(out)
    assert [r[:7] + r[8:] for r in before] == [r[:7] + r[8:] for r in after]
    statuses, attributed, residual = Counter(), 0, 0
    for b, a in zip(before, after):
        assert a[7].startswith(b[7] + ";SAMVAR_MAX=")
        info = dict(e.partition("=")[::2] for e in a[7].split(";"))
        found = info["SAMVAR_STATUS"].split(",")
        assert len(found) == len(b[4].split(","))
        statuses.update(found)
        rows = [r.split("|") for r in info.get("SAMVAR_RBP", "").split(",") if r]
        attributed += len({r[0] for r in rows})
        residual += len({r[0] for r in rows if r[2] == "RESIDUAL" and abs(float(r[7])) > 1e-3})
    scored = statuses["OK"] + statuses["LOW_CONTEXT"]
    cost = seconds["with"] - seconds["without"]
    print(
        json.dumps(
            dict(
                records=len(after),
                statuses=statuses,
                minutes=seconds["with"] / 60,
                scored_per_second=scored / seconds["with"],
                attributed_alleles=attributed,
                share_with_residual=residual / max(attributed, 1),
                time_with_attribution=seconds["with"] / seconds["without"],
                milliseconds_per_attributed=1e3 * cost / attributed,
                threads=int(args.threads),
                machine=machine(),
                model=model(),
            ),
            indent=1,
        )
    )


if __name__ == "__main__":
    main()
