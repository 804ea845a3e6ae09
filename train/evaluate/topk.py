#!/usr/bin/env python3
"""Top-k accuracy of a bundle on the validation and test chromosomes, and what it is made of.

    python train/evaluate/topk.py DATA --model default --json OUT

Genes of chr1 and chr3 (validation), chr5 and chr7 (test), without paralogs and all of them; the
core sites alone, every seed of the FM and the AM, and the mean of their seeds; what is left of them
when they see no motif site, their core sites alone; density; share of bases with a core
score; the entropy bound of the AM's motif sites on the test genes; the alternative and the new
exons of the SAM paper (counts of their sites among the best k); module substitution: the AM's sites
read by the FM's aggregator against the FM's own, both binarised (every site as strong as the mean
site of its RBP in the FM); temperature and reliability of the site probabilities on the validation
genes.
"""

from __future__ import annotations

import argparse
import os
from contextlib import suppress
from dataclasses import replace

import numpy as np
import torch
import torch.nn as nn
from common import calibration, save

from samvar.errors import BundleError
from samvar.formats.annotation import load_annotation
from samvar.genomics.genome import Genome
from samvar.model.bottleneck import Detection
from samvar.model.bundle import Bundle, load_bundle
from samvar.model.sam import ACCEPTOR, DONOR, SAM, one_hot
from samvar.training.dataset import IGNORE, Dataset, TrainingGene
from samvar.training.evaluate import Scores, measured_entropy, score, summary, tiles
from samvar.training.genes import merge_genes, read_genes

PAIRS = (
    ("genome/hg19.fa.gz", "annotation/canonical.hg19.tsv.gz"),
    ("genome/extra.fa.gz", "annotation/extra.tsv.gz"),
)
SETS = {"validation": ("chr1", "chr3"), "test": ("chr5", "chr7")}
EXONS = {"alternative exons": "exons/alt_all.txt", "new exons": "exons/evo_all.txt"}
CPU = torch.device("cpu")


class Substituted(nn.Module):
    """Sites of one model, each with its RBP's `strength` (79,), read by the aggregator of
    another."""

    def __init__(self, sites: SAM, reader: SAM, strength: torch.Tensor):
        super().__init__()
        self.sites, self.reader, self.config = sites, reader, reader.config
        self.register_buffer("strength", strength.view(1, -1, 1))

    def detect(self, x: torch.Tensor) -> Detection:
        return Detection(
            self.reader.detect(x).core, (self.sites.detect(x).motifs > 0) * self.strength
        )

    def aggregate(self, found: Detection) -> torch.Tensor:
        return self.reader.aggregate(found)


class Motifless(nn.Module):
    """A model whose aggregator sees no motif site."""

    def __init__(self, model: SAM):
        super().__init__()
        self.model, self.config = model, model.config

    def detect(self, x: torch.Tensor) -> Detection:
        found = self.model.detect(x)
        return found._replace(motifs=torch.zeros_like(found.motifs))

    def aggregate(self, found: Detection) -> torch.Tensor:
        return self.model.aggregate(found)


@torch.inference_mode()
def mean_strength(model: SAM, data: Dataset, genes: np.ndarray) -> torch.Tensor:
    """Mean activation of the sites of each motif."""
    total, count = torch.zeros(2, model.motifs.channels, dtype=torch.float64)
    for _, _, _, codes in tiles(data, genes, model.config.reach):
        motifs = model.detect(one_hot(torch.from_numpy(codes[None]))).motifs[0]
        total += motifs.sum(1)
        count += (motifs > 0).sum(1)
    return (total / count.clamp(min=1)).float()


def together(scores: list[Scores]) -> Scores:
    """The mean probability of several seeds."""
    return replace(
        scores[0], model=np.logaddexp.reduce([s.model for s in scores]) - np.log(len(scores))
    )


def joined(first: Scores, second: Scores) -> Scores:
    """Genes of both, for what is read off the bases alone."""
    return replace(
        first,
        model=np.hstack([first.model, second.model]),
        lssi=np.hstack([first.lssi, second.lssi]),
        labels=np.concatenate([first.labels, second.labels]),
        n_genes=first.n_genes + second.n_genes,
        gene=np.concatenate([first.gene, second.gene + first.n_genes]),
    )


def row(scores: Scores) -> dict:
    """Top-k of a model."""
    return {k: v for k, v in summary(scores).items() if k.startswith(("topk", "n_"))}


def read_exons(path: str) -> list[tuple[str, str, str, int, int]]:
    """(gene, chromosome, strand, first and last base 0-based on the genome) of every exon."""
    found = []
    with open(path) as handle:
        for line in handle:
            gene, _, chrom, strand, _, _, lasts, firsts = line.rstrip("\n").split("\t")
            pairs = zip(lasts.split(",")[:-1], firsts.split(",")[:-1])
            found += [(gene, chrom, strand, int(first) - 1, int(last) - 1) for last, first in pairs]
    return found


def exon_counts(p: np.ndarray, labels: np.ndarray, placed: list[tuple[int, int]]) -> dict:
    """How many acceptors and donors of exons, `placed` at (acceptor, donor) of `p` (2, B), score at
    least as well as the k-th best base, k the number of sites in `labels`."""
    counts = dict(n=len(placed))
    for i, (name, kind) in enumerate((("acceptors", ACCEPTOR), ("donors", DONOR))):
        k = int((labels == kind).sum())
        least = np.partition(p[i], -k)[-k]
        counts[name] = int((p[i][[at[i] for at in placed]] >= least).sum())
    return counts


