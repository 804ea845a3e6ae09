#!/usr/bin/env python3
"""Mean effect of hexamers in exons against measured ones.

    python train/evaluate/hexamers.py DATA default runs/am ... --teacher SEED.pt ... --json OUT
    python train/evaluate/hexamers.py DATA --tables GIA.tsv ... --json OUT

HEXAMERS hexamers, drawn once, are written into the middle of EXONS exons of validation genes (a
hundred bases or more long). The effect of a hexamer is the mean change of the
log-odds of both sites of the exon over the exons. Measured: mean score of the 7-mers that hold the
hexamer (Ke 2018, saturation mutagenesis of WT1 exon 5). Spearman, 95 % bootstrap over hexamers.

--tables: the importances in tables of `samvar gia` (of --kmers 6 or of a list of hexamers) instead.
--list OUT.txt writes the hexamers that are drawn, for its --patterns-file.
"""

from __future__ import annotations

import argparse
import csv
import os
from collections import defaultdict

import numpy as np
import torch
from common import save
from exons import (
    CONTEXT,
    FLANK,
    Exon,
    Network,
    correlation,
    sam_network,
    sequence,
    teacher_network,
)
from tqdm import tqdm

from samvar.formats.annotation import load_annotation
from samvar.genomics.genome import Genome, encode
from samvar.model.sam import ACCEPTOR, DONOR, one_hot

VALIDATION = ("chr1", "chr3")
HEXAMERS, EXONS = 200, 20
WIDTH = 6
LEAST = 100  # bases of an exon


def measured_hexamers(path: str) -> dict[str, float]:
    """Hexamer -> mean score of the 7-mers that hold it."""
    scores = defaultdict(list)
    with open(path) as f:
        for seven, score, *_ in csv.reader(f):
            for hexamer in {seven[:WIDTH], seven[1:]}:
                scores[hexamer].append(float(score))
    return {hexamer: float(np.mean(s)) for hexamer, s in sorted(scores.items())}


def candidates(data: str) -> list[tuple[Exon, np.ndarray]]:
    """Internal exons of validation genes with known sequence around them."""
    genome = Genome(os.path.join(data, "genome", "hg19.fa.gz"))
    annotation = load_annotation(os.path.join(data, "annotation", "canonical.hg19.tsv.gz"))
    found = []
    for gene in annotation.genes:
        if gene.contig not in VALIDATION:
            continue
        for start, end in list(gene.chosen.exons)[1:-1]:
            exon = Exon(gene.contig, start, end, gene.strand)
            if end - start >= LEAST and (codes := sequence(genome, exon)) is not None:
                found.append((exon, codes))
    return found


def tabled(path: str) -> dict[str, tuple[float, int]]:
    """Hexamer -> importance and number of sequences, by a table of `samvar gia`."""
    with open(path) as f:
        rows = [r for r in csv.DictReader(f, delimiter="\t") if r["IMPORTANCE"] != "."]
    return {r["PATTERN"]: (float(r["IMPORTANCE"]), int(r["N"])) for r in rows}


@torch.inference_mode()
def log_odds(network: Network, codes: np.ndarray) -> float:
    """Mean of both sites of the exon in the middle."""
    p = network(one_hot(torch.from_numpy(codes)[None]))[0].double().numpy()
    sites = p[[ACCEPTOR, DONOR], [FLANK, p.shape[1] - FLANK - 1]].clip(1e-7, 1 - 1e-7)
    return float((np.log(sites) - np.log1p(-sites)).mean())


def of_table(measured: dict[str, float], path: str) -> dict:
    """What a table of `samvar gia` has to do with what was measured."""
    table = tabled(path)
    both = [h for h in measured if h in table]
    score, importance = np.array([(measured[h], table[h][0]) for h in both]).T
    found = dict(
        hexamers=len(both),
        sequences=max(table[h][1] for h in both),
        spearman=correlation(score, importance, both),
    )
    print(path, found, flush=True)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("data", help="folder with genome/, annotation/ and tables/")
    parser.add_argument("places", nargs="*", help="bundles, or folders of runs")
    parser.add_argument("--teacher", nargs="+", default=[], help="OpenSpliceAI state dicts")
    parser.add_argument("--tables", nargs="+", default=[], help="of samvar gia")
    parser.add_argument("--list", help="write the hexamers that are drawn to this file")
    parser.add_argument("--json", required=True)
    args = parser.parse_args()
    measured = measured_hexamers(os.path.join(args.data, "tables", "sms_7mers.csv"))
    rng = np.random.default_rng(1)
    hexamers = sorted(rng.choice(list(measured), HEXAMERS, replace=False))
    if args.list:
        with open(args.list, "w") as f:
            f.writelines(f"{hexamer}\n" for hexamer in hexamers)
    if args.tables:
        save(args.json, {os.path.basename(p): of_table(measured, p) for p in args.tables})
        return
    exons = candidates(args.data)
    exons = [exons[i] for i in sorted(rng.choice(len(exons), EXONS, replace=False))]
    networks = {os.path.basename(os.path.normpath(p)): sam_network(p) for p in args.places}
    if args.teacher:
        networks["OpenSpliceAI"] = teacher_network(args.teacher)
    score = np.array([measured[h] for h in hexamers])
    result = {}
    for name, network in networks.items():
        effect = np.zeros(len(hexamers))
        for exon, codes in tqdm(exons, disable=None, leave=False):
            before = log_odds(network, codes)
            at = CONTEXT + FLANK + (exon.end - exon.start - WIDTH) // 2
            for i, hexamer in enumerate(hexamers):
                changed = codes.copy()
                changed[at : at + WIDTH] = encode(hexamer)
                effect[i] += (log_odds(network, changed) - before) / len(exons)
        result[name] = dict(
            hexamers=len(hexamers),
            exons=len(exons),
            spearman=correlation(score, effect, list(hexamers)),
        )
        print(name, result[name], flush=True)
    save(args.json, result)


if __name__ == "__main__":
    main()
