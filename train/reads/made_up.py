#!/usr/bin/env python3
"""Made-up reads as of RNA Bind-n-Seq, with a known answer:

    python train/reads/made_up.py FOLDER

input.fastq.gz, fox.fastq.gz, none.fastq.gz: 20,000 reads of 40 random bases each. In `fox` a half
of the reads has UGCAUG at a random place, or, one in four of these, GCAUG after another base.
"""

from __future__ import annotations

import gzip
import os
import sys

import numpy as np

READS, LENGTH = 20_000, 40
MOTIF, WEAKER = "TGCATG", ("AGCATG", "CGCATG", "GGCATG")
BOUND, WEAK = 0.5, 0.25


def reads(seed: int, planted: bool) -> list[str]:
    rng = np.random.default_rng(seed)
    made = []
    for _ in range(READS):
        bases = "".join(rng.choice(list("ACGT"), LENGTH))
        if planted and rng.random() < BOUND:
            motif = WEAKER[rng.integers(3)] if rng.random() < WEAK else MOTIF
            at = rng.integers(LENGTH - len(motif) + 1)
            bases = bases[:at] + motif + bases[at + len(motif) :]
        made.append(bases)
    return made


def write(folder: str) -> None:
    for seed, name in enumerate(("input", "fox", "none")):
        text = "".join(
            f"@{name}{i}\n{bases}\n+\n{'I' * LENGTH}\n"
            for i, bases in enumerate(reads(seed, name == "fox"), 1)
        )
        with gzip.GzipFile(os.path.join(folder, f"{name}.fastq.gz"), "wb", mtime=0) as handle:
            handle.write(text.encode())


if __name__ == "__main__":
    write(sys.argv[1])
