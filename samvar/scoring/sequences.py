"""Sequences as they are, without genome or annotation -> probabilities and bottleneck of every
base."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch

from ..genomics.genome import UNKNOWN, reverse_complement
from ..model.sam import SAM, crop, one_hot
from .arrays import Floats
from .calibrated import calibrated
from .predictor import Predictor


class Predicted(NamedTuple):
    """Of n bases, in the order in which they were given; means of the seeds.

    probability  (2, n): of acceptor and donor, nan where the base is unknown
    bottleneck   (C, n): core and motif sites, as the bundle's layout has them
    """

    probability: Floats
    bottleneck: Floats


def margin(predictor: Predictor) -> int:
    """Bases that a prediction needs on either side, on either strand."""
    return predictor.bundle.flank + max(predictor.reach)


@torch.no_grad()
def predict(predictor: Predictor, codes: np.ndarray, strand: str, own: bool = False) -> Predicted:
    """Base codes with `margin` more on either side -> what the model says of the strand + (as
    given) or -. Probabilities are calibrated where the bundle can, or with `own` as `annotate` has
    them."""
    beyond, n = margin(predictor), len(codes) - 2 * margin(predictor)
    unknown = codes[beyond : beyond + n] == UNKNOWN
    if unknown.all():
        layout = predictor.bundle.layout
        empty = np.array([layout.empty(c) for c in range(len(layout.names))])
        return Predicted(np.full((2, n), np.nan), np.repeat(empty[:, None], n, 1))
    before, after = (predictor.bundle.flank + reach for reach in predictor.reach)
    turned = reverse_complement(codes) if strand == "-" else codes
    shown = turned[beyond - before : beyond + n + after]
    found = [_run(predictor, model, shown) for model in models_on_device(predictor)]
    probability, bottleneck = (np.mean(parts, 0) for parts in zip(*found))
    if strand == "-":
        probability, bottleneck = probability[:, ::-1], bottleneck[:, ::-1]
    probability = calibrated(probability, None if own else predictor.bundle.calibration)
    return Predicted(np.where(unknown, np.nan, probability), bottleneck)


def models_on_device(predictor: Predictor) -> list[SAM]:
    """The models where they run, one for each seed."""
    return predictor.batches.models if predictor.batches else predictor.models


def _run(predictor: Predictor, model: SAM, shown: np.ndarray) -> tuple[Floats, Floats]:
    device = next(model.parameters()).device
    found = model.detect(one_hot(torch.from_numpy(shown[None].copy()).to(device)))
    flank, edge = predictor.bundle.flank, model.config.aggregate_reach + predictor.bundle.flank
    probability = crop(model.aggregate(found)[0, 1:], flank, flank).exp()
    bottleneck = crop(predictor.bundle.layout.join(found)[0], edge, edge)
    return probability.cpu().numpy(), bottleneck.cpu().numpy()
