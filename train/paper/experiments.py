#!/usr/bin/env python3
"""Changes of the training that samvar does not keep: each alone, 500 steps from an AM, as in
ingredients/plain.toml.

    python train/paper/experiments.py NAME DATASET OUT --lssi RUN --start-from RUN [--data DATA]

NAME
  pseudoexon   a fifth of the windows hold an AG and a GT 50 to 250 bases apart that look like an
               exon but are none
  reverse      every tenth window is reverse-complemented and has no sites: decoys with the
               composition of genes
  soft         RefSeq's sites that are not in the canonical transcript (alternative ones) are
               sites by one half
  alternative  they are sites: training on all transcripts
The last two read RefSeq's transcripts and the canonical ones below DATA, for the genes of hg19.
"""

from __future__ import annotations

import argparse
import os
from dataclasses import replace

import numpy as np
import torch
import torch.nn.functional as F

from samvar.formats.annotation import load_annotation
from samvar.genomics.genome import Genome, reverse_complement
from samvar.model.sam import ACCEPTOR, DONOR, one_hot
from samvar.training.checkpoint import Checkpoint
from samvar.training.dataset import CORE, IGNORE, TRAIN, Dataset, core_bases
from samvar.training.genes import read_genes
from samvar.training.loop import train
from samvar.training.recipe import SamRecipe, load_recipe
from samvar.training.sam import SamTask
from samvar.training.sampling import Mixture, WindowSampler

PSEUDOEXONS, EXON = 30_000, (50, 250)  # so many, the strongest; lengths
HALF = {ACCEPTOR: 3, DONOR: 4}  # labels of sites by one half


class Reverse(WindowSampler):
    def _draw(self, rng, width):
        if rng.random() >= 0.1:
            return super()._draw(rng, width)
        gene, at = self._held(rng)
        start, (left, right) = at - int(rng.integers(width)), self.reach
        codes, labels = self.data.window(
            gene, start, start + width, right, left
        )  # turned round below
        return reverse_complement(codes), np.where(labels == IGNORE, IGNORE, 0)[::-1].astype(
            np.uint8
        )


class Pseudoexon(WindowSampler):
    places: np.ndarray

    def _held(self, rng):
        return self._locate(rng.choice(self.places)) if rng.random() < 0.2 else super()._held(rng)


@torch.no_grad()
def pseudoexons(data: Dataset, task: SamTask) -> np.ndarray:
    """Positions in `data.codes` of the acceptors and donors of the PSEUDOEXONS strongest pairs in
    train genes whose bases are both no sites, by the sum of their core scores."""
    split = np.isin(
        np.searchsorted(data.offsets, np.arange(len(data.codes)), "right") - 1, data.genes(TRAIN)
    )
    score = {}
    for kind in CORE:
        score[kind] = np.full(len(data.codes), -np.inf, np.float32)
        for at in np.array_split(
            np.flatnonzero(core_bases(data.codes, kind) & (data.labels == 0) & split), 200
        ):
            score[kind][at] = task._strength(kind, at)
    starts = np.flatnonzero(score[ACCEPTOR] > -np.inf)
    donors = np.lib.stride_tricks.sliding_window_view(
        np.pad(score[DONOR], (0, EXON[1]), constant_values=-np.inf), EXON[1] - EXON[0]
    )
    best = np.concatenate(
        [donors[at + EXON[0] - 1].argmax(1) for at in np.array_split(starts, 400)]
    )
    ends = np.minimum(starts + EXON[0] - 1 + best, len(data.codes) - 1)
    top = np.argsort(-(score[ACCEPTOR][starts] + score[DONOR][ends]))[:PSEUDOEXONS]
    return np.concatenate([starts[top], ends[top]])


class Task(SamTask):
    def loss(self, step):
        codes, labels = self.sampler.batch(step)
        log_p = (
            self.model(one_hot(torch.from_numpy(codes).to(self.device)))
            .float()
            .transpose(1, 2)
            .flatten(0, 1)
        )
        target = torch.from_numpy(labels).to(self.device).long().flatten()
        nll = F.nll_loss(
            log_p, torch.where(target > DONOR, IGNORE, target), ignore_index=IGNORE, reduction="sum"
        )
        for kind, half in HALF.items():
            at = log_p[target == half]
            nll = nll - 0.5 * (at[:, 0] + at[:, kind]).sum()
        return 1000 * nll / max(int((labels != IGNORE).sum()), 1)


def alternative_sites(data: Dataset, folder: str) -> tuple[np.ndarray, np.ndarray]:
    """Positions in `data.codes` and kinds of RefSeq's sites in train genes that the dataset has no
    site at."""
    canonical = read_genes(
        Genome(os.path.join(folder, "genome", "hg19.fa.gz")),
        load_annotation(os.path.join(folder, "annotation", "canonical.hg19.tsv.gz")),
    )
    loci = {(g.name, g.chrom, len(g.codes)): g.locus for g in canonical}
    refseq = load_annotation(os.path.join(folder, "annotation", "refseq.hg19.bed12+gene.gz"))
    found = {}
    for i in data.genes(TRAIN):
        low, high = int(data.offsets[i]), int(data.offsets[i + 1])
        locus = loci.get((str(data.names[i]), str(data.chroms[i]), high - low))
        if locus is None:
            continue
        for other in refseq.overlapping(locus.contig, locus.start, locus.end):
            if other.strand != locus.strand:
                continue
            for kind, sites in zip((ACCEPTOR, DONOR), other.sites(other.transcripts)):
                for position in sites:
                    at = low + locus.offset(position)
                    if low <= at < high and data.labels[at] == 0:
                        found[at] = kind
    return np.array(list(found), int), np.array(list(found.values()), int)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("name", choices=("pseudoexon", "reverse", "soft", "alternative"))
    parser.add_argument("dataset")
    parser.add_argument("out")
    parser.add_argument("--lssi", required=True)
    parser.add_argument("--start-from", required=True)
    parser.add_argument("--data")
    args = parser.parse_args()
    if args.name in ("soft", "alternative") and not args.data:
        parser.error(f"{args.name} needs --data")
    data, cpu = Dataset.load(args.dataset), torch.device("cpu")
    recipe = load_recipe(
        os.path.join(os.path.dirname(__file__), "ingredients", "plain.toml"), SamRecipe
    )
    fresh = not Checkpoint.exists(args.out)
    task = Task("am", data, recipe, cpu, args.lssi, args.start_from, fresh=fresh)
    if args.name in ("pseudoexon", "reverse"):
        task.sampler.__class__ = dict(pseudoexon=Pseudoexon, reverse=Reverse)[args.name]
        if args.name == "pseudoexon":
            task.sampler.places = pseudoexons(data, task)
    else:
        at, kind = alternative_sites(data, args.data)
        print(f"{len(at)} alternative sites")
        data.labels[at] = dict(soft=kind + 2, alternative=kind)[args.name]
        if args.name == "alternative":
            mixture = Mixture(recipe.batch_bases, recipe.windows, recipe.site_share)
            task.sampler = WindowSampler(data, TRAIN, task.sampler.reach, mixture, recipe.seed)
    train(task, replace(recipe, validate_every=recipe.steps), args.out, cpu, resume=True)


if __name__ == "__main__":
    main()
