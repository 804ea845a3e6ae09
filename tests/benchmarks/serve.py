#!/usr/bin/env python3
"""`samvar serve` under load, on a synthetic genome.

    python tests/benchmarks/serve.py [--queries 1000] [--at-once 20] [--beside "what else runs"]

One query after the other, which gives the time of a warm answer; then all queries, so many at once:
SNVs, small regions, REFs of another build and nonsense. Every query must come back with its own
answer, or its own error. The server's memory is looked at after every 200 answers. It grows until
all tensors of the reference that it keeps are there; from the third look on it may grow by 5 %.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import re
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor, as_completed
from typing import Any, NamedTuple
from urllib.error import HTTPError
from urllib.parse import urlencode
from urllib.request import urlopen

import numpy as np

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from memory import GENE, GENES_FROM, LENGTH, SPACE, make_inputs  # noqa: E402
from speed import machine, model  # noqa: E402

ALLOWED = 1.05
LOOK = 200  # answers between two looks at the memory
FILLED = 2  # looks until the kept tensors are there
ALONE = 30  # queries, one after the other
REGION = 60  # bases
RETRIES = 100  # of a query that is told to come again


class Query(NamedTuple):
    """What is asked, and what must come back: a status of HTTP, and words of the body."""

    kind: str
    text: str
    status: int
    words: str


class Came(NamedTuple):
    """What came back: seconds from the first try on, how often the server was busy, and whether it
    is what must come back."""

    kind: str
    seconds: float
    busy: int
    right: bool


def queries(bases: np.ndarray, count: int, seed: int) -> list[Query]:
    """One in 20 of another build, one in 20 nonsense, one in 20 a region; else SNVs in genes."""
    rng = random.Random(seed)
    starts = range(GENES_FROM, LENGTH - GENE, SPACE)
    made = []
    for i in range(count):
        pos = rng.choice(starts) + rng.randint(100, GENE - 100)
        ref = chr(bases[pos - 1])
        alt, other = rng.sample([b for b in "ACGT" if b != ref], 2)
        kind = {0: "other build", 1: "nonsense", 2: "region"}.get(i % 20, "SNV")
        made.append(
            {
                "SNV": Query(kind, f"c:{pos}:{ref}:{alt}", 200, f'"pos": {pos},'),
                "region": Query(kind, f"c:{pos}-{pos + REGION - 1}", 200, f'"pos": {pos},'),
                "other build": Query(kind, f"c:{pos}:{other}:{alt}", 422, f"has {ref} there"),
                "nonsense": Query(kind, f"nonsense {i}", 422, f"'nonsense {i}' is none"),
            }[kind]
        )
    rng.shuffle(made)
    return made


def ask(address: str, query: Query) -> Came:
    start, busy = time.monotonic(), 0
    url = f"{address}api/answer?{urlencode(dict(query=query.text))}"
    for _ in range(RETRIES):
        try:
            with urlopen(url, timeout=600) as answer:
                status, body = answer.status, answer.read().decode()
        except HTTPError as e:
            status, body = e.code, e.read().decode()
            if status == 503:
                busy += 1
                time.sleep(float(e.headers["Retry-After"]))
                continue
        right = status == query.status and query.words in body
        return Came(query.kind, time.monotonic() - start, busy, right)
    return Came(query.kind, time.monotonic() - start, busy, False)


def cpu_seconds(pid: int) -> float:
    """CPU time that a process has taken."""
    with open(f"/proc/{pid}/stat") as f:
        user, system = f.read().rpartition(")")[2].split()[11:13]
    return (int(user) + int(system)) / os.sysconf("SC_CLK_TCK")


def resident(pid: int) -> float:
    """Memory that a process holds, MB."""
    with open(f"/proc/{pid}/status") as f:
        (size,) = (line.split()[1] for line in f if line.startswith("VmRSS"))
    return int(size) / 1024


def asked_all(
    address: str, asked: list[Query], at_once: int, pid: int
) -> tuple[list[Came], dict[int, float]]:
    """All answers, so many at once, and the server's memory (MB) after every `LOOK` of them."""
    sizes = {0: resident(pid)}
    came = []
    with ThreadPoolExecutor(at_once) as clients:
        jobs = [clients.submit(ask, address, query) for query in asked]
        for job in as_completed(jobs):
            came.append(job.result())
            if len(came) % LOOK == 0:
                sizes[len(came)] = resident(pid)
    return came, sizes


