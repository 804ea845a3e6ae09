#!/usr/bin/env python3
"""What SpliceAI or MMSplice say of substitutions beside exons; `exons.py` runs it in the program's
own environment.

    PEERS/spliceai/bin/python train/evaluate/outside.py spliceai < ASKED.tsv > SAID.tsv
    PEERS/mmsplice/bin/python train/evaluate/outside.py mmsplice < ASKED.tsv > SAID.tsv

A line of ASKED: key, sequence without and with the substitution, in transcript orientation: the
exon with as many bases on either side as the program takes (SpliceAI: 5,000, N unknown; MMSplice:
100). The same line of SAID: key, and SpliceAI: probabilities of acceptor and donor, without and
with it, mean of its five models; MMSplice: the change in the logit of inclusion.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Iterator
from itertools import islice

Pair = tuple[str, str]  # sequence without and with the substitution
CONTEXT = 5000  # bases on either side that SpliceAI sees
STEP = 200  # exons are lengthened to a multiple of so many bases
OVERHANG = 100  # bases on either side that MMSplice sees
TOGETHER = 64  # pairs that MMSplice is shown at once


def spliceai(pairs: Iterator[Pair]) -> Iterator[tuple[float, ...]]:
    import numpy as np
    from pkg_resources import resource_filename
    from spliceai.utils import one_hot_encode
    from tensorflow.keras.models import load_model

    files = [resource_filename("spliceai", f"models/spliceai{i}.h5") for i in range(1, 6)]
    models = [load_model(file, compile=False) for file in files]

    def sites(sequence: str) -> tuple[float, float]:
        last = len(sequence) - 2 * CONTEXT - 1
        fill = -(last + 1) % STEP  # N beyond what the last base sees; of each length one graph
        x = one_hot_encode(sequence + "N" * fill)[None]
        p = np.mean([model.predict_on_batch(x)[0] for model in models], 0)
        return float(p[0, 1]), float(p[last, 2])

    last, said = "", (0.0, 0.0)
    for ref, alt in pairs:
        if ref != last:
            last, said = ref, sites(ref)
        yield (*said, *sites(alt))


def mmsplice(pairs: Iterator[Pair]) -> Iterator[tuple[float, ...]]:
    from mmsplice import MMSplice
    from mmsplice.utils import encodeDNA, predict_deltaLogitPsi

    model = MMSplice()

    def modules(sequences):
        parts = [model.spliter.split(s, (OVERHANG, OVERHANG)) for s in sequences]
        batch = {name: encodeDNA([p[name] for p in parts]) for name in parts[0]}
        return model.predict_modular_scores_on_batch(batch)

    while some := list(islice(pairs, TOGETHER)):
        ref, alt = zip(*some)
        yield from ((float(v),) for v in predict_deltaLogitPsi(modules(ref), modules(alt)))


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("program", choices=("spliceai", "mmsplice"))
    args = parser.parse_args()
    out = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what the program prints itself is no answer
    lines = [line.rstrip("\n").split("\t") for line in sys.stdin]
    say = {"spliceai": spliceai, "mmsplice": mmsplice}[args.program]
    for (key, *_), numbers in zip(lines, say((ref, alt) for _, ref, alt in lines)):
        print(key, *(f"{v:.7g}" for v in numbers), sep="\t", file=out, flush=True)


if __name__ == "__main__":
    main()
