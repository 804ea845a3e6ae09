#!/usr/bin/env python3
"""CPU time of an allele in `samvar precompute` and in `samvar annotate`, side by side.

    python tests/benchmarks/precompute.py DATA --json OUT [--places 6] [--bases 200] [--rounds 3]

DATA holds vcf/, genome/ and annotation/. Two tasks in alternating rounds, each with nothing of the
reference at hand, one thread, causes as by default, at places that lie evenly in the 1000 Genomes
chr20 file: by `precompute` all SNVs and 1-base indels of a chunk of bases; by `annotate` as many
SNVs of the file, one after the other, as bases, in whose midst the chunk lies. User time of the
process, so that other work on the machine counts only as far as it slows the cores.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Callable

import numpy as np
import torch

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from speed import machine, real_variants  # noqa: E402

from samvar.annotate import Allele, Options, encode, score  # noqa: E402
from samvar.formats.annotation import load_annotation  # noqa: E402
from samvar.formats.vcf.record import Record  # noqa: E402
from samvar.genomics.genome import Genome  # noqa: E402
from samvar.model.bundle import load_bundle  # noqa: E402
from samvar.precompute import Place, records  # noqa: E402
from samvar.scoring.predictor import Predictor  # noqa: E402


def user_seconds(task: Callable[[], list[bytes]]) -> tuple[float, list[bytes]]:
    before = os.times().user
    lines = task()
    return os.times().user - before, lines


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("data")
    parser.add_argument("--json", required=True)
    parser.add_argument("--model", default="default")
    parser.add_argument("--places", type=int, default=6)
    parser.add_argument("--bases", type=int, default=200)
    parser.add_argument("--rounds", type=int, default=3)
    args = parser.parse_args()
    data = lambda *p: os.path.join(args.data, *p)  # noqa: E731
    torch.set_num_threads(1)
    genome, table = (
        Genome(data("genome", "hg19.fa.gz")),
        data("annotation", "canonical.hg19.tsv.gz"),
    )
    genes, bundle, options = load_annotation(table), load_bundle(args.model), Options()
    real = real_variants(data("vcf", "1kgp3_chr20_1-2Mb.hg19.vcf.gz"), table)["snv"]
    middles = [len(real) * (2 * i + 1) // (2 * args.places) for i in range(args.places)]
    half = args.bases // 2
    snvs = [[Allele("chr20", *snv) for snv in real[max(m - half, 0) : m + half]] for m in middles]
    chunks = [Place("chr20", real[m][0] - 1, real[m][0] - 1 + args.bases) for m in middles]

    def annotated(alleles: list[Allele]) -> list[bytes]:
        with Predictor(bundle) as predictor:
            lines = []
            for allele, found in zip(alleles, score(genome, genes, predictor, alleles, options)):
                contig, pos, ref, alt = allele
                line = f"{contig}\t{pos}\t.\t{ref}\t{alt}\t.\t.\t.\n".encode()
                record = Record(line, 0, contig, pos, ref, (alt,))
                lines.append(record.with_info(encode(record, [found], options)))
            return lines

    def precomputed(chunk: Place) -> list[bytes]:
        with Predictor(bundle) as predictor:
            return list(records(genome, genes, predictor, chunk, options))

    tasks: dict[str, Callable[[], list[bytes]]] = dict(
        precompute=lambda: [line for chunk in chunks for line in precomputed(chunk)],
        annotate_chr20=lambda: [line for alleles in snvs for line in annotated(alleles)],
    )
    annotated(snvs[0][:1])  # what the process loads once
    seconds: dict[str, list[float]] = {name: [] for name in tasks}
    for _ in range(args.rounds):
        lines = {}
        for name, task in tasks.items():
            spent, lines[name] = user_seconds(task)
            seconds[name].append(spent / len(lines[name]))
            print(name, f"{1000 * seconds[name][-1]:.2f} ms", file=sys.stderr)
    ratio = np.array(seconds["annotate_chr20"]) / np.array(seconds["precompute"])
    result = dict(
        machine=machine(),
        load_average=round(os.getloadavg()[1], 1),
        model=dict(name=bundle.name, kind=bundle.kind, sha256=bundle.sha256),
        rounds=args.rounds,
        chunks=[f"{c.contig}:{c.start + 1}-{c.end}" for c in chunks],
        alleles={name: len(own) for name, own in lines.items()},
        user_milliseconds={n: [round(1000 * s, 2) for s in own] for n, own in seconds.items()},
        times_as_long=round(float(np.median(ratio)), 2),
        times_as_long_lowest=round(float(ratio.min()), 2),
    )
    with open(args.json, "w") as f:
        json.dump(result, f, indent=1)
        f.write("\n")
    print(json.dumps(result, indent=1))


if __name__ == "__main__":
    main()
