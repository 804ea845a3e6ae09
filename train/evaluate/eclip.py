#!/usr/bin/env python3
"""Enrichment of adjusted (AM) over fixed (FM) motif sites in eCLIP peaks at equal density, exons
and introns apart.

    python train/evaluate/eclip.py DATA --json OUT [--model default] [--chroms chr1,chr3]
    [--extend5 50]

After Gupta et al. 2024 (https://doi.org/10.1186/s13059-023-03162-x), with ENCODE's reproducible
(IDR) eCLIP peaks (Van Nostrand et al. 2020, https://doi.org/10.1038/s41586-020-2077-3). DATA holds
genome/hg38.fa.gz, eclip/hg38/ and annotation/refseq.hg38.bed12+gene.gz.

Genes: the chosen transcripts that have an intron and lie in known sequence; of those that overlap
on a strand, the one that `Transcript.preference` puts first. A position counts once. AM sites of a
protein: where the model's activation is not zero, n of them in exons, n in introns. FM sites: the n
exonic and n intronic positions of highest affinity to the fixed motif, ties broken by lot. In a
peak: the centre of the site lies within a peak of the protein, of any experiment, on the gene's
strand. Enrichment: sites in peaks, divided by those expected, which are n times the share of known
exonic (intronic) positions that lie in peaks; "both" adds up the sites in peaks, and the expected
ones, of exons and introns.

Of each set of chromosomes: per protein and on the whole (`mean`: over the proteins that have FM
sites in peaks; `firm`: over those with MIN_HITS sites in peaks, AM and FM together; `pooled`: sites
and expected sites of all proteins added up). `also_fm`: AM sites that are FM sites too. Intervals:
95 % bootstrap over genes, the choice of FM sites left as it is; where a resample has no FM sites of
a protein in peaks, it says nothing of that protein.
"""

from __future__ import annotations

import argparse
import csv
import glob
import gzip
import os
from collections import defaultdict

import numpy as np
import torch
from common import save
from tqdm import tqdm

from samvar.formats.annotation import load_annotation
from samvar.genomics.genes import Gene
from samvar.genomics.genome import UNKNOWN, Genome, reverse_complement
from samvar.model.bundle import load_bundle
from samvar.model.sam import MOTIF_REACH, SAM
from samvar.training.genes import MIN_KNOWN
from samvar.views.logos import candidates

KINDS = ("exons", "introns", "both")
MIN_HITS = 10
RESAMPLES = 200


def read_peaks(
    folder: str, rbps: list[str] | None = None, extend: int = 0, extend5: int = 0
) -> tuple[dict, dict]:
    """({(contig, strand): [(rbp, start, end)]}, {rbp: names of its experiments}) of the proteins
    among `rbps`, or of all."""
    with open(os.path.join(folder, "metadata.tsv")) as f:
        meta = {row["File accession"]: row for row in csv.DictReader(f, delimiter="\t")}
    peaks, experiments = defaultdict(list), defaultdict(list)
    for path in sorted(glob.glob(os.path.join(folder, "*.bed.gz"))):
        accession = os.path.basename(path).removesuffix(".bed.gz")
        rbp = meta[accession]["Experiment target"].removesuffix("-human")
        if rbps is not None and rbp not in rbps:
            continue
        experiments[rbp].append(f"{accession} {meta[accession]['Biosample term name']}")
        with gzip.open(path, "rt") as f:
            for line in f:
                contig, start, end, _, _, strand = line.split("\t")[:6]
                before, after = (
                    (extend + extend5, extend) if strand == "+" else (extend, extend + extend5)
                )
                peaks[contig, strand].append((rbp, int(start) - before, int(end) + after))
    return peaks, dict(experiments)


def read_genes(genome: Genome, annotation: str) -> list[Gene]:
    """Chosen transcripts with an intron, in known sequence, none over another on its strand."""
    kept: dict[tuple, list[Gene]] = defaultdict(list)
    for gene in sorted(
        load_annotation(annotation).of_chosen_transcripts().genes,
        key=lambda g: g.chosen.preference(),
    ):
        others = kept[gene.contig, gene.strand]
        if len(gene.chosen.exons) == 1 or genome.contig(gene.contig) is None:
            continue
        if any(g.start < gene.end and gene.start < g.end for g in others):
            continue
        if (
            genome.codes(genome.contig(gene.contig), gene.start, gene.end) != UNKNOWN
        ).mean() >= MIN_KNOWN:
            others.append(gene)
    return sorted(sum(kept.values(), []), key=lambda g: (g.contig, g.start, g.strand))


