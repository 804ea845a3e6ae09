#!/usr/bin/env python3
"""Mutated records and files through the command line: no traceback, no lost record, no hang.

    python tests/benchmarks/soak.py [--records N] [--files N] [--minutes M] [--resume] [--keep DIR]

Records: VCFs of 5,000 records, most of them mutated in one or two columns. A tenth of the VCFs have
lines that are no records, too: a refused file must name the line, which is taken out, and the rest
goes through again. Every record that was written must be
the input's in all columns but INFO, every ALT must have one status, and the counts of `--stats`
must be those of the output. Most records are decided without the model, a toy model of random
weights scores the others.

Files: a header, BCF, annotation, FASTA, index, list of regions or of genes, mutated in its bytes
or lines and given to `annotate`, `explain`, `knockout` or `verify`. Each must end with exit 0 and
whole output, or with one line that says what is wrong and no output.

All of it is derived from the seed. Work is done in processes of their own, so that a crash of a
library is a fault as well. Faults are listed in the result (exit 1), their files kept in `--keep`.
Result: tests/benchmarks/results/soak.json, written after each piece, from where `--resume` goes on.
"""

from __future__ import annotations

import argparse
import gzip
import json
import multiprocessing
import os
import random
import re
import resource
import shutil
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, field
from typing import Any

