"""The tensor between `detect` and `aggregate`: all that the model knows of a sequence."""

from __future__ import annotations

from typing import NamedTuple

import torch

LSSI_FLOOR = -10.0


class Detection(NamedTuple):
    """What the model has found in a sequence: the bottleneck.

    lssi    (N, 2, L): log-probabilities of acceptor and donor, floored at -10
    motifs  (N, 79, L): activations of the RBP motif sites, at the centre of the site, zero where
            there is none
    """

    lssi: torch.Tensor
    motifs: torch.Tensor
