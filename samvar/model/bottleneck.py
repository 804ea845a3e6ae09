"""The bottleneck: the tensor between `detect` and `aggregate`, all that the model knows of a
sequence.

It has a column for each base, and channels (in this order) for

    core sites   log-probabilities of splice-site models, at their floor where there is no site
    motif sites  activations of RBP motifs, or of motifs that were learnt from sequence alone, at
                 the centre of the site, 0 where there is none

What a channel means is defined by the `Layout` of a bundle, and nowhere else.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import torch

LSSI_FLOOR = -10.0
NO_MOTIF = 0.0
LEARNT = "MOTIF_"  # what the names of learnt motifs begin with


def is_learnt(name: str) -> bool:
    """Whether a motif channel of this name was learnt from sequence: no protein is known for it."""
    return name.startswith(LEARNT)


class CoreChannel(NamedTuple):
    """A core channel: its name, and what it holds where there is no site."""

    name: str
    empty: float


ACCEPTOR_CORE, DONOR_CORE = CoreChannel("LSSI_A", LSSI_FLOOR), CoreChannel("LSSI_D", LSSI_FLOOR)
BRANCH_POINT_CORE = CoreChannel("BP", LSSI_FLOOR)


class Detection(NamedTuple):
    """The bottleneck in the two parts that the model makes and reads.

    core    (N, K, L): log-probabilities of the core sites
    motifs  (N, M, L): activations of the motif sites
    """

    core: torch.Tensor
    motifs: torch.Tensor


class Entry(NamedTuple):
    """One number of a bottleneck."""

    channel: int
    column: int


@dataclass(frozen=True)
class Layout:
    """The channels of a bottleneck (N, C, L): K core channels, then M motif channels.

    core    the core channels
    motifs  names of the motif channels: RBPs, then learnt motifs
    """

    core: tuple[CoreChannel, ...]
    motifs: tuple[str, ...]

    @classmethod
    def of(cls, core: tuple[CoreChannel, ...], rbps: list[str], motifs: int) -> Layout:
        """Of a model with so many motif channels: those beyond the RBPs are learnt, MOTIF_01 and
        so on."""
        learnt = (f"{LEARNT}{i:02}" for i in range(1, motifs - len(rbps) + 1))
        return cls(core, (*rbps, *learnt))

    @property
    def names(self) -> tuple[str, ...]:
        """Of all channels."""
        return (*(c.name for c in self.core), *self.motifs)

    @property
    def core_channels(self) -> range:
        return range(len(self.core))

    @property
    def motif_channels(self) -> range:
        return range(len(self.core), len(self.core) + len(self.motifs))

    def channel(self, name: str) -> int:
        """The channel of this name. Raises ValueError where there is none."""
        return self.names.index(name)

    def empty(self, channel: int) -> float:
        """What a channel holds where there is no site."""
        return self.core[channel].empty if channel < len(self.core) else NO_MOTIF

    def empty_column(self, like: torch.Tensor) -> torch.Tensor:
        """(C, 1): a column with no site, of the type and on the device of `like`."""
        return like.new_tensor([self.empty(c) for c in range(len(self.names))])[:, None]

    def join(self, found: Detection) -> torch.Tensor:
        """The two parts -> (N, C, L); the channels of a base lie together in memory, as
        convolutions like it."""
        return torch.cat([part.transpose(1, 2) for part in found], 2).transpose(1, 2)

    def split(self, bottleneck: torch.Tensor) -> Detection:
        """(N, C, L) -> the two parts, which share its memory."""
        return Detection(bottleneck[:, : len(self.core)], bottleneck[:, len(self.core) :])
