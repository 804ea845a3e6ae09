#!/usr/bin/env python3
"""AM-E: how much better eCLIP peaks could be told from sequence around fixed motifs, had the
adjustment been trained on peaks.

    python train/evaluate/eclip_trained.py DATA --model paper --json OUT

An upper bound for `eclip.py`, whose data, genes and measure it takes. A network of the shape of the
AM's adjustment (21 bases, from nothing) is added to the logarithm of the fixed motif's affinity,
weighted by protein, and trained to tell the AM's candidates in peaks of the protein from those that
are not, NEGATIVES of the same protein and kind (exon, intron) for each. Genes of chr1, chr3, chr5
and chr7 are left out; of the others a tenth says when to stop. (The paper's AM-E may differ: how it
is trained is not known here.) Then, of the genes of chr1 and chr3, of each protein and kind as many
candidates as are AM sites, those of the best scores: their enrichment in peaks over that of as many
FM sites, and the AM's beside it. The paper has 1.22 and 1.05.
"""

from __future__ import annotations

import argparse
import copy
import os

import numpy as np
import torch
from common import HELD_OUT, save
from eclip import choose_fm, measure, read_genes, read_peaks, scan
from torch import nn
from tqdm import tqdm

from samvar.genomics.genome import UNKNOWN, Genome, reverse_complement
from samvar.model.bundle import load_bundle
from samvar.model.sam import Stack, one_hot, stack_reach

TEST = ("chr1", "chr3")
NEGATIVES = 4
BATCH = 1024
EPOCHS = 12  # at most
PATIENCE = 2  # epochs without a better loss
DEV = 10  # one train gene in so many

Found = dict[str, np.ndarray]  # columns of `eclip.scan`


class Adjusted(nn.Module):
    """Score of a candidate: weighted log-affinity of its motif plus what its bases add."""

    def __init__(self, proteins: int, channels: int, widths: tuple[int, ...]):
        super().__init__()
        self.stack = Stack(4, proteins, channels, widths)
        self.slope = nn.Parameter(torch.ones(proteins))

    def forward(
        self, codes: torch.Tensor, protein: torch.Tensor, log_affinity: torch.Tensor
    ) -> torch.Tensor:
        """codes (N, 2 reach + 1), protein and log-affinity (N,) -> (N,)."""
        added = self.stack(one_hot(codes))[:, :, 0]
        own: torch.Tensor = added.gather(1, protein[:, None])[:, 0]
        return own + self.slope[protein] * log_affinity


def windows(genome: Genome, genes: list, found: Found, rows: np.ndarray, reach: int) -> np.ndarray:
    """Codes (N, 2 reach + 1) around candidates, unknown outside their gene."""
    out = np.full((len(rows), 2 * reach + 1), UNKNOWN, np.uint8)
    order = np.argsort(found["gene"][rows], kind="stable")
    owner = found["gene"][rows][order]
    for number in np.unique(owner):
        gene = genes[number]
        codes = genome.codes(genome.contig(gene.contig), gene.start, gene.end)
        codes = reverse_complement(codes) if gene.strand == "-" else codes
        codes = np.pad(codes, reach, constant_values=UNKNOWN)
        own = order[slice(*np.searchsorted(owner, [number, number + 1]))]
        out[own] = codes[found["at"][rows[own]][:, None] + np.arange(2 * reach + 1)]
    return out


def balanced(found: Found, use: np.ndarray) -> np.ndarray:
    """Candidates among those to `use` (N,): all in peaks, NEGATIVES others of the same protein and
    kind for each, as far as there are."""
    rng = np.random.default_rng(0)
    group = found["rbp"] * 2 + found["kind"]
    kept = [np.flatnonzero(use & found["hit"])]
    for one in np.unique(group[kept[0]]):
        others = np.flatnonzero(use & ~found["hit"] & (group == one))
        n = NEGATIVES * int((group[kept[0]] == one).sum())
        kept.append(rng.permutation(others)[:n])
    return np.sort(np.concatenate(kept))


