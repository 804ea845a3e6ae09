#!/usr/bin/env python3
"""SNVs a second, start-up and peak memory of samvar and SpliceAI 1.3.1, side by side on the same
variants and cores.

    python tests/benchmarks/speed.py DATA --json OUT [--peers FOLDER | --alone] [--rounds 3]
    [--openspliceai MODELS]

DATA holds vcf/, genome/ and annotation/. SpliceAI is installed from PyPI into FOLDER (an
environment of its own; needs Python 3.9 to 3.11), and so is OpenSpliceAI where MODELS, a folder of
its weights for 10,000 bases (.pt), is given; --alone runs samvar by itself.

All programs score SNVs of the 1000 Genomes chr20 file in alternating rounds: of those that samvar
scores thousands of SpliceAI the first hundred, OpenSpliceAI (in batches) the first twenty. In each
round the rate of a program is that of the variants after the first: from the time of its run the
time of its run with the first alone is subtracted, start-up and all. Given are the seconds of every
run, the medians of rates over the rounds, and of the ratios to another program also the lowest,
each of the rates of one round.

samvar's rate depends on how near variants lie to each other, so there are three inputs:
    dense        the first SNVs of the file, as they come
    exome-like   SNVs in exons and the 20 bases beside them
    genome-like  SNVs at least 1,000 bases apart
Indels are rare, and the reference's tensors are shared by fewer of them: they are compared with as
many SNVs, those beside them. Also: samvar's rate with one thread, and the CPU time of each SNV.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
from typing import Any, NamedTuple

import numpy as np
import pysam
import torch

from samvar.formats.annotation import load_annotation
from samvar.genomics.genome import Genome, decode
from samvar.model.bundle import load_bundle

PEERS = dict(
    spliceai=("spliceai==1.3.1", "tensorflow-cpu==2.15.1", "numpy<2", "setuptools<81", "biopython"),
    openspliceai=("openspliceai==0.0.7", f"torch=={torch.__version__.split('+')[0]}"),
    mmsplice=(
        "tensorflow-cpu==2.15.1",
        "numpy<2",
        "setuptools<81",
        "pandas<2.2",
        "kipoi",
        "kipoiseq",
        "pyranges<0.0.126",
        "cyvcf2",
    ),
)
WITHOUT_DEPENDENCIES = dict(mmsplice="mmsplice==2.4.0")  # which asks for the TensorFlow of GPUs
INPUTS = ("dense", "exome_like", "genome_like")
FEW = dict(spliceai="few", openspliceai="fewer")  # what other programs score, and the first of them
BATCH = 16  # windows that OpenSpliceAI is shown together
Variant = tuple[int, str, str]  # POS, REF, ALT
HEADER = (
    "##fileformat=VCFv4.2\n##contig=<ID=chr20>\n#CHROM\tPOS\tID\tREF\tALT\tQUAL\tFILTER\tINFO\n"
)


def install(folder: str, name: str = "spliceai") -> str:
    """The program of an environment of its own in `folder`, made where it is missing."""
    bin = os.path.join(folder, name, "bin")
    if not os.path.exists(os.path.join(bin, name)):
        try:
            subprocess.run([sys.executable, "-m", "venv", os.path.join(folder, name)], check=True)
            pip = [os.path.join(bin, "pip"), "install", "-q"]
            subprocess.run([*pip, *PEERS[name]], check=True)
            if name in WITHOUT_DEPENDENCIES:
                subprocess.run([*pip, "--no-deps", WITHOUT_DEPENDENCIES[name]], check=True)
        except (OSError, subprocess.CalledProcessError) as e:
            raise SystemExit(f"cannot install {name}: {e}; --alone runs samvar by itself") from e
    return os.path.join(bin, name)


def write_vcf(path: str, records: list[Variant]) -> None:
    with open(path, "w") as f:
        f.write(HEADER)
        f.writelines(f"chr20\t{pos}\t.\t{ref}\t{alt}\t.\t.\t.\n" for pos, ref, alt in records)


class Run(NamedTuple):
    """What a run took: seconds, peak memory in MB (`launch.py`), seconds of CPU."""

    seconds: float
    peak_mb: float
    cpu: float


def measured(command: list[str]) -> Run:
    launch = os.path.join(os.path.dirname(os.path.abspath(__file__)), "launch.py")
    code, *took = json.loads(subprocess.check_output([sys.executable, launch, *command]))
    if code:
        raise SystemExit(f"failed: {' '.join(command)}")
    return Run(*took)


def real_variants(vcf: str, annotation: str) -> dict[str, list[Variant]]:
    """SNVs and indels of the call set that lie within genes."""
    genes = load_annotation(annotation)
    found: dict[str, list[Variant]] = dict(snv=[], indel=[])
    with pysam.VariantFile(vcf) as f:
        for r in f:
            alt = r.alts[0]
            if set(alt) <= set("ACGT") and genes.overlapping("chr20", r.start, r.stop):
                found["snv" if len(r.ref) == len(alt) == 1 else "indel"].append((r.pos, r.ref, alt))
    return found


def in_exons(snvs: list[Variant], annotation: str, beside: int = 20) -> list[Variant]:
    """Those in an exon, or so near to one."""
    genes = load_annotation(annotation)
    return [
        (pos, ref, alt)
        for pos, ref, alt in snvs
        if any(
            start - beside < pos <= end + beside
            for gene in genes.overlapping("chr20", pos - 1, pos)
            for transcript in gene.transcripts
            for start, end in transcript.exons
        )
    ]


def apart(snvs: list[Variant], least: int = 1000) -> list[Variant]:
    """As many as lie so far from the one before."""
    kept = snvs[:1]
    for snv in snvs:
        if snv[0] - kept[-1][0] >= least:
            kept.append(snv)
    return kept


def sets_of(
    data: str, annotation: str, most: int, few: int, fewer: int
) -> dict[str, list[Variant]]:
    """The variants of each run; those of `one`, `few` and `fewer` are the first of `dense`."""
    real = real_variants(os.path.join(data, "vcf", "1kgp3_chr20_1-2Mb.hg19.vcf.gz"), annotation)
    snvs, indels = real["snv"], real["indel"][:most]
    after = np.searchsorted([pos for pos, *_ in snvs], [pos for pos, *_ in indels])
    return dict(
        one=snvs[:1],
        few=snvs[:few],
        fewer=snvs[:fewer],
        dense=snvs[:most],
        exome_like=in_exons(snvs, annotation)[:most],
        genome_like=apart(snvs)[:most],
        indel=indels,
        beside=[snvs[i] for i in np.unique(after.clip(0, len(snvs) - 1))],
    )


class Rates(NamedTuple):
    """Variants a second in each round."""

    rounds: list[float]

    @classmethod
    def of(cls, runs: list[Run], one: list[Run], n: int) -> Rates:
        """Of runs with n variants, and of those with the first of these alone, beside them."""
        seconds = [many.seconds - first.seconds for many, first in zip(runs, one)]
        if min(seconds) <= 0:
            raise SystemExit(f"{n} variants took no longer than one: give more (--variants)")
        return cls([(n - 1) / s for s in seconds])

    @property
    def median(self) -> float:
        return float(np.median(self.rounds))

    def over(self, other: Rates) -> Rates:
        """How many times the rate of another program, in each round."""
        return Rates([own / its for own, its in zip(self.rounds, other.rounds)])


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("data")
    parser.add_argument("--json", required=True)
    parser.add_argument("--peers")
    parser.add_argument("--alone", action="store_true", help="samvar, without other programs")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--variants", type=int, default=2000, help="of an input for samvar, most")
    parser.add_argument("--spliceai", type=int, default=100, help="variants SpliceAI scores")
    parser.add_argument(
        "--openspliceai", metavar="MODELS", help="folder of OpenSpliceAI's weights: it runs, too"
    )
    parser.add_argument("--fewer", type=int, default=20, help="variants OpenSpliceAI scores")
    parser.add_argument(
        "--options", default="", help="for samvar, in one word: '--device cuda --precision bf16'"
    )
    args = parser.parse_args()
    if min(args.variants, args.spliceai, args.fewer) < 2 or args.rounds < 1:
        parser.error("rates take two variants and a round at least")
    annotation = os.path.join(args.data, "annotation", "canonical.hg19.tsv.gz")
    load = round(os.getloadavg()[0], 1)
    sets = sets_of(args.data, annotation, args.variants, args.spliceai, args.fewer)
    peers = [] if args.alone else ["spliceai"] + ["openspliceai"] * bool(args.openspliceai)
    with tempfile.TemporaryDirectory() as folder:
        program = {name: install(args.peers or folder, name) for name in peers}
        commands = Commands(folder, annotation, program, args.openspliceai, args.options.split())
        commands.write_inputs(os.path.join(args.data, "genome", "hg19.fa.gz"), sets)
        measured(commands.samvar("one"))  # index, cache
        named = commands.all()
        runs: dict[str, list[Run]] = {name: [] for name in named}
        for _ in range(args.rounds):
            for name, command in named.items():
                runs[name].append(measured(command))
                print(name, *(f"{x:.1f}" for x in runs[name][-1]), file=sys.stderr, flush=True)
    result = dict(
        machine=machine(),
        load_average_before=load,
        model=model(args.options),
        rounds=args.rounds,
        options=args.options,
        variants={name: len(records) for name, records in sets.items()},
        **results(runs, {name: len(records) for name, records in sets.items()}, peers),
    )
    with open(args.json, "w") as f:
        json.dump(result, f, indent=1)
        f.write("\n")
    print(json.dumps(result, indent=1))


class Commands(NamedTuple):
    """The runs: of samvar, and of the other programs (name -> executable), with files in
    `folder`."""

    folder: str
    annotation: str
    program: dict[str, str]
    openspliceai: str
    options: list[str]

    def path(self, name: str) -> str:
        return os.path.join(self.folder, name)

    def write_inputs(self, fasta: str, sets: dict[str, list[Variant]]) -> None:
        """chr20.fa, and a VCF of each set."""
        genome = Genome(fasta)
        bases = decode(genome.codes("chr20", 0, genome.lengths["chr20"]))
        lines = (bases[i : i + 100] for i in range(0, len(bases), 100))
        with open(self.path("chr20.fa"), "w") as f:
            f.write(">chr20\n" + "\n".join(lines) + "\n")
        for name, records in sets.items():
            write_vcf(self.path(f"{name}.vcf"), records)

    def samvar(self, name: str, *more: str) -> list[str]:
        files = [self.path(f"{name}.vcf"), "-f", self.path("chr20.fa"), "-a", self.annotation]
        command = [sys.executable, "-m", "samvar.cli", "annotate", *files]
        return [*command, "-o", self.path("out.vcf"), *self.options, *more]

    def peer(self, peer: str, name: str) -> list[str]:
        command = [self.program[peer], *["variant"] * (peer == "openspliceai")]
        command += ["-I", self.path(f"{name}.vcf"), "-O", self.path("out.vcf")]
        command += ["-R", self.path("chr20.fa"), "-A", "grch37"]
        if peer == "openspliceai":
            command += ["-m", self.openspliceai, "-f", "10000", "-t", "pytorch", "-b", str(BATCH)]
        return command

    def all(self) -> dict[str, list[str]]:
        """Those of a round, in order."""
        inputs = (*INPUTS, "one", "indel", "beside")
        return {
            **{f"samvar_{name}": self.samvar(name) for name in inputs},
            "samvar_cold": self.samvar("one", "--no-cache"),
            "samvar_no_causes": self.samvar("dense", "--rbp-min", "2"),
            "samvar_one_thread": self.samvar("dense", "--threads", "1"),
            "samvar_one_one_thread": self.samvar("one", "--threads", "1"),
            **{f"{p}_{name}": self.peer(p, name) for p in self.program for name in ("one", FEW[p])},
        }


def results(runs: dict[str, list[Run]], n: dict[str, int], peers: list[str]) -> dict[str, Any]:
    """Seconds of each round, and medians over the rounds; of ratios to other programs also the
    lowest. Start-up is that of a run with one variant."""
    one = runs["samvar_one"]
    ours = {name: Rates.of(runs[f"samvar_{name}"], one, n[name]) for name in INPUTS}
    without = Rates.of(runs["samvar_no_causes"], one, n["dense"])
    first = runs["samvar_one_one_thread"]
    cpu = [many.cpu - begin.cpu for many, begin in zip(runs["samvar_one_thread"], first)]
    found: dict[str, Any] = dict(
        seconds={name: [round(r.seconds, 2) for r in own] for name, own in runs.items()},
        peak_mb={name: round(max(r.peak_mb for r in own)) for name, own in runs.items()},
        snv_per_second=ours["dense"].median,
        snv_per_second_without_causes=without.median,
        exome_like_snv_per_second=ours["exome_like"].median,
        genome_like_snv_per_second=ours["genome_like"].median,
        snv_per_second_one_thread=Rates.of(runs["samvar_one_thread"], first, n["dense"]).median,
        cpu_milliseconds_per_snv_one_thread=1e3 * float(np.median(cpu)) / (n["dense"] - 1),
        indels_per_second=Rates.of(runs["samvar_indel"], one, n["indel"]).median,
        snvs_beside_them_per_second=Rates.of(runs["samvar_beside"], one, n["beside"]).median,
    )
    for peer in peers:
        few = FEW[peer]
        theirs = Rates.of(runs[f"{peer}_{few}"], runs[f"{peer}_one"], n[few])
        found[f"{peer}_snv_per_second"] = theirs.median
        for name, rates in (*ours.items(), ("without_causes", without)):
            ratios = rates.over(theirs)
            found[f"{name}_over_{peer}"] = dict(median=ratios.median, lowest=min(ratios.rounds))
    return found


def machine() -> dict:
    return dict(
        cores=os.cpu_count(),
        processor=processor(),
        vector_units=torch.backends.cpu.get_cpu_capability(),
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
