#!/usr/bin/env python3
"""Run a command, and print what it took as JSON: exit code, seconds, peak MB, seconds of CPU.

    python tests/benchmarks/launch.py COMMAND ...

The memory is that of the program and the processes that it makes, what they share counted once
(PSS), looked at twice a second on Linux; elsewhere, and where that is less, the peak of the largest
of them. A small process of its own: what a large one starts begins with that one's peak memory.
"""

import argparse
import json
import resource
import subprocess
import sys
import time

LOOK = 0.5  # seconds


def with_children(pid: int) -> list[int]:
    """A process and all that it, or one of them, has made."""
    with open(f"/proc/{pid}/task/{pid}/children") as f:
        return [pid, *(each for child in f.read().split() for each in with_children(int(child)))]


def shared_out(pid: int) -> float:
    """Memory of a process in MB, of what n processes share the n-th part."""
    with open(f"/proc/{pid}/smaps_rollup") as f:
        return sum(int(line.split()[1]) / 1024 for line in f if line.startswith("Pss:"))


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("command", nargs=argparse.REMAINDER)
    command = parser.parse_args().command
    if not command:
        parser.error("give a command")
    started, peak = time.monotonic(), 0.0
    quiet = dict(stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    with subprocess.Popen(command, **quiet) as process:
        while True:
            try:
                code = process.wait(LOOK)
                break
            except subprocess.TimeoutExpired:
                pass
            try:
                peak = max(peak, sum(map(shared_out, with_children(process.pid))))
            except OSError:  # no Linux, or one has just ended
                pass
    seconds, used = time.monotonic() - started, resource.getrusage(resource.RUSAGE_CHILDREN)
    largest = used.ru_maxrss / (1 << 20 if sys.platform == "darwin" else 1 << 10)
    print(json.dumps([code, seconds, max(peak, largest), used.ru_utime + used.ru_stime]))


if __name__ == "__main__":
    main()