def tensors(
    found: Found, rows: np.ndarray, codes: np.ndarray
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """What `Adjusted` takes."""
    affinity = np.log(np.maximum(found["affinity"][rows], 1e-6)).astype(np.float32)
    return (
        torch.from_numpy(codes),
        torch.from_numpy(found["rbp"][rows].astype(np.int64)),
        torch.from_numpy(affinity),
    )


@torch.inference_mode()
def scores(model: Adjusted, inputs: tuple[torch.Tensor, ...]) -> torch.Tensor:
    """(N,)."""
    model.eval()
    n = len(inputs[0])
    parts = [slice(i, i + BATCH) for i in range(0, n, BATCH)]
    bar = tqdm(parts, disable=None, leave=False)
    return torch.cat([torch.zeros(0), *(model(*(v[part] for v in inputs)) for part in bar)])


def train(
    model: Adjusted,
    learn: tuple[tuple[torch.Tensor, ...], torch.Tensor],
    dev: tuple[tuple[torch.Tensor, ...], torch.Tensor],
    epochs: int = EPOCHS,
) -> list[float]:
    """Until the loss on `dev` no longer falls; leaves the best weights. Both are inputs and labels
    (N,). The dev loss before and after each epoch."""
    loss = nn.functional.binary_cross_entropy_with_logits
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3, weight_decay=0.03)
    torch.manual_seed(0)
    losses = [loss(scores(model, dev[0]), dev[1]).item()]
    best = copy.deepcopy(model.state_dict())
    for _ in range(epochs):
        model.train()
        for rows in tqdm(torch.randperm(len(learn[1])).split(BATCH), disable=None, leave=False):
            optimizer.zero_grad()
            loss(model(*(v[rows] for v in learn[0])), learn[1][rows]).backward()
            optimizer.step()
        losses.append(loss(scores(model, dev[0]), dev[1]).item())
        print("dev loss", losses[-1], flush=True)
        if losses[-1] == min(losses):
            best = copy.deepcopy(model.state_dict())
        if len(losses) - 1 - int(np.argmin(losses)) >= PATIENCE:
            break
    model.load_state_dict(best)
    return losses


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("data", help="folder that holds genome/, annotation/ and eclip/")
    parser.add_argument("--model", default="paper")
    parser.add_argument("--json", required=True)
    args = parser.parse_args()
    torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS", os.cpu_count() or 1)))
    bundle = load_bundle(f"{args.model}:am")
    peaks, experiments = read_peaks(
        os.path.join(args.data, "eclip", "hg38"), bundle.rbps, extend=0, extend5=0
    )
    rbps = [r for r in bundle.rbps if r in experiments]
    genome = Genome(os.path.join(args.data, "genome", "hg38.fa.gz"))
    annotation = os.path.join(args.data, "annotation", "refseq.hg38.bed12+gene.gz")
    genes = [g for g in read_genes(genome, annotation) if g.contig not in ("chr5", "chr7")]
    found, known, covered = scan(bundle.models[0], bundle.rbps, rbps, genome, genes, peaks)
    test = np.array([g.contig in TEST for g in genes])
    free = np.array([g.contig not in HELD_OUT for g in genes])
    config = bundle.models[0].config
    reach = stack_reach(config.adjust_widths)
    torch.manual_seed(0)
    model = Adjusted(len(rbps), config.channels, config.adjust_widths)
    spare = free & (np.arange(len(genes)) % DEV == 0)
    sets, result = [], dict(sha256=bundle.sha256, rbps=len(rbps), genes=len(genes))
    for name, own in (("train", free & ~spare), ("dev", spare)):
        rows = balanced(found, own[found["gene"]])
        inputs = tensors(found, rows, windows(genome, genes, found, rows, reach))
        sets.append((inputs, torch.from_numpy(found["hit"][rows].astype(np.float32))))
        result[name] = dict(
            genes=int(own.sum()), candidates=len(rows), in_peaks=int(found["hit"][rows].sum())
        )
        print(name, result[name], flush=True)
    result["dev_loss"] = train(model, *sets)
    rows = np.flatnonzero(test[found["gene"]])
    part = {k: v[rows] for k, v in found.items()}
    inputs = tensors(part, np.arange(len(rows)), windows(genome, genes, found, rows, reach))
    part["gene"] = (np.cumsum(test) - 1)[part["gene"]]
    value = scores(model, inputs).numpy()
    chosen = part | dict(active=choose_fm(part | dict(affinity=value), len(rbps)))
    for name, sites in (("am", part), ("am_e", chosen)):
        result[name] = measure(sites, known[test], covered[test], rbps)["whole"]
        for kind, own in result[name].items():
            told = ("n", "am_in_peaks", "fm_in_peaks", "pooled", "mean", "firm", "firm_rbps")
            print(name, kind, {k: own[k] for k in told}, flush=True)
    save(args.json, result)


if __name__ == "__main__":
    main()
