#!/usr/bin/env python3
"""In whose CLIP peaks the sites of each motif lie: writes in_vivo.json into a bundle.

    python train/evaluate/in_vivo.py DATA [--model default]

DATA holds genome/hg38.fa.gz, annotation/refseq.hg38.bed12+gene.gz and eclip/hg38/ (ENCODE's
reproducible eCLIP peaks, Van Nostrand et al. 2020). Genes as in eclip.py, of all chromosomes, or,
where the model's motifs have learnt from peaks (`samvar train am --bound`), of those alone that
were left out of that; sites of the bundle's first model. A site is in a peak where its centre lies
between the peak's 3' end and 50 bases before its 5' end, near the crosslink, in any experiment with
the protein.

Expected: peaks lie in exons, and where there is much G and C, more than elsewhere, and so do sites.
So each place has a stratum: exon, or intron within 50, 100, 200, 500 bases of an exon or deeper;
and how much of the 101 bases around it is G or C. A site is expected in a peak as often as any
known base of its stratum is. Enrichment: sites in peaks / expected; 95 % by bootstrap over genes.

A protein binds a motif's sites where FEWEST of them lie in its peaks and the lower end of the
interval is LEAST or more; those with the highest lower ends are named, NAMED at most. Of the
proteins that a motif is named for those are listed of which TOLD sites lie in peaks, or are
expected there. No model was chosen by it.
"""

from __future__ import annotations

import argparse
import json
import os

import numpy as np
import torch
from eclip import read_genes, read_peaks
from tqdm import tqdm

from samvar import files
from samvar.genomics.genes import Gene
from samvar.genomics.genome import UNKNOWN, Genome, reverse_complement
from samvar.model.bundle import Bundle, load_bundle, write_manifest
from samvar.model.in_vivo import FEWEST, FILE, Bound
from samvar.model.sam import MOTIF_REACH, SAM, for_scoring, one_hot
from samvar.training.binding import on_contigs
from samvar.training.prepare_bound import STRATA, strata

BEFORE_PEAK = 50  # bases at the 5' end of a peak that count as part of it
LEAST, NAMED = 1.2, 3
TOLD = 5  # sites in peaks, or expected there, for a protein to be listed at all
RESAMPLES = 200
TILE = 4096


