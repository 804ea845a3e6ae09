#!/usr/bin/env python3
"""`samvar serve` under load, on a synthetic genome.

    python tests/benchmarks/serve.py [--queries 1000] [--at-once 20] [--beside "what else runs"]

One query after the other, which gives the time of a warm answer; then all queries, so many at once:
SNVs, small regions, REFs of another build and nonsense. Every query must come back with its own
answer, or its own error. The server's memory grows until all tensors of the reference that it keeps
are there; in the last quarter it must be within 5 % of that in the third.
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
import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple
from urllib.error import HTTPError
from urllib.parse import urlencode
from urllib.request import urlopen

import numpy as np

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from memory import GENE, GENES_FROM, LENGTH, SPACE, make_inputs  # noqa: E402
from speed import machine, model  # noqa: E402

ALLOWED = 1.05
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


class Memory:
    """Resident memory of a process (MB), looked at twice a second."""

    def __init__(self, pid: int):
        self.sizes: list[float] = []
        self._pid, self._over = pid, threading.Event()
        self._thread = threading.Thread(target=self._watch)

    def _watch(self) -> None:
        while not self._over.wait(0.5):
            with open(f"/proc/{self._pid}/status") as f:
                (size,) = (line.split()[1] for line in f if line.startswith("VmRSS"))
            self.sizes.append(int(size) / 1024)

    def __enter__(self) -> Memory:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def quarters(self) -> list[float]:
        """The mean of each quarter of the time."""
        return [round(float(part.mean()), 1) for part in np.array_split(self.sizes, 4)]


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
            with Memory(server.pid) as memory, ThreadPoolExecutor(arguments.at_once) as clients:
                came = list(clients.map(lambda query: ask(address, query), asked))
            seconds, cpu = time.monotonic() - start, cpu_seconds(server.pid) - before
            server.send_signal(signal.SIGINT)
            stopped = time.monotonic()
            server.wait()
            stopped = time.monotonic() - stopped
    quarters = memory.quarters()
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
        memory_mb=dict(quarters=quarters, ratio=round(quarters[3] / quarters[2], 3)),
        seconds_to_stop=round(stopped, 2),
        within=sum(c.right for c in came) == len(asked) and quarters[3] < ALLOWED * quarters[2],
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
