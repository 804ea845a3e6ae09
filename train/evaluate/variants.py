#!/usr/bin/env python3
"""AUROC and AUPRC of samvar's scores on measured variants, which no training ever sees.

    python train/evaluate/variants.py DATA --model default --json OUT [--table OUT.tsv.gz]
    python train/evaluate/variants.py DATA --teacher SEED.pt ... --json OUT [--table OUT.tsv.gz]

Sets (dev halves): MFASS (change of exon inclusion <= -0.5), CI-SpliceAI functional (affects
splicing), ClinVar intronic (SNVs 3 to 50 bases from a canonical splice site, (likely) pathogenic
against (likely) benign, no conflicts). Rows whose reference sequence is out of reach are left out;
rows that samvar cannot score are counted apart. Each set as a whole, without BRCA1 and BRCA2, on
validation and test chromosomes only, and by class: indels, SNVs within a core site (20 intronic and
3 exonic bases of an acceptor, 3 and 6 of a donor, of any transcript), other exonic and other
intronic SNVs. The score is SAMVAR_MAX, and for each set as a whole also that of --mask. Intervals:
95 % bootstrap over exons (MFASS), transcripts (CI-SpliceAI) or genes (ClinVar), whose rows stay
together. `--table`: every row with its class, score and cluster. No training saw a variant, but
most lie in genes of the train chromosomes. `--teacher`: the mean of OpenSpliceAI's seeds in the
place of a bundle, on the same windows with its own context.
"""

from __future__ import annotations

import argparse
import gzip
import os
from collections import Counter
from collections.abc import Iterator
from contextlib import closing
from types import SimpleNamespace

import numpy as np
import torch
from common import (
    HELD_OUT,
    MIN_OF_EACH,
    SETS,
    Measured,
    auprc,
    auroc,
    bootstrap,
    in_words,
    measure,
    save,
)

from samvar.genomics.window import Window
from samvar.model.bundle import load_bundle
from samvar.model.sam import ACCEPTOR, DONOR, one_hot
from samvar.scoring.predictor import Predictor, ScoredWindow
from samvar.training.cnn import load_openspliceai

COLUMNS = ("set", "chrom", "pos", "ref", "alt", "class", "label", "SAMVAR_MAX", "cluster")


class Teacher:
    """OpenSpliceAI's seeds in the place of a `Predictor`."""

    def __init__(self, paths: list[str]):
        self.models = [load_openspliceai(path) for path in paths]
        reach = self.models[0].reach
        self.bundle, self.reach = SimpleNamespace(flank=0), (reach, reach)

    @torch.inference_mode()
    def score(self, window: Window) -> ScoredWindow:
        haplotypes = []
        for codes in (window.ref, window.alt):
            x = one_hot(torch.from_numpy(codes.copy())[None])
            p = torch.stack([m(x)[0, [ACCEPTOR, DONOR]].exp() for m in self.models])
            haplotypes.append(window.to_genome(p.numpy()))
        return ScoredWindow(window, *haplotypes)

    def map(self, function, items) -> Iterator:
        return map(function, items)

    def close(self) -> None:
        """As a `Predictor` has it: nothing to end."""


def subsets(rows: list[Measured]) -> dict[str, list[Measured]]:
    """All rows, and the parts that are reported."""
    parts = {
        "all": rows,
        "without BRCA1, BRCA2": [m for m in rows if not m.symbols & {"BRCA1", "BRCA2"}],
        "validation and test chromosomes": [m for m in rows if m.row["chrom"] in HELD_OUT],
    }
    return parts | {
        k: [m for m in rows if m.kind == k] for k in ("core site", "exonic", "intronic", "indel")
    }


def areas(rows: list[Measured], value: np.ndarray, about: dict) -> dict[str, dict]:
    """Both areas of `value` (one a row) for every subset that has enough of both labels."""
    of = {id(m): v for m, v in zip(rows, value)}
    found = {}
    for part, some in subsets(rows).items():
        label = np.array([m.label for m in some], bool)
        if min(label.sum(), (~label).sum()) >= MIN_OF_EACH and (
            part == "all" or len(some) < len(rows)
        ):
            v, cluster = np.array([of[id(m)] for m in some]), [m.cluster for m in some]
            found[part] = about | dict(
                n=len(some),
                positive=int(label.sum()),
                clusters=len(set(cluster)),
                auroc=bootstrap(auroc, label, v, cluster),
                auprc=bootstrap(auprc, label, v, cluster),
            )
    return found


def _named(cluster: object) -> str:
    return ":".join(cluster) if isinstance(cluster, tuple) else str(cluster)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("data", help="folder with genome/, annotation/ and variants/")
    parser.add_argument("--model", default="default")
    parser.add_argument("--teacher", nargs="+", help="OpenSpliceAI state dicts")
    parser.add_argument("--json", required=True)
    parser.add_argument("--table", help="TSV.gz of every row")
    args = parser.parse_args()
    predictor: Teacher | Predictor
    if args.teacher:
        predictor, about = Teacher(args.teacher), dict(model="OpenSpliceAI")
    else:
        bundle = load_bundle(args.model)
        predictor = Predictor(bundle, threads=os.cpu_count() or 1)
        about = dict(bundle=bundle.name, kind=bundle.kind, sha256=bundle.sha256)
    about["score"] = "SAMVAR_MAX"
    result, lines = {}, []
    with closing(predictor):
        for chosen in SETS:
            rows = measure(args.data, chosen, predictor)
            scored = [m for m in rows if m.max is not None]
            counts = Counter(m.status.name for m in rows)
            value = np.array([m.max for m in scored])
            for part, numbers in areas(scored, value, about).items():
                extra = (
                    dict(not_scored=len(rows) - len(scored), statuses=counts)
                    if part == "all"
                    else {}
                )
                result[f"{chosen.title}{'' if part == 'all' else ': ' + part}"] = numbers | extra
                print(
                    chosen.title,
                    part,
                    numbers["n"],
                    numbers["positive"],
                    numbers["auroc"],
                    numbers["auprc"],
                )
            masked = areas(
                scored,
                np.array([m.masked for m in scored]),
                about | dict(score="SAMVAR_MAX, --mask"),
            )
            result[f"{chosen.title}: --mask"] = masked["all"]
            print(chosen.title, "--mask", masked["all"]["auroc"], masked["all"]["auprc"])
            lines += [
                [
                    chosen.title,
                    *(m.row[k] for k in ("chrom", "pos", "ref", "alt")),
                    m.kind,
                    int(m.label),
                    "." if m.max is None else f"{m.max:.6g}",
                    _named(m.cluster),
                ]
                for m in rows
            ]
    save(args.json, result)
    if args.table:
        with gzip.open(args.table, "wt") as f:
            for line in [[*COLUMNS], *lines]:
                f.write("\t".join(map(str, line)) + "\n")


if __name__ == "__main__":
    in_words(main)