def scan(
    model: SAM, names: list[str], rbps: list[str], genome: Genome, genes: list[Gene], peaks: dict
):
    """Candidates of all genes, a dict of columns; known positions (G, 2) in exons and introns;
    those of them in peaks (G, R, 2)."""
    index = np.full(model.motifs.channels, -1)  # learnt motifs come after `names`, of no protein
    index[: len(names)] = [rbps.index(n) if n in rbps else -1 for n in names]
    columns, known, covered = defaultdict(list), [], []
    for g, gene in enumerate(tqdm(genes, disable=None, leave=False)):
        codes = genome.codes(genome.contig(gene.contig), gene.start, gene.end)
        intron, peak = np.ones(len(codes), bool), np.zeros((len(rbps), len(codes)), bool)
        for start, end in gene.chosen.exons:
            intron[start - gene.start : end - gene.start] = False
        for rbp, start, end in peaks[gene.contig, gene.strand]:
            peak[rbps.index(rbp), max(start - gene.start, 0) : max(end - gene.start, 0)] = True
        if gene.strand == "-":
            codes, intron, peak = reverse_complement(codes), intron[::-1], peak[:, ::-1]
        kinds = [(codes != UNKNOWN) & ~intron, (codes != UNKNOWN) & intron]
        known.append([k.sum() for k in kinds])
        covered.append(np.stack([(peak & k).sum(1) for k in kinds], 1))
        channel, at, affinity, active = candidates(
            model,
            np.pad(codes, MOTIF_REACH, constant_values=UNKNOWN),
            np.pad(np.ones(len(codes), bool), MOTIF_REACH),
        )
        own = index[channel] >= 0
        rbp, at = index[channel][own], at[own] - MOTIF_REACH
        for key, values in dict(
            rbp=rbp,
            gene=np.full(len(at), g),
            at=at,
            kind=intron[at].astype(int),
            active=active[own],
            affinity=affinity[own],
            hit=peak[rbp, at],
        ).items():
            columns[key].append(values)
    return {k: np.concatenate(v) for k, v in columns.items()}, np.array(known), np.array(covered)


def choose_fm(found: dict[str, np.ndarray], rbps: int) -> np.ndarray:
    """Which candidates are FM sites: of each protein and kind as many as are AM sites, of highest
    affinity."""
    lot = np.random.default_rng(0).random(len(found["rbp"]))
    order = np.lexsort((lot, -found["affinity"], found["kind"], found["rbp"]))
    group = (found["rbp"] * 2 + found["kind"])[order]
    first = np.searchsorted(group, np.arange(2 * rbps))
    n = np.bincount(group, found["active"][order], 2 * rbps)
    chosen = np.zeros(len(lot), bool)
    chosen[order] = np.arange(len(lot)) - first[group] < n[group]
    return chosen


def measure(
    found: dict[str, np.ndarray], known: np.ndarray, covered: np.ndarray, rbps: list[str]
) -> dict:
    """The numbers of a set of genes; `found["gene"]` indexes the rows of `known` and `covered`."""
    shape = len(known), len(rbps), 2
    fm, am = choose_fm(found, len(rbps)), found["active"]
    cell = np.ravel_multi_index((found["gene"], found["rbp"], found["kind"]), shape)

    def count(rows: np.ndarray) -> np.ndarray:
        return np.bincount(cell[rows], minlength=np.prod(shape)).reshape(shape)

    with_both = lambda v: np.concatenate((v, v.sum(-1, keepdims=True)), -1)  # noqa: E731
    genes = len(known)
    weights = np.random.default_rng(0).multinomial(genes, np.ones(genes) / genes, RESAMPLES)
    weights = np.concatenate((np.ones((1, genes), int), weights))  # first the genes as they are
    total = lambda v: np.tensordot(weights, v, 1)  # noqa: E731
    # Axes: resample, model (AM, FM), rbp, kind
    sites = np.stack([total(count(rows)) for rows in (am, fm)], 1)
    hits = with_both(np.stack([total(count(rows & found["hit"])) for rows in (am, fm)], 1))
    with np.errstate(divide="ignore", invalid="ignore"):
        expected = with_both(sites * (total(covered) / total(known)[:, None])[:, None])
        enrichment, pooled = hits / expected, hits.sum(2) / expected.sum(2)
        ratio, pooled_ratio = enrichment[:, 0] / enrichment[:, 1], pooled[:, 0] / pooled[:, 1]
    ratio[~np.isfinite(ratio)] = np.nan
    n, also_fm = with_both(sites[0, 0]), with_both(count(am & fm).sum(0))
    per_rbp, whole = {}, {}
    for r, name in enumerate(rbps):
        per_rbp[name] = {
            kind: dict(
                n=int(n[r, k]),
                also_fm=int(also_fm[r, k]),
                **counts(hits[0, :, r, k], expected[0, 0, r, k]),
                ratio=interval(ratio[:, r, k]),
            )
            for k, kind in enumerate(KINDS)
        }
    for k, kind in enumerate(KINDS):
        firm = hits[0, :, :, k].sum(0) >= MIN_HITS
        whole[kind] = dict(
            n=int(n[:, k].sum()),
            also_fm=int(also_fm[:, k].sum()),
            **counts(hits[0, :, :, k].sum(1), expected[0, 0, :, k].sum()),
            pooled=interval(pooled_ratio[:, k]),
            mean=interval(mean(ratio[:, :, k])),
            mean_rbps=int(np.isfinite(ratio[0, :, k]).sum()),
            firm=interval(mean(ratio[:, firm, k])),
            firm_rbps=int(firm.sum()),
            firm_above_1=int((ratio[0, firm, k] > 1).sum()),
        )
    return dict(
        genes=genes, positions=dict(zip(KINDS, known.sum(0).tolist())), whole=whole, rbps=per_rbp
    )