def place_exons(exons: list, genes: list[TrainingGene], data: Dataset) -> list[tuple[int, int]]:
    """(acceptor, donor) of the exons that lie in these genes, each once, counted in the known bases
    of `data`."""
    known = np.cumsum(data.labels != IGNORE) - 1
    by_name = {g.name: (g.locus, int(data.offsets[i])) for i, g in enumerate(genes)}
    placed = []
    for name, contig, strand, first, last in exons:
        locus, offset = by_name.get(name, (None, 0))
        if locus is None or (contig, strand) != (locus.contig, locus.strand):
            continue
        if locus.start <= first and last < locus.end:
            ends = (first, last) if strand == "+" else (last, first)
            at = [offset + locus.offset(end) for end in ends]
            if (data.labels[at] != IGNORE).all():
                placed.append(tuple(int(known[a]) for a in at))
    return list(dict.fromkeys(placed))


def read(data: str, chroms: tuple[str, ...], paralog: bool) -> list[TrainingGene]:
    """Genes of both genomes on these chromosomes, with or without paralogs."""
    found = merge_genes(
        read_genes(
            Genome(os.path.join(data, fasta)),
            load_annotation(os.path.join(data, annotation)),
            set(chroms),
        )
        for fasta, annotation in PAIRS
    )
    return [g for g in found if g.paralog is paralog]


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("data", help="folder with genome/, annotation/ and exons/")
    parser.add_argument("--model", default="default")
    parser.add_argument("--sets", default="validation,test", help="test is for shipped candidates")
    parser.add_argument("--kinds", default="am,fm", help="am or fm: one of the two alone")
    parser.add_argument(
        "--single", action="store_true", help="only genes without paralogs, top-k and density alone"
    )
    parser.add_argument(
        "--no-paralogs", action="store_true", help="all but the genes that have paralogs"
    )
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--json", required=True)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    bundles: dict[str, Bundle] = {}
    for kind in args.kinds.split(","):
        with suppress(BundleError):
            bundles[kind] = load_bundle(f"{args.model}:{kind}")
    if not bundles:
        raise SystemExit(f"{args.model} is no bundle")
    result: dict[str, dict] = {}

    def add(title: str, numbers: dict) -> None:
        result[title] = numbers
        print(
            title,
            {k: v for k, v in numbers.items() if k not in ("sha256", "reliability")},
            flush=True,
        )

    for name in args.sets.split(","):
        genes = read(args.data, SETS[name], paralog=False)
        alone = args.single or args.no_paralogs
        rest = [] if alone else read(args.data, SETS[name], paralog=True)
        data, more = Dataset.from_genes(genes), Dataset.from_genes(rest)
        for kind, bundle in bundles.items():
            about = dict(bundle=bundle.name, kind=kind, sha256=bundle.sha256)
            single = [score([m], data, data.genes(), CPU) for m in bundle.models]
            seeds = [] if len(single) == 1 else [f", model {i}" for i in range(1, len(single) + 1)]
            mean = together(single)
            core = f"LSSI of the {kind}{', model 1,' if seeds else ''} alone"
            add(f"{name}, {core}", dict(kind="lssi") | row(replace(mean, model=mean.lssi)))
            for title, scores, model in zip(seeds or [""], single, bundle.models):
                numbers = summary(scores)
                if kind == "am" and name == "test" and not args.single:
                    numbers |= measured_entropy([model], data, data.genes(), CPU, scores)
                add(
                    f"{name}, {kind}{title}",
                    about | {k: v for k, v in numbers.items() if k != "lssi"},
                )
            if seeds:
                add(f"{name}, {kind}, mean of the seeds", about | row(mean))
            if args.single:
                continue
            if name == "validation":
                add(f"calibration, {kind}", about | calibration(mean))
                without = together(
                    [score([Motifless(m).eval()], data, data.genes(), CPU) for m in bundle.models]
                )
                add(f"{name}, {kind} without motif sites", about | row(without))
            if not args.no_paralogs:
                every = joined(
                    mean, together([score([m], more, more.genes(), CPU) for m in bundle.models])
                )
                add(
                    f"{name}, all genes, {core}",
                    dict(kind="lssi") | row(replace(every, model=every.lssi)),
                )
                add(
                    f"{name}, all genes, {kind}{', mean of the seeds' if seeds else ''}",
                    about | row(every),
                )
            for title, path in EXONS.items():
                placed = place_exons(read_exons(os.path.join(args.data, path)), genes, data)
                add(
                    f"{title}, {name} genes, {kind}",
                    about | exon_counts(mean.model, mean.labels, placed),
                )
        if len(bundles) == 2 and name == "validation" and not args.single:
            fm, am = (bundles[k].models[0] for k in ("fm", "am"))
            strength = mean_strength(fm, data, data.genes()[::5])
            for title, sites in (("FM", fm), ("AM", am)):
                found = score([Substituted(sites, fm, strength).eval()], data, data.genes(), CPU)
                add(
                    f"{name}, binarised {title} sites read by the FM",
                    dict(kind="fm", density=found.density) | row(found),
                )
    save(args.json, result)


if __name__ == "__main__":
    main()
