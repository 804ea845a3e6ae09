#!/usr/bin/env python3
"""The speed of this tree next to that of another one, such as a worktree of an earlier commit.

    git worktree add OLD COMMIT
    python tests/benchmarks/beside.py DATA OLD --json OUT [--snvs 300] [--rounds 3]
        [--apart [BASES]] [--model default]

DATA holds vcf/, genome/ and annotation/. `samvar annotate` of the same SNVs of the 1000 Genomes
chr20 file, one thread, by either tree in alternating rounds; a file with one SNV gives the time of
the start, which is subtracted. CPU time, so that other work on the machine counts only as far as it
slows the cores. --apart: SNVs so many bases or more from each other, by default 1,000, as in a
genome. --old-model names the bundle there, where it had another name.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from statistics import median

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, HERE)
from speed import Variant, apart, machine, real_variants  # noqa: E402
from startup import HEADER, cpu_seconds  # noqa: E402

from samvar.files import write  # noqa: E402


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("data")
    parser.add_argument("old")
    parser.add_argument("--json", required=True)
    parser.add_argument("--snvs", type=int, default=300)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--model", default="default")
    parser.add_argument("--old-model", default="default")
    parser.add_argument("--apart", type=int, nargs="?", const=1000, default=0, metavar="BASES")
    args = parser.parse_args()
    data = lambda *p: os.path.abspath(os.path.join(args.data, *p))  # noqa: E731
    table = data("annotation", "canonical.hg19.tsv.gz")
    snvs = real_variants(data("vcf", "1kgp3_chr20_1-2Mb.hg19.vcf.gz"), table)["snv"]
    snvs = apart(snvs, args.apart) if args.apart else snvs
    trees = {
        "new": (os.path.dirname(os.path.dirname(HERE)), args.model),
        "old": (os.path.abspath(args.old), args.old_model),
    }
    seconds: dict[str, list[float]] = {tree: [] for tree in trees}
    with tempfile.TemporaryDirectory() as folder:
        many, one = os.path.join(folder, "many.vcf"), os.path.join(folder, "one.vcf")
        write_vcf(many, snvs[: args.snvs + 1])
        write_vcf(one, snvs[:1])
        for round_number in range(args.rounds + 1):
            for tree, (path, model) in trees.items():
                inputs = ["-f", data("genome", "hg19.fa.gz"), "-a", table, "--model", model]
                both = [annotate(path, vcf, [*inputs, "--threads", "1"]) for vcf in (many, one)]
                if round_number:  # the first one fills the caches
                    seconds[tree].append(both[0] - both[1])
    each = {tree: [1e3 * s / args.snvs for s in took] for tree, took in seconds.items()}
    ratios = [old / new for old, new in zip(each["old"], each["new"])]
    result = dict(
        milliseconds_per_snv=each,
        old_by_new=median(ratios),
        ratios=ratios,
        snvs=args.snvs,
        apart=args.apart,
        old=commit(trees["old"][0]),
        new=commit(trees["new"][0]),
        models={tree: model for tree, (_, model) in trees.items()},
        machine=machine(),
    )
    write(args.json, json.dumps(result, indent=1) + "\n")
    print(json.dumps(result, indent=1))


def write_vcf(path: str, snvs: list[Variant]) -> None:
    with open(path, "w") as f:
        f.write(HEADER)
        f.writelines(f"chr20\t{pos}\t.\t{ref}\t{alt}\t.\t.\t.\n" for pos, ref, alt in snvs)


def annotate(tree: str, vcf: str, options: list[str]) -> float:
    """CPU seconds."""
    before = cpu_seconds()
    subprocess.run(
        [sys.executable, "-m", "samvar.cli", "annotate", vcf, *options],
        cwd=tree,
        env={**os.environ, "PYTHONPATH": tree},
        check=True,
        capture_output=True,
    )
    return cpu_seconds() - before


def commit(tree: str) -> str:
    described = ["git", "-C", tree, "describe", "--always", "--dirty"]
    return subprocess.run(described, check=True, capture_output=True, text=True).stdout.strip()


if __name__ == "__main__":
    main()
