#!/usr/bin/env python3
"""Alleles that a protein binds less, and exons that change without it: does the model move the exon
the same way?

    python train/evaluate/bound_alleles.py DATA --model paper --json OUT

tables/asb_exons.csv: SNVs with more eCLIP reads of a protein on one allele (Yang 2019), each with
an exon and its change of PSI upon knock-down of that protein; rows of `samp` ctrl are controls
without allele-specific binding. The less bound allele should act as the knock-down does: its sign
is that of the change of log2 p, mean of the exon's acceptor and donor, from the allele with more
reads to the other. (The table does not say so, but PSI must be that of the knock-down minus that
of the control: exons change by less than 0 in most rows of SRSF1.) Used are rows whose SNV, exon
and the bases around both are known in hg19, with a change of PSI other than 0; rows of one SNV,
exon and protein are averaged; where the model's change is below LEAST it has no sign. 95 %:
bootstrap over SNVs. `in_model`: rows of proteins that the bundle has motifs of.
"""

from __future__ import annotations

import argparse
import csv
import os
from collections import defaultdict
from typing import NamedTuple

import numpy as np
import torch
from common import save
from exon_classes import interval

from samvar.genomics.genome import UNKNOWN, Genome, reverse_complement
from samvar.model.bundle import load_bundle
from samvar.model.sam import ACCEPTOR, DONOR, SAM, one_hot

EDGE = 200  # bases around the exon that are scored
LONGEST = 1000  # exons
LEAST = 0.001  # change of log2 p
RESAMPLES = 1000


class Row(NamedTuple):
    """An SNV, `at` 0-based, with `bound` and `less` bound allele on the forward strand, and an exon
    [start, end), 0-based."""

    protein: str
    sample: str
    contig: str
    strand: str
    start: int
    end: int
    at: int
    bound: str
    less: str


def read_rows(path: str) -> dict[Row, float]:
    """Mean change of PSI in percent."""
    found = defaultdict(list)
    with open(path) as handle:
        for r in csv.DictReader(handle):
            row = Row(
                r["RBP"],
                r["samp"],
                r["chr"],
                r["strand"],
                int(r["start"]),
                int(r["end"]),
                int(r["asb_Coordinate"]) - 1,
                r["asb_Major allele"],
                r["asb_Minor allele"],
            )
            found[row].append(float(r["dPSI"]))
    return {row: float(np.mean(changes)) for row, changes in found.items()}


@torch.inference_mode()
def effect(model: SAM, genome: Genome, row: Row) -> float | None:
    """Change of log2 p from the bound allele to the other, mean of acceptor and donor; None where
    the sequence is not known or is not that of either allele, or the SNV lies elsewhere."""
    contig = genome.contig(row.contig)
    left, right = model.config.reach
    before, after = (left, right) if row.strand == "+" else (right, left)
    first = row.start - EDGE - before
    length = row.end - row.start
    if contig is None or length > LONGEST or not row.start - EDGE <= row.at < row.end + EDGE:
        return None
    codes = genome.codes(contig, first, row.end + EDGE + after)
    alleles = ["ACGT".index(base) for base in (row.bound, row.less)]
    if (codes == UNKNOWN).any() or codes[row.at - first] not in alleles:
        return None
    both = []
    for allele in alleles:
        own = codes.copy()
        own[row.at - first] = allele
        both.append(own if row.strand == "+" else reverse_complement(own))
    log_p = model(one_hot(torch.from_numpy(np.stack(both)))).double()
    exon = log_p[:, ACCEPTOR, EDGE] + log_p[:, DONOR, EDGE + length - 1]
    return float((exon[1] - exon[0]) / (2 * np.log(2)))


def agreement(told: list[tuple[Row, float, float]]) -> dict:
    """Of rows with their change of PSI and the model's: how many have the same sign, and the share
    of them with its interval over SNVs."""
    signed = [t for t in told if abs(t[2]) >= LEAST]
    same = np.array([np.sign(psi) == np.sign(moved) for _, psi, moved in signed], bool)
    snvs = sorted({(row.contig, row.at) for row, _, _ in signed})
    about = dict(rows=len(told), with_sign=len(signed), snvs=len(snvs), same_sign=int(same.sum()))
    if not signed:
        return about
    which = [snvs.index((row.contig, row.at)) for row, _, _ in signed]
    n = len(snvs)
    drawn = np.random.default_rng(0).multinomial(n, np.ones(n) / n, RESAMPLES)
    weights = np.concatenate((np.ones((1, n), int), drawn))[:, which]
    return about | dict(share=interval((weights * same).sum(1) / weights.sum(1)))


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("data", help="folder with genome/ and tables/")
    parser.add_argument("--model", default="paper")
    parser.add_argument("--json", required=True)
    args = parser.parse_args()
    genome = Genome(os.path.join(args.data, "genome/hg19.fa.gz"))
    changes = read_rows(os.path.join(args.data, "tables/asb_exons.csv"))
    result: dict = dict(of_rows=len(changes))
    for kind in ("am", "fm"):
        bundle = load_bundle(f"{args.model}:{kind}")
        told = []
        for row, change in changes.items():
            moved = effect(bundle.models[0], genome, row)
            if moved is not None and change:
                told.append((row, change, moved))
        result[kind] = dict(
            sha256=bundle.sha256,
            in_model=sum(row.protein in bundle.rbps for row, _, _ in told),
            rows=[row._asdict() | dict(psi=psi, log2=moved) for row, psi, moved in told],
        )
        for sample in ("ASB", "ctrl"):
            result[kind][sample] = agreement([t for t in told if t[0].sample == sample])
            print(kind, sample, result[kind][sample], flush=True)
    save(args.json, result)


if __name__ == "__main__":
    main()
