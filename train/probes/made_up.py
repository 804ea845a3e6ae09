#!/usr/bin/env python3
"""A made-up table in the format of RNAcompete, with a known answer:

    python train/probes/made_up.py OUT.txt.gz

4,000 probes of 38 to 41 random bases, a fourth of them of set B; a third has UGCAUG, a third
UGUAAAUA at a random place. Experiments: FOX, 10 where UGCAUG is; PUM, 10 where UGUAAAUA is; NONE, 0
everywhere. Noise of standard deviation 1 is added to all; a fifth of the intensities is missing.
"""

from __future__ import annotations

import gzip
import sys

import numpy as np

PROBES = 4000
FOX, PUM = "UGCAUG", "UGUAAAUA"
SIGNAL, KNOWN = 10.0, 0.8


def rows() -> list[tuple[str, ...]]:
    """The header and a row for each probe."""
    rng = np.random.default_rng(7)
    made = [("Probe_Set", "RNA_Seq", "FOX", "PUM", "NONE")]
    for i in range(PROBES):
        bases = "".join(rng.choice(list("ACGU"), rng.integers(38, 42)))
        motif = (FOX, PUM, "")[i % 3]
        at = rng.integers(len(bases) - len(motif))
        bases = bases[:at] + motif + bases[at + len(motif) :]
        signal = SIGNAL * (FOX in bases), SIGNAL * (PUM in bases), 0.0
        cells = [f"{v + rng.normal():.3f}" if rng.random() < KNOWN else "NaN" for v in signal]
        made.append(("SetB" if i % 4 == 3 else "SetA", bases, *cells))
    return made


def write(path: str) -> None:
    text = "".join("\t".join(row) + "\n" for row in rows())
    with gzip.GzipFile(path, "wb", mtime=0) as handle:
        handle.write(text.encode())


if __name__ == "__main__":
    write(sys.argv[1])
