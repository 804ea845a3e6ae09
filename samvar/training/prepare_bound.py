"""Packing of bins of genes that proteins bind in cells, for motifs to learn from
(`training.bound`).

Genes are cut into bins of 50 bases, as in `training.binding`. A bin is bound by a protein where its
peaks, made longer by 50 bases at their 5' end, near the crosslink, hold half of it or more; its
controls are bins of genes with a peak of that protein which no peak of it touches, of the same
stratum: exon, or intron so far from one, and how much of the bases around is G or C. Without strata
a motif would learn where peaks are called: in exons, and near them.

Gupta et al. 2024 train an AM on binding in cells, too (AM-E); this is not their way.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

import numpy as np

from ..errors import DatasetError
from ..formats.peaks import Peaks
from ..genomics.genes import Annotation, Gene
from ..genomics.genome import UNKNOWN, Genome, reverse_complement
from ..model.sam import MOTIF_REACH
from .binding import bound_bases, on_contigs, separate_genes, without
from .bound import BoundBins

BIN = 50  # bases
EXTEND5 = 50  # bases that peaks are longer by at their 5' end
NEAR = (500, 200, 100, 50)  # bases from an exon
GC = (0.35, 0.42, 0.5, 0.6)  # shares of G and C between strata
AROUND = 50  # bases on either side in which G and C are counted
STRATA = (len(NEAR) + 2) * (len(GC) + 1)
MOST_CONTROLS = 4  # of a motif and stratum, for each bound bin
LEAST_BOUND = 50  # bins of a motif: one with fewer learns nothing from them


def strata(gene: Gene, codes: np.ndarray) -> np.ndarray:
    """(L,): the stratum of each base of the gene, in genome order; `codes` (L,) likewise."""
    place = np.full(len(codes), len(NEAR) + 1)
    for kind, bases in [(len(NEAR) - i, near) for i, near in enumerate(NEAR)] + [(0, 0)]:
        for start, end in gene.chosen.exons:
            place[max(start - gene.start - bases, 0) : end - gene.start + bases] = kind
    window = np.ones(2 * AROUND + 1)
    around = lambda flags: np.convolve(flags, window, "same")  # noqa: E731
    gc = around((codes == 1) | (codes == 2)) / np.maximum(around(codes != UNKNOWN), 1)
    return place * (len(GC) + 1) + np.digitize(gc, GC)


def bound_bins(
    genome: Genome,
    annotation: Annotation,
    peaks: Peaks,
    proteins: Mapping[str, Sequence[str]],
    contigs: Sequence[str] = (),
    symbols: Collection[str] = (),
    only: bool = False,
    seed: int = 1,
) -> BoundBins:
    """Bins of all genes but those on `contigs` or over genes of these `symbols`; `only`: of those
    on `contigs` alone. `proteins`: motif -> the proteins it stands for. Raises DatasetError where
    no motif has LEAST_BOUND of them."""
    open_genes = on_contigs(without(annotation.genes, symbols), contigs, those=only)
    names = tuple(proteins)
    parts = []
    for gene in separate_genes(genome, open_genes):
        held = bound_bases(peaks, gene, EXTEND5)
        if any(p in held for own in proteins.values() for p in own):
            parts += _of_gene(genome, gene, held, list(proteins.values()))
    if not parts:
        raise DatasetError(f"no peak of {peaks.path} is of a motif's protein, in a gene")
    codes, motif, stratum, bound = (np.concatenate(column) for column in zip(*parts))
    kept = _matched(motif, stratum, bound, np.random.default_rng(seed))
    meta = dict(
        reference=genome.digest(),
        annotation=annotation.digest,
        peaks=peaks.digest,
        **{"contigs" if only else "left_out": list(contigs)},
        left_out_genes=sorted(symbols),
        seed=seed,
    )
    found = BoundBins(codes[kept], motif[kept], stratum[kept], bound[kept], names, meta)
    if not found.counts():
        raise DatasetError(f"{peaks.path}: no motif has {LEAST_BOUND} bound bins with controls")
    return found


def _of_gene(genome: Genome, gene: Gene, held: dict, proteins: list[Sequence[str]]) -> list[tuple]:
    """(codes, motif, stratum, bound) of a gene's bins that are bound or free, by motif."""
    bins = (gene.end - gene.start) // BIN
    contig = genome.contig(gene.contig)
    assert contig
    codes = genome.codes(contig, gene.start, gene.end)
    of_base = strata(gene, codes)
    if gene.strand == "-":
        codes, of_base = reverse_complement(codes), of_base[::-1]
    padded = np.pad(codes, (MOTIF_REACH, MOTIF_REACH + BIN), constant_values=UNKNOWN)
    windows = padded[np.arange(bins)[:, None] * BIN + np.arange(BIN + 2 * MOTIF_REACH)]
    known = (windows != UNKNOWN).all(1)
    stratum = of_base[BIN // 2 :: BIN][:bins]
    found = []
    for motif, own in enumerate(proteins):
        peaks = [held[p] for p in own if p in held]
        if peaks:
            of_bin = np.any(peaks, 0)[: bins * BIN].reshape(bins, BIN).sum(1)
            bound = 2 * of_bin >= BIN
            at = np.flatnonzero(known & (bound | (of_bin == 0)))
            found.append((windows[at], np.full(len(at), motif), stratum[at], bound[at]))
    return found


def _matched(motif, stratum, bound, rng) -> np.ndarray:
    """Indices, by motif and stratum, of bins where both kinds are: all that are bound, and up to
    MOST_CONTROLS controls for each, drawn at random."""
    kept = []
    for m in np.unique(motif):
        of_motif = []
        for s in np.unique(stratum[motif == m]):
            here = (motif == m) & (stratum == s)
            inside, free = np.flatnonzero(here & bound), np.flatnonzero(here & ~bound)
            if len(inside) and len(free):
                n = min(MOST_CONTROLS * len(inside), len(free))
                of_motif += [inside, np.sort(rng.choice(free, n, replace=False))]
        if sum(bound[part].sum() for part in of_motif) >= LEAST_BOUND:
            kept += of_motif
    return np.concatenate([np.empty(0, int), *kept])
