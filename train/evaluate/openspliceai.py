#!/usr/bin/env python3
"""Top-k accuracy of OpenSpliceAI and of a bundle on the same bases of the same genes.

    python train/evaluate/openspliceai.py DATA FOLDER [FOLDER ...] --model paper --json OUT
        [--seeds 5] [--bases N] [--chroms chr1,chr3]

Each FOLDER holds state dicts (*.pt) of one context; the mean probability of the first `--seeds` of
them is scored (Chao 2025; trained on MANE, without chromosomes 1, 3, 5, 7 and 9). Genes without
paralogs on chr1 and chr3, in a fixed random order until `--bases` are reached. What lies outside a
gene is unknown to all of them. Percent, mean of acceptor and donor; 95 %: bootstrap over genes, the
same ones for all, so that differences are of pairs.
"""

from __future__ import annotations

import argparse
import glob
import os

import numpy as np
import torch
from common import save
from exon_classes import CANONICAL, found_at_one_k, interval, sites_of
from topk import CPU, SETS, read
from tqdm import tqdm

from samvar.model.bundle import load_bundle
from samvar.training.dataset import IGNORE, Dataset
from samvar.training.evaluate import Scores, score, tiles
from samvar.training.teach import Teacher, check_convention, load_teacher


def probabilities(teacher: Teacher, data: Dataset, genes: np.ndarray) -> np.ndarray:
    """(2, B) of acceptor and donor, at the known bases of these genes."""
    found = []
    context = teacher.context
    every = list(tiles(data, genes, (context, context)))
    for i, start, end, codes in tqdm(every, disable=None, leave=False):
        known = data.window(genes[i], start, end)[1] != IGNORE
        found.append(teacher.probabilities(codes[None], CPU)[0, 1:, known].T)
    return np.concatenate(found, 1)


def chosen(data: Dataset, bases: int) -> np.ndarray:
    """Genes in a fixed random order until so many bases are reached."""
    order = np.random.default_rng(0).permutation(len(data))
    before = np.cumsum(np.diff(data.offsets)[order]) - np.diff(data.offsets)[order]
    return np.sort(order[before < bases])


def accuracy(values: np.ndarray, scores: Scores) -> np.ndarray:
    """Top-k (1 + R,) of `values` (2, B) at the bases of `scores`, of all genes and of genes
    drawn."""
    sites = sites_of(scores.labels, {})
    return found_at_one_k(values, sites, scores.gene, scores.n_genes)[CANONICAL]


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("data", help="folder with genome/ and annotation/")
    parser.add_argument("folders", nargs="+", help="of state dicts (*.pt)")
    parser.add_argument("--model", default="paper")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--bases", type=int, default=10**9)
    parser.add_argument("--chroms", default=",".join(SETS["validation"]))
    parser.add_argument("--json", required=True)
    args = parser.parse_args()
    torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS", os.cpu_count() or 1)))
    data = Dataset.from_genes(read(args.data, tuple(args.chroms.split(",")), paralog=False))
    genes = chosen(data, args.bases)
    topk: dict[str, np.ndarray] = {}
    result: dict = dict(chroms=args.chroms, genes=len(genes), sha256={})
    for kind in ("fm", "am"):
        bundle = load_bundle(f"{args.model}:{kind}")
        scores = score([bundle.models[0]], data, genes, CPU, precision="bf16")
        result["sha256"][kind] = bundle.sha256
        result["bases"] = len(scores.labels)
        topk[kind] = accuracy(scores.model, scores)
        if kind == "fm":
            topk["lssi"] = accuracy(scores.lssi, scores)
    for folder in args.folders:
        name = os.path.basename(os.path.normpath(folder))
        files = sorted(glob.glob(os.path.join(folder, "*.pt")))[: args.seeds]
        teacher = load_teacher(files, CPU)
        check_convention(teacher, data, CPU)
        result["sha256"][name] = teacher.identities
        topk[name] = accuracy(probabilities(teacher, data, genes), scores)
        topk[f"{name} - am"] = topk[name] - topk["am"]
        result["topk"] = {title: interval(own) for title, own in topk.items()}
        print(result["topk"], flush=True)
        save(args.json, result)  # with what there is so far


if __name__ == "__main__":
    main()