def growth(sizes: dict[int, float]) -> tuple[float, float]:
    """From the look on at which the kept tensors are there: MB for 1,000 queries (the line through
    all looks), and the last size to the first."""
    counts, values = (list(each)[FILLED:] for each in (sizes, sizes.values()))
    return 1000 * float(np.polyfit(counts, values, 1)[0]), values[-1] / values[0]


def measure(arguments: argparse.Namespace) -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as folder:
        fasta, gtf, bases = make_inputs(folder)
        files = ["-f", fasta, "-a", gtf, "--port", "0", "--threads", str(arguments.threads)]
        command = [sys.executable, "-m", "samvar.cli", "serve", *files]
        # the bases are random: no intron looks like one
        command.append("--allow-annotation-mismatch")
        with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as server:
            assert server.stderr
            told = (re.search(r"http://\S+?/", line) for line in server.stderr)
            address = next(line[0] for line in told if line)
            for query in queries(bases, 5, 1):  # warms up
                ask(address, query)
            before = cpu_seconds(server.pid)
            alone = [ask(address, q) for q in queries(bases, ALONE, 2) if q.kind == "SNV"]
            of_one = (cpu_seconds(server.pid) - before) / len(alone)
            asked = queries(bases, arguments.queries, 3)
            start, before = time.monotonic(), cpu_seconds(server.pid)
            came, sizes = asked_all(address, asked, arguments.at_once, server.pid)
            seconds, cpu = time.monotonic() - start, cpu_seconds(server.pid) - before
            server.send_signal(signal.SIGINT)
            stopped = time.monotonic()
            server.wait()
            stopped = time.monotonic() - stopped
    slope, ratio = growth(sizes)
    snvs = sorted(c.seconds for c in came if c.kind == "SNV")
    return dict(
        machine=machine(),
        beside=arguments.beside,
        model=model(),
        threads=arguments.threads,
        warm_seconds=dict(
            queries=len(alone),
            median=round(statistics.median(c.seconds for c in alone), 3),
            most=round(max(c.seconds for c in alone), 3),
            cpu=round(of_one, 3),
        ),
        queries=len(came),
        at_once=arguments.at_once,
        kinds=dict(Counter(c.kind for c in came)),
        right=sum(c.right for c in came),
        told_to_come_again=sum(c.busy for c in came),
        seconds=round(seconds, 1),
        cpu_seconds=round(cpu, 1),
        seconds_of_an_snv=dict(
            median=round(statistics.median(snvs), 2), p99=round(snvs[int(0.99 * len(snvs))], 2)
        ),
        memory_mb=dict(
            after_queries={count: round(size, 1) for count, size in sizes.items()},
            slope_per_1000_queries=round(slope, 1),
            ratio=round(ratio, 3),
        ),
        seconds_to_stop=round(stopped, 2),
        within=sum(c.right for c in came) == len(asked) and ratio < ALLOWED,
    )


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--queries", type=int, default=1000)
    parser.add_argument("--at-once", type=int, default=20)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--beside", default="nothing", help="what else runs on the machine")
    results = os.path.join(os.path.dirname(os.path.abspath(__file__)), "results", "serve.json")
    parser.add_argument("--json", default=results)
    arguments = parser.parse_args()
    result = measure(arguments)
    text = json.dumps(result, indent=1)
    print(text)
    with open(arguments.json, "w") as f:
        f.write(text + "\n")
    sys.exit(not result["within"])


if __name__ == "__main__":
    main()
