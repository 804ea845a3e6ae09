"""A dilated residual network in place of attention and LSTM: the SAM paper's control of what its
aggregator is worth. For comparison; `samvar annotate` takes no such model."""

from __future__ import annotations

import torch

from .dilated import GROUPS, DilatedNet
from .sam import Config, Readout, crop

REACHING = GROUPS[:2]  # 200 bases on either side


class CnnAggregator(Readout):
    """Core scores and motif sites -> log-probabilities, as `sam.Aggregator`, from 200 bases on
    either side and nothing beyond."""

    def __init__(self, config: Config, core: int, motifs: int):
        super().__init__(config, core, motifs)
        self.net = DilatedNet(core + motifs, config.cnn_channels, REACHING)

    def forward(self, core: torch.Tensor, motifs: torch.Tensor) -> torch.Tensor:
        """(N, K, L), (N, M, L) -> (N, 3, L - 2 reach)"""
        u = self.embed(core, motifs)
        seen, near = self.reach - self.net.reach, self.reach - self.attention_reach
        found = self.net(crop(u, seen, seen)).transpose(1, 2)
        direct = self.direct(crop(u, near, near))
        return self.log_probabilities(found, crop(core, self.reach, self.reach), direct)