ROOT = os.path.normpath(os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", ".."))
sys.path.insert(0, ROOT)

RECORDS, FILES = 5_000, 50  # of one piece of work
LIMIT_SECONDS = {"records": 300, "files": 60}  # of CPU, for one run of the command line
WAITING = 20  # times as many seconds of the clock, where a run waits for ever
LIMIT_MB = 1_500  # peak memory of a process
LONG, SHORT = 60_000, 1_500
GENES = tuple((f"G{i}", 2_000 + 6_000 * i, "+-"[i % 2]) for i in range(9))  # id, start, strand
EXONS = ((1, 200), (901, 1_100), (1_801, 2_000))  # 1-based, relative to a gene's start

# ------------------------------------------------------------------------------------ whole inputs


@dataclass(frozen=True)
class World:
    """Files that fit each other, and what they hold."""

    folder: str
    contigs: dict[str, str]  # name -> bases
    fasta: str
    annotation: str
    model: str


def bases_of_genome() -> dict[str, str]:
    """Contigs with genes whose introns are GT-AG, a stretch of N and one of lower case."""
    rng = random.Random(7)
    long = [rng.choice("ACGT") for _ in range(LONG)]
    for _, start, strand in GENES:
        for (_, end), (begin, _) in zip(EXONS, EXONS[1:]):
            left, right = start + end, start + begin - 3  # 0-based first and last two of an intron
            long[left : left + 2] = "GT" if strand == "+" else "CT"
            long[right : right + 2] = "AG" if strand == "+" else "AC"
    long[57_000:57_400] = "N" * 400
    text = "".join(long)
    text = text[:4_000] + text[4_000:4_500].lower() + text[4_500:]
    short = "".join(rng.choice("ACGT") for _ in range(SHORT))
    return {"chr1": text, "HLA-A*01:01": short, "chrM": short[::-1], "chr2": short[:700] + "RYKM"}


def make_world(folder: str) -> World:
    from tests import toy

    contigs = bases_of_genome()
    fasta = toy.fasta(os.path.join(folder, "g.fa"), **contigs)
    genes = [
        (name, "chr1", strand, [(start + a, start + b) for a, b in EXONS])
        for name, start, strand in GENES
    ]
    annotation = toy.gtf(os.path.join(folder, "g.gtf"), *genes)
    model = os.path.join(folder, "model")
    os.mkdir(model)
    return World(folder, contigs, fasta, annotation, toy.bundle(model, flank=20))


# --------------------------------------------------------------------------------- mutated records

ODD: dict[int, list[str]] = {
    0: [
        "1",
        "chr1",
        "MT",
        "M",
        "chrM",
        "HLA-A*01:01",
        "chrUn",
        "<chr1>",
        "chr1:5",
        "",
        "é",
        "chr 1",
    ],
    1: ["0", "1", "60000", "60001", "99999999999", "-1", "07", "57100"],
    2: [".", "rs1;rs2", "", "a b", "é", "x" * 300],
    3: ["N", "n", "R", "", ".", "<DEL>", "A,C", "acgt", "ACGT" * 300, "é", "*"],
    4: [".", "*", "<DEL>", "<*>", "<NON_REF>", "<INS:ME:ALU>", "A[chr1:5[", "]chr2:7]T", ".A", "A."]
    + [
        "N",
        "R",
        "",
        ",",
        "A,,C",
        "A,*",
        "a",
        "C,G,T",
        "ACGT" * 20,
        "A" * 1_200,
        "é",
        "<DEL",
        "A,A",
    ],
    5: [".", "1e9", "-3", "x", "", "nan"],
    6: [".", "PASS", "q10;s50", "", "é"],
    7: [".", "", ";", "=", "A=1;B", "A=1;;B", "END=5", "END=x", "DP=1;", "A==", " ", "é=ü"]
    + ["SVTYPE=DEL;SVLEN=-5", "ANN=" + "x|" * 3_000, "SpliceAI=A|G|0|0|0|0|1|1|1|1", "SAMVAR_X=1"],
    8: ["GT", "", ".", "GT:DP:AD", "DP"],
    9: ["0/1", "./.", "", "0|1:3:1,2", "é", "/0|1"],
}
BREAKING = 0.001  # share of records that are damaged as lines, in a tenth of the VCFs


def record(world: World, rng: random.Random, breaking: float) -> bytes:
    """A record of the genome, usually outside genes, mutated or not; without its line end."""
    if rng.random() < 0.97:
        contig, pos = "chr1", rng.choice((rng.randrange(1, 1_900), rng.randrange(53_000, LONG)))
    elif rng.random() < 0.5:
        contig, pos = "chr1", rng.randrange(1, LONG)
    else:
        contig = rng.choice(list(world.contigs))
        pos = rng.randrange(1, len(world.contigs[contig]))
    size = rng.choice((1, 1, 1, 1, 2, 5, 30))
    ref = world.contigs[contig][pos - 1 : pos - 1 + size]
    alt = rng.choice("ACGT") + "".join(rng.choices("ACGT", k=rng.choice((0, 0, 0, 1, 4, 40))))
    columns = [contig, str(pos), ".", ref, alt, ".", "PASS", "DP=3", "GT", "0/1"]
    for _ in range(rng.choice((0, 1, 1, 2))):
        column = rng.choice((0, 1, 2, 3, 3, 4, 4, 4, 5, 6, 7, 7, 8, 9))
        if column > 1 or rng.random() < 0.3:  # most stay at a place that exists
            columns[column] = rng.choice(ODD[column])
    line = "\t".join(columns).encode()
    if rng.random() < breaking:
        line = rng.choice(BREAK)(line, rng)
    return line


BREAK: list[Callable[[bytes, random.Random], bytes]] = [
    lambda line, rng: line[: rng.randrange(len(line))],
    lambda line, rng: line.replace(b"\t", b" "),
    lambda line, rng: b"\t".join(line.split(b"\t")[: rng.randrange(1, 10)]),
    lambda line, rng: line + b"\textra",
    lambda line, rng: b"#" + line,
    lambda line, rng: b"",
    lambda line, rng: b"\0" + line,
    lambda line, rng: damaged(line, rng).replace(b"\n", b" "),
    lambda line, rng: line.replace(b"\t", rng.choice((b"\tx", b"\t+", b"\t1e")), 1),
]


def damaged(data: bytes, rng: random.Random) -> bytes:
    """Bytes changed, dropped, doubled, inserted or cut off."""
    out = bytearray(data)
    for _ in range(rng.randrange(1, 6)):
        at = rng.randrange(len(out) + 1)
        size = rng.randrange(1, 40)
        how = rng.randrange(6)
        if how == 0 and out:
            out[at % len(out)] = rng.randrange(256)
        elif how == 1:
            del out[at : at + size]
        elif how == 2:
            out[at:at] = out[at : at + size]
        elif how == 3:
            out[at : at + 1] = rng.choice(
                (b"\t", b"\n", b"\r", b"\0", b"\xe9", b";", b'"', b",", b"=", b"-1", b"9" * 12)
            )
        elif how == 4:
            out[at:at] = rng.choice(
                (b"\xef\xbb\xbf", b"\n\n", b"\r\n", b" ", b"#", b">", b"<", b".")
            )
        elif rng.random() < 0.2:
            del out[at:]
    return bytes(out)


def shuffled(data: bytes, rng: random.Random) -> bytes:
    """Lines dropped, doubled, moved, blanked, cut into other columns, or with other ends."""
    lines = data.split(b"\n")
    for _ in range(rng.randrange(1, 4)):
        at, other = rng.randrange(len(lines)), rng.randrange(len(lines))
        how = rng.randrange(8)
        if how == 0 and len(lines) > 1:
            del lines[at]
        elif how == 1:
            lines.insert(other, lines[at])
        elif how == 2:
            lines[at], lines[other] = lines[other], lines[at]
        elif how == 3:
            lines.insert(at, rng.choice((b"", b"#", b"##x", b" ", b"\t\t\t")))
        elif how == 4:
            columns = lines[at].split(b"\t")
            columns[rng.randrange(len(columns))] = rng.choice(
                (b"", b".", b"0", b"-5", b"x", b"1e9", b"99999999999999999999", b"?", b"\xc3\xa9")
            )
            lines[at] = b"\t".join(columns)
        elif how == 5:
            lines[at] = lines[at].replace(b"\t", b" ").replace(b'"', b"'")
        elif how == 6:
            lines[at] = lines[at].upper() if rng.random() < 0.5 else lines[at].swapcase()
        else:
            end = rng.choice((b"\r\n", b"\r", b"\n\n"))
            return end.join(lines)
    return rng.choice((b"", b"", b"\xef\xbb\xbf")) + b"\n".join(lines)


# ------------------------------------------------------------------------------------ running them


class TookTooLong(BaseException):
    """Not an Exception, so that nothing on the way takes it for an error of its own."""


@dataclass
class Outcome:
    """Of some runs: how often what happened, and faults as (what, seed, details)."""

    counts: Counter = field(default_factory=Counter)
    faults: list[tuple[str, str, str]] = field(default_factory=list)
    slowest: float = 0.0
    peak_mb: int = 0

    def add(self, other: Outcome) -> None:
        self.counts.update(other.counts)
        self.faults += other.faults
        self.slowest = max(self.slowest, other.slowest)
        self.peak_mb = max(self.peak_mb, other.peak_mb)


def run(outcome: Outcome, kind: str, arguments: list[str]) -> tuple[int, str]:
    """(exit code, stderr) of `samvar ARGUMENTS` in this process; exit -1 on what must not be."""
    from click.testing import CliRunner

    from samvar.cli import main

    def too_long(*_: Any) -> None:
        raise TookTooLong

    for number, timer, times in (
        (signal.SIGPROF, signal.ITIMER_PROF, 1),
        (signal.SIGALRM, signal.ITIMER_REAL, WAITING),
    ):
        signal.signal(number, too_long)
        signal.setitimer(timer, times * LIMIT_SECONDS[kind])
    started = time.monotonic()
    try:
        result = CliRunner().invoke(main, arguments)
    except TookTooLong:
        return -1, f"still running after {LIMIT_SECONDS[kind]} s"
    finally:
        for timer in (signal.ITIMER_PROF, signal.ITIMER_REAL):
            signal.setitimer(timer, 0)
        outcome.slowest = max(outcome.slowest, time.monotonic() - started)
    if "internal error" in result.stderr or "Traceback" in result.stderr:
        return -1, result.stderr
    if result.exit_code not in (0, 1) or (result.exit_code and not result.stderr):
        return -1, f"exit {result.exit_code}: {result.stderr} {result.exception!r}"
    if result.exit_code and not result.stderr.splitlines()[-1].startswith("samvar: "):
        return -1, f"an error that does not say so: {result.stderr}"
    return result.exit_code, result.stderr


def records_of(path: str) -> list[bytes]:
    """Lines that are neither header nor blank, without their ends."""
    with open(path, "rb") as f:
        data = f.read()
    opened = gzip.decompress(data) if data[:2] == b"\x1f\x8b" else data
    lines = (line.rstrip(b"\r") for line in opened.split(b"\n"))
    body = False
    out = []
    for line in lines:
        if body and line.strip():
            out.append(line)
        body = body or line.startswith(b"#CHROM")
    return out


def check_records(before: list[bytes], path: str) -> tuple[Counter, str]:
    """(statuses of the output, what is wrong with it or nothing)."""
    after, statuses = records_of(path), Counter[str]()
    if len(after) != len(before):
        return statuses, f"{len(before)} records became {len(after)}"
    for old, new in zip(before, after):
        a, b = old.split(b"\t"), new.split(b"\t")
        own = a[7].rstrip(b"\r\n").removesuffix(b";")
        if a[:7] + a[8:] != b[:7] + b[8:] or (own not in (b"", b".") and not b[7].startswith(own)):
            return statuses, f"record changed: {old[:300]!r} -> {new[:300]!r}"
        alts = [] if a[4] in (b"", b".") else a[4].split(b",")
        found = re.findall(rb"(?:^|;)SAMVAR_STATUS=([^;]*)", b[7])
        given = found[0].decode().split(",") if found else []
        if len(found) != bool(alts) or len(given) != len(alts):
            return statuses, f"{len(alts)} ALT, statuses {found}: {new[:300]!r}"
        statuses.update(given)
    return statuses, ""


HEADER = b"##fileformat=VCFv4.2\n##contig=<ID=chr1,length=60000>\n##contig=<ID=chr2>\n"
COLUMNS = b"#CHROM\tPOS\tID\tREF\tALT\tQUAL\tFILTER\tINFO\tFORMAT\tS\n"


def soak_records(world: World, seed: int, records: int, keep: str | None) -> Outcome:
    """Records in one VCF; a line that is refused by its number is taken out."""
    outcome, rng = Outcome(), random.Random(f"records {seed}")
    end = rng.choice((b"\n", b"\n", b"\r\n"))
    header = (HEADER + COLUMNS).replace(b"\n", end).split(end)[:-1]
    breaking = BREAKING * (rng.random() < 0.1)
    lines = [record(world, rng, breaking) for _ in range(records)]
    path, out, stats = (os.path.join(world.folder, n) for n in ("x.vcf", "out.vcf", "stats.json"))
    arguments = [
        "annotate",
        path,
        "-f",
        world.fasta,
        "-a",
        world.annotation,
        "--model",
        world.model,
    ]
    arguments += ["-o", out, "--stats", stats, "--allow-ref-mismatch", "--threads", "1"]
    while True:
        data = end.join([*header, *lines]) + end
        with open(path, "wb") as f:
            f.write(data)
        code, stderr = run(outcome, "records", arguments)
        named = re.search(r", line (\d+)", stderr)
        if code == 1 and named and not os.path.exists(out):
            del lines[int(named[1]) - 1 - len(header)]
            outcome.counts["lines refused by number"] += 1
            continue
        break
    problem = stderr if code else ""
    if not code:
        before = [line for line in lines if line.strip()]
        statuses, problem = check_records(before, out)
        with open(stats) as f:
            told = json.load(f)
        if not problem and (
            told["records"] != len(before)
            or {k: v for k, v in told["statuses"].items() if v} != dict(statuses)
            or told["alleles"] != statuses.total()
        ):
            problem = f"--stats counts {told['records']}, {told['statuses']}; found {statuses}"
        outcome.counts.update({f"status {k}": n for k, n in statuses.items()})
        outcome.counts["records"] += len(before)
        outcome.counts["alleles"] += statuses.total()
        os.unlink(out)
    outcome.counts["records made"] += records
    if problem:
        fault(outcome, "records", seed, problem, [path], keep)
    outcome.peak_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
    return outcome


def fault(
    outcome: Outcome, kind: str, seed: int, problem: str, paths: list[str], keep: str | None
) -> None:
    outcome.faults.append((kind, str(seed), problem[-600:]))
    if keep:
        folder = os.path.join(keep, f"{kind}-{seed}".replace(" ", "-"))
        os.makedirs(folder, exist_ok=True)
        for path in paths:
            if os.path.exists(path):
                shutil.copy(path, folder)


# ----------------------------------------------------------------------------------- mutated files

META = (
    b'##fileformat=VCFv4.2\n##FILTER=<ID=q10,Description="Quality below 10">\n'
    b'##INFO=<ID=DP,Number=1,Type=Integer,Description="Depth, \\"all\\" reads">\n'
    b'##INFO=<ID=AF,Number=A,Type=Float,Description="x">\n'
    b'##FORMAT=<ID=GT,Number=1,Type=String,Description="Genotype">\n'
    b'##contig=<ID=chr1,length=60000,assembly="x y">\n##contig=<ID=chr2,length=704>\n'
    b"##contig=<ID=HLA-A*01:01,length=1500>\n##source=a=b,c<d>\n"
)


def annotations(world: World) -> dict[str, bytes]:
    """The same genes in every format."""
    with open(world.annotation, "rb") as f:
        gtf = f.read()
    gff, bed, table = (
        b"##gff-version 3\n",
        b"",
        b"#NAME\tCHROM\tSTRAND\tTX_START\tTX_END\tEXON_START",
    )
    canonical = b"gene\thas_paralog\tchrom\tstrand\ttx_start1\ttx_end1\texon_ends1\texon_starts1\n"
    table += b"\tEXON_END\n"
    for name, start, strand in GENES:
        first, last = start + EXONS[0][0], start + EXONS[-1][1]
        place = f"chr1\tx\t{{}}\t{{}}\t{{}}\t.\t{strand}\t.\t{{}}\n".format
        gff += place("gene", first, last, f"ID=gene:{name};Name=n{name}").encode()
        gff += place("mRNA", first, last, f"ID=t{name};Parent=gene:{name}").encode()
        for a, b in EXONS:
            gff += place("exon", start + a, start + b, f"Parent=t{name}").encode()
        starts = [start + a - 1 for a, _ in EXONS]
        ends = [start + b for _, b in EXONS]
        joined = [",".join(map(str, x)) + "," for x in (starts, ends)]
        table += f"{name}\tchr1\t{strand}\t{first - 1}\t{last}\t{joined[0]}\t{joined[1]}\n".encode()
        sizes = ",".join(str(b - a + 1) for a, b in EXONS)
        offsets = ",".join(str(a - EXONS[0][0]) for a, _ in EXONS)
        bed += (
            f"chr1\t{first - 1}\t{last}\tt{name}\t0\t{strand}\t{first - 1}\t{last}\t0\t3\t{sizes}"
            f"\t{offsets}\t{name}\n"
        ).encode()
        inner = [",".join(map(str, x)) + "," for x in (ends[:-1], [s + 1 for s in starts[1:]])]
        canonical += (
            f"{name}\t0\tchr1\t{strand}\t{first}\t{last}\t{inner[0]}\t{inner[1]}\n".encode()
        )
    return {"gtf": gtf, "gff3": gff, "bed12": bed, "table": table, "canonical": canonical}


def small_vcf(world: World) -> bytes:
    """A few records that fit the genome, in and out of genes."""
    out = META + COLUMNS
    for pos in (500, 2_150, 2_205, 30_000, 59_990):
        ref = world.contigs["chr1"][pos - 1].upper()
        alt = "A" if ref != "A" else "C"
        out += f"chr1\t{pos}\trs{pos}\t{ref}\t{alt}\t9\tPASS\tDP=3;AF=0.5\tGT\t0/1\n".encode()
    return out


def file_kinds(world: World) -> Iterator[tuple[str, bytes]]:
    """(kind, whole content) of everything that is mutated."""
    yield "vcf", small_vcf(world)
    yield "vcf.gz", gzip.compress(small_vcf(world), mtime=0)
    yield "bcf", bcf_of(world)
    yield from annotations(world).items()
    with open(world.fasta, "rb") as f:
        yield "fasta", f.read()[:3_000] + b"\n>chr2\n" + b"ACGT" * 50 + b"\n"
    yield "fai", b""  # written by samvar, then mutated
    yield "regions", b"chr1\t1\t5000\nchr1\t29000\t31000\nchr2\t1\t700\n"
    yield "bed", b"chr1\t0\t5000\nchr1\t29000\t31000\n"
    yield "genes", b"G0\nG3 G4\n"


def bcf_of(world: World) -> bytes:
    import pysam

    text, bcf = (os.path.join(world.folder, name) for name in ("whole.vcf", "whole.bcf"))
    with open(text, "wb") as f:
        f.write(small_vcf(world))
    with (
        pysam.VariantFile(text) as source,
        pysam.VariantFile(bcf, "wb", header=source.header) as out,
    ):
        for row in source:
            out.write(row)
    with open(bcf, "rb") as f:
        return f.read()


def soak_file(world: World, kinds: dict[str, bytes], seed: int, keep: str | None) -> Outcome:
    """One mutated file, given to a command."""
    outcome, rng = Outcome(), random.Random(f"file {seed}")
    kind = rng.choice(list(kinds))
    folder = tempfile.mkdtemp(dir=world.folder)
    path = os.path.join(folder, kind)
    vcf, fasta, annotation = os.path.join(folder, "whole.vcf"), world.fasta, world.annotation
    with open(vcf, "wb") as f:
        f.write(small_vcf(world))
    content = kinds[kind]
    if kind == "fai":
        fasta = shutil.copy(world.fasta, os.path.join(folder, "g.fa"))
        path = fasta + ".fai"
        with open(world.fasta + ".fai", "rb") as f:
            content = f.read()
    binary = kind in ("bcf", "vcf.gz")
    how = damaged if binary or rng.random() < 0.5 else shuffled
    if kind.startswith("vcf") and rng.random() < 0.7:  # the header alone
        meta, _, body = small_vcf(world).partition(COLUMNS)
        content = how(meta, rng) + COLUMNS + body
        content = gzip.compress(content, mtime=0) if kind == "vcf.gz" else content
    else:
        content = how(content, rng)
    with open(path, "wb") as f:
        f.write(content)
    if kind in ("vcf", "vcf.gz", "bcf"):
        vcf = path
    elif kind == "fasta":
        fasta = path
    elif kind not in ("fai", "regions", "bed", "genes"):
        annotation = path
    files = ["-f", fasta, "-a", annotation, "--model", world.model]
    out = os.path.join(folder, "out")
    form = rng.choice("vvvzbu")
    if kind == "genes":
        arguments = ["knockout", "--rbp", "AAA1", *files, "--genes", path, "-o", out]
        arguments += ["--threads", "1", "-r", "chr1:2000-2500"]
    elif kind not in ("regions", "bed") and rng.random() < 0.1:
        arguments = ["explain", "rs2205", "--vcf", vcf, *files, "--json", out]
    else:
        if kind == "bed":
            path = shutil.move(path, path + ".bed")
        arguments = ["annotate", vcf, *files, "-o", out, "-O", form, "--threads", "1"]
        arguments += ["-R", path] if kind in ("regions", "bed") else []
    code, stderr = run(outcome, "files", arguments)
    problem = stderr if code == -1 else ""
    if code == 1 and os.path.exists(out):
        problem = f"an error that left output: {stderr}"
    if code == 0 and arguments[0] == "annotate":
        problem = check_output(kind, form, vcf, out)
        if not problem and rng.random() < 0.1:
            code, stderr = run(outcome, "files", ["verify", out, *files, "--records", "3"])
            problem = stderr if code else ""
    outcome.counts[f"{kind}: {'refused' if code == 1 else 'accepted'}"] += 1
    outcome.counts["files"] += 1
    if problem:
        fault(outcome, f"file {kind}", seed, f"{arguments}: {problem}", [path, vcf, out], keep)
    shutil.rmtree(folder)
    outcome.peak_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
    return outcome


def check_output(kind: str, form: str, vcf: str, out: str) -> str:
    """What is wrong with an annotated file, or nothing."""
    if form in "vz" and kind not in ("bcf", "regions", "bed"):
        return check_records(records_of(vcf), out)[1]
    if form in "bu":
        import pysam

        try:
            with pysam.VariantFile(out) as file:
                written = sum(1 for _ in file)
        except (OSError, ValueError) as e:
            return f"unreadable BCF: {e}"
        if kind not in ("bcf", "regions", "bed") and written != len(records_of(vcf)):
            return f"{len(records_of(vcf))} records became {written} in BCF"
    return ""


# ------------------------------------------------------------------------------------------- pieces


def piece(kind: str, number: int, size: int, seed: int, keep: str | None) -> Outcome:
    """A piece of work: so many records or files. Runs in a process of its own."""
    import logging

    import torch

    torch.set_num_threads(1)
    logging.disable()
    os.dup2(os.open(os.devnull, os.O_WRONLY), 2)  # what htslib writes by itself
    outcome = Outcome()
    with tempfile.TemporaryDirectory() as folder:
        os.environ["XDG_CACHE_HOME"] = folder
        world = make_world(folder)
        if kind == "records":
            outcome.add(soak_records(world, seed * 1_000_000 + number, size, keep))
        else:
            kinds = dict(file_kinds(world))
            arguments = [
                "annotate",
                f"{folder}/whole.vcf",
                "-f",
                world.fasta,
                "-o",
                f"{folder}/out",
            ]
            arguments += ["-a", world.annotation, "--model", world.model]
            if run(outcome, "files", arguments)[0]:  # makes the index, too
                fault(outcome, "whole files", 0, "the unchanged files are refused", [], keep)
            for i in range(size):
                at = seed * 1_000_000 + number * FILES + i
                outcome.add(soak_file(world, kinds, at, keep))
    return outcome


def soak(arguments: argparse.Namespace) -> dict[str, Any]:
    work = sorted(  # evenly mixed, so that --minutes leaves both
        (start / wanted, kind, start // size, min(size, wanted - start))
        for kind, wanted, size in (
            ("records", arguments.records, RECORDS),
            ("files", arguments.files, FILES),
        )
        for start in range(0, wanted, size)
    )
    total, done, before = Outcome(), 0, 0.0
    if arguments.resume:
        total, done, before = _read(arguments)
    started = time.monotonic()
    context = multiprocessing.get_context("spawn")
    pool: ProcessPoolExecutor | None = None
    result = _result(arguments, total, done, len(work), before)
    for _, kind, number, size in work[done:]:
        if time.monotonic() - started > 60 * arguments.minutes:
            break
        pool = pool or ProcessPoolExecutor(1, mp_context=context)
        try:
            job = pool.submit(piece, kind, number, size, arguments.seed, arguments.keep)
            total.add(job.result())
        except BrokenProcessPool:
            total.faults.append((kind, f"piece {number}", "the process died"))
            pool = None
        done += 1
        seconds = before + time.monotonic() - started
        result = _result(arguments, total, done, len(work), seconds)
        _write(arguments, result)
        print(
            f"\r{done} of {len(work)} pieces, {len(total.faults)} faults, {seconds:.0f} s, "
            f"{total.peak_mb} MB",
            end="",
            flush=True,
        )
    if pool:
        pool.shutdown()
    print()
    return result


def _result(
    arguments: argparse.Namespace, total: Outcome, done: int, pieces: int, seconds: float
) -> dict[str, Any]:
    faults = [dict(kind=k, seed=s, problem=p) for k, s, p in total.faults]
    if total.peak_mb > LIMIT_MB:
        problem = f"{total.peak_mb} MB, at most {LIMIT_MB} are allowed"
        faults.append(dict(kind="memory", seed="", problem=problem))
    return dict(
        seed=arguments.seed,
        wanted=dict(records=arguments.records, files=arguments.files),
        complete=done == pieces,
        pieces=done,
        records=total.counts["records made"],
        files=total.counts["files"],
        minutes=round(seconds / 60, 1),
        slowest_run_seconds=round(total.slowest, 1),
        peak_mb=total.peak_mb,
        counts=dict(sorted(total.counts.items())),
        faults=faults,
    )


def _read(arguments: argparse.Namespace) -> tuple[Outcome, int, float]:
    """What an earlier run of the same work has found, the pieces that it did, and its seconds."""
    with open(arguments.json) as f:
        found = json.load(f)
    same = dict(seed=arguments.seed, wanted=dict(records=arguments.records, files=arguments.files))
    if any(found.get(key) != value for key, value in same.items()):
        sys.exit(f"{arguments.json} is of other work: start anew, without --resume")
    faults = [(f["kind"], f["seed"], f["problem"]) for f in found["faults"]]
    total = Outcome(
        Counter(found["counts"]),
        [fault for fault in faults if fault[0] != "memory"],
        found["slowest_run_seconds"],
        found["peak_mb"],
    )
    return total, found["pieces"], 60 * found["minutes"]


def _write(arguments: argparse.Namespace, result: dict[str, Any]) -> None:
    part = f"{arguments.json}.part"
    with open(part, "w") as f:
        f.write(json.dumps(result, indent=1) + "\n")
    os.replace(part, arguments.json)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--records", type=int, default=1_000_000)
    parser.add_argument("--files", type=int, default=10_000)
    parser.add_argument("--minutes", type=float, default=1e9, help="stop after so many")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--resume", action="store_true", help="go on from what --json holds")
    parser.add_argument("--keep", help="folder for the inputs of faults")
    results = os.path.join(os.path.dirname(os.path.abspath(__file__)), "results", "soak.json")
    parser.add_argument("--json", default=results)
    arguments = parser.parse_args()
    result = soak(arguments)
    for entry in result["faults"][:20]:
        print(entry)
    sys.exit(bool(result["faults"]))


if __name__ == "__main__":
    main()