def counts(hits: np.ndarray, expected: float) -> dict:
    """Sites in peaks, of AM and FM, and how many times the expected number that is."""
    am, fm = map(int, hits)
    return dict(
        expected=expected,
        am_in_peaks=am,
        fm_in_peaks=fm,
        am=am / expected if expected else None,
        fm=fm / expected if expected else None,
    )


def mean(ratio: np.ndarray) -> np.ndarray:
    """Mean over the proteins (last axis) whose ratio is known."""
    counted = np.isfinite(ratio).sum(1)
    return np.where(counted, np.nansum(ratio, 1) / np.maximum(counted, 1), np.nan)


def interval(values: np.ndarray) -> list[float] | None:
    """[value, lower, upper] of the value itself and its resamples."""
    if not np.isfinite(values[0]):
        return None
    return [float(values[0]), *map(float, np.nanpercentile(values[1:], [2.5, 97.5]))]


def show(name: str, result: dict) -> None:
    """Print a set's numbers; "in peaks": AM/FM."""
    text = lambda v: "-" if v is None else f"{v:.2f}"  # noqa: E731
    spread = lambda v: "-" if v is None else f"{v[0]:.2f} ({v[1]:.2f}-{v[2]:.2f})"  # noqa: E731
    print(f"\n{name}: {result['genes']} genes, {result['positions']}")
    print(
        f"{'':10}"
        + "".join(
            f"{kind + ': n':>14} {'in peaks':>11} {'AM':>7} {'FM':>7} {'AM/FM':>6}"
            for kind in KINDS[:2]
        )
    )
    for rbp, kinds in result["rbps"].items():
        line = f"{rbp:10}"
        for kind in KINDS[:2]:
            v = kinds[kind]
            in_peaks = f"{v['am_in_peaks']}/{v['fm_in_peaks']}"
            line += (
                f"{v['n']:14} {in_peaks:>11} {text(v['am']):>7} {text(v['fm']):>7} "
                f"{text(v['ratio'] and v['ratio'][0]):>6}"
            )
        print(line)
    for kind, v in result["whole"].items():
        print(
            f"{kind:8} in peaks {v['am_in_peaks']}/{v['fm_in_peaks']} (expected "
            f"{v['expected']:.0f}), "
            f"enrichment AM {text(v['am'])} FM {text(v['fm'])}; AM/FM pooled "
            f"{spread(v['pooled'])}, "
            f"mean of {v['mean_rbps']} {spread(v['mean'])}, "
            f"firm mean of {v['firm_rbps']} {spread(v['firm'])}, {v['firm_above_1']} above 1"
        )


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("data", help="folder that holds genome/, annotation/ and eclip/")
    parser.add_argument("--json", required=True)
    parser.add_argument("--model", default="default")
    parser.add_argument(
        "--chroms",
        default="chr1,chr3,chr5,chr7",
        help="first set of genes (default: no training saw)",
    )
    parser.add_argument(
        "--no-all",
        action="store_true",
        help="leave out the second set, the genes of all chromosomes",
    )
    parser.add_argument("--extend", type=int, default=0, help="bases added to peaks on either side")
    parser.add_argument(
        "--extend5",
        type=int,
        default=0,
        help="bases added to peaks at the 5' end, near the crosslink",
    )
    args = parser.parse_args()
    torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS", os.cpu_count() or 1)))
    bundle = load_bundle(f"{args.model}:am")
    peaks, experiments = read_peaks(
        os.path.join(args.data, "eclip", "hg38"), bundle.rbps, args.extend, args.extend5
    )
    rbps = [r for r in bundle.rbps if r in experiments]
    genome = Genome(os.path.join(args.data, "genome", "hg38.fa.gz"))
    genes = read_genes(genome, os.path.join(args.data, "annotation", "refseq.hg38.bed12+gene.gz"))
    first = np.array([g.contig in args.chroms.split(",") for g in genes])
    if not first.any():
        parser.error(f"no gene of {args.chroms} lies in known sequence")
    if args.no_all:
        genes, first = [g for g, f in zip(genes, first) if f], first[first]
    found, known, covered = scan(bundle.models[0], bundle.rbps, rbps, genome, genes, peaks)
    sets = {}
    for name, use in [(args.chroms, first), ("all", np.ones_like(first))][
        : 1 if args.no_all else 2
    ]:
        rows = use[found["gene"]]
        part = {k: v[rows] for k, v in found.items()}
        part["gene"] = (np.cumsum(use) - 1)[part["gene"]]
        sets[name] = measure(part, known[use], covered[use], rbps)
        show(name, sets[name])
    result = dict(
        bundle=bundle.name,
        kind=bundle.kind,
        sha256=bundle.sha256,
        extend=args.extend,
        extend5=args.extend5,
        resamples=RESAMPLES,
        min_hits=MIN_HITS,
        experiments=experiments,
        sets=sets,
    )
    save(args.json, result)


if __name__ == "__main__":
    main()