class Counts:
    """Of each gene: `known` bases (genes, strata), those in peaks `covered` (genes, proteins,
    strata), `sites` (genes, motifs, strata) and those in peaks `hits` (genes, motifs, proteins)."""

    def __init__(self, genes: int, motifs: int, proteins: int):
        self.known = np.zeros((genes, STRATA), np.float32)
        self.covered = np.zeros((genes, proteins, STRATA), np.float32)
        self.sites = np.zeros((genes, motifs, STRATA), np.float32)
        self.hits = np.zeros((genes, motifs, proteins), np.float32)

    def add(self, gene: int, codes: np.ndarray, stratum: np.ndarray, peaks, active) -> None:
        """A gene in transcript orientation: base codes (L,), strata (L,), peaks (protein, start,
        end) and the motifs' `active` sites (motifs, L)."""
        known, strata = codes != UNKNOWN, self.known.shape[1]
        self.known[gene] = np.bincount(stratum[known], minlength=strata)
        motif, at = active.nonzero()
        np.add.at(self.sites[gene], (motif, stratum[at]), 1)
        for protein in {p for p, _, _ in peaks}:
            peak = np.zeros(len(codes), bool)
            for _, start, end in (p for p in peaks if p[0] == protein):
                peak[max(start, 0) : max(end, 0)] = True
            self.covered[gene, protein] = np.bincount(stratum[peak & known], minlength=strata)
            self.hits[gene, :, protein] = np.bincount(motif[peak[at]], minlength=len(active))

    def enrichment(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Sites in peaks and expected ones (motifs, proteins), and the ratio of the two (1 +
        RESAMPLES, motifs, proteins): of the genes as they are, and of genes drawn again."""
        genes = len(self.known)
        weights = np.random.default_rng(0).multinomial(genes, np.ones(genes) / genes, RESAMPLES)
        weights = np.concatenate((np.ones((1, genes)), weights)).astype(np.float32)
        total = lambda v: np.tensordot(weights, v, 1)  # noqa: E731
        with np.errstate(divide="ignore", invalid="ignore"):
            share = np.nan_to_num(total(self.covered) / total(self.known)[:, None])
            expected = total(self.sites) @ share.transpose(0, 2, 1)
            hits = total(self.hits)
            ratio = np.where(expected > 0, hits / expected, np.nan)
            return hits[0].astype(int), expected[0], ratio


@torch.inference_mode()
def sites(model: SAM, codes: np.ndarray) -> np.ndarray:
    """(motifs, L): where a gene's base codes (L,), in transcript orientation, have motif sites."""
    padded = np.pad(codes, MOTIF_REACH, constant_values=UNKNOWN)
    tiles = [padded[i : i + TILE + 2 * MOTIF_REACH] for i in range(0, len(codes), TILE)]
    found = [model.motifs(one_hot(torch.from_numpy(t[None].copy())))[0] > 0 for t in tiles]
    return torch.cat(found, 1).numpy()


def count(bundle: Bundle, genome: Genome, genes: list[Gene], peaks: dict, proteins) -> Counts:
    """What all genes have; `peaks` as `read_peaks` gives them."""
    model = for_scoring(bundle.models[0])
    counts = Counts(len(genes), model.motifs.channels, len(proteins))
    for i, gene in enumerate(tqdm(genes, disable=None, leave=False)):
        codes = genome.codes(genome.contig(gene.contig), gene.start, gene.end)
        stratum, n = strata(gene, codes), len(codes)
        own = [
            (proteins.index(protein), start - gene.start, end - gene.start)
            for protein, start, end in peaks[gene.contig, gene.strand]
            if start < gene.end and gene.start < end
        ]
        if gene.strand == "-":
            codes, stratum = reverse_complement(codes), stratum[::-1]
            own = [(protein, n - end, n - start) for protein, start, end in own]
        counts.add(i, codes, stratum, own, sites(model, codes))
    return counts


def summary(counts: Counts, names: list[str], proteins: list[str], families: dict) -> dict:
    """Of each motif with sites, as the bundle's file has it."""
    hits, expected, enrichment = counts.enrichment()
    told = np.maximum(hits, expected) >= TOLD
    lower, upper = np.percentile(np.nan_to_num(enrichment[1:]), [2.5, 97.5], axis=0)
    found = {}
    for m, name in enumerate(names):
        bound = [
            Bound(
                p,
                int(hits[m, i]),
                *(round(float(v[m, i]), 3) for v in (enrichment[0], lower, upper)),
            )
            for i, p in enumerate(proteins)
            if told[m, i]
        ]
        if counts.sites[:, m].any():
            sure = [b for b in bound if b.sites >= FEWEST and b.lower >= LEAST]
            own = families.get(name, name).split("/")
            found[name] = dict(
                bound=sorted(sure, key=lambda b: -b.lower)[:NAMED],
                own=[b for b in bound if b.protein in own],
            )
    return found


def left_out(bundle: Bundle) -> list[str] | None:
    """The contigs whose peaks the bundle's first model has not learnt from; None where it has
    learnt from no peaks at all."""
    config = files.read_json(os.path.join(bundle.folder, "config.json"))
    return config["kinds"][bundle.kind][0].get("bound", {}).get("left_out")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("data", help="folder with genome/, annotation/ and eclip/")
    parser.add_argument("--model", default="default")
    args = parser.parse_args()
    torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS", os.cpu_count() or 1)))
    bundle = load_bundle(args.model)
    peaks, experiments = read_peaks(os.path.join(args.data, "eclip", "hg38"), extend5=BEFORE_PEAK)
    proteins = sorted(experiments)
    genome = Genome(os.path.join(args.data, "genome", "hg38.fa.gz"))
    genes = read_genes(genome, os.path.join(args.data, "annotation", "refseq.hg38.bed12+gene.gz"))
    unseen = left_out(bundle)
    if unseen is not None:
        if not unseen:
            parser.error(f"{args.model} has learnt from peaks of all chromosomes")
        genes = on_contigs(genes, unseen)
    counts = count(bundle, genome, genes, peaks, proteins)
    motifs = summary(counts, bundle.layout.motifs, proteins, bundle.families)
    found = dict(
        sha256=bundle.sha256,
        genes=len(genes),
        bases=int(counts.known.sum()),
        proteins=len(proteins),
        experiments=sum(map(len, experiments.values())),
        motifs=motifs,
    )
    path = os.path.join(bundle.folder, FILE)
    content = files.read_json(path) | {bundle.kind: found}
    files.write(path, json.dumps(content, indent=1) + "\n")
    write_manifest(bundle.folder)
    for name, of_motif in motifs.items():
        own = ", ".join(f"{Bound(*b).text} {b.lower:.2f}-{b.upper:.2f}" for b in of_motif["own"])
        print(f"{name}\t{', '.join(b.text for b in of_motif['bound'])}\t{own}")


if __name__ == "__main__":
    main()
