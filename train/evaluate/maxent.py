#!/usr/bin/env python3
"""Top-k accuracy of the maximum entropy models of splice sites, and of a bundle's core sites.

    python train/evaluate/maxent.py DATASET --model paper --json OUT

The models of Yeo and Burge (J Comput Biol 11:377, 2004), trained anew on the introns of DATASET's
train genes (the packed one that the bundle was trained on), GT-AG alone. A 5' splice site: 3 exonic
and 6 intronic bases; the distribution of largest entropy among those with the observed frequencies
of bases at every pair of positions (me2x5), GT left out since it is always there. A 3' splice site:
20 intronic and 3 exonic bases, AG left out; the product of five such distributions of 7 positions
that overlap, over those of the four overlaps (OVERLAPPING, BETWEEN). The score is the logarithm, to
base 2, of the probability by the true sites over that by the decoys, which are all other GTs or AGs
of these genes; a base without GT or AG has none.

Measured on the validation genes as `topk.py` measures core sites: percent, 95 % by bootstrap over
genes, the same genes for both, so that the difference is of pairs.
"""

from __future__ import annotations

import argparse
import os
from itertools import combinations

import numpy as np
import torch
from common import save
from exon_classes import CANONICAL, found_at_one_k, interval, sites_of

from samvar.model.bundle import load_bundle
from samvar.model.sam import ACCEPTOR, DONOR, LSSI_SPAN, SAM, one_hot
from samvar.training.dataset import (
    CORE,
    IGNORE,
    TRAIN,
    UNKNOWN,
    VALIDATION,
    Dataset,
    core_bases,
)
from samvar.training.evaluate import tiles, top_k

# Positions of an acceptor without AG: 18 intronic, then 3 exonic bases.
OVERLAPPING = ((0, 7), (7, 14), (14, 21), (4, 11), (11, 18))
BETWEEN = ((4, 7), (7, 11), (11, 14), (14, 18))
PIECES = {
    ACCEPTOR: [(part, 1) for part in OVERLAPPING] + [(part, -1) for part in BETWEEN],
    DONOR: [((0, 7), 1)],
}
PSEUDOCOUNT = 1.0  # sequences, spread over all there are: none is impossible
TOLERANCE = 1e-7  # largest difference from a marginal
ROUNDS = 2000


def counts(sites: np.ndarray) -> np.ndarray:
    """How often each sequence is there, (4, ..., 4) of `sites` (n, w), codes 0-3; with
    PSEUDOCOUNT."""
    width = sites.shape[1]
    index = sites.astype(np.int64) @ 4 ** np.arange(width - 1, -1, -1)
    found = np.bincount(index, minlength=4**width) + PSEUDOCOUNT / 4**width
    return found.reshape((4,) * width)


def marginal(p: np.ndarray, pair: tuple[int, ...]) -> np.ndarray:
    """Of a distribution (4, ..., 4), at these positions; axes are kept, of length 1."""
    found: np.ndarray = p.sum(tuple(set(range(p.ndim)) - set(pair)), keepdims=True)
    return found


def largest_entropy(observed: np.ndarray) -> np.ndarray:
    """The distribution (4, ..., 4) of largest entropy that has the marginals of `observed` at all
    pairs of positions, by iterative scaling from equal probabilities."""
    observed = observed / observed.sum()
    wanted = {pair: marginal(observed, pair) for pair in combinations(range(observed.ndim), 2)}
    p = np.full(observed.shape, 1 / observed.size)
    for _ in range(ROUNDS):
        worst = 0.0
        for pair, target in wanted.items():
            own = marginal(p, pair)
            worst = max(worst, np.abs(own - target).max())
            p *= target / own
        if worst < TOLERANCE:
            return p / p.sum()
    raise ArithmeticError(f"marginals are off by {worst:.1g} after {ROUNDS} rounds")


class MaxEnt:
    """Log-ratios of the pieces of a splice site, with `positions` from its labelled base."""

    def __init__(self, sites: np.ndarray, decoys: np.ndarray, kind: int):
        """`sites` and `decoys`: (n, w) codes 0-3 at `positions(kind)`."""
        self.kind = kind
        self.tables = []
        for (start, end), sign in PIECES[kind]:
            true, other = (largest_entropy(counts(of[:, start:end])) for of in (sites, decoys))
            self.tables.append(((start, end), sign * np.log2(true / other)))

    def score(self, windows: np.ndarray) -> np.ndarray:
        """Bits (n,) of windows (n, w)."""
        parts = [table[tuple(windows[:, start:end].T)] for (start, end), table in self.tables]
        return np.sum(parts, axis=0)


def positions(kind: int) -> np.ndarray:
    """Of a site's bases from the labelled one, those that are always the same left out."""
    left, right = LSSI_SPAN[kind]
    fixed = [shift for shift, _ in CORE[kind]]
    return np.array([at for at in range(-left, right + 1) if at not in fixed])


def known_windows(codes: np.ndarray, at: np.ndarray, kind: int) -> tuple[np.ndarray, np.ndarray]:
    """(those of the bases `at` whose windows hold no unknown base, these windows (n, w)). `codes`
    (B,) of one gene; what lies outside is unknown."""
    margin = max(map(max, LSSI_SPAN.values()))
    padded = np.pad(codes, margin, constant_values=UNKNOWN)
    windows = padded[margin + at[:, None] + positions(kind)]
    known = (windows != UNKNOWN).all(1)
    return at[known], windows[known]


