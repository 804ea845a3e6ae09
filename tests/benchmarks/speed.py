#!/usr/bin/env python3
"""SNVs a second, start-up and peak memory of samvar and SpliceAI 1.3.1, side by side on the same
variants and cores.

    python tests/benchmarks/speed.py DATA --json OUT [--peers FOLDER] [--rounds 3] [--openspliceai
    MODELS]

DATA holds vcf/, genome/ and annotation/. SpliceAI is installed from PyPI into FOLDER (an
environment of its own; needs Python 3.9 to 3.11), and so is OpenSpliceAI where MODELS, a folder of
its weights for 10,000 bases (.pt), is given. All programs score variants of the 1000 Genomes chr20
file, the others the first few dozen of those that samvar scores thousands of, in alternating
rounds; the rate is that of the variants after the first, start-up the time of a run with one.
Indels are rare, and the reference's tensors are shared by fewer of them: they are compared with as
many SNVs, those beside them. Also: samvar's rate with one thread.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
import time

import numpy as np
import pysam
import torch

from samvar.formats.annotation import load_annotation
from samvar.genomics.genome import Genome, decode
from samvar.model.bundle import load_bundle

PEERS = dict(
    spliceai=("spliceai==1.3.1", "tensorflow-cpu==2.15.1", "numpy<2", "setuptools<81", "biopython"),
    openspliceai=("openspliceai==0.0.7", f"torch=={torch.__version__.split('+')[0]}"),
)
HEADER = (
    "##fileformat=VCFv4.2\n##contig=<ID=chr20>\n#CHROM\tPOS\tID\tREF\tALT\tQUAL\tFILTER\tINFO\n"
)


def install(folder: str, name: str = "spliceai") -> str:
    """The program of an environment of its own in `folder`, made where it is missing."""
    bin = os.path.join(folder, name, "bin")
    if not os.path.exists(os.path.join(bin, name)):
        subprocess.run([sys.executable, "-m", "venv", os.path.join(folder, name)], check=True)
        subprocess.run([os.path.join(bin, "pip"), "install", "-q", *PEERS[name]], check=True)
    return os.path.join(bin, name)


def write_vcf(path: str, records: list[tuple[int, str, str]]) -> None:
    with open(path, "w") as f:
        f.write(HEADER)
        f.writelines(f"chr20\t{pos}\t.\t{ref}\t{alt}\t.\t.\t.\n" for pos, ref, alt in records)


def measured(command: list[str]) -> tuple[float, float, float]:
    """(seconds, peak resident memory in MB, seconds of CPU) of a run."""
    started = time.monotonic()
    run = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    _, status, usage = os.wait4(run.pid, 0)
    run.returncode = os.waitstatus_to_exitcode(status)
    if run.returncode:
        raise SystemExit(f"failed: {' '.join(command)}")
    peak = usage.ru_maxrss / (1 << 20 if sys.platform == "darwin" else 1 << 10)
    return time.monotonic() - started, peak, usage.ru_utime + usage.ru_stime


def real_variants(vcf: str, annotation: str) -> dict[str, list[tuple[int, str, str]]]:
    """SNVs and indels (POS, REF, ALT) of the call set that lie within genes."""
    genes = load_annotation(annotation)
    found: dict[str, list[tuple[int, str, str]]] = dict(snv=[], indel=[])
    with pysam.VariantFile(vcf) as f:
        for r in f:
            alt = r.alts[0]
            if set(alt) <= set("ACGT") and genes.overlapping("chr20", r.start, r.stop):
                found["snv" if len(r.ref) == len(alt) == 1 else "indel"].append((r.pos, r.ref, alt))
    return found


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("data")
    parser.add_argument("--json", required=True)
    parser.add_argument("--peers")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--variants", type=int, default=2000)
    parser.add_argument(
        "--spliceai", type=int, default=24, help="variants SpliceAI and OpenSpliceAI score"
    )
    parser.add_argument(
        "--openspliceai", metavar="MODELS", help="folder of OpenSpliceAI's weights: it runs, too"
    )
    parser.add_argument(
        "--options", default="", help="for samvar, in one word: '--device cuda --precision bf16'"
    )
    args = parser.parse_args()
    data = lambda *p: os.path.join(args.data, *p)  # noqa: E731
    annotation = data("annotation", "canonical.hg19.tsv.gz")
    genome = Genome(data("genome", "hg19.fa.gz"))
    with tempfile.TemporaryDirectory() as folder:
        path = lambda name: os.path.join(folder, name)  # noqa: E731
        peers = ["spliceai"] + ["openspliceai"] * bool(args.openspliceai)
        program = {name: install(args.peers or path("peers"), name) for name in peers}
        with open(path("chr20.fa"), "w") as f:
            bases = decode(genome.codes("chr20", 0, genome.lengths["chr20"]))
            f.write(
                ">chr20\n" + "\n".join(bases[i : i + 100] for i in range(0, len(bases), 100)) + "\n"
            )

        def ours(vcf: str, *more: str) -> list[str]:
            inputs = [vcf, "-f", path("chr20.fa"), "-a", annotation]
            command = [sys.executable, "-m", "samvar.cli", "annotate", *inputs]
            return [*command, "-o", path("out.vcf"), *args.options.split(), *more]

        more = dict(
            spliceai=[], openspliceai=["-m", args.openspliceai, "-f", "10000", "-t", "pytorch"]
        )
        theirs = lambda name, vcf: [  # noqa: E731
            program[name],
            *["variant"] * (name == "openspliceai"),
            "-I",
            vcf,
            "-O",
            path("out.vcf"),
            "-R",
            path("chr20.fa"),
            "-A",
            "grch37",
            *more[name],
        ]
        real = real_variants(data("vcf", "1kgp3_chr20_1-2Mb.hg19.vcf.gz"), annotation)
        sets = dict(
            one=real["snv"][:1],
            few=real["snv"][: args.spliceai],
            snv=real["snv"][: args.variants],
            indel=real["indel"],
        )
        positions = np.array([pos for pos, _, _ in real["snv"]])
        beside = np.unique(
            np.clip(
                np.searchsorted(positions, [r[0] for r in real["indel"]]), 0, len(positions) - 1
            )
        )
        sets["beside"] = [real["snv"][i] for i in beside]
        for name, records in sets.items():
            write_vcf(path(f"{name}.vcf"), records)
        measured(ours(path("one.vcf")))  # index, cache
        runs = dict(
            samvar_one=ours(path("one.vcf")),
            samvar_cold=ours(path("one.vcf"), "--no-cache"),
            samvar_snv=ours(path("snv.vcf")),
            samvar_indel=ours(path("indel.vcf")),
            samvar_beside=ours(path("beside.vcf")),
            samvar_no_causes=ours(path("snv.vcf"), "--rbp-min", "2"),
            samvar_one_thread=ours(path("snv.vcf"), "--threads", "1"),
        )
        runs |= {
            f"{name}_{some}": theirs(name, path(f"{some}.vcf"))
            for name in peers
            for some in ("one", "few")
        }
        times: dict[str, list[tuple[float, float, float]]] = {name: [] for name in runs}
        for _ in range(args.rounds):
            for name, command in runs.items():
                times[name].append(measured(command))
                print(name, *(f"{x:.1f}" for x in times[name][-1]), file=sys.stderr)
        seconds = {name: float(np.median([s for s, *_ in found])) for name, found in times.items()}
        rate = lambda name, one, n: (n - 1) / (seconds[name] - seconds[one])  # noqa: E731
        result = dict(
            machine=machine(),
            model=model(args.options),
            rounds=args.rounds,
            options=args.options,
            variants={name: len(records) for name, records in sets.items()},
            seconds=seconds,
            peak_mb={name: round(max(m for _, m, _ in found)) for name, found in times.items()},
            snv_per_second=rate("samvar_snv", "samvar_one", len(sets["snv"])),
            snv_per_second_without_causes=rate("samvar_no_causes", "samvar_one", len(sets["snv"])),
            snv_per_second_one_thread=rate("samvar_one_thread", "samvar_one", len(sets["snv"])),
            indels_per_second=rate("samvar_indel", "samvar_one", len(sets["indel"])),
            snvs_beside_them_per_second=rate("samvar_beside", "samvar_one", len(sets["beside"])),
        )
        for name in peers:
            result[f"{name}_snv_per_second"] = rate(f"{name}_few", f"{name}_one", len(sets["few"]))
            for key in ("snv_per_second", "snv_per_second_without_causes"):
                result[f"{key}_over_{name}"] = result[key] / result[f"{name}_snv_per_second"]
    with open(args.json, "w") as f:
        json.dump(result, f, indent=1)
        f.write("\n")
    print(json.dumps(result, indent=1))


def machine() -> dict:
    return dict(
        cores=os.cpu_count(),
        processor=processor(),
        python=platform.python_version(),
        torch=torch.__version__,
    )


def model(options: str = "") -> dict:
    """The weights that `samvar annotate` with these options uses."""
    words = options.split()
    bundle = load_bundle(words[words.index("--model") + 1] if "--model" in words else "default")
    return dict(name=bundle.name, kind=bundle.kind, sha256=bundle.sha256)


def processor() -> str:
    if os.path.exists("/proc/cpuinfo"):
        with open("/proc/cpuinfo") as f:
            return next(
                (line.split(":")[1].strip() for line in f if line.startswith("model name")), ""
            )
    return platform.processor()


if __name__ == "__main__":
    main()
