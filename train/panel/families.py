"""How alike the motifs of a panel are: python train/panel/families.py MOTIFS > families.tsv

MOTIFS holds the folders that panel.tsv and left_out.tsv name. Two motifs are as alike as their
affinities along 200,000 random bases correlate (Pearson), with one shifted by up to 5 bases against
the other, whichever shift is best. ALIKE and more is one family: of its proteins one is in the
panel, and its `family` names the others.

A row per RBP of the panel: its matrix that binds most on random sequence (A0 times mean affinity)
as a consensus (small letters: another base binds half as well; dots: every base does), that
matrix's information, the bases per random site (how many equally strong sites would bind as
much), the likest RBP of the panel, and the files left out that are of its family."""

from __future__ import annotations

import csv
import os
import sys

import numpy as np

from samvar.files import text_lines
from samvar.training.motifs import FRAME, Motif, information, read_matrices, read_panel

HERE = os.path.dirname(os.path.abspath(__file__))
ALIKE = 0.7
RANDOM_BASES = 200_000
SHIFT = 5  # bases
BASES = "ACGU"


def affinities(psams: np.ndarray, a0: np.ndarray, codes: np.ndarray) -> np.ndarray:
    """Of the mixture of PSAMs (K, 11, 4) at every base of `codes` with five on either side."""
    total = np.zeros(len(codes) - FRAME + 1)
    for psam, scale in zip(psams, a0 / a0.max()):
        along = np.ones(len(total))
        for column, affinity in enumerate(psam):
            along *= affinity[codes[column : column + len(total)]]
        total += scale * along
    return total


def correlations(profiles: np.ndarray) -> np.ndarray:
    """(M, L) -> (M, M), the largest over all shifts."""
    length = profiles.shape[1] - 2 * SHIFT
    fixed = _standardised(profiles[:, SHIFT : SHIFT + length])
    shifted = (_standardised(profiles[:, at : at + length]) for at in range(2 * SHIFT + 1))
    best = np.max([fixed @ other.T for other in shifted], axis=0)
    return np.maximum(best, best.T)


def _standardised(profiles: np.ndarray) -> np.ndarray:
    centred = profiles - profiles.mean(1, keepdims=True)
    return centred / np.linalg.norm(centred, axis=1, keepdims=True)


def consensus(psam: np.ndarray) -> str:
    letters = []
    for column in psam:
        best = BASES[column.argmax()]
        rivals = (column >= 0.5 * column.max()).sum() - 1
        letters.append("." if rivals == 3 else best.lower() if rivals else best)
    return "".join(letters)


def left_out(folder: str) -> dict[str, np.ndarray]:
    """File -> (PSAMs, A0) of the files that the panel leaves out."""
    lines = (line for line in text_lines(os.path.join(HERE, "left_out.tsv")) if line[:1] != "#")
    files = [row["file"] for row in csv.DictReader(lines, delimiter="\t")]
    return {file: read_matrices(os.path.join(folder, file)) for file in files}


def describe(motif: Motif, profile: np.ndarray) -> str:
    """Consensus, bits, and bases per site."""
    main = motif.psams[(motif.a0 * motif.psams.mean(1).prod(1)).argmax()]
    sites = profile.sum() ** 2 / (profile**2).sum()
    return f"{consensus(main)}\t{information(main).sum():.1f}\t{len(profile) / sites:.0f}"


def main(folder: str) -> None:
    panel = read_panel(os.path.join(HERE, "panel.tsv"), [folder])
    others = left_out(folder)
    codes = np.random.default_rng(0).integers(0, 4, RANDOM_BASES)
    profiles = np.array([affinities(m.psams, m.a0, codes) for m in (*panel, *others.values())])
    alike = correlations(profiles)
    np.fill_diagonal(alike, -1)
    print("name\tfamily\tsource\tpsams\tconsensus\tbits\tbases_per_site\tlikest\tr\tleft_out_alike")
    for i, motif in enumerate(panel):
        likest = int(alike[i, : len(panel)].argmax())
        same = [f"{file} {r:.2f}" for file, r in zip(others, alike[i, len(panel) :]) if r >= ALIKE]
        print(
            motif.name,
            motif.family,
            motif.source,
            len(motif.psams),
            describe(motif, profiles[i]),
            panel[likest].name,
            f"{alike[i, likest]:.2f}",
            ", ".join(same),
            sep="\t",
        )


if __name__ == "__main__":
    main(*sys.argv[1:])
