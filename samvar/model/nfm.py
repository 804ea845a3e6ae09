"""A neural fixed motif: a network in the place of one protein's PSAMs, learnt from the reads that
the protein binds (RNA Bind-n-Seq).

    bases   one-hot (N, 4, L), order A C G T; 0000 where unknown and beyond a read's end
    sites   (N, L): logarithm of the affinity of each base's 11-mer, which covers p-5 .. p+5
    reads   (N, 1): log-odds that a read was bound rather than put in, the two equally frequent

A read is taken to be bound in proportion to the affinities of all its sites, and of what binds
without one (`unspecific`).
"""

from __future__ import annotations

import math

import torch
import torch.nn as nn
import torch.nn.functional as F

from .binding import filters

SIDE = 5  # bases on either side of a site: the frame of the fixed motifs
START = -math.log(40)  # of a site: those of a read begin about as strong as `unspecific`


class NeuralMotif(nn.Module):
    def __init__(self, channels: int):
        super().__init__()
        self.site = nn.Sequential(
            filters(channels, 2 * SIDE + 1),
            nn.Conv1d(channels, channels, 1, bias=False),
            nn.BatchNorm1d(channels),
            nn.ReLU(),
            nn.Conv1d(channels, 1, 1),
        )
        self.unspecific = nn.Parameter(torch.zeros(1))

    def sites(self, bases: torch.Tensor) -> torch.Tensor:
        """-inf where the base is unknown."""
        score = self.site(F.pad(bases, (SIDE, SIDE)))[:, 0] + START
        return score.masked_fill(bases.sum(1) == 0, -torch.inf)

    def forward(self, bases: torch.Tensor) -> torch.Tensor:
        rest = self.unspecific.expand(len(bases), 1)
        return torch.cat([rest, self.sites(bases)], 1).logsumexp(1, keepdim=True)