def candidates(data: Dataset, gene: int, kind: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(bases of a gene with AG before, or GT after, them, whether each is a site, windows)."""
    own = slice(data.offsets[gene], data.offsets[gene + 1])
    at, windows = known_windows(
        data.codes[own], np.flatnonzero(core_bases(data.codes[own], kind)), kind
    )
    return at, data.labels[own][at] == kind, windows


def gt_ag(data: Dataset, gene: int) -> dict[int, np.ndarray]:
    """Of each site type the bases of a gene whose intron starts with GT and ends with AG."""
    own = slice(data.offsets[gene], data.offsets[gene + 1])
    codes, labels = data.codes[own], data.labels[own]
    donors, acceptors = (np.flatnonzero(labels == kind) for kind in (DONOR, ACCEPTOR))
    # the first acceptor after a donor, unless another donor comes before it: one is unknown then
    after = np.searchsorted(acceptors, donors, "right")
    ends = np.append(acceptors, len(codes))[after]
    paired = ends <= np.append(donors[1:], len(codes) - 1)
    donors, ends = donors[paired], ends[paired]
    good = core_bases(codes, DONOR)[donors] & core_bases(codes, ACCEPTOR)[ends]
    return {DONOR: donors[good], ACCEPTOR: ends[good]}


def train(data: Dataset, genes: np.ndarray) -> tuple[dict[int, MaxEnt], dict[str, int]]:
    """Both models of these genes, and how many sites and decoys they are of."""
    models: dict[int, MaxEnt] = {}
    number: dict[str, int] = {}
    introns = {gene: gt_ag(data, gene) for gene in genes}
    for kind, name in ((ACCEPTOR, "acceptor"), (DONOR, "donor")):
        sites, decoys = [], []
        for gene in genes:
            at, true, windows = candidates(data, gene, kind)
            sites.append(windows[np.isin(at, introns[gene][kind])])
            decoys.append(windows[~true])
        of_sites, of_decoys = np.concatenate(sites), np.concatenate(decoys)
        models[kind] = MaxEnt(of_sites, of_decoys, kind)
        number |= {f"{name}s": len(of_sites), f"{name}_decoys": len(of_decoys)}
    return models, number


def bases(data: Dataset, genes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(labels, index of the gene) (B,) of the known bases of these genes."""
    labels = np.concatenate([data.labels[data.offsets[g] : data.offsets[g + 1]] for g in genes])
    gene = np.repeat(np.arange(len(genes)), np.diff(data.offsets)[genes])
    return labels[labels != IGNORE], gene[labels != IGNORE]


def bits(models: dict[int, MaxEnt], data: Dataset, genes: np.ndarray) -> np.ndarray:
    """Scores (2, B) of acceptor and donor at the bases of these genes, unknown ones left out."""
    found = []
    for gene in genes:
        labels = data.labels[data.offsets[gene] : data.offsets[gene + 1]]
        own = np.full((2, len(labels)), -np.inf, np.float32)
        for i, kind in enumerate((ACCEPTOR, DONOR)):
            at, _, windows = candidates(data, gene, kind)
            own[i, at] = models[kind].score(windows)
        found.append(own[:, labels != IGNORE])
    return np.concatenate(found, 1)


@torch.inference_mode()
def core_scores(model: SAM, data: Dataset, genes: np.ndarray) -> np.ndarray:
    """Log-probabilities (2, B) of the model's core sites, at the same bases."""
    reach = LSSI_SPAN[ACCEPTOR][0], LSSI_SPAN[DONOR][1]
    found = []
    for i, start, end, codes in tiles(data, genes, reach):
        known = data.window(genes[i], start, end)[1] != IGNORE
        core = model.lssi(one_hot(torch.from_numpy(codes[None])))
        found.append(core[0, :2].numpy()[:, known])
    return np.concatenate(found, 1)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("dataset", help="packed, of the bundle's training")
    parser.add_argument("--model", default="paper")
    parser.add_argument("--json", required=True)
    args = parser.parse_args()
    torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS", os.cpu_count() or 1)))
    data = Dataset.load(args.dataset)
    models, number = train(data, data.genes(TRAIN))
    print(number, flush=True)
    genes = data.genes(VALIDATION)
    bundle = load_bundle(f"{args.model}:fm")
    labels, gene = bases(data, genes)
    sites = sites_of(labels, {})
    values = dict(maxent=bits(models, data, genes), lssi=core_scores(bundle.models[0], data, genes))
    result: dict = dict(bundle=bundle.name, sha256=bundle.sha256, genes=len(genes), trained=number)
    result["bases"] = len(labels)
    found, shares = {}, {}
    for name, own in values.items():
        found[name] = top_k(own, labels, gene, len(genes))
        shares[name] = found_at_one_k(own, sites, gene, len(genes))[CANONICAL]
        topk = [found[name].mean, *found[name].interval]
        result[name] = dict(acceptor=found[name].acceptor, donor=found[name].donor, topk=topk)
    difference = found["maxent"].mean - found["lssi"].mean
    # which of several equal windows comes first may differ here, for a site more or less
    bounds = interval(shares["maxent"] - shares["lssi"])[1:]
    result["maxent - lssi"] = [difference, *bounds]
    print(result)
    save(args.json, result)


if __name__ == "__main__":
    main()
