"""What learnt motifs look like: the sequence of their sites, and the proteins whose affinities are
high there."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
import torch.nn.functional as F

from ..model.sam import MOTIF_REACH, SAM, crop, one_hot

SHIFT = 3  # bases from a site within which a protein's affinity counts
SIDE = 5  # bases of a consensus on either side of the site
MOST_SITES = 2000  # of a motif that are looked at
BACKGROUND = 200  # positions of a tile that stand for any sequence
NAMED = 3  # proteins that are named
CLEAR, ALMOST = 0.6, 0.8  # share of one base, and of two together, that a consensus shows
FEWEST = 20  # sites without which nothing is said
IUPAC = {"AG": "R", "CT": "Y", "CG": "S", "AT": "W", "GT": "K", "AC": "M"}


@torch.inference_mode()
def learnt_motifs(model: SAM, names: Sequence[str], tiles: Sequence[np.ndarray]) -> dict:
    """Name of each learnt motif -> dict(sites, consensus, nearest): how many sites were looked at,
    their consensus (IUPAC, 5' to 3', at most 11 bases) and the proteins whose fixed motifs tell
    these sites from any sequence best: [name, AUROC], the best first. Nothing is said of a motif
    with fewer than FEWEST sites.

    names   of all motif channels, learnt ones last
    tiles   (n,) base codes of genes, each at least 2 MOTIF_REACH + 1 long
    """
    proteins = len(model.motifs.fixed.mix)
    rng = np.random.default_rng(0)
    windows: list[list[np.ndarray]] = [[] for _ in names[proteins:]]
    affinities: list[list[np.ndarray]] = [[] for _ in names[proteins:]]
    anywhere = []
    for codes in tiles:
        x = one_hot(torch.from_numpy(codes[None]))
        active = (model.motifs(x)[0, proteins:] > 0).numpy()
        f = model.motifs.fixed(crop(x, MOTIF_REACH - SIDE, MOTIF_REACH - SIDE))
        near = F.max_pool1d(f, 2 * SHIFT + 1, 1, SHIFT)[0].T.numpy()  # (n - 20, R)
        anywhere.append(near[rng.integers(0, len(near), min(BACKGROUND, len(near)))])
        for own, found, column in zip(windows, affinities, active):
            at = np.flatnonzero(column)
            own.append(codes[at[:, None] + MOTIF_REACH + np.arange(-SIDE, SIDE + 1)])
            found.append(near[at])
    background = np.concatenate(anywhere)
    result = {}
    for name, own, found in zip(names[proteins:], windows, affinities):
        sites, there = np.concatenate(own), np.concatenate(found)
        if len(sites) < FEWEST:
            continue
        every = -(-len(sites) // MOST_SITES)
        sites, there = sites[::every], there[::every]
        areas = [_auroc(there[:, r], background[:, r]) for r in range(proteins)]
        best = np.argsort(areas)[::-1][:NAMED]
        result[name] = dict(
            sites=len(sites),
            consensus=consensus(sites),
            nearest=[[names[r], round(float(areas[r]), 3)] for r in best],
        )
    return result


def consensus(windows: np.ndarray) -> str:
    """(S, n) base codes -> one letter for each base: a base of at least CLEAR, else two of ALMOST
    together, else N; without N at the ends."""
    letters = []
    for column in windows.T:
        share = np.bincount(column, minlength=5)[:4] / len(column)
        first, second = np.argsort(-share, kind="stable")[:2]
        pair = "".join(sorted("ACGT"[i] for i in (first, second)))
        clear = share[first] >= CLEAR
        almost = share[first] + share[second] >= ALMOST
        letters.append("ACGT"[first] if clear else IUPAC[pair] if almost else "N")
    return "".join(letters).strip("N")


def _auroc(values: np.ndarray, others: np.ndarray) -> float:
    """How often one of `values` is above one of `others`; equals count by one half."""
    ordered = np.sort(others)
    below = np.searchsorted(ordered, values, "left") + np.searchsorted(ordered, values, "right")
    return float(below.mean() / (2 * len(others)))
