"""Dilated residual networks, as in SpliceAI and OpenSpliceAI.

Facts: Jaganathan et al., Cell 2019; Chao et al., OpenSpliceAI (2025). Every line here is samvar's
own.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn as nn
import torch.nn.functional as F


@dataclass(frozen=True)
class Group:
    """Residual units of one width and dilation, followed by a skip connection."""

    units: int
    width: int
    dilation: int

    @property
    def reach(self) -> int:
        """Bases on either side that an output of the group depends on."""
        return self.units * (self.width - 1) * self.dilation


GROUPS = (Group(4, 11, 1), Group(4, 11, 4), Group(4, 21, 10), Group(4, 41, 25))
SLOPE = 0.1  # of the leaky ReLU


class DilatedUnit(nn.Module):
    """(norm, leaky ReLU, dilated convolution) twice, plus its input; valid convolutions."""

    def __init__(self, channels: int, width: int, dilation: int):
        super().__init__()
        self.norm1, self.norm2 = nn.BatchNorm2d(channels), nn.BatchNorm2d(channels)
        self.conv1 = nn.Conv2d(channels, channels, (1, width), dilation=(1, dilation))
        self.conv2 = nn.Conv2d(channels, channels, (1, width), dilation=(1, dilation))
        self.edge = (width - 1) * dilation

    def forward(self, x):  # (N, C, 1, L) -> (N, C, 1, L - 2 edge)
        y = self.conv1(F.leaky_relu(self.norm1(x), SLOPE))
        y = self.conv2(F.leaky_relu(self.norm2(y), SLOPE))
        return x[..., self.edge : x.shape[-1] - self.edge] + y


class DilatedNet(nn.Module):
    """(N, c_in, L) -> (N, 3, L - 2 reach): a value for each of none, acceptor, donor.

    All convolutions are valid, so `reach` bases (40, 200, 1,000, 5,000 with one to four groups) are
    fed on either side.
    """

    def __init__(self, c_in: int, channels: int, groups: tuple[Group, ...]):
        super().__init__()
        self.enter = nn.Conv2d(c_in, channels, 1)
        self.groups = nn.ModuleList(
            nn.Sequential(*(DilatedUnit(channels, g.width, g.dilation) for _ in range(g.units)))
            for g in groups
        )
        self.skips = nn.ModuleList(nn.Conv2d(channels, channels, 1) for _ in range(len(groups) + 1))
        self.classes = nn.Conv2d(channels, 3, 1)
        self.reach = sum(g.reach for g in groups)

    def forward(self, x):
        n = x.shape[-1] - 2 * self.reach
        x = self.enter(x.unsqueeze(2).contiguous(memory_format=torch.channels_last))
        total = self.skips[0](_middle(x, n))
        for group, skip in zip(self.groups, self.skips[1:]):
            x = group(x)
            total = total + skip(_middle(x, n))
        return self.classes(total).squeeze(2)


def _middle(x: torch.Tensor, n: int) -> torch.Tensor:
    """The middle n positions of the last axis."""
    edge = (x.shape[-1] - n) // 2
    return x[..., edge : edge + n]
