"""A model of what binds in the test tube: intensities of RNA probes, an output for each experiment.

ResidualBind (Koo et al., PLOS Computational Biology 17:e1008925, 2021): filters, a block of dilated
convolutions that is added to what comes in, a mean over stretches, and a layer that sees all of
them. Here one network may have the outputs of many experiments, where the paper has a network each.

    bases        one-hot (N, 4, L), order A C G T; 0000 where unknown and beyond a probe's end
    intensities  (N, E): normalised, so that 0 is the mean probe of an experiment
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn as nn

from .binding import ResidualBlock, filters


@dataclass(frozen=True)
class ProbeShape:
    """What a network is built from. `length`: bases of the longest probe; `width`: that a filter of
    the first layer sees; `pool`: places of which a mean is taken."""

    length: int
    channels: int = 96
    width: int = 11
    pool: int = 10
    hidden: int = 256
    dropout: float = 0.3

    @property
    def parts(self) -> int:
        """Stretches that the last layers tell apart; 0 where a probe is too short for one."""
        return max(self.length - self.width + 1, 0) // self.pool


class ProbeNet(nn.Module):
    """One-hot probes -> normalised intensities."""

    def __init__(self, experiments: int, shape: ProbeShape):
        super().__init__()
        s = self.shape = shape
        self.of_bases = nn.Sequential(filters(s.channels, s.width), nn.Dropout(s.dropout / 3))
        self.residual = ResidualBlock(s.channels, s.dropout)
        self.together = nn.Sequential(
            nn.AvgPool1d(s.pool),
            nn.Flatten(),
            nn.Dropout(s.dropout),
            nn.Linear(s.channels * s.parts, s.hidden, bias=False),
            nn.BatchNorm1d(s.hidden),
            nn.ReLU(),
            nn.Dropout(s.dropout),
            nn.Linear(s.hidden, experiments),
        )

    def forward(self, bases: torch.Tensor) -> torch.Tensor:
        x = self.of_bases(bases)  # (N, C, L - width + 1)
        return self.together(self.residual(x))
